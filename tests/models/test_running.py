"""Runs with changed weights and under the caller's autocast."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import cliptrase_core as cc
from cliptrase_core import InputError, Segmenter
from tests.conftest import tiny_clip

WORDS = "cat; dog; sky"


def trained(model):
    with torch.no_grad():  # as an optimiser does
        model.text_projection.add_(0.1)


def moved(model):
    model.half().float()


def loaded(model):
    model.load_state_dict(tiny_clip(seed=3).state_dict())


def assigned(model):
    model.load_state_dict(tiny_clip(seed=3).state_dict(), assign=True)


def replaced(model):
    model.text_projection = torch.nn.Parameter(model.text_projection.detach() + 0.1)


@pytest.mark.parametrize("change", [trained, moved, loaded, assigned, replaced])
def test_a_model_that_was_changed_is_refused_until_a_new_segmenter_is_made(picture, change):
    model = tiny_clip()
    segmenter = Segmenter.from_open_clip(model)
    encoding = segmenter.encode(picture)
    segmenter.segment(encoding, WORDS)
    change(model)
    for work in (
        lambda: segmenter.encode(picture),
        lambda: segmenter.segment(encoding, WORDS),
        lambda: segmenter.scores(encoding, WORDS),
        lambda: segmenter.missing(encoding, WORDS),
        lambda: segmenter.suggest(encoding),
        lambda: segmenter.embed_words(["cat"]),
        lambda: segmenter.inspect(picture),
        lambda: segmenter.capture(encoding),
    ):
        with pytest.raises(InputError, match="got weights that were changed since. Create a new Segmenter"):
            work()
    again = Segmenter.from_open_clip(model)
    again.segment(again.encode(picture), WORDS)


def test_a_model_in_training_mode_is_copied_and_may_be_trained_on(picture):
    model = tiny_clip().train()
    segmenter = Segmenter.from_open_clip(model)
    before = segmenter.encode(picture).patches
    trained(model)
    assert torch.equal(segmenter.encode(picture).patches, before)


def test_a_model_built_in_inference_mode_has_no_count_of_changes_and_runs(picture):
    with torch.inference_mode():
        model = tiny_clip().half().float()
    segmenter = Segmenter.from_open_clip(model)
    assert segmenter.segment(segmenter.encode(picture), WORDS).size == picture.shape[:2]


def test_the_callers_autocast_changes_nothing(picture):
    segmenter, other = Segmenter.from_open_clip(tiny_clip()), Segmenter.from_open_clip(tiny_clip())
    encoding = segmenter.encode(picture)
    with torch.autocast("cpu", torch.bfloat16):
        cast = other.encode(picture)
        result = other.segment(cast, WORDS, method="gem")
        scores = other.scores(cast, WORDS).logits
        maps = other.inspect(picture)
    for name in ("patches", "cls", "affinity", "last_input"):
        assert torch.equal(getattr(cast, name), getattr(encoding, name))
    expected = segmenter.segment(encoding, WORDS, method="gem")
    assert np.array_equal(result.confidence, expected.confidence)
    assert torch.equal(scores, segmenter.scores(encoding, WORDS).logits)
    assert np.array_equal(maps.affinity, segmenter.inspect(picture).affinity)
    assert torch.equal(other.embed_words(["cat", "dog"]), segmenter.embed_words(["cat", "dog"])), "cached words too"


def test_the_callers_autocast_changes_no_refinement(nano, picture):
    result = nano.segment(nano.encode(picture), WORDS)
    for how in ({"mode": "prompts"}, {"mode": "regions"}, {"mode": "everything"}):
        with torch.autocast("cpu", torch.bfloat16):
            cast = cc.refine(result, picture, "sam-nano", **how)
        cc.refine.refiners.forget_pictures([""])
        again = cc.refine(result, picture, "sam-nano", **how)
        cc.refine.refiners.forget_pictures([""])
        assert np.array_equal(cast.labels, again.labels)
        assert cast.report.components == again.report.components


@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy, copy.copy])
def test_a_pickle_of_a_segmenter_is_refused_with_what_to_do(segmenter, copied):
    with pytest.raises(InputError, match="Load it in each worker; threads can share one"):
        copied(segmenter)
