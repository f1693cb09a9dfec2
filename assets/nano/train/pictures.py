"""Batches of composed pictures, made in another process while the model learns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from mosaics import mosaic
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from cliptrase_core.scenes.compose import SceneSettings
from cliptrase_core.scenes.sprites import Sprites
from cliptrase_core.scenes.stuff import ground

GROUND_SIZE = 288
GROUND_EACH = 24

Batch = tuple[Tensor, Tensor, Tensor]
"""(B, H, H, 3) uint8 pictures, (B, N) parts that patches belong to, (B, T, C) shares of the classes in every part."""


class Pictures(IterableDataset[Batch]):
    """Endless batches."""

    def __init__(self, sprites: Sprites, settings: SceneSettings, whole: float, batch: int, seed: int) -> None:
        """Nothing is made yet; `seed` fixes every picture that follows, `whole` is the share that is one scene."""
        self.sprites, self.settings, self.whole, self.batch, self.seed = sprites, settings, whole, batch, seed

    def __iter__(self) -> Iterator[Batch]:
        """Compose for ever."""
        torch.set_num_threads(1)
        worker = get_worker_info()
        seed = [self.seed, worker.id if worker else 0]
        rng = np.random.default_rng(seed)
        stock = ground(rng, GROUND_EACH, GROUND_SIZE)
        while True:
            made = [mosaic(rng, self.sprites, stock, self.settings, self.whole) for _ in range(self.batch)]
            images, parts, shares = (
                torch.from_numpy(np.stack([getattr(m, name) for m in made])) for name in ("image", "parts", "shares")
            )
            used = int(parts.max()) + 1
            yield images, parts.flatten(1), shares[:, :used]


def batches(
    sprites: Sprites, settings: SceneSettings, whole: float, batch: int, seed: int, workers: int
) -> Iterator[Batch]:
    """The same as an iterator fed by worker processes."""
    pictures = Pictures(sprites, settings, whole, batch, seed)
    return iter(DataLoader(pictures, batch_size=None, num_workers=workers, prefetch_factor=3 if workers else None))
