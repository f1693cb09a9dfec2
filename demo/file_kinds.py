"""Kinds of files by their first bytes: pictures that the page reads, archives that it may have made. No Gradio."""

from __future__ import annotations

PICTURES = (*(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),)
"""How picture files begin; WebP, HEIC and AVIF name their kind a few bytes later."""
_KINDS_AT_8 = (b"WEBP",)
_KINDS_AT_4 = (b"ftyp",)
ARCHIVE = b"PK\x03\x04"


def is_picture(start: bytes) -> bool:
    """Whether a file that starts so is of a kind that the page reads."""
    return start.startswith(PICTURES) or start[8:12] in _KINDS_AT_8 or start[4:8] in _KINDS_AT_4


def is_archive(start: bytes) -> bool:
    """Whether a file that starts so is a zip with something in it."""
    return start.startswith(ARCHIVE)
