"""Methods: how the last block mixes patches, and whether regions vote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.attention import recovered_attention
from cliptrase_core.errors import expect_one_of

Mix = Callable[[Tensor, Tensor, Tensor], Tensor]
"""q, k, v (B, heads, T, d) -> mixed values (B, heads, T, d)."""


@dataclass(frozen=True)
class Method:
    """One way from patch tokens to labels.

    Attributes:
        name: as it is asked for.
        title: as it is shown.
        source: paper.
        mix: attention of the last block.
        regions_vote: whether clusters of the recovered affinity take their majority label.
    """

    name: str
    title: str
    source: str
    mix: Mix
    regions_vote: bool


METHODS = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("cliptrase", "CLIPtrase", "Shao et al., ECCV 2024", recovered_attention, regions_vote=True),
            Method("clip", "CLIP", "Radford et al., ICML 2021", F.scaled_dot_product_attention, regions_vote=False),
        )
    }
)


def method_by_name(name: str) -> Method:
    """Look a method up.

    Raises:
        InputError: unknown name.
    """
    expect_one_of("method", name, METHODS)
    return METHODS[name]
