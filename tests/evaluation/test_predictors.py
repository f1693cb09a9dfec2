"""Sliding windows compared with a computation per pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation import windows as module
from cliptrase_core.evaluation.predictions import FilePredictor
from cliptrase_core.evaluation.predictors import PresetPredictor, SlidePredictor
from cliptrase_core.evaluation.profiles import Slide
from cliptrase_core.evaluation.sources import Sample
from cliptrase_core.evaluation.windows import label_windows, resize_short_side, window_boxes
from cliptrase_core.methods.registry import METHODS
from cliptrase_core.options import SegmentOptions
from cliptrase_core.text.vocabulary import parse_vocabulary


@pytest.mark.parametrize(
    ("size", "expected"),
    [((224, 224), 1), ((225, 224), 2), ((336, 448), 2 * 3), ((337, 500), 3 * 4), ((100, 300), 1 * 2)],
)
def test_windows_cover_every_pixel_and_stay_inside(size, expected):
    boxes = window_boxes(size)
    seen = np.zeros(size, int)
    for top, bottom, left, right in boxes:
        assert 0 <= top < bottom <= size[0]
        assert 0 <= left < right <= size[1]
        assert (bottom - top, right - left) == (min(224, size[0]), min(224, size[1]))
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1
    assert len(boxes) == expected


def at(values, source, target, place):
    """Return the values interpolated at a target pixel: linear between pixel centres, edges repeated."""
    position = max((place + 0.5) * source / target - 0.5, 0)
    first = min(int(position), source - 1)
    second = min(first + 1, source - 1)
    return values[first] + (position - first) * (values[second] - values[first])


def resampled(plane, size):
    rows = [at(plane, plane.shape[0], size[0], row) for row in range(size[0])]
    return np.stack([at(np.stack(rows).T, plane.shape[1], size[1], column) for column in range(size[1])], axis=1)


@pytest.mark.parametrize(("threshold", "least_area"), [(0, 0), (0.35, 0), (0.35, 0.3), (0, 0.3)])
def test_windows_are_averaged_and_judged_as_by_hand(threshold, least_area):
    generator = torch.Generator().manual_seed(1)
    resized, size, label_of = (224, 300), (30, 44), np.array([0, 0, 1, 2, 3, 3])  # label 3 is the background
    boxes = window_boxes(resized)
    windows = [torch.rand(6, 4, 4, generator=generator) for _ in boxes]
    slide = Slide(temperature=4, threshold=threshold, least_area=least_area)
    got = label_windows(windows, boxes, size, torch.tensor(label_of), 3, slide)

    total_, count = np.zeros((6, *resized)), np.zeros(resized)
    for window, (top, bottom, left, right) in zip(windows, boxes, strict=True):
        for word in range(6):
            total_[word, top:bottom, left:right] += resampled(window[word].double().numpy(), (224, 224))
        count[top:bottom, left:right] += 1
    scores = np.stack([resampled(plane, size) for plane in total_ / count])
    chances = np.exp(4 * scores) / np.exp(4 * scores).sum(0)
    classes = np.stack([chances[label_of == label].max(0) for label in range(4)])
    if least_area:
        areas = [(classes.argmax(0) == label).sum() for label in range(3)]
        for label in range(3):
            if areas[label] <= least_area * sum(areas):
                classes[label] = 0
        assert 0 < sum(area <= least_area * sum(areas) for area in areas) < 3, "the case must be able to fail"
    expected = np.where(classes.max(0) < threshold, 3, classes.argmax(0))
    assert (got == expected).mean() > 0.999
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize(("classes", "least_area"), [(1, 1), (3, 1), (10, 0.1)])
def test_all_is_background_where_every_class_is_removed_and_no_background_words_compete(classes, least_area):
    columns = torch.eye(classes)[:, None, :].repeat(1, 2, 1)  # each class is the best one in a column of its own
    slide = Slide(window=None, threshold=0.1, least_area=least_area, background_words=False)
    label_of = torch.arange(classes + 1)
    windows = [torch.cat([columns, torch.zeros(1, 2, classes)])]
    labels = label_windows(windows, [(0, 2, 0, classes)], (2, classes), label_of, classes, slide)
    np.testing.assert_array_equal(labels, np.full((2, classes), classes))
    assert labels.dtype == np.int32


def test_many_words_are_labelled_as_few_at_a_time(monkeypatch):
    boxes = window_boxes((224, 250))
    windows = [torch.rand(9, 3, 3, generator=torch.Generator().manual_seed(k)) for k in range(len(boxes))]
    arguments = windows, boxes, (20, 25), torch.arange(9), 8, Slide(threshold=0.2, least_area=0.1)
    whole = label_windows(*arguments)
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 2 * 20 * 25)
    np.testing.assert_array_equal(label_windows(*arguments), whole)


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((100, 200), 50, (50, 100)), ((300, 100), 336, (1008, 336)), ((10, 100), 336, (205, 2048))],
)
def test_the_short_side_is_brought_to_size_but_the_long_one_stays_bounded(size, side, expected):
    image = np.zeros((*size, 3), np.uint8)
    assert resize_short_side(image, side).shape[:2] == expected


@pytest.mark.parametrize(("size", "side"), [((6, 8), 9), ((40, 31), 336), ((700, 500), 224), ((1, 300), 56)])
def test_resizing_is_opencvs_on_its_own_order_of_channels(size, side):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    got = resize_short_side(image, side)
    swapped = cv2.resize(np.ascontiguousarray(image[..., ::-1]), got.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(got, swapped[..., ::-1])


def test_resizing_is_linear_between_pixel_centres():
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    got = resize_short_side(image, 9)
    for channel in range(3):
        wanted = resampled(image[..., channel].astype(float), (9, 12))
        assert np.abs(got[..., channel] - wanted).max() <= 1, "OpenCV counts in fixed point"


def test_a_sliding_run_labels_every_pixel_of_a_small_picture_too(segmenter):
    words = parse_vocabulary("cat, kitten; dog | background: wall")
    predictor = SlidePredictor(segmenter, Slide(short_side=100, threshold=0.1), SegmentOptions(templates="simple7"))
    rng = np.random.default_rng(0)
    sample = Sample("a", rng.integers(0, 256, (30, 90, 3), dtype=np.uint8), np.zeros((30, 90), np.int32), None, words)
    ((finish,),) = predictor.predict_each([predictor.prepare(sample)], [predictor])
    labels = finish()
    assert labels.shape == (30, 90)
    assert set(np.unique(labels)) <= {0, 1, 2}


@pytest.mark.parametrize("method", METHODS)
def test_windows_compare_cosines_whatever_a_method_multiplies_them_by(segmenter, method):
    words = parse_vocabulary("cat; dog; tree")
    predictor = SlidePredictor(segmenter, Slide(short_side=224), SegmentOptions(method=method, templates="simple7"))
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    sample = Sample("a", image, np.zeros((224, 224), np.int32), None, words)
    (found,) = predictor._scores(predictor._encoded(image, [(0, 224, 0, 224)]), sample)
    encoding = segmenter.encode(image, short_side=224)
    logits = segmenter.scores(encoding, words, method=method, templates="simple7").logits
    scale = METHODS[method].temperature or float(segmenter.info.model.logit_scale.exp())
    torch.testing.assert_close(found, logits / scale)
    assert found.abs().max() <= 1


@pytest.mark.parametrize(
    "settings", [{"vote": True}, {"image_prior": True}, {"eps": 0.5}, {"vote": False, "denoise": "dice"}]
)
def test_windows_refuse_what_they_would_ignore(segmenter, settings):
    with pytest.raises(InputError, match="sliding windows"):
        SlidePredictor(segmenter, Slide(), SegmentOptions(**settings))


def test_a_picture_that_the_model_cannot_encode_raises_its_error_and_the_others_are_labelled(segmenter):
    predictor, words = PresetPredictor(segmenter, "auto", SegmentOptions(templates="simple7")), parse_vocabulary("a; b")
    sizes = [(40, 48), (1, 70_000), (48, 40)]
    samples = [Sample("a", np.zeros((*size, 3), np.uint8), np.zeros(size, np.int32), None, words) for size in sizes]
    ((first, strip, last),) = predictor.predict_each(samples, [predictor])
    assert [finish().shape for finish in (first, last)] == [(40, 48), (48, 40)]
    for _ in range(2):
        with pytest.raises(InputError, match="picture"):
            strip()


def test_several_methods_give_the_labels_that_each_gives_alone(segmenter):
    words, rng = parse_vocabulary("cat; dog; tree"), np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    sample = Sample("a", image, np.zeros((40, 48), np.int32), None, words)
    chosen = [SegmentOptions(method=method, templates="simple7") for method in ("clip", "naclip", "gem")]
    for kind in (
        lambda options: PresetPredictor(segmenter, "auto", options),
        lambda options: SlidePredictor(segmenter, Slide(short_side=40, window=32, stride=16), options),
    ):
        several = [kind(options) for options in chosen]
        together = several[1].predict_each([sample], several)
        for one, (finish,) in zip(several, together, strict=True):
            ((alone,),) = one.predict_each([sample], [one])
            np.testing.assert_array_equal(finish(), alone())


@pytest.mark.parametrize(
    "mixed",
    [
        (("auto", None), ("auto", 64)),
        (("auto", None), ("paper-224", None)),
        (Slide(short_side=40), Slide(short_side=48)),
        (Slide(temperature=40), Slide(temperature=50)),
        (Slide(short_side=40), ("auto", None)),
    ],
)
def test_predictors_with_other_model_inputs_or_windows_never_share_encodings(segmenter, mixed):
    options, words = SegmentOptions(templates="simple7"), parse_vocabulary("cat; dog")
    sample = Sample("a", np.zeros((40, 48, 3), np.uint8), np.zeros((40, 48), np.int32), None, words)
    both = [
        SlidePredictor(segmenter, view, options)
        if isinstance(view, Slide)
        else PresetPredictor(segmenter, view[0], options, view[1])
        for view in mixed
    ]
    for one in both:
        with pytest.raises(ValueError, match="must differ in the method alone"):
            one.predict_each([sample], both)


def test_labels_of_files_and_of_a_model_are_not_mixed(segmenter, tmp_path):
    Image.new("L", (48, 40)).save(tmp_path / "a.png")
    files = FilePredictor(tmp_path, ["a"], ["cat"], None, None)
    model = PresetPredictor(segmenter, "auto", SegmentOptions(), None)
    for one in (files, model):
        with pytest.raises(ValueError, match="of one folder|must differ in the method alone"):
            one.predict_each([], [model, files])
