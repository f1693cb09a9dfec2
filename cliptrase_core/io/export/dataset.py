"""Files about all results in a folder (COCO and YOLO), made from the JSON of each result; and `export`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack, closing
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from cliptrase_core.errors import InputError
from cliptrase_core.io.export.coco import Annotated
from cliptrase_core.io.export.components import Component, ComponentRule, find_components
from cliptrase_core.io.export.formats import (
    DEFAULT_FORMATS,
    FORMATS,
    FolderFormat,
    chosen_of,
    expect_used,
    read_formats,
)
from cliptrase_core.io.export.record import foreground, is_of_another, labels_of, plain, read_record
from cliptrase_core.io.export.saving import (
    SavedFiles,
    folder_of,
    identity,
    result_files,
    save_result,
)
from cliptrase_core.io.files import free_stem, writing
from cliptrase_core.io.image import ImageInput, ReducedImage
from cliptrase_core.io.inputs import data_set_names
from cliptrase_core.results import Segmentation


def export(
    results: Segmentation | Iterable[Segmentation] | Mapping[str, Segmentation],
    folder: str | os.PathLike[str],
    formats: str | Iterable[str] | None = None,
    *,
    images: ImageInput | Sequence[ImageInput | None] | None = None,
    min_area: int = ComponentRule.min_area,
    per_class: bool = False,
    polygons: bool = False,
) -> list[SavedFiles]:
    """Write results in formats that other programs open.

    COCO and YOLO describe all results in the folder, including those of earlier calls. A later result of the same
    picture replaces the earlier one. Another picture of that name gets the next free number ("dog-2"), as within a
    call; pictures are compared by file, folder and model input, as far as known. Names of a mapping are kept, so they
    replace earlier results of these names.

    Args:
        results: one result; several results, each named after its picture ("dog", a second one "dog-2"); or a mapping
            from file names to results.
        folder: output folder; created if missing.
        formats: names of `FORMATS`, as a list or separated by commas; "json" is always added. None writes png, overlay
            and json.
        images: picture of the one result, or pictures of all results in order: paths, PIL images or arrays. A result
            without a picture is shown on the small model input; yolo, labelme and cutouts need the picture itself.
            COCO names paths relative to the common folder of all ("june/dog.jpg").
        min_area: minimum area in pixels; smaller components are left out of coco, yolo and labelme.
        per_class: one annotation for each class instead of one for each connected component.
        polygons: COCO's outlines as polygons, for tools that do not read run lengths; see `coco.to_coco`.
            An option that none of the formats uses is refused.

    Returns:
        Paths of the files of each result.

    Raises:
        InputError: an unknown format, an option without use, a picture that is missing or does not fit, not as many
            pictures as results (of a generator, known at its end), a folder that cannot be written, or
            another program's file of the same name.
    """
    formats, rule = _checked(folder, formats, min_area, per_class, polygons)
    if isinstance(results, Segmentation):
        results = [results]
    if not isinstance(results, Iterable):
        raise _no_results(results)
    named = results.items() if isinstance(results, Mapping) else ((None, result) for result in results)
    given = _pictures(images, len(results) if isinstance(results, Sized) else None)
    paths = {place: Path(image) for place, image in enumerate(given) if isinstance(image, (str, os.PathLike))}
    files = dict(zip(paths, data_set_names([*paths.values()]) if paths else (), strict=True))
    taken: set[str] = set()
    saved = []
    for place, (name, result) in enumerate(named):
        if not isinstance(result, Segmentation):
            raise _no_results(result)
        if given and place == len(given):
            raise _other_number(f"more than {place}", given)
        image = given[place] if place < len(given) else None
        stem = free_stem(name, taken) if name is not None else _free_stem(folder, result, paths.get(place), taken)
        about = {"file": _file_beside(folder, stem, paths[place], files[place])} if place in files else None
        saved.append(save_result(result, folder, image, stem, formats, rule, about))
    if len(given) > len(saved):
        raise _other_number(str(len(saved)), given)
    gather(folder, formats, rule, polygons=polygons)
    return saved


def _file_beside(folder: str | os.PathLike[str], stem: str, path: Path, file: str) -> str:
    """Return the path of a picture in a data set; with its folder, if an earlier result there has the same path.

    Args:
        folder: output folder.
        stem: stem of the picture's own result; without another picture's result, that of the picture.
        path: path of the picture.
        file: path of the picture below the common folder of this call.
    """
    if stem == path.stem or file != path.name:
        return file
    earlier = read_record(result_files(folder, path.stem).json)
    if earlier.get("file") == plain(file) and is_of_another(earlier, path):
        return f"{path.absolute().parent.name}/{file}"
    return file


def _pictures(images: object, count: int | None) -> Sequence[Any]:
    """Return the pictures of `export` as a list, empty if there are none.

    Args:
        images: one picture or several, as for `export`.
        count: number of results; None if it is not known yet.

    Raises:
        InputError: another number of pictures.
    """
    several = isinstance(images, (list, tuple)) and not isinstance(images, ReducedImage)
    given: Sequence[Any] = images if several else [] if images is None else [images]  # type: ignore[assignment]
    if (count or 0) > 1 and given and not several:
        got, remedy = type(images).__name__, "Give the pictures in the order of the results."
        raise InputError("images", expected="a list of pictures", got=got, remedy=remedy)
    if count is not None and given and len(given) != count:
        raise _other_number(str(count), given)
    return given


def _other_number(expected: str, given: Sequence[Any]) -> InputError:
    remedy = "Give None for a result without a picture."
    return InputError("images", expected=f"{expected}, one for each result", got=str(len(given)), remedy=remedy)


def _no_results(given: object) -> InputError:
    remedy = "Pass what segmenter.segment gave."
    return InputError("results", expected="segmentations", got=type(given).__name__, remedy=remedy)


def _free_stem(folder: str | os.PathLike[str], result: Segmentation, path: Path | None, taken: set[str]) -> str:
    """Return a stem after the result's picture that no other result of the call has, and no other picture's result.

    Args:
        folder: output folder.
        result: result to be written.
        path: path of the picture, if known.
        taken: stems of the call in folded case; the new one is added.
    """
    tried = set(taken)  # a stem of another picture's result stays free: that picture may follow in this call
    while True:
        stem = free_stem(PureWindowsPath(result.name).stem or "picture", tried)
        record = read_record(result_files(folder, stem).json)
        if path is not None and "folder_digest" in record:
            another = is_of_another(record, path)
        else:
            another = bool(record) and _differs(record, result, path.name if path else result.name or stem)
        if not another:
            taken.add(stem.casefold())
            return stem


def _differs(record: Mapping[str, Any], result: Segmentation, name: str) -> bool:
    """Return whether an earlier result has another name, picture size or, in the same layout, another model input."""
    old = record.get("settings")
    known = [settings for settings in (old, result.settings) if isinstance(settings, Mapping)]
    sizes = {str(settings.get("original_size")) for settings in known} - {"None"}
    inputs = {record.get("input_sha256"), identity(result, None).get("input_sha256")} - {None}
    other_input = len(inputs) == 2 and record.get("grid") == list(result.grid)
    return record.get("picture") != plain(name) or len(sizes) == 2 or other_input


def save_one(
    result: Segmentation,
    folder: str | os.PathLike[str],
    image: ImageInput | None,
    stem: str | None,
    formats: str | Iterable[str] | None,
    min_area: int,
    per_class: bool,
    polygons: bool,
) -> SavedFiles:
    """Implement `Segmentation.save`; same parameters and errors."""
    chosen, rule = _checked(folder, formats, min_area, per_class, polygons)
    saved = save_result(result, folder, image, stem, chosen, rule)
    gather(folder, chosen, rule, polygons=polygons)
    return saved


def _checked(
    folder: str | os.PathLike[str],
    formats: str | Iterable[str] | None,
    min_area: int,
    per_class: bool,
    polygons: bool,
) -> tuple[tuple[str, ...], ComponentRule]:
    """Return the formats and the definition of a component; raise InputError for what `save` and `export` refuse."""
    chosen, rule = read_formats(DEFAULT_FORMATS if formats is None else formats), ComponentRule(min_area, per_class)
    expect_used(chosen, {"min_area": min_area, "per_class": per_class, "polygons": polygons})
    expect_untouched(folder, chosen)
    return chosen, rule


def expect_untouched(folder: str | os.PathLike[str], formats: Iterable[str]) -> None:
    """Raise InputError if another program wrote or changed a file about the whole folder, or it is not a path."""
    place = folder_of(folder)
    for each in chosen_of(formats, FolderFormat):
        each.expect_untouched(place)


def gather(
    folder: str | os.PathLike[str], formats: Iterable[str], rule: ComponentRule, *, polygons: bool = False
) -> dict[str, int]:
    """Write the files about all results in a folder; formats without such files are ignored.

    The same results give the same files, no matter which runs made them.

    Args:
        folder: folder of the results.
        formats: requested formats.
        rule: definition of a component.
        polygons: polygons in COCO, see `coco.to_coco`.

    Returns:
        Numbers of results that formats leave out because their picture was never copied, by format; only numbers
        above 0.

    Raises:
        InputError: a file cannot be written, or belongs to another program.
    """
    place, chosen = Path(folder), chosen_of(formats, FolderFormat)
    if not chosen or not place.is_dir():
        return {}
    expect_untouched(place, [each.name for each in chosen])
    without: Counter[str] = Counter()
    with writing("output folder", folder), ExitStack() as stack:  # closes what each format has begun, if another fails
        pictures = annotated(place, rule)  # read once for all formats: a run has many JSONs
        for each in reversed(chosen):  # the last one to read is the first one to end: COCO's file is replaced last
            pictures = stack.enter_context(closing(each.gather(place, pictures, polygons)))
        for picture in pictures:
            without.update(each.name for each in chosen if each.needs_picture and each.name not in picture.copies)
    return dict(without)


def annotated(folder: Path, rule: ComponentRule) -> Iterator[Annotated]:
    """Yield every result of a folder with its components, by name; skip files that are not results."""
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        try:
            if record:
                yield _annotated(record, path.stem, rule)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, MemoryError):
            continue  # changed by hand, so its content cannot be used


def _annotated(record: Mapping[str, Any], stem: str, rule: ComponentRule) -> Annotated:
    names = [str(entry["name"]) for entry in record["classes"]]
    labels = foreground(names)
    kept = record.get("components")
    if kept and (kept["min_area"], kept["per_class"]) == (rule.min_area, rule.per_class):
        components = [_component(entry) for entry in kept["found"]]
    else:
        components = find_components(labels_of(record), labels, rule)
    height, width = (int(side) for side in record["size"])
    file = str(record.get("file") or record["picture"])
    copies = {name: str(path) for name, path in record["files"].items() if isinstance(FORMATS.get(name), FolderFormat)}
    return Annotated(file, (height, width), names, labels, components, stem, copies)


def _component(entry: Mapping[str, Any]) -> Component:
    left, top, width, height = entry["box"]
    outlines = tuple(np.array(line, np.int32).reshape(-1, 2) for line in entry["outlines"])
    return Component(
        int(entry["class"]), int(entry["area"]), (left, top, width, height), str(entry["counts"]), outlines
    )
