"""Labels that spread over superpixels: connected groups of pixels of similar colour, smaller than a patch.

Every group joins the neighbour of the most similar colour, again and again, until few enough are left (X. Wei et al.,
Superpixel Hierarchy, IEEE TIP 2018). Labels then spread between neighbouring groups, more over a long border and
between similar colours (L. Grady, Multilabel Random Walker Image Segmentation Using Prior Models, CVPR 2005). So an
uncertain patch gets the label of what it belongs to, and a boundary moves to where colours change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csc_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from cliptrase_core.cancel import check

Floats = npt.NDArray[np.floating[Any]]
Whole = npt.NDArray[np.integer[Any]]

BLUR = 0.8  # pixels, standard deviation: grain of a sensor makes no groups
ALIKE = 5.0  # distance in CIELAB within which colours count as alike
BORDER = 60.0  # a border's pixel between equal colours weighs as much as so many pixels of evidence
LEAST = 1e-3  # smallest certainty, so that a picture without any keeps its labels


@dataclass(frozen=True)
class Superpixels:
    """Division of a picture into G groups.

    Attributes:
        groups: (H, W), 0..G-1, group of each pixel.
        area: (G,) pixels of each group.
        sides: (2, B), the two groups at each pair of neighbouring pixels of different groups.
        distance: (B,) squared distance of the mean colours of these groups in CIELAB.
    """

    groups: Whole
    area: Whole
    sides: Whole
    distance: Floats


def superpixels(image: npt.NDArray[np.uint8], count: int) -> Superpixels:
    """Divide a picture (H, W, 3) into `count` connected groups of similar colour; a smaller one into its pixels."""
    smooth = cv2.GaussianBlur(image, (0, 0), BLUR).astype(np.float32) / 255
    colours: Floats = np.asarray(cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB), np.float32).reshape(-1, 3)
    place = np.arange(len(colours)).reshape(image.shape[:2])
    beside, below = (place[:, :-1], place[:, 1:]), (place[:-1], place[1:])
    sides = np.stack([np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(beside, below, strict=True)])
    groups: Whole = place.ravel()
    area, distance = np.bincount(groups), _distance(colours, sides)
    while len(area) > max(1, count):
        check()
        joined = _joined(sides, distance, len(area), len(area) - max(1, count))
        colours, groups = _mean_colours(colours, area, joined), joined[groups]
        sides = joined[sides][:, joined[sides[0]] != joined[sides[1]]]
        area = np.bincount(groups)
        distance = _distance(colours, sides)
    return Superpixels(groups.reshape(image.shape[:2]), area, sides, distance)


def spread(parts: Superpixels, labels: npt.NDArray[np.integer[Any]], certainty: Floats) -> Whole:
    """Give every group one label: its own pixels' and those of similar neighbours, each by its certainty.

    Args:
        parts: division of the picture.
        labels: (H, W), 0..C-1.
        certainty: (H, W), 0..1, how much the label of each pixel counts.

    Returns:
        (H, W).
    """
    size, classes = len(parts.area), int(labels.max()) + 1
    place = parts.groups.ravel() * classes + labels.ravel()
    evidence = np.bincount(place, np.maximum(certainty.ravel(), LEAST), size * classes).reshape(size, classes)
    pull = BORDER * np.exp(-parts.distance.astype(np.float64) / (2 * ALIKE**2))
    links = coo_matrix((pull, tuple(parts.sides)), (size, size)).tocsc()
    links = links + links.T
    # In balance, the evidence of a group is its share times its area, and what it gives its neighbours beyond theirs.
    system = csc_matrix(diags(parts.area + np.asarray(links.sum(axis=0)).ravel()) - links)
    shares = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(evidence)
    found: Whole = shares.argmax(axis=1)[parts.groups]
    return found


def _joined(sides: Whole, distance: Floats, groups: int, most: int) -> Whole:
    """Join every group to its most similar neighbour, the most similar pairs first.

    Returns:
        (groups,), the new number of each group; at most `most` fewer than before.
    """
    rank = np.minimum(100 * np.sqrt(distance), np.iinfo(np.uint16).max).astype(np.uint16)
    falling = np.argsort(~rank, kind="stable")  # 16 bits are sorted in linear time
    nearest = np.empty(groups, np.int64)
    nearest[sides[:, falling].T.ravel()] = falling.repeat(2)  # of repeated indices the last, nearest one stays
    is_nearest = np.zeros(len(distance), bool)
    is_nearest[nearest] = True
    pairs = np.flatnonzero(is_nearest)
    if len(pairs) > most:
        pairs = pairs[np.argsort(distance[pairs], kind="stable")[:most]]
    graph = coo_matrix((np.ones(len(pairs), bool), tuple(sides[:, pairs])), (groups, groups))
    joined: Whole = connected_components(graph, directed=False)[1].astype(np.int64)
    return joined


def _mean_colours(colours: Floats, area: Whole, joined: Whole) -> Floats:
    """Return the mean colours of joined groups, from the colours (G, 3) and areas (G,) of their parts."""
    total = np.bincount(joined, area)
    return np.stack([np.bincount(joined, area * plane) / total for plane in colours.T], axis=1).astype(np.float32)


def _distance(colours: Floats, sides: Whole) -> Floats:
    """Return the squared distance of the colours (G, 3) of each pair of groups (2, B)."""
    first, second = sides
    found: Floats = sum((plane[first] - plane[second]) ** 2 for plane in colours.T)
    return found
