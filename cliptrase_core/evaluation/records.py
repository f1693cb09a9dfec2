"""Records of scored pictures in an append-only file, so that an interrupted run can resume.

The first line says what is evaluated and how; every further line is one picture, its confusion matrix kept
sparsely. A line that was cut short by a kill is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cliptrase_core.errors import InputError, explain
from cliptrase_core.evaluation.metrics import Matrix

Header = Mapping[str, Any]
"""JSON-able; two runs with equal headers give equal records."""

PARTS = "*.part.jsonl"
COUNT = "pictures"
"""Entry of a header that may differ between runs that share records: how many pictures each has."""

_IN_WORDS = {
    "keys_sha256": ("the same pictures", "others: their names differ"),
    "words_sha256": ("the same words", "others"),
}


@dataclass(frozen=True)
class Record:
    """One picture.

    Attributes:
        key: its name in the data set.
        stamp: of the files that it was made from; a record of other files is not used again.
        cells: flat indices into its (C, C+1) confusion matrix where it is not 0, ascending.
        pixels: how many pixels each of those has.
        extra: figures of this picture alone, in per cent.
        problem: why the picture could not be used; then nothing else is set.
        left_out: why it does not count although nothing is wrong with it.
    """

    key: str
    stamp: tuple[int, ...] = ()
    cells: tuple[int, ...] = ()
    pixels: tuple[int, ...] = ()
    extra: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    left_out: str | None = None


def record_of(key: str, stamp: tuple[int, ...], matrix: Matrix, extra: Mapping[str, float]) -> Record:
    """A picture that was labelled, from its (C, C+1) confusion matrix."""
    flat = matrix.ravel()
    cells = np.flatnonzero(flat)
    return Record(key, stamp, tuple(cells.tolist()), tuple(flat[cells].tolist()), dict(extra))


class Ledger:
    """One process's own file of records; `close` it, or use it as a context.

    Args:
        path: the file; made with its header if missing.
        header: what is evaluated and how.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """Open to append, behind the last whole line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = _whole_lines(path)
        self._file = path.open("ab")
        self._file.truncate(len(whole))
        headers = [line for line in whole.splitlines() if line.startswith(b'{"header":')]
        if not headers or json.loads(headers[-1])["header"] != _as_read(header):  # another --limit
            self._write({"header": header})

    def append(self, records: Sequence[Record]) -> None:
        """Write records through to the system: they outlive a kill of this process."""
        for record in records:
            self._write({name: value for name, value in asdict(record).items() if value})
        self._file.flush()

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
        except OSError as error:  # a full disk: the records before are whole
            got, remedy = error.strerror or "an error", "Make room and run the same command: it goes on from here."
            raise InputError(explain("records", expected="room to write", got=got, remedy=remedy)) from error


def part_path(folder: Path, rank: int) -> Path:
    """File of one process."""
    return folder / f"rank{rank}.part.jsonl"


def read_ledgers(folder: Path, header: Header, stamps: Mapping[str, tuple[int, ...]]) -> dict[str, Record]:
    """Every record that earlier runs left of pictures as they are now, by key.

    A run of more or fewer pictures (`--limit`) uses what is known, but for pictures whose batch is another now.

    Args:
        folder: of the records.
        header: of this run.
        stamps: of the files of every picture, by key, in the order of the data set.

    Raises:
        InputError: they evaluated something else, or a file is damaged.
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
            # Products of matrices differ in the last bits with the size of a batch.
            end = _batch_end(places[record.key], header.get("batch", 1))
            if min(end, pictures) == min(end, len(stamps)):
                records.setdefault(record.key, record)
    return records


def every_record(folder: Path) -> dict[str, Record]:
    """The last record of each picture that lies in a folder, by key, whatever run it is of.

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
    """Where the batch of a picture would end in a data set without end."""
    return place - place % size + size


def forget(folder: Path) -> None:
    """Remove what earlier runs left."""
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
    """A line as a record; InputError where it has other fields, or fields of other types, than one that we wrote."""
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
    return InputError(
        explain(f"file {path.name!r}", expected="records of pictures", got=got, remedy="Start over with --fresh.")
    )


def expect_same(found: Header, header: Header, folder: Path, option: str = "--output") -> None:
    """Raise InputError unless two runs may share what lies in a folder that `option` names."""
    wanted = _as_read(header)
    differing = [name for name in sorted({*found, *wanted} - {COUNT}) if found.get(name) != wanted.get(name)]
    if differing:
        name = differing[0]
        plain = f"{name} = {_short(wanted.get(name))}", _short(found.get(name))
        expected, got = _IN_WORDS.get(name, plain)
        remedy = f"Choose another {option}, or start over with --fresh."
        raise InputError(
            explain(f"results in {folder.name!r}", expected=f"a run with {expected}", got=got, remedy=remedy)
        )


def _as_read(header: Header) -> Any:
    """As it reads back: tuples become lists."""
    return json.loads(json.dumps(header))


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:80] + "..."
