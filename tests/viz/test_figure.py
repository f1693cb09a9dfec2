"""Figures: parts, one scale, titles, every format, any words, threads, no global state."""

import io
import pickle
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import cliptrase_core as cc
from cliptrase_core import InputError
from cliptrase_core.viz.figure import BY_DEFAULT, OF_MAPS, PARTS
from cliptrase_core.viz.heatmap import MOST
from tests.conftest import DATA
from tests.test_architecture import ROOT
from tests.viz.results import result_4x4


@pytest.fixture(scope="module")
def drawn(segmenter):
    """A picture, its result, its refined result and its attention maps."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    result = segmenter.segment(segmenter.encode(image), "cat; dog; sky")
    return image, result, cc.refine(result, image, refiner="edges"), segmenter.inspect(image)


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def save(figure, kind="png", **options):
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "Glyph missing" is one
        warnings.simplefilter("default", ResourceWarning)  # sockets of earlier tests, collected just now
        figure.savefig(out, format=kind, **options)
    return out.getvalue()


def test_the_function_is_there_without_further_imports_and_leaves_pyplot_alone():
    code = (
        "import importlib, sys, cliptrase_core as cc\n"
        "importlib.import_module('cliptrase_core.viz.figure')\n"
        "early = 'matplotlib' in sys.modules\n"
        "from tests.viz.results import result_4x4\n"
        "cc.viz.figure(result_4x4()).savefig(sys.stdout.buffer, format='png')\n"
        "raise SystemExit(early or 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, cwd=ROOT)
    assert done.returncode == 0
    assert done.stdout.startswith(b"\x89PNG")


def test_one_row_shows_everything_that_is_given(drawn):
    image, result, refined, maps = drawn
    figure = cc.viz.figure(maps, refined, image=image, patch=(1, 2))
    assert isinstance(figure, Figure)
    assert len(figure.axes) == len(BY_DEFAULT)
    assert titles(cc.viz.figure(result)) == [f"{result.regions.max() + 1} regions", "result"]
    assert titles(cc.viz.figure(maps)) == ["before: query-key attention", "after: recovered attention", "difference"]
    assert titles(refined.figure(image=image, parts=["result", "coarse", "picture"])) == [
        "refined",
        "coarse",
        "picture",
    ]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("with_image", [True, False])
def test_every_part_stands_alone_too(drawn, part, with_image):
    image, _, refined, maps = drawn
    if part == "picture" and not with_image:
        pytest.skip("there is none")
    figure = cc.viz.figure(refined, maps, parts=part, image=image if with_image else None, patch=(0, 0))
    assert len(figure.axes) == 1
    assert save(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_figure_is_saved_in_every_format(drawn, kind, start):
    image, result, _, maps = drawn
    assert save(cc.viz.figure(result, maps, image=image), kind).startswith(start)


def test_more_dots_an_inch_are_more_pixels():
    small, large = (Image.open(io.BytesIO(save(result_4x4().figure(), dpi=dpi))).size for dpi in (50, 300))
    assert large == pytest.approx([6 * side for side in small], abs=6)


def test_before_and_after_share_one_scale_and_a_difference_is_even_both_ways(drawn):
    *_, maps = drawn
    figure = cc.viz.figure(maps, parts=OF_MAPS, patch=(2, 3))
    before, after, difference, _ = (axes.images[-1] for axes in figure.axes)
    assert before.get_clim() == after.get_clim()
    assert before.get_clim()[0] == 0
    low, high = difference.get_clim()
    assert low == -high
    shares = before.get_array().filled()
    row = maps.attention[maps.token(2, 3), 1:].numpy()
    np.testing.assert_allclose(shares.ravel(), row / row.sum() * row.size, rtol=1e-5)
    np.testing.assert_allclose(difference.get_array().filled(), after.get_array().filled() - shares, atol=1e-5)


def test_a_figure_has_the_scale_of_the_page_and_says_what_lies_beyond(drawn):
    *_, maps = drawn
    spike = torch.zeros_like(maps.attention)
    spike[:, 1] = 1  # patch 0 has all attention
    figure = cc.viz.figure(replace(maps, attention=spike), parts=("before", "after", "difference"), patch=(2, 3))
    before, after, difference = (axes.images[-1] for axes in figure.axes)
    assert before.get_clim() == after.get_clim() == (0, MOST)
    assert difference.get_clim() == (-MOST, MOST)
    assert [one.colorbar.extend for one in (before, after, difference)] == ["max", "max", "both"]


def test_the_title_says_model_layer_head_and_patch(drawn, segmenter):
    image, result, _, maps = drawn
    name = segmenter.info.name
    assert maps.model == name == result.settings["model"]
    assert (
        cc.viz.figure(maps, patch=(1, 2)).get_suptitle() == f"{name} · layer 2 · mean of heads · patch: row 1, column 2"
    )
    one = segmenter.capture(image).maps(layer=3, head=1)
    beside = cc.viz.figure(one, result).get_suptitle()  # regions and result are not of that layer
    assert beside == f"{name} · attention of layer 3 · head 1 · [CLS]"
    assert cc.viz.figure(one, result, parts="result").get_suptitle() == name
    other = replace(result, settings={**result.settings, "method": "clearclip"})
    assert cc.viz.figure(other, image=image).get_suptitle() == f"{name} · clearclip"
    assert cc.viz.figure(one, title="Figure 2").get_suptitle() == "Figure 2"
    assert cc.viz.figure(one, title="").get_suptitle() == ""


def test_a_line_below_a_titled_figure_explains_its_frames(drawn):
    image, result, _, maps = drawn
    said = lambda *shown, **options: cc.viz.figure(*shown, **options).get_supxlabel()  # noqa: E731
    red, white = "red frame: the patch", "white frames: global patches"
    some, none = (replace(maps, global_patches=torch.arange(count)) for count in (2, 0))
    assert said(some, image=image, patch=(1, 2)) == f"{red} · {white}"
    assert said(some) == white
    assert said(none, patch=(1, 2)) == red
    assert said(some, result, parts="result", patch=(1, 2)) == said(result) == ""
    assert said(some, patch=(1, 2), title="") == ""
    for layers in ([none, some], [some, none]):
        assert cc.viz.layer_sheet(layers, patch=(1, 2)).get_supxlabel() == f"{red} · {white}"


@pytest.mark.parametrize(
    "names",
    [
        ("$x", "y$", "{z", "\\frac"),
        ("_hidden", "<b>", "%", " "),
        ("猫", "고양이", "बिल्ली", "cat 猫"),
        ("قطة", "забор", "été", "λόγος"),
        ("x" * 900, "\x00", "\ud800", "a\nb"),
    ],
)
@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_any_class_names_are_drawn_and_never_as_boxes(names, kind):
    figure = replace(result_4x4(), class_names=names).figure(title="$ of \\{")
    assert save(figure, kind)
    assert len(figure.axes[-1].get_legend().get_texts()) == 3  # the classes that are present


def test_another_font_writes_the_names():
    font = str(Path(matplotlib.get_data_path(), "fonts", "ttf", "STIXGeneral.ttf"))
    own, other = (result_4x4().figure(parts="result", font=each) for each in (None, font))
    assert save(own) != save(other)
    with pytest.raises(InputError, match="font: expected a TrueType"):
        result_4x4().figure(parts="result", font="no-such.ttf")


def test_a_legend_of_many_classes_says_how_many_more():
    labels = np.arange(64, dtype=np.int32).reshape(8, 8)
    empty = np.full((8, 8), -1, np.int32)
    names = tuple(map(str, range(64)))
    many = replace(
        result_4x4(), labels=labels, regions=empty, confidence=np.ones((8, 8), np.float32), class_names=names
    )
    assert many.figure(parts="result").axes[0].get_legend().get_texts()[-1].get_text() == "and 52 more"


@pytest.mark.parametrize("parts", [[], "", "attention", ["result", "before"], "picture", "coarse", [None], [[]], 5])
def test_parts_that_are_not_there_are_refused_with_those_that_are(parts):
    with pytest.raises(InputError, match="parts: expected some of regions, result, confidence"):
        result_4x4().figure(parts=parts)


@pytest.mark.parametrize("shown", [(), (None,), ("picture.png",), (result_4x4(), result_4x4()), (np.zeros((3, 3)),)])
def test_what_cannot_be_drawn_is_refused(shown):
    with pytest.raises(InputError, match="figure: expected a result, attention maps, or one of each"):
        cc.viz.figure(*shown)


@pytest.mark.parametrize("patch", [(99, 0), (-1, 0), (0.5, 1), (1,), (1, 2, 3), "ab", 7, (True, 0)])
def test_a_patch_outside_the_grid_is_refused(drawn, patch):
    with pytest.raises(InputError, match="patch: expected"):
        cc.viz.figure(drawn[-1], patch=patch)


def test_a_patch_without_maps_is_refused():
    with pytest.raises(InputError, match="Pass the maps"):
        result_4x4().figure(patch=(0, 0))


def test_maps_of_another_grid_are_refused(drawn, segmenter):
    """One patch would be marked at two places."""
    image, result, *_ = drawn
    other = segmenter.inspect(image, preset="paper-224")
    (h, w), (own_h, own_w) = other.grid, result.grid
    said = f"maps: expected {own_h} x {own_w} patches, as the result, got {h} x {w} patches"
    with pytest.raises(InputError, match=said):
        result.figure(other)


def test_a_picture_of_another_frame_is_refused():
    with pytest.raises(InputError, match="the frame of the labels"):
        result_4x4().figure(image=np.zeros((5, 4, 3), np.uint8))


def test_the_picture_may_be_a_file(segmenter):
    path = DATA / "golden" / "image0.png"
    assert titles(segmenter.segment(segmenter.encode(path), "a; b").figure(image=path))[0] == "picture"


def test_no_region_and_one_patch_are_drawn_too(segmenter):
    image = np.zeros((8, 8, 3), np.uint8)
    maps = segmenter.inspect(image, short_side=8)
    assert maps.grid == (1, 1)
    assert save(cc.viz.figure(maps, parts=OF_MAPS, patch=(0, 0), image=image))
    assert titles(result_4x4().figure())[0] == "0 regions"


def test_notebooks_show_a_figure_and_processes_hand_it_on():
    figure = result_4x4().figure()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pickle.loads(pickle.dumps(figure))._repr_png_().startswith(b"\x89PNG")


def test_threads_draw_at_once():
    found = []
    threads = [threading.Thread(target=lambda: found.append(save(result_4x4().figure(), dpi=60))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 6


@pytest.mark.parametrize(
    ("count", "shape", "patch"),
    [(1, (2, 1), None), (2, (2, 2), (1, 2)), (6, (2, 6), None), (12, (4, 6), (1, 2)), (13, (6, 6), None)],
)
def test_a_sheet_shows_every_layer_before_and_after_on_one_scale(drawn, count, shape, patch):
    image, _, _, maps = drawn
    layers = [replace(maps, layer=number) for number in range(1, count + 1)]
    sheet = cc.viz.layer_sheet(layers, image=image, patch=patch)
    panels = [axes for axes in sheet.axes if axes.get_title()]
    assert sorted(axes.get_title() for axes in panels) == sorted(
        f"layer {number} {side}" for number in range(1, count + 1) for side in ("before", "after")
    )
    assert panels[0].get_subplotspec().get_gridspec().get_geometry() == shape
    assert len({axes.images[-1].get_clim() for axes in panels}) == 1
    assert save(sheet).startswith(b"\x89PNG")
    listed = cc.viz.layer_sheet(layers, image=image, patch=patch and list(patch))
    assert {axes.images[-1].get_clim() for axes in listed.axes if axes.get_title()} == {panels[0].images[-1].get_clim()}


def test_one_very_bright_layer_does_not_darken_the_others(drawn):
    image, _, _, maps = drawn
    spike = torch.zeros_like(maps.attention)
    spike[:, 1] = 1
    sheet = cc.viz.layer_sheet([maps, replace(maps, layer=1, attention=spike)], image=image)
    panels = [axes for axes in sheet.axes if axes.get_title()]
    assert {axes.images[-1].get_clim() for axes in panels} == {(0.0, MOST)}


def test_a_sheet_of_nothing_and_a_patch_outside_are_refused(drawn):
    for layers, patch in (((), None), ((drawn[3],), (99, 0))):
        with pytest.raises(InputError):
            cc.viz.layer_sheet(layers, patch=patch)
