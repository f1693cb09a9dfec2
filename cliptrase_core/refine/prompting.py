"""Components of a coarse result, prompts from them, and new labels from the answers. No model is called here."""

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

from cliptrase_core.cancel import steps
from cliptrase_core.io.geometry import Size, nearest
from cliptrase_core.io.masks import connected_parts
from cliptrase_core.refine.report import Step, quietly
from cliptrase_core.refine.sam import SURE, Prompts
from cliptrase_core.results import ComponentReport

LEAST_QUALITY = 0.7
"""Predicted IoU below which a mask is not taken."""

LEAST_AGREEMENT = 0.5
"""IoU with the coarse component below which a mask is of something else."""

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model answered for every component.

    Attributes:
        components: largest first.
        numbers: (H', W') which component each pixel of the working size belongs to, -1 for none.
        logits: (P, h, w) masks.
        cover: (down, across), the share of those h and w cells that lies in the picture, for it may end within one.
        quality: (P,) predicted IoU.
        agreement: (P,) IoU of mask and component.
    """

    components: Sequence[Component]
    numbers: npt.NDArray[np.int32]
    logits: Tensor
    cover: tuple[float, float]
    quality: Tensor
    agreement: Tensor

    @property
    def accepted(self) -> frozenset[int]:
        """Components whose masks are good and agree with them."""
        good = (self.quality >= LEAST_QUALITY) & (self.agreement >= LEAST_AGREEMENT)
        return frozenset(int(index) for index in torch.nonzero(good)[:, 0])


def prompts_of(components: Sequence[Component], size: Size, filled: Size) -> Prompts:
    """Ask about every component by a point, a box and a first guess.

    Args:
        components: at least one.
        size: (H', W') of the map that they were cut from.
        filled: pixels of SAM's frame that the picture fills.
    """
    missing = (-filled[1] % 4, -filled[0] % 4)
    masks = []
    for component in steps(components):
        whole = torch.zeros(1, 1, *size)
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
    """`Answers.cover` for the pixels of SAM's frame that a picture fills."""
    return filled[0] / 4 / -(-filled[0] // 4), filled[1] / 4 / -(-filled[1] // 4)


def agreement(logits: Tensor, cover: tuple[float, float], components: Sequence[Component], size: Size) -> Tensor:
    """IoU of each mask with the component that it answers, (P,); arguments as in `Answers`, `size` (H', W')."""
    found = []
    for answer, component in steps(zip(logits, components, strict=True)):
        mask = np.zeros(size, bool)
        box, values = full_size(answer, cover, size)
        mask[box] = values > 0
        left, top, right, bottom = component.box
        both = int((mask[top:bottom, left:right] & component.mask).sum())
        found.append(both / max(1, int(mask.sum()) + component.area - both))
    return torch.tensor(found)


def merge(labels: Labels, answers: Answers, accepted: Collection[int], step: Step = quietly) -> Labels:
    """Put accepted masks into a label map; the order of classes and components does not matter.

    Where masks overlap, the surest wins: the mask's own probability times the certainty of its component. One that
    was not accepted defends its pixels with even odds. Pixels that an accepted mask gave up, and that no other
    took, go to the nearest class beside the one that gave them up.

    Args:
        labels: (H, W) coarse, full size.
        answers: for its components.
        accepted: numbers of the components whose masks count.
        step: told before each mask.

    Returns:
        (H, W); every pixel has a label.
    """
    height, width = labels.shape
    numbers = nearest(answers.numbers, (height, width))
    certainty = np.array([component.certainty for component in answers.components] + [0.0], np.float32)
    taken = np.array([number in accepted for number in range(len(answers.components))] + [False])
    best = np.where(taken[numbers], np.float32(0), certainty[numbers] / 2)
    best[numbers < 0] = np.inf  # crumbs were not asked about: they stay
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
    """One line for each component, in pixels of labels of (H, W)."""
    lines = []
    down, across = (whole / small for whole, small in zip(size, answers.numbers.shape, strict=True))
    for component in answers.components:
        quality, agrees = float(answers.quality[component.number]), float(answers.agreement[component.number])
        taken = component.number in accepted
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
        return f"the model rates its mask {quality:.2f}, below {LEAST_QUALITY}"
    if agrees < LEAST_AGREEMENT:
        return f"the mask overlaps the component by {agrees:.2f}, below {LEAST_AGREEMENT}"
    return "left out by choice"


def full_size(
    logits: Tensor, cover: tuple[float, float], size: Size
) -> tuple[tuple[slice, slice], npt.NDArray[np.float32]]:
    """The part of a picture of (H, W) where a mask may lie, and its logits there."""
    inside = (logits > 0).numpy()
    if not inside.any():
        return np.s_[:0, :0], np.zeros((0, 0), np.float32)
    steps = [whole / small / part for whole, small, part in zip(size, logits.shape, cover, strict=True)]
    filled = [np.flatnonzero(inside.any(axis)) for axis in (1, 0)]
    # One cell more all around: between cells a mask reaches half a cell further.
    low = [max(0, int(at[0]) - 1) for at in filled]
    high = [min(count, int(at[-1]) + 2) for at, count in zip(filled, logits.shape, strict=True)]
    top, left = (int(np.floor(at * step)) for at, step in zip(low, steps, strict=True))
    bottom, right = (min(whole, int(np.ceil(at * step))) for at, step, whole in zip(high, steps, size, strict=True))
    # Sampled at the centres of full-size pixels, as if the whole mask were enlarged and then cut.
    y = (torch.arange(top, bottom) + 0.5) / size[0] * cover[0] * 2 - 1
    x = (torch.arange(left, right) + 0.5) / size[1] * cover[1] * 2 - 1
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
    large = F.grid_sample(logits[None, None], places, mode="bilinear", padding_mode="border", align_corners=False)
    return np.s_[top:bottom, left:right], large[0, 0].numpy()


def give_away(labels: Labels, coarse: Labels, released: npt.NDArray[np.bool_]) -> Labels:
    """Fill released pixels, (H, W) bool, with the nearest settled class that is not their old one."""
    new = labels.copy()
    for old in np.unique(coarse[released]):
        wanted = released & (coarse == old)
        source = ~released & (labels != old)
        if not source.any():
            continue  # nothing else is in the picture: the old class stays
        box = _around(wanted, source)
        nearest = ndimage.distance_transform_edt(~source[box], return_distances=False, return_indices=True)
        rows, columns = nearest[:, wanted[box]]
        new[wanted] = labels[box][rows, columns]
    return np.asarray(new)


def _around(wanted: npt.NDArray[np.bool_], source: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """A box about the wanted pixels with a margin as wide as they are, or everything where that holds no source."""
    rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
    tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    box = np.s_[max(0, rows[0] - tall) : rows[-1] + tall + 1, max(0, columns[0] - wide) : columns[-1] + wide + 1]
    return box if source[box].any() else np.s_[:, :]


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
