"""Atomic writing of one result in any of the formats, and the methods of a result that use it."""

from __future__ import annotations

import base64
import hashlib
import html
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptrase_core.cancel import steps
from cliptrase_core.errors import InputError, expect_one_of, explain
from cliptrase_core.io.export import images, labelme, yolo
from cliptrase_core.io.export.components import Component, ComponentRule
from cliptrase_core.io.export.images import overlay_png
from cliptrase_core.io.export.npz import to_npz
from cliptrase_core.io.export.record import describe, folder_digest, objects, plain, read_record, to_json
from cliptrase_core.io.files import expect_ours, is_ours, safe_stem, write_all
from cliptrase_core.io.image import ImageInput
from cliptrase_core.models.checkpoint import sha256
from cliptrase_core.names import DEFAULT_FORMATS, FORMATS
from cliptrase_core.results import Segmentation
from cliptrase_core.viz.palette import legend

ARCHIVE_FORMATS = ("png", "overlay", "json", "npz")
"""Formats that together contain everything about one result."""

_KINDS = {"png": "labels", **{name: name for name in ("index", "overlay", "json", "npz", "labelme")}}
_OF_PIECES = ("coco", "yolo")


@dataclass(frozen=True)
class SavedFiles:
    """Paths of the files of one result; only files of requested formats exist.

    Attributes:
        labels: indexed PNG (png).
        index: grey PNG (index).
        overlay: picture under the colours of its classes (overlay).
        json: description, which is always written.
        npz: arrays (npz).
        labelme: labelme's JSON (labelme).
        masks: folder of masks (masks).
        cutouts: folder of cut-outs (cutouts).
    """

    labels: Path
    index: Path
    overlay: Path
    json: Path
    npz: Path
    labelme: Path
    masks: Path
    cutouts: Path

    def of(self, formats: Iterable[str]) -> dict[str, Path]:
        """Return the files of these formats by kind, for formats with one file whose name is known beforehand."""
        return {_KINDS[name]: getattr(self, _KINDS[name]) for name in formats if name in _KINDS}


def read_formats(formats: str | Iterable[str]) -> tuple[str, ...]:
    """Return the formats in a fixed order. "json" is always among them, because results are found by it.

    Args:
        formats: names of `FORMATS`, as a list or separated by commas.

    Raises:
        InputError: an unknown name, or no name.
    """
    names = formats.split(",") if isinstance(formats, str) else list(formats)
    names = [name.strip().lower() if isinstance(name, str) else name for name in names]
    for name in names:
        expect_one_of("format", name, FORMATS)
    if not names:
        raise InputError(explain("formats", expected="at least one", got="none", remedy=f"Known: {', '.join(FORMATS)}"))
    return tuple(name for name in FORMATS if name in names or name == "json")


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
    step: Callable[[float, str], None] = lambda share, text: None,
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
    formats, rule = read_formats(formats), rule or ComponentRule()
    saved = result_files(directory, stem)
    folder = saved.json.parent
    paths: dict[str, Any] = {kind: path.relative_to(folder).as_posix() for kind, path in saved.of(formats).items()}
    about = {"picture": stem, **(about or {})}
    contents: dict[str, bytes] = {}
    with ThreadPoolExecutor(1) as beside:  # compression is nearly all of the work, and does not block Python
        packing = beside.submit(to_npz, result, arrays or {}) if "npz" in formats else None
        step(0.0, "colours")
        if "overlay" in formats:
            contents[paths["overlay"]] = images.overlay_png(image, result, overlay_side)
        step(0.4, "labels")
        contents |= _label_pictures(result, image, saved, formats)
        for kind in ("masks", "cutouts"):
            if kind in formats:
                paths[kind] = [name for name in contents if name.startswith(f"{kind}/")]
        components = objects(result, rule) if {"coco", "yolo", "labelme"} & set(formats) else []
        step(0.5, "arrays")
        npz = packing.result() if packing else None
        step(0.8, "run lengths")
    picture = images.picture_file(image, source) if {"yolo", "labelme"} & set(formats) else ("", b"")
    if "labelme" in formats:
        name = f"{Path(paths['labelme']).stem}{picture[0]}"
        contents[paths["labelme"]] = labelme.to_labelme(
            components, result.class_names, result.size, (name, picture[1]), rule
        )
    if npz is not None:
        contents[paths["npz"]] = npz
    expect_ours(folder / name for name in contents)
    step(1.0, "writing")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if "yolo" in formats:
            paths["yolo"] = yolo.write_picture(folder, safe_stem(stem), picture)
        if set(_OF_PIECES) & set(formats):
            about["components"] = _described(components, rule)
        digest = None if npz is None else hashlib.sha256(npz).hexdigest()
        record, old = describe(result, paths, about, digest), read_record(saved.json)
        contents[saved.json.name] = to_json(record)
        expect_ours([saved.json])
        write_all(folder, contents)
        _remove_others(saved, contents, formats if _agree(old, plain(record)) else FORMATS)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise unusable(directory, error) from error
    return saved


def _label_pictures(
    result: Segmentation, image: npt.NDArray[np.uint8], saved: SavedFiles, formats: Iterable[str]
) -> dict[str, bytes]:
    """Return names and contents of the label pictures, masks and cut-outs."""
    folder, contents = saved.json.parent, {}
    if "png" in formats:
        contents[saved.labels.name] = images.labels_png(result)
    if "index" in formats:
        contents[saved.index.name] = images.index_png(result)
    made = {saved.masks: images.mask_pngs(result) if "masks" in formats else ()}
    made[saved.cutouts] = images.cutout_pngs(image, result) if "cutouts" in formats else ()
    for place, files in made.items():
        below = place.relative_to(folder).as_posix()
        contents |= {f"{below}/{name}": content for name, content in steps(files)}
    return contents


def planned(saved: SavedFiles, formats: Iterable[str], names: Sequence[str]) -> list[Path]:
    """Return every file that may be written for one result of these formats and class names, except yolo's."""
    files = list(saved.of(formats).values())
    for kind in {"masks", "cutouts"} & set(formats):
        files += [getattr(saved, kind) / name for name in images.class_files(names)]
    return files


def is_whole(directory: str | os.PathLike[str], record: Mapping[str, Any], formats: Iterable[str]) -> bool:
    """Return whether all files of these formats that are named in a result's JSON exist."""
    try:
        files = record["files"]
        wanted = [files[_KINDS.get(name, name)] for name in formats if name != "coco"]
        names = [name for each in wanted for name in ([each] if isinstance(each, str) else each)]
        return all(Path(directory, name).is_file() for name in names)
    except (KeyError, TypeError, ValueError, OSError):
        return False


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
    folder, kinds = saved.json.parent, set(formats)
    paths = [*saved.of(kinds).values()]
    for kind in {"masks", "cutouts"} & kinds:
        paths += getattr(saved, kind).glob("*.png")
    for path in paths:
        if path.relative_to(folder).as_posix() not in written and path.is_file() and is_ours(path):
            path.unlink()


def result_files(directory: str | os.PathLike[str], stem: str) -> SavedFiles:
    """Return the paths at which `save` writes a result; no file is read or written.

    Raises:
        InputError: `directory` is not a path.
    """
    name = safe_stem(stem)
    try:
        folder = Path(directory)
    except TypeError as error:
        raise unusable(directory, error) from error
    ends = {"labels": "labels.png", "index": "index.png", "overlay": "overlay.png", "json": "json", "npz": "npz"}
    beside = {kind: folder / f"{name}.{end}" for kind, end in ends.items()}
    below = {"masks": folder / "masks" / name, "cutouts": folder / "cutouts" / name}
    return SavedFiles(**beside, **below, labelme=folder / "labelme" / f"{name}.json")


def unusable(directory: object, error: Exception) -> InputError:
    """Return the error for a folder that cannot be written."""
    got, remedy = f"{str(directory)!r} ({error})", "Choose another directory."
    return InputError(
        explain("output directory", expected="a directory that can be written to", got=got, remedy=remedy)
    )


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


NEED_PICTURE = ("yolo", "labelme", "cutouts")
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
    needing = [each for each in formats if each in NEED_PICTURE]
    if needing and image is None:
        got = "none: a result holds only the small model input"
        raise InputError(explain(needing[0], expected="the picture", got=got, remedy="Pass the picture as image."))
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
    if result.model_input is not None:
        found["input_sha256"] = hashlib.sha256(result.model_input.tobytes()).hexdigest()
    return found


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
