"""Loss of SAM: focal and dice loss of the mask, squared error of the predicted IoU; of three masks only the best."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_losses(logits: Tensor, truth: Tensor) -> Tensor:
    """Return 20 x focal + dice loss of every mask: (P, M, h, w) logits, (P, h, w) in [0, 1] -> (P, M)."""
    target = truth[:, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    chance = logits.sigmoid()
    missed = target * (1 - chance) + (1 - target) * chance
    focal = (entropy * missed**2 * (0.25 * target + 0.75 * (1 - target))).mean((2, 3))
    overlap = (chance * target).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (chance.sum((2, 3)) + target.sum((2, 3)) + 1)
    return 20 * focal + dice


@torch.no_grad()
def true_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the IoU of every mask with the ground truth: (P, M, h, w) logits, (P, h, w) -> (P, M)."""
    answer, wanted = logits > 0, truth[:, None] > 0.5
    return (answer & wanted).sum((2, 3)) / (answer | wanted).sum((2, 3)).clamp_min(1)


def answer_loss(logits: Tensor, predicted: Tensor, truth: Tensor, several: bool) -> tuple[Tensor, Tensor]:
    """Compute the loss of the masks for one round of prompts.

    Args:
        logits: (P, 4, h, w), the single mask first, then the three alternatives.
        predicted: (P, 4) predicted IoU.
        truth: (P, h, w) covered share of each cell, in [0, 1].
        several: True if the prompts are ambiguous: the best of the three alternatives counts, not the single mask.

    Returns:
        The scalar loss, and the (P,) index of the mask that counts.
    """
    losses = mask_losses(logits, truth)
    chosen = losses[:, 1:].argmin(1) + 1 if several else losses.new_zeros(len(losses), dtype=torch.long)
    rows = torch.arange(len(losses), device=losses.device)
    quality = ((predicted - true_iou(logits, truth)) ** 2)[rows, chosen]
    return (losses[rows, chosen] + quality).mean(), chosen
