"""Encoded pictures: checked for size, read and encoded once, and found by their content. Imports no Gradio."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from cliptrase_core.cache import LRUCache
from cliptrase_core.io.allocator import return_free
from demo import core, drawing
from demo.errors import UserError
from demo.model_facts import key_of
from demo.settings import CACHED_DIGESTS, CACHED_FOR_EACH, CACHED_PICTURE_BYTES, MOST_PATCHES, SHORT_SIDES

if TYPE_CHECKING:
    from cliptrase_core import ImageEncoding, Segmentation, Segmenter
    from cliptrase_core.io.geometry import Frame, Size


MOST_SENTENCES = 40_000
"""Maximum number of words times prompt templates of one request."""

FULL_BYTES = 30
"""Bytes per pixel while a full-size result is made and packed: three maps, the picture, and copies."""


REFINED_BYTES = 50
"""The same with refinement of boundaries: 47 were measured at 16 megapixels."""


CACHED_SHARE = 8
"""Divisor: a cache takes at most 1/8 of the available memory, so it is smaller on a small machine."""


def as_memory_allows(most: int) -> Callable[[], int]:
    """Return a function for the capacity of a cache in bytes: `most`, or less if little memory is available."""

    def capacity() -> int:
        left = core.io.memory.available()
        return most if left is None else min(most, left // CACHED_SHARE)

    return capacity


def expect_memory_in_full(size: Size, each: int = FULL_BYTES) -> None:
    """Check that the available memory is enough for a full-size result.

    Args:
        size: (H, W).
        each: bytes per pixel.

    Raises:
        UserError: too little memory; the message contains a remedy.
    """
    needed, left = each * size[0] * size[1], core.io.memory.available()
    if left is not None and needed > left:
        raise UserError(
            f"In full, {size[0]} x {size[1]} pixels take about {needed / 1e9:.1f} GB of memory, and "
            f"{left / 1e9:.1f} GB are left. Use a smaller copy of the picture."
        )


def expect_few_sentences(words: str, preset: str, templates: str | None) -> None:
    """Check that words and templates make at most `MOST_SENTENCES` sentences: nano needs a minute for 40,000.

    Raises:
        UserError: too many sentences; the message contains a remedy.
        InputError: unreadable words, or an unknown preset.
    """
    prompts = len(core.text.vocabulary.parse_vocabulary(words).prompts)
    chosen = templates or core.presets.preset_by_name(preset).templates
    each = len(core.text.encoder.templates_by_name(chosen))
    if prompts * each > MOST_SENTENCES:
        raise UserError(
            f"Words: {prompts} words in {each} sentences each are more than the {MOST_SENTENCES} sentences that "
            "this page reads at once. Leave some words out, or choose the prompt templates simple7."
        )


def expect_memory(segmenter: Segmenter, size: Size, preset: str, short_side: int | None) -> None:
    """Check that a picture does not take too long or more memory than is available.

    Args:
        segmenter: segmenter for the picture.
        size: (H, W) of the picture.
        preset: preset of the layout.
        short_side: pixels along the short side; None for the preset's value.

    Raises:
        UserError: more patches than the page or the free memory allows; the message contains a remedy.
        InputError: more patches than the core accepts.
    """
    patches = _patches(segmenter, size, preset, short_side)
    left = core.io.memory.available()
    if _fits(patches, left):
        return
    smaller = [s for s in SHORT_SIDES if s < (short_side or SHORT_SIDES[-1] + 1)]
    fitting = [s for s in smaller if _fits(_patches(segmenter, size, "auto", s), left)]
    why = (
        f"this page takes at most {MOST_PATCHES}" if patches > MOST_PATCHES else "too many for the memory that is left"
    )
    remedy = f"Choose a short side of {fitting[-1]} or less under Settings." if fitting else "Use a smaller picture."
    raise UserError(f"At this size the picture makes {patches} patches, {why}. {remedy}")


def _patches(segmenter: Segmenter, size: Size, preset: str, short_side: int | None) -> int:
    plan = core.presets.preset_by_name(preset)
    side = plan.side(short_side, segmenter.info.short_side)
    h, w = plan.frame(size, side, segmenter.backbone.patch).grid
    return h * w


def _fits(patches: int, left: int | None) -> bool:
    return patches <= MOST_PATCHES and (left is None or core.io.memory.bytes_of_patches(patches) <= left)


Result = TypeVar("Result", bound="Segmentation")
MAPS = ("labels", "regions", "confidence")


@dataclass(frozen=True)
class Squeezed:
    """Compressed map of non-negative integers.

    Attributes:
        data: values compressed in the format of zlib.
        kind: type of the values.
        size: (H, W).
    """

    data: bytes
    kind: type[np.unsignedinteger[Any]]
    size: tuple[int, ...]

    @classmethod
    def of(cls, values: npt.NDArray[np.int32]) -> Squeezed:
        """Compress a map (H, W) in the smallest sufficient unsigned type."""
        most = int(values.max())
        kind = next(kind for kind in (np.uint8, np.uint16, np.uint32) if most <= np.iinfo(kind).max)
        content = np.ascontiguousarray(values, kind).data
        return cls(isal_zlib.compress(content, core.io.png.LEVEL), kind, values.shape)

    def values(self) -> npt.NDArray[np.int32]:
        """Return the original map."""
        flat = np.frombuffer(isal_zlib.decompress(self.data), self.kind)
        return flat.reshape(self.size).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Packed(Generic[Result]):
    """Compact result: its maps take little more than two (or four) bytes per pixel instead of twelve.

    Labels and regions are constant over wide areas; they are compressed without loss. Confidence is also exact if the
    result has the picture's own size and may be exported as it is. For a larger picture, confidence is rounded to three
    digits (float16): this is enough for display, and exports are computed again, see
    docs/decisions/021-display-size.md.

    Attributes:
        kind: class of the result.
        labels: labels, in the smallest sufficient unsigned type.
        regions: number of the region plus one, in such a type; 0 = no region.
        confidence: (H, W) float16, or float32 if exact.
        rest: all other fields by name.
    """

    kind: type[Result]
    labels: Squeezed
    regions: Squeezed
    confidence: npt.NDArray[np.floating[Any]]
    rest: dict[str, Any]

    @classmethod
    def of(cls, result: Result, *, exact: bool) -> Packed[Result]:
        """Pack a result, with exact confidence or three digits of it; the result object is not referenced."""
        fields = [field.name for field in dataclasses.fields(result)]
        return cls(
            kind=type(result),
            labels=Squeezed.of(result.labels),
            regions=Squeezed.of(result.regions + 1),
            confidence=result.confidence.astype(np.float32 if exact else np.float16),
            rest={name: getattr(result, name) for name in fields if name not in MAPS},
        )

    def result(self) -> Result:
        """Return the result; its maps have the types of the core: int32, int32, float32."""
        return self.kind(
            labels=self.labels.values(),
            regions=self.regions.values() - 1,
            confidence=self.confidence.astype(np.float32),
            **self.rest,
        )

    @property
    def nbytes(self) -> int:
        """Memory of the maps, in bytes."""
        return len(self.labels.data) + len(self.regions.data) + self.confidence.nbytes


@dataclass(frozen=True)
class PictureKey:
    """Key of an encoded picture: its file, layout and model; small enough to store for each visitor.

    Attributes:
        picture: digest of the file.
        preset: preset of the layout.
        short_side: pixels of the model input along the short side; None for the preset's value.
        model: key of the model that encoded it; unchanged when the page switches to another model.
        model_id: fingerprint of that model.
        grid: (h, w) in patches.
        layers: number of blocks of that model.
        heads: number of heads of each block.
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
    """Encoded picture, ready to be segmented by words.

    Attributes:
        encoding: encoding from the core; its frame is that of the whole picture.
        pixels: (H, W, 3), labelled area of the picture, at `size`.
        shown: (H, W, 3), the same area at display size; small pictures are enlarged.
        patches: (h*cell, w*cell, 3), the area of the model input, a whole number of pixels for each patch.
    """

    encoding: ImageEncoding
    pixels: drawing.Picture
    shown: drawing.Picture
    patches: drawing.Picture

    @property
    def size(self) -> Size:
        """(H, W) of the page's labels: the picture's own size, or the display size of a larger picture."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def complete(self) -> bool:
        """True if `size` is the frame of the core's labels: then the displayed result may be exported as it is."""
        return self.size == self.encoding.frame.labels

    @property
    def nbytes(self) -> int:
        """Memory of the entry in bytes, with the regions that the core caches for it, at one byte per pixel.

        Not counted: the features of other methods, which the core keeps, about four times `encoding.patches`.
        """
        e = self.encoding
        tensors = (e.patches, e.cls, e.affinity, e.last_input)
        pictures = {id(picture): picture for picture in (e.model_input, self.pixels, self.shown, self.patches)}
        regions = CACHED_FOR_EACH * self.pixels.size // 3
        held = sum(picture.nbytes for picture in pictures.values())
        return regions + held + sum(t.numel() * t.element_size() for t in tensors)


class Pictures:
    """Cache of encoded pictures by content, shared by all visitors and threads."""

    def __init__(self) -> None:
        """Create an empty cache."""
        self._cached: LRUCache[Entry] = LRUCache(as_memory_allows(CACHED_PICTURE_BYTES), lambda entry: entry.nbytes)

    def encoded(
        self, segmenter: Segmenter, path: str | None, preset: str, short_side: int | None
    ) -> tuple[PictureKey, Entry, bool]:
        """Return the key and the entry of a picture, and whether it was cached; encode it if it was not.

        Raises:
            UserError: there is no picture, or its file has been removed.
            CliptraseError: the file is not a usable picture.
        """
        if not path:
            raise UserError("There is no picture yet. Upload one, or pick an example.")
        picture = digest(path)
        key = (picture, preset, short_side, key_of(segmenter), segmenter.model_id)
        entry, cached = self._cached.get(key, lambda: _encode(segmenter, path, preset, short_side))
        blocks = segmenter.backbone.blocks
        heads = int(blocks[0].attn.num_heads)
        return PictureKey(*key, grid=entry.encoding.grid, layers=len(blocks), heads=heads), entry, cached

    def forget(self, pictures: Collection[str]) -> int:
        """Remove the entries of pictures by their digests; return the number of removed entries."""
        return self._cached.discard(lambda key: isinstance(key, tuple) and key[0] in pictures)

    def known(self, segmenter: Segmenter, path: str, preset: str, short_side: int | None) -> Entry | None:
        """Return the entry of a picture if it is in memory, else None."""
        return self._cached.peek((digest(path), preset, short_side, key_of(segmenter), segmenter.model_id))

    def again(self, segmenter: Segmenter, key: PictureKey, path: str | None) -> Entry:
        """Return the entry of a picture encoded before: from memory, else from its file if that is unchanged.

        Raises:
            UserError: the picture has been replaced.
        """
        cached = self._cached.peek((key.picture, key.preset, key.short_side, key.model, key.model_id))
        if cached is not None:
            return cached
        expect_same(key, path)
        return self.encoded(segmenter, path, key.preset, key.short_side)[1]


def expect_same(key: PictureKey, path: str | None) -> None:
    """Raise UserError unless the file still contains the picture that was encoded."""
    if not path or digest(path) != key.picture:
        raise UserError("This picture has been replaced. Press Segment to work on the new one.")


def digest(path: str) -> str:
    """Return a short hash of a file's content; an unchanged file is not read again.

    Raises:
        UserError: the file has been removed.
    """
    try:
        known = Path(path).stat()
        return _digest(path, known.st_ino, known.st_size, known.st_mtime_ns)
    except OSError as error:
        raise UserError("The uploaded file is no longer here. Upload the picture again.") from error


@lru_cache(maxsize=CACHED_DIGESTS)
def _digest(path: str, *_state: int) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:24]  # no larger than the upload limit


def labelled_pixels(entry: Entry, key: PictureKey, path: str | None) -> drawing.Picture:
    """Return the labelled area of a picture at full size, (H, W, 3); a paper preset labels the centre.

    Raises:
        UserError: the picture has been replaced or removed.
    """
    if path is None:
        raise UserError("There is no picture. Upload it again.")
    expect_same(key, path)
    if entry.complete:
        return entry.pixels
    return core.io.image.read_image(path, max_pixels=core.io.image.MAX_REDUCED_PIXELS)


def seen_box(frame: Frame, size: Size) -> drawing.Box:
    """Return the area of the model input as (left, top, right, bottom), in pixels of the picture at size (H, W)."""
    tall, wide = (whole / resized for whole, resized in zip(size, frame.resized, strict=True))
    top, left = frame.crop
    # Clamp, so that rounding errors do not cross the edge of the picture.
    right = min((left + frame.model[1]) * wide, size[1])
    bottom = min((top + frame.model[0]) * tall, size[0])
    return left * wide, top * tall, right, bottom


def _encode(segmenter: Segmenter, path: str, preset: str, short_side: int | None) -> Entry:
    read = core.io.image.read_reduced(path)
    expect_memory(segmenter, read.size, preset, short_side)
    encoding = segmenter.encode(read, preset, short_side=short_side)
    frame, side = encoding.frame, drawing.cell_side(encoding.grid)
    box = seen_box(frame, read.pixels.shape[:2])
    whole = frame.labels == frame.original
    shown = drawing.view(read.pixels, drawing.shown_size(frame.labels if whole else frame.model), box)
    entry = Entry(
        encoding=encoding,
        pixels=_labelled(encoding, read.pixels, shown) if whole else encoding.model_input,
        shown=shown,
        patches=drawing.view(read.pixels, (frame.grid[0] * side, frame.grid[1] * side), box),
    )
    del read
    return_free()
    return entry


def _labelled(encoding: ImageEncoding, pixels: drawing.Picture, shown: drawing.Picture) -> drawing.Picture:
    """Return a whole picture at the size of the page's labels: the display size, unless that is enlarged."""
    smaller = max(encoding.frame.labels) < max(shown.shape[:2])
    return pixels if smaller else shown
