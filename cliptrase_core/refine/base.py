"""Interface of refiners: their input, its checks, and their result."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cliptrase_core.cancel import Progress, quietly
from cliptrase_core.errors import InputError
from cliptrase_core.io.image import ImageInput
from cliptrase_core.maps import count_changes, given
from cliptrase_core.names import MODES
from cliptrase_core.reports import ComponentReport, RefineReport
from cliptrase_core.results import Refined, Segmentation


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
    """Combine a coarse result and new labels (H0, W0) of the same classes.

    Args:
        result: coarse result.
        labels: new labels.
        refiner: name of the refiner, for report and settings.
        mode: mode of the refiner; for SAM, one of `MODES`.
        settings: further settings that are needed to repeat the run.
        seconds: duration.
        components: component reports.
    """
    names = result.class_names
    counts = count_changes(result.labels, labels, names)
    way = {"refine_mode": mode} if mode in MODES else {}  # only SAM has a choice
    report = RefineReport(refiner=refiner, mode=mode, components=components, **counts)
    return Refined(
        labels=labels.astype(np.int32),
        regions=given(result, "regions"),
        confidence=given(result, "confidence"),
        class_names=names,
        patch_clusters=result.patch_clusters,
        grid=result.grid,
        settings={**result.settings, "refiner": refiner, **way, **settings},
        timings={**result.timings, "refine": seconds},
        notes=result.notes,
        model_input=result.model_input,
        name=result.name,
        input_trace=result.input_trace,
        report=report,
        coarse=result.labels,
    )


Pixels = npt.NDArray[np.uint8]
Working = tuple[Segmentation, Pixels]
"""A result and its picture at a smaller size."""


class Refiner(Protocol):
    """Interface of a refiner; threads may share one."""

    def __call__(
        self, result: Segmentation, image: Pixels, *, keep: Collection[int] | None = None, step: Progress = quietly
    ) -> Refined:
        """Refine the boundaries of a result.

        Args:
            result: coarse result.
            image: (H, W, 3), in the frame of the labels.
            keep: numbers of the components whose masks are used, in the order of the report; None decides by quality.
            step: see `Progress`.

        Raises:
            InputError: picture and labels differ in size, or there is no such component.
        """


def expect_result(result: object) -> None:
    """Raise InputError unless it is a segmentation."""
    if not isinstance(result, Segmentation):
        got, remedy = type(result).__name__, "Pass what segment gave first, then the rest."
        raise InputError("result", expected="a segmentation", got=got, remedy=remedy)


def picture_of(result: Segmentation, image: ImageInput) -> Pixels:
    """Return the picture in the frame of the labels, (H, W, 3), as `Segmentation.canvas` does, but never without one.

    Raises:
        InputError: no usable picture, or another one, as for `Segmentation.canvas`.
    """
    if image is None:
        remedy = "Pass the picture that was segmented."
        raise InputError("picture", expected=f"one of {result.size}", got="none", remedy=remedy)
    return result.canvas(image)
