"""Other colours for a drawing: hue turned, channels mixed, greyed, faded, inverted, ink exchanged."""

from __future__ import annotations

import math

import numpy as np

from cliptrase_core.scenes.stuff import Floats, Pixels

GREY = np.array([0.299, 0.587, 0.114], np.float32)
INK_BELOW = 40  # a drawing whose mean colour is darker than this is line work in one ink


def hue_matrix(angle: float) -> Floats:
    """(3, 3): turn colours about the grey axis by `angle` radians."""
    axis = 1 / math.sqrt(3)
    cos, sin = math.cos(angle), math.sin(angle)
    cross = np.array([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]])
    return (cos * np.eye(3) + sin * cross + (1 - cos) / 3 * np.ones((3, 3))).astype(np.float32)


def _matrix(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A random colour map: (3, 3) matrix and (3,) offset in [0, 255]."""
    offset = np.zeros(3, np.float32)
    choice = rng.random()
    if choice < 0.4:
        matrix = hue_matrix(rng.uniform(-math.pi, math.pi))
    elif choice < 0.65:
        matrix = rng.dirichlet((0.5, 0.5, 0.5), 3).astype(np.float32)  # every new channel mixes the old ones
    elif choice < 0.85:
        matrix = np.tile(GREY, (3, 1)) * rng.uniform(0.6, 1.2, (3, 1)).astype(np.float32)
    else:
        matrix, offset = -np.eye(3, dtype=np.float32), np.full(3, 255, np.float32)
    fade = np.float32(rng.uniform(0.5, 1.3))
    lift = rng.normal(0, 25, 3).astype(np.float32)
    return matrix * fade, offset * fade + lift


def recolour(rng: np.random.Generator, cut_out: Pixels) -> Pixels:
    """Give a cut-out other colours; its shape stays.

    Args:
        rng: random numbers.
        cut_out: (side, side, 4) uint8, colours multiplied by alpha.
    """
    alpha = cut_out[..., 3:].astype(np.float32)
    colours = cut_out[..., :3].astype(np.float32)
    if colours.sum() < INK_BELOW * 3 * alpha.sum() / 255:
        ink = rng.uniform(0, 255, 3).astype(np.float32)
        mixed = colours + ink * (alpha / 255)
    else:
        matrix, offset = _matrix(rng)
        mixed = colours @ matrix.T + offset * (alpha / 255)
    return np.concatenate([np.clip(mixed, 0, alpha), alpha], axis=-1).astype(np.uint8)
