"""Profiles: the table in the docs, their values, and predictions compared with plain loops of each program's steps."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cliptrase_core import cli
from cliptrase_core.errors import InputError
from cliptrase_core.evaluation import sheets
from cliptrase_core.evaluation.predictors import SlidePredictor
from cliptrase_core.evaluation.profiles import PROFILES, table
from cliptrase_core.evaluation.sources import Sample
from cliptrase_core.evaluation.windows import resize_short_side
from cliptrase_core.evaluation.word_lists import setting_words
from cliptrase_core.options import SegmentOptions
from cliptrase_core.presets import PRESETS
from cliptrase_core.segmenter import Segmenter
from cliptrase_core.text.vocabulary import parse_vocabulary
from tests.datasets import voc_devkit
from tests.method_reference import pamr

DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_the_table_in_the_docs_is_the_data():
    text = DOCS.read_text(encoding="utf-8")
    assert table() in text, table()


@pytest.mark.parametrize(
    ("protocol", "setting", "values"),
    [
        ("sclip", "voc21", {"short_side": 336, "window": 224, "stride": 112, "temperature": 65, "least_area": 0.1}),
        ("sclip", "coco171", {"short_side": 448, "temperature": 40, "threshold": 0}),
        ("sclip", "pc60", {"temperature": 50, "threshold": 0.1, "pamr": False}),
        ("naclip", "voc20", {"window": None, "pamr": True, "temperature": 40, "threshold": 0}),
        ("naclip", "coco80", {"window": 224, "threshold": 0.1, "temperature": 40, "least_area": 0}),
        ("resclip", "cityscapes", {"short_side": 560, "pamr": False, "window": 224}),
        ("clearclip", "voc21", {"short_side": 448, "window": 448, "stride": 224, "temperature": 50, "threshold": 0.5}),
        ("gem", "cityscapes", {"short_side": 448, "window": 224, "stride": 224, "positions": "size"}),
        ("maskclip", "coco80", {"threshold": 0.4, "positions": "published"}),
        ("mmseg-slide", "ade847", {"short_side": 448, "window": 224, "positions": "size"}),
    ],
)
def test_values_are_those_of_the_programs(protocol, setting, values):
    slide = PROFILES[protocol].slide_of(setting)
    assert {name: getattr(slide, name) for name in values} == values


def test_resclip_has_numbers_for_each_setting_and_another_method_runs_as_its_paper_has_it():
    profile = PROFILES["resclip"]
    assert set(profile.resclip) == set(profile.settings)
    numbers = profile.method_of("voc21", "resclip").resclip
    assert (numbers.least, numbers.gain, numbers.middle, numbers.unsure) == (0.5, 2.0, 0.3, 20)
    for setting, found in profile.resclip.items():
        words = setting_words(setting, profile.words)
        assert found.unsure == (len(words.classes) if words.background else 0)
    assert PROFILES["maskclip"].method_of("voc21", "sclip").residual == "patch"
    assert PROFILES["maskclip"].method_of("voc21", "maskclip").residual == "none"
    assert "windows" not in PRESETS, "nobody can choose what only profiles use"


def tokens_of(model, crop, positions):
    """Return the input of the last block (1+N, width), [CLS] first, by open_clip's blocks, and the grid (h, w)."""
    visual = model.visual
    pixels = torch.from_numpy(crop.transpose(2, 0, 1) / 255).float()
    mean, std = torch.tensor((0.48145466, 0.4578275, 0.40821073)), torch.tensor((0.26862954, 0.26130258, 0.27577711))
    patches = visual.conv1(((pixels - mean[:, None, None]) / std[:, None, None])[None])
    h, w = patches.shape[2:]
    places = visual.positional_embedding[1:].T.reshape(1, -1, 4, 4)
    if (h, w) != (4, 4) and positions == "published":
        places = F.interpolate(places, scale_factor=((h + 0.1) / 4, (w + 0.1) / 4), mode="bicubic")
    elif (h, w) != (4, 4):
        places = F.interpolate(places, size=(h, w), mode="bicubic", antialias=True)
    tokens = torch.cat([visual.class_embedding[None], patches[0].flatten(1).T])
    tokens = tokens + torch.cat([visual.positional_embedding[:1], places[0].flatten(1).T])
    tokens = visual.ln_pre(tokens)[None]
    for block in visual.transformer.resblocks[:-1]:
        tokens = block(tokens)
    return tokens[0], (h, w)


def attended(name, q, k, v, z, grid):
    """Return the output of one head (T, d) by the formula of a method."""
    scale = q.shape[1] ** -0.5
    if name == "maskclip":
        return v
    if name == "clearclip":
        return (scale * q @ q.T).softmax(1) @ v
    if name == "sclip":
        return ((scale * q @ q.T).softmax(1) + (scale * k @ k.T).softmax(1)) @ v
    if name == "naclip":
        bias = torch.zeros(len(k), len(k))
        for i in range(grid[0] * grid[1]):
            for j in range(grid[0] * grid[1]):
                square = (i // grid[1] - j // grid[1]) ** 2 + (i % grid[1] - j % grid[1]) ** 2
                bias[1 + i, 1 + j] = math.exp(-square / 50)
        return (scale * k @ k.T + bias).softmax(1) @ v
    beta, out = scale * z.norm(dim=1).mean(), 0
    for p in (v, k, q):  # GEM
        unit = F.normalize(p, dim=1)
        unit = F.normalize((beta * unit @ unit.T).softmax(1) @ unit, dim=1)
        out = out + (beta * unit @ unit.T).softmax(1) @ v / 3
    return out


def cosines(name, model, crop, positions, text):
    """Return the cosines of prompts and patches, (P, h, w)."""
    tokens, grid = tokens_of(model, crop, positions)
    block = model.visual.transformer.resblocks[-1]
    z = block.ln_1(tokens)
    q, k, v = (z @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).chunk(3, dim=1)
    split = [part.split(16, dim=1) for part in (q, k, v)]
    heads = [attended(name, *parts, z, grid) for parts in zip(*split, strict=True)]
    out = block.attn.out_proj(torch.cat(heads, dim=1))
    if name == "sclip":
        out = tokens + out
        out = out + block.mlp(block.ln_2(out))
    features = F.normalize(model.visual.ln_post(out) @ model.visual.proj, dim=1)[1:]
    return (text @ features.T).reshape(-1, *grid)


def up(maps, size):
    return F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]


def by_hand(name, slide, model, image, text, label_of, background):
    """Return the labels of a program with these settings, computed step by step."""
    picture = resize_short_side(image, slide.short_side)
    height, width = picture.shape[:2]
    if slide.window is None:
        maps = cosines(name, model, picture[: height // 8 * 8, : width // 8 * 8], slide.positions, text)
    else:
        maps, count = torch.zeros(len(text), height, width), torch.zeros(height, width)
        rows = range(max(height - slide.window + slide.stride - 1, 0) // slide.stride + 1)
        columns = range(max(width - slide.window + slide.stride - 1, 0) // slide.stride + 1)
        for row in rows:
            for column in columns:
                bottom = min(row * slide.stride + slide.window, height)
                right = min(column * slide.stride + slide.window, width)
                top, left = bottom - slide.window, right - slide.window
                found = cosines(name, model, picture[top:bottom, left:right], slide.positions, text)
                maps[:, top:bottom, left:right] += up(found, (slide.window, slide.window))
                count[top:bottom, left:right] += 1
        maps = maps / count
    maps = up(maps, image.shape[:2])
    if slide.pamr:
        colours = up(torch.from_numpy(picture.copy()).permute(2, 0, 1).float(), image.shape[:2])
        maps = torch.from_numpy(pamr(maps.double().numpy(), colours.double().numpy()))
    chances = (slide.temperature * maps).softmax(0).numpy()
    classes = np.stack([chances[label_of == label].max(0) for label in range(background + 1)])
    if slide.least_area:
        areas = [(classes.argmax(0) == label).sum() for label in range(background)]
        for label in range(background):
            if areas[label] <= slide.least_area * sum(areas):
                classes[label] = 0
    return np.where(classes.max(0) < slide.threshold, background, classes.argmax(0))


@pytest.mark.parametrize(
    ("protocol", "setting"),
    [
        ("sclip", "voc21"),
        ("naclip", "voc21"),
        ("naclip", "pc60"),
        ("clearclip", "voc21"),
        ("maskclip", "cityscapes"),
        ("gem", "coco80"),
    ],
)
@torch.no_grad()
def test_a_profile_equals_a_plain_loop_of_its_program(model, segmenter, protocol, setting):
    profile = PROFILES[protocol]
    slide = profile.slide_of(setting)
    # The windows of the programs have hundreds of patches; smaller ones run the same steps. The model's side is 32.
    window = slide.window and {224: 32, 448: 48}[slide.window]
    slide = dataclasses.replace(slide, short_side=52, window=window, stride=24)
    if slide.threshold:
        slide = dataclasses.replace(slide, threshold=0.6, temperature=6)
    words = parse_vocabulary("cat, kitten; dog; tree | background: wall, floor")
    rng = np.random.default_rng(3)
    image = np.kron(rng.integers(0, 256, (5, 7, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    text = segmenter.embed_words(words.prompts)
    wanted = by_hand(protocol, slide, model, image, text, np.array(words.prompt_labels), 3)
    options = SegmentOptions(method=profile.method, templates="simple7")
    predictor = SlidePredictor(segmenter, slide, options, profile.method_of(setting, profile.method))
    sample = Sample("a", image, np.zeros(image.shape[:2], np.int32), None, words)
    ((finish,),) = predictor.predict_each([sample], [predictor])
    got = finish()
    assert (got == wanted).mean() >= 0.999
    assert len(np.unique(wanted)) > 1, "the case must be able to fail"


@pytest.fixture
def small(monkeypatch, segmenter):
    """Make commands run the tiny model and draw no sheets."""
    monkeypatch.setattr(sheets, "ROWS", 0)
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: segmenter))


def evaluate(tmp_path, *arguments, code=0):
    line = ["evaluate", *map(str, arguments), "--limit", "1", "--templates", "simple7"]
    assert cli.main([*line, "--output", str(tmp_path / "r.json")]) == code
    return json.loads((tmp_path / "r.json").read_text()) if code == 0 else None


@pytest.mark.parametrize("protocol", ["sclip", "naclip", "maskclip"])
def test_a_report_lists_every_choice_of_a_profile(tmp_path, small, protocol):
    root = voc_devkit(tmp_path)
    side = ("--short-side", 64)
    setup = evaluate(tmp_path, "--setting", "voc21", "--data", root, "--protocol", protocol, *side)["setup"]
    profile = PROFILES[protocol]
    assert setup["slide"] == {**dataclasses.asdict(profile.slide_of("voc21")), "short_side": 64}
    assert (setup["method"]["method"], setup["word_list"]) == (profile.method, profile.words)
    assert setup["switches"]["residual"] == ("patch" if protocol == "sclip" else "none")


def test_another_method_under_a_profile_stands_in_the_column(tmp_path, small):
    root = voc_devkit(tmp_path)
    report = evaluate(tmp_path, "--setting", "voc20", "--data", root, "--protocol", "naclip", "--method", "clip")
    assert report["column"] == "naclip, method clip, templates simple7"
    assert report["setup"]["switches"]["pairs"] == ["qk"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--setting", "pc459", "--protocol", "sclip"), "setting of protocol sclip: expected one of coco171"),
        (("--setting", "ade847", "--protocol", "gem"), "setting of protocol gem: expected one of coco171"),
        (("--setting", "voc20", "--protocol", "naclip", "--vote"), "sliding windows: expected a method"),
        (("--setting", "voc20", "--protocol", "clearclip", "--preset", "paper-224"), "expected none, since windows"),
        (("--setting", "voc20", "--protocol", "gem", "--reference-quirks"), "reference quirks"),
        (("--setting", "examples", "--protocol", "sclip"), "protocol: expected one of whole"),
    ],
)
def test_what_a_profile_cannot_heed_is_refused(tmp_path, small, capsys, arguments, said):
    root = () if "examples" in arguments else ("--data", voc_devkit(tmp_path))
    evaluate(tmp_path, *arguments, *root, code=2)
    assert said in capsys.readouterr().err


def test_a_strip_that_cannot_be_seen_whole_is_a_problem_of_its_own(segmenter):
    slide = dataclasses.replace(PROFILES["naclip"].slide_of("voc21"), short_side=32)
    predictor = SlidePredictor(segmenter, slide, SegmentOptions(method="naclip", templates="simple7"))
    words = parse_vocabulary("cat; dog | background: wall")
    sample = Sample("a", np.zeros((10, 90, 3), np.uint8), np.zeros((10, 90), np.int32), None, words)
    ((finish,),) = predictor.predict_each([sample], [predictor])
    with pytest.raises(InputError, match="an aspect ratio of at most 4"):
        finish()
