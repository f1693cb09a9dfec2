"""Picture of a result: the frame of its labels, and whether a given picture is the one that was segmented."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, is_whole
from cliptrase_core.io.geometry import Frame, Size
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, ImageInput, file_name, read_reduced
from cliptrase_core.presets import PRESETS

if TYPE_CHECKING:
    from cliptrase_core.results import Segmentation

Pixels = npt.NDArray[np.uint8]

ALIKE = 0.8
"""Correlation of greys above which two pictures show the same: an edited copy has more, another photograph less."""


def picture_for(result: Segmentation, image: ImageInput) -> Pixels:
    """Return a given picture in the frame of the labels, (H0, W0, 3); arguments and errors as `Segmentation.canvas`."""
    # A picture of the size of the labels is decoded whole; of others only the size matters.
    picture = read_reduced(image, max_pixels=max(DEFAULT_MAX_PIXELS, result.small_labels.size))
    own, original = result.model_input, _original(result.settings)
    crop = crop_of(result.settings, result.grid) if picture.size == original else None
    if picture.size == result.size and crop is None:
        _expect_alike(result, picture.pixels, file_name(image))
        return picture.pixels
    if own is not None and own.shape[:2] == result.size and picture.size == original:
        _expect_alike(result, picture.pixels if crop is None else _cropped(picture.pixels, crop), file_name(image))
        return np.array(own)
    raise _other_size(result, picture.size, cropped=crop is not None)


def crop_of(settings: Mapping[str, Any], grid: Size) -> Frame | None:
    """Return the layout of a picture of which the labels cover only the centre; None if they cover all of it.

    Args:
        settings: settings of the result. Without presets and sizes, nothing is known, and the answer is None.
        grid: (h, w) in patches.
    """
    preset, original, model = PRESETS.get(str(settings.get("preset"))), _original(settings), settings.get("model_size")
    if preset is None or not preset.crop or original is None or not _is_size(model):
        return None
    try:
        frame = preset.frame(original, model[0], (max(1, model[0] // grid[0]), max(1, model[1] // grid[1])))
    except InputError:  # settings that were changed by hand
        return None
    return None if frame.resized == frame.model else frame


def covers_picture(size: Size, settings: Mapping[str, Any], grid: Size) -> bool:
    """Return whether labels of (H, W) lie on the pixels of their picture: not those of a crop or of another size.

    Args:
        size: (H, W) of the labels.
        settings: settings of the result; without the size of the picture, the answer is True.
        grid: (h, w) in patches.
    """
    return _original(settings) in (None, size) and crop_of(settings, grid) is None


def _original(settings: Mapping[str, Any]) -> Size | None:
    """Return (H, W) of the picture that was segmented, or None if it is unknown."""
    size = settings.get("original_size")
    return (int(size[0]), int(size[1])) if _is_size(size) else None


def _is_size(size: Any) -> bool:
    return isinstance(size, (list, tuple)) and len(size) == 2 and all(is_whole(side) and side > 0 for side in size)


def _cropped(pixels: Pixels, frame: Frame) -> Pixels:
    """Return the part of a whole picture, at any size, that the model got."""
    rows, columns = (
        slice(int(start * side / resized), math.ceil((start + length) * side / resized))
        for start, length, side, resized in zip(frame.crop, frame.model, pixels.shape[:2], frame.resized, strict=True)
    )
    return np.ascontiguousarray(pixels[rows, columns])


def _expect_alike(result: Segmentation, shown: Pixels, name: str) -> None:
    """Raise InputError if a picture shows something else than the result's own picture.

    Lists of results and of pictures in two orders would give wrong training data in silence. A file of the result's
    own name is accepted, however it was edited, and so is an edited copy under another name: its greys still go up and
    down with those of the model input.

    Args:
        result: result with its model input; without one, every picture is accepted.
        shown: (H, W, 3) of the same area as the labels.
        name: file name of the picture; empty if it has none.
    """
    if result.model_input is None or (name and PureWindowsPath(name).stem == PureWindowsPath(result.name).stem):
        return
    if not _are_alike(shown, result.model_input):
        expected = f"the file of {result.name!r}" if result.name else "the one that was segmented"
        got = f"another picture, {name!r}" if name else "another picture"
        remedy = "Pass the picture that was segmented; several in the order of their results."
        raise InputError("picture", expected=expected, got=got, remedy=remedy)


def _are_alike(shown: Pixels, own: Pixels) -> bool:
    """Return whether the greys of two pictures correlate; pictures of one grey are like all others."""
    for way in (cv2.INTER_LINEAR, cv2.INTER_AREA):  # first samples, which take no time and suffice for most pictures
        small = cv2.resize(shown, own.shape[1::-1], interpolation=way)
        greys = [pixels.mean(axis=2).ravel() for pixels in (small, own)]
        plain = min(map(np.std, greys)) <= 1
        if not plain and np.corrcoef(*greys)[0, 1] >= ALIKE:
            return True
    return bool(plain)


def _other_size(result: Segmentation, got: Size, *, cropped: bool) -> InputError:
    """Return the error for a picture of another size than the labels."""
    remedy = "Pass the picture that was segmented."
    if cropped:
        remedy = f"The labels cover its centre crop: pass that, resized to {result.size}."
    elif got == _original(result.settings):
        remedy = f"The labels were made with another size: resize the picture to {result.size}, or leave size out."
    return InputError("picture", expected=f"{result.size}, the frame of the labels", got=f"{got}", remedy=remedy)
