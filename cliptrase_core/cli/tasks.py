"""Pictures that `segment` is asked for: found, compared with earlier results, and all options checked before any work.

Imports no torch, so that a mistyped file name is reported at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryFile
from typing import Any

from cliptrase_core.errors import InputError, counted
from cliptrase_core.io.export.components import ComponentRule
from cliptrase_core.io.export.dataset import expect_untouched, gather
from cliptrase_core.io.export.formats import (
    FORMATS,
    OF_FORMATS,
    FolderFormat,
    chosen_of,
    expect_used,
    read_formats,
    unused_by,
)
from cliptrase_core.io.export.record import is_made_from, is_of_another, plain, read_record, to_json
from cliptrase_core.io.export.saving import is_complete, planned, result_files
from cliptrase_core.io.files import expect_ours, not_written, sha256, write_all, writing
from cliptrase_core.io.image import opened_file
from cliptrase_core.io.inputs import data_set_names, find_pictures, possible_stems, result_stems
from cliptrase_core.options import SegmentOptions, options_of
from cliptrase_core.text.vocabulary import Vocabulary

SETTINGS = tuple(one.name for one in options_of(SegmentOptions))
"""Names of the options of `Segmenter.segment`."""
# Options that affect a result; --skip-existing segments a picture again if one of them differs.
_REQUESTED = (
    *("model", "pretrained", "precision", "preset", "short_side", *SETTINGS),
    *("refine", "refine_mode", "sam_checkpoint", "intermediates"),
    *("min_area", "per_class", "overlay_side"),
)
_FILES = ("model", "pretrained", "sam_checkpoint")
MOST_JOBS = 16


@dataclass(frozen=True)
class Task:
    """One picture and the names of its result.

    Attributes:
        path: path of the picture.
        stem: stem of the result's files.
        file: name of the picture in a data set, see `data_set_names`.
    """

    path: Path
    stem: str
    file: str


def find_tasks(vocabulary: Vocabulary, options: argparse.Namespace) -> tuple[list[Task], list[str]]:
    """List the pictures to segment and validate all options before a model is loaded. Normalises `options` in place,
    and adds `requested`, see `requested_of`.

    Returns:
        The pictures that are not done yet, and sentences for `note`.

    Raises:
        InputError: there are no pictures, the folder is not writable, or an existing file would be lost.
    """
    options.formats = read_formats([*options.formats.split(","), *(["npz"] if options.intermediates else [])])
    options.jobs = read_jobs(options.jobs)
    options.rule = ComponentRule(options.min_area, options.per_class)
    if options.overlay_side < 0:
        got, remedy = str(options.overlay_side), "0 keeps the picture's own size."
        raise InputError("overlay side", expected="at least 0 pixels", got=got, remedy=remedy)
    expect_used(options.formats, {name: getattr(options, name) for name in OF_FORMATS}, flags=True)
    pictures, notes = find_pictures(options.images, recursive=options.recursive)
    expect_untouched(options.output, options.formats)
    requested = options.requested = requested_of(vocabulary, options)
    tasks, renamed = [], dict[str, bytes]()
    for task in map(Task, pictures, _stems(options.output, pictures), data_set_names(pictures)):
        saved = result_files(options.output, task.stem)
        expect_ours(planned(saved, options.formats, vocabulary.class_names), "--output")
        record = read_record(saved.json)
        if task.path.is_file():  # a missing picture overwrites nothing; its own error comes later
            _expect_same_picture(record, task.path, saved.json)
        made = is_complete(options.output, record, options.formats)
        if not (options.skip_existing and made and _is_of(record, task.path, requested, options.formats)):
            tasks.append(task)
        elif not f"/{record.get('file')}".endswith(f"/{plain(task.file)}"):  # a longer name remains right
            renamed[saved.json.name] = to_json({**record, "file": task.file})
    _write_renamed(options.output, renamed)
    if options.skip_existing:
        were = "was" if len(pictures) == 1 else "were"
        notes.append(f"{len(pictures) - len(tasks)} of {counted(len(pictures), 'picture')} {were} done before.")
    _expect_folder(Path(options.output))
    if tasks and not any(task.path.is_file() for task in tasks):
        with opened_file(tasks[0].path, "a picture"):  # raises the error before a model is loaded for a mistyped name
            pass
    return tasks, notes


def _stems(output: str, pictures: Sequence[Path]) -> list[str]:
    """Return the stem of each picture's result; a picture that has one under another stem keeps it.

    The pictures of a command decide whether `street.jpg` is "street" or "july_street"; it must not get two results.
    """
    stems = result_stems(pictures)
    try:
        made = {path.stem for path in Path(output).glob("*.json")}
    except (OSError, ValueError):  # not a folder that can be read: `_expect_folder` explains it
        return stems
    kept: dict[str, Path] = {}
    for picture, stem in zip(pictures, stems, strict=True):
        possible = [other for other in possible_stems(picture) if other in made] if made else []
        own = (other for other in possible if is_made_from(read_record(result_files(output, other).json), picture))
        if possible not in ([], [stem]) and (earlier := next(own, None)):
            kept.setdefault(earlier, picture)  # a link may lead to the same picture
    return result_stems(pictures, {picture: stem for stem, picture in kept.items()}) if kept else stems


def requested_of(vocabulary: Vocabulary, options: argparse.Namespace) -> dict[str, Any]:
    """Return everything that affects a result except its picture; files by name and content, since results omit
    folders, and two folders may each have a `model.safetensors`."""
    requested = {name: getattr(options, name) for name in _REQUESTED}
    digests = {name: digest for name in _FILES if (digest := _digest(requested[name]))}
    requested |= {name: PureWindowsPath(requested[name]).name for name in _FILES if requested[name]}
    return {**requested, "vocabulary": vocabulary.text, **({"weights_sha256": digests} if digests else {})}


def _digest(given: str | None) -> str | None:
    """Return the SHA-256 of a weight file; None for a name that is no file, or one that cannot be read.

    Args:
        given: name or path; "ViT-B-16:file.pt" has the path after a colon.
    """
    for text in (given, (given or "").partition(":")[2]):
        try:
            if text and (path := Path(text).expanduser()).is_file():
                return sha256(path)
        except (OSError, ValueError, RuntimeError):  # loading reports it; RuntimeError: "~" without a home
            return None
    return None


def source_entries(path: Path, requested: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON entries that describe the source of a result: picture, checksum, options."""
    return {"picture": path.name, "picture_sha256": sha256(path), "request": requested}


def _is_of(record: dict[str, Any], path: Path, requested: dict[str, Any], formats: Sequence[str]) -> bool:
    """Return whether an earlier result has the current content of the picture, and the options of these formats."""
    unused, earlier = dict.fromkeys(unused_by(formats)), record.get("request", record.get("asked"))  # its earlier name
    same = isinstance(earlier, dict) and {**earlier, **unused} == {**plain(requested), **unused}
    if not same or not path.is_file():
        return False
    try:
        current = plain(source_entries(path, {}))
    except OSError:  # not readable: its own error comes later
        return False
    return all(record.get(name) == current[name] for name in ("picture", "picture_sha256"))


def _expect_same_picture(record: dict[str, Any], path: Path, json: Path) -> None:
    """Raise InputError if an existing result belongs to another picture, because it would be lost."""
    if is_of_another(record, path):
        where = " of another folder" if record.get("picture") == plain(path.name) else ""
        raise InputError(
            f"output {json.name!r}",
            expected=f"no result, or an earlier one of {path.name!r}",
            got=f"the result of {record.get('picture')!r}{where}",
            remedy="Choose another --output, or name both pictures in one command.",
        )


def _expect_folder(folder: Path) -> None:
    """Raise InputError unless the output folder is writable or can be created; leaves no file behind."""
    try:
        place = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
        with TemporaryFile(dir=place):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise not_written("output folder", folder, error, "--output") from error


def _write_renamed(output: str, contents: Mapping[str, bytes]) -> None:
    """Write the JSON of pictures that were done before and have another name in the data set of this command."""
    with writing("output folder", output, "--output"):
        write_all(Path(output), contents)


def gather_results(options: argparse.Namespace) -> None:
    """Write the files about all results in the folder, for the formats with such files."""
    without = gather(options.output, options.formats, options.rule, polygons=options.polygons)
    for name, count in without.items():
        note(f"Not in {name}: {counted(count, 'earlier result')}; segment the pictures with --formats {name}.")
    for each in chosen_of(FORMATS, FolderFormat):
        if each.name not in options.formats and (Path(options.output) / each.name).is_dir():
            note(f"{each.name}/ was not written anew: add {each.name} to --formats if it should have these results.")


def read_jobs(text: str) -> int:
    """Return the number of pictures to process in parallel: "auto" is one for each usable core, at most `MOST_JOBS`.

    Raises:
        InputError: neither "auto" nor a number from 1 to 64.
    """
    if text == "auto":
        return min(MOST_JOBS, usable_cores())
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 64:
        return int(text)
    raise InputError("jobs", expected="auto, or a number from 1 to 64", got=repr(text), remedy="Leave it out.")


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def note(*texts: str) -> None:
    """Print sentences on stderr, each as a line."""
    for text in texts:
        print(f"note: {text}", file=sys.stderr)
