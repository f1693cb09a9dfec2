"""Reading of CLIP weight files in all common formats, without running code from them, and check that they fit.

Messages contain names of files, never of folders.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cliptrase_core.errors import WeightsError
from cliptrase_core.io.files import sha256
from cliptrase_core.models.torchscript import read_torchscript

PICKLE_SUFFIXES = (".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *PICKLE_SUFFIXES)

OPENAI_MARKS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Names of three numbers among the tensors of OpenAI's archives; no other CLIP has them."""

_STATES = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs store the weights, next to the optimiser's state."""

FETCH_AGAIN = "Fetch the file again."

MAX_TENSORS = 20_000
"""Limit of tensors in a file. ViT-bigG has 1,500; a training state with two optimiser tensors for each, 4,500."""

MAX_HEADER = 5_000_000
"""Limit of the header of a .safetensors file in bytes; about 100 are needed for each tensor."""


@dataclass(frozen=True)
class Checkpoint:
    """Content of a weight file.

    Attributes:
        tensors: float32 weights by name, with the names of an open_clip model.
        from_openai: True if the file has the marks of an OpenAI archive.
        from_transformers: True if the file had the names of the library transformers.
    """

    tensors: dict[str, Tensor]
    from_openai: bool
    from_transformers: bool = False


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a .safetensors file, a state dict (plain or wrapped) or an OpenAI TorchScript archive.

    Names of the library transformers are converted to open_clip's; prefixes of training programs are removed.

    Raises:
        WeightsError: the file is missing, damaged, of another kind, or holds more than tensors.
    """
    check_file(path)
    safe = path.suffix.lower() == ".safetensors"
    script = not safe and _is_torchscript(path)
    state = _safetensors(path) if safe else _script_state(path) if script else _pickle_state(path)
    state = unwrapped(state)
    renamed = is_transformers(state)
    if renamed:
        try:
            state = from_transformers(state)
        except RuntimeError as error:  # parts of different widths
            raise _error(path, "the tensors of one CLIP", "attention weights that do not fit", FETCH_AGAIN) from error
    from_openai = script or not OPENAI_MARKS.isdisjoint(state)
    _expect_numbers(state, path)
    # A safetensors file is mapped into memory; the copy protects from later changes of the file.
    tensors = {
        key: tensor.to(torch.float32, copy=safe).contiguous()
        for key, tensor in state.items()
        if key not in OPENAI_MARKS
    }
    return Checkpoint(tensors, from_openai, renamed)


def expect_whole(folder: Path) -> None:
    """Check bundled files against `sha256.txt` in the same folder, which `sha256sum -c` reads too.

    Raises:
        ValueError: a file was changed.
        OSError: a file is missing.
    """
    for line in (folder / "sha256.txt").read_text(encoding="ascii").splitlines():
        expected, name = line.split()
        if sha256(folder / name) != expected:
            raise ValueError(f"{name} has changed")


def _expect_numbers(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise WeightsError for more tensors than any model has, and for values that are not finite."""
    if len(state) > MAX_TENSORS:
        raise _error(path, f"at most {MAX_TENSORS} tensors", str(len(state)), "Give the weights of one model.")
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise _error(path, "finite numbers", f"NaN or infinity in {name}", FETCH_AGAIN)


def check_file(path: Path) -> None:
    """Raise WeightsError unless `path` is a file with a known suffix, not empty and no Git LFS pointer."""
    where = "Give the path of a .safetensors, .pt, .pth or .bin file."
    if path.is_dir():
        raise _error(path, "a file", "a folder", where)
    if not path.is_file():
        raise _error(path, "a file", "no such file", where)
    if path.suffix.lower() not in SUFFIXES:
        raise _error(path, "a name that ends in " + ", ".join(SUFFIXES), repr(path.suffix), where)
    if path.stat().st_size == 0:
        raise _error(path, "weights", "an empty file", FETCH_AGAIN)
    with path.open("rb") as file:
        if file.read(24).startswith(b"version https://git-lfs"):
            raise _error(path, "weights", "a Git LFS pointer", "Run `git lfs pull` in its repository.")


def digest(path: Path, *more: Path) -> str:
    """Return 12 hexadecimal digits: the start of a file's SHA-256, or of the SHA-256 of several files' digests."""
    if more:
        return hashlib.sha256("".join(digest(file) for file in (path, *more)).encode()).hexdigest()[:12]
    real = path.resolve()
    if real.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", real.name):
        return real.name[:12]  # the hub's cache names large files by their SHA-256
    return sha256(real)[:12]


def expect_clip(tensors: Mapping[str, Tensor], *, file: str, architecture: str) -> None:
    """Raise WeightsError if the tensors are recognised as another kind of model, or as only one tower of a CLIP.

    Args:
        tensors: weights by name, as in the file.
        file: name of the file.
        architecture: name of the model.
    """
    kind = kind_of(tensors)
    if kind:
        remedy = "Give the weights of a CLIP with a ViT."
        raise WeightsError(f"weights {file} for {architecture}", expected="a CLIP", got=kind, remedy=remedy)


def check_fit(
    tensors: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    file: str,
    architecture: str,
    alike: Callable[[Mapping[str, Tensor]], str | None],
) -> None:
    """Raise WeightsError unless `tensors` has the names and shapes of `wanted`; the message names the first mismatch.

    Args:
        tensors: weights by name, as in the file.
        wanted: state dict of the model.
        file: name of the file.
        architecture: name of the model.
        alike: function that guesses the architecture of the tensors; called only if they do not fit.
    """
    misfit = _first_misfit(tensors, wanted)
    if misfit:
        guess = alike(tensors)
        remedy = "Name the architecture that the file is for."
        if guess and guess != architecture:
            remedy = f"The file looks like {guess}: name that architecture."
        expected, got = misfit
        raise WeightsError(f"weights {file} for {architecture}", expected=expected, got=got, remedy=remedy)


def _first_misfit(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return (expected, got) of the first mismatch, or None if everything fits."""
    for name, model_tensor in wanted.items():
        if name not in tensors:
            return f"a tensor {name}", "none"
        expected, got = tuple(model_tensor.shape), tuple(tensors[name].shape)
        if expected == got:
            continue
        if name == "visual.positional_embedding" and expected[1:] == got[1:]:
            patch = wanted["visual.conv1.weight"].shape[-1]
            sizes = _pixels(expected[0], patch), _pixels(got[0], patch)
            return f"position embeddings for {sizes[0]}", f"position embeddings for {sizes[1]}"
        return f"{name} of shape {expected}", str(got)
    extra = sorted(tensors.keys() - wanted.keys())
    more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
    return ("no further tensors", f"also {extra[0]}{more}") if extra else None


def _pixels(tokens: int, patch: int) -> str:
    side = math.isqrt(tokens - 1)
    return f"{side * patch} pixels ({tokens} tokens)" if side * side == tokens - 1 else f"{tokens} tokens"


def _safetensors(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        if MAX_HEADER < header < path.stat().st_size:  # checked before 300,000 tensors are created from it
            raise _error(path, "a safetensors file of one model", "a header that is far too long", FETCH_AGAIN)
    try:
        return _tensors_only(load_file(path), path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _error(path, "a safetensors file", "a damaged file or another format", FETCH_AGAIN) from error


def _is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive: unlike other zip files of weights, it has code and constants."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    inner = [name.partition("/")[2] for name in names]  # the first folder is the archive's own name
    return "constants.pkl" in inner and any(name.startswith("code/") for name in inner)


def _script_state(path: Path) -> dict[str, Tensor]:
    try:
        return _tensors_only(read_torchscript(path), path)
    except WeightsError:
        raise
    except Exception as error:
        raise _error(path, "a TorchScript archive of tensors", f"another one ({error})"[:120], FETCH_AGAIN) from error


def _pickle_state(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about the pickle's version do not help users
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if isinstance(error, pickle.UnpicklingError) and _starts_like_a_pickle(path):
            raise _error(
                path,
                "tensors and nothing else",
                "a pickle with other objects, which could run code; refused unopened",
                "Save its state dict as .safetensors with a program that you trust.",
            ) from error
        raise _error(path, "weights", "a damaged file or another format", FETCH_AGAIN) from error
    for key in _STATES:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    return _tensors_only(loaded, path)


def _starts_like_a_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _tensors_only(loaded: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(loaded, dict) and loaded and all(isinstance(value, Tensor) for value in loaded.values()):
        return dict(loaded)
    got = "an empty one" if loaded == {} else "something else"
    raise _error(path, "a dictionary of tensors", got, "Give a state dict, for instance .safetensors.")


def _error(path: Path, expected: str, got: str, remedy: str) -> WeightsError:
    return WeightsError(f"weights file {path.name}", expected=expected, got=got, remedy=remedy)


def fingerprint(model: nn.Module) -> str:
    """Return a short digest of the start of every tensor; it identifies the weights of a built model."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().flatten()[:1024].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


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
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # spelling of transformers
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
"""Patterns of tensor names in files that are often mistaken for a CLIP, with descriptions; the first match counts."""


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the name prefixes of torch.compile, DataParallel and training programs."""
    state = found = {key.replace("_orig_mod.", ""): tensor for key, tensor in state.items()}
    while not any(start in found for start in _STARTS):
        wrapper = next((w for w in _WRAPPERS if any(key.startswith(w) for key in found)), None)
        if wrapper is None:
            return state  # no CLIP under any prefix: the original names identify it best
        found = {key.removeprefix(wrapper): tensor for key, tensor in found.items()}
    return found


def is_transformers(state: Mapping[str, Tensor]) -> bool:
    """Return whether these are the names of a whole CLIP of the library transformers."""
    return {_TRANSFORMERS, "visual_projection.weight", "text_projection.weight"} <= state.keys()


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a CLIP of the library transformers to open_clip's names; unknown tensors keep theirs."""
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
        elif not key.endswith("position_ids"):  # consecutive numbers that old versions saved
            out[_NAMES.get(key, key)] = tensor
    return out


def activation_beside(path: Path) -> bool | None:
    """Return whether `config.json` in the same folder specifies QuickGELU; None if no activation is found."""
    try:
        config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        activations = {config[tower]["hidden_act"] for tower in ("text_config", "vision_config")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = {"quick_gelu": True, "gelu": False}
    return known.get(activations.pop()) if len(activations) == 1 else None


def side_of(tensors: Mapping[str, Tensor]) -> int | None:
    """Return the input side in pixels, from the position embeddings; None if the input is not square or no CLIP."""
    positions, kernel = (tensors.get(f"visual.{name}") for name in ("positional_embedding", "conv1.weight"))
    if positions is None or kernel is None or positions.ndim != 2 or kernel.ndim != 4 or len(positions) < 2:
        return None
    side = math.isqrt(len(positions) - 1)
    return side * int(kernel.shape[-1]) if side * side == len(positions) - 1 else None


def kind_of(tensors: Mapping[str, Tensor]) -> str | None:
    """Describe weights that are not a whole CLIP, by their names; None if they are a CLIP or unknown."""
    if is_transformers(tensors) or "visual.conv1.weight" in tensors:
        return None
    for pattern, kind in _KINDS:
        if any(re.search(pattern, key) for key in tensors):
            return kind
    for own, other in (("vision_model.", "image"), ("text_model.", "text")):
        if tensors and all(key.startswith(own) for key in tensors):
            return f"the {other} tower of a CLIP alone"
    return None
