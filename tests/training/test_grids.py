"""Grids of cells over photographs, labelled by eye: files, extension to pixels, use in training."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from assets.training import crops, photographs
from assets.training.grids import FILE, Grid, read_grids, spread
from assets.training.ladder import QuickLadder
from assets.training.photographs import CLASSES, NUMBER, SCENE_CLASSES, class_map, decode, read

RECORD = "# houses/9_bathroom\nw wall\nf floor\nwww.\nff..\n"


def test_a_record_says_words_and_cells(tmp_path):
    path = tmp_path / "grids.txt"
    path.write_text(RECORD + "# nature/1\ns sky\nss\n", encoding="utf-8")
    found = read_grids(path)
    assert list(found) == ["houses/9_bathroom", "nature/1"]
    assert found["houses/9_bathroom"].words == ["wall", "floor"]
    assert found["houses/9_bathroom"].cells.tolist() == [[1, 1, 1, 0], [2, 2, 0, 0]]


@pytest.mark.parametrize("fault", ["www.\nff.", "www.\nffx.", ""], ids=["shorter", "letter", "no row"])
def test_a_record_with_a_fault_is_named(tmp_path, fault):
    path = tmp_path / "grids.txt"
    path.write_text(f"# houses/9_bathroom\nw wall\nf floor\n{fault}\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"one length .* houses/9_bathroom in grids\.txt"):
        read_grids(path)


def test_the_grids_of_the_repository_are_whole():
    grids = read_grids()
    assert grids
    for grid in grids.values():
        assert len(set(grid.words)) == len(grid.words)
        assert grid.cells.max() == len(grid.words)
        assert 8 == min(grid.cells.shape) <= max(grid.cells.shape) <= 12
    assert FILE.read_text(encoding="utf-8").isascii()


def two_halves(edge: int) -> np.ndarray:
    """Return a picture of 160 x 160 pixels: red left of column `edge`, blue right of it."""
    pixels = np.zeros((160, 160, 3), np.uint8)
    pixels[:, :edge, 0], pixels[:, edge:, 2] = 220, 220
    return pixels


@pytest.mark.parametrize("edge", [66, 80, 95])
def test_the_photograph_decides_between_cells(edge):
    cells = np.array([[1, 1, 0, 2, 2]] * 5, np.uint8)  # the edge is in the unknown column in the middle
    found = spread(Grid(["wall", "floor"], cells), two_halves(edge), (160, 160), (0, 0))
    assert (found[:, : edge - 2] == 1).all()
    assert (found[:, edge + 2 :] == 2).all()


def test_what_is_far_from_every_letter_stays_unknown():
    cells = np.array([[1, 0, 0, 0, 0]] * 5, np.uint8)
    found = spread(Grid(["wall"], cells), two_halves(60), (160, 160), (0, 0))
    assert (found[:, :30] == 1).all()
    assert not found[:, 100:].any()


def test_a_grid_without_a_letter_says_nothing():
    assert not spread(Grid([], np.zeros((5, 5), np.uint8)), two_halves(80), (160, 160), (0, 0)).any()


def test_a_part_of_a_photograph_has_the_cells_of_its_place():
    cells = np.array([[1, 2], [2, 1]], np.uint8)
    pixels = np.zeros((40, 60, 3), np.uint8)
    found = spread(Grid(["wall", "floor"], cells), pixels, (80, 100), (30, 20))
    assert found[0, 0] == found[-1, -1] == 1
    assert found[0, -1] == found[-1, 0] == 2


def as_png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_a_mask_says_more_than_a_grid():
    picture = decode(as_png(np.zeros((224, 224, 3), np.uint8)))
    mask = np.zeros((224, 224), np.uint8)
    mask[:112] = NUMBER["sofa"]
    found = class_map(picture, as_png(mask), [], Grid(["wall", "never said"], np.array([[1, 2]], np.uint8)))
    assert (found[:112] == NUMBER["sofa"]).all()
    assert (found[112:, :100] == NUMBER["wall"]).all()
    assert not found[112:, 124:].any()  # unknown, because its word is no class


def test_words_of_grids_are_classes_after_those_of_scenes():
    assert CLASSES[: len(SCENE_CLASSES)] == SCENE_CLASSES
    words = [word for group in CLASSES for word in group]
    assert len(set(words)) == len(words)
    assert NUMBER["water"] == NUMBER["sea"]


def test_a_photograph_with_a_grid_is_read_with_its_classes(monkeypatch, tmp_path):
    monkeypatch.setattr(photographs, "GRIDS", {"houses/3": Grid(["wall", "zither"], np.array([[1, 1, 2]], np.uint8))})
    monkeypatch.setattr(photographs.wordnet, "noun_reader", lambda: lambda caption: [])
    (tmp_path / "houses").mkdir()
    for name in ("3", "4"):  # the words of these photographs come from their names
        Image.new("RGB", (300, 300), (90, 90, 90)).save(tmp_path / "houses" / f"{name}.jpg")
    found = read(tmp_path)
    assert found.masked.tolist() == [0, -1]
    assert found.whole.tolist() == [True]
    assert (found.masks[0, :224, :140] == NUMBER["wall"]).all()
    assert [found.vocabulary[i] for i in found.words[0] if i >= 0] == ["3", "zither"]  # zither: too rare for a class


def test_photographs_with_a_grid_are_held_out_by_their_number_and_no_longer_name_a_class(monkeypatch, tmp_path):
    tench = photographs.wordnet.wnids()[0]  # its class number does not end in 7, its own number ends in 0
    paths = ["houses/10", "houses/20", f"imagenet1000/{tench}_0"]
    grid = Grid(["wall"], np.array([[1]], np.uint8))
    monkeypatch.setattr(photographs, "GRIDS", {paths[0]: grid, paths[2]: grid})
    monkeypatch.setattr(photographs.wordnet, "noun_reader", lambda: lambda caption: [])
    for path in paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (224, 224)).save(tmp_path / f"{path}.jpg")
    found = read(tmp_path)
    assert dict(zip(found.names, found.held_out().tolist(), strict=True)) == {
        paths[0]: True,
        paths[1]: False,
        paths[2]: True,
    }
    assert not len(QuickLadder(found, [torch.ones(1, 4)] * 38).named)


def test_every_word_of_ground_is_a_class():
    assert set(crops._GROUND.split()) <= set(NUMBER)
