"""SAM on a window of its frame: small pictures train the same position embeddings that whole pictures use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PATCH = 16


@dataclass(frozen=True)
class Window:
    """Position of a small picture in the model's square frame, in patches."""

    top: int
    left: int
    side: int

    @property
    def offset(self) -> Tensor:
        """Offset (2,) x, y in pixels, to add to prompts."""
        return torch.tensor([self.left, self.top]) * float(PATCH)

    def cut(self, grid: Tensor) -> Tensor:
        """Crop a grid to the window: (..., g, g) -> (..., side, side)."""
        return grid[..., self.top : self.top + self.side, self.left : self.left + self.side]


def random_window(sam: Any, size: int) -> Window:
    """Draw a random window for a picture of `size` pixels."""
    side, grid = size // PATCH, sam.image_encoder.img_size // PATCH
    top, left = (int(torch.randint(grid - side + 1, ())) for _ in range(2))
    return Window(top, left, side)


def encode(sam: Any, images: Tensor, window: Window) -> Tensor:
    """Encode pictures: (B, H, H, 3) uint8 -> (B, decoder width, side, side)."""
    encoder = sam.image_encoder
    pixels = (images.float().permute(0, 3, 1, 2) - sam.pixel_mean) / sam.pixel_std
    positions = window.cut(encoder.pos_embed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    tokens = encoder.patch_embed(pixels) + positions
    for block in encoder.blocks:
        tokens = block(tokens)
    return encoder.neck(tokens.permute(0, 3, 1, 2))


def decode(
    sam: Any,
    embedding: Tensor,
    window: Window,
    *,
    points: tuple[Tensor, Tensor] | None,
    box: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Predict masks for the prompts of several pictures, the same number for each, ordered by picture.

    Args:
        sam: SAM model.
        embedding: (B, decoder width, side, side).
        window: position of the pictures in the model's frame.
        points: (P, n, 2) x, y and (P, n) labels, pixels of the small pictures.
        box: (P, 4), in pixels of the picture.
        mask: (P, 1, 4 side, 4 side) logits.

    Returns:
        (P, 4, 4 side, 4 side) logits, the single mask first, and (P, 4) predicted IoU.
    """
    offset = window.offset.to(embedding.device)
    moved = None if points is None else (points[0] + offset, points[1])
    moved_box = None if box is None else box + offset.repeat(2)
    prompts = sam.prompt_encoder
    sparse, dense = prompts(points=moved, boxes=moved_box, masks=mask)
    if mask is None:
        dense = window.cut(dense)
    # The decoder accepts one picture's embedding and adds it to every dense prompt. Here it gets zeros, and each
    # prompt already includes the embedding of its own picture, so one call handles many pictures.
    dense = dense + embedding.repeat_interleave(len(dense) // len(embedding), dim=0)
    return sam.mask_decoder.predict_masks(
        image_embeddings=torch.zeros_like(embedding[:1]),
        image_pe=window.cut(prompts.get_dense_pe()),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
    )
