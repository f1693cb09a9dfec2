"""Scores at a point agree with the labels and confidence of a segmentation; abstention below a threshold; missing
classes, and everything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cliptrase_core import InputError
from cliptrase_core.inspection.scores import MOST_SUGGESTED, everything_else, missing_classes, suggested
from cliptrase_core.regions.otsu import otsu_threshold
from cliptrase_core.text.common_words import COMMON_WORDS

WORDS = "cat, kitten; dog; sky | background: wall, floor"


@pytest.fixture(scope="module")
def encoding(segmenter):
    rng = np.random.default_rng(1)
    return segmenter.encode(rng.integers(0, 256, (24, 40, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def scores(segmenter, encoding):
    return segmenter.scores(encoding, WORDS)


def test_the_first_candidate_is_the_confidence_of_a_segmentation_without_votes(segmenter, encoding, scores):
    result = segmenter.segment(encoding, WORDS, vote=False)
    for row, column in [(0, 0), (23, 39), (11, 17), (5, 39)]:
        shown = next(c for c in scores.at(row, column) if c.label == result.labels[row, column])
        assert shown.name == result.class_names[result.labels[row, column]]
        assert shown.probability == pytest.approx(float(result.confidence[row, column]), abs=1e-5)


def test_candidates_are_every_class_likeliest_first_with_its_best_word(scores):
    found = scores.at(10, 10)
    assert sorted(c.name for c in found) == ["background", "cat", "dog", "sky"]
    assert [c.probability for c in found] == sorted((c.probability for c in found), reverse=True)
    assert sum(c.probability for c in found) == pytest.approx(1, abs=1e-5)
    words = {c.name: c.word for c in found}
    assert words["cat"] in {"cat", "kitten"}
    assert words["background"] in {"wall", "floor"}


@pytest.mark.parametrize("words", ["cat", "cat; dog", WORDS])
@pytest.mark.parametrize("options", [{"everything_else": True}, {"skip_missing": True}], ids=str)
def test_what_competes_for_pixels_is_what_scores_compare(segmenter, encoding, words, options):
    result, scores = (
        segmenter.segment(encoding, words, vote=False, **options),
        segmenter.scores(encoding, words, **options),
    )
    assert len(scores.class_probabilities) == len(result.class_names)
    assert scores.class_probabilities.sum(dim=0).allclose(torch.ones(result.grid), atol=1e-5)
    missing = set(result.settings.get("missing", ()))
    for row, column in [(0, 0), (23, 39), (11, 17), (5, 39)]:
        candidates = {c.name: c for c in scores.at(row, column)}
        assert set(candidates) == set(result.class_names)
        shown = candidates[result.class_names[result.labels[row, column]]]
        assert shown.probability == pytest.approx(float(result.confidence[row, column]), abs=1e-5)
        if missing < set(candidates):  # if all classes are missing, all compete
            assert all(candidates[name].probability == 0 for name in missing)


def test_candidates_of_a_patch_are_what_it_says_by_itself(scores):
    found = scores.of_patch(1, 2)
    assert [c.probability for c in found] == sorted(scores.class_probabilities[:, 1, 2].tolist(), reverse=True)
    assert found[0].label == int(scores.class_probabilities[:, 1, 2].argmax())
    with pytest.raises(InputError, match="patch"):
        scores.of_patch(scores.logits.shape[1], 0)


def test_probabilities_of_a_patch_are_a_softmax_of_the_best_words(scores):
    logits = scores.logits[:, 1, 2].double().numpy()
    best = np.array([max(logits[0], logits[1]), logits[2], logits[3], max(logits[4], logits[5])])
    expected = np.exp(best - best.max()) / np.exp(best - best.max()).sum()
    np.testing.assert_allclose(scores.class_probabilities[:, 1, 2], expected, rtol=1e-5)


@pytest.mark.parametrize("point", [(-1, 0), (24, 0), (0, 40), (1.5, 0), (True, 0), (None, 1)])
def test_a_point_outside_is_refused(scores, point):
    with pytest.raises(InputError, match="pixel"):
        scores.at(*point)


def test_scores_can_be_learned_from_and_are_one_line_in_a_notebook(scores):
    factor = torch.nn.Parameter(torch.ones(()))
    (scores.logits * factor).sum().backward()
    assert factor.grad is not None
    assert len(repr(scores)) < 80


def test_a_threshold_gives_unlikely_pixels_to_the_background_words(segmenter, encoding):
    plain, cautious = segmenter.segment(encoding, WORDS), segmenter.segment(encoding, WORDS, threshold=0.5)
    unlikely = plain.confidence < 0.5
    assert (cautious.labels[unlikely] == 3).all()
    np.testing.assert_array_equal(cautious.labels[~unlikely], plain.labels[~unlikely])
    assert cautious.class_names == plain.class_names
    assert cautious.settings["threshold"] == 0.5


def test_a_threshold_adds_a_background_where_there_was_none(segmenter, encoding):
    result = segmenter.segment(encoding, "cat; dog", threshold=1.0)
    assert result.class_names == ("cat", "dog", "background")
    assert (result.labels[result.confidence < 1] == 2).all()
    assert result.labels.dtype == np.int32


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "high", None, True])
def test_a_threshold_out_of_range_is_refused(segmenter, encoding, threshold):
    with pytest.raises(InputError, match="threshold"):
        segmenter.segment(encoding, "cat; dog", threshold=threshold)


def test_voting_is_a_choice_apart_from_the_method(segmenter, encoding):
    voted = segmenter.segment(encoding, WORDS, method="clip", vote=True)
    for region in np.unique(voted.regions):
        assert len(np.unique(voted.labels[voted.regions == region])) == 1 or region == -1
    assert voted.settings["vote"] is True
    assert segmenter.segment(encoding, WORDS, method="clip").settings["vote"] is False


def test_a_class_is_missing_where_too_many_common_words_suit_better_even_at_its_best_patch():
    patches = torch.eye(4)[:3]
    text = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1], [0, 0.5, 0, 0.5], [0, 0, 0, 1]])
    common = torch.tensor([[0, 0.3, 0, 0], [0, 0.9, 0, 0], [0, 0, 0.9, 0], [0.9, 0, 0, 0]])
    # Class 0 is best at patch 0. Class 1 (similarity 0 everywhere) is beaten by one word of four. Class 2 is
    # beaten by one word at its best patch. The last prompt is a background word: it cannot be missing.
    assert missing_classes(patches, text, torch.tensor([0, 1, 2, 3]), 3, common) == [1, 2]
    many = common.new_zeros(40, 4)
    many[0, 1] = 0.9
    assert missing_classes(patches, text, torch.tensor([0, 1, 2, 3]), 3, many) == [], "one of forty may suit better"
    many[:4, :3] = 0.9
    assert missing_classes(patches, text, torch.tensor([0, 1, 2, 3]), 3, many) == [1, 2], "four of forty may not"


def test_suggested_words_are_those_with_enough_patches():
    patches, words = torch.eye(100), torch.zeros(4, 100)
    words[0, :60], words[1, 60:95], words[2, 95:], words[3, 95:97] = 1, 1, 1, 2
    words[1, 95:] = 0.5
    # Words 2 and 3 have three and two patches, which vote again, for word 1, as soon as both have left.
    assert [word for word, _ in suggested(patches, words)] == [0, 1]
    assert [share for _, share in suggested(patches, words)] == pytest.approx([0.6, 0.4])
    assert suggested(patches[:3], words[:1]) == [(0, 1.0)], "one word always stays"


def test_at_most_six_words_are_suggested():
    found = suggested(torch.eye(8), torch.eye(8))
    assert len(found) == MOST_SUGGESTED
    assert sum(share for _, share in found) == pytest.approx(1)


def test_common_words_are_different_words():
    assert len({word.casefold() for word in COMMON_WORDS}) == len(COMMON_WORDS)
    assert all(word == word.strip() and word for word in COMMON_WORDS)


@pytest.mark.parametrize("seed", range(4))
def test_everything_else_wins_exactly_where_no_class_passes_its_own_threshold(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(5, 6, 7, generator=generator) * 4 + torch.arange(5)[:, None, None]
    label_of = torch.tensor([0, 0, 1, 2, 3])  # two prompts of one class; 3 is background, without a threshold
    rest = everything_else(maps, label_of, classes=3)
    similar = torch.stack([maps[:2].amax(0), maps[2], maps[3]])
    passes = torch.stack([one >= otsu_threshold(one) for one in similar]).any(dim=0)
    np.testing.assert_array_equal(rest > similar.amax(dim=0), ~passes)


def test_logits_are_cosines_times_scale_and_with_the_image_prior_times_the_logit_at_cls_too(segmenter, encoding):
    text = segmenter.embed_words(["cat", "dog"])
    plain = segmenter.scores(encoding, "cat; dog")
    prior = segmenter.scores(encoding, "cat; dog", image_prior=True)
    cosines = (text @ encoding.patches.T).reshape(plain.logits.shape)
    torch.testing.assert_close(plain.logits, plain.scale * cosines)
    at_cls = plain.scale * text @ encoding.cls
    torch.testing.assert_close(prior.logits, plain.logits * at_cls[:, None, None])


def test_scores_of_given_text_features_are_those_of_their_words(segmenter, encoding):
    words = ["cat", "dog", "wall"]
    given = segmenter.scores(encoding, text_features=segmenter.embed_words(words), class_names=["cat", "dog"])
    assert torch.equal(given.logits, segmenter.scores(encoding, "cat; dog | background: wall").logits)
    assert given.vocabulary.class_names == ("cat", "dog", "background")


@pytest.mark.parametrize("words", ["cat; dog", "cat; dog | background: wall"])
@pytest.mark.parametrize("rest", [True, False])
def test_a_result_says_that_no_class_was_left_out_because_all_are_missing(
    segmenter, encoding, monkeypatch, words, rest
):
    monkeypatch.setattr(segmenter, "_missing", lambda *arguments: [0, 1])
    notes = segmenter.segment(encoding, words, skip_missing=True, everything_else=rest).notes
    assert any("No class seems to be in the picture" in note for note in notes) == (words == "cat; dog" and not rest)
