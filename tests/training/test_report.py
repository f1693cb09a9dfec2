"""Figures of the model card: ground truth of each row, held-out pictures, pixels counted by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from assets.training import report
from assets.training.photographs import FACE, NUMBER, PERSON, REPORT, SELECTION, Photographs
from cliptrase_core.io.masks import IGNORED


def test_a_face_belongs_to_a_person_in_scenes_and_is_a_word_of_its_own_elsewhere():
    wall = NUMBER["wall"]  # no class of scenes
    mask = np.array([[0, FACE + 1, PERSON + 1, wall]], np.uint8)
    assert report.scene_truth(mask).tolist() == [[IGNORED, PERSON, PERSON, IGNORED]]
    assert report.grid_truth(mask).tolist() == [[IGNORED, FACE, PERSON, wall - 1]]
    face, person = report.EVERYDAY.index("face"), report.EVERYDAY.index("person")
    assert report.everyday_truth(mask).tolist() == [[IGNORED, face, person, IGNORED]]


def test_all_everyday_words_are_classes():
    assert len(set(report.EVERYDAY)) == 21
    assert set(report.EVERYDAY) <= NUMBER.keys()


@pytest.fixture
def photographs() -> Photographs:
    """Return five photographs of 4 x 3 pixels; the last two are in training."""
    names = ["scenes/110", "scenes/120", "food/10", "scenes/11", "food/11"]
    masks = torch.full((5, 8, 8), NUMBER["dog"], dtype=torch.uint8)
    return Photographs(
        pixels=torch.zeros(5, 3, 8, 8, dtype=torch.uint8),
        sizes=torch.tensor([[4, 3]] * 5),
        names=names,
        masks=masks,
        masked=torch.arange(5),
        whole=torch.ones(5, dtype=torch.bool),
        words=torch.full((5, 1), -1),
        vocabulary=[],
        classes=torch.full((5,), -1),
    )


@pytest.mark.parametrize("use", [REPORT, SELECTION])
def test_scenes_for_choosing_weights_are_apart_from_those_of_the_report(photographs, monkeypatch, use):
    monkeypatch.setattr(report, "GRIDS", {"food/10": None, "food/11": None})
    monkeypatch.setattr("assets.training.photographs.GRIDS", {"food/10": None, "food/11": None})
    photographs.pixels[0 if use == REPORT else 1] = 9
    found = list(report.held_out(photographs, use))
    assert [(kind, pixels.max()) for kind, pixels, _ in found] == [("scene", 9), ("grid", 0)]
    assert all(pixels.shape == (4, 3, 3) and labels.shape == (4, 3) for _, pixels, labels in found)


class Answers:
    """Stub of a segmenter: the first word everywhere, but the second in the second column with denoising."""

    def encode(self, pixels):
        return pixels

    def suggest(self, encoding):
        return {"grass": 0.5, "dog": 0.5}

    def segment(self, encoding, words, **options):
        labels = np.zeros(encoding.shape[:2], int)
        if not options:
            labels[:, 1] = min(1, len(words) - 1)
        return SimpleNamespace(labels=labels)


def test_rows_count_pixels_of_all_words_and_of_the_present_ones():
    mask = np.full((2, 2), NUMBER["grass"], np.uint8)
    mask[:, 1] = NUMBER["sky"]  # without a word of the 21 the picture would be left out
    picture = np.zeros((2, 2, 3), np.uint8)
    barely = np.zeros((2, 2), np.uint8)
    barely[0, 0] = NUMBER["sky"]  # a quarter of the picture is not enough for the 21 words
    pictures = [("scene", picture, mask), ("grid", picture, mask), ("grid", picture, barely)]
    *rows, suggested = report.measure(Answers(), pictures)
    assert [row.pictures for row in rows] == [1, 1, 2, 1, 1]
    by_title = {row.title: str(row) for row in rows}
    own = by_title["scenes, own words"]  # grass stands before sky; each is half of the picture
    assert own == f"| 1 scenes, own words | {'50.0 / 25.0 | ' * 3}100.0 / 100.0 | {'50.0 / 25.0 | ' * 3}"[:-1]
    # Of all 21 words the first is building, the second grass, which is in the other column.
    assert by_title["of them, 21 words"] == f"| 1 of them, 21 words | {'0.0 / 0.0 | ' * 7}"[:-1]
    # Grass and dog: in the first grid grass is right, in the second, which has only sky, neither.
    assert str(suggested) == (
        "Suggestions for 2 photographs, 2.0 words each: 25% are in the grid; they cover 25% of its pixels, "
        "25% are right when segmented by them"
    )


def test_a_row_without_pictures_has_no_figures():
    assert str(report.Row("scenes", ["dog"], own=True)) == f"| 0 scenes | {'nan / nan | ' * 7}"[:-1]


def test_every_step_is_what_its_column_says(nano):
    encoding = nano.encode(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    settings = [nano.segment(encoding, ["cat", "dog"], **options).settings for options in report.STEPS.values()]
    assert [(one["method"], one["vote"], one["denoise"] if one["vote"] else "") for one in settings] == [
        ("clip", False, ""),
        ("cliptrase", False, ""),
        ("cliptrase", True, "none"),
        ("cliptrase", True, "cls"),
        ("clearclip", False, ""),
        ("naclip", False, ""),
        ("maskclip", False, ""),
    ]
