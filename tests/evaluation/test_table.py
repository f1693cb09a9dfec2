"""Several methods on the same data (`--methods`): one encoding per picture, a report for each, and their table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cliptrase_core import cli
from cliptrase_core.evaluation import sheets
from cliptrase_core.evaluation.table import ALL, read_methods
from cliptrase_core.methods.registry import METHODS
from cliptrase_core.segmenter import Segmenter
from tests.datasets import voc_devkit, write_mask

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(monkeypatch, segmenter):
    """Make commands run the tiny model and draw no sheets; return the numbers of pictures of each forward pass."""
    encoded = []
    encode = type(segmenter).encode_batch

    def counted(self, images, *args, **settings):
        encoded.append(sum(image.any() for image in images))  # not the empty picture on which options are tried
        return encode(self, images, *args, **settings)

    monkeypatch.setattr(sheets, "ROWS", 0)
    monkeypatch.setattr(Segmenter, "encode_batch", counted)
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: segmenter))
    return encoded


def evaluate(tmp_path, *arguments, name="r.json", code=0):
    voc20 = ("evaluate", "--setting", "voc20", "--data", str(tmp_path))
    line = [*voc20, *map(str, arguments), "--templates", "simple7", "--batch", "2"]
    assert cli.main([*line, "--output", str(tmp_path / "out" / name)]) == code
    return report(tmp_path, name) if code == 0 else None


def report(tmp_path, name):
    found = json.loads((tmp_path / "out" / name).read_text())
    found.pop("run", None)
    return found


@pytest.mark.parametrize("table", [("--methods", "clip,sclip"), ("--between", "sclip", "naclip")])
def test_a_table_leaves_no_page_and_sheet_of_an_earlier_report_beside_it(tmp_path, monkeypatch, small, table):
    voc_devkit(tmp_path)
    out = tmp_path / "out"
    monkeypatch.setattr(sheets, "ROWS", 1)
    evaluate(tmp_path, "--protocol", "sclip")
    assert {"r.html", "r.md", "r.best.png"} < {path.name for path in out.iterdir()}
    evaluate(tmp_path, *table)
    left = {f"r.{end}" for end in ("html", "md", "best.png", "median.png", "worst.png") if (out / f"r.{end}").exists()}
    assert left == ({"r.md"} if "--methods" in table else set())
    (out / "r.html").write_text("mine")
    evaluate(tmp_path, *table)
    assert (out / "r.html").read_text() == "mine"


@pytest.mark.parametrize("protocol", ["paper", "sclip"])
def test_methods_together_write_the_reports_of_single_runs_from_one_encoding(tmp_path, capsys, small, protocol):
    voc_devkit(tmp_path)
    arguments = ("--protocol", protocol)
    table = evaluate(tmp_path, *arguments, "--methods", ALL)
    together = sum(small)
    assert [row["method"] for row in table["methods"]] == list(METHODS)
    printed = capsys.readouterr().out
    small.clear()
    for row in table["methods"]:
        small.clear()
        alone = evaluate(tmp_path, *arguments, "--method", row["method"], name="alone.json")
        assert sum(small) == together, "nine methods, as many encodings as one"
        assert report(tmp_path, row["report"]) == alone
        assert row["figures"] == alone["figures"]
        assert f"| {row['method']} | " in printed
        for file in (tmp_path / "out" / "alone.records").iterdir():
            file.unlink()
    markdown = (tmp_path / "out" / "r.md").read_text()
    assert all(line in printed for line in markdown.splitlines() if line.startswith("|"))


@pytest.mark.parametrize(
    ("flags", "votes"),
    [
        ((), (True, False)),
        (("--vote",), (True, True)),
        (("--no-vote",), (False, False)),
        (("--protocol", "sclip"), None),
    ],
)
def test_a_table_says_whose_regions_vote(tmp_path, capsys, small, flags, votes):
    voc_devkit(tmp_path)
    table = evaluate(tmp_path, "--methods", "cliptrase,clip", "--limit", "1", *flags)
    votes = votes or (False, False)
    assert tuple(row["vote"] for row in table["methods"]) == votes
    printed = capsys.readouterr().out
    for name, vote in zip(("cliptrase", "clip"), votes, strict=True):
        assert f"| {name} | {'yes' if vote else 'no'} | " in printed
    assert "Vote: whether each region takes its majority label." in (tmp_path / "out" / "r.md").read_text()


def test_a_method_that_has_its_records_is_not_computed_again(tmp_path, small):
    voc_devkit(tmp_path)
    evaluate(tmp_path, "--method", "clip", name="r.clip.json")
    evaluate(tmp_path, "--methods", "naclip", "--limit", "2")
    small.clear()
    table = evaluate(tmp_path, "--methods", "naclip, clip,naclip,gem")
    images = {row["method"]: row for row in table["methods"]}
    runs = {name: json.loads((tmp_path / "out" / row["report"]).read_text())["run"] for name, row in images.items()}
    assert {name: run["images"] for name, run in runs.items()} == {"naclip": 1, "clip": 0, "gem": 3}
    assert sum(small) == 3
    small.clear()
    evaluate(tmp_path, "--methods", "naclip,clip,gem")
    assert not any(small)


def test_a_picture_that_cannot_be_used_is_told_once(tmp_path, capsys, small):
    voc_devkit(tmp_path)
    mask = next(tmp_path.rglob("SegmentationClass/b.png"))
    write_mask(mask, torch.zeros(4, 4).numpy())
    evaluate(tmp_path, "--methods", "clip,naclip", code=2)
    assert [row["scored"] for row in report(tmp_path, "r.json")["methods"]] == [2, 2]
    assert capsys.readouterr().err.count("1 of 3 pictures could not be used") == 1


REFUSED = [
    (("--methods", "clip,magic"), "methods: expected one of"),
    (("--methods", " , "), "expected all, or names with commas between them"),
    (("--methods", "all", "--method", "clip"), "got --method"),
    (("--methods", "all", "--save-predictions", "kept"), "got --save-predictions"),
    (("--methods", "all", "--predictions", "kept"), "got --predictions"),
    (("--methods", "all", "--between", "sclip", "naclip"), "between: expected only data and two protocols"),
    (("--methods", "all", "--protocol", "sclip", "--resclip-gain", "3"), "none with method cliptrase"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_what_does_not_suit_every_method_is_refused(tmp_path, capsys, small, arguments, said):
    voc_devkit(tmp_path)
    evaluate(tmp_path, *arguments, code=2)
    assert said in capsys.readouterr().err
    assert not small


def test_a_file_of_another_program_is_not_replaced(tmp_path, capsys, small):
    voc_devkit(tmp_path)
    (tmp_path / "out").mkdir()
    for name in ("r.json", "r.md", "r.clip.html"):
        (tmp_path / "out" / name).write_text("mine")
        evaluate(tmp_path, "--methods", "clip,naclip", code=2)
        assert "expected no file of that name" in capsys.readouterr().err
        (tmp_path / "out" / name).unlink()
    assert not small


def test_names_are_read_once_and_all_is_every_method():
    assert read_methods(" gem,clip, gem") == ("gem", "clip")
    assert read_methods("clip,all") == tuple(METHODS)


def test_two_processes_write_the_table_that_one_writes(tmp_path):
    line = ["evaluate", "--setting", "examples", "--limit", "3", "--batch", "1", "--methods", "clip,naclip"]
    line += ["--model", "nano", "--templates", "simple7", "--output"]
    assert cli.main([*line, str(tmp_path / "one" / "r.json")]) == 0
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*start, "-m", "cliptrase_core", *line, str(tmp_path / "two" / "r.json")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("r.json", "r.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    parts = sorted((tmp_path / "two" / "r.naclip.records").glob("*.jsonl"))
    assert [part.read_bytes().count(b"\n") for part in parts] == [1 + 2, 1 + 1], "both worked: batches in turn"
