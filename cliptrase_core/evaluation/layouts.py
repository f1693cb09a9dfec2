"""Folder layouts: find pictures and masks, and pair them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cliptrase_core.errors import InputError, explain
from cliptrase_core.evaluation.numbers import Numbers, Raw
from cliptrase_core.evaluation.profiles import PROFILES
from cliptrase_core.io.files import PICTURE_ENDS, read_text
from cliptrase_core.io.masks import look_at_numbers

Look = Callable[[Path], tuple[Raw, str]]
"""How a mask is read: its file to (H, W) numbers, and what kind of mask it is, for people. InputError where it cannot
be. Safe in threads."""


@dataclass(frozen=True)
class Layout:
    """Where one way to unpack a data set puts things, below the folder that holds the data sets.

    Attributes:
        title: how reports call it.
        images: folder of the pictures.
        masks: folder of the masks.
        numbers: what numbers in masks mean; None where these masks cannot be read the right way.
        quirk_numbers: what the published script takes them for; None where it does not read this layout.
        slide_numbers: what protocols of `profiles` take them for, where that differs from `numbers`.
        image_end: what follows the common name in a picture's file; "" for any picture's ending.
        mask_end: what follows it in a mask's file.
        listing: file that names the pictures, see `Listing`; None takes every picture.
        look: how masks are read.
        besides: files besides its own that a mask follows from, such as a list of colours.
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
    look: Look = look_at_numbers
    besides: tuple[Path, ...] = ()

    def numbers_under(self, protocol: str, quirks: bool) -> Numbers | None:
        """The convention in force."""
        if quirks:
            return self.quirk_numbers
        return self.slide_numbers or self.numbers if protocol in PROFILES else self.numbers


@dataclass(frozen=True)
class Pair:
    """A picture and its mask; neither need exist yet.

    Attributes:
        key: common name, unique in the data set.
        image: file.
        mask: file.
        look: how the mask is read.
        besides: files besides its own that the mask follows from.
        picture: content of the picture's file, where `image` is a container of many.
    """

    key: str
    image: Path
    mask: Path
    look: Look = look_at_numbers
    besides: tuple[Path, ...] = ()
    picture: Callable[[], bytes] | None = None


def missing_folders(layout: Layout, root: Path) -> list[Path]:
    """What a layout needs below `root` and does not find there."""
    base = _base(layout, root)
    places = [base / layout.images, base / layout.masks]
    missing = [place for place in places if not place.is_dir()]
    if layout.listing and not (base / layout.listing).is_file():
        missing.append(base / layout.listing)
    if missing:
        return missing
    try:
        pairs = find_pairs(layout, root)
    except InputError:  # said by whoever wants the pairs
        return []
    # Layouts may share folders: Cityscapes keeps masks of several numberings in one.
    return [] if any(pair.mask.is_file() for pair in pairs) else [places[1] / f"*{layout.mask_end}"]


def find_pairs(layout: Layout, root: Path) -> list[Pair]:
    """Every picture of a layout with the mask that it should have, in the order of their names.

    Endings count in any case. Of a folder that holds both, masks are those whose picture is there too.

    Raises:
        InputError: no picture, two pictures of one name, a picture without any other file as its mask, or a listing
            that says something else than names.
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
            explain(
                f"folder {images}",
                expected="pictures, each of its own name",
                got=f"two of the name {twice!r}" if twice else "none",
                remedy="Remove one of them." if twice else "Check that the data set is unpacked there.",
            )
        )
    alone = next((pair for pair in pairs if pair.image == pair.mask), None)
    if alone is not None:
        got = f"{alone.mask.name!r} as its own mask"
        remedy = "Give --mask-end (mask_end), such as _mask.png, or keep masks in a folder of their own."
        raise InputError(explain(f"picture {alone.key!r}", expected="a mask beside it", got=got, remedy=remedy))
    pairs = [replace(pair, look=layout.look, besides=layout.besides) for pair in pairs]
    return sorted(pairs, key=lambda pair: pair.key)


def mask_of(key: str, layout: Layout, masks: Path, drawn: Mapping[str, Path]) -> Path:
    """The mask of a common name, whatever the case of its ending; where it should be if it is not there."""
    wanted = f"{key}{layout.mask_end}"
    exact = masks / wanted
    return exact if exact.is_file() else drawn.get(wanted.casefold(), exact)


def _files(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its name from there on, in lower case."""
    return {path.relative_to(folder).as_posix().casefold(): path for path in sorted(folder.rglob("*"))}


def _pictures(layout: Layout, images: Path, masks: Path) -> list[tuple[str, Path]]:
    """Common names and files of the pictures; masks that lie among them are none."""
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
    """`root`, or the folder above it when `root` is itself the first folder that the layout names."""
    first = Path(layout.images).parts[0] if layout.images else ""
    return root.parent if root.name == first and not (root / first).is_dir() else root


def _key(path: Path, folder: Path, end: str) -> str:
    """Common name of a picture's file; "" for other files, hidden ones too (macOS leaves `._a.jpg` beside a.jpg)."""
    if path.name.startswith("."):
        return ""
    name = path.relative_to(folder).as_posix()
    if end:
        return _without(name, end) or ""
    return name[: -len(path.suffix)] if path.suffix.lower() in PICTURE_ENDS else ""


def _without(name: str, end: str) -> str | None:
    """A name without an ending, in any case; None if it has another."""
    return name[: len(name) - len(end)] if name.casefold().endswith(end.casefold()) else None


@dataclass(frozen=True)
class Listing:
    """A file that names the pictures of a data set, one a line, perhaps with the mask of each.

    A name may have its ending, folders before it, or a slash at its start, as the lists of several programs do; a
    line that begins with # and names no picture is a remark.

    Attributes:
        path: of the file.
        layout: of the data set.
        images: folder of the pictures.
        masks: folder of the masks.
    """

    path: Path
    layout: Layout
    images: Path
    masks: Path

    def pairs(self, found: Sequence[tuple[str, Path]], drawn: Mapping[str, Path]) -> list[Pair]:
        """What is listed; a picture or mask need not be there.

        Args:
            found: common names and files of the pictures that are there.
            drawn: masks that are there.

        Raises:
            InputError: no such file, or a second column that names no mask.
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
                explain(f"listing {self.path}", expected="one name a line", got=str(got), remedy="Check its path.")
            ) from error
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _pair(self, line: str, there: Mapping[str, Path], drawn: Mapping[str, Path]) -> Pair:
        key = self._key(line, there)
        columns = re.split(r"\s*[,;\t]\s*|\s+", line)
        first = self._key(columns[0], there) if len(columns) > 1 else None
        if key is None and first is not None:
            return Pair(first, there[first], self._mask(line, columns))
        if key is None:  # listed, and not there
            key = self._bare(line)
            image = self.images / f"{key}{self.layout.image_end or Path(line).suffix or '.jpg'}"
            return Pair(key, image, mask_of(key, self.layout, self.masks, drawn))
        return Pair(key, there[key], mask_of(key, self.layout, self.masks, drawn))

    def _key(self, name: str, there: Mapping[str, Path]) -> str | None:
        """The common name that is meant, if such a picture is there."""
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
                explain(
                    f"listing {self.path}",
                    expected="a name on each line, or a picture and its mask",
                    got=f"the line {line!r}",
                    remedy="Keep the names of the pictures alone.",
                )
            )
        places = [folder / name for name in _tails(columns[1], self.masks) for folder in (self.masks, self.path.parent)]
        places += [folder / columns[1].lstrip("/") for folder in self.masks.parents]
        return next((place for place in places if place.is_file()), places[0])


def _tails(name: str, folder: Path) -> list[str]:
    """A name as it is listed, and what of it lies below a folder that it also names."""
    plain = name.replace("\\", "/").lstrip("/").removeprefix("./")
    parts = plain.split("/")
    if folder.name not in parts:
        return [plain]
    place = len(parts) - 1 - parts[::-1].index(folder.name)
    return [plain, "/".join(parts[place + 1 :])]
