"""Loading of a model by name: find its weights, check that they fit, and build it.

Weights trained with QuickGELU always run with QuickGELU here; open_clip only warns about a mismatch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from cliptrase_core.cancel import Progress
from cliptrase_core.errors import InputError, WeightsError, is_whole, near
from cliptrase_core.models import architectures, embedded, hub
from cliptrase_core.models.backbone import expect_no_hooks
from cliptrase_core.models.checkpoint import (
    SUFFIXES,
    activation_beside,
    check_file,
    check_fit,
    digest,
    expect_clip,
    read_checkpoint,
    side_of,
)
from cliptrase_core.models.embedded import read_nano
from cliptrase_core.models.hub import hub_answers
from cliptrase_core.names import NANO
from cliptrase_core.presets import ClusterSettings

EMBEDDED = "embedded"
DEFAULT_MODEL = "ViT-B-16"
OPENAI_ARCHITECTURES = ("ViT-B-16", "ViT-B-32", "ViT-L-14", "ViT-L-14-336")
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class ClusteringDefaults:
    """Default clustering parameters of a model, as functions of the number of patches N.

    Attributes:
        eps_per_sqrt_n: factor of sqrt(N) that gives DBSCAN's eps.
        min_samples_per_patch: factor of N that gives DBSCAN's min_samples, which is rounded.
    """

    eps_per_sqrt_n: float = 0.05
    min_samples_per_patch: float = 3 / 196

    def at(self, patches: int) -> ClusterSettings:
        """Return the parameters for N >= 1 patches.

        Raises:
            InputError: no whole number of at least 1.
        """
        if not is_whole(patches) or patches < 1:
            expected, remedy = "a whole number of at least 1", "Give the number of patches of a picture."
            raise InputError("patches", expected=expected, got=repr(patches)[:40], remedy=remedy)
        eps, min_samples = self.eps_per_sqrt_n * patches**0.5, round(self.min_samples_per_patch * patches)
        return ClusterSettings(eps, max(1, min_samples))


@dataclass(frozen=True)
class LoadedModel:
    """Loaded model and its metadata.

    Attributes:
        model: an open_clip model in evaluation mode, without gradients; a segmenter converts it.
        tokenizer: open_clip's tokenizer for the model.
        name: architecture, or "nano".
        pretrained: tag, file name (never a whole path), or "embedded".
        source: origin of the weights, as text for users.
        mean: mean of each channel, of pixels in [0, 1].
        std: standard deviation of each channel, of pixels in [0, 1].
        clustering: default clustering parameters of this model.
        digest: start of the SHA-256 of the weight file.
        short_side: native input size in pixels.
    """

    model: nn.Module
    tokenizer: Callable[..., Tensor]
    name: str
    pretrained: str
    source: str
    mean: Channels
    std: Channels
    clustering: ClusteringDefaults
    digest: str
    short_side: int


@dataclass(frozen=True)
class StartUp:
    """Model to run at the start of the page, and the message about it.

    Attributes:
        name: architecture to run now.
        pretrained: weights to run now.
        fetch: True if the requested model is downloaded while `name` runs.
        reason: reason for the choice of `name`.
        banner: message for the user; None if the requested model runs.
    """

    name: str
    pretrained: str | None
    fetch: bool
    reason: Literal["on disk", "not asked for", "fetching", "hub silent", "offline"]
    banner: str | None


def parse_model(text: str) -> tuple[str, str | None]:
    """Split "ViT-B-16", "ViT-B-16:laion2b_s34b_b88k", "ViT-B-16:file.pt" or "nano" into name and weights."""
    name, _, pretrained = (part.strip() for part in text.partition(":"))
    if not name:
        raise InputError("model", expected="a name", got=repr(text), remedy="For instance nano or ViT-B-16.")
    return name, pretrained or _default_weights(name)


def load(
    name: str = NANO, pretrained: str | os.PathLike[str] | None = None, *, quick_gelu: bool | None = None
) -> LoadedModel:
    """Build a model and load its weights; weights of a tag are downloaded if they are not on disk.

    Args:
        name: "nano" or an open_clip architecture; with its weights as for `parse_model`, if `pretrained` is None.
        pretrained: tag of open_clip, or a file; None for the default weights.
        quick_gelu: activation of a weight file that does not specify its own (True: QuickGELU); None for the default.

    Raises:
        InputError: an unknown name or tag.
        UnsupportedBackboneError: an architecture that CLIPtrase cannot run on; raised before any download.
        WeightsError: weights that are missing, damaged, do not fit or were trained with the other activation.
    """
    _expect_texts(name, pretrained)
    name = name.strip()
    if ":" in name:
        if pretrained is not None:
            got = f"{name!r} and {os.fspath(pretrained)!r}"
            raise InputError("weights", expected="one name of weights", got=got, remedy="Leave one out.")
        name, pretrained = parse_model(name)
    if name == NANO:
        _only_embedded(pretrained)
        return _load_nano(quick_gelu)
    config = architectures.configuration(name)
    origin = _origin(name, pretrained)
    tokenizer = architectures.tokenizer_for(name)  # before a long download, since it may need missing files
    if isinstance(origin, Path):
        return _load_file(name, config, origin, tokenizer, architectures.requested(name, quick_gelu))
    tag = str(pretrained or _default_weights(name))
    label = f"{name}:{tag}"
    config["quick_gelu"] = architectures.agree(
        label, bool(origin.get("quick_gelu")), architectures.requested(name, quick_gelu)
    )
    path, source = hub.find_cached(origin["hf_hub"]), "Hub cache"
    if path is None:
        path, source = hub.fetch(origin["hf_hub"], label), "downloaded"
    model = _assemble(name, config, read_checkpoint(path).tensors, path.name)
    return _describe(model, tokenizer, name, tag, source, [path], {**config, **origin})


def describe(model: nn.Module, tokenizer: Callable[..., Tensor] | None, *, fingerprint: str) -> LoadedModel:
    """Return the description of a model built by the caller.

    Args:
        model: an open_clip model whose image tower CLIPtrase can run on.
        tokenizer: its tokenizer; None takes CLIP's own.
        fingerprint: identifier of the weights.

    Raises:
        InputError: hooks that would not be called, or two different means or deviations.
    """
    visual: Any = model.visual
    expect_no_hooks(visual)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer or architectures.tokenizer_for(DEFAULT_MODEL),
        name="given",
        pretrained="given",
        source="a model that was already built",
        mean=_channels(visual, "mean", architectures.CLIP_MEAN),
        std=_channels(visual, "std", architectures.CLIP_STD),
        clustering=ClusteringDefaults(),
        digest=fingerprint,
        short_side=min(visual.image_size),
    )


def _channels(visual: Any, name: str, usual: Channels) -> Channels:
    """Return "mean" or "std" of a built model; older versions of open_clip store `image_mean` and `image_std`."""
    places = {
        f"preprocess_cfg[{name!r}]": (getattr(visual, "preprocess_cfg", None) or {}).get(name),
        f"image_{name}": getattr(visual, f"image_{name}", None),
    }
    found = {place: tuple(map(float, value)) for place, value in places.items() if value is not None}
    if len(set(found.values())) > 1:
        got = " and ".join(f"{place} {value}" for place, value in found.items())
        raise InputError(f"{name} of the model", expected="one value", got=got, remedy="Set both to the same.")
    return next(iter(found.values()), usual)  # type: ignore[return-value]


def is_on_disk(name: str, pretrained: str | os.PathLike[str] | None = None) -> bool:
    """Return whether `load` works without the network; never uses the network."""
    _expect_texts(name, pretrained)
    if name == NANO:
        _only_embedded(pretrained)
        return embedded.is_available()
    config = architectures.configuration(name)
    origin = _origin(name, pretrained)
    tokenizer = config["text_cfg"].get("hf_tokenizer_name")
    if tokenizer and hub.find_cached(f"{tokenizer}/tokenizer_config.json") is None:
        return False
    return origin.is_file() if isinstance(origin, Path) else hub.find_cached(origin["hf_hub"]) is not None


def download(name: str, pretrained: str | os.PathLike[str] | None = None, progress: Progress | None = None) -> None:
    """Download weights into the Hub cache; does nothing for weights that are files or on disk."""
    if is_on_disk(name, pretrained):  # also checks the request
        return
    origin = _origin(name, pretrained)
    if not isinstance(origin, Path):
        hub.fetch(origin["hf_hub"], f"{name}:{pretrained or _default_weights(name)}", progress)


def choose_start_up(requested: str | None) -> StartUp:
    """Choose the model to run now, within `hub.START_TIME_S`: the requested one if it is on disk, else nano.

    Args:
        requested: name of a model, which is downloaded while nano runs; None for the default model, which is used if
            it is on disk and never downloaded without a request.

    Raises:
        CliptraseError: the request itself is wrong (unknown name, missing file), so that waiting would not help.
    """
    name, pretrained = parse_model(requested or DEFAULT_MODEL)
    if is_on_disk(name, pretrained):
        return StartUp(name, pretrained, False, "on disk", None)
    origin = _origin(name, pretrained)
    if isinstance(origin, Path):
        check_file(origin)  # raises an error with the cause
    silent: Literal["offline", "hub silent"] = "offline" if hub.offline() else "hub silent"
    reason = "not asked for" if not requested else "fetching" if hub_answers(hub.START_TIME_S) else silent
    what = f"{name} ({pretrained})"
    here = "Until then" if reason == "fetching" else "For now"
    nano = f"{here} nano runs, a small embedded model for everyday things."
    by_file = f"or start with a weights file: {name}:path/to/file.safetensors."
    banner = {
        "not asked for": f"{what} is not on this computer. {nano}",
        "fetching": f"{what} is being fetched. {nano}",
        "hub silent": f"{what} is not on this computer, and the model hub did not answer within "
        f"{hub.START_TIME_S:g} s. "
        f"{nano} Connect and load it again, {by_file}",
        "offline": f"{what} is not on this computer, and HF_HUB_OFFLINE=1 forbids fetching it. "
        f"{nano} Unset HF_HUB_OFFLINE and start again, {by_file}",
    }[reason]
    return StartUp(NANO, EMBEDDED, reason == "fetching", reason, banner)


def _default_weights(name: str) -> str | None:
    if name == NANO:
        return EMBEDDED
    return "openai" if architectures.plain(name) in OPENAI_ARCHITECTURES else None


def _only_embedded(pretrained: str | os.PathLike[str] | None) -> None:
    if pretrained not in (None, EMBEDDED):
        got = Path(pretrained or "").name
        remedy = "Leave them out, or name the architecture of your file."
        raise InputError("weights of nano", expected="its embedded ones", got=repr(got), remedy=remedy)


def _expect_texts(name: object, pretrained: object) -> None:
    """Raise InputError unless name and weights are texts, or the weights a path or None."""
    if not isinstance(name, str) or not isinstance(pretrained, (str, os.PathLike, type(None))):
        got = f"{type(name).__name__} and {type(pretrained).__name__}"
        remedy = "For instance 'ViT-B-16' and 'openai'."
        raise InputError("model", expected="a name and a tag or file", got=got, remedy=remedy)


def _origin(name: str, pretrained: str | os.PathLike[str] | None) -> Path | dict[str, Any]:
    """Return the path of a weight file, or open_clip's entry of a tag."""
    _expect_texts(name, pretrained)
    try:
        return _find_origin(name, pretrained)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        got = "a path that this system cannot read"  # the error's own text may contain folders
        remedy = "Check its length and rights."
        raise WeightsError("weights", expected="a tag or a weights file", got=got, remedy=remedy) from error


def _find_origin(name: str, pretrained: str | os.PathLike[str] | None) -> Path | dict[str, Any]:
    if isinstance(pretrained, os.PathLike):
        return Path(pretrained).expanduser()
    tag = pretrained or _default_weights(name)
    facts = architectures.tag(name, tag) if tag else {}
    if facts.get("hf_hub"):
        return facts
    if tag and (Path(tag).suffix.lower() in SUFFIXES or os.sep in tag or "/" in tag or Path(tag).exists()):
        return Path(tag).expanduser()
    known = architectures.tags(name)
    remedy = f"Known tags: {', '.join(known) or 'none, give a file'}. {near(tag or '', known)}"
    got = repr(tag) if tag else "nothing"
    raise InputError(f"weights of {name}", expected="a tag or a weights file", got=got, remedy=remedy.strip())


def _load_file(
    name: str, config: dict[str, Any], path: Path, tokenizer: Callable[..., Tensor], requested: bool | None
) -> LoadedModel:
    """Load a file; its activation is that of an OpenAI archive or of a `config.json`, otherwise the requested one."""
    checkpoint = read_checkpoint(path)
    if checkpoint.from_openai:
        config["quick_gelu"] = architectures.agree(path.name, True, requested)
        remark = "an OpenAI archive: QuickGELU"
    elif checkpoint.from_transformers:
        configured = activation_beside(path)
        config["quick_gelu"] = (
            requested is not False if configured is None else architectures.agree(path.name, configured, requested)
        )
        found = "by its config.json" if configured is not None else "assumed: there is no config.json beside it"
        remark = f"of the library transformers: {architectures.ACTIVATION[config['quick_gelu']]} {found}"
    else:
        config["quick_gelu"] = bool(config.get("quick_gelu")) if requested is None else requested
        remark = f"{architectures.ACTIVATION[config['quick_gelu']]} assumed: the file does not say"
    side = side_of(checkpoint.tensors)
    if side not in (None, config["vision_cfg"]["image_size"]) and not architectures.look_alike(checkpoint.tensors):
        # Build the model for the file's own input size: nothing is resized, no accuracy is lost.
        config["vision_cfg"] = {**config["vision_cfg"], "image_size": side}
        remark += f"; positions for {side} pixels"
    model = _assemble(name, config, checkpoint.tensors, path.name)
    return _describe(model, tokenizer, name, path.name, f"file {path.name} ({remark})", [path], config)


def _load_nano(quick_gelu: bool | None) -> LoadedModel:
    tensors, config, paths = read_nano()
    config["quick_gelu"] = architectures.agree(NANO, bool(config.get("quick_gelu")), quick_gelu)
    extra: dict[str, Any] = {key: config.pop(key) for key in ("clustering", "mean", "std") if key in config}
    model = _assemble(NANO, config, tensors, paths[0].name)
    tokenizer = architectures.tokenizer_for(DEFAULT_MODEL)  # nano uses CLIP's own tokenizer
    return _describe(model, tokenizer, NANO, EMBEDDED, EMBEDDED, paths, {**config, **extra})


def _assemble(name: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor], file: str) -> nn.Module:
    model = architectures.build(name, config)
    rename = architectures.with_text_prefix if hasattr(model, "text") else architectures.without_text_prefix
    tensors = rename(tensors)
    expect_clip(tensors, file=file, architecture=name)
    check_fit(tensors, model.state_dict(), file=file, architecture=name, alike=architectures.look_alike)
    architectures.settle(model, tensors)
    architectures.check_activation(model, bool(config.get("quick_gelu")), name)
    return model


def _describe(
    model: nn.Module,
    tokenizer: Callable[..., Tensor],
    name: str,
    pretrained: str,
    source: str,
    paths: Sequence[Path],
    facts: Mapping[str, Any],
) -> LoadedModel:
    size = facts["vision_cfg"]["image_size"]
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        name=name,
        pretrained=pretrained,
        source=source,
        mean=tuple(facts.get("mean", architectures.CLIP_MEAN)),
        std=tuple(facts.get("std", architectures.CLIP_STD)),
        clustering=ClusteringDefaults(**facts.get("clustering", {})),
        digest=digest(*paths),
        short_side=size if isinstance(size, int) else min(size),
    )
