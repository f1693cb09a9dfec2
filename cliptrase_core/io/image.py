"""Reading of a picture (file, PIL image or array) as a (H, W, 3) uint8 sRGB array; any failure is one clear error.

Files are recognised by their content, never by their name. They are decoded only if their header shows that they are
small enough. Messages contain the name of a file but never its folder, because web pages show them.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PureWindowsPath
from typing import IO, Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import ExifTags, Image, ImageCms

from cliptrase_core.cancel import Cancelled
from cliptrase_core.errors import InputError, is_whole
from cliptrase_core.io.file_kinds import foreign_kind, raw_kind, unreadable_kind
from cliptrase_core.io.geometry import strips


class ReducedImage(NamedTuple):
    """Decoded picture, possibly at a reduced size.

    Attributes:
        pixels: (h, w, 3) uint8, sRGB.
        size: (H, W) of the picture before any reduction, upright.
    """

    pixels: npt.NDArray[np.uint8]
    size: tuple[int, int]


ImageInput: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | ReducedImage
"""Accepted picture: path of a file, PIL image, array as for `as_uint8`, or result of `read_reduced`."""

DEFAULT_MAX_PIXELS = 40_000_000
"""Largest number of pixels that is decoded: 120 MB as an array."""

MAX_SCANS = 100
"""Largest number of scans in a JPEG. A progressive JPEG has about ten; so has each thumbnail or further picture."""
MAX_REDUCED_PIXELS = 50 * 1024 * 1024
"""Largest number of pixels if the format can be decoded at a reduced size: 50 megapixels in the terms of phones."""

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF")  # PIL's JPEG reads MPO too, its PNG reads APNG
_SUPPORTED = "a JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF or HEIC picture"
_SMALLER = "Make the picture smaller first."
_SAVE_AGAIN = "Open it in a picture editor and save it as PNG or JPEG."

_DEPTHS = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
"""Largest values of the bit depths of cameras."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that undoes each EXIF orientation; 1 and unknown values leave the picture unchanged."""

_LYING = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""


def file_name(source: ImageInput) -> str:
    """Return the name of a picture's file, without folders; empty if it has none."""
    path = getattr(source, "filename", "") if isinstance(source, Image.Image) else source
    return PureWindowsPath(os.fsdecode(path)).name if isinstance(path, (str, os.PathLike)) else ""


def read_image(source: ImageInput, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Read a picture as a person sees it: upright, over white where transparent, in sRGB.

    From an animation or a file of several pages, the first picture is read; from a PIL image, the current frame.

    Args:
        source: path of a file, PIL image (neither changed nor closed) or array (H, W, 3), (H, W) grey or (H, W, 4)
            with alpha, not premultiplied; of uint8, bool or floats in [0, 1], channels last or first.
        max_pixels: largest H * W; checked before anything is decoded.

    Returns:
        (H, W, 3), sRGB, contiguous. Do not write to it: it may be read-only, or share memory with an input array.

    Raises:
        InputError: the source is not a readable picture, or has more than `max_pixels`.
    """
    return _read(source, max_pixels, whole=True).pixels


def read_reduced(source: ImageInput, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ReducedImage:
    """Read a picture for uses that need only a smaller copy: as `read_image`, but large files are decoded reduced.

    A file of more than `max_pixels` is decoded at a half, a quarter or an eighth if its format allows that (JPEG does),
    so that fewer pixels are decoded. A value of `max_pixels` below the default also lowers the accepted size.

    Args:
        source: as for `read_image`, or a result of this function.
        max_pixels: largest decoded H * W; a file may have `MAX_REDUCED_PIXELS`.

    Raises:
        InputError: as `read_image`.
    """
    return source if isinstance(source, ReducedImage) else _read(source, max_pixels, whole=False)


def _read(source: ImageInput, max_pixels: int, *, whole: bool) -> ReducedImage:
    if not is_whole(max_pixels) or max_pixels < 1:
        raise _error("max_pixels", "a whole number, at least 1", repr(max_pixels), "Leave it out for the default.")
    if isinstance(source, ReducedImage) and source.pixels.shape[:2] == source.size:
        return source
    if isinstance(source, np.ndarray):
        return _as_it_is(_read_array(source, max_pixels))
    if isinstance(source, Image.Image):
        return _as_it_is(_read_pil(source, "picture", max_pixels))
    if isinstance(source, (str, os.PathLike)):
        with opened_file(source, _SUPPORTED) as (file, name):
            image = read_header(file, name, max_pixels)
            _expect_few_scans(file, image, name)
            if not whole and max_pixels >= DEFAULT_MAX_PIXELS and image.width * image.height > max_pixels:
                return _read_smaller(image, name, max_pixels)
            return _as_it_is(_read_pil(image, name, max_pixels))
    raise _error(
        "picture",
        "the path of a file, a PIL image or a uint8 array (H, W, 3)",
        "a picture that was read at a smaller size" if isinstance(source, ReducedImage) else type(source).__name__,
        _conversion(source),
    )


def _conversion(source: object) -> str:
    """Return the remedy for a picture of another type."""
    if isinstance(source, (list, tuple)) and not isinstance(source, ReducedImage):
        return "Give one picture here; encode_batch takes a list."
    if type(source).__name__ in ("Segmentation", "Refined"):  # no import: they are made of pictures
        return "Give the picture of the result, or its encoding."
    if hasattr(source, "read"):
        return "Convert it first: Image.open(file)."
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "Convert it first: Image.open(io.BytesIO(data))."
    return "Convert it first: tensor.numpy()." if hasattr(source, "numpy") else "Give the path of its file."


def _as_it_is(pixels: npt.NDArray[np.uint8]) -> ReducedImage:
    return ReducedImage(pixels, (pixels.shape[0], pixels.shape[1]))


def _read_smaller(image: Image.Image, name: str, max_pixels: int) -> ReducedImage:
    """Decode a file with known header at a half, a quarter or an eighth, or raise InputError with a remedy."""
    width, height = image.size
    with damage_explained(name, max_pixels):
        for part in (2, 4, 8):
            if width * height <= max_pixels * part**2:
                drafted = image.draft(None, (max(1, width // part), max(1, height // part)))
                break
        else:
            drafted = None
    if width * height > max(max_pixels, MAX_REDUCED_PIXELS) or drafted is None:
        most = f"at most {max_pixels:,} pixels, or {max(max_pixels, MAX_REDUCED_PIXELS):,} as a JPEG"
        got = f"{height} x {width} = {height * width:,}"
        as_jpeg = "Save it as JPEG, which is read at a reduced size, or make it smaller first."
        raise _error(name, most, got, as_jpeg if width * height <= MAX_REDUCED_PIXELS else _SMALLER)
    lies = _orientation(image) in _LYING
    return ReducedImage(_read_pil(image, name, max_pixels), (width, height) if lies else (height, width))


def _read_array(array: npt.NDArray[Any], max_pixels: int) -> npt.NDArray[np.uint8]:
    if np.ma.is_masked(array):
        remedy = "Give hidden pixels a colour: array.filled(255)."
        raise InputError("picture", expected="an array without a mask", got="hidden pixels", remedy=remedy)
    array = as_uint8(np.asarray(array))  # a matrix stays 2-D whatever is added: np.repeat crashes on it
    channels = array.shape[2:]
    expect_pixels(array.shape[0], array.shape[1], "picture", max_pixels)
    if not channels:
        return np.repeat(array[..., None], 3, axis=2)  # (H, W, 3)
    if channels == (4,):
        return _over_white(array[..., :3], array[..., 3])
    return np.ascontiguousarray(array)


@contextmanager
def opened_file(source: str | os.PathLike[str], expected: str) -> Iterator[tuple[IO[bytes], str]]:
    """Open a regular file that is not empty. Yield it and its name for messages, which has no folder.

    Args:
        source: path of the file.
        expected: expected content, for messages.

    Raises:
        InputError: there is no such file, or it cannot be opened.
    """
    # PureWindowsPath splits at both kinds of slash, so that the folder of a Windows path is removed too.
    given = os.fsdecode(source)
    name = f"file {(PureWindowsPath(given).name or given)[:100]!r}"  # "." and "/" have no name
    try:
        status = Path(source).stat()
        usable = stat.S_ISREG(status.st_mode) and status.st_size
        file = Path(source).open("rb") if usable else None  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        got = "no such file" if isinstance(error, FileNotFoundError) else "one that cannot be opened"
        link = re.match("[a-zA-Z]{2,}:/", os.fsdecode(source))  # pathlib unites the two slashes
        remedy = "Download it first, links are not opened." if link else "Check its name and rights."
        raise _error(name, "a file that exists and may be read", got, remedy) from error
    if file is None:
        got = "an empty file" if stat.S_ISREG(status.st_mode) else "a folder or a device"
        raise _error(name, expected, got, "Choose a picture.")
    with file:
        yield file, name


def read_header(file: IO[bytes], name: str, max_pixels: int) -> Image.Image:
    """Read the header of a supported format only, and return the picture, which is not decoded yet.

    `Image.open` would try every format of PIL, of which EPS runs another program, Ghostscript. It would also apply
    `Image.MAX_IMAGE_PIXELS`, which is one value for the whole process. The readers are called directly, so that only
    `max_pixels` decides.
    """
    Image.init()
    if "HEIF" not in Image.OPEN:
        pillow_heif.register_heif_opener()
    start = file.read(512)
    raw = raw_kind(file)
    if raw:  # PIL would read its thumbnail as the picture
        raise _error(name, _SUPPORTED, raw, "Open it in a program for raw photos and save it as JPEG or PNG.")
    for reader, accept in (Image.OPEN[kind] for kind in _FORMATS if kind in Image.OPEN):
        # A string instead of True means that this build of PIL lacks the format.
        if accept is None or accept(start[:16]) is True:
            file.seek(0)
            try:
                with damage_explained(name, max_pixels):
                    return reader(file, "")  # no file name: PIL would put it into its own messages
            except InputError:
                kind = unreadable_kind(file)
                if kind is None:
                    raise
                raise _error(name, "a picture with 1, 3 or 4 bands of 8 or 16 bits", kind, _SAVE_AGAIN) from None
    raise _error(name, _SUPPORTED, foreign_kind(start), _SAVE_AGAIN)


def _expect_few_scans(file: IO[bytes], image: Image.Image, name: str) -> None:
    """Refuse a JPEG of many scans before it is decoded: each scan processes the whole picture again.

    The marker cannot occur within coded data (its first byte is escaped there), so that counting needs no decoding.
    """
    if image.format not in ("JPEG", "MPO"):
        return
    place = file.tell()
    file.seek(0)
    scans, end = 0, b""
    while block := file.read(1 << 20):
        scans += (end + block).count(b"\xff\xda")
        end = block[-1:]
    file.seek(place)
    if scans > MAX_SCANS:
        raise _error(name, f"a JPEG of at most {MAX_SCANS} scans", str(scans), _SAVE_AGAIN)


def _read_pil(image: Image.Image, name: str, max_pixels: int) -> npt.NDArray[np.uint8]:
    expect_pixels(image.height, image.width, name, max_pixels)
    with damage_explained(name, max_pixels):
        image.load()
        upright = _upright(image)
        if upright.mode == "F" or upright.mode.startswith("I"):
            return _grey_to_rgb(upright)
        if upright.has_transparency_data:
            return _transparent_to_rgb(upright)
        return np.asarray(_in_srgb(upright))


def _upright(image: Image.Image) -> Image.Image:
    """Undo the EXIF orientation.

    `ImageOps.exif_transpose` is not used: it rewrites the other tags, and fails if one of them is broken.
    """
    method = _UPRIGHT.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 if it is missing or cannot be read."""
    with suppress(Exception):  # EXIF is damaged in many ways, but the pixels are still good
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _transparent_to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Lay a picture over white, in strips: whole conversions of 40 megapixels took 1.4 GB."""
    laid = np.empty((image.height, image.width, 3), np.uint8)
    for rows in strips(laid.shape):
        rgba = _to_rgba(image.crop((0, rows.start, image.width, rows.stop)))
        laid[rows] = _over_white(np.asarray(_in_srgb(rgba.convert("RGB"))), np.asarray(rgba)[..., 3])
    return laid


def _grey_to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Scale integer and float greys to 8 bits by `_grey_range`, in strips; NaN and infinities become 0."""
    stored = np.asarray(image)  # (H, W)
    low, high = np.inf, -np.inf
    for rows in strips(stored.shape):
        finite = np.isfinite(stored[rows])
        low = min(low, float(np.min(stored[rows].astype(np.float64), where=finite, initial=np.inf)))
        high = max(high, float(np.max(stored[rows].astype(np.float64), where=finite, initial=-np.inf)))
    black, white = _grey_range(image.mode, low, high) if low <= high else (0.0, 1.0)  # else no value is finite
    key, grey = image.info.get("transparency"), np.empty((*stored.shape, 3), np.uint8)
    for rows in strips(stored.shape):
        levels = stored[rows].astype(np.float64)
        levels[~np.isfinite(levels)] = black
        levels -= black
        levels *= 255 / (white - black or 1)
        strip = np.rint(levels).astype(np.uint8)
        if isinstance(key, int):
            strip[stored[rows] == key] = 255  # fully transparent, so white
        grey[rows] = strip[..., None]
    return grey


def _grey_range(mode: str, low: float, high: float) -> tuple[float, float]:
    """Return the values to show as black and as white, for a picture with finite values in [low, high].

    The depth of whole numbers is the smallest of `_DEPTHS` that contains all of them: scanners and microscopes write 12
    bits into 16. The range of floats is [0, 1]. All other values are stretched from `low` to `high`.
    """
    known = _DEPTHS if mode.startswith("I") else (1,)
    return next(((0, top) for top in known if low >= 0 and high <= top), (low, high))


def _to_rgba(image: Image.Image) -> Image.Image:
    key = image.info.get("transparency")
    if isinstance(key, tuple) and max(key) > 255:
        # A 16-bit PNG: PIL keeps the high bytes of the pixels, but both bytes of the transparent colour.
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _in_srgb(image: Image.Image) -> Image.Image:
    """Convert to RGB, with the picture's own ICC profile if it has a valid one."""
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    profile = image.info.get("icc_profile")
    if profile:
        with suppress(Exception):  # a broken profile, or one for other channels: the pixels are still good
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _over_white(colour: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Blend (H, W, 3) with white by (H, W) alpha in strips, rounded to the nearest level."""
    blended = np.empty(colour.shape, np.uint8)
    for rows in strips(alpha.shape):
        opacity = alpha[rows, :, None].astype(np.uint16)
        mixed = colour[rows] * opacity + 255 * (255 - opacity)  # at most 255 * 255, fits 16 bits
        blended[rows] = (mixed + 127) // 255
    return blended


def expect_pixels(height: int, width: int, name: str, max_pixels: int) -> None:
    """Raise InputError unless a picture of this size may be decoded."""
    if min(height, width) < 1:
        raise _error(name, "at least 1 x 1 pixel", f"{height} x {width}", "Choose a picture with something in it.")
    if height * width > max_pixels:
        raise _too_large(name, max_pixels, f"{height} x {width} = {height * width:,}")


def _too_large(name: str, max_pixels: int, got: str) -> InputError:
    return _error(name, f"at most {max_pixels:,} pixel{'s' * (max_pixels != 1)}", got, _SMALLER)


@contextmanager
def damage_explained(name: str, max_pixels: int) -> Iterator[None]:
    """Turn any exception of PIL into one InputError: its readers raise dozens of kinds."""
    try:
        yield
    except Cancelled:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, max_pixels, "far more") from error
    except MemoryError as error:
        expected, got = "a picture that the memory of this computer holds", "a larger one, or one that is damaged"
        raise _error(name, expected, got, f"Make the picture smaller, or: {_SAVE_AGAIN}") from error
    except Exception as error:
        raise _error(name, "a whole picture", "a damaged, truncated or unreadable file", _SAVE_AGAIN) from error


def _error(what: str, expected: str, got: str, remedy: str) -> InputError:
    return InputError(what, expected=expected, got=got, remedy=remedy)


_CHANNELS = (1, 3, 4)
ROUNDING = 1e-3  # floats may leave [0, 1] by so much, a quarter of a grey level, without being of another range


def as_uint8(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Convert an array of any unambiguous layout to (H, W), (H, W, 3) or (H, W, 4) uint8.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3), (H, W, 4), or the channels first; uint8, bool, or floats in [0, 1].

    Raises:
        InputError: any other layout, type or range; the message contains a remedy.
    """
    layout = array
    if array.ndim == 3 and array.shape[2] not in _CHANNELS and array.shape[0] in _CHANNELS:
        layout = array.transpose(1, 2, 0)  # the layout of torch
    if layout.ndim == 3 and layout.shape[2] == 1:
        layout = layout[..., 0]
    if layout.ndim not in (2, 3) or (layout.ndim == 3 and layout.shape[2] not in _CHANNELS) or not layout.size:
        batch = " One picture at a time: array[0]." if array.ndim == 4 and array.size else ""
        raise _refused(array, f"Its last axis is colours: 3, or 4 with alpha; (H, W) is grey.{batch}")
    if layout.dtype == np.bool_:
        white: npt.NDArray[np.uint8] = np.where(layout, np.uint8(255), np.uint8(0))
        return white
    if layout.dtype.kind == "f":
        low, high = float(layout.min()), float(layout.max())
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # also true for NaN
            remedy = (
                "Values of 0 to 255 need array.round().astype(np.uint8), those that a filter moved out of [0, 1] "
                "np.clip(array, 0, 1); scale others to [0, 1] first."
            )
            raise _refused(array, remedy, f"values from {low:.4g} to {high:.4g}")
        return np.rint(layout.astype(np.float32) * 255).clip(0, 255).astype(np.uint8)
    if layout.dtype != np.uint8:
        raise _refused(
            array, "Values of 0 to 255 need array.astype(np.uint8), 16 bits (array // 257).astype(np.uint8)."
        )
    return layout


def _refused(array: npt.NDArray[Any], remedy: str, more: str = "") -> InputError:
    expected = "an array (H, W, 3), (H, W) or (H, W, 4) of uint8, bool or floats in [0, 1], channels last or first"
    got = f"{array.dtype} of shape {array.shape}{' with ' + more if more else ''}"
    return InputError("picture", expected=expected, got=got, remedy=remedy)
