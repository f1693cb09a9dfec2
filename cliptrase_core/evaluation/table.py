"""Table of several methods on the same data, one row for each report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cliptrase_core.errors import InputError, expect_one_of
from cliptrase_core.evaluation.metrics import LEVEL
from cliptrase_core.evaluation.report import TABLES, Report, digits, span, votes_of
from cliptrase_core.methods.registry import METHODS

ALL = "all"
"""Name of all methods together."""
VOTE = (
    "Vote: whether each region takes its majority label. By default only cliptrase's regions vote, and none under "
    "sliding windows; `--vote` or `--no-vote` makes all methods alike."
)
"""Explanation of the column of this name in a table."""


def read_methods(text: str) -> tuple[str, ...]:
    """Return the names of methods, each once, from a list with commas or from `ALL`.

    Raises:
        InputError: an unknown name, or none.
    """
    names = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        expect_one_of("methods", name, (*METHODS, ALL))
    if not names:
        expected = f"{ALL}, or names with commas between them"
        raise InputError("methods", expected=expected, got=repr(text), remedy=f"Give --methods {ALL}.")
    return tuple(METHODS) if ALL in names else tuple(names)


def rows_of(names: Sequence[str], reports: Sequence[Report], paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return a JSON-able row for each method.

    Args:
        names: names of the methods.
        reports: their reports.
        paths: files of the reports.
    """
    return [
        {
            "method": name,
            "title": METHODS[name].title,
            "column": report["column"],
            "vote": votes_of(report),
            "scored": report["pictures"]["scored"],
            "figures": report["figures"],
            "report": path.name,
        }
        for name, report, path in zip(names, reports, paths, strict=True)
    ]


def to_json(title: str, rows: Sequence[dict[str, Any]]) -> bytes:
    """Format the table as JSON, in ASCII as reports are; undefined figures are null."""
    entry = {"format": TABLES["methods"], "title": title, "methods": list(rows)}
    return json.dumps(entry, indent=1, allow_nan=False).encode() + b"\n"


def to_markdown(title: str, rows: Sequence[dict[str, Any]]) -> bytes:
    """Format the table as a Markdown document."""
    about = (
        f"Per cent, with {LEVEL} % intervals over pictures. `evaluate --compare` gives the difference of two reports."
    )
    lines = [f"# {title}", "", *to_lines(rows), "", about, "", VOTE, "", f"<!-- {TABLES['methods']} -->"]
    return ("\n".join(lines) + "\n").encode(errors="backslashreplace")


def to_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table in Markdown: a row for each method, a column for its vote and for each figure."""
    figures = list(rows[0]["figures"])
    yield f"| method | vote | {' | '.join(figures)} | pictures | report |"
    yield "|---" * (len(figures) + 4) + "|"
    for row in rows:
        cells = [row["method"], "yes" if row["vote"] else "no"]
        cells += [f"{digits(entry['value'])} ({span(entry)})" for entry in row["figures"].values()]
        yield f"| {' | '.join([*cells, str(row['scored']), row['report']])} |"
