"""The image tower of nano as training runs it: any size up to 14 x 14 patches, [CLS] and patches out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cliptrase_core import weights
from cliptrase_core.nano import read_nano
from cliptrase_core.text import TextEncoder

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


def take_tower(model: Any, state: dict[str, Tensor], image: bool) -> None:
    """Give the model the image tower (with the scale) of a checkpoint, or else its text tower; in place."""
    taken = {name: value for name, value in state.items() if name.startswith(("visual", "logit_scale")) == image}
    model.load_state_dict({**model.state_dict(), **taken})


def word_vectors(model: Any, words: list[str]) -> Tensor:
    """(C, D) unit rows: what the model's text tower says of words."""
    return TextEncoder(model, weights.load("nano").tokenizer).embed(words)


def normalised(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float, as CLIP wants its pictures."""
    mean, std = (torch.tensor(values, device=images.device) for values in (MEAN, STD))
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def positions_of(positions: Tensor, side: int, corner: tuple[int, int]) -> Tensor:
    """Position embeddings of a picture that is a window of a full-size one.

    Args:
        positions: (1 + g*g, D), row 0 is [CLS].
        side: of the window, patches.
        corner: (row, column) of its first patch; row + side and column + side are at most g.

    Returns:
        (side*side, D). Small pictures in many places teach that a thing is the same wherever it stands.
    """
    grid = int((positions.shape[0] - 1) ** 0.5)
    row, column = corner
    square = positions[1:].reshape(grid, grid, -1)
    return square[row : row + side, column : column + side].flatten(0, 1)


def look(visual: Any, pixels: Tensor, corner: tuple[int, int] = (0, 0)) -> tuple[Tensor, Tensor]:
    """Run the tower.

    Args:
        visual: an open_clip VisionTransformer.
        pixels: (B, 3, H, H), a whole number of patches and no more than the model's grid.
        corner: where in the model's grid the pictures lie, see `positions_of`.

    Returns:
        (B, D) projected [CLS] and (B, N, D) projected patches.
    """
    tokens = visual.conv1(pixels).flatten(2).transpose(1, 2)  # (B, N, width)
    tokens = tokens + positions_of(visual.positional_embedding, int(tokens.shape[1] ** 0.5), corner)
    cls = (visual.class_embedding + visual.positional_embedding[0]).expand(len(tokens), 1, -1)
    tokens = visual.ln_post(visual.transformer(visual.ln_pre(torch.cat([cls, tokens], dim=1))))
    projected = tokens @ visual.proj  # (B, 1 + N, D)
    return projected[:, 0], projected[:, 1:]
