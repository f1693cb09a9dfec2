"""Folders of pictures and masks: where a layout looks, and which picture goes with which mask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cliptrase_core.errors import InputError, explain
from cliptrase_core.evaluation.numbers import Numbers

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Layout:
    """Where one way to unpack a data set puts things, below the folder that holds the data sets.

    Attributes:
        title: how reports call it.
        images: folder of the pictures.
        masks: folder of the masks.
        numbers: what numbers in masks mean; None where these masks cannot be read the right way.
        quirk_numbers: what the published script takes them for; None where it does not read this layout.
        slide_numbers: what protocol `mmseg-slide` takes them for, where that differs from `numbers`.
        image_end: what follows the common name in a picture's file; "" for any picture's ending.
        mask_end: what follows it in a mask's file.
        listing: file with one common name a line, UTF-8; None takes every picture.
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

    def numbers_under(self, protocol: str, quirks: bool) -> Numbers | None:
        """The convention in force."""
        if quirks:
            return self.quirk_numbers
        return self.slide_numbers or self.numbers if protocol == "mmseg-slide" else self.numbers


@dataclass(frozen=True)
class Pair:
    """A picture and its mask; neither need exist yet.

    Attributes:
        key: common name, unique in the data set.
        image: file.
        mask: file.
    """

    key: str
    image: Path
    mask: Path


def missing_folders(layout: Layout, root: Path) -> list[Path]:
    """What a layout needs below `root` and does not find there."""
    base = _base(layout, root)
    places = [base / layout.images, base / layout.masks]
    missing = [place for place in places if not place.is_dir()]
    # Layouts may share folders: Cityscapes keeps masks of several numberings in one.
    if not missing and next(places[1].rglob(f"*{layout.mask_end}"), None) is None:
        missing.append(places[1] / f"*{layout.mask_end}")
    if layout.listing and not (base / layout.listing).is_file():
        missing.append(base / layout.listing)
    return missing


def find_pairs(layout: Layout, root: Path) -> list[Pair]:
    """Every picture of a layout with the mask that it should have, in the order of their names.

    Raises:
        InputError: no picture, or two pictures of one name.
    """
    base = _base(layout, root)
    images, masks = base / layout.images, base / layout.masks
    found = [(_key(path, images, layout.image_end), path) for path in sorted(images.rglob("*"))]
    found = [(key, path) for key, path in found if key]
    if layout.listing:
        there = dict(found)
        end = layout.image_end or ".jpg"  # of a picture that is listed and not there
        found = [(name, there.get(name, images / f"{name}{end}")) for name in _listed(base / layout.listing)]
    keys = [key for key, _ in found]
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
    return sorted((Pair(key, path, masks / f"{key}{layout.mask_end}") for key, path in found), key=lambda p: p.key)


def _listed(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else "a file that is not UTF-8"
        raise InputError(
            explain(f"listing {path}", expected="one name a line", got=str(got), remedy="Check its path.")
        ) from error
    return [line.strip() for line in lines if line.strip()]


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
        return name.removesuffix(end) if name.endswith(end) else ""
    return name[: -len(path.suffix)] if path.suffix.lower() in _PICTURES else ""
