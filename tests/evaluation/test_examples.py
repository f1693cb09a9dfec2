"""Photographs with masks drawn by hand: complete bundled set; order, holes and edges of masks; broken files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.examples import IGNORE, read_examples, read_mask
from cliptrase_core.io.image import read_image
from cliptrase_core.io.masks import IGNORED
from tests.test_architecture import ROOT

FOLDER = ROOT / "assets" / "examples"
SHIPPED = read_examples(FOLDER)
MOST_BYTES = 3_000_000
MOST_IGNORED = 0.12
LONGEST_SIDE = 800
FREE = {"CC0 1.0", "public domain", "CC BY 2.0", "CC BY 3.0", "CC BY 4.0"}

ENTRY = {
    "name": "wall",
    "file": "wall.png",
    "words": "cat, kitten; wall",
    "credit": "me",
    "licence": "CC0",
    "alt": "A.",
}
WIDTH, HEIGHT = 40, 20
WHOLE = f"wall: 0,0 {WIDTH},0 {WIDTH},{HEIGHT} 0,{HEIGHT}\n"


def shipped(test):
    return pytest.mark.parametrize("example", SHIPPED, ids=lambda example: example.name)(test)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes an example of one picture, 40 wide and 20 high, and returns its folder."""

    def write(polygons=WHOLE, entries=(ENTRY,)):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "wall.png")
        (tmp_path / "wall.polygons.txt").write_bytes(polygons if isinstance(polygons, bytes) else polygons.encode())
        (tmp_path / "examples.json").write_text(entries if isinstance(entries, str) else json.dumps(entries))
        return tmp_path

    return write


def test_a_dozen_photographs_ship_in_little_space():
    files = [path for example in SHIPPED for path in (example.path, example.mask_path)]
    assert len(SHIPPED) == 12
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


@shipped
def test_every_photograph_is_credited_in_the_list_and_in_the_card(example):
    assert example.licence in FREE
    rows = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| {example.path.name} |")]
    assert example.licence in row
    assert example.credit.partition(":")[0] in row  # author


@shipped
def test_a_screen_reader_gets_one_plain_sentence(example):
    assert example.alt.endswith(".")
    assert example.alt.count(". ") == 0
    assert 30 <= len(example.alt) <= 140


@shipped
def test_a_mask_names_nearly_every_pixel_and_every_class(example):
    labels = read_mask(example)
    assert labels.shape == read_image(example.path).shape[:2]
    assert max(labels.shape) <= LONGEST_SIDE
    assert 3 <= len(example.classes) <= 7
    assert set(np.unique(labels)) - {IGNORED} == set(range(len(example.classes)))
    assert (labels == IGNORED).mean() <= MOST_IGNORED


@shipped
def test_whatever_has_no_class_is_marked_as_such(example):
    """Check that `IGNORED` pixels come from `ignore` polygons, not from gaps between polygons."""
    painted = example.mask_path.read_text(encoding="utf-8").replace(f"{IGNORE}:", f"{example.classes[0]}:")
    height, width = read_mask(example).shape
    assert (read_mask_of(painted, example, height, width) == IGNORED).mean() <= 0.05


def read_mask_of(text, example, height, width):
    """Paint the mask of a polygon text with PIL, independently of the reader."""
    from PIL import ImageDraw

    canvas = Image.new("I", (width, height), IGNORED)
    draw = ImageDraw.Draw(canvas)
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, points = line.partition(":")
            xy = [tuple(map(float, point.split(","))) for point in points.split()]
            draw.polygon(xy, fill=IGNORED if name == IGNORE else example.classes.index(name))
    return np.array(canvas)


@shipped
def test_another_painter_gives_the_same_mask(example):
    labels = read_mask(example)
    other = read_mask_of(example.mask_path.read_text(encoding="utf-8"), example, *labels.shape)
    assert (labels == other).mean() >= 0.99  # edges may differ by a pixel


@pytest.mark.parametrize(
    ("name", "x", "y", "named"),
    [
        ("kitten", 300, 200, "cat"),
        ("kitten", 460, 300, "ball of yarn"),
        ("horses", 600, 280, "horse"),
        ("horses", 400, 480, "grass"),
        ("room", 260, 220, "wine bottle"),
        ("room", 240, 490, "drum"),
        ("astronaut", 225, 110, "head"),
        ("astronaut", 410, 120, "space shuttle"),
        ("palace", 200, 200, "pagoda"),
        ("coffee", 300, 150, "coffee"),
    ],
)
def test_masks_lie_on_their_pictures(name, x, y, named):
    example = next(example for example in SHIPPED if example.name == name)
    assert example.classes[read_mask(example)[y, x]] == named


def test_later_polygons_lie_over_earlier_ones(write):
    text = (
        "# a remark\n\n"
        + WHOLE
        + "cat: 10,5 30,5 30,15 10,15\nignore: 20,5 30,5 30,15 20,15\nwall: 12,7 14,7 14,9 12,9\n"
    )
    (example,) = read_examples(write(text))
    labels = read_mask(example)
    assert example.classes == ("cat", "wall")
    assert labels.shape == (HEIGHT, WIDTH)
    assert [labels[y, x] for y, x in ((0, 0), (6, 11), (8, 13), (10, 25), (19, 39))] == [1, 0, 1, IGNORED, 1]


def test_pixels_without_a_polygon_do_not_count(write):
    (example,) = read_examples(write("cat: 0,0 19.4,0 19.4,20 0,20\n"))
    labels = read_mask(example)
    assert (labels[:, :19] == 0).all()
    assert (labels[:, 21:] == IGNORED).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dog: 0,0 9,0 9,9", "line 2: expected one of cat, wall, ignore, got 'dog'"),
        ("kitten: 0,0 9,0 9,9", "got 'kitten'"),
        (": 0,0 9,0 9,9", "got ''"),
        ("0,0 9,0 9,9", "no colon"),
        ("cat: 0,0 9,0", "at least 3 points, got 2"),
        ("cat:", "at least 3 points, got 0"),
        ("cat: 0,0 9,0 nine,9", "points such as 12,30, got 'nine,9'"),
        ("cat: 0,0 9,0 9", "got '9'"),
        ("cat: 0,0 9,0 9,9,9", "got '9,9,9'"),
        ("cat: 0,0 9,0 9, 9", "got '9,'"),
        ("cat: 0,0 41,0 9,9", "x from 0 to 40 and y from 0 to 20, got '41,0'"),
        ("cat: 0,0 9,0 9,21", "got '9,21'"),
        ("cat: 0,0 9,0 -1,9", "got '-1,9'"),
        ("cat: 0,0 9,0 nan,9", "got 'nan,9'"),
        ("cat: 0,0 9,0 9,inf", "got '9,inf'"),
        ("cat: 0,0 9,0 9,9 wall: 0,0 1,1 2,2", "got 'wall:'"),
    ],
)
def test_a_broken_line_is_named(write, line, message):
    (example,) = read_examples(write(f"{WHOLE}{line}\n"))
    with pytest.raises(InputError, match="wall.polygons.txt, line 2") as caught:
        read_mask(example)
    assert message in str(caught.value)
    assert str(example.path.parent) not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [("# nothing\n", "no polygon"), ("", "no polygon"), (b"\xff", "UTF-8")]
)
def test_a_mask_without_polygons_is_refused(write, content, message):
    (example,) = read_examples(write(content))
    with pytest.raises(InputError, match=message):
        read_mask(example)


@pytest.mark.parametrize("missing", ["wall.polygons.txt", "wall.png"])
def test_a_file_that_has_gone_is_named(write, missing):
    folder = write()
    (example,) = read_examples(folder)
    (folder / missing).unlink()
    with pytest.raises(InputError, match=missing):
        read_mask(example)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("[{", "line 1"),
        ('{"name": "wall"}', "a JSON list of examples"),
        ('["wall.png"]', "a JSON list of examples"),
        ([{key: value for key, value in ENTRY.items() if key != "licence"}], "a text for 'licence', got none"),
        ([ENTRY | {"credit": " "}], "a text for 'credit', got ' '"),
        ([ENTRY | {"alt": 3}], "a text for 'alt', got 3"),
        ([ENTRY | {"file": "../wall.png"}], "got '../wall.png'"),
        ([ENTRY | {"name": "cat"}], "Give the file the name of its example"),
        ([ENTRY | {"name": "gone", "file": "gone.png"}], "no such file"),
        ([ENTRY | {"words": "cat; ignore"}], "classes other than 'ignore'"),
        ([ENTRY | {"words": "; ;"}], "at least one class"),
        ([ENTRY, ENTRY], "'wall' twice"),
    ],
)
def test_a_broken_list_is_refused(write, entries, message):
    with pytest.raises(InputError) as caught:
        read_examples(write(entries=entries))
    assert message in str(caught.value)


def test_a_folder_without_a_list_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"examples\.json"):
        read_examples(tmp_path)
