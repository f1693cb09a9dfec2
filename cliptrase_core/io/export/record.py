"""JSON of a result: its picture, files, classes and settings. Strict JSON, and the same in every run."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cliptrase_core.canvas import thumbnail_of
from cliptrase_core.io.export.components import Component, ComponentRule, counts_text, find_components
from cliptrase_core.io.files import MARK, sha256
from cliptrase_core.maps import runs
from cliptrase_core.results import EVERYTHING_ELSE, Refined, Segmentation, is_background
from cliptrase_core.version import VERSION
from cliptrase_core.viz.palette import label_colours, to_hex

FORMAT = f"{MARK} segmentation"
FORMAT_VERSION = 2
"""Version 1 always named an .npz; its files can still be read."""


def describe(
    result: Segmentation, files: Mapping[str, str], about: Mapping[str, Any], npz_sha256: str | None = None
) -> dict[str, Any]:
    """Return the entries of the JSON.

    Args:
        result: result to describe.
        files: names of the files beside the JSON, by kind.
        about: further entries.
        npz_sha256: SHA-256 of the .npz, if there is one.
    """
    indexed = len(result.class_names) <= 256
    pixels, known = result.model_input, result.input_trace.thumbnail
    thumbnail = known if pixels is None else thumbnail_of(pixels)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **about,
        "size": list(result.size),
        "grid": list(result.grid),
        "files": dict(files),
        "labels_png": "8-bit indexed, palette inside" if indexed else "16-bit grey, value = index",
        **({} if npz_sha256 is None else {"npz_sha256": npz_sha256}),
        **({"input_thumbnail": base64.b64encode(thumbnail).decode("ascii")} if thumbnail else {}),
        "classes": describe_classes(result),
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


def describe_classes(result: Segmentation) -> list[dict[str, Any]]:
    """Return the entries of the JSON for the classes of a result, in the order of their labels."""
    # Run lengths go down columns: transpose once, not for each class. NumPy's transpose takes five times as long.
    starts, lengths, labels = runs(np.asarray(cv2.transpose(result.small_labels)))
    order = np.argsort(labels, kind="stable")
    ends = np.stack([starts, starts + lengths], axis=1)[order]
    bounds = np.searchsorted(labels[order], np.arange(len(result.class_names) + 1))
    (shares, certainties), colours = result.shares, label_colours(result)
    return [
        {
            "index": index,
            "name": name,
            "colour": to_hex(colours[index]),
            "area": float(shares[index]),
            "confidence": float(certainties[index]),  # not a number for a class without pixels
            "rle": {
                "size": list(result.size),
                "counts": counts_text(ends[bounds[index] : bounds[index + 1]].ravel(), result.size),
            },
        }
        for index, name in enumerate(result.class_names)
    ]


MOST_PIXELS = 2**30
"""Largest number of pixels of a result that is read: a few bytes of text can claim any number."""


def labels_of(record: Mapping[str, Any]) -> npt.NDArray[np.int32]:
    """Return the labels (H, W) from the run lengths of a record's classes.

    Raises:
        ValueError: the run lengths do not assign exactly one class to every pixel.
        KeyError, TypeError, IndexError: not a record of a result.
    """
    height, width = (int(side) for side in record["size"])
    found = []
    for label, entry in enumerate(record["classes"]):
        if list(entry["rle"]["size"]) != [height, width]:
            raise ValueError("run lengths of another size")
        ends = np.cumsum(read_counts(entry["rle"]["counts"]))
        starts, stops = ends[:-1:2], ends[1::2]
        found.append(np.stack([starts, stops, np.full(len(stops), label)], axis=1))
    table = np.concatenate(found)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    table = table[table[:, 1] > table[:, 0]]
    whole = [0, *table[:, 1].tolist()] == [*table[:, 0].tolist(), height * width]
    if min(height, width) < 1 or not whole or height * width > MOST_PIXELS:
        raise ValueError("run lengths that leave pixels out, or overlap")
    flat = np.repeat(table[:, 2].astype(np.int32), table[:, 1] - table[:, 0])
    return np.ascontiguousarray(flat.reshape(width, height).T)


def read_counts(text: str) -> list[int]:
    """Decode COCO's run-length text: numbers of pixels outside and inside the class in turn. This is done in Python, so
    that a damaged text raises an error instead of a crash.

    Raises:
        ValueError: not a run-length text.
    """
    counts: list[int] = []
    value = shift = 0
    for sign in text.encode("ascii"):
        bits = sign - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("no run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last five bits of a number
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift or min(counts, default=0) < 0:
        raise ValueError("no run lengths")
    return counts


def objects(result: Segmentation, rule: ComponentRule) -> list[Component]:
    """Find the components of every class, without the background."""
    return find_components(result.labels, foreground(result.class_names), rule)


def foreground(names: tuple[str, ...] | list[str]) -> list[int]:
    """Return the labels of all classes except the background and everything else, which are not objects."""
    return [label for label, name in enumerate(names) if not is_background(name) and name != EVERYTHING_ELSE]


def to_json(record: Mapping[str, Any]) -> bytes:
    """Encode a record as the content of the JSON file."""
    return (json.dumps(plain(record), ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode("utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """Read the JSON of a saved result; return an empty dict if it is missing or not written by this program."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and record.get("format") == FORMAT else {}


def folder_digest(path: Path) -> str:
    """Return 16 digits of a digest of a picture's folder: results tell folders apart without their names."""
    folder = os.path.normcase(os.path.realpath(path.parent))
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]


def is_made_from(record: Mapping[str, Any], path: Path) -> bool:
    """Return whether a result was made from the file at this path, whatever it contains now."""
    return record.get("picture") == plain(path.name) and record.get("folder_digest") == folder_digest(path)


def is_of_another(record: Mapping[str, Any], path: Path) -> bool:
    """Return whether a result belongs to another picture: another name, or both another folder and other content.

    A picture that was edited, moved or copied is the same. Results of older versions have no folder.

    Args:
        record: JSON of the result; empty if there is none.
        path: existing picture.
    """
    if not record or record.get("picture") != plain(path.name):
        return bool(record)
    try:
        moved = record.get("folder_digest") not in (None, folder_digest(path))
        return moved and record.get("picture_sha256") not in (None, sha256(path))
    except OSError:  # the picture cannot be read, so it will replace nothing
        return False


def plain(value: Any) -> Any:
    """Convert a value to types of strict JSON, as `save` writes it."""
    if isinstance(value, str):
        # Lone surrogates come from file names that are not UTF-8; UTF-8 cannot encode them.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
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
    return plain(str(value))


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
