"""Names of models as pages and clients give them, facts about a loaded one, and which are offered. No Gradio."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo import core, zerogpu
from demo.errors import UserError, for_people
from demo.settings import OFFERED

if TYPE_CHECKING:
    from cliptrase_core import Segmenter


NANO = "nano"
REAL = "ViT-B-16:openai"
"""What nano stands in for: the paper's backbone, good for photographs; a test compares it with the core's."""

LONGEST = 120
"""Characters of a name: the longest that open_clip knows have some 60."""

# What names and tags are made of. No slash or backslash: nothing that a page sends may name a file.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*(:[A-Za-z0-9][A-Za-z0-9_.+-]*)?")


def read_key(text: Any) -> str:
    """The one way to write a model: "nano", "ViT-B-16:openai".

    Args:
        text: "ViT-B-16" for the usual weights, or "ViT-B-16:tag".

    Raises:
        UserError: no name that open_clip knows, a model that CLIPtrase cannot run on, or anything like a file.
    """

    plain = text.strip() if isinstance(text, str) else ""
    like_a_file = plain.lower().endswith(core.models.checkpoint.SUFFIXES) or ".." in plain
    if len(plain) > LONGEST or like_a_file or not _KEY.fullmatch(plain):
        raise UserError(
            "model: expected nano or a name that open_clip knows, such as ViT-B-16:openai. Files can only be "
            "given where the page is started, as CLIPTRASE_MODEL."
        )
    with for_people():
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
    """The key of a loaded model."""
    info = segmenter.info
    return NANO if info.name == NANO else f"{info.name}:{info.pretrained}"


def split_key(key: str) -> tuple[str, str]:
    """Architecture and weights of a key."""
    name, _, pretrained = key.partition(":")
    return name, pretrained or "embedded"


def _folded(tag: str) -> str:
    """Open_clip does not tell these apart."""
    return tag.lower().replace("-", "_")


@dataclass(frozen=True)
class ModelFacts:
    """A loaded model, for people and for clients.

    Attributes:
        key: how it is asked for.
        name: architecture, or "nano".
        pretrained: tag, file name, or "embedded".
        source: where its weights came from.
        digest: start of the SHA-256 of the weight file.
        parameters: numbers that it has learned.
        nbytes: memory that they take.
        device: as torch names it.
        precision: "fp32", "bf16" or "fp16".
        threads: of the processor, that one request uses.
        short_side: native input size in pixels.
        patch: (height, width) of a patch in pixels of the model.
        layers: blocks of the image tower.
        heads: heads of each block.
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
    """A model that the page proposes.

    Attributes:
        key: how it is asked for.
        megabytes: what it takes in memory, and about what is fetched.
        remark: what it is good for.
        here: whether its weights are on this computer; None while that is not known yet.
    """

    key: str
    megabytes: int
    remark: str
    here: bool | None


def offered(*, look: bool) -> list[Offered]:
    """The models that the page proposes.

    Args:
        look: also find out which are on this computer, which needs the core and reads the Hub cache.
    """
    return [Offered(key, megabytes, remark, _is_here(key) if look else None) for key, megabytes, remark in OFFERED]


def facts_of(key: str, segmenter: Segmenter) -> ModelFacts:
    """Everything about a loaded model."""

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
    """Memory that a model's weights take."""
    return sum(p.numel() * p.element_size() for p in segmenter.info.model.parameters())


def weighed(name: str) -> int:
    """Bytes that an architecture's weights take in float32, before any are loaded; 0 where that cannot be told."""

    config = core.models.architectures.configuration(name)
    if config["text_cfg"].get("hf_model_name"):
        return 0  # its text tower is another library's: only building it in full would tell
    return 4 * sum(p.numel() for p in core.models.architectures.build(name, config).parameters())


def _is_here(key: str) -> bool:

    return core.models.loading.is_on_disk(*core.models.loading.parse_model(key))
