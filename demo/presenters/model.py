"""What runs, in words. Imports no Gradio."""

from __future__ import annotations

from demo.models import NANO, Status
from demo.presenters.common import strip

NANO_LIMITS = "It is small and was trained on drawn scenes: it reads photographs poorly."


def banner(status: Status) -> str:
    """HTML: what runs and where, and why it is not what was asked for."""
    if status.failed:
        return strip("bad", "No model", status.notice or "")
    if not status.ready:
        return strip("busy", "Loading the model", "The page is ready; the first answer may take some seconds.")
    weights = "" if status.pretrained == "embedded" else f", {status.pretrained} weights"
    facts = f"{status.name}{weights} on {status.device}, {status.precision}"
    if status.notice:
        return strip("note", facts, status.notice)
    return strip("calm", facts, f"The embedded model. {NANO_LIMITS}" if status.name == NANO else "")
