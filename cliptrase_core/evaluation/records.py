"""Records of scored pictures in an append-only file, so that an interrupted run can resume.

The first line is the header, with the settings of the evaluation. Each further line is one picture, with a sparse
confusion matrix. An incomplete last line, left by a killed process, is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.metrics import ClassCounts, Counts, Matrix
from cliptrase_core.io.files import writing

Header = Mapping[str, Any]
"""Settings of an evaluation, JSON-serialisable; two runs with equal headers give equal records."""

PARTS = "*.part.jsonl"
COUNT = "pictures"
"""Header entry with the number of pictures; it may differ between runs that share records."""

_LONGEST = 80
"""Most characters of a value in a message."""

_IN_WORDS = {
    "keys_sha256": ("the same pictures", "others: their names differ"),
    "words_sha256": ("the same words", "others"),
}


@dataclass(frozen=True)
class Record:
    """Result of one picture.

    Attributes:
        key: name of the picture in the data set.
        stamp: stamp of the input files; a record with another stamp is not reused.
        cells: flat indices of the non-zero cells in its (C, C+1) confusion matrix, ascending.
        pixels: number of pixels in each of these cells.
        extra: figures of this picture alone, in per cent.
        problem: reason why the picture could not be used, else None; a record with a problem has no figures.
        left_out: reason why a valid picture does not count, else None.
    """

    key: str
    stamp: tuple[int, ...] = ()
    cells: tuple[int, ...] = ()
    pixels: tuple[int, ...] = ()
    extra: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    left_out: str | None = None


def record_of(key: str, stamp: tuple[int, ...], matrix: Matrix, extra: Mapping[str, float]) -> Record:
    """Create the record of a segmented picture from its (C, C+1) confusion matrix; one without pixels is left out."""
    flat = matrix.ravel()
    cells = np.flatnonzero(flat)
    if not len(cells):
        return Record(key, stamp, left_out="no pixel that counts")
    return Record(key, stamp, tuple(cells.tolist()), tuple(flat[cells].tolist()), dict(extra))


def counts_of(records: Sequence[Record], classes: int) -> ClassCounts:
    """Return the counts of all pictures, (n, C) each; float64 is exact for whole numbers up to 2^53."""
    parts = np.zeros((3, len(records), classes))
    for row, record in enumerate(records):
        true, given = np.divmod(np.asarray(record.cells, np.int64), classes + 1)
        pixels = np.asarray(record.pixels, np.float64)
        same, named = true == given, given < classes
        np.add.at(parts[0, row], true[same], pixels[same])
        np.add.at(parts[1, row], true, pixels)
        np.add.at(parts[2, row], given[named], pixels[named])
    return ClassCounts(*parts)


def means(records: Sequence[Record]) -> Mapping[str, Counts]:
    """Return the values of each figure that is measured per picture: (n,) in per cent, by name."""
    names = sorted({name for record in records for name in record.extra})
    return {name: np.array([record.extra[name] for record in records]) for name in names}


class Ledger:
    """File of records of one process; call `close`, or use it as a context manager.

    Args:
        path: path of the file; it is created with its header if missing.
        header: settings of the evaluation.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """Open the file to append after the last complete line."""
        self._folder = path.parent
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = _whole_lines(path)
            self._file = path.open("ab")
            self._file.truncate(len(whole))
        headers = [line for line in whole.splitlines() if line.startswith(b'{"header":')]
        if not headers or json.loads(headers[-1])["header"] != _as_read(header):  # for example, another --limit
            self._write({"header": header})

    def append(self, records: Sequence[Record]) -> None:
        """Write records and flush them to the operating system, so that they survive a kill of this process."""
        for record in records:
            self._write({name: value for name, value in asdict(record).items() if value})
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        with self._explained():  # earlier records are complete
            self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            self._file.flush()

    def _explained(self) -> AbstractContextManager[None]:
        resumes = "Free disk space and run the same command again: it resumes."
        return writing("records", self._folder, "--output", resumes)


def part_path(folder: Path, rank: int) -> Path:
    """Return the path of the records of one process."""
    return folder / f"rank{rank}.part.jsonl"


def read_ledgers(folder: Path, header: Header, stamps: Mapping[str, tuple[int, ...]]) -> dict[str, Record]:
    """Read the records of earlier runs by key, except those of pictures that have changed since.

    A run of more or fewer pictures (`--limit`) reuses records, except those of pictures whose batch has changed.

    Args:
        folder: folder of the records.
        header: header of this run.
        stamps: stamps of the files of all pictures, by key, in the order of the data set.

    Raises:
        InputError: earlier runs had other settings, or a file is damaged.
    """
    records: dict[str, Record] = {}
    places = {key: place for place, key in enumerate(stamps)}
    for path in sorted(folder.glob(PARTS)):
        pictures = len(stamps)
        for number, line in enumerate(_whole_lines(path).splitlines()):
            entry = _parsed(line, path, number)
            if "header" in entry:
                if not isinstance(entry["header"], dict):
                    raise _damaged(path, number)
                expect_same(entry["header"], header, folder)
                pictures = entry["header"].get(COUNT, len(stamps))
                continue
            record = _record(entry, path, number)
            if stamps.get(record.key) != record.stamp:
                continue
            # The size of a batch changes matrix products in the last bits.
            end = _batch_end(places[record.key], header.get("batch", 1))
            if min(end, pictures) == min(end, len(stamps)):
                records.setdefault(record.key, record)
    return records


def every_record(folder: Path) -> dict[str, Record]:
    """Read the last record of each picture in a folder, by key, from any run.

    Raises:
        InputError: a file is damaged.
    """
    records: dict[str, Record] = {}
    for path in sorted(folder.glob(PARTS)):
        for number, line in enumerate(_whole_lines(path).splitlines()):
            entry = _parsed(line, path, number)
            if "header" not in entry:
                record = _record(entry, path, number)
                records[record.key] = record
    return records


def _batch_end(place: int, size: int) -> int:
    """Return the end index of the batch of a picture, not limited by the size of the data set."""
    return place - place % size + size


def forget(folder: Path) -> None:
    """Remove the records of earlier runs."""
    for path in folder.glob(PARTS):
        path.unlink()


def _whole_lines(path: Path) -> bytes:
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def _parsed(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        if not isinstance(entry, dict) or ("header" not in entry and not isinstance(entry.get("key"), str)):
            raise ValueError
    except (ValueError, RecursionError) as error:
        raise _damaged(path, number) from error
    return entry


def _record(entry: Mapping[str, Any], path: Path, number: int) -> Record:
    """Convert a line to a record. Raises InputError for unknown fields, or fields of a wrong type."""
    known = {"cells": list, "pixels": list, "stamp": list, "extra": dict, "key": str, "problem": str, "left_out": str}
    right = all(isinstance(value, known.get(name, ())) for name, value in entry.items())
    lists = [entry.get(name, []) for name in ("stamp", "cells", "pixels")]
    whole = right and all(type(value) is int for values in lists for value in values)
    figures = right and all(isinstance(value, (int, float)) for value in entry.get("extra", {}).values())
    if not (whole and figures and len(lists[1]) == len(lists[2])):
        raise _damaged(path, number)
    fields: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in entry.items()}
    return Record(**fields)


def _damaged(path: Path, number: int) -> InputError:
    got = f"a damaged line {number + 1}"
    return InputError(f"file {path.name!r}", expected="records of pictures", got=got, remedy="Start over with --fresh.")


def expect_same(found: Header, header: Header, folder: Path, option: str = "--output") -> None:
    """Raise InputError unless two runs may share the results in `folder`, set by the command-line flag `option`."""
    wanted = _as_read(header)
    differing = [name for name in sorted({*found, *wanted} - {COUNT}) if found.get(name) != wanted.get(name)]
    if differing:
        name = differing[0]
        first, second = _short(*_differing(wanted.get(name), found.get(name)))
        expected, got = _IN_WORDS.get(name, (f"{name} = {first}", second))
        got += f"; also different: {', '.join(differing[1:])}" if differing[1:] else ""
        remedy = f"Choose another {option}, or start over with --fresh."
        raise InputError(f"results in {folder.name!r}", expected=f"a run with {expected}", got=got, remedy=remedy)


def _as_read(header: Header) -> Any:
    """Return the header as read from JSON: tuples become lists."""
    return json.loads(json.dumps(header))


def _differing(wanted: Any, found: Any) -> tuple[Any, Any]:
    """Return two different values; of two mappings only the entries that differ."""
    if not (isinstance(wanted, dict) and isinstance(found, dict)):
        return wanted, found
    same = {name for name in wanted.keys() & found.keys() if wanted[name] == found[name]}
    first, second = ({name: one[name] for name in sorted(one.keys() - same)} for one in (wanted, found))
    for name in first.keys() & second.keys():
        first[name], second[name] = _differing(first[name], second[name])
    return first, second


def _short(*values: Any) -> tuple[str, ...]:
    """Format different values as JSON, each at most `_LONGEST` characters around the first difference."""
    texts = [json.dumps(value) for value in values]
    shortest = min(map(len, texts))
    start = next((place for place in range(shortest) if len({text[place] for text in texts}) > 1), shortest)
    begin = max(0, start - _LONGEST // 2) if max(map(len, texts)) > _LONGEST else 0
    end = begin + _LONGEST
    return tuple("..." * (begin > 0) + text[begin:end] + "..." * (end < len(text)) for text in texts)
