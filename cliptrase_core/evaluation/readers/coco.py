"""Readers of COCO's JSON: panoptic, and instances as many tools export them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os.path import isdir
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as run_lengths

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.colours import packed
from cliptrase_core.evaluation.layouts import Pair
from cliptrase_core.evaluation.numbers import Raw
from cliptrase_core.evaluation.readers.base import (
    FEWEST_NUMBERS,
    SPLITS,
    UNDRAWN,
    Found,
    absent,
    damaged,
    expect_distinct,
    json_of,
    key_of,
    picture_called,
)
from cliptrase_core.io.export.record import read_counts
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, expect_pixels
from cliptrase_core.io.masks import read_colours

_OTHER_JSON = ("captions_", "person_keypoints_", "stuff_", "image_info_")
_SPLIT = re.compile(f"(?:{'|'.join(SPLITS)})$")
"""Split at the end of a word: "minival" is "val", "trainval" is its own."""

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Listed:
    """Content of a COCO JSON file.

    Attributes:
        path: path of the file.
        part: split: "val2017" for "instances_val2017.json", else the name of the file's folder.
        images: entries of pictures by id.
        places: category id to number in the mask, from 1.
        names: name of each number.
        annotations: entries of annotations by id of the picture.
    """

    path: Path
    part: str
    images: Mapping[Any, Entry]
    places: Mapping[Any, int]
    names: Mapping[int, str]
    annotations: Mapping[Any, Sequence[Entry]]

    def folders(self, root: Path) -> list[Path]:
        """Return the existing candidate folders of pictures, the likeliest first."""
        names = [self.part, f"images/{self.part}", "images", "images/default", "train2017", "."]
        places = [root / name for name in names] + [self.path.parent]
        return [place for place in dict.fromkeys(places) if isdir(place)]


def find_panoptic(root: Path) -> Found:
    """Find COCO panoptic: PNGs whose colours are segment ids, and a JSON with the category of each segment."""
    path = _first(root, "panoptic_", "panoptic.json")
    if path is None:
        raise absent("panoptic_*.json")
    listed = _listed(path, "panoptic_")
    masks = [folder / path.stem for folder in (path.parent, root)]
    folder = next((place for place in masks if isdir(place)), None)
    if folder is None:
        got = f"no folder {path.stem!r}"
        expected = f"the PNGs that {path.name} speaks of, beside it"
        raise InputError("COCO panoptic", expected=expected, got=got, remedy=f"Unpack {path.stem}.zip there.")
    pairs, folders = [], listed.folders(root)
    for key, image in listed.images.items():
        entry = next(iter(listed.annotations.get(key, ())), {})
        picture = picture_called(image.get("file_name"), folders, path)
        mask = picture_called(entry.get("file_name") or f"{picture.stem}.png", [folder], path)
        read_mask = partial(_read_segments, entry=entry, listed=listed)
        pairs.append(Pair(key_of(image.get("file_name")), picture, mask, read_mask, (path,)))
    names = {UNDRAWN: "void", **listed.names}
    return Found(f"COCO panoptic, {path.name}", expect_distinct(pairs, f"file {path.name!r}"), names, path.name)


def _read_segments(path: Path, entry: Entry, listed: Listed) -> tuple[Raw, str]:
    """Read a panoptic PNG as numbers (H, W) of categories; see `layouts.ReadMask`."""
    colours, _ = read_colours(path)
    if colours.ndim == 2:
        raise damaged(path, "segments as colours", "a grey PNG")
    bands = packed(colours[..., ::-1])  # id = red + 256 * green + 65536 * blue
    ids, places = np.unique(bands, return_inverse=True)
    segments = _each(entry.get("segments_info"), f"segments of {path.name}", listed.path)
    ids_known = [(_id(one, "id", listed.path), _id(one, "category_id", listed.path)) for one in segments]
    known = {number: listed.places.get(category) for number, category in ids_known} | {0: UNDRAWN}
    strange = next((number for number in ids.tolist() if known.get(number) is None), None)
    if strange is not None:
        got = f"segment {strange}, of no category that {listed.path.name} lists"
        raise damaged(path, "segments of the JSON", got)
    table = np.array([known[number] for number in ids.tolist()], np.int32)
    return table[places].reshape(bands.shape), f"panoptic PNG, {listed.path.name}"


def find_instances(root: Path) -> Found:
    """Find a COCO JSON with objects as polygons or run lengths."""
    path = _first(root, "instances_", "_annotations.coco.json", "annotations.json", "result.json", "labels.json")
    if path is None:
        raise absent("annotations/instances_*.json or *_annotations.coco.json")
    listed = _listed(path, "instances_")
    pairs, folders = [], listed.folders(root)
    for key, image in listed.images.items():
        picture = picture_called(image.get("file_name"), folders, path)
        read_mask = partial(_read_objects, image=image, objects=listed.annotations.get(key, ()), listed=listed)
        pairs.append(Pair(key_of(image.get("file_name")), picture, path, read_mask))
    names = {UNDRAWN: "background", **listed.names}
    return Found(f"COCO instances, {path.name}", expect_distinct(pairs, f"file {path.name!r}"), names, path.name)


def _read_objects(path: Path, image: Entry, objects: Sequence[Entry], listed: Listed) -> tuple[Raw, str]:
    """Draw the objects of a picture as numbers (H, W), small ones over large ones; see `layouts.ReadMask`."""
    size = image.get("height"), image.get("width")
    if not all(type(side) is int and side > 0 for side in size):
        raise damaged(path, f"height and width of {image.get('file_name')!r}", repr(size))
    height, width = int(size[0] or 0), int(size[1] or 0)
    expect_pixels(height, width, f"file {path.name!r}", DEFAULT_MAX_PIXELS)
    drawn = []
    for entry in objects:
        place = listed.places.get(_id(entry, "category_id", path))
        if place is None:
            raise damaged(path, "categories that it lists", f"category {entry['category_id']!r}")
        runs = _runs(entry, height, width, path)
        drawn.append((float(run_lengths.area(runs)), place, runs))
    numbers = np.full((height, width), UNDRAWN, np.int32)
    for _, place, runs in sorted(drawn, key=lambda one: -one[0]):
        numbers[run_lengths.decode(runs) > 0] = place
    return numbers, f"polygons and run lengths, {path.name}"


def _runs(entry: Entry, height: int, width: int, path: Path) -> Any:
    """Convert an object to run lengths, from polygons or from run lengths in the JSON."""
    drawn = entry.get("segmentation")
    expected = "polygons or run lengths of each object"
    if isinstance(drawn, dict):
        counts, size = drawn.get("counts"), drawn.get("size")
        if size != [height, width] or not isinstance(counts, (list, str)):
            raise damaged(path, expected, f"run lengths of size {size!r}"[:60])
        return _checked(drawn, counts, height * width, path)
    parts = drawn if isinstance(drawn, list) else []
    polygons = [part for part in parts if isinstance(part, list) and len(part) >= FEWEST_NUMBERS]
    try:
        points: list[npt.NDArray[np.float64]] = [np.array(part[: len(part) // 2 * 2], np.float64) for part in polygons]
    except (TypeError, ValueError) as error:
        raise damaged(path, "numbers in polygons", "something else") from error
    if not points or not all(
        np.isfinite(part).all() and np.abs(part).max() <= 2 * max(height, width) for part in points
    ):
        got = "a box alone" if not drawn and entry.get("bbox") else "none that encloses pixels"
        raise damaged(path, expected, got)
    return run_lengths.merge(run_lengths.frPyObjects([part.tolist() for part in points], height, width))


def _checked(drawn: Entry, counts: Any, pixels: int, path: Path) -> Any:
    """Check that run lengths fill the picture: if they end early, the library leaves uninitialised memory."""
    if isinstance(counts, list):
        if not all(type(run) is int and run >= 0 for run in counts) or sum(counts) != pixels:
            raise damaged(path, f"run lengths of {pixels} pixels", "others")
        return run_lengths.frPyObjects(dict(drawn), *drawn["size"])
    try:
        whole = sum(read_counts(counts)) == pixels
    except ValueError:  # no run lengths, or letters that are not ASCII
        whole = False
    if not whole:
        raise damaged(path, f"run lengths of {pixels} pixels", "others")
    return {"size": drawn["size"], "counts": counts.encode("ascii")}


def _first(root: Path, start: str, *whole: str) -> Path | None:
    """Return the JSON of the split to score, from `annotations`, the folder itself or the folder of a split."""
    folders = [root / "annotations", root, *(root / split for split in SPLITS)]
    files = [path for folder in folders if isdir(folder) for path in sorted(folder.glob("*.json"))]
    named = [path for path in files if path.name.startswith(start) or path.name in whole]
    named = [path for path in named if not path.name.startswith(_OTHER_JSON)]

    def rank(path: Path) -> int:
        words = re.split("[^a-z]+", path.stem.casefold())
        words += [path.parent.name.casefold()] if path.parent != root else []  # the data set may be called "coco_eval"
        return min((SPLITS.index(end[0]) for word in words if (end := _SPLIT.search(word))), default=len(SPLITS))

    return min(named, key=rank, default=None)


def _listed(path: Path, start: str) -> Listed:
    """Read a COCO JSON file.

    Raises:
        InputError: the file does not parse, or lacks the expected entries.
    """
    content = json_of(path, "a JSON of COCO's")
    images, annotations, categories = (_each(content.get(key), key, path) for key in _PARTS)
    names = {place: str(entry.get("name") or "").strip() for place, entry in enumerate(categories, 1)}
    if not all(names.values()) or not names:
        raise damaged(path, "categories with names", "none" if not names else "one without")
    by_picture: dict[Any, list[Entry]] = defaultdict(list)
    for entry in annotations:
        by_picture[_id(entry, "image_id", path)].append(entry)
    places = {_id(entry, "id", path): place for place, entry in enumerate(categories, 1)}
    part = path.stem.removeprefix(start) if path.stem.startswith(start) else path.parent.name
    return Listed(path, part, {_id(entry, "id", path): entry for entry in images}, places, names, by_picture)


_PARTS = ("images", "annotations", "categories")


def _each(value: Any, what: str, path: Path) -> Sequence[Entry]:
    """Check that a value is a list of entries, and return it."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise damaged(path, f"a list of {what}", "none" if value is None else "something else")
    return value


def _id(entry: Entry, key: str, path: Path) -> int | str:
    value = entry.get(key)
    if not isinstance(value, (int, str)):
        raise damaged(path, f"a number as {key}", repr(value)[:60])
    return value
