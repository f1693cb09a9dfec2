"""Presets and methods by name; the automatic clustering rule agrees with both published settings."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from cliptrase_core import METHODS, PRESETS, InputError
from cliptrase_core.methods.registry import method_by_name
from cliptrase_core.presets import WINDOWS, preset_by_name


@pytest.mark.parametrize(("patches", "eps", "min_samples"), [(196, 0.7, 3), (441, 1.05, 7), (1, 0.05, 1)])
def test_automatic_clustering_passes_through_the_published_points(segmenter, patches, eps, min_samples):
    settings = segmenter.default_clustering(patches)
    assert settings.eps == pytest.approx(eps)
    assert settings.min_samples == min_samples


@pytest.mark.parametrize("patches", [-1, 0, 2.5, True, "196"])
def test_a_number_of_patches_that_no_picture_has_is_refused(segmenter, patches):
    with pytest.raises(InputError, match=f"patches: expected a whole number of at least 1, got {patches!r}"):
        segmenter.default_clustering(patches)


@pytest.mark.parametrize(
    ("name", "side", "eps", "min_samples"), [("paper-224", 224, 0.7, 3), ("paper-336", 336, 1.1, 7)]
)
def test_paper_presets_are_the_paper_s(name, side, eps, min_samples):
    preset = preset_by_name(name)
    assert (preset.short_side, preset.crop, preset.positions, preset.templates) == (side, True, "published", "openai80")
    assert (preset.clustering.eps, preset.clustering.min_samples) == (eps, min_samples)


def test_auto_uses_the_size_that_the_model_was_trained_at(segmenter, picture):
    assert min(segmenter.encode(picture).frame.model) == 32


@pytest.mark.parametrize("known", [PRESETS, METHODS])
def test_names_are_their_keys(known):
    assert all(entry.name == key for key, entry in known.items())


@pytest.mark.parametrize(
    ("look_up", "listed"), [(preset_by_name, "auto, paper-224"), (method_by_name, "cliptrase, clip")]
)
@pytest.mark.parametrize("name", ["", "PAPER", None, 3, []])
def test_unknown_name_lists_the_known_ones(look_up, listed, name):
    shown = "nothing" if name is None else repr(name)
    with pytest.raises(InputError, match=f"expected one of {listed}.*got {re.escape(shown)}"):
        look_up(name)


def test_the_preset_of_windows_has_no_name_that_users_can_choose(segmenter, picture):
    for refuse in (segmenter.encode, segmenter.view, segmenter.capture):
        with pytest.raises(InputError, match=r"preset: expected one of auto, paper-224, paper-336, got 'windows'"):
            refuse(picture, WINDOWS.name)
    with pytest.raises(InputError, match="preset: expected one of auto"):  # an encoding knows only its name
        segmenter.encode_batch([picture], replace(PRESETS["auto"], templates="openai80"))
    (encoding,) = segmenter.encode_batch([picture], WINDOWS)
    assert encoding.preset == WINDOWS.name
    assert segmenter.scores(encoding, "cat; dog", method="gem").logits.shape[0] == 2
    assert segmenter.capture(encoding).frame == encoding.frame
