"""SAM's weights: from the repository, a file, the hub's cache or the hub."""

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

from cliptrase_core.errors import WeightsError, explain
from cliptrase_core.io.files import asset
from cliptrase_core.models import hub
from cliptrase_core.models.checkpoint import check_file, check_fit, expect_whole, read_checkpoint, sha256
from cliptrase_core.models.precision import device_by_name
from cliptrase_core.models.storage import unpack
from cliptrase_core.refine.sam import Sam, build_large, build_sam

NANO = "sam-nano"
FOLDER = asset("sam-nano")
COLOURS = {"pixel_mean": (123.675, 116.28, 103.53), "pixel_std": (58.395, 57.12, 57.375)}  # SAM's own
REPOSITORY = "ybelkada/segment-anything"  # Meta's own files


@dataclass(frozen=True)
class Published:
    """A checkpoint of Meta's (github.com/facebookresearch/segment-anything).

    Attributes:
        file: its name.
        sha256: of its content.
        megabytes: to fetch.
        width: of the encoder, by which a file is told from the others.
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
    """A SAM that is ready to answer.

    Args:
        name: "sam-nano", "vit_b", "vit_l" or "vit_h".
        checkpoint: a file in Meta's format or .safetensors; None looks into the hub's cache, then asks the hub.
        device: as torch names it.

    Raises:
        InputError: torch does not have the device.
        WeightsError: no such file, one that is damaged, of another model or with more than tensors in it; no answer
            from the hub, or a download that is not what Meta published.
    """
    target = device_by_name(device)
    if name == NANO:
        if checkpoint is not None:
            raise WeightsError(
                explain(
                    NANO,
                    expected="its own weights in the repository",
                    got="a checkpoint",
                    remedy="Name vit_b, vit_l or vit_h for a file of Meta's.",
                )
            )
        model = _nano(FOLDER)
    else:
        path = fetch(name) if checkpoint is None else Path(checkpoint)
        model = _large(name, path)
    return Sam(model.eval().requires_grad_(False).to(target), name)


def is_here(name: str) -> bool:
    """Whether a model needs no download."""
    if name == NANO:
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
            explain(
                "embedded model sam-nano",
                expected="whole files in assets/sam-nano",
                got=f"missing or damaged ones ({type(error).__name__})",
                remedy="Install the program again; in a clone, restore them with `git checkout -- assets/sam-nano`.",
            )
        ) from error
    return model


def _large(name: str, path: Path) -> Any:
    tensors = read_checkpoint(path).tensors
    with torch.device("meta"):  # its random weights would take seconds and as much memory again
        model = build_large(name)
    check_fit(tensors, model.state_dict(), file=path.name, architecture=f"SAM {name}", alike=_alike)
    model.load_state_dict(tensors, assign=True)
    for buffer, values in COLOURS.items():  # not in the file, so not there yet
        model.register_buffer(buffer, torch.tensor(values).view(-1, 1, 1), persistent=False)
    return model


def _alike(tensors: Mapping[str, Tensor]) -> str | None:
    positions = tensors.get("image_encoder.pos_embed")
    width = None if positions is None else positions.shape[-1]
    return next((f"SAM {name}" for name, known in PUBLISHED.items() if known.width == width), None)


def _place(name: str) -> str:
    return f"checkpoints/{PUBLISHED[name].file}"


def fetch(name: str, progress: hub.Progress | None = None) -> Path:
    """The file of one of `PUBLISHED`, from the hub's cache or the hub; loads nothing.

    Args:
        name: "vit_b", "vit_l" or "vit_h".
        progress: told about a download; what it raises ends it.

    Raises:
        WeightsError: no answer from the hub, or a download that is not what Meta published.
    """
    cached = hub.find_file(REPOSITORY, _place(name))
    path = cached or hub.fetch_file(REPOSITORY, (_place(name),), f"SAM {name}", progress)
    # Also of what lay in the cache: a program that was ended after a download has not looked at it.
    if sha256(path) != PUBLISHED[name].sha256:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise WeightsError(
            explain(
                f"weights SAM {name}",
                expected="the file that Meta published",
                got="one with another SHA-256, which was removed",
                remedy="Start again, or pass a file of your own.",
            )
        )
    return path
