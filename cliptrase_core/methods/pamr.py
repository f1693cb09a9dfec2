"""Scores of pixels smoothed along colours: PAMR, pixel-adaptive mask refinement (arXiv 2005.08104, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ITERATIONS = 10
DILATIONS = (8, 16)
"""Distances of the eight neighbours in pixels; these and the iterations as NACLIP and ResCLIP set them."""
VALUES_AT_ONCE = 2**24
"""Pixels times words that are smoothed together: 64 MB in float32."""


def smoothed_winners(logits: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
    """Best word of each pixel after smoothing, and its probability among all words.

    Args:
        logits: (P, h, w), scaled; brought to the pixels bilinearly (align_corners=False).
        colours: (3, H, W), on any scale.

    Returns:
        (H, W) int64 index of a word, lowest on ties, and (H, W) float32 in (0, 1].
    """
    size = colours.shape[1:]
    places, shares = colour_neighbours(colours)
    index = torch.zeros(len(places), dtype=torch.int64, device=places.device)
    best, total = torch.full((2, len(places)), -torch.inf, device=places.device)
    step = max(1, VALUES_AT_ONCE // len(places))
    for start in range(0, len(logits), step):
        part = F.interpolate(logits[None, start : start + step].float(), size=tuple(size), mode="bilinear")[0]
        scores = smooth(part.flatten(1).T.contiguous(), places, shares)  # (H*W, words of this part)
        top, at = scores.max(dim=1)
        index = torch.where(top > best, at + start, index)
        best, total = torch.maximum(best, top), torch.logaddexp(total, scores.logsumexp(dim=1))
    return index.reshape(size), (best - total).exp().reshape(size)


def colour_neighbours(colours: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbours of each pixel and how much each counts.

    softmax over neighbours of the mean over channels of -|difference| / (0.1 deviation), where the deviation is
    that of the neighbours and the pixel itself, which counts once for each dilation. Beyond the edge stands the
    edge's pixel.

    Args:
        colours: (3, H, W).

    Returns:
        (H*W, 8 * dilations) int64 indices of pixels, and float32 shares that add to 1.
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
    closeness = torch.zeros(places.shape, device=device)
    for channel in colours.float().flatten(1):
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
        shares: (H*W, neighbours), likewise.

    Returns:
        (H*W, P).
    """
    for _ in range(ITERATIONS):
        scores = F.embedding_bag(places, scores, mode="sum", per_sample_weights=shares)
    return scores
