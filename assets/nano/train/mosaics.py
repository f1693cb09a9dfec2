"""Pictures made of pictures: patches learn where they are from words that are only true of their own part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cliptrase_core.scenes.compose import SceneSettings, compose
from cliptrase_core.scenes.sprites import Sprites
from cliptrase_core.scenes.stuff import STUFF, Pixels

PATCH = 16  # pixels
LEAST = 3  # patches: the shortest side of a part
MOST_PARTS = 16  # as many as a grid of 14 x 14 patches has room for
STOP = 0.25  # chance that a part is not divided further
OBJECTS_PER_PATCH = 0.36  # 14 patches wide: up to five objects; 4 or less: one


@dataclass(frozen=True)
class Mosaic:
    """A picture of several scenes side by side, each with words of its own.

    Attributes:
        image: (H, H, 3) uint8.
        parts: (H/16, H/16) int64, which part every patch belongs to.
        shares: (MOST_PARTS, C) float32, how much of each part every class covers; rows of no part are 0.
    """

    image: Pixels
    parts: NDArray[np.int64]
    shares: NDArray[np.float32]


def divide(rng: np.random.Generator, box: tuple[int, int, int, int], stop: float) -> list[tuple[int, int, int, int]]:
    """Cut a (top, left, height, width) of patches along its sides again and again; `stop`: chance to leave it whole."""
    top, left, height, width = box
    tall = height > width or (height == width and rng.random() < 0.5)
    side = height if tall else width
    if side < 2 * LEAST or rng.random() < stop:
        return [box]
    cut = int(rng.integers(LEAST, side - LEAST + 1))
    first = (top, left, cut, width) if tall else (top, left, height, cut)
    second = (top + cut, left, height - cut, width) if tall else (top, left + cut, height, width - cut)
    return divide(rng, first, STOP) + divide(rng, second, STOP)


def mosaic(
    rng: np.random.Generator,
    sprites: Sprites,
    ground: Mapping[str, Sequence[Pixels]],
    settings: SceneSettings,
    whole: float,
) -> Mosaic:
    """Compose one.

    Args:
        rng: the same state gives the same picture.
        sprites: cut-outs.
        ground: paintings of every kind of stuff.
        settings: of a scene that fills the picture; smaller parts hold fewer objects.
        whole: chance that the picture is one scene.
    """
    side = settings.size // PATCH
    image = np.empty((settings.size, settings.size, 3), np.uint8)
    parts = np.empty((side, side), np.int64)
    shares = np.zeros((MOST_PARTS, len(sprites.names) + len(STUFF)), np.float32)
    for number, (top, left, height, width) in enumerate(divide(rng, (0, 0, side, side), whole)):
        longest = max(height, width)
        most = max(1, min(settings.most_objects, round(OBJECTS_PER_PATCH * longest)))
        scene = compose(rng, sprites, ground, replace(settings, size=longest * PATCH, most_objects=most))
        y, x = (int(rng.integers(0, (longest - length) * PATCH + 1)) for length in (height, width))
        window = np.s_[y : y + height * PATCH, x : x + width * PATCH]
        place = np.s_[top * PATCH : (top + height) * PATCH, left * PATCH : (left + width) * PATCH]
        image[place] = scene.image[window]
        parts[top : top + height, left : left + width] = number
        counts = np.bincount(scene.labels[window].ravel(), minlength=shares.shape[1])
        shares[number] = counts / counts.sum()
    return Mosaic(image, parts, shares)
