"""Fixes by hand: clicks on the embedded SAM, strokes, undo, exports and JSON, bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import cliptrase_core as cc
from cliptrase_core.errors import InputError
from cliptrase_core.refine import Fix, apply_fixes, read_fixes
from cliptrase_core.refine import fixes as fixes_module
from cliptrase_core.refine.fixes import LARGEST_RADIUS, MOST_FIXES, MOST_POINTS, stroke
from cliptrase_core.refine.prompting import give_away
from cliptrase_core.results import EVERYTHING_ELSE
from tests.refine.test_refine import halves, painted, result_of

CLICK = {"sam": "sam-nano"}


def disc(height=120, width=160, at=(60, 100), radius=25):
    """Return a label map with one disc of class 1 on class 0."""
    rows, columns = np.mgrid[:height, :width]
    return ((rows - at[0]) ** 2 + (columns - at[1]) ** 2 < radius**2).astype(np.int32)


THING = (100.5 / 160, 60.5 / 120)
"""Centre of the disc, (x, y) as shares of the width and height."""


def result_with(names, labels=None):
    return result_of(disc() if labels is None else labels, names)


# Clicks


def test_a_click_includes_what_sam_finds_under_it_and_nothing_else():
    thing = disc()
    result = result_of(np.zeros_like(thing), ["wall", "ball"])
    fixed = apply_fixes(result, painted(thing), [Fix((THING,), "ball", **CLICK)])
    ball = fixed.labels == 1
    assert (ball & (thing == 1)).sum() / (ball | (thing == 1)).sum() > 0.75
    assert (result.labels == 0).all(), "the result before is not changed"
    assert fixed.class_names == ("wall", "ball")


@pytest.mark.parametrize(
    ("names", "goes_to"),
    [
        (["wall", "ball"], "wall"),  # the nearest class
        (["wall", "ball", "background"], "background"),
        (["wall", "ball", EVERYTHING_ELSE], EVERYTHING_ELSE),
        (["wall", "ball", "Background", EVERYTHING_ELSE], EVERYTHING_ELSE),
        ([EVERYTHING_ELSE, "ball", "wall"], EVERYTHING_ELSE),
    ],
)
def test_what_a_click_excludes_goes_where_it_is_said(names, goes_to):
    result = result_with(names)
    fixed = apply_fixes(result, painted(disc()), [Fix((THING,), **CLICK)])
    changed = fixed.labels != result.labels
    assert changed.sum() > 0.8 * disc().sum()
    assert {fixed.class_names[label] for label in np.unique(fixed.labels[changed])} == {goes_to}
    assert (result.labels[changed] == 1).all(), "only the class under the click loses"


def test_one_class_over_the_whole_picture_leaves_to_everything_else():
    result = result_of(np.zeros((120, 160), np.int32), ["ball"])
    fixed = apply_fixes(result, painted(disc()), [Fix((THING,), **CLICK), Fix((THING,), "ball", radius=0.01)])
    assert fixed.class_names == ("ball", EVERYTHING_ELSE)
    assert 0 < fixed.areas[EVERYTHING_ELSE] < 0.5
    assert fixed.to_coco(min_area=0)["categories"] == [{"id": 1, "name": "ball", "supercategory": ""}]


def test_a_click_at_full_size_is_that_of_the_screen():
    small, large = disc(), np.kron(disc(), np.ones((4, 4), np.int32))
    one = Fix((THING,), "ball", **CLICK)
    shown = apply_fixes(result_of(small * 0, ["wall", "ball"]), painted(small), [one]).labels
    full = apply_fixes(result_of(large * 0, ["wall", "ball"]), painted(large), [one], seen=painted(small)).labels
    assert (np.kron(shown, np.ones((4, 4), np.int32)) != full).mean() < 0.01


def test_the_picture_is_embedded_once_for_all_clicks(monkeypatch):
    from cliptrase_core.refine.refiners import loaded_sam

    embedded, sam = [], loaded_sam("sam-nano").sam
    embed = type(sam).embed
    monkeypatch.setattr(type(sam), "embed", lambda *a: (embedded.append(1), embed(*a))[1])
    image = painted(disc(at=(50, 50)))
    for share in (0.3, 0.5, 0.7):
        apply_fixes(result_with(["wall", "ball"]), image, [Fix(((share, 0.5),), "ball", **CLICK)])
    assert len(embedded) == 1


# Boxes

AROUND = ((0.42, 0.25), (0.83, 0.75))
"""Two corners of a loose box around the disc."""


@pytest.mark.parametrize("corners", [AROUND, AROUND[::-1], ((0.42, 0.75), (0.83, 0.25))])
def test_a_box_includes_what_sam_finds_in_it_and_nothing_outside(corners):
    thing = disc()
    result = result_of(np.zeros_like(thing), ["wall", "ball"])
    ball = apply_fixes(result, painted(thing), [Fix(corners, "ball", **CLICK)]).labels == 1
    assert (ball & (thing == 1)).sum() / (ball | (thing == 1)).sum() > 0.75
    part = ((0.42, 0.25), (0.62, 0.75))  # its left half
    ball = apply_fixes(result, painted(thing), [Fix(part, "ball", **CLICK)]).labels == 1
    assert ball.any()
    assert not ball[:, 100:].any()


def test_a_box_excludes_the_class_in_its_middle_and_comes_back_from_json():
    result, one = result_with(["wall", "ball"]), Fix(AROUND, **CLICK)
    fixed = apply_fixes(result, painted(disc()), [one])
    assert (fixed.labels == 1).sum() < 0.3 * disc().sum()
    assert fixed.settings["fixes"][0]["tool"] == "box"
    assert read_fixes(json.loads(json.dumps(fixed.settings["fixes"]))) == (one,)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 2)])
@pytest.mark.parametrize(
    "corners", [((0.0, 0.0), (1.0, 1.0)), ((0.999, 0.999), (1.0, 1.0)), ((0.0, 0.4), (0.001, 0.6))]
)
def test_boxes_in_odd_pictures(size, corners):
    result = result_of(np.zeros(size, np.int32), ["wall", "ball"])
    fixed = apply_fixes(result, np.zeros((*size, 3), np.uint8), [Fix(corners, "ball", **CLICK)])
    assert fixed.labels.shape == size


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 2)])
@pytest.mark.parametrize("point", [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_odd_pictures_and_edges(size, point):
    labels = np.zeros(size, np.int32)
    labels.flat[: labels.size // 2] = 1
    every = [
        Fix((point,), "b", **CLICK),
        Fix((point,), **CLICK),
        Fix((point,), "a", radius=0.1),
        Fix((point,), radius=0.2),
    ]
    fixed = apply_fixes(result_of(labels, ["a", "b"]), painted(labels), every)
    assert fixed.labels.shape == size


# Strokes


def test_a_stroke_paints_a_band_of_its_width_with_round_ends():
    box, mask = stroke([(0.25, 0.5), (0.75, 0.5)], 0.05, (100, 200))
    whole = np.zeros((100, 200), bool)
    whole[box] = mask
    assert whole[50, 50:150].all()
    assert abs(int(whole[:, 100].sum()) - 20) <= 1
    assert whole[50, 41]
    assert not whole[42, 41], "the corner is round"
    assert not whole[:, :38].any()


def test_a_stroke_is_the_same_at_every_size():
    line = [(0.1, 0.2), (0.5, 0.9), (0.9, 0.3), (0.3, 0.3)]
    shares = []
    for size in ((150, 200), (600, 800), (1500, 2000)):
        shares.append(stroke(line, 0.03, size)[1].sum() / (size[0] * size[1]))
    assert max(shares) < 1.1 * min(shares)


@pytest.mark.parametrize("points", [[(0.0, 0.0)], [(1.0, 1.0), (0.0, 0.0)], [(0.5, 0.5)] * 3])
def test_a_stroke_stays_in_the_picture_and_marks_at_least_a_pixel(points):
    box, mask = stroke(points, 0.0001, (30, 40))
    assert mask.any()
    assert box[0].stop <= 30
    assert box[1].stop <= 40


def test_the_eraser_takes_from_the_class_under_its_first_point_alone():
    labels = halves(60, 90, 45)
    result = result_of(labels, ["left", "right", EVERYTHING_ELSE])
    fixed = apply_fixes(result, painted(labels), [Fix(((0.3, 0.5), (0.9, 0.5)), radius=0.05)])
    assert (fixed.labels[labels == 1] == 1).all()
    assert (fixed.labels[labels == 0] == 2).any()


@pytest.mark.parametrize(
    ("names", "goes_to"),
    [
        (["left", EVERYTHING_ELSE], 0),  # the nearest class
        (["left", EVERYTHING_ELSE, "background"], 2),
        (["left", "background", EVERYTHING_ELSE], 2),
        (["left", "background"], 0),
    ],
)
def test_what_is_erased_from_the_rest_itself_goes_to_another_class(names, goes_to):
    labels = halves(60, 90, 45)
    fixed = apply_fixes(result_of(labels, names), painted(labels), [Fix(((0.6, 0.5),), radius=0.05)]).labels
    assert (fixed != labels).sum() > 10
    assert set(fixed[fixed != labels].tolist()) == {goes_to}


def test_an_eraser_that_names_its_class_takes_from_that_one_alone_and_comes_back_from_json():
    labels, dot = halves(60, 90, 45), ((0.3, 0.5),)
    result = result_of(labels, ["left", "right", EVERYTHING_ELSE])
    (one,) = read_fixes([Fix(dot, radius=0.05, from_class="right").as_dict()])
    assert (apply_fixes(result, painted(labels), [one]).labels == labels).all(), "left lies there"
    swapped = result_of(1 - labels, ["left", "right", EVERYTHING_ELSE])
    assert (apply_fixes(swapped, painted(labels), [one]).labels == 2).any()
    pair = result_of(labels, ["left", "right"])
    assert (apply_fixes(pair, painted(labels), [one]).labels == labels).all(), "nothing to give away"
    with pytest.raises(InputError, match="class: expected one of left, right, got 'cup'"):
        apply_fixes(pair, painted(labels), [Fix(dot, radius=0.05, from_class="cup")])


# Undo, exports, JSON


def test_an_exclude_click_a_stroke_and_an_undo_are_in_the_coco_file(tmp_path):
    result, image = result_with(["wall", "ball", EVERYTHING_ELSE]), painted(disc())
    fixes = [
        Fix((THING,), **CLICK),
        Fix(((0.1, 0.1), (0.3, 0.1)), "ball", radius=0.04),
        Fix(((0.1, 0.8), (0.3, 0.8)), "ball", radius=0.04),
    ]
    fixes.pop()  # undone
    fixed = apply_fixes(result, image, fixes)
    files = fixed.save(tmp_path, image, stem="disc", formats="json,npz")
    cc.export({"disc": fixed}, tmp_path, ["coco", "json"], images=[image])
    coco = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    numbers = {entry["name"]: entry["id"] for entry in coco["categories"]}
    ball = np.zeros(result.size, bool)
    for entry in coco["annotations"]:
        if entry["category_id"] == numbers["ball"]:
            ball |= coco_mask.decode(entry["segmentation"]).astype(bool)
    assert ball[12, 20], "painted"
    assert not ball[60, 100], "excluded"
    assert not ball[96, 30], "undone"
    assert [entry["tool"] for entry in cc.load_result(files.json).settings["fixes"]] == ["click", "brush"]


def test_fixes_one_by_one_are_fixes_at_once_and_come_back_from_json():
    result, image = result_with(["wall", "ball"]), painted(disc())
    fixes = [
        Fix((THING,), **CLICK),
        Fix(((0.2, 0.2), (0.4, 0.4)), "ball", radius=0.05),
        Fix(((0.3, 0.3),), radius=0.02),
    ]
    at_once = apply_fixes(result, image, fixes)
    one_by_one = result
    for one in fixes:
        one_by_one = apply_fixes(one_by_one, image, [one])
    assert np.array_equal(at_once.labels, one_by_one.labels)
    assert at_once.settings == one_by_one.settings
    again = read_fixes(json.loads(json.dumps(at_once.settings["fixes"])))
    assert list(again) == fixes
    assert np.array_equal(apply_fixes(result, image, again).labels, at_once.labels)


def test_a_refined_result_stays_one_and_its_report_counts_anew():
    coarse, image = result_with(["wall", "ball"]), painted(disc())
    refined = cc.refine(coarse, image, "edges")
    fixed = apply_fixes(refined, image, [Fix(((0.1, 0.1), (0.9, 0.1)), "ball", radius=0.05)])
    assert isinstance(fixed, cc.Refined)
    assert fixed.report.changed == (fixed.labels != coarse.labels).sum() > refined.report.changed
    assert fixed.settings["refiner"] == "edges"


@pytest.mark.parametrize("name", ["none", "edges", "sam-nano"])
def test_a_fixed_result_is_not_refined_because_that_would_undo_fixes_that_its_settings_list(name):
    coarse, image = result_with(["wall", "ball"]), painted(disc())
    stroke_of = [Fix(((0.1, 0.1), (0.9, 0.1)), "ball", radius=0.05)]
    fixed = apply_fixes(coarse, image, stroke_of)
    with pytest.raises(InputError, match="result: expected one without fixes by hand, got one with fixes. Refine what"):
        cc.refine(fixed, image, name)
    again = apply_fixes(cc.refine(coarse, image, name), image, fixed.settings["fixes"])
    assert again.settings["refiner"] == name
    assert again.settings["fixes"] == fixed.settings["fixes"]


@pytest.mark.parametrize("refiner", [None, "edges"])
def test_a_threshold_takes_no_fixed_pixels_away_by_the_confidence_of_another_class(refiner):
    result, image = result_with(["wall", "ball"]), painted(disc())
    result = result if refiner is None else cc.refine(result, image, refiner)
    stroke_of = [Fix(((0.1, 0.1), (0.9, 0.1)), "ball", radius=0.05)]
    fixed = apply_fixes(result, image, stroke_of)
    with pytest.raises(InputError, match="one without fixes by hand, got one with fixes. Set the threshold first"):
        fixed.above(0.5)
    assert fixed.above(0) is fixed or np.array_equal(fixed.above(0).labels, fixed.labels)
    assert apply_fixes(result.above(0.5), image, stroke_of).settings["threshold"] == 0.5


def test_no_fix_changes_nothing():
    result = result_with(["wall", "ball"])
    assert apply_fixes(result, painted(disc()), []) is result


# Bad input


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"points": ((1.5, 0.5),)}, "point: expected x and y from 0 to 1"),
        ({"points": ((0.5, float("nan")),)}, "point: expected"),
        ({"points": ((0.5, float("inf")),)}, "point: expected"),
        ({"points": ((-1, 10**400),)}, "point: expected"),
        ({"points": (("0.5", 0.5),)}, "point: expected"),
        ({"points": ((0.5,),)}, "point: expected"),
        ({"points": ((True, False),)}, "point: expected"),
        ({"points": ()}, "points of a brush: expected 1 to"),
        ({"points": ((0.5, 0.5),) * 10_000}, f"expected 1 to {MOST_POINTS}, got 10000"),
        ({"points": ((0.5, 0.5),) * 2, "radius": None, "sam": "sam-nano"}, "box: expected two corners apart"),
        ({"points": ((0.5, 0.1), (0.5, 0.9)), "radius": None, "sam": "sam-nano"}, "box: expected two corners apart"),
        ({"points": ((0.5, 0.5),) * 3, "radius": None, "sam": "sam-nano"}, "points for SAM: expected 1 to 2, got 3"),
        ({"radius": 0}, "brush radius"),
        ({"radius": LARGEST_RADIUS * 2}, "brush radius"),
        ({"radius": float("nan")}, "brush radius"),
        ({"radius": "wide"}, "brush radius"),
        ({"radius": None}, "a radius (a stroke) or a SAM"),
        ({"sam": "sam-nano"}, "got both"),
        ({"radius": None, "sam": "edges"}, "sam: expected one of"),
        ({"class_name": 3}, "class: expected a name"),
        ({"from_class": 3}, "class: expected a name"),
        ({"class_name": "a", "from_class": "b"}, "one to remove, got both"),
    ],
)
def test_what_is_no_fix_is_explained(how, said):
    with pytest.raises(InputError) as error:
        Fix(**{"points": ((0.5, 0.5),), "radius": 0.05, **how})
    assert said in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "entries",
    [
        None,
        "click",
        {"tool": "click"},
        [None],
        [[]],
        [{}],
        [{"tool": "laser", "points": [[0.5, 0.5]]}],
        [{"tool": "click", "points": [[0.5, 0.5]]}],
        [{"tool": "box", "points": [[0.1, 0.1], [0.5, 0.5]]}],
        [{"tool": "box", "sam": "sam-nano", "points": [[0.1, 0.1]]}],
        [{"tool": "click", "sam": "sam-nano", "points": [[0.1, 0.1], [0.5, 0.5]]}],
        [{"tool": "brush", "points": [[0.5, 0.5]]}],
        [{"tool": "brush", "points": "0.5", "radius": 0.1}],
        [{"tool": "brush", "points": [0.5, 0.5], "radius": 0.1}],
        [{"tool": "brush", "points": [[0.5, 0.5]] * 10_000, "radius": 0.1}],
        [{"tool": "brush", "points": [[0.5, 0.5]], "radius": 0.1, "class": ["a"]}],
        [{"tool": "brush", "points": [[0.5, 0.5]], "radius": 0.1}] * (MOST_FIXES + 1),
    ],
)
def test_json_that_holds_no_fixes_is_explained(entries):
    with pytest.raises(InputError, match="expected"):
        read_fixes(entries)


def test_an_unknown_class_another_picture_and_too_many_fixes_are_explained():
    result, image, dot = result_with(["wall", "ball"]), painted(disc()), Fix(((0.5, 0.5),), "ball", radius=0.01)
    with pytest.raises(InputError, match="class: expected one of wall, ball, got 'cup'"):
        apply_fixes(result, image, [dot, Fix(((0.5, 0.5),), "cup", radius=0.01)])
    with pytest.raises(InputError, match="picture: expected"):
        apply_fixes(result, image[:50], [dot])
    many = apply_fixes(result, image, [dot] * MOST_FIXES)
    with pytest.raises(InputError, match="fixes: expected at most"):
        apply_fixes(many, image, [dot])
    long = [Fix(((0.5, 0.5),) * MOST_POINTS, "ball", radius=0.01)] * 5
    with pytest.raises(InputError, match="points of all strokes: expected at most"):
        apply_fixes(result, image, long)
    with pytest.raises(InputError, match="points of all strokes"):
        read_fixes([one.as_dict() for one in long])


@pytest.mark.parametrize("point", [(-0.5, -0.9), (40, 60), (float("nan"), 0.5), (0.5,), None, "ab"])
def test_a_class_is_asked_for_inside_the_picture(point):
    with pytest.raises(InputError, match="point: expected x and y from 0 to 1"):
        cc.refine.class_at(result_with(["wall", "ball"]), point)
    inside = [THING, np.array(THING), (0, 0), (1, 1)]
    assert [cc.refine.class_at(result_with(["wall", "ball"]), at) for at in inside] == ["ball", "ball", "wall", "wall"]


def test_fixes_of_what_is_no_result_are_explained():
    stroke_of = Fix((THING,), "ball", radius=0.1)
    for call in (lambda: apply_fixes(None, painted(disc()), [stroke_of]), lambda: cc.refine.class_at(None, THING)):
        with pytest.raises(InputError, match="result: expected a segmentation, got nothing"):
            call()


@pytest.mark.parametrize("seed", range(20))
def test_pixels_of_a_thin_stroke_go_to_the_nearest_other_class(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((40, 40), np.int32)
    labels[: rng.integers(5, 15)] = 1
    labels[:, rng.integers(30, 40) :] = 2
    row, column, tall, wide = rng.integers(15, 30), rng.integers(0, 5), rng.integers(1, 4), rng.integers(20, 25)
    released = np.zeros((40, 40), np.bool_)
    released[row : row + tall, column : column + wide] = True
    new = give_away(labels, labels, released)
    for old in np.unique(labels[released]):
        others = np.argwhere(~released & (labels != old))
        for spot in np.argwhere(released & (labels == old)):
            distances = np.hypot(*(others - spot).T)
            nearest = labels[tuple(others[np.isclose(distances, distances.min())].T)] if len(others) else [old]
            assert new[tuple(spot)] in nearest
    assert (new == labels)[~released].all()


def test_a_wrong_class_is_refused_before_sam_looks(monkeypatch):
    monkeypatch.setattr(fixes_module, "loaded_sam", lambda *_, **__: pytest.fail("SAM was asked"))
    for wrong in (
        Fix((THING,), "cow", sam="sam-nano"),
        Fix((THING,), sam="sam-nano", from_class="cow"),
        Fix((THING,), "", radius=0.1),
    ):
        with pytest.raises(InputError, match="class: expected one of wall, ball, got"):
            apply_fixes(result_with(["wall", "ball"]), painted(disc()), [wrong])


def test_fixes_of_a_result_that_was_changed_by_hand_are_explained():
    result = replace(result_with(["wall", "ball"]), settings={"fixes": [{"tool": "brush"}]})
    with pytest.raises(InputError, match="fix: expected an object with points"):
        apply_fixes(result, painted(disc()), [])


def test_saved_fixes_are_applied_again_as_they_are(tmp_path):
    result, image = result_of(halves()), painted(halves())
    fixes = [Fix(((0.25, 0.5),), "class 1", radius=0.1), Fix(((0.8, 0.5),), "class 0", radius=0.05)]
    fixed = apply_fixes(result, image, fixes)
    saved = cc.load_result(fixed.save(tmp_path, stem="a", formats="json").json).settings["fixes"]
    for again in (saved, (one for one in fixes), [fixes[0], saved[1]], read_fixes(saved)):
        assert np.array_equal(apply_fixes(result, image, again).labels, fixed.labels)


def test_read_fixes_returns_a_fix_as_it_is():
    fixes = [Fix(((0.25, 0.5),), "class 1", radius=0.1), Fix(((0.8, 0.5),), "class 0", sam="sam-nano")]
    mixed = read_fixes([fixes[0], fixes[1].as_dict()])
    assert mixed == tuple(fixes)
    assert mixed[0] is fixes[0]
    with pytest.raises(InputError, match=f"fixes: expected at most {MOST_FIXES}"):
        read_fixes(fixes[:1] * (MOST_FIXES + 1))


@pytest.mark.parametrize("fixes", [None, 3, "fix", Fix(((0.5, 0.5),), radius=0.1), {"tool": "brush"}])
def test_what_is_no_list_of_fixes_is_refused(fixes):
    with pytest.raises(InputError, match="fixes: expected a list of Fix, or of saved fixes, got .* into a list"):
        apply_fixes(result_of(halves()), painted(halves()), fixes)


def test_an_entry_that_is_no_fix_is_refused():
    with pytest.raises(InputError, match="fix: expected an object with points, got 3"):
        apply_fixes(result_of(halves()), painted(halves()), [3])


@pytest.mark.parametrize(
    "points",
    [[[0.5, 0.25]], [(np.float32(0.5), np.float64(0.25))], np.array([[0.5, 0.25]]), ((0.5, np.float16(0.25)),)],
)
def test_points_may_be_lists_and_any_real_numbers(points):
    one = Fix(points, radius=np.float32(0.25))
    assert one == Fix(((0.5, 0.25),), radius=0.25)
    assert json.loads(json.dumps(one.as_dict())) == one.as_dict()
    with pytest.raises(InputError, match=r"points: expected a list of \(x, y\)"):
        Fix(0.5, radius=0.1)
    with pytest.raises(InputError, match="point: expected x and y"):
        Fix((0.5, 0.5), radius=0.1)


def test_a_class_with_pixels_by_hand_has_no_confidence_and_the_others_keep_theirs():
    result = result_with(["wall", "ball"])
    before = result.shares[1]
    fixed = apply_fixes(result, painted(disc()), [Fix(((0.1, 0.1), (0.3, 0.1)), "ball", radius=0.05)])
    wall, ball = result.class_names.index("wall"), result.class_names.index("ball")
    assert np.isnan(fixed.shares[1][ball])
    assert fixed.shares[1][wall] == pytest.approx(before[wall], abs=0.05)
    np.testing.assert_array_equal(fixed.confidence, result.confidence)
