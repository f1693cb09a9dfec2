"""From a key to a model that answers: room for it, its weights, a first run. Imports no Gradio."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from demo import core, zerogpu
from demo.errors import UserError
from demo.models.facts import weighed
from demo.models.keys import NANO
from demo.settings import Settings

if TYPE_CHECKING:
    from cliptrase_core import Segmenter

ROOM = 2.2
"""Memory that loading takes at its peak, over that of the weights: the file's content lies beside the model's."""


def fetch(key: str, progress: Callable[[float, str], None]) -> None:
    """Bring a model's weights onto this computer, if there is memory for them.

    Args:
        key: from `read_key`.
        progress: called with (share in [0, 1], what happens).

    Raises:
        UserError: too little memory, or the weights are elsewhere and nothing can be fetched.
        WeightsError: the transfer failed.
    """

    name, pretrained = core.models.loading.parse_model(key)
    if name == NANO:
        return
    needed, left = ROOM * weighed(name), core.io.memory.available()
    if left is not None and needed > left:
        raise UserError(
            f"{key} needs about {needed / 1e6:.0f} MB of memory to load, and {left / 1e6:.0f} MB are left on the "
            "machine that runs this page. Choose a smaller model, for instance ViT-B-16:openai or nano."
        )
    if core.models.loading.is_on_disk(name, pretrained):
        return
    if not core.models.hub.hub_answers():
        why = "HF_HUB_OFFLINE=1 forbids fetching" if core.models.hub.offline() else "the model hub does not answer"
        raise UserError(
            f"{key} is not on the machine that runs this page, and {why}. Connect it and load again; or start the "
            f"page with a file: CLIPTRASE_MODEL={name}:weights.safetensors. What is loaded goes on working."
        )
    progress(0.0, "asking the model hub")
    core.models.loading.download(name, pretrained, progress=progress)


def ready_by_key(key: str, settings: Settings) -> Segmenter:
    """Load a model by its key; raises what `ready` raises."""

    return ready(*core.models.loading.parse_model(key), settings)


def ready(name: str, pretrained: str | None, settings: Settings) -> Segmenter:
    """Load a model and let it run once, so that the first visitor does not pay for what libraries do once.

    Raises:
        UserError: weights that hold no numbers.
        CliptraseError: weights, device or precision are not what they should be.
    """
    if zerogpu.lent():
        return core.zerogpu_model.ZeroGPUSegmenter(
            name, pretrained, settings.precision
        )  # a first run would spend lent seconds
    build = core.segmenter.Segmenter.from_pretrained
    segmenter = build(name, pretrained, device=settings.device, precision=settings.precision)
    _expect_finite(segmenter)
    side = segmenter.info.short_side
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    segmenter.segment(segmenter.encode(picture), "tree; sky")
    segmenter.capture(picture).maps()
    return segmenter


def _expect_finite(segmenter: Segmenter) -> None:
    """One NaN makes every answer NaN, and libraries say so in words that help nobody."""
    for name, weight in segmenter.info.model.named_parameters():
        if not core.torch.isfinite(weight).all():
            raise UserError(
                f"weights {segmenter.info.pretrained}: expected finite numbers, got NaN or infinity in {name}. "
                "The file is damaged, or its training failed: take another."
            )
