"""A request to segment, and its result. Imports no Gradio."""

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
    """Everything that decides a result besides the picture; equal ones have equal results.

    The options are those of `SegmentOptions` and `LayoutOptions`.

    Attributes:
        words: vocabulary, as `parse_vocabulary` reads it.
        model: which loaded model, by its key; None for the one that the page started with.
    """

    words: str
    model: str | None = field(default=None, kw_only=True)

    @property
    def of_segment(self) -> dict[str, Any]:
        """Keyword arguments of `Segmenter.segment`, the threshold apart."""
        names = [one.name for one in options_of(SegmentOptions) if one.name != "threshold"]
        return {name: getattr(self, name) for name in names}

    @property
    def automatic(self) -> list[str]:
        """Names of the options that are left to preset, method and model."""
        return [one.name for one in options_of(type(self)) if one.unset and getattr(self, one.name) is None]

    @property
    def other_method(self) -> str:
        """Title of the method; empty for CLIPtrase, whose steps the page shows."""
        method = core.methods.registry.METHODS[self.method]
        return "" if method is core.methods.registry.CLIPTRASE else method.title

    @property
    def before_vote(self) -> SegmentRequest:
        """What pixels say by themselves: the same for every clustering, so that it is made once."""
        return replace(self, vote=False, threshold=0.0, denoise="cls", eps=None, min_samples=None)


@dataclass(frozen=True)
class Run:
    """One result that a visitor looks at: enough to find or repeat it, small enough to keep for each visitor."""

    seen: PictureKey
    asked: SegmentRequest

    @property
    def token(self) -> str:
        """One short text that differs when anything differs."""
        return hashlib.sha256(repr(self).encode("utf-8", "surrogatepass")).hexdigest()[:24]


@dataclass(frozen=True, eq=False)
class SegmentView:
    """A segmented picture, ready to be shown or to be handed on.

    Attributes:
        run: which picture, and what was asked.
        shown: (H, W, 3), the picture at the size at which it is shown.
        patches: (h*cell, w*cell, 3), the model input.
        result: its maps at `Entry.size` for the page, in the frame of `Frame.labels` for whatever leaves it.
        reused: whether the picture had been encoded before.
        kept: whether the whole result had been made before.
    """

    run: Run
    shown: drawing.Picture
    patches: drawing.Picture
    result: Segmentation
    reused: bool
    kept: bool

    @cached_property
    def legend(self) -> list[LegendRow]:
        """Classes that are present, largest first."""

        return core.viz.palette.legend(self.result)

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        """(H, W), labels at the size at which the picture is shown."""
        return self._as_shown(self.result.labels)

    @property
    def regions(self) -> npt.NDArray[np.int32]:
        """(H, W), regions likewise."""
        return self._as_shown(self.result.regions)

    def _as_shown(self, values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:

        return core.io.geometry.nearest(values, (self.shown.shape[0], self.shown.shape[1]))
