"""Reader of a Hugging Face `datasets` folder in parquet, with pictures and masks as files in rows. Needs pyarrow."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.numbers import Raw
from cliptrase_core.evaluation.readers.base import Found, absent, damaged, expect_distinct, files_below, first_split
from cliptrase_core.io.files import as_file
from cliptrase_core.io.masks import read_numbers_and_kind

_IMAGES = ("image", "img", "pixel_values", "picture")
_MASKS = (
    *("annotation", "label", "mask", "segmentation", "labels", "masks", "annotations", "segmentation_mask"),
    *("semantic_mask", "seg_mask", "semantic_segmentation", "segmentation_map", "gt"),
)
_NAMES = ("id2label.json", "label2id.json")
_VOID = {0: "ignored", 255: "ignored"}
"""Numbers that are ignored unless the list of names contains them."""


def find_parquet(root: Path) -> Found:
    """Find the parquet files of one split, and the names of their classes in id2label.json or label2id.json."""
    files = files_below(root, ".parquet")
    if not files:
        raise absent("*.parquet")
    arrow = _arrow()
    parts: dict[str, list[Path]] = {}
    for path in files:
        parts.setdefault(_part(path), []).append(path)
    split = first_split(parts)
    if split is None:
        got = ", ".join(sorted(parts)[:4])
        remedy = "Keep only the part that is to be scored."
        raise InputError("parquet files", expected="a part such as validation", got=got, remedy=remedy)
    pairs = [pair for path in parts[split] for pair in _pairs(path, root, arrow)]
    names_file = next((path for name in _NAMES for path in files_below(root, name)), None)
    names = {} if names_file is None else _names(names_file)
    if not names:
        expected = f"{_NAMES[0]} beside them, with the name of each number"
        raise InputError("parquet files", expected=expected, got="none", remedy="Download it too, or write it.")
    title = f"parquet, {split}"
    source = names_file.name if names_file else ""
    return Found(title, expect_distinct(pairs, f"folder {root.name!r}"), {**_VOID, **names}, source)


def _arrow() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        expected, got = "pyarrow, which reads parquet", "an installation without it"
        raise InputError("parquet", expected=expected, got=got, remedy="pip install pyarrow") from error


def _part(path: Path) -> str:
    """Return the split of a file: "validation" for "validation-00000-of-00001.parquet" or "validation/0000.parquet"."""
    name = path.stem.split("-")[0]
    return name if not name.isdecimal() else path.parent.name


def _pairs(path: Path, root: Path, arrow: Any) -> list[Pair]:
    """Create a pair for each row, without reading the row."""
    try:
        file = arrow.ParquetFile(path)
        fields = [field.name for field in file.schema_arrow if _holds_files(field)]
        groups = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
    except (OSError, ValueError) as error:  # pyarrow's own errors are subclasses of these
        raise damaged(path, "a parquet file", "one that does not parse") from error
    image = next((name for name in _IMAGES if name in fields), None)
    mask = next((name for name in _MASKS if name in fields and name != image), None)
    if image is None or mask is None:
        got = ", ".join(map(repr, fields)) or "no column of files"
        raise damaged(path, f"columns such as {_IMAGES[0]!r} and {_MASKS[0]!r} that hold pictures", got)
    name = path.relative_to(root).with_suffix("").as_posix()
    rows = [(group, row) for group, count in enumerate(groups) for row in range(count)]
    return [
        Pair(
            f"{name}/{place:06d}",
            path,
            path,
            partial(_read_row, place=where, column=mask),
            picture=partial(_content, path, where, image),
        )
        for place, where in enumerate(rows)
    ]


def _holds_files(field: Any) -> bool:
    """Return whether a column contains files, as `datasets.Image` stores them."""
    kind = field.type
    within = [kind.field(place).name for place in range(kind.num_fields)] if kind.num_fields else []
    return "bytes" in within or str(kind) in ("binary", "large_binary")


def _read_row(path: Path, place: tuple[int, int], column: str) -> tuple[Raw, str]:
    """Read the numbers (H, W) of the mask in a row; see `layouts.ReadMask`."""
    with as_file(_content(path, place, column), f"{column} of row {place[1]}") as file:
        return read_numbers_and_kind(file)


def _content(path: Path, place: tuple[int, int], column: str) -> bytes:
    """Return the content of a file in a row."""
    group, row = place
    value = _column(str(path), path.stat().st_mtime_ns, group, column)[row].as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes) or not content:
        raise damaged(path, f"a picture as {column} of each row", f"none in row {row} of group {group}")
    return content


@lru_cache(maxsize=4)
def _column(path: str, changed: int, group: int, column: str) -> Any:
    """Read a column of a row group; cached, because rows are read in order."""
    try:
        return _arrow().ParquetFile(path).read_row_group(group, columns=[column]).column(column)
    except (OSError, ValueError) as error:
        raise damaged(Path(path), "a parquet file", "one that is damaged") from error


def _names(path: Path) -> dict[int, str]:
    """Read number to name from an id2label.json or label2id.json."""
    try:
        content = json.loads(path.read_bytes())
        entries: Sequence[tuple[Any, Any]] = list(content.items()) if isinstance(content, Mapping) else []
        if path.name == _NAMES[1]:
            entries = [(number, name) for name, number in entries]
        names = {int(number): str(name) for number, name in entries}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise damaged(path, "a name for each number", "something else") from error
    if not all(0 <= number < 65536 and name.strip() for number, name in names.items()):
        raise damaged(path, "names for numbers from 0 to 65535", "others")
    return names
