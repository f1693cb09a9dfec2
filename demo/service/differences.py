"""What differs between two results of one picture. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demo.service.segmentation import SegmentView

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Change:
    """One class in two results.

    Attributes:
        name: of the class.
        before: share of the picture in the first result; None if its words lack the class.
        after: likewise in the second.
    """

    name: str
    before: float | None
    after: float | None

    @property
    def delta(self) -> float:
        """What the class gained."""
        return (self.after or 0.0) - (self.before or 0.0)


@dataclass(frozen=True, eq=False)
class Difference:
    """What differs between two results of one picture.

    Attributes:
        changed: (H, W), pixels whose class has another name.
        share: of such pixels.
        classes: every class of either, largest gain or loss first.
        moves: (name before, name after, share of the picture), largest first.
    """

    changed: npt.NDArray[np.bool_]
    share: float
    classes: list[Change]
    moves: list[tuple[str, str, float]]


def difference(before: SegmentView, after: SegmentView) -> Difference:
    """Compare two results of one picture, classes matched by name.

    Args:
        before: first result.
        after: second, in the same frame.
    """
    all_names, first, second = by_name(before, after)
    size = len(all_names)
    # Only classes that are there: a table of all pairs of a thousand words would be large.
    used = np.flatnonzero(np.bincount(first.ravel(), minlength=size) + np.bincount(second.ravel(), minlength=size))
    names, count = [all_names[i] for i in used], len(used)
    compact = np.zeros(size, dtype=np.int64)
    compact[used] = np.arange(count)
    pairs = np.bincount((compact[first] * count + compact[second]).ravel(), minlength=count * count)
    table = pairs.reshape(count, count) / first.size  # rows before, columns after
    known = [{fold(name) for name in cut.result.class_names} for cut in (before, after)]
    classes = [
        Change(
            name,
            float(table[i].sum()) if fold(name) in known[0] else None,
            float(table[:, i].sum()) if fold(name) in known[1] else None,
        )
        for i, name in enumerate(names)
    ]
    moved = table - np.diag(np.diag(table))
    order = [divmod(int(i), count) for i in np.argsort(-moved, axis=None, kind="stable") if moved.flat[i] > 0]
    changed = first != second
    return Difference(
        changed=changed,
        share=float(changed.mean()),
        classes=sorted(classes, key=lambda one: -abs(one.delta)),
        moves=[(names[i], names[j], float(moved[i, j])) for i, j in order],
    )


def by_name(before: SegmentView, after: SegmentView) -> tuple[list[str], Labels, Labels]:
    """One list of names for two results, and the labels of both as indices into it."""
    places: dict[str, int] = {}
    names: list[str] = []
    tables = []
    for cut in (before, after):
        for name in cut.result.class_names:
            if fold(name) not in places:
                places[fold(name)] = len(names)
                names.append(name)
        tables.append(np.array([places[fold(name)] for name in cut.result.class_names], dtype=np.int32))
    return names, tables[0][before.result.labels], tables[1][after.result.labels]


def fold(name: str) -> str:
    """What makes two names one."""
    return name.casefold()
