"""Photographs for training: decoded once and stored on the training device, with their labels.

A folder contains `<set>/<name>.jpg` (or .webp). `scenes/<n>.png` next to `scenes/<n>.jpg` is a mask of classes (0 is
unknown, 1 to 37 as in `SCENE_CLASSES`). `captions.json` has sentences by "<set>/<name>" ("scene/<n>" for scenes),
`faces.json` has boxes of faces (x, y, width, height in pixels) by path. Tar files in the folder are read as if they
were unpacked. Some photographs also have labels on a coarse grid, assigned by eye (`grids.py`).
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from assets.training import wordnet
from assets.training.grids import Grid, read_grids, spread

_SCENE_CLASSES = """
airplane,aeroplane,plane|bag,handbag,backpack|ball|bench|bicycle,bike|bird|boat,ship|bottle
building,house|bus|camera|car,automobile|cat|cell phone,phone|chair|cow,cattle|cup,mug|dog|glasses
grass,lawn,meadow|horse|laptop|motorcycle,motorbike|person,people,man,woman|racket|railway track
sea,water,ocean,lake,river|sheep|sky|sofa,couch|road,street|suitcase|table|train|tree,trees|television,tv,monitor
umbrella|face,human face
"""


def word_groups(text: str) -> list[list[str]]:
    """Split text into groups of words, such as synonyms: a bar or a line end separates groups, a comma words."""
    return [group.split(",") for line in text.strip().split("\n") for group in line.split("|")]


SCENE_CLASSES = word_groups(_SCENE_CLASSES)
"""Synonyms of the classes of the masks, in the order of the labels; the last class comes from the boxes of faces.

Grids use "water" for the sea, lakes, rivers and pools, so all of them are one class.
"""
FACE, PERSON = 37, 23
GRIDS = read_grids()
_SYNONYMS = """
bathtub,bath|cabinet,cupboard,wardrobe|curtain,drape|dirt,soil|floor,flooring|hill,hillside|lamp,light
picture,painting,picture frame|pillow,cushion|plant,potted plant|refrigerator,fridge|rock,stone|rug,carpet
sidewalk,pavement|stairs,staircase|stove,oven|flower,blossom|bush,shrub|cloud,clouds|mountain,mountains|rhinoceros,rhino
"""
LEAST_SEEN = 5  # a word of grids is a class if it occurs in at least so many photographs


def _classes() -> list[list[str]]:
    """Return the classes of scenes, then the other words of grids that are frequent enough."""
    group_of = {word: group for group in SCENE_CLASSES + word_groups(_SYNONYMS) for word in group}
    seen = Counter(word for grid in GRIDS.values() for word in {group_of.get(word, [word])[0] for word in grid.words})
    groups = [group_of.get(word, [word]) for word, count in sorted(seen.items()) if count >= LEAST_SEEN]
    return SCENE_CLASSES + [group for group in groups if group not in SCENE_CLASSES]


CLASSES = _classes()
"""Synonyms of all classes of the training masks, in the order of the labels."""
NUMBER = {word: number for number, group in enumerate(CLASSES, 1) for word in group}
"""Labels of words in masks; rare words of grids have no label."""

SIDE = 224
CANVAS = 320  # maximum long side of a photograph; the short side is 224
GREY = 124  # padding value
MOST_WORDS = 12  # maximum number of words of a photograph
ENDINGS = (".jpg", ".jpeg", ".webp")
HELD_OUT_DIGIT = 7  # ImageNet classes whose number ends in this digit are held out
HELD_OUT_SET = "ade_val"  # first letters of sets with ADE20K's validation pictures, which `evaluate` uses
SELECTION, REPORT = "selection", "report"
"""Uses of held-out scenes: choosing between weights, and reported figures."""
_APPLES = ("golden delicious", "granny smith", "pink lady", "red delicious", "royal gala")
_PEARS = ("anjou", "conference", "kaiser")
_JUICES = ("tropicana juice smooth", "tropicana mandarin morning")
LABELS = {
    "caltech101": {
        "faces": "face",
        "faces easy": "face",
        "car side": "car",
        "cougar body": "cougar",
        "airplanes": "airplane",
        "water lilly": "water lily",
        "motorbikes": "motorbike",
        "background google": "",
    },
    "grocery_mit": {
        **dict.fromkeys(_APPLES, "apple"),
        **dict.fromkeys(_PEARS, "pear"),
        **dict.fromkeys(_JUICES, "juice"),
        "satsumas": "mandarin",
        "carrots": "carrot",
        "passion fruit": "passion fruit",
    },
    "weather": {"cloudy": "clouds", "shine": "sun"},
    "houses": {"frontal": "house"},
}
"""Replacements for labels in file names that are not common words; "" means no label."""


def label(path: str) -> list[str]:
    """Return the label in the name of a file as a list of words; empty if the name is only a number."""
    folder, stem = PurePosixPath(path).parent.name, PurePosixPath(path).stem
    if folder == "catsdogs":
        return [word for word in ("cat", "dog") if re.search(rf"_{word}(\.|_|\d|$)", stem.lower())]
    if folder not in LABELS:
        return []
    name = stem.split("_")[-1] if folder == "houses" else re.sub(r"(_image)?_?\d+$", "", stem)
    name = name.split("_")[0].lower() if folder == "weather" else name.lower()
    if folder == "grocery_mit":
        name = name.split("_")[0].replace("-", " ")
        name = LABELS[folder].get(name, name.split(" ")[-1])
    name = name.replace("_", " ")
    name = LABELS[folder].get(name, name)
    return [name] if name else []


def imagenet_class(path: str) -> int:
    """Return the ImageNet class in the name of a file ("n01440764_..."), else -1."""
    found = re.match(r"(n\d{8})_", PurePosixPath(path).name)
    return wordnet.wnids().index(found[1]) if found and found[1] in wordnet.wnids() else -1


def number_of(stem: str) -> int:
    """Return all digits in the name of "<set>/<name>" as one number, 0 without digits."""
    return int(re.sub(r"\D", "", PurePosixPath(stem).name) or 0)


def is_held_out(stem: str) -> bool:
    """Return whether "<set>/<name>" is held out if it is a scene or has a grid: its number ends in 0."""
    return number_of(stem) % 10 == 0


def in_held_out_set(path: str) -> bool:
    """Return whether a photograph belongs to a set that is never read."""
    return any(part.startswith(HELD_OUT_SET) for part in PurePosixPath(path).parts[:-1])


def read_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of every file, sorted by path; members of tar files count as files."""
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".tar":
            inside = path.stem.split("-")[0] == "scenes"
            with tarfile.open(path) as tar:
                for member in tar.getmembers():
                    stream = tar.extractfile(member)
                    if stream is not None:
                        files[f"scenes/{member.name}" if inside else member.name] = stream.read()
        elif path.is_file():
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    yield from sorted(files.items())


def read_scenes(folder: Path) -> list[tuple[bytes, bytes]]:
    """Read the photograph and mask files of all scenes that are not held out.

    Raises:
        SystemExit: there is none.
    """
    files = {path: data for path, data in read_files(folder) if path.startswith("scenes/")}
    pairs = [
        (data, files[mask])
        for path, data in files.items()
        if not path.endswith(".png") and (mask := stem_of(path) + ".png") in files and not is_held_out(stem_of(path))
    ]
    if not pairs:
        raise SystemExit(f"expected scenes/<n>.jpg with scenes/<n>.png in {folder}, got none")
    return pairs


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded photograph with a short side of 224.

    Attributes:
        pixels: (h, w, 3) uint8, centre crop with a long side of at most `CANVAS`.
        factor: scale factor from the file to the scaled photograph.
        size: (height, width) of the scaled photograph, before the centre crop.
        corner: (row, column) of the crop's upper left corner in the scaled photograph.
    """

    pixels: np.ndarray
    factor: float
    size: tuple[int, int]
    corner: tuple[int, int]


def decode(data: bytes) -> Decoded:
    """Decode a photograph, scale its short side to 224 and crop the centre to a long side of at most `CANVAS`."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    factor = SIDE / min(image.size)
    width, height = (max(SIDE, round(side * factor)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (max(0, side - CANVAS) // 2 for side in (width, height))
    image = image.crop((left, top, left + min(width, CANVAS), top + min(height, CANVAS)))
    return Decoded(np.asarray(image), factor, (height, width), (top, left))


@dataclass(eq=False)
class Photographs:
    """P photographs with their labels, all on one device.

    Attributes:
        pixels: (P, 3, CANVAS, CANVAS) uint8, padded with grey.
        sizes: (P, 2) height, width.
        names: "<set>/<stem>".
        masks: (S, CANVAS, CANVAS) uint8, for the photographs with labelled pixels: 0 is unknown, else 1 + index in
            `CLASSES`.
        masked: (P,) row of `masks`, or -1.
        whole: (S,) bool, True if every pixel may have a label, False if only faces are labelled.
        words: (P, T) index in `vocabulary` of words that describe a photograph, padded with -1.
        vocabulary: distinct words.
        classes: (P,) ImageNet class, or -1.
    """

    pixels: Tensor
    sizes: Tensor
    names: list[str]
    masks: Tensor
    masked: Tensor
    whole: Tensor
    words: Tensor
    vocabulary: list[str]
    classes: Tensor

    def to(self, device: str) -> Photographs:
        """Return a copy on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Photographs(**{**vars(self), **moved})

    def is_scene(self, index: int, use: str) -> bool:
        """Return whether it is a scene for `SELECTION`, with an even tens digit, or for `REPORT`, with an odd one."""
        name = self.names[index]
        return name.startswith("scenes/") and (REPORT if number_of(name) // 10 % 2 else SELECTION) == use

    def held_out(self) -> Tensor:
        """Return (P,) bool: scenes and grids whose `number_of` ends in 0, and every tenth `imagenet1000` class."""
        out = [
            ((name.startswith("scenes/") or name in GRIDS) and is_held_out(name))
            or (name.startswith("imagenet1000/") and int(self.classes[i]) % 10 == HELD_OUT_DIGIT)
            for i, name in enumerate(self.names)
        ]
        return torch.tensor(out)


def class_map(
    photograph: Decoded, mask: bytes | None, boxes: Iterable[Sequence[float]], grid: Grid | None = None
) -> np.ndarray:
    """Combine mask, grid and boxes of faces into one label per pixel.

    Args:
        photograph: decoded photograph.
        mask: mask file of classes, with the size of the original photograph.
        boxes: x, y, width, height of faces, in pixels of the original photograph. A face is the ellipse in its box,
            without pixels of a class other than person.
        grid: labels of grid cells, for pixels that the mask leaves unlabelled.

    Returns:
        (h, w) uint8, 0 where unknown, else 1 + index in `CLASSES`.
    """
    height, width = photograph.pixels.shape[:2]
    factor, (top, left) = photograph.factor, photograph.corner
    classes = np.zeros((height, width), np.uint8)
    if mask is not None:
        image = Image.open(io.BytesIO(mask))
        size = [max(SIDE, round(side * factor)) for side in image.size]
        scaled = np.array(image.resize((size[0], size[1]), Image.Resampling.NEAREST))
        classes = scaled[top : top + height, left : left + width].copy()
    if grid is not None:
        of_word = np.array([0, *(NUMBER.get(word, 0) for word in grid.words)], np.uint8)
        seen = of_word[spread(grid, photograph.pixels, photograph.size, photograph.corner)]
        classes = np.where(classes == 0, seen, classes)
    rows, columns = np.ogrid[:height, :width]
    for box in boxes:
        x, y, w, h = (value * factor for value in box)
        down, right = rows - (y + h / 2 - top), columns - (x + w / 2 - left)
        inside = (down / (0.55 * h)) ** 2 + (right / (0.42 * w)) ** 2 <= 1
        classes[inside & np.isin(classes, (0, PERSON + 1))] = FACE + 1
    return classes


def read_words(paths: list[str], captions: dict[str, str]) -> tuple[Tensor, list[str]]:
    """Collect words that describe photographs, from file names, captions by "<set>/<stem>", and rare words of grids.

    Returns:
        (P, `MOST_WORDS`) index in the vocabulary, padded with -1; and the vocabulary.
    """
    nouns, vocabulary = wordnet.noun_reader(), dict[str, int]()
    words = torch.full((len(paths), MOST_WORDS), -1)
    for index, path in enumerate(paths):
        caption = captions.get(re.sub("^scenes/", "scene/", stem_of(path)), "")
        grid = GRIDS.get(stem_of(path))
        rare = [word for word in grid.words if word not in NUMBER] if grid else []
        true = dict.fromkeys([*label(path), *rare, *nouns(caption)][:MOST_WORDS])
        said = [vocabulary.setdefault(word, len(vocabulary)) for word in true]
        words[index, : len(said)] = torch.tensor(said)
    return words, list(vocabulary)


def stem_of(path: str) -> str:
    """Return a path without its extension."""
    return path.rsplit(".", 1)[0]


def read(folder: Path, threads: int = 2) -> Photographs:
    """Read all photographs of a folder except those of `ade_val*`.

    Raises:
        SystemExit: there is no photograph in the folder.
    """
    files = dict(read_files(folder))
    captions, faces = (
        {stem_of(path): value for path, value in json.loads(files.pop(name, b"{}")).items()}
        for name in ("captions.json", "faces.json")
    )
    paths = [path for path in files if path.lower().endswith(ENDINGS) and not in_held_out_set(path)]
    if not paths:
        raise SystemExit(f"expected photographs (<set>/<name>.jpg) in {folder}, got none")
    pixels = np.full((len(paths), CANVAS, CANVAS, 3), GREY, np.uint8)
    sizes = np.zeros((len(paths), 2), np.int64)

    def work(index: int) -> np.ndarray | None:
        """Decode one photograph; return its label map, or None without labelled pixels."""
        stem = stem_of(paths[index])
        photograph = decode(files[paths[index]])
        height, width = sizes[index] = photograph.pixels.shape[:2]
        pixels[index, :height, :width] = photograph.pixels
        mask, boxes, grid = files.get(stem + ".png"), faces.get(stem, []), GRIDS.get(stem)
        if mask is None and grid is None and not boxes:
            return None
        classes = np.zeros((CANVAS, CANVAS), np.uint8)
        classes[:height, :width] = class_map(photograph, mask, boxes, grid)
        return classes

    with ThreadPoolExecutor(threads) as pool:
        masks = list(pool.map(work, range(len(paths))))
    rows = [index for index, value in enumerate(masks) if value is not None]
    masked = torch.full((len(paths),), -1)
    masked[rows] = torch.arange(len(rows))
    known = [value for value in masks if value is not None]
    words, vocabulary = read_words(paths, captions)
    return Photographs(
        pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        sizes=torch.from_numpy(sizes),
        names=[stem_of(path) for path in paths],
        masks=torch.from_numpy(np.stack([*known, np.zeros((CANVAS, CANVAS), np.uint8)]))[: len(known)],
        masked=masked,
        whole=torch.tensor(
            [(stem := stem_of(paths[index])) + ".png" in files or stem in GRIDS for index in rows], dtype=torch.bool
        ),
        words=words,
        vocabulary=vocabulary,
        classes=torch.tensor([imagenet_class(path) for path in paths]),
    )
