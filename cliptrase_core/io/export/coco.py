"""COCO instance annotations of one result or of all results in a folder."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cliptrase_core.io.export.components import Component, edges
from cliptrase_core.io.files import MARK, expect_ours, is_ours, sealed_file, write_all
from cliptrase_core.io.geometry import Size
from cliptrase_core.io.png import encode_png
from cliptrase_core.version import VERSION

FOLDER = "coco"
FILE = f"{FOLDER}/annotations.json"
"""Path of a run's annotations, relative to the folder of its results."""


@dataclass(frozen=True)
class Annotated:
    """Picture and its components.

    Attributes:
        file: path of the picture, relative to the folder of pictures, with "/".
        size: (H, W) of the labels.
        names: names of all classes.
        labels: labels of the annotated classes.
        components: components of the annotated classes.
        stem: stem of the result's files.
        copies: paths of copies of the picture below the folder of results, by format.
    """

    file: str
    size: Size
    names: Sequence[str]
    labels: Sequence[int]
    components: Sequence[Component]
    stem: str = ""
    copies: Mapping[str, str] = field(default_factory=dict)


class ClassNumbers:
    """Numbers of class names, assigned in the order of first use."""

    def __init__(self) -> None:
        """Start without names."""
        self.of: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        """Return the number of a name; a new name gets the next number."""
        return self.of.setdefault(name, len(self.of))

    def know(self, picture: Annotated) -> None:
        """Assign a number to every annotated class of a picture, with or without components."""
        for label in picture.labels:
            self(picture.names[label])


def entries(
    picture: Annotated, image_id: int, first: int, numbers: ClassNumbers, *, polygons: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield COCO's annotations of one picture.

    Args:
        picture: picture and its components.
        image_id: number of the picture.
        first: number of the first annotation.
        numbers: numbers of the classes, from 0; COCO's ids are larger by one.
        polygons: as in `to_coco`.
    """
    size = list(picture.size)
    for number, component in enumerate(picture.components, first):
        lines = [edges(outline).ravel().tolist() for outline in component.outlines] if polygons else None
        yield {
            "id": number,
            "image_id": image_id,
            "category_id": numbers(picture.names[component.label]) + 1,
            "segmentation": {"size": size, "counts": component.counts} if lines is None else lines,
            "area": component.area,
            "bbox": list(component.box),
            "iscrowd": 0,
        }


def image_entry(picture: Annotated, image_id: int) -> dict[str, Any]:
    """Return COCO's entry of one picture. A copy is named relative to the folder of the annotations."""
    file = picture.copies[FOLDER].removeprefix(f"{FOLDER}/") if FOLDER in picture.copies else picture.file
    return {"id": image_id, "file_name": file, "height": picture.size[0], "width": picture.size[1]}


def categories(numbers: ClassNumbers) -> list[dict[str, Any]]:
    """Return COCO's entries of all classes."""
    return [{"id": number + 1, "name": name, "supercategory": ""} for name, number in numbers.of.items()]


def info() -> dict[str, str]:
    """Return COCO's description of a data set."""
    made = f"made by {MARK} {VERSION}: components of zero-shot segmentations, not a verified ground truth"
    return {"description": made}


def to_coco(picture: Annotated, *, polygons: bool = False) -> dict[str, Any]:
    """Return COCO's document of one picture.

    Args:
        picture: picture and its components.
        polygons: outlines, for tools that do not read run lengths. COCO's polygons have no holes: a cut of zero
            width joins each hole to the line, and `pycocotools` fills the polygon to the same pixels.
    """
    numbers = ClassNumbers()
    numbers.know(picture)
    found = list(entries(picture, 1, 1, numbers, polygons=polygons))
    return {
        "info": info(),
        "licenses": [],
        "images": [image_entry(picture, 1)],
        "annotations": found,
        "categories": categories(numbers),
    }


def expect_untouched(folder: Path) -> None:
    """Raise InputError if the file was not written by this program, or was changed since."""
    expect_ours([folder / FILE])


def write_picture(folder: Path, stem: str, pixels: npt.NDArray[np.uint8] | None) -> str | None:
    """Write the picture that the labels lie on, if they do not lie on its own file; remove an earlier one.

    Args:
        folder: folder of the results.
        stem: stem of the result's files.
        pixels: (H, W, 3) in the frame of the labels, or None if they lie on the pixels of the picture's own file.

    Returns:
        Path relative to `folder`, or None.

    Raises:
        InputError: a file of another program has that name.
    """
    name = f"{FOLDER}/images/{stem}.png"
    path = folder / name
    if pixels is not None:
        expect_ours([path])
        write_all(folder, {name: encode_png(pixels)})
        return name
    if path.is_file() and is_ours(path):
        path.unlink()
    return None


def write_file(
    folder: Path, pictures: Iterable[Annotated], *, polygons: bool = False
) -> Generator[Annotated, None, None]:
    """Write the file of many pictures, with one picture in memory at a time, and yield each picture.

    The file replaces an earlier one after the last picture.

    Args:
        folder: folder of the results.
        pictures: pictures of all results.
        polygons: as in `to_coco`.
    """
    numbers, images, count = ClassNumbers(), [], 0
    with sealed_file(folder / FILE, before=b'"made_by": "', after=b'"}') as append:
        append(b'{"annotations": [')
        for image_id, picture in enumerate(pictures, 1):
            numbers.know(picture)
            images.append(image_entry(picture, image_id))
            for entry in entries(picture, image_id, count + 1, numbers, polygons=polygons):
                append((b",\n" if count else b"\n") + _dumped(entry))
                count += 1
            yield picture
        append(b'],\n"images": ' + _dumped(images) + b',\n"categories": ' + _dumped(categories(numbers)))
        append(b',\n"licenses": [],\n"info": ' + _dumped(info()) + b",\n")


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
