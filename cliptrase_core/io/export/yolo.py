"""YOLO's folder for segmentation: copies of pictures, a text file of polygons for each, and data.yaml."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Collection, Generator, Iterable, Mapping
from pathlib import Path

import yaml

from cliptrase_core.errors import InputError
from cliptrase_core.io.export.coco import Annotated, ClassNumbers
from cliptrase_core.io.files import DIGESTS, MARK, read_digests, write_all

FOLDER = "yolo"
_NAME = re.compile(r"data\.yaml|(?:images|labels)/[^/\\]+")
"""Paths that a list may name: another one would lead to a file of another folder."""

_INSIDE = 0.25
"""Offset in pixels from the corner of a pixel: readers that truncate and readers that round get the same pixel."""


def polygon_lines(picture: Annotated, numbers: ClassNumbers) -> str:
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


def data_yaml(numbers: ClassNumbers) -> bytes:
    """Return the data set's description for ultralytics; training and validation use the same pictures until a person
    splits them."""
    names = {number: name for name, number in numbers.of.items()}
    entries = {"train": "images", "val": "images", "names": names}
    text = yaml.safe_dump(entries, allow_unicode=True, sort_keys=False)
    return f"# {MARK}: not a verified ground truth, and not split: val is train\n{text}".encode()


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


def write_texts(folder: Path, pictures: Iterable[Annotated]) -> Generator[Annotated, None, None]:
    """Write the text file of each picture and yield the picture; a picture without a copy has no text file.

    data.yaml is written after all texts. Files that this program wrote for results that no longer exist are removed.

    Args:
        folder: folder of the results.
        pictures: pictures of all results.
    """
    numbers = ClassNumbers()
    written = _written(folder)  # read once: with a reading for each picture, the time grows with its square
    current: dict[str, str] = {}
    images = set()
    for picture in pictures:
        numbers.know(picture)
        if copy := picture.copies.get(FOLDER):
            name = f"labels/{picture.stem}.txt"
            images.add(copy.removeprefix(f"{FOLDER}/"))
            current[name] = _write(folder, name, polygon_lines(picture, numbers).encode(), written)
        yield picture
    current["data.yaml"] = _write(folder, "data.yaml", data_yaml(numbers), written)
    for name in written.keys() - current.keys() - images:
        path = folder / FOLDER / name
        if path.is_file() and _digest(path.read_bytes()) in written[name]:
            path.unlink()
    _shorten(folder, current)


def _shorten(folder: Path, current: Mapping[str, str]) -> None:
    """Write the list of digests anew, without those of earlier contents and of files that do not exist.

    Args:
        folder: folder of the results.
        current: digests of files whose content is known, by path below `FOLDER`. Others keep all their digests.
    """
    kept = {name: digests for name, digests in _written(folder).items() if os.path.lexists(folder / FOLDER / name)}
    kept |= {name: {digest} for name, digest in current.items()}
    lines = [f"{digest}  {name}\n" for name, digests in sorted(kept.items()) for digest in sorted(digests)]
    write_all(folder, {f"{FOLDER}/{DIGESTS}": "".join(lines).encode()})


def expect_untouched(folder: Path) -> None:
    """Raise InputError if data.yaml or a text file was not written by this program, or was changed since."""
    below = folder / FOLDER
    texts = [f"labels/{path.name}" for path in sorted((below / "labels").glob("*.txt"))]
    _expect_written(folder, [name for name in ("data.yaml", *texts) if os.path.lexists(below / name)])


def _expect_written(folder: Path, names: Iterable[str], written: Mapping[str, Collection[str]] | None = None) -> None:
    written = _written(folder) if written is None else written
    for name in names:
        path = folder / FOLDER / name
        if not path.is_file() or _digest(path.read_bytes()) not in written.get(name, ()):
            raise InputError(
                f"output '{FOLDER}/{name}'",
                expected="no file of that name, or one as this program wrote it",
                got="another one, or one that was changed",
                remedy="Choose another folder, or move that file away.",
            )


def _write(folder: Path, name: str, content: bytes, written: Mapping[str, Collection[str]] | None = None) -> str:
    """Write a file below `FOLDER` unless it has this content already, and return its digest.

    Args:
        folder: folder of the results.
        name: path below `FOLDER`.
        content: content of the file.
        written: list of digests, if it was read before.

    Raises:
        InputError: the existing file was not written by this program, or was changed.
    """
    path, digest = folder / FOLDER / name, _digest(content)
    if os.path.lexists(path):
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return digest
        _expect_written(folder, [name], written)
    log = folder / FOLDER / DIGESTS
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:  # before the file itself, so that it is known even if the program stops here
        file.write(f"{digest}  {name}\n".encode())
    write_all(folder, {f"{FOLDER}/{name}": content})
    return digest


def _written(folder: Path) -> dict[str, set[str]]:
    found = read_digests(folder / FOLDER)
    return {name: digests for name, digests in found.items() if _NAME.fullmatch(name)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
