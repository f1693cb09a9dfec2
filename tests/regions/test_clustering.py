"""Clusters of block-structured rows are the blocks; means leave noise out; settings are checked."""

from __future__ import annotations

import pytest
import torch

from cliptrase_core.errors import InputError
from cliptrase_core.presets import ClusterSettings
from cliptrase_core.regions.clustering import cluster_means, cluster_patches


def test_blocks_of_the_affinity_come_back_as_clusters():
    rows = torch.block_diag(torch.ones(4, 4), torch.ones(3, 3), torch.ones(1, 1))
    clusters = cluster_patches(rows, ClusterSettings(0.5, 3))
    assert clusters.tolist() == [0, 0, 0, 0, 1, 1, 1, -1]


def test_means_are_by_cluster_and_without_noise():
    rows = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0], [9.0, 9.0]])
    means = cluster_means(rows, torch.tensor([0, 0, 1, -1]))
    assert means.tolist() == [[2.0, 0.0], [0.0, 5.0]]


def test_only_noise_gives_no_means():
    assert cluster_means(torch.rand(3, 3), torch.tensor([-1, -1, -1])).shape == (0, 3)


@pytest.mark.parametrize(
    ("eps", "min_samples", "named"),
    [
        (0, 3, "eps"),
        (-1.0, 3, "eps"),
        (float("nan"), 3, "eps"),
        (float("inf"), 3, "eps"),
        ("0.7", 3, "eps"),
        (0.7, 0, "min_samples"),
        (0.7, 2.5, "min_samples"),
        (0.7, True, "min_samples"),
    ],
)
def test_wrong_settings_say_which_and_why(eps, min_samples, named):
    with pytest.raises(InputError, match=f"^{named}: expected .* got .*"):
        ClusterSettings(eps, min_samples)
