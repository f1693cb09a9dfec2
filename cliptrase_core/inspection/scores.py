"""Scores of every word at every patch: ranked classes at a pixel, missing classes, and everything else as a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cliptrase_core.errors import InputError, counted, some
from cliptrase_core.io.geometry import Size, between_samples, expect_place
from cliptrase_core.regions.decode import label_probabilities
from cliptrase_core.regions.otsu import otsu_threshold
from cliptrase_core.results import EVERYTHING_ELSE
from cliptrase_core.text.vocabulary import Vocabulary

MISSING_ABOVE = 0.05
"""Share of the common words with a higher score than a class at its best patch, above which the class is missing.

On the bundled photographs with nano, 4 % of the classes that cover 5 % or more are called missing, and 66 % of the
absent things (docs/decisions/025-everything-else.md). Painting a class wrongly is better than omitting one wrongly."""
MOST_SUGGESTED = 6
LEAST_SUGGESTED = 0.08
"""Smallest share of the patches for which a word is suggested."""
_NAMED = 3


def missing_classes(patches: Tensor, text: Tensor, label_of: Tensor, classes: int, common: Tensor) -> list[int]:
    """Find the classes that a picture does not show: even at their best patch, many common words score higher.

    Args:
        patches: (N, D), unit rows: patch features of the recovered last block.
        text: (P, D), unit rows: prompts.
        label_of: (P,) int64, label of each prompt.
        classes: number C of classes, labels 0 to C-1; further labels are background words and never missing.
        common: (G, D), unit rows: `COMMON_WORDS`.

    Returns:
        Labels of the missing classes, in ascending order.
    """
    similarity, others = patches @ text.to(patches).T, patches @ common.to(patches).T
    missing = []
    for label in range(classes):
        own = similarity[:, label_of == label].amax(dim=1)
        better = (others > own[:, None]).sum(dim=1).min()
        if int(better) > MISSING_ABOVE * len(common):
            missing.append(label)
    return missing


def suggested(patches: Tensor, words: Tensor) -> list[tuple[int, float]]:
    """Find the words that fit a picture: each patch votes for its best word, and words with few votes leave.

    The word with the fewest votes leaves first, and its patches vote again among the others.

    Args:
        patches: (N, D), unit rows, as for `missing_classes`.
        words: (G, D), unit rows.

    Returns:
        Index and share of the patches of each word that stays, largest share first.
    """
    similarity = patches @ words.to(patches).T
    kept = torch.arange(len(words), device=similarity.device)
    while True:
        votes = torch.bincount(similarity[:, kept].argmax(dim=1), minlength=len(kept))
        fewest = int(votes.min())
        if len(kept) <= MOST_SUGGESTED and fewest >= LEAST_SUGGESTED * len(patches):
            break
        votes[votes.argmin()] = 0
        kept = kept[votes > 0]
    shares = zip(kept.tolist(), (votes / len(patches)).tolist(), strict=True)
    return sorted(shares, key=lambda pair: -pair[1])


def competing(
    maps: Tensor, words: Vocabulary, missing: Sequence[int], with_rest: bool
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return the maps (P, h, w) that compete for pixels, the label of each map, and the names of all labels.

    Missing classes keep their label and their name, but do not compete. If no prompt would be left, all compete,
    unless `with_rest` is set.

    Args:
        maps: (P, h, w) logits of each prompt.
        words: vocabulary with these prompts.
        missing: labels, from `missing_classes`.
        with_rest: True adds "everything else" as the last class.

    Raises:
        InputError: a class is named "everything else".
    """
    label_of, names = torch.tensor(words.prompt_labels), words.class_names
    kept = ~torch.isin(label_of, torch.tensor(missing, dtype=label_of.dtype))
    if bool(kept.any()) or with_rest:
        maps, label_of = maps[kept.to(maps.device)], label_of[kept]
    if not with_rest:
        return maps, label_of, names
    if EVERYTHING_ELSE in {name.casefold() for name in names}:
        raise InputError(
            "everything_else",
            expected=f"no class named {EVERYTHING_ELSE!r}",
            got=repr(EVERYTHING_ELSE),
            remedy="Rename the class, or leave the option out.",
        )
    rest = everything_else(maps, label_of.to(maps.device), len(words.classes))
    return torch.cat([maps, rest[None]]), torch.cat([label_of, torch.tensor([len(names)])]), (*names, EVERYTHING_ELSE)


ALL_MISSING = "No class seems to be in the picture, so none is left out."
"""Note of a result without missing classes if all of them are missing."""


def notes_on(
    words: Vocabulary, missing: Sequence[int], with_rest: bool, prior: Tensor | None = None
) -> tuple[str, ...]:
    """Return the notes of a result: those of its words, and what may mislead in it.

    Args:
        words: vocabulary with P prompts.
        missing: labels of the missing classes; none was left out if these are all.
        with_rest: True if "everything else" is a class.
        prior: (P,) cosines of the whole picture and each prompt, if the image prior is used. Its product, as
            published, needs positive ones; CLIP's are.
    """
    notes = words.notes_beside_others if with_rest else words.notes
    left_out = set(missing)
    if not with_rest and left_out == set(words.prompt_labels):
        notes, left_out = (*notes, ALL_MISSING), set()
    weighed = [] if prior is None else list(zip(words.prompts, words.prompt_labels, prior.tolist(), strict=True))
    if negative := [f'"{word}"' for word, label, cosine in weighed if cosine < 0 and label not in left_out]:
        to = some(negative, _NAMED)
        prior_note = (
            f"Leave the image prior out: the picture's similarity to {to} is negative, and minus times minus is plus."
        )
        notes = (*notes, prior_note)
    return notes


def everything_else(maps: Tensor, label_of: Tensor, classes: int) -> Tensor:
    """Return a map that wins where no class exceeds its own threshold: Otsu's, on its similarity at all patches.

    Otsu's method divides the patches for one class into those that resemble it and the rest, without other words for
    comparison. It always finds two groups; `missing_classes` decides whether a class is in the picture at all.

    Args:
        maps: (P, h, w) logits of each prompt.
        label_of: (P,) int64, label of each prompt.
        classes: number of classes C; labels from C on (background words) have no threshold.

    Returns:
        (h, w) logits: above the best class exactly where every class is below its threshold.
    """
    best, margin = [], []
    for label in sorted({label for label in label_of.tolist() if label < classes}):
        similarity = maps[label_of == label].amax(dim=0)
        best.append(similarity)
        margin.append(similarity - otsu_threshold(similarity))
    if not best:  # no class: the map wins everywhere
        return maps.new_full(maps.shape[1:], float(maps.max()) + 1 if len(maps) else 0.0)
    return torch.stack(best).amax(dim=0) - torch.stack(margin).amax(dim=0)


@dataclass(frozen=True)
class Candidate:
    """Score of one class at a point.

    Attributes:
        label: index into the class names.
        name: class name.
        word: word of the class with the highest score at the point.
        probability: probability of the class among all classes, in [0, 1].
    """

    label: int
    name: str
    word: str
    probability: float


@dataclass(frozen=True, eq=False)
class PatchScores:
    """Scores of every word at every patch, before the vote of the regions.

    Attributes:
        logits: (P, h, w) float32, on the CPU: cosines times `scale`; with `image_prior`, each word's also times its
            own logit at the method's [CLS], so times `scale` again.
        scale: factor of the cosines, set by the method.
        vocabulary: vocabulary with the P prompts.
        size: (H0, W0) of the labels' frame.
        missing: labels that do not compete, see `missing_classes`.
        everything_else: True if "everything else", for pixels that resemble no class, is added as the last class.
    """

    logits: Tensor
    scale: float
    vocabulary: Vocabulary
    size: Size
    missing: tuple[int, ...] = ()
    everything_else: bool = False

    def __repr__(self) -> str:
        words, h, w = self.logits.shape
        return f"<PatchScores of {counted(words, 'word')} at {h} x {w} patches>"

    @property
    def class_probabilities(self) -> Tensor:
        """(C, h, w) softmax over the competing labels, each with the logit of its best word; adds to 1."""
        maps, label_of, names = competing(self.logits, self.vocabulary, self.missing, self.everything_else)
        found = label_probabilities(maps, label_of)
        return torch.cat([found, found.new_zeros(len(names) - len(found), *found.shape[1:])])  # missing last labels

    def at(self, row: int, column: int) -> list[Candidate]:
        """Rank all classes at a pixel, likeliest first; probabilities are interpolated between patches.

        Args:
            row: row of the pixel in the labels' frame, from 0.
            column: column of the pixel, from 0.

        Raises:
            InputError: the pixel is outside the labels' frame.
        """
        expect_place("pixel", row, column, self.size, "Pick a pixel of the labels.")
        return self._ranked(lambda maps: _bilinear(maps, self.size, row, column))

    def of_patch(self, row: int, column: int) -> list[Candidate]:
        """Rank all classes at a patch, likeliest first, without interpolation.

        Args:
            row: row of the patch, from 0.
            column: column of the patch, from 0.

        Raises:
            InputError: the patch is outside the grid.
        """
        h, w = self.logits.shape[1:]
        expect_place("patch", row, column, (h, w), "Pick a patch of the grid.")
        return self._ranked(lambda maps: maps[:, row, column])

    def _ranked(self, at: Callable[[Tensor], Tensor]) -> list[Candidate]:
        """Rank all classes, likeliest first; `at` extracts the (C,) values at one place from (C, h, w) maps."""
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
    """Return the (C,) bilinear values at a pixel centre, with repeated edges (align_corners=False)."""
    above, below, down = map(torch.from_numpy, between_samples(maps.shape[1], size[0], slice(row, row + 1)))
    left, right, across = map(torch.from_numpy, between_samples(maps.shape[2], size[1], slice(column, column + 1)))
    top = torch.lerp(maps[:, above, left], maps[:, above, right], across.to(maps))
    bottom = torch.lerp(maps[:, below, left], maps[:, below, right], across.to(maps))
    return torch.lerp(top, bottom, down.to(maps))[:, 0]
