"""Kinds of files by their first bytes: pictures that the page reads, archives that it may have made. No Gradio."""

from __future__ import annotations

from pathlib import Path

PICTURES = (*(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),)
"""First bytes of picture files; WebP, HEIC and AVIF have their signature a few bytes later."""
_KINDS_AT_8 = (b"WEBP",)
_KINDS_AT_4 = (b"ftyp",)
ARCHIVE = b"PK\x03\x04"


def is_picture(start: bytes) -> bool:
    """Return whether a file with these first bytes is of a kind that the page reads."""
    return start.startswith(PICTURES) or start[8:12] in _KINDS_AT_8 or start[4:8] in _KINDS_AT_4


def first_bytes(path: str | Path) -> bytes:
    """Return the first bytes of a file, as many as the functions of this module need.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return file.read(16)


def is_archive(start: bytes) -> bool:
    """Return whether a file with these first bytes is a zip file that is not empty."""
    return start.startswith(ARCHIVE)
