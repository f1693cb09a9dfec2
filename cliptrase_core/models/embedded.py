"""The embedded CLIP: a small model in the repository, so that everything works without a network.

Its two files, one per tower, store matrices in 8 bits with one fp16 scale per row and everything else in fp16. The
token embedding contains only the rows of tokens that occurred in training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cliptrase_core.errors import WeightsError
from cliptrase_core.io.files import asset
from cliptrase_core.models import storage
from cliptrase_core.models.checkpoint import check_file, expect_whole

FOLDER = asset("nano")

WEIGHTS = ("image.safetensors", "text.safetensors")
ROWS = "token_rows"
EMBEDDING = "token_embedding.weight"


def is_available() -> bool:
    """Return whether the files of the embedded model's weights and configuration exist; reads none of them."""
    return all((FOLDER / name).is_file() for name in ("config.json", *WEIGHTS))


def read_nano() -> tuple[dict[str, Tensor], dict[str, Any], tuple[Path, ...]]:
    """Read the embedded model: (state dict in float32, configuration, paths of the two weight files).

    Raises:
        WeightsError: a file is missing or damaged.
    """
    weights = tuple(FOLDER / name for name in WEIGHTS)
    for file in (*weights, FOLDER / "config.json"):
        if not file.is_file():
            raise WeightsError(
                "embedded model nano",
                expected=f"assets/nano/{file.name} beside the package",
                got="no such file",
                remedy="The installation or checkout is incomplete: install or clone it again.",
            )
    for file in weights:
        check_file(file)
    try:
        expect_whole(FOLDER)
        config: dict[str, Any] = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
        packed = {name: value for file in weights for name, value in load_file(file).items()}
        return unpack(packed, config["text_cfg"]["vocab_size"]), config, weights
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, IndexError) as error:
        raise WeightsError(
            "embedded model nano",
            expected="undamaged files in assets/nano",
            got=f"damaged files ({type(error).__name__})",
            remedy="Install the program again; in a clone, restore them with `git checkout -- assets/nano`.",
        ) from error


def unpack(packed: Mapping[str, Tensor], vocabulary_size: int) -> dict[str, Tensor]:
    """Convert stored tensors to a float32 state dict.

    Args:
        packed: int8 tensors with a fp16 `<name>.scale` (one number per row), fp16 tensors, and `token_rows`.
        vocabulary_size: number of rows of the token embedding; rows that are not stored become zero.
    """
    state = storage.unpack({name: tensor for name, tensor in packed.items() if name != ROWS})
    embedding = state[EMBEDDING].new_zeros(vocabulary_size, state[EMBEDDING].shape[1])
    embedding[packed[ROWS].long()] = state[EMBEDDING]
    return {**state, EMBEDDING: embedding}
