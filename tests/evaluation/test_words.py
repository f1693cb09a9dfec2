"""Words of the benchmarks: the published lists, and those in the files of other methods."""

from __future__ import annotations

import pytest

from cliptrase_core.errors import InputError
from cliptrase_core.evaluation.settings import SETTINGS
from cliptrase_core.evaluation.word_lists import setting_words, usual_words
from cliptrase_core.names import PUBLISHED, WORD_LISTS

# fmt: off
RUN_TOGETHER = {
    "coco171": (
        "trafficlight firehydrant stopsign parkingmeter sportsball baseballbat baseballglove tennisracket wineglass "
        "hotdog pottedplant diningtable cellphone teddybear hairdrier"
    ),
    "ade150": (
        "chestofdrawers pooltable screendoor coffeetable kitchenisland swivelchair arcademachine televisionreceiver "
        "dirttrack conveyerbelt swimmingpool tradename trafficlight crtscreen bulletinboard"
    ),
    "cityscapes": "trafficlight trafficsign",
}
# fmt: on
WITH_BACKGROUND = ("voc21", "pc60", "coco80")
UNKNOWN = ("pc459", "ade847")
"""Settings that only the published list has."""


@pytest.mark.parametrize("setting", RUN_TOGETHER)
@pytest.mark.parametrize("words", WORD_LISTS[1:])
def test_names_that_peers_run_together_are_all_that_differs(setting, words):
    ours, theirs = setting_words(setting), setting_words(setting, words)
    assert theirs.class_names == ours.class_names, "reports name classes as ever"
    other = [(a.prompts, b.prompts) for a, b in zip(ours.classes, theirs.classes, strict=True) if a != b]
    assert " ".join(b for _, (b,) in other) == RUN_TOGETHER[setting]
    assert all(a.replace(" ", "") == b for (a,), (b,) in other)


def test_sclip_s_words_for_voc_and_coco_objects():
    prompts = {group.name: group.prompts for group in setting_words("voc20", "sclip").classes}
    assert (prompts["boat"], prompts["diningtable"]) == (("ship",), ("table",))
    assert (len(prompts["person"]), len(prompts["tv"])) == (7, 5)
    assert len(setting_words("voc21", "sclip").background) == len(setting_words("coco80", "sclip").background) == 26
    person = next(group for group in setting_words("coco80", "sclip").classes if group.name == "person")
    assert person.prompts[-1] == "body"


def test_other_peers_have_other_backgrounds():
    assert setting_words("voc21", "clearclip").background == ("background",)
    assert len(setting_words("coco80", "proxyclip").background) == 17
    assert setting_words("voc21", "proxyclip").background == setting_words("voc21", "sclip").background


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_list_has_as_many_classes_and_a_background_where_the_setting_has_one(setting):
    ours = setting_words(setting)
    known = [words for words in WORD_LISTS[1:] if usual_words(setting, words) == words]
    assert len(known) == (0 if setting in UNKNOWN else 3)
    for words in known:
        theirs = setting_words(setting, words)
        assert len(theirs.classes) == len(ours.classes)
        assert bool(theirs.background) == bool(ours.background) == (setting in WITH_BACKGROUND)
        assert theirs.class_names == ours.class_names
        assert all(word == word.strip() and word for word in theirs.prompts)


@pytest.mark.parametrize("setting", UNKNOWN)
@pytest.mark.parametrize("words", ["sclip", "clearclip", "proxyclip"])
def test_a_list_that_does_not_know_a_setting_says_so(setting, words):
    assert usual_words(setting, words) == PUBLISHED
    with pytest.raises(InputError, match=f"words of {setting}: expected one of published, got '{words}'"):
        setting_words(setting, words)
