"""Cut-out drawings of objects, kept at several sizes so that a small copy is no aliased one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cliptrase_core.scenes.stuff import Pixels


@dataclass(frozen=True)
class Sprites:
    """A stock of cut-outs.

    Attributes:
        levels: full size, half, quarter: (S, side, side, 4) uint8, colours multiplied by alpha.
        labels: (S,) index into `names`.
        names: what the objects are called.
    """

    levels: tuple[Pixels, ...]
    labels: NDArray[np.int16]
    names: tuple[str, ...]

    @cached_property
    def by_label(self) -> dict[int, NDArray[np.int64]]:
        """Positions of every label that occurs."""
        return {int(label): np.flatnonzero(self.labels == label) for label in np.unique(self.labels)}

    @cached_property
    def present(self) -> NDArray[np.int64]:
        """Labels that occur, ascending."""
        return np.array(sorted(self.by_label))

    def draw(self, rng: np.random.Generator) -> int:
        """Choose a sprite: every label equally often, then any of its drawings."""
        return int(rng.choice(self.by_label[int(rng.choice(self.present))]))

    def level(self, index: int, side: float) -> Pixels:
        """The smallest stored copy that is hardly enlarged to reach `side` pixels, or the largest there is."""
        fitting = [level for level in self.levels if 1.3 * level.shape[1] >= side]
        chosen: Pixels = (fitting[-1] if fitting else self.levels[0])[index]
        return chosen


def halve(pixels: Pixels) -> Pixels:
    """(S, side, side, 4) -> (S, side/2, side/2, 4): means of 2 x 2."""
    total = sum(pixels[:, y::2, x::2].astype(np.uint16) for y in (0, 1) for x in (0, 1))
    return ((total + 2) // 4).astype(np.uint8)  # type: ignore[union-attr]


def premultiply(pixels: Pixels) -> Pixels:
    """Multiply colours by alpha: sums of such pixels are what light does, and a colour matrix passes through."""
    alpha = pixels[..., 3:].astype(np.uint16)
    colours = (pixels[..., :3] * alpha + 127) // 255
    return np.concatenate([colours.astype(np.uint8), pixels[..., 3:]], axis=-1)


def build(pixels: Pixels, labels: NDArray[np.int16], names: tuple[str, ...]) -> Sprites:
    """Make a stock of (S, side, side, 4) uint8 cut-outs whose colours are already multiplied by alpha."""
    half = halve(pixels)
    return Sprites((pixels, half, halve(half)), labels, names)


def read_pack(path: Path) -> Sprites:
    """Read a pack: `pixels` with alpha, `labels`, `names`."""
    with np.load(path) as pack:
        return build(premultiply(pack["pixels"]), pack["labels"], tuple(pack["names"].tolist()))


def read_stock(folder: Path) -> Sprites:
    """Read a large stock as training keeps it: `pixels.npy` (colours times alpha), `labels.npy`, `names.json`."""
    names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
    return build(np.load(folder / "pixels.npy"), np.load(folder / "labels.npy"), names)
