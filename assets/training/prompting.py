"""Simulated prompts for SAM: segments of a photograph, with points, boxes, coarse masks and corrections for them."""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage
from torch import Tensor

SURE = 8.0  # maximum absolute logit in a coarse map
IGNORED = -1  # SAM's label of a padding point
LEAST_PIXELS = 60


def segments(rng: np.random.Generator, labels: np.ndarray, count: int) -> np.ndarray | None:
    """Choose segments of a photograph: connected pixels of one class.

    Args:
        rng: random generator.
        labels: (H, W) classes, 0 where unknown.
        count: number of segments.

    Returns:
        (count, H, W) bool, drawn with replacement; None if no segment has `LEAST_PIXELS` pixels.
    """
    masks = []
    for value in np.unique(labels[labels > 0]):
        pieces, found = ndimage.label(labels == value)
        masks += [pieces == number for number in range(1, found + 1)]
    masks = [mask for mask in masks if mask.sum() >= LEAST_PIXELS]
    return np.stack([masks[index] for index in rng.integers(len(masks), size=count)]) if masks else None


def cut(rng: np.random.Generator, photograph: bytes, mask: bytes, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random crop with half to all of the height and width; vary its light and mirror it half of the time.

    Returns:
        (h, w, 3) uint8 and (h, w) classes; the longer side is `size`.
    """
    image, classes = Image.open(io.BytesIO(photograph)).convert("RGB"), Image.open(io.BytesIO(mask))
    share = rng.uniform(0.5, 1.0, 2)
    width, height = (side * part for side, part in zip(image.size, share, strict=True))
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    box = (left, top, left + width, top + height)
    shape = (max(16, round(width * size / max(width, height))), max(16, round(height * size / max(width, height))))
    pixels = np.asarray(image.resize(shape, Image.Resampling.BICUBIC, box), np.float32)
    labels = np.asarray(classes.resize(shape, Image.Resampling.NEAREST, box))
    lit = pixels * rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, 3) + rng.uniform(-25, 25)
    lit = lit.clip(0, 255).astype(np.uint8)
    return (lit[:, ::-1], labels[:, ::-1]) if rng.random() < 0.5 else (lit, labels)


def framed(picture: np.ndarray, size: int, padding: object) -> np.ndarray:
    """Pad (h, w, channels) at the bottom and right to (size, size, channels)."""
    frame = np.empty((size, size, picture.shape[2]), picture.dtype)
    frame[:] = padding
    frame[: picture.shape[0], : picture.shape[1]] = picture
    return frame


def boxes(truth: Tensor, jitter: float = 0.1) -> Tensor:
    """Return jittered bounding boxes of masks.

    Args:
        truth: (P, H, W) bool, none empty.
        jitter: maximum shift of each side, as a share of the size of the box.

    Returns:
        (P, 4) x0, y0, x1, y1 in pixels.
    """
    found = []
    for mask in truth:
        y, x = torch.nonzero(mask, as_tuple=True)
        found.append(torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]))
    box = torch.stack(found).float()
    side = (box[:, 2:] - box[:, :2]).repeat(1, 2)
    return box + (torch.rand_like(box) * 2 - 1) * jitter * side


def random_points(where: Tensor) -> Tensor:
    """Draw one point inside each mask, (P, H, W) bool -> (P, 2) x, y; any point of the picture if a mask is empty."""
    flat = where.flatten(1).float() + 1e-9
    index = torch.multinomial(flat, 1)[:, 0]
    return torch.stack([index % where.shape[2], index // where.shape[2]], dim=1).float() + 0.5


def corrections(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a corrective click on a wrong pixel of the last predicted mask.

    Args:
        logits: (P, H, W) last predicted mask, in pixels of the ground truth.
        truth: (P, H, W) bool, ground truth.

    Returns:
        (P, 2) points and (P,) labels: 1 on a missed pixel, 0 on a false positive.
    """
    wrong = (logits > 0) ^ truth
    points = random_points(wrong)
    x, y = points.long().T
    return points, truth[torch.arange(len(truth), device=truth.device), y, x].long()


def coarse_map(truth: Tensor) -> Tensor:
    """Simulate a coarse segmentation: large cells, some of them wrong, with whole areas missing or added.

    Args:
        truth: (P, H, W) bool, ground truth.

    Returns:
        (P, 1, H/4, W/4) logits, SAM's mask prompt.
    """
    height, count = truth.shape[1], len(truth)
    side = int(torch.randint(height // 32, height // 16 + 1, ()))  # cells of 16 to 32 pixels
    cells = F.adaptive_avg_pool2d(truth[:, None].float(), side)
    everywhere, here = (torch.randn(count, 1, n, n, device=truth.device) for n in (1, side))
    parts = F.interpolate(torch.randn(count, 1, 3, 3, device=truth.device), (side, side), mode="bilinear")
    cells = (cells + 0.2 * everywhere + 0.35 * parts + 0.15 * here - 0.5).clamp(-0.5, 0.5) * 2 * SURE
    return F.interpolate(cells, size=(height // 4, height // 4), mode="bilinear")
