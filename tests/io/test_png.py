"""PNG files are read back exactly by other libraries, and are recognised as this program's."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from cliptrase_core.errors import InputError
from cliptrase_core.io.files import is_ours
from cliptrase_core.io.png import encode_png

SHAPES = [(1, 1), (1, 7), (5, 1), (64, 9), (65, 9), (200, 70)]  # some larger than one strip of rows


def _noise(shape, kind=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def _read(content):
    with Image.open(io.BytesIO(content)) as picture:
        picture.verify()  # checksums of all chunks
    with Image.open(io.BytesIO(content)) as picture:
        return picture.mode, np.asarray(picture)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("channels", "mode"), [((), "L"), ((3,), "RGB"), ((4,), "RGBA")])
def test_pixels_come_back(shape, channels, mode):
    pixels = _noise((*shape, *channels))
    read = _read(encode_png(pixels))
    assert read[0] == mode
    np.testing.assert_array_equal(read[1], pixels)


@pytest.mark.parametrize("shape", SHAPES)
def test_sixteen_bits_come_back(shape):
    pixels = _noise(shape, np.uint16)
    mode, read = _read(encode_png(pixels))
    assert mode == "I;16"
    np.testing.assert_array_equal(read, pixels)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), -1), pixels)


def test_a_palette_makes_indices():
    pixels, palette = _noise((9, 12)), bytes(_noise(768))
    with Image.open(io.BytesIO(encode_png(pixels, palette))) as picture:
        assert picture.mode == "P"
        assert bytes(picture.getpalette()) == palette
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_opencv_reads_the_same_colours():
    pixels = _noise((20, 30, 3))
    read = cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, ">u2"])
@pytest.mark.parametrize("view", [np.s_[::2, ::3], np.s_[::-1], np.s_[:, ::-1]])
def test_views_of_larger_arrays(view, kind):
    grey = _noise((200, 30), np.dtype(kind).newbyteorder("=").type).astype(kind)[view]
    np.testing.assert_array_equal(_read(encode_png(grey))[1], grey)
    pixels = _noise((200, 30, 3))[view]
    np.testing.assert_array_equal(_read(encode_png(pixels))[1], pixels)


def test_photographs_are_as_small_as_by_pillows_fastest_way():
    photograph = cv2.GaussianBlur(_noise((300, 400, 3)), (0, 0), 3)
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "PNG", compress_level=1)
    assert len(encode_png(photograph)) < 1.2 * len(buffer.getvalue())


@pytest.mark.parametrize(
    "pixels",
    [
        *(np.zeros((4, 5), kind) for kind in ("int32", "int64", "float32", "bool", "int16", "uint32")),
        *(np.zeros(shape, np.uint8) for shape in ((0, 4), (4, 0), (4, 0, 3), (4,), (4, 5, 1), (4, 5, 2), (4, 5, 3, 1))),
        np.zeros((4, 5, 3), np.uint16),
    ],
)
def test_other_pixels_are_refused(pixels):
    with pytest.raises(InputError, match="pixels of a PNG: expected"):
        encode_png(pixels)


@pytest.mark.parametrize(
    ("pixels", "palette"),
    [
        (np.zeros((4, 5), np.uint8), bytes(7)),
        (np.zeros((4, 5), np.uint8), bytes(771)),
        (np.zeros((4, 5), np.uint16), bytes(768)),
        (np.zeros((4, 5, 3), np.uint8), bytes(768)),
    ],
)
def test_palettes_that_do_not_fit_are_refused(pixels, palette):
    with pytest.raises(InputError, match="palette of a PNG: expected"):
        encode_png(pixels, palette)


def test_ours_is_recognised(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(_noise((3, 4, 3))))
    assert is_ours(path)
