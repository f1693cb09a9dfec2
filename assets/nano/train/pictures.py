"""Batches of composed pictures, made in another process while the model learns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from cliptrase_core.scenes.compose import SceneSettings, compose
from cliptrase_core.scenes.sprites import Sprites
from cliptrase_core.scenes.stuff import STUFF, ground

GROUND_SIZE = 288
GROUND_EACH = 24


class Pictures(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless batches: (B, size, size, 3) uint8 pictures and (B, C) shares of the classes."""

    def __init__(self, sprites: Sprites, settings: SceneSettings, batch: int, seed: int) -> None:
        """Nothing is made yet; `seed` fixes every picture that follows."""
        self.sprites, self.settings, self.batch, self.seed = sprites, settings, batch, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Compose for ever."""
        torch.set_num_threads(1)
        worker = get_worker_info()
        seed = [self.seed, worker.id if worker else 0]
        rng = np.random.default_rng(seed)
        stock = ground(rng, GROUND_EACH, GROUND_SIZE)
        classes = len(self.sprites.names) + len(STUFF)
        while True:
            scenes = [compose(rng, self.sprites, stock, self.settings) for _ in range(self.batch)]
            shares = np.stack([np.bincount(s.labels.ravel(), minlength=classes) for s in scenes])
            images = torch.from_numpy(np.stack([s.image for s in scenes]))
            yield images, torch.from_numpy(shares / self.settings.size**2).float()


def batches(
    sprites: Sprites, settings: SceneSettings, batch: int, seed: int, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same as an iterator fed by worker processes."""
    pictures = Pictures(sprites, settings, batch, seed)
    return iter(DataLoader(pictures, batch_size=None, num_workers=workers, prefetch_factor=3))
