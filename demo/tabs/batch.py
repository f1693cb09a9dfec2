"""The Batch tab: many pictures with the page's words and settings, a queue that can be stopped, and one archive."""

from __future__ import annotations

import html
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.utils import get_upload_folder

from cliptrase_core.cancel import Cancelled
from cliptrase_core.names import MODES, NONE
from demo import core
from demo.errors import UserError
from demo.handling import errors_as_messages, followed, one_of, read_request, same, whole
from demo.html import hint, percent, strip, working
from demo.service import DisplayState, Run, Service
from demo.service.adding import LeftOut, sorted_out
from demo.service.batch import (
    DONE,
    FAILED,
    WAITING,
    Batch,
    BatchRequest,
    Item,
    added,
    empty,
    lost_pictures,
    new_folder,
    prepared,
    renewed,
    segmented,
    with_choice,
    with_thumbnail,
)
from demo.service.download import CHOICES
from demo.service.opened import Opened, with_opened
from demo.service.packing import packed
from demo.service.queue_row import update_queue_row
from demo.service.refine import MEGABYTES, expect_available
from demo.settings import MAX_FILES, MAX_UPLOAD_BODY, MAX_UPLOAD_BYTES, REFINERS, TIME_LIMIT_S
from demo.tabs.common import LAST, PRIVATE, UNSEEN, Shared, fetch_file, hidden_text, outputs, wire_end

NAME = "batch"
FILE = "batch-file"
ARCHIVE = "cliptrase-batch.zip"
MASKS = "masks"
START = hint(
    f"Up to {MAX_FILES} pictures, segmented by the words of this page, with the current model and settings. "
    "One that cannot be read does not stop the others. Show above opens a finished one to fix it; the download has "
    "the fixes."
)
GO, GO_ON = "Segment all", "Go on"
EMPTY = hint("Drop pictures here; the queue shows them.")
NO_PICTURES = "There are no pictures yet. Drop some into the box first."
TIME_IS_OVER = strip("note", "Paused.", f"One run takes at most {TIME_LIMIT_S // 60} minutes. Press Go on.")
PACKING_PAUSED = strip("note", "Paused.", f"One run takes at most {TIME_LIMIT_S // 60} minutes. Press Download again.")
UNSAVED = "Download before you leave this page: a browser may forget it."
WHEN_FULL = "Download these, empty the queue, then add the others."
MOST_NAMED, MOST_LETTERS = 3, 100
"""Maximum number of named files that were left out, and of letters of each name."""
WITH_LEFT = "(batch, files) => [batch, files, lab.left()]"
_SIGNS = {WAITING: "waits", DONE: "done", FAILED: "not possible", "busy": "works"}


QUEUE_JS = (
    f"""
lab.limits = {{ files: {MAX_FILES}, each: {MAX_UPLOAD_BYTES}, all: {MAX_UPLOAD_BODY - 100_000} }};"""
    + """
element.addEventListener("click", event => {
  const done = event.target.closest("li.done");
  if (!done) return;
  trigger("select", { index: Number(done.dataset.index), value: null });
  lab.above(done, event.detail === 0 && event.isTrusted);
  lab.show("#result");
});
new MutationObserver(lab.mark).observe(element, { childList: true, subtree: true });
lab.note = () => { if (element.querySelector("li.done")) trigger("apply", {}); };"""
)
"""Limits of an upload, with room for the headers of its files. A click on a finished picture selects it and scrolls to
the result above; `demo/review.py` handles the event."""


def queue_list(batch: Batch | None, busy: int | None = None, share: float = 0.0, doing: str = "") -> list[str]:
    """Return HTML in parts, one for each picture: between two views Gradio sends only the parts that differ.

    Args:
        batch: queue.
        busy: index of the picture in progress.
        share: progress of that picture, in [0, 1].
        doing: description of its current step, plain text.
    """
    if batch is None or not batch.items:
        return [EMPTY]
    lines = []
    for index, item in enumerate(batch.items):
        state, message = ("busy", doing) if index == busy else (item.state, item.message)
        picture = (
            f'<img src="{item.overlay or item.thumbnail}" alt="">'
            if item.thumbnail
            else '<span class="none" aria-hidden="true"></span>'
        )
        bar = f'<progress max="1" value="{share:.2f}" aria-label="Progress"></progress>' if state == "busy" else ""
        show = '<button type="button">Show above</button>' if state == DONE else ""
        sign = _SIGNS[state] + (_by_hand(batch, item) if state == DONE else "")
        note = f'<p class="note">{html.escape(item.note)}</p>' if item.note else ""
        kind = state if item.path else f"{state} awaited"
        lines.append(
            f'<li class="{kind}" data-index="{index}">{picture}<div><b><bdi>{html.escape(item.file)}</bdi></b> '
            f"<i>{sign}</i>{bar}<p>{html.escape(message)}</p>{note}{show}</div></li>"
        )
    return ['<ol class="queue">', *lines, "</ol>"]


def _by_hand(batch: Batch, item: Item) -> str:
    """Return plain text about changes by hand of a finished picture; empty without any."""
    state = item.current
    if state is None or not batch.is_changed(state):
        return ""
    count = len(state.fixes)
    return f", {core.errors.counted(count, 'fix', 'fixes')}" if count else ", other boundaries"


def left_out(left: LeftOut) -> str:
    """Return plain text: files that the queue did not take, and a remedy; empty if it took all."""
    counted = core.errors.counted
    parts = []
    if left.known:
        parts.append(f"{counted(left.known, 'of those chosen was', 'of those chosen were')} there already.")
    if left.same:
        pairs = [f"{one} is the same picture as {other}" for one, other in left.same]
        parts.append(f"{core.errors.some(pairs, MOST_NAMED)}.")
    if left.others:
        names = f" ({core.errors.some(left.names, MOST_NAMED)})" if left.names else ""
        parts.append(f"{counted(left.others, 'is no picture', 'are no pictures')}{names}.")
    if left.large:
        parts.append(f"{counted(left.large, 'is', 'are')} larger than {MAX_UPLOAD_BYTES // 1_000_000} MB.")
    if left.later:
        parts.append(
            f"{counted(left.later, 'more was', 'more were')} left out: one upload takes "
            f"{MAX_UPLOAD_BODY // 1_000_000} MB. Add them again."
        )
    if left.full:
        parts.append(f"{counted(left.full, 'more was', 'more were')} left out: a batch takes {MAX_FILES}. {WHEN_FULL}")
    return " ".join(parts)


def read_left(text: Any) -> LeftOut:
    """Read the numbers of files that the browser left out; a client may send any value, which then counts nothing."""
    try:
        found = json.loads(text)
        counts: dict[str, Any] = {
            name: whole(name, found[name], 0) for name in ("full", "later", "known", "large", "others")
        }
        files = [str(name)[:MOST_LETTERS] for name in found["names"][:MOST_NAMED]]
    except (ValueError, TypeError, KeyError, RecursionError, UserError):
        return LeftOut()
    return LeftOut(**counts, names=tuple(files))


def news(batch: Batch, *, running: bool = False, left: LeftOut | None = None, missing: Sequence[str] = ()) -> str:
    """Return HTML: the progress of the queue, in one line.

    Args:
        batch: queue.
        running: True while the queue is being processed.
        left: files that the queue did not take.
        missing: lines about changes by hand that the downloaded results do not contain.
    """
    total, done, failed = len(batch.items), batch.count(DONE), batch.count(FAILED)
    parts = [f"{done} of {total} are done"] if running or done else [core.errors.counted(total, "picture")]
    if failed:
        parts.append(f"{failed} cannot be used")
    if batch.by_hand():
        parts.append(f"{len(batch.by_hand())} with your changes")
    message = ", ".join(parts) + "."
    if running:
        return working("Working.", (done + failed) / max(1, total), message, "The whole batch")
    if missing:
        message += f" Not in the download: {' '.join(missing)}"
    if done:
        message += f" {UNSAVED}"
    rest = left_out(left) if left else ""
    return strip("note" if failed or rest or missing else "calm", "Batch:", f"{message} {rest}".strip())


class QueueView(NamedTuple):
    """New values of the components that show the queue, by component name."""

    files: Any
    folder: Any
    queue: Any
    news: Any
    go: Any
    download: Any
    batch: Any


class RunView(NamedTuple):
    """New values while the queue is processed, by component name."""

    queue: Any
    news: Any
    go: Any
    download: Any
    batch: Any


class PackView(NamedTuple):
    """New values while the archive is made and afterwards, by component name."""

    queue: Any
    news: Any
    download: Any
    file: Any
    batch: Any


class NoteView(NamedTuple):
    """New values after a change of the result above, by component name."""

    queue: Any
    news: Any
    batch: Any
    in_batch: Any


class BatchHandlers:
    """Handlers of the tab's events, one method each; they store nothing about visitors."""

    def __init__(self, service: Service) -> None:
        """Create handlers for one service."""
        self._service = service

    @errors_as_messages
    def add(self, batch: Batch | None, paths: list[str], left: Any = "") -> Iterator[QueueView]:
        """Add uploaded pictures to the queue, one after the other with its thumbnail.

        Args:
            batch: queue.
            paths: paths of the uploads.
            left: files that the browser left out; see `read_left`.
        """
        batch = batch or Batch(new_folder(Path(get_upload_folder())))
        new, rest = sorted_out(batch, paths, read_left(left))
        batch, full = added(batch, new, MAX_FILES)
        batch = yield from self._with_thumbnails(batch)
        yield _queue_view(batch, replace(rest, full=rest.full + full))

    @errors_as_messages
    def nothing_added(self, batch: Batch | None, left: Any) -> str:
        """Return HTML about files of which the browser could upload none."""
        return news(batch or Batch(""), left=read_left(left))

    @staticmethod
    def _with_thumbnails(batch: Batch) -> Generator[QueueView, None, Batch]:
        """Read the new pictures of the queue and yield a view after each; return the queue."""
        for index, item in enumerate(batch.items):
            if item.state == WAITING and not item.thumbnail:
                batch = batch.with_item(index, with_thumbnail(item))
                yield _queue_view(batch)
        return batch

    @errors_as_messages
    def fill(self, batch: Batch | None, opened: Any) -> Iterator[QueueView]:
        """Add the pictures of an opened archive of a batch; no effect if that of one result was opened."""
        if not isinstance(opened, Opened):
            yield same(QueueView)
            return
        batch = batch or Batch(new_folder(Path(get_upload_folder())))
        batch, left = with_opened(batch, opened)
        batch = yield from self._with_thumbnails(batch)
        yield _queue_view(batch, left)

    @errors_as_messages
    def run_opened(
        self,
        batch: Batch | None,
        last: DisplayState | None,
        opened: Any,
        refiner: Any,
        mode: Any,
        choice: Any,
        *fields: Any,
    ) -> Iterator[RunView]:
        """Segment the pictures of an opened archive of a batch; as `run`."""
        if not isinstance(opened, Opened) or batch is None or not batch.count(WAITING):
            yield same(RunView)
            return
        yield from self.run(batch, last, refiner, mode, choice, *fields)

    @errors_as_messages
    def run(
        self, batch: Batch | None, last: DisplayState | None, refiner: Any, mode: Any, choice: Any, *fields: Any
    ) -> Iterator[RunView]:
        """Handle the buttons Segment all and Go on: yield the progress; each finished picture is stored immediately.

        `last` is the state of the page's last result: what was fixed there before is fixed in the results, too.
        """
        if batch is None or not batch.items:
            raise UserError(NO_PICTURES)
        name = one_of("refiner", refiner, (NONE, *MEGABYTES))
        if name != NONE:
            expect_available(name)
        way, kind = one_of("mode", mode, MODES), one_of("format", choice, tuple(CHOICES))
        batch = prepared(batch, BatchRequest(read_request(*fields), name, way, kind))
        for index, item in enumerate(batch.items):
            if item.state != WAITING:
                continue
            yield _run_view(batch, index)
            try:
                finished = yield from followed(
                    lambda progress, batch=batch, index=index: segmented(self._service, batch, index, progress, last),  # type: ignore[misc]
                    lambda share, message, batch=batch, index=index: _run_view(batch, index, share, message),  # type: ignore[misc]
                )
            except Cancelled as ended:
                if not ended.late:
                    raise
                yield _run_view(batch)._replace(news=TIME_IS_OVER)
                return
            except Exception:
                yield _run_view(batch)
                raise
            batch = batch.with_item(index, finished)
        yield _run_view(batch)

    @errors_as_messages
    def note(self, batch: Batch | None, run: Run | None, path: str | None, last: DisplayState | None) -> NoteView:
        """Handle a change of the result above: the row of its picture tells fixes, and a note tells other words."""
        nothing = same(NoteView)._replace(in_batch="")
        if batch is None or run is None:
            return nothing
        newer, remark = update_queue_row(self._service, batch, run, path, last)
        text = strip("note", "Not in the batch:", remark) if remark else ""
        if newer == batch:
            return nothing._replace(in_batch=text)
        return NoteView(queue_list(newer), news(newer), newer, text)

    @errors_as_messages
    def stopped(self, batch: Batch | None) -> RunView:
        """Handle the button Stop: finished pictures stay done, the others wait."""
        if batch is None:
            return RunView([EMPTY], "", gr.skip(), gr.skip(), gr.skip())
        return _run_view(batch)._replace(batch=gr.skip())

    @errors_as_messages
    def clear(self, batch: Batch | None) -> QueueView:
        """Empty the queue."""
        empty(batch)
        return QueueView(None, None, [EMPTY], "", gr.Button(GO), gr.Button(visible=False), None)

    @errors_as_messages
    def download(self, batch: Batch | None, last: DisplayState | None = None, choice: Any = None) -> Iterator[PackView]:
        """Handle the button Download: make one archive of the finished pictures, with their changes by hand.

        Args:
            batch: queue.
            last: state of the page's last result, which knows those of former pictures.
            choice: chosen files; None for those that were chosen when the results were made.
        """
        if batch is None:
            raise UserError(NO_PICTURES)
        target = Path(new_folder(Path(get_upload_folder()))) / ARCHIVE
        missing = []
        if choice is not None:
            batch = with_choice(batch, one_of("format", choice, tuple(CHOICES)))
            if batch.request and batch.request.choice != choice:
                lost = core.errors.some(lost_pictures(batch), MOST_NAMED)
                missing = [f"the files chosen now, because these pictures are no longer here: {lost}."]
        yield _packing(batch)
        try:
            for index, item in enumerate(batch.items):
                newer, lost = yield from followed(
                    lambda progress, batch=batch, index=index: renewed(self._service, batch, index, last, progress),  # type: ignore[misc]
                    lambda share, _, batch=batch, item=item: _packing(batch, item.file, share),  # type: ignore[misc]
                )
                batch = batch.with_item(index, newer)
                missing += [f"{item.file}: {lost.strip()}"] if lost else []
            packed(self._service, batch, target, missing)
        except Cancelled as ended:
            if not ended.late:
                raise
            yield _packed_view(batch)._replace(news=PACKING_PAUSED, file=None)  # not an earlier archive
            return
        except Exception:
            yield _packed_view(batch)
            raise
        yield _packed_view(batch)._replace(news=news(batch, missing=missing), file=str(target))


def _packing(batch: Batch, file: str = "", share: float = 0.0) -> PackView:
    """Return the view while the archive is made, or the changed result of one file is saved before."""
    label = f"Saving {file} ({percent(share, 0)})" if file else "Packing"
    return same(PackView)._replace(download=gr.Button(label, interactive=False), batch=batch)


def _packed_view(batch: Batch) -> PackView:
    return PackView(queue_list(batch), news(batch), _download(batch), gr.skip(), batch)


def _download(batch: Batch) -> Any:
    done = batch.count(DONE)
    return gr.Button(f"Download {core.errors.counted(done, 'result')} (zip)", visible=done > 0, interactive=True)


def _go(batch: Batch, *, running: bool = False) -> Any:
    return gr.Button(GO_ON if batch.count(WAITING) and batch.count(DONE) else GO, interactive=not running)


def _queue_view(batch: Batch, left: LeftOut | None = None) -> QueueView:
    shown = queue_list(batch), news(batch, left=left)
    return QueueView(None, None, *shown, _go(batch), _download(batch), batch)


def _run_view(batch: Batch, busy: int | None = None, share: float = 0.0, doing: str = "") -> RunView:
    running = busy is not None
    shown = queue_list(batch, busy, share, doing)
    return RunView(shown, news(batch, running=running), _go(batch, running=running), _download(batch), batch)


class BatchTab(NamedTuple):
    """Components of the tab."""

    files: gr.File
    folder: gr.UploadButton
    refiner: gr.Dropdown
    formats: gr.Dropdown
    go: gr.Button
    stop: gr.Button
    clear: gr.Button
    news: gr.HTML
    queue: gr.HTML
    download: gr.Button
    file: gr.DownloadButton
    batch: gr.State
    opened: gr.State
    left: gr.Textbox


def draw() -> BatchTab:
    """Draw the components in the caller's Gradio block."""
    gr.HTML(START, padding=False)
    files = gr.File(
        label="Pictures", file_count="multiple", file_types=["image", ".heic", ".heif", ".tif", ".tiff", ".avif"],
        height=120, elem_id="batch-files",
    )  # fmt: skip
    with gr.Row():
        refiners = [("coarse", NONE), *((f"{name} · {remark}", name) for name, _, remark in REFINERS)]
        refiner = gr.Dropdown(
            refiners, value=NONE, label="Boundaries", filterable=False, min_width=240, elem_id="batch-refiner"
        )
        kinds = [(title, name) for name, title in CHOICES.items()]
        formats = gr.Dropdown(
            kinds, value=MASKS, label="Other files in the zip (COCO is always in it)", filterable=False, min_width=240,
            elem_id="batch-formats",
        )  # fmt: skip
    with gr.Row():
        go = gr.Button(GO, variant="primary", elem_id="batch-go", scale=3, min_width=140)
        stop = gr.Button("Stop", elem_id="batch-stop", scale=1, min_width=70)
        folder = gr.UploadButton("Add a folder", file_count="directory", scale=1, min_width=110)
        clear = gr.Button("Empty the queue", elem_id="batch-clear", scale=1, min_width=110)
    message = gr.HTML("", elem_id="batch-news", padding=False)
    download = gr.Button("Download", visible=False, variant="primary", elem_id="batch-download")
    queue = gr.HTML(
        [EMPTY], html_template="${value.join('')}", js_on_load=QUEUE_JS, elem_id="batch-queue", padding=False
    )
    file = gr.DownloadButton("Download", visible="hidden", elem_id=FILE)
    left = hidden_text("batch-left")
    state = gr.State(None, delete_callback=empty)
    return BatchTab(
        files, folder, refiner, formats, go, stop, clear, message, queue, download, file, state, gr.State(None), left
    )


def wire(
    tab: BatchTab, segment_request: list[Any], mode: Any, above: tuple[gr.State, gr.HTML], shared: Shared,
    delete: gr.Button, reopened: Any, handlers: BatchHandlers,
) -> None:  # fmt: skip
    """Wire the events of this tab.

    Args:
        tab: components from `draw`.
        segment_request: fields of the page.
        mode: component of the Refine tab with the mode of a SAM.
        above: State of the page's last result, and the component of a note about it.
        shared: components of the picture and the run.
        delete: button that deletes a visitor's pictures, including those of the queue.
        reopened: event after which `tab.opened` holds an opened archive.
        handlers: handlers of these events.
    """
    line: dict[str, Any] = {**UNSEEN, "concurrency_limit": 1, "concurrency_id": "batch", **PRIVATE}
    for place in (tab.files, tab.folder):
        inputs = [tab.batch, place, tab.left]
        place.upload(handlers.add, inputs, outputs(tab, QueueView), js=WITH_LEFT, **line)
    tab.left.change(handlers.nothing_added, [tab.batch, tab.left], tab.news, **line)
    request = [tab.refiner, mode, tab.formats, *segment_request]
    shown, in_batch = above
    running = tab.go.click(handlers.run, [tab.batch, shown, *request], outputs(tab, RunView), **line)
    filled = reopened.success(handlers.fill, [tab.batch, tab.opened], outputs(tab, QueueView), **line)
    filled.success(None, None, None, js="() => lab.showQueue()", **PRIVATE)
    inputs = [tab.batch, shown, tab.opened, *request]
    again = filled.success(handlers.run_opened, inputs, outputs(tab, RunView), **line)
    gr.on([tab.files.upload, tab.folder.upload, tab.go.click], None, None, None, js="() => lab.showBatch()", **PRIVATE)
    made = tab.download.click(handlers.download, [tab.batch, shown, tab.formats], outputs(tab, PackView), **line)
    # The page's result changes for every visitor, so only a browser with a finished queue asks; see `QUEUE_JS`.
    seen = [tab.batch, shared.run, shared.image, shown]
    tab.queue.apply(handlers.note, seen, [tab.queue, tab.news, tab.batch, in_batch], **LAST, **line)
    long = [running, filled, again, made]
    wire_end([tab.stop.click], long, handlers.stopped, tab.batch, outputs(tab, RunView))
    wire_end([tab.clear.click, delete.click], long, handlers.clear, tab.batch, outputs(tab, QueueView))
    gr.on([tab.clear.click, delete.click], None, None, in_batch, js="() => ''", **PRIVATE)
    made.success(None, tab.file, None, js=f"file => file && ({fetch_file(FILE)})()", **PRIVATE)
