"""Colours: by name, distinguishable for colour-blind people, regions, painting, legend."""

import itertools

import numpy as np
import pytest

from cliptrase_core.errors import InputError
from cliptrase_core.text.vocabulary import dataset_vocabulary, parse_vocabulary
from cliptrase_core.viz.palette import (
    BACKGROUND_COLOUR,
    CUSTOMARY,
    NO_REGION_COLOUR,
    PALETTE,
    class_colours,
    legend,
    paint,
    region_colours,
    to_hex,
)
from tests.viz.results import result_4x4

# Colour vision by Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}


def lab(colours, sight):
    c = np.asarray(colours, dtype=float) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(SIGHT[sight]).T, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    xyz = seen @ np.array(to_xyz).T / [0.95047, 1, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def smallest_distance(colours, sight):
    points = lab(colours, sight)
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(points, 2))


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("words", ["voc20", "common"])
def test_twenty_words_and_background_are_13_apart_in_every_sight(words, sight):
    names = {
        "voc20": dataset_vocabulary("voc20").class_names,
        "common": parse_vocabulary(
            "sky, tree, grass, road, car, bus, person, dog, cat, horse, "
            "cow, sheep, bird, boat, house, wall, floor, lamp, bed, sea"
        ).class_names,
    }[words]
    colours = class_colours([*names, "background"])
    assert smallest_distance([*colours.values(), NO_REGION_COLOUR], sight) > 13


@pytest.mark.parametrize("also", [["bench", "wall", "Sky"], [f"class {i}" for i in range(60)], []])
def test_further_names_change_no_colour(also):
    names = ["dog", "man", "grass", "tree", "wall", "background"]
    both = class_colours(names, also)
    assert class_colours(names).items() <= both.items()
    assert len({*both.values()}) == len({*names, *also})


def test_palette_is_32_distinct_colours():
    assert len(set(PALETTE)) == 32


def test_colour_follows_the_name_in_any_order_and_case():
    names = dataset_vocabulary("coco171").class_names
    assert class_colours(names) == class_colours(reversed(names))
    assert class_colours(["Cat"])["Cat"] == class_colours(["cat"])["cat"]


def test_colour_is_the_same_in_every_run():
    # Fixed values: a change would give other colours than in pictures saved before.
    assert {name: to_hex(c) for name, c in class_colours(["cat", "dog", "background"]).items()} == {
        "cat": "#cc79a7",
        "dog": "#0000c3",
        "background": "#404040",
    }


def test_grass_is_green_and_sky_is_blue_and_others_keep_away():
    few = class_colours(["dog", "sheep", "Sky", "grass", "water", "tree"])
    strongest = {name: "rgb"[int(np.argmax(colour))] for name, colour in few.items() if name.casefold() in CUSTOMARY}
    assert strongest == {"Sky": "b", "water": "b", "grass": "g", "tree": "g"}
    assert class_colours(["dog", "sheep"]).items() <= few.items()
    two = class_colours(["sea", "river"])
    assert two["sea"] != two["river"]
    names = [f"class {i}" for i in range(20)]
    assert not set(class_colours(names).values()) & set(CUSTOMARY.values())


def test_most_words_keep_their_colour_when_another_comes():
    names = dataset_vocabulary("voc20").class_names
    few, more = class_colours(names[:8]), class_colours(names[:9])
    assert sum(few[name] == more[name] for name in few) >= 6


@pytest.mark.parametrize(
    "words",
    [
        "dog; soccer ball; brick wall; road",
        "dog; soccer ball; sky; grass",
        "turtle; octopus; crab; palm tree; sky; sand",
    ],
)
def test_a_few_words_look_unlike_each_other(words):
    """Regression: brick wall and road once had two blues that were hard to distinguish."""
    colours = list(class_colours(parse_vocabulary(words).class_names).values())
    assert smallest_distance(colours, "normal") > 35


def test_1500_names_have_1500_colours():
    names = [f"class {i}" for i in range(1499)] + ["background"]
    colours = class_colours(names)
    assert len(set(colours.values())) == 1500
    assert colours["background"] == BACKGROUND_COLOUR
    assert colours == class_colours(sorted(names, reverse=True))


def test_names_that_differ_only_in_case_or_are_odd_get_distinct_colours():
    names = ["Cat", "cat", "CAT", "", "\ud800", "<b>", "قطة"]
    assert len(set(class_colours(names).values())) == len(names)


def test_more_names_than_the_lattice_holds_still_end():
    assert len(set(class_colours(map(str, range(5000))).values())) == 5000


@pytest.mark.parametrize("count", [0, 1, 32, 33, 1000, 8000])
def test_neighbouring_regions_differ_and_none_is_light_grey(count):
    colours = region_colours(count)
    assert colours.shape == (count + 1, 3)
    assert tuple(colours[-1]) == NO_REGION_COLOUR
    assert (np.diff(colours.astype(int), axis=0) != 0).any(axis=1).all()
    if count <= 1000:
        assert len({tuple(row) for row in colours}) == count + 1


def test_paint_looks_each_label_up():
    picture = paint(np.array([[0, 1], [1, -1], [0, 0]]), [(1, 2, 3), (4, 5, 6), (7, 8, 9)])
    assert picture.tolist() == [
        [[1, 2, 3], [4, 5, 6]],
        [[4, 5, 6], [7, 8, 9]],
        [[1, 2, 3], [1, 2, 3]],
    ]
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("labels", [np.array([[3]]), np.array([[-2]]), np.array([0]), np.array([[0.0]])])
def test_paint_refuses_labels_without_a_colour(labels):
    with pytest.raises(InputError, match="expected"):
        paint(labels, [(0, 0, 0)] * 3)


def test_legend_lists_what_is_present_largest_first():
    rows = legend(result_4x4())
    assert [(row.index, row.name, row.area, row.confidence) for row in rows] == [
        (0, "cat", 8 / 16, 0.5),
        (2, "background", 7 / 16, 1.0),
        (1, "dog", 1 / 16, 0.25),
    ]
    assert rows[1].colour == "#404040"
