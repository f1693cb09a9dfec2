"""Tiny data sets in the usual layouts: seeded pictures, masks in each convention."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((60, 80), (90, 64), (70, 70))
"""(height, width): landscape, portrait, square."""

Values = np.ndarray


def blocks(rng: np.random.Generator, size: tuple[int, int], values: Values) -> np.ndarray:
    """Return (H, W) with the values in a few rectangles, like a mask; every value appears."""
    out = np.full(size, values[0])
    for value in values[1:]:
        top, left = (int(rng.integers(0, side // 2)) for side in size)
        out[top : top + size[0] // 3, left : left + size[1] // 3] = value
    out[: len(values), 0] = values  # in the first column no rectangle hides them
    return out


def write_picture(path: Path, rng: np.random.Generator, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC).save(path, quality=95)


def write_mask(path: Path, values: np.ndarray) -> None:
    """Write a mask: 16 bits for TIFF, else 8 bits with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        Image.fromarray(values.astype(np.uint16)).save(path)
        return
    image = Image.fromarray(values.astype(np.uint8), "L").convert("P")
    image.putdata(values.astype(np.uint8).ravel().tolist())
    image.putpalette(list(range(256)) * 3)
    image.save(path)


def write_dataset(
    images: Path,
    masks: Path,
    numbers: Callable[[np.random.Generator], Values],
    *,
    image_end: str = ".jpg",
    mask_end: str = ".png",
    names: tuple[str, ...] = ("a", "b", "c"),
    listing: Path | None = None,
) -> None:
    """Write three pictures and their masks; `numbers` gives the values of each mask."""
    for place, (name, size) in enumerate(zip(names, SIZES, strict=True)):
        rng = np.random.default_rng(place)
        write_picture(images / f"{name}{image_end}", rng, size)
        write_mask(masks / f"{name}{mask_end}", blocks(rng, size, numbers(rng)))
    if listing is not None:
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("\n".join(names) + "\n")


def voc_prepared(root: Path) -> Path:
    """Write VOC as the detectron2 script prepares it: classes 0 to 19, 255 for background and void alike."""
    home = root / "VOC2012"
    write_dataset(
        home / "images_detectron2/val",
        home / "annotations_detectron2/val",
        lambda rng: np.array([255, *rng.choice(20, 4, replace=False)]),
    )
    return root


def voc_devkit(root: Path) -> Path:
    """Write VOC as it is published: 0 background, 1 to 20, 255 void."""
    home = root / "VOCdevkit/VOC2012"
    write_dataset(
        home / "JPEGImages",
        home / "SegmentationClass",
        lambda rng: np.array([0, 255, *(1 + rng.choice(20, 4, replace=False))]),
        listing=home / "ImageSets/Segmentation/val.txt",
    )
    return root
