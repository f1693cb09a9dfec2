"""Names of models from pages and clients, facts about a loaded model, and the list of offered models. No Gradio."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cliptrase_core.names import NANO
from demo import core, zerogpu
from demo.errors import UserError, as_user_errors
from demo.settings import OFFERED

if TYPE_CHECKING:
    from cliptrase_core import Segmenter


LONGEST = 120
"""Maximum characters of a name; the longest names in open_clip have about 60."""

# Characters of names and tags. No slash or backslash: no value from a page may be the path of a file.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*(:[A-Za-z0-9][A-Za-z0-9_.+-]*)?")


def real_model() -> str:
    """Return the key of the model that nano replaces when needed: the core's default, the paper's backbone."""
    return read_key(core.models.loading.DEFAULT_MODEL)


def read_key(text: Any) -> str:
    """Return the canonical name of a model, such as "nano" or "ViT-B-16:openai".

    Args:
        text: "ViT-B-16" for the usual weights, or "ViT-B-16:tag".

    Raises:
        UserError: a name unknown to open_clip, a model that CLIPtrase cannot run on, or a text that resembles a file.
    """
    plain = text.strip() if isinstance(text, str) else ""
    like_a_file = plain.lower().endswith(core.models.checkpoint.SUFFIXES) or ".." in plain
    if len(plain) > LONGEST or like_a_file or not _KEY.fullmatch(plain):
        raise UserError(
            "model: expected nano or a name that open_clip knows, such as ViT-B-16:openai. Files can only be "
            "given where the page is started, as CLIPTRASE_MODEL."
        )
    with as_user_errors():
        name, pretrained = core.models.loading.parse_model(plain)
        if name == NANO:
            core.models.loading.is_on_disk(name, pretrained)  # refuses other weights
            return NANO
        core.models.architectures.configuration(name)
        known = core.models.architectures.tags(name)
    wanted = _folded(pretrained or "")
    for tag in known:
        if _folded(tag) == wanted:
            return f"{name}:{tag}"
    raise UserError(
        f"weights of {name}: expected a tag that open_clip knows, got {pretrained or 'none'}. "
        f"Known: {', '.join(known) or 'none'}."
    )


def key_of(segmenter: Segmenter) -> str:
    """Return the key of a loaded model."""
    info = segmenter.info
    return NANO if info.name == NANO else f"{info.name}:{info.pretrained}"


def _folded(tag: str) -> str:
    """Return a tag in the form that open_clip compares: it ignores case, and "-" equals "_"."""
    return tag.lower().replace("-", "_")


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a loaded model, for people and for clients.

    Attributes:
        key: canonical name, as from `read_key`.
        name: architecture, or "nano".
        pretrained: tag, file name, or "embedded".
        source: origin of the weights.
        digest: start of the SHA-256 of the weight file.
        parameters: number of learned values.
        nbytes: memory of the weights, in bytes.
        device: name of the device as in torch.
        precision: "fp32", "bf16" or "fp16".
        threads: number of processor threads of one request.
        short_side: native input size in pixels.
        patch: (height, width) of a patch in pixels of the model input.
        layers: number of blocks of the image tower.
        heads: number of heads of each block.
    """

    key: str
    name: str
    pretrained: str
    source: str
    digest: str
    parameters: int
    nbytes: int
    device: str
    precision: str
    threads: int
    short_side: int
    patch: tuple[int, int]
    layers: int
    heads: int


@dataclass(frozen=True)
class Offered:
    """Model that the page proposes.

    Attributes:
        key: canonical name, as from `read_key`.
        megabytes: memory of the weights in MB, about the size of the download.
        remark: advice on its use.
        downloaded: True if its weights are on this computer; None if that is not known yet.
    """

    key: str
    megabytes: int
    remark: str
    downloaded: bool | None


def offered(*, check_disk: bool) -> list[Offered]:
    """Return the models that the page proposes.

    Args:
        check_disk: True also checks which are on this computer, which needs the core and reads the Hub cache.
    """
    return [
        Offered(key, megabytes, remark, _is_available(key) if check_disk else None)
        for key, megabytes, remark in OFFERED
    ]


def facts_of(key: str, segmenter: Segmenter) -> ModelFacts:
    """Return the facts about a loaded model."""
    info, backbone = segmenter.info, segmenter.backbone
    return ModelFacts(
        key=key,
        name=info.name,
        pretrained=info.pretrained,
        source=info.source,
        digest=info.digest,
        parameters=sum(p.numel() for p in info.model.parameters()),
        nbytes=model_bytes(segmenter),
        device=zerogpu.device_name(segmenter.device),
        precision=segmenter.precision,
        threads=core.torch.get_num_threads(),
        short_side=info.short_side,
        patch=backbone.patch,
        layers=len(backbone.blocks),
        heads=int(backbone.blocks[0].attn.num_heads),
    )


def model_bytes(segmenter: Segmenter) -> int:
    """Return the memory of a model's weights, in bytes."""
    return sum(p.numel() * p.element_size() for p in segmenter.info.model.parameters())


def weighed(name: str) -> int:
    """Return the size of an architecture's weights in float32, in bytes, before any are loaded; 0 if it is unknown."""
    config = core.models.architectures.configuration(name)
    if config["text_cfg"].get("hf_model_name"):
        return 0  # the text tower comes from another library: only a full build would show its size
    return 4 * sum(p.numel() for p in core.models.architectures.build(name, config).parameters())


def _is_available(key: str) -> bool:
    return core.models.loading.is_on_disk(*core.models.loading.parse_model(key))
