"""Readers of colour masks with a list of colours: exports of CVAT and datumaro, CamVid as published, and the like."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import isdir, isfile
from pathlib import Path

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.colours import Colour, Colours, colour_of, voc_colour
from cliptrase_core.evaluation.layouts import Layout, find_pairs
from cliptrase_core.evaluation.readers.base import SPLITS, Found, absent, damaged, files_below, first_split, text_of

_LABELMAP = "labelmap.txt"
_LISTS = ("label_colors.txt", "class_dict.csv", "class_dict_seg.csv")
_MASK_NAMES = ("labels", "masks", "annotations")
_MASK_ENDS = ("_L.png", ".png", "_mask.png", "_label.png", "_labels.png", ".tif", ".bmp")
_PUBLISHED = ("701_StillsRaw_full", "LabeledApproved_full")
_LINE = re.compile(r"\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*?)\s*")
# CamVid's names that are not plain words.
_WORDS = {
    "CartLuggagePram": "cart, luggage, pram",
    "Column_Pole": "column, pole",
    "LaneMkgsDriv": "lane marking",
    "LaneMkgsNonDriv": "lane marking that is not for driving",
    "Misc_Text": "text",
    "MotorcycleScooter": "motorcycle, scooter",
    "OtherMoving": "other moving thing",
    "SUVPickupTruck": "pickup truck, SUV",
    "Truck_Bus": "truck, bus",
    "VegetationMisc": "vegetation",
}


@dataclass(frozen=True)
class ColourList:
    """Names and colours of classes, in the order of their file."""

    path: Path
    names: tuple[str, ...]
    colours: tuple[Colour, ...]

    def __post_init__(self) -> None:
        """Check that there are colours, and that each belongs to one class."""
        if not self.colours:
            raise damaged(self.path, "names with their colours", "none")
        twice = next((colour for colour in self.colours if self.colours.count(colour) > 1), None)
        if twice is not None:
            got = f"{' '.join(map(str, twice))} for two classes"
            raise damaged(self.path, "another colour for each class", got)

    def found(self, title: str, layout: Layout, root: Path) -> Found:
        """Create the data set whose masks use these colours."""
        colours = Colours({colour: place for place, colour in enumerate(self.colours)}, self.path.name, indexed=True)
        used = replace(layout, title=title, read_mask=colours.read_mask, besides=(self.path,))
        names = {place: _WORDS.get(name, name) for place, name in enumerate(self.names)}
        return Found(title, find_pairs(used, root), names, self.path.name)


def find_labelmap(root: Path) -> Found:
    """Find VOC's folders with masks in the colours of a labelmap.txt, as CVAT and datumaro export them."""
    path, masks = root / _LABELMAP, root / "SegmentationClass"
    if not isfile(path):
        raise absent(_LABELMAP)
    if not isdir(masks):
        raise absent(f"SegmentationClass beside {_LABELMAP}")
    images = next((name for name in ("JPEGImages", "images") if isdir(root / name)), None)
    if images is None:
        got = "masks alone"
        remedy = "Export again with the pictures ('save images'), or put them there."
        raise InputError(f"folder {root.name!r}", expected="pictures in JPEGImages", got=got, remedy=remedy)
    lists = {path.stem: path for path in files_below(root / "ImageSets" / "Segmentation", ".txt")}
    split = first_split(lists)
    if lists and split is None:
        got = ", ".join(list(lists)[:3])
        remedy = "Name the one that is to be scored val.txt."
        raise InputError("ImageSets/Segmentation", expected="val.txt or default.txt", got=got, remedy=remedy)
    layout = Layout("", images, masks.name, None, listing=str(lists[split]) if split else None)
    title = f"{_LABELMAP}, SegmentationClass{f', {split}' if split else ''}"
    return _labelmap(path).found(title, layout, root)


def _labelmap(path: Path) -> ColourList:
    """Read lines "name:red,green,blue:parts:actions"; a missing colour is VOC's colour of the same index."""
    names: list[str] = []
    colours = []
    for line in _lines(path):
        name, _, rest = line.partition(":")
        colour = rest.split(":")[0].strip()
        if not name.strip() or ":" not in line:
            raise damaged(path, "lines such as 'cat:128,0,0::'", repr(line)[:60])
        colours.append(colour_of(colour, f"file {path.name!r}") if colour else voc_colour(len(names)))
        names.append(name.strip())
    return ColourList(path, tuple(names), tuple(colours))


def _lines(path: Path) -> Iterator[str]:
    lines = (line.strip() for line in text_of(path).splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def find_colour_list(root: Path) -> Found:
    """Find folders of pictures and masks next to a label_colors.txt or class_dict.csv, such as CamVid's."""
    path = next((root / name for name in _LISTS if isfile(root / name)), None)
    if path is None:
        raise absent(" or ".join(_LISTS[:2]))
    colours = _table(path) if path.suffix == ".csv" else _colour_lines(path)
    images, masks = _folders(root, path)
    title = f"{path.name}, {images}"
    return colours.found(title, Layout("", images, masks, None, mask_end=_mask_end(root / images, root / masks)), root)


def _folders(root: Path, path: Path) -> tuple[str, str]:
    """Return the folders of pictures and of masks of the split to score."""
    pairs = [pair for split in SPLITS for pair in _pairs_of(split)]
    pairs += [_PUBLISHED, *(("images", name) for name in _MASK_NAMES)]
    found = next((pair for pair in pairs if all(isdir(root / name) for name in pair)), None)
    if found is None:
        expected = "folders such as val with val_labels, or images with labels, beside it"
        raise InputError(f"file {path.name!r}", expected=expected, got="none", remedy="Unpack all of it there.")
    return found


def _pairs_of(split: str) -> list[tuple[str, str]]:
    beside = [(split, f"{split}{end}") for end in ("_labels", "annot", "_masks")]
    within = [(f"{split}/images", f"{split}/{name}") for name in _MASK_NAMES]
    below = [(f"images/{split}", f"{name}/{split}") for name in _MASK_NAMES]
    return beside + within + below


def _mask_end(images: Path, masks: Path) -> str:
    """Return the most frequent suffix of mask names after the picture's stem."""
    drawn = {path.name.casefold() for path in files_below(masks, "")}
    stems = {path.stem.casefold() for path in files_below(images, "")}
    return max(_MASK_ENDS, key=lambda end: sum(f"{stem}{end}".casefold() in drawn for stem in stems))


def _colour_lines(path: Path) -> ColourList:
    """Read lines such as "64 128 64 Animal"."""
    names, colours = [], []
    for line in _lines(path):
        found = _LINE.fullmatch(line)
        if found is None:
            raise damaged(path, "lines such as '64 128 64 Animal'", repr(line)[:60])
        names.append(found[4])
        colours.append(colour_of(found.group(1, 2, 3), f"file {path.name!r}"))
    return ColourList(path, tuple(names), tuple(colours))


def _table(path: Path) -> ColourList:
    """Read a table with the columns name, r, g, b."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(_lines(path))]
    header = [cell.casefold() for cell in rows[0]] if rows else []
    places = [
        _column(header, names) for names in (("name", "class", "label"), ("r", "red"), ("g", "green"), ("b", "blue"))
    ]
    if None in places:
        raise damaged(path, "columns name, r, g, b", ", ".join(header)[:60] or "nothing")
    names, colours = [], []
    for row in rows[1:]:
        cells = [row[place] for place in places if place is not None and place < len(row)]
        if len(cells) != len(places) or not cells[0]:
            raise damaged(path, "a name and three numbers in each line", repr(",".join(row))[:60])
        names.append(cells[0])
        colours.append(colour_of(cells[1:], f"file {path.name!r}"))
    return ColourList(path, tuple(names), tuple(colours))


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)
