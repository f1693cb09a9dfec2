"""From an encoding to scores of words at patches, by the features of a method."""

from __future__ import annotations

import torch
from torch import Tensor

from cliptrase_core.backbone import Backbone
from cliptrase_core.blocks import finish_block, project
from cliptrase_core.errors import InputError, explain
from cliptrase_core.methods import METHODS, Method
from cliptrase_core.result import ImageEncoding


def method_features(backbone: Backbone, encoding: ImageEncoding, method: Method) -> tuple[Tensor, Tensor]:
    """[CLS] (D,) and patch (N, D) features of a method, unit rows; only the last block can differ."""
    if method.mix is METHODS["cliptrase"].mix:
        return encoding.cls, encoding.patches
    last, tokens = backbone.blocks[-1], encoding.last_input[None]
    p = project(last, tokens)
    features = backbone.features(finish_block(last, tokens, method.mix(p.q, p.k, p.v)))[0]
    return features[0], features[1:]


def word_logits(scale: float, cls: Tensor, patches: Tensor, text: Tensor, image_prior: bool) -> Tensor:
    """Scores of words at patches, times the picture's own scores where the prior is asked for.

    Args:
        scale: exp(logit_scale) of the model.
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
