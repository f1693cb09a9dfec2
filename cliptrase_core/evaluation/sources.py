"""Read pictures with their ground truth: from folders, or the bundled examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.examples import Example, read_mask
from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.metrics import boundary_f, confusion_matrix, mean_iou, pixel_accuracy
from cliptrase_core.evaluation.numbers import Numbers
from cliptrase_core.io.files import as_file, size_and_time
from cliptrase_core.io.image import (
    DEFAULT_MAX_PIXELS,
    damage_explained,
    expect_pixels,
    opened_file,
    read_header,
    read_image,
)
from cliptrase_core.io.masks import IGNORED
from cliptrase_core.text.vocabulary import Vocabulary, parse_vocabulary

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]
Extra = Callable[[Labels, Labels], dict[str, float]]
"""Function from ground truth and labels, (H, W) each, to the figures of this picture alone, in per cent."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture with its ground truth.

    Attributes:
        key: name of the picture in the data set.
        image: (H, W, 3) uint8, sRGB.
        ground_truth: (H, W) ground truth in labels of the data set, `IGNORED` for a pixel that does not count.
        raw: (H, W) numbers of the mask file; None if there is no mask file.
        words: vocabulary to segment this picture.
        labels: (C,) label in the data set of each label of `words`; None if both are the same.
        given: (H, W) prediction from a file, in labels of the data set; None if a model predicts.
    """

    key: str
    image: Pixels
    ground_truth: Labels
    raw: Labels | None
    words: Vocabulary
    labels: Labels | None = None
    given: Labels | None = None

    def in_data_set(self, labels: Labels) -> Labels:
        """Return labels (H, W) of `words` as labels of the data set; a pixel without any class stays `IGNORED`."""
        return labels if self.labels is None else np.append(self.labels, np.int32(IGNORED))[labels]  # -1: the last


class Source(Protocol):
    """Interface of a data set."""

    @property
    def keys(self) -> Sequence[str]:
        """Names of all pictures, in the order of the evaluation."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Names of all labels, for display."""
        ...

    @property
    def reading(self) -> Mapping[str, Any] | None:
        """Convention of the numbers in masks, JSON-serialisable; None if there are no numbers."""
        ...

    @property
    def extra(self) -> Extra | None:
        """Function that computes figures of single pictures, besides the counts; None if there are none."""
        ...

    def stamp(self, index: int) -> tuple[int, ...]:
        """Return numbers that change with the files of a picture; an empty tuple if it has no files."""
        ...

    def load(self, index: int) -> Sample:
        """Read one picture. Raises InputError if it cannot be used. Thread-safe."""
        ...


class Folders:
    """Data set with pictures and masks in files.

    Args:
        pairs: pictures and masks of a layout.
        numbers: convention of the numbers in masks.
        words: classes, and background words if any.
        read: function that reads a picture from a file, as (H, W, 3).
    """

    extra: Extra | None = None

    def __init__(
        self, pairs: Sequence[Pair], numbers: Numbers, words: Vocabulary, read: Callable[[Path], Pixels]
    ) -> None:
        """Store the names; no file is read."""
        self.keys: Sequence[str] = tuple(pair.key for pair in pairs)
        self.names: Sequence[str] = words.class_names
        self.reading: Mapping[str, Any] | None = {
            **dataclasses.asdict(numbers),
            "single": [list(pair) for pair in sorted(numbers.single.items())],  # keys of JSON objects cannot be numbers
        }
        self._pairs, self._numbers, self._words, self._read = pairs, numbers, words, read

    def stamp(self, index: int) -> tuple[int, ...]:
        """Return size and time of picture, mask and files that the mask depends on; zeros for a missing file."""
        pair = self._pairs[index]
        return tuple(number for path in (pair.image, pair.mask, *pair.besides) for number in size_and_time(path))

    def load(self, index: int) -> Sample:
        """Read a picture and its mask.

        Raises:
            InputError: either is missing or damaged, their sizes differ, or the mask has unknown numbers.
        """
        pair = self._pairs[index]
        image = self._picture(pair)
        raw, _ = pair.read_mask(pair.mask)
        if raw.shape != image.shape[:2]:
            raise InputError(
                f"mask {pair.mask.name!r}",
                expected=f"the picture's size {image.shape[0]} x {image.shape[1]}",
                got=f"{raw.shape[0]} x {raw.shape[1]}",
                remedy="Use the mask that was drawn for this picture.",
            )
        ground_truth = self._numbers.read(raw, len(self._words.classes))
        if ground_truth.size and ground_truth.max() >= len(self.names):
            raise InputError(
                f"mask {pair.mask.name!r}",
                expected="no background, since there are no background words",
                got="background pixels",
                remedy='Add words: "... | background: wall, floor".',
            )
        return Sample(pair.key, image, ground_truth, raw, self._words)

    def _picture(self, pair: Pair) -> Pixels:
        if pair.picture is None:
            return self._read(pair.image)
        with as_file(pair.picture(), pair.key) as path:
            return self._read(path)


class Examples:
    """Bundled photographs with masks drawn by hand; each is segmented by its own words.

    Args:
        examples: result of `read_examples`.
        limit: number of the first ones that are used; None for all. The classes are those of all, so that runs with
            other limits can be compared.
    """

    def __init__(self, examples: Sequence[Example], limit: int | None = None) -> None:
        """Store the names; no file is read."""
        self.reading: Mapping[str, Any] | None = None
        self.names: Sequence[str] = tuple(dict.fromkeys(name for example in examples for name in example.classes))
        self._examples = examples[:limit]
        self.keys: Sequence[str] = tuple(example.name for example in self._examples)

    def stamp(self, index: int) -> tuple[int, ...]:
        """Return size and time of picture and mask; zeros for a missing file."""
        example = self._examples[index]
        return (*size_and_time(example.path), *size_and_time(example.mask_path))

    def load(self, index: int) -> Sample:
        """Read a photograph and paint its mask.

        Raises:
            InputError: either is missing or damaged.
        """
        example = self._examples[index]
        labels = np.array([self.names.index(name) for name in example.classes], np.int32)
        drawn = read_mask(example)
        ground_truth = np.where(drawn == IGNORED, IGNORED, labels[drawn]).astype(np.int32)
        words = parse_vocabulary(example.words)
        return Sample(example.name, read_image(example.path), ground_truth, None, words, labels)

    @staticmethod
    def extra(ground_truth: Labels, labels: Labels) -> dict[str, float]:
        """Return the figures of one photograph. Their means are reported, since each photograph has its own words."""
        classes = 1 + max(int(ground_truth.max()), int(labels.max()))
        matrix = confusion_matrix(ground_truth, labels, classes)
        return {
            "mIoU": 100 * mean_iou(matrix),
            "accuracy": 100 * pixel_accuracy(matrix),
            "boundary F": 100 * boundary_f(ground_truth, labels),
        }


def read_turned(path: Path) -> Pixels:
    """Read a picture as OpenCV does: turned upright, not colour managed. Returns and raises as `read_stored`."""
    return read_stored(path, turned=True)


def read_stored(path: Path, turned: bool = False) -> Pixels:
    """Read a picture exactly as stored, as the published script does: neither turned nor colour managed.

    Grey pictures of 16 bits, 32 bits and floats are converted to 8 bits as in `read_image`, because the script's own
    conversion makes almost all of their pixels white.

    Args:
        path: file of the picture.
        turned: turn the picture upright, according to its EXIF data.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: no such picture, or one that cannot be read.
    """
    with opened_file(path, "a picture") as (file, name):
        image = read_header(file, name, DEFAULT_MAX_PIXELS)
        expect_pixels(image.height, image.width, name, DEFAULT_MAX_PIXELS)
        with damage_explained(name, DEFAULT_MAX_PIXELS):
            upright = ImageOps.exif_transpose(image) if turned else image
            if not upright.mode.startswith(("I", "F")):
                return np.array(upright.convert("RGB"))
            grey = Image.fromarray(np.array(upright))  # drops EXIF, so that `read_image` does not turn it
        return read_image(grey)
