"""Definition of every output format: name, title, files, options, and the function that makes the files.

`--formats` and its help, `save`, `gather`, `--skip-existing`, the page's formats and the text in an archive come from
here. A new format is one more entry of `FORMATS`, and a function that makes its files, here or in a module of its
own. They import their modules when called, so that `--help` and the page list the formats without waiting for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, expect_one_of
from cliptrase_core.names import MIN_AREA, OVERLAY_SIDE

if TYPE_CHECKING:
    from cliptrase_core.io.export.coco import Annotated
    from cliptrase_core.io.export.components import Component, ComponentRule
    from cliptrase_core.results import Segmentation


@dataclass(frozen=True)
class Job:
    """One result that is to be written, with everything that formats may need.

    Attributes:
        result: result to write.
        image: (H, W, 3) picture in the frame of the labels.
        stem: stem of the file names.
        rule: definition of a component.
        arrays: further arrays for the .npz, by name.
        overlay_side: longest side of the overlay in pixels; None or 0 keeps the picture's size.
        source: file of the picture, if there is one.
    """

    result: Segmentation
    image: npt.NDArray[np.uint8]
    stem: str
    rule: ComponentRule
    arrays: Mapping[str, npt.NDArray[Any]]
    overlay_side: int | None
    source: str | os.PathLike[str] | None

    @cached_property
    def components(self) -> list[Component]:
        """Components of every class, without the background."""
        from cliptrase_core.io.export.record import objects

        return objects(self.result, self.rule)

    @cached_property
    def picture(self) -> tuple[str, bytes]:
        """Ending and content of the picture's file, see `images.picture_file`."""
        from cliptrase_core.io.export.images import picture_file

        return picture_file(self.image, self.source)


@dataclass(frozen=True, kw_only=True)
class Format:
    """An output format.

    Attributes:
        name: name in `--formats` and on the page.
        title: title in the page's menu, and of its step while files are made.
        contents: one line about its files.
        options: flags of `segment` that affect it, as names of arguments.
        needs_picture: True if a result without its picture is refused, not shown on the small model input.
    """

    name: str
    title: str
    contents: str
    options: tuple[str, ...] = ()
    needs_picture: bool = False


@dataclass(frozen=True, kw_only=True)
class ResultFormat(Format):
    """A format with files of its own for each result: a `FileFormat` or a `ClassFormat`.

    Attributes:
        kind: key of the path in the JSON and in `SavedFiles`; the name, if none is given.
    """

    kind: str = ""

    def __post_init__(self) -> None:
        """Fill in the kind."""
        object.__setattr__(self, "kind", self.kind or self.name)

    def path(self, stem: str) -> str:
        """Return the path of a result's file or of the folder of its files, relative to the folder of results."""
        return f"{self.name}/{stem}"


@dataclass(frozen=True, kw_only=True)
class FileFormat(ResultFormat):
    """A format with one file for each result.

    Attributes:
        file: path of the file below the folder of results; "{stem}" stands for the stem.
        content: function that makes the file. It must contain this program's mark, see `files.is_ours`.
        beside: True if it is made in a second thread, because it takes as long as all others together.
    """

    file: str
    content: Callable[[Job], bytes]
    beside: bool = False

    def path(self, stem: str) -> str:
        """Return the path of a result's file, relative to the folder of results."""
        return self.file.format(stem=stem)


@dataclass(frozen=True, kw_only=True)
class ClassFormat(ResultFormat):
    """A format with one PNG for each present class, in a folder `name`/`stem` for each result.

    Attributes:
        contents_by_class: function that yields names and contents of the files, see `images.class_files`.
    """

    contents_by_class: Callable[[Job], Iterator[tuple[str, bytes]]]


@dataclass(frozen=True, kw_only=True)
class FolderFormat(Format):
    """A format about all results in a folder, made from the JSON of each.

    Attributes:
        expect_untouched: function that raises InputError if another program wrote or changed a file in the folder.
        gather: function that writes the files; takes the folder, all results and whether COCO gets polygons, and yields
            the results again, so that they are read once for all formats.
        copy: function that writes a copy of the picture when a result is written: takes the folder and the job;
            returns the path below the folder, or None if the picture's own file serves.
    """

    expect_untouched: Callable[[Path], None]
    gather: Callable[[Path, Iterable[Annotated], bool], Generator[Annotated, None, None]]
    copy: Callable[[Path, Job], str | None]


def _labels(job: Job) -> bytes:
    from cliptrase_core.io.export import images

    return images.labels_png(job.result)


def _index(job: Job) -> bytes:
    from cliptrase_core.io.export import images

    return images.index_png(job.result)


def _overlay(job: Job) -> bytes:
    from cliptrase_core.io.export import images

    return images.overlay_png(job.image, job.result, job.overlay_side)


def _masks(job: Job) -> Iterator[tuple[str, bytes]]:
    from cliptrase_core.io.export import images

    return images.mask_pngs(job.result)


def _cutouts(job: Job) -> Iterator[tuple[str, bytes]]:
    from cliptrase_core.io.export import images

    return images.cutout_pngs(job.image, job.result)


def _npz(job: Job) -> bytes:
    from cliptrase_core.io.export import npz

    return npz.to_npz(job.result, job.arrays)


def _labelme(job: Job) -> bytes:
    from cliptrase_core.io.export import labelme

    ending, content = job.picture
    picture = (f"{job.stem}{ending}", content)
    return labelme.to_labelme(job.components, job.result.class_names, job.result.size, picture, job.rule)


def _expect_coco(folder: Path) -> None:
    from cliptrase_core.io.export import coco

    coco.expect_untouched(folder)


def _gather_coco(folder: Path, pictures: Iterable[Annotated], polygons: bool) -> Generator[Annotated, None, None]:
    from cliptrase_core.io.export import coco

    return coco.write_file(folder, pictures, polygons=polygons)


def _copy_coco(folder: Path, job: Job) -> str | None:
    from cliptrase_core.canvas import covers_picture
    from cliptrase_core.io.export import coco

    whole = covers_picture(job.result.size, job.result.settings)
    return coco.write_picture(folder, job.stem, None if whole else job.image)


def _expect_yolo(folder: Path) -> None:
    from cliptrase_core.io.export import yolo

    yolo.expect_untouched(folder)


def _gather_yolo(folder: Path, pictures: Iterable[Annotated], polygons: bool) -> Generator[Annotated, None, None]:
    from cliptrase_core.io.export import yolo

    del polygons  # YOLO has nothing else
    return yolo.write_texts(folder, pictures)


def _copy_yolo(folder: Path, job: Job) -> str:
    from cliptrase_core.io.export import yolo

    return yolo.write_picture(folder, job.stem, job.picture)


Kind = TypeVar("Kind", bound=Format)
_COMPONENTS = ("min_area", "per_class")
_LARGE_ENOUGH = f"parts below {MIN_AREA} pixels are left out"

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        FileFormat(
            name="png",
            title="Labels as an indexed PNG",
            contents="labels.png   indexed picture: a pixel's value is the index of its class, the palette is inside",
            file="{stem}.labels.png",
            content=_labels,
            kind="labels",
        ),
        FileFormat(
            name="index",
            title="Labels as a grey PNG",
            contents="index.png    the same numbers in grey",
            file="{stem}.index.png",
            content=_index,
        ),
        FileFormat(
            name="overlay",
            title="Overlay",
            contents="overlay.png  the picture under its classes' colours",
            file="{stem}.overlay.png",
            content=_overlay,
            options=("overlay_side",),
        ),
        Format(  # `save` writes it, after all others, which it names
            name="json",
            title="Description as JSON",
            contents="json         classes with colours, areas and COCO run lengths, settings, timings, versions",
        ),
        FileFormat(
            name="npz",
            title="Arrays for NumPy",
            contents="npz          labels, regions, confidence and patch clusters as NumPy arrays",
            file="{stem}.npz",
            content=_npz,
            beside=True,
        ),
        FolderFormat(
            name="coco",
            title="COCO annotations",
            contents=f"coco/        COCO's annotations, one for each connected part of a class; {_LARGE_ENOUGH}",
            options=(*_COMPONENTS, "polygons"),
            expect_untouched=_expect_coco,
            gather=_gather_coco,
            copy=_copy_coco,
        ),
        FolderFormat(
            name="yolo",
            title="YOLO segments",
            contents=f"yolo/        data.yaml, the picture, and the outlines of its classes; {_LARGE_ENOUGH}",
            options=_COMPONENTS,
            needs_picture=True,
            expect_untouched=_expect_yolo,
            gather=_gather_yolo,
            copy=_copy_yolo,
        ),
        FileFormat(
            name="labelme",
            title="labelme's polygons",
            contents=f"labelme/     the picture and its outlines, for labelme; {_LARGE_ENOUGH}",
            options=_COMPONENTS,
            needs_picture=True,
            file="labelme/{stem}.json",
            content=_labelme,
        ),
        ClassFormat(
            name="masks",
            title="A mask for each class",
            contents="masks/       one mask for each class",
            contents_by_class=_masks,
        ),
        ClassFormat(
            name="cutouts",
            title="A cut-out for each class",
            contents="cutouts/     the picture cut out, one for each class",
            needs_picture=True,
            contents_by_class=_cutouts,
        ),
    )
}
"""All formats by name, in the order in which they are written and shown."""
DEFAULT_FORMATS = ("png", "overlay", "json")
ARCHIVE_FORMATS = ("png", "overlay", "json", "npz")
"""Formats that together contain everything about one result."""


def read_formats(formats: str | Iterable[str]) -> tuple[str, ...]:
    """Return the formats in a fixed order. "json" is always among them, because results are found by it.

    Args:
        formats: names of `FORMATS`, as a list or separated by commas.

    Raises:
        InputError: an unknown name, or no name.
    """
    names = formats.split(",") if isinstance(formats, str) else list(formats)
    names = [name.strip().lower() if isinstance(name, str) else name for name in names]
    for name in names:
        expect_one_of("format", name, FORMATS)
    if not names:
        raise InputError("formats", expected="at least one", got="none", remedy=f"Known: {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in names or name == "json")


def chosen_of(formats: Iterable[str], kind: type[Kind]) -> list[Kind]:
    """Return the definitions of the formats that are of one kind, such as `FileFormat`.

    Args:
        formats: names of `FORMATS`.
        kind: class of the definitions.
    """
    return [one for name in formats if isinstance(one := FORMATS[name], kind)]


OF_FORMATS: dict[str, Any] = {
    "min_area": MIN_AREA,
    "per_class": False,
    "polygons": False,
    "overlay_side": OVERLAY_SIDE,
}
"""Options that only some formats use, and their defaults."""


def unused_by(formats: Collection[str]) -> list[str]:
    """Return the options of `OF_FORMATS` that none of these formats uses."""
    return [name for name in OF_FORMATS if not {*users_of(name)} & {*formats}]


def expect_used(formats: Collection[str], given: Mapping[str, object], *, flags: bool = False) -> None:
    """Raise InputError if an option has another value than its default, but no requested format uses it.

    Args:
        formats: requested formats.
        given: values of options by the names in `OF_FORMATS`.
        flags: the message names the flags of the command line.
    """
    for name in unused_by(formats):
        if name in given and given[name] != OF_FORMATS[name]:
            option, where = (f"--{name.replace('_', '-')}", "--formats") if flags else (name, "formats")
            expected, got = f"a format that uses it ({', '.join(users_of(name))})", ", ".join(formats)
            remedy = f"Add one to {where}, or leave out {option}."
            raise InputError(option, expected=expected, got=got, remedy=remedy)


def users_of(option: str) -> tuple[str, ...]:
    """Return the names of the formats that an option of `segment` affects."""
    return tuple(name for name, one in FORMATS.items() if option in one.options)
