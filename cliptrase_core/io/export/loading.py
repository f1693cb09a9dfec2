"""A saved result back from its files: what `export.save` wrote, or one clear error."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.files import MARK, safe_stem
from cliptrase_core.results import Segmentation

FORMAT = f"{MARK} segmentation"
FORMAT_VERSION = 1
MAPS = ("labels", "regions", "confidence", "patch_clusters")
"""Arrays of every .npz."""


def load(json_path: str | os.PathLike[str]) -> Segmentation:
    """Read back what `save` wrote: the JSON and the .npz beside it.

    Raises:
        InputError: a file is missing, damaged, from another run or not one of ours.
    """
    path = Path(json_path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        if record["format"] != FORMAT or record["format_version"] != FORMAT_VERSION:
            raise ValueError(f"another format: {record['format']!r} {record['format_version']!r}")
        maps = _read_maps(path.parent, record["files"]["npz"], record["npz_sha256"])
        names = tuple(entry["name"] for entry in record["classes"])
        height, width = record["grid"]
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
            notes=tuple(record["notes"]),
        )
    except InputError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, RecursionError) as error:
        _refuse_file(path, error)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        _refuse_file(path, error)


def read_record(path: Path) -> dict[str, Any]:
    """The JSON of a saved result; empty where there is none that this program wrote."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and record.get("format") == FORMAT else {}


def _read_maps(folder: Path, name: str, sha256: str) -> dict[str, npt.NDArray[Any]]:
    # The name comes from a file that anyone may have written: it must not lead elsewhere.
    if not name.endswith(".npz") or safe_stem(name[:-4]) != name[:-4]:
        raise ValueError(f"{name!r} is no file name of ours")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{name} was changed or belongs to another result")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {key: archive[key] for key in MAPS}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_file(path: Path, error: Exception) -> NoReturn:
    raise InputError(
        explain(
            "saved result",
            expected="a .json that this program wrote, with its .npz beside it",
            got=f"{path.name!r} ({type(error).__name__}: {error})",
            remedy="Choose another file, or run the picture again.",
        )
    ) from error
