"""nano's towers for training: construction, initial weights, forward pass, and patch embeddings for evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from cliptrase_core.models.attention import correlated_values, recovered_attention
from cliptrase_core.models.blocks import attention_branch, finish_block, project
from cliptrase_core.models.embedded import read_nano

CONFIG = Path(__file__).resolve().parents[1] / "nano" / "config.json"


def new_model() -> Any:
    """Create an open_clip CLIP with the architecture of nano."""
    config = json.loads(CONFIG.read_text(encoding="utf-8"))
    return open_clip.CLIP(**{name: config[name] for name in ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu")})


def new_visual(state: dict[str, Tensor]) -> Any:
    """Create an open_clip VisionTransformer with the architecture of nano and the given weights."""
    visual = new_model().visual
    visual.load_state_dict(state)
    return visual


def shipped_text() -> Any:
    """Load nano with the weights in the repository."""
    model = new_model()
    model.load_state_dict(read_nano()[0], strict=False)
    return model.eval()


def read_text(path: Path) -> Any:
    """Load the text tower written by text.py into an open_clip CLIP."""
    model = new_model()
    model.load_state_dict(torch.load(path, weights_only=True), strict=False)
    return model.eval()


def shipped_visual() -> dict[str, Tensor]:
    """Return the state of the image tower in the repository."""
    state, _, _ = read_nano()
    return {name.removeprefix("visual."): value for name, value in state.items() if name.startswith("visual.")}


def read_visual(path: Path) -> dict[str, Tensor]:
    """Read a state of the image tower from an `.npz` file or a checkpoint of image.py."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays}
    return {name: value.float() for name, value in torch.load(path, map_location="cpu", weights_only=True).items()}


def rescaled(visual: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """Multiply all weights that write to the residual stream before the last block by `factor`.

    Every LayerNorm removes the factor, so only the last block changes: relative to the residual stream that enters
    it, its attention is then scaled by 1 / factor.
    """
    last = max(int(name.split(".")[2]) for name in visual if name.startswith("transformer.resblocks."))

    def written(name: str) -> bool:
        part = name.split(".")
        if name in ("conv1.weight", "class_embedding", "positional_embedding"):
            return True
        return len(part) > 3 and part[2] != str(last) and part[3:5] in (["attn", "out_proj"], ["mlp", "c_proj"])

    return {name: value * factor if written(name) else value for name, value in visual.items()}


def sharpened(
    visual: dict[str, Tensor], queries_keys: Mapping[int, float], values: Mapping[int, float]
) -> dict[str, Tensor]:
    """Multiply queries, keys and values of blocks by factors; the output of the values stays as it was.

    With larger queries and keys a patch attends to fewer others. Larger values change nothing but attention between
    values, as in CLIPtrase's recovery: the output projection has the inverse factor.

    Args:
        visual: state of the image tower.
        queries_keys: factor (above 0) of the queries and of the keys of each block, blocks counted from 1.
        values: factor (above 0) of the values of each block.
    """
    state = dict(visual)
    for block in {*queries_keys, *values}:
        part, value = f"transformer.resblocks.{block - 1}.attn", values.get(block, 1.0)
        width = state[f"{part}.out_proj.weight"].shape[0]
        factors = torch.tensor([queries_keys.get(block, 1.0)] * 2 + [value]).repeat_interleave(width)
        state[f"{part}.in_proj_weight"] = state[f"{part}.in_proj_weight"] * factors[:, None]
        state[f"{part}.in_proj_bias"] = state[f"{part}.in_proj_bias"] * factors
        state[f"{part}.out_proj.weight"] = state[f"{part}.out_proj.weight"] / value
    return state


def first_tokens(visual: Any, pixels: Tensor) -> Tensor:
    """Return the tokens before the first block: (B, 3, 224, 224) normalised pixels -> (B, 1 + N, width)."""
    tokens = visual.conv1(pixels).flatten(2).transpose(1, 2) + visual.positional_embedding[1:]
    cls = (visual.class_embedding + visual.positional_embedding[0]).expand(len(tokens), 1, -1)
    return visual.ln_pre(torch.cat([cls.to(tokens.dtype), tokens], 1))


def last_tokens(visual: Any, pixels: Tensor) -> Tensor:
    """Return the tokens before the last block: (B, 3, 224, 224) normalised pixels -> (B, 1 + N, width)."""
    tokens = first_tokens(visual, pixels)
    for block in visual.transformer.resblocks[:-1]:
        tokens = block(tokens)
    return tokens


def cls_of(visual: Any, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
    """Return the [CLS] embedding of the whole picture or of sets of patches.

    Args:
        visual: image tower.
        tokens: (B, 1 + N, width) before the last block.
        seen: (B, K, N) bool, K sets of patches that [CLS] attends to in the last block; None: all patches, once.

    Returns:
        (B, K, D) unit rows; K is 1 without `seen`.
    """
    last = visual.transformer.resblocks[-1]
    p = project(last, tokens)
    mask = None if seen is None else F.pad(seen, (1, 0), value=True)[:, None]  # [CLS] always attends to itself
    q = p.q[:, :, :1].expand(-1, -1, 1 if seen is None else seen.shape[1], -1)
    out = tokens[:, :1] + attention_branch(last, F.scaled_dot_product_attention(q, p.k, p.v, attn_mask=mask))
    out = out + last.ls_2(last.mlp(last.ln_2(out)))  # not the core's MLP, which computes in place
    return F.normalize((visual.ln_post(out) @ visual.proj).float(), dim=-1)


@torch.no_grad()
def rungs(visual: Any, pixels: Tensor) -> dict[str, Tensor]:
    """Return the patch embeddings of plain CLIP, with recovered attention, and of ClearCLIP.

    Returns:
        (B, N, D) unit rows by name: "clip", "recovery", "clearclip".
    """
    tokens, last = last_tokens(visual, pixels), visual.transformer.resblocks[-1]
    p = project(last, tokens)
    out = {
        "clip": finish_block(last, tokens, F.scaled_dot_product_attention(p.q, p.k, p.v)),
        "recovery": finish_block(last, tokens, recovered_attention(p.q, p.k, p.v)),
        "clearclip": attention_branch(last, correlated_values(p.q, p.k, p.v, ("qq",))),
    }
    return {
        name: F.normalize((visual.ln_post(value[:, 1:]) @ visual.proj).float(), dim=-1) for name, value in out.items()
    }
