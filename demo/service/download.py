"""What is downloaded: a result as one archive, figures for slides and papers, the numbers. Imports no Gradio."""

from __future__ import annotations

import csv
import io
import shlex
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cliptrase_core.options import arguments_of
from demo import core, memory
from demo.errors import UserError, for_people
from demo.service.lens import NUMBERS as COLUMNS
from demo.service.lens import patch_numbers
from demo.service.pictures import expect_same, labelled_pixels
from demo.service.refine import NO_MODEL, Refinement, Step, quietly
from demo.service.segmentation import Run, SegmentRequest
from demo.service.service import Service

if TYPE_CHECKING:
    from cliptrase_core.models.loading import LoadedModel


README = "HOW-TO.txt"


def bundle(
    service: Service, run: Run, path: str | None, refinement: Refinement | None = None, step: Step = quietly
) -> tuple[str, bytes]:
    """Everything about a result, in the picture's own size.

    Args:
        service: that made the run.
        run: what is shown.
        path: the picture's file.
        refinement: of that run; its result goes in, with the report of what changed.
        step: told (share in [0, 1], what happens); what it raises ends the work.

    Returns:
        File name of a .zip, and its content: indexed labels, overlay, JSON (classes, COCO run lengths, settings,
        versions), arrays, and the command line that gives the same result.

    Raises:
        UserError: the picture has been replaced or has gone, or its full size takes more memory than is left.
    """
    segmenter, entry = service.encoded(run, path)
    expect_same(run.seen, path)
    if path is None:  # said by expect_same; here for the type checker
        raise UserError("There is no picture.")

    step(0.0, "dividing it at full size")
    if refinement is None:
        result, pixels = service.again(run, path, full=True).result, labelled_pixels(entry, run.seen, path)
    else:
        better = service.refine(refinement, path, lambda share, text: step(0.5 * share, text), full=True)
        result, pixels = better.refined, better.pixels
    stem = core.io.export.safe_stem(Path(path).stem)
    with for_people(), TemporaryDirectory() as folder:
        files = core.io.export.save(
            result,
            pixels,
            folder,
            stem,
            formats=core.io.export.ARCHIVE_FORMATS,
            about={"picture": Path(path).name},
            step=lambda share, text: step(0.5 + 0.5 * share, text),
        )
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for file in (files.labels, files.overlay, files.json, files.npz):
                packed = file.suffix != ".json"  # pictures and arrays are compressed already
                archive.write(file, file.name, zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED)
            archive.writestr(README, how_to(Path(path).name, run.asked, segmenter.info, refinement))
        del result, pixels
    memory.return_free()
    return f"{stem}.zip", buffer.getvalue()


def how_to(file: str, asked: SegmentRequest, model: LoadedModel, refinement: Refinement | None = None) -> str:
    """What is in the archive, and how to get the same again; plain text."""
    by_hand = refinement is not None and refinement.keep is not None
    hint = "\nWhich masks were taken was chosen by hand: the command decides by their quality.\n" if by_hand else ""
    return (
        "labels.png   indexed picture: the value of a pixel is the index of its class, the palette is inside\n"
        "overlay.png  the picture under its classes' colours\n"
        "json         classes with colours, areas and COCO run lengths, settings, timings, versions\n"
        "npz          labels, regions, confidence and patch clusters as NumPy arrays\n\n"
        f"The same from the command line:\n\n{command_line(file, asked, model, refinement)}\n{hint}"
    )


def command_line(file: str, asked: SegmentRequest, model: LoadedModel, refinement: Refinement | None = None) -> str:
    """The command that gives the same result; quoted for a POSIX shell.

    Args:
        file: name of the picture.
        asked: what was asked for.
        model: that answered.
        refinement: of the boundaries.
    """
    name = model.name if model.pretrained == "embedded" else f"{model.name}:{model.pretrained}"
    # With "=": what a person typed may begin with a dash.
    parts = [f"--vocabulary={asked.words}", f"--model={name}"]
    parts += [f"--formats={','.join(core.io.export.ARCHIVE_FORMATS)}", *arguments_of(asked)]
    if refinement is not None:
        parts.append(f"--refine={refinement.refiner}")
        if refinement.refiner != NO_MODEL:
            parts.append(f"--refine-mode={refinement.mode}")
    return shlex.join(["python", "-m", "cliptrase_core", "segment", *parts, "--output=out", "--", file])


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
