"""Refinement without a model's weights: components, prompts, acceptance, merging, voting, edges, the contract."""

import copy
import dataclasses
import inspect
import itertools
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

import cliptrase_core as cc
from cliptrase_core.errors import InputError
from cliptrase_core.refine import load_refiner
from cliptrase_core.refine.by_sam import label_masks
from cliptrase_core.refine.guided_filter import RADIUS, _mean, follow_edges
from cliptrase_core.refine.prompting import Answers, agreement, merge, prompts_of, reports, split
from cliptrase_core.refine.superpixels import superpixels
from cliptrase_core.results import Segmentation


def result_of(labels, names=None, confidence=None, regions=None, grid=(4, 4)):
    labels = np.asarray(labels, np.int32)
    return Segmentation(
        labels=labels,
        regions=np.full(labels.shape, -1, np.int32) if regions is None else np.asarray(regions, np.int32),
        confidence=np.full(labels.shape, 0.5, np.float32) if confidence is None else confidence,
        class_names=tuple(names or [f"class {i}" for i in range(int(labels.max()) + 1)]),
        patch_clusters=np.full(grid[0] * grid[1], -1),
        grid=grid,
        settings={"model": "none"},
        timings={},
    )


def halves(height=64, width=64, at=32):
    labels = np.zeros((height, width), np.int32)
    labels[:, at:] = 1
    return labels


def answers_of(labels, masks, confidence=None, quality=0.9):
    """Return SAM's answers for a map with one component of each class; `masks` has a full-size mask by class."""
    confidence = np.full(labels.shape, 0.5, np.float32) if confidence is None else confidence
    components, numbers = split(labels, confidence)
    logits = torch.stack(
        [torch.from_numpy(np.where(masks[component.label], 6.0, -6.0)).float() for component in components]
    )
    qualities = torch.full((len(components),), quality)
    whole = (1.0, 1.0)
    agrees = agreement(logits, whole, components, labels.shape)
    return Answers(components, numbers, logits, whole, qualities, agrees)


def component_of(answers, label):
    return next(number for number, component in enumerate(answers.components) if component.label == label)


# Components


def test_a_refined_result_is_not_refined_again_and_its_settings_repeat_it():
    result, image = result_of(halves()), np.zeros((64, 64, 3), np.uint8)
    once = cc.refine(result, image, "edges")
    assert {name: value for name, value in once.settings.items() if name not in result.settings} == {"refiner": "edges"}
    with pytest.raises(InputError, match="expected one with coarse boundaries, got one that edges refined"):
        cc.refine(once, image, "sam-nano")
    assert (cc.refine(cc.refine(result, image, "none"), image, "edges").labels == once.labels).all()


def test_components_hang_together_by_corners_and_come_largest_first():
    labels = np.zeros((20, 20), np.int32)
    labels[2:5, 2:5] = labels[5:8, 5:8] = 1  # touch at a corner
    labels[14:19, 2:4] = 1
    components, numbers = split(labels, np.full((20, 20), 0.25, np.float32))
    assert [(component.label, component.area) for component in components] == [(0, 372), (1, 18), (1, 10)]
    assert components[1].box == (2, 2, 8, 8)
    assert components[1].certainty == pytest.approx(0.25)
    assert (numbers == 1).sum() == 18
    assert set(np.unique(numbers)) == {0, 1, 2}


def test_small_components_are_left_alone():
    labels = np.zeros((40, 40), np.int32)
    labels[3:5, 3:5] = 1  # 4 of 1600 pixels: 0.25 %
    components, numbers = split(labels, np.ones((40, 40), np.float32))
    assert [component.label for component in components] == [0]
    assert (numbers[3:5, 3:5] == -1).all()


def test_touching_things_of_one_class_are_told_apart_by_their_regions():
    labels = np.ones((20, 20), np.int32)
    regions = halves(20, 20, 8)
    apart, _ = split(labels, np.ones((20, 20), np.float32), regions)
    assert [component.area for component in apart] == [240, 160]
    assert len(split(labels, np.ones((20, 20), np.float32))[0]) == 1


def test_the_point_of_a_component_lies_in_its_thickest_part():
    labels = np.zeros((40, 40), np.int32)
    labels[10:20, 5:15] = 1
    labels[14:16, 15:35] = 1  # a thin handle moves the centroid, but not the point
    component = next(component for component in split(labels, np.ones((40, 40), np.float32))[0] if component.label == 1)
    assert component.box == (5, 10, 35, 20)
    assert 8 <= component.point[0] <= 11
    assert 13 <= component.point[1] <= 16


def test_components_do_not_depend_on_the_numbers_of_classes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (6, 6)).repeat(5, 0).repeat(5, 1)
    confidence = np.ones(labels.shape, np.float32)
    other = np.array([2, 0, 1])[labels]
    assert np.array_equal(split(labels, confidence)[1], split(other, confidence)[1])


@pytest.mark.parametrize("seed", range(4))
def test_components_and_their_points_are_those_of_exact_distances(seed):
    """OpenCV's components and innermost points equal those of SciPy."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(3, 9, 12)).astype(np.float32)
    labels = np.stack([cv2.resize(plane, (120, 90), interpolation=cv2.INTER_CUBIC) for plane in coarse]).argmax(axis=0)
    components, numbers = split(labels, rng.random(labels.shape).astype(np.float32))
    expected = []
    for label in range(3):
        found, count = ndimage.label(labels == label, structure=np.ones((3, 3)))
        expected += [found == index for index in range(1, count + 1) if (found == index).sum() >= 0.004 * labels.size]
    assert len(components) == len(expected) > 3
    masks = [numbers == number for number in range(len(components))]
    assert {mask.tobytes() for mask in masks} == {mask.tobytes() for mask in expected}
    for component, mask in zip(components, masks, strict=True):
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        assert component.point == divmod(int(depth.argmax()), labels.shape[1])[::-1]


# Prompts


def test_prompts_speak_of_the_component():
    labels = np.zeros((40, 80), np.int32)
    labels[10:30, 20:60] = 1
    components, _ = split(labels, np.ones((40, 80), np.float32))
    prompts = prompts_of(components, (40, 80), (40, 80))
    thing = next(i for i, component in enumerate(components) if component.label == 1)
    assert prompts.boxes[thing].tolist() == [20, 10, 60, 30]
    x, y = prompts.points[thing].tolist()
    assert labels[int(y), int(x)] == 1
    guess = prompts.masks[thing]
    assert guess.shape == (10, 20)
    assert guess[5, 10] == 8
    assert guess[0, 0] == -8
    assert guess[2, 10] == 0, "half of that cell is covered"


# Acceptance and merging


def test_a_good_mask_that_agrees_is_taken_and_what_it_gave_up_goes_to_the_neighbour():
    coarse, truth = halves(at=32), halves(at=26)
    answers = answers_of(coarse, {0: truth == 0, 1: truth == 1})
    assert answers.accepted == {0, 1}
    assert np.array_equal(merge(coarse, answers, answers.accepted), truth)
    alone = merge(coarse, answers, {component_of(answers, 0)})
    assert np.array_equal(alone, truth), "the strip that class 0 gave up has one neighbour"


def test_a_bad_mask_and_one_of_something_else_are_refused_and_say_why():
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15] = 1
    good, elsewhere = labels == 0, np.zeros((40, 40), bool)
    elsewhere[25:35, 25:35] = True
    answers = answers_of(labels, {0: good, 1: elsewhere})
    assert answers.accepted == {0}
    lines = reports(answers, answers.accepted, ["ground", "thing"], (80, 80))
    assert [line.accepted for line in lines] == [True, False]
    assert "overlaps" in lines[1].reason
    assert lines[1].box == (10, 10, 30, 30)
    assert lines[1].area == 400
    weak = answers_of(labels, {0: good, 1: labels == 1}, quality=0.3)
    assert weak.accepted == frozenset()
    assert "predicted IoU" in reports(weak, (), ["ground", "thing"], (40, 40))[0].reason
    assert reports(answers, (), ["ground", "thing"], (40, 40))[0].reason == "left out by the user"
    assert np.array_equal(merge(labels, weak, weak.accepted), labels)


def test_where_masks_overlap_the_surest_wins_whatever_the_order_of_classes():
    coarse = halves(40, 40, 20)
    confidence = np.where(coarse == 0, 0.9, 0.4).astype(np.float32)
    left, right = halves(40, 40, 25) == 0, halves(40, 40, 15) == 1
    for order in itertools.permutations(range(2)):
        labels = np.array(order)[coarse]
        answers = answers_of(labels, {order[0]: left, order[1]: right}, confidence)
        merged = merge(labels, answers, answers.accepted)
        assert np.array_equal(merged, np.array(order)[halves(40, 40, 25)])


def test_a_refused_component_defends_its_pixels_by_its_certainty():
    coarse = halves(40, 40, 20)
    wide = halves(40, 40, 30) == 0
    for certain, expected in ((0.9, 20), (0.1, 30)):
        confidence = np.where(coarse == 0, 0.3, certain).astype(np.float32)
        answers = answers_of(coarse, {0: wide, 1: coarse == 1}, confidence)
        assert np.array_equal(merge(coarse, answers, {component_of(answers, 0)}), halves(40, 40, expected))


def test_a_mask_that_gives_up_pixels_of_the_only_class_leaves_them_as_they_were():
    coarse = np.zeros((30, 30), np.int32)
    answers = answers_of(coarse, {0: halves(30, 30, 20) == 0})
    assert np.array_equal(merge(coarse, answers, {0}), coarse)


def test_small_masks_are_merged_at_the_full_size_of_the_labels():
    coarse = halves(400, 600, 300)
    small = halves(40, 60, 27)
    components, numbers = split(halves(40, 60, 30), np.ones((40, 60), np.float32))
    logits = torch.stack(
        [torch.from_numpy(np.where(small == component.label, 6.0, -6.0)).float() for component in components]
    )
    answers = Answers(components, numbers, logits, (1.0, 1.0), torch.ones(2), torch.ones(2))
    merged = merge(coarse, answers, {0, 1})
    assert merged.shape == (400, 600)
    assert np.abs((merged == 0).sum(1) - 270).max() <= 3


def test_crumbs_stay_whatever_mask_lies_over_them():
    coarse = np.zeros((40, 40), np.int32)
    coarse[10:12, 10:12] = 1
    answers = answers_of(coarse, {0: np.ones((40, 40), bool)})
    assert np.array_equal(merge(coarse, answers, {0}), coarse)


# Voting


def test_masks_take_their_commonest_class_and_small_ones_lie_on_large_ones():
    coarse = halves(40, 40, 18)
    big, small = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    big[5:35, 5:35] = True  # 13 columns of class 0, 17 of class 1
    small[8:12, 8:12] = True  # all class 0
    new = label_masks(coarse, [small, big])
    assert (new[big & ~small] == 1).all()
    assert (new[small] == 0).all()
    assert np.array_equal(new[~big], coarse[~big])


def test_a_mask_without_a_majority_changes_nothing():
    coarse = np.arange(3, dtype=np.int32).repeat(10)[None].repeat(30, 0)
    new = label_masks(coarse, [np.ones((30, 30), bool), np.zeros((30, 30), bool)])
    assert np.array_equal(new, coarse)


# Edges


def painted(labels, colours=((200, 40, 40), (40, 60, 200), (60, 180, 80)), noise=4):
    rng = np.random.default_rng(0)
    picture = np.asarray(colours, float)[labels] + rng.normal(0, noise, (*labels.shape, 3))
    return picture.clip(0, 255).astype(np.uint8)


def certain(labels):
    return np.ones(labels.shape, np.float32)


@pytest.mark.parametrize("size", [(1, 1), (30, 200), (120, 90)])
def test_neighbourhoods_of_the_filter_end_with_the_picture_s_own_rim_repeated(size):
    values = np.random.default_rng(0).random(size).astype(np.float32)
    expected = ndimage.uniform_filter(values, size=2 * RADIUS + 1, mode="nearest")
    np.testing.assert_allclose(_mean(values), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 3])
def test_a_boundary_moves_to_the_edge_of_the_picture(scale):
    truth, coarse = halves(64 * scale, 96 * scale, 40 * scale), halves(64 * scale, 96 * scale, 50 * scale)
    found = follow_edges(painted(truth), coarse, certain(coarse), (4, 6))
    assert (found != truth).mean() < 0.1 * (coarse != truth).mean()


@pytest.mark.parametrize("scale", [1, 3])
def test_texture_leaves_no_specks(scale):
    truth, coarse = halves(64 * scale, 96 * scale, 40 * scale), halves(64 * scale, 96 * scale, 46 * scale)
    found = follow_edges(painted(truth, noise=60), coarse, certain(coarse), (4, 6))
    parts = [cv2.connectedComponents((found == label).astype(np.uint8), connectivity=4)[0] - 1 for label in (0, 1)]
    assert sum(parts) <= 4, parts  # without averaged colours 12 and 225
    assert (found != truth).mean() < 0.5 * (coarse != truth).mean()


def test_edges_bring_no_new_class_and_leave_one_class_alone():
    labels = 2 * halves(48, 48, 20)
    assert set(np.unique(follow_edges(painted(halves(48, 48, 30)), labels, certain(labels), (3, 3)))) <= {0, 2}
    alone = np.full((48, 48), 7, np.int32)
    assert np.array_equal(follow_edges(painted(halves(48, 48, 30)), alone, certain(alone), (3, 3)), alone)


@pytest.mark.parametrize("size", [(1, 500), (500, 1), (2, 2)])
def test_edges_of_odd_pictures(size):
    labels = np.zeros(size, np.int32)
    labels.flat[: labels.size // 2] = 1
    found = follow_edges(painted(labels), labels, certain(labels), (1, 1))
    assert found.shape == size
    assert set(np.unique(found)) <= {0, 1}


def test_an_uncertain_patch_gets_the_label_of_what_it_belongs_to():
    truth, coarse = halves(64, 96, 48), halves(64, 96, 48)
    coarse[16:32, 16:32] = 1
    doubt = certain(coarse)
    doubt[16:32, 16:32] = 0.2
    picture = painted(truth, noise=0)
    assert np.array_equal(follow_edges(picture, coarse, doubt, (4, 6)), truth)
    own = follow_edges(painted(coarse, noise=0), coarse, doubt, (4, 6))
    assert (own != coarse).mean() < 0.005, "a thing of a colour of its own keeps its label; its corners are rounded"


@pytest.mark.parametrize("unknown", [0.0, np.nan])
def test_without_any_confidence_labels_stay_where_the_picture_has_no_edge(unknown):
    coarse = halves(64, 96, 48)
    plain = np.full((64, 96, 3), 90, np.uint8)
    assert np.array_equal(follow_edges(plain, coarse, np.full(coarse.shape, unknown), (4, 6)), coarse)


@pytest.mark.parametrize(("size", "count"), [((1, 1), 3), ((1, 90), 10), ((40, 60), 1), ((40, 60), 96), ((3, 4), 99)])
@pytest.mark.parametrize("noise", [0, 90])
def test_superpixels_are_as_many_connected_groups_as_asked_for(size, count, noise):
    parts = superpixels(painted(np.zeros(size, np.int32), noise=noise), count)
    assert np.array_equal(np.unique(parts.groups), np.arange(min(count, size[0] * size[1])))
    for group in range(len(parts.area)):
        inside = parts.groups == group
        assert parts.area[group] == inside.sum()
        assert ndimage.label(inside)[1] == 1
    first, second = parts.sides
    assert (first != second).all()
    beside = (parts.groups[:, 1:] != parts.groups[:, :-1]).sum() + (parts.groups[1:] != parts.groups[:-1]).sum()
    assert len(first) == beside


# The contract


@pytest.mark.parametrize("name", ["none", "edges"])
def test_a_refined_result_is_a_result_with_a_report(name):
    truth, coarse = halves(64, 64, 26), halves(64, 64, 32)
    result = result_of(coarse, ["left", "right"])
    refined = cc.refine(result, painted(truth), name)
    assert isinstance(refined, Segmentation)
    assert refined.settings["refiner"] == name
    assert refined.settings["model"] == "none"
    assert "refine" in refined.timings
    moved = int((refined.labels != coarse).sum())
    assert refined.report.changed == moved
    assert sum(refined.report.gained.values()) == sum(refined.report.lost.values()) == moved
    if name == "edges":
        assert moved > 300
        assert refined.report.gained["right"] > refined.report.gained.get("left", 0)
    assert np.array_equal(result.labels, coarse), "the coarse result is not touched"


def test_a_class_that_a_refiner_removes_altogether_is_named():
    coarse = halves(64, 64, 32)
    coarse[30:33, 10:13] = 2
    result = result_of(coarse, ["left", "right", "spoon", "fork"])
    assert cc.refine(result, painted(halves(64, 64, 32)), "edges").erased == ("spoon",)
    assert cc.refine(result, painted(coarse), "none").erased == ()


def test_the_signature_is_that_of_the_function():
    bound = inspect.signature(cc.refine).bind(result_of(halves()), np.zeros((64, 64, 3), np.uint8), refiner="edges")
    assert list(bound.arguments) == ["result", "image", "refiner"]


def test_what_is_no_result_is_refused():
    with pytest.raises(InputError, match="result: expected a segmentation, got ndarray"):
        cc.refine(np.zeros((4, 4, 3), np.uint8), result_of(halves()))


def test_unknown_names_list_the_known_ones():
    with pytest.raises(InputError, match="sam-nano"):
        load_refiner("sam-giant")
    with pytest.raises(InputError, match="everything"):
        load_refiner("sam-nano", mode="guess")


@pytest.mark.parametrize("name", ["none", "edges", "sam-nano"])
def test_a_picture_of_another_size_is_refused(name):
    with pytest.raises(InputError, match="frame of the labels"):
        cc.refine(result_of(halves()), np.zeros((32, 64, 3), np.uint8), name)


@pytest.mark.parametrize("name", ["none", "edges"])
def test_what_only_sam_heeds_is_not_ignored(name):
    with pytest.raises(InputError, match=f"refiner {name}: expected no mode, got"):
        load_refiner(name, mode="regions")
    with pytest.raises(InputError, match=f"refiner {name}: expected no checkpoint, got"):
        load_refiner(name, checkpoint="sam.pth")
    with pytest.raises(InputError, match=f"refiner {name}: expected no keep, got"):
        load_refiner(name)(result_of(halves()), painted(halves()), keep=[0])
    with pytest.raises(InputError, match=f"refiner {name}: expected no device, got 'nonsense'. Leave out the device"):
        cc.refine(result_of(halves()), painted(halves()), name, device="nonsense")
    with pytest.raises(InputError, match="keep: expected no value: mode everything"):
        load_refiner("sam-nano", mode="everything")(result_of(halves()), painted(halves()), keep=[0])


@pytest.mark.parametrize("name", ["none", "edges"])
@pytest.mark.parametrize("background", ["background", "Background", None])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6, 1.0])
def test_refined_above_a_threshold_says_what_really_changed(name, background, threshold):
    labels = halves()
    labels[20:44, 36:60] = 2
    confidence = np.random.default_rng(0).random(labels.shape, np.float32)
    names = ["cat", "dog", background or "cow"]
    coarse = result_of(labels, names, confidence)
    refined = cc.refine(coarse, painted(halves(at=38)), name)
    shown = refined.above(threshold)
    assert type(shown) is cc.Refined
    assert (refined.report.changed > 0) == (name == "edges")  # `above` does not change the original report
    moved = shown.labels != coarse.labels
    assert shown.report.changed == moved.sum()
    for index, own in enumerate(shown.class_names):
        assert shown.report.gained.get(own, 0) == (moved & (shown.labels == index)).sum()
        assert shown.report.lost.get(own, 0) == (moved & (coarse.labels == index)).sum()
    assert shown.report.refiner == name
    again = shown.above(threshold)
    assert again.report == shown.report


def test_the_callable_package_goes_to_another_process():
    assert pickle.loads(pickle.dumps(cc.refine)) is cc.refine
    assert copy.copy(cc.refine) is copy.deepcopy(cc.refine) is cc.refine
    result, image = result_of(halves()), painted(halves(at=38))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(cc.refine, result, image, "edges").result(timeout=120)
    assert np.array_equal(there.labels, cc.refine(result, image, "edges").labels)


@pytest.mark.parametrize("refined", [False, True])
def test_a_smaller_threshold_after_a_larger_one_gives_no_pixels_back_and_the_settings_say_so(refined):
    confidence = np.random.default_rng(0).random((64, 64), np.float32)
    result = result_of(halves(), ["cat", "background"], confidence)
    result = cc.refine(result, painted(halves()), "none") if refined else result
    shown = result.above(0.5)
    again = shown.above(0.2)
    assert again.settings["threshold"] == shown.settings["threshold"] == 0.5
    assert np.array_equal(again.labels, shown.labels)
    assert shown.above(0.7).settings["threshold"] == 0.7
    for text in ("x", None, True, [1]):
        loaded = dataclasses.replace(result, settings={**result.settings, "threshold": text})
        assert loaded.above(0.2).settings["threshold"] == 0.2


def test_edges_end_when_they_are_told_to():
    told = []

    def stop(share, text):
        told.append(share)
        if share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_refiner("edges")(result_of(halves()), painted(halves()), step=stop)
    assert told == [0.0, 0.25, 0.5]


@pytest.mark.parametrize("name", ["edges", "sam-nano", "sam-nano+edges"])
def test_refine_tells_its_progress_and_ends_when_it_is_told_to(name):
    told = []
    result, image = result_of(halves()), painted(halves())
    cc.refine(result, image, name, step=lambda share, text: told.append((share, text)))
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert all(0 <= share <= 1 and isinstance(text, str) for share, text in told)
    assert len(told) > 1

    def stop(share, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cc.refine(result, image, name, step=stop)
    cc.refine(result, image, "none", step=stop)  # nothing to do


def test_merging_ends_when_it_is_told_to():
    def stop(share, text):
        raise KeyboardInterrupt

    answers = answers_of(halves(), {0: halves(at=26) == 0, 1: halves(at=26) == 1})
    with pytest.raises(KeyboardInterrupt):
        merge(halves(), answers, answers.accepted, stop)
