"""Regions before and after denoising: pairs, votes, and the texts, clicks and errors of the tab."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from demo import drawing
from demo.drawing import region_map
from demo.examples import read_examples
from demo.handling import save_picture
from demo.service import Run, SegmentRequest
from demo.service.clusters import clusters_of, partners, region_votes
from demo.tabs.clusters import ClustersHandlers, ClustersView
from tests.demo.conftest import Click


@pytest.fixture(scope="module")
def example():
    return next(example for example in read_examples() if example.name == "shepherd")


@pytest.fixture(scope="module")
def path(example):
    return str(example.path)


@pytest.fixture(scope="module")
def run(service, path, example):
    return service.segment(path, SegmentRequest(example.words)).run


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0, 0, 1, 1], [1, 1, 0, 0], [1, 0]),
        ([0, 0, 0, 1], [0, 0, 1, 1], [0, 1]),
        ([0, 0, 1, 2], [0, 0, 0, -1], [0, 1, 2]),  # regions without a partner get the next numbers
        ([0, 0, 0, 0], [-1, -1, -1, -1], [0]),
        ([-1, -1], [0, 0], []),
        ([0, 1, 1, 1], [0, 0, 0, 1], [2, 0]),  # the pair with the most common patches is matched first
    ],
)
def test_regions_are_paired_by_the_patches_that_they_share(before, after, expected):
    assert partners(np.array(before), np.array(after)).tolist() == expected


def test_votes_count_each_region_s_pixels():
    labels = np.array([[0, 0, 1], [1, 1, 2]], dtype=np.int32)
    regions = np.array([[0, 0, 0], [1, 1, 1]], dtype=np.int32)
    first, second, third = region_votes(labels, regions, np.array([0, 1, 1, 2, -1]), 3)
    assert (first.patches, first.winner, first.share, first.second) == (1, 0, pytest.approx(2 / 3), 1)
    assert (second.patches, second.winner, second.second, second.area) == (2, 1, 2, pytest.approx(0.5))
    assert third.winner is None  # it has a patch, but its neighbours claim every pixel


def test_no_regions_at_all_is_a_normal_outcome(service, path, example):
    run = service.segment(path, SegmentRequest(example.words, eps=0.0001, min_samples=50)).run
    view = ClustersHandlers(service).refresh(run, path)
    assert "0 regions" in view.summary
    assert "lower min_samples" in view.summary


def test_the_tab_shows_what_the_result_says(service, path, run):
    found = clusters_of(service, run, path)
    result = service.again(run, path).result
    np.testing.assert_array_equal(found.after.ravel(), result.patch_clusters)
    bare = dataclasses.replace(run.request, denoise="none")
    plain = service.again(Run(run.key, bare), path).result
    assert len(set(found.before.ravel()) - {-1}) == plain.patch_clusters.max() + 1
    np.testing.assert_array_equal(found.before.ravel() < 0, plain.patch_clusters < 0)
    for vote in found.votes:
        assert vote.patches == int((result.patch_clusters == vote.region).sum())
        shown = set(result.labels[result.regions == vote.region].tolist())
        assert shown == ({vote.winner} if vote.winner is not None else set())


def test_without_denoising_nothing_has_moved(service, path, run):
    cut = service.segment(path, dataclasses.replace(run.request, denoise="none"))
    found = clusters_of(service, cut.run, path)
    assert not found.changed.any()
    assert "both maps are the same" in ClustersHandlers(service).refresh(cut.run, path).summary


def test_a_click_and_the_list_choose_the_same_region(service, path, run):
    handlers, side = ClustersHandlers(service), drawing.cell_side(run.key.grid)
    found = clusters_of(service, run, path)
    row, column = np.argwhere(found.after == 1)[0].tolist()
    clicked = handlers.click(run, run.token, path, Click([(column + 0.5) * side, (row + 0.5) * side]))
    picked = handlers.pick(run, path, 1)
    assert isinstance(clicked, ClustersView)
    assert clicked.after == picked.after
    assert clicked.region_table == picked.region_table
    assert 'class="chosen"' in picked.region_table
    assert f"row {row}, column {column}" in clicked.region_facts


def test_automatic_values_are_shown_and_chosen_ones_are_left_alone(service, path, run):
    automatic = clusters_of(service, run, path).automatic
    view = ClustersHandlers(service).refresh(run, path)
    assert view.eps.value == pytest.approx(automatic.eps, abs=1e-3)
    chosen = service.segment(path, dataclasses.replace(run.request, eps=0.6, min_samples=4)).run
    assert ClustersHandlers(service).refresh(chosen, path).eps == gr.skip()


@pytest.mark.parametrize("index", ["abc", None, {"a": 1}, [-5, 99999], [1], [None, 2], [float("nan"), 1]])
def test_forged_clicks_get_a_message(service, path, run, index):
    with pytest.raises(gr.Error, match="click"):
        ClustersHandlers(service).click(run, run.token, path, Click(index))


@pytest.mark.parametrize("region", [-1, 99, "one", 1.5, True])
def test_forged_regions_get_a_message(service, path, run, region):
    with pytest.raises(gr.Error, match="region"):
        ClustersHandlers(service).pick(run, path, region)


def test_a_stale_click_changes_nothing(service, path, run):
    ignored = ClustersHandlers(service).click(run, "older", path, Click([1, 1]))
    assert all(value == gr.skip() for value in ignored)


def test_noise_is_hatched_and_regions_keep_their_colour():
    picture = np.full((40, 60, 3), 128, dtype=np.uint8)
    clusters = np.array([[0, 0, -1], [1, 1, -1]])
    colours = np.array([[200, 0, 0], [0, 0, 200]], dtype=np.uint8)
    out = region_map(picture, clusters, colours, np.zeros((2, 3), dtype=bool))
    assert out.shape == picture.shape
    assert out[10, 10, 0] > out[10, 10, 2]
    assert out[30, 10, 2] > out[30, 10, 0]
    noise = out[2:18, 44:58].reshape(-1, 3)
    assert len(np.unique(noise, axis=0)) >= 2
    assert (noise[:, 0] == noise[:, 1]).all()


def test_a_picture_appears_whole_or_not_at_all(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    moved, replace = [], os.replace

    def moving(part, whole):
        moved.append((Path(part).read_bytes(), Path(part).parent == Path(whole).parent, Path(whole).exists()))
        replace(part, whole)

    monkeypatch.setattr(os, "replace", moving)
    path = save_picture(np.zeros((4, 4, 3), np.uint8))
    assert save_picture(np.zeros((4, 4, 3), np.uint8)) == path
    assert moved == [(Path(path).read_bytes(), True, False)]
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [Path(path)]
