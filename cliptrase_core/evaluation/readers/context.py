"""Reader of PASCAL Context as downloaded: a .mat of 459 classes for each picture of VOC2010."""

from __future__ import annotations

from os.path import isdir, isfile
from pathlib import Path

import numpy as np
from scipy import io as matlab

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.layouts import Layout, find_pairs
from cliptrase_core.evaluation.numbers import Numbers, Raw
from cliptrase_core.evaluation.readers.base import Found, absent, damaged
from cliptrase_core.evaluation.word_lists import setting_words
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, expect_pixels, opened_file

_LISTS = (
    "ImageSets/SegmentationContext/val.txt",
    "pascalcontext_val.txt",
    "ImageSets/Main/val.txt",
)
"""Lists of the 5,105 pictures to score; the last list comes with VOC2010 and has the same pictures."""
_VARIABLE = "LabelMap"
_TABLE = {"diningtable": "table"}
"""Names of the 59 classes that differ among the 459: name in pc59 to name in pc459."""


def find_context(root: Path) -> Found:
    """Find PASCAL Context's folder `trainval` of .mat files, in VOC2010 or next to it."""
    homes = [root, root / "VOC2010", root / "VOCdevkit" / "VOC2010"]
    home = next((place for place in homes if isdir(place / "JPEGImages")), None)
    places = [folder / "trainval" for folder in (*homes, root / "pascal-context")]
    drawn = next((place for place in places if isdir(place) and any(place.glob("*.mat"))), None)
    if drawn is None:
        raise absent("trainval/*.mat")
    if home is None:
        raise absent("VOC2010/JPEGImages")
    listing = next((home / name for name in _LISTS if isfile(home / name)), None)
    if listing is None:
        raise absent(f"{' or '.join(_LISTS)} in {home.name}")
    title = f"PASCAL Context, .mat of {listing.relative_to(home).as_posix()}"
    folders = str(home / "JPEGImages"), str(drawn)
    layout = Layout(title, *folders, None, mask_end=".mat", listing=str(listing), read_mask=read_mat_mask)
    return Found(title, find_pairs(layout, Path()), benchmarks=_benchmarks())


def _benchmarks() -> dict[str, Numbers]:
    """Return the meaning of the numbers by benchmark; the 459 classes are numbered alphabetically from 1, 0 is none."""
    every = {group.name: number for number, group in enumerate(setting_words("pc459").classes, 1)}
    few = [group.name for group in setting_words("pc59").classes]
    single = {every[_TABLE.get(name, name)]: label for label, name in enumerate(few)}
    rest = (0, *(number for number in every.values() if number not in single))
    return {
        "pc59": Numbers(ignored=rest, single=single),
        "pc60": Numbers(ignored=(), background=rest, single=single),
        "pc459": Numbers(first=1, ignored=(0,)),
    }


def read_mat_mask(path: Path) -> tuple[Raw, str]:
    """Read the numbers (H, W) of a .mat file; see `layouts.ReadMask`.

    Raises:
        InputError: the file is missing, damaged, or has no label map.
    """
    with opened_file(path, "a .mat of PASCAL Context") as (file, name):
        try:
            # MATLAB files contain only data; reading them runs no code.
            sizes = {entry: size for entry, size, _ in matlab.whosmat(file)}
            size = sizes.get(_VARIABLE, ())
            if len(size) == 2:
                expect_pixels(size[0], size[1], name, DEFAULT_MAX_PIXELS)
                values = matlab.loadmat(file, variable_names=[_VARIABLE])[_VARIABLE]
        except InputError:
            raise
        except Exception as error:  # scipy's reader raises errors of many types
            raise damaged(path, "a .mat of version 5", "one that is damaged, cut short or not readable") from error
    if len(size) != 2 or values.ndim != 2 or values.dtype.kind not in "iu":
        raise damaged(path, f"whole numbers (H, W) as {_VARIABLE}", ", ".join(sizes)[:60] or "nothing")
    if values.min() < 0 or values.max() > 65535:
        raise damaged(path, "numbers of classes", f"{values.min()} to {values.max()}")
    return values.astype(np.int32), "MATLAB map"
