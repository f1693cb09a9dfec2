"""Batches of composed pictures, made in another process while the model learns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from cliptrase_core.scenes.compose import SceneSettings, compose
from cliptrase_core.scenes.sprites import Sprites
from cliptrase_core.scenes.stuff import STUFF, ground

PATCH = 16  # pixels
GROUND_SIZE = 288
GROUND_EACH = 24

Batch = tuple[Tensor, Tensor, Tensor]
"""(B, V, H, H, 3) uint8: windows of a scene; (B, V, C) how much of a window every class covers; (B, V, 2) int64 (row,
column) of a window's first patch in its scene."""


@dataclass(frozen=True)
class Windows:
    """What is cut out of every scene.

    Attributes:
        side: of a window in pixels.
        each: how many, at random places.
    """

    side: int
    each: int


class Pictures(IterableDataset[Batch]):
    """Endless batches."""

    def __init__(self, sprites: Sprites, settings: SceneSettings, windows: Windows, scenes: int, seed: int) -> None:
        """Nothing is made yet; a batch holds `scenes`, `seed` fixes every one that follows."""
        self.sprites, self.settings, self.windows, self.scenes, self.seed = sprites, settings, windows, scenes, seed

    def __iter__(self) -> Iterator[Batch]:
        """Compose for ever."""
        torch.set_num_threads(1)
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        stock = ground(rng, GROUND_EACH, GROUND_SIZE)
        classes, side, each = len(self.sprites.names) + len(STUFF), self.windows.side, self.windows.each
        room = (self.settings.size - side) // PATCH
        while True:
            images, shares = [], []
            corners = rng.integers(0, room + 1, (self.scenes, each, 2))
            for windows in corners:
                scene = compose(rng, self.sprites, stock, self.settings)
                for top, left in PATCH * windows:
                    seen = np.s_[top : top + side, left : left + side]
                    images.append(scene.image[seen])
                    shares.append(np.bincount(scene.labels[seen].ravel(), minlength=classes) / side**2)
            pictures, covered = (torch.from_numpy(np.stack(made)).unflatten(0, (-1, each)) for made in (images, shares))
            yield pictures, covered.float(), torch.from_numpy(corners)


def batches(
    sprites: Sprites, settings: SceneSettings, windows: Windows, scenes: int, seed: int, workers: int
) -> Iterator[Batch]:
    """The same as an iterator fed by worker processes."""
    pictures = Pictures(sprites, settings, windows, scenes, seed)
    return iter(DataLoader(pictures, batch_size=None, num_workers=workers, prefetch_factor=3 if workers else None))
