"""Guided tour: its five steps are real computations, and its buttons stop at both ends."""

from __future__ import annotations

import dataclasses
import re

import gradio as gr
import numpy as np
import pytest

from demo.service import SegmentRequest, tour
from demo.service.tour import AROUND, POINT, STEPS, tour_example, tour_step
from demo.tabs.tour import LITTLE, TourHandlers, TourView


@pytest.mark.parametrize("number", range(1, STEPS + 1))
def test_every_step_shows_two_pictures_and_says_what_was_computed(service, number):
    step = tour_step(service, number)
    for picture in (step.left, step.right):
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
    assert (step.left.shape != step.right.shape) or (step.left != step.right).any()
    text = TourHandlers(service).start(number).text
    assert f"Step {number} of {STEPS}" in text
    assert re.search(r"\d", text.split("</h2>")[1])


def test_shares_of_the_tour_are_sums_over_patches(service):
    facts = tour_step(service, 1).facts
    cut = service.segment(str(tour_example().path), SegmentRequest(tour_example().words))
    h, w = cut.run.key.grid
    row, column = int(POINT[0] * h), int(POINT[1] * w)
    look = service.patch_attention(cut.run.key, str(tour_example().path), row, column)
    total = near = at_global = 0.0
    for i in range(h):
        for j in range(w):
            if (i, j) == (row, column):
                continue
            total += look.attention[i, j]
            near += look.attention[i, j] * (abs(i - row) <= AROUND and abs(j - column) <= AROUND)
            at_global += look.attention[i, j] * ((i, j) in look.global_patches)
    assert facts["before_near"] == pytest.approx(near / total, rel=1e-4)
    assert facts["before_global"] == pytest.approx(at_global / total, rel=1e-4)


def test_the_tour_s_story_holds_on_the_embedded_model(service):
    facts = tour_step(service, 2).facts
    assert facts["before_global"] > 3 * facts["after_global"]
    assert facts["after_near"] > 3 * facts["before_near"]
    denoised = tour_step(service, 4).facts
    assert denoised["regions"] != denoised["before"]
    assert LITTLE < denoised["moved"] < 0.5, "a picture with little to undo explains nothing"


def test_sentences_hold_for_a_layer_without_global_patches(service, monkeypatch):
    attend = tour._tour_attention
    monkeypatch.setattr(tour, "_tour_attention", lambda one: dataclasses.replace(attend(one), global_patches=()))
    texts = [TourHandlers(service).start(number).text for number in range(1, STEPS + 1)]
    assert "No patch draws everybody's attention here" in texts[0]
    assert re.search(r"Layer \d+ of this model has no <b>global patch</b>", texts[0])
    assert "would be uniform)." in texts[0]
    assert "would be uniform). The correlation" in texts[1]
    assert "is subtracted, so that it no longer decides what belongs together" in texts[3]
    for text in texts:
        assert "global patches" not in text
        assert "outlined in white" not in text


def test_a_model_that_finds_no_region_has_a_tour_too(service):
    view = service.segment(str(tour_example().path), SegmentRequest("dog; grass", eps=1e-6, min_samples=200))
    assert view.result.regions.max() == -1
    assert tour._regions(view).shape == (*view.shown.shape[:2], 3)


def test_the_regions_before_denoising_look_the_same_in_two_steps(service):
    assert (tour_step(service, 3).right == tour_step(service, 4).left).all()


def test_most_of_both_pictures_of_denoising_has_the_same_colours(service):
    step = tour_step(service, 4)
    assert (step.left == step.right).all(axis=2).mean() > 0.5


def test_the_buttons_stop_at_both_ends(service):
    handlers = TourHandlers(service)
    assert handlers.back(1).number == 1
    last = handlers.forward(STEPS)
    assert isinstance(last, TourView)
    assert last.number == STEPS
    assert last.forward.interactive is False


@pytest.mark.parametrize("number", ["two", None, 1.5, True, float("nan"), 99])
def test_a_forged_step_gets_a_message(service, number):
    with pytest.raises(gr.Error, match="step"):
        TourHandlers(service).start(number)
