"""Reader of downloaded archives: the record of a result and, if included, the picture. An archive may come from
anybody: nothing is unpacked to disk, and nothing is unpacked before its size is known. Imports no Gradio."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cliptrase_core.names import EDGES, MODES, NANO
from cliptrase_core.options import SegmentOptions, options_of
from demo import core
from demo.errors import UserError, as_user_errors
from demo.file_kinds import is_picture
from demo.json_text import has_more_values
from demo.service.refine import MEGABYTES, Refinement, mode_of
from demo.service.segmentation import Run, SegmentRequest
from demo.service.shown import DisplayState
from demo.settings import MAX_FILES, MAX_UPLOAD_BYTES, SHORT_SIDES

if TYPE_CHECKING:
    from cliptrase_core.refine import Fix

MOST_LISTED = 1_000_000
"""Maximum bytes of an archive's list of files: 5,000 masks need half of it. The whole list is read first."""
MOST_UNPACKED = 4_000_000_000
"""Maximum bytes of all files together, by the list; no picture that the page accepts has a larger result."""
MOST_RECORD = 40_000_000
"""Maximum bytes of a record: the run lengths of a noisy result of 50 megapixels."""
MOST_VALUES = 500_000
"""Maximum number of values in a record: 1,500 classes and 20,000 points of fixes have 80,000."""
MOST_ENTRIES = 10_000
"""Maximum number of classes, and of chosen masks; they stay in memory while the archive is read."""
MOST_RECORDS = MAX_FILES
MOST_RECORDS_BYTES = 200_000_000
"""Maximum bytes of all records of a batch, which are read one after the other."""
MOST_ENDING = 12
"""Maximum characters of the ending of a picture's name; a stem leaves 55 bytes for it."""
_END = struct.Struct("<4s4H2IH")
_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, struct.error)


@dataclass(frozen=True)
class Saved:
    """Content of a record, and the picture if the archive contains it.

    Attributes:
        picture: file name of the picture.
        size: (height, width) of the picture.
        request: request of the result, for the model that the page runs.
        model: key of the model that made the result.
        areas: share of the picture by class.
        refiner: refiner of the boundaries, or None.
        mode: mode of that refiner.
        keep: numbers of the components whose masks the user chose; None if they were selected by quality.
        fixes: fixes made by hand.
        content: content of the picture's file, or None.
        own: True if refiner, mode and masks are the picture's own, False if they are those of its whole batch.
        files: keys under which the record names the files of the result.
        told: True if the record tells which options were automatic; a result of the library has only their values.
    """

    picture: str
    size: tuple[int, int]
    request: SegmentRequest
    model: str
    areas: Mapping[str, float]
    refiner: str | None
    mode: str
    keep: tuple[int, ...] | None
    fixes: tuple[Fix, ...]
    content: bytes | None = None
    own: bool = True
    files: frozenset[str] = frozenset()
    told: bool = False

    @property
    def automatic(self) -> SegmentRequest:
        """The same request with automatic eps and min_samples, which suit picture and model."""
        return replace(self.request, eps=None, min_samples=None)

    @property
    def of_batch(self) -> SegmentRequest:
        """The likely request for the whole batch: eps and min_samples differ by picture unless they were chosen."""
        return self.request if self.told else self.automatic

    @property
    def changed(self) -> bool:
        """True if boundaries were refined or something was fixed by hand."""
        return self.refiner is not None or bool(self.fixes)

    def shown(self, run: Run) -> DisplayState:
        """Return the displayed state of a run: coarse or refined, with the fixes made by hand."""
        refinement = None if self.refiner is None else Refinement(run, self.refiner, self.mode, self.keep)
        return DisplayState(run, refinement, self.fixes)

    def former(self, made: DisplayState) -> DisplayState:
        """Return the displayed state of the archive, from which another result of the picture is made.

        Args:
            made: state of the picture in its batch, whose request may be another one than that of the archive.
        """
        run = made.run
        if replace(self.request, model=run.request.model) != run.request:
            run = Run(replace(run.key, preset=self.request.preset), self.request)
        state = self.shown(run)
        if self.own:
            return replace(state, coarse_by_hand=self.refiner is None)
        return replace(state, refinement=made.refinement)


@dataclass(frozen=True)
class SavedBatch:
    """Results of an archive of a batch.

    Attributes:
        results: results in the order of the archive, each of another picture, without the pictures' content.
        unread: names of the records that cannot be read, plain text.
    """

    results: tuple[Saved, ...]
    unread: tuple[str, ...]


def packed_name(picture: str) -> str:
    """Return the name of a picture in an archive, which every file system can have."""
    path, safe = Path(picture), core.io.files.safe_stem
    return f"{safe(path.stem)}.{safe(path.suffix[1:])[:MOST_ENDING]}" if path.suffix else safe(path.stem)


def read_archive(path: str | None) -> Saved | SavedBatch:
    """Read an archive written by `demo.service.download.bundle` or `demo.service.packing.packed`.

    Args:
        path: path of the uploaded archive.

    Raises:
        UserError: not an archive, a damaged or unreasonable one, or one without a record of this program.
    """
    if not path:
        raise _refusal("nothing")
    with _opened(path) as archive:
        return _read(archive)


def read_picture(path: str, saved: Saved, most: int) -> bytes | None:
    """Return the content of a result's picture of at most `most` bytes, or None if the archive does not contain it.

    Raises:
        UserError: the archive is damaged.
    """
    with _opened(path) as archive:
        return _picture(archive, saved, most)


@contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive with a list of reasonable length; turn errors of damaged ones into a `UserError`."""
    try:
        with open(path, "rb") as file:
            _expect_short_list(file)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except _DAMAGE:
        raise _refusal("a damaged archive") from None


def _expect_short_list(file: IO[bytes]) -> None:
    """Refuse an archive with a long list of files, by its last bytes: reading a list needs 100 times its memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 42))
    tail = file.read()
    if len(tail) < _END.size:
        raise _refusal("no archive")
    mark, *_, listed, _, comment = _END.unpack(tail[-_END.size :])
    if mark != b"PK\5\6" or comment or tail[:4] == b"PK\6\7":  # a comment or over 4 GB: another program's
        raise _refusal("no archive" if mark != b"PK\5\6" else "an archive of another program")
    if listed > MOST_LISTED:
        raise _refusal("an archive of too many files")


def _read(archive: zipfile.ZipFile) -> Saved | SavedBatch:
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > MOST_UNPACKED:
        raise _refusal(f"an archive that unpacks to more than {MOST_UNPACKED // 1_000_000_000} GB")
    texts = [one for one in entries if one.filename.endswith(".json") and "/" not in one.filename]
    sizes = [one.file_size for one in texts]
    if max(sizes, default=0) > MOST_RECORD or sum(sizes) > MOST_RECORDS_BYTES or len(texts) > MOST_RECORDS:
        raise _refusal("an archive of many results" if len(texts) > 1 else "an archive with a record too large")
    batch, reason = _batch(archive, texts)
    if not batch.results:
        raise reason
    if len(batch.results) + len(batch.unread) > 1:
        return batch
    (saved,) = batch.results
    return replace(saved, content=_picture(archive, saved, MAX_UPLOAD_BYTES))


def _batch(archive: zipfile.ZipFile, texts: Sequence[zipfile.ZipInfo]) -> tuple[SavedBatch, UserError]:
    """Read all records: one that cannot be read, or is a second one of a picture, is only named.

    Returns:
        What was read, and the reason why there is no result, if there is none.
    """
    results: dict[str, Saved] = {}
    unread, reasons = [], []
    for one in texts:
        try:
            record = _record(_unpacked(archive, one))
            if record is None:
                continue  # of another program
            saved = _understood(record)
            if packed_name(saved.picture).casefold() in results:
                raise ValueError("a second result of one picture")
        except _DAMAGE:
            unread.append(one.filename)
            reasons.append(_refusal("a damaged archive"))
        except (UserError, ValueError) as error:
            unread.append(one.filename)
            reasons += [error] if isinstance(error, UserError) else []
        else:
            results[packed_name(saved.picture).casefold()] = saved
    reason = reasons[0] if reasons else _refusal("an archive with no result")
    return SavedBatch(tuple(results.values()), tuple(unread)), reason


def _picture(archive: zipfile.ZipFile, saved: Saved, most: int) -> bytes | None:
    """Return the content of a result's picture, known by its first bytes; None if it is not there or too large."""
    wanted = packed_name(saved.picture)
    found = next((one for one in archive.infolist() if one.filename == wanted and one.file_size <= most), None)
    content = None if found is None else _unpacked(archive, found)
    return content if content and is_picture(content[:16]) else None


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Read a file of the archive; never more bytes than the list states."""
    if entry.flag_bits & 1 or entry.compress_type not in _WAYS:
        raise _refusal("an archive of another program")
    with archive.open(entry) as file:
        content = file.read(entry.file_size)
    if len(content) != entry.file_size:
        raise zipfile.BadZipFile(entry.filename)
    return content


def _record(content: bytes) -> dict[str, Any] | None:
    """Return a record of this program, or None for JSON of another one.

    Raises:
        ValueError: no JSON in UTF-8.
        UserError: JSON of more values than any record: each takes a hundred times its bytes.
    """
    if has_more_values(content, MOST_VALUES):
        raise _refusal("an archive with a record too large")
    try:
        record = json.loads(content.decode("utf-8-sig"))  # of bytes, it would also read UTF-16, which is not counted
    except RecursionError as error:
        raise ValueError("no record is nested so deep") from error
    return record if isinstance(record, dict) and record.get("format") == core.io.export.record.FORMAT else None


def _understood(record: Mapping[str, Any]) -> Saved:
    """Convert a record; the core checks its options in the same way as those of any request."""
    try:
        settings, shape = record["settings"], [int(side) for side in record["settings"]["original_size"]]
        given = {one.name: settings[one.name] for one in options_of(SegmentOptions) if one.name in settings}
        short = min(int(side) for side in settings["model_size"])
        preset, words = settings["preset"], settings["vocabulary"]
        refiner = settings.get("refiner")
        mode = mode_of(refiner or EDGES, settings.get("refine_mode"))
        areas = {str(one["name"]): float(one["area"]) for one in record["classes"]}
        named = isinstance(words, str) and isinstance(record["picture"], str) and isinstance(preset, str)
        if len(shape) != 2 or not named or refiner not in (None, *MEGABYTES) or mode not in MODES:
            raise ValueError("a record of other values")
        with as_user_errors():
            side = short if preset == "auto" and short in SHORT_SIDES else None
            request = SegmentRequest(words=words, preset=preset, short_side=side, **given)
            automatic = _automatic(record)
            request = _as_chosen(request, automatic)
            fixes = core.refine.read_fixes(settings.get("fixes", []))
            keep = None if "keep" not in settings else tuple(settings["keep"])
            if not all(type(number) is int for number in keep or ()):
                raise ValueError("masks are known by whole numbers")
            files = frozenset(map(str, record.get("files", ())))
            if max(len(areas), len(keep or ())) > MOST_ENTRIES:
                raise ValueError("no result has as many classes or masks")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise _refusal("a result whose record does not hold what it should") from None
    model, weights = str(settings.get("model")), settings.get("pretrained")
    key = NANO if model == NANO else f"{model}:{weights}"
    size = (shape[0], shape[1])
    name = Path(record["picture"]).name
    told = automatic is not None
    return Saved(name, size, request, key, areas, refiner, mode, keep, fixes, files=files, told=told)


def _automatic(record: Mapping[str, Any]) -> Any:
    """Return the names of the automatic options: as listed by the page, or unset in the request of the command line.

    The page has one choice for eps and min_samples: if only one of them was automatic, both keep their values.
    """
    request = record.get("request")
    if "automatic" in record or not isinstance(request, Mapping):
        return record.get("automatic")
    unset = {name for name, value in request.items() if value is None}
    clusters = {"eps", "min_samples"}
    return unset if clusters <= unset else unset - clusters


def _as_chosen(request: SegmentRequest, automatic: Any) -> SegmentRequest:
    """Return the request with its automatic options unset, so that preset, method and model decide them again.

    Args:
        request: request with the effective value of every option.
        automatic: names of the automatic options; None for a record that does not tell: then an option counts as
            automatic if it equals the automatic choice.
    """
    if automatic is None:
        method, preset = (
            core.methods.registry.method_by_name(request.method),
            core.presets.preset_by_name(request.preset),
        )
        usual = {"templates": preset.templates, "vote": method.regions_vote, "residual": method.residual}
        automatic = [name for name, value in usual.items() if getattr(request, name) == value]
    unset = {one.name for one in options_of(SegmentRequest) if one.unset}
    cleared: dict[str, Any] = dict.fromkeys(unset.intersection(automatic))
    return replace(request, **cleared)


def _refusal(what: str) -> UserError:
    return UserError(
        f"The archive: expected a result that was downloaded from this page, got {what}. Download a result and open "
        "that, or choose a picture."
    )
