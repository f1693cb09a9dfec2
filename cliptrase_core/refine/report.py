"""The report of a refinement: what changed, and why something did not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, explain
from cliptrase_core.results import ComponentReport, Refined, RefineReport, Segmentation, counted


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
        mode: how it works, one of `MODES`.
        settings: what a second run needs besides.
        seconds: that it took.
        components: for the report.
    """
    names = result.class_names
    counts = counted(result.labels, labels, names)
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
        model_input=result.model_input,
        name=result.name,
        report=report,
        coarse=result.labels,
    )


PROMPTS, REGIONS, EVERYTHING = "prompts", "regions", "everything"
MODES = (PROMPTS, REGIONS, EVERYTHING)
"""How SAM works: asked about every component of a class, about every region of the clustering, or for everything."""

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
            keep: numbers of the components whose masks are taken, in the order of the report; None decides by quality.
            step: see `Step`.

        Raises:
            InputError: picture and labels differ in size, or there is no such component.
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
