"""Kinds of files by their first bytes: pictures that the page reads, archives that it may have made. No Gradio."""

from __future__ import annotations

PICTURES = (*(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),)
"""First bytes of picture files; WebP, HEIC and AVIF have their signature a few bytes later."""
_KINDS_AT_8 = (b"WEBP",)
_KINDS_AT_4 = (b"ftyp",)
ARCHIVE = b"PK\x03\x04"


def is_picture(start: bytes) -> bool:
    """Return whether a file with these first bytes is of a kind that the page reads."""
    return start.startswith(PICTURES) or start[8:12] in _KINDS_AT_8 or start[4:8] in _KINDS_AT_4


def starts_like_a_picture(path: str) -> bool:
    """Return `is_picture` of a file; True if it cannot be read, because the reason is given when it is used."""
    try:
        with open(path, "rb") as file:
            return is_picture(file.read(16))
    except OSError:
        return True


def is_archive(start: bytes) -> bool:
    """Return whether a file with these first bytes is a zip file that is not empty."""
    return start.startswith(ARCHIVE)
