"""Frames: the whole picture or the published crop, always whole patches; points to patches and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Resize

from cliptrase_core import InputError
from cliptrase_core.io.geometry import MAX_PATCHES, centre_crop_frame, given_size, keep_aspect_frame, nearest, patch_at
from cliptrase_core.viz import heatmap

P16 = (16, 16)


@pytest.mark.parametrize(
    ("original", "model"),
    [
        ((224, 224), (224, 224)),
        ((480, 640), (224, 304)),  # 298.7 is nearest to 19 patches
        ((640, 480), (304, 224)),
        ((1, 1), (224, 224)),
        ((1, 500), (16, 896)),  # the long side is at most four short sides
        ((500, 1), (896, 16)),
    ],
)
def test_whole_picture_keeps_its_aspect_within_whole_patches(original, model):
    frame = keep_aspect_frame(original, 224, P16)
    assert frame.model == frame.resized == model
    assert frame.labels == original
    assert frame.crop == (0, 0)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(16, 600))
def test_any_picture_has_a_grid_of_at_least_one_patch(height, width, side):
    frame = keep_aspect_frame((height, width), side, P16)
    h, w = frame.grid
    assert h >= 1
    assert w >= 1
    assert h * w <= MAX_PATCHES
    assert frame.model == (16 * h, 16 * w)


@given(st.integers(4, 900), st.integers(4, 900))
def test_published_crop_is_torchvision_s(height, width):
    frame = centre_crop_frame((height, width), 224, P16)
    ramp = Image.new("L", (width, height))
    resized = Resize(224, Image.Resampling.BICUBIC)(ramp)
    assert frame.resized == (resized.height, resized.width)
    assert CenterCrop(224)(resized).size == (224, 224)
    assert frame.labels == frame.model == (224, 224)


@pytest.mark.parametrize(("side", "patch"), [(225, P16), (224, (32, 15))])
def test_crop_that_is_no_whole_number_of_patches_is_refused(side, patch):
    with pytest.raises(InputError, match="multiple of the patch size"):
        centre_crop_frame((300, 300), side, patch)


@pytest.mark.parametrize("side", [0, -16, 15, 224.0, "224", None, True])
def test_short_side_must_hold_a_patch(side):
    with pytest.raises(InputError, match="short side: expected a whole number of pixels"):
        keep_aspect_frame((300, 300), side, P16)


def test_too_many_patches_are_refused_before_anything_runs():
    with pytest.raises(InputError, match=f"at most {MAX_PATCHES} patches"):
        keep_aspect_frame((100, 100), 16 * 129, P16)


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [(0, 0, (0, 0)), (49.9, 0, (0, 0)), (50, 0, (1, 0)), (99.9, 299, (1, 2)), (100, 300, (1, 2)), (-1, 1e9, (0, 2))],
)
def test_point_is_in_its_patch_and_clamped_to_the_grid(row, column, expected):
    assert patch_at(row, column, (100, 300), (2, 3)) == expected


# Nearest neighbour


def by_hand(values, size):
    """Resize by the definition: each pixel takes the source pixel under its centre."""
    picture = np.empty((*size, *values.shape[2:]), values.dtype)
    for row, column in np.ndindex(*size):
        y = (row + 0.5) / size[0] * values.shape[0]
        x = (column + 0.5) / size[1] * values.shape[1]
        picture[row, column] = values[int(y), int(x)]
    return picture


@pytest.mark.parametrize("size", [(3, 4), (6, 8), (7, 5), (2, 9), (1, 1), (13, 11)])
@pytest.mark.parametrize("kind", [np.int32, np.uint8, bool, np.float32])
def test_nearest_takes_what_lies_under_the_centre_of_each_pixel(size, kind):
    values = (np.arange(12).reshape(3, 4) * 7 % 5).astype(kind)
    found = nearest(values, size)
    np.testing.assert_array_equal(found, by_hand(values, size))
    assert found.dtype == values.dtype
    colours = np.stack([values, values[::-1]], axis=-1)
    np.testing.assert_array_equal(nearest(colours, size), by_hand(colours, size))


@pytest.mark.parametrize(
    ("source", "size"), [((3, 4), (6, 8)), ((9, 7), (3, 5)), ((5, 3), (35, 33)), ((4, 3), (12, 1))]
)
def test_what_is_turned_around_before_or_after_is_the_same(source, size):
    """Pixel centres are symmetric; a rule that rounds down would shift everything towards one corner."""
    values = np.arange(source[0] * source[1]).reshape(source)
    np.testing.assert_array_equal(nearest(values[::-1, ::-1], size)[::-1, ::-1], nearest(values, size))


@pytest.mark.parametrize(
    ("grid", "shown"), [((14, 19), (960, 1280)), ((14, 14), (97, 101)), ((7, 9), (7, 9)), ((5, 3), (64, 50))]
)
def test_a_marked_patch_is_the_one_that_was_enlarged_there(grid, shown):
    numbers = np.arange(grid[0] * grid[1], dtype=np.int32).reshape(*grid, 1).repeat(3, axis=-1)
    large = nearest(numbers, shown)
    for row, column in ((0, 0), (grid[0] // 2, grid[1] // 2), (grid[0] - 1, grid[1] - 1)):
        marked = heatmap.mark_patch(np.zeros((*shown, 3), np.uint8), grid, row, column)[..., 0] > 0
        rows, columns = np.nonzero(marked)
        own = np.argwhere(large[..., 0] == numbers[row, column, 0])
        assert (rows.min(), columns.min()) == tuple(own.min(axis=0))
        assert (rows.max(), columns.max()) == tuple(own.max(axis=0))


def test_only_one_place_knows_how_to_pick_pixels():
    """A second rule would shift one map against all others."""
    from tests.test_architecture import CORE, DEMO

    own = [path for path in (*CORE, *DEMO) if path.name != "geometry.py"]
    assert not [path.name for path in own if "np.ix_(" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("size", [(0, 5), (5,), (5, 5.0), (5, True), "55", (70_000, 5), (-1, 2)])
def test_a_size_that_is_no_size_is_refused(size):
    with pytest.raises(InputError, match=r"size: expected \(height, width\)"):
        given_size(size, (1, 1))


def test_a_size_that_was_not_given_is_the_default():
    assert given_size(None, (3, 4)) == (3, 4)
    assert given_size([np.int64(5), 6], (3, 4)) == (5, 6)
