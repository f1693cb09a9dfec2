"""Scores of results against a ground truth from the user. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cliptrase_core.names import fold
from demo import core
from demo.errors import UserError, as_user_errors
from demo.service.pictures import digest
from demo.service.segmentation import SegmentView
from demo.service.service import Service
from demo.settings import EXAMPLES

if TYPE_CHECKING:
    from cliptrase_core.io.geometry import Frame, Size

Labels = npt.NDArray[np.int32]
NUMBERS_FROM_ONE = "Numbers start at 1"
"""Label of the page's control for `from_one`."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """A ground truth in the frame of the labels.

    Attributes:
        labels: (H, W), index into `names`; -1 for pixels that do not count.
        names: names of the classes, in the order of the user's words.
        from_one: True if the first word has the number 1 in the file, False if it has 0.
        added: number of names after those of the user's words: background, everything else.
        drawn: True if it was drawn by hand for a bundled example, and is no file of the user.
    """

    labels: Labels
    names: tuple[str, ...]
    from_one: bool = False
    added: int = 0
    drawn: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """Names of the classes of the user's words, without `rest`."""
        return self.names[: len(self.names) - self.added]

    @property
    def rest(self) -> str | None:
        """Name of the class of all other pixels, or None if the result has none."""
        return self.names[-self.added] if self.added else None


@dataclass(frozen=True, eq=False)
class Score:
    """Agreement of a result with a ground truth.

    Attributes:
        iou: (C,), IoU of each class; NaN for a class in neither.
        mean_iou: mIoU over the classes of the ground truth; NaN if no pixel counts.
        accuracy: pixel accuracy over the pixels that count; NaN if no pixel counts.
        wrong: (H, W), pixels that count and have another class in the result.
        strange: True if no class of the result has a name of the ground truth; then the three numbers are NaN.
    """

    iou: npt.NDArray[np.float64]
    mean_iou: float
    accuracy: float
    wrong: npt.NDArray[np.bool_]
    strange: bool = False


def read_ground_truth(
    service: Service, path: str | None, mask: str, own: SegmentView, *, from_one: bool = False
) -> GroundTruth:
    """Read a mask and bring it to the size of the labels that the page shows.

    Args:
        service: service that encoded the picture.
        path: path of the picture.
        mask: path of a PNG with class numbers in the order of the words of `own`.
        own: result that the user sees now.
        from_one: True if the first word has the number 1. Then 0 is the class of all other pixels if `own` has one,
            and else does not count.

    Raises:
        UserError: not such a PNG, another size than the picture, or class numbers beyond the words.
    """
    with as_user_errors():
        labels = core.io.masks.read_mask(mask, max_pixels=core.io.image.MAX_REDUCED_PIXELS)
    frame = service.encoded(own.run, path)[1].encoding.frame
    if labels.shape != frame.original:
        expected, got = (" x ".join(map(str, size)) for size in (frame.original, labels.shape))
        raise UserError(
            f"The ground truth: expected {expected} pixels (height x width) like the picture, got {got}. "
            "Save it in the picture's size."
        )
    names = own.result.class_names
    words = len(core.text.vocabulary.parse_vocabulary(own.run.request.words).classes)  # "background" may be one of them
    labels = _labels(labels, words, len(names), from_one)
    return GroundTruth(_framed(labels, frame, own.result.size), names, from_one, len(names) - words)


def drawn_ground_truth(service: Service, path: str | None, own: SegmentView) -> GroundTruth | None:
    """Return the ground truth that was drawn by hand for a bundled example, in the size of the labels of the page.

    Args:
        service: service that encoded the picture.
        path: path of the picture.
        own: result that the user sees now.

    Returns:
        None if the picture is no example, or if `own` lacks one of its classes, whose pixels could only be wrong.
    """
    try:
        examples = core.evaluation.examples.read_examples(EXAMPLES)
        example = next((one for one in examples if digest(str(one.path)) == own.run.key.picture), None)
        if example is None or not set(map(fold, example.classes)) <= set(map(fold, own.result.class_names)):
            return None
        labels = core.evaluation.examples.read_mask(example)
    except (core.errors.CliptraseError, UserError):  # somebody changed the examples
        return None
    frame = service.encoded(own.run, path)[1].encoding.frame
    return GroundTruth(_framed(labels, frame, own.result.size), example.classes, drawn=True)


def _framed(labels: Labels, frame: Frame, size: Size) -> Labels:
    """Return labels of the whole picture in the frame of the result's labels, at their size (H, W)."""
    if frame.labels != frame.original:  # the paper's presets label a crop
        (top, left), (height, width) = frame.crop, frame.labels
        labels = core.io.geometry.nearest(labels, frame.resized)[top : top + height, left : left + width]
    return core.io.geometry.nearest(labels, size)


def _labels(numbers: Labels, words: int, names: int, from_one: bool) -> Labels:
    """Return the classes of the numbers of a file. Raises UserError for numbers beyond the words.

    Args:
        numbers: (H, W), numbers of the file.
        words: number of the user's words, which are the first classes.
        names: number of all classes.
        from_one: as for `read_ground_truth`.
    """
    least, most = (1, words) if from_one else (0, names - 1)
    if numbers.max() > most:
        other = f"{'Untick' if from_one else 'Tick'} \u201c{NUMBERS_FROM_ONE}\u201d if they start at {1 - least}, add"
        raise UserError(
            f"The ground truth: expected class numbers {least} to {most}, one for each of your words in their "
            f"order, or 255 for pixels to ignore, got {numbers.max()}. {other} the missing words or correct the file."
        )
    if not from_one:
        return numbers
    rest = words if words < names else core.io.masks.IGNORED
    return np.where(numbers == 0, np.int32(rest), numbers - (numbers > 0)).astype(np.int32)


def score(ground_truth: GroundTruth, view: SegmentView) -> Score:
    """Compare a result with a ground truth; classes are matched by name."""
    metrics = core.evaluation.metrics
    places = {fold(name): i for i, name in reversed(list(enumerate(ground_truth.names)))}
    table = np.array(
        [places.get(fold(name), core.io.masks.IGNORED) for name in view.result.class_names], dtype=np.int32
    )
    # With equal words, compare numbers: a data set may list a word twice, and each has its own number.
    own = view.result.class_names == ground_truth.names
    labels = view.result.labels if own else table[view.result.labels]
    matrix = metrics.confusion_matrix(ground_truth.labels, labels, len(ground_truth.names))
    wrong = (ground_truth.labels != core.io.masks.IGNORED) & (labels != ground_truth.labels)
    if not own and (table == core.io.masks.IGNORED).all():  # 0 % would say that all of it is wrong
        return Score(np.full(len(ground_truth.names), np.nan), np.nan, np.nan, wrong, strange=True)
    return Score(
        core.evaluation.metrics.class_iou(matrix),
        core.evaluation.metrics.mean_iou(matrix),
        core.evaluation.metrics.pixel_accuracy(matrix),
        wrong,
    )
