"""Coarse and refined results, and fixes by hand: answers of the handler, the next result, the download."""

from __future__ import annotations

import base64
import html
import io
import json
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from cliptrase_core.refine import Fix
from demo.changing import ChangeHandlers, ChangeView
from demo.service import DisplayState, Refinement, SegmentRequest, bundle, point_at
from demo.service.download import CHOICES, formats_of
from demo.service.history import history_text, read_history
from demo.service.shown import PlacedFix, transfer_changes
from demo.settings import EXAMPLES

COWS = str(EXAMPLES / "cows.jpg")
WORDS = "cow; grass; trees"
REFINING = ("sam-nano+edges", "prompts", None)
STROKE = {"tool": "brush", "class": "trees", "points": [[0.1, 0.9], [0.3, 0.9]], "radius": 0.03}
CLICK = {"tool": "click", "class": None, "points": [[0.5, 0.5]]}


@pytest.fixture(scope="module")
def cows(service):
    return service.segment(COWS, SegmentRequest(WORDS))


@pytest.fixture(scope="module")
def handlers(service):
    return ChangeHandlers(service)


def change(handlers, cows, shown=None, refining=REFINING, **asked):
    event = SimpleNamespace(_data={"of": cows.run.token, "seq": 1, **asked})
    return list(handlers.change(cows.run, COWS, shown, *refining, event))


def labels_of(view: ChangeView):
    with Image.open(io.BytesIO(base64.b64decode(view.result["labels"].split(",")[1]))) as picture:
        return np.asarray(picture)[..., 0]


def skipped(value) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update"


# The handler


def test_a_click_a_stroke_and_steps_back_and_forth(handlers, cows):
    first = change(handlers, cows, fix=CLICK)[-1]
    assert first.result["fixes"] == 1
    assert "of the picture became" in first.result["said"]
    assert first.shown.fixes[0].sam == "sam-nano", "the refiner that was chosen is no SAM alone"
    assert "cow" in first.legend
    second = change(handlers, cows, first.shown, fix=STROKE)[-1]
    assert "became trees" in second.result["said"]
    back = change(handlers, cows, second.shown, undo=True)[-1]
    assert back.result["said"].startswith("Fix taken back: ")
    assert "became" not in back.result["said"]
    assert (back.result["fixes"], back.result["undone"]) == (1, 1)
    np.testing.assert_array_equal(labels_of(back), labels_of(first))
    forth = change(handlers, cows, back.shown, redo=True)[-1]
    np.testing.assert_array_equal(labels_of(forth), labels_of(second))
    none = change(handlers, cows, forth.shown, clear=True)[-1]
    np.testing.assert_array_equal(labels_of(none), cows.labels)
    assert not none.result["changed"]
    assert none.result["said"].startswith("All fixes taken back: ")


def test_one_step_back_returns_all_removed_fixes_and_one_step_forth_removes_them_again(handlers, cows):
    shown = change(handlers, cows, change(handlers, cows, fix=CLICK)[-1].shown, fix=STROKE)[-1].shown
    cleared = change(handlers, cows, shown, clear=True)[-1]
    assert (cleared.result["fixes"], cleared.result["undone"], cleared.result["removed"]) == (0, 0, 1)
    back = change(handlers, cows, cleared.shown, undo=True)[-1]
    assert (back.shown.fixes, back.result["undone"], back.result["removed"]) == (shown.fixes, 1, 0)
    assert back.result["said"].startswith("Removed fixes are back: ")
    forth = change(handlers, cows, back.shown, redo=True)[-1]
    assert forth.result["said"].startswith("All fixes taken back: ")
    assert forth.shown == cleared.shown
    # A fix after the removal is undone first; further steps reach those before the removal.
    steps = change(handlers, cows, forth.shown, fix=STROKE)[-1].shown
    for left in (0, 2, 1, 0, 0):
        steps = change(handlers, cows, steps, undo=True)[-1].shown
        assert len(steps.fixes) == left
    for left in (1, 2, 0, 1, 1):
        steps = change(handlers, cows, steps, redo=True)[-1].shown
        assert len(steps.fixes) == left
    assert change(handlers, cows, clear=True)[-1].result["removed"] == 0, "nothing was removed"


def test_fixes_removed_in_another_result_return_as_far_as_they_fit(handlers, cows, restored):
    shown = change(handlers, cows, change(handlers, cows, fix=STROKE)[-1].shown, fix={**STROKE, "class": "grass"})
    cleared = change(handlers, cows, shown[-1].shown, clear=True)[-1].shown
    run, view = restored(cleared, "cow; grass")
    assert (view.result["fixes"], view.result["removed"]) == (0, 1)
    back = change(handlers, SimpleNamespace(run=run), view.shown, undo=True)[-1].shown
    assert [one.class_name for one in back.fixes] == ["grass"]
    assert [kept.fix.class_name for kept in back.aside] == ["trees"]
    assert restored(back, WORDS)[1].shown.fixes == shown[-1].shown.fixes


def test_removed_fixes_are_stored_within_a_limit(cows):
    many = Fix(((0.5, 0.5),) * 4000, "grass", radius=0.1)
    shown = DisplayState(cows.run)
    for _ in range(30):
        shown = replace(shown, fixes=(many,)).clear()
    assert len(shown.removed) == 10
    assert len(replace(shown, fixes=(many,) * 20).clear().removed) == 1, "the last removal is always kept"


def test_coarse_and_refined_keep_the_fixes(handlers, service, cows):
    fixed = change(handlers, cows, fix=STROKE)[-1].shown
    refined = change(handlers, cows, fixed, refined=True)[-1]
    assert refined.result["kind"] == "refined"
    assert refined.status.count("Refined by sam-nano+edges, 1 fix") == 1
    rows, columns = cows.labels.shape
    assert labels_of(refined)[int(0.9 * rows), int(0.2 * columns)] == 2
    better = service.refine(Refinement(cows.run, "sam-nano+edges", "prompts"), COWS)
    assert (labels_of(refined) == better.after.labels).mean() > 0.95
    coarse = change(handlers, cows, refined.shown, refined=False)[-1]
    assert coarse.shown == fixed


def test_masks_that_were_chosen_on_the_refine_tab_are_shown(handlers, cows):
    chosen = Refinement(cows.run, "sam-nano", "regions", keep=(0,))
    shown = change(handlers, cows, refining=("sam-nano", "regions", chosen), refined=True)[-1].shown
    assert shown.refinement == chosen
    other = change(handlers, cows, refining=("edges", "regions", chosen), refined=True)[-1].shown
    assert other.refinement == Refinement(cows.run, "edges", "prompts")


def test_what_the_refine_tab_made_is_what_is_shown_and_keeps_the_fixes(handlers, cows):
    fixed = change(handlers, cows, fix=STROKE)[-1].shown
    chosen = Refinement(cows.run, "sam-nano", "prompts", keep=(0,))
    view = list(handlers.take(cows.run, COWS, fixed, chosen))[-1]
    assert view.shown == replace(fixed, refinement=chosen)
    assert (view.result["kind"], view.result["fixes"]) == ("refined", 1)
    assert "Refined by sam-nano, 1 fix:" in view.status
    for run, refinement in ((cows.run, None), (None, chosen), (replace(cows.run, request=None), chosen)):
        assert all(map(skipped, next(handlers.take(run, COWS, fixed, refinement))))
    failing = list(handlers.take(cows.run, COWS, fixed, replace(chosen, keep=(999,))))[-1]
    assert "Not possible" in failing.status
    assert skipped(failing.shown)


def test_what_belongs_to_another_result_is_ignored(handlers, cows):
    event = SimpleNamespace(_data={"of": "another", "seq": 1, "fix": CLICK})
    assert all(map(skipped, next(handlers.change(cows.run, COWS, None, *REFINING, event))))
    elsewhere = replace(cows.run, key=replace(cows.run.key, picture="another"))
    stale = DisplayState(elsewhere, fixes=(Fix(((0.5, 0.5),), "grass", radius=0.1),))
    assert change(handlers, cows, stale, fix=STROKE)[-1].result["fixes"] == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"fix": {**CLICK, "points": [[2, 0.5]]}}, "point: expected x and y"),
        ({"fix": {**STROKE, "points": []}}, "points of a brush"),
        ({"fix": {**STROKE, "points": [[0.5, 0.5]] * 10_000}}, "got 10000"),
        ({"fix": {**STROKE, "class": "zebra"}}, "class: expected one of cow, grass, trees"),
        ({"fix": {**STROKE, "radius": 7}}, "brush radius"),
        ({"fix": None}, "fix: expected"),
        ({"fix": [1, 2]}, "fix: expected"),
        ({}, "fix: expected"),
        ({"undo": "yes"}, "fix: expected"),
    ],
)
def test_what_nobody_can_ask_for_is_explained_and_the_browser_waits_no_longer(handlers, cows, asked, said):
    view = change(handlers, cows, **{"seq": 7, **asked})[-1]
    assert said in html.unescape(view.status)
    assert view.result["seq"] == 7
    assert "labels" not in view.result
    assert skipped(view.shown)


@pytest.mark.parametrize("refiner", ["vit_b", "laser", None])
def test_a_refiner_that_is_not_here_is_explained(handlers, cows, refiner):
    view = change(handlers, cows, refining=(refiner, "prompts", None), refined=True)[-1]
    assert "refiner: expected" in view.status
    assert view.result["kind"] == "coarse"


def test_a_spot_of_what_was_fixed_is_what_is_shown(service, cows):
    rows, columns = cows.shown.shape[:2]
    shown = DisplayState(cows.run, fixes=(Fix(((0.2, 0.9),), "trees", radius=0.05),))
    place = (0.2 * columns, 0.9 * rows)
    assert point_at(service, cows.run, COWS, *place).shown == "grass"
    assert point_at(service, cows.run, COWS, *place, shown).shown == "trees"


# The next result


@pytest.fixture
def restored(service, handlers):
    """Function that segments with other words or settings and restores `shown`; it returns the run and the view."""

    def then(shown, words=WORDS, **settings):
        run = service.segment(COWS, SegmentRequest(words, **settings)).run
        return run, list(handlers.restore(run, COWS, shown, True))[-1]

    return then


def test_the_second_click_of_a_double_click_is_no_step(handlers, cows):
    def tap(what, x, name="trees"):
        return change(handlers, cows, what, fix={"tool": "click", "class": name, "points": [[x, 0.5]]})[-1]

    first = tap(None, 0.5)
    again = tap(first.shown, 0.5)
    assert again.shown.fixes == first.shown.fixes
    assert "Nothing changed." in again.result["said"]
    other = tap(first.shown, 0.51, "grass")
    assert len(other.shown.fixes) == 2


def test_fixes_stay_when_words_or_settings_change_and_can_be_taken_back(handlers, cows, restored):
    first = change(handlers, cows, fix={**STROKE, "tool": "click", "points": [[0.5, 0.5]]})[-1]
    second = change(handlers, cows, first.shown, fix=STROKE)[-1]
    third = change(handlers, cows, change(handlers, cows, second.shown, fix=STROKE)[-1].shown, undo=True)[-1]
    for words, settings in ((WORDS, {"image_prior": True}), ("trees; sky; cow; grass", {}), (WORDS, {})):
        run, view = restored(third.shown, words, **settings)
        assert (view.shown.run, view.shown.fixes, len(view.shown.undone)) == (run, second.shown.fixes, 1)
        assert (view.result["of"], view.result["fixes"], view.result["undone"]) == (run.token, 2, 1)
        assert "Coarse, 2 fixes:" in view.status
        rows, columns = labels_of(view).shape
        shown = view.result["names"][labels_of(view)[int(0.9 * rows), int(0.2 * columns)]]
        assert shown == "trees"
        back = change(handlers, SimpleNamespace(run=run), view.shown, undo=True)[-1]
        assert (back.result["fixes"], back.result["undone"]) == (1, 2)


def test_advice_about_a_single_class_stays_when_the_result_is_refined(handlers, cows, service):
    run = service.segment(COWS, SegmentRequest("cow grass trees")).run
    refined = change(handlers, SimpleNamespace(run=run), refined=True)[-1]
    assert "Separate classes with commas: cow, grass, trees." in refined.status
    assert "Separate classes" not in change(handlers, cows, refined=True)[-1].status


def test_a_fix_whose_class_is_gone_is_set_aside_and_that_is_said(handlers, cows, restored):
    grass = {**STROKE, "class": "grass"}
    shown = change(handlers, cows, change(handlers, cows, fix=STROKE)[-1].shown, fix=grass)[-1].shown
    _, view = restored(shown, "cow; grass; sky")
    assert [one.class_name for one in view.shown.fixes] == ["grass"]
    assert "1 fix of 'trees' is kept but not applied: it is no class now." in html.unescape(view.status)
    _, view = restored(shown, "sky; sand")
    assert not view.shown.changed
    assert "2 fixes of 'trees', 'grass' are kept but not applied: they are no classes now." in html.unescape(
        view.status
    )
    assert view.result["fixes"] == 0


def test_fixes_that_were_set_aside_return_in_their_order_with_their_class(handlers, cows, restored):
    made = [STROKE, {**STROKE, "class": "grass"}, {**STROKE, "class": "cow"}, {**STROKE, "points": [[0.5, 0.2]]}]
    shown = None
    for one in made:
        shown = change(handlers, cows, shown, fix=one)[-1].shown
    wanted = shown.fixes
    for words, left in (
        ("cow; sky; grass", ["grass", "cow"]),
        ("cow; sky", ["cow"]),
        ("sky; sand", []),
        ("cow", ["cow"]),
    ):
        _, view = restored(shown, words)
        shown = view.shown
        assert [one.class_name for one in shown.fixes] == left
    assert "kept but" not in view.status, "what was set aside before is not said again"
    _, view = restored(shown, WORDS)
    assert view.shown.fixes == wanted
    assert view.shown.aside == ()
    assert view.result["fixes"] == len(made)


def test_what_is_set_aside_is_not_redone_and_goes_with_all_fixes(handlers, cows, restored):
    shown = change(handlers, cows, change(handlers, cows, fix=STROKE)[-1].shown, fix={**STROKE, "class": "grass"})[
        -1
    ].shown
    run, view = restored(shown, "cow; grass")
    (kept,) = view.shown.aside
    assert (kept.place, kept.fix.class_name) == (0, "trees")
    assert "Coarse, 1 fix, 1 kept aside:" in view.status
    assert view.result["aside"] == 1
    back = change(handlers, SimpleNamespace(run=run), view.shown, undo=True)[-1]
    assert (back.result["fixes"], back.result["undone"]) == (0, 1)
    cleared = change(handlers, SimpleNamespace(run=run), view.shown, clear=True)[-1]
    assert (cleared.shown.fixes, cleared.shown.aside) == ((), ())
    _, view = restored(cleared.shown, WORDS)
    assert not view.shown.changed
    again = change(handlers, SimpleNamespace(run=run), cleared.shown, undo=True)[-1].shown
    assert [[one.class_name for one in again.fixes], [kept.fix.class_name for kept in again.aside]] == [
        ["grass"],
        ["trees"],
    ]


def test_a_fix_made_after_one_was_taken_back_stays_behind_those_set_aside(handlers, cows, restored):
    made = [{**STROKE, "class": name} for name in ("grass", "cow", "trees")]
    shown = None
    for one in made:
        shown = change(handlers, cows, shown, fix=one)[-1].shown
    run, view = restored(shown, "cow; grass")
    back = change(handlers, SimpleNamespace(run=run), view.shown, undo=True)[-1].shown
    new = change(handlers, SimpleNamespace(run=run), back, fix={**STROKE, "class": "cow"})[-1].shown
    _, view = restored(new, WORDS)
    assert [one.class_name for one in view.shown.fixes] == ["grass", "trees", "cow"]


def test_fixes_return_with_their_part_of_the_picture_and_not_before(handlers, cows, restored):
    shown = change(handlers, cows, fix=STROKE)[-1].shown
    for words in (WORDS, "trees; cow"):
        _, view = restored(shown, words, preset="paper-224")
        assert (view.shown.fixes, len(view.shown.aside)) == ((), 1)
        shown = view.shown
    _, view = restored(shown, WORDS)
    assert ([one.class_name for one in view.shown.fixes], view.shown.aside) == (["trees"], ())


def test_fixes_return_to_the_same_result_after_a_failure_and_with_their_weights(cows, restored, monkeypatch):
    fixes = (Fix(((0.5, 0.5),), "cow", sam="sam-nano"), Fix(((0.5, 0.1),), "trees", radius=0.03))
    _, view = restored(DisplayState(cows.run, fixes=fixes).coarse())
    assert (view.shown.fixes, view.shown.aside) == (fixes, ())
    with monkeypatch.context() as patch:
        patch.setattr("demo.service.shown.is_available", lambda name: False)
        _, view = restored(DisplayState(cows.run, fixes=fixes), image_prior=True)
        assert view.shown.fixes == fixes[1:]
    _, view = restored(view.shown, image_prior=True)
    assert (view.shown.fixes, view.shown.aside) == (fixes, ())


def test_what_was_taken_back_can_be_redone_in_the_next_result(handlers, cows, restored):
    shown = change(handlers, cows, change(handlers, cows, fix=STROKE)[-1].shown, undo=True)[-1].shown
    _, view = restored(shown, image_prior=True)
    assert (view.result["fixes"], view.result["undone"]) == (0, 1)


def test_a_word_that_became_a_synonym_keeps_its_fixes(handlers, cows, restored):
    shown = change(handlers, cows, fix=STROKE)[-1].shown
    _, view = restored(shown, "cow; grass; forest, Trees")
    assert [one.class_name for one in view.shown.fixes] == ["forest"]
    _, view = restored(view.shown, "cow; grass; trees")
    assert ([one.class_name for one in view.shown.fixes], view.shown.aside) == (["trees"], ())


def test_what_was_excluded_takes_from_its_own_class_alone(service, handlers, cows, restored):
    first = change(handlers, cows, fix=CLICK)[-1]
    assert first.shown.fixes[0].from_class == "cow"
    run, view = restored(first.shown, "trees; cow; grass")
    assert view.shown.fixes[0].from_class == "cow"
    taken = labels_of(view) != service.again(run, COWS).labels
    assert set(service.again(run, COWS).labels[taken]) <= {1}
    _, view = restored(first.shown, "horse; grass")
    assert "1 fix of 'cow' is kept but not applied" in html.unescape(view.status)


def test_another_method_is_named_with_fixes_too(handlers, service):
    cows = service.segment(COWS, SegmentRequest(WORDS, method="gem"))
    fixed = change(handlers, cows, fix=STROKE)[-1]
    assert "Coarse by GEM, 1 fix:" in fixed.status
    assert "Refined by sam-nano+edges from GEM, 1 fix:" in change(handlers, cows, fixed.shown, refined=True)[-1].status


def test_the_switch_stays_and_masks_chosen_by_hand_are_said_to_go(cows, restored):
    _, view = restored(
        DisplayState(cows.run, Refinement(cows.run, "sam-nano", "regions", keep=(0,))), "cow; grass; sky"
    )
    assert view.result["kind"] == "refined"
    assert (view.shown.refinement.refiner, view.shown.refinement.keep) == ("sam-nano", None)
    assert "Your choice of masks was dropped" in view.status
    same = DisplayState(cows.run, Refinement(cows.run, "sam-nano", "regions", keep=(0,)))
    assert restored(same)[1].shown == same


def test_weights_that_are_gone_are_said(cows, restored):
    fixes = (Fix(((0.5, 0.5),), "cow", sam="vit_b"), Fix(((0.5, 0.1),), "trees", radius=0.03))
    _, view = restored(DisplayState(cows.run, Refinement(cows.run, "vit_b", "prompts"), fixes), image_prior=True)
    assert (view.shown.refinement, view.shown.fixes) == (None, fixes[1:])
    assert "The weights of vit_b are no longer here" in view.status
    assert "1 fix is kept but not applied: SAM's weights are no longer here." in html.unescape(view.status)
    same = list(restored(DisplayState(cows.run, None, fixes)))[-1]
    assert "Not possible" in same.status
    assert same.shown == DisplayState(cows.run, aside=tuple(PlacedFix(0, one, cropped=False) for one in fixes))
    assert "without your fixes, which are kept" in same.status


def test_another_picture_another_part_of_it_and_a_failure_show_no_fix(service, handlers, cows, restored):
    shown = change(handlers, cows, fix=STROKE)[-1].shown
    run, view = restored(shown, preset="paper-224")
    assert view.shown == DisplayState(run, aside=(PlacedFix(0, shown.fixes[0], cropped=False),))
    assert "1 fix is kept but not applied: another part of the picture is labelled." in view.status
    other = service.segment(str(EXAMPLES / "kitten.jpg"), SegmentRequest(WORDS)).run
    view = list(handlers.restore(other, str(EXAMPLES / "kitten.jpg"), shown, True))[-1]
    assert skipped(view.result)
    assert view.shown == DisplayState(other, others=(shown,))
    for run, due in ((cows.run, False), (None, True)):
        assert all(map(skipped, next(handlers.restore(run, COWS, shown, due))))


def test_fixes_return_with_their_picture_and_the_other_picture_s_are_kept(service, handlers, cows, restored):
    first = change(handlers, cows, change(handlers, cows, fix=STROKE)[-1].shown, fix=CLICK)[-1].shown
    kitten = str(EXAMPLES / "kitten.jpg")
    other = service.segment(kitten, SegmentRequest("cat; cloth"))
    away = list(handlers.restore(other.run, kitten, first, True))[-1].shown
    fixed = away.fixed(Fix(((0.5, 0.5),), "cloth", radius=0.1))
    _, view = restored(fixed, "cow; grass")
    assert [one.from_class for one in view.shown.fixes] == ["cow"]
    assert "1 fix of 'trees' is kept but not applied" in html.unescape(view.status)
    _, view = restored(view.shown)
    assert view.shown.fixes == first.fixes
    assert "Coarse, 2 fixes:" in view.status
    assert [one.fixes for one in view.shown.others] == [fixed.fixes]


def test_few_pictures_are_kept_and_none_without_fixes(cows):
    shown = DisplayState(cows.run, fixes=(Fix(((0.5, 0.5),), "grass", radius=0.1),))
    for number in range(120):
        run = replace(cows.run, key=replace(cows.run.key, picture=f"picture {number}"))
        shown, _ = transfer_changes(shown, replace(cows, run=run))
        if number % 2:
            shown = replace(shown, fixes=(Fix(((0.5, 0.5),), "grass", radius=0.1),))
    names = [int(one.run.key.picture.split()[1]) for one in shown.others]
    assert names == [*range(19, 119, 2)], "as many as a batch has"
    assert not any(one.others or one.removed for one in shown.others)


# Fixes that the browser stores


def test_a_page_that_is_loaded_again_restores_fixes_with_their_boundaries(handlers, cows, restored):
    refined = change(handlers, cows, change(handlers, cows, fix=CLICK)[-1].shown, refined=True)[-1].shown
    last = change(handlers, cows, refined, fix=STROKE)[-1]
    again = list(handlers.restore(cows.run, COWS, None, True, last.result["history"]))[-1]
    assert again.shown == last.shown
    np.testing.assert_array_equal(labels_of(again), labels_of(last))
    assert "Refined by sam-nano+edges, 2 fixes:" in again.status
    _, aside = restored(last.shown, "cow; grass")
    again = list(handlers.restore(cows.run, COWS, None, True, aside.result["history"]))[-1]
    assert again.shown.fixes == last.shown.fixes, "those set aside are stored too"
    cleared = change(handlers, cows, last.shown, clear=True)[-1]
    kept = json.loads(cleared.result["history"])
    assert (kept["fixes"], kept["refined"]) == ([], ["sam-nano+edges", "prompts"])
    shown = DisplayState(cows.run)
    skip = list(handlers.restore(cows.run, COWS, shown, True, last.result["history"]))[-1]
    assert skip.shown == shown, "a page with a result has its own fixes"


def test_masks_chosen_by_hand_are_not_those_of_other_words(cows, service):
    kept = history_text(DisplayState(cows.run, Refinement(cows.run, "sam-nano", "prompts", (0,))))
    assert read_history(kept, cows.run).refinement.keep == (0,)
    other = service.segment(COWS, SegmentRequest("trees; sky")).run
    assert read_history(kept, other).refinement == Refinement(other, "sam-nano", "prompts")


@pytest.mark.parametrize(
    "edit",
    [
        lambda record: {**record, "picture": "another"},
        lambda record: {**record, "fixes": [[False, {**STROKE, "radius": 9}]]},
        lambda record: {**record, "fixes": [[False, STROKE]] * 501},
        lambda record: {**record, "fixes": "many"},
        lambda record: {**record, "fixes": [[]]},
        lambda record: {**record, "refined": 3},
        lambda record: {**record, "refined": [[], {}]},
        lambda record: {**record, "keep": 3},
        lambda record: {**record, "keep": [True]},
        lambda record: {**record, "keep": [0.5]},
        lambda record: {**record, "keep": [[]]},
        lambda record: {**record, "keep": "all"},
        lambda record: [record],
        lambda record: 7,
        lambda record: None,
    ],
)
def test_stored_text_of_another_picture_or_changed_by_hand_restores_no_fix(handlers, cows, edit):
    kept = json.loads(change(handlers, cows, fix=STROKE)[-1].result["history"])
    text = json.dumps(edit(kept))
    for bad in (text, text[:-1], edit(kept), "[" * 100_000, "x" * 600_000):
        view = list(handlers.restore(cows.run, COWS, None, True, bad))[-1]
        assert view.shown == DisplayState(cows.run)
    kept["refined"] = ["laser", "prompts"]
    view = list(handlers.restore(cows.run, COWS, None, True, json.dumps(kept)))[-1]
    assert (view.shown.refinement, len(view.shown.fixes)) == (None, 1)


@pytest.mark.parametrize("keep", [None, (), (0,)])
def test_a_page_that_is_loaded_again_is_refined_without_fixes_too_with_the_masks_chosen_by_hand(handlers, cows, keep):
    refinement = Refinement(cows.run, "sam-nano", "prompts", keep)
    last = list(handlers.take(cows.run, COWS, None, refinement))[-1]
    again = list(handlers.restore(cows.run, COWS, None, True, last.result["history"]))[-1]
    assert again.shown == DisplayState(cows.run, refinement)
    assert "Refined by sam-nano:" in again.status
    coarse = change(handlers, cows, last.shown, refined=False)[-1]
    assert coarse.result["history"] == ""


def test_stored_components_that_a_result_does_not_have_leave_it_coarse_and_this_is_said(handlers, cows):
    kept = json.loads(history_text(DisplayState(cows.run, Refinement(cows.run, "sam-nano", "prompts"))))
    for bad in ([999], [-1]):
        view = list(handlers.restore(cows.run, COWS, None, True, json.dumps({**kept, "keep": bad})))[-1]
        assert view.shown == DisplayState(cows.run)
        assert "Not possible" in view.status
    del kept["keep"]
    view = list(handlers.restore(cows.run, COWS, None, True, json.dumps(kept)))[-1]
    assert view.shown.refinement == Refinement(cows.run, "sam-nano", "prompts")


def test_as_many_points_as_a_result_may_have_are_stored(cows):
    points = tuple((round(0.12345 + i / 1e5, 5), 0.98765) for i in range(2000))
    shown = DisplayState(cows.run, fixes=(Fix(points, "grass", radius=0.123),) * 10)
    assert read_history(history_text(shown), cows.run).aside[9].fix.points == points
    huge = tuple((x + 1e-12, y - 1e-12) for x, y in points)
    assert history_text(replace(shown, fixes=(Fix(huge, "grass", radius=0.123),) * 10)) == ""


# The download


def test_the_archive_holds_what_is_shown_in_coco_too(service, cows):
    fixes = (Fix(((0.5, 0.5),), sam="sam-nano"), Fix(((0.1, 0.9), (0.3, 0.9)), "trees", radius=0.03))
    undone = Fix(((0.7, 0.9),), "trees", radius=0.03)
    shown = DisplayState(cows.run, Refinement(cows.run, "edges", "prompts"), fixes).fixed(undone).undo()
    name, content = bundle(service, shown, COWS, choice="coco")
    assert name == "cows-refined-fixed.zip"
    archive = zipfile.ZipFile(io.BytesIO(content))
    coco = json.loads(archive.read("coco/annotations.json"))
    names = {entry["id"]: entry["name"] for entry in coco["categories"]}
    size = coco["images"][0]["height"], coco["images"][0]["width"]
    found = np.full(size, "", object)
    for entry in coco["annotations"]:
        found[coco_mask.decode(entry["segmentation"]) > 0] = names[entry["category_id"]]
    at = lambda x, y: found[int(y * size[0]), int(x * size[1])]  # noqa: E731
    assert at(0.5, 0.5) != "cow", "excluded"
    assert at(0.2, 0.9) == "trees", "painted"
    assert at(0.7, 0.9) == "grass", "taken back"
    record = json.loads(archive.read("cows-refined-fixed.json"))
    assert [entry["tool"] for entry in record["settings"]["fixes"]] == ["click", "brush"]
    assert "2 fixes were made by hand. They are in settings.fixes" in archive.read("HOW-TO.txt").decode()


def test_one_fix_is_told_as_one(service, cows):
    _, content = bundle(service, DisplayState(cows.run, fixes=(Fix(((0.1, 0.9),), "trees", radius=0.03),)), COWS)
    how_to = zipfile.ZipFile(io.BytesIO(content)).read("HOW-TO.txt").decode()
    assert "Then 1 fix was made by hand. It is in settings.fixes" in how_to


@pytest.mark.parametrize("choice", CHOICES)
def test_every_format_of_the_menu_is_in_the_archive(service, cows, choice):
    name, content = bundle(service, cows.run, COWS, choice=choice)
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert name == "cows.zip"
    assert archive.testzip() is None
    marks = {"png": "labels.png", "index": "index.png", "overlay": "overlay.png", "json": ".json", "npz": ".npz"}
    for kind in formats_of(choice):
        mark = marks.get(kind, f"{kind}/")
        assert any(mark in entry for entry in archive.namelist()), kind
        assert kind in archive.read("HOW-TO.txt").decode()
