"""What a refiner says it did."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, explain
from cliptrase_core.results import Segmentation


@dataclass(frozen=True)
class ComponentReport:
    """One piece of the coarse result, and what became of it.

    Attributes:
        class_name: whose piece it is.
        area: pixels of the coarse piece.
        point: (x, y) that was pointed at, in pixels of the labels.
        box: (left, top, right, bottom), likewise.
        predicted_iou: what the model thinks of its mask.
        agreement: IoU of the mask with the coarse piece, in [0, 1].
        accepted: the mask was taken.
        reason: why not; empty where it was.
    """

    class_name: str
    area: int
    point: tuple[int, int]
    box: tuple[int, int, int, int]
    predicted_iou: float
    agreement: float
    accepted: bool
    reason: str = ""


@dataclass(frozen=True)
class RefineReport:
    """What changed.

    Attributes:
        refiner: its name.
        mode: how it worked.
        changed: pixels that have another class now.
        gained: pixels that each class won; classes that won none are left out.
        lost: likewise.
        components: pieces that were looked at; none where the refiner does not work by pieces.
    """

    refiner: str
    mode: str
    changed: int
    gained: Mapping[str, int]
    lost: Mapping[str, int]
    components: tuple[ComponentReport, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        return asdict(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class Refined(Segmentation):
    """A result whose boundaries were refined.

    `labels` are new; `regions` and `confidence` keep speaking of the coarse result.

    Attributes:
        report: what changed and why.
        coarse: (H0, W0) int32, labels before: what the report compares with.
    """

    report: RefineReport = field()
    coarse: npt.NDArray[np.int32] = field(repr=False)

    def above(self, threshold: float) -> Refined:
        """As `Segmentation.above`; the report counts what differs from the coarse result then."""
        shown = super().above(threshold)
        counts = _counted(self.coarse, shown.labels, shown.class_names)
        return dataclasses.replace(shown, report=dataclasses.replace(self.report, **counts))


def refined(
    result: Segmentation,
    labels: npt.NDArray[np.integer],
    *,
    refiner: str,
    mode: str,
    settings: Mapping[str, Any],
    seconds: float,
    components: tuple[ComponentReport, ...] = (),
) -> Refined:
    """Join a coarse result and new labels (H0, W0) of the same classes.

    Args:
        result: coarse.
        labels: new.
        refiner: name for report and settings.
        mode: likewise.
        settings: what a second run needs besides.
        seconds: that it took.
        components: for the report.
    """
    names = result.class_names
    counts = _counted(result.labels, labels, names)
    report = RefineReport(refiner=refiner, mode=mode, components=components, **counts)
    return Refined(
        labels=labels.astype(np.int32),
        regions=result.regions,
        confidence=result.confidence,
        class_names=names,
        patch_clusters=result.patch_clusters,
        grid=result.grid,
        settings={**result.settings, "refiner": refiner, "refine_mode": mode, **settings},
        timings={**result.timings, "refine": seconds},
        notes=result.notes,
        report=report,
        coarse=result.labels,
    )


def _counted(before: npt.NDArray[np.integer], after: npt.NDArray[np.integer], names: tuple[str, ...]) -> dict[str, Any]:
    """Pixels that changed, and what each class won and lost."""
    moved = after != before
    won, lost = (np.bincount(labels[moved], minlength=len(names)) for labels in (after, before))
    return {
        "changed": int(moved.sum()),
        "gained": {names[i]: int(won[i]) for i in np.flatnonzero(won)},
        "lost": {names[i]: int(lost[i]) for i in np.flatnonzero(lost)},
    }


PROMPTS, REGIONS, EVERYTHING = "prompts", "regions", "everything"
MODES = (PROMPTS, REGIONS, EVERYTHING)
"""How SAM works: asked about every piece of a class, about every region of the clustering, or for everything."""

Pixels = npt.NDArray[np.uint8]
Working = tuple[Segmentation, Pixels]
"""A result and its picture at a smaller size."""
Step = Callable[[float, str], None]
"""Told (share in [0, 1], what happens) now and then; what it raises stops the work."""


def quietly(share: float, text: str) -> None:
    """The step that tells nobody."""


class Refiner(Protocol):
    """One way to refine boundaries; threads may share it."""

    def __call__(
        self, result: Segmentation, image: Pixels, *, keep: Collection[int] | None = None, step: Step = quietly
    ) -> Refined:
        """Refine.

        Args:
            result: coarse.
            image: (H, W, 3), in the frame of the labels.
            keep: numbers of the pieces whose masks are taken, in the order of the report; None decides by quality.
            step: see `Step`.

        Raises:
            InputError: picture and labels differ in size, or there is no such piece.
        """


def expect_frame(result: Segmentation, image: Pixels) -> None:
    """Raise InputError unless the picture is what the labels were made for."""
    if image.shape != (*result.size, 3) or image.dtype != np.uint8:
        raise InputError(
            explain(
                "picture",
                expected=f"uint8 {(*result.size, 3)}, the frame of the labels",
                got=f"{image.dtype} {image.shape}",
                remedy="Pass the picture that was segmented; for paper presets, the crop that they label.",
            )
        )
