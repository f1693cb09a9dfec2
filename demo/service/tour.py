"""The tour: five computations on one bundled picture that explain how CLIPtrase works. Imports no Gradio."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from demo import core, drawing
from demo.drawing import heat_map
from demo.errors import UserError
from demo.examples import Example, read_examples
from demo.service.clusters import Ids, partners, renumbered
from demo.service.patch_attention import PatchAttention
from demo.service.pictures import PictureKey
from demo.service.segmentation import SegmentRequest, SegmentView
from demo.service.service import Service

EXAMPLE = "horses"
POINT = (0.27, 0.87)
"""Inspected point, (down, across) in shares of the picture: a patch of the sky, similar to its neighbours."""
AROUND = 2
"""Largest distance of near patches, in rows and columns."""
STEPS = 5


@dataclass(frozen=True, eq=False)
class TourStep:
    """Result of one step.

    Attributes:
        number: number of the step, from 1.
        left: (H, W, 3), input of the step.
        right: (H, W, 3), output of the step.
        facts: numbers by name, for the sentence about the step.
        seconds: duration of the computation.
    """

    number: int
    left: drawing.Picture
    right: drawing.Picture
    facts: dict[str, float]
    seconds: float


def tour_example() -> Example:
    """Return the picture of the tour.

    Raises:
        UserError: the bundled examples are missing.
    """
    for example in read_examples():
        if example.name == EXAMPLE:
            return example
    raise UserError("The picture of the tour is missing from assets/examples. Install the program again.")


def tour_step(service: Service, number: int) -> TourStep:
    """Compute one step.

    Args:
        service: service whose first model is used.
        number: number of the step, 1 to `STEPS`.

    Raises:
        UserError: unknown step, or no model.
    """
    if not 1 <= number <= STEPS:
        raise UserError(f"The tour has {STEPS} steps.")
    start = time.perf_counter()
    left, right, facts = (_attention, _recovery, _clusters, _denoising, _words)[number - 1](service)
    return TourStep(number, left, right, facts, time.perf_counter() - start)


Pair = tuple[drawing.Picture, drawing.Picture, dict[str, float]]


def _attention(service: Service) -> Pair:
    attention = _tour_attention(service)
    side = drawing.cell_side(attention.key.grid)
    left = drawing.mark(drawing.with_lines(attention.patches, side, side), _patch(attention.key), side)
    right = _heat(attention, 0)
    return left, right, _shares(attention)


def _recovery(service: Service) -> Pair:
    attention = _tour_attention(service)
    return _heat(attention, 0), _heat(attention, 1), _shares(attention)


def _heat(attention: PatchAttention, after: int) -> drawing.Picture:
    """Return the attention before (0) or after recovery (1) in colours of one scale, as on the tab Attention."""
    ends, marked = (0.0, core.viz.heatmap.MOST), attention.global_patches[:8]
    return heat_map(attention.patches, attention.relative[after], attention.patch, marked, ends)


def _clusters(service: Service) -> Pair:
    attention, before, after = _tour_attention(service), _view(service, denoise="none"), _view(service)
    left = heat_map(attention.patches, attention.affinity, attention.patch)
    same = partners(before.result.patch_clusters, after.result.patch_clusters)  # the colours of the next step
    return left, _regions(before, same), _counts(before)


def _denoising(service: Service) -> Pair:
    before, after = _view(service, denoise="none"), _view(service)
    old, new = before.result.patch_clusters, after.result.patch_clusters
    partner = partners(old, new)  # both pictures show regions that share most patches in one colour
    moved = renumbered(old, partner) != new
    facts = {**_counts(after), "before": _counts(before)["regions"], "moved": float(moved.mean())}
    facts["global"] = len(_tour_attention(service).global_patches)
    return _regions(before, partner), _regions(after), facts


def _words(service: Service) -> Pair:
    plain, view = _view(service, method="clip"), _view(service)
    left, right = _named(plain), _named(view)
    return left, right, {"changed": float((plain.result.labels != view.result.labels).mean())}


def _tour_attention(service: Service) -> PatchAttention:
    key = _view(service).run.key
    return service.patch_attention(key, str(tour_example().path), *_patch(key))


def _patch(key: PictureKey) -> tuple[int, int]:
    h, w = key.grid
    return int(POINT[0] * h), int(POINT[1] * w)


def _view(service: Service, **changes: str) -> SegmentView:
    example = tour_example()
    return service.segment(str(example.path), SegmentRequest(example.words, **changes))  # type: ignore[arg-type]


def _named(view: SegmentView) -> drawing.Picture:
    colours = core.viz.palette.label_colours(view.result)
    painted = core.viz.overlay.lay_over(view.shown, view.labels, colours, "fill", 0.6)
    return core.viz.names.draw_names(painted, view.labels, view.result.class_names)


def _regions(view: SegmentView, numbers: Ids | None = None) -> drawing.Picture:
    """Return the regions in colour; `numbers` are those whose colours the regions get, by default their own."""
    numbers = np.arange(int(view.result.regions.max()) + 1) if numbers is None else numbers
    colours = core.viz.palette.region_colours(int(numbers.max(initial=-1)) + 1)[np.append(numbers, -1)]
    return core.viz.overlay.blend(view.shown, core.viz.palette.paint(view.regions, colours), 0.75)


def _counts(view: SegmentView) -> dict[str, float]:
    clusters = view.result.patch_clusters
    return {"regions": int(clusters.max()) + 1, "noise": float((clusters < 0).mean()), "patches": len(clusters)}


def _shares(attention: PatchAttention) -> dict[str, float]:
    """Return shares of attention to global and near patches, before and after recovery; without the patch itself."""
    h, w = attention.key.grid
    rows, columns = np.ogrid[:h, :w]
    own = np.zeros((h, w), dtype=bool)
    row, column = _patch(attention.key)
    own[row, column] = True
    near = (abs(rows - row) <= AROUND) & (abs(columns - column) <= AROUND) & ~own
    everywhere = np.zeros((h, w), dtype=bool)
    for cell in attention.global_patches:
        everywhere[cell] = True
    facts = {
        "patches": h * w,
        "global": len(attention.global_patches),
        "layer": attention.layer,
        "near_uniform": near.mean(),
    }
    for name, values in (("before", attention.attention), ("after", attention.recovered)):
        total = max(float(values[~own].sum()), 1e-12)
        facts[f"{name}_global"] = float(values[everywhere & ~own].sum()) / total
        facts[f"{name}_near"] = float(values[near].sum()) / total
    return facts
