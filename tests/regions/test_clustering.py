"""Clusters equal the blocks of block-structured rows, and scikit-learn's otherwise; means exclude noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN

from cliptrase_core import Cancelled, cancellable
from cliptrase_core.errors import InputError
from cliptrase_core.presets import ClusterSettings
from cliptrase_core.regions import clustering
from cliptrase_core.regions.clustering import cluster_means, cluster_patches
from tests.counting_token import CountingToken


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


@pytest.mark.parametrize(("count", "noise"), [(600, 0.0), (600, 0.05), (257, 0.2), (900, 0.5)])
@pytest.mark.parametrize("rows_at_once", [64, 250, 1000])
def test_clusters_are_those_of_scikit_learn_in_their_order(count, noise, rows_at_once, monkeypatch):
    rng = np.random.default_rng(count)
    centres = rng.normal(size=(7, count)).astype(np.float32)
    rows = centres[rng.integers(0, 7, count)] + noise * rng.normal(size=(count, count)).astype(np.float32)
    settings = ClusterSettings(eps=max(0.01, 1.41 * noise * count**0.5), min_samples=5)
    monkeypatch.setattr(clustering, "ROWS_AT_ONCE", rows_at_once)
    found = cluster_patches(torch.from_numpy(rows), settings)
    assert len(set(found.tolist())) > 1
    assert found.tolist() == DBSCAN(eps=settings.eps, min_samples=settings.min_samples).fit_predict(rows).tolist()


@pytest.mark.parametrize("eps", [1e-12, 1e-9, 1e-7])
def test_a_patch_is_its_own_neighbour_for_every_radius(eps):
    rows = torch.rand(50, 300, generator=torch.Generator().manual_seed(0))
    assert cluster_patches(rows, ClusterSettings(eps, 1)).tolist() == [*range(50)]
    assert cluster_patches(rows, ClusterSettings(eps, 2)).tolist() == [-1] * 50


@pytest.mark.parametrize("seed", range(40))
def test_a_patch_between_clusters_belongs_where_scikit_learn_puts_it(seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 9, (60, 2)).astype(np.float32)  # distances of exactly eps, and patches near two cores
    settings = ClusterSettings(eps=(1.0, 2**0.5, 2.0)[seed % 3], min_samples=int(rng.integers(1, 9)))
    found = cluster_patches(torch.from_numpy(rows), settings)
    assert found.tolist() == DBSCAN(eps=settings.eps, min_samples=settings.min_samples).fit_predict(rows).tolist()


def test_a_clustering_can_be_left_between_its_steps(monkeypatch):
    monkeypatch.setattr(clustering, "ROWS_AT_ONCE", 64)
    token = CountingToken(end_at=5)
    with cancellable(token), pytest.raises(Cancelled):
        cluster_patches(torch.eye(640), ClusterSettings(eps=0.1, min_samples=2))
    assert token.looks == 5
