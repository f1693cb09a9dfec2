"""What the page asks the core for: loaded models, each picture encoded once. Imports no Gradio.

The core (and torch with it) is imported inside functions, by the thread that loads the model: the page is drawn
meanwhile. Results are kept by the content of the picture, never by person, at the size at which they are shown, and
never changed once made; what leaves the page is made at full size when it is asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cliptrase_core.io.allocator import return_large_blocks
from demo import core, drawing
from demo.cache import LRUCache
from demo.errors import UserError, for_people
from demo.models import ModelRegistry, Status
from demo.service.patch_attention import Matrix, PatchAttention, make_look, make_matrix
from demo.service.pictures import (
    REFINED_BYTES,
    Entry,
    Packed,
    PictureKey,
    Pictures,
    as_memory_allows,
    digest,
    expect_few_sentences,
    expect_room_in_full,
    expect_same,
    labelled_pixels,
)
from demo.service.refine import RefinedView, Refinement, Step, make_refined, quietly
from demo.service.segmentation import Run, SegmentRequest, SegmentView
from demo.service.shown import Shown
from demo.settings import (
    KEPT_CAPTURES,
    KEPT_DEPTHS,
    KEPT_FIXED_BYTES,
    KEPT_MAP_BYTES,
    KEPT_MATRICES,
    KEPT_REFINED_BYTES,
    KEPT_RESULT_BYTES,
    OUTGOING,
    Settings,
)

if TYPE_CHECKING:
    from cliptrase_core import AttentionMaps, Refined, Segmentation, Segmenter
    from cliptrase_core.inspection.capture import LayerGlobals
    from cliptrase_core.io.geometry import Size


class Service:
    """The models and what they have seen lately; threads and visitors share one."""

    def __init__(self, settings: Settings, holder: ModelRegistry | None = None) -> None:
        """Remember what to run; nothing is loaded before `start` or the first request."""
        self.holder = holder or ModelRegistry(settings)
        self._pictures = Pictures()
        self._results: LRUCache[Packed[Segmentation]] = LRUCache(
            as_memory_allows(KEPT_RESULT_BYTES), lambda packed: packed.nbytes
        )
        self._refined: LRUCache[Packed[Refined]] = LRUCache(
            as_memory_allows(KEPT_REFINED_BYTES), lambda packed: packed.nbytes
        )
        self._fixed: LRUCache[Packed[Segmentation]] = LRUCache(
            as_memory_allows(KEPT_FIXED_BYTES), lambda packed: packed.nbytes
        )
        self._captures: LRUCache[Any] = LRUCache(KEPT_CAPTURES)
        self._maps: LRUCache[AttentionMaps] = LRUCache(
            as_memory_allows(KEPT_MAP_BYTES), lambda maps: 3 * maps.affinity.nbytes
        )
        self._matrices: LRUCache[Matrix] = LRUCache(KEPT_MATRICES)
        self._depths: LRUCache[list[LayerGlobals]] = LRUCache(KEPT_DEPTHS)

    def start(self) -> None:
        """Begin to load in the background; calling it again does nothing."""
        return_large_blocks()
        self.holder.start()

    def status(self) -> Status:
        """What runs now, or what is being waited for; never waits itself."""
        return self.holder.status()

    def segment(self, path: str | None, asked: SegmentRequest, *, full: bool = False) -> SegmentView:
        """Divide a picture among words; a picture that was seen lately is not encoded again.

        Args:
            path: the picture's file.
            asked: everything else that decides the result.
            full: at the picture's own size, for what leaves the page: of a large picture it is made anew and not kept.
                The page itself shows and keeps results at the size of a screen.

        Raises:
            UserError: something that the person can mend.
        """
        segmenter = self.holder.segmenter(asked.model)
        with for_people():
            expect_few_sentences(asked.words, asked.preset, asked.templates)
            seen, entry, reused = self._pictures.encoded(segmenter, path, asked.preset, asked.short_side)
            return self._cut(segmenter, Run(seen, asked), entry, reused, full)

    def again(self, run: Run, path: str | None, *, full: bool = False) -> SegmentView:
        """A result that was shown before, from memory or made once more; `full` as for `segment`.

        Raises:
            UserError: the picture or the model is another one by now.
        """
        segmenter, entry = self.encoded(run, path)
        with for_people():
            return self._cut(segmenter, run, entry, reused=True, full=full)

    def forget(self, paths: Iterable[str]) -> int:
        """Drop everything that was computed from pictures, before their files go.

        Args:
            paths: of files; those that are no pictures, or have gone, do no harm.

        Returns:
            How many encoded pictures, results and maps there were.
        """
        gone = set()
        for path in paths:
            with suppress(UserError):
                gone.add(digest(path))
        if self.status().ready:  # else the library is not there yet, and nothing was made
            core.refine.refiners.forget_pictures()
        stores: tuple[LRUCache[Any], ...] = (
            *(self._results, self._refined, self._fixed, self._captures, self._maps, self._matrices, self._depths),
        )
        return self._pictures.forget(gone) + sum(
            store.discard(lambda key: _picture_of(key) in gone) for store in stores
        )

    def known(self, segmenter: Segmenter, path: str, preset: str, short_side: int | None) -> Entry | None:
        """A picture that a model has encoded lately; None if it has not."""
        return self._pictures.known(segmenter, path, preset, short_side)

    def encoded(self, run: Run, path: str | None) -> tuple[Segmenter, Entry]:
        """The model and the encoded picture of a run, for whoever asks the core for more.

        Raises:
            UserError: the picture or the model is another one by now.
        """
        segmenter = self._same_model(run.seen)
        with for_people():
            return segmenter, self._pictures.again(segmenter, run.seen, path)

    def refine(self, asked: Refinement, path: str | None, step: Step = quietly, *, full: bool = False) -> RefinedView:
        """A result with better boundaries; the picture is not encoded again.

        Args:
            asked: whose boundaries, by whom, how.
            path: the picture's file.
            step: told (share in [0, 1], what happens); what it raises ends the work.
            full: as for `segment`; SAM is asked about what is shown in either case, so its components are the same.

        Raises:
            UserError: the picture or the model is another one by now, or the refiner cannot run.
        """
        segmenter, entry = self.encoded(asked.run, path)
        expect_same(asked.run.seen, path)  # what is refined is what the picture's box shows
        before, device = self.again(asked.run, path), str(segmenter.device)
        with for_people():
            if full and not entry.complete:
                expect_room_in_full(entry.encoding.frame.labels, REFINED_BYTES)
                coarse, pixels = self.again(asked.run, path, full=True), labelled_pixels(entry, asked.run.seen, path)
                shown = (before.result, entry.pixels)
                result = make_refined(coarse, pixels, asked, device=device, step=step, shown=shown)
                return RefinedView(asked, coarse, dataclasses.replace(coarse, result=result), pixels, result)
            make = lambda: make_refined(before, entry.pixels, asked, device=device, step=step)  # noqa: E731
            packed, kept = self._refined.get(asked, lambda: Packed.of(make(), exact=entry.complete))
            result = packed.result()
            return RefinedView(
                asked, before, dataclasses.replace(before, result=result, kept=kept), entry.pixels, result
            )

    def shown(
        self, what: Shown, path: str | None, step: Step = quietly, *, full: bool = False
    ) -> tuple[SegmentView, drawing.Picture]:
        """A result as it is shown, and the picture in the frame of its labels; arguments and errors as for `refine`."""
        segmenter, entry = self.encoded(what.run, path)
        if what.refinement is not None:
            better = self.refine(what.refinement, path, step, full=full)
            cut, pixels = better.after, better.pixels
        else:
            cut = self.again(what.run, path, full=full)
            pixels = labelled_pixels(entry, what.run.seen, path) if full else entry.pixels
        if not what.fixes:
            return cut, pixels

        def make(coarse: Segmentation, fixes: tuple[Any, ...]) -> Segmentation:
            device = str(segmenter.device)
            # In full, SAM is shown what it was shown on the page: its answers are the same.
            return core.refine.apply_fixes(coarse, pixels, fixes, device=device, seen=entry.pixels, step=step)

        def one_more() -> Packed[Segmentation]:
            known = self._fixed.peek((what.run, what.refinement, what.fixes[:-1]))
            fixed = make(cut.result, what.fixes) if known is None else make(known.result(), what.fixes[-1:])
            return Packed.of(fixed, exact=entry.complete)

        with for_people():
            if full and not entry.complete:
                return dataclasses.replace(cut, result=make(cut.result, what.fixes)), pixels
            packed, kept = self._fixed.get((what.run, what.refinement, what.fixes), one_more)
            return dataclasses.replace(cut, result=packed.result(), kept=kept), pixels

    def open(
        self, path: str | None, preset: str = "auto", model: str | None = None, short_side: int | None = None
    ) -> PictureKey:
        """Encode a picture without words."""
        segmenter = self.holder.segmenter(model)
        with for_people():
            return self._pictures.encoded(segmenter, path, preset, short_side)[0]

    def look(
        self,
        seen: PictureKey,
        path: str | None,
        row: int,
        column: int,
        layer: int | None = None,
        *,
        head: int | None = None,
        direction: str = OUTGOING,
    ) -> PatchAttention:
        """What one patch of a picture looks at, or who looks at it.

        Args:
            seen: from `segment` or `open`.
            path: the picture's file, for when it is no longer in memory.
            row: from 0.
            column: from 0.
            layer: from 1; None takes the last but one.
            head: from 1; None takes the mean of all.
            direction: one of `DIRECTIONS`.

        Raises:
            UserError: no such patch, layer or head, or the picture or the model is another one by now.
        """
        with for_people():
            maps, patches = self._maps_of(seen, path, layer, head)
            return make_look(seen, maps, patches, (row, column), direction)

    def look_of_cls(
        self, seen: PictureKey, path: str | None, layer: int | None = None, *, head: int | None = None
    ) -> PatchAttention:
        """What [CLS] looks at; arguments and errors as in `look`."""
        with for_people():
            maps, patches = self._maps_of(seen, path, layer, head)
            return make_look(seen, maps, patches, None)

    def matrix(
        self, seen: PictureKey, path: str | None, layer: int | None = None, *, head: int | None = None
    ) -> Matrix:
        """Who looks at whom, all patches at once; arguments and errors as in `look`."""
        with for_people():
            maps, patches = self._maps_of(seen, path, layer, head)
            return self._matrices.get((seen, maps.layer, head), lambda: make_matrix(seen, maps, patches))[0]

    def maps(
        self, seen: PictureKey, path: str | None, layer: int | None = None, *, head: int | None = None
    ) -> AttentionMaps:
        """Who looks at whom in one layer and head; arguments and errors as in `look`."""
        with for_people():
            return self._maps_of(seen, path, layer, head)[0]

    def depth(self, seen: PictureKey, path: str | None) -> list[LayerGlobals]:
        """Global patches of every layer; computed once for each picture.

        Raises:
            UserError: the picture or the model is another one by now.
        """
        segmenter = self._same_model(seen)
        with for_people():
            return self._depths.get(seen, lambda: self._capture(segmenter, seen, path).depth())[0]

    def patch_at(self, seen: PictureKey, x: float, y: float) -> tuple[int, int]:
        """Patch (row, column) under a point of the inspected picture."""

        side = drawing.cell_side(seen.grid)
        return core.io.geometry.patch_at(y, x, (seen.grid[0] * side, seen.grid[1] * side), seen.grid)

    def _maps_of(
        self, seen: PictureKey, path: str | None, layer: int | None, head: int | None
    ) -> tuple[AttentionMaps, drawing.Picture]:
        segmenter = self._same_model(seen)
        patches = self._pictures.again(segmenter, seen, path).patches
        layer = max(1, seen.layers - 1) if layer is None else layer
        key, make = (seen, layer, head), lambda: self._capture(segmenter, seen, path).maps(layer, head)
        return self._maps.get(key, make)[0], patches

    def _cut(self, segmenter: Segmenter, run: Run, entry: Entry, reused: bool, full: bool) -> SegmentView:
        def make(size: Size | None) -> Segmentation:
            return segmenter.segment(entry.encoding, run.asked.words, size=size, **run.asked.of_segment)

        if full and not entry.complete:
            expect_room_in_full(entry.encoding.frame.labels)
            result, kept = make(None), False
        else:
            # A threshold costs nothing, so one kept result serves all of them.
            plain = Run(run.seen, dataclasses.replace(run.asked, threshold=0.0))
            packed, kept = self._results.get(plain, lambda: Packed.of(make(entry.size), exact=entry.complete))
            result = packed.result()
        return SegmentView(run, entry.shown, entry.patches, result.above(run.asked.threshold), reused, kept)

    def _same_model(self, seen: PictureKey) -> Segmenter:
        """The model that saw a picture, whatever the page runs by now."""
        segmenter = self.holder.segmenter(seen.model)
        if seen.model_id != segmenter.model_id:
            raise UserError(f"{seen.model} was loaded anew, with other weights. Press Segment again.")
        return segmenter

    def _capture(self, segmenter: Segmenter, seen: PictureKey, path: str | None) -> Any:
        def make() -> Any:
            return segmenter.capture(self._pictures.again(segmenter, seen, path).encoding)

        return self._captures.get(seen, make)[0]


def _picture_of(key: Any) -> str | None:
    """Digest of the picture that a key of a store is about."""
    key = key[0] if isinstance(key, tuple) else key
    key = key.run if isinstance(key, Refinement) else key
    key = key.seen if isinstance(key, Run) else key
    return key.picture if isinstance(key, PictureKey) else None
