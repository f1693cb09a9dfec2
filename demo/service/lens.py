"""Data of the lens for the browser: one picture, all steps and all attention maps. Imports no Gradio.

The browser gets the data once, so moving over the picture needs no further request. `demo/tabs/lens.py` describes how
to place and wire the lens.

An N x N map is sent as one byte for each pair: the square root of a share of attention, or of an affinity (negative
ones count as 0), scaled from 0 to the largest of its row. Linear bytes would lose small shares, and one scale for the
whole map would lose whole rows. The sums displayed as numbers are computed here from the exact maps and sent with them.
Beyond `MOST_SENT` patches the maps would need many megabytes: then the browser requests single rows (`lens_rows`).
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
"""Maximum number of patches for which whole maps are sent: 3 MB then."""
LABELS_SIDE = 640
"""Long side of the result in the lens, in pixels; a pane is at most a third of a screen wide."""
QUALITY = 82
NUMBERS = ("on_global", "entropy", "near")
KINDS = ("before", "after", "affinity")


def lens_value(
    service: Service, run: Run, path: str | None, layer: int | None = None, *, head: int | None = None
) -> dict[str, Any]:
    """Return all data of the lens for one result, in one layer and head; plain JSON.

    Args:
        service: service that made the run.
        run: displayed run.
        path: file of the picture, in case it is no longer in memory.
        layer: layer from 1; None for the last but one, whose affinity is clustered.
        head: head from 1; None for the mean of all.

    Raises:
        UserError: unknown layer or head, or the picture or the model has been replaced.
    """
    view = service.again(run, path)
    bare, clusters = clusterings(service, view, path)
    maps = service.maps(run.key, path, layer, head=head)
    grid, count = run.key.grid, run.key.grid[0] * run.key.grid[1]
    start = _telling(maps, clusters)
    exact = patch_numbers(maps)
    return {
        "run": run.token,
        "grid": list(grid),
        "layer": maps.layer,
        "layers": run.key.layers,
        "head": maps.head,
        "heads": run.key.heads,
        "global_patches": maps.global_patches.tolist(),
        "start": start,
        "numbers": {kind: {name: packed(getattr(one, name)) for name in NUMBERS} for kind, one in exact.items()},
        "maps": _rows(maps, slice(None)) if count <= MOST_SENT else None,
        "heat": packed(core.viz.heatmap.heat_colours(np.linspace(0, 1, 256)[None], 0, 1)),
        "most": core.viz.heatmap.MOST,
        "clusters": {"before": run_lengths(bare), "after": run_lengths(clusters)},
        "denoise": run.request.denoise,
        "method": run.request.other_method,
        **_picture(view),
        **spots_of(service, run, path),
    }


def telling_patch(service: Service, run: Run, path: str | None) -> int:
    """Return the patch, 0 to N-1, that recovery changes most in the clustered layer; errors as `lens_value`."""
    _, clusters = clusterings(service, service.again(run, path), path)
    return _telling(service.maps(run.key, path), clusters)


def _telling(maps: AttentionMaps, clusters: npt.NDArray[np.integer]) -> int:
    most = core.inspection.statistics.most_telling_patch
    return int(most(maps.attention, maps.recovered, maps.global_patches, clusters.reshape(-1)))


def patch_numbers(maps: AttentionMaps) -> dict[str, PatchMeasures]:
    """Compute the numbers of every patch, before and after recovery; `NUMBERS` lists their names."""
    measure = core.inspection.statistics.measure_patches
    sides = {"before": maps.attention, "after": maps.recovered}
    return {side: measure(matrix, maps.global_patches, maps.grid) for side, matrix in sides.items()}


def lens_rows(
    service: Service, run: Run, path: str | None, patch: int, layer: int | None = None, *, head: int | None = None
) -> dict[str, Any]:
    """Return one patch's row of each map, for grids too large for whole maps; otherwise as `lens_value`.

    Args:
        patch: index of the patch, 0 to N-1.
    """
    if not 0 <= patch < run.key.grid[0] * run.key.grid[1]:
        raise UserError("patch: expected one of the picture's. Move inside the picture.")
    maps = service.maps(run.key, path, layer, head=head)
    rows = _rows(maps, slice(patch, patch + 1))
    return {"run": run.token, "layer": maps.layer, "head": maps.head, "patch": patch, "maps": rows}


def run_lengths(values: npt.NDArray[np.integer]) -> list[int]:
    """Return the length and value of each run of equal values, in turn: [3, 0, 2, 5] is 0 0 0 5 5."""
    _, lengths, found = core.maps.runs(values)
    return np.stack([lengths, found], axis=1).reshape(-1).tolist()


def packed(values: Any) -> str:
    """Return the bytes of an array in base64; float32 and uint8 are unchanged, in the machine's own byte order."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def coded(values: Tensor) -> tuple[str, str]:
    """Encode rows of values as bytes, with the largest value of each row.

    Args:
        values: (R, N), non-negative.

    Returns:
        (R, N) uint8, 255 times the square root of value / largest of its row; (R,) float32, the largest. Both packed.
    """
    largest = values.max(dim=1).values
    codes = (values / largest[:, None].clamp(min=1e-12)).sqrt().mul(255).round()
    return packed(codes.numpy().astype(np.uint8)), packed(largest.numpy().astype(np.float32))


def _rows(maps: AttentionMaps, rows: slice) -> Mapping[str, Mapping[str, str]]:
    """Return rows of the three maps, encoded by `coded`."""
    before, after, affinity = (one[1:, 1:][rows] for one in (maps.attention, maps.recovered, maps.affinity))
    shares = core.inspection.statistics.patch_shares
    values = (shares(before), shares(after), affinity.clamp(min=0))
    found = {kind: coded(one) for kind, one in zip(KINDS, values, strict=True)}
    return {kind: {"codes": codes, "largest": largest} for kind, (codes, largest) in found.items()}


def _picture(view: SegmentView) -> Mapping[str, Any]:
    """Return the picture, its result with class colours, and the class at the middle of each patch."""
    result, palette = view.result, core.viz.palette
    whole = view.shown.shape[:2]
    size = core.io.geometry.fitted(whole, min(max(whole), LABELS_SIDE))
    return {
        "picture": picture_url(drawing.view(view.shown, drawing.shown_size(whole)), QUALITY),
        "size": list(whole),
        "names": list(result.class_names),
        "colours": [palette.to_hex(colour) for colour in palette.label_colours(result)],
        "labels": {"size": list(size), "runs": run_lengths(core.io.geometry.nearest(result.labels, size))},
        "classes": run_lengths(core.io.geometry.nearest(result.labels, view.run.key.grid)),
    }
