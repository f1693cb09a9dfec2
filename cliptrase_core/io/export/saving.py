"""Atomic writing of one result in any of the formats, and the methods of a result that use it."""

from __future__ import annotations

import base64
import hashlib
import html
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptrase_core.cancel import Progress, quietly, steps
from cliptrase_core.errors import InputError
from cliptrase_core.io.export.components import Component, ComponentRule
from cliptrase_core.io.export.formats import (
    DEFAULT_FORMATS,
    FORMATS,
    ClassFormat,
    FileFormat,
    FolderFormat,
    Job,
    ResultFormat,
    chosen_of,
    read_formats,
)
from cliptrase_core.io.export.images import class_files, overlay_png
from cliptrase_core.io.export.record import describe, folder_digest, plain, read_record, to_json
from cliptrase_core.io.files import expect_ours, is_ours, not_written, safe_stem, sha256, write_all
from cliptrase_core.io.image import ImageInput
from cliptrase_core.results import Segmentation
from cliptrase_core.viz.palette import legend


@dataclass(frozen=True)
class SavedFiles:
    """Paths of the files of one result; only files of requested formats exist.

    `saved.json` is its description, which is always written. The path of any other format's file is an attribute too:
    `labels` (png), `index`, `overlay`, `npz`, `labelme`, and the folders `masks` and `cutouts`.

    Attributes:
        folder: folder of the results.
        stem: stem of the file names.
    """

    folder: Path
    stem: str

    @property
    def json(self) -> Path:
        """JSON of the result."""
        return self.folder / f"{self.stem}.json"

    def __getattr__(self, kind: str) -> Path:
        """Return the path of a file or folder by its kind; see the class."""
        for each in chosen_of(FORMATS, ResultFormat):
            if each.kind == kind:
                return self.folder / each.path(self.stem)
        raise AttributeError(f"expected one of {', '.join(_kinds())}, got {kind!r}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_kinds()]


def _kinds() -> list[str]:
    """Return the names of the paths of a result's files."""
    return ["json", *(each.kind for each in chosen_of(FORMATS, ResultFormat))]


def save(
    result: Segmentation,
    image: npt.NDArray[np.uint8],
    directory: str | os.PathLike[str],
    stem: str,
    *,
    formats: str | Iterable[str] = DEFAULT_FORMATS,
    arrays: Mapping[str, npt.NDArray[Any]] | None = None,
    about: Mapping[str, Any] | None = None,
    rule: ComponentRule | None = None,
    overlay_side: int | None = None,
    source: str | os.PathLike[str] | None = None,
    step: Progress = quietly,
) -> SavedFiles:
    """Write the files of one result, each whole or not at all, the JSON last.

    An earlier result of the same name is replaced; if it differs, its files of other formats are removed. A file that
    this program did not write is neither replaced nor removed.

    The label picture is indexed with the palette inside; with more than 256 names it is 16-bit grey. The JSON names the
    kind. The JSON is strict: a number that is not finite becomes null. COCO and YOLO describe all results of a folder:
    `gather` writes them after the last result, from the JSON of each.

    Args:
        result: result to write.
        image: (H, W, 3) in the frame of `result.labels`.
        directory: output folder; created if missing.
        stem: file name without endings; made safe by `safe_stem`.
        formats: names of `FORMATS`; "json" is always added.
        arrays: further arrays for the .npz by name, for example intermediates.
        about: further entries of the JSON; `picture`, the name of the picture, is `stem` by default.
        rule: definition of a component in coco, yolo and labelme.
        overlay_side: longest side of the overlay in pixels; None or 0 keeps the picture's size.
        source: file of the picture; yolo and labelme use it unchanged if possible.
        step: callback with (share in [0, 1], name of the step); if it raises, the work ends and nothing is written.

    Raises:
        InputError: the picture does not fit, an array cannot be stored, the directory cannot be written, or a file
            of another program has the same name.
    """
    formats, saved = read_formats(formats), result_files(directory, stem)
    job = Job(result, image, saved.stem, rule or ComponentRule(), arrays or {}, overlay_side, source)
    about = {"picture": stem, **(about or {})}
    of_folder = chosen_of(formats, FolderFormat)
    with ThreadPoolExecutor(1) as second:  # compression is nearly all of the work, and does not block Python
        beside = {each.name: second.submit(each.content, job) for each in chosen_of(formats, FileFormat) if each.beside}
        if of_folder:
            step(0.0, "connected components")
            about["components"] = _described(job.components, job.rule)
        paths, contents = _made(job, formats, beside, step)
    npz = contents.get(paths.get("npz", ""))
    digest = None if npz is None else hashlib.sha256(npz).hexdigest()
    if any(each.needs_picture for each in of_folder):
        _ = job.picture  # read now: if that fails, nothing is written
    expect_ours(saved.folder / name for name in contents)
    step(1.0, "writing")
    try:
        saved.folder.mkdir(parents=True, exist_ok=True)
        for each in of_folder:
            if (copy := each.copy(saved.folder, job)) is not None:
                paths[each.name] = copy
        record, old = describe(result, paths, about, digest), read_record(saved.json)
        contents[saved.json.name] = to_json(record)
        expect_ours([saved.json])
        write_all(saved.folder, contents)
        _remove_others(saved, contents, formats if _agree(old, plain(record)) else FORMATS)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise not_written("output folder", directory, error) from error
    return saved


def _made(
    job: Job, formats: Iterable[str], beside: Mapping[str, Future[bytes]], step: Progress
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Make the files of all formats with files of one result.

    Args:
        job: result to write.
        formats: names of the formats.
        beside: contents that a second thread makes, by format; they come last.
        step: as for `save`.

    Returns:
        Path or paths of the files by kind, the JSON included; and content of the files by path, the JSON not included.
    """
    paths: dict[str, Any] = {"json": f"{job.stem}.json"}
    contents: dict[str, bytes] = {}
    chosen = chosen_of(formats, ResultFormat)
    for place, each in enumerate(sorted(chosen, key=lambda each: each.name in beside)):
        step(place / len(chosen), each.title)
        path = each.path(job.stem)
        if isinstance(each, FileFormat):
            paths[each.kind] = path
            contents[path] = beside[each.name].result() if each.beside else each.content(job)
        elif isinstance(each, ClassFormat):
            of_classes = {f"{path}/{name}": png for name, png in steps(each.contents_by_class(job))}
            paths[each.kind] = [*of_classes]
            contents |= of_classes
    return paths, contents


def planned(saved: SavedFiles, formats: Iterable[str], names: Sequence[str]) -> list[Path]:
    """Return every file that may be written for one result of these formats and class names, except yolo's."""
    files = [saved.json]
    for each in chosen_of(formats, ResultFormat):
        path = saved.folder / each.path(saved.stem)
        files += [path / name for name in class_files(names)] if isinstance(each, ClassFormat) else [path]
    return files


def is_complete(directory: str | os.PathLike[str], record: Mapping[str, Any], formats: Iterable[str]) -> bool:
    """Return whether all files of these formats that are named in a result's JSON exist."""
    try:
        wanted = [record["files"][kind] for kind in named_files(formats)]
        names = [name for each in wanted for name in ([each] if isinstance(each, str) else each)]
        return all(Path(directory, name).is_file() for name in names)
    except (KeyError, TypeError, ValueError, OSError):
        return False


def named_files(formats: Iterable[str]) -> set[str]:
    """Return the keys under which the JSON of every result names its files of these formats."""
    copying = {each.name for each in chosen_of(formats, FolderFormat) if each.needs_picture}
    return {"json", *copying, *(each.kind for each in chosen_of(formats, ResultFormat))}


def _agree(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether files of an earlier result also describe the new one: same picture, settings and classes."""

    def shown(record: Mapping[str, Any]) -> list[Any]:
        classes = [[entry.get(key) for key in ("name", "colour", "rle")] for entry in record["classes"]]
        return [classes, *(record.get(key) for key in ("picture_sha256", "settings", "refinement"))]

    try:
        return shown(old) == shown(new)
    except (KeyError, TypeError, AttributeError):  # no earlier result, or one that was changed by hand
        return False


def _remove_others(saved: SavedFiles, written: Mapping[str, bytes], formats: Iterable[str]) -> None:
    """Remove files of these formats that this program wrote for an earlier result of the same name only."""
    paths: list[Path] = []
    for each in chosen_of(formats, ResultFormat):
        path = saved.folder / each.path(saved.stem)
        paths += path.glob("*.png") if isinstance(each, ClassFormat) else [path]
    for path in paths:
        if path.relative_to(saved.folder).as_posix() not in written and path.is_file() and is_ours(path):
            path.unlink()


def result_files(directory: str | os.PathLike[str], stem: str) -> SavedFiles:
    """Return the paths at which `save` writes a result; no file is read or written.

    Raises:
        InputError: `directory` is not a path.
    """
    return SavedFiles(folder_of(directory), safe_stem(stem))


def folder_of(directory: str | os.PathLike[str]) -> Path:
    """Return the path of an output folder. Raises InputError if it is none, or empty: to pathlib, the current one."""
    if not isinstance(directory, (str, os.PathLike)) or not os.fspath(directory):
        got = "an empty name" if directory == "" else type(directory).__name__
        remedy = 'Give its path; "." is the current one.'
        raise InputError("output folder", expected="the path of a folder", got=got, remedy=remedy)
    return Path(directory)


def _described(components: Iterable[Component], rule: ComponentRule) -> dict[str, Any]:
    """Return components as entries of the JSON, so that a continued run need not find them again."""
    return {
        "min_area": rule.min_area,
        "per_class": rule.per_class,
        "found": [
            {
                "class": component.label,
                "area": component.area,
                "box": component.box,
                "counts": component.counts,
                "outlines": [outline.ravel().tolist() for outline in component.outlines],
            }
            for component in components
        ],
    }


NOTEBOOK_SIDE = 640
"""Longest side in pixels of the picture in a notebook."""


def save_result(
    result: Segmentation,
    folder: str | os.PathLike[str],
    image: ImageInput | None,
    stem: str | None,
    formats: Iterable[str],
    rule: ComponentRule,
    about: Mapping[str, Any] | None = None,
) -> SavedFiles:
    """Write the files of one result with `save`, named after its picture if `stem` is None.

    Args:
        result: result to write.
        folder: output folder; created if missing.
        image: picture, as for `Segmentation.canvas`.
        stem: stem of the file names.
        formats: names of `FORMATS`.
        rule: definition of a component.
        about: further entries of the JSON.

    Raises:
        InputError: as `save`, or a format needs the picture and there is none.
    """
    needing = [each for each in formats if FORMATS[each].needs_picture]
    if needing and image is None:
        got = "none: a result holds only the small model input"
        raise InputError(needing[0], expected="the picture", got=got, remedy="Pass the picture as image.")
    source = image if isinstance(image, (str, os.PathLike)) else None
    name = PureWindowsPath(os.fsdecode(source)).name if source is not None else result.name
    stem = stem if stem is not None else PureWindowsPath(name).stem or "picture"
    shown = result.canvas(image)
    about = {"picture": name or stem, **identity(result, source), **(about or {})}
    return save(result, shown, folder, stem, formats=formats, about=about, rule=rule, source=source)


def identity(result: Segmentation, source: str | os.PathLike[str] | None) -> dict[str, str]:
    """Return the JSON entries that tell pictures of one name apart: digests of file, folder and model input.

    Raises:
        OSError: the file cannot be read.
    """
    found = {}
    if source is not None:
        path = Path(os.fsdecode(source))
        found = {"picture_sha256": sha256(path), "folder_digest": folder_digest(path)}
    pixels, known = result.model_input, result.input_trace.sha256
    digest = known if pixels is None else hashlib.sha256(pixels.tobytes()).hexdigest()
    return {**found, "input_sha256": digest} if digest else found


def notebook_png(result: Segmentation) -> bytes:
    """Return the overlay as a small PNG."""
    return overlay_png(result.canvas(), result, NOTEBOOK_SIDE)


def notebook_html(result: Segmentation) -> str:
    """Return the overlay and its legend as HTML; names are escaped."""
    rows = "".join(
        f'<div><span style="display:inline-block;width:1em;height:1em;background:{row.colour}"></span> '
        f"{html.escape(row.name)} {row.area:.1%}</div>"
        for row in legend(result)
    )
    picture = base64.b64encode(notebook_png(result)).decode("ascii")
    alt = html.escape(repr(result), quote=True)
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:1em">'
        f'<img alt="{alt}" src="data:image/png;base64,{picture}"><div>{rows}</div></div>'
    )
