"""Photographs of phone size, enlarged from small ones of scikit-image, so that no large files are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

MEGAPIXELS_12 = (3000, 4000)
MEGAPIXELS_50 = (6120, 8160)
SUBJECTS = (data.chelsea, data.astronaut, data.coffee)
WORDS = "cat; person; cup; table; wall"


def photograph(path: Path, seed: int = 0, size: tuple[int, int] = MEGAPIXELS_12, **options: object) -> Path:
    """Write a photograph, enlarged and with the noise of a camera; it differs for each seed.

    Args:
        path: output file; its suffix sets the format.
        seed: seed of the noise, also selects the subject.
        size: (H, W).
        options: options of Pillow's writer for the format.
    """
    rng = np.random.default_rng(seed)
    small = SUBJECTS[seed % len(SUBJECTS)]()
    small = np.roll(small, int(rng.integers(0, 60)), axis=1)
    large = np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))
    noise = rng.normal(0, 2, (256, 256, 3)).astype(np.int8)  # one tile: noise for all pixels would take seconds
    tiles = -(-size[0] // 256), -(-size[1] // 256), 1
    noisy = large + np.tile(noise, tiles)[: size[0], : size[1]].astype(np.int16)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, **options)
    return path
