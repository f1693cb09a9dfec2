"""What the page asks the core for: one model for everybody, each picture encoded once. Imports no Gradio.

The core (and torch with it) is imported inside functions, by the thread that loads the model: the page is drawn
meanwhile. Results are kept by the content of the picture, never by person, and never changed once made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from demo import figures
from demo.cache import Kept
from demo.models import ModelHolder, Status, UserError
from demo.settings import KEPT_CAPTURES, KEPT_MAPS, KEPT_PICTURES, Settings

if TYPE_CHECKING:
    from cliptrase_core import AttentionMaps, ImageEncoding, Segmentation, Segmenter
    from cliptrase_core.colours import LegendRow
    from cliptrase_core.geometry import Frame

__all__ = ["Cut", "Look", "Seen", "Service", "Status", "UserError"]


@dataclass(frozen=True)
class Seen:
    """Which picture a result belongs to: small enough to keep for each visitor.

    Attributes:
        picture: digest of the file.
        preset: how it was laid out.
        model_id: which model saw it.
        grid: (h, w) in patches.
        layers: blocks of that model.
    """

    picture: str
    preset: str
    model_id: str
    grid: tuple[int, int]
    layers: int

    @property
    def token(self) -> str:
        """One text that differs when anything above does."""
        return f"{self.picture}.{self.preset}.{self.model_id}"


@dataclass(frozen=True, eq=False)
class Cut:
    """A segmented picture, ready to be shown.

    Attributes:
        seen: which picture.
        overlay: (H, W, 3), the picture under its classes' colours.
        regions: (H, W, 3), every region in its own colour.
        patches: (h*cell, w*cell, 3), what the model saw.
        legend: classes that are present, largest first.
        result: in full.
        reused: whether the picture had been encoded before.
    """

    seen: Seen
    overlay: figures.Picture
    regions: figures.Picture
    patches: figures.Picture
    legend: list[LegendRow]
    result: Segmentation
    reused: bool


@dataclass(frozen=True, eq=False)
class Look:
    """What one patch looks at in one layer.

    Attributes:
        seen: which picture.
        patch: (row, column), from 0.
        layer: from 1.
        attention: (h, w), query-key softmax: shares of a sum of at most 1.
        affinity: (h, w), recovered, cosine in [-1, 1].
        global_patches: (row, column) of patches that attract most others, strongest first.
        ranks: rank of each of them before and after recovery, 1 = most looked at.
        patches: (h*cell, w*cell, 3), what the model saw.
    """

    seen: Seen
    patch: tuple[int, int]
    layer: int
    attention: npt.NDArray[np.float32]
    affinity: npt.NDArray[np.float32]
    global_patches: list[tuple[int, int]]
    ranks: list[tuple[int, int]]
    patches: figures.Picture


@dataclass(frozen=True, eq=False)
class _Entry:
    encoding: ImageEncoding
    shown: figures.Picture
    patches: figures.Picture


class Service:
    """The model and what it has seen lately; threads and visitors share one."""

    def __init__(self, settings: Settings, holder: ModelHolder | None = None) -> None:
        """Remember what to run; nothing is loaded before `start` or the first request."""
        self._holder = holder or ModelHolder(settings)
        self._pictures: Kept[_Entry] = Kept(KEPT_PICTURES)
        self._captures: Kept[Any] = Kept(KEPT_CAPTURES)
        self._maps: Kept[AttentionMaps] = Kept(KEPT_MAPS)

    def start(self) -> None:
        """Begin to load in the background; calling it again does nothing."""
        self._holder.start()

    def status(self) -> Status:
        """What runs now, or what is being waited for; never waits itself."""
        return self._holder.status()

    def segment(self, path: str | None, words: str, preset: str = "auto", **options: Any) -> Cut:
        """Divide a picture among words; a picture that was seen lately is not encoded again.

        Args:
            path: of the picture's file.
            words: vocabulary.
            preset: how the picture is laid out.
            options: of `Segmenter.segment`.

        Raises:
            UserError: something that the person can mend.
        """
        segmenter = self._holder.segmenter()
        with _for_people():
            from cliptrase_core.colours import label_colours, legend, paint, region_colours

            seen, entry, reused = self._encoded(segmenter, path, preset)
            result = segmenter.segment(entry.encoding, words, **options)
            size = entry.shown.shape[:2]
            colours = paint(figures.pick(result.labels, size), label_colours(result))
            regions = figures.pick(result.regions, size)
            return Cut(
                seen=seen,
                overlay=figures.blend(entry.shown, colours, 0.55),
                regions=paint(regions, region_colours(int(result.regions.max()) + 1)),
                patches=entry.patches,
                legend=legend(result),
                result=result,
                reused=reused,
            )

    def open(self, path: str | None, preset: str = "auto") -> Seen:
        """Encode a picture without words, for `look`."""
        with _for_people():
            return self._encoded(self._holder.segmenter(), path, preset)[0]

    def look(self, seen: Seen, path: str | None, row: int, column: int, layer: int | None = None) -> Look:
        """What one patch of a picture looks at.

        Args:
            seen: from `segment` or `open`.
            path: the picture's file, for when it is no longer in memory.
            row: from 0.
            column: from 0.
            layer: from 1; None takes the last but one.

        Raises:
            UserError: no such patch or layer, or the picture or the model is another one by now.
        """
        segmenter = self._holder.segmenter()
        if seen.model_id != segmenter.model_id:
            raise UserError("The model has changed since this picture was segmented. Press Segment again.")
        with _for_people():
            entry = self._again(segmenter, seen, path)
            layer = max(1, seen.layers - 1) if layer is None else layer
            maps, _ = self._maps.get((seen, layer), lambda: self._capture(segmenter, seen, path).maps(layer))
            attention, affinity = maps.patch_maps(row, column)
        return Look(
            seen=seen,
            patch=(row, column),
            layer=layer,
            attention=attention.numpy(),
            affinity=affinity.numpy(),
            global_patches=[divmod(int(patch), seen.grid[1]) for patch in maps.global_patches],
            ranks=maps.global_ranks,
            patches=entry.patches,
        )

    def patch_at(self, seen: Seen, x: float, y: float) -> tuple[int, int]:
        """Patch (row, column) under a point of the inspected picture."""
        from cliptrase_core.geometry import patch_at

        side = figures.cell_side(seen.grid)
        return patch_at(y, x, (seen.grid[0] * side, seen.grid[1] * side), seen.grid)

    def _encoded(self, segmenter: Segmenter, path: str | None, preset: str) -> tuple[Seen, _Entry, bool]:
        if not path:
            raise UserError("There is no picture yet. Upload one, or pick an example.")
        picture = _digest(path)
        entry, reused = self._pictures.get(
            (picture, preset, segmenter.model_id), lambda: _encode(segmenter, path, preset)
        )
        grid, layers = entry.encoding.grid, len(segmenter.backbone.blocks)
        return Seen(picture, preset, segmenter.model_id, grid, layers), entry, reused

    def _again(self, segmenter: Segmenter, seen: Seen, path: str | None) -> _Entry:
        """The entry of a picture that was seen: from memory, else from its file if that is still the same."""
        kept = self._pictures.peek((seen.picture, seen.preset, seen.model_id))
        if kept is not None:
            return kept
        self._expect_same(seen, path)
        return self._encoded(segmenter, path, seen.preset)[1]

    def _capture(self, segmenter: Segmenter, seen: Seen, path: str | None) -> Any:
        def make() -> Any:
            self._expect_same(seen, path)
            return segmenter.capture(path, seen.preset)

        return self._captures.get(seen, make)[0]

    def _expect_same(self, seen: Seen, path: str | None) -> None:
        if not path or _digest(path) != seen.picture:
            raise UserError("This picture has been replaced. Press Segment to work on the new one.")


def _encode(segmenter: Segmenter, path: str, preset: str) -> _Entry:
    from cliptrase_core import read_image

    pixels = read_image(path)
    encoding = segmenter.encode(pixels, preset)
    frame, side = encoding.frame, figures.cell_side(encoding.grid)
    box = _seen_box(frame)
    whole = frame.labels if frame.labels == frame.original else frame.model
    return _Entry(
        encoding=encoding,
        shown=figures.view(pixels, figures.shown_size(whole), box),
        patches=figures.view(pixels, (frame.grid[0] * side, frame.grid[1] * side), box),
    )


def _seen_box(frame: Frame) -> figures.Box:
    """The part of the original that the model saw, as (left, top, right, bottom)."""
    tall, wide = (original / resized for original, resized in zip(frame.original, frame.resized, strict=True))
    top, left = frame.crop
    # Clamped: rounding must not leave the picture by a hair.
    right = min((left + frame.model[1]) * wide, frame.original[1])
    bottom = min((top + frame.model[0]) * tall, frame.original[0])
    return left * wide, top * tall, right, bottom


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()[:24]  # at most the upload limit
    except OSError as error:
        raise UserError("The uploaded file is no longer here. Upload the picture again.") from error


@contextmanager
def _for_people() -> Iterator[None]:
    """Turn the core's own errors, whose text is fit to be shown, into the page's."""
    from cliptrase_core.errors import CliptraseError

    try:
        yield
    except CliptraseError as error:
        raise UserError(str(error)) from error
