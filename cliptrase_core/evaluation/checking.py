"""`evaluate --check`: which data are there, and what their masks hold. No model is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cliptrase_core.errors import InputError, expect_one_of, explain, one_line
from cliptrase_core.evaluation.data import setting_convention
from cliptrase_core.evaluation.folder import FolderSet
from cliptrase_core.evaluation.layouts import Layout, Pair, find_pairs, missing_folders
from cliptrase_core.evaluation.looking import Convention, described, expect_usable, look
from cliptrase_core.evaluation.settings import SETTINGS, Setting, setting_words


def check(setting: str | None, root: Path | None) -> Iterator[str]:
    """Lines that say what is there of one setting, or of all.

    Raises:
        InputError: unknown setting, or no root.
    """
    if setting is not None:
        expect_one_of("setting", setting, tuple(SETTINGS))
    if root is None or not root.is_dir():
        got = "nothing" if root is None else str(root)
        raise InputError(explain("data", expected="a folder", got=got, remedy="Give --data ROOT."))
    for entry in SETTINGS.values() if setting is None else [SETTINGS[setting]]:
        yield f"{entry.name}: {entry.title}"
        for layout in entry.layouts:
            yield from _state(entry, layout, root)


def check_folders(data: FolderSet | Layout) -> Iterator[str]:
    """Lines about a data set of one's own; a layout alone says what stands in masks, before there are words for it.

    Raises:
        InputError: no pictures, or a listing that cannot be read.
    """
    layout, convention = (data, None) if isinstance(data, Layout) else (data.layout, data.convention)
    pairs = find_pairs(layout, Path())
    yield "no vocabulary" if isinstance(data, Layout) else f"{data.name}: {', '.join(data.words.class_names)}"
    yield f"  + {layout.title}: {_counted(pairs, 'complete')}"
    yield from _masks(pairs, convention)


def _state(setting: Setting, layout: Layout, root: Path) -> Iterator[str]:
    missing = missing_folders(layout, root)
    if missing:
        yield f"  - {layout.title}: no {', no '.join(map(str, missing))}"
        return
    try:
        pairs = find_pairs(layout, root)
    except InputError as error:
        yield f"  - {layout.title}: {one_line(error)}"
        return
    numbers = layout.numbers or layout.quirk_numbers
    yield f"  + {layout.title}: {_counted(pairs, 'complete' if layout.numbers else 'for --reference-quirks only')}"
    if numbers is not None:
        yield from _masks(pairs, setting_convention(setting, numbers, setting_words(setting.name, "paper")))


def _counted(pairs: Sequence[Pair], use: str) -> str:
    no_image = sum(not pair.image.is_file() for pair in pairs)
    no_mask = sum(not pair.mask.is_file() for pair in pairs)
    state = use if not no_image + no_mask else f"{no_image} pictures and {no_mask} masks are missing"
    return f"{len(pairs)} pictures, {state}"


def _masks(pairs: Sequence[Pair], convention: Convention | None) -> Iterator[str]:
    looks = look(pairs, convention)
    yield from described(looks, convention)
    if convention is None:
        return
    try:
        expect_usable(looks, convention, len(looks) == len(pairs))
    except InputError as error:
        yield f"    an evaluation would say: {one_line(error)}"
