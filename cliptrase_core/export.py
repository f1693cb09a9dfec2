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
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image
from pycocotools import mask as coco_mask

from cliptrase_core.colours import label_colours, legend, overlay, to_hex
from cliptrase_core.errors import InputError, explain
from cliptrase_core.files import safe_stem, write_all
from cliptrase_core.refine.report import Refined
from cliptrase_core.result import Segmentation
from cliptrase_core.version import VERSION

__all__ = ["SavedFiles", "load", "run_lengths", "safe_stem", "save"]

FORMAT = "cliptrase-lab segmentation"
FORMAT_VERSION = 1

FAST = 1
"""Level of zlib for photographs and probabilities: higher ones take five times as long for a tenth of the size."""

_MAPS = ("labels", "regions", "confidence", "patch_clusters")
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
    step: Callable[[float, str], None] = lambda share, text: None,
) -> SavedFiles:
    """Write `<stem>.labels.png`, `.overlay.png`, `.npz` and `.json`, each whole or not at all, the JSON last.

    The label picture is indexed with the palette inside; with more than 256 names it is 16-bit grey, and the
    JSON says which. The JSON is strict: a number that is not finite becomes null.

    Args:
        result: what to write.
        image: (H, W, 3) in the frame of `result.labels`.
        directory: made if missing.
        stem: file name without endings; made safe by `safe_stem`.
        arrays: further arrays for the .npz by name, for example intermediates.
        step: told (share in [0, 1], what happens); what it raises ends the work, and nothing is written.

    Raises:
        InputError: the picture does not fit, an array cannot be stored, or the directory cannot be written.
    """
    name = safe_stem(stem)
    files = {
        "labels": f"{name}.labels.png",
        "overlay": f"{name}.overlay.png",
        "npz": f"{name}.npz",
        "json": f"{name}.json",
    }
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
        files["json"]: _json_bytes(_describe(result, files, hashlib.sha256(npz).hexdigest())),
    }
    step(1.0, "writing")
    try:
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_all(folder, contents)
    except (OSError, TypeError, ValueError) as error:  # TypeError, ValueError: not a path at all
        raise InputError(
            explain(
                "output directory",
                expected="a directory that can be written to",
                got=f"{str(directory)!r} ({error})",
                remedy="Choose another directory.",
            )
        ) from error
    return SavedFiles(**{kind: folder / file for kind, file in files.items()})


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


def _labels_png(result: Segmentation) -> bytes:
    count = len(result.class_names)
    if count <= 256:
        picture = Image.fromarray(result.labels.astype(np.uint8))
        picture.putpalette(label_colours(result).tobytes())  # "L" becomes "P"
        return _png(picture, bits=8)
    if count <= 65_536:
        return _png(Image.fromarray(result.labels.astype(np.uint16)))
    raise InputError(
        explain(
            "class names",
            expected="at most 65536",
            got=str(count),
            remedy="Leave out classes that are absent.",
        )
    )


def _png(picture: Image.Image, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", **options)
    return buffer.getvalue()


def _npz_bytes(result: Segmentation, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    own = {name: getattr(result, name) for name in _MAPS}
    for name, array in arrays.items():
        plain = isinstance(array, np.ndarray) and not array.dtype.hasobject
        if not isinstance(name, str) or not _ARRAY_NAME.fullmatch(name) or name in own or not plain:
            raise InputError(
                explain(
                    "arrays",
                    expected=f"numpy arrays of plain numbers, by simple names other than {', '.join(_MAPS)}",
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
    return buffer.getvalue()


def _describe(result: Segmentation, files: Mapping[str, str], npz_sha256: str) -> dict[str, Any]:
    indexed = len(result.class_names) <= 256
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
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
    return (json.dumps(_plain(record), ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode("utf-8")


def _plain(value: Any) -> Any:
    """The same in types that strict JSON has."""
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    # Lone surrogates come from file names that are not UTF-8, and have no place in it.
    return str(value).encode("utf-8", "replace").decode("utf-8")


def _read_maps(folder: Path, name: str, sha256: str) -> dict[str, npt.NDArray[Any]]:
    # The name comes from a file that anyone may have written: it must not lead elsewhere.
    if not name.endswith(".npz") or safe_stem(name[:-4]) != name[:-4]:
        raise ValueError(f"{name!r} is no file name of ours")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{name} was changed or belongs to another result")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {key: archive[key] for key in _MAPS}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


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
