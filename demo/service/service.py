"""Service for the page: calls the core with loaded models, and encodes each picture once. Imports no Gradio.

The core (and torch with it) is imported inside functions, by the thread that loads the model, so that the page is drawn
meanwhile. Results are cached at display size, by the content of the picture and never by visitor; they are never
changed. Exports are computed at full size on request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cliptrase_core.cache import LRUCache
from cliptrase_core.cancel import Progress, quietly
from cliptrase_core.io.allocator import return_large_blocks
from demo import core, drawing
from demo.errors import UserError, as_user_errors
from demo.models import ModelRegistry, Status
from demo.service.patch_attention import Matrix, PatchAttention, make_matrix, make_patch_attention
from demo.service.pictures import (
    REFINED_BYTES,
    Entry,
    Packed,
    PictureKey,
    Pictures,
    as_memory_allows,
    digest,
    expect_few_sentences,
    expect_memory_in_full,
    expect_same,
    labelled_pixels,
)
from demo.service.refine import RefinedView, Refinement, make_refined
from demo.service.segmentation import Run, SegmentRequest, SegmentView
from demo.service.shown import DisplayState
from demo.settings import (
    CACHED_CAPTURE_BYTES,
    CACHED_DEPTHS,
    CACHED_FIXED_BYTES,
    CACHED_MAP_BYTES,
    CACHED_MATRICES,
    CACHED_REFINED_BYTES,
    CACHED_RESULT_BYTES,
    OUTGOING,
    Settings,
)

if TYPE_CHECKING:
    from cliptrase_core import AttentionMaps, Refined, Segmentation, Segmenter
    from cliptrase_core.inspection.capture import Capture, LayerGlobals
    from cliptrase_core.io.geometry import Size


class Service:
    """Models and caches of recent results, shared by all threads and visitors."""

    def __init__(self, settings: Settings, models: ModelRegistry | None = None) -> None:
        """Create empty caches; no model is loaded before `start` or the first request."""
        self.models = models or ModelRegistry(settings)
        self._pictures = Pictures()
        self._results: LRUCache[Packed[Segmentation]] = LRUCache(
            as_memory_allows(CACHED_RESULT_BYTES), lambda packed: packed.nbytes
        )
        self._refined: LRUCache[Packed[Refined]] = LRUCache(
            as_memory_allows(CACHED_REFINED_BYTES), lambda packed: packed.nbytes
        )
        self._fixed: LRUCache[Packed[Segmentation]] = LRUCache(
            as_memory_allows(CACHED_FIXED_BYTES), lambda packed: packed.nbytes
        )
        self._captures: LRUCache[Capture] = LRUCache(
            as_memory_allows(CACHED_CAPTURE_BYTES), lambda capture: capture.nbytes
        )
        self._maps: LRUCache[AttentionMaps] = LRUCache(
            as_memory_allows(CACHED_MAP_BYTES), lambda maps: 3 * maps.affinity.nbytes
        )
        self._matrices: LRUCache[Matrix] = LRUCache(CACHED_MATRICES)
        self._depths: LRUCache[list[LayerGlobals]] = LRUCache(CACHED_DEPTHS)

    def start(self) -> None:
        """Start loading the model in the background; further calls do nothing."""
        return_large_blocks()
        self.models.start()

    def status(self) -> Status:
        """Return the status of the running model, or of its loading, without waiting."""
        return self.models.status()

    def segment(self, path: str | None, request: SegmentRequest, *, full: bool = False) -> SegmentView:
        """Segment a picture by words; a cached picture is not encoded again.

        Args:
            path: file of the picture.
            request: everything else that decides the result.
            full: True for a result at the picture's own size, for exports: for a large picture it is computed again and
                not cached. The page itself shows and caches results at display size.

        Raises:
            UserError: an error that the user can fix.
        """
        segmenter = self.models.segmenter(request.model)
        with as_user_errors():
            expect_few_sentences(request.words, request.preset, request.templates)
            key, entry, encoding_cached = self._pictures.encoded(segmenter, path, request.preset, request.short_side)
            return self._view(segmenter, Run(key, request), entry, encoding_cached, full)

    def again(self, run: Run, path: str | None, *, full: bool = False) -> SegmentView:
        """Return a result that was shown before, from memory or computed again; `full` as for `segment`.

        Raises:
            UserError: the picture or the model has been replaced.
        """
        segmenter, entry = self.encoded(run, path)
        with as_user_errors():
            return self._view(segmenter, run, entry, encoding_cached=True, full=full)

    def forget(self, paths: Iterable[str]) -> int:
        """Remove everything that was computed from pictures, before their files are deleted.

        Args:
            paths: paths of files; missing files and files of other kinds are ignored.

        Returns:
            Number of removed encoded pictures, results and maps.
        """
        gone = set()
        for path in paths:
            with suppress(UserError):
                gone.add(digest(path))
        if self.status().ready:  # else the core is not loaded, and nothing was computed
            core.refine.refiners.forget_pictures(gone)
        stores: tuple[LRUCache[Any], ...] = (
            *(self._results, self._refined, self._fixed, self._captures, self._maps, self._matrices, self._depths),
        )
        return self._pictures.forget(gone) + sum(
            store.discard(lambda key: _picture_of(key) in gone) for store in stores
        )

    def known(self, segmenter: Segmenter, path: str, preset: str, short_side: int | None) -> Entry | None:
        """Return the cached entry of a picture for a model, or None."""
        return self._pictures.known(segmenter, path, preset, short_side)

    def encoded(self, run: Run, path: str | None) -> tuple[Segmenter, Entry]:
        """Return the model and the encoded picture of a run, for further calls of the core.

        Raises:
            UserError: the picture or the model has been replaced.
        """
        segmenter = self._same_model(run.key)
        with as_user_errors():
            return segmenter, self._pictures.again(segmenter, run.key, path)

    def refine(
        self, request: Refinement, path: str | None, step: Progress = quietly, *, full: bool = False
    ) -> RefinedView:
        """Refine the boundaries of a result; the picture is not encoded again.

        Args:
            request: run, refiner and mode.
            path: file of the picture.
            step: progress callback (share in [0, 1], description); an exception from it ends the work.
            full: as for `segment`; SAM always gets the picture at display size, so its components are the same.

        Raises:
            UserError: the picture or the model has been replaced, or the refiner cannot run.
        """
        segmenter, entry = self.encoded(request.run, path)
        expect_same(request.run.key, path)  # refine only the picture that the page shows
        before, device = self.again(request.run, path), str(segmenter.device)
        with as_user_errors():
            if full and not entry.complete:
                expect_memory_in_full(entry.encoding.frame.labels, REFINED_BYTES)
                coarse, pixels = (
                    self.again(request.run, path, full=True),
                    labelled_pixels(entry, request.run.key, path),
                )
                shown = (before.result, entry.pixels)
                result = make_refined(coarse, pixels, request, device=device, step=step, shown=shown)
                return RefinedView(request, coarse, dataclasses.replace(coarse, result=result), pixels, result)
            make = lambda: make_refined(before, entry.pixels, request, device=device, step=step)  # noqa: E731
            packed, cached = self._refined.get(request, lambda: Packed.of(make(), exact=entry.complete))
            result = packed.result()
            return RefinedView(
                request, before, dataclasses.replace(before, result=result, result_cached=cached), entry.pixels, result
            )

    def shown(
        self, state: DisplayState, path: str | None, step: Progress = quietly, *, full: bool = False
    ) -> tuple[SegmentView, drawing.Picture]:
        """Return the displayed result, and the picture in the frame of its labels; otherwise as `refine`."""
        segmenter, entry = self.encoded(state.run, path)
        if state.refinement is not None:
            better = self.refine(state.refinement, path, step, full=full)
            view, pixels = better.after, better.pixels
        else:
            view = self.again(state.run, path, full=full)
            pixels = labelled_pixels(entry, state.run.key, path) if full else entry.pixels
        if not state.fixes:
            return view, pixels

        def make(coarse: Segmentation, fixes: tuple[Any, ...]) -> Segmentation:
            device = str(segmenter.device)
            # At full size, SAM gets the same picture as on the page, so that its masks are the same.
            return core.refine.apply_fixes(
                coarse, pixels, fixes, device=device, seen=entry.pixels, picture_name=state.run.key.picture, step=step
            )

        def one_more() -> Packed[Segmentation]:
            known = self._fixed.peek((state.run, state.refinement, state.fixes[:-1]))
            fixed = make(view.result, state.fixes) if known is None else make(known.result(), state.fixes[-1:])
            return Packed.of(fixed, exact=entry.complete)

        with as_user_errors():
            if full and not entry.complete:
                return dataclasses.replace(view, result=make(view.result, state.fixes)), pixels
            packed, cached = self._fixed.get((state.run, state.refinement, state.fixes), one_more)
            return dataclasses.replace(view, result=packed.result(), result_cached=cached), pixels

    def open(
        self, path: str | None, preset: str = "auto", model: str | None = None, short_side: int | None = None
    ) -> PictureKey:
        """Encode a picture without words."""
        segmenter = self.models.segmenter(model)
        with as_user_errors():
            return self._pictures.encoded(segmenter, path, preset, short_side)[0]

    def suggest(self, path: str | None, preset: str, model: str | None, short_side: int | None) -> list[str]:
        """Return words that may fit a picture, as `Segmenter.suggest` finds them; it is encoded for its result, too."""
        segmenter = self.models.segmenter(model)
        with as_user_errors():
            entry = self._pictures.encoded(segmenter, path, preset, short_side)[1]
            return [*segmenter.suggest(entry.encoding)]

    def patch_attention(
        self,
        key: PictureKey,
        path: str | None,
        row: int,
        column: int,
        layer: int | None = None,
        *,
        head: int | None = None,
        direction: str = OUTGOING,
    ) -> PatchAttention:
        """Return the attention from one patch of a picture to all patches, or from all patches to this one.

        Args:
            key: key of the picture, from `segment` or `open`.
            path: file of the picture, in case it is no longer in memory.
            row: row of the patch, from 0.
            column: column of the patch, from 0.
            layer: layer from 1; None for the last but one.
            head: head from 1; None for the mean of all.
            direction: one of `DIRECTIONS`.

        Raises:
            UserError: unknown patch, layer or head, or the picture or the model has been replaced.
        """
        with as_user_errors():
            maps, patches = self._maps_of(key, path, layer, head)
            return make_patch_attention(key, maps, patches, (row, column), direction)

    def cls_attention(
        self, key: PictureKey, path: str | None, layer: int | None = None, *, head: int | None = None
    ) -> PatchAttention:
        """Return the attention of [CLS]; arguments and errors as in `patch_attention`."""
        with as_user_errors():
            maps, patches = self._maps_of(key, path, layer, head)
            return make_patch_attention(key, maps, patches, None)

    def matrix(self, key: PictureKey, path: str | None, layer: int | None = None, *, head: int | None = None) -> Matrix:
        """Return the attention between all patches, for display; arguments and errors as in `patch_attention`."""
        with as_user_errors():
            maps, patches = self._maps_of(key, path, layer, head)
            return self._matrices.get((key, maps.layer, head), lambda: make_matrix(key, maps, patches))[0]

    def maps(
        self, key: PictureKey, path: str | None, layer: int | None = None, *, head: int | None = None
    ) -> AttentionMaps:
        """Return the attention maps of one layer and head; arguments and errors as in `patch_attention`."""
        with as_user_errors():
            return self._maps_of(key, path, layer, head)[0]

    def depth(self, key: PictureKey, path: str | None) -> list[LayerGlobals]:
        """Return the global patches of every layer; computed once for each picture.

        Raises:
            UserError: the picture or the model has been replaced.
        """
        segmenter = self._same_model(key)
        with as_user_errors():
            return self._depths.get(key, lambda: self._capture(segmenter, key, path).depth())[0]

    def patch_at(self, key: PictureKey, x: float, y: float) -> tuple[int, int]:
        """Return the patch (row, column) under a point of the inspected picture."""
        side = drawing.cell_side(key.grid)
        return core.io.geometry.patch_at(y, x, (key.grid[0] * side, key.grid[1] * side), key.grid)

    def _maps_of(
        self, key: PictureKey, path: str | None, layer: int | None, head: int | None
    ) -> tuple[AttentionMaps, drawing.Picture]:
        segmenter = self._same_model(key)
        patches = self._pictures.again(segmenter, key, path).patches
        layer = max(1, key.layers - 1) if layer is None else layer
        cache_key, make = (key, layer, head), lambda: self._capture(segmenter, key, path).maps(layer, head)
        return self._maps.get(cache_key, make)[0], patches

    def _view(self, segmenter: Segmenter, run: Run, entry: Entry, encoding_cached: bool, full: bool) -> SegmentView:
        def make(size: Size | None) -> Segmentation:
            return segmenter.segment(entry.encoding, run.request.words, size=size, **run.request.of_segment)

        if full and not entry.complete:
            expect_memory_in_full(entry.encoding.frame.labels)
            result, cached = make(None), False
        else:
            # A threshold costs nothing, so one cached result serves all thresholds.
            plain = Run(run.key, dataclasses.replace(run.request, threshold=0.0))
            packed, cached = self._results.get(plain, lambda: Packed.of(make(entry.size), exact=entry.complete))
            result = packed.result()
        return SegmentView(
            run, entry.shown, entry.patches, result.above(run.request.threshold), encoding_cached, cached
        )

    def _same_model(self, key: PictureKey) -> Segmenter:
        """Return the model that encoded a picture, even if the page runs another model now."""
        segmenter = self.models.segmenter(key.model)
        if key.model_id != segmenter.model_id:
            raise UserError(f"{key.model} was loaded anew, with other weights. Press Segment again.")
        return segmenter

    def _capture(self, segmenter: Segmenter, key: PictureKey, path: str | None) -> Capture:
        def make() -> Capture:
            return segmenter.capture(self._pictures.again(segmenter, key, path).encoding)

        return self._captures.get(key, make)[0]


def _picture_of(key: Any) -> str | None:
    """Return the digest of the picture of a cache key, or None."""
    key = key[0] if isinstance(key, tuple) else key
    key = key.run if isinstance(key, Refinement) else key
    key = key.key if isinstance(key, Run) else key
    return key.picture if isinstance(key, PictureKey) else None
