"""Classes at a point of a segmented picture, best first, with their reasons. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from demo import core
from demo.drawing import spots_code
from demo.errors import as_user_errors
from demo.service.segmentation import Run
from demo.service.service import Service
from demo.service.shown import DisplayState

if TYPE_CHECKING:
    from cliptrase_core.inspection.scores import Candidate, PatchScores
    from cliptrase_core.io.geometry import Size


@dataclass(frozen=True)
class Point:
    """Classes and region of one pixel.

    Attributes:
        row: row of the pixel in the picture's own size, from 0.
        column: column of the pixel, from 0.
        shown: displayed class of the pixel.
        colour: CSS colour of that class.
        candidates: classes by their probability for the pixel's patch alone, likeliest first.
        mixed: True if another class is displayed because scores are mixed between patches.
        abstained: True if the threshold made the pixel background.
        region: region of the pixel; None if there is none, or if regions do not vote.
        region_area: share of the picture that the region covers.
        region_class: most frequent class of the region's pixels before the vote.
        region_share: share of the region's pixels with that class.
    """

    row: int
    column: int
    shown: str
    colour: str
    candidates: list[Candidate]
    mixed: bool
    abstained: bool
    region: int | None
    region_area: float
    region_class: str
    region_share: float


def scores_of(service: Service, run: Run, path: str | None) -> PatchScores:
    """Compute the scores of each word for each patch; errors as in `point_at`."""
    segmenter, entry = service.encoded(run, path)
    with as_user_errors():
        return segmenter.scores(entry.encoding, run.request.words, **run.request.of_segment)


def spots_of(service: Service, run: Run, path: str | None) -> dict[str, Any]:
    """Return the class probabilities of every patch alone, for the browser (static/spot.js); errors as `point_at`."""
    probabilities, result = scores_of(service, run, path).class_probabilities.numpy(), service.again(run, path).result
    return {
        "spots": spots_code(probabilities),
        "scored": len(probabilities),  # number of classes that patches were compared with
        "vote": bool(result.settings["vote"] and result.patch_clusters.max() >= 0),
    }


def point_at(
    service: Service, run: Run, path: str | None, x: float, y: float, shown: DisplayState | None = None
) -> Point:
    """Return the classes and the region at a point of the displayed picture.

    Args:
        service: service that made the run.
        run: displayed run.
        path: file of the picture, in case it is no longer in memory.
        x: column in pixels of the displayed picture.
        y: row in pixels of the displayed picture.
        shown: displayed state of the run, if it differs from the run's own result.

    Raises:
        UserError: the picture or the model has been replaced.
    """
    view = service.again(run, path)
    request, result = run.request, view.result
    scores = scores_of(service, run, path)
    row, column = _pixel((y, x), view.shown.shape[:2], scores.size)
    place = _pixel((y, x), view.shown.shape[:2], result.size)
    with as_user_errors():
        # Scores of the patch, not of the pixel: the browser shows the same numbers while the pointer moves.
        candidates = scores.of_patch(*core.io.geometry.patch_at(y, x, view.shown.shape[:2], run.key.grid))
    labels, names = result.labels, result.class_names
    if shown is not None and shown.changed:
        displayed = service.shown(shown, path)[0].result
        labels, names = displayed.labels, displayed.class_names
    label, region = int(labels[place]), int(result.regions[place])
    votes = np.zeros(1, dtype=np.int64)
    if result.settings["vote"] and region >= 0:
        own = service.again(Run(run.key, request.before_vote), path).result
        votes = core.regions.decode.count_votes(own.labels, result.regions, len(own.class_names))[region]
    winner, total = int(votes.argmax()), int(votes.sum())
    return Point(
        row=row,
        column=column,
        shown=names[label],
        colour=core.viz.palette.to_hex(core.viz.palette.class_colours(names)[names[label]]),
        candidates=candidates,
        mixed=not total and (shown is None or not shown.changed) and label != candidates[0].label,
        abstained=bool(request.threshold and result.confidence[place] < request.threshold)
        and names[label] == result.class_names[int(result.labels[place])],
        region=region if total else None,
        region_area=total / result.labels.size,
        region_class=result.class_names[winner],
        region_share=int(votes[winner]) / max(total, 1),
    )


def _pixel(point: tuple[float, float], shown: Size, size: Size) -> tuple[int, int]:
    """Return the pixel (row, column) at another size under a point (down, across) of the displayed picture."""
    row, column = (min(int(at * to / of), to - 1) for at, of, to in zip(point, shown, size, strict=True))
    return row, column
