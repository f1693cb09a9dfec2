"""Global-patch suppression on hand-made values; the Dice mode drops clusters that resemble the [CLS] map."""

from __future__ import annotations

import torch

from cliptrase_core.regions.clustering import clustering_rows, drop_global_clusters, suppress_global_patches


def test_patch_close_to_cls_stops_attracting_the_others():
    affinity = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, 0.8], [0.1, 0.8, 1.0]])
    expected = torch.tensor([[0.1, 0.7], [0.0, 0.9]])  # computed by hand
    torch.testing.assert_close(suppress_global_patches(affinity), expected)


def test_affinity_itself_is_left_as_it_was():
    affinity = torch.rand(5, 5)
    before = affinity.clone()
    suppress_global_patches(affinity)
    assert torch.equal(affinity, before)


def test_without_denoising_rows_are_the_patch_part():
    affinity = torch.rand(5, 5)
    assert torch.equal(clustering_rows(affinity, "none"), affinity[1:, 1:])
    assert torch.equal(clustering_rows(affinity, "dice"), affinity[1:, 1:])


def blocks_with_cls_on_the_first_two():
    affinity = torch.full((7, 7), 0.1)
    affinity[1:3, 1:3] = affinity[3:5, 3:5] = affinity[5:, 5:] = 0.9
    affinity[0, 1:3] = 0.8
    return affinity


def test_cluster_that_looks_like_cls_becomes_noise_and_the_rest_is_renumbered():
    clusters = torch.tensor([0, 0, 1, 1, 2, -1])
    dropped = drop_global_clusters(clusters, blocks_with_cls_on_the_first_two())
    assert dropped.tolist() == [-1, -1, 0, 0, 1, -1]
    assert clusters.tolist() == [0, 0, 1, 1, 2, -1]


def test_no_cluster_is_dropped_at_the_largest_limit():
    clusters = torch.tensor([0, 0, 1, 1, 2, 2])
    kept = drop_global_clusters(clusters, blocks_with_cls_on_the_first_two(), limit=1.0)
    assert kept.tolist() == clusters.tolist()


def test_all_noise_stays_all_noise():
    noise = torch.full((6,), -1)
    assert drop_global_clusters(noise, torch.rand(7, 7)).tolist() == noise.tolist()
