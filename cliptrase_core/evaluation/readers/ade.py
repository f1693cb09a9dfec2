"""Reader of ADE20K full as downloaded: red and green of each picture's `_seg.png` encode the numbers of objects.

`index_ade20k.pkl` is not needed and not read, because a pickle may run code.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.numbers import BITS_16, VOID_16, Raw
from cliptrase_core.evaluation.readers.base import Found, absent, damaged, expect_distinct, files_below
from cliptrase_core.io.masks import read_colours

_PICTURE, _MASK = ".jpg", "_seg.png"
_PLACES = ("images/ADE/validation", "images/validation", "validation", ".")
_MOST = 26 * 256


def find_ade(root: Path) -> Found:
    """Find ADE20K_2021_17_01: pictures and masks of the validation split, in folders of scenes."""
    folders = [root / name for name in _PLACES]
    drawn: list[Path] = []
    for folder in folders:
        drawn = drawn or [path for path in files_below(folder, _MASK) if path.name.startswith("ADE_val_")]
    if not drawn:
        raise absent(f"images/ADE/validation with ADE_val_*{_MASK}")
    folder = next(place for place in folders if place in drawn[0].parents)
    pictures = {path.with_name(path.name[: -len(_MASK)] + _PICTURE) for path in drawn}
    pictures |= {path for path in files_below(folder, _PICTURE) if path.name.startswith("ADE_val_")}
    pairs = [
        Pair(
            path.relative_to(folder).with_suffix("").as_posix(),
            path,
            path.with_name(path.stem + _MASK),
            read_object_mask,
        )
        for path in pictures
    ]
    distinct = expect_distinct(pairs, f"folder {folder.name!r}")
    return Found(f"ADE20K full, *{_MASK}", distinct, benchmarks={"ade847": BITS_16})


def read_object_mask(path: Path) -> tuple[Raw, str]:
    """Read labels (H, W) of ade847, 65535 for objects that ade847 leaves out; see `layouts.ReadMask`."""
    colours, kind = read_colours(path)
    if colours.ndim == 2:
        raise damaged(path, "objects as colours", "a grey PNG")
    red, green = colours[..., 0].astype(np.int32), colours[..., 1].astype(np.int32)
    return _table()[red // 10 * 256 + green], f"{kind} of objects"


@cache
def _table() -> npt.NDArray[np.int32]:
    """Return the label of each object number, as in prepare_ade20k_full_sem_seg.py of facebookresearch/MaskFormer."""
    numbers = json.loads(resources.files(__package__).joinpath("ade847.json").read_text(encoding="utf-8"))
    table = np.full(_MOST, VOID_16, np.int32)
    table[numbers] = np.arange(len(numbers))
    return table
