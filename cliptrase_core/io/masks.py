"""Reading of masks: PNG or TIFF files whose pixels are class numbers. Recognised by content, refused if too large."""

from __future__ import annotations

import os
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, PngImagePlugin, TiffImagePlugin

from cliptrase_core.errors import InputError, counted
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, damage_explained, expect_pixels, opened_file

IGNORED = -1
"""In a ground truth: pixel that is not evaluated. In labels: pixel without any class of the ground truth."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*")
_DEPTH_AT = 24
"""Offset of the bit depth in a PNG: after the signature, a chunk's head, width and height."""
_EXPECTED = "a PNG with one number for each pixel (palette or grey)"
_IN_COLOURS = "a PNG, TIFF or BMP in colours"
_COLOUR_KINDS = (
    (_SIGNATURE, "PNG", PngImagePlugin.PngImageFile),
    *((head, "TIFF", TiffImagePlugin.TiffImageFile) for head in _TIFF),
    (b"BM", "BMP", BmpImagePlugin.BmpImageFile),
)
_REMEDY = "Save the class numbers as a palette or grey PNG."


def connected_parts(mask: npt.NDArray[np.uint8], least: float = 0) -> Iterator[tuple[npt.NDArray[np.uint8], int, int]]:
    """Yield the connected parts of a mask; pixels connect by sides or corners.

    Args:
        mask: (H, W), 0 and 1.
        least: minimum area in pixels; smaller parts are left out.

    Yields:
        Each part cropped to its bounding box, (h, w) of 0 and 1, with its left and its top.
    """
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for number, (left, top, width, height, area) in enumerate(stats.tolist()):
        if number and area >= least:  # number 0 is the background
            yield (numbers[top : top + height, left : left + width] == number).view(np.uint8), left, top


def read_mask(path: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> npt.NDArray[np.int32]:
    """Read class numbers; the colours of a palette are ignored.

    Args:
        path: path of a PNG in palette or grey mode, 1 to 16 bits.
        max_pixels: largest H * W; checked before anything is decoded.

    Returns:
        (H, W), class numbers; `IGNORED` where the file has 255, or 65535 in a file of 16 bits.

    Raises:
        InputError: no such PNG, a damaged one, one in colours, or one that is too large.
    """
    values, depth, _ = _read_png(path, max_pixels)
    values[values == (65535 if depth == 16 else 255)] = IGNORED
    return values


def read_numbers(path: str | os.PathLike[str]) -> npt.NDArray[np.int32]:
    """Read the numbers of a data set's mask unchanged: a PNG, or a TIFF of 8 or 16 bits.

    Errors as for `read_mask`.

    Returns:
        (H, W), 0 to 65535.
    """
    return read_numbers_and_kind(path)[0]


def read_numbers_and_kind(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.int32], str]:
    """Return the numbers as `read_numbers` does, and the kind of file, such as "palette PNG of 8 bits"."""
    with opened_file(path, _EXPECTED) as (file, name):
        head = file.read(4)
        if head not in _TIFF:
            values, depth, mode = _read_png(path, DEFAULT_MAX_PIXELS)
            return values, f"{'palette' if mode == 'P' else 'grey'} PNG of {counted(depth, 'bit')}"
        file.seek(0)
        with damage_explained(name, DEFAULT_MAX_PIXELS):
            image = TiffImagePlugin.TiffImageFile(file, "")
        if image.mode not in ("L", "P") and not image.mode.startswith("I;16"):
            raise _refused(name, f"a TIFF of mode {image.mode}")
        expect_pixels(image.height, image.width, name, DEFAULT_MAX_PIXELS)
        with damage_explained(name, DEFAULT_MAX_PIXELS):
            image.load()
            return np.array(image).astype(np.int32), f"TIFF of {16 if image.mode.startswith('I') else 8} bits"


def read_colours(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.uint8], str]:
    """Read a mask whose pixels are colours: a PNG, TIFF or BMP in colours or with a palette. Transparency is ignored.

    Errors as for `read_mask`.

    Returns:
        Colours (H, W, 3) as stored, or levels (H, W) of a grey file; and the kind of file, such as "RGB PNG".
    """
    with opened_file(path, _IN_COLOURS) as (file, name):
        head = file.read(len(_SIGNATURE))
        kind, reader = next((entry[1:] for entry in _COLOUR_KINDS if head.startswith(entry[0])), ("", None))
        if reader is None:
            raise InputError(
                name, expected=_IN_COLOURS, got="another kind of file", remedy="Save it as PNG: a JPEG changes colours."
            )
        file.seek(0)
        with damage_explained(name, DEFAULT_MAX_PIXELS):
            image = reader(file, "")
        expect_pixels(image.height, image.width, name, DEFAULT_MAX_PIXELS)
        with damage_explained(name, DEFAULT_MAX_PIXELS):
            image.load()
            if image.mode in ("1", "L"):
                return np.array(image), f"grey {kind}"
            return np.array(image.convert("RGB")), f"{'palette' if image.mode == 'P' else image.mode} {kind}"


def _read_png(path: str | os.PathLike[str], max_pixels: int) -> tuple[npt.NDArray[np.int32], int, str]:
    """Read a PNG: its numbers (H, W) unchanged, its bits per pixel, and PIL's mode."""
    with opened_file(path, _EXPECTED) as (file, name):
        head = file.read(_DEPTH_AT + 1)
        if not head.startswith(_SIGNATURE) or len(head) <= _DEPTH_AT:
            raise _refused(name, "another kind of file")
        file.seek(0)
        with damage_explained(name, max_pixels):
            image = PngImagePlugin.PngImageFile(file, "")
        if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
            raise _refused(name, f"one in colours ({image.mode})")
        expect_pixels(image.height, image.width, name, max_pixels)
        with damage_explained(name, max_pixels):
            image.load()
            values: npt.NDArray[np.int32] = np.array(image).astype(np.int32)
    depth = head[_DEPTH_AT]
    if image.mode == "L" and depth < 8:
        values //= 255 // (2**depth - 1)  # PIL scales greys of 2 and 4 bits to 0 to 255
    return values, depth, image.mode


def _refused(name: str, got: str) -> InputError:
    return InputError(name, expected=_EXPECTED, got=got, remedy=_REMEDY)
