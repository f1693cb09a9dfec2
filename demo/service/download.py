"""Files for download: a result as one archive, figures for slides and papers, and numbers. Imports no Gradio."""

from __future__ import annotations

import csv
import io
import math
import shlex
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING

from cliptrase_core.cancel import Progress, quietly
from cliptrase_core.io.allocator import return_free
from cliptrase_core.io.export.formats import ARCHIVE_FORMATS, FORMATS, read_formats
from cliptrase_core.names import EDGES
from cliptrase_core.options import arguments_of
from demo import core
from demo.errors import UserError, as_user_errors
from demo.service.lens import NUMBERS as COLUMNS
from demo.service.lens import patch_numbers
from demo.service.pictures import expect_same
from demo.service.saved import packed_name
from demo.service.segmentation import Run, SegmentRequest
from demo.service.service import Service
from demo.service.shown import DisplayState

if TYPE_CHECKING:
    from cliptrase_core import AttentionMaps
    from cliptrase_core.models.loading import LoadedModel


README = "HOW-TO.txt"
MOST_PICTURE = 10_000_000
"""Maximum bytes of a picture in an archive; a larger one must be uploaded again when the archive is opened."""
BACK = (
    "Drop this archive on the page, and the result is there again. The picture is in it as it was given, with all\n"
    "that its file says of camera, time and place: take it out before you hand the archive on, if that is private."
)
USUAL, ALL = "usual", "all"
CHOICES = {
    USUAL: "Labels, overlay, JSON, npz",
    **{name: each.title for name, each in FORMATS.items()},
    ALL: "All formats",
}
"""Possible contents of an archive: name -> title."""


def formats_of(choice: str) -> tuple[str, ...]:
    """Return the core's formats for one name of `CHOICES`."""
    return read_formats({USUAL: ARCHIVE_FORMATS, ALL: tuple(FORMATS)}.get(choice, choice))


def choice_of(files: Collection[str]) -> str:
    """Return the name of `CHOICES` whose files these are; `USUAL` if they are those of none.

    Args:
        files: keys under which the JSON of a result names its files.
    """
    own = set(files) - {"coco"}  # a picture may be beside COCO's annotations
    return next((name for name in CHOICES if core.io.export.saving.named_files(formats_of(name)) == own), USUAL)


def bundle(
    service: Service, shown: Run | DisplayState, path: str | None, step: Progress = quietly, *, choice: str = USUAL
) -> tuple[str, bytes]:
    """Pack the displayed result into an archive, in the picture's own size.

    Args:
        service: service that made the run.
        shown: a run with its own result, or its refined or fixed result.
        path: file of the picture.
        step: progress callback (share in [0, 1], description); an exception from it ends the work.
        choice: one of `CHOICES`.

    Returns:
        File name of a .zip, and its content: files of the formats, a JSON (classes, COCO run lengths, settings,
        versions), and the command line that gives the same result.

    Raises:
        UserError: the picture has been replaced or removed, or its full size needs more memory than is available.
    """
    state = shown if isinstance(shown, DisplayState) else DisplayState(shown)
    segmenter, _ = service.encoded(state.run, path)
    expect_same(state.run.key, path)
    if path is None:  # excluded by expect_same; for the type checker
        raise UserError("There is no picture.")

    step(0.0, "dividing it at full size")
    view, pixels = service.shown(state, path, lambda share, text: step(0.5 * share, text), full=True)
    stem = core.io.files.safe_stem(Path(path).stem) + state.suffix
    formats = formats_of(choice)
    with as_user_errors(), TemporaryDirectory() as folder:
        core.io.export.saving.save(
            view.result,
            pixels,
            folder,
            stem,
            formats=formats,
            about={"picture": Path(path).name, "automatic": state.run.request.automatic},
            source=path,
            step=lambda share, text: step(0.5 + 0.5 * share, text),
        )
        core.io.export.dataset.gather(folder, formats, core.io.export.components.ComponentRule())
        buffer, readme = io.BytesIO(), how_to(Path(path).name, state, segmenter.info, formats)
        along = goes_along(path, packed_name(path), folder)
        beside = {packed_name(path): Path(path)} if along else {}
        zip_folder(Path(folder), f"{BACK}\n\n{readme}" if along else readme, buffer, beside)
        del view, pixels
    return_free()
    return f"{stem}.zip", buffer.getvalue()


def goes_along(picture: str, name: str, folder: str) -> bool:
    """Return whether an archive contains a picture beside the results: it is small, and named unlike any of them.

    Args:
        picture: path of the picture.
        name: its name in the archive; one that ends like a record would be read as one.
        folder: folder of the results.
    """
    results = {README.casefold(), *(one.name.casefold() for one in Path(folder).iterdir())}
    free = name.casefold() not in results and not name.casefold().endswith(".json")
    return free and Path(picture).is_file() and Path(picture).stat().st_size <= MOST_PICTURE


def zip_folder(folder: Path, readme: str, target: Path | IO[bytes], beside: Mapping[str, Path]) -> None:
    """Write one archive of all files below a folder, a text about them, and other files under new names."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            packed = file.suffix not in (".json", ".txt", ".yaml")  # pictures and arrays are compressed already
            name = file.relative_to(folder).as_posix()
            archive.write(file, name, zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED)
        for name, path in beside.items():
            archive.write(path, name, zipfile.ZIP_STORED)
        archive.writestr(README, readme)


def how_to(file: str, state: DisplayState, model: LoadedModel, formats: Sequence[str]) -> str:
    """Return a text about the content of the archive and the command that gives the same result."""
    hints = ""
    if state.refinement is not None and state.refinement.keep is not None:
        hints += "\nThe masks were chosen by hand; the command chooses them by quality.\n"
    if state.fixes:
        several = len(state.fixes) > 1
        hints += (
            f"\nThen {len(state.fixes)} {'fixes were' if several else 'fix was'} made by hand. "
            f"{'They are' if several else 'It is'} in settings.fixes of the JSON, and applied by\n"
            "cliptrase_core.refine.apply_fixes(result, picture, cliptrase_core.refine.read_fixes(settings['fixes'])).\n"
        )
    refining = None if state.refinement is None else (state.refinement.refiner, state.refinement.mode)
    command = command_line(file, state.run.request, model, refining, formats)
    return f"{contents_of(formats)}\n\nThe same from the command line:\n\n{command}\n{hints}"


def contents_of(formats: Sequence[str]) -> str:
    """Return one line about the files of each format; plain text."""
    return "\n".join(FORMATS[name].contents for name in formats)


def command_line(
    file: str,
    request: SegmentRequest,
    model: LoadedModel,
    refining: tuple[str, str] | None,
    formats: Sequence[str],
) -> str:
    """Return the command that gives the same result, quoted for a POSIX shell.

    Args:
        file: name of the picture, or a placeholder for several.
        request: request of the result.
        model: model of the result.
        refining: refiner of the boundaries and its mode, or None.
        formats: formats of the core.
    """
    name = model.name if model.pretrained == "embedded" else f"{model.name}:{model.pretrained}"
    # With "=": the user's words may begin with a dash.
    parts = [f"--vocabulary={request.words}", f"--model={name}"]
    parts += [f"--formats={','.join(formats)}", *arguments_of(request)]
    if refining is not None:
        parts.append(f"--refine={refining[0]}")
        if refining[0] != EDGES:
            parts.append(f"--refine-mode={refining[1]}")
    return shlex.join(["python", "-m", "cliptrase_core", "segment", *parts, "--output=out", "--", file])


STEPS, HEAT, LAYERS, NUMBERS = "steps", "heat", "layers", "numbers"
KINDS = {
    "png": ("All steps, PNG", STEPS),
    "svg": ("All steps, SVG", STEPS),
    "pdf": ("All steps, PDF", STEPS),
    "heat": ("Heat maps with scale, PNG", HEAT),
    "layers": ("All layers of the patch, PNG", LAYERS),
    "csv": ("Numbers of all patches, CSV", NUMBERS),
}
"""Files by name: (title, content)."""
DPI = 200
"""Twice the resolution of a screen."""
_HEAT_PARTS = ("before", "after", "difference", "affinity")

Patch = tuple[int, int]


def figure_file(
    service: Service,
    shown: Run | DisplayState,
    path: str | None,
    kind: str,
    patch: Patch | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> tuple[str, bytes]:
    """Return the name and content of a file about a result.

    Args:
        service: service that made the run.
        shown: as for `bundle`.
        path: file of the picture.
        kind: one of `KINDS`.
        patch: (row, column) of the patch whose attention is drawn; None for [CLS].
        layer: layer from 1; None for the last but one.
        head: head from 1; None for the mean of all.

    Raises:
        UserError: unknown kind, patch, layer or head, or the picture or the model has been replaced.
    """
    if kind not in KINDS:
        raise UserError(f"figure: expected one of {', '.join(KINDS)}. Pick one.")
    what, result = KINDS[kind][1], shown if isinstance(shown, DisplayState) else DisplayState(shown)
    stem = core.io.files.safe_stem(Path(path or "picture").stem) + (result.suffix if what in (STEPS, NUMBERS) else "")
    with as_user_errors():
        maps = service.maps(result.run.key, path, layer, head=head)
        if what == NUMBERS:
            return _name(stem, maps, what, "csv"), _numbers(service, result, maps, path)
        key, (_, entry) = result.run.key, service.encoded(result.run, path)
        if what == LAYERS:
            layers = [service.maps(key, path, one, head=head) for one in range(1, key.layers + 1)]
            drawn = core.viz.layer_sheet(layers, image=entry.pixels, patch=patch)
        else:
            about = (maps,) if what == HEAT else (maps, service.shown(result, path)[0].result)
            parts = _HEAT_PARTS if what == HEAT else None
            drawn = core.viz.figure(*about, parts=parts, image=entry.pixels, patch=patch)
    ending, file = kind if what == STEPS else "png", io.BytesIO()
    drawn.savefig(file, format=ending, dpi=DPI)
    return _name(stem, maps, what, ending, patch), file.getvalue()


def _name(stem: str, maps: AttentionMaps, what: str, ending: str, patch: Patch | None = None) -> str:
    """Return a file name with layer, head and patch, as `cliptrase inspect` writes it: no figure replaces another."""
    parts = [stem] if what == LAYERS else [stem, f"layer{maps.layer}"]
    parts += [] if maps.head is None else [f"head{maps.head}"]
    if what != NUMBERS:
        parts += ["cls"] if patch is None else [f"row{patch[0]}", f"column{patch[1]}"]
    return ".".join([*parts, what, ending])


def _numbers(service: Service, shown: DisplayState, maps: AttentionMaps, path: str | None) -> bytes:
    """Return a CSV with one line per patch: shares of attention before and after recovery, cluster and class."""
    result = service.shown(shown, path)[0].result
    sides = patch_numbers(maps)
    (h, w), nearest = maps.grid, core.io.geometry.nearest
    labels, sure = nearest(result.labels, (h, w)).ravel(), nearest(result.confidence, (h, w)).ravel()
    by_hand = [math.isnan(certainty) for certainty in result.shares[1]]
    found = set(maps.global_patches.tolist())
    text = io.StringIO()
    table = csv.writer(text)
    heads = [f"{column}_{side}" for column in COLUMNS for side in sides]
    table.writerow(["row", "column", "layer", "head", *heads, "is_global", "cluster", "class", "confidence"])
    for i in range(h * w):
        shares = [f"{float(getattr(one, column)[i]):.6f}" for column in COLUMNS for one in sides.values()]
        name = result.class_names[labels[i]]
        safe = f"'{name}" if name.startswith(("=", "+", "-", "@")) else name  # else a spreadsheet runs it as a formula
        place = [*divmod(i, w), maps.layer, maps.head or "mean"]
        certain = "" if by_hand[labels[i]] else f"{sure[i]:.4f}"
        table.writerow([*place, *shares, int(i in found), int(result.patch_clusters[i]), safe, certain])
    return text.getvalue().encode("utf-8")
