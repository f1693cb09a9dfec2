"""Arrays as pictures: layouts and types that programs hand over, taken where they mean one thing, else explained."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, explain

_CHANNELS = (1, 3, 4)


def as_uint8(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """(H, W), (H, W, 3) or (H, W, 4) uint8 of an array in any layout that means one thing.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3), (H, W, 4), or the channels first; uint8, bool, or floats in [0, 1].

    Raises:
        InputError: any other layout, type or range, with what to do.
    """
    layout = array
    if array.ndim == 3 and array.shape[2] not in _CHANNELS and array.shape[0] in _CHANNELS:
        layout = array.transpose(1, 2, 0)  # as torch has pictures
    if layout.ndim == 3 and layout.shape[2] == 1:
        layout = layout[..., 0]
    if layout.ndim not in (2, 3) or (layout.ndim == 3 and layout.shape[2] not in _CHANNELS) or not layout.size:
        batch = " One picture at a time: array[0]." if array.ndim == 4 and array.size else ""
        raise _refused(array, f"Its last axis is colours: 3, or 4 with alpha; (H, W) is grey.{batch}")
    if layout.dtype == np.bool_:
        white: npt.NDArray[np.uint8] = np.where(layout, np.uint8(255), np.uint8(0))
        return white
    if layout.dtype.kind == "f":
        low, high = float(layout.min()), float(layout.max())
        if not (low >= 0 and high <= 1):  # also where a value is no number
            got = f"values from {low:g} to {high:g}"
            raise _refused(
                array, "Values of 0 to 255 need array.round().astype(np.uint8), others a scale of yours.", got
            )
        return np.rint(layout.astype(np.float32) * 255).astype(np.uint8)
    if layout.dtype != np.uint8:
        raise _refused(
            array, "Values of 0 to 255 need array.astype(np.uint8), 16 bits (array // 257).astype(np.uint8)."
        )
    return layout


def _refused(array: npt.NDArray[Any], remedy: str, more: str = "") -> InputError:
    expected = "an array (H, W, 3), (H, W) or (H, W, 4) of uint8, bool or floats in [0, 1], channels last or first"
    got = f"{array.dtype} of shape {array.shape}{' with ' + more if more else ''}"
    return InputError(explain("picture", expected=expected, got=got, remedy=remedy))
