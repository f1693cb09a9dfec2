"""Saved figures and tables: files open, numbers are right, and forged requests are refused."""

from __future__ import annotations

import csv
import io

import gradio as gr
import pytest
from PIL import Image

from cliptrase_core.inspection.statistics import measure_patches
from demo.service import SegmentRequest
from demo.service.download import DPI, figure_file
from demo.settings import EXAMPLES
from demo.tabs.result import SegmentHandlers

PATH = str(EXAMPLES / "shepherd.jpg")


@pytest.fixture(scope="module")
def run(service):
    return service.segment(PATH, SegmentRequest("=dog; grass; bushes", short_side=160)).run


@pytest.mark.parametrize(
    ("kind", "start"),
    [("png", b"\x89PNG"), ("heat", b"\x89PNG"), ("layers", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")],
)
def test_every_figure_is_a_file_of_its_kind(service, run, kind, start):
    name, content = figure_file(service, run, PATH, kind, (1, 2))
    assert name.startswith("shepherd.")
    assert content.startswith(start)
    if start == b"\x89PNG":
        with Image.open(io.BytesIO(content)) as picture:
            assert round(picture.info["dpi"][0]) == DPI
            assert picture.width > 1200


@pytest.mark.parametrize("layer", [None, 3])
def test_the_table_holds_each_patch_s_own_numbers(service, run, layer):
    name, content = figure_file(service, run, PATH, "csv", layer=layer)
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    (h, w), maps = run.key.grid, service.maps(run.key, PATH, layer)
    assert len(rows) == h * w
    before = measure_patches(maps.attention, maps.global_patches, maps.grid)
    for i in (0, w + 3, h * w - 1):
        assert (int(rows[i]["row"]), int(rows[i]["column"])) == divmod(i, w)
        assert float(rows[i]["on_global_before"]) == pytest.approx(float(before.on_global[i]), abs=1e-5)
    assert sum(int(row["is_global"]) for row in rows) == len(maps.global_patches)
    assert {row["class"] for row in rows} <= {"'=dog", "grass", "bushes"}
    assert name == f"shepherd.layer{maps.layer}.numbers.csv"


def test_figures_and_numbers_are_of_the_head_that_is_shown(service, run):
    mean, second = (figure_file(service, run, PATH, "csv", head=head)[1].decode() for head in (None, 2))
    assert [next(csv.DictReader(io.StringIO(text)))["head"] for text in (mean, second)] == ["mean", "2"]
    assert mean.splitlines()[1:] != second.splitlines()[1:]
    for kind in ("heat", "layers"):
        assert (
            figure_file(service, run, PATH, kind, (1, 2))[1] != figure_file(service, run, PATH, kind, (1, 2), head=2)[1]
        )


def test_the_name_of_a_file_says_layer_head_and_patch(service, run):
    name = lambda *place: figure_file(service, run, PATH, *place)[0]  # noqa: E731
    assert name("png", (1, 2)) == f"shepherd.layer{run.key.layers - 1}.row1.column2.steps.png"
    assert name("pdf", (1, 3), 4, 2) == "shepherd.layer4.head2.row1.column3.steps.pdf"
    assert name("heat", None, 4) == "shepherd.layer4.cls.heat.png"
    assert name("layers", (1, 2), 4, 2) == "shepherd.head2.row1.column2.layers.png"  # of every layer
    assert name("csv", (1, 2), 4, 2) == "shepherd.layer4.head2.numbers.csv"  # of every patch


@pytest.mark.parametrize(
    ("kind", "place", "said"),
    [
        ("exe", "1,2,3", "figure: expected one of"),
        (None, "1,2,3", "figure: expected one of"),
        ("csv", "a,b,c", "patch"),
        ("csv", "1.5,2,3", "patch"),
        ("csv", {"row": 1}, "patch"),
        ("csv", "1,2,99,0", "layer"),
        ("csv", "1,2,3,99", "head"),
        ("heat", "999,2,3,0", "row"),
        ("csv", "9" * 5000, "patch"),
    ],
)
def test_forged_figures_get_a_message(service, run, kind, place, said):
    with pytest.raises(gr.Error, match=said):
        list(SegmentHandlers(service).figure(run, PATH, kind, place))


def test_a_figure_needs_a_result(service):
    with pytest.raises(gr.Error, match="no result yet"):
        list(SegmentHandlers(service).figure(None, PATH, "png", ""))
