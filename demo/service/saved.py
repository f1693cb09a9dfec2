"""A downloaded archive back: its record and, where it holds it, the picture. Nothing is unpacked onto the disk, and
nothing is unpacked before its size is known. Anybody may have written the archive. Imports no Gradio."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cliptrase_core.options import SegmentOptions, options_of
from demo import core
from demo.errors import UserError, for_people
from demo.file_kinds import is_picture
from demo.model_facts import NANO
from demo.service.refine import MEGABYTES, NO_MODEL, Refinement, mode_of
from demo.service.segmentation import Run, SegmentRequest
from demo.service.shown import Shown
from demo.settings import MAX_UPLOAD_BYTES, REFINE_MODES, SHORT_SIDES

if TYPE_CHECKING:
    from cliptrase_core.refine import Fix

MOST_LISTED = 1_000_000
"""Bytes of an archive's list of files: 5,000 masks are half of it. A list is read whole before anything else."""
MOST_UNPACKED = 4_000_000_000
"""Bytes of all files together, as the list says; what is larger is no result of a picture that the page takes."""
MOST_RECORD = 40_000_000
"""Bytes of a record: the run lengths of a noisy result of 50 megapixels."""
MOST_RECORDS = 20
_END = struct.Struct("<4s4H2IH")
_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Saved:
    """What a record says, and the picture where the archive holds it.

    Attributes:
        picture: name of its file.
        size: (height, width) of it.
        asked: for what, on the model that the page runs.
        model: key of the one that answered then.
        areas: share of the picture, by class.
        refiner: of the boundaries, or None.
        mode: of that refiner.
        keep: numbers of the components whose masks a person took; None left it to their quality.
        fixes: made by hand.
        content: the picture's file, or None.
    """

    picture: str
    size: tuple[int, int]
    asked: SegmentRequest
    model: str
    areas: Mapping[str, float]
    refiner: str | None
    mode: str
    keep: tuple[int, ...] | None
    fixes: tuple[Fix, ...]
    content: bytes | None

    @property
    def automatic(self) -> SegmentRequest:
        """The same with clustering values that suit picture and model."""
        return replace(self.asked, eps=None, min_samples=None)

    @property
    def changed(self) -> bool:
        """Whether boundaries were refined, or something fixed by hand."""
        return self.refiner is not None or bool(self.fixes)

    def shown(self, run: Run) -> Shown:
        """What was shown of a run: coarse or refined, fixed by hand."""
        refinement = None if self.refiner is None else Refinement(run, self.refiner, self.mode, self.keep)
        return Shown(run, refinement, self.fixes)


def packed_name(picture: str) -> str:
    """What an archive calls the picture."""
    path = Path(picture)
    return core.io.export.safe_stem(path.stem) + path.suffix


def read_archive(path: str | None) -> Saved:
    """Read back what `demo.service.download.bundle` wrote.

    Args:
        path: of the uploaded archive.

    Raises:
        UserError: no archive, a damaged or an unreasonable one, or one without exactly one record of ours.
    """
    if not path:
        raise _refusal("nothing")
    try:
        with open(path, "rb") as file:
            _expect_short_list(file)
            with zipfile.ZipFile(file) as archive:
                return _read(archive)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, struct.error):
        raise _refusal("a damaged archive") from None


def _expect_short_list(file: IO[bytes]) -> None:
    """Refuse an archive by its last bytes, before its list is read: that takes a hundred times the list's memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 42))
    tail = file.read()
    if len(tail) < _END.size:
        raise _refusal("no archive")
    mark, *_, listed, _, comment = _END.unpack(tail[-_END.size :])
    if mark != b"PK\5\6" or comment or tail[:4] == b"PK\6\7":  # with a comment, or of more than 4 GB: none of ours
        raise _refusal("no archive" if mark != b"PK\5\6" else "an archive of another program")
    if listed > MOST_LISTED:
        raise _refusal("an archive of too many files")


def _read(archive: zipfile.ZipFile) -> Saved:
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > MOST_UNPACKED:
        raise _refusal(f"an archive that unpacks to more than {MOST_UNPACKED // 1_000_000_000} GB")
    texts = [one for one in entries if one.filename.endswith(".json") and "/" not in one.filename]
    if sum(one.file_size for one in texts) > MOST_RECORD or len(texts) > MOST_RECORDS:
        raise _refusal("an archive of many results" if len(texts) > 1 else "an archive with a record too large")
    records = [record for one in texts if (record := _record(_unpacked(archive, one)))]
    if len(records) > 1:
        raise _of_a_batch(len(records))
    if not records:
        raise _refusal("an archive with no result")
    saved = _understood(records[0])
    wanted = packed_name(saved.picture)
    found = next((one for one in entries if one.filename == wanted and one.file_size <= MAX_UPLOAD_BYTES), None)
    content = None if found is None else _unpacked(archive, found)
    return replace(saved, content=content if content and is_picture(content[:16]) else None)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """A file of the archive; never more than the list says."""
    if entry.flag_bits & 1 or entry.compress_type not in _WAYS:
        raise _refusal("an archive of another program")
    with archive.open(entry) as file:
        content = file.read(entry.file_size)
    if len(content) != entry.file_size:
        raise zipfile.BadZipFile(entry.filename)
    return content


def _record(content: bytes) -> dict[str, Any] | None:
    """A record of ours, or None."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("format") == core.io.export.record.FORMAT else None


def _understood(record: Mapping[str, Any]) -> Saved:
    """What a record says; the core checks its options as it checks everybody's."""
    try:
        settings, shape = record["settings"], [int(side) for side in record["settings"]["original_size"]]
        given = {one.name: settings[one.name] for one in options_of(SegmentOptions) if one.name in settings}
        short = min(int(side) for side in settings["model_size"])
        preset, words = settings["preset"], settings["vocabulary"]
        refiner = settings.get("refiner")
        mode = mode_of(refiner or NO_MODEL, settings.get("refine_mode"))
        areas = {str(one["name"]): float(one["area"]) for one in record["classes"]}
        named = isinstance(words, str) and isinstance(record["picture"], str) and isinstance(preset, str)
        if len(shape) != 2 or not named or refiner not in (None, *MEGABYTES) or mode not in REFINE_MODES:
            raise ValueError("a record of other values")
        with for_people():
            side = short if preset == "auto" and short in SHORT_SIDES else None
            asked = SegmentRequest(words=words, preset=preset, short_side=side, **given)
            asked = _as_chosen(asked, record.get("automatic"))
            fixes = core.refine.read_fixes(settings.get("fixes", []))
            keep = None if "keep" not in settings else tuple(settings["keep"])
            if not all(type(number) is int for number in keep or ()):
                raise ValueError("masks are known by whole numbers")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise _refusal("a result whose record does not hold what it should") from None
    model, weights = str(settings.get("model")), settings.get("pretrained")
    key = NANO if model == NANO else f"{model}:{weights}"
    size = (shape[0], shape[1])
    return Saved(Path(record["picture"]).name, size, asked, key, areas, refiner, mode, keep, fixes, None)


def _as_chosen(asked: SegmentRequest, automatic: Any) -> SegmentRequest:
    """The same, with what was left to preset, method and model left to them again.

    Args:
        asked: every option as it was in effect.
        automatic: names of those that were left; None in older records and those of the command line: then what equals
            that choice counts as left to it.
    """
    if automatic is None:
        method, preset = core.methods.registry.method_by_name(asked.method), core.presets.preset_by_name(asked.preset)
        usual = {"templates": preset.templates, "vote": method.regions_vote, "residual": method.residual}
        automatic = [name for name, value in usual.items() if getattr(asked, name) == value]
    unset = {one.name for one in options_of(SegmentRequest) if one.unset}
    return replace(asked, **dict.fromkeys(unset.intersection(automatic)))


def _of_a_batch(count: int) -> UserError:
    return UserError(
        f"The archive: expected one result, got {count}, of a batch. Unpack it and drop its pictures into the tab "
        "Batch with the same words: a click on a finished one shows it here."
    )


def _refusal(what: str) -> UserError:
    return UserError(
        f"The archive: expected a result that was downloaded from this page, got {what}. Download a result and open "
        "that, or choose a picture."
    )
