"""Procedural ground: kinds of stuff that a scene stands on, each drawn from noise and a few lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.float32]
Pixels: TypeAlias = NDArray[np.uint8]
Painter: TypeAlias = Callable[[np.random.Generator, int], Floats]

# Mean colour of every kind, RGB in [0, 255].
COLOURS: dict[str, tuple[int, int, int]] = {
    "sky": (135, 190, 235),
    "grass": (90, 160, 60),
    "sand": (220, 195, 140),
    "water": (40, 110, 170),
    "snow": (240, 245, 250),
    "brick wall": (170, 80, 60),
    "wood": (150, 105, 65),
    "night sky": (15, 20, 50),
    "road": (95, 95, 100),
    "leaves": (40, 95, 40),
    "stone wall": (140, 135, 125),
    "soil": (110, 75, 50),
    "tiled floor": (205, 205, 200),
    "carpet": (150, 60, 70),
}
STUFF = tuple(COLOURS)
ABOVE = ("sky", "night sky", "brick wall", "leaves", "stone wall", "wood")  # what may stand behind a horizon


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Floats:
    """(size, size) in about [0, 1]: random values on a coarse grid, interpolated."""
    coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def grain(rng: np.random.Generator, size: int, strength: float) -> Floats:
    """(size, size): independent noise of every pixel, in [-strength / 2, strength / 2]."""
    return (rng.random((size, size), dtype=np.float32) - 0.5) * strength


def _sky(rng: np.random.Generator, size: int) -> Floats:
    ramp = np.linspace(-25, 0, size, dtype=np.float32)[:, None]
    noise: Floats = ramp + np.clip(smooth_noise(rng, size, 5) - 0.55, 0, 1) * 150
    return noise


def _grass(rng: np.random.Generator, size: int) -> Floats:
    return grain(rng, size, 70) + (smooth_noise(rng, size, 12) - 0.5) * 60


def _sand(rng: np.random.Generator, size: int) -> Floats:
    return grain(rng, size, 25) + (smooth_noise(rng, size, 6) - 0.5) * 30


def _water(rng: np.random.Generator, size: int) -> Floats:
    rows = np.arange(size, dtype=np.float32)[:, None] * np.float32(rng.uniform(0.25, 0.6))
    waves: Floats = np.sin(rows + 9 * smooth_noise(rng, size, 6)) * 18
    return waves


def _snow(rng: np.random.Generator, size: int) -> Floats:
    return grain(rng, size, 6) + (smooth_noise(rng, size, 5) - 0.5) * 20


def _brick_wall(rng: np.random.Generator, size: int) -> Floats:
    height = int(rng.integers(8, 18))
    y, x = np.arange(size)[:, None], np.arange(size)[None]
    mortar = ((y % height) < 2) | (((x + (y // height % 2) * height) % (2 * height)) < 2)
    return np.where(mortar, np.float32(70), grain(rng, size, 25))


def _wood(rng: np.random.Generator, size: int) -> Floats:
    y, x = np.arange(size, dtype=np.float32)[:, None], np.arange(size)[None]
    seam = (x % int(rng.integers(14, 30))) < 2
    veins: Floats = np.sin(y * 0.05 + 8 * smooth_noise(rng, size, 4)) * 12
    return (veins - 45 * seam).astype(np.float32)


def _night_sky(rng: np.random.Generator, size: int) -> Floats:
    surface: Floats = np.float32(230) * (rng.random((size, size), dtype=np.float32) > 0.994)
    return surface


def _road(rng: np.random.Generator, size: int) -> Floats:
    surface = grain(rng, size, 30)
    if rng.random() < 0.6:
        centre = int(rng.integers(size // 4, 3 * size // 4))
        surface[:, centre - 2 : centre + 2] = 120
    return surface


def _leaves(rng: np.random.Generator, size: int) -> Floats:
    return grain(rng, size, 30) + (smooth_noise(rng, size, 16) - 0.5) * 120


def _stone_wall(rng: np.random.Generator, size: int) -> Floats:
    # Stones are the cells of a wavy grid, each with its own brightness.
    pitch = int(rng.integers(20, 40))
    bend = (smooth_noise(rng, size, 8) - 0.5) * pitch
    y, x = np.arange(size)[:, None] + bend, np.arange(size)[None] + bend.T
    row, column = (y // pitch).astype(int), ((x + (y // pitch % 2) * pitch / 2) // pitch).astype(int)
    shade = rng.normal(0, 16, (64, 64)).astype(np.float32)[row % 64, column % 64]
    joint = ((y % pitch) < 2.5) | (((x + (y // pitch % 2) * pitch / 2) % pitch) < 2.5)
    surface: Floats = np.where(joint, np.float32(-55), shade + grain(rng, size, 20))
    return surface


def _soil(rng: np.random.Generator, size: int) -> Floats:
    return grain(rng, size, 45) + (smooth_noise(rng, size, 24) - 0.5) * 60


def _tiled_floor(rng: np.random.Generator, size: int) -> Floats:
    side = int(rng.integers(18, 44))
    y, x = np.arange(size)[:, None], np.arange(size)[None]
    chequer = ((y // side + x // side) % 2) * float(rng.choice([0, 0, -60, -120]))
    return np.where(((y % side) < 2) | ((x % side) < 2), np.float32(-50), chequer + grain(rng, size, 8)).astype(
        np.float32
    )


def _carpet(rng: np.random.Generator, size: int) -> Floats:
    step = rng.uniform(0.2, 0.6)
    y, x = np.arange(size, dtype=np.float32)[:, None], np.arange(size, dtype=np.float32)[None]
    surface: Floats = (np.sin(x * step) * np.sin(y * step) * 25 + grain(rng, size, 30)).astype(np.float32)
    return surface


PAINTERS: dict[str, Painter] = {
    "sky": _sky,
    "grass": _grass,
    "sand": _sand,
    "water": _water,
    "snow": _snow,
    "brick wall": _brick_wall,
    "wood": _wood,
    "night sky": _night_sky,
    "road": _road,
    "leaves": _leaves,
    "stone wall": _stone_wall,
    "soil": _soil,
    "tiled floor": _tiled_floor,
    "carpet": _carpet,
}


def paint(rng: np.random.Generator, kind: str, size: int) -> Pixels:
    """Paint one square of stuff.

    Returns:
        (size, size, 3) uint8.
    """
    colour = np.array(COLOURS[kind], np.float32) + rng.normal(0, 12, 3).astype(np.float32)
    surface = PAINTERS[kind](rng, size)
    painted: Pixels = np.clip(surface[..., None] + colour, 0, 255).astype(np.uint8)
    return painted


def ground(rng: np.random.Generator, each: int, size: int) -> dict[str, list[Pixels]]:
    """Paint a stock of ground, `each` squares of every kind: scenes cut their ground from it."""
    return {kind: [paint(rng, kind, size) for _ in range(each)] for kind in STUFF}
