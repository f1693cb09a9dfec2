"""Report on a refinement: the changed pixels, and its masks with the reasons for their use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ComponentReport:
    """Report on one component of the coarse result and its mask.

    Attributes:
        class_name: class of the component.
        area: area of the coarse component in pixels.
        point: (x, y) of the point prompt, in pixels of the labels.
        box: (left, top, right, bottom), in pixels of the labels.
        predicted_iou: IoU of the mask, as predicted by the model.
        agreement: IoU of the mask with the coarse component, in [0, 1].
        accepted: True if the mask was used.
        reason: reason for not using the mask; empty if it was used.
    """

    class_name: str
    area: int
    point: tuple[int, int]
    box: tuple[int, int, int, int]
    predicted_iou: float
    agreement: float
    accepted: bool
    reason: str = ""


@dataclass(frozen=True)
class RefineReport:
    """Changes made by a refinement.

    Attributes:
        refiner: name of the refiner.
        mode: mode of the refiner.
        changed: number of pixels whose class changed.
        gained: number of pixels gained by each class; classes without any are left out.
        lost: number of pixels lost by each class; classes without any are left out.
        components: reports on the components; empty if the refiner does not work by components.
    """

    refiner: str
    mode: str
    changed: int
    gained: Mapping[str, int]
    lost: Mapping[str, int]
    components: tuple[ComponentReport, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)
