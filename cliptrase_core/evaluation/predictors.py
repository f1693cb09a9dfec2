"""Predict labels under each protocol with a model, and convert the ground truth to the frame of the scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cliptrase_core.errors import CliptraseError, InputError, memory_explained
from cliptrase_core.evaluation.profiles import Slide
from cliptrase_core.evaluation.sources import Labels, Pixels, Sample
from cliptrase_core.evaluation.windows import Box, label_windows, resize_short_side, window_boxes
from cliptrase_core.io.geometry import MAX_ASPECT, centre_crop_frame
from cliptrase_core.io.masks import IGNORED
from cliptrase_core.io.memory import expect_memory
from cliptrase_core.methods.features import expect_depth
from cliptrase_core.methods.registry import Method, method_by_name
from cliptrase_core.options import SegmentOptions, arguments_of
from cliptrase_core.presets import WINDOWS, Preset, preset_by_name
from cliptrase_core.results import ImageEncoding
from cliptrase_core.segmenter import Segmenter

if TYPE_CHECKING:
    from typing_extensions import Self

Finish = Callable[[], Labels]
"""Function that returns the labels of one sample, (H, W) in the frame of the prepared ground truth. Thread-safe.

It raises the CliptraseError of this sample, also one of the model, so that the other samples of the batch go on.
"""


class Predictor(Protocol):
    """Interface of a protocol with a model."""

    def stamp(self, key: str) -> tuple[int, ...]:
        """Return numbers that change with the file of a picture's prediction; an empty tuple if a model predicts."""
        ...

    def prepare(self, sample: Sample) -> Sample:
        """Convert picture and ground truth to the frame of the protocol. Raises InputError. Thread-safe."""
        ...

    def predict_each(self, samples: Sequence[Sample], predictors: Sequence[Self]) -> list[list[Finish]]:
        """Run the model on a batch of prepared samples, once for predictors that differ in the method alone.

        Args:
            samples: at least one.
            predictors: predictors of this kind; most often this one is among them.

        Returns:
            For each predictor, a function per sample for its labels.

        Raises:
            ValueError: predictors whose model inputs differ.
        """
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
        self._shared = (self._preset, short_side)

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

    def predict_each(self, samples: Sequence[Sample], predictors: Sequence[PresetPredictor]) -> list[list[Finish]]:
        """Encode pictures as a batch; if that fails, one by one, so that one bad picture does not affect the others."""
        _expect_shared([self, *predictors])
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

    def _label(self, sample: Sample, encoding: ImageEncoding | CliptraseError) -> Labels:
        if isinstance(encoding, CliptraseError):
            raise encoding
        expect_memory(f"picture {sample.key!r}", encoding.frame)
        labels = self._segmenter.segment(encoding, sample.words, **self._options.options).labels
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
SLIDE_TEMPLATES = "openai80"
"""Default prompt templates of sliding windows."""


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
        self._shared = slide
        self._method = method or method_by_name(options.method)
        expect_depth(self._method, len(segmenter.backbone.blocks))
        self._preset: str | Preset = "auto" if slide.positions == "size" else WINDOWS

    def stamp(self, key: str) -> tuple[int, ...]:
        """Return an empty tuple: the header identifies the model."""
        return ()

    def prepare(self, sample: Sample) -> Sample:
        """Return the sample unchanged: ground truth stays in the frame of the picture."""
        return sample

    def predict_each(self, samples: Sequence[Sample], predictors: Sequence[SlidePredictor]) -> list[list[Finish]]:
        """Encode each window once for all predictors."""
        _expect_shared([self, *predictors])
        return [list(found) for found in zip(*(self._predict(sample, predictors) for sample in samples), strict=True)]

    def _predict(self, sample: Sample, predictors: Sequence[SlidePredictor]) -> list[Finish]:
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
            return [partial(_raise, error)]
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


def _expect_shared(predictors: Sequence[PresetPredictor | SlidePredictor]) -> None:
    """Raise ValueError unless model inputs and windows of one predictor are those of all."""
    if any(getattr(one, "_shared", None) != predictors[0]._shared for one in predictors):
        raise ValueError("predictors that share encodings must differ in the method alone")


def _raise(error: CliptraseError) -> NoReturn:
    raise error
