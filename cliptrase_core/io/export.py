"""A result as files that other programs read, and back."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import platform
import re
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco_mask

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.files import MARK, expect_ours, marked_png, safe_stem, write_all
from cliptrase_core.io.saved import FORMAT, FORMAT_VERSION, MAPS, load, read_record
from cliptrase_core.refine.report import Refined
from cliptrase_core.results import Segmentation
from cliptrase_core.version import VERSION
from cliptrase_core.viz.overlay import overlay
from cliptrase_core.viz.palette import label_colours, legend, to_hex

__all__ = ["SavedFiles", "load", "plain", "read_record", "result_files", "run_lengths", "safe_stem", "save"]

FAST = 1
"""Level of zlib for photographs and probabilities: higher ones take five times as long for a tenth of the size."""

_ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class SavedFiles:
    """Where one result lies: indexed labels, picture with colours, description, arrays."""

    labels: Path
    overlay: Path
    json: Path
    npz: Path


def save(
    result: Segmentation,
    image: npt.NDArray[np.uint8],
    directory: str | os.PathLike[str],
    stem: str,
    *,
    arrays: Mapping[str, npt.NDArray[Any]] | None = None,
    about: Mapping[str, Any] | None = None,
    step: Callable[[float, str], None] = lambda share, text: None,
) -> SavedFiles:
    """Write `<stem>.labels.png`, `.overlay.png`, `.npz` and `.json`, each whole or not at all, the JSON last.

    Earlier results of that name are replaced; a file of that name that this program did not write never is.

    The label picture is indexed with the palette inside; with more than 256 names it is 16-bit grey, and the
    JSON says which. The JSON is strict: a number that is not finite becomes null.

    Args:
        result: what to write.
        image: (H, W, 3) in the frame of `result.labels`.
        directory: made if missing.
        stem: file name without endings; made safe by `safe_stem`.
        arrays: further arrays for the .npz by name, for example intermediates.
        about: further entries of the JSON; `picture`, the name of the picture, is `stem` where it is not given.
        step: told (share in [0, 1], what happens); what it raises ends the work, and nothing is written.

    Raises:
        InputError: the picture does not fit, an array cannot be stored, the directory cannot be written, or a file
            of another program is in the way.
    """
    saved = result_files(directory, stem)
    files = {kind: path.name for kind, path in vars(saved).items()}
    about = {"picture": stem, **(about or {})}
    with ThreadPoolExecutor(1) as beside:  # compression is nearly all of the work, and leaves Python to others
        packing = beside.submit(_npz_bytes, result, arrays or {})
        step(0.0, "colours")
        painted = _png(Image.fromarray(overlay(image, result)), compress_level=FAST)
        step(0.4, "labels")
        labels = _labels_png(result)
        step(0.5, "arrays")
        npz = packing.result()
        step(0.8, "run lengths")
    contents = {
        files["labels"]: labels,
        files["overlay"]: painted,
        files["npz"]: npz,
        files["json"]: _json_bytes(_describe(result, files, hashlib.sha256(npz).hexdigest(), about)),
    }
    expect_ours(vars(saved).values())
    step(1.0, "writing")
    try:
        folder = saved.json.parent
        folder.mkdir(parents=True, exist_ok=True)
        write_all(folder, contents)
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        raise _unusable(directory, error) from error
    return saved


def result_files(directory: str | os.PathLike[str], stem: str) -> SavedFiles:
    """Where `save` puts a result; touches nothing.

    Raises:
        InputError: not a path at all.
    """
    name = safe_stem(stem)
    try:
        folder = Path(directory)
    except TypeError as error:
        raise _unusable(directory, error) from error
    ends = {"labels": "labels.png", "overlay": "overlay.png", "json": "json", "npz": "npz"}
    return SavedFiles(**{kind: folder / f"{name}.{end}" for kind, end in ends.items()})


def _unusable(directory: object, error: Exception) -> InputError:
    got, remedy = f"{str(directory)!r} ({error})", "Choose another directory."
    return InputError(
        explain("output directory", expected="a directory that can be written to", got=got, remedy=remedy)
    )


def _labels_png(result: Segmentation) -> bytes:
    count = len(result.class_names)
    if count <= 256:
        picture = Image.fromarray(result.labels.astype(np.uint8))
        picture.putpalette(label_colours(result).tobytes())  # "L" becomes "P"
        return _png(picture, bits=8)
    if count <= 65_536:
        return _png(Image.fromarray(result.labels.astype(np.uint16)))
    remedy = "Leave out classes that are absent."
    raise InputError(explain("class names", expected="at most 65536", got=str(count), remedy=remedy))


def _png(picture: Image.Image, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=marked_png(), **options)
    return buffer.getvalue()


def _npz_bytes(result: Segmentation, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    own = {name: getattr(result, name) for name in MAPS}
    for name, array in arrays.items():
        plain = isinstance(array, np.ndarray) and not array.dtype.hasobject
        if not isinstance(name, str) or not _ARRAY_NAME.fullmatch(name) or name in own or not plain:
            raise InputError(
                explain(
                    "arrays",
                    expected=f"numpy arrays of plain numbers, by simple names other than {', '.join(MAPS)}",
                    got=f"{name!r}: {type(array).__name__}",
                    remedy="Rename or convert it.",
                )
            )
    buffer = io.BytesIO()
    # Not savez: it takes names as keyword arguments, and the time of day into the file.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in {**own, **arrays}.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
            archive.writestr(entry, content.getbuffer(), zipfile.ZIP_DEFLATED, FAST)
        archive.comment = MARK.encode()
    return buffer.getvalue()


def _describe(
    result: Segmentation, files: Mapping[str, str], npz_sha256: str, about: Mapping[str, Any]
) -> dict[str, Any]:
    indexed = len(result.class_names) <= 256
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **about,
        "size": list(result.size),
        "grid": list(result.grid),
        "files": dict(files),
        "labels_png": "8-bit indexed, palette inside" if indexed else "16-bit grey, value = index",
        "npz_sha256": npz_sha256,
        "classes": _describe_classes(result),
        "settings": result.settings,
        "timings": result.timings,
        "notes": list(result.notes),
        **({"refinement": result.report.as_dict()} if isinstance(result, Refined) else {}),
        "versions": {
            "cliptrase-lab": VERSION,
            "torch": _version("torch"),
            "open_clip_torch": _version("open_clip_torch"),
            "python": platform.python_version(),
        },
    }


def _describe_classes(result: Segmentation) -> list[dict[str, Any]]:
    rows = {row.index: row for row in legend(result)}
    colours = label_colours(result)
    nowhere = run_lengths(np.zeros(result.size, dtype=np.bool_))
    columns = np.asfortranarray(result.labels)  # run lengths go down columns: turned once, not for each class
    return [
        {
            "index": index,
            "name": name,
            "colour": to_hex(colours[index]),
            "area": rows[index].area if index in rows else 0.0,
            "confidence": rows[index].confidence if index in rows else None,
            "rle": run_lengths(columns == index) if index in rows else nowhere,
        }
        for index, name in enumerate(result.class_names)
    ]


def run_lengths(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """COCO run lengths of a mask (H, W), counts as text."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def _json_bytes(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(plain(record), ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode("utf-8")


def plain(value: Any) -> Any:
    """The same in types that strict JSON has, as `save` writes it."""
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    # Lone surrogates come from file names that are not UTF-8, and have no place in it.
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
