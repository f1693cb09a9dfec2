"""Refinement in words, tables and plain JSON. Whatever a person typed is escaped here. Imports no Gradio."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from demo import core
from demo.presenters.common import hint, percent, seconds, sort_head, strip, swatch, word
from demo.presenters.segment import describe
from demo.service import RefinedView
from demo.settings import REFINE_MODES, REFINERS

START = hint(
    "Classes come from patches of many pixels, so their boundaries are coarse. A refiner moves them to where things "
    "end. SAM, Segment Anything, is a model that cuts out whatever one points at, without knowing what it is."
)
DOWNLOAD = "Download the refined result (zip)"
EMPTY = hint("Segment a picture, then press Refine.")
STOPPED = strip("note", "Stopped.", "Nothing was changed.")
FETCH_STOPPED = strip("note", "Stopped.", "Nothing was fetched.")
KEY = (
    '<p class="facts key"><span><i class="sign line stayed"></i> boundary that stayed</span>'
    '<span><i class="sign line was"></i> where it was</span><span><i class="sign line is"></i> where it is now</span>'
    "<span>Numbers: the components below.</span></p>"
)
COMPONENTS_INFO = (
    "A tick takes SAM's mask, without one the component stays as it was; edges, where chosen, come after. "
    "Applies at once; SAM is not asked again."
)
NO_COMPONENTS = {
    "everything": hint("In this mode SAM is not asked about components: each of its masks takes its commonest class."),
    "edges": hint("This refiner does not work by components."),
}
_MODES = {
    "prompts": "prompts: SAM is shown each component of each class and cuts it out",
    "regions": "regions: likewise for each region of the clustering, which parts things of one class that touch",
    "everything": "everything: SAM cuts up the whole picture; each part takes its commonest class. The slowest",
}
_COLUMNS = (("Class", "text"), ("Gained", "number"), ("Lost", "number"), ("Change", "number"))
_PIECE_COLUMNS = (
    *(("Component", "number"), ("Class", "text"), ("Area", "number"), ("Predicted IoU", "number")),
    *(("Agreement", "number"), ("Taken", "text")),
)


def refiners(here: Mapping[str, bool]) -> list[tuple[str, str]]:
    """(label, name) of each refiner; `here` says whose weights are on this machine, as far as that is known."""
    found = []
    for name, megabytes, remark in REFINERS:
        size = f" · {megabytes} MB" if megabytes else ""
        known = {True: "", False: " · not here yet", None: ""}[here.get(name)]
        found.append((f"{name} · {remark}{size}{known}", name))
    return found


def modes() -> list[tuple[str, str]]:
    """(label, name) of each mode."""
    return [(_MODES[name], name) for name in REFINE_MODES]


def fetch_label(name: str, megabytes: int) -> str:
    """Plain text on the button that fetches weights."""
    return f"Fetch {name} ({megabytes} MB)"


def working(title: str, share: float, text: str) -> str:
    """HTML: how far something has come; all texts are plain."""
    return (
        f'<div class="strip busy" role="status"><b>{html.escape(title)}</b> {html.escape(text)}'
        f'<progress class="wide" max="1" value="{share:.3f}" aria-label="{html.escape(title)}"></progress></div>'
    )


def fetched(name: str) -> str:
    """HTML: weights have come."""
    return strip("calm", f"{name} is here.", "Press Refine.")


def news(better: RefinedView) -> str:
    """HTML: what was done and what it took."""
    components = better.refined.report.components
    parts = ["the whole result was <b>reused</b>"] if better.after.kept else []
    if not better.after.kept:
        parts = [f"{html.escape(better.asked.refiner)} took {seconds(better.refined.timings['refine'])}"]
    if components:
        accepted = sum(component.accepted for component in components)
        parts.append(f"{accepted} of {len(components)} components have a new mask")
    return f'<p class="facts">{" · ".join(parts)}</p>'


def share(better: RefinedView) -> str:
    """HTML: how much changed."""
    changed = better.refined.report.changed
    if not changed:
        return '<p class="facts">No pixel changed its class.</p>'
    part = percent(changed / better.refined.labels.size)
    return f'<p class="facts"><b>{changed:,}</b> pixels changed their class, {part} of the picture.</p>'


def class_table(better: RefinedView) -> str:
    """HTML table: pixels that each class gained and lost, most changed first."""
    report, colours = better.refined.report, _colours(better)
    names = sorted({*report.gained, *report.lost}, key=lambda name: (-_moved(better, name), name))
    if not names:
        return ""
    rows = ""
    for name in names:
        won, lost = report.gained.get(name, 0), report.lost.get(name, 0)
        rows += (
            f'<tr><td>{swatch(colours[name])}</td><th scope="row" data-value="{html.escape(name, quote=True)}">'
            f'{word(name)}</th><td data-value="{won}">{won:,}</td><td data-value="{lost}">{lost:,}</td>'
            f'<td data-value="{won - lost}">{won - lost:+,}</td></tr>'
        )
    return _table(_COLUMNS, rows)


def component_table(better: RefinedView) -> str:
    """HTML table: what SAM was asked about, what it thinks of its answer, and whether that was taken."""
    components = better.refined.report.components
    if not components:
        mode = "edges" if better.asked.refiner == "edges" else better.asked.mode
        return NO_COMPONENTS.get(mode, hint("No component is large enough to be asked about; nothing was changed."))
    colours, size = _colours(better), better.refined.labels.size
    rows = "".join(
        f'<tr><td>{swatch(colours[component.class_name])}</td><th scope="row" data-value="{number}">{number}</th>'
        f'<td data-value="{html.escape(component.class_name, quote=True)}">{word(component.class_name)}</td>'
        f'<td data-value="{component.area}">{percent(component.area / size)}</td>'
        f'<td data-value="{component.predicted_iou:.4f}">{component.predicted_iou:.2f}</td>'
        f'<td data-value="{component.agreement:.4f}">{component.agreement:.2f}</td>'
        f'<td data-value="{"yes" if component.accepted else "no"}">'
        f"{'yes' if component.accepted else 'no: ' + html.escape(component.reason)}</td></tr>"
        for number, component in enumerate(components, start=1)
    )
    text = hint("Predicted IoU: how good SAM rates its mask. Agreement: overlap of mask and component. 1 is best.")
    return _table(_PIECE_COLUMNS, rows, "components") + text


def component_choices(better: RefinedView) -> list[tuple[str, int]]:
    """(label, index) of each component; plain text, which Gradio escapes."""
    components = better.refined.report.components
    return [(f"{number} {component.class_name}", number - 1) for number, component in enumerate(components, start=1)]


def describe_refinement(better: RefinedView, *, masks: bool = False) -> Mapping[str, Any]:
    """A refined result as plain JSON.

    Args:
        better: the result before and after.
        masks: whether each class carries its mask as COCO run lengths.
    """
    report = better.refined.report
    return {
        **describe(better.after, masks=masks),
        "refinement": {
            "refiner": report.refiner,
            "mode": report.mode,
            "changed": report.changed,
            "gained": dict(report.gained),
            "lost": dict(report.lost),
            "components": [
                {
                    "class_name": component.class_name,
                    "area": component.area,
                    "point": list(component.point),
                    "box": list(component.box),
                    "predicted_iou": round(component.predicted_iou, 4),
                    "agreement": round(component.agreement, 4),
                    "accepted": component.accepted,
                    "reason": component.reason,
                }
                for component in report.components
            ],
        },
    }


def describe_refiners(here: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Which refiners there are, and which can run, as plain JSON; None where `here` does not say."""
    return [{"name": name, "megabytes": megabytes, "here": here.get(name)} for name, megabytes, _ in REFINERS]


def _moved(better: RefinedView, name: str) -> int:
    report = better.refined.report
    return report.gained.get(name, 0) + report.lost.get(name, 0)


def _colours(better: RefinedView) -> dict[str, str]:

    table = core.viz.palette.label_colours(better.refined)
    return {name: core.viz.palette.to_hex(table[index]) for index, name in enumerate(better.refined.class_names)}


def _table(columns: Iterable[tuple[str, str]], rows: str, kind: str = "") -> str:
    heads = "".join(sort_head(name, what, falling=False) for name, what in columns)
    return (
        f'<div class="legend {kind}"><table><thead><tr><th scope="col"><span class="unseen">Colour</span></th>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
