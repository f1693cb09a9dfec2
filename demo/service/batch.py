"""Many pictures with one request: what is in the queue, one picture after the other, one archive. Imports no Gradio."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cliptrase_core.io.allocator import return_free
from demo import core
from demo.drawing import small_overlay_url, small_url
from demo.errors import UserError, for_people
from demo.html import percent
from demo.service.download import MOST_PICTURE, command_line, contents_of, formats_of, zip_folder
from demo.service.pictures import expect_few_sentences
from demo.service.refine import Refinement, Step, mode_of, quietly
from demo.service.saved import packed_name
from demo.service.segmentation import Run, SegmentRequest
from demo.service.service import Service
from demo.service.shown import Shown
from demo.settings import DELETE_CACHE

if TYPE_CHECKING:
    from cliptrase_core.models.loading import LoadedModel

PREFIX = "batch-"
WAITING, DONE, FAILED = "waiting", "done", "failed"
COARSE = "none"
"""Instead of a refiner."""
GO_ALONG = (
    "The pictures are in the archive as they were given, with all that their files say of camera, time and place:\n"
    "take them out before you hand the archive on, if that is private."
)
TOO_LARGE = f"Results without their pictures, which have gone or are larger than {MOST_PICTURE // 1_000_000} MB:"
MOST_NAMED = 3
"""Classes that the line of a picture names."""


@dataclass(frozen=True)
class BatchRequest:
    """What is asked for every picture.

    Attributes:
        asked: words, model and settings.
        refiner: of the boundaries, or `COARSE`.
        mode: of a SAM that refines.
        choice: one of `FORMATS`; COCO for all comes besides.
    """

    asked: SegmentRequest
    refiner: str
    mode: str
    choice: str

    @property
    def formats(self) -> tuple[str, ...]:
        """Of the core."""
        formats: tuple[str, ...] = core.io.export.read_formats([*formats_of(self.choice), "coco"])
        return formats

    def refinement(self, run: Run) -> Refinement | None:
        """Of one picture."""
        return None if self.refiner == COARSE else Refinement(run, self.refiner, mode_of(self.refiner, self.mode))


@dataclass(frozen=True)
class Item:
    """One picture of the queue.

    Attributes:
        path: of the upload.
        file: its name, with no other of the queue in common.
        thumbnail: a data URL; empty where it cannot be read.
        state: WAITING, DONE or FAILED.
        said: what was found in it, or why it cannot be used; plain text.
        overlay: its result as a thumbnail, a data URL; empty before it is done.
    """

    path: str
    file: str
    thumbnail: str = ""
    state: str = WAITING
    said: str = ""
    overlay: str = ""


@dataclass(frozen=True)
class Batch:
    """A queue of pictures; kept for each visitor.

    Attributes:
        folder: where results lie until they are taken; nobody else's.
        items: in their order.
        request: by which the finished ones were made.
    """

    folder: str
    items: tuple[Item, ...] = ()
    request: BatchRequest | None = None

    def count(self, state: str) -> int:
        """How many pictures are waiting, done or failed."""
        return sum(item.state == state for item in self.items)

    def with_item(self, index: int, item: Item) -> Batch:
        """With another state of one picture."""
        return replace(self, items=(*self.items[:index], item, *self.items[index + 1 :]))


def added(batch: Batch, paths: Sequence[str], most: int) -> tuple[Batch, int]:
    """Put pictures behind those of the queue, as many as there is room for; none is read.

    Returns:
        The queue, and how many were left out.
    """
    used = Counter(Path(item.file).stem.casefold() for item in batch.items)
    items = list(batch.items)
    for path in paths[: max(0, most - len(items))]:
        stem, ending = core.io.export.safe_stem(Path(path).stem), Path(path).suffix
        name, number = stem, 1
        while used[name.casefold()]:
            number += 1
            name = f"{stem}-{number}"
        used[name.casefold()] += 1
        items.append(Item(path, f"{name}{ending}"))
    return replace(batch, items=tuple(items)), len(batch.items) + len(paths) - len(items)


def looked_at(item: Item) -> Item:
    """A picture with its thumbnail, or with the reason why it is none."""
    try:
        with for_people():
            return replace(item, thumbnail=small_url(core.io.image.read_reduced(item.path).pixels))
    except UserError as error:
        return _failed(item, error)


def prepared(batch: Batch, request: BatchRequest) -> Batch:
    """The queue for a request: what was made for another one is made again.

    Raises:
        UserError: words that cannot be used, for no picture at all.
    """
    with for_people():
        expect_few_sentences(request.asked.words, request.asked.preset, request.asked.templates)
    if batch.request == request:
        return batch
    empty(batch)
    items = tuple(replace(item, state=WAITING, said="", overlay="") if item.thumbnail else item for item in batch.items)
    return replace(batch, items=items, request=request)


def segmented(service: Service, batch: Batch, index: int, step: Step = quietly) -> Item:
    """Make the files of one picture.

    Args:
        service: that segments.
        batch: of `prepared`.
        index: of the picture.
        step: told (share in [0, 1], what happens); what it raises ends the work.

    Returns:
        The picture, done or with the reason why it cannot be used: one does not stop the others.
    """
    item, request = batch.items[index], batch.request
    if request is None:
        raise UserError("There is nothing to do yet. Press Segment all.")
    asked, export = request.asked, core.io.export
    try:
        run = Run(service.open(item.path, asked.preset, asked.model, asked.short_side), asked)
        shown = Shown(run, request.refinement(run))
        cut, pixels = service.shown(shown, item.path, lambda share, text: step(0.8 * share, text), full=True)
        with for_people():
            export.save(
                cut.result,
                pixels,
                batch.folder,
                Path(item.file).stem,
                formats=request.formats,
                about={"picture": item.file},
                overlay_side=export.OVERLAY_SIDE,
                source=item.path,
                step=lambda share, text: step(0.8 + 0.2 * share, text),
            )
            colours = core.viz.palette.label_colours(cut.result)
            overlay = small_overlay_url(pixels, cut.result.labels, colours)
    except UserError as error:
        return _failed(item, error)
    finally:
        return_free()
    areas = list(cut.result.areas.items())
    more = f" and {len(areas) - MOST_NAMED} more" if len(areas) > MOST_NAMED else ""
    said = ", ".join(f"{name} {percent(share, 0)}" for name, share in areas[:MOST_NAMED]) + more
    return replace(item, state=DONE, said=said, overlay=overlay)


def _failed(item: Item, error: UserError) -> Item:
    said = str(error).removeprefix(f"file {Path(item.path).name!r}: ")  # its name stands before it
    return replace(item, state=FAILED, said=said)


def packed(service: Service, batch: Batch, target: Path) -> None:
    """Write one archive of all that is done: each picture and its files, COCO for all, and how to get them again.

    Raises:
        UserError: nothing is done, or its files have gone.
    """
    request, folder = batch.request, Path(batch.folder)
    if request is None or not batch.count(DONE) or not folder.is_dir():
        raise UserError("Nothing is done yet, or it was removed meanwhile. Press Segment all.")
    with for_people():
        core.io.export.gather(folder, request.formats, core.io.export.ComponentRule())
    model = service.holder.segmenter(request.asked.model).info
    pictures = _pictures(batch)
    left_out = [item.file for item in batch.items if item.state == DONE and packed_name(item.file) not in pictures]
    zip_folder(folder, how_to(batch, request, model, left_out), target, pictures)


def _pictures(batch: Batch) -> dict[str, Path]:
    """Files of the pictures that are done, by their names in the archive; not those that are large, or have gone."""
    found = {}
    for item in batch.items:
        path, name = Path(item.path), packed_name(item.file)
        free = not (Path(batch.folder) / name).exists()  # a picture may be called as a file of another's result
        if item.state == DONE and free and path.is_file() and path.stat().st_size <= MOST_PICTURE:
            found[name] = path
    return found


def how_to(batch: Batch, request: BatchRequest, model: LoadedModel, left_out: Sequence[str] = ()) -> str:
    """What is in the archive, what is not, and how to get the same again; plain text.

    Args:
        batch: that is packed.
        request: by which it was made.
        model: that made it.
        left_out: names of pictures whose results are there and that do not go along themselves.
    """
    failed = [f"{item.file}: {item.said}" for item in batch.items if item.state == FAILED]
    waiting = [item.file for item in batch.items if item.state == WAITING]
    run = None if request.refiner == COARSE else (request.refiner, request.mode)
    command = command_line("PICTURES", request.asked, model, run, request.formats)
    return (
        f"{GO_ALONG}\n\n{contents_of(request.formats)}\n\nThe same from the command line:\n\n{command}\n"
        + (f"\n{TOO_LARGE}\n\n" + "\n".join(left_out) + "\n" if left_out else "")
        + ("\nCannot be used:\n\n" + "\n".join(failed) + "\n" if failed else "")
        + ("\nNot done yet:\n\n" + "\n".join(waiting) + "\n" if waiting else "")
    )


def new_folder(home: Path) -> str:
    """A new folder for results or an archive; those of others that were not touched for as long as uploads stay go."""
    home.mkdir(parents=True, exist_ok=True)
    for path in home.glob(f"{PREFIX}*"):
        try:
            if time.time() - path.stat().st_mtime > DELETE_CACHE[1]:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # gone meanwhile
            continue
    return tempfile.mkdtemp(prefix=PREFIX, dir=home)


def empty(batch: Batch) -> None:
    """Remove the results of a queue."""
    shutil.rmtree(batch.folder, ignore_errors=True)
