"""Report as one self-contained HTML page: no script, no network, no other files; suitable for sending and printing.

Names of classes and files are untrusted text. Each of them is escaped by `text`, and a content security policy in the
page keeps the browser from running scripts or fetching anything.
"""

from __future__ import annotations

import base64
import html
import io
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from cliptrase_core.evaluation.metrics import LEVEL
from cliptrase_core.evaluation.report import (
    FORMAT,
    NO_CLASS,
    UNUSED,
    Report,
    by_loss,
    digits,
    negative,
    span,
)
from cliptrase_core.evaluation.sheets import PARTS, ShownPicture
from cliptrase_core.evaluation.sources import Pixels
from cliptrase_core.viz.names import TURNING
from cliptrase_core.viz.palette import Colour, class_colours, to_hex

HEADLINE = "mIoU"
_QUALITY = 85
_LISTED = 200
"""Maximum number of unusable or left-out pictures on the page; the JSON report lists all of them."""


def to_html(report: Report, sheets: Mapping[str, Sequence[ShownPicture]]) -> bytes:
    """Return the page as UTF-8.

    Args:
        report: report with its entry `run`.
        sheets: example pictures by title.
    """
    setup = report["setup"]
    parts = [
        f"<h1>{name(setup['title'])}</h1>",
        f"<p class='soft'>{name(_in_short(report))}</p>",
        *_headline(report),
        *_facts(report),
        *_classes(report),
        *_confusions(report),
        *(line for title, shown in sheets.items() for line in _sheet(title, shown)),
        *_problems(report),
        *_everything(report),
    ]
    return (_HEAD.format(title=text(setup["title"]), style=_style()) + "\n".join(parts) + _FOOT).encode()


_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - evaluation</title>
<style>
{style}</style>
</head>
<body>
<p class="eyebrow">CLIPtrase Lab, evaluation</p>
"""
_FOOT = f"""
<footer>Made by CLIPtrase Lab from the records of each picture; the numbers stand in the JSON file beside this page.
</footer>
</body>
</html>
<!-- {FORMAT} -->
"""


def _style() -> str:
    return resources.files("cliptrase_core.evaluation").joinpath("report.css").read_text(encoding="utf-8")


def text(value: object) -> str:
    """Escape a value for HTML text or an attribute; characters that are not allowed in a page become escape codes."""
    plain = "".join(_code(letter) if _hidden(letter) else letter for letter in str(value))
    return html.escape(plain, quote=True)


_UNSEEN = {"Cc", "Cs", "Cn"}
"""Unicode categories: control characters, surrogates (from file names that are not UTF-8), unassigned code points."""


def _hidden(letter: str) -> bool:
    return unicodedata.category(letter) in _UNSEEN or unicodedata.bidirectional(letter) in TURNING


def _code(letter: str) -> str:
    return " " if letter in "\n\t\r" else letter.encode("unicode_escape").decode()


def name(value: object) -> str:
    """Return a user-chosen name as HTML; its writing direction does not affect the surrounding text."""
    return f"<bdi>{text(value)}</bdi>"


def _in_short(report: Report) -> str:
    """Return one line: column, method, model and number of pictures."""
    pictures, setup = report["pictures"], report["setup"]
    scored, listed = pictures["scored"], pictures["listed"]
    counted = _several(scored, "picture") if scored == listed else f"{scored:,} of {_several(listed, 'picture')}"
    method = (setup.get("method") or {}).get("method")
    made_by = f"method {method} on {setup['model']}" if method and setup.get("model") else ""
    return "; ".join(part for part in (report["column"], made_by, f"{counted} scored") if part)


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "es" if what.endswith("s") else "s")


def _headline(report: Report) -> Iterator[str]:
    figures = report["figures"]
    first = HEADLINE if HEADLINE in figures else next(iter(figures))
    entry, interval = figures[first], report["interval"]
    yield "<div class='headline'>"
    yield f"<div><div class='soft'>{text(first)}</div>"
    yield f"<div class='value number'>{digits(entry['value'])}<small> %</small></div></div>"
    yield f"<div class='about'>{_axis(entry)}</div></div>"
    yield "<table><thead><tr><th>Figure</th><th class='n'>Per cent</th>"
    yield f"<th class='n'>{interval['level']} % interval</th></tr></thead><tbody>"
    for title, one in figures.items():
        yield f"<tr><td>{text(title)}</td><td class='n'>{digits(one['value'])}</td>"
        yield f"<td class='n'>{span(one, 'none')}</td></tr>"
    yield "</tbody></table>"
    yield (
        f"<p class='note'>Intervals: {text(interval['method'])}, {interval['n']:,} resamples. Figures of another "
        "protocol do not belong in the same column.</p>"
    )


def _axis(entry: Mapping[str, float | None]) -> str:
    """Return HTML: the figure and its interval on an axis from 0 to 100."""
    if entry["value"] is None:
        return "No pixel counts, so there is no figure."
    low, high = entry["low"], entry["high"]
    if low is None or high is None:
        line, interval = "", "No interval: it takes two pictures in which something counts."
    else:
        line = f"<div class='span' style='left:{low:.2f}%;width:{max(high - low, 0.3):.2f}%'></div>"
        interval = f"{LEVEL} % interval over pictures: <b class='number'>{low:.2f} to {high:.2f}</b>"
    mark = f"<div class='mark' style='left:{entry['value']:.2f}%'></div>"
    return f"{interval}<div class='axis'>{line}{mark}</div><div class='ends'><span>0</span><span>100 %</span></div>"


def _facts(report: Report) -> Iterator[str]:
    """Yield HTML: settings of the run in a few groups."""
    yield "<h2>What was run</h2><div class='facts'>"
    for title, rows in facts(report).items():
        known = {label: value for label, value in rows.items() if value not in (None, "")}
        if known:
            yield f"<section><h3>{text(title)}</h3><dl>"
            yield from (f"<dt>{text(label)}</dt><dd>{name(value)}</dd>" for label, value in known.items())
            yield "</dl></section>"
    yield f"</div><pre>{text(report['run']['command'])}</pre>"


def facts(report: Report) -> dict[str, dict[str, Any]]:
    """Return every setting by group and label; None if a setting does not apply."""
    setup, run = report["setup"], report["run"]
    method, switches = setup.get("method") or {}, setup.get("switches") or {}
    slide, made = setup.get("slide") or {}, setup.get("predictions")
    versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
    return {
        "Data": {
            "data set": setup["title"],
            "layout": setup.get("layout"),
            "words": setup.get("word_list") or setup.get("words"),
            "templates": method.get("templates"),
            "quirks": "those of the published script" if setup.get("quirks") else None,
        },
        "Protocol": {
            "protocol": setup["protocol"],
            "preset": setup.get("preset"),
            "short side": slide.get("short_side") or setup.get("short_side"),
            "windows": _windows(slide),
            "positions": slide.get("positions"),
            "temperature": slide.get("temperature"),
            "threshold": slide.get("threshold"),
            "smallest share": slide.get("least_area"),
            "background words": _yes(slide.get("background_words")),
            "PAMR": _yes(slide.get("pamr")),
        },
        "Method": {
            "method": method.get("method"),
            **_switches(switches),
            **({} if slide else _of_regions(method)),
            "predictions": "files of " + str(made.get("model") or "another program") if made else None,
        },
        "Model and machine": {
            "model": ", ".join(str(setup[part]) for part in ("model", "pretrained") if setup.get(part)),
            "weights": str(setup.get("weights") or "")[:16],
            "precision": setup.get("precision"),
            "device": run["device"],
            "work": f"{_several(run['processes'], 'process')}, {_several(run['threads'], 'thread')}, "
            f"batches of {setup['batch']}",
            "time": f"{_several(run['images'], 'picture')} in {run['seconds']:.1f} s",
            "from earlier runs": _several(run["resumed"], "picture") if run["resumed"] else None,
            "versions": f"{versions}, Python {run['python']}",
        },
    }


def _windows(slide: Mapping[str, Any]) -> str | None:
    if not slide:
        return None
    return f"{slide['window']} pixels, every {slide['stride']}" if slide["window"] else "the whole picture at once"


def _switches(switches: Mapping[str, Any]) -> dict[str, Any]:
    """Return the switches of the method by label."""
    if not switches:
        return {}
    numbers = switches.get("resclip")
    return {
        "correlated": ", ".join(switches["pairs"]) or "nothing: each patch keeps its own value",
        "residual": switches["residual"],
        "MLP": _yes(switches["mlp"]),
        "blocks changed": switches["blocks"],
        "smoothing steps": switches["smoothing"],
        "neighbours within": switches["neighbours"],
        "ResCLIP": numbers and ", ".join(f"{label.replace('_', ' ')} {value:g}" for label, value in numbers.items()),
    }


def _of_regions(method: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that apply only to region-based segmentation; those of the clustering only with a vote."""
    clustering = {"denoising": "denoise", "eps": "eps", "min_samples": "min_samples"}
    return {
        "regions vote": _yes(method.get("vote")),
        **({label: method.get(name) for label, name in clustering.items()} if method.get("vote") else {}),
        "image prior": _yes(method.get("image_prior")),
        "everything else": _yes(method.get("everything_else")),
        "leave out missing": _yes(method.get("skip_missing")),
    }


def _yes(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _classes(report: Report) -> Iterator[str]:
    rows = by_loss(report)
    there = [row for row in rows if row["true"] + row["given"]]
    if not there:
        return
    mean = report["class_mean"]
    colours = class_colours([row["name"] for row in rows])
    yield "<h2>Classes</h2>"
    yield (
        f"<p class='note'>Those that lose most against the mean of classes ({digits(mean)} %) come first. A bar is "
        "all pixels of the class or with its label; the share that is right is the IoU.</p>"
    )
    yield (
        "<div class='key'><span><i class='right'></i>right</span><span><i class='missed'></i>missed: labelled "
        "as another class</span><span><i class='wrong'></i>false positive</span>"
        "<span><i class='line'></i>mean</span></div>"
    )
    yield "<div class='scroll'><table><thead><tr><th>Class</th><th>Right, missed, false positive</th>"
    heads = ("IoU", "against the mean", "accuracy", "pixels missed", "false positives")
    yield "".join(f"<th class='n'>{head}</th>" for head in heads) + "</tr></thead><tbody>"
    yield from (_class_row(row, colours[row["name"]], mean) for row in there)
    yield "</tbody></table></div>"
    if absent := [row["name"] for row in rows if not row["true"] + row["given"]]:
        yield f"<p class='note'>Neither in the ground truth nor in the labels: {', '.join(map(name, absent))}.</p>"


def _class_row(row: Report, colour: Colour, mean: float | None) -> str:
    missed, wrong = row["true"] - row["hit"], row["given"] - row["hit"]
    union = row["hit"] + missed + wrong
    shares = {"right": row["hit"], "missed": missed, "wrong": wrong}
    bar = "".join(f"<i class='{part}' style='width:{100 * n / union:.2f}%'></i>" for part, n in shares.items() if n)
    line = "" if mean is None else f"<span class='mean' style='left:{mean:.2f}%'></span>"
    lost = negative(row["lost"])
    cells = (
        f"<td>{_chip(colour)}{name(row['name'])}</td><td><div class='bar'>{bar}{line}</div></td>"
        f"<td class='n'>{digits(row['iou'])}</td>"
        f"<td class='n{' worse' if lost is not None and lost < 0 else ''}'>{digits(lost, '+.2f')}</td>"
        f"<td class='n'>{digits(row['accuracy'])}</td><td class='n'>{missed:,}</td><td class='n'>{wrong:,}</td>"
    )
    return f"<tr>{cells}</tr>"


def _chip(colour: Colour) -> str:
    return f"<span class='chip' style='background:{to_hex(colour)}'></span>"


def _confusions(report: Report) -> Iterator[str]:
    pairs = report["confusions"]
    if not pairs:
        return
    most = pairs[0]["pixels"]
    yield "<h2>Most confused</h2><p class='note'>True class of the pixels, and the wrong label that they received.</p>"
    yield "<div class='scroll'><table><thead><tr><th>True</th><th>Given</th><th></th><th class='n'>Pixels</th>"
    yield "<th class='n'>of the true class</th></tr></thead><tbody>"
    for pair in pairs:
        given = text(NO_CLASS) if pair["given"] is None else name(pair["given"])
        bar = f"<div class='bar'><i class='missed' style='width:{100 * pair['pixels'] / most:.2f}%'></i></div>"
        yield (
            f"<tr><td>{name(pair['true'])}</td><td class='name'>{given}</td><td>{bar}</td>"
            f"<td class='n'>{pair['pixels']:,}</td><td class='n'>{pair['share']:.1f} %</td></tr>"
        )
    yield "</tbody></table></div>"


def _sheet(title: str, shown: Iterable[ShownPicture]) -> Iterator[str]:
    yield f"<h2>{text(title)}</h2>"
    yield "<p class='note'>Scored picture, ground truth, labels. Numbers beside classes: IoU in this picture.</p>"
    for one in shown:
        yield f"<figure class='shown'><figcaption><b>{name(one.key)}</b>, mIoU {one.score:.1f} %</figcaption>"
        if not one.tiles:
            yield "<p class='note'>It could not be read again.</p></figure>"
            continue
        yield "<div class='tiles'>"
        for part, tile in zip(PARTS, one.tiles, strict=True):
            described = f"{part} of {one.key}"
            yield f"<p class='tile'><span>{part}</span><img alt='{text(described)}' src='{data_url(tile)}'></p>"
        yield "<ul class='legend'>"
        for entry in one.legend:
            score = "" if entry.iou is None else f"<b>{entry.iou:.0f}</b>"
            yield f"<li>{_chip(entry.colour)}{name(entry.name)}{score}</li>"
        yield f"<li class='soft'>and {one.more} more</li>" if one.more else ""
        yield "</ul></div></figure>"


def data_url(pixels: Pixels) -> str:
    """Return a picture (h, w, 3) as a data URL with a JPEG."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _problems(report: Report) -> Iterator[str]:
    for part, title in UNUSED:
        entries = report["pictures"][part]
        if entries:
            yield f"<h2>{title}: {len(entries):,}</h2><table><tbody>"
            yield from (f"<tr><td>{name(e['key'])}</td><td>{name(e['why'])}</td></tr>" for e in entries[:_LISTED])
            yield "</tbody></table>"
            if len(entries) > _LISTED:
                yield f"<p class='note'>And {len(entries) - _LISTED:,} more, which the JSON file names.</p>"


def _everything(report: Report) -> Iterator[str]:
    """Yield HTML: all recorded settings that determine the figures. Runs with equal entries give equal figures."""
    yield "<h2>Every setting, as recorded</h2><p class='note'>Runs with equal entries have equal figures.</p>"
    yield "<dl class='raw'>"
    rows = flat(report["setup"])
    yield from (f"<div><dt>{text(key)}</dt><dd>{name(value)}</dd></div>" for key, value in rows)
    yield "</dl>"


def flat(entries: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested entries to pairs such as ("slide.window", "224")."""
    for key, value in entries.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        elif isinstance(value, (list, tuple)):
            yield f"{above}{key}", ", ".join(map(str, value)) or "-"
        else:
            yield (
                f"{above}{key}",
                "-" if value is None else _yes(value) or "-" if isinstance(value, bool) else str(value),
            )
