"""Results as the page keeps them: a third of the memory, for the eye as good as before. Imports no Gradio."""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from cliptrase_core import Segmentation

Result = TypeVar("Result", bound="Segmentation")
FAST = 1
MAPS = ("labels", "regions", "confidence")


@dataclass(frozen=True)
class Squeezed:
    """A map of whole numbers from 0, compressed.

    Attributes:
        data: by zlib.
        kind: type of the numbers.
        size: (H, W).
    """

    data: bytes
    kind: type[np.unsignedinteger[Any]]
    size: tuple[int, ...]

    @classmethod
    def of(cls, values: npt.NDArray[np.int32]) -> Squeezed:
        """Squeeze a map (H, W) in the smallest unsigned type that holds it."""
        most = int(values.max())
        kind = next(kind for kind in (np.uint8, np.uint16, np.uint32) if most <= np.iinfo(kind).max)
        return cls(zlib.compress(np.ascontiguousarray(values, kind), FAST), kind, values.shape)

    def values(self) -> npt.NDArray[np.int32]:
        """The map as it was."""
        flat = np.frombuffer(zlib.decompress(self.data), self.kind)
        return flat.reshape(self.size).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Packed(Generic[Result]):
    """A result with maps of little more than two (or four) bytes a pixel instead of twelve.

    Labels and regions, which are the same over wide areas, are compressed, and come back as they were. So does
    confidence where the result is in the picture's own size and may leave the page as it is; of a larger picture it
    comes back to three digits (float16): enough to be shown, and what leaves the page is made anew, see
    docs/decisions/021-display-size.md.

    Attributes:
        kind: class of the result.
        labels: in the smallest unsigned type that holds all class names.
        regions: likewise, one more than the region: 0 where there is none.
        confidence: (H, W) float16, or float32 as it was.
        rest: every other field, by name.
    """

    kind: type[Result]
    labels: Squeezed
    regions: Squeezed
    confidence: npt.NDArray[np.floating[Any]]
    rest: dict[str, Any]

    @classmethod
    def of(cls, result: Result, *, exact: bool) -> Packed[Result]:
        """Pack a result, with its confidence as it is or to three digits; the result is not kept alive."""
        fields = [field.name for field in dataclasses.fields(result)]
        return cls(
            kind=type(result),
            labels=Squeezed.of(result.labels),
            regions=Squeezed.of(result.regions + 1),
            confidence=result.confidence.astype(np.float32 if exact else np.float16),
            rest={name: getattr(result, name) for name in fields if name not in MAPS},
        )

    def result(self) -> Result:
        """The result, its maps as the core gives them: int32, int32, float32."""
        return self.kind(
            labels=self.labels.values(),
            regions=self.regions.values() - 1,
            confidence=self.confidence.astype(np.float32),
            **self.rest,
        )

    @property
    def nbytes(self) -> int:
        """Memory that keeping it takes."""
        return len(self.labels.data) + len(self.regions.data) + self.confidence.nbytes
