"""Rows of the queue follow the page: changes by hand of a finished picture, and a result of it with other words.

Imports no Gradio."""

from __future__ import annotations

from dataclasses import replace

from demo.service.batch import Batch, applied, face, reviewed
from demo.service.segmentation import Run
from demo.service.service import Service
from demo.service.shown import MOST_POINTS_IN_ALL, DisplayState


def update_queue_row(
    service: Service, batch: Batch, run: Run, path: str | None, last: DisplayState | None
) -> tuple[Batch, str]:
    """Bring the row of the picture that the page shows up to date.

    Args:
        service: service that made the results.
        batch: queue.
        run: run of the shown result.
        path: file of its picture.
        last: state of the page's last result; while a result is being restored, still that of the former one.

    Returns:
        The queue, and a plain text about a result that the archive will not contain; empty if it will.
    """
    runs = [None if item.shown is None else item.shown.run for item in batch.items]
    index = next((place for place, one in enumerate(runs) if one and one.key.picture == run.key.picture), None)
    if index is None:
        return batch, ""
    item, made = batch.items[index], runs[index]
    note = remark = ""
    if made and run != made:
        other = "words" if run.request.words != made.request.words else "settings"
        note = f"Shown above with other {other}; the archive has those of the batch."
        remark = (
            f"{item.file} has other {other} here; its row and the archive keep those of the batch. Segment all in the "
            "tab Batch gives these to every picture, Download here takes this result alone."
        )
    item = replace(item, note=note)
    if made and batch.request and last is not None and last.run == run and last.touched:
        state, _ = reviewed(batch.request.made(made), last, service.again(made, path))
        hand = replace(state, undone=(), removed=(), others=())
        changed = batch.with_item(index, replace(item, hand=hand))
        if hand != item.current and _points(changed) <= MOST_POINTS_IN_ALL:
            message, overlay = face(*service.shown(applied(hand), path))
            item = replace(item, hand=hand, message=message, overlay=overlay)
    return batch.with_item(index, item), remark


def _points(batch: Batch) -> int:
    """Return the number of points of all fixes that the queue stores."""
    return sum(len(one.fix.points) for item in batch.items if item.hand for one in item.hand.every_fix())
