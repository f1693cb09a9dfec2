"""PAMR, pixel-adaptive mask refinement (Araslanov and Roth, CVPR 2020, arXiv 2005.08104): smooth scores along colours.

Pure functions. The formula of the weights is that of the paper's program (visinf/1-stage-wseg), which the programs of
NACLIP and ResCLIP contain.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.cancel import steps

ITERATIONS = 10
DILATIONS = (8, 16)
"""Distances of the eight neighbours in pixels; these and `ITERATIONS` have the values of NACLIP and ResCLIP."""
VALUES_AT_ONCE = 2**24
"""Pixels times prompts that are smoothed together: 64 MB in float32."""


def smoothed_winners(logits: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best prompt of each pixel after smoothing, and its probability among all prompts.

    Args:
        logits: (P, h, w), scaled; interpolated to pixels bilinearly (align_corners=False).
        colours: (3, H, W), in any value range.

    Returns:
        (H, W) int64 index of a prompt, the lowest on ties, and (H, W) float32 in (0, 1].
    """
    size = colours.shape[1:]
    places, shares = colour_neighbours(colours)
    index = torch.zeros(len(places), dtype=torch.int64, device=places.device)
    best, total = shares.new_full((2, len(places)), -torch.inf)
    step = max(1, VALUES_AT_ONCE // len(places))
    for start in range(0, len(logits), step):
        part = F.interpolate(logits[None, start : start + step].float(), size=tuple(size), mode="bilinear")[0]
        scores = smooth(part.flatten(1).T.contiguous(), places, shares)  # (H*W, prompts of this part)
        top, at = scores.max(dim=1)
        index = torch.where(top > best, at + start, index)
        best, total = torch.maximum(best, top), torch.logaddexp(total, scores.logsumexp(dim=1))
    return index.reshape(size), (best - total).exp().reshape(size)


def colour_neighbours(colours: Tensor) -> tuple[Tensor, Tensor]:
    """Return the neighbours of each pixel and their weights.

    Weights are the softmax over neighbours of the mean over channels of -|difference| / (0.1 deviation). The
    standard deviation is that of the neighbours and the pixel itself, which counts once for each dilation. Pixels
    beyond the edge have the colour of the edge.

    Args:
        colours: (3, H, W), in any value range.

    Returns:
        (H*W, 8 * dilations) int64 indices of pixels, and float32 weights that sum to 1.
    """
    _, height, width = colours.shape
    device = colours.device
    offsets = [(y * d, x * d) for d in DILATIONS for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    places = torch.stack(
        [
            ((rows + y).clamp(0, height - 1)[:, None] * width + (columns + x).clamp(0, width - 1)).flatten()
            for y, x in offsets
        ],
        dim=1,
    )  # (H*W, neighbours)
    closeness = torch.zeros(places.shape, dtype=torch.float32, device=device)
    for channel in steps(colours.float().flatten(1)):
        around = channel[places]
        own = channel[:, None]
        spread = torch.cat([around, own.expand(-1, len(DILATIONS))], dim=1).std(dim=1, keepdim=True)
        closeness -= (around - own).abs() / (1e-8 + 0.1 * spread)
    return places, (closeness / len(colours)).softmax(dim=1)


def smooth(scores: Tensor, places: Tensor, shares: Tensor) -> Tensor:
    """Replace each pixel's scores by the weighted mean of its neighbours', `ITERATIONS` times.

    Args:
        scores: (H*W, P) float32.
        places: (H*W, neighbours) from `colour_neighbours`.
        shares: (H*W, neighbours), their weights.

    Returns:
        (H*W, P).
    """
    for _ in steps(range(ITERATIONS)):
        scores = F.embedding_bag(places, scores, mode="sum", per_sample_weights=shares)
    return scores
