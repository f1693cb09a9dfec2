"""The layouts that weights come in: names of other libraries and wrappers, turned into open_clip's, or told apart."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

_WRAPPERS = ("module.", "model.", "clip_model.", "clip.")
_STARTS = ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight")
_TRANSFORMERS = "vision_model.embeddings.patch_embedding.weight"
_LAYER = re.compile(r"(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)")
_PARTS = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_NAMES = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    _TRANSFORMERS: "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # so written there
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
_TRANSPOSED = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}
_KINDS = (
    (r"lora_[AB]\b|lora_(up|down)\b", "a LoRA adapter, which holds changes to a model and no model"),
    (r"^image_encoder\.patch_embed\.|^mask_decoder\.", "a SAM, which refines boundaries (--refine, --sam-checkpoint)"),
    (r"^vision_model\.head\.|^text_model\.head\.", "a SigLIP, which has no [CLS] token"),
    (r"^(embeddings|encoder\.layer)\b", "a transformer that is no CLIP, such as BERT or DINOv2"),
    (r"^(backbone\.|teacher\.|student\.)?(patch_embed\.proj|blocks\.0\.attn\.qkv)\.", "a ViT of timm or DINO, no CLIP"),
    (r"^(conv1|layer1\.0\.conv1)\.weight$", "a ResNet, no CLIP"),
    (r"^visual\.layer1\.", "a CLIP with a ResNet, which has no patches to compare"),
    (r"^(down_blocks|up_blocks|(model\.)?diffusion_model)\.", "a diffusion model, no CLIP"),
)
"""What tensors' names tell of files that people take for a CLIP; the first that fits."""


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without what torch.compile, DataParallel and training programs put before them."""
    state = found = {key.replace("_orig_mod.", ""): tensor for key, tensor in state.items()}
    while not any(start in found for start in _STARTS):
        wrapper = next((w for w in _WRAPPERS if any(key.startswith(w) for key in found)), None)
        if wrapper is None:
            return state  # no CLIP under any prefix: its own names say best what it is
        found = {key.removeprefix(wrapper): tensor for key, tensor in found.items()}
    return found


def is_transformers(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the names of a whole CLIP of the library transformers."""
    return {_TRANSFORMERS, "visual_projection.weight", "text_projection.weight"} <= state.keys()


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A CLIP of the library transformers with open_clip's names; what is unknown keeps its own."""
    out: dict[str, Tensor] = {}
    for key, tensor in state.items():
        layer = _LAYER.fullmatch(key)
        if layer:
            tower, number, rest = layer.groups()
            place = f"{'visual.' if tower == 'vision' else ''}transformer.resblocks.{number}."
            if rest.startswith("self_attn.q_proj."):
                kind = rest.rpartition(".")[2]
                parts = [state.get(key.replace("q_proj", f"{letter}_proj")) for letter in "qkv"]
                whole = [part for part in parts if part is not None]
                out[f"{place}attn.in_proj_{kind}"] = torch.cat(whole)
            elif not rest.startswith(("self_attn.k_proj.", "self_attn.v_proj.")):
                part, _, kind = rest.rpartition(".")
                out[f"{place}{_PARTS.get(part, part)}.{kind}"] = tensor
        elif key in _TRANSPOSED:
            out[_TRANSPOSED[key]] = tensor.T
        elif not key.endswith("position_ids"):  # counting numbers that old versions saved
            out[_NAMES.get(key, key)] = tensor
    return out


def activation_beside(path: Path) -> bool | None:
    """Whether the `config.json` of a transformers' folder says QuickGELU; None where there is none that says it."""
    try:
        config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        said = {config[tower]["hidden_act"] for tower in ("text_config", "vision_config")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = {"quick_gelu": True, "gelu": False}
    return known.get(said.pop()) if len(said) == 1 else None


def side_of(tensors: Mapping[str, Tensor]) -> int | None:
    """Pixels a side that the position embeddings are for; None where that is no square, or no CLIP."""
    positions, kernel = (tensors.get(f"visual.{name}") for name in ("positional_embedding", "conv1.weight"))
    if positions is None or kernel is None or positions.ndim != 2 or kernel.ndim != 4 or len(positions) < 2:
        return None
    side = math.isqrt(len(positions) - 1)
    return side * int(kernel.shape[-1]) if side * side == len(positions) - 1 else None


def kind_of(tensors: Mapping[str, Tensor]) -> str | None:
    """What weights are that are no CLIP, by their names; None where that is not known."""
    if is_transformers(tensors) or "visual.conv1.weight" in tensors:
        return None
    for pattern, kind in _KINDS:
        if any(re.search(pattern, key) for key in tensors):
            return kind
    for own, other in (("vision_model.", "image"), ("text_model.", "text")):
        if tensors and all(key.startswith(own) for key in tensors):
            return f"the {other} tower of a CLIP alone"
    return None
