"""Results as the page keeps them: a third of the memory, for the eye as good as before. Imports no Gradio."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from cliptrase_core import Segmentation

Result = TypeVar("Result", bound="Segmentation")
MAPS = ("labels", "regions", "confidence")


@dataclass(frozen=True, eq=False)
class Packed(Generic[Result]):
    """A result with maps of four to six bytes a pixel instead of twelve.

    Labels and regions come back as they were. So does confidence where the result is in the picture's own size and may
    leave the page as it is; of a larger picture it comes back to three digits (float16): enough to be shown, and what
    leaves the page is made anew, see docs/decisions/021-display-size.md.

    Attributes:
        kind: class of the result.
        labels: (H, W), the smallest unsigned type that holds all class names.
        regions: (H, W), one more than the region: 0 where there is none.
        confidence: (H, W) float16, or float32 as it was.
        rest: every other field, by name.
    """

    kind: type[Result]
    labels: npt.NDArray[np.unsignedinteger[Any]]
    regions: npt.NDArray[np.unsignedinteger[Any]]
    confidence: npt.NDArray[np.floating[Any]]
    rest: dict[str, Any]

    @classmethod
    def of(cls, result: Result, *, exact: bool) -> Packed[Result]:
        """Pack a result, with its confidence as it is or to three digits; the result is not kept alive."""
        fields = [field.name for field in dataclasses.fields(result)]
        return cls(
            kind=type(result),
            labels=result.labels.astype(_least(len(result.class_names))),
            regions=(result.regions + 1).astype(_least(int(result.regions.max()) + 1)),
            confidence=result.confidence.astype(np.float32 if exact else np.float16),
            rest={name: getattr(result, name) for name in fields if name not in MAPS},
        )

    def result(self) -> Result:
        """The result, its maps as the core gives them: int32, int32, float32."""
        return self.kind(
            labels=self.labels.astype(np.int32),
            regions=self.regions.astype(np.int32) - 1,
            confidence=self.confidence.astype(np.float32),
            **self.rest,
        )

    @property
    def nbytes(self) -> int:
        """Memory that keeping it takes."""
        return sum(part.nbytes for part in (self.labels, self.regions, self.confidence))


def _least(most: int) -> type[np.unsignedinteger[Any]]:
    """The smallest unsigned type that holds `most`."""
    return next(kind for kind in (np.uint8, np.uint16, np.uint32) if most <= np.iinfo(kind).max)
