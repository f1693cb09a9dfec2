"""Loading of a saved result from its JSON and, if present, the .npz beside it; any failure is one clear error."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from cliptrase_core.canvas import SIDE, InputTrace
from cliptrase_core.errors import InputError
from cliptrase_core.io.export.npz import MAPS
from cliptrase_core.io.export.record import FORMAT, FORMAT_VERSION, labels_of
from cliptrase_core.io.files import safe_stem
from cliptrase_core.results import NOISE, Segmentation

MOST_PATCHES = 2**20
"""Largest number of patches of a result that is read without arrays."""

NOT_SAVED = "regions, patch clusters and confidence are unknown: the result was saved without its .npz"
"""Note of a result that was read from its JSON alone."""


def load_result(json_path: str | os.PathLike[str]) -> Segmentation:
    """Read a result that `save` wrote.

    Labels, names, settings and notes are in the JSON. Regions, patch clusters and confidence are in the .npz. If that
    was not written or no longer exists, regions and clusters are -1, confidence is NaN, and a note is added.

    A refined result is read as a plain `Segmentation` with the refined labels. Its report stays in the JSON, as
    `refinement`; its coarse labels are not saved.

    The model input is not saved. The JSON has its digest, `input_sha256`, and its greys at 16 x 16 in base64,
    `input_thumbnail`, by which another picture is refused; results of older versions have no thumbnail.

    Args:
        json_path: path of the JSON.

    Raises:
        InputError: the JSON is missing, damaged or not written by this program, or its .npz was changed.
    """
    if not isinstance(json_path, (str, os.PathLike)):
        got, remedy = type(json_path).__name__, "`save` returns it as `json`."
        raise InputError("saved result", expected="the path of a .json", got=got, remedy=remedy)
    path = Path(json_path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        if record["format"] != FORMAT or record["format_version"] not in (1, FORMAT_VERSION):
            raise ValueError(f"another format: {record['format']!r} {record['format_version']!r}")
        height, width = record["grid"]
        maps, notes = _read_maps(path.parent, record, (int(height), int(width)))
        names = tuple(entry["name"] for entry in record["classes"])
        texts = (*names, *record["notes"])
        if not all(isinstance(text, str) for text in texts) or [*maps["labels"].shape] != record["size"]:
            raise ValueError("names, notes or size are not what the arrays say")
        return Segmentation(
            labels=maps["labels"].astype(np.int32, casting="safe"),
            regions=maps["regions"].astype(np.int32, casting="safe"),
            confidence=maps["confidence"].astype(np.float32, casting="safe"),
            class_names=names,
            patch_clusters=maps["patch_clusters"].astype(np.int64, casting="safe"),
            grid=(int(height), int(width)),
            settings=dict(record["settings"]),
            timings=dict(record["timings"]),
            notes=(*record["notes"], *notes),
            name=str(record.get("picture") or ""),
            input_trace=_read_trace(record),
        )
    except InputError:
        raise
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, EOFError) as error:
        _refuse_file(path, error)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, MemoryError) as error:  # RuntimeError: too many levels too
        _refuse_file(path, error)


def _read_trace(record: dict[str, Any]) -> InputTrace:
    sha256, text = (record.get(key) or "" for key in ("input_sha256", "input_thumbnail"))
    if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError("input_sha256 is no SHA-256")
    thumbnail = base64.b64decode(text, validate=True)
    if text and len(thumbnail) != SIDE * SIDE:
        raise ValueError(f"a thumbnail of {len(thumbnail)} bytes")
    return InputTrace(sha256, thumbnail)


def _read_maps(
    folder: Path, record: dict[str, Any], grid: tuple[int, int]
) -> tuple[dict[str, npt.NDArray[Any]], tuple[str, ...]]:
    """Return the arrays, and notes about them."""
    name = record["files"].get("npz")
    if name is not None:
        # The name comes from a file that anyone may have written: it must not lead to another folder.
        if not name.endswith(".npz") or safe_stem(name[:-4]) != name[:-4]:
            raise ValueError(f"{name!r} is no file name of ours")
        if (folder / name).exists():
            return _read_npz(folder / name, record["npz_sha256"]), ()
    if min(grid) < 1 or grid[0] * grid[1] > MOST_PATCHES:
        raise ValueError(f"a grid of {grid}")
    labels = labels_of(record)
    maps: dict[str, npt.NDArray[Any]] = {
        "labels": labels,
        "regions": np.full(labels.shape, NOISE, np.int32),
        "confidence": np.full(labels.shape, np.nan, np.float32),
        "patch_clusters": np.full(grid[0] * grid[1], NOISE, np.int64),
    }
    return maps, (NOT_SAVED,)


def _read_npz(path: Path, sha256: str) -> dict[str, npt.NDArray[Any]]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} was changed or belongs to another result")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {key: archive[key] for key in MAPS}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _why(path: Path, error: Exception) -> str:
    """Return why a file cannot be read, in words: not the name of an exception."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if path.suffix.lower() in (".zip", ".npz"):
        return "no JSON: that of the result names its .npz, and is in the zip of the page"
    if isinstance(error, OSError):
        return "a folder" if path.is_dir() else error.strerror or "not readable"
    if isinstance(error, UnicodeDecodeError):
        return "no text in UTF-8"
    if isinstance(error, KeyError):
        return f"no entry {error}"
    if isinstance(error, (zipfile.BadZipFile, zlib.error, EOFError)):
        return "its .npz is damaged"
    if isinstance(error, (RecursionError, MemoryError)):
        return "too large or too deep"
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error}"
    return str(error) if isinstance(error, ValueError) else "entries of another kind"


def _refuse_file(path: Path, error: Exception) -> NoReturn:
    raise InputError(
        "saved result",
        expected="a .json that this program wrote, and its .npz as it was",
        got=f"{path.name!r} ({_why(path, error)})",
        remedy="Choose another file, or run the picture again.",
    ) from error
