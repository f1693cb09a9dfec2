"""What the stages hand to each other and to the caller: frozen, checked when made, never changed."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.geometry import Frame, Size
from cliptrase_core.io.image import ImageInput

Kind = TypeVar("Kind", bound="Segmentation")

BACKGROUND = "background"
"""Name of the label that all background words share."""


EVERYTHING_ELSE = "everything else"
"""Name of the label of pixels that resemble none of the classes."""


def is_background(name: str) -> bool:
    """Whether a class of this name, however it is written, is the background."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split()) == BACKGROUND


NOISE = -1
"""DBSCAN's label of a patch that belongs to no cluster; also 'no region' in a region map."""


def _expect_shape(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(got) != expected:
        raise InputError(
            explain(name, expected=f"shape {expected}", got=f"shape {tuple(got)}", remedy="Pass matching arrays.")
        )


@dataclass(frozen=True, eq=False)
class ImageEncoding:
    """Everything about a picture that does not depend on words.

    Attributes:
        patches: (N, D) float32, unit rows: patch features of the recovered last block.
        cls: (D,) float32, unit: the [CLS] feature of the same block.
        affinity: (1+N, 1+N) float32, cosine in [-1, 1]; row and column 0 are [CLS].
        last_input: (1+N, width), tokens that enter the last block: methods that change no other start from here.
        model_input: (H, W, 3) uint8, in the model frame: methods that change earlier blocks start
            from here, for colours are the smallest thing that gives every block's tokens again.
        frame: how the picture was laid out.
        preset: name of the preset that laid it out.
        model_id: which model made it; a segmenter of another model refuses it.
        timings: seconds by stage.
    """

    patches: Tensor
    cls: Tensor
    affinity: Tensor
    last_input: Tensor
    model_input: npt.NDArray[np.uint8]
    frame: Frame
    preset: str
    model_id: str
    timings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that all parts speak of the same N patches."""
        h, w = self.frame.grid
        n = h * w
        _expect_shape("patches", tuple(self.patches.shape), (n, int(self.patches.shape[-1])))
        _expect_shape("cls", tuple(self.cls.shape), (int(self.patches.shape[-1]),))
        _expect_shape("affinity", tuple(self.affinity.shape), (1 + n, 1 + n))
        _expect_shape("model_input", self.model_input.shape, (*self.frame.model, 3))

    @property
    def grid(self) -> Size:
        """(h, w) in patches."""
        return self.frame.grid


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A picture divided among words.

    Attributes:
        labels: (H0, W0) int32, index into `class_names`.
        regions: (H0, W0) int32, cluster that claims each pixel, -1 everywhere when there is no cluster.
        confidence: (H0, W0) float32 in [0, 1], probability of the shown class among all words, interpolated
            between patches.
        class_names: shown names; the last is "background" when there are background words.
        patch_clusters: (N,) int, cluster of each patch, -1 = noise.
        grid: (h, w) in patches.
        settings: everything that a second run needs to give the same result; JSON-able.
        timings: seconds by stage.
        notes: what a person should know (words that were merged or dropped), may be empty.
    """

    labels: npt.NDArray[np.int32]
    regions: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float32]
    class_names: tuple[str, ...]
    patch_clusters: npt.NDArray[np.int64]
    grid: Size
    settings: Mapping[str, Any]
    timings: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that maps agree in size and labels stay within the names."""
        if self.labels.ndim != 2 or self.labels.size == 0:
            raise InputError(
                explain(
                    "labels",
                    expected="a map (H, W)",
                    got=f"shape {self.labels.shape}",
                    remedy="Pass a 2-D array.",
                )
            )
        _expect_shape("regions", self.regions.shape, self.labels.shape)
        _expect_shape("confidence", self.confidence.shape, self.labels.shape)
        _expect_shape("patch_clusters", self.patch_clusters.shape, (self.grid[0] * self.grid[1],))
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.class_names):
            raise InputError(
                explain(
                    "labels",
                    expected=f"0 to {len(self.class_names) - 1}",
                    got=f"{low} to {high}",
                    remedy="Give one name for each label.",
                )
            )

    def above(self: Kind, threshold: float) -> Kind:
        """The same result with every pixel that is less likely than `threshold` given to the background.

        The label is that of the background words, or a further one where there are none; confidence keeps
        speaking of the class that was shown before.

        Args:
            threshold: 0 to 1; at 0 nothing changes.

        Raises:
            InputError: a threshold out of range.
        """
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            raise InputError(
                explain("threshold", expected="0 to 1", got=repr(threshold), remedy="0 leaves every pixel its class.")
            )
        if threshold == 0:
            return self
        names = self.class_names if any(map(is_background, self.class_names)) else (*self.class_names, BACKGROUND)
        # The background's own label is the last; a person's class of that name may stand anywhere.
        label = max(place for place, name in enumerate(names) if is_background(name))
        labels = np.where(self.confidence < threshold, np.int32(label), self.labels)
        settings = {**self.settings, "threshold": float(threshold)}
        return dataclasses.replace(self, labels=labels, class_names=names, settings=settings)

    def figure(
        self,
        *maps: Any,
        parts: str | Sequence[str] | None = None,
        image: ImageInput | None = None,
        patch: tuple[int, int] | None = None,
        title: str | None = None,
        font: str | None = None,
    ) -> Any:
        """A `matplotlib.figure.Figure` of the result, and of attention maps that are given; arguments as `viz.figure`.

        `result.figure(image=picture).savefig("figure.pdf")`.
        """
        from cliptrase_core.viz.figure import figure

        return figure(self, *maps, parts=parts, image=image, patch=patch, title=title, font=font)

    @property
    def size(self) -> Size:
        """(H0, W0) of the labels."""
        return int(self.labels.shape[0]), int(self.labels.shape[1])

    @property
    def areas(self) -> dict[str, float]:
        """Share of the picture of each class that is present, largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.class_names))
        order = np.argsort(-counts, kind="stable")
        return {self.class_names[i]: float(counts[i] / self.labels.size) for i in order if counts[i]}
