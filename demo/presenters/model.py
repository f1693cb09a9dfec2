"""Which model runs and what it saw, in words and plain JSON. Imports no Gradio."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Mapping
from typing import Any

from demo.models import NANO, ModelFacts, Offered, Status
from demo.presenters.common import hint, sheet, strip
from demo.service.model_input import ModelInput
from demo.settings import OFFERED

NANO_LIMITS = "Small, for photographs of everyday things; a real CLIP reads them better."
OWN_CHOICE = "Your choice, on this page only."
EMBEDDED_LIMITS = (
    "nano is part of this program, so that it works with no network and every test shows the real computation. "
    "It is small (15 MB) and reads photographs of everyday things, with English words. ViT-B-16:openai is better."
)
STOPPED = strip("note", "Stopped.", "Nothing was changed.")
NOTHING_RUNS = hint("The model is being loaded; what runs is listed here then.")
NOTHING_SEEN = hint("Choose a picture to see exactly what the model is given of it.")


def banner(status: Status, chosen: ModelFacts | None = None) -> str:
    """HTML: what runs and where, and why it is not what was asked for.

    Args:
        status: what runs for whoever chose nothing.
        chosen: the model that this visitor chose.
    """
    if chosen is not None:
        return strip("calm", _runs(chosen.name, chosen.pretrained, chosen.device, chosen.precision), OWN_CHOICE)
    if status.failed:
        return strip("bad", "No model", status.notice or "")
    if not status.ready:
        return strip("busy", "Loading the model", "The page is ready; the first answer may take some seconds.")
    facts = _runs(status.name, status.pretrained, status.device, status.precision)
    if status.notice:
        return strip("note", facts, status.notice)
    return strip("calm", facts, NANO_LIMITS if status.name == NANO else "")


def offer_label(key: str) -> str:
    """Plain text on the button that loads a better model."""
    megabytes = {known: size for known, size, _ in OFFERED}.get(key)
    return f"Load {key}" + (f" ({megabytes / 1000:.1f} GB)" if megabytes else "")


def model_sheet(facts: ModelFacts) -> str:
    """HTML: everything about a model, and the limits of the embedded one."""
    tall, wide = facts.patch
    rows = [
        ("Model", facts.name),
        ("Weights", f"{facts.pretrained} (from: {facts.source})" if facts.source != facts.pretrained else facts.source),
        ("Size", f"{facts.parameters / 1e6:.1f} million parameters, {facts.nbytes / 1e6:.0f} MB in memory"),
        ("Image tower", f"{facts.layers} blocks of {facts.heads} heads, patches of {tall} x {wide} pixels"),
        ("Native size", f"{facts.short_side} pixels along the short side"),
        ("Runs on", f"{facts.device}, {facts.precision}, {facts.threads} processor threads"),
        ("Digest", f"SHA-256 {facts.digest}…"),
    ]
    return sheet(rows) + (hint(EMBEDDED_LIMITS) if facts.name == NANO else "")


def choices(offered: Iterable[Offered]) -> list[tuple[str, str]]:
    """(label, key) of each model that the page proposes."""
    found = []
    for entry in offered:
        here = {True: " · here", False: " · not here yet", None: ""}[entry.here]
        found.append((f"{entry.key} · {entry.megabytes} MB · {entry.remark}{here}", entry.key))
    return found


def loading(key: str, share: float, text: str) -> str:
    """HTML: how far a model has come."""
    return (
        f'<div class="strip busy" role="status"><b>Loading {html.escape(key)}</b> {share:.0%}, {html.escape(text)}'
        f'<progress class="wide" max="1" value="{share:.3f}" aria-label="loading"></progress></div>'
    )


def loaded(facts: ModelFacts) -> str:
    """HTML: a model has become this visitor's."""
    return strip("calm", f"{facts.key} is in use.", "What is on the page is made anew with it.")


def saw_sheet(saw: ModelInput) -> str:
    """HTML: sizes in every frame, and how much of the picture a patch covers."""
    frame = saw.frame
    tall, wide = saw.patch_in_picture
    cut = frame.resized != frame.model
    crop = f"{_size(frame.model)} from row {frame.crop[0]}, column {frame.crop[1]}" if cut else "nothing was cut off"
    rows = [
        ("Your picture", f"{_size(frame.original)} pixels"),
        ("Resized to", f"{_size(frame.resized)} pixels"),
        ("Crop", crop),
        ("Grid", f"{_size(frame.grid)} = {frame.grid[0] * frame.grid[1]} patches of {_size(frame.patch)} pixels"),
        ("One patch", f"covers {tall:.1f} x {wide:.1f} pixels of your picture"),
    ]
    return sheet(rows) + hint("Sizes are height x width. The picture shows the model's own pixels, enlarged.")


def describe_models(loaded: Iterable[ModelFacts], offered: Iterable[Offered]) -> Mapping[str, Any]:
    """Loaded and offered models as plain JSON."""
    return {
        "loaded": [{**dataclasses.asdict(facts), "patch": list(facts.patch)} for facts in loaded],
        "offered": [dataclasses.asdict(entry) for entry in offered],
    }


def _runs(name: str, pretrained: str, device: str, precision: str) -> str:
    weights = "" if pretrained == "embedded" else f", {pretrained} weights"
    return f"{name}{weights} on {device}, {precision}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
