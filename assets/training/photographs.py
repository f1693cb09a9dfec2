"""Photographs as training needs them: decoded once, cropped on the device that trains, with what is known of each crop.

A folder holds `<set>/<name>.jpg` (or .webp); `scenes/<n>.png` beside `scenes/<n>.jpg` is a mask of classes (0 is not
known, 1 to 37 as in `SCENE_CLASSES`); `captions.json` has sentences by "<set>/<name>" ("scene/<n>" for scenes),
`faces.json` boxes of faces (x, y, width, height in pixels) by path. Tar files in it are read as if unpacked. What some
of the photographs show was also written down by eye (`grids.py`).
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
    """Groups of words, such as synonyms: a bar or the end of a line ends a group, a comma a word."""
    return [group.split(",") for line in text.strip().split("\n") for group in line.split("|")]


SCENE_CLASSES = word_groups(_SCENE_CLASSES)
"""Synonyms of the classes of the masks, in their order; the last comes from the boxes of faces.

Grids say "water" of the sea, lakes, rivers and pools alike, so all of them are one class.
"""
FACE, PERSON = 37, 23
GRIDS = read_grids()
_SYNONYMS = """
bathtub,bath|cabinet,cupboard,wardrobe|curtain,drape|dirt,soil|floor,flooring|hill,hillside|lamp,light
picture,painting,picture frame|pillow,cushion|plant,potted plant|refrigerator,fridge|rock,stone|rug,carpet
sidewalk,pavement|stairs,staircase|stove,oven|flower,blossom|bush,shrub|cloud,clouds|mountain,mountains|rhinoceros,rhino
"""
LEAST_SEEN = 5  # photographs of which grids say a word, for it to be a class


def _classes() -> list[list[str]]:
    """The classes of scenes, then what grids say besides and say often enough."""
    group_of = {word: group for group in SCENE_CLASSES + word_groups(_SYNONYMS) for word in group}
    seen = Counter(word for grid in GRIDS.values() for word in {group_of.get(word, [word])[0] for word in grid.words})
    groups = [group_of.get(word, [word]) for word, count in sorted(seen.items()) if count >= LEAST_SEEN]
    return SCENE_CLASSES + [group for group in groups if group not in SCENE_CLASSES]


CLASSES = _classes()
"""Synonyms of everything that masks of training say, in their order."""
NUMBER = {word: number for number, group in enumerate(CLASSES, 1) for word in group}
"""Label of a word in masks; words that grids say too rarely have none."""

SIDE = 224
CANVAS = 320  # photographs have a short side of 224 and are cut to this where they are longer
GREY = 124  # beyond the end of a photograph
MOST_WORDS = 12  # that are said of a photograph
ENDINGS = (".jpg", ".jpeg", ".webp")
HELD_OUT_DIGIT = 7  # classes of ImageNet whose number ends in it are held out
HELD_OUT_SET = "ade_val"  # ADE20K's validation pictures, which `evaluate` scores
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
"""Labels in names of files that are not the word a person would use; "" says nothing."""


def label(path: str) -> list[str]:
    """What the name of a file says that the photograph shows; nothing where it is a number."""
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
    """The ImageNet class that a file is named after ("n01440764_..."), else -1."""
    found = re.match(r"(n\d{8})_", PurePosixPath(path).name)
    return wordnet.wnids().index(found[1]) if found and found[1] in wordnet.wnids() else -1


def read_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of every file, tar files unpacked, sorted by path."""
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
    """Photograph and mask of every scene that is not held out, as files.

    Raises:
        SystemExit: there is none.
    """
    files = {path: data for path, data in read_files(folder) if path.startswith("scenes/")}
    pairs = [
        (data, files[mask])
        for path, data in files.items()
        if not path.endswith(".png")
        and (mask := path.rsplit(".", 1)[0] + ".png") in files
        and not PurePosixPath(path).stem.endswith("0")
    ]
    if not pairs:
        raise SystemExit(f"expected scenes/<n>.jpg with scenes/<n>.png in {folder}, got none")
    return pairs


@dataclass(frozen=True, eq=False)
class Decoded:
    """A photograph with a short side of 224.

    Attributes:
        pixels: (h, w, 3) uint8, at most `CANVAS` on the long side (its middle).
        factor: what it was scaled by.
        size: (height, width) of the scaled photograph, before its middle was cut out.
        corner: (row, column) of its corner in the scaled photograph.
    """

    pixels: np.ndarray
    factor: float
    size: tuple[int, int]
    corner: tuple[int, int]


def decode(data: bytes) -> Decoded:
    """Decode a photograph, bring its short side to 224 and cut its middle out where it is long."""
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
    """Everything on one device; P photographs.

    Attributes:
        pixels: (P, 3, CANVAS, CANVAS) uint8, grey where a photograph ends.
        sizes: (P, 2) height, width.
        names: "<set>/<stem>".
        masks: (S, CANVAS, CANVAS) uint8, of the photographs of which anything is known: 0 is not known, else 1 +
            class of `CLASSES`.
        masked: (P,) row of `masks`, or -1.
        whole: (S,) whether every pixel may have a class; False where only faces are known.
        words: (P, T) index into `vocabulary` of words that are true of a photograph, -1 where there are no more.
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
        """The same on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Photographs(**{**vars(self), **moved})

    def number(self, index: int) -> int:
        """All digits of a name as one number (0 without any): it decides what is held out."""
        digits = re.sub(r"\D", "", PurePosixPath(self.names[index]).name)
        return int(digits or 0)

    def held_out(self) -> Tensor:
        """(P,) bool: scenes and grids whose `number` ends in 0, every tenth class of `imagenet1000`."""
        out = [
            ((name.startswith("scenes/") or name in GRIDS) and self.number(i) % 10 == 0)
            or (name.startswith("imagenet1000/") and int(self.classes[i]) % 10 == HELD_OUT_DIGIT)
            for i, name in enumerate(self.names)
        ]
        return torch.tensor(out)


def class_map(
    photograph: Decoded, mask: bytes | None, boxes: Iterable[Sequence[float]], grid: Grid | None = None
) -> np.ndarray:
    """What is known of every pixel.

    Args:
        photograph: decoded.
        mask: file of its classes, as large as the photograph was.
        grid: what was seen in its cells, for pixels of which the mask says nothing.
        boxes: x, y, width, height of faces, in pixels of the photograph as it was. A face is the ellipse in its box,
            where nothing but a person is known to be.

    Returns:
        (h, w) uint8, 0 where not known, else 1 + class of `CLASSES`.
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
    """Words that are true of photographs, from names of files, captions by "<set>/<stem>", and rare words of grids.

    Returns:
        (P, `MOST_WORDS`) index into the vocabulary, -1 where there are no more; and the vocabulary.
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
    """A path without its ending."""
    return path.rsplit(".", 1)[0]


def read(folder: Path, threads: int = 2) -> Photographs:
    """Read a folder. Pictures of `ade_val*` are left out.

    Raises:
        SystemExit: there is no photograph in it.
    """
    files = dict(read_files(folder))
    captions, faces = (
        {stem_of(path): value for path, value in json.loads(files.pop(name, b"{}")).items()}
        for name in ("captions.json", "faces.json")
    )
    paths = [path for path in files if path.lower().endswith(ENDINGS) and HELD_OUT_SET not in path]
    if not paths:
        raise SystemExit(f"expected photographs (<set>/<name>.jpg) in {folder}, got none")
    pixels = np.full((len(paths), CANVAS, CANVAS, 3), GREY, np.uint8)
    sizes = np.zeros((len(paths), 2), np.int64)

    def work(index: int) -> np.ndarray | None:
        """Decode one photograph; its classes, where anything is known of its pixels."""
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
