"""Corrections of misspelt words; correct and unknown words are left alone."""

import pytest

from cliptrase_core.names import DATASETS
from cliptrase_core.text.linter import lint
from cliptrase_core.text.spelling import MOST_LOOKED_AT, corrections
from cliptrase_core.text.vocabulary import dataset_vocabulary, parse_vocabulary


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *(("hors", "horse"), ("gras", "grass"), ("trctor", "tractor"), ("umbrela", "umbrella"), ("skyy", "sky")),
        *(("wimdow", "window"), ("treee", "tree"), ("mountian", "mountain"), ("tabel", "table"), ("GIRAFF", "giraffe")),
        *(("dgo", "dog"), ("cta", "cat"), ("kittne", "kitten"), ("beautifull", "beautiful"), ("cahir", "chair")),
        *(("treees", "trees"), ("horsees", "horses")),
    ],
)
def test_a_slip_of_the_finger_is_recognised(typed, meant):
    assert corrections([f"old {typed}"]) == {typed.lower(): meant}


def test_words_that_are_right_are_left_alone():
    right = (
        "alpaca axolotl badger barn beanie bride canoe cheetah courgette croissant dachshund dungarees eggplant ferret "
        "fjord gondola graffiti haystack heather hedgehog hydrant kayak kimchi kingfisher lighthouse lynx meerkat "
        "mitten moped nurse otter paddock pagoda penguin pretzel raccoon rosemary sandal scarecrow scarf spatula sushi "
        "tarmac thistle thyme toddler tram undergrowth waffle windmill wool yarn zucchini horses benches cats "
        "pear hose buns waiter chimp handlebar minibus hoodie smartphone iphone lego ikea skye doorhandle "
        "hoodies iphones legos tyres popsicles suv bmx pho ufo pdf foo pinata pinatas seance cliche jalapenos soupcon"
    )
    assert corrections(right.split()) == {}


@pytest.mark.parametrize("slip", ["doubled", "swapped", "missing"])
def test_most_slips_in_everyday_words_are_recognised(slip):
    words = [word for word in dataset_vocabulary("coco80").prompts if word.isalpha() and len(word) > 4]
    slips = {
        "doubled": lambda word: word[:3] + word[2:],
        "swapped": lambda word: word[:2] + word[3] + word[2] + word[4:],
        "missing": lambda word: word[:2] + word[3:],
    }
    typed = {word: slips[slip](word) for word in words}
    typed = {word: other for word, other in typed.items() if other not in ("hose", "widow")}  # other words, and right
    wrong = {word: other for word, other in typed.items() if corrections([word, other]).get(other, word) != word}
    silent = {word: other for word, other in typed.items() if word != other and not corrections([other])}
    assert len(words) > 40
    assert len(wrong) <= 0.1 * len(words), wrong  # trck is a truck or a track
    assert len(silent) <= 0.1 * len(words), silent


@pytest.mark.parametrize("name", DATASETS)
def test_words_of_data_sets_are_left_alone(name):
    assert corrections(dataset_vocabulary(name).prompts) == {}


@pytest.mark.parametrize(
    "typed",
    ["", "猫", "\U0001f408", "a" * 300, "кошка", "x1y2z3", "tv", "caf\u00e9", "jalape\u00f1o", "\u00c4pfel", "5dogs"],
)
def test_other_scripts_and_odd_texts_are_no_errors(typed):
    assert corrections([typed]) == {}


def test_nothing_is_asked_about_another_language_or_for_words_that_hardly_anybody_means():
    assert corrections(["Teller", "Tisch", "L\u00f6ffel", "Wiese"]) == {}
    assert corrections(["Klo\u00df"]) == {}
    assert corrections(["caf\u00e9", "tabel"]) == {"tabel": "table"}, "an English word with an accent"
    assert corrections(["tisch"]) == {}, "not titch"
    assert corrections(["wombta"]) == {"wombta": "wombat"}


def test_only_so_many_words_are_compared_with_the_dictionary():
    strange = [f"x{first}{second}{third}q" for first in "bcdfg" for second in "hjklm" for third in "npqrs"]
    assert len(strange) > MOST_LOOKED_AT
    assert corrections(["kittne", *strange]) == {"kittne": "kitten"}
    assert corrections([*strange, "kittne"]) == {}


def test_the_linter_asks(segmenter):
    said = lint(parse_vocabulary("hors; gras; sky"), segmenter.embed_words, segmenter.unknown_words)
    assert said[:2] == ['Did you mean "horse" by "hors"?', 'Did you mean "grass" by "gras"?']


STRANGE = ["\u76d8\u5b50", "\u5361\u8f66", "instagram", "\U0001f408"]


def test_the_embedded_model_says_which_words_it_has_never_seen(nano):
    assert nano.unknown_words(["cat", *STRANGE, "cherry tomato", "TV"]) == STRANGE
    assert nano.unknown_words([]) == []
    assert (
        nano.unknown_words(["building, edifice", "grass?", "cat!!", "dog...", "dog \u2013 cat", "\u00bfdog?"]) == []
    ), "punctuation is no word"
    said = lint(parse_vocabulary("; ".join(["cat", "kitten", *STRANGE])), nano.embed_words, nano.unknown_words)
    (said_of_plurals,) = [
        text
        for text in lint(parse_vocabulary("boutiques; Archers; brexit; vas"), nano.embed_words, nano.unknown_words)
        if "does not know" in text
    ]
    assert said_of_plurals.endswith(
        'everyday things. Try "boutique" instead of "boutiques", "Archer" instead of "Archers".'
    )
    assert said[0].startswith('This model does not know "\u76d8\u5b50", "\u5361\u8f66", "instagram"')
    assert not any(word in one for one in said[1:] for word in STRANGE)  # their vectors are alike, not their meanings


def test_a_data_set_beside_other_words_is_a_word_and_that_is_said(segmenter):
    said = lint(parse_vocabulary("VOC20; cow"), segmenter.embed_words, segmenter.unknown_words)
    assert said == ['"VOC20" is a word here. The words of the data set are used if its name stands alone.']
    assert lint(parse_vocabulary("voc20"), segmenter.embed_words, segmenter.unknown_words) == []


def test_a_model_with_all_its_tokens_knows_every_word(segmenter):
    assert segmenter.unknown_words(STRANGE) == []


def test_words_that_nobody_knows_are_counted(nano):
    many = [f"{STRANGE[0]} {place}" for place in range(20)]
    (said,) = lint(parse_vocabulary("; ".join(many)), nano.embed_words, nano.unknown_words)
    assert "and 12 more" in said
