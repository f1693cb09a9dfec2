"""Overlays: boundaries and blending compared with their definitions, styles, pictures of all kinds."""

import numpy as np
import pytest

from cliptrase_core.errors import InputError
from cliptrase_core.viz import overlay as drawn
from cliptrase_core.viz.overlay import STYLES, blend, edges, in_grey, lay_over, overlay
from cliptrase_core.viz.palette import class_colours
from tests.viz.results import result_4x4

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (60, 90, 3), np.uint8)
LABELS = RNG.integers(0, 4, (6, 9)).astype(np.int32).repeat(10, axis=0).repeat(10, axis=1)
COLOURS = RNG.integers(0, 256, (4, 3), np.uint8)
LAYOUTS = {
    "as it is": np.copy,
    "upside down": np.flipud,
    "columns first": np.asfortranarray,
    "blue first": lambda picture: picture[..., ::-1],
}


def edges_by_hand(labels, width):
    """Return the mask of pixels that have another label within `width` steps up, down, left and right."""
    found = np.zeros(labels.shape, bool)
    for y, x in np.ndindex(*labels.shape):
        for other in np.ndindex(*labels.shape):
            near = abs(other[0] - y) + abs(other[1] - x) <= width
            found[y, x] |= near and labels[other] != labels[y, x]
    return found


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("kind", [bool, np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 7)])
def test_edges_are_what_lies_near_another_label(size, kind, width):
    labels = np.random.default_rng(width).integers(0, 2, size).repeat(2, axis=1).astype(kind)
    np.testing.assert_array_equal(edges(labels, width), edges_by_hand(labels, width))


@pytest.mark.parametrize("pair", [(-1, 255), (0, 256), (0, 65_536), (65_535, 65_536), (1_000_000, 1_000_001)])
def test_labels_that_share_their_last_bits_have_an_edge(pair):
    assert edges(np.array([pair], np.int32)).all()


@pytest.mark.parametrize("opacity", [0, 0.1, 0.45, 0.5, 0.55, 0.85, 1])
def test_blending_is_the_nearest_level_of_the_mix(opacity):
    other = PICTURE[::-1].copy()
    exact = PICTURE + opacity * (other.astype(float) - PICTURE)
    assert np.abs(blend(PICTURE, other, opacity) - exact).max() <= 0.5 + 1e-4


def test_grey_keeps_how_bright_a_colour_looks():
    grey = in_grey(PICTURE).astype(float)
    assert np.abs(grey - (PICTURE @ [0.299, 0.587, 0.114])[..., None]).max() <= 1


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_memory_gives_the_same_picture_and_stays_as_it_was(style, layout):
    picture = LAYOUTS[layout](PICTURE)
    plain = np.ascontiguousarray(picture)
    picture.flags.writeable = False
    before = picture.copy()
    out = lay_over(picture, LABELS, COLOURS, style, 0.6)
    np.testing.assert_array_equal(out, lay_over(plain, LABELS, COLOURS, style, 0.6))
    np.testing.assert_array_equal(picture, before)
    assert out.dtype == np.uint8
    assert not np.shares_memory(out, picture)


def test_fill_in_strips_is_the_fill_of_the_whole(monkeypatch):
    whole = lay_over(PICTURE, LABELS, COLOURS)
    monkeypatch.setattr("cliptrase_core.io.geometry.STRIP_PIXELS", 300)
    np.testing.assert_array_equal(lay_over(PICTURE, LABELS, COLOURS), whole)
    np.testing.assert_array_equal(whole, blend(PICTURE, COLOURS[LABELS], 0.55))


def test_a_contour_leaves_the_inside_of_a_region_alone():
    labels = np.zeros((60, 90), np.int32)
    labels[:, 45:] = 1
    out = lay_over(PICTURE, labels, COLOURS, "contour", 1.0)
    inside = ~edges(labels, 3)
    np.testing.assert_array_equal(out[inside], PICTURE[inside])
    assert (out[:, 44] == COLOURS[0]).all()
    assert (out[:, 45] == COLOURS[1]).all()


def test_hatching_follows_its_formula_in_every_direction():
    labels = np.arange(8, dtype=np.int32).repeat(20)[None].repeat(31, axis=0)
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    ways = drawn._WAYS[labels]
    expected = (ways[..., 0] * columns + ways[..., 1] * rows) % 12 < 4
    np.testing.assert_array_equal(drawn._hatching(labels), expected)
    # Classes can be distinguished without colours: no two have the same lines.
    alone = [drawn._hatching(np.full((24, 24), label, np.int32)).tobytes() for label in range(8)]
    assert len(set(alone)) == 8


def test_minus_one_takes_the_last_colour():
    labels = np.array([[-1, 0]])
    assert lay_over(np.zeros((1, 2, 3), np.uint8), labels, COLOURS, "fill", 1).tolist() == [
        [COLOURS[-1].tolist(), COLOURS[0].tolist()]
    ]


@pytest.mark.parametrize("style", ["", "Fill", "outline", None, 3])
def test_a_style_that_there_is_not_is_refused(style):
    with pytest.raises(InputError, match="style: expected one of fill, contour, hatch"):
        overlay(np.zeros((4, 4, 3), np.uint8), result_4x4(), style=style)


def test_a_grey_picture_has_colours_of_classes_only():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    out = overlay(red, result_4x4(), 0, grey=True)
    assert (out == out[..., :1]).all()
    assert 0 < out[0, 0, 0] < 200


def test_overlay_mixes_picture_and_colours():
    result = result_4x4()
    image = np.full((4, 4, 3), 100, np.uint8)
    half = overlay(image, result, 0.5)
    assert half[0, 3].tolist() == [82, 82, 82]  # (100 + 64) / 2
    assert np.array_equal(overlay(image, result, 0), image)
    assert overlay(image, result, 1)[2, 2].tolist() == list(class_colours(result.class_names)["dog"])
    assert overlay(image, result).dtype == np.uint8
    assert (image == 100).all()


@pytest.mark.parametrize("image", [np.zeros((4, 3, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_overlay_refuses_a_picture_of_another_frame(image):
    with pytest.raises(InputError, match="frame of the labels"):
        overlay(image, result_4x4())


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_overlay_refuses_an_opacity_out_of_range(opacity):
    with pytest.raises(InputError, match="0 to 1"):
        overlay(np.zeros((4, 4, 3), np.uint8), result_4x4(), opacity)
