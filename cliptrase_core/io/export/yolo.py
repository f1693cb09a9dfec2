"""YOLO's folder for segmentation: copies of pictures, a text file of polygons for each, and data.yaml."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.export.coco import Annotated, Numbers
from cliptrase_core.io.files import DIGESTS, MARK, read_digests, write_all

FOLDER = "yolo"
_NAME = re.compile(r"data\.yaml|(?:images|labels)/[^/\\]+")
"""Paths that a list may name: another one would lead to a file of another folder."""

_INSIDE = 0.25
"""Offset in pixels from the corner of a pixel: readers that truncate and readers that round get the same pixel."""


def polygon_lines(picture: Annotated, numbers: Numbers) -> str:
    """Return a line of text for each connected part: number of its class, then x and y in shares of width and height.

    YOLO has no holes: a cut of zero width joins each hole to the outline. A class of several parts has several lines.
    """
    height, width = picture.size
    lines = []
    for component in picture.components:
        for outline in component.outlines:
            points = (outline + _INSIDE) / (width, height)
            shares = " ".join(f"{share:.6f}" for share in points.ravel().tolist())
            lines.append(f"{numbers(picture.names[component.label])} {shares}\n")
    return "".join(lines)


def data_yaml(numbers: Numbers) -> bytes:
    """Return the data set's description for ultralytics; training and validation use the same pictures until a person
    splits them."""
    names = {number: name for name, number in numbers.of.items()}
    entries = {"train": "images", "val": "images", "names": names}
    text = yaml.safe_dump(entries, allow_unicode=True, sort_keys=False)
    return f"# {MARK}: not checked by a person, and not split: val is train\n{text}".encode()


def write_picture(folder: Path, stem: str, picture: tuple[str, bytes]) -> str:
    """Write the copy of a picture below a folder of results. Return its path relative to that folder.

    Args:
        folder: folder of the results.
        stem: stem of the result's files.
        picture: ending and content of the picture's file.
    """
    name = f"images/{stem}{picture[0]}"
    for other in sorted((folder / FOLDER / "images").glob(f"{glob.escape(stem)}.*")):
        if other.stem == stem and other.name != Path(name).name:  # from an earlier picture with another ending
            _expect_written(folder, [f"images/{other.name}"])
            other.unlink()
    _write(folder, name, picture[1])
    return f"{FOLDER}/{name}"


def write_texts(folder: Path, pictures: Iterable[Annotated], numbers: Numbers) -> Iterator[Annotated]:
    """Write the text file of each picture and yield the picture; a picture without a copy has no text file.

    data.yaml is written after all texts. Files that this program wrote for results that no longer exist are removed.

    Args:
        folder: folder of the results.
        pictures: pictures of all results.
        numbers: numbers of the classes.
    """
    kept = set()
    for picture in pictures:
        numbers.know(picture)
        if picture.copy:
            name = f"labels/{picture.stem}.txt"
            kept |= {name, picture.copy.removeprefix(f"{FOLDER}/")}
            _write(folder, name, polygon_lines(picture, numbers).encode())
        yield picture
    _write(folder, "data.yaml", data_yaml(numbers))
    for name, digests in _written(folder).items():
        path = folder / FOLDER / name
        if name not in kept and name != "data.yaml" and path.is_file() and _digest(path.read_bytes()) in digests:
            path.unlink()


def expect_untouched(folder: Path) -> None:
    """Raise InputError if data.yaml or a text file was not written by this program, or was changed since."""
    below = folder / FOLDER
    texts = [f"labels/{path.name}" for path in sorted((below / "labels").glob("*.txt"))]
    _expect_written(folder, [name for name in ("data.yaml", *texts) if os.path.lexists(below / name)])


def _expect_written(folder: Path, names: Iterable[str]) -> None:
    written = _written(folder)
    for name in names:
        path = folder / FOLDER / name
        if not path.is_file() or _digest(path.read_bytes()) not in written.get(name, ()):
            raise InputError(
                explain(
                    f"output '{FOLDER}/{name}'",
                    expected="no file of that name, or one as this program wrote it",
                    got="another one, or one that was changed",
                    remedy="Choose another --output, or move that file away.",
                )
            )


def _write(folder: Path, name: str, content: bytes) -> None:
    path = folder / FOLDER / name
    if os.path.lexists(path):
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return
        _expect_written(folder, [name])
    log = folder / FOLDER / DIGESTS
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:  # before the file itself, so that it is known even if the program stops here
        file.write(f"{_digest(content)}  {name}\n".encode())
    write_all(folder, {f"{FOLDER}/{name}": content})


def _written(folder: Path) -> dict[str, set[str]]:
    found = read_digests(folder / FOLDER)
    return {name: digests for name, digests in found.items() if _NAME.fullmatch(name)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
