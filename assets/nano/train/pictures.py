"""Batches of composed pictures, made in another process while the model learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

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

Box = Sequence[int]
"""(row, column, side) of a square part of a picture, in patches."""
Batch = tuple[Tensor, Tensor, list[Box]]
"""(B, H, H, 3) uint8 scenes; (B, K, C) how much of each of K parts every class covers; the parts, the whole first."""


class Pictures(IterableDataset[Batch]):
    """Endless batches."""

    def __init__(self, sprites: Sprites, settings: SceneSettings, parts: Sequence[int], scenes: int, seed: int) -> None:
        """Nothing is made yet.

        Args:
            sprites: what scenes are made of.
            settings: what they are like.
            parts: sides in patches of parts that words are told of too: as many as are named, each of a random
                one of these sizes; the same in all scenes of a batch.
            scenes: of a batch.
            seed: fixes every batch that follows.
        """
        self.sprites, self.settings, self.parts, self.scenes, self.seed = sprites, settings, parts, scenes, seed

    def __iter__(self) -> Iterator[Batch]:
        """Compose for ever."""
        torch.set_num_threads(1)
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        stock = ground(rng, GROUND_EACH, GROUND_SIZE)
        classes, grid = len(self.sprites.names) + len(STUFF), self.settings.size // PATCH
        while True:
            sides = [int(rng.choice(self.parts)) for _ in self.parts]
            corners = [rng.integers(0, grid - side + 1, 2).tolist() for side in sides]
            boxes = [(0, 0, grid), *((row, column, side) for (row, column), side in zip(corners, sides, strict=True))]
            scenes = [compose(rng, self.sprites, stock, self.settings) for _ in range(self.scenes)]
            covered = [[shares(cut(scene.labels, box), classes) for box in boxes] for scene in scenes]
            images = torch.from_numpy(np.stack([scene.image for scene in scenes]))
            yield images, torch.from_numpy(np.array(covered, np.float32)), boxes


def cut(pictures: Any, box: Box, start: int = 0) -> Any:
    """The pixels of a part; rows are axis `start` of an array or tensor, columns the next."""
    row, column, side = (PATCH * value for value in box)
    return pictures[(*[slice(None)] * start, slice(row, row + side), slice(column, column + side))]


def shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """(H, W) labels -> (C,) share of the pixels."""
    return np.bincount(labels.ravel(), minlength=classes) / labels.size


def batches(
    sprites: Sprites, settings: SceneSettings, parts: Sequence[int], scenes: int, seed: int, workers: int
) -> Iterator[Batch]:
    """The same as an iterator fed by worker processes."""
    pictures = Pictures(sprites, settings, parts, scenes, seed)
    return iter(DataLoader(pictures, batch_size=None, num_workers=workers, prefetch_factor=3 if workers else None))
