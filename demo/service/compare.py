"""One picture divided in several ways, by steps, methods and words, and what differs between two results. No Gradio."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cliptrase_core.io.allocator import return_free
from demo import core
from demo.errors import UserError, for_people
from demo.service.segmentation import Run, SegmentRequest, SegmentView
from demo.service.service import Service
from demo.settings import METHODS

if TYPE_CHECKING:
    from cliptrase_core.io.geometry import Size

STEPS = {
    "clip": ("CLIP", {"method": "clip"}),
    "recovery": ("+ recovery", {"method": "cliptrase", "vote": False}),
    "clustering": ("+ clustering", {"method": "cliptrase", "vote": True, "denoise": "none"}),
    "cliptrase": ("+ denoising", {"method": "cliptrase", "vote": True, "denoise": "cls"}),
}
"""CLIPtrase step by step: name -> (title, what is asked); each adds one thing to the one before."""
VARIANTS = (*STEPS, *(name for name in METHODS if name not in STEPS))
"""Everything that is compared unless less is asked for: the steps, then the other methods."""
MOST_COMPARED = 50_000_000
"""Pixels of all results of a call together: a tenth of a second and 12 MB each million. Beyond, the page's own size."""
OWN, OTHER_WORDS = "yours", "other words"
_SHARED_STAGES = ("read", "encode")


@dataclass(frozen=True)
class Variant:
    """One way to divide the picture.

    Attributes:
        name: stable, for programs.
        title: for people.
        asked: everything that decides its result.
    """

    name: str
    title: str
    asked: SegmentRequest


@dataclass(frozen=True)
class Comparison:
    """What a visitor compares: small enough to keep for each of them."""

    run: Run
    variants: tuple[Variant, ...]

    def variant(self, name: str) -> Variant:
        """The variant of a name; UserError if there is none."""
        for one in self.variants:
            if one.name == name:
                return one
        raise UserError("There is no such result to compare. Press Compare again.")


def variants(asked: SegmentRequest, names: Sequence[str] = VARIANTS, other_words: str = "") -> tuple[Variant, ...]:
    """The ways to divide a picture that differ from `asked` in method and steps only.

    Args:
        asked: what they share.
        names: of `VARIANTS`.
        other_words: a second vocabulary; may be empty.

    Raises:
        UserError: an unknown name.
    """

    found = []
    for name in names:
        if name not in VARIANTS:
            raise UserError(f"methods: expected names out of {', '.join(VARIANTS)}, got {name[:40]!r}. Pick some.")
        title, changes = STEPS[name] if name in STEPS else (core.methods.registry.METHODS[name].title, {"method": name})
        other = dataclasses.replace(asked, **{"vote": None, **changes})  # type: ignore[arg-type]
        # The same request in the same words is found among the results that are kept.
        found.append(Variant(name, title, asked if _settled(other) == _settled(asked) else other))
    if other_words.strip():
        found.append(Variant(OTHER_WORDS, "Other words", dataclasses.replace(asked, words=other_words)))
    return tuple(found)


def with_own(asked: SegmentRequest, others: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """The variants, and the person's own result unless it is one of them."""
    return others if own_name(asked, others) else (*others, Variant(OWN, "Your settings", asked))


def own_name(asked: SegmentRequest, among: Sequence[Variant]) -> str | None:
    """Which variant is what the person sees now; None if none is."""
    return next((one.name for one in among if _settled(one.asked) == _settled(asked)), None)


def in_full(size: Size, results: int) -> bool:
    """Whether so many results are compared in the picture's own size (H, W), or at the size at which they are shown."""
    return size[0] * size[1] * results <= MOST_COMPARED


def cuts(
    service: Service, path: str | None, comparison: Comparison, *, full: bool = False
) -> Iterator[tuple[Variant, SegmentView]]:
    """Each variant with its result, made now or kept from before; the picture is never encoded again.

    Args:
        service: that made the run.
        path: the picture's file.
        comparison: what is compared.
        full: as for `Service.segment`.

    Raises:
        UserError: the picture or the model is another one by now, or the other words are unusable.
    """
    for one in comparison.variants:
        yield one, service.again(Run(comparison.run.seen, one.asked), path, full=full)
    return_free()


def class_names(comparison: Comparison) -> list[str]:
    """Every name that a class of any variant may have, before any result is made.

    Raises:
        UserError: the other words are unusable.
    """

    with for_people():
        asked = {one.asked.words for one in comparison.variants}
        named = [core.text.words.read_words(words, None).class_names for words in asked]
    # A threshold adds one of these, the option everything_else the other.
    return [*(name for names in named for name in names), core.results.BACKGROUND, core.results.EVERYTHING_ELSE]


def cost(cut: SegmentView) -> float:
    """Seconds that a result took beyond reading and encoding the picture, which all share."""
    return float(sum(took for stage, took in cut.result.timings.items() if stage not in _SHARED_STAGES))


def _settled(asked: SegmentRequest) -> SegmentRequest:
    """The same request with everything said, and without what does not change its labels."""

    method = core.methods.registry.METHODS[asked.method]
    asked = dataclasses.replace(asked, residual=asked.residual or method.residual)
    if method.regions_vote if asked.vote is None else asked.vote:
        return dataclasses.replace(asked, vote=True)
    return dataclasses.replace(asked, vote=False, denoise="cls", eps=None, min_samples=None)


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
    all_names, tables = by_name(before, after)
    labels = before.result.labels, after.result.labels
    there = np.zeros(len(all_names), bool)
    for table, one in zip(tables, labels, strict=True):
        for rows in core.io.geometry.strips(one.shape):  # strips: a photograph's maps would take a gigabyte together
            there[table[np.bincount(one[rows].ravel(), minlength=len(table)) > 0]] = True
    # Only classes that are there: a table of all pairs of a thousand words would be large.
    used = np.flatnonzero(there)
    names, count = [all_names[i] for i in used], len(used)
    compact = np.zeros(len(all_names), dtype=np.int64)
    compact[used] = np.arange(count)
    pairs, changed = np.zeros(count * count, np.int64), np.empty(labels[0].shape, bool)
    for rows in core.io.geometry.strips(changed.shape):
        first, second = (compact[table][one[rows]] for table, one in zip(tables, labels, strict=True))
        np.not_equal(first, second, out=changed[rows])
        pairs += np.bincount((first * count + second).ravel(), minlength=count * count)
    table = pairs.reshape(count, count) / changed.size  # rows before, columns after
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
    return Difference(
        changed=changed,
        share=float(changed.mean()),
        classes=sorted(classes, key=lambda one: -abs(one.delta)),
        moves=[(names[i], names[j], float(moved[i, j])) for i, j in order],
    )


def by_name(before: SegmentView, after: SegmentView) -> tuple[list[str], list[npt.NDArray[np.int64]]]:
    """One list of names for two results, and for each result the places of its labels in it."""
    places: dict[str, int] = {}
    names: list[str] = []
    tables = []
    for cut in (before, after):
        for name in cut.result.class_names:
            if fold(name) not in places:
                places[fold(name)] = len(names)
                names.append(name)
        tables.append(np.array([places[fold(name)] for name in cut.result.class_names], dtype=np.int64))
    return names, tables


def fold(name: str) -> str:
    """What makes two names one."""
    return name.casefold()
