"""Recognition of files that are not pictures (raw photos, PDF, video, ...), so that the error can name them."""

from __future__ import annotations

import struct
from typing import IO

from cliptrase_core.errors import counted

_MARKS = (
    (0, b"%PDF", "a PDF document"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the picture: run `git lfs pull` in its repository"),
    (4, b"jP  \r\n\x87\n", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"ftypcrx", "a raw photo (CR3)"),
    (0, b"FUJIFILMCCD-RAW", "a raw photo (RAF)"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"gimp xcf", "a GIMP document"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"SIMPLE  =", "a FITS picture"),
    (0, b"\x93NUMPY", "an array of NumPy: load it with np.load"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (128, b"DICM", "a DICOM picture"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"Rar!", "an archive"),
    (0, b"\x1f\x8b", "an archive"),
)
_TEXTS = ((b"<svg", "an SVG drawing"), (b"<html", "a web page"), (b"<!doctype", "a web page"))
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_RAW_MAKERS = ((b"CR\x02", 8, "CR2"), (b"IIRO", 0, "ORF"), (b"IIRS", 0, "ORF"), (b"IIU\0", 0, "RW2"))
_BITS, _COMPRESSION, _COLOURS, _BANDS, _SAMPLES, _DNG = 258, 259, 262, 277, 339, 50706
_SUBFILE, _OTHERS = 254, 330  # flags of a reduced picture, and offsets of other pictures
_RAW_COLOURS = (32803, 34892)  # colour filter array, and linear raw data
_RAW_COMPRESSIONS = (32767, 32769, 34713)  # Sony's, Epson's, Nikon's
_SAMPLE_KINDS = {2: "whole numbers with a sign", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
_TYPES = {1: "B", 3: "H", 4: "I"}


def foreign_kind(start: bytes) -> str:
    """Return the kind of a file whose first bytes match no supported picture format.

    Args:
        start: first bytes of the file: at least 132, or all of a shorter file.
    """
    for place, mark, kind in _MARKS:
        if start[place:].startswith(mark):
            return kind
    if raw := _raw_mark(start):
        return raw
    if start[4:8] == b"ftyp":
        return "a HEIC photo" if start[8:12] in _HEIC else "a video, or a photo of a kind that is not read"
    lower = start.lower()
    return next((kind for mark, kind in _TEXTS if mark in lower), "a file with other content")


def raw_kind(file: IO[bytes]) -> str | None:
    """Return the kind of a raw photo, or None for any other file. Many are TIFFs whose first picture is a thumbnail."""
    tags = _tags(file)
    file.seek(0)
    if mark := _raw_mark(file.read(16)):
        return mark
    colours, compression = tags.get(_COLOURS, 0), tags.get(_COMPRESSION, 0)
    thumbnail = tags.get(_SUBFILE, 0) & 1 and _OTHERS in tags
    raw = _DNG in tags or colours in _RAW_COLOURS or compression in _RAW_COMPRESSIONS or thumbnail
    return "a raw photo (such as DNG, NEF or ARW)" if raw else None


def unreadable_kind(file: IO[bytes]) -> str | None:
    """Describe a TIFF that no reader supports, from its first directory; None for a damaged or any other file."""
    tags = _tags(file)
    if _BITS not in tags:
        return None
    bands, bits = tags.get(_BANDS, 1), tags[_BITS]
    kind = _SAMPLE_KINDS.get(tags.get(_SAMPLES, 1), "whole numbers")
    usual = bits in (1, 2, 4, 8, 16) and kind == "whole numbers" and bands in (1, 3, 4)
    return None if usual else f"a TIFF of {counted(bands, 'band')} of {bits}-bit {kind}"


def _raw_mark(start: bytes) -> str | None:
    return next((f"a raw photo ({kind})" for mark, at, kind in _RAW_MAKERS if start[at:].startswith(mark)), None)


def _tags(file: IO[bytes]) -> dict[int, int]:
    """Return the tags of a TIFF's first directory with the first value of each; empty for any other file."""
    file.seek(0)
    start = file.read(8)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(start[:4])
    try:
        return {} if order is None else _first_directory(file, start, order)
    except (struct.error, OverflowError, OSError, ValueError):
        return {}


def _first_directory(file: IO[bytes], start: bytes, order: str) -> dict[int, int]:
    file.seek(struct.unpack(order + "I", start[4:8])[0])
    (count,) = struct.unpack(order + "H", file.read(2))
    entries = file.read(12 * count)
    tags = {}
    for place in range(0, 12 * count, 12):
        tag, kind, values = struct.unpack(order + "HHI", entries[place : place + 8])
        code = _TYPES.get(kind)
        if code is None or values < 1:
            continue
        size, value = struct.calcsize(code), entries[place + 8 : place + 12]
        if size * values > 4:  # the entry has their offset
            file.seek(struct.unpack(order + "I", value)[0])
            value = file.read(size)
        tags[tag] = int(struct.unpack(order + code, value[:size])[0])
    return tags
