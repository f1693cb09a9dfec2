"""Request to segment a picture, and its result. Imports no Gradio."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cliptrase_core.options import LayoutOptions, SegmentOptions, options_of
from demo import core, drawing
from demo.service.pictures import PictureKey

if TYPE_CHECKING:
    from cliptrase_core import Segmentation
    from cliptrase_core.viz.palette import LegendRow


@dataclass(frozen=True)
class SegmentRequest(SegmentOptions, LayoutOptions):
    """Everything that decides a result besides the picture; equal requests have equal results.

    The options are those of `SegmentOptions` and `LayoutOptions`.

    Attributes:
        words: vocabulary in the syntax of `parse_vocabulary`.
        model: key of a loaded model; None for the model that the page started with.
    """

    words: str
    model: str | None = field(default=None, kw_only=True)

    @property
    def of_segment(self) -> dict[str, Any]:
        """Keyword arguments of `Segmenter.segment`, without the threshold."""
        names = [one.name for one in options_of(SegmentOptions) if one.name != "threshold"]
        return {name: getattr(self, name) for name in names}

    @property
    def automatic(self) -> list[str]:
        """Names of the unset options, which preset, method and model decide."""
        return [one.name for one in options_of(type(self)) if one.unset and getattr(self, one.name) is None]

    @property
    def own_clustering(self) -> tuple[float, int] | None:
        """eps and min_samples; None if picture and model decide them: the page has one choice for both."""
        return None if self.eps is None or self.min_samples is None else (self.eps, self.min_samples)

    @property
    def other_method(self) -> str:
        """Title of the method; empty for CLIPtrase, whose steps the page shows."""
        method = core.methods.registry.METHODS[self.method]
        return "" if method is core.methods.registry.CLIPTRASE else method.title

    @property
    def before_vote(self) -> SegmentRequest:
        """Request for the labels before the vote; the same for every clustering, so the result is computed once."""
        return replace(self, vote=False, threshold=0.0, denoise="cls", eps=None, min_samples=None)


@dataclass(frozen=True)
class Run:
    """One result of a visitor: enough to find or repeat it, small enough to store for each visitor."""

    key: PictureKey
    request: SegmentRequest

    @property
    def token(self) -> str:
        """Short hash of all fields."""
        return hashlib.sha256(repr(self).encode("utf-8", "surrogatepass")).hexdigest()[:24]


@dataclass(frozen=True, eq=False)
class SegmentView:
    """Segmented picture, ready for display or export.

    Attributes:
        run: key of the picture, and request.
        shown: (H, W, 3), the picture at display size.
        patches: (h*cell, w*cell, 3), the model input.
        result: segmentation; its maps have `Entry.size` for the page, and the frame of `Frame.labels` for exports.
        encoding_cached: True if the encoded picture was cached.
        result_cached: True if the whole result was cached.
    """

    run: Run
    shown: drawing.Picture
    patches: drawing.Picture
    result: Segmentation
    encoding_cached: bool
    result_cached: bool

    @cached_property
    def legend(self) -> list[LegendRow]:
        """Present classes, largest first."""
        return core.viz.palette.legend(self.result)

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        """(H, W), labels at display size."""
        return self._as_shown(self.result.labels)

    @property
    def regions(self) -> npt.NDArray[np.int32]:
        """(H, W), regions at display size."""
        return self._as_shown(self.result.regions)

    def _as_shown(self, values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return core.io.geometry.nearest(values, (self.shown.shape[0], self.shown.shape[1]))
