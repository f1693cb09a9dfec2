"""Windows that slide over a picture: their places, and labels from the scores of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.evaluation.profiles import LONGEST, Slide
from cliptrase_core.evaluation.sources import Labels, Pixels
from cliptrase_core.io.geometry import Size
from cliptrase_core.methods.pamr import colour_neighbours, smooth

_VALUES_AT_ONCE = 48_000_000
"""Maximal number of interpolated scores in memory at a time: 190 MB in float32."""

Box = tuple[int, int, int, int]
"""Window as (top, bottom, left, right), in pixels of the resized picture."""


def resize_short_side(image: Pixels, side: int) -> Pixels:
    """Resize the short side to `side`, but the long one to at most `LONGEST`; with OpenCV, as mmcv does.

    Args:
        image: (H, W, 3) uint8.
        side: target of the short side in pixels.

    Returns:
        (H', W', 3) uint8.
    """
    height, width = image.shape[:2]
    scale = min(LONGEST / max(height, width), side / min(height, width))
    size = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
    resized = cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def window_boxes(size: Size, window: int = 224, stride: int = 112) -> list[Box]:
    """Return windows that cover a picture, row by row; the last one of each row and column is shifted inward."""
    rows, columns = (_starts(length, window, stride) for length in size)
    return [(top, min(top + window, size[0]), left, min(left + window, size[1])) for top in rows for left in columns]


def _starts(length: int, window: int, stride: int) -> list[int]:
    count = max(0, -(-(length - window) // stride)) + 1
    return [max(0, min(index * stride, length - window)) for index in range(count)]


def label_windows(
    windows: Sequence[Tensor],
    boxes: Sequence[Box],
    size: Size,
    label_of: Tensor,
    background: int | None,
    slide: Slide,
    picture: Pixels | None = None,
) -> Labels:
    """Average the scores of all windows, interpolate them to pixels, and choose the best label of each pixel.

    Args:
        windows: (P, h, w) cosine similarities of each window.
        boxes: position of each window in the resized picture.
        size: (H, W) of the labels.
        label_of: (P,) label of each prompt.
        background: label of the background; None if there is no background, then no threshold is applied.
        slide: window, temperature and thresholds.
        picture: resized picture (H', W', 3); needed if scores are smoothed along its colours.

    Returns:
        (H, W) int32 labels.
    """
    prompts = torch.arange(len(label_of))
    if background is not None and not slide.background_words:
        prompts = prompts[label_of != background]
    smoothing = _smoothing(picture, size) if slide.pamr and picture is not None else None
    best, word, log_sum = _compete(windows, boxes, size, prompts, slide, smoothing)
    labels = label_of[word]
    if background is not None and slide.least_area > 0:
        # Classes with a small share of the pixels are removed; their pixels get the next best class.
        areas = torch.bincount(labels.flatten(), minlength=background + 1).float()
        areas[background] = 0
        kept = areas > slide.least_area * areas.sum()
        kept[background] = True
        prompts = prompts[kept[label_of[prompts]]]
        if not len(prompts):  # every class is removed, and no background words compete
            return np.full(size, background, np.int32)
        best, word, _ = _compete(windows, boxes, size, prompts, slide, smoothing)
        labels = label_of[word]
    if background is not None and slide.threshold > 0:
        labels = torch.where((best - log_sum).exp() < slide.threshold, background, labels)
    return labels.to(torch.int32).numpy()


def _compete(
    windows: Sequence[Tensor],
    boxes: Sequence[Box],
    size: Size,
    prompts: Tensor,
    slide: Slide,
    smoothing: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest score, the index of its prompt, and the logarithm of the sum of exponentials, (H, W) each.

    Process the prompts in small groups: (P, H, W) scores of 847 prompts would not fit in memory.
    """
    best = torch.full(size, -torch.inf)
    word = torch.zeros(size, dtype=torch.int64)
    log_sum = torch.full(size, -torch.inf)
    resized = max(box[1] for box in boxes) * max(box[3] for box in boxes)
    at_once = max(1, _VALUES_AT_ONCE // max(size[0] * size[1], resized))
    for some in torch.split(prompts, at_once):
        # Scores of a whole picture are interpolated from patches to pixels in one step.
        together = windows[0][some] if slide.window is None else _average(windows, boxes, some, slide.window)
        scores = slide.temperature * F.interpolate(together[None], size=size, mode="bilinear", align_corners=False)[0]
        if smoothing is not None:
            scores = smooth(scores.flatten(1).T.contiguous(), *smoothing).T.reshape(scores.shape)  # (p, H, W)
        log_sum = torch.logaddexp(log_sum, scores.logsumexp(dim=0))
        top, place = scores.max(dim=0)
        better = top > best  # on ties, the first prompt wins
        best, word = torch.where(better, top, best), torch.where(better, some[place], word)
    return best, word, log_sum


def _smoothing(picture: Pixels, size: Size) -> tuple[Tensor, Tensor]:
    """Return the neighbours of each pixel of the picture, resized to `size`, and their weights."""
    pixels = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32))
    return colour_neighbours(F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)[0])


def _average(windows: Sequence[Tensor], boxes: Sequence[Box], prompts: Tensor, side: int) -> Tensor:
    """Return the (p, H', W') mean score of all windows at each pixel of the resized picture."""
    height, width = max(box[1] for box in boxes), max(box[3] for box in boxes)
    total, count = torch.zeros(len(prompts), height, width), torch.zeros(height, width)
    for window, (top, bottom, left, right) in zip(windows, boxes, strict=True):
        seen = F.interpolate(window[prompts][None], size=(side, side), mode="bilinear", align_corners=False)[0]
        total[:, top:bottom, left:right] += seen[:, : bottom - top, : right - left]
        count[top:bottom, left:right] += 1
    return total / count
