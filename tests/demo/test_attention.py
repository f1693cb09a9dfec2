"""The Attention tab without a browser, on the embedded model: views, numbers, refused and ignored requests."""

from __future__ import annotations

import dataclasses

import gradio as gr
import numpy as np
import pytest

from demo import drawing
from demo.answers import sentence
from demo.drawing import difference_map, heat_map, matrix_picture
from demo.examples import read_examples
from demo.html import percent
from demo.service import SegmentRequest, Service
from demo.service.lens import lens_value
from demo.settings import INCOMING, OUTGOING, Settings
from demo.tabs import attention as tab
from demo.tabs.attention import ALL_HEADS, AttentionHandlers
from tests.demo.conftest import Click

FIELDS = {"layer": 11, "head": ALL_HEADS, "direction": OUTGOING, "subject": "patch", "scale": tab.SAME_SCALE}
ROW, COLUMN = 5, 3


@pytest.fixture(scope="module")
def service():
    service = Service(Settings(model="nano", device="cpu"))
    service.start()
    return service


@pytest.fixture(scope="module")
def handlers(service):
    return AttentionHandlers(service)


@pytest.fixture(scope="module")
def photo():
    return str(next(example.path for example in read_examples() if example.name == "shepherd"))


@pytest.fixture(scope="module")
def run(service, photo):
    return service.segment(photo, SegmentRequest("dog; road")).run


def refresh(handlers, run, inspected, photo, place="", *shown):
    return handlers.refresh(run, inspected, photo, OUTGOING, "patch", tab.SAME_SCALE, place, *shown)


def test_the_tab_shows_what_the_lens_shows(handlers, service, run, photo):
    view = refresh(handlers, run, None, photo, "5,3,7,2")
    assert (view.row.value, view.column.value, view.layer.value, view.head.value) == (5, 3, 7, 2)
    assert same(view.before, step(handlers, run, photo, layer=7, head=2).before)
    assert unchanged(refresh(handlers, run, run.key, photo, "5,3,7,2", 5, 3, 7, 2)), "the lens follows the tab"
    assert refresh(handlers, run, run.key, photo, "5,4,7,2", 5, 3, 7, 2).column.value == 4
    assert unchanged(refresh(handlers, run, run.key, photo, "", 5, 3, 7, 2)), "the lens has no patch yet"
    start = lens_value(service, run, photo)["start"]
    for other in ("", "99,0,11,0", "0,99,11,0", "0,0,13,0", "0,0,0,0", "0,0,11,9"):  # of another picture or model
        view = refresh(handlers, run, None, photo, other)
        assert (view.row.value, view.column.value) == divmod(start, run.key.grid[1])
        assert (view.layer.value, view.head.value) == (11, ALL_HEADS)
    with pytest.raises(gr.Error, match="patch"):
        refresh(handlers, run, None, photo, "1,2,x,4")


def step(handlers, run, photo, row=ROW, column=COLUMN, **changes):
    return handlers.step(run, photo, row, column, *{**FIELDS, **changes}.values())


def look(service, run, photo, **options):
    return service.patch_attention(run.key, photo, ROW, COLUMN, **options)


def same(first, second):
    return first.shape == second.shape and bool((first == second).all())


def unchanged(view):
    return all(value == gr.skip() for value in view)


def test_click_and_numbers_show_the_same_patch(handlers, run, photo):
    side = drawing.cell_side(run.key.grid)
    point = Click([(COLUMN + 0.5) * side, (ROW + 0.5) * side])
    clicked = handlers.click(run, run.token, photo, point, *FIELDS.values())
    stepped = step(handlers, run, photo)
    assert (clicked.row, clicked.column) == (ROW, COLUMN)
    for name in ("patches", "before", "after", "difference", "affinity"):
        assert same(getattr(clicked, name), getattr(stepped, name)), name


@pytest.mark.parametrize(("by", "place"), [((0, 1), (5, 4)), ((0, -1), (5, 2)), ((-1, 0), (4, 3)), ((1, 0), (6, 3))])
def test_arrows_go_to_the_neighbour(handlers, run, photo, by, place):
    view = handlers.move(run, photo, ROW, COLUMN, *FIELDS.values(), by=by)
    assert (view.row, view.column) == place


def test_arrows_stop_at_the_edge(handlers, run, photo):
    h, w = run.key.grid
    assert handlers.move(run, photo, 0, 0, *FIELDS.values(), by=(-1, 0)).row == 0
    assert handlers.move(run, photo, h - 1, w - 1, *FIELDS.values(), by=(0, 1)).column == w - 1


def test_every_map_is_a_share_of_its_row_in_multiples_of_an_even_one(service, run, photo):
    found = look(service, run, photo)
    for share, values in zip(found.relative, (found.attention, found.recovered, found.affinity), strict=True):
        positive = np.maximum(values, 0)
        np.testing.assert_allclose(share, positive / positive.sum() * values.size, rtol=1e-4)
        assert share.mean() == pytest.approx(1, abs=1e-5)


def test_who_looks_at_a_patch_is_its_column(service, run, photo):
    incoming = look(service, run, photo, direction=INCOMING)
    h, w = run.key.grid
    for row, column in ((0, 0), (2, 7), (h - 1, w - 1)):
        other = service.patch_attention(run.key, photo, row, column)
        assert incoming.attention[row, column] == pytest.approx(other.attention[ROW, COLUMN])
        assert incoming.relative[0][row, column] == pytest.approx(other.relative[0][ROW, COLUMN], rel=1e-4)
    assert incoming.received[0] == pytest.approx(float(incoming.relative[0].mean()), rel=1e-5)
    assert look(service, run, photo).received is None


def test_recovery_takes_attention_from_global_patches(service):
    """Check the paper's claim on the embedded model, for the average patch of the clustered layer."""
    for example in read_examples():
        seen = service.segment(str(example.path), SegmentRequest("dog; road")).run.key
        before, after = service.matrix(seen, str(example.path)).numbers
        assert before.on_global > 3 * after.on_global, example.name


def test_numbers_on_the_page_are_those_of_the_map(service, run, photo):
    found = look(service, run, photo)
    shares = found.relative[1] / found.relative[1].size
    cells = tuple(np.transpose(found.global_patches))
    assert found.numbers[1].on_global == pytest.approx(float(shares[cells].sum()), rel=1e-4)
    assert found.numbers[1].near == pytest.approx(float(shares[3:8, 1:6].sum()), rel=1e-4)
    text = sentence(found)
    assert percent(found.numbers[0].on_global, 0) in text
    assert f"{len(found.global_patches)} global patch" in text


@pytest.mark.parametrize(
    ("near", "said"),
    [
        ((0.11, 0.272), "rose from 11\u00a0% to 27\u00a0%."),
        ((0.114, 0.106), "stayed at 11\u00a0%."),
        ((0.11, 0.003), "fell from 11\u00a0% to < 1\u00a0%."),
    ],
)
def test_the_sentence_says_what_its_rounded_numbers_say(service, run, photo, near, said):
    found = look(service, run, photo)
    numbers = tuple(dataclasses.replace(one, near=share) for one, share in zip(found.numbers, near, strict=True))
    assert sentence(dataclasses.replace(found, numbers=numbers)).endswith(said)


def test_one_head_differs_from_the_mean(handlers, service, run, photo):
    mean, one = look(service, run, photo), look(service, run, photo, head=2)
    assert not np.allclose(mean.attention, one.attention, atol=1e-4)
    assert "head 2 of" in step(handlers, run, photo, head=2).patch_facts


def test_cls_and_matrix_have_views_of_their_own(handlers, run, photo):
    cls, matrix = (step(handlers, run, photo, subject=subject) for subject in ("cls", "matrix"))
    assert "[CLS]" in cls.patch_facts
    assert cls.before.shape == cls.patches.shape
    count = run.key.grid[0] * run.key.grid[1]
    assert matrix.before.shape[0] == matrix.before.shape[1]
    assert matrix.before.shape[0] % count == 0
    assert "an average patch" in matrix.patch_facts
    assert cls.direction._constructor_args[0]["interactive"] is False


def test_the_cls_map_is_row_zero(service, run, photo):
    found = service.cls_attention(run.key, photo, 11)
    maps = service.models.segmenter(None).capture(photo).maps(11)
    np.testing.assert_allclose(found.attention, maps.cls_attention.numpy(), rtol=1e-5)
    assert found.patch is None
    assert found.numbers[0].near is None


def test_the_depth_figure_marks_the_layer_and_is_computed_once(handlers, service, run, photo, monkeypatch):
    first = step(handlers, run, photo, layer=4).depth
    assert first.count("<li") == run.key.layers
    assert first.count("aria-current=true") == 1
    monkeypatch.setattr("cliptrase_core.inspection.capture.Capture.depth", None)
    assert step(handlers, run, photo, layer=5).depth != first


def test_scales_say_their_ends(handlers, run, photo):
    assert "4&times; and more" in step(handlers, run, photo).scales
    own = step(handlers, run, photo, scale=tab.OWN_SCALE)
    assert "cosine" in own.scales
    assert not same(own.after, step(handlers, run, photo).after)


@pytest.mark.parametrize("index", ["abc", None, {"a": 1}, [-5, 99999], [1], [None, 2], ["1", "2"], [float("nan"), 1]])
def test_forged_clicks_get_a_message(handlers, run, photo, index):
    with pytest.raises(gr.Error, match="click"):
        handlers.click(run, run.token, photo, Click(index), *FIELDS.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"row": 99}, "patch: expected row 0 to"),
        ({"column": -1}, "patch: expected row 0 to"),
        ({"row": "x"}, "row: expected a number"),
        ({"column": 1.5}, "column: expected a whole number"),
        ({"layer": 99}, "layer: expected a whole number from 1 to 12"),
        ({"layer": [1]}, "layer: expected a number"),
        ({"head": 99}, "head: expected a whole number from 1 to"),
        ({"head": "all"}, "head: expected a number"),
        ({"direction": "sideways"}, "direction: expected one of"),
        ({"subject": {"a": 1}}, "view: expected one of"),
        ({"scale": "<img>"}, "colour scale: expected one of"),
    ],
)
def test_forged_controls_are_named(handlers, run, photo, changes, said):
    with pytest.raises(gr.Error, match=said):
        step(handlers, run, photo, **changes)


def test_what_belongs_to_an_older_picture_is_ignored_or_refused(handlers, run, photo, tmp_path):
    assert unchanged(handlers.click(run, "another", photo, Click([1, 1]), *FIELDS.values()))
    assert unchanged(handlers.click(None, "", photo, Click([1, 1]), *FIELDS.values()))
    assert unchanged(step(handlers, None, photo))
    assert unchanged(handlers.move(None, photo, 0, 0, *FIELDS.values(), by=(0, 1)))
    other = tmp_path / "other.png"
    other.write_bytes(b"another picture")
    fresh = AttentionHandlers(Service(Settings(model="nano", device="cpu")))  # has no cached picture
    with pytest.raises(gr.Error, match="replaced"):
        step(fresh, run, str(other))


def test_opening_the_tab_shows_the_most_telling_patch_and_offers_layers_and_heads(handlers, run, photo):
    view = handlers.refresh(run, None, photo)
    assert view.inspected == run.key
    start = lens_value(handlers._service, run, photo)["start"]
    assert (view.row._constructor_args[0]["value"], view.column._constructor_args[0]["value"]) == divmod(
        start, run.key.grid[1]
    )
    for name in ("before", "after", "difference", "affinity"):  # no blank frames
        assert getattr(view, name) is not None
    assert len(view.head._constructor_args[0]["choices"]) == run.key.heads + 1
    assert unchanged(handlers.refresh(run, run.key, photo))
    assert handlers.refresh(None, run.key, photo).before is None


PICTURE = np.full((2 * 16, 3 * 16, 3), 90, dtype=np.uint8)


def test_a_common_scale_gives_equal_values_equal_colours():
    low, high = np.full((2, 3), 1.0), np.array([[1.0, 2, 3], [4, 5, 9]])
    first, second = (heat_map(PICTURE, values, None, ends=(0.0, 4.0)) for values in (low, high))
    assert same(first[:16, :16], second[:16, :16])
    assert same(second[16:, :16], second[16:, 32:])  # 4 and 9: the scale ends at 4


def test_no_difference_is_pale_less_is_blue_and_more_is_orange():
    shown = difference_map(PICTURE, np.array([[0.0, -4, 4], [0, 0, 0]]), 4.0, None).astype(int)
    none, less, more = shown[8, 8], shown[8, 24], shown[8, 40]
    assert none.max() - none.min() == 0
    assert less[2] > less[0] + 80
    assert more[0] > more[2] + 80


def test_global_patches_are_white_and_the_chosen_one_red():
    shown = heat_map(PICTURE, np.zeros((2, 3)), (1, 2), [(0, 1)], (0.0, 1.0))
    assert shown[0, 16].tolist() == [255, 255, 255]
    assert shown[16, 32].tolist() == list(drawing.MARK)


def test_a_matrix_is_shown_in_whole_pixels():
    assert matrix_picture(np.zeros((300, 300, 3), dtype=np.uint8)).shape == (600, 600, 3)


@pytest.mark.parametrize("subject", ["cls", "matrix"])
def test_a_chosen_patch_is_shown_also_from_the_other_views(handlers, run, photo, subject):
    fields = {**FIELDS, "subject": subject}.values()
    wanted = step(handlers, run, photo).before
    side = drawing.cell_side(run.key.grid)
    views = {
        "click": handlers.click(run, run.token, photo, Click([COLUMN * side + 1, ROW * side + 1]), *fields),
        "row and column": handlers.choose(run, photo, ROW, COLUMN, *fields),
        "arrow": handlers.move(run, photo, ROW, COLUMN - 1, *fields, by=(0, 1)),
    }
    for name, view in views.items():
        assert view.subject == "patch", name
        assert same(view.before, wanted), name
    assert views["arrow"].direction._constructor_args[0]["interactive"] is True
