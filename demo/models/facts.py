"""What is known about a loaded model, and which models are offered. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo import core, zerogpu
from demo.settings import OFFERED

if TYPE_CHECKING:
    from cliptrase_core import Segmenter


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
