"""Archive of a batch: the finished pictures, their files, and the command that gives the same results.

Imports no Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cliptrase_core.names import NONE
from demo import core
from demo.errors import UserError, as_user_errors
from demo.service.batch import DONE, FAILED, WAITING, Batch, BatchRequest
from demo.service.download import MOST_PICTURE, command_line, contents_of, goes_along, zip_folder
from demo.service.saved import packed_name
from demo.service.service import Service
from demo.service.shown import DisplayState

if TYPE_CHECKING:
    from cliptrase_core.models.loading import LoadedModel

GO_ALONG = (
    "Drop this archive on the page, and the queue is there again, with the fixes made by hand.\n"
    "The archive holds the original picture files, with their metadata on camera, time and place.\n"
    "Remove them before you pass the archive on, if these are private."
)
TOO_LARGE = (
    f"Results without their pictures (deleted, named like a result, or larger than {MOST_PICTURE // 1_000_000} MB):"
)
BY_HAND = "Changed by hand on the page, which the command does not repeat:"
LEFT_OUT = "Not in these results:"


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
    with as_user_errors():
        core.io.export.dataset.gather(folder, request.formats, core.io.export.components.ComponentRule())
    model = service.models.segmenter(request.segment_request.model).info
    pictures = _pictures(batch)
    left_out = [item.file for item in batch.items if item.state == DONE and packed_name(item.file) not in pictures]
    zip_folder(folder, how_to(batch, request, model, left_out, missing), target, pictures)


def _pictures(batch: Batch) -> dict[str, Path]:
    """Return the files of finished pictures by their names in the archive, without those that do not go along."""
    found = {packed_name(item.file): item.path for item in batch.items if item.state == DONE}
    return {name: Path(path) for name, path in found.items() if goes_along(path, name, batch.folder)}


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
    finished = [(item.file, item.shown) for item in batch.items if item.shown]
    by_hand = [f"{file}: {_changes(state)}" for file, state in finished if batch.is_changed(state)]
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


def _changes(state: DisplayState) -> str:
    """Return plain text: boundaries of a result that was changed by hand, and its number of fixes."""
    boundaries = f"refined by {state.refinement.refiner}" if state.refinement else "coarse boundaries"
    chosen = ", masks chosen by hand" if state.refinement and state.refinement.keep is not None else ""
    fixes = f", {core.errors.counted(len(state.fixes), 'fix', 'fixes')}" if state.fixes else ""
    return f"{boundaries}{chosen}{fixes}"


def _listed(title: str, lines: Sequence[str]) -> str:
    """Return a titled list of lines; empty if there are none."""
    return f"\n{title}\n\n" + "\n".join(lines) + "\n" if lines else ""
