"""Metrics against matrices counted by hand and by loops, figures against explicit sums, intervals against a loop;
masks of every depth, and files that are no masks."""

from __future__ import annotations

import math
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.metrics import (
    RESAMPLES,
    SEED,
    ClassCounts,
    boundary_f,
    bounds_of,
    class_iou,
    confusion_matrix,
    figures,
    intervals,
    mean_iou,
    pixel_accuracy,
    resampled_figures,
    total,
)
from cliptrase_core.evaluation.records import counts_of, record_of
from cliptrase_core.io.masks import IGNORED, read_mask
from tests.conftest import DATA

TRUTH = np.array([[0, 0, 1], [1, 1, IGNORED]])
GIVEN = np.array([[0, 1, 1], [1, IGNORED, 0]])


def test_pixels_are_counted_by_true_and_given_class():
    # By hand: 0 -> 0 once, 0 -> 1 once, 1 -> 1 twice, 1 -> no class once; the ignored pixel does not count.
    np.testing.assert_array_equal(confusion_matrix(TRUTH, GIVEN, 2), [[1, 1, 0], [0, 2, 1]])


def test_scores_are_those_of_a_sheet_of_paper():
    matrix = confusion_matrix(TRUTH, GIVEN, 2)
    # Class 0: 1 of {2 true + 1 given - 1}; class 1: 2 of {3 true + 3 given - 2}.
    np.testing.assert_allclose(class_iou(matrix), [1 / 2, 2 / 4])
    assert mean_iou(matrix) == pytest.approx(0.5)
    assert pixel_accuracy(matrix) == pytest.approx(3 / 5)


STRAIGHT = np.repeat([[0] * 8 + [1] * 8], 16, axis=0)
SHIFTED = np.repeat([[0] * 11 + [1] * 5], 16, axis=0)


@pytest.mark.parametrize(
    ("truth", "labels", "tolerance", "score"),
    [
        (STRAIGHT, STRAIGHT, 0, 1),
        (STRAIGHT, SHIFTED, 3, 1),
        (STRAIGHT, SHIFTED, 2, 0),
        (STRAIGHT, np.zeros((16, 16), int), 3, 0),  # nothing found
        (STRAIGHT, np.where(np.arange(16)[:, None] == 15, 2, STRAIGHT), 0, 2 / (30 / 15 + 16 / 15)),
        (np.zeros((4, 4), int), np.zeros((4, 4), int), None, 1),
        # A boundary among ignored pixels cannot be judged.
        (np.full((16, 16), IGNORED), SHIFTED, 1, 1),
        (np.where((np.arange(16) > 3) & (np.arange(16) < 14), IGNORED, STRAIGHT), SHIFTED, 1, 1),
    ],
)
def test_boundary_f_forgives_what_the_tolerance_says(truth, labels, tolerance, score):
    assert boundary_f(truth, labels, tolerance) == pytest.approx(score)


def test_boundaries_may_be_off_by_a_share_of_the_short_side():
    large, off = (np.kron(map_, np.ones((28, 28), int)) for map_ in (STRAIGHT, SHIFTED))  # 448 pixels, off by 84
    assert boundary_f(large, off) == 0
    assert boundary_f(large, np.roll(large, 6, axis=1) * (np.arange(448) > 20)) == pytest.approx(1)


def test_a_class_in_neither_map_has_no_score_and_one_given_wrongly_has_zero():
    matrix = confusion_matrix(np.array([[0, 0]]), np.array([[0, 2]]), 4)
    iou = class_iou(matrix)
    assert iou[0] == pytest.approx(0.5)
    assert math.isnan(iou[1])
    assert iou[2] == 0
    assert math.isnan(iou[3])
    assert mean_iou(matrix) == pytest.approx(0.5), "only class 0 is in the truth"


def test_nothing_that_counts_has_no_score():
    matrix = confusion_matrix(np.full((2, 2), IGNORED), np.zeros((2, 2), int), 3)
    assert matrix.sum() == 0
    assert math.isnan(mean_iou(matrix))
    assert math.isnan(pixel_accuracy(matrix))


def test_the_matrix_is_that_of_a_loop_and_matrices_add_up():
    rng = np.random.default_rng(0)
    truth, given = rng.integers(-1, 5, (7, 9)), rng.integers(-1, 5, (7, 9))
    expected = np.zeros((5, 6), int)
    for t, g in zip(truth.ravel(), given.ravel(), strict=True):
        if t >= 0:
            expected[t, g if g >= 0 else 5] += 1
    np.testing.assert_array_equal(confusion_matrix(truth, given, 5), expected)
    halves = confusion_matrix(truth[:3], given[:3], 5) + confusion_matrix(truth[3:], given[3:], 5)
    np.testing.assert_array_equal(halves, expected)


@pytest.mark.parametrize("shift", [5, -2])
@pytest.mark.parametrize("which", ["ground_truth", "labels"])
def test_classes_out_of_range_are_refused(which, shift):
    maps = {"ground_truth": np.zeros((2, 2), int), "labels": np.zeros((2, 2), int)}
    maps[which][0, 0] = shift
    with pytest.raises(InputError, match=f"{which.replace('_', ' ')}: expected classes 0 to 4"):
        confusion_matrix(**maps, classes=5)


def test_maps_of_different_size_are_refused_with_both_sizes():
    with pytest.raises(InputError, match=r"\(2, 3\) and \(3, 2\)"):
        confusion_matrix(np.zeros((2, 3), int), np.zeros((3, 2), int), 1)


def matrices(count, classes, seed=0):
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 50, (count, classes, classes + 1)) * rng.integers(0, 2, (count, classes, classes + 1))
    found[:, 3] = 0  # a class that is predicted, but absent from the ground truth
    return found


def records(found):
    return [record_of(str(index), (), matrix, {}) for index, matrix in enumerate(found)]


def test_counts_are_those_of_the_matrices():
    found = matrices(4, 5)
    counts = total(counts_of(records(found), 5))
    whole = found.sum(0)
    unions = [whole[label].sum() + whole[:, label].sum() - whole[label, label] for label in range(5)]
    np.testing.assert_allclose(counts.iou(), np.diagonal(whole) / unions)
    np.testing.assert_allclose(counts.iou(), class_iou(whole))
    assert figures(counts, "paper")["mIoU"] == pytest.approx(100 * mean_iou(whole))
    assert figures(counts, "paper")["pAcc"] == pytest.approx(100 * pixel_accuracy(whole))


def test_rules_differ_in_classes_that_are_not_in_the_truth():
    # Rows: ground truth. Class 0: 3 of 4 correct; class 1: all 4 correct; class 2: absent, predicted once.
    matrix = np.array([[3, 0, 1, 0], [0, 4, 0, 0], [0, 0, 0, 0]])
    counts = total(counts_of(records([matrix]), 3))
    assert figures(counts, "paper")["mIoU"] == pytest.approx(100 * (3 / 4 + 4 / 4) / 2)
    assert figures(counts, "mmseg")["mIoU"] == pytest.approx(100 * (3 / 4 + 4 / 4 + 0) / 3)
    assert figures(counts, "published")["mIoU"] == pytest.approx(100 * (3 / 4.01 + 4 / 4.01) / 2)
    assert figures(counts, "paper")["mAcc"] == pytest.approx(100 * (3 / 4 + 1) / 2)
    assert figures(counts, "published")["mAcc"] == pytest.approx(100 * (3 / 4.01 + 4 / 4.01 + 0) / 3)
    assert figures(counts, "paper")["fwIoU"] == pytest.approx(100 * (0.5 * 3 / 4 + 0.5 * 1))


@pytest.mark.parametrize("rule", ["published", "paper", "mmseg"])
def test_nothing_that_counts_has_no_figures(rule):
    counts = total(counts_of(records([np.zeros((3, 4), int)]), 3))
    found = figures(counts, rule)
    assert {name: value for name, value in found.items() if not math.isnan(value)} == (
        {"mAcc": 0.0} if rule == "published" else {}
    ), "0.01 below nothing is 0"


def test_intervals_are_those_of_a_loop_over_resamples():
    found = matrices(6, 5)
    low, high = intervals(counts_of(records(found), 5), "paper", {})["mIoU"]
    rng, drawn = np.random.default_rng(SEED), []
    for _ in range(RESAMPLES):
        times = rng.multinomial(6, np.full(6, 1 / 6))
        drawn.append(100 * mean_iou(sum(int(t) * m for t, m in zip(times, found, strict=True))))
    whole = 100 * mean_iou(found.sum(0))
    assert (low, high) == pytest.approx(tuple(np.percentile(drawn, (2.5, 97.5)) + whole - np.median(drawn)))


def pictures_of(shares, quality, seed=0):
    """Return counts of 200 pictures with 1 to 7 classes each, by shares; the prediction hits a class by its quality."""
    rng = np.random.default_rng(seed)
    true = np.stack([rng.multinomial(rng.integers(1, 8), shares) for _ in range(200)]) * 1000.0
    hit = np.round(true * quality * rng.uniform(0.6, 1.2, true.shape))
    return ClassCounts(hit, true, true)


def spread_of(counts):
    """Return the percentiles and the median of mIoU in resamples."""
    return np.percentile(resampled_figures(counts, "paper", {})["mIoU"], (2.5, 50, 97.5))


SHARES = 1 / np.arange(1, 151) ** 1.3
POORER = np.linspace(0.8, 0.02, 150)
"""Quality of 150 classes, of which the rare ones are poor."""


def test_an_interval_contains_its_figure_when_resamples_lack_rare_classes():
    counts = pictures_of(SHARES / SHARES.sum(), POORER)
    found = float(figures(total(counts), "paper")["mIoU"])
    low, high = intervals(counts, "paper", {})["mIoU"]
    assert spread_of(counts)[0] > found, "almost every resample is above"
    assert low < found < high


def test_an_interval_of_a_difference_contains_it_too():
    both = [pictures_of(SHARES / SHARES.sum(), quality) for quality in (0.3, POORER)]
    before, after = (resampled_figures(counts, "paper", {})["mIoU"] for counts in both)
    first, second = (float(figures(total(counts), "paper")["mIoU"]) for counts in both)
    assert np.percentile(after - before, 2.5) > second - first
    low, high = bounds_of(after - before, second - first)
    assert low < second - first < high


def test_an_interval_hardly_changes_where_every_resample_has_all_classes():
    counts = pictures_of(np.full(10, 0.1), np.linspace(0.8, 0.2, 10))
    low, _, high = spread_of(counts)
    assert intervals(counts, "paper", {})["mIoU"] == pytest.approx((low, high), abs=0.05 * (high - low))


def test_an_interval_ends_at_100():
    true = np.zeros((20, 2))
    true[:, 0] = 50
    true[:3, 1] = 100, 10, 10
    hit = true.copy()
    hit[1:3, 1] = 0
    counts = ClassCounts(hit, true, hit)
    _, median, high = spread_of(counts)
    assert float(figures(total(counts), "paper")["mIoU"]) + high - median > 100
    assert intervals(counts, "paper", {})["mIoU"][1] == 100


VALUES = np.array([[0, 1, 2], [3, 1, 0]], dtype=np.uint8)


def png(values: np.ndarray, depth: int, colour_type: int = 0) -> bytes:
    """Return a PNG of any bit depth; PIL writes greys of 8 bits only."""
    bits = "".join("".join(f"{v:0{depth}b}" for v in row).ljust(-(-len(row) * depth // 8) * 8, "0") for row in values)
    stride = -(-values.shape[1] * depth // 8)
    raw = int(bits, 2).to_bytes(stride * len(values), "big")
    lines = b"".join(b"\0" + raw[i : i + stride] for i in range(0, len(raw), stride))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", values.shape[1], len(values), depth, colour_type, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(48))) if colour_type == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + palette
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("depth", "colour_type"), [(2, 0), (4, 0), (8, 0), (16, 0), (2, 3), (4, 3), (8, 3)])
def test_class_numbers_survive_every_depth(tmp_path, depth, colour_type):
    path = tmp_path / "mask.png"
    path.write_bytes(png(VALUES, depth, colour_type))
    np.testing.assert_array_equal(read_mask(str(path)), VALUES)


def test_a_mask_of_one_bit_has_two_classes(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(VALUES > 0).convert("1").save(path)
    np.testing.assert_array_equal(read_mask(str(path)), VALUES > 0)


def test_a_palette_is_read_by_index_whatever_its_colours(tmp_path):
    path = tmp_path / "mask.png"
    image = Image.fromarray(VALUES, "L").convert("P")
    image.putdata(VALUES.ravel().tolist())
    image.putpalette([7, 7, 7] * 256)  # all of one colour
    image.save(path, transparency=1)
    np.testing.assert_array_equal(read_mask(str(path)), VALUES)


@pytest.mark.parametrize(("depth", "ignored", "kept"), [(8, 255, 254), (16, 65535, 255)])
def test_the_highest_number_is_ignored(tmp_path, depth, ignored, kept):
    path = tmp_path / "mask.png"
    path.write_bytes(png(np.array([[0, ignored, kept]]), depth))
    np.testing.assert_array_equal(read_mask(str(path)), [[0, IGNORED, kept]])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_refused(tmp_path, mode):
    path = tmp_path / "mask.png"
    Image.new(mode, (3, 2)).save(path)
    with pytest.raises(InputError, match=f"one in colours .{mode}."):
        read_mask(str(path))


HOSTILE = sorted(path for path in (DATA / "images").iterdir() if path.suffix != ".png" or path.stat().st_size < 60)


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_other_files_are_refused_without_their_folder(path):
    with pytest.raises(InputError, match="expected") as refusal:
        read_mask(str(path))
    assert str(path.parent) not in str(refusal.value)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    with pytest.raises(InputError, match="at most"):
        read_mask(str(DATA / "images" / "bomb.png"))
    path = tmp_path / "mask.png"
    path.write_bytes(png(VALUES, 8))
    with pytest.raises(InputError, match="at most 5 pixels, got 2 x 3 = 6"):
        read_mask(str(path), max_pixels=5)


@pytest.mark.parametrize("cut", [4, 30, 50])
def test_a_mask_that_is_cut_short_is_refused(tmp_path, cut):
    path = tmp_path / "secret place" / "mask.png"
    path.parent.mkdir()
    path.write_bytes(png(VALUES, 8)[:cut])
    with pytest.raises(InputError, match=r"file 'mask\.png'") as refusal:
        read_mask(str(path))
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("path", [os.devnull, "/nowhere/mask.png", "a\0b", "."])
def test_what_is_no_file_is_refused(path):
    with pytest.raises(InputError, match="expected"):
        read_mask(path)
