"""The report as a page: all names are escaped, nothing is fetched or run, and its numbers are right."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from cliptrase_core import cli
from cliptrase_core.evaluation.html_report import data_url, facts, flat, text, to_html
from cliptrase_core.evaluation.records import Record, record_of
from cliptrase_core.evaluation.report import CONFUSIONS, by_loss, make_report, run_facts, to_markdown
from cliptrase_core.evaluation.run import Pace
from cliptrase_core.evaluation.sheets import Entry, ShownPicture, grouped, to_png
from cliptrase_core.io.files import is_ours
from cliptrase_core.segmenter import Segmenter
from tests.datasets import voc_devkit

HOSTILE = (
    "<script>alert(1)</script>",
    "' onmouseover='alert(2)",
    '"><img src=x onerror=alert(3)>',
    "</style><svg/onload=alert(4)>",
    "\u202ekcab\u2066 & <b>",
    "java\x00script\x1b[31m:\r\n1",
    "caf\udce9 \U0001f600 \u732b",
    "-->]]>{title}%s",
)
HEADER = {"title": "x", "setting": "x", "protocol": "whole", "column": "whole, auto", "batch": 2, "quirks": False}
VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Tags with their attributes, and texts of a page; fails if tags are not closed in order."""

    def __init__(self, content: bytes):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self._open = [], [], []
        self.feed(content.decode("utf-8"))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def matrices(count, classes):
    rng = np.random.default_rng(5)
    found = rng.integers(0, 90, (count, classes, classes + 1))
    found[:, 2] = 0  # a class without ground truth
    found[:, :, 3] = 0  # a class that is never predicted
    return found


def report_of(names, found, rule="paper", header=HEADER, keys=None):
    keys = keys or [f"p{place}" for place in range(len(found))]
    records = [record_of(key, (), matrix, {}) for key, matrix in zip(keys, found, strict=True)]
    report = make_report(records, names, rule, header)
    report["run"] = run_facts(Pace(len(found), 0, 1.0, 0.5), "python -m cliptrase_core evaluate", 1, "cpu", 2)
    return report


def shown_picture(key="a", names=("cat",), size=(30, 40)):
    rng = np.random.default_rng(1)
    tiles = tuple(rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(3))
    return ShownPicture(key, 50.0, tiles, tuple(Entry(name, (1, 2, 3), 12.0) for name in names), 2)


@pytest.mark.parametrize("place", ["class", "key", "title", "column", "problem", "words", "command"])
@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_a_name_holds_it_is_text(place, hostile):
    header = {**HEADER, **({place: hostile} if place in ("title", "column", "words") else {})}
    names = [hostile, "b", "c", "d"] if place == "class" else list("abcd")
    report = report_of(names, matrices(3, 4), header=header, keys=[hostile, "p", "q"] if place == "key" else None)
    if place == "problem":
        report["pictures"]["problems"] = [{"key": hostile, "why": hostile}]
    if place == "command":
        report["run"]["command"] = hostile
    content = to_html(report, {"Best pictures": [shown_picture(hostile if place == "key" else "a", names)]})
    page = Page(content)
    shown = html.unescape(text(hostile))
    assert any(shown in one for one in page.texts), "it is there, in full"
    known = {"name", "content", "charset", "http-equiv", "lang", "class", "style", "src", "alt"}
    assert {attribute for _, attrs in page.tags for attribute in attrs} == known
    assert not {"script", "svg", "link", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    assert sum(tag == "img" for tag, _ in page.tags) == 3
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", content.decode()), "nothing unseen"


def test_the_page_stands_alone(tmp_path):
    content = to_html(report_of(list("abcd"), matrices(3, 4)), {"Best pictures": [shown_picture()]})
    page = Page(content)
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for tag, attrs in page.tags if tag == "img")
    assert not re.search(rb"https?:|url\(|@import|<script", content)
    (tmp_path / "r.html").write_bytes(content)
    assert is_ours(tmp_path / "r.html"), "a later run may replace it"


def test_pictures_in_the_page_are_the_tiles():
    pixels = np.full((20, 30, 3), (200, 30, 90), np.uint8)
    with Image.open(io.BytesIO(base64.b64decode(data_url(pixels).partition(",")[2]))) as picture:
        assert np.abs(np.asarray(picture).astype(int) - pixels).max() <= 4


@pytest.mark.parametrize("rule", ["paper", "published", "mmseg"])
def test_classes_stand_by_what_they_lose_and_confusions_by_pixels(rule):
    found, names = matrices(3, 6), list("abcdef")
    report = report_of(names, found, rule)
    whole = found.sum(0)
    smooth = 0.01 if rule == "published" else 0
    iou = {}
    for label in range(6):
        union = whole[label].sum() + whole[:, label].sum() - whole[label, label] + smooth
        iou[label] = 100 * whole[label, label] / union if union else None
    counted = [c for c in range(6) if (whole[c].sum() + whole[:, c].sum() if rule == "mmseg" else whole[c].sum())]
    mean = sum(iou[c] for c in counted) / len(counted)
    assert report["class_mean"] == pytest.approx(mean)
    assert report["figures"]["mIoU"]["value"] == pytest.approx(mean)
    for label, row in enumerate(report["classes"]):
        assert row["name"] == names[label], "in the order of their labels"
        assert (row["lost"] is None) == (label not in counted)
        if label in counted:
            assert row["lost"] == pytest.approx(mean - iou[label])
        assert (row["hit"], row["true"]) == (whole[label, label], whole[label].sum())
    order = [row["name"] for row in by_loss(report)]
    lost = {c: whole[c].sum() + whole[:, c].sum() - 2 * whole[c, c] for c in range(6)}
    others = [c for c in range(6) if c not in counted]
    by_hand = [*sorted(counted, key=lambda c: (iou[c], -lost[c])), *sorted(others, key=lambda c: -lost[c])]
    assert order == [names[c] for c in by_hand]
    pairs = [(whole[t, g], t, g) for t in range(6) for g in range(7) if t != g and whole[t, g]]
    pairs.sort(key=lambda pair: -pair[0])
    got = [(one["pixels"], one["true"], one["given"]) for one in report["confusions"]]
    assert [pixels for pixels, *_ in got] == [pixels for pixels, *_ in pairs[:CONFUSIONS]]
    assert set(got) <= {(n, names[t], None if g == 6 else names[g]) for n, t, g in pairs}
    assert report["confusions"][0]["share"] == pytest.approx(100 * pairs[0][0] / whole[pairs[0][1]].sum())
    markdown = to_markdown(report, {}).decode()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in markdown.partition("## Classes")[2].splitlines()[4:10]]
    assert rows == order


@pytest.mark.parametrize(
    "records",
    [[], [Record("a", problem="gone")], [Record("a", left_out="nothing counts")], [Record("a")]],
    ids=range(4),
)
def test_a_run_without_figures_has_a_page_too(records):
    report = make_report(records, ["a", "b"], "paper", HEADER)
    report["run"] = run_facts(Pace(0, 0, 0.0, 0.0), "x", 1, "cpu", 1)
    assert any("No pixel counts" in one for one in Page(to_html(report, {})).texts)


def test_a_picture_that_has_gone_since_has_its_line_and_no_tiles():
    gone = ShownPicture("z", 3.0, (), ())
    page = Page(to_html(report_of(list("abcd"), matrices(2, 4)), {"Worst pictures": [gone]}))
    assert "It could not be read again." in page.texts
    with Image.open(io.BytesIO(to_png([gone, shown_picture()]))) as sheet:
        assert sheet.height > 30


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 17, 18, 19, 100])
def test_sheets_show_each_picture_once_and_few_pictures_all(count):
    order = [(str(place), 100.0 - place) for place in range(count)]
    found = grouped(order)
    shown = [key for chosen in found.values() for key, _ in chosen]
    assert len(shown) == len(set(shown)) == min(count, 18)
    assert found["Best pictures"][0] == order[0]
    if count > 1:
        assert found["Worst pictures"][0] == order[-1]
    if count > 18:
        middle = [int(key) for key, _ in found["Median pictures"]]
        assert abs(np.mean(middle) - (count - 1) / 2) <= 0.5


@pytest.mark.parametrize("size", [(240, 320), (320, 90), (60, 320), (1, 320)])
def test_a_sheet_has_no_gaps_between_its_tiles(size):
    tile = np.zeros((*size, 3), np.uint8)
    with Image.open(io.BytesIO(to_png([ShownPicture("k", 1.0, (tile, tile, tile), (), 0)]))) as sheet:
        dark = (np.asarray(sheet.convert("L")) == 0).sum(0).astype(bool)
        assert sheet.width <= 3 * (size[1] + 4) + 220 or sheet.width <= 440
    columns = np.flatnonzero(dark[: 3 * size[1] + 8])
    assert np.diff(columns).max() <= 5
    assert len(columns) >= 3 * size[1]


def test_a_legend_says_what_colours_mean():
    entries = tuple(Entry(f"class {place}", (20 * place, 255 - 20 * place, 90), 10.0) for place in range(10))
    tile = np.full((40, 50, 3), 255, np.uint8)
    with Image.open(io.BytesIO(to_png([ShownPicture("k", 1.0, (tile, tile, tile), entries, 3)]))) as sheet:
        pixels = np.asarray(sheet)
    for entry in entries:
        assert (pixels == entry.colour).all(-1).sum() >= 80


@pytest.mark.parametrize("protocol", ["sclip", "resclip", "paper"])
def test_a_page_lists_every_choice_of_its_run(tmp_path, monkeypatch, segmenter, protocol):
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: segmenter))
    line = ["--setting", "voc20", "--data", voc_devkit(tmp_path), "--protocol", protocol, "--templates", "simple7"]
    line += ["--residual", "cls", *(["--temperature", 33, "--short-side", 64] if protocol != "paper" else [])]
    assert cli.main(["evaluate", *map(str, line), "--output", str(tmp_path / "r.json")]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    content = (tmp_path / "r.html").read_bytes()
    assert len(content) < 4_000_000
    page = Page(content)
    recorded = page.texts[page.texts.index("Every setting, as recorded") :]
    for key, value in flat(report["setup"]):
        assert recorded[recorded.index(key) + 1] == value
    said = {label: value for rows in facts(report).values() for label, value in rows.items()}
    assert said["residual"] == "cls"
    assert said["templates"] == "simple7"
    if protocol == "resclip":
        assert "gain 2" in said["ResCLIP"]
    if protocol != "paper":
        assert (said["temperature"], said["short side"]) == (33.0, 64)
    assert sum(tag == "img" for tag, _ in page.tags) == 3 * 3, "three pictures, each once"
    assert {path.name for path in tmp_path.glob("r.*")} >= {
        "r.best.png",
        "r.median.png",
        "r.worst.png",
        "r.md",
        "r.html",
    }
    again = ["--limit", "1", "--output", str(tmp_path / "r.json")]
    assert cli.main(["evaluate", *map(str, line), *again]) == 0
    assert not (tmp_path / "r.worst.png").exists(), "no sheet of an earlier run stays"


IN_EFFECT = {
    "": {"vote": True, "eps": 0.7, "min_samples": 3, "residual": "patch"},
    "--preset paper-336 --eps 0.5": {"vote": True, "eps": 0.5, "min_samples": 7, "residual": "patch"},
    "--no-vote --residual cls": {"vote": False, "residual": "cls"},
    "--method clearclip": {"vote": False, "residual": "none"},
    "--method clearclip --vote": {"vote": True, "eps": 0.7},
    "--protocol sclip": {"vote": False, "eps": None, "residual": "patch"},
}


@pytest.mark.parametrize(("flags", "expected"), IN_EFFECT.items())
def test_a_report_says_whether_regions_voted_and_by_which_clusters(tmp_path, monkeypatch, segmenter, flags, expected):
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: segmenter))
    line = ["--setting", "voc20", "--data", str(voc_devkit(tmp_path)), "--templates", "simple7", "--limit", "1"]
    assert cli.main(["evaluate", *line, *flags.split(), "--output", str(tmp_path / "r.json")]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert expected.items() <= report["setup"]["method"].items()
    assert ("Regions vote." if expected["vote"] else "Regions do not vote.") in (tmp_path / "r.md").read_text()
    said = facts(report)["Method"]
    if "sclip" not in flags:
        assert said["regions vote"] == ("yes" if expected["vote"] else "no")
    assert said.get("eps") == (expected["eps"] if expected["vote"] else None)


def test_a_report_of_whole_pictures_has_the_models_rule_of_clusters(tmp_path, monkeypatch, segmenter):
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: segmenter))
    assert cli.main(["evaluate", "--setting", "examples", "--limit", "1", "--output", str(tmp_path / "r.json")]) == 0
    method = json.loads((tmp_path / "r.json").read_text())["setup"]["method"]
    assert (method["vote"], method["eps"], method["min_samples"]) == (True, "0.05 sqrt(N)", "0.0153 N, rounded")
    page = (tmp_path / "r.html").read_text()
    assert "0.05 sqrt(N)" in page
    assert "the preset's" not in page
