"""Architectures of open_clip: names and tags, check for support, and construction from weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict
from open_clip.transformer import QuickGELU
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cliptrase_core.errors import InputError, WeightsError, near
from cliptrase_core.models.backbone import unsupported
from cliptrase_core.models.checkpoint import SUFFIXES

QUICK = "-quickgelu"
ACTIVATION = {True: "QuickGELU", False: "GELU"}
CACHED_TOKENS = 50_000
"""Limit of cached texts of a tokenizer: at most 20 MB."""
LONGEST_CACHED_TOKEN = 64
CLIP_MEAN = open_clip.OPENAI_DATASET_MEAN
CLIP_STD = open_clip.OPENAI_DATASET_STD

# Settings of attention other than softmax(q k^T) v on packed projections.
OTHER_ATTENTION = ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn")


def plain(name: str) -> str:
    """Return the architecture's name as in open_clip's list of tags: "ViT-B/16-quickgelu" -> "ViT-B-16"."""
    return name.replace("/", "-").removesuffix(QUICK)


def configuration(name: str) -> dict[str, Any]:
    """Return open_clip's configuration of an architecture that CLIPtrase supports; reads only the installed package.

    Raises:
        InputError: open_clip has no architecture of this name.
        UnsupportedBackboneError: the image tower is not a plain ViT with a [CLS] token.
    """
    known = open_clip.list_models()
    typed, name = name, name.replace("/", "-")
    if name not in known and PurePath(typed).suffix in SUFFIXES:
        expected, got = "nano or an open_clip architecture", f"the file {PurePath(typed).name!r}"
        remedy = "Give the file as pretrained, and here the architecture of its weights, such as ViT-B-16."
        raise InputError("model", expected=expected, got=got, remedy=remedy)
    if name not in known:
        remedy = f"The full list is open_clip.list_models(). {near(name, ['nano', *known])}".strip()
        raise InputError("model", expected="nano or an open_clip architecture", got=repr(name), remedy=remedy)
    config: dict[str, Any] = open_clip.get_model_config(name)
    misfit = _misfit(config)
    if misfit:
        raise unsupported(f"architecture {name}", misfit)
    return config


def _misfit(config: Mapping[str, Any]) -> str | None:
    vision = config["vision_cfg"]
    layers = vision.get("layers", 12)
    if vision.get("timm_model_name"):
        return f"a timm tower ({vision['timm_model_name']})"
    if not isinstance(layers, int):
        return "a ResNet"
    if vision.get("attentional_pool") or "multimodal_cfg" in config:
        return "an attentional pool"
    if vision.get("pool_type", "tok") != "tok":
        return f"pooling {vision['pool_type']!r}"
    if vision.get("block_type") == "custom" or any(vision.get(key) for key in OTHER_ATTENTION):
        return "blocks with another kind of attention"
    return f"{layers} block" if layers < 2 else None


def tags(name: str) -> list[str]:
    """Return the tags of open_clip's weights for an architecture."""
    return list(open_clip.list_pretrained_tags_by_model(plain(name)))


def tag(name: str, pretrained: str) -> dict[str, Any]:
    """Return location, activation, mean and std of open_clip's weights with this tag; {} if there are none."""
    return dict(open_clip.get_pretrained_cfg(plain(name), pretrained))


def tokenizer_for(name: str) -> Callable[..., Tensor]:
    """Return open_clip's tokenizer; CLIP's own is in the package, others need `transformers` and their files."""
    try:
        with _root_logger_as_found():
            tokenizer: Callable[..., Tensor] = open_clip.get_tokenizer(name.replace("/", "-"))
    except Exception as error:
        raise _needs_transformers(name, "tokenizer", error) from error
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        tokenizer.cache = _FewTokens(tokenizer.cache)
    return tokenizer


@contextmanager
def _root_logger_as_found() -> Iterator[None]:
    """Keep open_clip's `logging.info` from installing a handler for good, after which `basicConfig` has no effect.

    Python installs one only if there is none. This one is of this thread alone, and prints what Python would print.
    """
    shown = logging.StreamHandler()
    shown.setLevel(logging.WARNING)
    if logging.root.handlers:
        yield
        return
    logging.root.addHandler(shown)
    try:
        yield
    finally:
        logging.root.removeHandler(shown)


class _FewTokens(dict[str, str]):
    """Cache of a tokenizer that stops growing: open_clip's stores every text that anyone ever typed.

    Entries stay, since the tokenizer looks up a text twice and another thread could remove it in between.
    """

    def __setitem__(self, text: str, tokens: str) -> None:
        if len(self) < CACHED_TOKENS and len(text) <= LONGEST_CACHED_TOKEN:
            super().__setitem__(text, tokens)


def build(name: str, config: Mapping[str, Any]) -> nn.Module:
    """Build the model of `config` with uninitialised weights, which `settle` replaces."""
    settings = {key: value for key, value in config.items() if key != "custom_text"}
    foreign_text = bool(config["text_cfg"].get("hf_model_name"))
    kind = open_clip.CustomTextCLIP if config.get("custom_text") or foreign_text else open_clip.CLIP
    if not foreign_text:
        with _NoRandomNumbers():
            model: nn.Module = kind(**settings)
        return model
    try:
        settings["text_cfg"] = {**settings["text_cfg"], "hf_model_pretrained": False}
        model = kind(**settings)
    except Exception as error:
        raise _needs_transformers(name, "text tower", error) from error
    return model


class _NoRandomNumbers(TorchFunctionMode):
    """Mode without random initialisation of weights, which takes longer than reading them and touches all their memory.

    Torch's alternative, the meta device, imports torch's compiler, which takes two seconds.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if (
            func in (torch.Tensor.normal_, torch.Tensor.uniform_)
            or getattr(func, "__module__", None) == nn.init.__name__
        ):
            return args[0] if args else (kwargs or {})["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def settle(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load weights (names and shapes already checked) into a built model; set float32, eval mode and no gradients."""
    model.load_state_dict(dict(tensors), assign=True)
    model.float().eval().requires_grad_(False)


def requested(name: str, quick_gelu: bool | None) -> bool | None:
    """Return the activation requested by argument or by the architecture's name (True: QuickGELU), or None."""
    return agree(name, True, quick_gelu) if name.endswith(QUICK) else quick_gelu


def agree(label: str, trained: bool, wanted: bool | None) -> bool:
    """Return the activation of the weights; a request for the other one is an error, as it silently costs accuracy."""
    if wanted in (None, trained):
        return trained
    raise WeightsError(
        f"activation of {label}",
        expected=f"{ACTIVATION[trained]}, which belongs to it",
        got=ACTIVATION[not trained],
        remedy="Leave quick_gelu out and use the architecture's name without -quickgelu.",
    )


def check_activation(model: Any, quick_gelu: bool, label: str) -> None:
    """Raise WeightsError unless every block of both towers has the chosen activation."""
    text = getattr(model, "text", model)
    towers = [model.visual.transformer, text.transformer]
    blocks = [block for tower in towers for block in getattr(tower, "resblocks", ())]
    found = {isinstance(block.mlp.gelu, QuickGELU) for block in blocks}
    if found != {quick_gelu}:
        raise WeightsError(
            f"activation of {label}",
            expected=f"{ACTIVATION[quick_gelu]} in every block",
            got=" and ".join(sorted(ACTIVATION[kind] for kind in found)) or "no known activation",
            remedy="This open_clip builds the model differently; install open_clip_torch 3.",
        )


def with_text_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights of the older layout, where names of the text tower have no "text." prefix, to the newer one."""
    if "positional_embedding" not in tensors:
        return dict(tensors)
    renamed: dict[str, Tensor] = convert_to_custom_text_state_dict(dict(tensors))
    return renamed


def without_text_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights of the newer layout, with "text." prefix, for a model without a separate text tower."""
    if "text.positional_embedding" not in tensors:
        return dict(tensors)
    return {key.removeprefix("text."): tensor for key, tensor in tensors.items()}


def look_alike(tensors: Mapping[str, Tensor]) -> str | None:
    """Guess the architecture of weights by the shapes of a few tensors; None if no supported one fits."""
    try:
        width, _, _, patch = tensors["visual.conv1.weight"].shape
        tokens = len(tensors["visual.positional_embedding"])
        text_width, embed_dim = tensors["text_projection"].shape
        words = len(tensors["token_embedding.weight"])
    except (KeyError, ValueError):
        return None
    layers = sum(key.startswith("visual.") and key.endswith("attn.in_proj_weight") for key in tensors)
    seen = (width, patch, layers, math.isqrt(tokens - 1) * patch, text_width, words, embed_dim)
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        vision, text = config["vision_cfg"], config["text_cfg"]
        facts = [vision.get(key) for key in ("width", "patch_size", "layers", "image_size")]
        facts += [text.get("width"), text.get("vocab_size"), config["embed_dim"]]
        if tuple(facts) == seen and _misfit(config) is None:
            return str(name)
    return None


def _needs_transformers(name: str, part: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"{part} of {name}",
        expected="the `transformers` library and the files that it fetches",
        got=type(error).__name__,
        remedy="Run `pip install transformers` and connect once, or choose ViT-B-16.",
    )
