"""From features of patches and words to scores."""

from __future__ import annotations

import torch
from torch import Tensor

from cliptrase_core.errors import InputError, explain


def word_logits(scale: float, cls: Tensor, patches: Tensor, text: Tensor, image_prior: bool) -> Tensor:
    """Scores of words at patches, times the picture's own scores where the prior is asked for.

    Args:
        scale: factor of cosines, see `features.MethodFeatures.scale`.
        cls: (D,), unit.
        patches: (N, D), unit rows.
        text: (P, D), unit rows.
        image_prior: see `Segmenter.segment`.

    Returns:
        (N, P).

    Raises:
        InputError: scores overflow.
    """
    text = text.to(patches.dtype)
    logits = scale * patches @ text.T
    if image_prior:
        logits = logits * (scale * cls @ text.T)
    if not bool(torch.isfinite(logits).all()):
        raise InputError(
            explain(
                "scores",
                expected="finite numbers",
                got="an overflow",
                remedy="Use precision fp32, or text features of unit length.",
            )
        )
    return logits
