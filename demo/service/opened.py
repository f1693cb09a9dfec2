"""Queue of an opened archive of a batch: pictures, their changes by hand, and their common request.

Imports no Gradio."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cliptrase_core.names import NONE
from demo import core
from demo.errors import UserError
from demo.service.adding import LeftOut, content_of
from demo.service.batch import Batch, Item, awaiting, new_folder
from demo.service.download import MOST_PICTURE, choice_of
from demo.service.saved import Saved, SavedBatch, packed_name, read_picture
from demo.service.segmentation import SegmentRequest
from demo.service.shown import MOST_POINTS_IN_ALL
from demo.settings import MAX_FILES

MOST_NAMED = 5
"""Maximum number of files named in a sentence."""


@dataclass(frozen=True)
class Opened:
    """Content of an archive of a batch.

    Attributes:
        folder: folder with its pictures.
        results: path of the picture, empty if the archive does not contain it, and result of each.
        request: request of most of the results, for the model that the page runs.
        refiner: refiner of most of the results, or `NONE`.
        mode: mode of that refiner.
        model: key of the model that made them.
        choice: files of most of the results, one of `CHOICES`.
        remarks: plain sentences about results that cannot be opened as they were.
    """

    folder: str
    results: tuple[tuple[str, Saved], ...]
    request: SegmentRequest
    refiner: str
    mode: str
    model: str
    choice: str
    remarks: tuple[str, ...]

    @property
    def fixed(self) -> int:
        """Number of pictures with changes by hand."""
        return sum(bool(saved.fixes) or saved.own for _, saved in self.results)


def unpacked(archive: str, batch: SavedBatch, home: Path) -> Opened:
    """Write the pictures of an archive to a folder of their own below `home`, and find what the results share."""
    folder = new_folder(home)
    try:
        return _unpacked(archive, batch, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # nothing else would know it
        raise


def _unpacked(archive: str, batch: SavedBatch, folder: str) -> Opened:
    request, (refiner, mode, model) = _common(batch.results)
    results, too_many, points = [], [], 0
    for number, saved in enumerate(batch.results):
        own_points = sum(len(fix.points) for fix in saved.fixes)
        if own_points and points + own_points > MOST_POINTS_IN_ALL:
            too_many.append(saved.picture)
            continue
        points += own_points
        own = (saved.refiner, saved.mode, saved.keep) != (refiner, mode, None)
        results.append((_written(archive, saved, Path(folder) / str(number)), replace(saved, own=own)))
    missing = [saved.picture for path, saved in results if not path]
    others = [saved.picture for _, saved in results if request not in (saved.request, saved.of_batch)]
    return_too = ", and their fixes return" if any(saved.fixes for path, saved in results if not path) else ""
    remarks = [
        _remark(batch.unread, "Not opened, because they cannot be read or repeat a picture:"),
        _remark(too_many, f"Left out, because the page stores at most {MOST_POINTS_IN_ALL} points of fixes:"),
        _remark(others, "Made with other words or settings, and now with those of the others:"),
        _remark(missing, f"Not in the archive; drop them into the box of the queue{return_too}:"),
    ]
    ((files, _),) = Counter(saved.files for saved in batch.results).most_common(1)
    common = (request, refiner or NONE, mode, model, choice_of(files))
    return Opened(folder, tuple(results), *common, tuple(filter(None, remarks)))


def _common(results: Sequence[Saved]) -> tuple[SegmentRequest, tuple[str | None, str, str]]:
    """Return the request, and refiner, mode and model, of most results."""
    exact = {saved.request for saved in results}
    ((most, _),) = Counter(saved.of_batch for saved in results).most_common(1)
    (((refiner, mode, model), _),) = Counter((one.refiner, one.mode, one.model) for one in results).most_common(1)
    return exact.pop() if len(exact) == 1 else most, (refiner, mode, model)


def _written(archive: str, saved: Saved, folder: Path) -> str:
    """Write the picture of a result to a new folder; return its path, or "" if the archive does not contain it."""
    try:
        content = read_picture(archive, saved, MOST_PICTURE)
    except UserError:  # only this one is damaged
        content = None
    if content is None:
        return ""
    folder.mkdir()
    path = folder / packed_name(saved.picture)
    path.write_bytes(content)
    return str(path)


def _remark(files: Sequence[str], what: str) -> str:
    return f"{what} {core.errors.some(list(files), MOST_NAMED)}." if files else ""


def with_opened(batch: Batch, opened: Opened) -> tuple[Batch, LeftOut]:
    """Append the pictures of an archive to the queue, with their changes by hand; return it and what was left out."""
    there = {content_of(item.path) for item in batch.items}
    new = [(path, saved) for path, saved in opened.results if not path or content_of(path) not in there]
    taken = {Path(item.file).stem.casefold() for item in batch.items}
    items = list(batch.items)
    for path, saved in new[: max(0, MAX_FILES - len(items))]:
        name = Path(saved.picture)
        item = Item(path, f"{core.io.files.free_stem(name.stem, taken)}{name.suffix}", saved=saved)
        items.append(item if path else awaiting(item, saved))
    left = LeftOut(full=len(new) - (len(items) - len(batch.items)), known=len(opened.results) - len(new))
    return replace(batch, items=tuple(items), unpacked=(*batch.unpacked, opened.folder)), left
