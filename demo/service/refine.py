"""Refinement of a result: the available refiners, and one run of one of them. Imports no Gradio."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cliptrase_core.cancel import Progress, quietly
from cliptrase_core.names import EDGES, PROMPTS
from demo import core
from demo.errors import UserError, as_user_errors
from demo.service.segmentation import Run, SegmentView
from demo.settings import REFINERS

if TYPE_CHECKING:
    from cliptrase_core import Refined, Segmentation
    from demo.drawing import Picture

MEGABYTES = {name: megabytes for name, megabytes, _ in REFINERS}
MOST_NAMED = 6
"""Maximum number of lost classes named in a sentence."""
WORKING_BYTES = 4_000_000_000
"""Working memory of Meta's models beside their weights: their input is always 1024 x 1024 pixels."""


def mode_of(refiner: str, mode: Any) -> Any:
    """Return the effective mode: a refiner without a model has only one."""
    return PROMPTS if refiner == EDGES else mode


@dataclass(frozen=True)
class Refinement:
    """Request to a refiner: enough to find or repeat its result, small enough to store for each visitor.

    Attributes:
        run: run whose boundaries are refined.
        refiner: one of `REFINERS`.
        mode: one of `MODES`; without effect if the refiner is not a SAM.
        keep: numbers of the components whose masks are used; None selects masks by their quality.
    """

    run: Run
    refiner: str
    mode: str
    keep: tuple[int, ...] | None = None

    @property
    def token(self) -> str:
        """Short hash of run, refiner and mode, but not of the chosen components."""
        message = repr((self.run, self.refiner, self.mode))
        return hashlib.sha256(message.encode("utf-8", "surrogatepass")).hexdigest()[:24]


@dataclass(frozen=True, eq=False)
class RefinedView:
    """Result before and after refinement, in one frame.

    Attributes:
        request: request for the refinement.
        before: coarse result.
        after: refined result.
        pixels: (H, W, 3), the picture at the size of the labels.
        refined: `after.result`, with its report.
    """

    request: Refinement
    before: SegmentView
    after: SegmentView
    pixels: Picture
    refined: Refined


def is_available(name: str) -> bool:
    """Return whether a refiner can run without a download."""
    return core.refine.is_available(name)


def erased(result: Segmentation) -> tuple[str, ...]:
    """Return the classes that a result lost altogether since its boundaries were refined."""
    return result.erased if isinstance(result, core.results.Refined) else ()


def loss(result: Segmentation) -> str:
    """Return plain text: a sentence about such classes; empty if there are none."""
    names = core.errors.some(erased(result), MOST_NAMED)
    return f"Nothing is left of {names}, which the coarse result has." if names else ""


def expect_available(name: str) -> None:
    """Raise UserError if a refiner's weights would have to be downloaded."""
    if not is_available(name):
        available = ", ".join(known for known, *_ in REFINERS if is_available(known))
        raise UserError(
            f"refiner: expected one whose weights are on the machine that runs this page ({available}), got {name}. "
            f"Fetch it on the Refine tab first ({MEGABYTES[name]} MB), or pick another."
        )


def fetch(name: str, step: Progress) -> None:
    """Download the weights of one of Meta's models to this machine; the next run loads them.

    Args:
        name: one of `REFINERS`.
        step: progress callback (share in [0, 1], description); an exception from it ends the download.

    Raises:
        UserError: no network, a full disk, or a file that is not Meta's.
    """
    if is_available(name):
        return

    with as_user_errors():
        core.refine.sam_checkpoints.fetch(name, step)


def make_refined(
    view: SegmentView,
    pixels: Picture,
    request: Refinement,
    *,
    device: str,
    step: Progress = quietly,
    shown: tuple[Segmentation, Picture] | None = None,
) -> Refined:
    """Refine one result.

    Args:
        view: coarse result.
        pixels: (H, W, 3), the picture in the frame of the labels.
        request: refiner, mode and components.
        device: device for SAM.
        step: progress callback (share in [0, 1], description); an exception from it ends the work.
        shown: the same result and picture at display size, as input for SAM.

    Raises:
        UserError: the weights are not on this machine, or there is too little memory for them.
        CliptraseError: weights that do not fit, or an unknown component.
    """
    expect_available(request.refiner)
    _expect_memory(request.refiner, device)
    step(0.0, "reading the weights" if MEGABYTES.get(request.refiner) else "following edges")
    mode, working = (None, None) if request.refiner in core.refine.FREE else (request.mode, shown)
    refiner = core.refine.load_refiner(
        request.refiner, mode=mode, device=device, working=working, picture_name=request.run.key.picture
    )
    return refiner(view.result, pixels, keep=request.keep, step=step)


def _expect_memory(name: str, device: str) -> None:
    """Raise UserError if memory is too small: the system would end the process without a message, for all visitors."""
    left = core.io.memory.available()
    if name not in core.refine.sam_checkpoints.PUBLISHED or device != "cpu" or left is None:
        return
    needed = MEGABYTES[name] * 1_000_000 + WORKING_BYTES
    if needed > left:
        raise UserError(
            f"{name} needs about {needed / 1e9:.0f} GB of memory, and {left / 1e9:.0f} GB are left. "
            "Pick a smaller refiner, for instance sam-nano."
        )
