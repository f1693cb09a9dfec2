"""The report: JSON for programs, Markdown for people; `html_report` creates the HTML page."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np

from cliptrase_core.errors import counted, one_line
from cliptrase_core.evaluation.metrics import (
    LEVEL,
    RESAMPLES,
    SEED,
    SMOOTH,
    ClassCounts,
    Rule,
    figures,
    intervals,
    total,
)
from cliptrase_core.evaluation.records import Header, Record, counts_of, means
from cliptrase_core.evaluation.run import Pace
from cliptrase_core.io.files import MARK
from cliptrase_core.version import VERSION

UNUSED = (("problems", "Pictures that could not be used"), ("left_out", "Pictures left out"))
"""Report entries that list pictures without a score, and their titles."""

Report = dict[str, Any]

FORMAT = f"{MARK} evaluation"
TABLES = {"methods": f"{MARK} methods", "between": f"{MARK} between"}
"""Formats of the tables that are written beside several reports, by option."""

NO_CLASS = "none of the classes"
CONFUSIONS = 20
"""Number of confused pairs of classes in a report, those with the most pixels."""

INTERVAL = "bootstrap over pictures, with its median at the figure"
"""Method of the intervals, see `metrics.bounds_of`."""

_PACKAGES = ("torch", "open_clip_torch", "scipy", "numpy", "pillow")


def make_report(records: Sequence[Record], names: Sequence[str], rule: Rule, header: Header) -> Report:
    """Create the report from records and header alone, so that equal records give equal reports.

    Args:
        records: records of all pictures, in the order of the data set.
        names: names of all labels.
        rule: rule to compute figures from counts.
        header: settings of the evaluation.
    """
    used = [record for record in records if record.problem is None and record.left_out is None]
    counts = counts_of(used, len(names))
    whole, extra = total(counts), means(used)
    class_mean = float(figures(whole, rule)["mIoU"])
    # A benchmark defined by means over pictures has no figures over all pixels, to avoid confusion of the two.
    found = {name: float(value.mean()) for name, value in extra.items()}
    found = found or {name: float(value) for name, value in figures(whole, rule).items()}
    bounds = intervals(counts, rule, extra)
    return {
        "format": FORMAT,
        "column": header["column"],
        "figures": {
            name: {"value": _plain(value), "low": _plain(bounds[name][0]), "high": _plain(bounds[name][1])}
            if name in bounds
            else {"value": _plain(value), "low": None, "high": None}
            for name, value in found.items()
        },
        "interval": {"level": LEVEL, "method": INTERVAL, "n": RESAMPLES, "seed": SEED},
        "pictures": {
            "listed": len(records),
            "scored": len(used),
            "keys": [record.key for record in used],
            "left_out": [{"key": r.key, "why": r.left_out} for r in records if r.left_out],
            "problems": [{"key": r.key, "why": r.problem} for r in records if r.problem],
        },
        "class_mean": _plain(class_mean),
        "classes": _class_rows(whole, names, rule, class_mean),
        "confusions": _confusions(used, names, whole),
        "setup": dict(header),
    }


def run_facts(pace: Pace, command: str, processes: int, device: str, threads: int) -> Report:
    """Return facts of a run that may differ between two runs with equal results."""
    return {
        "command": command,
        "processes": processes,
        "device": device,
        "threads": threads,
        **asdict(pace),
        "images_per_second": pace.images / pace.seconds if pace.seconds else 0.0,
        "python": platform.python_version(),
        "versions": {"cliptrase-lab": VERSION, **{package: metadata.version(package) for package in _PACKAGES}},
    }


def to_json(report: Report) -> bytes:
    """Convert a report to JSON, in ASCII because file names need not be UTF-8; missing figures are null."""
    return json.dumps(report, indent=1, allow_nan=False).encode() + b"\n"


def to_markdown(report: Report, sheets: Mapping[str, str]) -> bytes:
    """Convert a report to Markdown.

    Args:
        report: report with its entry `run`.
        sheets: file names of the sheets of pictures, by title.
    """
    setup, run, pictures = report["setup"], report["run"], report["pictures"]
    lines = [f"# {setup['title']}: {report['column']}", ""]
    lines += [f"{pictures['scored']} of {counted(pictures['listed'], 'picture')} scored.", ""]
    lines += [f"| figure | per cent | {LEVEL} % interval over pictures |", "|---|---|---|"]
    lines += [f"| {name} | {digits(entry['value'])} | {span(entry)} |" for name, entry in report["figures"].items()]
    lines += ["", "Figures of another protocol do not belong in the same column.", ""]
    if (votes := votes_of(report)) is not None:
        lines += [f"Regions {'vote' if votes else 'do not vote'}.", ""]
    lines += ["## How it was made", "", "```", run["command"], "```", ""]
    lines += [f"- {name}: {_one_line(value)}" for name, value in setup.items() if value is not None]
    lines += [
        f"- run: {counted(run['images'], 'picture')} in {run['seconds']:.1f} s, "
        f"{run['images_per_second']:.2f} a second, {run['resumed']} from earlier runs; "
        f"{run['processes']} process(es), {run['device']}, {run['threads']} threads"
    ]
    lines += [f"- versions: {', '.join(f'{name} {value}' for name, value in run['versions'].items())}"]
    for title, name in sheets.items():
        lines += ["", f"## {title}", "", f"![{title}]({name})"]
    for part, title in UNUSED:
        if pictures[part]:
            lines += ["", f"## {title}: {len(pictures[part])}", ""]
            lines += [f"- `{entry['key']}`: {_one_line(entry['why'])}" for entry in pictures[part]]
    lines += ["", "## Classes, those that lose most against the mean first", ""]
    lines += ["| class | IoU | against the mean | accuracy | true pixels | missed | false positives |"]
    lines += ["|---|---|---|---|---|---|---|"]
    lines += [
        f"| {_one_line(row['name'])} | {digits(row['iou'])} | {digits(negative(row['lost']), '+.2f')} | "
        f"{digits(row['accuracy'])} | {row['true']} | {row['true'] - row['hit']} | {row['given'] - row['hit']} |"
        for row in by_loss(report)
    ]
    if report["confusions"]:
        lines += ["", "## Most confused", "", "| true | given | pixels | of the true class |", "|---|---|---|---|"]
    lines += [
        f"| {_one_line(pair['true'])} | {_one_line(pair['given'] or NO_CLASS)} | {pair['pixels']} | "
        f"{pair['share']:.1f} % |"
        for pair in report["confusions"]
    ]
    lines += ["", f"<!-- {FORMAT} -->"]
    return ("\n".join(lines) + "\n").encode(errors="backslashreplace")


def votes_of(report: Report) -> bool | None:
    """Return whether regions took their majority label; None for predictions from files."""
    votes: bool | None = (report["setup"].get("method") or {}).get("vote")
    return votes


def headline(report: Report) -> str:
    """Return the figures with their intervals in one line."""
    return ", ".join(f"{name} {digits(entry['value'])} [{span(entry)}]" for name, entry in report["figures"].items())


def by_loss(report: Report) -> list[Report]:
    """Sort classes by loss against the mean, then by wrong pixels, largest first; classes without a loss are last."""

    def loss(row: Report) -> tuple[bool, float, int]:
        pixels = row["true"] + row["given"] - 2 * row["hit"]
        return row["lost"] is None, -(row["lost"] or 0.0), -pixels

    return sorted(report["classes"], key=loss)


def _class_rows(whole: ClassCounts, names: Sequence[str], rule: Rule, mean: float) -> list[Report]:
    smooth = SMOOTH if rule == "published" else 0.0
    iou, accuracy = 100 * whole.iou(smooth), 100 * whole.accuracy(smooth)
    # Classes included in the mean: see `figures`.
    counted = (whole.true + whole.given if rule == "mmseg" else whole.true) > 0
    return [
        {
            "name": name,
            "iou": _plain(float(iou[label])),
            "lost": _plain(mean - float(iou[label])) if counted[label] else None,
            "accuracy": _plain(float(accuracy[label])),
            "true": int(whole.true[label]),
            "given": int(whole.given[label]),
            "hit": int(whole.hit[label]),
        }
        for label, name in enumerate(names)
    ]


def _confusions(records: Sequence[Record], names: Sequence[str], whole: ClassCounts) -> list[Report]:
    """Return the most confused pairs of true and predicted class; a predicted None means none of the classes."""
    columns = len(names) + 1
    pixels = np.zeros(len(names) * columns, np.int64)
    for record in records:
        pixels[list(record.cells)] += np.asarray(record.pixels, np.int64)
    pixels[[label * columns + label for label in range(len(names))]] = 0
    found = []
    for cell in np.argsort(-pixels, kind="stable")[:CONFUSIONS]:
        true, given = divmod(int(cell), columns)
        if pixels[cell]:
            share = 100 * float(pixels[cell] / whole.true[true])
            name = names[given] if given < len(names) else None
            found.append({"true": names[true], "given": name, "pixels": int(pixels[cell]), "share": share})
    return found


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def negative(value: float | None) -> float | None:
    """Negate a value that may be None."""
    return None if value is None else -value


def digits(value: float | None, form: str = ".2f") -> str:
    """Format a figure; "-" for None."""
    return "-" if value is None else format(value, form)


def span(entry: Mapping[str, float | None], none: str = "no interval") -> str:
    """Format the interval of a figure, or return `none`: a single picture gives no interval."""
    return none if entry["low"] is None else f"{digits(entry['low'])} to {digits(entry['high'])}"


def _one_line(value: object) -> str:
    return one_line(value).replace("|", "\\|")
