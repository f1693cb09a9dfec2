"""Nine methods: formulas compared with loops, a common contract, their parts computed by hand, and caches."""

from __future__ import annotations

import gc
import hashlib
import itertools
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cliptrase_core import METHODS, InputError, Segmenter
from cliptrase_core.methods import features, registry
from cliptrase_core.methods.registry import RESIDUALS, ResclipSettings, with_residual
from cliptrase_core.methods.resclip import first_labels, label_structure, middle_blocks
from cliptrase_core.models.attention import neighbour_bias
from cliptrase_core.models.encoder import normalise
from tests import method_reference
from tests.conftest import tiny_clip
from tests.method_reference import MethodReference

WORDS = "cat, kitten; dog; sky"
LAST_BLOCK = [name for name, method in METHODS.items() if not method.own_path and method.resclip is None]


@pytest.fixture(scope="module")
def deep() -> Segmenter:
    """Model of eight blocks: with two before the last six, a path that begins at the wrong block is noticed."""
    return Segmenter.from_open_clip(tiny_clip(dtype=torch.float64, layers=8))


def text_rows(count=4):
    rows = torch.randn(count, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return rows / rows.norm(dim=-1, keepdim=True)


def digest(model):
    state = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        state.update(name.encode() + value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


@pytest.mark.parametrize("residual", [None, *RESIDUALS])
@pytest.mark.parametrize("name", METHODS)
def test_features_equal_the_formula_as_loops_in_float64(deep, picture, name, residual):
    encoding = deep.encode(picture)
    assert encoding.grid == (4, 5), "not square"
    text, classes = text_rows(), (0, 0, 1, 2)
    got = deep._features.get(encoding, with_residual(METHODS[name], residual), text, classes)
    pixels = normalise(encoding.model_input, deep.info.mean, deep.info.std)
    colours = encoding.model_input.transpose(2, 0, 1).astype(float)
    words = (text.numpy(), classes, colours, 8) if name == "resclip" else ()
    expected = MethodReference(deep.info.model, encoding.grid, residual).features(name, pixels.double(), *words)
    # The structure of ResCLIP is stored in float32.
    tolerance = 1e-6 if name == "resclip" else 1e-9
    np.testing.assert_allclose(torch.cat([got[0][None], got[1]]).numpy(), expected, atol=tolerance)


def test_no_two_methods_are_the_same(deep, picture):
    encoding = deep.encode(picture)
    found = [deep._features.get(encoding, method, text_rows(), (0, 0, 1, 2))[1] for method in METHODS.values()]
    for i, one in enumerate(found):
        for other in found[:i]:
            assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("model", ["gelu", "quick_gelu", "two_blocks", "bf16", "nano"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_contract_on_every_backbone(name, model, nano, picture):
    segmenter = nano
    if model != "nano":
        layers = {"layers": 2} if model == "two_blocks" else {}
        dtype = torch.bfloat16 if model == "bf16" else torch.float32
        segmenter = Segmenter.from_open_clip(tiny_clip(quick_gelu=model != "gelu", dtype=dtype, **layers))
    before = digest(segmenter.info.model)
    wide = picture[:24]
    encodings = [segmenter.encode(one, short_side=32) for one in (picture, wide)]
    assert all(h != w for h, w in (encoding.grid for encoding in encodings))
    batch = segmenter.encode_batch([picture, wide, picture[::-1].copy()], short_side=32)
    for encoding, again in zip(encodings, batch, strict=False):
        for vote in (False, True):
            result = segmenter.segment(encoding, WORDS, method=name, vote=vote)
            assert result.labels.shape == encoding.frame.labels
            assert result.settings["method"] == name
            assert result.settings["vote"] is vote
            assert np.isfinite(result.confidence).all()
        if model != "bf16":  # rounding in a batch differs too much for this tolerance
            other = segmenter.scores(again, WORDS, method=name)
            own = segmenter.scores(encoding, WORDS, method=name)
            torch.testing.assert_close(own.logits, other.logits, atol=2e-3, rtol=0)
    assert digest(segmenter.info.model) == before
    assert not any(parameter.requires_grad for parameter in segmenter.info.model.parameters())


def test_the_model_answers_as_before_and_carries_no_hooks(model, picture):
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    before = model.encode_image(pixels)
    segmenter = Segmenter.from_open_clip(model)
    encoding = segmenter.encode(picture)
    for name in METHODS:
        segmenter.segment(encoding, WORDS, method=name)
    assert torch.equal(before, model.encode_image(pixels))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("preset", ["paper-224", "auto"])
def test_the_extra_pass_sees_the_picture_as_its_encoding_did(nano, picture, preset):
    encoding = nano.encode(picture, preset)
    nano.segment(encoding, WORDS, method="gem")
    cls = nano._features._parts(encoding).features[METHODS["gem"]][0]
    plain, _ = nano._features.get(encoding, METHODS["clip"], text_rows(), ())
    torch.testing.assert_close(cls, plain, atol=1e-5, rtol=0)


def test_one_extra_pass_serves_all_methods_and_all_words_and_goes_with_its_picture(picture, monkeypatch):
    segmenter, passes = Segmenter.from_open_clip(tiny_clip()), []
    original = features.deep_parts
    monkeypatch.setattr(features, "deep_parts", lambda *given: passes.append(1) or original(*given))
    encoding = segmenter.encode(picture)
    for name in LAST_BLOCK:
        segmenter.segment(encoding, WORDS, method=name)
    assert not passes, "those that change the last block alone start from its input"
    for words in (WORDS, "red; green"):
        for name in METHODS:
            segmenter.segment(encoding, words, method=name)
    assert len(passes) == 1
    assert len(segmenter._features) == 1
    del encoding
    gc.collect()
    assert len(segmenter._features) == 0


def test_threads_and_changed_methods_share_an_extra_pass(picture, monkeypatch):
    segmenter, passes = Segmenter.from_open_clip(tiny_clip()), []
    original = features.deep_parts
    monkeypatch.setattr(features, "deep_parts", lambda *given: passes.append(1) or time.sleep(0.1) or original(*given))
    encoding = segmenter.encode(picture)
    with ThreadPoolExecutor(3) as threads:
        list(
            threads.map(
                lambda name: segmenter.segment(encoding, WORDS, method=name), ("gem", "clip_surgery", "resclip")
            )
        )
    assert len(passes) == 1
    for words in (WORDS, "red; green"):
        segmenter.segment(encoding, words, method="gem", residual="none")
    assert len(passes) == 2


@pytest.mark.parametrize("name", METHODS)
def test_the_residual_that_is_asked_for_is_the_one_that_runs(segmenter, picture, name):
    encoding = segmenter.encode(picture)
    usual = segmenter.segment(encoding, WORDS, method=name, vote=False)
    maps = {}
    for residual in RESIDUALS:
        result = segmenter.segment(encoding, WORDS, method=name, vote=False, residual=residual)
        assert result.settings["residual"] == residual
        maps[residual] = segmenter.scores(encoding, WORDS, method=name, residual=residual).logits
        if residual == METHODS[name].residual:
            np.testing.assert_array_equal(result.labels, usual.labels)
            np.testing.assert_allclose(result.confidence, usual.confidence, atol=1e-6)
    assert usual.settings["residual"] == METHODS[name].residual, "as published"
    assert all((maps[one] - maps[other]).abs().max() > 1e-2 for one, other in itertools.combinations(RESIDUALS, 2))


def test_an_unknown_residual_names_the_known_ones(segmenter, picture):
    with pytest.raises(InputError, match=r"residual: expected one of patch, none, cls, or nothing \(the method's\)"):
        segmenter.segment(segmenter.encode(picture), WORDS, residual="both")


def test_scores_have_the_temperature_of_the_paper_or_of_the_model(segmenter, picture):
    encoding = segmenter.encode(picture)
    text = text_rows(3).float()
    patches = segmenter._features.get(encoding, METHODS["sclip"], text, (0, 1, 2))[1]
    scores = segmenter.scores(encoding, "a; b; c", method="sclip")
    unit = segmenter.embed_words(["a", "b", "c"])
    torch.testing.assert_close(scores.logits.flatten(1).T, 40 * patches @ unit.T, atol=1e-4, rtol=1e-4)
    assert segmenter._features.scale(METHODS["gem"]) == pytest.approx(segmenter.info.model.logit_scale.exp().item())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_no_precision_rounds_the_temperature_of_the_model(picture, precision):
    model = tiny_clip()
    torch.nn.init.constant_(model.logit_scale, np.log(100))
    half = Segmenter.from_open_clip(model, precision=precision)
    assert half.scores(half.encode(picture), WORDS, method="gem").scale == pytest.approx(100, rel=1e-5)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.resclip is None])
def test_the_temperature_decides_confidence_only(segmenter, picture, monkeypatch, name):
    encoding = segmenter.encode(picture)
    words = {"text_features": text_rows().float(), "class_names": ["a", "b", "c", "d"]}
    usual = segmenter.segment(encoding, **words, method=name)
    warmer = replace(METHODS[name], temperature=segmenter._features.scale(METHODS[name]) / 4)
    monkeypatch.setattr(registry, "METHODS", {**METHODS, name: warmer})
    found = segmenter.segment(encoding, **words, method=name)
    np.testing.assert_array_equal(found.labels, usual.labels)
    assert len(np.unique(found.labels)) > 1
    assert (usual.confidence - found.confidence).max() > 0.05


@pytest.mark.parametrize("name", ["cliptrase", "sclip"])
def test_the_smallest_temperature_changes_almost_no_label(segmenter, picture, name):
    encoding = segmenter.encode(picture)
    words = {"text_features": text_rows().float(), "class_names": ["a", "b", "c", "d"]}
    usual = segmenter.segment(encoding, **words, method=name)
    found = segmenter.segment(encoding, **words, method=replace(METHODS[name], temperature=registry.COLDEST))
    assert (found.labels != usual.labels).mean() < 1e-3


def test_neighbours_attract_each_other_and_cls_stays_apart():
    got = neighbour_bias((2, 3), 5.0)
    np.testing.assert_allclose(got.numpy(), method_reference.omega((2, 3)), atol=1e-7)
    assert got[1, 6].item() == pytest.approx(np.exp(-(1 + 4) / 50))  # one row and two columns away


def test_middle_blocks_are_six_to_nine_of_twelve_and_never_none():
    assert list(middle_blocks(12)) == [5, 6, 7, 8]
    assert list(middle_blocks(24)) == list(range(10, 18))
    assert all(0 <= block < layers for layers in range(2, 50) for block in middle_blocks(layers))
    assert all(middle_blocks(layers) for layers in range(2, 50))


@pytest.mark.parametrize(
    "labels",
    [
        [[0, 1, 0]],
        [[0], [1], [0], [0]],
        [[0, 0, 1], [0, 1, 0]],
        [[-1, 2, 2, -1], [2, 2, -1, 2], [0, 2, 0, 0], [2, 0, 2, 2], [0, 0, 0, 0]],
    ],
    ids=str,
)
def test_structure_equals_loops(labels):
    got = label_structure(torch.tensor(labels))
    np.testing.assert_allclose(got.numpy(), method_reference.structure(np.array(labels)), atol=1e-6)
    assert got.max() == 1
    assert not got[0].any()
    assert not got[:, 0].any()


def test_structure_in_parts_is_that_of_the_whole(monkeypatch):
    labels = torch.randint(0, 3, (6, 5), generator=torch.Generator().manual_seed(0))
    whole = label_structure(labels)
    monkeypatch.setattr("cliptrase_core.methods.resclip.PAIRS_AT_ONCE", 40)
    torch.testing.assert_close(label_structure(labels), whole)


def test_patches_without_a_likely_word_share_a_label_of_their_own():
    logits = torch.zeros(4, 2, 2)
    logits[2, 0] = 9.0
    grey = torch.zeros(3, 8, 8, dtype=torch.uint8)
    labels = first_labels(logits, torch.tensor([0, 1, 5, 2]), grey, (4, 4), ResclipSettings(least=0.9))
    assert set(labels.unique().tolist()) <= {-1, 5}
    assert first_labels(torch.zeros(4, 2, 2), torch.arange(4), grey, (4, 4), ResclipSettings(least=0.26)).eq(-1).all()
    first = first_labels(torch.zeros(4, 2, 2), torch.arange(4), grey, (4, 4), ResclipSettings(least=0.26, unsure=3))
    assert first.eq(3).all()


def test_the_table_of_methods_is_the_registry_s():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| \[(.+?)\]\(https://arxiv.org/abs/([\d.]+)\) \|", text, re.MULTILINE)
    assert rows == [(one.name, one.source, one.arxiv) for one in METHODS.values()]


def test_a_method_with_other_values_segments_as_it_scores_and_is_saved(segmenter, picture):
    encoding, words = segmenter.encode(picture), "cat; dog; sky"
    changed = replace(METHODS["naclip"], neighbours=0.5, pairs=("qq", "vv"))
    result = segmenter.segment(encoding, words, method=changed)
    assert result.settings["method"] == "naclip"
    assert result.settings["method_changes"] == {"neighbours": 0.5, "pairs": ["qq", "vv"]}
    best = segmenter.scores(encoding, words, method=changed).class_probabilities
    other = segmenter.scores(encoding, words, method="naclip").class_probabilities
    assert not torch.equal(best, other)
    known = segmenter.segment(encoding, words, method=METHODS["naclip"], residual="patch")
    assert np.array_equal(known.labels, segmenter.segment(encoding, words, method="naclip", residual="patch").labels)
    assert "method_changes" not in known.settings
    assert not np.array_equal(result.confidence, segmenter.segment(encoding, words, method="naclip").confidence)
    with pytest.raises(InputError, match="method: expected one of"):
        segmenter.segment(encoding, words, method=replace(changed, name="mine"))


OTHERS = {
    "pairs": [("qk",), ("qq",), ("kk", "vv"), ()],
    "blocks": [0, 1, 3, 8],
    "residual": RESIDUALS,
    "mlp": [False, True],
    "smoothing": [None, 1],
    "neighbours": [None, 1.0],
    "resclip": [None, ResclipSettings(middle=0.5)],
}
"""Values of each attribute that changes features."""


def changes_of(known, most):
    """Yield each set of up to `most` changed values of a method."""
    single = [(name, value) for name, values in OTHERS.items() for value in values if value != getattr(known, name)]
    for count in range(1, most + 1):
        for some in itertools.combinations(single, count):
            if len(dict(some)) == count:
                yield dict(some)


@pytest.mark.parametrize("name", METHODS)
def test_a_value_of_a_method_changes_its_features_or_is_refused(deep, picture, name):
    encoding, text = deep.encode(picture), text_rows()

    def patches(method):
        return deep._features.get(encoding, method, text, (0, 0, 1, 2))[1]

    found = {}
    for changed in changes_of(METHODS[name], 2):
        try:
            method = replace(METHODS[name], **changed)
        except InputError:
            continue
        found[tuple(changed.items())] = patches(method)
    assert len(found) > 10
    found[()] = patches(METHODS[name])
    for some, own in found.items():
        for left_out in some:
            fewer = tuple(one for one in some if one != left_out)
            if left_out == ("blocks", 1) and METHODS[name].blocks > 1 and dict(some).get("residual") == "none":
                continue  # the one number of blocks that says what then counts; the profile of GEM has it
            assert fewer not in found or not torch.allclose(own, found[fewer], atol=1e-9), (some, left_out)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("gem", {"pairs": ("qk", "vv")}, "pairs of method gem: expected no change with smoothing"),
        ("gem", {"neighbours": 1.0}, "neighbours of method gem: expected None"),
        (
            "gem",
            {"residual": "none", "blocks": 3},
            "blocks of method gem: expected 1, since without residual only the last",
        ),
        ("resclip", {"pairs": ("qq",)}, "pairs of method resclip: expected no change with ResCLIP's corrections"),
        ("resclip", {"smoothing": 1}, "smoothing of method resclip: expected None"),
        ("resclip", {"blocks": 3}, "blocks of method resclip: expected 1"),
        ("clip", {"blocks": 1}, "blocks of method clip: expected no change of 0 and 1"),
        ("clip", {"blocks": 4}, "blocks of method clip: expected no change"),
        ("clearclip", {"blocks": 0}, "blocks of method clearclip: expected no change of 0 and 1"),
        ("maskclip", {"neighbours": 1.0}, "neighbours of method maskclip: expected None without pairs"),
    ],
)
def test_a_value_without_effect_is_refused(name, values, said):
    with pytest.raises(InputError, match=said):
        replace(METHODS[name], **values)


def test_more_blocks_than_the_model_has_are_refused(deep, picture):
    encoding = deep.encode(picture)
    for blocks in (9, 99):
        with pytest.raises(InputError, match=f"blocks of method gem: expected at most 8, .*got {blocks}"):
            deep.segment(encoding, WORDS, method=replace(METHODS["gem"], blocks=blocks))
    assert deep.segment(encoding, WORDS, method=replace(METHODS["gem"], blocks=8)).settings["method_changes"]


def test_known_methods_change_all_blocks_of_a_shallow_model(segmenter, picture):
    assert len(segmenter.backbone.blocks) < METHODS["gem"].blocks
    assert "method_changes" not in segmenter.segment(segmenter.encode(picture), WORDS, method="gem").settings


@pytest.mark.parametrize(
    "values",
    [
        {"pairs": ("qx",)},
        {"pairs": "qq"},
        {"pairs": (None,)},
        {"blocks": -1},
        {"blocks": 1.5},
        {"smoothing": -1},
        {"smoothing": 0.5},
        {"neighbours": 0},
        {"neighbours": "5"},
        {"temperature": 0},
        {"temperature": 1e-44},
        {"temperature": 1e-300},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"residual": "all"},
    ],
)
def test_values_that_no_method_can_have_are_refused(values):
    with pytest.raises(InputError, match=next(iter(values))):
        replace(METHODS["naclip"], **values)
