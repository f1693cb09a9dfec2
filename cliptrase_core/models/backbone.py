"""Adapter for any open_clip ViT with a [CLS] token: its weights are read, its modules never changed.

Contains the check for support, the embedding of pixels and the final features; `blocks` runs the blocks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cliptrase_core.errors import InputError, UnsupportedBackboneError
from cliptrase_core.io.geometry import Size
from cliptrase_core.presets import PositionResize

EXPECTED = "an open_clip ViT with a [CLS] token, packed q/k/v and at least 2 blocks"
SUPPORTED = "for example ViT-B-16, ViT-B-32, ViT-L-14, ViT-L-14-336, ViT-H-14 with any of open_clip's weights for them"


class Backbone:
    """The image tower of an open_clip model, run block by block.

    Args:
        visual: `model.visual` of an open_clip model, in eval mode.

    Raises:
        UnsupportedBackboneError: no [CLS] token, no packed q/k/v, or fewer than two blocks.
    """

    def __init__(self, visual: Any) -> None:
        """Check that CLIPtrase can run on this tower; nothing is copied."""
        check_backbone(visual)
        self._visual = visual
        self.blocks: list[Any] = list(self._visual.transformer.resblocks)
        patch = self._visual.conv1.kernel_size
        self.patch: Size = (int(patch[0]), int(patch[1]))
        grid = self._visual.grid_size
        self.native_grid: Size = (int(grid[0]), int(grid[1]))

    @property
    def dtype(self) -> torch.dtype:
        """Float type of the weights and of all activations."""
        dtype: torch.dtype = self._visual.conv1.weight.dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        device: torch.device = self._visual.conv1.weight.device
        return device

    def embed(self, pixels: Tensor, resize: PositionResize) -> Tensor:
        """Return the tokens that enter the first block.

        Args:
            pixels: (B, 3, H, W), normalised; H and W are multiples of the patch size; any device and dtype.
            resize: resizing mode of position embeddings for a grid other than the trained one.

        Returns:
            (B, 1+N, width), [CLS] first.
        """
        visual = self._visual
        grid = pixels.shape[-2] // self.patch[0], pixels.shape[-1] // self.patch[1]
        patches = visual.conv1(pixels.to(self.device, self.dtype))  # (B, width, h, w)
        patches = patches.flatten(2).transpose(1, 2)  # (B, N, width)
        cls = visual.class_embedding.to(self.dtype).expand(len(patches), 1, -1)
        positions = resize_positions(visual.positional_embedding, self.native_grid, grid, resize)
        tokens: Tensor = visual.ln_pre(torch.cat([cls, patches], dim=1) + positions.to(self.dtype))
        return tokens

    def features(self, tokens: Tensor) -> Tensor:
        """Return unit features of all tokens: LN_post, projection, normalisation.

        Args:
            tokens: (B, 1+N, width), output of the last block.

        Returns:
            (B, 1+N, D) float32 (float64 from float64), unit rows.
        """
        out = self._visual.ln_post(tokens)
        if self._visual.proj is not None:
            out = out @ self._visual.proj
        return F.normalize(out.to(torch.promote_types(out.dtype, torch.float32)), dim=-1)


def resize_positions(positions: Tensor, trained: Size, grid: Size, how: PositionResize) -> Tensor:
    """Return position embeddings for another grid; unchanged if the grid is the trained one.

    Args:
        positions: (1+N, width), row 0 is [CLS].
        trained: grid (h, w) of the given embeddings.
        grid: requested grid (h, w).
        how: "published" interpolates by the scale factor (new + 0.1) / old, as the published code does (a small
            shift of coordinates); "size" interpolates to the size with antialiasing, as open_clip and timm do.

    Returns:
        (1+h*w, width) float32 (float64 from float64).
    """
    positions = positions.to(torch.promote_types(positions.dtype, torch.float32))
    # Compare grids, not counts: 7 x 28 has as many patches as 14 x 14 but other positions.
    if grid == trained:
        return positions
    cls, places = positions[:1], positions[1:]
    places = places.T.reshape(1, -1, *trained)  # (1, width, h, w)
    if how == "published":
        scale = [(new + 0.1) / old for new, old in zip(grid, trained, strict=True)]
        places = F.interpolate(
            places, scale_factor=scale, mode="bicubic", align_corners=False, recompute_scale_factor=False
        )
    else:
        places = F.interpolate(places, size=grid, mode="bicubic", align_corners=False, antialias=True)
    return torch.cat([cls, places[0].flatten(1).T])


def image_tower(model: object) -> Any:
    """Return `model.visual`; raise UnsupportedBackboneError if the model has none."""
    visual = getattr(model, "visual", None)
    if visual is None:
        raise unsupported("backbone", f"{type(model).__name__} without an image tower")
    return visual


def check_backbone(visual: object) -> None:
    """Raise UnsupportedBackboneError unless CLIPtrase can run on this image tower."""
    found = _misfit(visual)
    if found:
        raise unsupported("backbone", found)


def expect_no_hooks(visual: Any) -> None:
    """Raise InputError for hooks or another `forward` on modules that are never called, since they would do nothing."""
    for place, block in enumerate(visual.transformer.resblocks, start=1):
        for name, module in (("", block), (".attn", block.attn), (".mlp", block.mlp)):
            if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
                raise InputError(
                    f"block {place}{name} of the model",
                    expected="no hooks and its own forward, since only weights are read",
                    got="a replaced forward" if "forward" in vars(module) else "forward hooks",
                    remedy="Remove them, or change the weights themselves.",
                )


def unsupported(what: str, found: str) -> UnsupportedBackboneError:
    """Return the error for a model, or for an architecture without its weights, on which CLIPtrase cannot run."""
    return UnsupportedBackboneError(what, expected=EXPECTED, got=found, remedy=f"Supported: {SUPPORTED}.")


def _misfit(visual: object) -> str | None:
    kind = type(visual).__name__
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    if not isinstance(getattr(visual, "class_embedding", None), Tensor) or blocks is None:
        return f"{kind}, which has no [CLS] token"
    if len(blocks) < 2:
        return f"{kind} with {len(blocks)} block"
    if getattr(visual, "attn_pool", None) is not None or getattr(visual, "pool_type", "tok") != "tok":
        return f"{kind} that does not read its picture feature from [CLS]"
    if getattr(visual, "final_ln_after_pool", False):
        return f"{kind} with its last norm after the pooling"
    for block in blocks:
        attn = block.attn
        if getattr(attn, "in_proj_weight", None) is None or not hasattr(attn, "out_proj"):
            return f"{type(attn).__name__} without packed q/k/v"
        inner_norm = getattr(attn, "ln_inner", None)
        if (
            getattr(attn, "logit_scale", None) is not None
            or getattr(attn, "head_scale", None) is not None
            or not isinstance(inner_norm, (type(None), nn.Identity))
        ):
            return f"{type(attn).__name__} with scaled attention, which these formulas do not cover"
    return None
