"""`segment`: segment pictures and write the results. A picture that cannot be read does not stop the run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from cliptrase_core.cli.pipeline import BATCH, Pipeline, threads_shared
from cliptrase_core.cli.tasks import SETTINGS, Task, gather_results, note, source_entries
from cliptrase_core.errors import CliptraseError, InputError, counted, memory_explained, one_line, some
from cliptrase_core.io.allocator import blocks_kept
from cliptrase_core.io.export.record import folder_digest
from cliptrase_core.io.export.saving import save
from cliptrase_core.io.files import visible
from cliptrase_core.io.geometry import Frame
from cliptrase_core.io.image import ReducedImage, read_image
from cliptrase_core.io.memory import expect_memory
from cliptrase_core.models.encoder import resize_and_crop
from cliptrase_core.presets import preset_by_name
from cliptrase_core.refine import NONE, Refiner, load_refiner
from cliptrase_core.results import ImageEncoding, Segmentation
from cliptrase_core.segmenter import Segmenter, try_out
from cliptrase_core.text.linter import not_known
from cliptrase_core.text.vocabulary import Vocabulary

MOST_ABSENT = 6
"""Names of absent classes in the line of a picture; the others are counted."""


def segment_pictures(
    tasks: Sequence[Task],
    vocabulary: Vocabulary,
    segmenter: Segmenter,
    options: argparse.Namespace,
    notes: Sequence[str],
) -> int:
    """Write a result for each picture and print its path; then write the files about all results, even if interrupted.

    The notes are printed before the first result, so that a single picture that cannot be used is one line on stderr.

    Returns:
        Number of pictures that could not be used; each is printed on stderr with its reason.

    Raises:
        CliptraseError: an option would fail on every picture; raised before the first picture.
    """
    refiner = load_refiner(
        options.refine, mode=options.refine_mode, checkpoint=options.sam_checkpoint, device=str(segmenter.device)
    )
    notes = [*notes, *not_known(segmenter.unknown_words(vocabulary.prompts), segmenter.unknown_words)]
    run = _Run(segmenter, None if options.refine == NONE else refiner, vocabulary, options)
    run.try_options()
    failed = 0
    if len(tasks) > 1 or options.skip_existing:
        note(*notes)
        notes = []
    bar = tqdm(
        total=len(tasks), unit="image", disable=True if len(tasks) < 2 else None
    )  # None: off unless on a terminal
    pipeline: Pipeline[Task, _Picture, _Outcome] = Pipeline(run.read, run.work, options.jobs, BATCH)
    try:
        with threads_shared(options.jobs), blocks_kept():
            for outcome in pipeline.run(tasks):
                bar.update()
                failed += outcome.failed
                if notes and not outcome.failed:
                    note(*notes)  # of a single picture, which has no progress bar
                    notes = []
                bar.write(visible(outcome.line), file=sys.stderr if outcome.failed else sys.stdout)
    except KeyboardInterrupt:
        bar.close()
        note("the same command with --skip-existing goes on from here.")
        raise
    finally:
        bar.close()
        gather_results(options)
    if failed and len(tasks) > 1:
        print(f"{failed} of {counted(len(tasks), 'picture')} could not be segmented.", file=sys.stderr)
    return failed


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
            with _explained(task.path):
                image = read_image(task.path, max_pixels=self.options.max_pixels)
                height, width = image.shape[:2]
                preset = preset_by_name(self.options.preset)
                side = preset.side(self.options.short_side, self.segmenter.info.short_side)
                frame = preset.frame((height, width), side, self.segmenter.backbone.patch)
                # Check first: if memory runs out, the operating system kills the whole process.
                expect_memory(f"picture {task.path.name!r}", frame)
                resized = Image.fromarray(image).resize(frame.resized[::-1], Image.Resampling.BICUBIC)
                small = ReducedImage(np.asarray(resized), (height, width))
                about = source_entries(task.path, self.options.requested)
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
            with _explained(path):
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
        return f"{path} -> {written}  {self._found(result)}"

    def _found(self, result: Segmentation) -> str:
        """Return the share of each class that is present, the names of the others, and notes about this picture."""
        areas = result.areas
        shown = {name: f'"{name}"' if "," in name else name for name in result.class_names}
        found = ", ".join(f"{shown[name]} {share:.1%}" for name, share in areas.items())
        absent = [shown[name] for name in result.class_names if name not in areas]
        found += f"; not found: {some(absent, MOST_ABSENT)}" if absent else ""
        notes = [note for note in result.notes if note not in self.vocabulary.notes]
        return " ".join([f"{found}.", *notes]) if notes else found

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self.options, name) for name in SETTINGS}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of one picture into CliptraseError: too little memory, and a file that a person moves during the run.

    Its file is read several times. `save` explains errors of the output itself.
    """
    try:
        with memory_explained(f"picture {path.name!r}"):
            yield
    except OSError as error:
        expected, got = "a file that stays readable during the run", error.strerror or "an error"
        remedy = "Check that it exists, and its rights; --skip-existing goes on with it."
        raise InputError(f"picture {path.name!r}", expected=expected, got=got, remedy=remedy) from error


def _intermediates(encoding: ImageEncoding) -> dict[str, np.ndarray]:
    parts = {"patches": encoding.patches, "cls": encoding.cls, "affinity": encoding.affinity}
    return {name: part.float().cpu().numpy() for name, part in parts.items()}
