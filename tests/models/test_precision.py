"""Half precision: used only if the measured speed-up reaches the limit, or if requested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from cliptrase_core import InputError, Segmenter, segmenter
from cliptrase_core.models import precision
from cliptrase_core.models.precision import bf16_gain, device_by_name, resolve_precision, to_device
from tests.conftest import tiny_clip

CPU = torch.device("cpu")


@pytest.mark.parametrize(("theirs", "precision"), [("fp16", None), ("bf16", "bf16"), ("fp16", "fp32")])
def test_models_of_open_clip_s_own_half_precisions_run(theirs, precision):
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32", precision=theirs, force_image_size=64, pretrained=None)
    segmenter = Segmenter.from_open_clip(model, precision=precision)
    result = segmenter.segment(segmenter.encode(np.zeros((64, 64, 3), np.uint8)), "cat; dog")
    assert result.settings["precision"] == (precision or theirs)


@pytest.mark.parametrize(("gain", "expected"), [(0.2, torch.float32), (1.49, torch.float32), (1.5, torch.bfloat16)])
def test_auto_takes_bf16_only_where_the_probe_finds_it_worth_it(monkeypatch, gain, expected):
    monkeypatch.setattr(precision, "bf16_gain", lambda device_type: gain)
    assert resolve_precision("auto", CPU) == expected


def test_named_types_are_taken_without_a_probe(monkeypatch):
    monkeypatch.setattr(precision, "bf16_gain", None)
    assert resolve_precision("fp32", CPU) == torch.float32
    assert resolve_precision("bf16", CPU) == torch.bfloat16


@pytest.fixture
def forgotten_probe():
    """Forget the measured speed-up before and after a test."""
    bf16_gain.cache_clear()
    yield
    bf16_gain.cache_clear()


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((1.6, 0.1, 1.6, 0.1, 1.6, 0.1, 1.6, 0.1, 1.6), torch.bfloat16),  # the median, not the mean of 0.9
        ((0.4, 0.4, 0.5, 1.6, 1.6, 1.6, 1.6, 1.6, 1.6), torch.bfloat16),
        ((0.4, 0.4, 0.5, 1.4, 1.4, 1.4, 1.4, 1.6, 1.6), torch.float32),
        ((0.4, 0.4, 0.4), torch.float32),  # hopeless: no further measurement
    ],
)
def test_auto_measures_once_and_takes_the_median_gain(monkeypatch, forgotten_probe, gains, expected):
    seconds = iter([value for gain in gains for value in (gain, 1.0)])
    asked = []

    def product(dtype, device_type):
        asked.append((dtype, device_type))
        return next(seconds)

    monkeypatch.setattr(precision, "_seconds", product)
    assert resolve_precision("auto", CPU) == expected
    assert resolve_precision("auto", CPU) == expected
    assert asked == [(torch.float32, "cpu"), (torch.bfloat16, "cpu")] * len(gains)


def test_the_probe_of_this_machine_gives_a_positive_ratio(forgotten_probe):
    assert bf16_gain("cpu") > 0


def test_a_model_that_fits_is_not_copied_and_one_that_does_not_is():
    model = tiny_clip()
    assert to_device(model, CPU, torch.float32) is model
    assert to_device(model, CPU, torch.bfloat16) is not model
    training = tiny_clip().train()
    assert to_device(training, CPU, torch.float32) is not training
    assert training.training


def test_unknown_device_is_named():
    with pytest.raises(InputError, match="device: expected one that torch has here, got 'warp'"):
        device_by_name("warp")


IN_DOUBLE = """
import torch
import cliptrase_core as cc
from cliptrase_core.io.files import asset

torch.set_default_dtype(torch.float64)
segmenter = cc.Segmenter.from_pretrained("nano", device="cpu")
picture = asset("examples", "kitten.jpg")
encoding = segmenter.encode(picture, short_side=64)
for method in cc.METHODS:
    result = segmenter.segment(encoding, "cat; yarn", method=method)
assert segmenter.inspect(encoding).attention.dtype == torch.float32
segmenter.capture(encoding).depth()
cc.refine(result, picture, "edges")
cc.refine.load_refiner("sam-nano")
torch.set_default_dtype(torch.float32)
cc.refine(result, picture, "sam-nano")  # loaded before
"""


def test_the_default_dtype_of_torch_changes_nothing():
    subprocess.run([sys.executable, "-c", IN_DOUBLE], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("device", [0, ""])
def test_only_none_leaves_the_model_where_it_is(model, monkeypatch, device):
    asked = []
    monkeypatch.setattr(segmenter, "device_by_name", lambda name: asked.append(name) or torch.device("cpu"))
    Segmenter.from_open_clip(model, device=device)
    assert asked == [device]
