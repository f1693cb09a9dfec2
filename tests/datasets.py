"""Tiny data sets in the layouts that people have on disk: seeded pictures, masks in each convention."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((60, 80), (90, 64), (70, 70))
"""(height, width): lying, standing, square."""

Values = np.ndarray


def blocks(rng: np.random.Generator, size: tuple[int, int], values: Values) -> np.ndarray:
    """(H, W) of a few rectangles, so that masks look like masks; every value appears."""
    out = np.full(size, values[0])
    for value in values[1:]:
        top, left = (int(rng.integers(0, side // 2)) for side in size)
        out[top : top + size[0] // 3, left : left + size[1] // 3] = value
    out[: len(values), 0] = values  # a column that nothing hides
    return out


def write_picture(path: Path, rng: np.random.Generator, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC).save(path, quality=95)


def write_mask(path: Path, values: np.ndarray) -> None:
    """8 bits where the values fit, with a palette for PNG; 16 bits for TIFF."""
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
    """Three pictures with masks whose numbers come from `numbers`."""
    for place, (name, size) in enumerate(zip(names, SIZES, strict=True)):
        rng = np.random.default_rng(place)
        write_picture(images / f"{name}{image_end}", rng, size)
        write_mask(masks / f"{name}{mask_end}", blocks(rng, size, numbers(rng)))
    if listing is not None:
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("\n".join(names) + "\n")


def voc_prepared(root: Path) -> Path:
    """VOC as the detectron2 script leaves it: classes 0 to 19, 255 for background and void alike."""
    home = root / "VOC2012"
    write_dataset(
        home / "images_detectron2/val",
        home / "annotations_detectron2/val",
        lambda rng: np.array([255, *rng.choice(20, 4, replace=False)]),
    )
    return root


def voc_devkit(root: Path) -> Path:
    """VOC as it is unpacked: 0 background, 1 to 20, 255 void."""
    home = root / "VOCdevkit/VOC2012"
    write_dataset(
        home / "JPEGImages",
        home / "SegmentationClass",
        lambda rng: np.array([0, 255, *(1 + rng.choice(20, 4, replace=False))]),
        listing=home / "ImageSets/Segmentation/val.txt",
    )
    return root
