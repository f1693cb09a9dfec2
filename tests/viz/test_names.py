"""Names drawn in their regions: inside the picture, without overlap, readable in many scripts, never as boxes."""

import itertools
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from cliptrase_core.errors import InputError
from cliptrase_core.viz.names import LEAST_SIZE, draw_names, name_marks, readable, shown_name, text_size, write
from cliptrase_core.viz.overlay import lay_over, overlay
from cliptrase_core.viz.palette import label_colours
from tests.viz.results import result_4x4

FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")


def quarters(height, width):
    labels = np.zeros((height, width), np.int32)
    labels[: height // 2, width // 2 :] = 1
    labels[height // 2 :, : width // 2] = 2
    labels[height // 2 :, width // 2 :] = -1
    return labels


def boxes(size, labels, names):
    found = []
    for text, (x, y), height in name_marks(size, labels, names):
        wide, tall = text_size(text, height)
        found.append((text, x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2))
    return found


@pytest.mark.parametrize("size", [(480, 640), (1200, 800), (200, 200), (3000, 4000)])
def test_each_region_gets_its_name_in_its_middle(size):
    marks = list(name_marks(size, quarters(*size), ["sky", "dog", "grass"]))
    assert {text for text, *_ in marks} == {"sky", "dog", "grass"}
    for text, (x, y), _ in marks:
        row, column = {"sky": (0.25, 0.25), "dog": (0.25, 0.75), "grass": (0.75, 0.25)}[text]
        assert abs(y / size[0] - row) < 0.1
        assert abs(x / size[1] - column) < 0.15


@pytest.mark.parametrize("size", [(300, 300), (480, 640), (900, 500)])
@pytest.mark.parametrize("count", [3, 12, 60])
def test_names_neither_overlap_nor_leave_the_picture(size, count):
    blocks = np.random.default_rng(count).integers(0, count, (9, 9)).astype(np.int32)
    labels = blocks.repeat(1 + size[0] // 9, axis=0).repeat(1 + size[1] // 9, axis=1)[: size[0], : size[1]]
    found = boxes(size, labels, [f"class {index}" for index in range(count)])
    assert found
    for _, left, top, right, bottom in found:
        assert min(left, top) >= -2
        assert right <= size[1] + 2
        assert bottom <= size[0] + 2
    for (_, *one), (_, *other) in itertools.combinations(found, 2):
        assert one[2] <= other[0] + 2 or other[2] <= one[0] + 2 or one[3] <= other[1] + 2 or other[3] <= one[1] + 2


def test_a_region_in_two_components_is_named_twice_and_a_ring_beside_its_hole():
    labels = np.zeros((300, 500), np.int32)
    labels[:, 200:300] = 1
    assert [text for text, *_ in name_marks((300, 500), labels, ["sea", "pier"])].count("sea") == 2
    ring = np.zeros((400, 400), np.int32)
    ring[100:300, 100:300] = 1
    for text, (x, y), _ in name_marks((400, 400), ring, ["wall", "door"]):
        assert ring[int(y), int(x)] == ("wall", "door").index(text)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (8, 8), (20, 12)])
def test_what_does_not_fit_is_not_written(size):
    picture = np.full((*size, 3), 90, np.uint8)
    labels = np.zeros(size, np.int32)
    np.testing.assert_array_equal(draw_names(picture, labels, ["a rather long name"]), picture)


def test_a_name_shrinks_before_it_is_left_out():
    labels = np.ones((640, 640), np.int32)
    labels[300:316] = 0
    (height,) = {height for text, _, height in name_marks((640, 640), labels, ["rope", "wall"]) if text == "rope"}
    assert LEAST_SIZE <= height < 16


@pytest.mark.parametrize("name", ["cat", "été", "Straße", "забор", "λόγος", "قطة", "ğüş", "a\u0301"])
def test_names_that_the_font_has_are_written_as_they_are(name):
    assert readable(name)
    assert shown_name(name, 3) == name


@pytest.mark.parametrize(
    "name", ["猫", "ねこ", "고양이", "बिल्ली", "แมว", "cat 猫", "\ue000", "", " ", "\x00", "\ud800"]
)
def test_names_that_the_font_lacks_become_their_number(name):
    assert shown_name(name, 3) == "3"


@pytest.mark.parametrize("turn", "\u202a\u202b\u202d\u202e\u2066\u2067\u2068")
def test_a_name_that_would_be_drawn_as_another_becomes_its_number(turn):
    assert shown_name(f"{turn}god", 3) == "3"


def test_a_name_is_one_line_of_limited_length():
    assert shown_name("a\nb\t c", 0) == "a b c"
    assert shown_name("word " * 40, 0).endswith("…")
    assert len(shown_name("x" * 10_000, 0)) < 30


def test_written_text_is_white_on_a_dark_rim_on_any_ground():
    for level in (0, 128, 255):
        ground = np.full((200, 400, 3), level, np.uint8)
        out = write(ground, [("word", (200, 100), 60)])
        assert (out == 255).all(axis=-1).any()
        assert (out == 0).all(axis=-1).any()
        assert (ground == level).all()


@pytest.mark.parametrize("corner", [(0, 0), (399, 199), (-50, 900)])
def test_text_at_the_rim_is_moved_inside(corner):
    ground = np.full((200, 400, 3), 90, np.uint8)
    inside, outside = (write(ground, [("12", at, 30)]) != 90 for at in ((200, 100), corner))
    assert inside.sum() == pytest.approx(outside.sum(), rel=0.1)


def test_another_font_writes_in_its_own_way():
    ground = np.zeros((100, 300, 3), np.uint8)
    labels = np.zeros((100, 300), np.int32)
    own, other = (draw_names(ground, labels, ["name"], font=font) for font in (None, str(FONTS / "DejaVuSerif.ttf")))
    assert (own != other).any()
    assert own.any()


@pytest.mark.parametrize("font", ["no-such.ttf", str(FONTS), __file__, "\0"])
def test_a_file_that_is_no_font_is_refused_without_its_folder(font):
    with pytest.raises(InputError, match="font: expected a TrueType") as refused:
        draw_names(np.zeros((50, 50, 3), np.uint8), np.zeros((50, 50), np.int32), ["a"], font=font)
    assert str(FONTS) not in str(refused.value)


@pytest.mark.parametrize("font", [1, 1.5, True, [], b"a.ttf", "no-such.ttf"])
@pytest.mark.parametrize("names", [True, False])
def test_a_value_that_is_no_font_is_refused_with_and_without_names(font, names):
    result, image = result_4x4(), np.zeros((4, 4, 3), np.uint8)
    labels = np.zeros((50, 50), np.int32)
    for use in (
        lambda: overlay(image, result, names=names, font=font),
        lambda: draw_names(np.zeros((50, 50, 3), np.uint8), labels, ["a"], font=font),
        lambda: result.figure(parts="result" if names else "picture", image=image, font=font),
    ):
        with pytest.raises(InputError, match="font: expected a TrueType or OpenType file, got .* Leave it out"):
            use()


def test_a_font_may_be_a_path():
    result, image = result_4x4(), np.zeros((4, 4, 3), np.uint8)
    path = FONTS / "DejaVuSerif.ttf"
    assert np.array_equal(
        overlay(image, result, names=True, font=path), overlay(image, result, names=True, font=str(path))
    )


@pytest.mark.parametrize("value", ["x", None, 1, 0, [], np.array([True]), np.array(1)])
@pytest.mark.parametrize("option", ["names", "grey"])
def test_an_overlay_takes_only_true_or_false(option, value):
    result, image = result_4x4(), np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(InputError, match=f"{option}: expected true or false, got .* Leave it out"):
        result.overlay(image, **{option: value})
    for right in (True, np.bool_(True)):
        assert result.overlay(image, **{option: right}).shape == (4, 4, 3)


def test_an_overlay_writes_names_only_when_asked():
    small, block = result_4x4(), np.ones((60, 80), np.int32)
    maps = {name: np.kron(getattr(small, name), block) for name in ("labels", "regions", "confidence")}
    result = replace(small, **maps)
    image = np.full((240, 320, 3), 100, np.uint8)
    plain, named = overlay(image, result), overlay(image, result, names=True)
    np.testing.assert_array_equal(plain, lay_over(image, result.labels, label_colours(result), opacity=0.55))
    np.testing.assert_array_equal(named, draw_names(plain, result.labels, result.class_names))
    assert (named != plain).any()
