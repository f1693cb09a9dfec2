"""Readers of data sets as exported by tools or published in archives; each layout is recognised by its own files.

`registry` lists and calls the readers; `base` defines their interface. A reader returns pairs whose masks are read as
numbers, and the data set's name of each number. All later steps are the same as for plain folders of masks.
"""
