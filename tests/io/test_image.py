"""`read_image`: supported inputs and their pixels, refused inputs and their messages.

In order: formats, content against name, orientation, transparency, bit depths, colour spaces and profiles, PIL
images, arrays, size limits, files that are no pictures, messages, threads. The files are made by
`data/make_images.py`; "quadrants" is red, green / blue, white, so that every orientation differs.
"""

import io
import os
import shutil
import struct
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFile, ImageOps

from cliptrase_core.cancel import Cancelled, CancelToken, cancellable
from cliptrase_core.errors import InputError
from cliptrase_core.io import geometry
from cliptrase_core.io import image as image_module
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, MAX_REDUCED_PIXELS, ReducedImage, read_image, read_reduced

IMAGES = Path(__file__).parents[1] / "data" / "images"
SECRET = "folder-of-anna"

RED, GREEN, BLUE, WHITE, BLACK = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0]
QUADRANTS = [RED, GREEN, BLUE, WHITE]

SUPPORTED = "a JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF or HEIC picture"
DAMAGED = "a damaged, truncated or unreadable file"


def expect_quadrants(picture, colours=QUADRANTS, tolerance=3):
    """Check size, layout and the middle of each quadrant; JPEG and AVIF miss pure colours by a few levels."""
    assert picture.shape == (32, 48, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    middles = picture[[8, 8, 24, 24], [12, 36, 12, 36]]
    np.testing.assert_allclose(middles.astype(int), colours, atol=tolerance)


def greys(picture):
    """Return the first row of a picture, after checking that it is grey."""
    assert (picture == picture[..., :1]).all()
    return picture[0, :, 0].tolist()


def refused(source, **options):
    with pytest.raises(InputError) as caught:
        read_image(source, **options)
    return str(caught.value)


def copied(tmp_path, name, new_name):
    folder = tmp_path / SECRET
    folder.mkdir(exist_ok=True)
    return Path(shutil.copyfile(IMAGES / name, folder / new_name))


# Formats


@pytest.mark.parametrize(
    "name",
    [
        "quadrants.jpg",
        "quadrants.png",
        "palette.png",
        "quadrants.bmp",
        "quadrants.gif",
        "quadrants.tif",
        "quadrants_lzw.tif",
        "quadrants.webp",
        "quadrants.avif",
        "quadrants.heic",
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_every_supported_format_is_read(name, kind):
    if name.endswith("avif") and "AVIF" not in Image.registered_extensions().values():
        pytest.skip("this Pillow reads no AVIF")
    expect_quadrants(read_image(kind(IMAGES / name)))


@pytest.mark.parametrize("name", ["animated.gif", "animated.png", "animated.webp", "pages.tif", "two.mpo"])
def test_the_first_picture_of_several_is_read(name):
    expect_quadrants(read_image(IMAGES / name))


@pytest.mark.parametrize("new_name", ["picture.txt", "picture.jpg", "picture", "фото 貓 🐈.png", "a%20b&c#d.png"])
def test_content_counts_and_the_name_does_not(tmp_path, new_name):
    expect_quadrants(read_image(copied(tmp_path, "quadrants.png", new_name)))


# Orientation


@pytest.mark.parametrize(
    "name",
    [*(f"orientation_{i}.jpg" for i in range(1, 9)), *(f"orientation_6.{kind}" for kind in ("png", "tif", "webp"))],
)
def test_a_turned_photo_is_set_upright_once(name):
    with Image.open(IMAGES / name) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        np.testing.assert_array_equal(read_image(image), expected)
    np.testing.assert_array_equal(read_image(IMAGES / name), expected)
    expect_quadrants(expected)


def test_a_turned_heic_is_set_upright_once():
    expect_quadrants(read_image(IMAGES / "orientation_6.heic"))


def test_an_image_that_was_set_upright_before_is_not_turned_again():
    with Image.open(IMAGES / "orientation_6.jpg") as image:
        expect_quadrants(read_image(ImageOps.exif_transpose(image)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_broken_exif_does_not_spoil_the_picture():
    expect_quadrants(read_image(IMAGES / "broken_exif.jpg"))


def test_orientation_is_used_although_another_tag_is_broken():
    with Image.open(IMAGES / "orientation_6_broken_tag.jpg") as image, pytest.raises(Exception, match="integer"):
        ImageOps.exif_transpose(image)  # the reason why read_image does not call it
    expect_quadrants(read_image(IMAGES / "orientation_6_broken_tag.jpg"))


# Transparency: expected values are (colour * alpha + 255 * (255 - alpha)) / 255


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rgba.png", [WHITE, [127, 177, 227]]),
        ("grey_alpha.png", [WHITE, [177, 177, 177]]),
        ("palette_alpha.png", [WHITE, [127, 177, 227]]),
        ("transparent.gif", [WHITE, [0, 100, 200]]),
        ("rgb_key.png", [WHITE, [4, 5, 6]]),
        ("grey_key.png", [WHITE, [8, 8, 8]]),
        ("grey16_key.png", [WHITE, [100, 100, 100]]),
        ("rgb16_key.png", [WHITE, [255, 0, 1]]),
    ],
)
def test_what_is_transparent_lies_over_white(name, expected):
    assert read_image(IMAGES / name).tolist() == [expected]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_every_mode_with_alpha_is_white_where_clear(mode):
    assert (read_image(Image.new(mode, (3, 2))) == 255).all()


def in_one(image):
    """Return what `read_image` returns, computed on the whole picture at once."""
    if not image.has_transparency_data:
        levels = np.array(image, np.float64)
        finite = np.isfinite(levels)
        low, high = levels[finite].min(), levels[finite].max()
        known = (255, 1023, 4095, 16383, 65535) if image.mode.startswith("I") else (1,)
        low, high = next(((0, top) for top in known if low >= 0 and high <= top), (low, high))
        levels[~finite] = low
        return np.repeat(np.rint((levels - low) * (255 / (high - low))).astype(np.uint8)[..., None], 3, axis=2)
    rgba = image.convert("RGBA")
    colour = rgba.convert("RGB")
    if image.info.get("icc_profile"):
        given = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        colour = ImageCms.profileToProfile(colour, given, ImageCms.createProfile("sRGB"))
    alpha = np.asarray(rgba)[..., 3:].astype(np.uint32)
    return ((np.asarray(colour) * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "profile", "turned", "array", "I;16", "I", "F", "holes"])
def test_strips_give_every_pixel_of_the_whole(monkeypatch, kind):
    monkeypatch.setattr(geometry, "STRIP_PIXELS", 100)
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (50, 37, 4), dtype=np.uint8))
    floats = rng.normal(size=(50, 37)).astype(np.float32)
    if kind in ("RGBA", "LA", "P"):
        image = colours.convert("PA").convert("P") if kind == "P" else colours.convert(kind)
        if kind == "P":
            image.info["transparency"] = bytes(range(256))
    elif kind in ("profile", "turned"):
        image = colours
        image.info["icc_profile"] = Image.open(IMAGES / "rgb_swapped_profile.png").info["icc_profile"]
    elif kind == "array":
        image = colours
    else:
        if kind == "holes":
            floats[::3, ::2], floats[30:] = np.nan, -np.inf
        image = Image.fromarray(floats if kind in ("F", "holes") else (floats * 9999).astype(np.int32))
        image = Image.fromarray(rng.integers(0, 4000, (50, 37), dtype=np.uint16)) if kind == "I;16" else image
    expected = in_one(image)
    if kind == "turned":
        image.getexif()[274] = 6
        expected = np.rot90(expected, -1)
    np.testing.assert_array_equal(read_image(np.asarray(image) if kind == "array" else image), expected)


@pytest.mark.parametrize("kind", ["RGBA", "I;16", "array"])
def test_a_large_picture_takes_little_more_than_its_result(kind):
    pixels = np.zeros((2000, 3000), np.uint16) if kind == "I;16" else np.zeros((2000, 3000, 4), np.uint8)
    source = pixels if kind == "array" else Image.fromarray(pixels)
    tracemalloc.start()
    try:
        read_image(source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * 18_000_000, "18 MB as a result; computed at once, 145 to 300 MB"


def test_cancelled_reading_is_no_damaged_picture():
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled), cancellable(token):
        read_image(Image.new("RGBA", (3, 2)))


# Bit depths


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bilevel.png", [0, 0, 0, 0, 255, 255, 255, 255]),
        ("grey16.png", [0, 1, 128, 255]),  # stored as 0, 257, 32896, 65535; likewise below
        ("grey16_little.tif", [0, 1, 128, 255]),
        ("grey16_big.tif", [0, 1, 128, 255]),
        ("int_small.tif", [0, 100, 255]),  # unchanged
        ("int_deep.tif", [0, 1, 255]),  # 0, 257, 65535
        ("int_wide.tif", [0, 64, 255]),  # -100, -50, 100
        ("float_unit.tif", [0, 51, 255]),  # 0, 0.2, 1
        ("float_wide.tif", [0, 64, 255]),  # -2, -1, 2
        ("float_holes.tif", [0, 51, 0]),  # NaN, 0.2, infinity
        ("float_empty.tif", [0, 0, 0]),  # NaN, infinity, -infinity
        ("float_flat.tif", [0, 0, 0]),  # 7, 7, 7
    ],
)
def test_greys_of_any_depth_are_scaled_to_eight_bits(name, expected):
    assert greys(read_image(IMAGES / name)) == expected


def test_sixteen_bit_grey_keeps_every_257th_level_and_rounds_between():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = read_image(Image.fromarray(levels))
    np.testing.assert_array_equal(picture[..., 0], np.rint(levels / 257))


def test_sixteen_bit_colour_is_scaled_and_not_clipped():
    assert read_image(IMAGES / "rgb16.png").tolist() == [[[255, 0, 1], [128, 2, 100]]]


def test_the_largest_floats_do_not_overflow():
    largest = np.finfo(np.float32).max
    assert greys(read_image(Image.fromarray(np.array([[-largest, largest]], np.float32)))) == [0, 255]


# Colour spaces and profiles


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cmyk_plain.jpg", [0, 255, 255]),  # cyan as PIL converts it
        ("cmyk_broken_profile.jpg", [0, 255, 255]),
        ("cmyk_profile.jpg", [9, 160, 230]),  # cyan of the profile, (0, 160, 230) rounded to whole Lab steps
    ],
)
def test_a_cmyk_jpeg_follows_its_profile_where_that_works(name, expected):
    np.testing.assert_allclose(read_image(IMAGES / name)[4, 4].astype(int), expected, atol=4)


@pytest.mark.parametrize(
    ("name", "colours"),
    [
        ("rgb_srgb_profile.png", QUADRANTS),
        ("rgb_swapped_profile.png", [GREEN, RED, BLUE, WHITE]),
        ("rgba_swapped_profile.png", [GREEN, RED, BLUE, WHITE]),
        ("palette_swapped_profile.png", [GREEN, RED, BLUE, WHITE]),
        ("rgb_broken_profile.png", QUADRANTS),
        ("rgb_wrong_profile.png", QUADRANTS),  # a CMYK profile
    ],
)
def test_an_rgb_picture_follows_its_profile_where_that_works(name, colours):
    expect_quadrants(read_image(IMAGES / name), colours)


def test_an_srgb_profile_changes_no_pixel():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    with Image.open(IMAGES / "rgb_srgb_profile.png") as profiled:
        image.info["icc_profile"] = profiled.info["icc_profile"]
    np.testing.assert_array_equal(read_image(image), noise)


def test_a_lab_tiff_is_converted():
    expect_quadrants(read_image(IMAGES / "lab.tif"), tolerance=25)  # 8-bit Lab is coarse for pure colours


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_every_other_mode_is_converted_as_pil_does(mode):
    with Image.open(IMAGES / "quadrants.png") as image:
        converted = image.convert(mode)
    np.testing.assert_array_equal(read_image(converted), np.asarray(converted.convert("RGB")))


# PIL images


@pytest.mark.parametrize("name", ["orientation_6.jpg", "rgb16_key.png", "palette_alpha.png", "grey16_key.png"])
def test_a_pil_image_is_neither_changed_nor_closed(name):
    with Image.open(IMAGES / name) as image:
        image.load()
        before = image.mode, image.size, dict(image.info), image.tobytes()
        np.testing.assert_array_equal(read_image(image), read_image(IMAGES / name))
        np.testing.assert_array_equal(read_image(image), read_image(IMAGES / name))
        assert (image.mode, image.size, dict(image.info), image.tobytes()) == before


def test_of_an_open_animation_the_current_frame_is_read():
    with Image.open(IMAGES / "animated.gif") as image:
        image.seek(1)
        expect_quadrants(read_image(image), [BLUE] * 4)
        assert image.tell() == 1


def test_a_closed_pil_image_is_refused():
    image = Image.open(IMAGES / "quadrants.png")
    image.close()
    assert DAMAGED in refused(image)


# Arrays


def test_a_colour_array_is_returned_as_it_is():
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    array.flags.writeable = False
    np.testing.assert_array_equal(read_image(array), array)


def test_a_picture_that_was_read_before_is_taken_unless_it_was_reduced():
    pixels = np.zeros((4, 6, 3), np.uint8)
    assert read_image(read_reduced(pixels)) is read_reduced(pixels).pixels
    with pytest.raises(InputError, match="got a picture that was read at a smaller size"):
        read_image(ReducedImage(pixels, (40, 60)))


def test_a_strided_array_becomes_contiguous():
    array = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)[::2, ::-1]
    picture = read_image(array)
    assert picture.flags.c_contiguous
    np.testing.assert_array_equal(picture, array)


def test_a_grey_array_gets_three_equal_channels():
    array = np.array([[0, 7, 255]], np.uint8)
    assert read_image(array).tolist() == [[BLACK, [7, 7, 7], WHITE]]


def test_an_array_with_alpha_is_laid_over_white_and_left_alone():
    array = np.array([[[255, 0, 0, 0], [0, 100, 200, 128], [1, 2, 3, 255]]], np.uint8)
    before = array.copy()
    assert read_image(array).tolist() == [[WHITE, [127, 177, 227], [1, 2, 3]]]
    np.testing.assert_array_equal(array, before)


def test_alpha_is_rounded_to_the_nearest_level():
    colour, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    expected = np.rint((colour * (alpha / 255.0)) + 255 - alpha.astype(float))
    picture = read_image(np.stack([colour, colour, colour, alpha], axis=2))
    np.testing.assert_array_equal(picture[..., 0], expected)


def test_floats_that_rounding_moved_out_of_0_to_1_are_colours():
    colours = read_image(np.array([[-1e-7, 0.5, 1.0000001]]))
    np.testing.assert_array_equal(colours[0, :, 0], [0, 128, 255])
    assert "np.clip(array, 0, 1)" in refused(np.array([[-0.08, 0.5, 1.09]]))  # as after a bicubic resize


def test_an_array_with_hidden_pixels_is_refused():
    grey = np.full((2, 3), 9, np.uint8)
    assert "got hidden pixels. Give hidden pixels a colour" in refused(np.ma.masked_array(grey, mask=[[1, 0, 0]] * 2))
    np.testing.assert_array_equal(read_image(np.ma.masked_array(grey, mask=False)), read_image(grey))


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.full((2, 2, 3), 7.5, np.float32), "float32 of shape (2, 2, 3) with values from 7.5 to 7.5"),
        (np.full((2, 2, 3), -0.1), "float64 of shape (2, 2, 3) with values from -0.1 to -0.1"),
        (np.full((2, 2), np.nan), "float64 of shape (2, 2) with values from nan to nan"),
        (np.zeros((2, 2, 3), np.int64), "int64 of shape (2, 2, 3)"),
        (np.zeros((2, 2), np.uint16), "uint16 of shape (2, 2)"),
        (np.zeros((2, 2, 3), complex), "complex128 of shape (2, 2, 3)"),
        (np.zeros((2, 2, 3), object), "object of shape (2, 2, 3)"),
        (np.zeros((2, 2, 5), np.uint8), "uint8 of shape (2, 2, 5)"),
        (np.zeros((2, 2, 2), np.uint8), "uint8 of shape (2, 2, 2)"),
        (np.zeros((1, 2, 2, 3), np.uint8), "uint8 of shape (1, 2, 2, 3)"),
        (np.zeros(3, np.uint8), "uint8 of shape (3,)"),
        (np.zeros((0, 2, 3), np.uint8), "uint8 of shape (0, 2, 3)"),
        (np.zeros((2, 0), np.uint8), "uint8 of shape (2, 0)"),
    ],
)
def test_other_arrays_are_refused_with_type_and_shape(array, got):
    message = refused(array)
    assert "expected an array (H, W, 3), (H, W) or (H, W, 4) of uint8, bool or floats in [0, 1]" in message
    assert f", got {got}. " in message
    assert "astype(np.uint8)" in message or "Its last axis is colours" in message


COLOURS = np.random.default_rng(5).integers(0, 256, (6, 9, 4), dtype=np.uint8)


@pytest.mark.parametrize(
    ("array", "same"),
    [
        (COLOURS[..., :1], COLOURS[..., 0]),
        (COLOURS[..., :3].transpose(2, 0, 1), COLOURS[..., :3]),
        (COLOURS.transpose(2, 0, 1), COLOURS),
        (COLOURS[..., :1].transpose(2, 0, 1), COLOURS[..., 0]),
        (COLOURS[..., 0] > 99, (COLOURS[..., 0] > 99) * np.uint8(255)),
        (COLOURS[..., :3] > 99, (COLOURS[..., :3] > 99) * np.uint8(255)),
        *(
            (COLOURS[..., :3].astype(kind) / kind(255), COLOURS[..., :3])
            for kind in (np.float16, np.float32, np.float64)
        ),
        ((COLOURS / np.float32(255)).transpose(2, 0, 1), COLOURS),
        ((COLOURS[..., 0] / 255)[None], COLOURS[..., 0]),
    ],
)
def test_arrays_of_other_layouts_are_taken_where_they_mean_one_thing(array, same):
    assert np.array_equal(read_image(array), read_image(np.ascontiguousarray(same)))


def test_three_columns_are_colours_even_where_the_rows_could_be():
    array = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert np.array_equal(read_image(array), array)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(("bits", "low"), [(8, 0), (10, 300), (12, 0), (12, 2000), (14, 5000), (16, 20000)])
def test_greys_of_fewer_bits_in_files_of_16_are_scaled_by_their_range(tmp_path, ending, bits, low):
    top = 2**bits - 1
    levels = np.linspace(low, top, 12).round().astype(np.uint16).reshape(3, 4)
    Image.fromarray(levels).save(tmp_path / f"scan.{ending}")
    expected = np.rint(levels.astype(float) * 255 / top)
    assert np.array_equal(read_image(tmp_path / f"scan.{ending}")[..., 0], expected)


def tiff(height, width, bands, bits, kind, *, more=()):
    """Return an uncompressed TIFF, as microscopes and satellites write it; `more` are further tags (number, value)."""
    data = bytes(height * width * bands * bits // 8)
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1 if bands < 3 else 2, 277: bands, 278: height, 339: kind}
    tags |= {273: 0, 279: len(data), **dict(more)}
    place = 8 + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    for tag in sorted(tags):
        count = bands if tag in (258, 339) else 1
        value = place + 4 * bands if tag == 273 else tags[tag]
        if count > 2:
            inside, extra = struct.pack("<I", place + len(extra)), extra + struct.pack(f"<{count}H", *[value] * count)
        else:
            inside = (
                struct.pack("<HH", value, value if count == 2 else 0) if tag in (258, 339) else struct.pack("<I", value)
            )
        entries += struct.pack("<HHI", tag, 3 if tag in (258, 339) else 4, count) + inside
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + extra
    return head.ljust(place + 4 * bands, b"\0") + data


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tiff(5, 6, 3, 32, 3), "a TIFF of 3 bands of 32-bit floats"),
        (tiff(5, 6, 1, 64, 3), "a TIFF of 1 band of 64-bit floats"),
        (tiff(5, 6, 1, 16, 3), "a TIFF of 1 band of 16-bit floats"),
        (tiff(5, 6, 5, 8, 1), "a TIFF of 5 bands of 8-bit whole numbers"),
        (tiff(5, 6, 2, 8, 1), "a TIFF of 2 bands of 8-bit whole numbers"),
        (tiff(5, 6, 13, 16, 1), "a TIFF of 13 bands of 16-bit whole numbers"),
        (tiff(5, 6, 3, 32, 1), "a TIFF of 3 bands of 32-bit whole numbers"),
        (tiff(5, 6, 1, 64, 6), "a TIFF of 1 band of 64-bit complex numbers"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(40), "a raw photo (CR2)"),
        (b"IIRO\x08\0\0\0" + bytes(40), "a raw photo (ORF)"),
        (tiff(5, 6, 3, 8, 1, more=((50706, 4),)), "a raw photo (such as DNG, NEF or ARW)"),
        (tiff(5, 6, 3, 8, 1, more=((254, 1), (330, 8))), "a raw photo (such as DNG, NEF or ARW)"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "a JPEG 2000 picture"),
        (b"\xff\x4f\xff\x51" + bytes(40), "a JPEG 2000 picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "a JPEG XL picture"),
        (b"\0\0\0\x18ftypcrx " + bytes(40), "a raw photo (CR3)"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "a video"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a Git LFS pointer"),
        (bytes(128) + b"DICM" + bytes(40), "a DICOM picture"),
        (b"8BPS\0\1" + bytes(40), "a Photoshop document"),
        (b"v/1\x01" + bytes(40), "an OpenEXR picture"),
        (b"\x93NUMPY\1\0" + bytes(40), "an array of NumPy"),
    ],
)
@pytest.mark.parametrize("name", ["photo.jpg", "scan.tif"])
def test_files_that_are_not_read_are_called_what_they_are(tmp_path, content, kind, name):
    (tmp_path / name).write_bytes(content)
    message = refused(tmp_path / name)
    assert f"got {kind}" in message
    assert "damaged" not in message
    assert str(tmp_path) not in message


@pytest.mark.parametrize("cut", [9, 60, 130, 170])
def test_a_tiff_cut_short_is_still_called_damaged(tmp_path, cut):
    (tmp_path / "scan.tif").write_bytes(tiff(5, 6, 3, 8, 1)[:cut])
    assert DAMAGED in refused(tmp_path / "scan.tif")


@pytest.mark.parametrize("source", [None, b"quadrants.png", [[0, 0]], 7, torch.zeros(2, 2, 3, dtype=torch.uint8)])
def test_other_types_are_refused_by_name(source):
    assert f"got {'nothing' if source is None else type(source).__name__}." in refused(source)


class Result:
    """Picture of another library."""


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ([IMAGES / "quadrants.png"], "Give one picture here; encode_batch takes a list."),
        ((1, 2), "Give one picture here; encode_batch takes a list."),
        (io.BytesIO(b"x"), "Convert it first: Image.open(file)."),
        (b"x", "Convert it first: Image.open(io.BytesIO(data))."),
        (torch.zeros(2, 2, 3), "Convert it first: tensor.numpy()."),
        (type("Segmentation", (), {})(), "Give the picture of the result, or its encoding."),
        (Result(), "Give the path of its file."),
        (None, "Give the path of its file."),
    ],
)
def test_the_remedy_fits_the_type_that_is_refused(source, remedy):
    assert refused(source).endswith(f". {remedy}")


# Size limits


def forbid_decoding(monkeypatch):
    def decode(self):
        raise AssertionError("decoded before its size was checked")

    monkeypatch.setattr(Image.Image, "load", decode)
    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)


@pytest.mark.parametrize("open_first", [False, True])
def test_a_small_file_with_64_million_pixels_is_refused_undecoded(monkeypatch, open_first):
    path = IMAGES / "bomb.png"
    assert path.stat().st_size < 10_000
    forbid_decoding(monkeypatch)
    with Image.open(path) as image:
        message = refused(image if open_first else path)
    assert "at most 40,000,000 pixels, got 8000 x 8000 = 64,000,000." in message


def test_a_frame_that_outgrows_its_screen_is_refused_undecoded(monkeypatch):
    forbid_decoding(monkeypatch)
    assert "at most 40,000,000 pixels" in refused(IMAGES / "bomb.gif")


@pytest.mark.parametrize("process_wide", [None, 100, 10**9])
def test_our_limit_decides_and_not_the_one_of_the_process(monkeypatch, process_wide):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", process_wide)
    expect_quadrants(read_image(IMAGES / "quadrants.png", max_pixels=32 * 48))
    assert "got 32 x 48 = 1,536." in refused(IMAGES / "quadrants.png", max_pixels=32 * 48 - 1)
    assert process_wide == Image.MAX_IMAGE_PIXELS


PIL_ALONE = """
import sys
from PIL import Image, ImageFile

def settings():
    return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, ImageFile.MAXBLOCK, ImageFile.SAFEBLOCK

before = settings()
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, read_image
assert settings() == before, "importing"
read_image(sys.argv[1], max_pixels=DEFAULT_MAX_PIXELS)
assert settings() == before, "reading"
"""


def test_importing_and_reading_leave_the_settings_of_pil_alone():
    command = [sys.executable, "-c", PIL_ALONE, str(IMAGES / "quadrants.png")]  # here the module is imported already
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5), (4, 5, 4)])
def test_the_limit_holds_for_arrays(shape):
    array = np.zeros(shape, np.uint8)
    assert read_image(array, max_pixels=20).shape == (4, 5, 3)
    assert "got 4 x 5 = 20." in refused(array, max_pixels=19)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_pixels_is_refused(size):
    assert "at least 1 x 1 pixel" in refused(Image.new("RGB", size))


def test_a_strip_one_pixel_wide_is_read_as_high():
    assert read_image(IMAGES / "strip.png").shape == (5000, 1, 3)


@pytest.mark.parametrize("max_pixels", [0, -1, 1.5, True, None, "9"])
def test_a_senseless_limit_is_refused(max_pixels):
    assert "max_pixels: expected a whole number, at least 1" in refused(IMAGES / "quadrants.png", max_pixels=max_pixels)


# Files that are no pictures


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("text.png", "a file with other content"),
        ("drawing.svg", "an SVG drawing"),
        ("page.html", "a web page"),
        ("paper.pdf", "a PDF document"),
        ("drawing.eps", "a file with other content"),  # PIL would start Ghostscript
        ("phone.mp4", "a video, or a photo of a kind that is not read"),
        ("camera.cr3", "a raw photo (CR3)"),
        ("scan.jp2", "a JPEG 2000 picture"),
        ("pointer.jpg", "a Git LFS pointer, not the picture: run `git lfs pull` in its repository"),
        ("empty.png", "an empty file"),
    ],
)
def test_what_is_no_picture_is_told_what_would_be(name, got):
    assert refused(IMAGES / name).startswith(f"file '{name}': expected {SUPPORTED}, got {got}.")


@pytest.mark.parametrize("kind", ["jpg", "png", "gif", "bmp", "tif", "webp", "avif", "heic"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_picture_cut_short_is_refused(tmp_path, kind, share):
    path = copied(tmp_path, f"quadrants.{kind}", f"cut.{kind}")
    data = path.read_bytes()
    path.write_bytes(data[: max(16, int(len(data) * share))])
    assert DAMAGED in refused(path)


def test_an_open_pil_image_cut_short_is_refused(tmp_path):
    path = copied(tmp_path, "quadrants.png", "cut.png")
    path.write_bytes(path.read_bytes()[:-40])
    with Image.open(path) as image:
        assert DAMAGED in refused(image)


def test_a_flipped_byte_in_a_png_is_noticed(tmp_path):
    path = copied(tmp_path, "quadrants.png", "flipped.png")
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 10] ^= 0xFF
    path.write_bytes(data)
    assert DAMAGED in refused(path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "got a folder or a device." in refused(tmp_path / "pipe.png")


# Messages


def test_no_message_shows_the_folder_or_the_words_of_pil(tmp_path):
    folder = tmp_path / SECRET
    folder.mkdir()
    cut = copied(tmp_path, "quadrants.jpg", "cut.jpg")
    cut.write_bytes(cut.read_bytes()[:300])
    sources = [
        cut,
        copied(tmp_path, "text.png", "text.png"),
        copied(tmp_path, "empty.png", "empty.png"),
        copied(tmp_path, "bomb.png", "bomb.png"),
        copied(tmp_path, "bomb.gif", "bomb.gif"),
        folder,
        folder / "missing.png",
        folder / "zero\0byte.png",
        folder / ("long" * 100),
        folder / "text.png" / "inside.png",
        f"C:\\Users\\{SECRET}\\missing.png",
        f"{folder}/missing/../gone.png",
    ]
    for source in sources:
        message = refused(str(source))
        assert str(tmp_path) not in message
        assert "Users" not in message
        assert source is folder or SECRET not in message
        assert "expected" in message
        assert "got" in message
        assert not any(word in message for word in ("PIL", "cannot identify", "Errno", "Decompression", "\0"))
        assert len(message) < 300


def test_a_missing_file_is_named_and_the_cause_is_kept(tmp_path):
    with pytest.raises(InputError, match=r"file 'missing\.png': .* got no such file") as caught:
        read_image(tmp_path / "missing.png")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("source", ["", ".", "/"])
def test_a_folder_or_an_empty_path_is_refused(source):
    assert refused(source).startswith(f"file {source!r}: ")
    assert "got a folder or a device." in refused(source)


def test_no_file_stays_open_after_a_refusal(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    for name in ("text.png", "bomb.png", "bomb.gif", "quadrants.tif", "animated.gif"):
        with pytest.raises(InputError):
            read_image(IMAGES / name, max_pixels=1)
    if before is None:
        pytest.skip("this system does not list open files")
    assert len(os.listdir("/proc/self/fd")) <= before


# Threads


def test_threads_with_different_limits_do_not_disturb_each_other():
    start = threading.Barrier(8)

    def read(index):
        start.wait()
        for _ in range(10):
            if index % 2:
                expect_quadrants(read_image(IMAGES / "orientation_6.jpg"))
                assert greys(read_image(IMAGES / "grey16.png")) == [0, 1, 128, 255]
            else:
                refused(IMAGES / "quadrants.png", max_pixels=100)
                assert read_image(IMAGES / "rgb_swapped_profile.png")[0, 0, 1] > 250
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))


# Pictures above the size limit, decoded at reduced size


@pytest.fixture
def small_limits(monkeypatch):
    """Lower the limits: 1,000 pixels, or 1,300 for formats that can be decoded at reduced size."""
    monkeypatch.setattr(image_module, "DEFAULT_MAX_PIXELS", 1_000)
    monkeypatch.setattr(image_module, "MAX_REDUCED_PIXELS", 1_300)
    return {"max_pixels": 1_000}


def saved(path, height, width, **options):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2] = 255
    Image.fromarray(picture).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("size", "orientation"), [((31, 41), 1), ((41, 31), 3), ((31, 41), 6), ((30, 43), 8), ((36, 35), 5)]
)
def test_a_larger_jpeg_is_decoded_reduced_and_its_own_size_is_told_upright(tmp_path, small_limits, size, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "large.jpg", *size, exif=exif)
    pixels, told = read_reduced(path, **small_limits)
    upright = size if orientation < 5 else size[::-1]
    assert told == upright
    assert pixels.shape == (*(-(-side // 2) for side in upright), 3)
    whole = read_image(path, max_pixels=2_000)
    corners = np.s_[:: pixels.shape[0] - 1, :: pixels.shape[1] - 1], np.s_[:: whole.shape[0] - 1, :: whole.shape[1] - 1]
    np.testing.assert_allclose(pixels[corners[0]].astype(int), whole[corners[1]], atol=3)


@pytest.mark.parametrize("kind", ["png", "webp", "tif", "bmp", "gif"])
def test_what_cannot_be_decoded_reduced_is_refused_with_a_way_out(tmp_path, small_limits, kind):
    path = saved(tmp_path / f"large.{kind}", 31, 41)
    with pytest.raises(InputError, match=r"1,000 pixels, or 1,300 as a JPEG, got 31 x 41 = 1,271.*Save it as JPEG"):
        read_reduced(path, **small_limits)


def test_there_is_a_limit_for_what_is_decoded_reduced_too(tmp_path, small_limits):
    for kind in ("jpg", "png"):
        with pytest.raises(InputError, match=r"1,300 as a JPEG, got 40 x 40 = 1,600\. Make the picture smaller first"):
            read_reduced(saved(tmp_path / f"huge.{kind}", 40, 40), **small_limits)


def test_whoever_lowers_the_limit_lowers_it_for_jpegs_too(tmp_path):
    with pytest.raises(InputError, match="at most 1,000 pixels, got 31 x 41"):
        read_reduced(saved(tmp_path / "large.jpg", 31, 41), max_pixels=1_000)


@pytest.mark.parametrize("name", ["quadrants.jpg", "quadrants.png", "quadrants.heic", "orientation_6.jpg"])
def test_a_picture_within_the_limit_is_read_as_it_is(name):
    read = read_reduced(IMAGES / name)
    np.testing.assert_array_equal(read.pixels, read_image(IMAGES / name))
    assert read.size == (32, 48)
    assert read_reduced(read) is read
    assert isinstance(read, ReducedImage)
    assert 50_000_000 < MAX_REDUCED_PIXELS < 1.5 * DEFAULT_MAX_PIXELS


@pytest.mark.parametrize("scans", [101, 3000])
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(tmp_path, scans):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(content[:last] + content[last:-2] * scans + content[-2:])
    with pytest.raises(InputError, match="a JPEG of at most 100 scans"):
        read_image(tmp_path / "a.jpg")


def test_a_usual_progressive_jpeg_is_read(tmp_path):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.jpg", "JPEG", progressive=True)
    assert read_image(tmp_path / "a.jpg").shape == (64, 64, 3)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_read_as_grey():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(read_image(np.asmatrix(grey)), read_image(grey))
