"""Components of a coarse result: SAM is prompted with each of them on its own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cliptrase_core.io.masks import connected_parts

SMALLEST = 0.004
"""Share of the picture below which a component is left as it is."""


@dataclass(frozen=True, eq=False)
class Component:
    """One component.

    Attributes:
        number: its value in the map of components.
        label: its class.
        box: (left, top, right, bottom) in pixels, right and bottom exclusive.
        mask: (bottom - top, right - left) bool.
        point: (x, y), the pixel of the component that is farthest from its rim.
        certainty: mean confidence in [0, 1].
    """

    number: int
    label: int
    box: tuple[int, int, int, int]
    mask: npt.NDArray[np.bool_]
    point: tuple[int, int]
    certainty: float

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.mask.sum())


def split(
    labels: npt.NDArray[np.integer],
    confidence: npt.NDArray[np.floating],
    regions: npt.NDArray[np.integer] | None = None,
) -> tuple[list[Component], npt.NDArray[np.int32]]:
    """Cut a label map into components that hang together, corners included.

    Args:
        labels: (H, W).
        confidence: (H, W).
        regions: (H, W); given, components of different regions are different components, so that things of one class
            that touch can be told apart.

    Returns:
        components of at least `SMALLEST` of the picture, largest first, and (H, W) their numbers from 0, -1 where there
        is none. Neither depends on how classes are numbered.
    """
    components = np.full(labels.shape, -1, np.int32)
    found: list[Component] = []
    pairs = labels.astype(np.int64) if regions is None else labels * (int(regions.max()) + 2) + regions + 1
    kinds = (np.cumsum(np.bincount(pairs.ravel()) > 0) - 1)[pairs]  # numbered from 0 without gaps
    least = SMALLEST * labels.size
    for kind, around in enumerate(ndimage.find_objects(kinds + 1)):
        of_kind = (kinds[around] == kind).astype(np.uint8)
        for part, x, y in connected_parts(of_kind, least):
            mask = part.view(np.bool_)
            top, left = around[0].start + y, around[1].start + x
            bottom, right = top + mask.shape[0], left + mask.shape[1]
            x, y = _deepest(mask)
            box = np.s_[top:bottom, left:right]
            found.append(
                Component(
                    number=-1,
                    label=int(labels[box][mask][0]),
                    box=(left, top, right, bottom),
                    mask=mask,
                    point=(left + x, top + y),
                    certainty=float(confidence[box][mask].mean()),
                )
            )
    found.sort(key=lambda component: (-component.area, component.box, int(component.mask.argmax())))
    numbered_components = []
    for number, component in enumerate(found):
        left, top, right, bottom = component.box
        components[top:bottom, left:right][component.mask] = number
        numbered_components.append(
            Component(number, component.label, component.box, component.mask, component.point, component.certainty)
        )
    return numbered_components, components


def _deepest(mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """(x, y) of the pixel farthest from the rim; the picture's own rim counts."""
    inside = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = divmod(int(depth.argmax()), mask.shape[1])
    return x, y
