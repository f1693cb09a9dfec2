"""What was found, as JSON for programs and Markdown for people."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np

from cliptrase_core.evaluation.figures import (
    LEVEL,
    RESAMPLES,
    SEED,
    ClassCounts,
    Rule,
    counts_of,
    figures,
    intervals,
    means,
    total,
)
from cliptrase_core.evaluation.ledger import Header, Record
from cliptrase_core.evaluation.run import Pace
from cliptrase_core.io.files import MARK
from cliptrase_core.version import VERSION

Report = dict[str, Any]

FORMAT = f"{MARK} evaluation"

_PACKAGES = ("torch", "open_clip_torch", "scikit-learn", "scipy", "numpy", "pillow")


def make_report(records: Sequence[Record], names: Sequence[str], rule: Rule, header: Header) -> Report:
    """Everything that follows from records and header alone: equal records give equal reports.

    Args:
        records: of every picture, in the order of the data set.
        names: of every label.
        rule: how counts become figures.
        header: what was evaluated and how.
    """
    used = [record for record in records if record.problem is None and record.left_out is None]
    counts = counts_of(used, len(names))
    whole, extra = total(counts), means(used)
    # Where a benchmark is defined by means over pictures, figures of all pixels would only be mistaken for them.
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
        "interval": {"level": LEVEL, "method": "percentile bootstrap over pictures", "n": RESAMPLES, "seed": SEED},
        "pictures": {
            "listed": len(records),
            "scored": len(used),
            "left_out": [{"key": r.key, "why": r.left_out} for r in records if r.left_out],
            "problems": [{"key": r.key, "why": r.problem} for r in records if r.problem],
        },
        "classes": _class_rows(whole, names, rule),
        "setup": dict(header),
    }


def run_facts(pace: Pace, command: str, processes: int, device: str, threads: int) -> Report:
    """What may differ between two runs of equal result."""
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
    """ASCII, since names of files need not be UTF-8; figures that do not exist are null."""
    return json.dumps(report, indent=1, allow_nan=False).encode() + b"\n"


def to_markdown(report: Report, sheets: Mapping[str, str]) -> bytes:
    """The same for people.

    Args:
        report: with its `run`.
        sheets: title to file name of pictures to show.
    """
    setup, run, pictures = report["setup"], report["run"], report["pictures"]
    lines = [f"# {setup['title']}: {report['column']}", ""]
    lines += [f"{pictures['scored']} of {pictures['listed']} pictures scored.", ""]
    lines += ["| figure | per cent | 95 % interval over pictures |", "|---|---|---|"]
    lines += [f"| {name} | {_shown(entry['value'])} | {_span(entry)} |" for name, entry in report["figures"].items()]
    lines += ["", "Figures of another protocol do not belong in the same column.", ""]
    lines += ["## How it was made", "", "```", run["command"], "```", ""]
    lines += [f"- {name}: {_one_line(value)}" for name, value in setup.items() if value is not None]
    lines += [
        f"- run: {run['images']} pictures in {run['seconds']:.1f} s, {run['images_per_second']:.2f} a second, "
        f"{run['resumed']} from earlier runs; {run['processes']} process(es), {run['device']}, "
        f"{run['threads']} threads"
    ]
    lines += [f"- versions: {', '.join(f'{name} {value}' for name, value in run['versions'].items())}"]
    for title, name in sheets.items():
        lines += ["", f"## {title}", "", f"![{title}]({name})"]
    for part, title in (("problems", "Pictures that could not be used"), ("left_out", "Pictures left out")):
        if pictures[part]:
            lines += ["", f"## {title}: {len(pictures[part])}", ""]
            lines += [f"- `{entry['key']}`: {_one_line(entry['why'])}" for entry in pictures[part]]
    lines += ["", "## Classes", "", "| class | IoU | accuracy | true pixels | given pixels |", "|---|---|---|---|---|"]
    lines += [
        f"| {_one_line(row['name'])} | {_shown(row['iou'])} | {_shown(row['accuracy'])} | {row['true']} | "
        f"{row['given']} |"
        for row in report["classes"]
    ]
    lines += ["", f"<!-- {FORMAT} -->"]
    return ("\n".join(lines) + "\n").encode(errors="backslashreplace")


def headline(report: Report) -> str:
    """The figures in one line."""
    return ", ".join(f"{name} {_shown(entry['value'])} [{_span(entry)}]" for name, entry in report["figures"].items())


def _class_rows(whole: ClassCounts, names: Sequence[str], rule: Rule) -> list[Report]:
    smooth = 0.01 if rule == "published" else 0.0
    iou, accuracy = 100 * whole.iou(smooth), 100 * whole.accuracy(smooth)
    return [
        {
            "name": name,
            "iou": _plain(float(iou[label])),
            "accuracy": _plain(float(accuracy[label])),
            "true": int(whole.true[label]),
            "given": int(whole.given[label]),
        }
        for label, name in enumerate(names)
    ]


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _span(entry: Mapping[str, float | None]) -> str:
    """The interval of a figure; there is none from a single picture."""
    return "no interval" if entry["low"] is None else f"{_shown(entry['low'])} to {_shown(entry['high'])}"


def _one_line(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
