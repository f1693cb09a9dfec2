"""Picture of a result in the frame of its labels, and whether a given picture is the segmented one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, is_whole
from cliptrase_core.io.geometry import Size
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, ImageInput, file_name, read_reduced
from cliptrase_core.presets import PRESETS

Pixels = npt.NDArray[np.uint8]

ALIKE = 0.8
"""Correlation of greys above which two pictures show the same: an edited copy has more, another photograph less."""

ALIKE_SMALL = 0.9
"""The same for thumbnails, which lack the details in which photographs differ."""
FLAT, FLAT_SMALL = 1, 3
"""Deviation of greys, 0 to 255, up to which a picture or thumbnail is flat; there, JPEG changes the correlation."""
SIDE = 16
"""Sides of a thumbnail in pixels, of a picture of any shape."""


@dataclass(frozen=True)
class InputTrace:
    """Trace of a model input in the JSON of a result: enough to tell its picture from others.

    Attributes:
        sha256: SHA-256 of its pixels; empty if unknown.
        thumbnail: its greys at 16 x 16, row after row, 256 bytes; empty if unknown.
    """

    sha256: str = ""
    thumbnail: bytes = b""


UNKNOWN = InputTrace()


def thumbnail_of(pixels: Pixels) -> bytes:
    """Return the greys of a picture (H, W, 3) at 16 x 16, for `InputTrace`."""
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return bytes(np.rint(small.mean(axis=2)).astype(np.uint8).ravel())


def picture_for(
    image: ImageInput,
    size: Size,
    settings: Mapping[str, Any],
    own: Pixels | None,
    own_name: str,
    trace: InputTrace = UNKNOWN,
) -> Pixels:
    """Return a given picture in the frame of a result's labels, (H, W, 3).

    Args:
        image: picture of the size of the labels, or the one that was segmented.
        size: (H, W) of the labels.
        settings: settings of the result.
        own: model input of the result, None if it is unknown.
        own_name: file name of the result's picture; empty if it has none.
        trace: trace of the model input, which takes the place of an unknown one.

    Raises:
        InputError: no usable picture, one of another size, or another picture.
    """
    # A picture of the size of the labels is decoded whole; one of another size is only resized.
    picture = read_reduced(image, max_pixels=max(DEFAULT_MAX_PIXELS, size[0] * size[1]))
    original = _original(settings)
    whole = picture.size == original and is_cropped(settings)
    if not whole and picture.size not in (size, original):
        expected, remedy = f"{size}, the frame of the labels", "Pass the picture that was segmented."
        raise InputError("picture", expected=expected, got=f"{picture.size}", remedy=remedy)
    shown = _centre(picture.pixels) if whole else picture.pixels
    if own is not None:
        _expect_alike(shown, file_name(image), own, own_name)
        shown = np.array(own) if whole else shown  # exactly what was cropped
    elif trace.thumbnail:
        thumbnail = np.frombuffer(trace.thumbnail, np.uint8).reshape(SIDE, SIDE, 1)
        _expect_alike(shown, file_name(image), thumbnail, own_name)
    return shown if shown.shape[:2] == size else _resized(shown, size)


def expect_frame(pixels: npt.NDArray[Any], size: Size) -> None:
    """Raise InputError unless a picture is uint8 and has the size (H, W) of the labels."""
    if pixels.shape != (*size, 3) or pixels.dtype != np.uint8:
        raise InputError(
            "picture",
            expected=f"uint8 {(*size, 3)}, the frame of the labels",
            got=f"{pixels.dtype} {pixels.shape}",
            remedy="Pass the segmented picture; with a paper preset its centre crop, `encoding.model_input`.",
        )


def _resized(pixels: Pixels, size: Size) -> Pixels:
    """Resize a picture (h, w, 3) to (H, W), without aliasing when it gets smaller."""
    way = cv2.INTER_LINEAR if size[0] > pixels.shape[0] else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=way), np.uint8)


def is_cropped(settings: Mapping[str, Any]) -> bool:
    """Return whether the labels cover only the centre square of the picture, by the settings of a result."""
    preset, original = PRESETS.get(str(settings.get("preset"))), _original(settings)
    return preset is not None and preset.crop and original is not None and original[0] != original[1]


def covers_picture(size: Size, settings: Mapping[str, Any]) -> bool:
    """Return whether labels of (H, W) lie on the pixels of their picture: not those of a crop or of another size.

    Args:
        size: (H, W) of the labels.
        settings: settings of the result; without the size of the picture, the answer is True.
    """
    return _original(settings) in (None, size) and not is_cropped(settings)


def _original(settings: Mapping[str, Any]) -> Size | None:
    """Return (H, W) of the picture that was segmented, or None if it is unknown."""
    size = settings.get("original_size")
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(is_whole(side) and side > 0 for side in size):
        return None  # changed by hand
    return int(size[0]), int(size[1])


def _centre(pixels: Pixels) -> Pixels:
    """Return the centre square of a picture."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def _expect_alike(shown: Pixels, name: str, own: Pixels, own_name: str) -> None:
    """Raise InputError if a picture shows something else than the result's own picture.

    Lists of results and of pictures in two orders would give wrong training data in silence, also of two folders with
    files of the same names. An edited copy is accepted: its greys still go up and down with those of the model input.

    Args:
        shown: (H, W, 3) of the same area as the labels.
        name: file name of the picture; empty if it has none.
        own: model input of the result, (h, w, 3), or its thumbnail, (16, 16, 1).
        own_name: file name of the result's picture; empty if it has none.
    """
    if not _are_alike(shown, own):
        expected = f"the file of {own_name!r}" if own_name else "the one that was segmented"
        got = f"another picture, {name!r}" if name else "another picture"
        remedy = "Pass the picture that was segmented; several in the order of their results."
        raise InputError("picture", expected=expected, got=got, remedy=remedy)


def _are_alike(shown: Pixels, own: Pixels) -> bool:
    """Return whether the greys of two pictures correlate; pictures of one grey are like all others."""
    alike, flat = (ALIKE, FLAT) if own.shape[2] == 3 else (ALIKE_SMALL, FLAT_SMALL)
    for way in (cv2.INTER_LINEAR, cv2.INTER_AREA):  # first samples, which take no time and suffice for most pictures
        small = cv2.resize(shown, own.shape[1::-1], interpolation=way)
        greys = [pixels.mean(axis=2).ravel() for pixels in (small, own)]
        if min(map(np.std, greys)) <= flat or np.corrcoef(*greys)[0, 1] >= alike:
            return True
    return False
