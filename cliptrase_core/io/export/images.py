"""Image files of a result: labels as palette and as grey, overlay, one mask and one cut-out for each class."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from cliptrase_core.errors import InputError
from cliptrase_core.io.export.record import foreground
from cliptrase_core.io.files import safe_stem
from cliptrase_core.io.geometry import fitted, nearest
from cliptrase_core.io.png import encode_png
from cliptrase_core.results import Segmentation
from cliptrase_core.viz.overlay import lay_over, overlay
from cliptrase_core.viz.palette import label_colours


@contextmanager
def opencv_threads_shared(jobs: int) -> Iterator[None]:
    """Divide OpenCV's threads among the jobs within the context: more threads would wait for each other by spinning."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(max(1, before // jobs))
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def labels_png(result: Segmentation) -> bytes:
    """Return the labels as an indexed PNG with its palette, or as 16-bit grey if there are more than 256 names.

    Raises:
        InputError: more names than 16 bits can number.
    """
    if len(result.class_names) > 256:
        return index_png(result)
    return encode_png(result.small_labels, label_colours(result).tobytes().ljust(768, b"\0"))


def index_png(result: Segmentation) -> bytes:
    """Return the labels as a grey PNG of 8 bits, or of 16 if there are more than 256 names. For readers that turn a
    palette into colours, such as cv2, imageio and skimage.

    Raises:
        InputError: more names than 16 bits can number.
    """
    count = len(result.class_names)
    if count > 65_536:
        remedy = "Leave out classes that are absent."
        raise InputError("class names", expected="at most 65536", got=str(count), remedy=remedy)
    kind = np.uint8 if count <= 256 else np.uint16
    return encode_png(result.small_labels.astype(kind, copy=False))


def overlay_png(image: npt.NDArray[np.uint8], result: Segmentation, longest: int | None = None) -> bytes:
    """Return the picture under the colours of its classes, as a PNG.

    Args:
        image: (H, W, 3), in the frame of the labels.
        result: result to show.
        longest: longest side in pixels, to which a larger picture is reduced; None or 0 keeps its size.
    """
    if longest and max(result.size) > longest:
        return encode_png(lay_over(*_shrunk(image, result.small_labels, longest), label_colours(result)))
    return encode_png(overlay(image, result))


def _shrunk(
    image: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer[Any]], longest: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.integer[Any]]]:
    """Reduce picture (H, W, 3) and labels (H, W) for display, to a long side of `longest` pixels."""
    size = fitted((labels.shape[0], labels.shape[1]), longest)
    skip = max(1, max(labels.shape) // (2 * longest))  # leaves two to four times the length of the result
    near = np.ascontiguousarray(image[::skip, ::skip])
    small = cv2.resize(near, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    return small, nearest(labels, size)


def mask_pngs(result: Segmentation) -> Iterator[tuple[str, bytes]]:
    """Yield file name and PNG of each present class: 255 inside the class, 0 elsewhere."""
    for label, name in present(result):
        mask = np.where(result.small_labels == label, np.uint8(255), np.uint8(0))
        yield name, encode_png(mask)


def cutout_pngs(image: npt.NDArray[np.uint8], result: Segmentation) -> Iterator[tuple[str, bytes]]:
    """Yield file name and PNG of each present class: its pixels of the picture (H, W, 3), else transparent black."""
    opaque = np.dstack([image, np.full(result.size, 255, np.uint8)])
    for label, name in present(result):
        yield name, encode_png(np.asarray(cv2.copyTo(opaque, (result.small_labels == label).view(np.uint8))))


def present(result: Segmentation) -> Iterator[tuple[int, str]]:
    """Yield label and file name of each class that has pixels, without the background."""
    here = np.bincount(result.small_labels.ravel(), minlength=len(result.class_names)) > 0
    names = class_files(result.class_names)
    return ((label, names[label]) for label in foreground(result.class_names) if here[label])


def class_files(names: Sequence[str]) -> list[str]:
    """Return a file name for each class, all different even if case is ignored: "cat.png" and, for a second class "Cat"
    with label 3, "Cat-3.png"."""
    taken: set[str] = set()
    files = []
    for label, name in enumerate(names):
        stem = safe_stem(name)
        short, end = stem[:60].encode()[:150].decode(errors="ignore"), ""
        while stem.casefold() in taken:
            end += f"-{label}"  # grows, so that a free name is found even where other classes have such an end
            stem = short + end
        taken.add(stem.casefold())
        files.append(f"{stem}.png")
    return files


_KEPT = {"JPEG": ".jpg", "PNG": ".png"}


def picture_file(pixels: npt.NDArray[np.uint8], source: str | os.PathLike[str] | None) -> tuple[str, bytes]:
    """Return ending and content of a picture that every annotation tool reads: the file itself if it is an upright JPEG
    or PNG of the labels' size, else a new JPEG.

    Args:
        pixels: (H, W, 3), in the frame of the labels.
        source: file of the picture, if there is one.
    """
    if source is not None:
        content = Path(source).read_bytes()
        try:
            with Image.open(io.BytesIO(content), formats=[*_KEPT]) as header:
                upright = header.getexif().get(274, 1) == 1
                fits = header.size == pixels.shape[1::-1] and header.mode in ("RGB", "L")
                kept = _KEPT.get(str(header.format), "") if upright and fits else ""
                moves = isinstance(header, PngImageFile) and header.is_animated
        except Exception:  # PIL's own limits and damaged EXIF do not prevent `read_image` from reading a file
            kept = ""
        if kept and not moves:
            return kept, content
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=95)
    return ".jpg", buffer.getvalue()
