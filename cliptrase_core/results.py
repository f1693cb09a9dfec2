"""Results of every stage: frozen data classes, checked at creation and never changed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from cliptrase_core.canvas import UNKNOWN, InputTrace, covers_picture, picture_for
from cliptrase_core.errors import InputError, is_number
from cliptrase_core.io.geometry import Frame, Size
from cliptrase_core.io.image import ImageInput
from cliptrase_core.maps import count_changes, given, made_when_asked, runs
from cliptrase_core.names import MIN_AREA, OPACITY, fold
from cliptrase_core.reports import RefineReport

if TYPE_CHECKING:
    from torch import Tensor

    from cliptrase_core.io.export.saving import SavedFiles

Kind = TypeVar("Kind", bound="Segmentation")

BACKGROUND = "background"
"""Name of the label shared by all background words."""


EVERYTHING_ELSE = "everything else"
"""Name of the label of pixels that resemble none of the classes."""


def is_background(name: str) -> bool:
    """Return whether a class name is "background", in any letter case or Unicode form, with any space around it."""
    return fold(name) == BACKGROUND


NOISE = -1
"""Label of DBSCAN for a patch without a cluster; also "no region" in a region map."""


def _expect_shape(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(got) != expected:
        raise InputError(name, expected=f"shape {expected}", got=f"shape {tuple(got)}", remedy="Pass matching arrays.")


@dataclass(frozen=True, eq=False, repr=False)
class ImageEncoding:
    """Encoding of a picture: all its features that do not depend on words.

    Its tensors must not be changed in place, because what was computed from them is cached: change a copy, and pass it
    to `dataclasses.replace`.

    Attributes:
        patches: (N, D) float32 (float64 with precision fp64), unit rows: patch features of the recovered last block.
        cls: (D,), unit: the [CLS] feature of the same block, of the same type.
        affinity: (1+N, 1+N), cosine in [-1, 1], of the same type; row and column 0 are [CLS].
        last_input: (1+N, width), tokens that enter the last block, in the precision of the model: input of methods that
            change only this block.
        model_input: (H, W, 3) uint8, in the model frame: input of methods that change earlier blocks. Pixels are the
            smallest data from which the tokens of every block can be computed again.
        frame: layout of the picture for the model.
        preset: name of the preset of this layout.
        model_id: identifier of the model; a segmenter of another model rejects the encoding.
        timings: seconds by stage.
        name: file name of the picture, without folders; empty if it has none.
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
    name: str = ""

    def __repr__(self) -> str:
        (h, w), numbers = self.grid, self.patches.shape[1]
        of = _of(self.name, self.frame.original)
        return f"<ImageEncoding{of}: {h} x {w} patches of {numbers} numbers, preset {self.preset}>"

    def __post_init__(self) -> None:
        """Check that all arrays have the same N patches."""
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


@made_when_asked(labels=np.int32, regions=np.int32, confidence=np.float32)
@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """Segmentation of a picture by words. Its maps are read-only: change a copy, and pass it to `dataclasses.replace`.

    Attributes:
        labels: (H0, W0) int32, index into `class_names`.
        regions: (H0, W0) int32, cluster of each pixel, -1 everywhere if there is no cluster.
        confidence: (H0, W0) float32 in [0, 1], probability of the shown class: in each patch the softmax over the
            best prompt of every class, then interpolated between patches. Another class may be more probable
            where a region voted, and between patches, because labels are chosen after interpolating scores.
        class_names: shown names; the last is "background" if there are background words.
        patch_clusters: (N,) int, cluster of each patch, -1 = noise.
        grid: (h, w) in patches.
        settings: all settings that are needed to repeat the result; JSON values.
        timings: seconds by stage.
        notes: notes for the user: words that were merged or dropped, and what may mislead; may be empty.
        model_input: (H, W, 3) uint8, model input, of the same area as the labels; None if unknown. A result does not
            store the picture at full size: methods that show it take it as an argument.
        name: file name of the picture, without folders; empty if it has none.
        input_trace: digest and thumbnail of the model input in the JSON of a loaded result, by which another picture
            is found out.
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
    model_input: npt.NDArray[np.uint8] | None = None
    name: str = ""
    input_trace: InputTrace = UNKNOWN

    def __post_init__(self) -> None:
        """Check that maps agree in size and labels stay within the names."""
        labels, shape = given(self, "labels"), given(self, "labels").shape
        if labels.ndim != 2 or labels.size == 0:
            raise InputError("labels", expected="a map (H, W)", got=f"shape {shape}", remedy="Pass a 2-D array.")
        for name in ("regions", "confidence"):
            _expect_shape(name, given(self, name).shape, shape)
        _expect_shape("patch_clusters", self.patch_clusters.shape, (self.grid[0] * self.grid[1],))
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(self.class_names):
            raise InputError(
                "labels",
                expected=f"0 to {len(self.class_names) - 1}",
                got=f"{low} to {high}",
                remedy="Give one name for each label.",
            )

    def above(self: Kind, threshold: float) -> Kind:
        """Return the result with all pixels below a confidence threshold assigned to the background.

        The label is that of the background words, or a new last label if there are none. `confidence` still describes
        the class that was shown before. After a larger threshold, a smaller one gives no pixels back, so the larger one
        stays in the settings.

        Args:
            threshold: confidence threshold, 0 to 1; at 0 nothing changes.

        Raises:
            InputError: a threshold out of range, a result with fixes by hand, whose pixels have the confidence of
                another class, or a result that was saved without its confidence.
        """
        if not is_number(threshold) or not 0 <= threshold <= 1:
            raise InputError("threshold", expected="0 to 1", got=repr(threshold), remedy="0 changes nothing.")
        if threshold == 0:
            return self
        expect_no_fixes(self, "Set the threshold first, then apply the fixes.")
        expect_confidence(self)
        names = self.class_names if any(map(is_background, self.class_names)) else (*self.class_names, BACKGROUND)
        # The label of the background words is the last; a class with that name may have any label.
        label = max(place for place, name in enumerate(names) if is_background(name))
        labels = np.where(self.confidence < threshold, np.int32(label), self.labels)
        before: Any = self.settings.get("threshold")  # of a loaded result, any value
        largest = max(threshold, before) if is_number(before) else threshold
        settings = {**self.settings, "threshold": float(largest)}
        return dataclasses.replace(self, labels=labels, class_names=names, settings=settings)

    @property
    def size(self) -> Size:
        """(H0, W0) of the labels."""
        height, width = given(self, "labels").shape
        return int(height), int(width)

    @cached_property
    def small_labels(self) -> npt.NDArray[np.integer[Any]]:
        """(H0, W0), the labels as uint8 if there are at most 256 names, else unchanged."""
        kind = np.uint8 if len(self.class_names) <= 256 else given(self, "labels").dtype
        small: npt.NDArray[np.integer[Any]] = given(self, "labels").astype(kind, copy=False).view()
        small.flags.writeable = False
        return small

    @cached_property
    def shares(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Share of the picture, and mean confidence (NaN: no pixels, or some by hand), of each class: (C,), (C,)."""
        starts, lengths, labels = runs(self.small_labels)
        count, confidence = len(self.class_names), given(self, "confidence")
        pixels = np.bincount(labels, weights=lengths, minlength=count)
        if isinstance(confidence, np.ndarray):  # pairwise sums: exact enough, and fast
            sums = np.bincount(labels, weights=np.add.reduceat(confidence.ravel(), starts), minlength=count)
        else:
            sums = confidence.sums(starts, lengths, labels, count)
        fixes = self.settings.get("fixes")
        by_hand = [one.get("class") for one in fixes if isinstance(one, dict)] if isinstance(fixes, list) else []
        sums[[name in by_hand for name in self.class_names]] = np.nan  # there it is that of the class before
        with np.errstate(invalid="ignore"):
            return pixels / self.small_labels.size, np.clip(sums / pixels, 0, 1)

    @property
    def areas(self) -> dict[str, float]:
        """Share of the picture of each class that is present, largest first; classes of one name count together."""
        shares: dict[str, float] = {}
        for name, share in zip(self.class_names, self.shares[0].tolist(), strict=True):
            shares[name] = shares.get(name, 0.0) + share
        return {name: shares[name] for name in sorted(shares, key=shares.__getitem__, reverse=True) if shares[name]}

    # Convenience methods. Each imports viz or io.export when called, because these modules import this one.

    def canvas(self, image: ImageInput | None = None) -> npt.NDArray[np.uint8]:
        """Return the picture for drawing the result on it, (H0, W0, 3).

        Args:
            image: picture at the size of the labels. None uses the enlarged model input, or grey if that is unknown.
                The segmented picture itself is brought into their frame, if that is a crop or another size.

        Raises:
            InputError: no usable picture, one of another size, or another picture than the model input.
        """
        if image is not None:
            return picture_for(image, self.size, self.settings, self.model_input, self.name, self.input_trace)
        if self.model_input is None:
            return np.full((*self.size, 3), 127, np.uint8)
        return np.asarray(Image.fromarray(self.model_input).resize(self.size[::-1], Image.Resampling.BILINEAR))

    def overlay(
        self, image: ImageInput | None = None, opacity: float = OPACITY, *, style: str = "fill", grey: bool = False,
        names: bool = False, font: str | None = None,
    ) -> npt.NDArray[np.uint8]:  # fmt: skip
        """Return the picture with the colours of its classes over it, (H0, W0, 3).

        Args:
            image: as for `canvas`.
            opacity, style, grey, names, font: as for `viz.overlay.overlay`.
        """
        from cliptrase_core.viz.overlay import overlay

        return overlay(self.canvas(image), self, opacity, style=style, grey=grey, names=names, font=font)

    def figure(
        self,
        *maps: Any,
        parts: str | Sequence[str] | None = None,
        image: ImageInput | None = None,
        patch: tuple[int, int] | None = None,
        title: str | None = None,
        font: str | None = None,
    ) -> Any:
        """Draw a `matplotlib.figure.Figure` of the result and optional attention maps; arguments as for `viz.figure`.

        Example: `result.figure(image=picture).savefig("figure.pdf")`.
        """
        from cliptrase_core.viz.figure import figure

        return figure(self, *maps, parts=parts, image=image, patch=patch, title=title, font=font)

    def save(
        self,
        folder: str | os.PathLike[str],
        image: ImageInput | None = None,
        *,
        stem: str | None = None,
        formats: str | Iterable[str] | None = None,
        min_area: int = MIN_AREA,
        per_class: bool = False,
        polygons: bool = False,
    ) -> SavedFiles:
        """Write the result in formats of other programs; for many results, use `cliptrase_core.export`.

        An earlier result of the same file name is replaced. COCO and YOLO describe all results in the folder.

        Args:
            folder: output folder; created if missing.
            image: as for `canvas`; yolo, labelme and cutouts need it.
            stem: stem of the file names; None uses that of the picture.
            formats: names from `io.export.formats.FORMATS`; None writes png, overlay and json.
            min_area: minimum area in pixels; smaller components are left out of annotations.
            per_class: one annotation for each class instead of one for each connected component.
            polygons: as for `to_coco`. An option that none of the formats uses is refused.

        Raises:
            InputError: an unknown format, an option without use, a picture that is missing or does not fit, a folder
                that cannot be written, or a file of another program in the way.
        """
        from cliptrase_core.io.export.dataset import save_one

        return save_one(self, folder, image, stem, formats, min_area, per_class, polygons)

    def to_coco(
        self, *, file_name: str | os.PathLike[str] | None = None, min_area: int = MIN_AREA, per_class: bool = False,
        polygons: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Return the COCO data of this picture: images, categories, annotations with RLE or polygons, bbox, area.

        Args:
            file_name: file name of the picture; None uses that of the result, if the labels lie on its pixels.
            min_area: minimum area in pixels; smaller components are left out.
            per_class: one annotation for each class instead of one for each connected component.
            polygons: outlines instead of run lengths; a cut of zero width connects a hole to the outline.

        Raises:
            InputError: no file name, for labels of a crop or of another size than the picture.
        """
        from cliptrase_core.io.export import coco, record
        from cliptrase_core.io.export.components import ComponentRule

        if file_name is None and not covers_picture(self.size, self.settings):
            expected, remedy = "that of a picture with the labels' frame", "Save canvas(), and pass its file name."
            raise InputError("file name", expected=expected, got="none for a crop or another size", remedy=remedy)
        rule = ComponentRule(min_area, per_class)
        file, labels = os.fsdecode(file_name or self.name or "picture"), record.foreground(self.class_names)
        picture = coco.Annotated(file, self.size, self.class_names, labels, record.objects(self, rule))
        return coco.to_coco(picture, polygons=polygons)

    def to_polygons(self, *, min_area: int = MIN_AREA) -> dict[str, list[npt.NDArray[np.int32]]]:
        """Return the outlines of the connected components of each class that is present; the background has none.

        Each outline is (M, 2), x and y of pixels, M >= 3, through the outermost pixels. A cut of zero width connects a
        hole to the outline, so that `cv2.fillPoly` restores the component.

        Args:
            min_area: minimum area in pixels; smaller components are left out.
        """
        from cliptrase_core.io.export import record
        from cliptrase_core.io.export.components import ComponentRule

        found: dict[str, list[npt.NDArray[np.int32]]] = {}
        for component in record.objects(self, ComponentRule(min_area)):
            found.setdefault(self.class_names[component.label], []).extend(component.outlines)
        return found

    def __repr__(self) -> str:
        shares = [f"{name} {share:.0%}" for name, share in self.areas.items()]
        more = f", {len(shares) - 4} more" if len(shares) > 4 else ""
        how = [str(self.settings[key]) for key in ("method", "model", "refiner") if key in self.settings]
        regions = int(self.patch_clusters.max(initial=-1)) + 1
        return (
            f"<{type(self).__name__}{_of(self.name, self.size)}: {', '.join(shares[:4])}{more}; "
            f"{', '.join([*how, f'{regions} region' + 's' * (regions != 1)])}>"
        )

    def _repr_png_(self) -> bytes:
        """Return a small overlay, for a notebook."""
        from cliptrase_core.io.export.saving import notebook_png

        return notebook_png(self)

    def _repr_html_(self) -> str:
        """Return the overlay with its legend, for a notebook."""
        from cliptrase_core.io.export.saving import notebook_html

        return notebook_html(self)


def _of(name: str, size: Size) -> str:
    """Return name and size of a picture, for a `repr`."""
    return f" of {name!r}, {size[0]} x {size[1]}" if name else f" of {size[0]} x {size[1]}"


def expect_confidence(result: Segmentation) -> None:
    """Raise InputError if a result was loaded without its arrays; then its regions are unknown too."""
    if np.isnan(result.confidence.min()):
        got, remedy = "none: it was not saved", "Save results with npz among the formats, or segment the picture again."
        raise InputError("confidence", expected="a confidence map", got=got, remedy=remedy)


def expect_no_fixes(result: Segmentation, remedy: str) -> None:
    """Raise InputError if a person fixed a result: other changes would undo pixels that its settings still list."""
    if result.settings.get("fixes"):
        raise InputError("result", expected="one without fixes by hand", got="one with fixes", remedy=remedy)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Refined(Segmentation):
    """Result with refined boundaries.

    `labels` are new; `regions` and `confidence` still describe the coarse result.

    Attributes:
        report: changes and their reasons.
        coarse: (H0, W0) int32, labels before refinement; the report compares with them.
    """

    report: RefineReport
    coarse: npt.NDArray[np.int32]

    def above(self, threshold: float) -> Refined:
        """Apply `Segmentation.above`; the report counts the new differences from the coarse result."""
        shown = super().above(threshold)
        counts = count_changes(self.coarse, shown.labels, shown.class_names)
        return dataclasses.replace(shown, report=dataclasses.replace(self.report, **counts))

    @property
    def erased(self) -> tuple[str, ...]:
        """Classes of the coarse result without any pixel left: all of theirs went to other classes."""
        return tuple(name for name in self.report.lost if name not in self.areas)
