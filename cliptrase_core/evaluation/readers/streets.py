"""Readers of data sets with masks of numbers in folder layouts of their own: Cityscapes, CamVid of SegNet, LoveDA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os.path import isdir, isfile
from pathlib import Path

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.layouts import Layout, Pair, find_pairs
from cliptrase_core.evaluation.numbers import CITY, PLAIN
from cliptrase_core.evaluation.readers.base import SPLITS, Found, absent, expect_distinct, files_below, first_split

_PICTURE = "_leftImg8bit.png"
_CITY_NUMBERS = {"labelTrainIds": PLAIN, "labelIds": CITY}

_CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian", "bicyclist"),
    "unlabelled",
)
_LOVEDA = ("no-data", "background", "building", "road", "water", "barren", "forest", "agriculture")


def find_cityscapes(root: Path) -> Found:
    """Find Cityscapes, in folders of cities or in one folder."""
    pictures = _by_stem(files_below(root, _PICTURE.casefold()), _PICTURE)
    if not pictures:
        raise absent(f"*{_PICTURE}")
    drawn = files_below(root, ".png")
    masks = {kind: _by_stem(drawn, f"_gtFine_{kind}.png") for kind in _CITY_NUMBERS}
    kind = next((kind for kind, found in masks.items() if found), None)
    if kind is None:
        raise absent("*_gtFine_labelIds.png or *_gtFine_labelTrainIds.png")
    folders = {stem: path.relative_to(root).parts[:-1] for stem, path in pictures.items()}
    split = first_split({part for parts in folders.values() for part in parts} & set(SPLITS))
    wanted = [stem for stem, parts in folders.items() if split is None or split in parts]
    pairs = []
    for stem in wanted:
        name = pictures[stem].name[: -len(_PICTURE)]
        lacking = pictures[stem].with_name(f"{name}_gtFine_{kind}.png")
        pairs.append(Pair(name, pictures[stem], masks[kind].get(stem, lacking)))
    title = f"Cityscapes, {kind}{f', {split}' if split else ''}"
    distinct = expect_distinct(pairs, f"folder {root.name!r}")
    return Found(title, distinct, benchmarks={"cityscapes": _CITY_NUMBERS[kind]})


def _by_stem(paths: Sequence[Path], end: str) -> dict[str, Path]:
    """Return the files with an ending, by case-folded name without the ending."""
    folded = [(path.name.casefold(), path) for path in paths]
    return {name[: -len(end)]: path for name, path in folded if name.endswith(end.casefold())}


def find_camvid(root: Path) -> Found:
    """Find CamVid in the layout of SegNet's authors: 11 classes, numbers in masks."""
    split = next((name for name in ("test", "val", "train") if isdir(root / f"{name}annot")), None)
    if split is None or not isdir(root / split):
        raise absent("test with testannot")
    if any(isfile(root / name) for name in ("label_colors.txt", "class_dict.csv")):
        raise absent("folders without a list of colours")
    title = f"CamVid of SegNet, {split}"
    pairs = find_pairs(Layout(title, split, f"{split}annot", None), root)
    return Found(title, pairs, dict(enumerate(_CAMVID)), title)


def find_loveda(root: Path) -> Found:
    """Find LoveDA: Rural and Urban, each with images_png and masks_png."""
    split = next((name for name in ("Val", "val", "Train", "train") if isdir(root / name)), None)
    base = root / split if split else root
    domains = [name for name in ("Rural", "Urban") if isdir(base / name / "images_png")]
    if not domains:
        raise absent("Val/Rural/images_png or Val/Urban/images_png")
    pairs: list[Pair] = []
    for name in domains:
        layout = Layout("LoveDA", "images_png", "masks_png", None)
        try:
            own = find_pairs(layout, base / name)
        except InputError:  # one of the two may be empty
            continue
        pairs += [replace(pair, key=f"{name}/{pair.key}") for pair in own]
    title = f"LoveDA, {split or root.name}"
    return Found(title, expect_distinct(pairs, f"folder {base.name!r}"), dict(enumerate(_LOVEDA)), "LoveDA")
