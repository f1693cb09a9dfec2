"""Comparison of results: steps and methods, two vocabularies, differences by hand, ground truth, events, endpoint."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from cliptrase_core.evaluation.examples import read_examples, read_mask
from cliptrase_core.refine import Fix
from demo.compare_html import scores
from demo.drawing import MARKED, marked
from demo.errors import UserError
from demo.html import percent
from demo.service import DisplayState, Refinement, SegmentRequest
from demo.service.compare import (
    OTHER_WORDS,
    OWN,
    STEPS,
    VARIANTS,
    Comparison,
    difference,
    own_name,
    variant_views,
    variants,
    with_own,
)
from demo.service.ground_truth import GroundTruth, Score, drawn_ground_truth, read_ground_truth, score
from demo.settings import EXAMPLES, METHODS
from demo.tabs.compare import NO_PAIR, CompareHandlers, CompareView, PairView
from tests.visitor import Visitor, call

WORDS = "horse; grass; sky"


@pytest.fixture(scope="module")
def handlers(service):
    return CompareHandlers(service)


@pytest.fixture(scope="module")
def horses(service):
    return service.segment(str(EXAMPLES / "horses.jpg"), SegmentRequest(WORDS))


def labelled(labels, names):
    """Return a stand-in for a view, with only the labels and class names that differences and scores read."""
    return SimpleNamespace(result=SimpleNamespace(labels=np.array(labels, dtype=np.int32), class_names=tuple(names)))


def compared(handlers, run, path, other_words=""):
    return list(handlers.compare(run, path, other_words))[-1]


def test_every_method_is_compared_and_each_step_adds_one_thing():
    assert set(METHODS) <= set(VARIANTS)
    asked = [variants(SegmentRequest(WORDS), [name])[0].request for name in STEPS]
    assert [(one.method, one.vote, one.denoise) for one in asked[1:3]] == [
        ("cliptrase", False, "cls"),
        ("cliptrase", True, "none"),
    ]
    assert asked[0].method == "clip"
    assert asked[3] == SegmentRequest(WORDS), "the same request in the same words is kept already"


def test_what_a_person_set_is_shared_by_all_and_is_one_more_if_it_is_no_step():
    mine = SegmentRequest(WORDS, denoise="dice", eps=0.6, threshold=0.2, preset="paper-224")
    found = with_own(mine, variants(mine))
    assert found[-1].name == OWN
    assert all((one.request.eps, one.request.threshold, one.request.preset) == (0.6, 0.2, "paper-224") for one in found)
    assert own_name(dataclasses.replace(mine, denoise="cls"), found) == "cliptrase"
    assert own_name(SegmentRequest(WORDS, method="clip", denoise="dice"), variants(SegmentRequest(WORDS))) == "clip", (
        "CLIP has no regions"
    )
    assert (
        own_name(SegmentRequest(WORDS, method="naclip", residual="none"), variants(SegmentRequest(WORDS))) == "naclip"
    )


def test_an_unknown_method_is_named_with_the_known_ones():
    with pytest.raises(UserError, match="expected names out of clip, recovery"):
        variants(SegmentRequest(WORDS), ["clip", "magic"])


def test_the_picture_is_never_encoded_again_and_results_are_kept(service, horses, monkeypatch):
    monkeypatch.setattr(type(service.models.segmenter()), "encode", None)
    comparison = Comparison(horses.run, variants(horses.run.request))
    first = [cut.result.labels for _, cut in variant_views(service, None, comparison)]
    monkeypatch.setattr(type(service.models.segmenter()), "segment", None)
    again = list(variant_views(service, None, comparison))
    assert all(cut.result_cached for _, cut in again)
    for before, (_, after) in zip(first, again, strict=True):
        np.testing.assert_array_equal(before, after.result.labels)
    assert len({labels.tobytes() for labels in first}) > 1


def test_differences_are_those_counted_by_hand():
    before = labelled([[0, 0, 1, 1], [2, 2, 2, 2]], ["dog", "road", "sky"])
    after = labelled(
        [[1, 1, 1, 2], [0, 0, 0, 0]], ["\uff33\uff2b\uff39", "cat", "Road"]
    )  # other order, case and width, one other class
    found = difference(before, after)
    np.testing.assert_array_equal(found.changed, [[1, 1, 1, 0], [0, 0, 0, 0]])
    assert found.share == pytest.approx(3 / 8)
    shares = {one.name: (one.before, one.after) for one in found.classes}
    assert shares == {"dog": (2 / 8, None), "cat": (None, 3 / 8), "road": (2 / 8, 1 / 8), "sky": (4 / 8, 4 / 8)}
    assert found.classes[0].name == "cat", "it changed most"
    assert found.moves == [("dog", "cat", 2 / 8), ("road", "cat", 1 / 8)]


def test_the_colours_of_the_pictures_are_named_above_them(handlers, horses):
    *_, last = handlers.compare(horses.run, None, "HORSE; a thing")
    key = last.news.partition('class="facts key"')[2]
    for name in ("horse", "grass", "sky", "a thing"):
        assert key.lower().count(f"<bdi>{name}</bdi>") == 1
    assert key.count("background:#") == 4


def test_a_result_does_not_differ_from_itself(horses):
    found = difference(horses, horses)
    assert found.share == 0
    assert not found.moves
    assert all(one.delta == 0 for one in found.classes)


def test_area_changes_of_all_classes_add_up_to_nothing(service, horses):
    other = service.again(dataclasses.replace(horses.run, request=SegmentRequest("foal; meadow; sky; hill")), None)
    found = difference(horses, other)
    assert sum(one.delta for one in found.classes) == pytest.approx(0, abs=1e-9)
    assert sum(share for _, _, share in found.moves) == pytest.approx(found.share)


def test_marked_pixels_are_bright_and_the_rest_is_dark():
    picture = np.full((4, 6, 3), 200, dtype=np.uint8)
    where = np.zeros((2, 3), dtype=bool)
    where[0, 1] = True  # at half the size of the picture: covers its rows 0-1, columns 2-3
    out = marked(picture, where, left_out=np.array([[False] * 3, [True] * 3])).astype(int)
    assert np.abs(out[:2, 2:4] - MARKED).max() < 40
    assert out[0, 0].max() < 110
    assert not out[2:].any()


def test_a_score_is_that_of_a_sheet_of_paper_with_classes_matched_by_name():
    truth = GroundTruth(np.array([[0, 0, 1], [1, 2, -1]], dtype=np.int32), ("dog", "road", "sky"))
    found = score(truth, labelled([[1, 0, 0], [0, 2, 2]], ["Road", "dog", "cat"]))
    # Prediction: dog road road / road none none. IoU of dog: 1 of 2; road: 2 of 3; sky: 0 of 1.
    np.testing.assert_allclose(found.iou, [1 / 2, 2 / 3, 0])
    assert found.mean_iou == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert found.accuracy == pytest.approx(3 / 5)
    np.testing.assert_array_equal(found.wrong, [[0, 1, 0], [0, 1, 0]])


def test_a_note_about_a_result_shows_its_title_once_escaped():
    none = Score(np.array([np.nan]), np.nan, np.nan, np.zeros((1, 1), bool), strange=True)
    assert '<p class="hint">a &amp; b: no class has a name of the ground truth.</p>' in scores([("a & b", none)])


def test_a_result_without_a_name_of_the_ground_truth_has_no_score(handlers, horses, mask):
    last = compared(handlers, horses.run, None, "zebra; snow")
    view = handlers.pair(last.comparison, None, "cliptrase", OTHER_WORDS, mask(horses.result.labels))
    assert '<th scope="row">Other words</th><td>\u2013</td><td>\u2013</td>' in view.scores
    assert "Other words: no class has a name of the ground truth." in view.scores
    known = compared(handlers, horses.run, None, "horse; snow")
    view = handlers.pair(known.comparison, None, "cliptrase", OTHER_WORDS, mask(horses.result.labels))
    assert "no class has a name" not in view.scores


def test_a_ground_truth_is_shown_in_the_colours_of_the_classes(handlers, horses, mask):
    last = compared(handlers, horses.run, None)
    labels = horses.result.labels.copy()
    labels[: len(labels) // 2] = 255
    view = handlers.pair(last.comparison, None, "clip", "cliptrase", mask(labels))
    assert view.truth.visible is True
    with Image.open(view.truth.value["path"]) as image:
        shown = np.asarray(image.convert("RGB")).astype(int)
    result = view.slider[1].astype(int)  # the result shown above is the right one
    half = len(result) // 2
    assert shown[: half - 16].max() < 20, "pixels that do not count are black"
    assert np.abs(shown[half + 16 :] - result[half + 16 :]).mean() < 6, (
        "other colours differ by 30 and more, a JPEG by 3"
    )


@pytest.fixture
def mask(tmp_path, horses):
    def save(labels):
        path = tmp_path / "mask.png"
        Image.fromarray(np.asarray(labels).astype(np.uint8)).save(path)
        return str(path)

    return save


def test_a_result_agrees_with_itself(service, horses, mask):
    truth = read_ground_truth(service, None, mask(horses.result.labels), horses)
    found = score(truth, horses)
    assert found.accuracy == found.mean_iou == 1
    assert not found.wrong.any()


def test_under_a_paper_preset_the_mask_is_cropped_like_the_picture(service, mask):
    path = str(EXAMPLES / "horses.jpg")
    cut = service.segment(path, SegmentRequest(WORDS, preset="paper-224"))
    with Image.open(path) as image:
        width, height = image.size
    columns = np.arange(width) * 3 // width
    truth = read_ground_truth(service, path, mask(np.broadcast_to(columns, (height, width))), cut)
    assert truth.labels.shape == (224, 224)
    side = min(height, width)
    centre = columns[round((width - side) / 2) : round((width + side) / 2)]
    assert [np.mean(truth.labels == i) for i in range(3)] == pytest.approx(
        [np.mean(centre == i) for i in range(3)], abs=0.01
    )


def test_a_mask_of_another_size_is_refused_with_both_sizes(service, horses, mask):
    h, w = horses.result.size
    with pytest.raises(UserError, match=f"expected {h} x {w} pixels .*, got {h - 1} x {w}"):
        read_ground_truth(service, None, mask(horses.result.labels[1:]), horses)


def test_numbers_beyond_the_words_are_refused(service, horses, mask):
    with pytest.raises(UserError, match="expected class numbers 0 to 2, .* got 3"):
        read_ground_truth(service, None, mask(horses.result.labels + 1), horses)


def test_a_mask_that_is_none_gets_a_message_without_a_path(service, horses, tmp_path):
    path = tmp_path / "secret" / "mask.png"
    path.parent.mkdir()
    path.write_text("no picture")
    with pytest.raises(UserError, match="expected a PNG") as refusal:
        read_ground_truth(service, None, str(path), horses)
    assert "secret" not in str(refusal.value)


def test_comparing_shows_progress_then_every_result_and_a_pair(handlers, horses):
    steps = list(handlers.compare(horses.run, None, ""))
    assert all(isinstance(step, CompareView) for step in steps)
    assert f"1 of {len(VARIANTS)}" in steps[0].news
    assert steps[0].comparison is None, "an older comparison goes at once"
    last = steps[-1]
    assert len(last.gallery.value) == len(last.comparison.variants) == len(VARIANTS)
    assert "not encoded again" in last.news
    view = handlers.pair(last.comparison, None, last.before.value, last.after.value, None)
    assert isinstance(view, PairView)
    assert view.slider[0].shape == view.slider[1].shape == view.changes.shape
    assert (view.slider[0] != view.slider[1]).any()
    assert re.search(r"\d\s%</b> of the pixels", view.share)
    assert "horse" in view.areas


@pytest.mark.parametrize("stopped", [False, True])
def test_a_comparison_returns_its_free_memory_even_if_it_is_stopped(handlers, horses, monkeypatch, stopped):
    returned = []
    monkeypatch.setattr("demo.service.compare.return_free", lambda: returned.append(True))
    monkeypatch.setattr("demo.tabs.compare.REPORT_EVERY", -1.0)
    steps = handlers.compare(horses.run, None, "")
    for _ in zip(range(2), steps, strict=False):  # the second step is shown after the first result
        assert returned == []
    if stopped:
        steps.close()
    else:
        while next(steps).running:
            pass
    assert returned == [True]


def test_two_vocabularies_are_compared_and_escaped(handlers, horses):
    last = compared(handlers, horses.run, None, "<b>thing</b>;")
    assert (last.before.value, last.after.value) == ("cliptrase", OTHER_WORDS)
    view = handlers.pair(last.comparison, None, last.before.value, last.after.value, None)
    assert "<b>thing" not in view.areas + view.share
    assert "&lt;b&gt;thing" in view.areas
    assert "&lt;b&gt;thing" in view.share
    assert "<b>100.0\u00a0%</b> of the pixels" in view.share


def test_a_ground_truth_scores_every_result_and_shows_errors(handlers, horses, mask):
    last = compared(handlers, horses.run, None)
    view = handlers.pair(last.comparison, None, "clip", "cliptrase", mask(horses.result.labels))
    assert view.scores.count("<tr>") == 2 + len(VARIANTS) + len(horses.legend)
    assert "<b>100.0\u00a0%</b>" in view.scores
    assert view.errors.visible is True


def test_an_example_is_scored_against_its_own_drawn_ground_truth(service, handlers):
    example = next(one for one in read_examples(EXAMPLES) if one.name == "kitten")
    view = service.segment(str(example.path), SegmentRequest(example.words))
    drawn = read_mask(example)
    counted = drawn >= 0
    accuracy = (view.result.labels == drawn)[counted].mean()
    last = compared(handlers, view.run, str(example.path))
    pair = handlers.pair(last.comparison, str(example.path), "clip", "cliptrase", None)
    assert "drawn by hand" in pair.scores
    assert (
        f"+ denoising</th><td>{percent(score(GroundTruth(drawn, example.classes), view).mean_iou)}</td>" in pair.scores
    )
    assert f"<td>{percent(accuracy)}</td>" in pair.scores
    assert pair.truth.visible is pair.errors.visible is True


def test_only_an_example_with_its_own_words_has_a_drawn_ground_truth(service, tmp_path):
    example = next(one for one in read_examples(EXAMPLES) if one.name == "kitten")
    truth = {
        words: drawn_ground_truth(service, None, service.segment(str(example.path), SegmentRequest(words)))
        for words in ("cat; cloth", example.words.upper(), f"{example.words}; dog")
    }
    assert [found and found.names for found in truth.values()] == [None, example.classes, example.classes]
    with Image.open(example.path) as image:
        image.save(tmp_path / "kitten.png")
    assert (
        drawn_ground_truth(service, None, service.segment(str(tmp_path / "kitten.png"), SegmentRequest(example.words)))
        is None
    )
    cut = service.segment(str(example.path), SegmentRequest(example.words, preset="paper-224"))
    assert drawn_ground_truth(service, str(example.path), cut).labels.shape == (224, 224)


def test_a_ground_truth_scores_the_refined_and_fixed_result_too(handlers, horses, mask):
    last, truth = compared(handlers, horses.run, None), mask(horses.result.labels)

    def scored(what):
        return handlers.pair(
            last.comparison, str(EXAMPLES / "horses.jpg"), "clip", "cliptrase", truth, False, what
        ).scores

    plain = scored(None)
    assert scored(DisplayState(horses.run)) == plain, "the same as the coarse row"
    fixed = DisplayState(
        horses.run, Refinement(horses.run, "edges", "prompts"), (Fix(((0.5, 0.5),), "sky", radius=0.1),)
    )
    assert scored(fixed).count("<tr>") == plain.count("<tr>") + 1
    assert "Shown above: Refined by edges, 1 fix</th>" in scored(fixed)
    other = dataclasses.replace(horses.run, request=SegmentRequest("a; b"))
    assert scored(dataclasses.replace(fixed, run=other)) == plain


def test_a_ground_truth_that_cannot_be_used_is_explained_beside_the_comparison(handlers, horses, mask):
    last = compared(handlers, horses.run, None)
    view = handlers.pair(last.comparison, None, "clip", "cliptrase", mask(horses.result.labels[1:]))
    assert "The ground truth cannot be used." in view.scores
    assert "The ground truth cannot be used." in view.refused, "beside the button, too"
    assert "pixels" in view.scores
    assert view.areas == handlers.pair(last.comparison, None, "clip", "cliptrase", None).areas


@pytest.mark.parametrize(
    ("words", "zero", "rest"), [(WORDS, -1, None), (f"{WORDS} | background: fence", 3, "background")]
)
def test_numbers_may_start_at_1_with_0_for_all_other_pixels(service, horses, mask, words, zero, rest):
    own = service.again(dataclasses.replace(horses.run, request=SegmentRequest(words)), None)
    labels = np.minimum(horses.result.labels, 2)
    numbers = labels + 1
    numbers[:9], numbers[9:12] = 0, 255
    truth = read_ground_truth(service, None, mask(numbers), own, from_one=True)
    assert (truth.words, truth.rest) == (("horse", "grass", "sky"), rest)
    assert (truth.labels[:9] == zero).all()
    assert (truth.labels[9:12] == -1).all()
    np.testing.assert_array_equal(truth.labels[12:], labels[12:])
    with pytest.raises(UserError, match="expected class numbers 1 to 3, .* got 4. Untick .* if they start at 0"):
        read_ground_truth(service, None, mask(numbers + (numbers == 3)), own, from_one=True)


@pytest.mark.parametrize("words", ["background; horse", "horse; everything else; sky", "horse; Background; sky"])
def test_words_like_those_that_are_added_are_words_of_a_ground_truth(service, horses, mask, words):
    own = service.again(dataclasses.replace(horses.run, request=SegmentRequest(words)), None)
    labels = own.result.labels
    truth = read_ground_truth(service, None, mask(labels + 1), own, from_one=True)
    assert (truth.words, truth.rest) == (own.result.class_names, None)
    np.testing.assert_array_equal(truth.labels, labels)
    np.testing.assert_array_equal(read_ground_truth(service, None, mask(labels), own).labels, labels)


def test_everything_else_has_the_number_0_too(service, horses, mask):
    request = SegmentRequest(WORDS, everything_else=True)
    own = service.again(dataclasses.replace(horses.run, request=request), None)
    truth = read_ground_truth(service, None, mask(own.result.labels * 0), own, from_one=True)
    assert truth.rest == "everything else"
    assert (truth.labels == 3).all()


def test_shifted_numbers_are_not_guessed_but_questioned(service, horses, mask):
    words = f"{WORDS} | background: fence"  # with four classes numbers 1 to 3 are in range
    run = dataclasses.replace(horses.run, request=SegmentRequest(words))
    own = service.again(run, None)
    handlers = CompareHandlers(service)
    comparison = compared(handlers, run, None).comparison
    path = mask((own.result.labels + 1) % 4)
    plain = handlers.pair(comparison, None, "clip", "cliptrase", path).scores
    assert "may be shifted" in plain
    assert "Tick \u201cNumbers start at 1\u201d if 1 is the first of your words." in plain
    assert "100.0\u00a0% instead of" in plain
    assert "0 horse, 1 grass, 2 sky, 3 background; 255 does not count" in plain
    ticked = handlers.pair(comparison, None, "clip", "cliptrase", path, True).scores
    assert "shifted" not in ticked
    assert "1 horse, 2 grass, 3 sky; 0 background; 255 does not count" in ticked
    back = handlers.pair(comparison, None, "clip", "cliptrase", mask(own.result.labels), True).scores
    assert "Untick \u201cNumbers start at 1\u201d if 0 is the first of your words." in back


def test_a_ground_truth_that_no_result_matches_is_said(handlers, horses, mask):
    last = compared(handlers, horses.run, None)
    stripes = np.indices(horses.result.labels.shape).sum(axis=0) % 3
    view = handlers.pair(last.comparison, None, "clip", "cliptrase", mask(stripes))
    assert "No class of the ground truth matches well in any result." in view.scores
    assert (
        "matches in any"
        not in handlers.pair(last.comparison, None, "clip", "cliptrase", mask(horses.result.labels)).scores
    )


def test_numbers_beyond_the_words_name_the_control(handlers, horses, mask):
    last = compared(handlers, horses.run, None)
    view = handlers.pair(last.comparison, None, "clip", "cliptrase", mask(horses.result.labels + 1))
    assert "Tick \u201cNumbers start at 1\u201d if they start at 1" in view.scores


def test_a_result_beside_itself_is_said(handlers, horses):
    last = compared(handlers, horses.run, None)
    assert "same result" in handlers.pair(last.comparison, None, "clip", "clip", None).share


def test_before_the_first_result_it_is_said_and_afterwards_all_goes(handlers, horses):
    with pytest.raises(gr.Error, match="Press Segment first"):
        list(handlers.compare(None, None, ""))
    assert handlers.pair(None, None, None, None, None) == NO_PAIR
    comparison = compared(handlers, horses.run, None).comparison
    for run in (None, dataclasses.replace(horses.run, request=SegmentRequest("cat"))):
        gone = handlers.forget(comparison, run)
        assert len(gone) == len(CompareView._fields) + len(PairView._fields)
        assert gone[CompareView._fields.index("comparison")] is None
    assert set(map(str, handlers.forget(comparison, horses.run))) == {str(gr.skip())}, "told late: it is of this result"


def test_wrong_other_words_are_named(handlers, horses):
    with pytest.raises(gr.Error, match="vocabulary: expected"):
        list(handlers.compare(horses.run, None, "cat | floor"))
    with pytest.raises(gr.Error, match="other words: expected text"):
        list(handlers.compare(horses.run, None, ["cat"]))


@pytest.mark.parametrize("name", ["magic", None, 3, ["clip"]])
def test_a_forged_choice_gets_a_message(handlers, horses, name):
    last = compared(handlers, horses.run, None)
    with pytest.raises(gr.Error, match="no such result|expected text"):
        handlers.pair(last.comparison, None, "clip", name, None)


@pytest.mark.parametrize("index", [-1, 99, True, "1", None, [1]])
def test_a_forged_click_on_the_gallery_gets_a_message(handlers, horses, index):
    last = compared(handlers, horses.run, None)
    with pytest.raises(gr.Error, match="no such result"):
        handlers.show(last.comparison, SimpleNamespace(index=index))
    assert handlers.show(last.comparison, SimpleNamespace(index=0)) == "clip"


def test_stopping_is_said_only_where_something_ran(handlers, horses):
    first, *_, last = handlers.compare(horses.run, None, "")
    stopped = handlers.stopped(first.running)
    assert "Stopped" in stopped.news
    for done in (last, stopped):
        assert all(value == gr.skip() for value in handlers.stopped(done.running))


def test_the_call_compares_with_the_first(server):
    visitor = Visitor(server.address)
    horses = visitor.upload(EXAMPLES / "horses.jpg")
    found = call(server.address, "compare", image=horses, vocabulary=WORDS)
    assert [one["name"] for one in found["compared"]] == list(VARIANTS)
    assert found["compared"][0]["changed"] == 0
    for one in found["compared"]:
        assert sum(entry["area"] for entry in one["classes"]) == pytest.approx(1, abs=1e-4)
        assert sum(one["class_changes"].values()) == pytest.approx(0, abs=1e-4)
    some = call(server.address, "compare", image=horses, vocabulary=WORDS, methods=" cliptrase,clip,clip")
    assert [one["name"] for one in some["compared"]] == ["cliptrase", "clip"]
    assert some["compared"][1]["changed"] == found["compared"][list(VARIANTS).index("cliptrase")]["changed"] > 0
    assert all(one["result_cached"] for one in some["compared"])
    words = call(
        server.address, "compare", image=horses, vocabulary=WORDS, methods="clip", other_vocabulary="horse; sky"
    )
    assert [one["name"] for one in words["compared"]] == ["clip", OTHER_WORDS]
    visitor.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"methods": "magic"}, "methods: expected names out of"),
        ({"methods": 3}, "methods: expected text"),
        ({"other_vocabulary": "cat | floor"}, "background"),
        ({"threshold": 7}, "threshold: expected"),
    ],
    ids=str,
)
def test_wrong_arguments_of_the_call_are_named(server, arguments, said):
    visitor = Visitor(server.address)
    horses = visitor.upload(EXAMPLES / "horses.jpg")
    with pytest.raises(RuntimeError, match=re.escape(said)):
        call(server.address, "compare", **{"image": horses, "vocabulary": WORDS, **arguments})
    visitor.close()
