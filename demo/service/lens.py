"""The lens's value: one picture, all its steps, and who looks at whom, for the browser. Imports no Gradio.

What the browser gets once it never asks for again: moving over the picture costs no request. `demo/tabs/lens.py` says
how the lens is placed and wired.

An N x N map travels as one byte for each pair: the square root of a share, between 0 and the largest of its row. Linear
bytes lose the small shares, and a scale for the whole map loses whole rows; the sums that are read as numbers are
computed here, from the exact maps, and travel beside. Beyond `MOST_SENT` patches the maps would weigh many megabytes:
the browser asks for the rows that it shows (`lens_rows`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from demo import core, drawing
from demo.drawing import picture_url
from demo.errors import UserError
from demo.service.clusters import clusterings
from demo.service.points import spots_of
from demo.service.segmentation import Run, SegmentView
from demo.service.service import Service

if TYPE_CHECKING:
    from torch import Tensor

    from cliptrase_core import AttentionMaps
    from cliptrase_core.inspection.statistics import PatchMeasures

MOST_SENT = 1024
"""Patches up to which the maps travel whole: 3 MB then."""
LABELS_SIDE = 640
"""Long side of the result in the lens, whose panes are a third of a screen wide at most."""
QUALITY = 82
NUMBERS = ("on_global", "entropy", "near")
KINDS = ("before", "after", "affinity")


def lens_value(
    service: Service, run: Run, path: str | None, layer: int | None = None, *, head: int | None = None
) -> dict[str, Any]:
    """Everything that the lens shows of one result, in one layer and head; plain JSON.

    Args:
        service: that made the run.
        run: what is shown.
        path: the picture's file, for when it is no longer in memory.
        layer: from 1; None takes the last but one, whose affinity is clustered.
        head: from 1; None takes the mean of all.

    Raises:
        UserError: no such layer or head, or the picture or the model is another one by now.
    """
    cut = service.again(run, path)
    bare, clusters = clusterings(service, cut, path)
    maps = service.maps(run.seen, path, layer, head=head)
    grid, count = run.seen.grid, run.seen.grid[0] * run.seen.grid[1]
    start = _telling(maps, clusters)
    exact = patch_numbers(maps)
    return {
        "run": run.token,
        "grid": list(grid),
        "layer": maps.layer,
        "layers": run.seen.layers,
        "head": maps.head,
        "heads": run.seen.heads,
        "global_patches": maps.global_patches.tolist(),
        "start": start,
        "numbers": {kind: {name: packed(getattr(one, name)) for name in NUMBERS} for kind, one in exact.items()},
        "maps": _rows(maps, slice(None)) if count <= MOST_SENT else None,
        "heat": packed(core.viz.heatmap.heat_colours(np.linspace(0, 1, 256)[None], 0, 1)),
        "most": core.viz.heatmap.MOST,
        "clusters": {"before": run_lengths(bare), "after": run_lengths(clusters)},
        "denoise": run.asked.denoise,
        "method": run.asked.other_method,
        **_picture(cut),
        **spots_of(service, run, path),
    }


def telling_patch(service: Service, run: Run, path: str | None) -> int:
    """The patch, 0 to N-1, whose attention recovery moved most, in the clustered layer; errors as `lens_value`."""
    _, clusters = clusterings(service, service.again(run, path), path)
    return _telling(service.maps(run.seen, path), clusters)


def _telling(maps: AttentionMaps, clusters: npt.NDArray[np.integer]) -> int:
    most = core.inspection.statistics.most_telling_patch
    return int(most(maps.attention, maps.recovered, maps.global_patches, clusters.reshape(-1)))


def patch_numbers(maps: AttentionMaps) -> dict[str, PatchMeasures]:
    """The numbers of every patch, before and after recovery; `NUMBERS` names them."""
    measure = core.inspection.statistics.measure_patches
    sides = {"before": maps.attention, "after": maps.recovered}
    return {side: measure(matrix, maps.global_patches, maps.grid) for side, matrix in sides.items()}


def lens_rows(
    service: Service, run: Run, path: str | None, patch: int, layer: int | None = None, *, head: int | None = None
) -> dict[str, Any]:
    """One patch's row of each map, for grids whose maps do not travel whole; arguments and errors as in `lens_value`.

    Args:
        patch: its place, 0 to N-1.
    """
    if not 0 <= patch < run.seen.grid[0] * run.seen.grid[1]:
        raise UserError("patch: expected one of the picture's. Move inside the picture.")
    maps = service.maps(run.seen, path, layer, head=head)
    rows = _rows(maps, slice(patch, patch + 1))
    return {"run": run.token, "layer": maps.layer, "head": maps.head, "patch": patch, "maps": rows}


def run_lengths(values: npt.NDArray[np.integer]) -> list[int]:
    """Length and value of each run of equal values, in turn: [3, 0, 2, 5] is 0 0 0 5 5."""
    _, lengths, found = core.maps.runs(values)
    return np.stack([lengths, found], axis=1).reshape(-1).tolist()  # type: ignore[no-any-return]


def packed(values: Any) -> str:
    """Bytes of an array in base64: float32 and uint8 stay what they are, in the order of all machines of today."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def coded(shares: Tensor) -> tuple[str, str]:
    """Shares of rows as bytes, and what the largest byte of each row stands for.

    Args:
        shares: (R, N), non-negative.

    Returns:
        (R, N) uint8, the square root of each share of its row's largest in 255 steps; (R,) float32. Both packed.
    """
    largest = shares.max(dim=1).values
    codes = (shares / largest[:, None].clamp(min=1e-12)).sqrt().mul(255).round()
    return packed(codes.numpy().astype(np.uint8)), packed(largest.numpy().astype(np.float32))


def _rows(maps: AttentionMaps, rows: slice) -> Mapping[str, Mapping[str, str]]:
    """Rows of the three maps, coded."""
    matrices = dict(zip(KINDS, (maps.attention, maps.recovered, maps.affinity), strict=True))
    shares = core.inspection.statistics.patch_shares
    found = {kind: coded(shares(matrix[1:, 1:][rows])) for kind, matrix in matrices.items()}
    return {kind: {"codes": codes, "largest": largest} for kind, (codes, largest) in found.items()}


def _picture(cut: SegmentView) -> Mapping[str, Any]:
    """The picture, and its result in class colours; the class at the middle of each patch."""
    result, palette = cut.result, core.viz.palette
    whole = cut.shown.shape[:2]
    size = core.io.geometry.fitted(whole, min(max(whole), LABELS_SIDE))
    return {
        "picture": picture_url(drawing.view(cut.shown, drawing.shown_size(whole)), QUALITY),
        "size": list(whole),
        "names": list(result.class_names),
        "colours": [palette.to_hex(colour) for colour in palette.label_colours(result)],
        "labels": {"size": list(size), "runs": run_lengths(core.io.geometry.nearest(result.labels, size))},
        "classes": run_lengths(core.io.geometry.nearest(result.labels, cut.run.seen.grid)),
    }
