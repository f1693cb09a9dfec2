"""Strips, pruning and contested medians change nothing: each equals the plain computation on whole maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter
from torch.nn import functional as F

from cliptrase_core.maps import runs
from cliptrase_core.regions import decode
from cliptrase_core.regions.decode import (
    Confidence,
    largest_at_pixels,
    median_where_contested,
    region_maps,
    value_of_chosen,
    vote,
)


def random_maps(count, h, w, seed=0):
    return torch.randn(count, h, w, generator=torch.Generator().manual_seed(seed))


def smooth_maps(count, h, w, seed=0):
    """Return maps like those of clusters: each is high in one area."""
    coarse = random_maps(count, max(1, h // 6), max(1, w // 6), seed)
    return F.interpolate(coarse[None], size=(h, w), mode="bilinear")[0]


@pytest.mark.parametrize("size", [(30, 45), (6, 9), (7, 5), (1, 200), (3, 1)])
@pytest.mark.parametrize("budget", [1, 500, 10**9])
def test_labels_in_strips_equal_labels_of_the_whole(monkeypatch, size, budget):
    monkeypatch.setattr(decode, "STRIP_VALUES", budget)
    maps = random_maps(11, 6, 9)
    whole = F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]
    assert torch.equal(largest_at_pixels(maps, size), whole.argmax(0).to(torch.int32))


def test_equal_maps_go_to_the_lowest_index():
    maps = torch.zeros(3, 2, 2)
    assert largest_at_pixels(maps, (5, 5)).eq(0).all()
    maps[1:] = 1
    assert largest_at_pixels(maps, (5, 5)).eq(1).all()


def test_transposing_the_grid_transposes_the_labels():
    maps = random_maps(5, 2, 3)
    assert torch.equal(largest_at_pixels(maps, (8, 12)).T, largest_at_pixels(maps.transpose(1, 2), (12, 8)))


def test_permuting_classes_permutes_labels():
    maps, order = random_maps(5, 4, 4), torch.tensor([3, 1, 4, 0, 2])
    assert torch.equal(order[largest_at_pixels(maps[order], (9, 9)).long()], largest_at_pixels(maps, (9, 9)).long())


@pytest.mark.parametrize("budget", [1, 10**9])
def test_value_of_the_chosen_map_equals_full_interpolation(monkeypatch, budget):
    monkeypatch.setattr(decode, "STRIP_VALUES", budget)
    maps = random_maps(4, 3, 5).softmax(0)
    chosen = torch.randint(0, 4, (20, 31), generator=torch.Generator().manual_seed(1))
    whole = F.interpolate(maps[None], size=(20, 31), mode="bilinear")[0]
    torch.testing.assert_close(value_of_chosen(maps, chosen), whole.gather(0, chosen[None])[0])


@pytest.mark.parametrize("size", [(20, 31), (1, 90), (90, 1), (500, 700)])
@pytest.mark.parametrize("alike", [True, False])
def test_confidence_is_summed_by_runs_as_by_pixels(size, alike):
    maps = random_maps(4, 3, 5).softmax(0)
    random = torch.randint(0, 4, size, generator=torch.Generator().manual_seed(1)).numpy().astype(np.uint8)
    labels = largest_at_pixels(maps, size).numpy() if alike else random  # some runs continue in the next row
    confidence = Confidence(maps, labels)
    sums = np.bincount(labels.ravel(), weights=np.asarray(confidence).ravel(), minlength=6)
    np.testing.assert_allclose(confidence.sums(*runs(labels), 6), sums, rtol=1e-5)


CONTESTED = {
    "noise": random_maps(4, 24, 16),
    "smooth": smooth_maps(7, 56, 56),
    "wide": smooth_maps(3, 12, 40),
    "equal everywhere": torch.ones(2, 8, 8),
    "ties": (smooth_maps(5, 24, 24) * 4).round(),
    "a column far above": smooth_maps(4, 24, 24).index_put(
        (torch.tensor(0), torch.tensor(3), torch.tensor(3)), torch.tensor(1e6)
    ),
    "a few rounding steps apart": 1 + smooth_maps(4, 24, 24) * 1e-6,
    "too small for their bins": smooth_maps(4, 24, 24) * 1e-42,
    "negative": -100 + smooth_maps(4, 24, 24),
    "one map": smooth_maps(1, 8, 8),
}


@pytest.mark.parametrize("maps", CONTESTED.values(), ids=list(CONTESTED))
@pytest.mark.parametrize("size", [(60, 90), (224, 224), (500, 420)])
def test_contested_median_gives_the_regions_of_the_full_median(maps, size):
    full = torch.from_numpy(median_filter(maps.numpy(), size=(1, 7, 7)))
    assert torch.equal(largest_at_pixels(median_where_contested(maps), size), largest_at_pixels(full, size))


def test_median_is_the_full_median_where_maps_compete():
    maps = random_maps(4, 20, 20) + torch.arange(4)[:, None, None] * 1e-3  # medians of noise are close to each other
    full = torch.from_numpy(median_filter(maps.numpy(), size=(1, 7, 7)))
    found = median_where_contested(maps)
    padded = F.pad(full[None], (1, 1, 1, 1), mode="replicate")[0]
    most, least = F.max_pool2d(padded, 2, 1), -F.max_pool2d(-padded, 2, 1)  # of each cell of four neighbours
    can_win = most >= least.amax(0)
    contested = F.max_pool2d((can_win & (can_win.sum(0) > 1)).float(), 2, 1) > 0  # each place is in four cells
    assert 0.3 < contested.float().mean() < 1
    assert torch.equal(found[contested], full[contested])
    np.testing.assert_allclose(found, full, atol=(maps.max() - maps.min()).item() / 255)


def test_median_mirrors_at_the_edge_of_maps_smaller_than_its_window():
    maps = random_maps(3, 4, 5)
    full = median_filter(maps.numpy(), size=(1, 7, 7))
    np.testing.assert_allclose(median_where_contested(maps).numpy(), full, atol=(maps.max() - maps.min()).item() / 255)


def test_region_maps_have_four_times_the_grid():
    assert region_maps(torch.rand(3, 6), (2, 3)).shape == (3, 8, 12)


def test_block_structure_comes_back_as_regions():
    means = torch.zeros(2, 16)
    means[0, [0, 1, 4, 5, 8, 9, 12, 13]] = 1  # left half of a 4 x 4 grid
    means[1] = 1 - means[0]
    regions = largest_at_pixels(region_maps(means, (4, 4)), (8, 8))
    assert regions[:, :4].eq(0).all()
    assert regions[:, 4:].eq(1).all()


def test_regions_take_their_majority_and_the_lower_label_on_ties():
    labels = np.array([[0, 1, 1, 2], [0, 1, 2, 2]], dtype=np.int32)
    regions = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], dtype=np.int32)
    assert vote(labels, regions, 3).tolist() == [[0, 0, 2, 2], [0, 0, 2, 2]]


def test_a_region_without_pixels_is_no_problem():
    labels = np.array([[1, 1]], dtype=np.int32)
    regions = np.array([[0, 2]], dtype=np.int32)
    assert vote(labels, regions, 2).tolist() == [[1, 1]]
