"""Decoding of large pictures: tiles give the same labels as strips."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cliptrase_core.regions import decode

SHAPES = {
    "a photograph": (9, (14, 19), (600, 801)),
    "maps finer than tiles": (12, (56, 76), (480, 640)),
    "one row": (3, (1, 5), (300, 2000)),
    "one column": (4, (9, 1), (1000, 300)),
    "one patch": (2, (1, 1), (400, 500)),
    "one map": (1, (4, 4), (500, 500)),
    "fewer pixels than patches": (3, (700, 500), (451, 399)),
}


@pytest.mark.parametrize(("count", "grid", "size"), SHAPES.values(), ids=SHAPES)
def test_tiles_give_what_strips_give(monkeypatch, count, grid, size):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, count, max(1, grid[0] // 3), max(1, grid[1] // 3), generator=generator)
    maps = F.interpolate(coarse, size=grid, mode="bilinear")[0].contiguous()
    names = torch.randint(0, 3, (count,), dtype=torch.uint8, generator=generator)
    assert size[0] * size[1] > decode.TILED_PIXELS
    largest, named = decode.largest_at_pixels(maps, size), decode.largest_at_pixels(maps, size, names)
    values = decode.value_of_chosen(maps, largest)
    monkeypatch.setattr(decode, "TILED_PIXELS", 10**12)
    assert torch.equal(decode.largest_at_pixels(maps, size), largest)
    assert torch.equal(decode.largest_at_pixels(maps, size, names), named)
    assert torch.allclose(decode.value_of_chosen(maps, largest), values, atol=1e-5)
    assert (largest.dtype, named.dtype, values.dtype) == (torch.int32, torch.uint8, torch.float32)


def test_on_ties_the_lowest_index_wins():
    maps = torch.zeros(3, 4, 5)
    maps[1:, :2] = 1
    labels = decode.largest_at_pixels(maps, (500, 400))
    assert labels[0].unique().tolist() == [1]
    assert labels[-1].unique().tolist() == [0]


def test_votes_are_counted_right():
    rng = np.random.default_rng(0)
    labels, regions = (rng.integers(0, 4, (60, 70)).astype(np.int32) for _ in range(2))
    expected = np.zeros((4, 4), int)
    for label, region in zip(labels.ravel(), regions.ravel(), strict=True):
        expected[region, label] += 1
    assert np.array_equal(decode.count_votes(labels, regions, 4), expected)
