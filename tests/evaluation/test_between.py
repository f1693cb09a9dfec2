"""Comparison of two protocols (`--between`): one run for each single difference."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest

from cliptrase_core import cli
from cliptrase_core.errors import InputError
from cliptrase_core.evaluation import sheets
from cliptrase_core.evaluation.between import steps
from cliptrase_core.evaluation.profiles import PROFILES
from cliptrase_core.evaluation.word_lists import setting_words
from cliptrase_core.segmenter import Segmenter
from tests.datasets import voc_devkit


@pytest.fixture(autouse=True)
def small(monkeypatch, segmenter):
    """Make commands run the tiny model and draw no sheets."""
    monkeypatch.setattr(sheets, "ROWS", 0)
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: segmenter))


def evaluate(tmp_path, *arguments, name="r.json", code=0):
    line = ["evaluate", *map(str, arguments), "--limit", "2", "--templates", "simple7"]
    assert cli.main([*line, "--output", str(tmp_path / name)]) == code
    return json.loads((tmp_path / name).read_text()) if code == 0 else None


TOGETHER = {"window": "window", "stride": "window"}


@pytest.mark.parametrize("pair", list(itertools.permutations(PROFILES, 2)))
@pytest.mark.parametrize("setting", ["voc20", "voc21", "cityscapes", None])
def test_each_step_changes_one_thing_and_the_last_is_the_other_protocol(pair, setting):
    a, b = (PROFILES[name] for name in pair)
    found = steps(*pair, setting)
    assert found[0].slide == a.slide_of(setting)
    assert found[-1].slide == b.slide_of(setting)
    assert found[-1].method == b.method_of(setting, b.method)
    if setting:
        assert setting_words(setting, found[-1].words) == setting_words(setting, b.words)
    for before, after in itertools.pairwise(found):
        pairs = [(name, value, getattr(after.slide, name)) for name, value in dataclasses.asdict(before.slide).items()]
        changed = {TOGETHER.get(name, name) for name, old, new in pairs if old != new}
        changed |= {"method"} if before.method != after.method else set()
        changed |= {"words"} if before.words != after.words else set()
        assert len(changed) == 1


def test_the_order_is_words_picture_method_scores():
    titles = [(step.title, step.before, step.after) for step in steps("sclip", "clearclip", "voc21")]
    assert titles == [
        ("sclip", "", ""),
        ("words", "sclip", "clearclip"),
        ("short side", "336", "448"),
        ("window and stride", "224 / 112", "448 / 224"),
        ("method", "sclip", "clearclip"),
        ("temperature", "65.0", "50.0"),
        ("threshold", "0.1", "0.5"),
        ("least area", "0.1", "0.0"),
    ]


def test_the_chain_begins_and_ends_with_what_the_protocols_alone_give(tmp_path, capsys):
    voc20 = ("--setting", "voc20", "--data", voc_devkit(tmp_path))
    chain = evaluate(tmp_path, *voc20, "--between", "sclip", "naclip", name="chain.json")
    table, notes = capsys.readouterr()
    assert notes.count("nano is small") == 1
    assert [row["step"] for row in chain["steps"]] == ["sclip", "window and stride", "method", "pamr"]
    alone = [evaluate(tmp_path, *voc20, "--protocol", name, name=f"{name}.json") for name in ("sclip", "naclip")]
    for row, report in zip((chain["steps"][0], chain["steps"][-1]), alone, strict=True):
        assert row["mIoU"] == report["figures"]["mIoU"]
    changes = [row["change"]["value"] for row in chain["steps"][1:]]
    first, last = (report["figures"]["mIoU"]["value"] for report in alone)
    assert sum(changes) == pytest.approx(last - first)
    assert all(row["change"]["low"] <= row["change"]["high"] for row in chain["steps"][1:])
    assert "| pamr | off | on |" in table
    assert (tmp_path / "chain.3.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--between", "sclip", "sclip"), "expected two protocols that differ on voc20"),
        (("--between", "sclip", "naclip", "--method", "clip"), "got --method"),
        (("--between", "sclip", "naclip", "--words", "sclip"), "got --words"),
        (("--between", "sclip", "naclip", "--protocol", "sclip"), "got --protocol"),
        (("--between", "sclip", "naclip", "--short-side", "64"), "got --short-side"),
        (("--between", "sclip", "naclip", "--save-predictions", "x"), "got --save-predictions"),
        (("--between", "sclip", "naclip", "--vocabulary", "cat; dog"), "got --vocabulary"),
        (("--between", "sclip", "naclip", "--reference-quirks"), "reference quirks"),
    ],
)
def test_what_a_chain_cannot_heed_is_refused(tmp_path, capsys, arguments, said):
    evaluate(tmp_path, "--setting", "voc20", "--data", voc_devkit(tmp_path), *arguments, code=2)
    assert said in capsys.readouterr().err


def test_a_chain_with_a_picture_that_cannot_be_used_is_complete_and_says_so_by_its_exit_code(tmp_path):
    root = voc_devkit(tmp_path)
    (root / "VOCdevkit/VOC2012/JPEGImages/b.jpg").write_bytes(b"no picture")
    evaluate(tmp_path, "--setting", "voc20", "--data", root, "--between", "sclip", "mmseg-slide", code=2)
    rows = json.loads((tmp_path / "r.json").read_text())["steps"]
    assert len(rows) == len(steps("sclip", "mmseg-slide", "voc20")) > 1


@pytest.mark.parametrize("pair", [("sclip", "mmseg-slide"), ("mmseg-slide", "gem"), ("naclip", "resclip")])
def test_a_setting_that_one_of_them_does_not_know_is_refused(pair):
    with pytest.raises(InputError, match=r"setting of protocol .*: expected one of coco171"):
        steps(*pair, "pc459")


def test_a_file_of_another_program_is_not_replaced_by_the_table(tmp_path, capsys):
    (tmp_path / "r.json").write_text("mine")
    voc20 = ("--setting", "voc20", "--data", voc_devkit(tmp_path))
    evaluate(tmp_path, *voc20, "--between", "sclip", "naclip", code=2)
    assert "expected no file of that name" in capsys.readouterr().err
    assert (tmp_path / "r.json").read_text() == "mine"
