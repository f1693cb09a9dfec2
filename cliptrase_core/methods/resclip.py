"""ResCLIP (arXiv 2411.15851): correction of the last block by middle blocks and by a first labelling.

Pure functions. The paper calls the attention from middle blocks RCS (residual cross-correlation self-attention)
and the structure from the first labelling SFR (semantic feedback refinement).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.cancel import steps
from cliptrase_core.io.geometry import Size
from cliptrase_core.methods.pamr import smoothed_winners
from cliptrase_core.methods.registry import ResclipSettings

BLUR = 5.0
"""Standard deviation of the blur of structure rows, in patches along the raster."""
PAIRS_AT_ONCE = 2_000_000
"""Pairs of patches processed together: limits the memory, 16 bytes each."""


def middle_blocks(layers: int) -> range:
    """Return the indices of the blocks whose attention is used: 5 to 8 of 12, in proportion for other depths."""
    return range(layers * 5 // 12, max(layers * 9 // 12, layers * 5 // 12 + 1))


def residual_values(
    k: Tensor, v: Tensor, middle: Tensor, neighbours: Tensor | None, settings: ResclipSettings, structure: Tensor | None
) -> Tensor:
    """Return gain ((1 - middle) softmax(Z) v + middle M v) with s = d ** -0.5.

    Z = s k k^T + neighbours in the first labelling, and
    Z = structure_gain ((1 - structure) s k k^T + structure S) + neighbours with a structure S.

    Args:
        k: (B, heads, T, d), keys of the last block.
        v: (B, heads, T, d), values of the last block.
        middle: (B, heads, T, d), M v: values of the last block mixed by the middle blocks' mean attention.
        neighbours: (T, T), see `attention.neighbour_bias`; None for none.
        settings: parameters of ResCLIP.
        structure: (T, T) from `label_structure`; None in the first labelling.

    Returns:
        (B, heads, T, d).
    """
    scale, bias = k.shape[-1] ** -0.5, neighbours
    if structure is not None:
        scale *= settings.structure_gain * (1 - settings.structure)
        structure = settings.structure_gain * settings.structure * structure
        bias = structure if neighbours is None else structure + neighbours
    own = F.scaled_dot_product_attention(k, k, v, attn_mask=bias, scale=scale)
    return settings.gain * ((1 - settings.middle) * own + settings.middle * middle)


def first_labels(
    logits: Tensor, prompt_labels: Tensor, colours: Tensor, patch: Size, settings: ResclipSettings
) -> Tensor:
    """Return the label of each patch in the first labelling: the most frequent label of its pixels.

    Args:
        logits: (P, h, w), scaled.
        prompt_labels: (P,), class index of each prompt.
        colours: (3, H, W), pixels of the model frame in any value range; H = h * patch height.
        patch: size of a patch in pixels.
        settings: probability below which a pixel is unsure, and the label of unsure pixels.

    Returns:
        (h, w) int64.
    """
    winners, probabilities = smoothed_winners(logits, colours)  # (H, W)
    labels = prompt_labels.to(winners.device)[winners]
    labels = torch.where(probabilities < settings.least, settings.unsure, labels)
    (h, w), (high, wide) = logits.shape[1:], patch
    cells = labels.reshape(h, high, w, wide).transpose(1, 2).flatten(2)  # (h, w, pixels of a patch)
    return cells.mode(dim=-1).values


def label_structure(labels: Tensor) -> Tensor:
    """Return the strength with which patches belong together, from the labels of a first labelling.

    A pair of patches of one label has the value 1, or exp(-distance / largest distance) if the straight line between
    them leaves the label; other pairs have 0. Distances are Chebyshev distances. Lines begin at the patch that comes
    first in the raster. Rows are then blurred along the raster and scaled to sum 1. The matrix is divided by its
    maximum.

    Args:
        labels: (h, w), label of each patch.

    Returns:
        (1+N, 1+N) float32 in [0, 1]; row and column 0 belong to [CLS] and are 0.
    """
    h, w = labels.shape
    count, longest = h * w, max(h - 1, w - 1, 1)
    structure = torch.zeros(count, count, dtype=torch.float32, device=labels.device)
    places = torch.arange(count, dtype=torch.int32, device=labels.device)
    for start in steps(torch.split(places, max(1, PAIRS_AT_ONCE // count))):
        same = labels.flatten()[start][:, None] == labels.flatten()
        first, second = (same & (start[:, None] < places)).nonzero().int().unbind(1)
        first = start[first]
        distance, unbroken = _lines(labels, first, second)
        structure[first, second] = torch.where(unbroken, 1.0, torch.exp(-distance.float() / longest))
    structure = _blurred(structure + structure.T + torch.eye(count, device=labels.device))
    structure = structure / structure.sum(dim=1, keepdim=True)
    return F.pad(structure / structure.max(), (1, 0, 1, 0))


def _lines(labels: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Chebyshev distance of pairs of patches, and whether the line between them stays in their label.

    Args:
        labels: (h, w), label of each patch.
        first: (M,) int32, raster index of the patch at the start of each line.
        second: (M,) int32, raster index of the patch at its end, of the same label.

    Returns:
        (M,) int32 and (M,) bool.
    """
    flat, w = labels.flatten(), labels.shape[1]
    row, column = first // w, first % w
    down, across = second // w - row, second % w - column
    distance = torch.maximum(down.abs(), across.abs())
    unbroken = torch.ones_like(distance, dtype=torch.bool)
    alive = torch.arange(len(first), device=labels.device)
    for step in steps(range(1, max(labels.shape))):
        alive = alive[unbroken[alive] & (distance[alive] > step)]
        twice = 2 * distance[alive]
        y, x = ((2 * step * move[alive] + distance[alive]) // twice for move in (down, across))  # rounded half up
        unbroken[alive] = flat[(row[alive] + y) * w + column[alive] + x] == flat[first[alive]]
    return distance, unbroken


def _blurred(rows: Tensor) -> Tensor:
    """Blur rows (N, N) by a Gaussian truncated at three standard deviations; values beyond the ends are 0."""
    reach = int(3 * BLUR)
    kernel = torch.exp(torch.arange(-reach, reach + 1, device=rows.device).to(rows).square() / (-2 * BLUR**2))
    kernel = kernel / kernel.sum()
    # In parts, because the convolution unfolds its input to 31 times the size.
    parts = torch.split(rows, max(1, PAIRS_AT_ONCE // len(rows)))
    return torch.cat([F.conv1d(part[:, None], kernel[None, None], padding=reach)[:, 0] for part in parts])
