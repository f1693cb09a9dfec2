"""Measure nano on the held-out photographs: every step of the method, and its peers. Prints the table of its card.

python -m assets.training.report --photos FOLDER [--even]

It uses the model in the repository as the program does. Scenes with an even tens digit are for choosing weights, so
they are measured only with --even.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

import cliptrase_core as cc
from assets.training.photographs import (
    CLASSES,
    FACE,
    GRIDS,
    NUMBER,
    PERSON,
    REPORT,
    SCENE_CLASSES,
    SELECTION,
    Photographs,
    read,
)
from cliptrase_core.evaluation.metrics import confusion_matrix, mean_iou, pixel_accuracy
from cliptrase_core.io.masks import IGNORED

STEPS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "plain CLIP": {"method": "clip"},
        "+ recovery": {"vote": False},
        "+ clustering": {"denoise": "none"},
        "+ denoising (CLIPtrase)": {},
        "ClearCLIP": {"method": "clearclip"},
        "NACLIP": {"method": "naclip"},
        "MaskCLIP": {"method": "maskclip"},
    }
)
"""Options of `Segmenter.segment` for each column."""
_EVERYDAY = """
building grass tree cow sheep sky airplane water face car bicycle flower sign bird book chair road cat dog person boat
"""
EVERYDAY = _EVERYDAY.split()
MOSTLY = 0.4  # a photograph counts for the everyday words if they cover at least this share of it

Labels = npt.NDArray[np.integer]


def scene_truth(mask: Labels) -> Labels:
    """Convert a label map of training (h, w) to the 37 classes of scenes, `IGNORED` elsewhere; a face is a person."""
    truth = mask.astype(np.int32) - 1
    truth[truth == FACE] = PERSON
    return np.where((truth < 0) | (truth >= FACE), IGNORED, truth)


def grid_truth(mask: Labels) -> Labels:
    """Convert a label map of training (h, w) to all classes, `IGNORED` where it is 0."""
    return np.where(mask == 0, IGNORED, mask.astype(np.int32) - 1)


def everyday_truth(mask: Labels) -> Labels:
    """Convert a label map of training (h, w) to `EVERYDAY`, `IGNORED` elsewhere."""
    table = np.full(len(CLASSES) + 1, IGNORED)
    table[[NUMBER[word] for word in EVERYDAY]] = np.arange(len(EVERYDAY))
    return table[mask]


class Row:
    """Confusion matrices of one row of the table.

    Attributes:
        title: name of the row.
        words: a word for each class of the ground truth.
        own: True if only the words of classes that are present are given.
        pictures: number of pictures.
        counts: confusion matrix (C, C + 1) of each column.
    """

    def __init__(self, title: str, words: list[str], own: bool) -> None:
        """Start with no picture."""
        self.title, self.words, self.own, self.pictures = title, words, own, 0
        self.counts = {step: np.zeros((len(words), len(words) + 1), np.int64) for step in STEPS}

    def add(self, segmenter: cc.Segmenter, encoding: cc.ImageEncoding, truth: Labels) -> None:
        """Segment an encoded picture with every step and count its pixels."""
        classes = np.unique(truth[truth != IGNORED]) if self.own else np.arange(len(self.words))
        if not len(classes):
            return
        self.pictures += 1
        for step, options in STEPS.items():
            result = segmenter.segment(encoding, [self.words[c] for c in classes], **options)
            self.counts[step] += confusion_matrix(truth, classes[result.labels], len(self.words))

    def __str__(self) -> str:
        """Return the row in Markdown: pixel accuracy / mIoU in per cent."""
        figures = [f"{100 * pixel_accuracy(m):.1f} / {100 * mean_iou(m):.1f}" for m in self.counts.values()]
        return f"| {self.pictures} {self.title} | {' | '.join(figures)} |"


class Suggested:
    """Suggested words compared with grids, which name only part of a photograph."""

    def __init__(self) -> None:
        """Start with no photograph."""
        self.words, self.named, self.covered, self.right = 0, 0, list[float](), list[float]()

    def add(self, segmenter: cc.Segmenter, encoding: cc.ImageEncoding, truth: Labels) -> None:
        """Count the suggestions for a photograph; truth as from `grid_truth`."""
        known = truth != IGNORED
        if not known.any():
            return
        words = [*segmenter.suggest(encoding)]
        numbers = np.array([NUMBER.get(word, 0) for word in words]) - 1
        self.words += len(words)
        self.named += int(np.isin(numbers, truth[known]).sum())
        self.covered.append(float(np.isin(truth[known], numbers).mean()))
        labels = segmenter.segment(encoding, words).labels
        self.right.append(float((numbers[labels] == truth)[known].mean()))

    def __str__(self) -> str:
        """Return one line: words a photograph, shares of words in the grid, and of labelled pixels."""
        return (
            f"Suggestions for {len(self.covered)} photographs, {self.words / len(self.covered):.1f} words each: "
            f"{self.named / self.words:.0%} are in the grid; they cover {np.mean(self.covered):.0%} of its pixels, "
            f"{np.mean(self.right):.0%} are right when segmented by them"
        )


def held_out(photographs: Photographs, use: str) -> Iterator[tuple[str, npt.NDArray[np.uint8], Labels]]:
    """Yield ("scene" or "grid", pixels (h, w, 3), labels (h, w)) of the held-out photographs with labelled pixels.

    Args:
        photographs: all photographs.
        use: use of the scenes, `SELECTION` or `REPORT`.
    """
    p = photographs
    for index in np.flatnonzero(p.held_out().numpy() & (p.masked >= 0).numpy()).tolist():
        height, width = p.sizes[index].tolist()
        pixels = p.pixels[index, :, :height, :width].permute(1, 2, 0).numpy()
        labels = p.masks[p.masked[index], :height, :width].numpy()
        if p.is_scene(index, use):
            yield "scene", pixels, labels
        if p.names[index] in GRIDS:
            yield "grid", pixels, labels


def measure(
    segmenter: cc.Segmenter, pictures: Iterable[tuple[str, npt.NDArray[np.uint8], Labels]]
) -> list[Row | Suggested]:
    """Return the rows of the table, and the figures of suggestions."""
    all_words, scene_words = [group[0] for group in CLASSES], [group[0] for group in SCENE_CLASSES[:FACE]]
    scenes = [Row("scenes, 37 words", scene_words, False), Row("scenes, own words", scene_words, True)]
    grids, suggested = [Row("photographs with a grid, own words", all_words, True)], Suggested()
    everyday = [Row("of them, 21 words", EVERYDAY, False), Row("of them, own of the 21 words", EVERYDAY, True)]
    for kind, pixels, labels in pictures:
        encoding, truth = segmenter.encode(pixels), everyday_truth(labels)
        shown: list[tuple[Row | Suggested, Labels]] = []
        if kind == "scene":
            shown = [(row, scene_truth(labels)) for row in scenes]
        if kind == "grid":
            shown = [(row, grid_truth(labels)) for row in (*grids, suggested)]
            shown += [(row, truth) for row in everyday if (truth != IGNORED).mean() >= MOSTLY]
        for row, wanted in shown:
            row.add(segmenter, encoding, wanted)
    return [*scenes, *grids, *everyday, suggested]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--even", action="store_true", help="scenes for choosing weights, instead of the others")
    arguments = parser.parse_args()
    pictures = held_out(read(arguments.photos), SELECTION if arguments.even else REPORT)
    rows = measure(cc.Segmenter.from_pretrained("nano", device="cpu"), pictures)
    head = f"| | {' | '.join(STEPS)} |\n|{'---|' * (len(STEPS) + 1)}\n"
    sys.stdout.write(head + "".join(f"{row}\n" for row in rows))


if __name__ == "__main__":
    main()
