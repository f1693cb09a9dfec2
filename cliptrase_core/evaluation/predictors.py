"""Predict labels under each protocol, and convert the ground truth to the frame of the scores."""

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

from cliptrase_core.errors import CliptraseError, InputError, memory_explained
from cliptrase_core.evaluation.profiles import LONGEST, Slide
from cliptrase_core.evaluation.sources import Labels, Pixels, Sample
from cliptrase_core.io.geometry import MAX_ASPECT, Size, centre_crop_frame
from cliptrase_core.io.masks import IGNORED
from cliptrase_core.io.memory import expect_memory
from cliptrase_core.methods.features import expect_depth
from cliptrase_core.methods.pamr import colour_neighbours, smooth
from cliptrase_core.methods.registry import Method, method_by_name
from cliptrase_core.options import SegmentOptions, arguments_of
from cliptrase_core.presets import WINDOWS, preset_by_name
from cliptrase_core.results import ImageEncoding
from cliptrase_core.segmenter import Segmenter

Outcome = Labels | CliptraseError
"""Labels (H, W) in the frame of the prepared ground truth, or the error that prevented them."""


class Predictor(Protocol):
    """Interface of a protocol with a model."""

    def stamp(self, key: str) -> tuple[int, ...]:
        """Return numbers that change with the file of a picture's prediction; an empty tuple if a model predicts."""
        ...

    def prepare(self, sample: Sample) -> Sample:
        """Convert picture and ground truth to the frame of the protocol. Raises InputError. Thread-safe."""
        ...

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """Run the model on a batch of prepared samples; return a thread-safe function per sample for its labels."""
        ...


class PresetPredictor:
    """Predictor with one forward pass per picture and a preset: protocols `paper` (centre crop) and `whole`.

    Args:
        segmenter: the model.
        preset: name of the preset.
        options: options of `Segmenter.segment`.
        short_side: short side of the model input in pixels, instead of the preset's.
    """

    def __init__(
        self, segmenter: Segmenter, preset: str, options: SegmentOptions, short_side: int | None = None
    ) -> None:
        """Get the preset by its name."""
        self._segmenter, self._options, self._short_side = segmenter, options, short_side
        self._preset = preset_by_name(preset)

    def stamp(self, key: str) -> tuple[int, ...]:
        """Return an empty tuple: the header identifies the model."""
        return ()

    def prepare(self, sample: Sample) -> Sample:
        """Crop picture and ground truth if the preset crops; else return the sample unchanged."""
        if not self._preset.crop:
            return sample
        # A second crop changes nothing, so the crop can be made here, in the threads of the reader.
        seen, frame = self._segmenter.view(sample.image, self._preset.name, short_side=self._short_side)
        return dataclasses.replace(
            sample,
            image=seen,
            ground_truth=crop_ground_truth(sample.ground_truth, frame.model[0]),
            raw=None if sample.raw is None else crop_ground_truth(sample.raw, frame.model[0]),
        )

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """Encode pictures as a batch; if that fails, one by one, so that one bad picture does not affect the others."""
        return self.predict_each(samples, [self])[0]

    def predict_each(
        self, samples: Sequence[Sample], predictors: Sequence[PresetPredictor]
    ) -> list[list[Callable[[], Outcome]]]:
        """Encode each picture once for all predictors."""
        images = [sample.image for sample in samples]
        try:
            encoded: list[ImageEncoding | CliptraseError] = list(self._encode(images))
        except CliptraseError:
            encoded = [self._encode_alone(image) for image in images]
        pairs = list(zip(samples, encoded, strict=True))
        return [[partial(one._label, sample, encoding) for sample, encoding in pairs] for one in predictors]

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
            expect_memory(f"picture {sample.key!r}", encoding.frame)
            labels = self._segmenter.segment(encoding, sample.words, **self._options.options).labels
        except CliptraseError as error:
            return error
        return _without_rest(labels, sample) if self._options.everything_else else labels


def _without_rest(labels: Labels, sample: Sample) -> Labels:
    """Turn "everything else" into the background of the data, else into no class: their ground truth has no such class.

    Args:
        labels: (H, W) in labels of the sample's words; "everything else" is the label after the last.
        sample: picture with these words.
    """
    words = sample.words
    other = len(words.classes) if words.background else IGNORED
    return np.where(labels == len(words.class_names), np.int32(other), labels)


def crop_ground_truth(ground_truth: Labels, side: int) -> Labels:
    """Crop ground truth as the published script does: resize the short side to `side` by nearest neighbours, then crop.

    Args:
        ground_truth: (H, W) ground truth.
        side: side of the centre crop in pixels.

    Returns:
        (side, side) centre crop.
    """
    frame = centre_crop_frame((ground_truth.shape[0], ground_truth.shape[1]), side, (side, side))
    height, width = frame.resized
    # Use PIL's filter, as the script does: torch selects other pixels as nearest neighbours.
    resized = np.asarray(
        Image.fromarray(ground_truth.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
    )
    top, left = frame.crop
    return resized[top : top + side, left : left + side]


_WINDOWS_AT_ONCE = 8
_VALUES_AT_ONCE = 48_000_000
"""Maximal number of interpolated scores in memory at a time: 190 MB in float32."""

SLIDE_TEMPLATES = "openai80"
"""Default prompt templates of sliding windows."""

Box = tuple[int, int, int, int]
"""Window as (top, bottom, left, right), in pixels of the resized picture."""


class SlidePredictor:
    """Predictor with sliding windows.

    Args:
        segmenter: the model.
        slide: values of the sliding window.
        options: options of `Segmenter.segment`; options that need regions or the whole picture are refused.
        method: method with the switches of a program; None takes the plain method of `options`.
    """

    def __init__(
        self, segmenter: Segmenter, slide: Slide, options: SegmentOptions, method: Method | None = None
    ) -> None:
        """Check the options."""
        expect_slidable(options)
        self._segmenter, self._slide, self._options = segmenter, slide, options
        self._method = method or method_by_name(options.method)
        expect_depth(self._method, len(segmenter.backbone.blocks))
        self._preset = "auto" if slide.positions == "size" else WINDOWS.name

    def stamp(self, key: str) -> tuple[int, ...]:
        """Return an empty tuple: the header identifies the model."""
        return ()

    def prepare(self, sample: Sample) -> Sample:
        """Return the sample unchanged: ground truth stays in the frame of the picture."""
        return sample

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """Run all windows of each picture."""
        return self.predict_each(samples, [self])[0]

    def predict_each(
        self, samples: Sequence[Sample], predictors: Sequence[SlidePredictor]
    ) -> list[list[Callable[[], Outcome]]]:
        """Encode each window once for all predictors."""
        return [list(found) for found in zip(*(self._predict(sample, predictors) for sample in samples), strict=True)]

    def _predict(self, sample: Sample, predictors: Sequence[SlidePredictor]) -> list[Callable[[], Outcome]]:
        """Return the function for the labels of one sample, for each predictor."""
        picture = resize_short_side(sample.image, self._slide.short_side)
        whole = (0, picture.shape[0], 0, picture.shape[1])
        side = self._slide.window
        boxes = [whole] if side is None else window_boxes((whole[1], whole[3]), side, self._slide.stride)
        windows: list[list[Tensor]] = [[] for _ in predictors]
        try:
            with memory_explained("picture"):
                for start in range(0, len(boxes), _WINDOWS_AT_ONCE):
                    encodings = self._encoded(picture, boxes[start : start + _WINDOWS_AT_ONCE])
                    for one, scores in zip(predictors, windows, strict=True):
                        scores += one._scores(encodings, sample)
        except CliptraseError as error:
            if len(predictors) > 1:  # only one of them may need too much memory
                return [one._predict(sample, [one])[0] for one in predictors]
            return [partial(_same, error)]
        label_of = torch.tensor(sample.words.prompt_labels)
        background = len(sample.words.classes) if sample.words.background else None
        size = (sample.image.shape[0], sample.image.shape[1])
        return [
            partial(label_windows, scores, boxes, size, label_of, background, self._slide, picture)
            for scores in windows
        ]

    def _encoded(self, picture: Pixels, boxes: Sequence[Box]) -> list[ImageEncoding]:
        crops = [self._window(picture, box) for box in boxes]
        return self._segmenter.encode_batch(crops, self._preset, short_side=min(crops[0].shape[:2]))

    def _scores(self, encodings: Sequence[ImageEncoding], sample: Sample) -> list[Tensor]:
        """Return (P, h, w) cosine similarities between P prompts and the patches, for each window."""
        templates = self._options.templates or SLIDE_TEMPLATES
        found = [
            self._segmenter.scores(encoding, sample.words, method=self._method, templates=templates)
            for encoding in encodings
        ]
        return [scores.logits / scores.scale for scores in found]

    def _window(self, picture: Pixels, box: Box) -> Pixels:
        """Return the model input: a window, or the whole picture cropped to full patches.

        Pixels beyond the edge of a small picture get the model's mean colour, which is 0 after normalisation.
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
        """Return the whole picture, cropped to full patches. Raises InputError if it is too small or too elongated."""
        height, width = (
            side - side % step for side, step in zip(picture.shape[:2], self._segmenter.backbone.patch, strict=True)
        )
        if min(height, width) < 1 or max(height, width) > MAX_ASPECT * min(height, width):
            got = f"{picture.shape[0]} x {picture.shape[1]} pixels for the model"
            expected = f"an aspect ratio of at most {MAX_ASPECT:g}, since the whole picture is one model input"
            raise InputError("picture", expected=expected, got=got, remedy="Use protocol mmseg-slide.")
        return picture[:height, :width]


def expect_slidable(options: SegmentOptions) -> None:
    """Raise InputError for options that sliding windows do not support."""
    vote = options.vote or None  # windows never vote, so that a given --no-vote is true
    rest = dataclasses.replace(options, method="cliptrase", templates=None, vote=vote, residual=None)
    if rest != SegmentOptions():
        raise InputError(
            "sliding windows",
            expected="a method, its residual and templates only: regions cannot extend across windows",
            got=", ".join(arguments_of(rest)),
            remedy="Leave that out, or use protocol paper.",
        )


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


def _same(error: CliptraseError) -> Outcome:
    return error
