"""SAM's objectives: focal and dice of the mask, squared error of the predicted IoU; of three answers only the best."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_losses(logits: Tensor, truth: Tensor) -> Tensor:
    """20 x focal + dice of every answer, (P, M, h, w) logits and (P, h, w) in [0, 1] -> (P, M)."""
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
    """IoU of every answer, (P, M, h, w) and (P, h, w) -> (P, M)."""
    answer, wanted = logits > 0, truth[:, None] > 0.5
    return (answer & wanted).sum((2, 3)) / (answer | wanted).sum((2, 3)).clamp_min(1)


def answer_loss(logits: Tensor, predicted: Tensor, truth: Tensor, several: bool) -> tuple[Tensor, Tensor]:
    """Loss of the answers to one round of prompts.

    Args:
        logits: (P, 4, h, w), the single answer first.
        predicted: (P, 4) predicted IoU.
        truth: (P, h, w) share of each cell that is covered.
        several: the prompt may mean several things: the best of the three other answers counts.

    Returns:
        scalar, and (P,) which answer counts.
    """
    losses = mask_losses(logits, truth)
    chosen = losses[:, 1:].argmin(1) + 1 if several else losses.new_zeros(len(losses), dtype=torch.long)
    rows = torch.arange(len(losses), device=losses.device)
    quality = ((predicted - true_iou(logits, truth)) ** 2)[rows, chosen]
    return (losses[rows, chosen] + quality).mean(), chosen
