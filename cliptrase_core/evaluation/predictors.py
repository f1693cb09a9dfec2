"""Predict labels under each protocol, and bring the ground truth to the frame in which it is scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.errors import CliptraseError, InputError, explain, memory_explained
from cliptrase_core.evaluation.profiles import Slide
from cliptrase_core.evaluation.sources import Labels, Pixels, Sample
from cliptrase_core.io.geometry import MAX_ASPECT, Size, centre_crop_frame
from cliptrase_core.io.memory import expect_room
from cliptrase_core.methods.registry import Method, method_by_name
from cliptrase_core.methods.resclip import colour_neighbours, smooth
from cliptrase_core.options import SegmentOptions
from cliptrase_core.presets import WINDOWS, preset_by_name
from cliptrase_core.results import ImageEncoding
from cliptrase_core.segmenter import Segmenter

Outcome = Labels | CliptraseError
"""Labels (H, W) in the frame of the prepared truth, or why there are none."""


class Predictor(Protocol):
    """One protocol on one model."""

    def stamp(self, key: str) -> tuple[int, ...]:
        """Numbers that change when a file does that the labels of a picture come from; none for a model's."""
        ...

    def prepare(self, sample: Sample) -> Sample:
        """Bring picture and truth to where they are needed; InputError where that fails. Safe in threads."""
        ...

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """Run the model on prepared samples together; what is returned finishes each, and is safe in threads."""
        ...


class PresetPredictor:
    """One forward pass per picture, laid out by a preset: protocols `paper` (centre crop) and `whole`.

    Args:
        segmenter: the model.
        preset: a name.
        options: of `Segmenter.segment`.
        short_side: pixels that the model sees, instead of the preset's.
    """

    def __init__(
        self, segmenter: Segmenter, preset: str, options: SegmentOptions, short_side: int | None = None
    ) -> None:
        """Look the preset up."""
        self._segmenter, self._options, self._short_side = segmenter, options, short_side
        self._preset = preset_by_name(preset)

    def stamp(self, key: str) -> tuple[int, ...]:
        """None: the model is in the header."""
        return ()

    def prepare(self, sample: Sample) -> Sample:
        """Crop picture and truth where the preset crops; else nothing is to do."""
        if not self._preset.crop:
            return sample
        # The crop of a crop is itself, so all of the reading is done by the reader's threads.
        seen, frame = self._segmenter.view(sample.image, self._preset.name, short_side=self._short_side)
        return dataclasses.replace(
            sample,
            image=seen,
            truth=crop_truth(sample.truth, frame.model[0]),
            raw=None if sample.raw is None else crop_truth(sample.raw, frame.model[0]),
        )

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """Encode together where that works, else one by one, so that one bad picture does not take others along."""
        images = [sample.image for sample in samples]
        try:
            encoded: list[ImageEncoding | CliptraseError] = list(self._encode(images))
        except CliptraseError:
            encoded = [self._encode_alone(image) for image in images]
        return [
            lambda sample=sample, encoding=encoding: self._label(sample, encoding)  # type: ignore[misc]
            for sample, encoding in zip(samples, encoded, strict=True)
        ]

    def _encode(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[ImageEncoding]:
        with memory_explained("picture"):
            return self._segmenter.encode_batch(images, self._preset.name, short_side=self._short_side)

    def _encode_alone(self, image: npt.NDArray[np.uint8]) -> ImageEncoding | CliptraseError:
        try:
            return self._encode([image])[0]
        except CliptraseError as error:
            return error

    def _label(self, sample: Sample, encoding: ImageEncoding | CliptraseError) -> Outcome:
        if isinstance(encoding, CliptraseError):
            return encoding
        try:
            expect_room(f"picture {sample.key!r}", encoding.frame)
            return self._segmenter.segment(encoding, sample.words, **self._options.options).labels
        except CliptraseError as error:
            return error


def crop_truth(truth: Labels, side: int) -> Labels:
    """What the published script scores: short side to `side` by nearest neighbours, then the centre.

    Args:
        truth: (H, W).
        side: pixels.

    Returns:
        (side, side).
    """
    frame = centre_crop_frame((truth.shape[0], truth.shape[1]), side, (side, side))
    height, width = frame.resized
    # PIL's filter, as the script uses it: torch rounds other pixels to the nearest.
    resized = np.asarray(Image.fromarray(truth.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST))
    top, left = frame.crop
    return resized[top : top + side, left : left + side]


LONGEST = 2048
"""The long side never gets longer than this, whatever the short one's target."""

_WINDOWS_AT_ONCE = 8
_VALUES_AT_ONCE = 48_000_000
"""Interpolated scores that stand in memory at once: 190 MB in float32."""

SLIDE_TEMPLATES = "openai80"
"""What words stand in, unless it is said otherwise."""

Box = tuple[int, int, int, int]
"""(top, bottom, left, right) in the resized picture."""


class SlidePredictor:
    """Windows over one model.

    Args:
        segmenter: the model.
        slide: numbers of the setting.
        options: of `Segmenter.segment`; what needs regions or the whole picture cannot be asked for.
        method: that of the options, with a program's own switches; None for none.
    """

    def __init__(
        self, segmenter: Segmenter, slide: Slide, options: SegmentOptions, method: Method | None = None
    ) -> None:
        """Check the options."""
        expect_slidable(options)
        self._segmenter, self._slide, self._options = segmenter, slide, options
        self._method = method or method_by_name(options.method)
        self._preset = "auto" if slide.positions == "size" else WINDOWS.name

    def stamp(self, key: str) -> tuple[int, ...]:
        """None: the model is in the header."""
        return ()

    def prepare(self, sample: Sample) -> Sample:
        """Nothing to do: truth stays in the picture's own frame."""
        return sample

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """Run all windows of each picture."""
        return [self._predict(sample) for sample in samples]

    def _predict(self, sample: Sample) -> Callable[[], Outcome]:
        picture = resize_short_side(sample.image, self._slide.short_side)
        whole = (0, picture.shape[0], 0, picture.shape[1])
        side = self._slide.window
        boxes = [whole] if side is None else window_boxes((whole[1], whole[3]), side, self._slide.stride)
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
        return partial(label_windows, windows, boxes, size, label_of, background, self._slide, picture)

    def _scores(self, picture: Pixels, boxes: Sequence[Box], sample: Sample) -> list[Tensor]:
        """(P, h, w) cosines of words at the patches of each window."""
        crops = [self._window(picture, box) for box in boxes]
        encodings = self._segmenter.encode_batch(crops, self._preset, short_side=min(crops[0].shape[:2]))
        templates = self._options.templates or SLIDE_TEMPLATES
        found = [
            self._segmenter.scores(encoding, sample.words, method=self._method, templates=templates)
            for encoding in encodings
        ]
        return [scores.logits / scores.scale for scores in found]

    def _window(self, picture: Pixels, box: Box) -> Pixels:
        """What the model is given: a window, or the whole picture without the rest that fills no patch.

        What lies beyond a small picture has the model's mean colour, which is 0 to it.
        """
        side = self._slide.window
        if side is None:
            return self._whole(picture)
        top, bottom, left, right = box
        if (bottom - top, right - left) == (side, side):
            return picture[top:bottom, left:right]
        mean = np.rint(255 * np.array(self._segmenter.info.mean)).astype(np.uint8)
        window: Pixels = np.broadcast_to(mean, (side, side, 3)).copy()
        window[: bottom - top, : right - left] = picture[top:bottom, left:right]
        return window

    def _whole(self, picture: Pixels) -> Pixels:
        """All of a picture, in whole patches; InputError where the model would be given another shape."""
        height, width = (
            side - side % step for side, step in zip(picture.shape[:2], self._segmenter.backbone.patch, strict=True)
        )
        if min(height, width) < 1 or max(height, width) > MAX_ASPECT * min(height, width):
            got = f"{picture.shape[0]} x {picture.shape[1]} pixels for the model"
            expected = f"at most {MAX_ASPECT:g} times as long as high, since the model sees all of it at once"
            raise InputError(explain("picture", expected=expected, got=got, remedy="Use protocol mmseg-slide."))
        return picture[:height, :width]


def expect_slidable(options: SegmentOptions) -> None:
    """Raise InputError for what windows cannot heed."""
    rest = dataclasses.replace(options, method="cliptrase", templates=None, vote=None, residual=None)
    if rest != SegmentOptions() or options.vote:
        raise InputError(
            explain(
                "sliding windows",
                expected="a method, its residual and templates only: windows have no regions that reach across",
                got="a vote, a prior or clustering values",
                remedy="Leave them out, or use protocol paper.",
            )
        )


def resize_short_side(image: Pixels, side: int) -> Pixels:
    """Bring the short side to `side`, but the long one to at most `LONGEST`; by OpenCV, as mmcv does.

    Args:
        image: (H, W, 3).
        side: pixels.

    Returns:
        (H', W', 3).
    """
    height, width = image.shape[:2]
    scale = min(LONGEST / max(height, width), side / min(height, width))
    size = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
    resized = cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def window_boxes(size: Size, window: int = 224, stride: int = 112) -> list[Box]:
    """Windows that cover a picture, row by row; the last of each row and column is shifted inward."""
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
    """Average, interpolate, choose.

    Args:
        windows: (P, h, w) cosines of each window.
        boxes: where each window lies in the resized picture.
        size: (H, W) of the labels.
        label_of: (P,) label of each word.
        background: label of the background; None where there is none, and then nothing is unlikely.
        slide: window, temperature and thresholds.
        picture: the resized one, (H', W', 3); needed where scores are smoothed along its colours.

    Returns:
        (H, W) labels.
    """
    prompts = torch.arange(len(label_of))
    if background is not None and not slide.background_words:
        prompts = prompts[label_of != background]
    smoothing = _smoothing(picture, size) if slide.pamr and picture is not None else None
    best, word, log_sum = _compete(windows, boxes, size, prompts, slide, smoothing)
    labels = label_of[word]
    if background is not None and slide.least_area > 0:
        # Classes of a small share lose all of their pixels to whoever comes next.
        areas = torch.bincount(labels.flatten(), minlength=background + 1).float()
        areas[background] = 0
        kept = areas > slide.least_area * areas.sum()
        kept[background] = True
        best, word, _ = _compete(windows, boxes, size, prompts[kept[label_of[prompts]]], slide, smoothing)
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
    """Largest score, whose word it is, and logarithm of the sum of exponentials, (H, W) each.

    Words are taken a few at a time: (P, H, W) of 847 words would not fit in memory.
    """
    best = torch.full(size, -torch.inf)
    word = torch.zeros(size, dtype=torch.int64)
    log_sum = torch.full(size, -torch.inf)
    resized = max(box[1] for box in boxes) * max(box[3] for box in boxes)
    at_once = max(1, _VALUES_AT_ONCE // max(size[0] * size[1], resized))
    for some in torch.split(prompts, at_once):
        # The whole picture's patches become pixels in one step.
        together = windows[0][some] if slide.window is None else _average(windows, boxes, some, slide.window)
        scores = slide.temperature * F.interpolate(together[None], size=size, mode="bilinear", align_corners=False)[0]
        if smoothing is not None:
            scores = smooth(scores.flatten(1).T.contiguous(), *smoothing).T.reshape(scores.shape)  # (p, H, W)
        log_sum = torch.logaddexp(log_sum, scores.logsumexp(dim=0))
        top, place = scores.max(dim=0)
        better = top > best  # the first of equal words stays
        best, word = torch.where(better, top, best), torch.where(better, some[place], word)
    return best, word, log_sum


def _smoothing(picture: Pixels, size: Size) -> tuple[Tensor, Tensor]:
    """Neighbours of each pixel of the picture in its own size, and their shares."""
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    return colour_neighbours(F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)[0])


def _average(windows: Sequence[Tensor], boxes: Sequence[Box], prompts: Tensor, side: int) -> Tensor:
    """(p, H', W') mean of the windows over each pixel of the resized picture."""
    height, width = max(box[1] for box in boxes), max(box[3] for box in boxes)
    total, count = torch.zeros(len(prompts), height, width), torch.zeros(height, width)
    for window, (top, bottom, left, right) in zip(windows, boxes, strict=True):
        seen = F.interpolate(window[prompts][None], size=(side, side), mode="bilinear", align_corners=False)[0]
        total[:, top:bottom, left:right] += seen[:, : bottom - top, : right - left]
        count[top:bottom, left:right] += 1
    return total / count


def _same(error: CliptraseError) -> Outcome:
    return error
