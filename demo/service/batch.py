"""Segmentation of many pictures with one request: the queue, its results, and one archive. Imports no Gradio."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cliptrase_core.cancel import Progress, quietly
from cliptrase_core.io.allocator import return_free
from cliptrase_core.io.export.formats import read_formats
from cliptrase_core.names import NONE
from demo import core
from demo.drawing import Picture, small_overlay_url, small_url
from demo.errors import UserError, as_user_errors
from demo.html import isolated, whole_percent
from demo.service.download import formats_of
from demo.service.pictures import expect_few_sentences
from demo.service.refine import Refinement, loss, mode_of
from demo.service.saved import Saved, packed_name
from demo.service.segmentation import Run, SegmentRequest, SegmentView
from demo.service.service import Service
from demo.service.shown import DisplayState, not_applied, others_of, transfer_changes
from demo.settings import DELETE_CACHE

PREFIX = "batch-"
WAITING, DONE, FAILED = "waiting", "done", "failed"
MOST_NAMED = 3
"""Maximum number of classes named in the line of a picture."""


@dataclass(frozen=True)
class BatchRequest:
    """Request that applies to every picture of a batch.

    Attributes:
        segment_request: words, model and settings.
        refiner: refiner of the boundaries, or `NONE`: they stay coarse.
        mode: mode of a SAM refiner.
        choice: one of `CHOICES`; COCO annotations for all pictures are added.
    """

    segment_request: SegmentRequest
    refiner: str
    mode: str
    choice: str

    @property
    def formats(self) -> tuple[str, ...]:
        """Export formats of the core."""
        return read_formats([*formats_of(self.choice), "coco"])

    def refinement(self, run: Run) -> Refinement | None:
        """Return the refinement of one picture, or None if its boundaries stay coarse."""
        return None if self.refiner == NONE else Refinement(run, self.refiner, mode_of(self.refiner, self.mode))

    def made(self, run: Run) -> DisplayState:
        """Return the state that the batch makes of one picture, without changes by hand."""
        return DisplayState(run, self.refinement(run))


@dataclass(frozen=True)
class Item:
    """One picture of the queue.

    Attributes:
        path: path of the upload.
        file: file name, unique in the queue.
        thumbnail: data URL of the picture; empty if the picture cannot be read.
        state: WAITING, DONE or FAILED.
        message: classes of the result, or the reason why the picture cannot be used; plain text.
        overlay: data URL of the result as a thumbnail; empty before the picture is done.
        shown: state of the result whose files are in the folder; None before the picture is done.
        hand: state on the page with changes by hand that the files may lack, or that the next result takes over.
        saved: result of an opened archive; the first result of the picture takes over its changes by hand.
        note: remark about a result on the page that the files do not contain; plain text.
        formats: export formats of the files in the folder.
    """

    path: str
    file: str
    thumbnail: str = ""
    state: str = WAITING
    message: str = ""
    overlay: str = ""
    shown: DisplayState | None = None
    hand: DisplayState | None = None
    saved: Saved | None = None
    note: str = ""
    formats: tuple[str, ...] = ()

    @property
    def current(self) -> DisplayState | None:
        """State of the picture with the latest changes by hand, or None before it is done."""
        return self.hand or self.shown


@dataclass(frozen=True)
class Batch:
    """Queue of pictures of one visitor.

    Attributes:
        folder: folder of the results until they are downloaded; used by this queue only.
        items: pictures in the order of the queue.
        request: request of the finished results.
        unpacked: folders with pictures of opened archives; used by this queue only.
    """

    folder: str
    items: tuple[Item, ...] = ()
    request: BatchRequest | None = None
    unpacked: tuple[str, ...] = ()

    def count(self, state: str) -> int:
        """Return the number of pictures in a state: WAITING, DONE or FAILED."""
        return sum(item.state == state for item in self.items)

    def by_hand(self) -> list[Item]:
        """Return the finished pictures with changes by hand: fixes, or other boundaries."""
        return [item for item in self.items if item.shown and item.current and self.is_changed(item.current)]

    def is_changed(self, state: DisplayState) -> bool:
        """Return whether the state of a finished picture differs from the one that the batch made."""
        return self.request is not None and applied(state) != self.request.made(state.run)

    def with_item(self, index: int, item: Item) -> Batch:
        """Return a copy with one picture replaced."""
        return replace(self, items=(*self.items[:index], item, *self.items[index + 1 :]))


def added(batch: Batch, paths: Sequence[str], most: int) -> tuple[Batch, int]:
    """Append pictures to the queue, up to `most` in total; no file is read.

    A picture that an opened archive lacks takes its place, by its name.

    Returns:
        The new queue, and the number of pictures left out.
    """
    taken = {Path(item.file).stem.casefold() for item in batch.items}
    awaited: dict[str, list[int]] = {}
    for place, item in enumerate(batch.items):
        if not item.path:
            awaited.setdefault(packed_name(item.saved.picture if item.saved else item.file), []).append(place)
    items, left_out = list(batch.items), 0
    for path in paths:
        places = awaited.get(packed_name(Path(path).name))
        if places:
            place = places.pop(0)
            items[place] = replace(items[place], path=path, state=WAITING, message="")
        elif len(items) < most:
            items.append(Item(path, f"{core.io.files.free_stem(Path(path).stem, taken)}{Path(path).suffix}"))
        else:
            left_out += 1
    return replace(batch, items=tuple(items)), left_out


def with_thumbnail(item: Item) -> Item:
    """Read a picture; return its item with a thumbnail, or with the reason why it cannot be used."""
    try:
        with as_user_errors():
            picture = core.io.image.read_reduced(item.path)
            if item.saved is not None and tuple(picture.size) != item.saved.size:
                return awaiting(item, item.saved)
            return replace(item, thumbnail=small_url(picture.pixels))
    except UserError as error:
        if item.saved is not None:  # an intact file of that name may still come
            again = awaiting(item, item.saved)
            return replace(again, message=f"{_failed(item, error).message} {again.message}")
        return _failed(item, error)


def awaiting(item: Item, saved: Saved) -> Item:
    """Return the item of a picture that an opened archive lacks, until the picture is added."""
    height, width = saved.size
    message = f"The archive lacks this picture. Drop {saved.picture} ({width} x {height} pixels) into the box above."
    return replace(item, path="", state=FAILED, message=message)


def prepared(batch: Batch, request: BatchRequest) -> Batch:
    """Return the queue for a request. If the request is new, remove all results, so that they are made again.

    Raises:
        UserError: the words cannot be used for any picture.
    """
    with as_user_errors():
        expect_few_sentences(
            request.segment_request.words, request.segment_request.preset, request.segment_request.templates
        )
    if batch.request == request:  # one that failed may be possible now, for instance with more memory
        items = tuple(replace(i, state=WAITING) if i.state == FAILED and i.thumbnail else i for i in batch.items)
        return replace(batch, items=items)
    shutil.rmtree(batch.folder, ignore_errors=True)
    items = tuple(_waiting(batch, item) if item.thumbnail else item for item in batch.items)
    return replace(batch, items=items, request=request)


def with_choice(batch: Batch, choice: str) -> Batch:
    """Return the queue for another choice of files. Those of the former choice are removed; `renewed` writes others.

    If a picture is no longer here, nothing changes: its files could not be made again.
    """
    if batch.request is None or batch.request.choice == choice or lost_pictures(batch):
        return batch
    shutil.rmtree(batch.folder, ignore_errors=True)
    items = tuple(replace(item, formats=()) for item in batch.items)
    return replace(batch, items=items, request=replace(batch.request, choice=choice))


def lost_pictures(batch: Batch) -> list[str]:
    """Return the names of finished pictures whose files are no longer here."""
    return [item.file for item in batch.items if item.state == DONE and not Path(item.path).is_file()]


def _waiting(batch: Batch, item: Item) -> Item:
    """Return an item without its result, but with its changes by hand, which the next result takes over."""
    state = item.current
    by_hand = state is not None and (batch.is_changed(state) or bool(state.aside))
    if state is not None and batch.request is not None and state.refinement == batch.request.refinement(state.run):
        state = replace(state, refinement=None)  # of the former request, not chosen by hand
    return replace(item, state=WAITING, message="", overlay="", note="", shown=None, hand=state if by_hand else None)


def segmented(
    service: Service, batch: Batch, index: int, step: Progress = quietly, last: DisplayState | None = None
) -> Item:
    """Segment one picture and write its files to the folder of the queue.

    Args:
        service: service that segments.
        batch: queue from `prepared`.
        index: index of the picture.
        step: progress callback (share in [0, 1], description); an exception from it ends the work.
        last: state of the page's last result, which knows those of former pictures.

    Returns:
        The item, done or with the reason why it cannot be used: one unusable picture does not stop the others.
    """
    item, request = batch.items[index], batch.request
    if request is None:
        raise UserError("There is nothing to do yet. Press Segment all.")
    one = request.segment_request
    try:
        run = Run(service.open(item.path, one.preset, one.model, one.short_side), one)
        former = remembered(item, last) if item.saved is None else item.saved.former(request.made(run))
        done = _made(service, batch, item, request.made(run), former if _knows(former, run) else None, step)
        return replace(done, saved=None)  # from now on the page and the queue know its changes
    except UserError as error:
        return _failed(item, error)


def _made(
    service: Service, batch: Batch, item: Item, made: DisplayState, former: DisplayState | None, step: Progress
) -> Item:
    """Write the files of a picture, with its former changes by hand if these fit. Return the item, done."""
    formats = batch.request.formats if batch.request else ()
    if former is None:
        return _written(service, item, made, batch.folder, formats, step)
    state, lost = reviewed(made, former, service.again(made.run, item.path))
    try:
        done = _written(service, item, applied(state), batch.folder, formats, step)
        done = replace(done, hand=state if batch.is_changed(state) or state.aside else None)
    except UserError as error:
        done, lost = _written(service, item, made, batch.folder, formats, step), f"Without its fixes: {error}"
        done = replace(done, hand=state)  # the download tries again
    return replace(done, message=f"{done.message}. {lost}") if lost else done


def applied(state: DisplayState) -> DisplayState:
    """Return what the files of a state contain: no undone steps, no fixes set aside, no other pictures."""
    return replace(state, undone=(), aside=(), removed=(), others=())


def _written(
    service: Service, item: Item, state: DisplayState, folder: str, formats: tuple[str, ...], step: Progress
) -> Item:
    """Write the files of one result, in place of former ones of the picture. Return the item, done."""
    try:
        view, pixels = service.shown(state, item.path, lambda share, text: step(0.8 * share, text), full=True)
        with as_user_errors():
            core.io.export.saving.save(
                view.result,
                pixels,
                folder,
                Path(item.file).stem,
                formats=formats,
                about={"picture": item.file, "automatic": state.run.request.automatic},
                overlay_side=core.names.OVERLAY_SIDE,
                source=item.path,
                step=lambda share, text: step(0.8 + 0.2 * share, text),
            )
            message, overlay = face(view, pixels)
    finally:
        return_free()
    return replace(item, state=DONE, message=message, overlay=overlay, shown=state, formats=formats)


def face(view: SegmentView, pixels: Picture) -> tuple[str, str]:
    """Return message and overlay of the item of a result: its largest classes and their areas, and a small picture."""
    areas = [f"{isolated(name)} {whole_percent(share)}" for name, share in view.result.areas.items()]
    message = core.errors.some(areas, MOST_NAMED)
    message = f"{message}. {loss(view.result)}" if loss(view.result) else message
    colours = core.viz.palette.label_colours(view.result)
    return message, small_overlay_url(pixels, view.result.labels, colours)


def _failed(item: Item, error: UserError) -> Item:
    message = str(error).removeprefix(f"file {Path(item.path).name!r}: ")  # the line already shows the name
    return replace(item, state=FAILED, message=message)


def reviewed(made: DisplayState, last: DisplayState | None, view: SegmentView) -> tuple[DisplayState, str]:
    """Return the state of a finished picture of the queue on the page: made by the batch, then changed by hand.

    Args:
        made: state that the batch made.
        last: state of the page's last result, which knows those of former pictures.
        view: coarse result of the picture.

    Returns:
        The state, and a plain text about changes that do not fit this result; empty if all do.
    """
    state, lost = transfer_changes(last, view)
    known = () if last is None else (last, *last.others)
    if not any(one.run == made.run and (one.refinement or one.coarse_by_hand) for one in known):
        state = replace(state, refinement=made.refinement or state.refinement)
    return state, lost


def renewed(
    service: Service, batch: Batch, index: int, last: DisplayState | None, step: Progress = quietly
) -> tuple[Item, str]:
    """Write the files of a finished picture anew if it was changed by hand since, if such changes were taken back, or
    if other files were chosen.

    Args:
        service: service that made the results.
        batch: queue.
        index: index of the picture.
        last: as for `reviewed`.
        step: progress callback (share in [0, 1], description); an exception from it ends the work.

    Returns:
        The item, and a plain text about changes by hand that its files do not contain; empty if they contain all.
    """
    item, request = batch.items[index], batch.request
    if item.shown is None or request is None:
        return item, ""
    run = item.shown.run
    last = remembered(item, last) if item.hand else last
    newer, state, missing = item, item.shown, ""  # the same result if nothing is known of this picture
    try:
        if _knows(last, run):
            view = service.again(run, item.path)
            known, missing = reviewed(request.made(run), last, view)
            missing = missing or not_applied(known, view)
            newer, state = replace(item, hand=known if known.aside else None), applied(known)
        if state == item.shown and item.formats == request.formats:
            return newer, missing
        return _written(service, newer, state, batch.folder, request.formats, step), missing
    except UserError as error:
        return item, str(error)


def _knows(last: DisplayState | None, run: Run) -> bool:
    """Return whether the page knows what was changed by hand on a run's picture."""
    known = () if last is None else (last, *last.others)
    return any(one.touched and one.run.key.picture == run.key.picture for one in known)


def remembered(item: Item, last: DisplayState | None) -> DisplayState | None:
    """Return the page's last state, or that of the queue if the page does not know the picture (any more)."""
    state = item.current
    return last if state is None or _knows(last, state.run) else replace(state, others=others_of(last, state.run))


def new_folder(home: Path) -> str:
    """Create a folder for results or an archive; remove folders unused for longer than uploads are stored."""
    home.mkdir(parents=True, exist_ok=True)
    for path in home.glob(f"{PREFIX}*"):
        try:
            if time.time() - path.stat().st_mtime > DELETE_CACHE[1]:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # removed in the meantime
            continue
    return tempfile.mkdtemp(prefix=PREFIX, dir=home)


def empty(batch: Batch | None) -> None:
    """Remove the results of a queue, and pictures that it unpacked, if there is one."""
    if batch is not None:
        for folder in (batch.folder, *batch.unpacked):
            shutil.rmtree(folder, ignore_errors=True)
