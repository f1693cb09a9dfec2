"""The Clusters tab: regions before and after denoising, their votes, and the settings of the clustering."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from demo import core, drawing
from demo.drawing import numbered, region_map
from demo.errors import UserError
from demo.handling import errors_as_messages, inside, point_of, same, save_picture, whole
from demo.html import COLOUR_HEAD, hint, percent, scrolling_table, sort_head, swatch, word
from demo.service import Run, Service
from demo.service.clusters import Clusters, Ids, RegionVote, clusters_of
from demo.settings import DENOISE
from demo.tabs.common import CHEAP, EACH, ONE_AT_A_TIME, PRIVATE, SMALL, Shared, outputs, shown

EMPTY_SUMMARY = hint("Segment a picture to see its regions: patches that look alike, found without any words.")
EMPTY_TABLE = hint("The regions appear here, with the class that each of them voted for.")
PICK_REGION = hint("Choose a region on a map, or by its number, to read about it.")
_COLUMNS = (
    *(("Region", "number"), ("Voted for", "text"), ("Share", "number"), ("Runner-up", "text")),
    *(("Patches", "number"), ("Area", "number")),
)
KEY = (
    '<p class="facts key"><span><i class="sign noise"></i> noise: a patch with too few neighbours</span>'
    '<span><i class="sign moved"></i> a patch that denoising moved</span>'
    "<span>The same colour on both sides: the regions that share most patches.</span></p>"
)


def summary(found: Clusters) -> str:
    """Return HTML: numbers of regions and noise patches, before and after denoising, and of changed patches."""
    before, after = found.before, found.after
    patches, moved = after.size, found.changed
    if not found.denoised:
        change = "Denoising is off, so both maps are the same."
    else:
        joined, left = int((moved & (before < 0)).sum()), int((moved & (after < 0)).sum())
        parts = (
            f"{joined} joined a region",
            f"{left} became noise",
            f"{int(moved.sum()) - joined - left} went from one region to another",
        )
        change = f"<b>{int(moved.sum())}</b> of {patches} patches changed: {', '.join(parts)}."
    counts = (
        f"Before: {_regions(before)}, {int((before < 0).sum())} noise patches. "
        f"After: <b>{_regions(after)}</b>, {int((after < 0).sum())} noise patches."
    )
    return f'<p class="facts">{counts}<br>{change}</p>{_advice(found)}'


def region_table(found: Clusters, chosen: int | None = None) -> str:
    """Return an HTML table of regions, largest first: class, share, runner-up, size; the chosen region is marked."""
    if not found.votes:
        return ""
    heads = [COLOUR_HEAD, *(sort_head(name, kind, falling=name == "Patches") for name, kind in _COLUMNS)]
    votes = sorted(found.votes, key=lambda vote: -vote.patches)
    rows = "".join(_row(found, vote, chosen) for vote in votes)
    notes = ""
    if not found.view.result.settings["vote"]:
        notes = hint("With this method regions do not vote: the table shows how they would vote.")
    notes += hint(
        "Area: each pixel goes to the region whose mean affinity is the highest there, not to the region of its patch. "
        "So a region of few patches can cover much of the picture."
    )
    return scrolling_table(heads, rows, "regions") + notes


def region_facts(found: Clusters, chosen: int, patch: tuple[int, int] | None = None) -> str:
    """Return HTML: a description of one region; -1 is the noise.

    Args:
        found: clusters of the result.
        chosen: number of the region.
        patch: (row, column) of the clicked patch, or None.
    """
    lead = ""
    if patch is not None:
        was = int(found.before[patch])
        lead = f"Patch row {patch[0]}, column {patch[1]}: {_home(was)} before denoising, {_home(chosen)} after. "
    if chosen < 0:
        return (
            f'<p class="facts">{lead}Noise patches belong to no region. '
            "Their pixels go to the region that suits them best.</p>"
        )
    vote = found.votes[chosen]
    size = f"<b>Region {chosen}</b>: {vote.patches} patches, {percent(vote.area)} of the picture. "
    return f'<p class="facts">{lead}{size}{_vote_text(found, vote)}</p>'


def _vote_text(found: Clusters, vote: RegionVote) -> str:
    names, votes = found.view.result.class_names, found.view.result.settings["vote"]
    if vote.winner is None:
        return "Its neighbours claim all of its pixels, so it has no vote."
    verb = "It voted for" if votes else "It would vote for"
    text = f"{verb} {word(names[vote.winner])}: {percent(vote.share)} of its pixels have this class before the vote"
    if vote.second is None:
        return f"{text}."
    return f"{text}; then {word(names[vote.second])} ({percent(vote.second_share)})."


def _row(found: Clusters, vote: RegionVote, chosen: int | None) -> str:
    colour = core.viz.palette.to_hex(core.viz.palette.region_colours(found.count)[vote.region])
    names, classes = found.view.result.class_names, core.viz.palette.label_colours(found.view.result)
    first, then = ("" if label is None else names[label] for label in (vote.winner, vote.second))
    winner = "none" if vote.winner is None else f"{swatch(core.viz.palette.to_hex(classes[vote.winner]))} {word(first)}"
    second = "none" if vote.second is None else f"{word(then)} ({percent(vote.second_share)})"
    mark = ' class="chosen" aria-current="true"' if vote.region == chosen else ""
    return (
        f'<tr{mark}><td>{swatch(colour)}</td><th scope="row" data-value="{vote.region}">{vote.region}</th>'
        f'<td data-value="{html.escape(first, quote=True)}">{winner}</td>'
        f'<td data-value="{vote.share:.6f}">{percent(vote.share)}</td>'
        f'<td data-value="{html.escape(then, quote=True)}">{second}</td>'
        f'<td data-value="{vote.patches}">{vote.patches}</td>'
        f'<td data-value="{vote.area:.6f}">{percent(vote.area)}</td></tr>'
    )


def _advice(found: Clusters) -> str:
    if not found.votes:
        return hint("No regions: raise eps or lower min_samples. Each pixel keeps its own class.")
    if max(vote.patches for vote in found.votes) > 0.9 * found.after.size:
        return hint("One region covers nearly everything: lower eps to split it.")
    return ""


def _regions(ids: Ids) -> str:
    return core.errors.counted(len(set(ids[ids >= 0].tolist())), "region")


def _home(region: int) -> str:
    return "noise" if region < 0 else f"region {region}"


class ClustersView(NamedTuple):
    """New values of the components that show clusters, by component name."""

    before: Any
    after: Any
    summary: Any
    region_facts: Any
    region_table: Any
    region: Any
    eps: Any
    min_samples: Any


class ClustersHandlers:
    """Handlers of the tab's events, one method each; they store nothing about visitors."""

    def __init__(self, service: Service) -> None:
        """Create handlers for one service."""
        self._service = service

    @errors_as_messages
    def refresh(self, run: Run | None, path: str | None) -> ClustersView:
        """Handle an opened tab or a new result: show its clusters."""
        if run is None:
            return ClustersView(
                before=None,
                after=None,
                summary=EMPTY_SUMMARY,
                region_facts="",
                region_table=EMPTY_TABLE,
                region=gr.Dropdown([], value=None),
                eps=gr.skip(),
                min_samples=gr.skip(),
            )
        return _view(clusters_of(self._service, run, path))

    @errors_as_messages
    def click(self, run: Run | None, token: str, path: str | None, event: gr.SelectData) -> ClustersView:
        """Handle a click on a patch of either map; ignore a click on a result that is no longer shown."""
        if run is None or token != run.token:
            return same(ClustersView)
        side, (h, w) = drawing.cell_side(run.key.grid), run.key.grid
        patch = self._service.patch_at(run.key, *inside(*point_of(event), (h * side, w * side)))
        found = clusters_of(self._service, run, path)
        return _view(found, int(found.after[patch]), patch)

    @errors_as_messages
    def pick(self, run: Run | None, path: str | None, region: Any) -> ClustersView:
        """Handle the choice of a region by number: the same as a click, without a mouse."""
        if run is None or region is None:
            return same(ClustersView)
        found, chosen = clusters_of(self._service, run, path), whole("region", region)
        if not 0 <= chosen < len(found.votes):
            raise UserError(f"region: expected 0 to {len(found.votes) - 1}, got {chosen}. Pick one of the list.")
        return _view(found, chosen)


def _view(found: Clusters, chosen: int | None = None, patch: tuple[int, int] | None = None) -> ClustersView:
    colours, automatic = core.viz.palette.region_colours(found.count), found.view.run.request.own_clustering is None
    before, after = (
        save_picture(numbered(region_map(found.view.patches, ids, colours, found.changed, chosen), ids))
        for ids in (found.before, found.after)
    )
    return ClustersView(
        before=before,
        after=after,
        summary=summary(found),
        region_facts=PICK_REGION if chosen is None else region_facts(found, chosen, patch),
        region_table=region_table(found, chosen),
        region=gr.Dropdown(
            [(f"Region {vote.region}", vote.region) for vote in found.votes],
            value=None if chosen is None or chosen < 0 else chosen,
        ),
        eps=gr.Slider(value=round(found.automatic.eps, 3)) if automatic else gr.skip(),
        min_samples=gr.Slider(value=found.automatic.min_samples) if automatic else gr.skip(),
    )


NAME = "clusters"
EPS, MIN_SAMPLES = (0.05, 4.0), (1, 60)
"""Ranges of the sliders; the published values are 0.7 and 3 for 196 patches, 1.1 and 7 for 441."""
DENOISE_INFO = (
    "cls subtracts what each patch shares with the whole picture; dice drops regions that resemble all of it."
)


@dataclass(frozen=True)
class ClustersTab:
    """Components of the tab; `denoise`, `automatic`, `eps` and `min_samples` decide every result."""

    summary: gr.HTML
    before: gr.Image
    after: gr.Image
    denoise: gr.Radio
    automatic: gr.Checkbox
    eps: gr.Slider
    min_samples: gr.Slider
    region: gr.Dropdown
    region_facts: gr.HTML
    region_table: gr.HTML


def draw() -> ClustersTab:
    """Draw the components in the caller's Gradio block."""
    summary = gr.HTML(EMPTY_SUMMARY, elem_id="cluster-summary", min_height=60, padding=False)
    with gr.Row(elem_classes="maps"):
        with gr.Column(min_width=140):
            before = shown("Before denoising", "regions-before", "png", **SMALL, height=300)
        with gr.Column(min_width=140):
            after = shown("After denoising", "regions-after", "png", **SMALL, height=300)
    gr.HTML(KEY, padding=False)
    denoise = gr.Radio(list(DENOISE), value=DENOISE[0], label="Denoising", info=DENOISE_INFO, elem_id="denoise")
    automatic = gr.Checkbox(
        True, label="eps and min_samples that suit picture and model (untick to move them)", elem_id="automatic"
    )
    with gr.Row():
        eps = gr.Slider(
            *EPS,
            value=0.7,
            step=0.005,
            label="eps (neighbourhood radius)",
            interactive=False,
            min_width=200,
            elem_id="eps",
        )
        min_samples = gr.Slider(
            *MIN_SAMPLES,
            value=3,
            step=1,
            label="min_samples (minimum neighbours)",
            interactive=False,
            min_width=200,
            elem_id="min-samples",
        )
    region = gr.Dropdown([], value=None, label="Region", elem_id="region", filterable=False)
    region_facts = gr.HTML("", elem_id="region-facts", min_height=44, padding=False)
    region_table = gr.HTML(EMPTY_TABLE, elem_id="region-table", min_height=90, padding=False)
    return ClustersTab(
        summary=summary,
        before=before,
        after=after,
        denoise=denoise,
        automatic=automatic,
        eps=eps,
        min_samples=min_samples,
        region=region,
        region_facts=region_facts,
        region_table=region_table,
    )


def wire(tab: ClustersTab, opened: gr.Tab, shared: Shared, handlers: ClustersHandlers) -> None:
    """Wire the events of this tab alone; the page wires the settings that make a new result."""
    out = outputs(tab, ClustersView)

    def when_active(active: str, run: Any, path: str | None) -> Any:
        """Handle a new result: update the view only if this tab is open."""
        return handlers.refresh(run, path) if active == NAME else same(ClustersView)

    quiet: dict[str, Any] = {"outputs": out, "show_progress_on": [tab.after], **ONE_AT_A_TIME, **PRIVATE}
    opened.select(handlers.refresh, [shared.run, shared.image], **quiet)
    shared.token.change(when_active, [shared.active, shared.run, shared.image], **EACH, **quiet)
    clicked = [tab.before.select, tab.after.select]
    gr.on(clicked, handlers.click, [shared.run, shared.token, shared.image], **quiet)
    tab.automatic.change(  # also if an address or a saved result changes it
        lambda automatic: (gr.Slider(interactive=not automatic), gr.Slider(interactive=not automatic)),
        tab.automatic,
        [tab.eps, tab.min_samples],
        **CHEAP,
    )
    tab.region.input(handlers.pick, [shared.run, shared.image, tab.region], **quiet)
