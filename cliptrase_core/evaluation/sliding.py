"""Protocol `mmseg-slide`: overlapping windows over the whole picture, their scores averaged, every pixel labelled.

As SCLIP and its successors evaluate: the short side is brought to a fixed size, windows of 224 pixels move by 112,
windows at the border are shifted inward, averaged cosines are interpolated to the picture's own size, times a
temperature, softmax over words, a class as likely as its likeliest word, unlikely pixels become background.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.errors import CliptraseError, InputError, explain, memory_explained
from cliptrase_core.evaluation.predictors import Method, Outcome
from cliptrase_core.evaluation.settings import Slide
from cliptrase_core.evaluation.sources import Labels, Pixels, Sample
from cliptrase_core.io.geometry import Size
from cliptrase_core.segmenter import Segmenter

WINDOW, STRIDE = 224, 112
LONGEST = 2048
"""The long side never gets longer than this, whatever the short one's target."""

_WINDOWS_AT_ONCE = 8
_VALUES_AT_ONCE = 48_000_000
"""Interpolated scores that stand in memory at once: 190 MB in float32."""

_TEMPLATES = "openai80"

Box = tuple[int, int, int, int]
"""(top, bottom, left, right) in the resized picture."""


class SlidePredictor:
    """Windows over one model.

    Args:
        segmenter: the model.
        slide: numbers of the setting.
        method: how words are told apart; what needs regions or the whole picture cannot be asked for.
    """

    def __init__(self, segmenter: Segmenter, slide: Slide, method: Method) -> None:
        """Check the method."""
        expect_slidable(method)
        self._segmenter, self._slide, self._method = segmenter, slide, method

    def prepare(self, sample: Sample) -> Sample:
        """Nothing to do: truth stays in the picture's own frame."""
        return sample

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """Run all windows of each picture."""
        return [self._predict(sample) for sample in samples]

    def _predict(self, sample: Sample) -> Callable[[], Outcome]:
        picture = resize_short_side(sample.image, self._slide.short_side)
        boxes = window_boxes((picture.shape[0], picture.shape[1]))
        try:
            with memory_explained("picture"):
                windows = [
                    window
                    for start in range(0, len(boxes), _WINDOWS_AT_ONCE)
                    for window in self._scores(picture, boxes[start : start + _WINDOWS_AT_ONCE], sample)
                ]
        except CliptraseError as error:
            return partial(_same, error)
        label_of = torch.tensor(sample.words.prompt_labels)
        background = len(sample.words.classes) if sample.words.background else None
        size = (sample.image.shape[0], sample.image.shape[1])
        return partial(label_windows, windows, boxes, size, label_of, background, self._slide)

    def _scores(self, picture: Pixels, boxes: Sequence[Box], sample: Sample) -> list[Tensor]:
        """(P, h, w) cosines of words at the patches of each window."""
        crops = [self._window(picture, box) for box in boxes]
        encodings = self._segmenter.encode_batch(crops, "auto", short_side=WINDOW)
        templates = self._method.templates or _TEMPLATES
        found = [
            self._segmenter.scores(encoding, sample.words, method=self._method.name, templates=templates)
            for encoding in encodings
        ]
        return [scores.logits / scores.scale for scores in found]

    def _window(self, picture: Pixels, box: Box) -> Pixels:
        """(WINDOW, WINDOW, 3); what lies beyond a small picture has the model's mean colour, which is 0 to it."""
        top, bottom, left, right = box
        if (bottom - top, right - left) == (WINDOW, WINDOW):
            return picture[top:bottom, left:right]
        mean = np.rint(255 * np.array(self._segmenter.info.mean)).astype(np.uint8)
        window: Pixels = np.broadcast_to(mean, (WINDOW, WINDOW, 3)).copy()
        window[: bottom - top, : right - left] = picture[top:bottom, left:right]
        return window


def expect_slidable(method: Method) -> None:
    """Raise InputError for what windows cannot heed."""
    if dataclasses.replace(method, name="", templates=None, vote=None) != Method(name="") or method.vote:
        raise InputError(
            explain(
                "mmseg-slide",
                expected="a method and templates only: windows have no regions that reach across",
                got="a vote, a prior or clustering values",
                remedy="Leave them out, or use protocol paper.",
            )
        )


def resize_short_side(image: Pixels, side: int) -> Pixels:
    """Bring the short side to `side`, but the long one to at most `LONGEST`; bilinear without smoothing, as OpenCV.

    Args:
        image: (H, W, 3).
        side: pixels.

    Returns:
        (H', W', 3).
    """
    height, width = image.shape[:2]
    scale = min(LONGEST / max(height, width), side / min(height, width))
    size = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()  # (1, 3, H, W)
    resized = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)[0]
    found: Pixels = resized.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return found


def window_boxes(size: Size) -> list[Box]:
    """Windows that cover a picture, row by row; the last of each row and column is shifted inward."""
    rows, columns = (_starts(length) for length in size)
    return [(top, min(top + WINDOW, size[0]), left, min(left + WINDOW, size[1])) for top in rows for left in columns]


def _starts(length: int) -> list[int]:
    count = max(0, -(-(length - WINDOW) // STRIDE)) + 1
    return [max(0, min(index * STRIDE, length - WINDOW)) for index in range(count)]


def label_windows(
    windows: Sequence[Tensor],
    boxes: Sequence[Box],
    size: Size,
    label_of: Tensor,
    background: int | None,
    slide: Slide,
) -> Labels:
    """Average, interpolate, choose.

    Args:
        windows: (P, h, w) cosines of each window.
        boxes: where each window lies in the resized picture.
        size: (H, W) of the labels.
        label_of: (P,) label of each word.
        background: label of the background; None where there is none, and then nothing is unlikely.
        slide: temperature and thresholds.

    Returns:
        (H, W) labels.
    """
    prompts = torch.arange(len(label_of))
    best, word, log_sum = _compete(windows, boxes, size, prompts, slide.temperature)
    labels = label_of[word]
    if background is not None and slide.least_area > 0:
        # Classes of a small share lose all of their pixels to whoever comes next.
        areas = torch.bincount(labels.flatten(), minlength=background + 1).float()
        areas[background] = 0
        kept = areas > slide.least_area * areas.sum()
        kept[background] = True
        best, word, _ = _compete(windows, boxes, size, prompts[kept[label_of]], slide.temperature)
        labels = label_of[word]
    if background is not None and slide.threshold > 0:
        labels = torch.where((best - log_sum).exp() < slide.threshold, background, labels)
    return labels.to(torch.int32).numpy()


def _compete(
    windows: Sequence[Tensor], boxes: Sequence[Box], size: Size, prompts: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Largest score, whose word it is, and logarithm of the sum of exponentials, (H, W) each.

    Words are taken a few at a time: (P, H, W) of 847 words would not fit in memory.
    """
    best = torch.full(size, -torch.inf)
    word = torch.zeros(size, dtype=torch.int64)
    log_sum = torch.full(size, -torch.inf)
    resized = max(box[1] for box in boxes) * max(box[3] for box in boxes)
    at_once = max(1, _VALUES_AT_ONCE // max(size[0] * size[1], resized))
    for some in torch.split(prompts, at_once):
        scores = (
            temperature
            * F.interpolate(_average(windows, boxes, some)[None], size=size, mode="bilinear", align_corners=False)[0]
        )  # (p, H, W)
        log_sum = torch.logaddexp(log_sum, scores.logsumexp(dim=0))
        top, place = scores.max(dim=0)
        better = top > best  # the first of equal words stays
        best, word = torch.where(better, top, best), torch.where(better, some[place], word)
    return best, word, log_sum


def _average(windows: Sequence[Tensor], boxes: Sequence[Box], prompts: Tensor) -> Tensor:
    """(p, H', W') mean of the windows over each pixel of the resized picture."""
    height, width = max(box[1] for box in boxes), max(box[3] for box in boxes)
    total, count = torch.zeros(len(prompts), height, width), torch.zeros(height, width)
    for window, (top, bottom, left, right) in zip(windows, boxes, strict=True):
        seen = F.interpolate(window[prompts][None], size=(WINDOW, WINDOW), mode="bilinear", align_corners=False)[0]
        total[:, top:bottom, left:right] += seen[:, : bottom - top, : right - left]
        count[top:bottom, left:right] += 1
    return total / count


def _same(error: CliptraseError) -> Outcome:
    return error
