"""Options turn each protocol into every other one, and values without effect are refused."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from cliptrase_core import cli
from cliptrase_core.cli import evaluate as command
from cliptrase_core.cli.evaluate_arguments import add_arguments
from cliptrase_core.evaluation import sheets
from cliptrase_core.evaluation.choices import Choices, choose, differences
from cliptrase_core.evaluation.data import find_data
from cliptrase_core.evaluation.plan import _header, expect_fitting
from cliptrase_core.evaluation.profiles import PROFILES, Slide
from cliptrase_core.evaluation.windows import label_windows
from cliptrase_core.evaluation.word_lists import setting_words, usual_words
from cliptrase_core.segmenter import Segmenter
from tests.datasets import voc_devkit, voc_prepared

PAIRS = list(itertools.permutations(PROFILES, 2))


@pytest.fixture
def small(monkeypatch, segmenter):
    """Let commands use the tiny model and draw no sheets of examples."""
    monkeypatch.setattr(sheets, "ROWS", 0)
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: segmenter))


def told(profile, setting):
    """Return the command-line options that set every value of a profile."""
    slide, method = profile.slide_of(setting), profile.method_of(setting, profile.method)
    said = ["--method", method.name, "--residual", method.residual, "--mlp" if method.mlp else "--no-mlp"]
    said += ["--short-side", slide.short_side, "--window", slide.window or 0, "--positions", slide.positions]
    said += ["--stride", slide.stride] if slide.window else []
    said += ["--temperature", slide.temperature, "--pamr" if slide.pamr else "--no-pamr"]
    said += ["--threshold", slide.threshold, "--least-area", slide.least_area]
    said += ["--words", usual_words(setting, profile.words)] if setting else []
    if method.name == "gem":
        said += ["--blocks", method.blocks]
    if method.resclip:
        for name, value in dataclasses.asdict(method.resclip).items():
            said += [f"--resclip-{name.replace('_', '-')}", value]
    return [str(word) for word in said]


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(one) for one in arguments])


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("setting", ["voc20", "voc21", "coco80", "cityscapes"])
def test_options_alone_lead_from_each_protocol_to_every_other(pair, setting):
    start, aim = (PROFILES[name] for name in pair)
    line = ("--setting", setting, "--data", ".", "--protocol", start.name, *told(aim, setting))
    request = command._request(parsed(*line))
    got = choose(start, setting, request.options, request.values, request.short_side)
    wanted = Choices(aim.slide_of(setting), aim.method_of(setting, aim.method))
    if wanted.slide.window is None:  # without windows the stride has no effect
        wanted = dataclasses.replace(wanted, slide=dataclasses.replace(wanted.slide, stride=got.slide.stride))
    assert got == wanted
    assert setting_words(setting, request.words) == setting_words(setting, usual_words(setting, aim.words))
    assert request.options.templates is None, "all have the same"


@pytest.mark.parametrize(
    ("start", "aim", "data"),
    [("sclip", "gem", voc_devkit), ("gem", "resclip", voc_prepared), ("clearclip", "naclip", voc_devkit)],
)
def test_a_run_by_options_gives_the_labels_of_the_protocol(tmp_path, small, start, aim, data):
    setting = "voc20" if data is voc_prepared else "voc21"
    root = data(tmp_path)
    labels = []
    for name, more in ((start, told(PROFILES[aim], setting)), (aim, ())):
        line = ["--setting", setting, "--data", root, "--protocol", name, *more, "--templates", "simple7"]
        line += ["--short-side", 96, "--limit", 1, "--save-predictions", tmp_path / f"{name}"]
        assert cli.main(["evaluate", *map(str, line), "--output", str(tmp_path / f"{name}.json")]) == 0
        labels.append((tmp_path / name / "a.png").read_bytes())
        setup = json.loads((tmp_path / f"{name}.json").read_text())["setup"]
        labels.append({part: setup[part] for part in ("slide", "switches", "word_list")})
        labels[-1]["method"] = {part: setup["method"][part] for part in ("method", "templates")}
    assert labels[:2] == labels[2:]


def test_the_column_names_what_is_not_the_protocol_s_own(tmp_path, small):
    line = ["--setting", "voc21", "--data", voc_devkit(tmp_path), "--protocol", "maskclip", "--mlp"]
    line += ["--residual", "cls"]
    line += ["--window", 64, "--stride", 64, "--temperature", 20, "--short-side", 64, "--no-background-words"]
    line += ["--words", "sclip", "--templates", "simple7", "--limit", 1, "--output", tmp_path / "r.json"]
    assert cli.main(["evaluate", *map(str, line)]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["column"] == (
        "maskclip, residual cls, mlp, short side 64, temperature 20, window 64, stride 64, no background words, "
        "words sclip, templates simple7"
    )
    assert report["setup"]["slide"]["background_words"] is False
    assert report["setup"]["method"]["templates"] == "simple7"


COLUMNS = {
    "": "paper-224",
    "--vote --denoise cls --residual patch --eps 0.7 --min-samples 3": "paper-224",
    "--templates openai80 --words published": "paper-224",
    "--method clip": "paper-224",
    "--method clip --vote": "paper-224, vote",
    "--no-vote": "paper-224, no vote",
    "--denoise none --eps 0.5": "paper-224, denoise none, eps 0.5",
    "--preset paper-336 --eps 0.7 --min-samples 7": "paper-336, eps 0.7",
    "--image-prior --residual cls": "paper-224, image prior, residual cls",
    "--everything-else --skip-missing": "paper-224, everything else, skip missing",
    "--words sclip --templates simple7": "paper-224, templates simple7, words sclip",
    "--reference-quirks --image-prior": "paper-224 with reference quirks",
    "--reference-quirks --no-image-prior": "paper-224 with reference quirks, no image prior",
}  # fmt: skip


@pytest.mark.parametrize(("flags", "column"), COLUMNS.items())
def test_a_column_without_windows_names_what_is_not_usual_for_preset_and_method(tmp_path, flags, column):
    voc_prepared(tmp_path)
    request = command._request(parsed("--setting", "voc20", "--data", tmp_path, *flags.split()))
    assert _header(request, find_data(request))["column"] == column


@pytest.mark.parametrize(
    ("flags", "column"),
    [
        ("", "whole, auto"),
        ("--eps 0.7", "whole, auto, eps 0.7"),
        ("--no-vote --short-side 448", "whole, auto, no vote, short side 448"),
    ],
)
def test_the_column_of_whole_pictures_does_too(flags, column):
    request = command._request(parsed("--setting", "examples", *flags.split()))
    assert _header(request, find_data(request))["column"] == column


@pytest.mark.parametrize("setting", ["voc21", "cityscapes"])
@pytest.mark.parametrize("name", PROFILES)
def test_a_protocol_as_it_is_differs_in_nothing(name, setting):
    profile = PROFILES[name]
    request = command._request(parsed("--setting", setting, "--data", ".", "--protocol", name))
    chosen = choose(profile, setting, request.options, request.values)
    assert list(differences(profile, setting, chosen)) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--protocol", "paper", "--window", "224"), "--window: expected a protocol whose windows slide"),
        (("--window", "0"), "--window: expected a protocol whose windows slide"),
        (("--protocol", "naclip", "--stride", "32"), "stride: expected none, since the model sees the whole picture"),
        (("--protocol", "sclip", "--stride", "225"), "stride: expected at most the window's 224 pixels"),
        (("--protocol", "sclip", "--window", "64"), "window: expected at least the stride's 112 pixels"),
        (
            ("--protocol", "sclip", "--window", "64", "--stride", "65"),
            "stride: expected at most the window's 64 pixels",
        ),
        (
            ("--protocol", "sclip", "--threshold", "0.2"),
            "threshold: expected none, since these data have no background",
        ),
        (("--protocol", "gem", "--least-area", "0.2"), "least area: expected none, since these data have no back"),
        (("--protocol", "gem", "--no-background-words"), "Leave out --no-background-words"),
        (("--protocol", "gem", "--blocks", "3"), "blocks: expected 1, since without residual only the last"),
        (("--protocol", "gem", "--blocks", "6"), "blocks: expected 1, since without residual only the last"),
        (("--protocol", "sclip", "--method", "gem", "--residual", "none", "--blocks", "3"), "Leave out --blocks."),
        (("--protocol", "sclip", "--blocks", "3"), "blocks: expected none, since sclip changes the last block alone"),
        (("--protocol", "resclip", "--blocks", "6"), "blocks: expected none, since resclip changes the last"),
        (("--protocol", "naclip", "--resclip-gain", "3"), "resclip gain: expected none with method naclip"),
        (
            ("--protocol", "resclip", "--resclip-unsure", "20"),
            "resclip unsure: expected a label from 0 to 19, or -1 for",
        ),
        (("--protocol", "sclip", "--temperature", "nan"), "temperature: expected a number from 0.001 to 1000000"),
        (("--protocol", "sclip", "--temperature", "1e-44"), "temperature: expected a number from 0.001 to 1000000"),
        (
            ("--protocol", "mmseg-slide", "--window", "2048"),
            "window: expected at most 448 pixels with a short side",
        ),
        (
            ("--protocol", "mmseg-slide", "--window", "1"),
            "window: expected at least the stride's 112 pixels, to leave no",
        ),
        (
            ("--protocol", "sclip", "--window", "1", "--stride", "2"),
            "stride: expected at most the window's 1 pixel, to",
        ),
        (
            ("--protocol", "sclip", "--short-side", "65500"),
            "short side: expected at most 2048 pixels, the limit of the",
        ),
        (("--protocol", "sclip", "--short-side", "2049", "--window", "0"), "short side: expected at most 2048 pixels"),
        (("--protocol", "sclip", "--window", "4096"), "window: expected a whole number from 0 to 2048"),
        (("--between", "sclip", "naclip", "--pamr"), "between: expected only data and two protocols"),
        (("--between", "sclip", "naclip", "--no-mlp"), "between: expected only data and two protocols"),
        (("--between", "sclip", "naclip", "--no-pamr"), "got --no-pamr. Leave out --no-pamr."),
        (("--between", "sclip", "naclip", "--residual", "cls"), "between: expected only data and two protocols"),
        (
            ("--no-vote", "--eps", "0.4"),
            "eps: expected no value, since regions change labels only by a vote, got 0.4. Leave",
        ),
        (("--no-vote", "--min-samples", "5"), "Leave out --min-samples, or --no-vote."),
        (("--no-vote", "--denoise", "dice"), "denoise: expected no value, since regions change labels only by a vote"),
        (("--protocol", "paper", "--method", "clip", "--eps", "0.4"), "Leave out --eps, or give --vote."),
        (("--predictions", "x", "--residual", "cls"), "got --residual"),
        (("--predicted-background", "first"), "predicted background: expected none without --predictions, got first."),
        (("--between", "sclip", "naclip", "--predicted-background", "last"), "Leave out --predicted-background"),
        (("--protocol", "sclip", "--predictions", "x", "--no-pamr"), "got --no-pamr"),
        (("--predictions", "x", "--no-image-prior"), "got --no-image-prior. Leave out --no-image-prior, or"),
    ],
)
def test_a_value_that_nothing_would_heed_is_refused(tmp_path, capsys, monkeypatch, arguments, said):
    def load(*_, **__):
        raise AssertionError("no weights are fetched for it")

    monkeypatch.setattr(Segmenter, "from_pretrained", load)
    line = ["evaluate", "--setting", "voc20", "--data", str(voc_devkit(tmp_path)), *arguments]
    assert cli.main([*line, "--output", str(tmp_path / "r.json")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("blocks", "code"), [("3", 0), ("99", 2)])
def test_more_blocks_than_the_model_has_are_refused(tmp_path, small, capsys, segmenter, blocks, code):
    assert len(segmenter.backbone.blocks) == 3
    line = ["evaluate", "--setting", "voc20", "--data", str(voc_devkit(tmp_path)), "--protocol", "gem", "--limit", "2"]
    line += ["--residual", "patch", "--blocks", blocks, "--short-side", "96", "--templates", "simple7"]
    assert cli.main([*line, "--output", str(tmp_path / "r.json")]) == code
    assert ("expected at most 3, all blocks of the model, got 99" in capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-vote",),
        ("--no-vote", "--denoise", "cls"),
        ("--eps", "0.4", "--min-samples", "5", "--denoise", "dice"),
        ("--method", "clip", "--vote", "--eps", "0.4"),
        ("--method", "clip"),
        ("--method", "clip", "--preset", "paper-336"),
        ("--reference-quirks",),
        *(("--protocol", name) for name in PROFILES),
    ],
    ids=" ".join,
)
def test_defaults_and_values_of_regions_that_vote_are_not_refused(arguments):
    expect_fitting(command._request(parsed("--setting", "voc20", "--data", ".", *arguments)))


def test_a_background_without_words_needs_a_threshold(tmp_path, capsys):
    line = ["evaluate", "--setting", "voc21", "--data", str(voc_devkit(tmp_path)), "--protocol", "sclip"]
    line += ["--no-background-words", "--threshold", "0", "--output", str(tmp_path / "r.json")]
    assert cli.main(line) == 2
    assert "threshold: expected a threshold above 0 with --no-background-words" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag", ["--method=clip", "--no-pamr", "--window=0", "--residual=none", "--eps=1", "--no-vote"]
)
def test_a_comparison_of_reports_heeds_no_option_of_a_run(capsys, flag):
    assert cli.main(["evaluate", "--compare", "a.json", "b.json", flag]) == 2
    name = flag.partition("=")[0]
    assert f"expected two reports and nothing else, got {name}. Leave out {name}." in capsys.readouterr().err


@pytest.mark.parametrize("least_area", [0.0, 0.3])
def test_without_its_words_the_background_is_what_is_unlikely(least_area):
    generator = torch.Generator().manual_seed(0)
    windows = [torch.rand(5, 4, 4, generator=generator)]
    label_of = torch.tensor([0, 1, 1, 2, 2])
    slide = Slide(window=16, temperature=5, threshold=0.45, least_area=least_area, background_words=False)
    got = label_windows(windows, [(0, 16, 0, 16)], (16, 16), label_of, 2, slide)
    up = torch.nn.functional.interpolate(windows[0][None, :3], size=(16, 16), mode="bilinear")[0]
    chances = (5 * up).softmax(0).numpy()
    classes = np.stack([chances[0], chances[1:].max(0)])
    if least_area:
        areas = [(classes.argmax(0) == label).sum() for label in range(2)]
        for label in range(2):
            if areas[label] <= least_area * sum(areas):
                classes[label] = 0
    wanted = np.where(classes.max(0) < 0.45, 2, classes.argmax(0))
    np.testing.assert_array_equal(got, wanted)
    assert 2 in wanted


def test_the_two_commands_of_the_docs_ask_for_the_same():
    docs = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    block = docs.partition("#### Every value is an option")[2].partition("```bash\n")[2].partition("```")[0]
    lines = [line for line in block.replace("\\\n", " ").splitlines() if line]
    found = []
    for line in lines:
        request = command._request(parsed(*shlex.split(line)[4:]))
        profile = PROFILES[request.protocol]
        words = request.words or usual_words("voc21", profile.words)
        found.append((choose(profile, "voc21", request.options, request.values, request.short_side), words))
    assert len(found) == 2
    assert found[0] == found[1]
