"""Layouts in which tools and archives hand out data sets, each recognised by its own files.

`registry` lists the readers and asks them; `base` says what one is. A reader gives pairs whose masks are read as
numbers, with the owner's name of each number: everything after that is as for folders of masks.
"""
