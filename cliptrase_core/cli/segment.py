"""`segment`: segment pictures and write the results. A picture that cannot be read does not stop the run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from cliptrase_core.cli.pipeline import BATCH, Pipeline, read_jobs, threads_shared
from cliptrase_core.errors import CliptraseError, InputError, explain, memory_explained, one_line, some
from cliptrase_core.io.allocator import blocks_kept
from cliptrase_core.io.export.components import ComponentRule
from cliptrase_core.io.export.dataset import expect_untouched, gather
from cliptrase_core.io.export.formats import read_formats, users_of
from cliptrase_core.io.export.record import folder_digest, is_of_another, plain, read_record, to_json
from cliptrase_core.io.export.saving import is_whole, planned, result_files, save, unusable
from cliptrase_core.io.files import expect_ours, visible, write_all
from cliptrase_core.io.geometry import Frame
from cliptrase_core.io.image import ReducedImage, opened_file, read_image
from cliptrase_core.io.inputs import data_set_names, find_pictures, result_stems
from cliptrase_core.io.memory import expect_memory
from cliptrase_core.models.checkpoint import sha256
from cliptrase_core.models.encoder import resize_and_crop
from cliptrase_core.names import MIN_AREA, OVERLAY_SIDE
from cliptrase_core.options import SegmentOptions, options_of
from cliptrase_core.presets import preset_by_name
from cliptrase_core.refine import NONE, Refiner, load_refiner
from cliptrase_core.results import ImageEncoding, Segmentation
from cliptrase_core.segmenter import Segmenter, try_out
from cliptrase_core.text.linter import not_known
from cliptrase_core.text.vocabulary import Vocabulary

_SETTINGS = tuple(one.name for one in options_of(SegmentOptions))
# Options that affect a result; --skip-existing segments a picture again if one of them differs.
_REQUESTED = (
    *("model", "pretrained", "precision", "preset", "short_side", *_SETTINGS),
    *("refine", "refine_mode", "sam_checkpoint", "intermediates"),
    *("min_area", "per_class", "overlay_side"),
)
# Options that only some formats use, and their defaults.
_OF_FORMATS: dict[str, Any] = {
    "min_area": MIN_AREA,
    "per_class": False,
    "polygons": False,
    "overlay_side": OVERLAY_SIDE,
}
_FILES = ("model", "pretrained", "sam_checkpoint")
MOST_ABSENT = 6
"""Names of absent classes in the line of a picture; the others are counted."""


@dataclass(frozen=True)
class Task:
    """One picture and the names of its result.

    Attributes:
        path: path of the picture.
        stem: stem of the result's files.
        file: name of the picture in a data set, see `data_set_names`.
    """

    path: Path
    stem: str
    file: str


def find_tasks(vocabulary: Vocabulary, options: argparse.Namespace) -> list[Task]:
    """List the pictures to segment and validate all options before a model is loaded. Normalises `options` in place.

    Raises:
        InputError: there are no pictures, the folder is not writable, or an existing file would be lost.
    """
    options.formats = read_formats([*options.formats.split(","), *(["npz"] if options.intermediates else [])])
    options.jobs = read_jobs(options.jobs)
    options.rule = ComponentRule(options.min_area, options.per_class)
    if options.overlay_side < 0:
        got, remedy = str(options.overlay_side), "0 keeps the picture's own size."
        raise InputError(explain("overlay side", expected="at least 0 pixels", got=got, remedy=remedy))
    _expect_used(options)
    pictures, notes = find_pictures(options.images, recursive=options.recursive)
    for note in notes:
        _note(note)
    expect_untouched(options.output, options.formats)
    requested = _requested(vocabulary, options)
    tasks, renamed = [], dict[str, bytes]()
    for task in map(Task, pictures, result_stems(pictures), data_set_names(pictures)):
        saved = result_files(options.output, task.stem)
        expect_ours(planned(saved, options.formats, vocabulary.class_names))
        record = read_record(saved.json)
        if task.path.is_file():  # a missing picture overwrites nothing; its own error comes later
            _expect_same_picture(record, task.path, saved.json)
        made = is_whole(options.output, record, options.formats)
        if not (options.skip_existing and made and _is_of(record, task.path, requested, options.formats)):
            tasks.append(task)
        elif not f"/{record.get('file')}".endswith(f"/{plain(task.file)}"):  # a longer name remains right
            renamed[saved.json.name] = to_json({**record, "file": task.file})
    _write_renamed(options.output, renamed)
    if options.skip_existing:
        _note(f"{len(pictures) - len(tasks)} of {len(pictures)} pictures were done before")
    _expect_folder(Path(options.output))
    if tasks and not any(task.path.is_file() for task in tasks):
        with opened_file(tasks[0].path, "a picture"):  # raises the error before a model is loaded for a mistyped name
            pass
    return tasks


def _requested(vocabulary: Vocabulary, options: argparse.Namespace) -> dict[str, Any]:
    """Return everything that affects a result except its picture; files by name only, since results omit folders."""
    requested = {name: getattr(options, name) for name in _REQUESTED}
    requested |= {name: PureWindowsPath(requested[name]).name for name in _FILES if requested[name]}
    return {**requested, "vocabulary": vocabulary.text}


def _about(path: Path, requested: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON entries that describe the source of a result: picture, checksum, options."""
    return {"picture": path.name, "picture_sha256": sha256(path), "asked": requested}


def _unused(formats: Sequence[str]) -> list[str]:
    return [name for name in _OF_FORMATS if not {*users_of(name)} & {*formats}]


def _expect_used(options: argparse.Namespace) -> None:
    """Raise InputError if an option is given that no requested format uses."""
    for name in _unused(options.formats):
        if getattr(options, name) != _OF_FORMATS[name]:
            flag = f"--{name.replace('_', '-')}"
            expected, got = f"a format that uses it ({', '.join(users_of(name))})", ", ".join(options.formats)
            remedy = f"Add one to --formats, or leave out {flag}."
            raise InputError(explain(flag, expected=expected, got=got, remedy=remedy))


def _is_of(record: dict[str, Any], path: Path, requested: dict[str, Any], formats: Sequence[str]) -> bool:
    """Return whether an earlier result has the current content of the picture, and the options of these formats."""
    unused, earlier = dict.fromkeys(_unused(formats)), record.get("asked")
    same = isinstance(earlier, dict) and {**earlier, **unused} == {**plain(requested), **unused}
    if not same or not path.is_file():
        return False
    about = plain(_about(path, {}))
    return all(record.get(name) == about[name] for name in ("picture", "picture_sha256"))


def segment_pictures(
    tasks: Sequence[Task], vocabulary: Vocabulary, segmenter: Segmenter, options: argparse.Namespace
) -> int:
    """Write a result for each picture and print its path; then write the files about all results, even if interrupted.

    Returns:
        Number of pictures that could not be used; each is printed on stderr with its reason.

    Raises:
        CliptraseError: an option would fail on every picture; raised before the first picture.
    """
    refiner = load_refiner(
        options.refine, mode=options.refine_mode, checkpoint=options.sam_checkpoint, device=str(segmenter.device)
    )
    for text in not_known(segmenter.unknown_words(vocabulary.prompts), segmenter.unknown_words):
        _note(text.removesuffix("."))
    run = _Run(segmenter, None if options.refine == NONE else refiner, vocabulary, options)
    run.try_options()
    failed = 0
    bar = tqdm(total=len(tasks), unit="image", disable=len(tasks) < 2)
    pipeline: Pipeline[Task, _Picture, _Outcome] = Pipeline(run.read, run.work, options.jobs, BATCH)
    try:
        with threads_shared(options.jobs), blocks_kept():
            for outcome in pipeline.run(tasks):
                bar.update()
                failed += outcome.failed
                bar.write(visible(outcome.line), file=sys.stderr if outcome.failed else sys.stdout)
    except KeyboardInterrupt:
        bar.close()
        _note("the same command with --skip-existing goes on from here")
        raise
    finally:
        bar.close()
        gather_results(options)
    if failed and len(tasks) > 1:
        print(f"{failed} of {len(tasks)} images could not be segmented.", file=sys.stderr)
    return failed


def gather_results(options: argparse.Namespace) -> None:
    """Write the files about all results in the folder, for the formats with such files."""
    without = gather(options.output, options.formats, options.rule, polygons=options.polygons)
    if without:
        _note(f"{without} earlier results are not in yolo: segment their pictures with --formats yolo")


@dataclass(frozen=True)
class _Picture:
    """Picture that has been read, or the reason why it cannot be used.

    Attributes:
        task: task of the picture.
        image: (H, W, 3) picture in full size.
        frame: geometry of the model input.
        small: picture resized for the model, before the crop.
        about: entries of the JSON.
        error: reason why the picture cannot be used, else empty.
        kind: size of the model input; pictures of one size share a forward pass.
        pixels: number of pixels of the picture.
    """

    task: Task
    image: npt.NDArray[np.uint8] | None = None
    frame: Frame | None = None
    small: ReducedImage | None = None
    about: dict[str, Any] | None = None
    error: str = ""
    kind: Hashable = None
    pixels: int = 0


@dataclass(frozen=True)
class _Outcome:
    line: str
    failed: bool = False


@dataclass(frozen=True)
class _Run:
    """State shared by all pictures and threads of a run."""

    segmenter: Segmenter
    refiner: Refiner | None
    vocabulary: Vocabulary
    options: argparse.Namespace

    def try_options(self) -> None:
        """Raise CliptraseError for an option that would fail on every picture."""
        options = self.options
        read_image(np.zeros((1, 1, 3), np.uint8), max_pixels=options.max_pixels)
        try_out(self.segmenter, self.vocabulary, options.preset, options.short_side, **self._settings())

    def read(self, task: Task) -> _Picture:
        """Read a picture in full size and resize it for the model."""
        try:
            with memory_explained(f"picture {task.path.name!r}"):
                image = read_image(task.path, max_pixels=self.options.max_pixels)
                height, width = image.shape[:2]
                preset = preset_by_name(self.options.preset)
                side = preset.side(self.options.short_side, self.segmenter.info.short_side)
                frame = preset.frame((height, width), side, self.segmenter.backbone.patch)
                # Check first: if memory runs out, the operating system kills the whole process.
                expect_memory(f"picture {task.path.name!r}", frame)
                resized = Image.fromarray(image).resize(frame.resized[::-1], Image.Resampling.BICUBIC)
                small = ReducedImage(np.asarray(resized), (height, width))
                about = _about(task.path, _requested(self.vocabulary, self.options))
                about |= {"file": task.file, "folder_digest": folder_digest(task.path)}
        except CliptraseError as error:
            return _Picture(task, error=one_line(error))
        return _Picture(task, image, frame, small, about, kind=frame.model, pixels=height * width)

    def work(self, pictures: Sequence[_Picture]) -> list[_Outcome]:
        """Encode pictures of one size together and write the result of each."""
        usable = [picture.small for picture in pictures if picture.small is not None]
        try:
            with memory_explained("pictures"):
                encodings = self._encode(usable)
        except CliptraseError as error:
            if len(usable) > 1:  # a single picture may be the cause
                return [outcome for picture in pictures for outcome in self.work([picture])]
            reason = one_line(error).replace("pictures:", f"picture {pictures[0].task.path.name!r}:")
            return [_Outcome(f"{pictures[0].task.path}: {reason}", failed=True)]
        found = iter(encodings)
        return [self._finish(picture, next(found) if picture.small is not None else None) for picture in pictures]

    def _encode(self, images: Sequence[ReducedImage]) -> list[ImageEncoding]:
        if not images:
            return []
        options = self.options
        return self.segmenter.encode_batch(
            list(images), options.preset, short_side=options.short_side, max_pixels=options.max_pixels
        )

    def _finish(self, picture: _Picture, encoding: ImageEncoding | None) -> _Outcome:
        path = picture.task.path
        if encoding is None or picture.image is None:
            return _Outcome(f"{path}: {picture.error}", failed=True)
        try:
            with memory_explained(f"picture {path.name!r}"):
                return _Outcome(self._write(picture, picture.image, encoding))
        except CliptraseError as error:
            return _Outcome(f"{path}: {one_line(error)}", failed=True)

    def _write(self, picture: _Picture, image: npt.NDArray[np.uint8], encoding: ImageEncoding) -> str:
        """Write one result and return the line to print."""
        options, path = self.options, picture.task.path
        result = self.segmenter.segment(encoding, self.vocabulary, **self._settings())
        shown = image if result.size == image.shape[:2] else resize_and_crop(image, encoding.frame)
        if self.refiner is not None:
            result = self.refiner(result, shown)
        files = save(
            result,
            shown,
            options.output,
            picture.task.stem,
            formats=options.formats,
            arrays=_intermediates(encoding) if options.intermediates else None,
            about=picture.about,
            rule=options.rule,
            overlay_side=options.overlay_side,
            source=path,
        )
        written = files.overlay if "overlay" in options.formats else files.json
        return f"{path} -> {written}  {_areas(result)}"

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self.options, name) for name in _SETTINGS}


def _expect_same_picture(record: dict[str, Any], path: Path, json: Path) -> None:
    """Raise InputError if an existing result belongs to another picture, because it would be lost."""
    if is_of_another(record, path):
        where = " of another folder" if record.get("picture") == plain(path.name) else ""
        raise InputError(
            explain(
                f"output {json.name!r}",
                expected=f"no result, or an earlier one of {path.name!r}",
                got=f"the result of {record.get('picture')!r}{where}",
                remedy="Choose another --output, or name both pictures in one command.",
            )
        )


def _expect_folder(folder: Path) -> None:
    """Raise InputError unless the output folder is writable or can be created; leaves no file behind."""
    try:
        place = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
        with TemporaryFile(dir=place):
            pass
    except (OSError, ValueError) as error:  # ValueError: a null byte
        got = f"{str(folder)!r} ({error.strerror if isinstance(error, OSError) else error})"
        remedy = "Choose another --output."
        raise InputError(
            explain("output directory", expected="a directory that can be written to", got=got, remedy=remedy)
        ) from error


def _write_renamed(output: str, contents: Mapping[str, bytes]) -> None:
    """Write the JSON of pictures that were done before and have another name in the data set of this command."""
    try:
        write_all(Path(output), contents)
    except OSError as error:
        raise unusable(output, error) from error


def _areas(result: Segmentation) -> str:
    """Return the share of each class that is present, and the names of the others."""
    areas = result.areas
    found = ", ".join(f"{name} {share:.1%}" for name, share in areas.items())
    absent = [name for name in result.class_names if name not in areas]
    return f"{found}; not found: {some(absent, MOST_ABSENT)}" if absent else found


def _intermediates(encoding: ImageEncoding) -> dict[str, np.ndarray]:
    parts = {"patches": encoding.patches, "cls": encoding.cls, "affinity": encoding.affinity}
    return {name: part.float().cpu().numpy() for name, part in parts.items()}


def _note(text: str) -> None:
    print(f"note: {text}.", file=sys.stderr)
