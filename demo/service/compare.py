"""Results of one picture with several steps, methods or words, and their differences. Imports no Gradio."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cliptrase_core.io.allocator import return_free
from cliptrase_core.names import fold
from demo import core
from demo.errors import UserError, as_user_errors
from demo.service.segmentation import Run, SegmentRequest, SegmentView
from demo.service.service import Service
from demo.settings import METHODS

if TYPE_CHECKING:
    from cliptrase_core.io.geometry import Size

STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "clip": ("CLIP", {"method": "clip"}),
    "recovery": ("+ recovery", {"method": "cliptrase", "vote": False}),
    "clustering": ("+ clustering", {"method": "cliptrase", "vote": True, "denoise": "none"}),
    "cliptrase": ("+ denoising", {"method": "cliptrase", "vote": True, "denoise": "cls"}),
}
"""CLIPtrase step by step: name -> (title, options); each entry adds one step to the one before."""
VARIANTS = (*STEPS, *(name for name in METHODS if name not in STEPS))
"""All variants, compared by default: the steps, then the other methods."""
MOST_COMPARED = 50_000_000
"""Maximum pixels of all results of a call at full size: 0.1 s and 12 MB per million. Above it, the display size."""
OWN, OTHER_WORDS = "yours", "other words"
_SHARED_STAGES = ("read", "encode")


@dataclass(frozen=True)
class Variant:
    """One way to segment the picture.

    Attributes:
        name: stable name for programs.
        title: title for people.
        request: request with everything that decides its result.
    """

    name: str
    title: str
    request: SegmentRequest


@dataclass(frozen=True)
class Comparison:
    """Comparison of a visitor; small enough to store for each of them."""

    run: Run
    variants: tuple[Variant, ...]

    def variant(self, name: str) -> Variant:
        """Return the variant of a name; raise UserError if there is none."""
        for one in self.variants:
            if one.name == name:
                return one
        raise UserError("There is no such result to compare. Press Compare again.")


def variants(request: SegmentRequest, names: Sequence[str] = VARIANTS, other_words: str = "") -> tuple[Variant, ...]:
    """Return variants of a request that differ from it in method and steps only, and one with other words.

    Args:
        request: common request.
        names: names from `VARIANTS`.
        other_words: second vocabulary; empty for no such variant.

    Raises:
        UserError: unknown name.
    """
    found = []
    for name in names:
        if name not in VARIANTS:
            raise UserError(f"methods: expected names out of {', '.join(VARIANTS)}, got {name[:40]!r}. Pick some.")
        title, changes = STEPS[name] if name in STEPS else (core.methods.registry.METHODS[name].title, {"method": name})
        other = dataclasses.replace(request, **{"vote": None, **changes})
        # For an equivalent request use `request` itself, so that its cached result is found.
        found.append(Variant(name, title, request if _settled(other) == _settled(request) else other))
    if other_words.strip():
        found.append(Variant(OTHER_WORDS, "Other words", dataclasses.replace(request, words=other_words)))
    return tuple(found)


def with_own(request: SegmentRequest, others: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """Return the variants, and the user's own result unless it is one of them."""
    return others if own_name(request, others) else (*others, Variant(OWN, "Your settings", request))


def own_name(request: SegmentRequest, among: Sequence[Variant]) -> str | None:
    """Return the name of the variant that equals the user's own result, or None."""
    return next((one.name for one in among if _settled(one.request) == _settled(request)), None)


def in_full(size: Size, results: int) -> bool:
    """Return whether this many results are compared at the picture's own size (H, W); else at display size."""
    return size[0] * size[1] * results <= MOST_COMPARED


def variant_views(
    service: Service, path: str | None, comparison: Comparison, *, full: bool = False
) -> Generator[tuple[Variant, SegmentView], None, None]:
    """Yield each variant with its result, computed or cached; the picture is never encoded again.

    Args:
        service: service that made the run.
        path: file of the picture.
        comparison: variants to segment.
        full: as for `Service.segment`.

    Raises:
        UserError: the picture or the model has been replaced, or the other words are unusable.
    """
    try:
        for one in comparison.variants:
            yield one, service.again(Run(comparison.run.key, one.request), path, full=full)
    finally:  # also after a stop, and for a caller that takes only some of the results
        return_free()


def class_names(requests: Iterable[SegmentRequest]) -> list[str]:
    """Return every class name that the results of some requests may have, before any of them is computed.

    Raises:
        UserError: the other words are unusable.
    """
    with as_user_errors():
        texts = {one.words for one in requests}
        named = [core.text.words.read_words(words, None).class_names for words in texts]
    # A threshold adds the class BACKGROUND, the option everything_else adds EVERYTHING_ELSE.
    return [*(name for names in named for name in names), core.results.BACKGROUND, core.results.EVERYTHING_ELSE]


def cost(view: SegmentView) -> float:
    """Return the seconds of a result without reading and encoding the picture, which all variants share."""
    return float(sum(took for stage, took in view.result.timings.items() if stage not in _SHARED_STAGES))


def _settled(request: SegmentRequest) -> SegmentRequest:
    """Return an equivalent request with defaults filled in and without options that do not change its labels."""
    method = core.methods.registry.METHODS[request.method]
    request = dataclasses.replace(request, residual=request.residual or method.residual)
    if method.regions_vote if request.vote is None else request.vote:
        return dataclasses.replace(request, vote=True)
    return dataclasses.replace(request, vote=False, denoise="cls", eps=None, min_samples=None)


@dataclass(frozen=True)
class Change:
    """Area of one class in two results.

    Attributes:
        name: name of the class.
        before: share of the picture in the first result; None if its words lack the class.
        after: the same in the second result.
    """

    name: str
    before: float | None
    after: float | None

    @property
    def delta(self) -> float:
        """Gain of the class, as a share of the picture."""
        return (self.after or 0.0) - (self.before or 0.0)


@dataclass(frozen=True, eq=False)
class Difference:
    """Difference between two results of one picture.

    Attributes:
        changed: (H, W), pixels whose class has another name.
        share: share of such pixels.
        classes: all classes of either result, largest gain or loss first.
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
        after: second result, in the same frame.
    """
    all_names, tables = by_name(before, after)
    labels = before.result.labels, after.result.labels
    there = np.zeros(len(all_names), bool)
    for table, one in zip(tables, labels, strict=True):
        for rows in core.io.geometry.strips(one.shape):  # whole maps of a photograph would take 1 GB
            there[table[np.bincount(one[rows].ravel(), minlength=len(table)) > 0]] = True
    # Only classes that occur: a table of all pairs of a thousand words would be large.
    used = np.flatnonzero(there)
    names, count = [all_names[i] for i in used], len(used)
    compact = np.zeros(len(all_names), dtype=np.int64)
    compact[used] = np.arange(count)
    pairs, changed = np.zeros(count * count, np.int64), np.empty(labels[0].shape, bool)
    for rows in core.io.geometry.strips(changed.shape):
        first, second = (compact[table][one[rows]] for table, one in zip(tables, labels, strict=True))
        np.not_equal(first, second, out=changed[rows])
        pairs += np.bincount((first * count + second).ravel(), minlength=count * count)
    shares = pairs.reshape(count, count) / changed.size  # rows before, columns after
    known = [{fold(name) for name in view.result.class_names} for view in (before, after)]
    classes = [
        Change(
            name,
            float(shares[i].sum()) if fold(name) in known[0] else None,
            float(shares[:, i].sum()) if fold(name) in known[1] else None,
        )
        for i, name in enumerate(names)
    ]
    moved = shares - np.diag(np.diag(shares))
    order = [divmod(int(i), count) for i in np.argsort(-moved, axis=None, kind="stable") if moved.flat[i] > 0]
    return Difference(
        changed=changed,
        share=float(changed.mean()),
        classes=sorted(classes, key=lambda one: -abs(one.delta)),
        moves=[(names[i], names[j], float(moved[i, j])) for i, j in order],
    )


def by_name(before: SegmentView, after: SegmentView) -> tuple[list[str], list[npt.NDArray[np.int64]]]:
    """Return one list of names for two results, and for each result the indices of its labels in the list."""
    places: dict[str, int] = {}
    names: list[str] = []
    tables = []
    for view in (before, after):
        for name in view.result.class_names:
            if fold(name) not in places:
                places[fold(name)] = len(names)
                names.append(name)
        tables.append(np.array([places[fold(name)] for name in view.result.class_names], dtype=np.int64))
    return names, tables
