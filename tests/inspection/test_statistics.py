"""Attention statistics against hand-made cases; recovered weights and depth against loops over heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cliptrase_core.inspection.capture import outliers
from cliptrase_core.inspection.statistics import (
    entropy_share,
    measure,
    measure_patches,
    most_telling_patch,
    patch_shares,
    strongest_share,
    surroundings,
)
from cliptrase_core.models.attention import recovered_attention, recovered_weights


def test_shares_add_to_one_and_leave_negatives_out():
    assert patch_shares(torch.tensor([[1.0, 3.0, -5.0, 0.0]])).tolist() == [[0.25, 0.75, 0.0, 0.0]]


def test_a_row_with_nothing_is_even():
    assert patch_shares(torch.tensor([0.0, -1.0])).tolist() == [0.5, 0.5]


def test_entropy_is_one_for_even_shares_and_zero_for_a_single_peak():
    assert float(entropy_share(torch.full((8,), 1 / 8))) == pytest.approx(1)
    assert float(entropy_share(torch.tensor([0.0, 1.0, 0.0]))) == 0
    assert float(entropy_share(torch.ones(1))) == 1


def test_entropy_of_two_even_patches_of_four_is_one_half():
    assert float(entropy_share(torch.tensor([0.5, 0.5, 0.0, 0.0]))) == pytest.approx(math.log(2) / math.log(4))


def test_the_strongest_add_up_and_few_patches_are_all_strongest():
    shares = torch.tensor([0.1, 0.4, 0.2, 0.3])
    assert float(strongest_share(shares, 2)) == pytest.approx(0.7)
    assert float(strongest_share(shares)) == pytest.approx(1)


def test_surroundings_are_a_square_cut_off_at_the_edge():
    near = surroundings((4, 5), 0, 3, radius=1).reshape(4, 5)
    expected = [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert near.int().tolist() == expected
    assert int(surroundings((9, 9), 4, 4).sum()) == 25  # two steps: 5 x 5


def test_all_numbers_of_one_patch_by_hand():
    shares = torch.zeros(2 * 11)
    shares[0], shares[21] = 0.75, 0.25
    near = surroundings((2, 11), 0, 1)
    found = measure(shares, torch.tensor([21]), near)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(22)
    assert found.entropy == pytest.approx(entropy)
    assert (found.strongest, found.near, found.on_global) == (1, 0.75, 0.25)


def test_numbers_of_several_patches_are_means_and_know_no_surroundings():
    shares = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    found = measure(shares, torch.tensor([1]))
    assert found.entropy == pytest.approx(0.5)
    assert found.on_global == pytest.approx(0.25)
    assert found.near is None


def test_without_global_patches_nothing_goes_to_them():
    assert measure(torch.tensor([0.5, 0.5]), torch.empty(0, dtype=torch.int64)).on_global == 0


def test_recovered_weights_are_the_mean_of_three_softmaxes_and_mix_values_as_the_block_does():
    q, k, v = torch.randn(3, 1, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    weights = recovered_weights(q, k, v)
    loop = torch.zeros(5, 5)
    for i in range(5):
        for part in (q, k, v):
            scores = torch.stack([part[0, 1, i] @ part[0, 1, j] / 4**0.5 for j in range(5)])
            loop[i] += scores.exp() / scores.exp().sum() / 3
    torch.testing.assert_close(weights[0, 1], loop)
    torch.testing.assert_close(3 * weights @ v, recovered_attention(q, k, v))


def test_depth_counts_every_layer_s_global_patches_and_what_they_take(segmenter, picture):
    captured = segmenter.capture(picture)
    depth = captured.depth()
    assert [one.layer for one in depth] == [1, 2, 3]
    for one in depth:
        maps = captured.maps(one.layer)
        assert one.count == len(maps.global_patches) == len(outliers(maps.incoming_attention))
        patches = maps.attention[1:, 1:]
        taken = [float(row[maps.global_patches].sum() / row.sum()) for row in patches]
        assert one.share == pytest.approx(sum(taken) / len(taken), abs=1e-5)


def test_recovered_maps_are_of_the_same_layer_and_head(segmenter, picture):
    captured = segmenter.capture(picture)
    heads = [captured.maps(2, head).recovered for head in (1, 2)]
    torch.testing.assert_close(captured.maps(2).recovered, (heads[0] + heads[1]) / 2)
    torch.testing.assert_close(heads[0].sum(dim=1), torch.ones(len(heads[0])))
    assert not torch.allclose(heads[0], heads[1], atol=1e-3)


@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (4, 1), (3, 5), (6, 4)])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_numbers_of_all_patches_are_those_of_each(grid, count):
    h, w = grid
    matrix = torch.randn(1 + h * w, 1 + h * w, generator=torch.Generator().manual_seed(h)).exp()
    matrix[-1] = 0  # a row of zeros counts as uniform in both functions
    global_patches = torch.arange(min(count, h * w))
    found = measure_patches(matrix, global_patches, grid)
    for patch in range(h * w):
        near = surroundings(grid, *divmod(patch, w))
        one = measure(patch_shares(matrix[1 + patch, 1:]), global_patches, near)
        for name in ("entropy", "near", "on_global"):
            assert float(getattr(found, name)[patch]) == pytest.approx(getattr(one, name), abs=1e-6), name


def pair(changes):
    """Return matrices before and after: patch i moves a share `changes[i]` from patch 0 to patch 1; [CLS] stays."""
    count = len(changes)
    before, after = torch.zeros(2, 1 + count, 1 + count)
    before[:, 1], after[:, 1] = 1, 1 - torch.tensor([0.0, *changes])
    after[:, 2] = torch.tensor([0.0, *changes])
    return before, after


@pytest.mark.parametrize(
    ("changes", "global_patches", "clusters", "expected"),
    [
        ([0.1, 0.9, 0.5], [], None, 1),
        ([0.1, 0.9, 0.5], [1], None, 2),  # global patches do not count
        ([0.1, 0.9, 0.5], [], [0, -1, 0], 2),  # nor do patches of noise
        ([0.1, 0.9, 0.5], [1], [0, 0, -1], 0),
        ([0.1, 0.9, 0.5], [1], [-1, 0, -1], 2),  # no ordinary patch is in a cluster: all ordinary patches count
        ([0.1, 0.9, 0.5], [0, 1, 2], [0, 0, 0], 1),  # all are global: all count
        ([0.5, 0.9, 0.9], [], [0, 0, 0], 1),  # a tie: the first one
        ([0.0, 0.0], [], [-1, -1], 0),  # nothing changed, nothing clustered
        ([0.0, 0.0, 0.0], [0], None, 1),
    ],
)
def test_the_most_telling_patch_changed_most_among_those_that_tell(changes, global_patches, clusters, expected):
    found = most_telling_patch(
        *pair(changes),
        torch.tensor(global_patches, dtype=torch.int64),
        None if clusters is None else np.array(clusters),
    )
    assert found == expected


def test_what_goes_to_cls_does_not_count_as_a_change():
    before, after = pair([0.2, 0.1, 0.0])
    after[3, 0], after[3, 1:] = 0.9, before[3, 1:] * 0.1  # same shares among patches, but 0.9 to [CLS]
    assert most_telling_patch(before, after, torch.empty(0, dtype=torch.int64)) == 0
