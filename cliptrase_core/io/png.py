"""PNG files by ISA-L, in a third of zlib's time or less."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from cliptrase_core.errors import InputError
from cliptrase_core.io.files import MARK

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _INDEXED, _RGBA = 0, 2, 3, 6  # types of colour
_NO_FILTER, _UP = 0, 2
LEVEL = 1
"""Of ISA-L's levels 0 to 3. Photographs under colours are smaller than by zlib's Huffman codes, label maps up to
twice as large as by its runs: a few kilobytes."""
_ROWS_AT_ONCE = 64
"""Rows that are filtered together: a copy of the whole picture would take as much memory as the picture."""


def encode_png(pixels: npt.NDArray[Any], palette: bytes = b"") -> bytes:
    """Encode pixels as a PNG with the program's mark, by which `is_ours` recognises it.

    Args:
        pixels: (H, W) grey of 8 or 16 bits, or (H, W, 3) RGB or (H, W, 4) RGBA of 8 bits.
        palette: RGB colours of 8-bit grey pixels, which become indices, 3 bytes each; empty leaves them grey.

    Raises:
        InputError: other pixels, a side of 0, or a palette that does not fit.

    Source: PNG specification, third edition (W3C), sections 9.2 (filters) and 11.2 (chunks).
    """
    colours = _colours(pixels, palette)
    packer = isal_zlib.compressobj(LEVEL)
    packed = [packer.compress(rows) for rows in _filtered(pixels)]
    height, width = pixels.shape[:2]
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, colours, 0, 0, 0),
        b"tEXt": b"Software\0" + MARK.encode(),
        **({b"PLTE": palette} if palette else {}),
        b"IDAT": b"".join([*packed, packer.flush()]),
        b"IEND": b"",
    }
    framed = [part for kind, data in chunks.items() for part in _framed(kind, data)]
    return b"".join([_SIGNATURE, *framed])


def _colours(pixels: npt.NDArray[Any], palette: bytes) -> int:
    """Return the type of colour; raise InputError for pixels that a PNG of this program cannot hold."""
    kind = pixels.dtype.str[1:], pixels.shape[2:]  # without the order of bytes
    known = {("u1", ()): _GREY, ("u2", ()): _GREY, ("u1", (3,)): _RGB, ("u1", (4,)): _RGBA}
    if pixels.ndim < 2 or not pixels.size or kind not in known:
        expected, got = "(H, W), (H, W, 3) or (H, W, 4) of uint8, or (H, W) of uint16", f"{pixels.shape} {pixels.dtype}"
        raise InputError("pixels of a PNG", expected=expected, got=got, remedy="Convert them.")
    if not palette:
        return known[kind]
    if kind != ("u1", ()) or len(palette) % 3 or len(palette) > 768:
        expected, got = "at most 256 colours of 3 bytes, for (H, W) uint8", f"{len(palette)} bytes for {pixels.shape}"
        raise InputError("palette of a PNG", expected=expected, got=got, remedy="Leave it out.")
    return _INDEXED


def _filtered(pixels: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield rows for compression, (R, 1 + bytes of a row); each row begins with its filter.

    Photographs have few repetitions, but small differences from the row above; label maps have runs.
    """
    filtering = _UP if pixels.ndim == 3 else _NO_FILTER
    big_endian = pixels.dtype.newbyteorder(">")
    above = np.zeros(1, np.uint8)  # PNG's row above the first
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        strip = np.ascontiguousarray(pixels[top : top + _ROWS_AT_ONCE], big_endian)
        rows = strip.reshape(len(strip), -1).view(np.uint8)
        out = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
        out[:, 0] = filtering
        if filtering == _UP:
            np.subtract(rows[0], above, out=out[0, 1:])
            np.subtract(rows[1:], rows[:-1], out=out[1:, 1:])
        else:
            out[:, 1:] = rows
        above = rows[-1]
        yield out


def _framed(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    """Return the parts of a chunk: length, kind, data, checksum."""
    check = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", check)
