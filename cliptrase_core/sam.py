"""The embedded SAM: `segment_anything`'s own classes, small, with weights that lie in the repository."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cliptrase_core.checkpoint import check_file
from cliptrase_core.errors import WeightsError, explain
from cliptrase_core.storage import unpack

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "sam-nano"
PATCH = 16


def build_sam(config: Mapping[str, Any]) -> Any:
    """A `Sam` with random weights.

    Args:
        config: image_size (pixels, a multiple of 16), width, depth and heads of the encoder, decoder_width.

    Raises:
        WeightsError: segment_anything is not installed.
    """
    try:
        from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    except ImportError as error:
        raise WeightsError(
            explain(
                "segment_anything",
                expected="installed",
                got="no such package",
                remedy="pip install segment-anything",
            )
        ) from error
    size, decoder = int(config["image_size"]), int(config["decoder_width"])
    grid = size // PATCH
    encoder = ImageEncoderViT(
        img_size=size,
        patch_size=PATCH,
        embed_dim=int(config["width"]),
        depth=int(config["depth"]),
        num_heads=int(config["heads"]),
        out_chans=decoder,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
    prompts = PromptEncoder(
        embed_dim=decoder, image_embedding_size=(grid, grid), input_image_size=(size, size), mask_in_chans=16
    )
    masks = MaskDecoder(
        transformer_dim=decoder,
        transformer=TwoWayTransformer(depth=2, embedding_dim=decoder, num_heads=4, mlp_dim=4 * decoder),
        iou_head_hidden_dim=decoder,
    )
    return Sam(encoder, prompts, masks)


def read_sam_nano(folder: Path | None = None) -> Any:
    """The embedded SAM, ready for `segment_anything.SamPredictor`.

    Raises:
        WeightsError: files are missing or damaged, or segment_anything is not installed.
    """
    folder = FOLDER if folder is None else folder
    weights = folder / "model.safetensors"
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        check_file(weights)
        state = unpack(load_file(weights))
        sam = build_sam(config)
        sam.load_state_dict(state)
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(
            explain(
                "embedded model sam-nano",
                expected="whole files in assets/sam-nano",
                got=f"missing or damaged ones ({type(error).__name__})",
                remedy="Restore them with `git checkout -- assets/sam-nano`.",
            )
        ) from error
    return sam.eval().requires_grad_(False)
