"""Figures of a data set from counts of its pixels, in the way of each protocol, with bootstrap intervals.

Everything follows from three counts a class, which add up over pictures: pixels that are right, true, and given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cliptrase_core.evaluation.ledger import Record

Rule = Literal["published", "paper", "mmseg"]
"""How counts become figures, see `figures`."""

Counts = npt.NDArray[np.float64]

RESAMPLES = 1000
SEED = 2407
LEVEL = 95
"""Per cent of resamples within an interval."""

_SMOOTH = 0.01
"""The published script adds it to denominators (quirk B6)."""


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Pixels of each class.

    Attributes:
        hit: (..., C) pixels of the class that got it.
        true: (..., C) pixels of the class.
        given: (..., C) pixels that got the class, among those that count.
    """

    hit: Counts
    true: Counts
    given: Counts

    def iou(self, smooth: float = 0.0) -> Counts:
        """(..., C) intersection over union, NaN for a class in neither map."""
        return _ratio(self.hit, self.true + self.given - self.hit + smooth)

    def accuracy(self, smooth: float = 0.0) -> Counts:
        """(..., C) share of the class's pixels that are right, NaN for a class that is not in the truth."""
        return _ratio(self.hit, self.true + smooth)


def counts_of(records: Sequence[Record], classes: int) -> ClassCounts:
    """Counts of every picture: (n, C) each; exact, since float64 holds whole numbers up to 2^53."""
    parts = np.zeros((3, len(records), classes))
    for row, record in enumerate(records):
        true, given = np.divmod(np.asarray(record.cells, np.int64), classes + 1)
        pixels = np.asarray(record.pixels, np.float64)
        same, named = true == given, given < classes
        np.add.at(parts[0, row], true[same], pixels[same])
        np.add.at(parts[1, row], true, pixels)
        np.add.at(parts[2, row], given[named], pixels[named])
    return ClassCounts(*parts)


def total(counts: ClassCounts) -> ClassCounts:
    """(C,) counts of all pictures."""
    return ClassCounts(counts.hit.sum(0), counts.true.sum(0), counts.given.sum(0))


def figures(counts: ClassCounts, rule: Rule) -> dict[str, Counts]:
    """Per cent.

    `published`: 0.01 is added to denominators, and classes that are not in the truth add 0 to mAcc (quirk B6).
    `paper`: the same figures without either. `mmseg`: mIoU also counts, as 0, classes that were only given.

    Args:
        counts: of a data set, (..., C) each.
        rule: which of the three.

    Returns:
        Name to (...); NaN where nothing counts.
    """
    smooth = _SMOOTH if rule == "published" else 0.0
    iou, accuracy = counts.iou(smooth), counts.accuracy(smooth)
    present, pixels = counts.true > 0, counts.true.sum(-1, keepdims=True)
    right = _ratio(counts.hit.sum(-1), pixels[..., 0])
    if rule == "mmseg":
        return {"aAcc": 100 * right, "mAcc": 100 * _mean(accuracy, present), "mIoU": 100 * _mean(iou, ~np.isnan(iou))}
    everyone = np.ones_like(present) if rule == "published" else present
    weighted = np.where(present, _ratio(counts.true, pixels) * np.nan_to_num(iou), 0).sum(-1)
    return {
        "pAcc": 100 * right,
        "mAcc": 100 * _mean(accuracy, everyone),
        "fwIoU": 100 * np.where(np.isnan(right), np.nan, weighted),
        "mIoU": 100 * _mean(iou, present),
    }


def means(records: Sequence[Record]) -> Mapping[str, Counts]:
    """(n,) of each figure that was measured picture by picture, in per cent."""
    names = sorted({name for record in records for name in record.extra})
    return {name: np.array([record.extra[name] for record in records]) for name in names}


def intervals(counts: ClassCounts, rule: Rule, extra: Mapping[str, Counts]) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over pictures, the same for the same pictures in the same order.

    Args:
        counts: of each picture, (n, C) each.
        rule: see `figures`.
        extra: name to (n,), figures whose mean is reported.

    Returns:
        Name to (low, high), in per cent; nothing where fewer than two pictures have pixels that count, for one says
        nothing about how much pictures differ.
    """
    n = len(counts.hit)
    if np.count_nonzero(counts.true.sum(-1)) < 2:
        return {}
    rng = np.random.default_rng(SEED)
    values: dict[str, list[Counts]] = {}
    for share in np.array_split(np.arange(RESAMPLES), 10):  # a tenth at a time: ade847 would fill memory
        weights = rng.multinomial(n, np.full(n, 1 / n), size=len(share)).astype(np.float64)  # (R, n)
        resampled = ClassCounts(weights @ counts.hit, weights @ counts.true, weights @ counts.given)
        found = figures(resampled, rule) | {name: (weights * value).sum(1) / n for name, value in extra.items()}
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    tail = (100 - LEVEL) / 2
    bounds = {name: np.nanpercentile(np.concatenate(parts), (tail, 100 - tail)) for name, parts in values.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}


def _ratio(part: Counts, whole: Counts) -> Counts:
    part, whole = np.broadcast_arrays(part, whole)
    out: Counts = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return out


def _mean(values: Counts, chosen: npt.NDArray[np.bool_]) -> Counts:
    """Mean over the last axis of the chosen values, NaN where none is chosen."""
    return _ratio(np.where(chosen, np.nan_to_num(values), 0).sum(-1), chosen.sum(-1).astype(np.float64))
