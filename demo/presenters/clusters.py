"""Regions in words and as a table. Whatever a person typed is escaped here. Imports no Gradio."""

from __future__ import annotations

import html

from demo import core
from demo.presenters.common import hint, percent, sort_head, swatch, word
from demo.service.clusters import Clusters, Ids, RegionVote

EMPTY_SUMMARY = hint("Segment a picture to see its regions: patches that look alike, found without any words.")
EMPTY_TABLE = hint("The regions appear here, with the class that each of them voted for.")
PICK_REGION = hint("Click a region, or pick its number, to read about it.")
_COLUMNS = (
    *(("Region", "number"), ("Voted for", "text"), ("Share", "number"), ("Runner-up", "text")),
    *(("Patches", "number"), ("Area", "number")),
)
KEY = (
    '<p class="facts key"><span><i class="sign noise"></i> noise: a patch that is like too few others</span>'
    '<span><i class="sign moved"></i> a patch that denoising moved</span>'
    "<span>The same colour on both sides: the regions that share most patches.</span></p>"
)


def summary(found: Clusters) -> str:
    """HTML: how many regions and noise patches there are, before and after, and how many patches changed."""
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
    """HTML table: each region's class, by how much, the runner-up, its size; largest first, the chosen one marked."""
    if not found.votes:
        return ""
    heads = "".join(sort_head(name, kind, falling=name == "Patches") for name, kind in _COLUMNS)
    rows = sorted(found.votes, key=lambda vote: -vote.patches)
    notes = ""
    if not found.cut.result.settings["vote"]:
        notes = hint("With this method regions do not vote: the table shows what they would say.")
    return (
        '<div class="legend regions"><table><thead><tr><th scope="col"><span class="unseen">Colour</span></th>'
        f"{heads}</tr></thead><tbody>{''.join(_row(found, vote, chosen) for vote in rows)}</tbody></table></div>{notes}"
    )


def region_facts(found: Clusters, chosen: int, patch: tuple[int, int] | None = None) -> str:
    """HTML: what a region is, in a sentence; -1 is the noise.

    Args:
        found: where.
        chosen: region.
        patch: (row, column) that was clicked, if one was.
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
    return f'<p class="facts">{lead}{size}{_said(found, vote)}</p>'


def _said(found: Clusters, vote: RegionVote) -> str:
    names, votes = found.cut.result.class_names, found.cut.result.settings["vote"]
    if vote.winner is None:
        return "Its neighbours claim all of its pixels, so it has no vote."
    told = "It voted for" if votes else "It would vote for"
    text = f"{told} {word(names[vote.winner])}: {percent(vote.share)} of its pixels say so by themselves"
    if vote.second is None:
        return f"{text}."
    return f"{text}; then {word(names[vote.second])} ({percent(vote.second_share)})."


def _row(found: Clusters, vote: RegionVote, chosen: int | None) -> str:

    colour = core.viz.palette.to_hex(core.viz.palette.region_colours(found.count)[vote.region])
    names, classes = found.cut.result.class_names, core.viz.palette.label_colours(found.cut.result)
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
        return hint("One region holds nearly everything: lower eps to part it.")
    return ""


def _regions(ids: Ids) -> str:
    count = len(set(ids[ids >= 0].tolist()))
    return f"{count} region{'' if count == 1 else 's'}"


def _home(region: int) -> str:
    return "noise" if region < 0 else f"region {region}"
