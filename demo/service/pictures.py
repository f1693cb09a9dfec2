"""Pictures that the model has seen: each is read and encoded once, and known by its content. Imports no Gradio."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from demo import core, memory
from demo.cache import LRUCache
from demo.errors import UserError
from demo.figures import views
from demo.models import key_of
from demo.service.limits import expect_room
from demo.settings import KEPT_DIGESTS, KEPT_FOR_EACH, KEPT_PICTURE_BYTES

if TYPE_CHECKING:
    from cliptrase_core import ImageEncoding, Segmenter
    from cliptrase_core.io.geometry import Frame, Size


@dataclass(frozen=True)
class PictureKey:
    """Which picture a result belongs to, and how the model saw it: small enough to keep for each visitor.

    Attributes:
        picture: digest of the file.
        preset: how it was laid out.
        short_side: pixels that the model sees along the short side; None for the preset's.
        model: key of the model that saw it: it stays that one when the page runs another.
        model_id: its fingerprint.
        grid: (h, w) in patches.
        layers: blocks of that model.
        heads: heads of each block.
    """

    picture: str
    preset: str
    short_side: int | None
    model: str
    model_id: str
    grid: tuple[int, int]
    layers: int
    heads: int


@dataclass(frozen=True, eq=False)
class Entry:
    """A picture that is ready for words.

    Attributes:
        encoding: of the core; its frame is the whole picture's.
        pixels: (H, W, 3), the part that gets labels, at `size`.
        shown: (H, W, 3), the same at the size at which it is shown: small pictures are enlarged.
        patches: (h*cell, w*cell, 3), the model input, a whole number of pixels for each patch.
    """

    encoding: ImageEncoding
    pixels: views.Picture
    shown: views.Picture
    patches: views.Picture

    @property
    def size(self) -> Size:
        """(H, W) at which the page labels it: that of the picture, or what is shown of a larger one."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def complete(self) -> bool:
        """Whether that is the frame of the core's labels: then what the page shows may leave it as it is."""
        return self.size == self.encoding.frame.labels

    @property
    def nbytes(self) -> int:
        """Memory that keeping it takes, with the regions that the core keeps beside it."""
        e = self.encoding
        tensors = (e.patches, e.cls, e.affinity, e.last_input)
        pictures = {id(picture): picture for picture in (e.model_input, self.pixels, self.shown, self.patches)}
        regions = KEPT_FOR_EACH * self.pixels.size // 3  # a byte a pixel each
        held = sum(picture.nbytes for picture in pictures.values())
        return regions + held + sum(t.numel() * t.element_size() for t in tensors)


class Pictures:
    """Encoded pictures of everybody, by content; threads share one."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: LRUCache[Entry] = LRUCache(KEPT_PICTURE_BYTES, lambda entry: entry.nbytes)

    def encoded(
        self, segmenter: Segmenter, path: str | None, preset: str, short_side: int | None
    ) -> tuple[PictureKey, Entry, bool]:
        """A picture as the model sees it, and whether it had been encoded before.

        Raises:
            UserError: there is no picture, or its file has gone.
            CliptraseError: the file is no usable picture.
        """
        if not path:
            raise UserError("There is no picture yet. Upload one, or pick an example.")
        picture = digest(path)
        key = (picture, preset, short_side, key_of(segmenter), segmenter.model_id)
        entry, reused = self._kept.get(key, lambda: _encode(segmenter, path, preset, short_side))
        blocks = segmenter.backbone.blocks
        heads = int(blocks[0].attn.num_heads)
        return PictureKey(*key, grid=entry.encoding.grid, layers=len(blocks), heads=heads), entry, reused

    def known(self, segmenter: Segmenter, path: str, preset: str, short_side: int | None) -> Entry | None:
        """The entry of a picture if it is in memory."""
        return self._kept.peek((digest(path), preset, short_side, key_of(segmenter), segmenter.model_id))

    def again(self, segmenter: Segmenter, seen: PictureKey, path: str | None) -> Entry:
        """The entry of a picture that was seen: from memory, else from its file if that is still the same.

        Raises:
            UserError: another picture is there by now.
        """
        kept = self._kept.peek((seen.picture, seen.preset, seen.short_side, seen.model, seen.model_id))
        if kept is not None:
            return kept
        expect_same(seen, path)
        return self.encoded(segmenter, path, seen.preset, seen.short_side)[1]


def expect_same(seen: PictureKey, path: str | None) -> None:
    """Raise UserError unless the file still holds the picture that was seen."""
    if not path or digest(path) != seen.picture:
        raise UserError("This picture has been replaced. Press Segment to work on the new one.")


def digest(path: str) -> str:
    """Short hash of a file's content; a file that has not been touched since is not read again.

    Raises:
        UserError: the file has gone.
    """
    try:
        known = Path(path).stat()
        return _digest(path, known.st_ino, known.st_size, known.st_mtime_ns)
    except OSError as error:
        raise UserError("The uploaded file is no longer here. Upload the picture again.") from error


@lru_cache(maxsize=KEPT_DIGESTS)
def _digest(path: str, *_state: int) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:24]  # at most the upload limit


def labelled_pixels(entry: Entry, seen: PictureKey, path: str | None) -> views.Picture:
    """(H, W, 3), the part of a picture that gets labels, in full; a paper preset labels its centre.

    Raises:
        UserError: the picture has been replaced or has gone.
    """

    if path is None:
        raise UserError("There is no picture. Upload it again.")
    expect_same(seen, path)
    if entry.complete:
        return entry.pixels
    return core.io.image.read_image(path, max_pixels=core.io.image.MAX_REDUCED_PIXELS)


def seen_box(frame: Frame, size: Size) -> views.Box:
    """The part of a picture that the model saw, as (left, top, right, bottom) in pixels of it at (H, W)."""
    tall, wide = (whole / resized for whole, resized in zip(size, frame.resized, strict=True))
    top, left = frame.crop
    # Clamped: rounding must not leave the picture by a hair.
    right = min((left + frame.model[1]) * wide, size[1])
    bottom = min((top + frame.model[0]) * tall, size[0])
    return left * wide, top * tall, right, bottom


def _encode(segmenter: Segmenter, path: str, preset: str, short_side: int | None) -> Entry:

    read = core.io.image.read_reduced(path)
    expect_room(segmenter, read.size, preset, short_side)
    encoding = segmenter.encode(read, preset, short_side=short_side)
    frame, side = encoding.frame, views.cell_side(encoding.grid)
    box = seen_box(frame, read.pixels.shape[:2])
    whole = frame.labels == frame.original
    shown = views.view(read.pixels, views.shown_size(frame.labels if whole else frame.model), box)
    entry = Entry(
        encoding=encoding,
        pixels=_labelled(encoding, read.pixels, shown) if whole else encoding.model_input,
        shown=shown,
        patches=views.view(read.pixels, (frame.grid[0] * side, frame.grid[1] * side), box),
    )
    del read
    memory.return_free()
    return entry


def _labelled(encoding: ImageEncoding, pixels: views.Picture, shown: views.Picture) -> views.Picture:
    """A whole picture at the size at which the page labels it: what is shown, unless that was enlarged."""
    smaller = max(encoding.frame.labels) < max(shown.shape[:2])
    return pixels if smaller else shown
