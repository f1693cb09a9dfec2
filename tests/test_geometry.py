"""Frames: the whole picture or the published crop, always whole patches; points to patches and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Resize

from cliptrase_core import InputError
from cliptrase_core.geometry import MAX_PATCHES, centre_crop_frame, keep_aspect_frame, patch_at

P16 = (16, 16)


@pytest.mark.parametrize(
    ("original", "model"),
    [
        ((224, 224), (224, 224)),
        ((480, 640), (224, 304)),  # 298.7 is nearest to 19 patches
        ((640, 480), (304, 224)),
        ((1, 1), (224, 224)),
        ((1, 500), (16, 896)),  # four short sides at most
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
