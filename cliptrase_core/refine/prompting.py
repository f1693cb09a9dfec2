"""Components of a coarse result, prompts for them, and new labels from the masks of a model. Calls no model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.cancel import Progress, quietly, steps
from cliptrase_core.io.geometry import Size, nearest
from cliptrase_core.io.masks import connected_parts
from cliptrase_core.refine.sam import SURE, Prompts
from cliptrase_core.reports import ComponentReport

LEAST_QUALITY = 0.7
"""Minimum predicted IoU of an accepted mask."""

LEAST_AGREEMENT = 0.5
"""Minimum IoU of an accepted mask with its coarse component; below it, the mask shows something else."""

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Answers:
    """Masks of a model for every component.

    Attributes:
        components: components, largest first.
        numbers: (H', W') int32, component number of each pixel at the working size, -1 for none.
        logits: (P, h, w), logits of the masks.
        cover: (down, across), share of the h and w cells that the picture covers; it may end within a cell.
        quality: (P,), predicted IoU.
        agreement: (P,), IoU of mask and component.
    """

    components: Sequence[Component]
    numbers: npt.NDArray[np.int32]
    logits: Tensor
    cover: tuple[float, float]
    quality: Tensor
    agreement: Tensor

    @property
    def nbytes(self) -> int:
        """Memory in bytes, without the components, which are small."""
        return self.logits.nbytes + self.numbers.nbytes

    @property
    def accepted(self) -> frozenset[int]:
        """Numbers of the components with masks of sufficient quality and agreement."""
        good = (self.quality >= LEAST_QUALITY) & (self.agreement >= LEAST_AGREEMENT)
        return frozenset(int(index) for index in torch.nonzero(good)[:, 0])


def prompts_of(components: Sequence[Component], size: Size, filled: Size) -> Prompts:
    """Make the prompts for every component: a point, a box and a mask.

    Args:
        components: at least one component.
        size: (H', W') of the map that contains the components.
        filled: (height, width) of the picture in SAM's frame, in pixels.
    """
    missing = (-filled[1] % 4, -filled[0] % 4)
    masks = []
    for component in steps(components):
        whole = torch.zeros(1, 1, *size, dtype=torch.float32)
        left, top, right, bottom = component.box
        whole[0, 0, top:bottom, left:right] = torch.from_numpy(component.mask)
        seen = F.pad(F.interpolate(whole, filled, mode="area"), (0, missing[0], 0, missing[1]))
        masks.append((F.avg_pool2d(seen, 4)[0, 0] - 0.5) * 2 * SURE)
    return Prompts(
        points=torch.tensor([component.point for component in components], dtype=torch.float32) + 0.5,
        boxes=torch.tensor([component.box for component in components], dtype=torch.float32),
        masks=torch.stack(masks),
    )


def cover_of(filled: Size) -> tuple[float, float]:
    """Compute `Answers.cover` from the (height, width) of a picture in SAM's frame."""
    return filled[0] / 4 / -(-filled[0] // 4), filled[1] / 4 / -(-filled[1] // 4)


def agreement(logits: Tensor, cover: tuple[float, float], components: Sequence[Component], size: Size) -> Tensor:
    """Compute the IoU of each mask with its component, (P,); arguments as in `Answers`, `size` is (H', W')."""
    found = []
    for answer, component in steps(zip(logits, components, strict=True)):
        mask = np.zeros(size, bool)
        box, values = full_size(answer, cover, size)
        mask[box] = values > 0
        left, top, right, bottom = component.box
        both = int((mask[top:bottom, left:right] & component.mask).sum())
        found.append(both / max(1, int(mask.sum()) + component.area - both))
    return torch.tensor(found)


def merge(labels: Labels, answers: Answers, accepted: Collection[int], step: Progress = quietly) -> Labels:
    """Merge accepted masks into a label map; the order of classes and components does not matter.

    Where masks overlap, the highest score wins: the mask's probability times the certainty of its component. A
    component without an accepted mask competes for its own pixels with probability 0.5. Pixels of a component with an
    accepted mask that no mask covers go to the nearest other class.

    Args:
        labels: (H, W), coarse labels at full size.
        answers: masks for the components of `labels`.
        accepted: numbers of the components whose masks are used.
        step: progress callback, called before each mask.

    Returns:
        (H, W); every pixel has a label.
    """
    height, width = labels.shape
    numbers = nearest(answers.numbers, (height, width))
    certainty = np.array([component.certainty for component in answers.components] + [0.0], np.float32)
    taken = np.array([number in accepted for number in range(len(answers.components))] + [False])
    best = np.where(taken[numbers], np.float32(0), certainty[numbers] / 2)
    best[numbers < 0] = np.inf  # components too small for prompts stay unchanged
    new, covered = labels.copy(), np.zeros(labels.shape, bool)
    for number in steps(sorted(accepted)):
        step(1.0, "putting masks together")
        box, logits = full_size(answers.logits[number], answers.cover, (height, width))
        score = certainty[number] / (1 + np.exp(-logits))
        wins = (logits > 0) & (score > best[box])
        best[box][wins], new[box][wins] = score[wins], answers.components[number].label
        covered[box] |= logits > 0
    return give_away(new, labels, taken[numbers] & ~covered)


def reports(
    answers: Answers, accepted: Collection[int], names: Sequence[str], size: Size
) -> tuple[ComponentReport, ...]:
    """Return one report for each component, in pixels of labels of (H, W)."""
    lines = []
    down, across = (whole / small for whole, small in zip(size, answers.numbers.shape, strict=True))
    for number, component in enumerate(answers.components):
        quality, agrees = float(answers.quality[number]), float(answers.agreement[number])
        taken = number in accepted
        left, top, right, bottom = component.box
        lines.append(
            ComponentReport(
                class_name=names[component.label],
                area=round(component.area * down * across),
                point=(int((component.point[0] + 0.5) * across), int((component.point[1] + 0.5) * down)),
                box=(round(left * across), round(top * down), round(right * across), round(bottom * down)),
                predicted_iou=quality,
                agreement=agrees,
                accepted=taken,
                reason="" if taken else _why_not(quality, agrees),
            )
        )
    return tuple(lines)


def _why_not(quality: float, agrees: float) -> str:
    if quality < LEAST_QUALITY:
        return f"the predicted IoU of the mask is {quality:.2f}, below {LEAST_QUALITY}"
    if agrees < LEAST_AGREEMENT:
        return f"the mask overlaps the component by {agrees:.2f}, below {LEAST_AGREEMENT}"
    return "left out by the user"


def full_size(
    logits: Tensor, cover: tuple[float, float], size: Size
) -> tuple[tuple[slice, slice], npt.NDArray[np.float32]]:
    """Return the box of a mask in a picture of (H, W), with a margin, and the mask's logits within it."""
    inside = (logits > 0).numpy()
    if not inside.any():
        return np.s_[:0, :0], np.zeros((0, 0), np.float32)
    cells = [whole / small / part for whole, small, part in zip(size, logits.shape, cover, strict=True)]
    filled = [np.flatnonzero(inside.any(axis)) for axis in (1, 0)]
    # Add one cell on every side: interpolation between cells extends a mask by half a cell.
    low = [max(0, int(at[0]) - 1) for at in filled]
    high = [min(count, int(at[-1]) + 2) for at, count in zip(filled, logits.shape, strict=True)]
    top, left = (int(np.floor(at * cell)) for at, cell in zip(low, cells, strict=True))
    bottom, right = (min(whole, int(np.ceil(at * cell))) for at, cell, whole in zip(high, cells, size, strict=True))
    # Sample at the centres of full-size pixels: the same values as enlarging the whole mask and cropping it.
    y = (torch.arange(top, bottom) + 0.5) / size[0] * cover[0] * 2 - 1
    x = (torch.arange(left, right) + 0.5) / size[1] * cover[1] * 2 - 1
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None].to(logits)
    large = F.grid_sample(logits[None, None], places, mode="bilinear", padding_mode="border", align_corners=False)
    return np.s_[top:bottom, left:right], large[0, 0].numpy()


def give_away(labels: Labels, coarse: Labels, released: npt.NDArray[np.bool_]) -> Labels:
    """Give released pixels, (H, W) bool, the label of the nearest pixel that is neither released nor of their class."""
    new = labels.copy()
    for old in np.unique(coarse[released]):
        wanted = released & (coarse == old)
        source = ~released & (labels != old)
        if not source.any():
            continue  # no other class in the picture: the old class stays
        rows, columns = _nearest(source, wanted)
        new[wanted] = labels[rows, columns]
    return np.asarray(new)


def _nearest(source: npt.NDArray[np.bool_], wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return (2, n), row and column of the source pixel nearest to each of n wanted pixels; both maps are (H, W)."""
    rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
    margin = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    box = np.s_[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1]
    if source[box].any():  # a box around the wanted pixels suffices if no pixel outside of it can be nearer
        distances, found = ndimage.distance_transform_edt(~source[box], return_indices=True)
        if distances[wanted[box]].max() <= margin:
            return np.asarray(found[:, wanted[box]] + np.array([[top], [left]]))
    found = ndimage.distance_transform_edt(~source, return_distances=False, return_indices=True)
    return np.asarray(found[:, wanted])


SMALLEST = 0.004
"""Minimum component area, as a share of the picture; smaller components are not refined."""


@dataclass(frozen=True, eq=False)
class Component:
    """Connected component of a label map.

    Attributes:
        label: index of the class.
        box: (left, top, right, bottom) in pixels, right and bottom exclusive.
        mask: (bottom - top, right - left) bool.
        point: (x, y) of the component's pixel that is farthest from its boundary.
        certainty: mean confidence in [0, 1].
    """

    label: int
    box: tuple[int, int, int, int]
    mask: npt.NDArray[np.bool_]
    point: tuple[int, int]
    certainty: float

    @property
    def area(self) -> int:
        """Area in pixels."""
        return int(self.mask.sum())


def split(
    labels: npt.NDArray[np.integer],
    confidence: npt.NDArray[np.floating],
    regions: npt.NDArray[np.integer] | None = None,
) -> tuple[list[Component], npt.NDArray[np.int32]]:
    """Split a label map into connected components, with 8-connectivity.

    Args:
        labels: (H, W).
        confidence: (H, W).
        regions: (H, W); if given, components are also split between regions, to separate touching objects of one class.

    Returns:
        The components of at least `SMALLEST` of the picture, largest first, and an (H, W) map of their numbers from 0,
        with -1 for none. Neither depends on the numbering of the classes.
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
                    label=int(labels[box][mask][0]),
                    box=(left, top, right, bottom),
                    mask=mask,
                    point=(left + x, top + y),
                    certainty=float(confidence[box][mask].mean()),
                )
            )
    found.sort(key=lambda component: (-component.area, component.box, int(component.mask.argmax())))
    for number, component in enumerate(found):
        left, top, right, bottom = component.box
        components[top:bottom, left:right][component.mask] = number
    return found, components


def _deepest(mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return (x, y) of the pixel farthest from the mask's boundary; the border of the array counts as boundary."""
    inside = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = divmod(int(depth.argmax()), mask.shape[1])
    return x, y
