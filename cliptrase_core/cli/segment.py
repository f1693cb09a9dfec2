"""`segment`: segment pictures and write the results; a picture that cannot be read does not stop the run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cliptrase_core.errors import CliptraseError, InputError, explain, memory_explained, one_line
from cliptrase_core.io import export
from cliptrase_core.io.files import expect_ours
from cliptrase_core.io.image import opened_file, read_image
from cliptrase_core.io.inputs import find_pictures, result_stems
from cliptrase_core.io.memory import expect_room
from cliptrase_core.models.checkpoint import sha256
from cliptrase_core.models.encoder import resize_and_crop
from cliptrase_core.options import SegmentOptions, options_of
from cliptrase_core.presets import preset_by_name
from cliptrase_core.refine import NONE, Refiner, load_refiner
from cliptrase_core.results import ImageEncoding, Segmentation
from cliptrase_core.segmenter import Segmenter, try_out
from cliptrase_core.text.vocabulary import Vocabulary

_SETTINGS = tuple(one.name for one in options_of(SegmentOptions))
# What a result depends on; --skip-existing makes a result again where one of them differs.
_ASKED = (
    *("model", "pretrained", "precision", "preset", "short_side", *_SETTINGS),
    *("refine", "refine_mode", "sam_checkpoint", "intermediates"),
)
_FILES = ("model", "pretrained", "sam_checkpoint")


@dataclass(frozen=True)
class Task:
    """One picture, and what the files of its result are called.

    Attributes:
        path: of the picture.
        stem: of the result's files.
    """

    path: Path
    stem: str


def find_tasks(vocabulary: Vocabulary, options: argparse.Namespace) -> list[Task]:
    """What there is to do, found out before any model is loaded.

    Raises:
        InputError: no pictures, a folder that cannot be written, or a file in the way that would be lost.
    """
    pictures, own = find_pictures(options.images, recursive=options.recursive)
    if own:
        _note(f"{own} results of this program among the pictures are left out")
    asked = _asked(vocabulary, options)
    tasks = []
    for task in map(Task, pictures, result_stems(pictures)):
        saved = export.result_files(options.output, task.stem)
        expect_ours(vars(saved).values())
        record = export.read_record(saved.json)
        _expect_same_picture(record, task.path, saved.json)
        made = bool(record) and all(file.is_file() for file in vars(saved).values())
        if not (options.skip_existing and made and _is_of(record, task.path, asked)):
            tasks.append(task)
    if options.skip_existing:
        _note(f"{len(pictures) - len(tasks)} of {len(pictures)} pictures were done before")
    _expect_folder(Path(options.output))
    if tasks and not any(task.path.is_file() for task in tasks):
        with opened_file(tasks[0].path, "a picture"):  # says why: no model is loaded for a name that was mistyped
            pass
    return tasks


def _asked(vocabulary: Vocabulary, options: argparse.Namespace) -> dict[str, Any]:
    """What a result depends on besides its picture. Of files the name: a result says nothing about folders."""
    asked = {name: getattr(options, name) for name in _ASKED}
    asked |= {name: PureWindowsPath(asked[name]).name for name in _FILES if asked[name]}
    return {**asked, "vocabulary": vocabulary.text}


def _about(path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What the JSON of a result says besides the result."""
    return {"picture": path.name, "picture_sha256": sha256(path), "asked": asked}


def _is_of(record: dict[str, Any], path: Path, asked: dict[str, Any]) -> bool:
    """Whether an earlier result is what is asked for now, of the picture as it is now."""
    if record.get("asked") != export.plain(asked) or not path.is_file():
        return False
    return {**record, **export.plain(_about(path, asked))} == record


def segment_pictures(
    tasks: Sequence[Task], vocabulary: Vocabulary, segmenter: Segmenter, options: argparse.Namespace
) -> int:
    """Write a result for each picture and say where.

    Returns:
        How many pictures could not be used; each is said on stderr, with its reason.

    Raises:
        CliptraseError: an option that suits no picture, before the first one.
    """
    refiner = load_refiner(
        options.refine, mode=options.refine_mode, checkpoint=options.sam_checkpoint, device=str(segmenter.device)
    )
    run = _Run(segmenter, None if options.refine == NONE else refiner, vocabulary, options)
    run.try_options()
    failed = 0
    bar = tqdm(tasks, unit="image", disable=len(tasks) < 2)
    for task in bar:
        try:
            with memory_explained(f"picture {task.path.name!r}"):
                line = run.segment(task)
        except CliptraseError as error:
            failed += 1
            bar.write(f"{task.path}: {one_line(error)}", file=sys.stderr)
        else:
            bar.write(line)
    if failed and len(tasks) > 1:
        print(f"{failed} of {len(tasks)} images could not be segmented.", file=sys.stderr)
    return failed


@dataclass(frozen=True)
class _Run:
    """What all pictures share."""

    segmenter: Segmenter
    refiner: Refiner | None
    vocabulary: Vocabulary
    options: argparse.Namespace

    def try_options(self) -> None:
        """Raise CliptraseError for an option that would fail on every picture."""
        options = self.options
        read_image(np.zeros((1, 1, 3), np.uint8), max_pixels=options.max_pixels)
        try_out(self.segmenter, self.vocabulary, options.preset, options.short_side, **self._settings())

    def segment(self, task: Task) -> str:
        """Write one result; what to say about it."""
        options = self.options
        image = read_image(task.path, max_pixels=options.max_pixels)
        self._expect_room(task.path.name, image)
        encoding = self.segmenter.encode(
            image, options.preset, short_side=options.short_side, max_pixels=options.max_pixels
        )
        result = self.segmenter.segment(encoding, self.vocabulary, **self._settings())
        shown = image if result.size == image.shape[:2] else resize_and_crop(image, encoding.frame)
        if self.refiner is not None:
            result = self.refiner(result, shown)
        arrays = _intermediates(encoding) if options.intermediates else None
        about = _about(task.path, _asked(self.vocabulary, options))
        files = export.save(result, shown, options.output, task.stem, arrays=arrays, about=about)
        return f"{task.path} -> {files.overlay}  {_areas(result)}"

    def _expect_room(self, name: str, image: npt.NDArray[np.uint8]) -> None:
        """Raise InputError before the system ends the whole process for taking too much memory."""
        preset = preset_by_name(self.options.preset)
        side = self.options.short_side or preset.short_side or self.segmenter.info.short_side
        frame = preset.frame((image.shape[0], image.shape[1]), side, self.segmenter.backbone.patch)
        expect_room(f"picture {name!r}", frame)

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self.options, name) for name in _SETTINGS}


def _expect_same_picture(record: dict[str, Any], path: Path, json: Path) -> None:
    """Raise InputError if a result is of another picture: it would be lost."""
    if record and record.get("picture") != export.plain(path.name):
        raise InputError(
            explain(
                f"output {json.name!r}",
                expected=f"no result, or an earlier one of {path.name!r}",
                got=f"the result of {record.get('picture')!r}",
                remedy="Choose another --output, or name both pictures in one command.",
            )
        )


def _expect_folder(folder: Path) -> None:
    """Raise InputError unless the output folder takes files, or could be made; leaves nothing behind."""
    try:
        place = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
        with TemporaryFile(dir=place):
            pass
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        got = f"{str(folder)!r} ({error.strerror if isinstance(error, OSError) else error})"
        remedy = "Choose another --output."
        raise InputError(
            explain("output directory", expected="a directory that can be written to", got=got, remedy=remedy)
        ) from error


def _areas(result: Segmentation) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in result.areas.items())


def _intermediates(encoding: ImageEncoding) -> dict[str, np.ndarray]:
    parts = {"patches": encoding.patches, "cls": encoding.cls, "affinity": encoding.affinity}
    return {name: part.float().cpu().numpy() for name, part in parts.items()}


def _note(text: str) -> None:
    print(f"note: {text}.", file=sys.stderr)
