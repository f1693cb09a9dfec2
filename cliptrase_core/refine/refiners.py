"""Refiners by name, all with the same interface: result + picture -> result with a report."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from cliptrase_core.cache import LRUCache
from cliptrase_core.cancel import Progress, quietly
from cliptrase_core.canvas import expect_frame
from cliptrase_core.errors import InputError, expect_one_of
from cliptrase_core.io.files import size_and_time
from cliptrase_core.io.image import ImageInput
from cliptrase_core.models.precision import device_by_name
from cliptrase_core.names import EDGES, FREE, MODES, NANO_THEN_EDGES, NONE, PROMPTS, PUBLISHED_SAMS, REFINERS, SAM_NANO
from cliptrase_core.refine import sam_checkpoints
from cliptrase_core.refine.base import Pixels, Refiner, Working, expect_result, picture_of, refined
from cliptrase_core.refine.guided_filter import follow_edges
from cliptrase_core.results import Refined, Segmentation, expect_no_fixes

if TYPE_CHECKING:
    from cliptrase_core.refine.by_sam import SamRefiner

CACHED_MODELS = 2

_LOADED: LRUCache[SamRefiner] = LRUCache(CACHED_MODELS)  # by name, checkpoint as it was read, and device


def refine(
    result: Segmentation,
    image: ImageInput,
    refiner: str = EDGES,
    *,
    mode: str | None = None,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    step: Progress = quietly,
) -> Refined:
    """Refine the boundaries of a result. Fixes by hand come after it, because it would undo some of their pixels.

    Args:
        result: result of `Segmenter.segment`.
        image: picture that was segmented; under a paper preset, its crop is accepted too.
        refiner: one of `REFINERS`.
        mode: one of `MODES`, for SAM only; None means "prompts".
        checkpoint: weights of SAM; None uses the repository, the hub's cache or the hub.
        device: device of SAM, for SAM only; None uses that of the result if torch has it here, else the CPU.
        step: progress callback (share in [0, 1], text); an exception that it raises ends the work.

    Raises:
        InputError: no result, an unknown name, an option of SAM for another refiner, a picture of another size than
            the labels, a result that is refined or fixed already, or one that was loaded without its arrays, for SAM's
            modes "prompts" and "regions".
        WeightsError: the weights of SAM are not available.
    """
    expect_result(result)
    before = result.settings.get("refiner", NONE)
    if before != NONE:  # its settings could not repeat both
        got, remedy = f"one that {before} refined", "Refine what segment gave."
        raise InputError("result", expected="one with coarse boundaries", got=got, remedy=remedy)
    expect_no_fixes(result, "Refine what segment gave, then apply the fixes.")
    if refiner in FREE:
        _expect_nothing(refiner, device=device)
    device = device or ("cpu" if refiner in FREE else device_of(result))
    loaded = load_refiner(refiner, mode=mode, checkpoint=checkpoint, device=device)
    return loaded(result, picture_of(result, image), step=step)


def load_refiner(
    name: str, *, mode: str | None = None, checkpoint: str | Path | None = None, device: str = "cpu",
    working: Working | None = None, picture_name: str = "",
) -> Refiner:  # fmt: skip
    """Load a refiner; arguments and errors as for `refine`.

    Args:
        name: one of `REFINERS`; mode and checkpoint also as for `refine`.
        device: device of SAM.
        working: smaller copy of the result and the picture, as the input of SAM instead; cached answers are reused.
        picture_name: any name, by which `forget_pictures` drops what SAM has cached of the picture.
    """
    expect_one_of("refiner", name, REFINERS)
    if mode is not None:
        expect_one_of("mode", mode, MODES)
    if name in FREE:
        _expect_nothing(name, mode=mode, checkpoint=checkpoint, working=working)
        return _nothing if name == NONE else _edges
    both = name == NANO_THEN_EDGES
    file = None if checkpoint is None else str(checkpoint)
    loaded = loaded_sam(SAM_NANO if both else name, file, device=device)
    sam = loaded.of(picture_name).in_mode(mode or PROMPTS, working)
    return _then_edges(sam) if both else sam


def device_of(result: Segmentation) -> str:
    """Return the device on which a result was computed if torch has it here, else "cpu"; a result may be loaded.

    Apple's GPU has no float64, in which segment_anything places the points of mode "everything": "cpu" there.
    """
    try:
        device = str(device_by_name(result.settings["device"]))
    except (KeyError, InputError):
        return "cpu"
    return "cpu" if device.startswith("mps") else device


def is_available(name: str) -> bool:
    """Return whether a refiner needs no download."""
    return name in FREE or sam_checkpoints.is_available(SAM_NANO if name == NANO_THEN_EDGES else name)


def forget_pictures(names: Collection[str]) -> None:
    """Drop the cached embeddings and answers of pictures by the names that `load_refiner` or `apply_fixes` got."""
    for _, refiner in _LOADED.items():
        refiner.forget(names)


def loaded_sam(name: str, checkpoint: str | None = None, *, device: str = "cpu") -> SamRefiner:
    """Return one of `SAMS`, loaded once for all callers; arguments and errors as for `load_refiner`."""
    from cliptrase_core.refine.by_sam import SamRefiner

    path = None if checkpoint is None else Path(checkpoint)
    key = (name, path and (path.absolute(), size_and_time(path)), device)
    if _LOADED.peek(key) is None and checkpoint is None and name in PUBLISHED_SAMS:
        path = sam_checkpoints.fetch(name)  # not in the cache's lock, so that others need not wait
    return _LOADED.get(key, lambda: SamRefiner(sam_checkpoints.load_sam(name, path, device=device)))[0]


def _nothing(
    result: Segmentation, image: Pixels, *, keep: Collection[int] | None = None, step: Progress = quietly
) -> Refined:
    """Return the result without changes, with a report."""
    del step
    _expect_nothing(NONE, keep=keep)
    expect_frame(image, result.size)
    return refined(result, result.labels, refiner=NONE, mode=NONE, settings={}, seconds=0.0)


def _edges(
    result: Segmentation, image: Pixels, *, keep: Collection[int] | None = None, step: Progress = quietly
) -> Refined:
    """Move boundaries to the edges of the picture."""
    _expect_nothing(EDGES, keep=keep)
    expect_frame(image, result.size)
    start = time.perf_counter()
    labels = follow_edges(
        image, result.labels, result.confidence, result.grid, lambda share: step(share, "following edges")
    )
    seconds = time.perf_counter() - start
    return refined(result, labels, refiner=EDGES, mode="guided filter", settings={}, seconds=seconds)


def _then_edges(sam: Refiner) -> Refiner:
    """Return a refiner that runs a SAM and then moves the boundaries to the edges of the picture."""

    def run(
        result: Segmentation, image: Pixels, *, keep: Collection[int] | None = None, step: Progress = quietly
    ) -> Refined:
        start = time.perf_counter()
        masked = sam(result, image, keep=keep, step=lambda share, text: step(0.8 * share, text))
        followed = _edges(masked, image, step=lambda share, text: step(0.8 + 0.2 * share, text))
        return refined(
            result,
            followed.labels,
            refiner=NANO_THEN_EDGES,
            mode=masked.report.mode,
            settings={"keep": masked.settings["keep"]} if keep is not None else {},
            seconds=time.perf_counter() - start,
            components=masked.report.components,
        )

    return run


def _expect_nothing(name: str, **given: object) -> None:
    """Raise InputError if an option is given that only SAM uses."""
    for what, value in given.items():
        if value is not None:
            raise InputError(
                f"refiner {name}",
                expected=f"no {what}",
                got=repr(value)[:80],
                remedy=f"Leave out the {what}, or choose a SAM.",
            )
