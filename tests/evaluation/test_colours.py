"""`colours:` of a description: masks in colours are read pixel by pixel, and ambiguous colours are refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.colours import VOC_COLOURS, colour_of, voc_colour
from cliptrase_core.evaluation.data import find_data
from cliptrase_core.evaluation.folder import read_folder_set
from cliptrase_core.evaluation.request import Request
from cliptrase_core.io.masks import IGNORED as I
from tests.datasets import write_picture

HEAD = "images: i\nmasks: m\n"
PIXELS = [[(255, 0, 0), (0, 255, 0)], [(0, 0, 0), (255, 255, 255)]]


def described(tmp_path, text, pixels=PIXELS, kind="RGB"):
    write_picture(tmp_path / "i/a.jpg", np.random.default_rng(0), (2, 2))
    (tmp_path / "m").mkdir(exist_ok=True)
    Image.fromarray(np.array(pixels, np.uint8)).convert(kind).save(tmp_path / "m/a.png")
    (tmp_path / "mine.yaml").write_text(HEAD + text)
    return read_folder_set(tmp_path / "mine.yaml")


WAYS = {
    "hex": "colours: {cat: '#ff0000', dog: '#00FF00', background: '#000000', ignored: '#ffffff'}\n",
    "lists": "colours:\n  cat: [255, 0, 0]\n  dog: [0, 255, 0]\n  background: [0, 0, 0]\n  ignored: [255, 255, 255]\n",
    "texts": "colours: {cat: 255 0 0, dog: '0,255,0', Background: 0 0 0, ignored: '(255, 255, 255)'}\n",
    "hex without a mark": "colours: {cat: ff0000, dog: 00ff00, background: 0 0 0, ignored: ffffff}\n",
    "in another order": "colours: {ignored: '#ffffff', dog: '#00ff00', background: '#000000', cat: '#ff0000'}\n"
    "vocabulary: 'cat, kitten; dog | background: wall'\n",
}


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_colours_are_read_as_the_classes_that_they_stand_for(tmp_path, text, kind):
    own = described(tmp_path, text, kind=kind)
    assert own.words.class_names == ("cat", "dog", "background")
    data = find_data(Request(own))
    data.expect_usable()
    np.testing.assert_array_equal(data.source.load(0).ground_truth, [[0, 1], [2, I]])


REFUSED = {
    "a class without a colour": ("colours: {cat: 1 2 3}\nvocabulary: cat; dog\n", "got none for 'dog'"),
    "a colour without a class": ("colours: {cat: 1 2 3, cow: 3 3 3}\nvocabulary: cat;\n", "got 'cow'"),
    "one colour twice": ("colours: {cat: 1 2 3, dog: '#010203'}\n", "got 1 2 3 twice"),
    "no colour": ("colours: {cat: red}\n", "colour of 'cat': expected a colour such as"),
    "two numbers": ("colours: {cat: [1, 2]}\n", "colour of 'cat'"),
    "too much red": ("colours: {cat: 256 0 0}\n", "got '256 0 0'"),
    "numbers beside them": ("colours: {cat: 1 2 3}\nfirst: 1\n", "got `first`"),
    "numbers of classes": ("colours: {cat: 1 2 3}\nvocabulary: {3: cat}\n", "classes without numbers"),
    "a list": ("colours: [1, 2]\n", "a colour for each class"),
    "a background without words": ("colours: {cat: 1 2 3, background: 0 0 0}\nvocabulary: cat;\n", "got 'background'"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_colours_that_mean_two_things_or_nothing_are_refused(tmp_path, text, said):
    with pytest.raises(InputError) as refused:
        described(tmp_path, text)
    assert said in str(refused.value)


def test_a_colour_that_is_not_listed_is_named(tmp_path):
    own = described(tmp_path, "colours: {cat: '#ff0000', dog: '#00ff00', background: '#000000'}\n")
    with pytest.raises(InputError, match=r"mask 'a.png': expected the colours of `colours`, got also 255 255 255\."):
        find_data(Request(own)).source.load(0)
    own = described(tmp_path, WAYS["hex"], [[0, 1], [2, 3]], "L")
    with pytest.raises(InputError, match="got a grey PNG"):
        find_data(Request(own)).source.load(0)


def test_colours_of_voc_are_those_of_its_devkit():
    assert [voc_colour(number) for number in (0, 1, 2, 15, 20, 255)] == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (192, 128, 128), (0, 64, 128), (224, 224, 192)
    ]  # fmt: skip
    assert len(VOC_COLOURS.numbers) == 22


@pytest.mark.parametrize("value", ["#12345", "x", [1, 2, 3, 4], {"r": 1}, None, [1.5, 2, 3], "1 2"])
def test_what_is_no_colour_is_refused(value):
    with pytest.raises(InputError, match="cat: expected a colour"):
        colour_of(value, "cat")
