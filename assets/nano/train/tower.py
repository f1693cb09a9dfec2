"""The image tower of nano as training runs it: any window of the 14 x 14 positions, [CLS] and patches out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cliptrase_core import weights
from cliptrase_core.nano import read_nano

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def shipped() -> Any:
    """The CLIP in the repository, ready to be trained further."""
    return weights.load("nano").model.float().requires_grad_(True)


def fresh(config: dict[str, Any] | None = None) -> Any:
    """A CLIP of nano's shape with random weights."""
    from open_clip.model import CLIP

    config = dict(config or read_nano()[1])
    names = ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu")
    return CLIP(**{name: config[name] for name in names})


def normalised(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float, as CLIP wants its pictures."""
    mean, std = (torch.tensor(values, device=images.device) for values in (MEAN, STD))
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def window(positions: Tensor, side: int, top: int, left: int) -> Tensor:
    """Position embeddings of a square part of the grid.

    Args:
        positions: (1 + g*g, D), row 0 is [CLS].
        side: patches along a side of the part; `top` and `left` say where it begins.

    Returns:
        (side*side, D). A small picture then trains the very positions that a large one uses.
    """
    grid = int((positions.shape[0] - 1) ** 0.5)
    square = positions[1:].reshape(grid, grid, -1)
    return square[top : top + side, left : left + side].flatten(0, 1)


def look(visual: Any, pixels: Tensor, keep: float = 1.0) -> tuple[Tensor, Tensor]:
    """Run the tower.

    Args:
        visual: an open_clip VisionTransformer.
        pixels: (B, 3, H, H), a whole number of patches and no more than the model's grid.
        keep: share of the patches that the transformer sees; the rest is dropped, another draw for every batch.

    Returns:
        (B, D) projected [CLS] and (B, N, D) projected patches.
    """
    tokens = visual.conv1(pixels).flatten(2).transpose(1, 2)  # (B, N, width)
    side = int(tokens.shape[1] ** 0.5)
    grid = int((visual.positional_embedding.shape[0] - 1) ** 0.5)
    top, left = (int(torch.randint(grid - side + 1, ())) for _ in range(2))
    tokens = tokens + window(visual.positional_embedding, side, top, left)
    if keep < 1:
        tokens = tokens[:, torch.randperm(tokens.shape[1])[: round(keep * tokens.shape[1])]]
    cls = (visual.class_embedding + visual.positional_embedding[0]).expand(len(tokens), 1, -1)
    tokens = visual.ln_post(visual.transformer(visual.ln_pre(torch.cat([cls, tokens], dim=1))))
    projected = tokens @ visual.proj  # (B, 1 + N, D)
    return projected[:, 0], projected[:, 1:]
