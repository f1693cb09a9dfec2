"""List of all readers, and detection of data sets in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from os.path import isdir
from pathlib import Path
from types import MappingProxyType

from cliptrase_core.errors import InputError, expect_one_of, one_line
from cliptrase_core.evaluation.layouts import missing_folders
from cliptrase_core.evaluation.numbers import Numbers
from cliptrase_core.evaluation.readers.ade import find_ade
from cliptrase_core.evaluation.readers.base import AbsentError, Found, Reader, ReadSet, own_set, shown
from cliptrase_core.evaluation.readers.coco import find_instances, find_panoptic
from cliptrase_core.evaluation.readers.coloured import find_colour_list, find_labelmap
from cliptrase_core.evaluation.readers.context import find_context
from cliptrase_core.evaluation.readers.cvat import find_cvat
from cliptrase_core.evaluation.readers.labelme import find_labelme
from cliptrase_core.evaluation.readers.parquet import find_parquet
from cliptrase_core.evaluation.readers.streets import find_camvid, find_cityscapes, find_loveda
from cliptrase_core.evaluation.settings import SETTINGS
from cliptrase_core.names import LAYOUTS

READERS = MappingProxyType(
    {
        reader.name: reader
        for reader in (
            Reader("labelmap", "labelmap.txt with SegmentationClass", find_labelmap),
            Reader("colours", "label_colors.txt or class_dict.csv", find_colour_list),
            Reader("cityscapes", "*_leftImg8bit.png with *_gtFine_labelIds.png", find_cityscapes),
            Reader("coco-panoptic", "panoptic_*.json", find_panoptic),
            Reader("coco-instances", "instances_*.json", find_instances),
            Reader("pascal-context", "trainval/*.mat", find_context),
            Reader("camvid", "test with testannot", find_camvid),
            Reader("loveda", "images_png with masks_png", find_loveda),
            Reader("labelme", "labelme's *.json", find_labelme),
            Reader("cvat", "annotations.xml", find_cvat),
            Reader("parquet", "*.parquet", find_parquet),
            Reader("ade-full", "ADE_val_*_seg.png", find_ade),
        )
    }
)
_MOST_FOLDERS = 50
"""Maximum number of subfolders that are searched for a data set."""

Hit = tuple[Reader, Path, Found]


def search(root: Path, layout: str | None) -> tuple[list[Hit], list[InputError], list[AbsentError]]:
    """Find data sets in a folder, or in its subfolders if the folder itself has none.

    Args:
        root: folder to search.
        layout: name of the only reader to use; None uses all.

    Returns:
        The data sets found, the errors of those recognised but not readable, and the errors of readers that do not
        recognise the folder itself.
    """
    if layout is not None:
        expect_one_of("layout", layout, LAYOUTS)
    readers = [READERS[layout]] if layout is not None else list(READERS.values())
    hits, problems, missed = _ask(readers, root)
    if hits or problems:
        return hits, problems, missed
    below = [place for place in sorted(root.iterdir()) if isdir(place) and not place.name.startswith(".")]
    for place in below[:_MOST_FOLDERS]:
        more, bad, _ = _ask(readers, place)
        hits += more
        problems += bad
    return hits, problems, missed


def _ask(readers: list[Reader], place: Path) -> tuple[list[Hit], list[InputError], list[AbsentError]]:
    hits, problems, missed = [], [], []
    for reader in readers:
        try:
            hits.append((reader, place, reader.find(place)))
        except AbsentError as error:
            missed.append(error)
        except InputError as error:
            problems.append(error)
    return hits, problems, missed


def recognised(root: Path, layout: str | None) -> ReadSet | str:
    """Return the only data set of a folder with its own class names, or the name of a benchmark's setting.

    Raises:
        InputError: there is no data set, there are several, or it cannot be read.
    """
    hits, problems, _ = search(root, layout)
    own = {f"{reader.name} in {place.name}": (place, found) for reader, place, found in hits if found.names}
    settings = {name: None for _, _, found in hits if not found.names for name in found.benchmarks}
    if layout is None:
        settings |= dict.fromkeys(_complete_settings(root))
    if len(own) == 1 and not settings:
        ((place, found),) = own.values()
        return own_set(found, place.resolve().name)
    if len(settings) == 1 and not own:
        return next(iter(settings))
    if own or settings:
        got = ", ".join([*(f"setting {name}" for name in settings), *(f"layout {name}" for name in own)])
        remedy = "Give --setting NAME, or --layout NAME, or the folder of one of them as --data."
        raise InputError("data", expected="one data set", got=got, remedy=remedy)
    if problems:
        raise problems[0]
    raise _unknown(root, layout)


def _complete_settings(root: Path) -> list[str]:
    """Return the settings with at least one of their own layouts complete in the folder."""
    return [
        setting.name
        for setting in SETTINGS.values()
        if any(not missing_folders(entry, root) for entry in setting.layouts)
    ]


def _unknown(root: Path, layout: str | None) -> InputError:
    readers = [READERS[layout]] if layout else list(READERS.values())
    expected = f"{', '.join(f'{reader.title} ({reader.name})' for reader in readers)}"
    names = [path.name + ("/" if isdir(path) else "") for path in sorted(root.iterdir())]
    remedy = "Give --setting for a benchmark's folders, or --images and --masks for others (docs/evaluation.md)."
    return InputError("data", expected=expected, got=shown(names) or "an empty folder", remedy=remedy)


def serving(setting: str, root: Path, protocol: str, layout: str | None) -> tuple[Found, Numbers] | None:
    """Return the first data set with a benchmark's classes, and the meaning of its numbers; None if there is none.

    Raises:
        InputError: the requested layout is missing or has other classes, or a data set cannot be read.
        AbsentError: no layout is requested, and the data sets found have other classes.
    """
    hits, problems, _ = search(root, layout)
    reasons = []
    for _, _, found in hits:
        try:
            return found, found.numbers_in(setting, protocol)
        except AbsentError as error:
            reasons.append(f"{found.title}, {error}")
    if problems and (layout is not None or not hits):
        raise problems[0]
    if layout is None and reasons:
        raise AbsentError(reasons[0])
    if layout is None:
        return None
    if not hits:
        raise _unknown(root, layout)
    raise InputError(f"data of {setting}", expected="its classes", got=reasons[0], remedy="Leave out --setting.")


def states(root: Path, setting: str | None) -> Iterator[tuple[str, Found | None]]:
    """Yield the result of each reader in a folder: a line to print, and the data set if there is one.

    Args:
        root: folder to search.
        setting: name of a benchmark whose classes are required; None accepts all classes.
    """
    for reader in READERS.values():
        hits, problems, missed = search(root, reader.name)
        for _, _, found in hits:
            try:
                if setting is not None:
                    found.numbers_in(setting, "paper")
                yield f"{reader.name}: {found.title}", found
            except AbsentError as error:
                yield f"{reader.name}: {found.title}, {error}", None
        for problem in problems:
            yield f"{reader.name}: {one_line(problem)}", None
        if not hits and not problems:
            yield f"{reader.name}: {one_line(missed[0])}", None
