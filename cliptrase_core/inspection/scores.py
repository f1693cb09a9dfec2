"""Scores of every word at every patch: the classes at a pixel, best first, and classes that are not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.geometry import Size, expect_place
from cliptrase_core.regions.decode import everything_else, label_probabilities
from cliptrase_core.results import EVERYTHING_ELSE
from cliptrase_core.text.vocabulary import Vocabulary, dataset_vocabulary

MISSING_ABOVE = 0.12
"""Share of the general words that may suit better than a class at its own best patch, until it counts as missing.

On the bundled photographs with nano, of the classes that cover 5 % or more 6 % are called missing, and of things that
are not there 53 % (docs/decisions/025-everything-else.md); rather painted wrongly than left out wrongly."""


@cache
def general_words() -> tuple[str, ...]:
    """What pictures show in general: every second class of COCO-Stuff, 86 words."""
    return dataset_vocabulary("coco171").prompts[::2]


def missing_classes(patches: Tensor, text: Tensor, label_of: Tensor, classes: int, general: Tensor) -> list[int]:
    """Classes that a picture does not show: even at their best patch, many general words suit better.

    Args:
        patches: (N, D), unit rows: patch features of the recovered last block.
        text: (P, D), unit rows: prompts.
        label_of: (P,) int64, label of each prompt.
        classes: labels 0..C-1 are classes; further ones are background words and never missing.
        general: (G, D), unit rows: `general_words`.

    Returns:
        Labels, in order.
    """
    similarity, others = patches @ text.to(patches).T, patches @ general.to(patches).T
    missing = []
    for label in range(classes):
        own = similarity[:, label_of == label].amax(dim=1)
        better = (others > own[:, None]).sum(dim=1).min()
        if int(better) > MISSING_ABOVE * len(general):
            missing.append(label)
    return missing


def competing(
    maps: Tensor, words: Vocabulary, missing: Sequence[int], with_rest: bool
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Maps (P, h, w) that compete for pixels, the label of each, and the names of all labels.

    Classes that are missing keep their label and their name, but do not compete; where none is left, all do, unless
    everything else is there to win.

    Args:
        maps: (P, h, w) logits of each prompt.
        words: whose prompts the maps are.
        missing: labels, from `missing_classes`.
        with_rest: everything else is a class too, the last.

    Raises:
        InputError: a class is called everything else.
    """
    label_of, names = torch.tensor(words.prompt_labels), words.class_names
    kept = ~torch.isin(label_of, torch.tensor(missing, dtype=label_of.dtype))
    if bool(kept.any()) or with_rest:
        maps, label_of = maps[kept.to(maps.device)], label_of[kept]
    if not with_rest:
        return maps, label_of, names
    if EVERYTHING_ELSE in {name.casefold() for name in names}:
        raise InputError(
            explain(
                "everything_else",
                expected=f"no class named {EVERYTHING_ELSE!r}",
                got=repr(EVERYTHING_ELSE),
                remedy="Rename the class, or leave the option out.",
            )
        )
    rest = everything_else(maps, label_of.to(maps.device), len(words.classes))
    return torch.cat([maps, rest[None]]), torch.cat([label_of, torch.tensor([len(names)])]), (*names, EVERYTHING_ELSE)


@dataclass(frozen=True)
class Candidate:
    """A class at a point.

    Attributes:
        label: index into the class names.
        name: of the class.
        word: the class's word that suits the point best.
        probability: of the class among all classes, in [0, 1].
    """

    label: int
    name: str
    word: str
    probability: float


@dataclass(frozen=True, eq=False)
class PatchScores:
    """Scores of every word at every patch, before regions vote.

    Attributes:
        logits: (P, h, w) float32, on the CPU: cosines times `scale`.
        scale: what the method multiplies cosines by.
        vocabulary: whose prompts the rows are.
        size: (H0, W0) of the labels' frame.
        missing: labels that do not compete, see `missing_classes`.
        everything_else: whether what resembles no class is a class of its own, the last.
    """

    logits: Tensor
    scale: float
    vocabulary: Vocabulary
    size: Size
    missing: tuple[int, ...] = ()
    everything_else: bool = False

    @property
    def class_probabilities(self) -> Tensor:
        """(C, h, w) softmax over the labels that compete, each as likely as its likeliest word; adds to 1."""
        maps, label_of, names = competing(self.logits, self.vocabulary, self.missing, self.everything_else)
        found = label_probabilities(maps, label_of)
        return torch.cat([found, found.new_zeros(len(names) - len(found), *found.shape[1:])])  # the last may be missing

    def at(self, row: int, column: int) -> list[Candidate]:
        """Every class at a pixel, likeliest first; the probability is interpolated between patches.

        Args:
            row: of the pixel in the labels' frame, from 0.
            column: of the pixel, from 0.

        Raises:
            InputError: outside the labels' frame.
        """
        expect_place("pixel", row, column, self.size, "Pick a pixel of the labels.")
        return self._ranked(lambda maps: _bilinear(maps, self.size, row, column))

    def of_patch(self, row: int, column: int) -> list[Candidate]:
        """Every class at a patch, likeliest first, as the patch says it by itself.

        Args:
            row: of the patch, from 0.
            column: of the patch, from 0.

        Raises:
            InputError: outside the grid.
        """
        h, w = self.logits.shape[1:]
        expect_place("patch", row, column, (h, w), "Pick a patch of the grid.")
        return self._ranked(lambda maps: maps[:, row, column])

    def _ranked(self, at: Callable[[Tensor], Tensor]) -> list[Candidate]:
        """Every class, likeliest first; `at` takes the (C,) values of a place out of (C, h, w) maps."""
        probabilities, words = at(self.class_probabilities), at(self.logits)
        best: dict[int, int] = {}  # label -> its best prompt
        for prompt, label in enumerate(self.vocabulary.prompt_labels):
            if label not in best or words[prompt] > words[best[label]]:
                best[label] = prompt
        prompts, names = self.vocabulary.prompts, self.vocabulary.class_names
        if self.everything_else:
            best[len(names)], prompts, names = len(prompts), (*prompts, EVERYTHING_ELSE), (*names, EVERYTHING_ELSE)
        order = probabilities.argsort(descending=True, stable=True).tolist()
        return [Candidate(i, names[i], prompts[best[i]], float(probabilities[i])) for i in order]


def _bilinear(maps: Tensor, size: Size, row: int, column: int) -> Tensor:
    """(C,) values at a pixel centre, edges repeated (align_corners=False)."""
    (y0, y1, dy), (x0, x1, dx) = (
        _neighbours(maps.shape[axis + 1], size[axis], place) for axis, place in enumerate((row, column))
    )
    top = torch.lerp(maps[:, y0, x0], maps[:, y0, x1], dx)
    bottom = torch.lerp(maps[:, y1, x0], maps[:, y1, x1], dx)
    return torch.lerp(top, bottom, dy)


def _neighbours(source: int, target: int, place: int) -> tuple[int, int, float]:
    """The two source indices around a target index and the weight of the second."""
    position = max((place + 0.5) * source / target - 0.5, 0.0)
    first = min(int(position), source - 1)
    return first, min(first + 1, source - 1), position - first
