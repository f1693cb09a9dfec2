"""Maps of every layer and head equal plain softmax; global patches are robust outliers; one forward pass serves all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from cliptrase_core import InputError
from cliptrase_core.inspection.capture import capture, incoming_mean, outliers
from cliptrase_core.io.files import asset
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS
from cliptrase_core.models.blocks import project, vanilla_block
from cliptrase_core.models.encoder import normalise, resize_and_crop
from cliptrase_core.presets import PRESETS


def test_every_layer_equals_attention_from_the_block_s_own_projections(segmenter, picture):
    captured = segmenter.capture(picture)
    pixels = normalise(resize_and_crop(picture, captured.frame), segmenter.info.mean, segmenter.info.std)
    tokens = segmenter.backbone.embed(pixels[None], "size")
    for layer, block in enumerate(segmenter.backbone.blocks, start=1):
        p = project(block, tokens)
        scores = (p.q @ p.k.transpose(-2, -1))[0] / 16**0.5
        torch.testing.assert_close(captured.maps(layer).attention, scores.softmax(-1).mean(0), atol=2e-3, rtol=0)
        torch.testing.assert_close(captured.maps(layer, 2).attention, scores[1].softmax(-1), atol=4e-3, rtol=0)
        tokens = vanilla_block(block, tokens, p)


def test_default_layer_is_the_one_whose_affinity_is_clustered(segmenter, picture):
    maps = segmenter.inspect(picture)
    assert maps.layer == 2  # last but one of three
    encoding = segmenter.encode(picture)
    assert maps.grid == encoding.grid
    torch.testing.assert_close(maps.affinity, encoding.affinity, atol=2e-6, rtol=0)
    stored = segmenter.capture(picture).maps()
    assert 0 < (stored.affinity - encoding.affinity).abs().max() < 1e-3


def test_patch_maps_are_the_patch_s_row_on_the_grid(segmenter, picture):
    maps = segmenter.inspect(picture)
    h, w = maps.grid
    assert h != w
    before, after = maps.patch_maps(1, w - 1)
    assert before.shape == after.shape == (h, w)
    token = 1 + 1 * w + (w - 1)
    assert torch.equal(before.flatten(), maps.attention[token, 1:])
    assert torch.equal(after.flatten(), maps.recovered[token, 1:])
    assert maps.affinity[token, token] == pytest.approx(1, abs=1e-5)  # a patch is most like itself


def test_cls_attention_is_row_zero(segmenter, picture):
    maps = segmenter.inspect(picture)
    assert torch.equal(maps.cls_attention.flatten(), maps.attention[0, 1:])


def test_projections_are_kept_in_half_precision_on_the_cpu(segmenter, picture):
    captured = segmenter.capture(picture)
    assert captured.q.dtype == captured.k.dtype == captured.v.dtype == torch.float16
    assert captured.layers == 3
    assert captured.heads == 2


def test_incoming_mean_leaves_cls_and_self_out():
    matrix = torch.tensor([[9.0, 9, 9], [9, 5, 1], [9, 3, 7]])
    assert incoming_mean(matrix).tolist() == [3.0, 1.0]


def test_a_single_patch_gets_nothing_from_others():
    assert incoming_mean(torch.ones(2, 2)).tolist() == [0.0]


def test_patches_far_above_the_median_are_outliers_strongest_first():
    values = torch.tensor([1.0, 1.1, 0.9, 5.0, 1.0, 1.05, 9.0, 0.95])
    assert outliers(values).tolist() == [6, 3]


def test_low_values_and_equal_values_are_no_outliers():
    assert outliers(torch.tensor([1.0, 1.1, 0.9, -50.0, 1.0])).tolist() == []
    assert outliers(torch.ones(10)).tolist() == []


def test_one_peak_over_a_flat_map_is_found_although_the_deviation_is_zero():
    values = torch.ones(100)
    values[42] = 2
    assert outliers(values).tolist() == [42]


def test_ranks_of_global_patches_before_and_after(segmenter, picture):
    maps = segmenter.inspect(picture)
    assert len(maps.global_ranks) == len(maps.global_patches) > 0
    for place, (before, after) in enumerate(maps.global_ranks, start=1):
        assert before == place
        assert 1 <= after <= np.prod(maps.grid)


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("head", [None, 1, 2])
def test_after_is_recovered_attention_in_maps_and_ranks(segmenter, picture, layer, head):
    maps = segmenter.inspect(picture, layer, head=head)
    torch.testing.assert_close(maps.recovered.sum(dim=1), torch.ones(len(maps.recovered)))
    gets = incoming_mean(maps.recovered)
    assert maps.global_ranks
    for patch, (_, after) in zip(maps.global_patches, maps.global_ranks, strict=True):
        assert after == 1 + int((gets > gets[patch]).sum())
    row, column = divmod(maps.grid[0] * maps.grid[1] - 1, maps.grid[1])
    assert torch.equal(maps.patch_maps(row, column)[1].flatten(), maps.recovered[-1, 1:])


@pytest.mark.parametrize("layer", [0, 4, -1, 1.5, "2", True])
def test_layer_outside_the_model_is_refused(segmenter, picture, layer):
    with pytest.raises(InputError, match="layer: expected a whole number from 1 to 3"):
        segmenter.inspect(picture, layer)


@pytest.mark.parametrize("head", [0, 3, "1"])
def test_head_outside_the_model_is_refused(segmenter, picture, head):
    with pytest.raises(InputError, match="head: expected a whole number from 1 to 2"):
        segmenter.inspect(picture, 1, head=head)


@pytest.mark.parametrize(("row", "column"), [(-1, 0), (0, 99), (1.0, 0), (None, 0), ("0", 0)])
def test_patch_outside_the_grid_is_refused(segmenter, picture, row, column):
    with pytest.raises(InputError, match="patch: expected row 0 to .* and column 0 to"):
        segmenter.inspect(picture).patch_maps(row, column)


@pytest.mark.parametrize("layout", [{"preset": "paper-224"}, {"short_side": 32}, {"max_pixels": 9}], ids=str)
def test_an_encoding_has_a_layout_already(segmenter, picture, layout):
    encoding = segmenter.encode(picture)
    with pytest.raises(InputError, match=r"encoding: expected the picture's own layout \(auto\)"):
        segmenter.capture(encoding, **layout)
    paper = segmenter.encode(picture, "paper-224")
    assert segmenter.capture(paper).frame == segmenter.capture(paper, "paper-224").frame == paper.frame
    assert torch.equal(segmenter.inspect(encoding).attention, segmenter.inspect(picture).attention)


@pytest.mark.parametrize("name", ["palace", "mountains"])
def test_maps_in_half_precision_differ_by_no_more_than_stated(nano, name):
    """The two photographs with the largest differences of a head, and of the mean of heads."""
    pixels, frame = nano._encoder.prepare(asset("examples") / f"{name}.jpg", PRESETS["auto"], None, DEFAULT_MAX_PIXELS)
    half, exact = (capture(nano.backbone, pixels, frame, "size", kept) for kept in (torch.float16, torch.float32))
    other = 0
    for layer, head in itertools.product(range(1, half.layers + 1), (None, *range(1, half.heads + 1))):
        a, b = half.maps(layer, head), exact.maps(layer, head)
        for one, two in ((a.attention, b.attention), (a.recovered, b.recovered), (a.affinity, b.affinity)):
            assert (one - two).abs().max() <= (5e-4 if head is None else 1.2e-3)
        other += set(a.global_patches.tolist()) != set(b.global_patches.tolist())
    assert other <= 2
