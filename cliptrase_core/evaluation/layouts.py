"""Folder layouts: find pictures and masks, and pair them.

Here and in the readers, `isdir` and `isfile` are those of os.path: below a folder without permission (the `lost+found`
of a disk) they return False, where the methods of Path raise PermissionError.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import isdir, isfile
from pathlib import Path

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.numbers import Numbers, Raw
from cliptrase_core.evaluation.profiles import PROFILES
from cliptrase_core.io.files import PICTURE_ENDS, read_text
from cliptrase_core.io.masks import read_numbers_and_kind

ReadMask = Callable[[Path], tuple[Raw, str]]
"""Mask reader: path of a mask -> (H, W) numbers and a readable file kind. Raises InputError if the mask cannot be read.
Thread-safe."""


@dataclass(frozen=True)
class Layout:
    """Folder layout of an unpacked data set, relative to the root folder of all data sets.

    Attributes:
        title: name for reports.
        images: folder of the pictures.
        masks: folder of the masks.
        numbers: meaning of the numbers in masks; None if these masks cannot be read correctly.
        quirk_numbers: their meaning in the published script; None if the script does not read this layout.
        slide_numbers: their meaning in the protocols of `profiles`; None if it is the same as `numbers`.
        image_end: suffix after the common name in a picture's file name; "" for any picture file extension.
        mask_end: suffix after the common name in a mask's file name.
        listing: file with the names of the pictures, see `Listing`; None uses every picture.
        read_mask: reader of the masks.
        besides: additional files on which a mask depends, such as a list of colours.
    """

    title: str
    images: str
    masks: str
    numbers: Numbers | None
    quirk_numbers: Numbers | None = None
    slide_numbers: Numbers | None = None
    image_end: str = ""
    mask_end: str = ".png"
    listing: str | None = None
    read_mask: ReadMask = read_numbers_and_kind
    besides: tuple[Path, ...] = ()

    def numbers_under(self, protocol: str, quirks: bool) -> Numbers | None:
        """Return the meaning of the numbers under a protocol, or in the published script if `quirks`."""
        if quirks:
            return self.quirk_numbers
        return self.slide_numbers or self.numbers if protocol in PROFILES else self.numbers


@dataclass(frozen=True)
class Pair:
    """A picture and its mask; the files need not exist yet.

    Attributes:
        key: common name, unique in the data set.
        image: picture file.
        mask: mask file.
        read_mask: reader of the mask.
        besides: additional files on which the mask depends.
        picture: function that returns the content of the picture's file if `image` is a container of many; else None.
    """

    key: str
    image: Path
    mask: Path
    read_mask: ReadMask = read_numbers_and_kind
    besides: tuple[Path, ...] = ()
    picture: Callable[[], bytes] | None = None


def missing_folders(layout: Layout, root: Path) -> list[Path]:
    """List the folders and files that a layout needs but that are missing below `root`."""
    base = _base(layout, root)
    places = [base / layout.images, base / layout.masks]
    missing = [place for place in places if not isdir(place)]
    if layout.listing and not isfile(base / layout.listing):
        missing.append(base / layout.listing)
    if missing:
        return missing
    try:
        pairs = find_pairs(layout, root)
    except InputError:  # reported by the caller that needs the pairs
        return []
    # Layouts may share folders: one folder of Cityscapes contains masks in several numberings.
    return [] if any(isfile(pair.mask) for pair in pairs) else [places[1] / f"*{layout.mask_end}"]


def find_pairs(layout: Layout, root: Path) -> list[Pair]:
    """Pair every picture of a layout with its expected mask, sorted by name.

    File extensions match in upper and lower case. In a folder with both, a file is a mask if its picture is there too.

    Raises:
        InputError: no picture, two pictures of the same name, a picture that would be its own mask, or a listing
            with lines that are not names.
    """
    base = _base(layout, root)
    images, masks = base / layout.images, base / layout.masks
    drawn = _files(masks)
    found = _pictures(layout, images, masks)
    if layout.listing:
        pairs = Listing(base / layout.listing, layout, images, masks).pairs(found, drawn)
    else:
        pairs = [Pair(key, path, mask_of(key, layout, masks, drawn)) for key, path in found]
    keys = [pair.key for pair in pairs]
    if not keys or len(set(keys)) != len(keys):
        twice = next((key for key in keys if keys.count(key) > 1), None)
        raise InputError(
            f"folder {images}",
            expected="pictures, each of its own name",
            got=f"two of the name {twice!r}" if twice else "none",
            remedy="Remove one of them." if twice else "Check that the data set is unpacked there.",
        )
    alone = next((pair for pair in pairs if pair.image == pair.mask), None)
    if alone is not None:
        got = f"{alone.mask.name!r} as its own mask"
        remedy = "Give --mask-end (mask_end), such as _mask.png, or keep masks in a folder of their own."
        raise InputError(f"picture {alone.key!r}", expected="a mask beside it", got=got, remedy=remedy)
    pairs = [replace(pair, read_mask=layout.read_mask, besides=layout.besides) for pair in pairs]
    return sorted(pairs, key=lambda pair: pair.key)


def mask_of(key: str, layout: Layout, masks: Path, drawn: Mapping[str, Path]) -> Path:
    """Return the mask of a common name, in upper or lower case; the expected path if no such file exists."""
    wanted = f"{key}{layout.mask_end}"
    exact = masks / wanted
    return exact if isfile(exact) else drawn.get(wanted.casefold(), exact)


def _files(folder: Path) -> dict[str, Path]:
    """Return all files below a folder by their relative path in lower case."""
    return {path.relative_to(folder).as_posix().casefold(): path for path in sorted(folder.rglob("*"))}


def _pictures(layout: Layout, images: Path, masks: Path) -> list[tuple[str, Path]]:
    """Return common names and files of the pictures; masks in the same folder are left out."""
    apart = masks != images and images in masks.parents
    files = [path for path in sorted(images.rglob("*")) if not (apart and masks in path.parents)]
    found = [(key, path) for path in files if (key := _key(path, images, layout.image_end))]
    if masks != images:
        return found
    keys = Counter(key for key, _ in found)

    def is_mask(key: str, path: Path) -> bool:
        name = path.relative_to(images).as_posix()
        owner = _without(name, layout.mask_end)
        return owner is not None and keys[owner] > (owner == key)

    return [(key, path) for key, path in found if not is_mask(key, path)]


def _base(layout: Layout, root: Path) -> Path:
    """Return `root`, or its parent if `root` is itself the first folder of the layout's paths."""
    first = Path(layout.images).parts[0] if layout.images else ""
    return root.parent if root.name == first and not isdir(root / first) else root


def _key(path: Path, folder: Path, end: str) -> str:
    """Return the common name of a picture; "" for other and hidden files (macOS writes `._a.jpg` beside a.jpg)."""
    if path.name.startswith("."):
        return ""
    name = path.relative_to(folder).as_posix()
    if end:
        return _without(name, end) or ""
    return name[: -len(path.suffix)] if path.suffix.lower() in PICTURE_ENDS else ""


def _without(name: str, end: str) -> str | None:
    """Return a name without a suffix, in upper or lower case; None if the name ends differently."""
    return name[: len(name) - len(end)] if name.casefold().endswith(end.casefold()) else None


@dataclass(frozen=True)
class Listing:
    """A file with the picture names of a data set, one per line, optionally followed by the mask.

    A name may have a file extension, folders before it, or a leading slash, as in the lists of several programs. A
    line that begins with # and does not match a picture is a comment.

    Attributes:
        path: listing file.
        layout: layout of the data set.
        images: folder of the pictures.
        masks: folder of the masks.
    """

    path: Path
    layout: Layout
    images: Path
    masks: Path

    def pairs(self, found: Sequence[tuple[str, Path]], drawn: Mapping[str, Path]) -> list[Pair]:
        """Return the listed pairs; pictures and masks need not exist.

        Args:
            found: common names and files of the existing pictures.
            drawn: existing masks, by relative path in lower case.

        Raises:
            InputError: no such file, or the second column is not a mask file.
        """
        there = dict(found)
        lines = [line for line in self._lines() if not line.startswith("#") or self._key(line, there)]
        return [self._pair(line, there, drawn) for line in lines]

    def _lines(self) -> list[str]:
        try:
            text = read_text(self.path)
        except (OSError, UnicodeDecodeError) as error:
            got = error.strerror if isinstance(error, OSError) else "a file that is neither UTF-8 nor UTF-16"
            raise InputError(
                f"listing {self.path}", expected="one name a line", got=str(got), remedy="Check its path."
            ) from error
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _pair(self, line: str, there: Mapping[str, Path], drawn: Mapping[str, Path]) -> Pair:
        key = self._key(line, there)
        columns = re.split(r"\s*[,;\t]\s*|\s+", line)
        first = self._key(columns[0], there) if len(columns) > 1 else None
        if key is None and first is not None:
            return Pair(first, there[first], self._mask(line, columns))
        if key is None:  # listed, but missing
            key = self._bare(line)
            image = self.images / f"{key}{self.layout.image_end or Path(line).suffix or '.jpg'}"
            return Pair(key, image, mask_of(key, self.layout, self.masks, drawn))
        return Pair(key, there[key], mask_of(key, self.layout, self.masks, drawn))

    def _key(self, name: str, there: Mapping[str, Path]) -> str | None:
        """Return the common name of the listed picture, or None if it does not exist."""
        names = _tails(name, self.images)
        return next((key for name in names for key in (name, self._bare(name)) if key in there), None)

    def _bare(self, name: str) -> str:
        end = self.layout.image_end
        if end:
            return _without(name, end) or name
        suffix = Path(name).suffix
        return name[: -len(suffix)] if suffix.lower() in PICTURE_ENDS else name

    def _mask(self, line: str, columns: Sequence[str]) -> Path:
        if len(columns) != 2 or Path(columns[1]).suffix.lower() not in PICTURE_ENDS:
            raise InputError(
                f"listing {self.path}",
                expected="a name on each line, or a picture and its mask",
                got=f"the line {line!r}",
                remedy="Keep the names of the pictures alone.",
            )
        places = [folder / name for name in _tails(columns[1], self.masks) for folder in (self.masks, self.path.parent)]
        places += [folder / columns[1].lstrip("/") for folder in self.masks.parents]
        return next((place for place in places if isfile(place)), places[0])


def _tails(name: str, folder: Path) -> list[str]:
    """Return a listed name, and its part below `folder` if the name contains that folder."""
    plain = name.replace("\\", "/").lstrip("/").removeprefix("./")
    parts = plain.split("/")
    if folder.name not in parts:
        return [plain]
    place = len(parts) - 1 - parts[::-1].index(folder.name)
    return [plain, "/".join(parts[place + 1 :])]
