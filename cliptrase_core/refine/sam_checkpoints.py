"""Weights of SAM: from the repository, a file, the hub's cache or the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cliptrase_core.cancel import Progress
from cliptrase_core.errors import WeightsError
from cliptrase_core.io.files import asset, sha256
from cliptrase_core.models import hub
from cliptrase_core.models.checkpoint import check_file, check_fit, expect_whole, read_checkpoint
from cliptrase_core.models.precision import device_by_name
from cliptrase_core.models.storage import unpack
from cliptrase_core.names import SAM_NANO
from cliptrase_core.refine.sam import Sam, build_large, build_sam

FOLDER = asset(SAM_NANO)
COLOURS = {"pixel_mean": (123.675, 116.28, 103.53), "pixel_std": (58.395, 57.12, 57.375)}  # SAM's normalisation
REPOSITORY = "ybelkada/segment-anything"  # Meta's own files


@dataclass(frozen=True)
class Published:
    """Checkpoint published by Meta (github.com/facebookresearch/segment-anything).

    Attributes:
        file: file name.
        sha256: SHA-256 of the content.
        megabytes: size of the download in MB.
        width: width of the encoder, which distinguishes the three models.
    """

    file: str
    sha256: str
    megabytes: int
    width: int


PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "vit_b": Published(
            "sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", 375, 768
        ),
        "vit_l": Published(
            "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", 1250, 1024
        ),
        "vit_h": Published(
            "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", 2564, 1280
        ),
    }
)


def load_sam(name: str, checkpoint: str | Path | None = None, *, device: str = "cpu") -> Sam:
    """Load a SAM in eval mode.

    Args:
        name: "sam-nano", "vit_b", "vit_l" or "vit_h".
        checkpoint: file in Meta's format or .safetensors; None uses the hub's cache, then the hub.
        device: torch device name.

    Raises:
        InputError: torch does not have the device.
        WeightsError: the file is missing, damaged, of another model, or contains more than tensors; the hub does not
            answer, or the download differs from the file that Meta published.
    """
    target = device_by_name(device)
    if name == SAM_NANO:
        if checkpoint is not None:
            raise WeightsError(
                SAM_NANO,
                expected="no checkpoint: it has its own weights",
                got="a checkpoint",
                remedy="Choose vit_b, vit_l or vit_h for a checkpoint of Meta's.",
            )
        model = _nano(FOLDER)
    else:
        path = fetch(name) if checkpoint is None else Path(checkpoint)
        model = _large(name, path)
    return Sam(model.eval().requires_grad_(False).float().to(target), name)


def is_available(name: str) -> bool:
    """Return whether a model needs no download."""
    if name == SAM_NANO:
        return (FOLDER / "model.safetensors").is_file()
    return hub.find_file(REPOSITORY, _place(name)) is not None


def _nano(folder: Path) -> Any:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        check_file(folder / "model.safetensors")
        expect_whole(folder)
        model = build_sam(config)
        model.load_state_dict(unpack(load_file(folder / "model.safetensors")))
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(
            "embedded model sam-nano",
            expected="undamaged files in assets/sam-nano",
            got=f"missing or damaged ones ({type(error).__name__})",
            remedy="Install the program again; in a clone, restore them with `git checkout -- assets/sam-nano`.",
        ) from error
    return model


def _large(name: str, path: Path) -> Any:
    tensors = read_checkpoint(path).tensors
    with torch.device("meta"):  # random weights would take seconds and the same memory again
        model = build_large(name)
    check_fit(tensors, model.state_dict(), file=path.name, architecture=f"SAM {name}", alike=_alike)
    model.load_state_dict(tensors, assign=True)
    for buffer, values in COLOURS.items():  # not in the file
        model.register_buffer(buffer, torch.tensor(values).view(-1, 1, 1), persistent=False)
    return model


def _alike(tensors: Mapping[str, Tensor]) -> str | None:
    positions = tensors.get("image_encoder.pos_embed")
    width = None if positions is None else positions.shape[-1]
    return next((f"SAM {name}" for name, known in PUBLISHED.items() if known.width == width), None)


def _place(name: str) -> str:
    return f"checkpoints/{PUBLISHED[name].file}"


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Return the path of one of `PUBLISHED`, from the hub's cache or the hub; does not load it.

    Args:
        name: "vit_b", "vit_l" or "vit_h".
        progress: progress callback for a download; an exception that it raises ends the download.

    Raises:
        WeightsError: the hub does not answer, or the download differs from the file that Meta published.
    """
    cached = hub.find_file(REPOSITORY, _place(name))
    path = cached or hub.fetch_file(REPOSITORY, (_place(name),), f"SAM {name}", progress)
    # Check cached files too: a program that was stopped after a download has not checked it.
    if sha256(path) != PUBLISHED[name].sha256:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise WeightsError(
            f"weights SAM {name}",
            expected="the file that Meta published",
            got="one with another SHA-256, which was removed",
            remedy="Start again, or pass a file of your own.",
        )
    return path
