"""The tour in words: each sentence carries the numbers that were just computed. Imports no Gradio."""

from __future__ import annotations

from demo.presenters.common import caption, percent, seconds
from demo.service.tour import STEPS, TourStep

__all__ = ["CAPTIONS", "START", "caption", "step_text"]

TITLES = (
    "A few patches draw everybody's attention",
    "Recovery: compare what patches are",
    "Clustering: patches that agree become a region",
    "Denoising: take away what everything shares",
    "Words: each region votes",
)
CAPTIONS = (
    ("The picture in patches; ours is red", "What our patch looks at"),
    ("Before: what it looks at", "After: its recovered attention"),
    ("Affinity: patches like ours", "Regions, found without any words"),
    ("Regions before", "Regions after"),
    ("CLIP alone", "CLIPtrase"),
)
START = (
    "<p>Five short steps show how a model that was only ever told <i>what</i> is in a picture also knows <i>where</i>. "
    "Each is computed when you open it, by the model named above.</p>"
)


def step_text(step: TourStep) -> str:
    """HTML: title, two or three sentences with the numbers of this run, and what it took."""
    body = (_attention, _recovery, _clusters, _denoising, _words)[step.number - 1](step.facts)
    return (
        f'<div class="tour"><p class="facts">Step {step.number} of {STEPS} · computed now in {seconds(step.seconds)}'
        f"</p><h2>{TITLES[step.number - 1]}</h2><p>{body}</p></div>"
    )


def _attention(f: dict[str, float]) -> str:
    return (
        f"CLIP cuts the picture into {f['patches']:.0f} patches, and in every layer each patch looks at all others. "
        "The patch outlined in red lies in the sky, like its neighbours. Yet in layer "
        f"{f['layer']:.0f} it gives <b>{percent(f['before_global'])}</b> of its attention to {f['global']:.0f} "
        "<b>global patches</b> elsewhere (the strongest outlined in white), at which nearly every other patch looks "
        "too. Such attention says little about what belongs together."
    )


def _recovery(f: dict[str, float]) -> str:
    return (
        "CLIPtrase compares the patches themselves: their queries with queries, keys with keys, values with values. "
        f"Its own surroundings now get <b>{percent(f['after_near'])}</b> instead of {percent(f['before_near'])} "
        f"({percent(f['near_even'])} would be even), the global patches <b>{percent(f['after_global'])}</b> instead "
        f"of {percent(f['before_global'])}. The correlation was there all the time; this recovers it."
    )


def _clusters(f: dict[str, float]) -> str:
    return (
        f"Patches with alike rows of correlation are put together (DBSCAN): <b>{f['regions']:.0f} regions</b> of "
        f"{f['patches']:.0f} patches, {percent(f['noise'])} of which belong to none. No word has been used so far."
    )


def _denoising(f: dict[str, float]) -> str:
    return (
        "What a patch pair shares only because both resemble the whole picture is subtracted, so that global patches "
        f"do not merge regions: {f['before']:.0f} regions become <b>{f['regions']:.0f}</b>, and "
        f"{percent(f['moved'])} of the patches change their region or leave one."
    )


def _words(f: dict[str, float]) -> str:
    return (
        "Only now come the words: every patch is compared with each of them, and every region takes the word that most "
        f"of its pixels chose. Beside CLIP alone, <b>{percent(f['changed'])}</b> of the pixels changed. "
        "Now it is your turn: take this picture over, change the words, or use a picture of your own."
    )
