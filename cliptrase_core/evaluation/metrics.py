"""Metrics: confusion matrix, pixel accuracy, mean accuracy, mIoU, boundary F-score."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.masks import IGNORED

BOUNDARY_TOLERANCE = 3 / 224
"""Tolerance of boundaries, as a share of the short side: three pixels of a CLIP input of 224 pixels."""

Labels = npt.NDArray[np.integer]
Matrix = npt.NDArray[np.int64]


def confusion_matrix(ground_truth: Labels, labels: Labels, classes: int) -> Matrix:
    """Count pixels by true class and predicted class. Matrices of several pictures can be added.

    Args:
        ground_truth: (H, W) ground truth, 0..C-1, or `IGNORED` for a pixel that does not count.
        labels: (H, W) prediction, 0..C-1, or `IGNORED` for a pixel with none of these classes.
        classes: C.

    Returns:
        (C, C+1) int64; rows are true classes, columns are predicted classes, the last column is "none of these".

    Raises:
        InputError: maps of different size, or classes out of range.
    """
    if ground_truth.shape != labels.shape or ground_truth.ndim != 2:
        raise InputError(
            explain(
                "ground truth and labels",
                expected="two maps (H, W) of one size",
                got=f"{ground_truth.shape} and {labels.shape}",
                remedy="Resize the ground truth to the size of the labels.",
            )
        )
    for name, values in (("ground truth", ground_truth), ("labels", labels)):
        if values.size and (values.min() < IGNORED or values.max() >= classes):
            raise InputError(
                explain(
                    name,
                    expected=f"classes 0 to {classes - 1}, or {IGNORED}",
                    got=f"{values.min()} to {values.max()}",
                    remedy="Give each class its own number.",
                )
            )
    counted = ground_truth != IGNORED
    given = np.where(labels == IGNORED, classes, labels)[counted].astype(np.int64)
    pairs = ground_truth[counted].astype(np.int64) * (classes + 1) + given
    return np.bincount(pairs, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def class_iou(matrix: Matrix) -> npt.NDArray[np.float64]:
    """Return the intersection over union of each class: (C,) in [0, 1], NaN for a class that is in neither map."""
    hit = np.diagonal(matrix)
    union = matrix.sum(axis=1) + matrix[:, :-1].sum(axis=0) - hit
    iou: npt.NDArray[np.float64] = np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)
    return iou


def mean_iou(matrix: Matrix) -> float:
    """Return mean IoU over classes in the ground truth, the same ones for every prediction; NaN without classes."""
    known = class_iou(matrix)[matrix.sum(axis=1) > 0]
    return float(known.mean()) if len(known) else float("nan")


def pixel_accuracy(matrix: Matrix) -> float:
    """Return the share of counted pixels with the true class; NaN if no pixel counts."""
    total = int(matrix.sum())
    return float(np.trace(matrix) / total) if total else float("nan")


def boundary_f(ground_truth: Labels, labels: Labels, tolerance: int | None = None) -> float:
    """Return the F-score of boundaries, from the precision and the recall of boundary pixels.

    Boundaries within the tolerance of a pixel that does not count are left out, since their correctness is unknown.

    Args:
        ground_truth: (H, W) ground truth, `IGNORED` for a pixel that does not count.
        labels: (H, W) prediction.
        tolerance: maximal offset in pixels, a diagonal step counts as one; None takes `BOUNDARY_TOLERANCE`.

    Returns:
        F-score in [0, 1]; 1 if neither map has a boundary.
    """
    reach = round(BOUNDARY_TOLERANCE * min(ground_truth.shape)) if tolerance is None else tolerance
    known = ~_grown(ground_truth == IGNORED, reach)
    wanted, given = _boundaries(ground_truth), _boundaries(labels)
    counted_wanted, counted_given = wanted & known, given & known
    if not counted_wanted.any() and not counted_given.any():
        return 1.0
    precision = (counted_given & _grown(wanted, reach)).sum() / max(1, counted_given.sum())
    recall = (counted_wanted & _grown(given, reach)).sum() / max(1, counted_wanted.sum())
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _boundaries(labels: Labels) -> npt.NDArray[np.bool_]:
    """Return a mask (H, W) of pixels whose right or lower neighbour has another class."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def _grown(mask: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    """Return the mask (H, W), dilated by `by` pixels; a diagonal step counts as one."""
    side = 2 * by + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
