"""What goes into slides and papers: the steps as a figure, heat maps with their scale, the numbers. No Gradio."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from demo import core
from demo.errors import UserError, for_people
from demo.service.lens import NUMBERS as COLUMNS
from demo.service.lens import patch_numbers
from demo.service.segmentation import Run
from demo.service.service import Service

STEPS, HEAT, NUMBERS = "steps", "heat", "numbers"
KINDS = {
    "png": ("All steps, PNG", STEPS),
    "svg": ("All steps, SVG", STEPS),
    "pdf": ("All steps, PDF", STEPS),
    "heat": ("Heat maps with scale, PNG", HEAT),
    "csv": ("Numbers of all patches, CSV", NUMBERS),
}
"""File by name: (title, what is in it)."""
DPI = 200
"""Twice what a screen shows."""
_HEAT_PARTS = ("before", "after", "difference", "affinity")

Patch = tuple[int, int]


def figure_file(
    service: Service, run: Run, path: str | None, kind: str, patch: Patch | None, layer: int | None
) -> tuple[str, bytes]:
    """Name and content of a file about a result.

    Args:
        service: that made the run.
        run: what is shown.
        path: the picture's file.
        kind: one of `KINDS`.
        patch: (row, column) whose attention is drawn; None takes [CLS].
        layer: from 1; None takes the last but one.

    Raises:
        UserError: no such kind, patch or layer, or the picture or the model is another one by now.
    """
    if kind not in KINDS:
        raise UserError(f"figure: expected one of {', '.join(KINDS)}. Pick one.")
    what = KINDS[kind][1]
    stem = core.io.export.safe_stem(Path(path or "picture").stem)
    with for_people():
        if what == NUMBERS:
            return f"{stem}.{NUMBERS}.csv", _numbers(service, run, path, layer)
        maps, (_, entry) = service.maps(run.seen, path, layer), service.encoded(run, path)
        shown = (maps,) if what == HEAT else (maps, service.again(run, path).result)
        parts = _HEAT_PARTS if what == HEAT else None
        drawn = core.viz.figure(*shown, parts=parts, image=entry.pixels, patch=patch)
    ending, file = "png" if what == HEAT else kind, io.BytesIO()
    drawn.savefig(file, format=ending, dpi=DPI)
    return f"{stem}.{what}.{ending}", file.getvalue()


def _numbers(service: Service, run: Run, path: str | None, layer: int | None) -> bytes:
    """One line for each patch: shares of attention before and after recovery, its cluster, its class."""
    maps, result = service.maps(run.seen, path, layer), service.again(run, path).result
    sides = patch_numbers(maps)
    (h, w), nearest = maps.grid, core.io.geometry.nearest
    labels, sure = nearest(result.labels, (h, w)).ravel(), nearest(result.confidence, (h, w)).ravel()
    found = set(maps.global_patches.tolist())
    text = io.StringIO()
    table = csv.writer(text)
    heads = [f"{column}_{side}" for column in COLUMNS for side in sides]
    table.writerow(["row", "column", "layer", *heads, "is_global", "cluster", "class", "confidence"])
    for i in range(h * w):
        shares = [f"{float(getattr(one, column)[i]):.6f}" for column in COLUMNS for one in sides.values()]
        name = result.class_names[labels[i]]
        safe = f"'{name}" if name.startswith(("=", "+", "-", "@")) else name  # a spreadsheet would compute it
        place = [*divmod(i, w), maps.layer]
        table.writerow([*place, *shares, int(i in found), int(result.patch_clusters[i]), safe, f"{sure[i]:.4f}"])
    return text.getvalue().encode("utf-8")
