"""Refinement by SAM: one embedding for each picture, batched prompts for all components; only good masks are used."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from cliptrase_core.cache import LRUCache
from cliptrase_core.cancel import Progress, quietly, steps
from cliptrase_core.canvas import expect_frame
from cliptrase_core.errors import InputError, is_whole
from cliptrase_core.io.geometry import Size, fitted, nearest
from cliptrase_core.names import EVERYTHING, REGIONS
from cliptrase_core.refine.base import Pixels, Refiner, Working, refined
from cliptrase_core.refine.prompting import Answers, agreement, cover_of, full_size, merge, prompts_of, reports, split
from cliptrase_core.refine.sam import Embedding, Sam
from cliptrase_core.reports import ComponentReport
from cliptrase_core.results import Refined, Segmentation, expect_confidence

WORKING_SIDE = 1024  # longest side at which components are extracted: they come from patches, without finer detail
AT_ONCE = 64  # prompts for each decoder call
CACHED_EMBEDDINGS = 8  # cached pictures; an embedding takes 0.3 MB with sam-nano, 4 MB with Meta's models
CACHED_ANSWER_BYTES = 100_000_000  # cached masks; a component takes up to 0.3 MB, and there may be 250
EMPTY_BYTES = 1000  # an answer without masks, with its key


class SamRefiner:
    """Refinement with one SAM; caches the last embeddings and answers by the picture's name and by content hashes."""

    def __init__(self, sam: Sam) -> None:
        """Create the refiner from a loaded model."""
        self.sam = sam
        self._picture = ""
        self._embeddings: LRUCache[Embedding] = LRUCache(CACHED_EMBEDDINGS)
        self._answers: LRUCache[tuple[Any]] = LRUCache(
            CACHED_ANSWER_BYTES, lambda answer: EMPTY_BYTES + getattr(answer[0], "nbytes", 0)
        )

    def of(self, picture: str) -> SamRefiner:
        """Return the refiner of a picture with a name; it shares the model and the caches."""
        named = copy.copy(self)
        named._picture = picture
        return named

    def forget(self, pictures: Collection[str]) -> None:
        """Drop the cached embeddings and answers of pictures by name."""
        for store in (self._embeddings, self._answers):
            store.discard(lambda key: isinstance(key, tuple) and key[0] in pictures)

    def in_mode(self, mode: str, working: Working | None = None) -> Refiner:
        """Return the refiner for one of `MODES`; `working` as in `load_refiner`."""

        def run(
            result: Segmentation, image: Pixels, *, keep: Collection[int] | None = None, step: Progress = quietly
        ) -> Refined:
            expect_frame(image, result.size)
            small, seen = (result, image) if working is None else working
            expect_frame(seen, small.size)
            if mode == EVERYTHING:
                if keep is not None:
                    raise InputError(
                        "keep",
                        expected=f"no value: mode {EVERYTHING} has no components",
                        got=repr(list(keep))[:80],
                        remedy="Leave it out, or choose another mode.",
                    )
                return self._everything(result, small, seen, step)
            return self._prompted(result, small, seen, mode, keep, step)

        return run

    def _prompted(
        self,
        result: Segmentation,
        small: Segmentation,
        seen: Pixels,
        mode: str,
        keep: Collection[int] | None,
        step: Progress,
    ) -> Refined:
        expect_confidence(small)
        start = time.perf_counter()
        answers = self._ask(small, seen, mode, step)
        accepted: Collection[int] = frozenset() if answers is None else answers.accepted
        if keep is not None:
            accepted = _kept(keep, 0 if answers is None else len(answers.components))
        kept = {} if keep is None else {"keep": sorted(accepted)}
        if answers is None:
            return self._done(result, result.labels, mode, kept, start)
        labels = merge(result.labels, answers, accepted, step)
        lines = reports(answers, accepted, result.class_names, result.size)
        return self._done(result, labels, mode, kept, start, lines)

    def _everything(self, result: Segmentation, small: Segmentation, seen: Pixels, step: Progress) -> Refined:
        start = time.perf_counter()
        working = _shrunk(seen)
        coarse = nearest(small.labels, working.shape[:2])

        def named() -> npt.NDArray[np.integer]:
            embedding = self._seen(working, step)
            masks = self.sam.everything(working, embedding, SETTINGS, lambda _, text: step(0.9, text))
            return label_masks(coarse, masks)

        voted = self._once((self._picture, EVERYTHING, _digest(working), _digest(coarse)), named)
        # Enlarge only the changed pixels: elsewhere, the coarse labels have a higher resolution.
        moved = nearest(voted != coarse, result.size)
        labels = np.where(moved, nearest(voted, result.size), result.labels)
        return self._done(result, labels, EVERYTHING, {}, start)

    def object_at(
        self, image: Pixels, point: tuple[float, float], size: Size, step: Progress = quietly
    ) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]]:
        """Segment the object under a click: the connected component at the point, in SAM's best mask that contains it.

        Args:
            image: (h, w, 3), the whole picture at any size.
            point: (x, y) in shares of the width and height, 0 to 1.
            size: (H, W) of the requested map.
            step: progress callback, called before each block if the embedding is not cached.

        Returns:
            A box of that map and a bool mask of the object within it; both empty if no mask contains the point.
        """
        small = _shrunk(image)
        seen = self._seen(small, step)
        x, y = point[0] * small.shape[1], point[1] * small.shape[0]
        logits, quality = self.sam.at_point(seen, x, y)
        row, column = (min(int(share * side), side - 1) for share, side in zip(point[::-1], size, strict=True))
        cover = cover_of(self.sam.filled(seen.size))
        for index in torch.argsort(quality, descending=True).tolist():
            box, values = full_size(logits[index], cover, size)
            mask = (values > 0).view(np.uint8)
            if not mask.size:
                continue
            inside = box[0].start <= row < box[0].stop and box[1].start <= column < box[1].stop
            if inside and mask[row - box[0].start, column - box[1].start]:
                _, parts = cv2.connectedComponents(mask, connectivity=8)
                return box, parts == parts[row - box[0].start, column - box[1].start]
        return np.s_[:0, :0], np.zeros((0, 0), np.bool_)

    def object_in_box(
        self, image: Pixels, corners: Sequence[tuple[float, float]], size: Size, step: Progress = quietly
    ) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]]:
        """Segment the object in a box: SAM's mask for the box, without what lies outside.

        Args:
            image: as for `object_at`.
            corners: two opposite corners, (x, y) in shares of the width and height, 0 to 1.
            size: as for `object_at`.
            step: as for `object_at`.

        Returns:
            As `object_at`.
        """
        small = _shrunk(image)
        seen = self._seen(small, step)
        (left, right), (top, bottom) = (sorted(shares) for shares in zip(*corners, strict=True))
        height, width = small.shape[:2]
        logits, _ = self.sam.in_box(seen, (left * width, top * height, right * width, bottom * height))
        box, values = full_size(logits[0], cover_of(self.sam.filled(seen.size)), size)
        mask = values > 0
        if mask.size:
            row, column = box[0].start, box[1].start
            mask[: max(0, round(top * size[0]) - row)] = False
            mask[max(0, round(bottom * size[0]) - row) :] = False
            mask[:, : max(0, round(left * size[1]) - column)] = False
            mask[:, max(0, round(right * size[1]) - column) :] = False
        return box, mask

    def _ask(self, result: Segmentation, image: Pixels, mode: str, step: Progress) -> Answers | None:
        """Return the masks for every component of a result, computed or cached."""
        key = (
            self._picture,
            mode,
            _digest(image),
            _digest(result.labels),
            _digest(result.confidence),
            _digest(result.regions) if mode == REGIONS else "",
        )
        answers: Answers | None = self._once(key, lambda: self._answered(result, image, mode, step))
        return answers

    def _once(self, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
        """Return the cached value of a key, or compute it; not under a lock, since a folder is refined in parallel."""
        answer = self._answers.peek(key)
        if answer is None:
            answer = (make(),)
            self._answers.put(key, answer)
        return answer[0]

    def _answered(self, result: Segmentation, image: Pixels, mode: str, step: Progress) -> Answers | None:
        size = _working_size(result.size)
        regions = nearest(result.regions, size) if mode == REGIONS else None
        components, numbers = split(nearest(result.labels, size), nearest(result.confidence, size), regions)
        if not components:
            return None
        seen = self._seen(_shrunk(image), step)
        filled = self.sam.filled(size)
        logits, quality = [], []
        for first in steps(range(0, len(components), AT_ONCE)):
            step(0.9 + 0.1 * first / len(components), f"{len(components)} components")
            answer, good = self.sam.answer(seen, prompts_of(components[first : first + AT_ONCE], size, filled))
            logits.append(answer)
            quality.append(good)
        masks = torch.cat(logits)
        cover = cover_of(filled)
        return Answers(components, numbers, masks, cover, torch.cat(quality), agreement(masks, cover, components, size))

    def _seen(self, image: Pixels, step: Progress) -> Embedding:
        embed = lambda: self.sam.embed(image, lambda share, text: step(0.9 * share, text))  # noqa: E731
        return self._embeddings.get((self._picture, _digest(image)), embed)[0]

    def _done(
        self,
        result: Segmentation,
        labels: npt.NDArray[np.integer],
        mode: str,
        settings: dict[str, Any],
        start: float,
        lines: tuple[ComponentReport, ...] = (),
    ) -> Refined:
        seconds = time.perf_counter() - start
        return refined(
            result, labels, refiner=self.sam.name, mode=mode, settings=settings, seconds=seconds, components=lines
        )


def _kept(keep: Collection[int], known: int) -> frozenset[int]:
    """Return the selected component numbers as int; raise InputError if there is no such component."""
    if not all(map(is_whole, keep)) or not all(0 <= number < known for number in keep):
        raise InputError(
            "keep",
            expected=f"numbers of the {known} components, from 0",
            got=repr(list(keep))[:80],
            remedy="Take them from the report.",
        )
    return frozenset(int(number) for number in keep)


def _working_size(size: Size) -> Size:
    return fitted(size, min(WORKING_SIDE, max(size)))


def _shrunk(image: Pixels) -> Pixels:
    size = _working_size((image.shape[0], image.shape[1]))
    if size == image.shape[:2]:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))


def _digest(values: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes() + str(values.shape).encode()).hexdigest()


MAJORITY = 0.5
"""Minimum share of a mask's commonest class; below it, the labels under the mask stay unchanged."""

SETTINGS = {
    "points_per_side": 12,
    "points_per_batch": 16,  # 64 points take 2 GB at 1024 x 1024
    "pred_iou_thresh": 0.6,
    "stability_score_thresh": 0.6,
    "box_nms_thresh": 0.8,
}
"""Arguments of `SamAutomaticMaskGenerator`: few points and low thresholds, as in other refinement by SAM on a CPU."""


def label_masks(labels: npt.NDArray[np.integer], masks: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.integer]:
    """Give every mask its commonest coarse class; small masks are painted over large ones.

    Args:
        labels: (H, W), coarse labels.
        masks: (H, W) bool each, in any order.

    Returns:
        (H, W), new labels.
    """
    new = labels.copy()
    areas = [int(mask.sum()) for mask in masks]
    for index in steps(sorted(range(len(masks)), key=lambda at: (-areas[at], at))):
        if not areas[index]:
            continue
        counts = np.bincount(labels[masks[index]])
        if counts.max() >= MAJORITY * areas[index]:
            new[masks[index]] = counts.argmax()
    return np.asarray(new)
