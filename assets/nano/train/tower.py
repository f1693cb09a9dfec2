"""The image tower of nano as training runs it: any size up to 14 x 14 patches, [CLS] and patches out."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
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


def positions_for(positions: Tensor, side: int) -> Tensor:
    """Position embeddings of a picture of `side` x `side` patches that shows what a full-size one shows.

    Args:
        positions: (1 + g*g, D), row 0 is [CLS].
        side: at most g.

    Returns:
        (side*side, D), means of the full grid: every step of a small picture trains all positions of a large one.
    """
    grid = int((positions.shape[0] - 1) ** 0.5)
    square = positions[1:].reshape(grid, grid, -1).permute(2, 0, 1)
    return F.adaptive_avg_pool2d(square, side).flatten(1).T


def look(visual: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Run the tower.

    Args:
        visual: an open_clip VisionTransformer.
        pixels: (B, 3, H, H), a whole number of patches and no more than the model's grid.

    Returns:
        (B, D) projected [CLS] and (B, N, D) projected patches.
    """
    tokens = visual.conv1(pixels).flatten(2).transpose(1, 2)  # (B, N, width)
    tokens = tokens + positions_for(visual.positional_embedding, int(tokens.shape[1] ** 0.5))
    cls = (visual.class_embedding + visual.positional_embedding[0]).expand(len(tokens), 1, -1)
    tokens = visual.ln_post(visual.transformer(visual.ln_pre(torch.cat([cls, tokens], dim=1))))
    projected = tokens @ visual.proj  # (B, 1 + N, D)
    return projected[:, 0], projected[:, 1:]
