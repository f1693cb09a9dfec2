"""Reading of pictures and masks, geometry of frames, atomic writing of files, and export of results."""
