"""A result's JSON: what its picture and files are, its classes, how it was made; strict, and the same in every run."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from cliptrase_core.io.export.components import Component, ComponentRule, counts_text, find_components
from cliptrase_core.io.files import MARK
from cliptrase_core.maps import runs
from cliptrase_core.results import EVERYTHING_ELSE, Refined, Segmentation, is_background
from cliptrase_core.version import VERSION
from cliptrase_core.viz.palette import label_colours, to_hex

FORMAT = f"{MARK} segmentation"
FORMAT_VERSION = 2
"""Version 1 always named an .npz; its files are read as well."""


def describe(
    result: Segmentation, files: Mapping[str, str], about: Mapping[str, Any], npz_sha256: str | None = None
) -> dict[str, Any]:
    """The JSON's entries.

    Args:
        result: that is described.
        files: names of the files beside it, by kind.
        about: further entries.
        npz_sha256: of the .npz, where there is one.
    """
    indexed = len(result.class_names) <= 256
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **about,
        "size": list(result.size),
        "grid": list(result.grid),
        "files": dict(files),
        "labels_png": "8-bit indexed, palette inside" if indexed else "16-bit grey, value = index",
        **({} if npz_sha256 is None else {"npz_sha256": npz_sha256}),
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
    # Run lengths go down columns: turned once, not for each class; NumPy's own way takes five times as long.
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
            "confidence": float(certainties[index]),  # no number where it has no pixel
            "rle": {
                "size": list(result.size),
                "counts": counts_text(ends[bounds[index] : bounds[index + 1]].ravel(), result.size),
            },
        }
        for index, name in enumerate(result.class_names)
    ]


def run_lengths(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """COCO run lengths of a mask (H, W), counts as text."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


MOST_PIXELS = 2**30
"""Of a result that is read back: a few bytes of text can speak of any number."""


def labels_of(record: Mapping[str, Any]) -> npt.NDArray[np.int32]:
    """(H, W), labels by the run lengths of a record's classes.

    Raises:
        ValueError: they do not give every pixel exactly one class.
        KeyError, TypeError, IndexError: no such record.
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
    """Numbers of COCO's run-length text: those of nothing and of the class in turn. In Python, so that a damaged text
    is an error and not a crash.

    Raises:
        ValueError: no such text.
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
    """Components of every class; the background is none."""
    return find_components(result.labels, foreground(result.class_names), rule)


def foreground(names: tuple[str, ...] | list[str]) -> list[int]:
    """Labels of the classes: what is background, or none of the classes, is no object."""
    return [label for label, name in enumerate(names) if not is_background(name) and name != EVERYTHING_ELSE]


def to_json(record: Mapping[str, Any]) -> bytes:
    """The JSON as it is written."""
    return (json.dumps(plain(record), ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode("utf-8")


def read_record(path: Path) -> dict[str, Any]:
    """The JSON of a saved result; empty where there is none that this program wrote."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and record.get("format") == FORMAT else {}


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


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
