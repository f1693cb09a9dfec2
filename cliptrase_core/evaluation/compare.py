"""Compare two reports picture by picture: every figure and its difference, on the pictures that both reports scored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cliptrase_core.errors import InputError, counted
from cliptrase_core.evaluation.metrics import ClassCounts, Counts, Rule, bounds_of, figures, resampled_figures, total
from cliptrase_core.evaluation.records import Record, counts_of, every_record, means
from cliptrase_core.evaluation.report import FORMAT, TABLES, Report
from cliptrase_core.evaluation.run import records_folder


@dataclass(frozen=True, eq=False)
class Scored:
    """A report with the records of its pictures.

    Attributes:
        path: file of the report.
        report: content of the file.
        names: name of every label.
        rule: rule that computes figures from counts.
        records: records of all scored pictures, by key.
    """

    path: Path
    report: Report
    names: Sequence[str]
    rule: Rule
    records: dict[str, Record]

    def counts(self, keys: Sequence[str]) -> ClassCounts:
        """Return the counts of the given pictures, arrays of shape (n, C)."""
        return counts_of([self.records[key] for key in keys], len(self.names))

    def extra(self, keys: Sequence[str]) -> dict[str, Counts]:
        """Return the figures that are measured for each picture alone, arrays of shape (n,)."""
        return dict(means([self.records[key] for key in keys]))

    def values(self, keys: Sequence[str]) -> dict[str, float]:
        """Return the figures of the given pictures, in per cent."""
        extra = {name: float(value.mean()) for name, value in self.extra(keys).items()}
        return extra or {name: float(value) for name, value in figures(total(self.counts(keys)), self.rule).items()}


def compared(first: Path, second: Path) -> Iterator[str]:
    """Yield lines of text: b - a with bootstrap intervals over pictures, the same resamples for both.

    Raises:
        InputError: a report or its records cannot be read, or the two reports are not comparable.
    """
    a, b = read_scored(first), read_scored(second)
    keys = [key for key in a.records if key in b.records]
    _expect_comparable(a, b, keys)
    for name, one in (("a", a), ("b", b)):
        alone = len(one.records) - len(keys)
        more = f"; {alone} only here" if alone else ""
        yield f"{name}: {one.path.name}: {one.report['setup'].get('title')}, {_made_by(one.report)}{more}"
    yield f"{counted(len(keys), 'picture')} in both"
    yield ""
    yield "| figure | a | b | b - a | 95 % interval |"
    yield "|---|---|---|---|---|"
    before, after = a.values(keys), b.values(keys)
    bounds = _bounds(a, b, keys)
    for name, value in before.items():
        low, high = bounds.get(name, (float("nan"), float("nan")))
        span = "no interval" if np.isnan(low) else f"{low:+.2f} to {high:+.2f}"
        yield f"| {name} | {_shown(value)} | {_shown(after[name])} | {_shown(after[name] - value, '+.2f')} | {span} |"
    yield ""
    yield _pictures(a, b, keys)


def differences(first: Path, second: Path) -> dict[str, tuple[float | None, float | None, float | None]]:
    """Return b - a of each figure and its interval, over the pictures that both scored; None for undefined values.

    Raises the errors of `compared`.
    """
    a, b = read_scored(first), read_scored(second)
    keys = [key for key in a.records if key in b.records]
    _expect_comparable(a, b, keys)
    before, after, bounds = a.values(keys), b.values(keys), _bounds(a, b, keys)
    found = {name: (after[name] - before[name], *bounds.get(name, (np.nan, np.nan))) for name in before}

    def plain(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    return {name: (plain(value), plain(low), plain(high)) for name, (value, low, high) in found.items()}


def read_scored(path: Path) -> Scored:
    """Read a report and the records beside it.

    Raises:
        InputError: either is missing or damaged, or the figures of the report do not follow from the records.
    """
    report = _read_report(path)
    names = [row["name"] for row in report["classes"]]
    rule: Rule = "mmseg" if "aAcc" in report["figures"] else "published" if report["setup"]["quirks"] else "paper"
    known = every_record(records_folder(path))
    keys = report["pictures"]["keys"]
    cells = len(names) * (len(names) + 1)
    there = {key: known[key] for key in keys if key in known and max(known[key].cells, default=0) < cells}
    scored = Scored(path, report, names, rule, there)
    found = scored.values(keys) if keys and len(there) == len(keys) else {}
    reported = {name: entry["value"] for name, entry in report["figures"].items()}
    if not _same(found, reported):
        raise InputError(
            f"report {path.name!r}",
            expected=f"the records that its figures follow from, in {records_folder(path).name!r}",
            got="others" if len(there) == len(keys) else f"{len(there)} of {len(keys)}",
            remedy="Run its command again; what is known is not labelled again.",
        )
    return scored


def _read_report(path: Path) -> Report:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        got, remedy = error.strerror or "one that cannot be read", "Check its path."
        raise InputError(f"report {path.name!r}", expected="a report of evaluate", got=got, remedy=remedy) from error
    except (ValueError, RecursionError):
        content = None
    table = next((f"--{name}" for name, form in TABLES.items() if _is_of(content, form)), None)
    if table is not None:
        remedy = f"Give one of the reports beside it: {path.stem}.*.json."
        raise InputError(f"report {path.name!r}", expected="a report", got=f"the table of {table}", remedy=remedy)
    if not _is_of(content, FORMAT) or not _is_whole(content):
        remedy = "Give what --output wrote; run the command of an older version's report again."
        raise InputError(f"report {path.name!r}", expected="a report of evaluate", got="another file", remedy=remedy)
    found: Report = content
    return found


def _is_of(content: Any, form: str) -> bool:
    return isinstance(content, dict) and content.get("format") == form


def _is_whole(report: Any) -> bool:
    """Return whether a report has all that a comparison reads."""
    try:
        keys, names = report["pictures"]["keys"], [row["name"] for row in report["classes"]]
        values = [entry["value"] for entry in report["figures"].values()]
        quirks = report["setup"]["quirks"]
    except (TypeError, KeyError, AttributeError):
        return False
    texts = isinstance(keys, list) and all(isinstance(name, str) for name in names + keys)
    return texts and isinstance(quirks, bool) and all(isinstance(value, (int, float, type(None))) for value in values)


def _same(found: dict[str, float], reported: dict[str, float | None]) -> bool:
    if found.keys() != reported.keys():
        return False
    wanted = [float("nan") if value is None else value for value in reported.values()]
    return bool(np.allclose(np.array([found[name] for name in reported]), np.array(wanted), atol=1e-6, equal_nan=True))


def _expect_comparable(a: Scored, b: Scored, keys: Sequence[str]) -> None:
    """Raise InputError if a difference of the figures would be misleading."""
    reason, expected = None, "two of the same pictures and classes"
    if list(a.names) != list(b.names):
        reason = "others: their classes differ"
    elif a.rule != b.rule or a.report["figures"].keys() != b.report["figures"].keys():
        reason = f"{b.report['column']} and {a.report['column']}, whose figures follow other rules"
        expected = "two whose figures follow the same rules"
    elif not keys:
        reason = "none in common"
    else:
        apart = (a.counts(keys).true != b.counts(keys).true).any(axis=1)
        if apart.any():
            reason = f"different ground truth for {keys[int(apart.argmax())]!r}: the masks or the crops differ"
    if reason is not None:
        remedy = "Score both on the same data, by protocols that count the same pixels."
        raise InputError("reports", expected=expected, got=reason, remedy=remedy)


def _bounds(a: Scored, b: Scored, keys: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the intervals of b - a; empty if fewer than two pictures have scored pixels."""
    counts = a.counts(keys)
    if np.count_nonzero(counts.true.sum(-1)) < 2:
        return {}
    before = resampled_figures(counts, a.rule, a.extra(keys))
    after = resampled_figures(b.counts(keys), b.rule, b.extra(keys))
    first, second = a.values(keys), b.values(keys)
    return {name: bounds_of(after[name] - before[name], second[name] - first[name]) for name in first}


def _pictures(a: Scored, b: Scored, keys: Sequence[str]) -> str:
    """Return a line with the number of pictures in which each report is better."""
    gain = np.nan_to_num(figures(b.counts(keys), "paper")["mIoU"] - figures(a.counts(keys), "paper")["mIoU"])
    better, worse = int((gain > 0).sum()), int((gain < 0).sum())
    return f"mIoU of single pictures: b is better in {better}, worse in {worse}, equal in {len(keys) - better - worse}"


def _made_by(report: Report) -> str:
    setup = report["setup"]
    method = setup.get("method")
    name = method.get("method") if isinstance(method, dict) else None
    parts = (report.get("column"), name, setup.get("model"))
    return ", ".join(str(part) for part in parts if part)


def _shown(value: float, form: str = ".2f") -> str:
    return "-" if np.isnan(value) else format(value, form)
