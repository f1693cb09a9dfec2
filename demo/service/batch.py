"""Segmentation of many pictures with one request: the queue, its results, and one archive. Imports no Gradio."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cliptrase_core.cancel import Progress, quietly
from cliptrase_core.io.allocator import return_free
from cliptrase_core.io.export.formats import read_formats
from cliptrase_core.names import NONE
from demo import core
from demo.drawing import small_overlay_url, small_url
from demo.errors import UserError, for_people
from demo.html import percent
from demo.service.download import MOST_PICTURE, command_line, contents_of, formats_of, zip_folder
from demo.service.pictures import expect_few_sentences
from demo.service.refine import Refinement, loss, mode_of
from demo.service.saved import packed_name
from demo.service.segmentation import Run, SegmentRequest, SegmentView
from demo.service.service import Service
from demo.service.shown import Shown, carried
from demo.settings import DELETE_CACHE

if TYPE_CHECKING:
    from cliptrase_core.models.loading import LoadedModel

PREFIX = "batch-"
WAITING, DONE, FAILED = "waiting", "done", "failed"
GO_ALONG = (
    "The archive holds the original picture files, with their metadata on camera, time and place.\n"
    "Remove them before you pass the archive on, if these are private."
)
TOO_LARGE = f"Results without their pictures (deleted, or larger than {MOST_PICTURE // 1_000_000} MB):"
BY_HAND = "Changed by hand on the page, which the command does not repeat:"
LEFT_OUT = "Changes by hand that are not in these results:"
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

    def made(self, run: Run) -> Shown:
        """Return the state that the batch makes of one picture, without changes by hand."""
        return Shown(run, self.refinement(run))


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
    """

    path: str
    file: str
    thumbnail: str = ""
    state: str = WAITING
    message: str = ""
    overlay: str = ""
    shown: Shown | None = None


@dataclass(frozen=True)
class Batch:
    """Queue of pictures of one visitor.

    Attributes:
        folder: folder of the results until they are downloaded; used by this queue only.
        items: pictures in the order of the queue.
        request: request of the finished results.
    """

    folder: str
    items: tuple[Item, ...] = ()
    request: BatchRequest | None = None

    def count(self, state: str) -> int:
        """Return the number of pictures in a state: WAITING, DONE or FAILED."""
        return sum(item.state == state for item in self.items)

    def by_hand(self) -> list[Item]:
        """Return the pictures whose files contain changes by hand: fixes, or other boundaries."""
        made = self.request and self.request.made
        return [item for item in self.items if made and item.shown and item.shown != made(item.shown.run)]

    def with_item(self, index: int, item: Item) -> Batch:
        """Return a copy with one picture replaced."""
        return replace(self, items=(*self.items[:index], item, *self.items[index + 1 :]))


def added(batch: Batch, paths: Sequence[str], most: int) -> tuple[Batch, int]:
    """Append pictures to the queue, up to `most` in total; no file is read.

    Returns:
        The new queue, and the number of pictures left out.
    """
    taken = {Path(item.file).stem.casefold() for item in batch.items}
    items = list(batch.items)
    for path in paths[: max(0, most - len(items))]:
        items.append(Item(path, f"{core.io.files.free_stem(Path(path).stem, taken)}{Path(path).suffix}"))
    return replace(batch, items=tuple(items)), len(batch.items) + len(paths) - len(items)


def with_thumbnail(item: Item) -> Item:
    """Read a picture; return its item with a thumbnail, or with the reason why it cannot be used."""
    try:
        with for_people():
            return replace(item, thumbnail=small_url(core.io.image.read_reduced(item.path).pixels))
    except UserError as error:
        return _failed(item, error)


def prepared(batch: Batch, request: BatchRequest) -> Batch:
    """Return the queue for a request. If the request is new, remove all results, so that they are made again.

    Raises:
        UserError: the words cannot be used for any picture.
    """
    with for_people():
        expect_few_sentences(
            request.segment_request.words, request.segment_request.preset, request.segment_request.templates
        )
    if batch.request == request:
        return batch
    empty(batch)
    items = tuple(
        replace(item, state=WAITING, message="", overlay="", shown=None) if item.thumbnail else item
        for item in batch.items
    )
    return replace(batch, items=items, request=request)


def segmented(service: Service, batch: Batch, index: int, step: Progress = quietly) -> Item:
    """Segment one picture and write its files to the folder of the queue.

    Args:
        service: service that segments.
        batch: queue from `prepared`.
        index: index of the picture.
        step: progress callback (share in [0, 1], description); an exception from it ends the work.

    Returns:
        The item, done or with the reason why it cannot be used: one unusable picture does not stop the others.
    """
    item, request = batch.items[index], batch.request
    if request is None:
        raise UserError("There is nothing to do yet. Press Segment all.")
    one = request.segment_request
    try:
        run = Run(service.open(item.path, one.preset, one.model, one.short_side), one)
        return _written(service, item, request.made(run), batch.folder, request.formats, step)
    except UserError as error:
        return _failed(item, error)


def _written(service: Service, item: Item, what: Shown, folder: str, formats: tuple[str, ...], step: Progress) -> Item:
    """Write the files of one result, in place of former ones of the picture. Return the item, done."""
    try:
        view, pixels = service.shown(what, item.path, lambda share, text: step(0.8 * share, text), full=True)
        with for_people():
            core.io.export.saving.save(
                view.result,
                pixels,
                folder,
                Path(item.file).stem,
                formats=formats,
                about={"picture": item.file},
                overlay_side=core.names.OVERLAY_SIDE,
                source=item.path,
                step=lambda share, text: step(0.8 + 0.2 * share, text),
            )
            colours = core.viz.palette.label_colours(view.result)
            overlay = small_overlay_url(pixels, view.result.labels, colours)
    finally:
        return_free()
    message = core.errors.some([f"{name} {percent(share, 0)}" for name, share in view.result.areas.items()], MOST_NAMED)
    message = f"{message}. {loss(view.result)}" if loss(view.result) else message
    return replace(item, state=DONE, message=message, overlay=overlay, shown=what)


def _failed(item: Item, error: UserError) -> Item:
    message = str(error).removeprefix(f"file {Path(item.path).name!r}: ")  # the line already shows the name
    return replace(item, state=FAILED, message=message)


def reviewed(made: Shown, last: Shown | None, view: SegmentView) -> tuple[Shown, str]:
    """Return the state of a finished picture of the queue on the page: made by the batch, then changed by hand.

    Args:
        made: state that the batch made.
        last: state of the page's last result, which knows those of former pictures.
        view: coarse result of the picture.

    Returns:
        The state, and a plain text about changes that do not fit this result; empty if all do.
    """
    what, lost = carried(last, view)
    known = () if last is None else (last, *last.others)
    if not any(one.run == made.run and (one.changed or one.coarse_by_hand) for one in known):
        what = replace(what, refinement=made.refinement or what.refinement)
    return what, lost


def renewed(
    service: Service, batch: Batch, index: int, last: Shown | None, step: Progress = quietly
) -> tuple[Item, str]:
    """Write the files of a finished picture anew if it was changed by hand since, or if such changes were taken back.

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
    run, known = item.shown.run, () if last is None else (last, *last.others)
    if not any(one.run.key.picture == run.key.picture for one in known):
        return item, ""  # nothing is known of this picture, so its files stay
    try:
        what, missing = reviewed(request.made(run), last, service.again(run, item.path))
        missing = missing or ("Some of its fixes do not fit this result." if what.aside else "")
        what = replace(what, undone=(), aside=(), removed=(), others=())
        if what == item.shown:
            return item, missing
        return _written(service, item, what, batch.folder, request.formats, step), missing
    except UserError as error:
        return item, str(error)


def packed(service: Service, batch: Batch, target: Path, missing: Sequence[str] = ()) -> None:
    """Write one archive: finished pictures, their files, COCO for all, and the command that gives the same results.

    Args:
        service: service that made the results.
        batch: queue.
        target: file to write.
        missing: lines about changes by hand that the results do not contain.

    Raises:
        UserError: no picture is done, or the files were removed.
    """
    request, folder = batch.request, Path(batch.folder)
    if request is None or not batch.count(DONE) or not folder.is_dir():
        raise UserError("Nothing is done yet, or it was removed meanwhile. Press Segment all.")
    with for_people():
        core.io.export.dataset.gather(folder, request.formats, core.io.export.components.ComponentRule())
    model = service.models.segmenter(request.segment_request.model).info
    pictures = _pictures(batch)
    left_out = [item.file for item in batch.items if item.state == DONE and packed_name(item.file) not in pictures]
    zip_folder(folder, how_to(batch, request, model, left_out, missing), target, pictures)


def _pictures(batch: Batch) -> dict[str, Path]:
    """Return the files of finished pictures by their names in the archive, without large and missing files."""
    found = {}
    for item in batch.items:
        path, name = Path(item.path), packed_name(item.file)
        free = not (Path(batch.folder) / name).exists()  # a result of another picture may have this name
        if item.state == DONE and free and path.is_file() and path.stat().st_size <= MOST_PICTURE:
            found[name] = path
    return found


def how_to(
    batch: Batch, request: BatchRequest, model: LoadedModel, left_out: Sequence[str] = (), missing: Sequence[str] = ()
) -> str:
    """Return a text about the archive: its content, missing pictures, and the command that gives the same results.

    Args:
        batch: packed queue.
        request: request of the results.
        model: model of the results.
        left_out: names of pictures that are not in the archive although their results are.
        missing: lines about changes by hand that the results do not contain.
    """
    by_hand = [f"{item.file}: {_changes(item.shown)}" for item in batch.by_hand() if item.shown]
    failed = [f"{item.file}: {item.message}" for item in batch.items if item.state == FAILED]
    waiting = [item.file for item in batch.items if item.state == WAITING]
    run = None if request.refiner == NONE else (request.refiner, request.mode)
    command = command_line("PICTURES", request.segment_request, model, run, request.formats)
    return (
        f"{GO_ALONG}\n\n{contents_of(request.formats)}\n\nThe same from the command line:\n\n{command}\n"
        + _listed(BY_HAND, by_hand)
        + _listed(LEFT_OUT, missing)
        + _listed(TOO_LARGE, left_out)
        + _listed("Cannot be used:", failed)
        + _listed("Not done yet:", waiting)
    )


def _changes(what: Shown) -> str:
    """Return plain text: boundaries of a result that was changed by hand, and its number of fixes."""
    boundaries = f"refined by {what.refinement.refiner}" if what.refinement else "coarse boundaries"
    chosen = ", masks chosen by hand" if what.refinement and what.refinement.keep is not None else ""
    fixes = f", {len(what.fixes)} fix{'es' if len(what.fixes) > 1 else ''}" if what.fixes else ""
    return f"{boundaries}{chosen}{fixes}"


def _listed(title: str, lines: Sequence[str]) -> str:
    """Return a titled list of lines; empty if there are none."""
    return f"\n{title}\n\n" + "\n".join(lines) + "\n" if lines else ""


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
    """Remove the results of a queue, if there is one."""
    if batch is not None:
        shutil.rmtree(batch.folder, ignore_errors=True)
