"""What a person asks for and gets: a picture divided among words. Imports no Gradio."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from demo import core
from demo.figures import views
from demo.service.pictures import Seen

if TYPE_CHECKING:
    from cliptrase_core import Segmentation
    from cliptrase_core.viz.palette import LegendRow


@dataclass(frozen=True)
class Asked:
    """Everything that decides a result besides the picture; equal ones have equal results.

    Attributes:
        words: vocabulary, as `parse_vocabulary` reads it.
        preset: how the picture is laid out.
        short_side: pixels that the model sees along the short side; None for the preset's.
        model: which loaded model, by its key; None for the one that the page started with.
        method: of `Segmenter.segment`, like what follows.
        denoise: likewise.
        eps: likewise.
        min_samples: likewise.
        templates: likewise.
        image_prior: likewise.
        vote: likewise.
        threshold: likewise.
    """

    words: str
    preset: str = "auto"
    short_side: int | None = None
    model: str | None = None
    method: str = "cliptrase"
    denoise: str = "cls"
    eps: float | None = None
    min_samples: int | None = None
    templates: str | None = None
    image_prior: bool = False
    vote: bool | None = None
    threshold: float = 0.0

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of `Segmenter.segment`, the threshold apart."""
        names = ("method", "denoise", "eps", "min_samples", "templates", "image_prior", "vote")
        return {name: getattr(self, name) for name in names}

    @property
    def before_vote(self) -> Asked:
        """What pixels say by themselves: the same for every clustering, so that it is made once."""
        return replace(self, vote=False, threshold=0.0, denoise="cls", eps=None, min_samples=None)


@dataclass(frozen=True)
class Run:
    """One result that a visitor looks at: enough to find or repeat it, small enough to keep for each visitor."""

    seen: Seen
    asked: Asked

    @property
    def token(self) -> str:
        """One short text that differs when anything differs."""
        return hashlib.sha256(repr(self).encode("utf-8", "surrogatepass")).hexdigest()[:24]


@dataclass(frozen=True, eq=False)
class Cut:
    """A segmented picture, ready to be shown or to be handed on.

    Attributes:
        run: which picture, and what was asked.
        shown: (H, W, 3), the picture at the size at which it is shown.
        patches: (h*cell, w*cell, 3), what the model saw.
        result: its maps at `Entry.size` for the page, in the frame of `Frame.labels` for whatever leaves it.
        reused: whether the picture had been encoded before.
        kept: whether the whole result had been made before.
    """

    run: Run
    shown: views.Picture
    patches: views.Picture
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
