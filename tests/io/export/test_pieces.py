"""Connected components: run lengths and outlines reproduce every pixel and hole; small ones can be left out."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from cliptrase_core.errors import InputError
from cliptrase_core.io.export.components import ComponentRule, edges, find_components

EVERYTHING = ComponentRule(0)


def random_labels(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    if seed % 2:
        return (rng.random((height, width)) < rng.choice([0.1, 0.4, 0.6, 0.8, 0.95])).astype(np.int32)
    coarse = rng.integers(0, 3, (max(1, height // 5), max(1, width // 5))).astype(np.uint8)
    return cv2.resize(coarse, (int(width), int(height)), interpolation=cv2.INTER_NEAREST).astype(np.int32)


def drawn(name):
    """Return a map with the named kind of hole; 1 is the class."""
    labels = np.zeros((30, 40), np.int32)
    labels[2:28, 2:38] = 1
    if name == "holes side by side":
        labels[5:9, 5:9] = labels[5:9, 12:16] = labels[5:9, 20:22] = 0
    if name == "an island in a hole":
        labels[5:25, 5:35] = 0
        labels[10:20, 10:30] = 1
        labels[12:18, 14:20] = 0
    if name == "holes that touch by corners":
        labels[5:8, 5:8] = labels[8:11, 8:11] = labels[11:14, 5:8] = 0
    if name == "a hole at one pixel from the edge":
        labels[3:27, 3:37] = 0
    if name == "a frame around the picture":
        labels[:] = 1
        labels[1:-1, 1:-1] = 0
    if name == "a line":
        labels[:] = 0
        labels[3, 4:20] = 1
    if name == "everything":
        labels[:] = 1
    return labels


DRAWN = (
    *("holes side by side", "an island in a hole", "holes that touch by corners", "a hole at one pixel from the edge"),
    *("a frame around the picture", "a line", "everything"),
)


def filled(outlines, shape):
    """Fill outlines by OpenCV (as ultralytics and supervision do), and by PIL (as labelme does)."""
    by_cv, by_pil = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for outline in outlines:
        cv2.fillPoly(by_cv, [outline], 1)
        picture = Image.new("L", shape[::-1])
        ImageDraw.Draw(picture).polygon([tuple(point) for point in outline.tolist()], outline=1, fill=1)
        by_pil |= np.asarray(picture)
    return by_cv, by_pil


def decoded(counts, shape):
    return coco_mask.decode({"size": list(shape), "counts": counts})


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("labels", [*map(drawn, DRAWN), *map(random_labels, range(60))])
def test_runs_and_outlines_give_every_pixel_back(labels, per_class):
    shape = labels.shape
    components = find_components(labels, range(3), ComponentRule(0, per_class))
    for label in range(3):
        own = [component for component in components if component.label == label]
        assert len(own) <= 1 or not per_class
        whole = np.zeros(shape, np.uint8)
        for component in own:
            mask = decoded(component.counts, shape)
            assert component.area == mask.sum()
            assert list(coco_mask.toBbox({"size": list(shape), "counts": component.counts})) == list(component.box)
            for again in filled(component.outlines, shape):
                assert np.array_equal(again, mask)
            whole += mask
        assert np.array_equal(whole, labels == label), "no pixel is lost, none is in two components"


@pytest.mark.parametrize("name", DRAWN)
def test_coco_fills_polygons_to_the_same_pixels(name):
    labels = drawn(name)
    for component in find_components(labels, [1], EVERYTHING):
        polygons = [edges(outline).ravel().tolist() for outline in component.outlines]
        mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *labels.shape)))
        assert np.array_equal(mask, decoded(component.counts, labels.shape))


def test_crumbs_are_left_out_and_corners_hold_a_component_together():
    labels = np.zeros((20, 20), np.int32)
    labels[2:4, 2:4] = 1
    labels[4:6, 4:6] = 1  # touches the first square at a corner
    labels[10, 10] = 1
    assert [component.area for component in find_components(labels, [1], ComponentRule(0))] == [8, 1]
    assert [component.area for component in find_components(labels, [1], ComponentRule(2))] == [8]
    assert [component.area for component in find_components(labels, [1], ComponentRule(2, per_class=True))] == [8]
    assert find_components(labels, [1], ComponentRule(9)) == []
    assert find_components(labels, [7], ComponentRule(0, per_class=True)) == []


@pytest.mark.parametrize("area", [-1, 1.5, "64", None, True])
def test_an_area_that_is_no_number_of_pixels_is_refused(area):
    with pytest.raises(InputError, match="min_area"):
        ComponentRule(area)
