"""A result as the browser draws it: a picture and a label map as data URLs. Pure functions on numpy."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from demo.figures.views import Picture

PICTURE_QUALITY = 88
THUMBNAIL = (184, 128)
"""(width, height) of an example in the strip: twice its size on the page, for sharp screens."""
LABEL_COMPRESSION = 1
"""Of a PNG: label maps are large areas, so that little effort is enough."""


def picture_url(picture: Picture, quality: int = PICTURE_QUALITY) -> str:
    """A picture (H, W, 3) as a JPEG in a data URL."""
    return _url(picture, "JPEG", quality=quality)


@lru_cache(maxsize=64)
def thumbnail(path: Path) -> str:
    """A bundled picture, small, in a data URL."""
    with Image.open(path) as file:
        file.draft("RGB", (2 * THUMBNAIL[0], 2 * THUMBNAIL[1]))
        return _url(np.asarray(ImageOps.fit(file.convert("RGB"), THUMBNAIL)), "JPEG", quality=80)


def labels_url(labels: npt.NDArray[np.int32]) -> str:
    """Labels (H, W) as a PNG in a data URL: red holds the low byte, green the high one."""
    coded = np.zeros((*labels.shape, 3), dtype=np.uint8)
    coded[..., 0], coded[..., 1] = labels & 255, labels >> 8
    return _url(coded, "PNG", compress_level=LABEL_COMPRESSION)


def spots_code(probabilities: npt.NDArray[np.float32]) -> str:
    """The two likeliest classes of every patch, for the browser.

    Args:
        probabilities: (C, h, w), adding to 1 over classes.

    Returns:
        base64 of (h*w, 4) int16, little-endian: class, its probability in thousandths, the next class and its own;
        -1 where there is one class only.
    """
    flat = probabilities.reshape(len(probabilities), -1)
    columns = np.arange(flat.shape[1])
    first = flat.argmax(axis=0)
    spots = np.full((flat.shape[1], 4), -1, dtype="<i2")
    spots[:, 0], spots[:, 1] = first, np.rint(1000 * flat[first, columns])
    if len(flat) > 1:
        rest = flat.copy()
        rest[first, columns] = -1
        second = rest.argmax(axis=0)
        spots[:, 2], spots[:, 3] = second, np.rint(1000 * flat[second, columns])
    return base64.b64encode(spots.tobytes()).decode("ascii")


def _url(pixels: Picture, encoding: str, **options: Any) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, encoding, **options)
    return f"data:image/{encoding.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
