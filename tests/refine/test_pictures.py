"""Pictures that a result is refined, fixed and drawn with: every one that `canvas`, `overlay` and `save` accept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import cliptrase_core as cc
from cliptrase_core import InputError
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, MAX_REDUCED_PIXELS
from cliptrase_core.refine import Fix, load_refiner
from tests.refine.test_refine import result_of

FIXES = [Fix(((0.3, 0.4),), "dog", sam="sam-nano"), Fix(((0.1, 0.1), (0.6, 0.7)), "sky", radius=0.05)]


@pytest.fixture(params=[(48, 64), (400, 260)], ids=str)
def photo(request, tmp_path):
    height, width = request.param
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST).save(path)
    return path


def used(result, image, folder):
    """Return the labels and pixels of all that is made of a result and its picture."""
    figure = cc.viz.figure(result, image=image, parts=["picture", "result"])
    return [
        *(cc.refine(result, image, name).labels for name in ("none", "edges", "sam-nano")),
        cc.refine.apply_fixes(result, image, FIXES).labels,
        *(axes.images[-1].get_array() for axes in figure.axes),
        result.canvas(image),
        result.overlay(image),
        np.asarray(Image.open(result.save(folder, image, formats="overlay").overlay)),
        np.asarray(Image.open(cc.export({"a": result}, folder / "all", "overlay", images=image)[0].overlay)),
    ]


@pytest.mark.parametrize("preset", ["auto", "paper-224"])
def test_the_picture_that_was_segmented_is_accepted_by_all(segmenter, photo, tmp_path, preset):
    encoding = segmenter.encode(photo, preset)
    result = segmenter.segment(encoding, "cat; dog; sky")
    exact = cc.read_image(photo) if preset == "auto" else encoding.model_input
    expected = [load_refiner(name)(result, exact).labels for name in ("none", "edges", "sam-nano")]
    images = (exact, photo, cc.read_image(photo), Image.open(photo))
    first, *others = (used(result, image, tmp_path / str(way)) for way, image in enumerate(images))
    for made in (first, *others):
        for ours, theirs in zip(made, [*expected, *first[3:]], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert result.size == exact.shape[:2]
    assert (first[3] != result.labels).any()


@pytest.mark.parametrize("preset", ["auto", "paper-224"])
def test_another_picture_and_none_are_refused_by_all(segmenter, photo, preset):
    result = segmenter.segment(segmenter.encode(photo, preset), "cat; dog; sky")
    other = np.zeros((30, 50, 3), np.uint8)
    uses = (
        lambda image: cc.refine(result, image, "edges"),
        lambda image: cc.refine.apply_fixes(result, image, FIXES),
        lambda image: cc.viz.figure(result, image=image, parts="picture"),
        result.overlay,
    )
    for use in uses:
        with pytest.raises(InputError, match="picture: expected .*, the frame of the labels, got .30, 50"):
            use(other)
    for use in uses[:3]:
        with pytest.raises(InputError):
            use(None)


def test_a_jpeg_above_the_usual_limit_is_accepted_as_encode_accepts_it(tmp_path):
    size = (1000, 42_000)
    assert DEFAULT_MAX_PIXELS < size[0] * size[1] < MAX_REDUCED_PIXELS
    path = tmp_path / "wide.jpg"
    Image.new("RGB", size[::-1], "grey").save(path)
    small = result_of(np.zeros((8, 8)), ["dog", "sky"])
    one = lambda value, kind: np.broadcast_to(kind(value), size)  # noqa: E731
    result = replace(small, labels=one(0, np.uint8), regions=one(-1, np.int32), confidence=one(0.5, np.float32))
    assert cc.refine(result, path, "none").size == size
    assert cc.refine.apply_fixes(result, path, FIXES[1:]).size == size
    assert cc.viz.figure(result, image=path, parts="picture").axes


def test_a_jpeg_above_the_usual_limit_is_accepted_under_a_paper_preset(segmenter, tmp_path):
    size = (1000, 42_000)
    path = tmp_path / "wide.jpg"
    Image.new("RGB", size[::-1], "grey").save(path)
    encoding = segmenter.encode(path, "paper-224")
    result = segmenter.segment(encoding, "dog; sky")
    np.testing.assert_array_equal(result.canvas(path), encoding.model_input)
    assert cc.refine(result, path, "edges").size == (224, 224)
    assert cc.viz.figure(result, image=path, parts="picture").axes
