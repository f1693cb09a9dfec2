"""Words: the grammar, cleaning, words given twice, limits, data sets, one-line form, any text at all."""

# ruff: noqa: E501, RUF001

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cliptrase_core.errors import InputError
from cliptrase_core.names import DATASETS
from cliptrase_core.text import vocabulary as module
from cliptrase_core.text.vocabulary import (
    Vocabulary,
    WordGroup,
    dataset_vocabulary,
    parse_vocabulary,
    vocabulary_of,
)


def beside_alone(vocabulary):
    """Return all notes except the one about a single class."""
    return tuple(note for note in vocabulary.notes if "is the only class" not in note)


def groups(text):
    return [group.prompts for group in parse_vocabulary(text).classes]


@pytest.mark.parametrize(
    ("text", "classes", "background"),
    [
        ("cat", [("cat",)], ()),
        ("cat, dog", [("cat",), ("dog",)], ()),
        ("cat, kitten; dog", [("cat", "kitten"), ("dog",)], ()),
        ("cat, kitten;", [("cat", "kitten")], ()),
        ("cat, kitten\ndog", [("cat", "kitten"), ("dog",)], ()),
        ("cat\r\ndog\rcow\u2028hen", [("cat",), ("dog",), ("cow",), ("hen",)], ()),
        ("cat, dog\n", [("cat",), ("dog",)], ()),
        (";; cat,, kitten ;\n; dog,;", [("cat", "kitten"), ("dog",)], ()),
        ("cat, dog | background: wall, floor; sky", [("cat",), ("dog",)], ("wall", "floor", "sky")),
        ("cat; dog\n|BACKGROUND :wall\nfloor", [("cat",), ("dog",)], ("wall", "floor")),
        ("cat, dog\nbackground: wall, floor", [("cat",), ("dog",)], ("wall", "floor")),
        ("background: wall\ncat, dog", [("cat",), ("dog",)], ("wall",)),
        ("cat, dog, background: wall, floor", [("cat",), ("dog",)], ("wall", "floor")),
        ("cat; dog; background: wall; floor\ncow", [("cat",), ("dog",), ("cow",)], ("wall", "floor")),
        ("cat | background:", [("cat",)], ()),
        ("cat; background", [("cat",), ("background",)], ()),
        ("cat: a pet; dog", [("cat: a pet",), ("dog",)], ()),
    ],
)
def test_grammar(text, classes, background):
    vocabulary = parse_vocabulary(text)
    assert [group.prompts for group in vocabulary.classes] == classes
    assert [group.name for group in vocabulary.classes] == [prompts[0] for prompts in classes]
    assert vocabulary.background == background
    assert beside_alone(vocabulary) == ()


@pytest.mark.parametrize(
    "text", ["cat", "cat, kitten;", "猫", "tractor tree sky", "background", "cat | background:", "x" * 300]
)
def test_one_class_always_says_that_it_takes_everything_and_what_to_add(text):
    vocabulary = parse_vocabulary(text)
    [note] = vocabulary.notes
    assert "is the only class, so it takes the whole picture. Add what else is there" in note
    assert "| background: " in note
    assert len(note) < 400
    assert Vocabulary(vocabulary.classes).notes == vocabulary.notes  # also when it is not parsed from a text
    assert parse_vocabulary(vocabulary.text).notes == vocabulary.notes


@pytest.mark.parametrize("text", ["cat; dog", "cat | background: wall", "voc21", "background; wall"])
def test_several_classes_or_background_words_leave_no_such_note(text):
    assert parse_vocabulary(text).notes == ()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("tractor tree sky", 'For one class a word write "tractor; tree; sky".'),
        ("salt & pepper and dog", 'For one class a word write "salt; pepper; dog".'),
        ("cat, dog, grass;", "Its other words are synonyms. To make them classes, separate them by ;"),
        ("sky", 'such as "sky; wall; grass"'),
    ],
)
def test_lone_class_is_told_what_was_perhaps_meant(text, hint):
    assert hint in parse_vocabulary(text).notes[0]


def test_prompts_labels_and_names_stand_in_the_same_order():
    vocabulary = parse_vocabulary("cat, kitten; dog | background: wall, floor")
    assert vocabulary.prompts == ("cat", "kitten", "dog", "wall", "floor")
    assert vocabulary.prompt_labels == (0, 0, 1, 2, 2)
    assert vocabulary.class_names == ("cat", "dog", "background")
    assert parse_vocabulary("cat; dog").class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("  red \t  car ", "red car"),
        ("cafe\u0301", "café"),
        ("c\u200ba\ufefft\u202e\x00", "cat"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("{0.__class__} {} %s", "{0.__class__} {} %s"),
        ('<script>alert("x")</script>', '<script>alert("x")</script>'),
        ("猫", "猫"),
        ("قطة", "قطة"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("Straße", "Straße"),
        ("=SUM(A1)", "=SUM(A1)"),
    ],
)
def test_word_is_cleaned_and_otherwise_left_alone(written, shown):
    assert groups(f"{written}; other") == [(shown,), ("other",)]


@pytest.mark.parametrize("text", ["H\udcfcnd; cat", "ca\ud800t; dog", "cat | background: \udce9", '["\\ud83d", "cat"]'])
def test_half_a_character_is_refused_since_the_rest_would_be_another_word(text):
    with pytest.raises(InputError, match=r"expected words in UTF-8, got other bytes: .*\\ud.*LC_ALL=C.UTF-8"):
        parse_vocabulary(text)
    with pytest.raises(InputError, match="expected words in UTF-8"):
        vocabulary_of(["dog", "ca\ud800t"])


@pytest.mark.parametrize("name", ["@words.txt", "@my words.json", "words.txt", "./lists/Words.YAML"])
def test_a_file_that_only_the_command_line_would_read_is_noted(name):
    for found in (parse_vocabulary(name), parse_vocabulary(f"{name} | background: sky"), vocabulary_of([name])):
        assert found.classes[0].name == name
        assert any("not of a file: give the words of the file instead." in note for note in found.notes)
    for words in ("@home; cat", "@home", "Washington D.C.", "cat.txt; dog.txt", "no. 5"):
        assert not any("of a file" in note for note in parse_vocabulary(words).notes)


def test_removed_control_characters_are_noted_and_invisible_marks_are_not():
    found = parse_vocabulary("dog\0cat; b\x1bird; sky")
    assert found.notes == ("Removed 2 control characters from the words: check their spelling.",)
    assert "Removed 1 control character from" in parse_vocabulary("ade\x7f150").notes[0]
    assert parse_vocabulary("\ufeffc\u200bat; \u202edog\u202c; s\u00adky").notes == ()
    assert parse_vocabulary("cat\x0c;\x85dog;\tsky\r\n").notes == ()


def test_greek_question_mark_is_a_semicolon_before_words_are_split():
    assert groups("cat\u037edog") == [("cat",), ("dog",)]


@pytest.mark.parametrize(
    ("text", "classes", "background", "note"),
    [
        ("cat, tom; dog; CAT, kitten, Tom", [("cat", "tom", "kitten"), ("dog",)], (), "united into one"),
        ("cat, pet; dog, PET", [("cat", "pet"), ("dog",)], (), '"PET" belongs to "cat": dropped from "dog"'),
        ("cat, dog; dog", [("cat",), ("dog",)], (), '"dog" belongs to "dog": dropped from "cat"'),
        ("cat, pet; dog | background: Pet, wall", [("cat", "pet"), ("dog",)], ("wall",), "kept as a class"),
        ("cat | background: bed, sky, Bed", [("cat",)], ("bed", "sky"), "kept once"),
        ("ﬁsh; FISH", [("ﬁsh",)], (), "united"),
        ("Straße; STRASSE", [("Straße",)], (), "united"),
        ("cat; c\u200dat", [("cat",)], (), "united"),
    ],
)
def test_word_given_twice_is_used_once_and_leaves_a_note(text, classes, background, note):
    vocabulary = parse_vocabulary(text)
    assert [group.prompts for group in vocabulary.classes] == classes
    assert vocabulary.background == background
    [own] = beside_alone(vocabulary)
    assert note in own


def test_notes_are_few_even_when_many_words_repeat():
    words = [f"w{i}" for i in range(90)]
    vocabulary = parse_vocabulary(", ".join(words + words))
    assert len(vocabulary.classes) == 90
    assert len(vocabulary.notes) == module.MAX_NOTES + 1
    assert "40 more" in vocabulary.notes[-1]


@pytest.mark.parametrize(
    ("end", "united"),
    [
        ("", 0),
        ("; c7", 1),
        ("; c7; C7; c8", 3),
        ("; background", 0),
        (" | background: wall", 0),
        ("; background | background: wall", 1),
    ],
)
def test_united_classes_are_known_however_many_notes_there_are(end, united):
    many = parse_vocabulary("; ".join(f"c{number}, thing" for number in range(60)) + end)
    assert len(many.notes) == module.MAX_NOTES + 1
    assert len(many.united) == united
    assert parse_vocabulary(many.text).united == ()


@pytest.mark.parametrize("text", ["", " ", ";;\n,", "\u200b", "\u200d", "| background: wall", "background: a\n;"])
def test_no_class_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r'at least one class.*"cat, kitten; dog \| background: wall, floor"'):
        parse_vocabulary(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat | background: a | background: b", r"at most one \|, got 2"),
        ("cat | foreground: a", 'got "foreground: a"'),
        ("cat | wall", 'expected "background:" after'),
        ("cat |", 'expected "background:" after'),
        (None, "expected a text, got nothing"),
        (b"cat", "expected a text, got bytes"),
        (["cat"], "expected a text, got list"),
    ],
)
def test_text_outside_the_grammar_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_vocabulary(text)


@pytest.mark.parametrize(
    ("largest", "too_much", "message"),
    [
        ("a" + " " * 199_999, "a" + " " * 200_000, "at most 200000 characters, got 200001"),
        (";".join(map(str, range(1500))), ";".join(map(str, range(1501))), "at most 1500 classes, got 1501"),
        (",".join(map(str, range(64))) + ";", ",".join(map(str, range(65))) + ";", 'at most 64 synonyms.*65 in "0"'),
        (
            "a|background:" + ",".join(map(str, range(500))),
            "a|background:" + ",".join(map(str, range(501))),
            "at most 500 background words, got 501",
        ),
        ("x" * 300, "x" * 301, "at most 300 characters in a word, got 301"),
    ],
)
def test_limits_name_what_is_allowed_and_what_was_given(largest, too_much, message):
    parse_vocabulary(largest)
    with pytest.raises(InputError, match=message):
        parse_vocabulary(too_much)


@pytest.mark.parametrize("name", DATASETS)
def test_name_of_a_data_set_stands_for_its_words(name):
    vocabulary = parse_vocabulary(f" {name.upper()}\n")
    assert vocabulary is dataset_vocabulary(name)
    assert len(vocabulary.classes) == int(name.lstrip("vocpadet").replace("ityscapes", "19")) - (
        name in ("voc21", "pc60")
    )
    assert all(len(group.prompts) == 1 for group in vocabulary.classes)
    assert vocabulary.text == name


def test_data_set_keeps_its_entries_as_published():
    assert dataset_vocabulary("ade847").classes[1] == WordGroup("building, edifice", ("building, edifice",))
    assert dataset_vocabulary("voc21").background.count("bed") == 2
    assert dataset_vocabulary("voc21").class_names[-1] == "background"
    assert "bed" in dataset_vocabulary("ade150").class_names  # written "bed " in the source


def test_name_of_a_data_set_among_other_words_is_a_word():
    assert groups("ade150, cat") == [("ade150",), ("cat",)]
    assert groups("ade150;") == [("ade150",)]


@pytest.mark.parametrize("name", ["voc2050", "", None, ["voc20"]])
def test_unknown_data_set_is_refused_with_the_known_ones(name):
    with pytest.raises(InputError, match="voc20, voc21"):
        dataset_vocabulary(name)


@pytest.mark.parametrize(("name", "own"), [("VOC", "voc20"), ("coco", "coco80"), ("ADE 20K", "ade150")])
def test_a_common_name_of_a_data_set_is_known_to_all(name, own):
    assert dataset_vocabulary(name) is dataset_vocabulary(own)
    assert parse_vocabulary(name).classes == dataset_vocabulary(name).classes


@pytest.mark.parametrize(
    ("entries", "doubtful"),
    [
        (["cat; mouse", "a"], ["cat; mouse"]),
        (["cat | background: wall", "sky"], ["cat | background: wall"]),
        ([["cat", "kitten|lynx"], "sky\nsea"], ["kitten|lynx", "sky sea"]),
        ({"cat；dog": ["pet"]}, ["cat；dog"]),
        (["cat;", " dog\n", "a, b", ["c"]], []),
        ([f"a; {n}" for n in range(9)], ["a; 0", "a; 1", "a; 2"]),
    ],
)
def test_a_separator_within_an_entry_of_a_list_is_noted(entries, doubtful):
    notes = [note for note in vocabulary_of(entries).notes if "its own entry" in note]
    assert notes == [
        f'"{word}" is read as one word. Give each class, and "background: ...", its own entry.' for word in doubtful
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cat,dog", "cat; dog"),
        ("cat", "cat"),
        ("cat, kitten;", "cat, kitten;"),
        ("voc20;", "voc20;"),
        ("cat, kitten;\nbackground: a;b", "cat, kitten; | background: a, b"),
        (", ".join(group.name for group in dataset_vocabulary("voc20").classes), "voc20"),
    ],
)
def test_text_is_one_line_that_reads_back(text, line):
    vocabulary = parse_vocabulary(text)
    assert vocabulary.text == line
    assert parse_vocabulary(line) == vocabulary


def test_text_replaces_separators_that_the_grammar_cannot_express():
    vocabulary = Vocabulary((WordGroup("building, edifice", ("building, edifice", "a|b")), WordGroup("c", ("c",))))
    assert vocabulary.text == "building edifice, a b; c"
    assert Vocabulary((WordGroup("background: x", ("background: x",)),)).text == "background  x"


def test_vocabulary_without_classes_or_words_cannot_be_made():
    with pytest.raises(InputError):
        Vocabulary(())
    with pytest.raises(InputError):
        WordGroup("cat", ())


TRICKY = st.lists(
    st.sampled_from(
        ["cat", "Cat", "dog", "background", "background:", ":", ";", ",", "|", "\n", "\r", " ", "ade150", "\u037e",
         "\u200b", "\u200d", "\u0338", "\ufe0f", "é", "e\u0301", "ß", "ss", "\ud800", "\x85", "Ⅷ", "\u00a0", "K"]
    )
).map("".join)  # fmt: skip


PASTED = st.lists(
    st.sampled_from(
        ["cat", "dog", "猫", "，", "、", "؛", "。", ". ", " . ", "/", " / ", " - ", "- ", "1. ", "2. ", "\n", "\t", ",", ";", " ", '"', "'",
         "“", "”", "[", "]", "{", "}", "(", ")", ":", "\\n", "\\", "#", "| ", "names:", "item {", "background", "1", "0 ", "coco", "•", "and ",
         "etc.", "id,name", "="]
    ), max_size=14,
).map("".join)  # fmt: skip


@settings(max_examples=600, deadline=None)
@example("0 / BACKGROUND:")
@given(st.one_of(TRICKY, PASTED, st.text(alphabet=st.characters(exclude_categories=()))))
def test_any_text_is_read_stably_or_refused(text):
    try:
        vocabulary = parse_vocabulary(text)
    except InputError:
        return
    assert vocabulary.classes
    assert len(vocabulary.prompts) == len(vocabulary.prompt_labels)
    assert len(set(vocabulary.class_names)) == len(vocabulary.class_names)
    assert len(set(vocabulary.prompts)) == len(vocabulary.prompts) or vocabulary.text in DATASETS
    vocabulary.text.encode("utf-8")
    again = parse_vocabulary(vocabulary.text)
    assert again == vocabulary
    assert beside_alone(again) == ()
    assert again.text == vocabulary.text


@pytest.mark.parametrize(
    ("text", "classes", "background"),
    [
        ("cat / dog / background: wall", ("cat", "dog"), ("wall",)),
        ("cat / background:", ("cat",), ()),
        ("cat\tbackground: wall", ("cat",), ("wall",)),
        ('"cat" "background: wall, floor"', ("cat",), ("wall", "floor")),
        ('["cat", "background: wall"]', ("cat",), ("wall",)),
    ],
)
def test_a_part_of_any_layout_may_name_background_words(text, classes, background):
    vocabulary = parse_vocabulary(text)
    assert tuple(group.name for group in vocabulary.classes) == classes
    assert vocabulary.background == background
    assert parse_vocabulary(vocabulary.text) == vocabulary


def test_a_data_set_s_name_takes_further_background_words():
    plain, more = parse_vocabulary("voc21"), parse_vocabulary("VOC21 | background: lava, cat, sky")
    assert more.classes == plain.classes
    assert more.background[: len(plain.background)] == plain.background
    assert more.background[-1] == "lava"  # cat is a class, sky is there already
    assert parse_vocabulary(more.text) == more


@pytest.mark.parametrize(
    ("text", "background"),
    [
        ("cat; dog; Background | background: wall", ("Background", "wall")),
        ("BACKGROUND, backdrop; cat; dog\nbackground: wall, floor", ("BACKGROUND", "backdrop", "wall", "floor")),
        ("__background__\ncat\ndog\nbackground: wall", ("background", "wall")),
        ("cat; dog; ＢＡＣＫＧＲＯＵＮＤ | background: background, sky", ("ＢＡＣＫＧＲＯＵＮＤ", "sky")),
    ],
)
def test_background_as_a_class_and_background_words_are_one(text, background):
    vocabulary = parse_vocabulary(text)
    assert vocabulary.class_names == ("cat", "dog", "background")
    assert vocabulary.background == background
    assert "as a class and the background words are one" in vocabulary.notes[0]


def test_background_without_background_words_stays_the_class_that_it_is():
    assert parse_vocabulary("cat; Background").class_names == ("cat", "Background")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ade20k", "ade150"), ("ADE 20K", "ade150"), ("ade20k-full", "ade847"), ("voc", "voc20"), ("VOC-20", "voc20"),
        ("Pascal VOC 2012", "voc20"), ("voc_21", "voc21"), ("coco", "coco80"), ("MS-COCO", "coco80"),
        ("COCO-Stuff", "coco171"), ("pascal_context", "pc59"), ("PC-459", "pc459"), ("Cityscapes", "cityscapes"),
    ],
)  # fmt: skip
def test_data_sets_answer_to_the_names_that_people_use(text, name):
    vocabulary = parse_vocabulary(text)
    assert vocabulary == dataset_vocabulary(name)
    assert vocabulary.text == name
    if text.casefold() != name:
        assert f"data set {name}" in vocabulary.notes[0]
        assert groups(f"{text};") == [(text,)]  # as the note says


@pytest.mark.parametrize("text", ["coco, cat", "a coco", "vocal", "cities", "context; scene", "ade;"])
def test_words_that_look_like_data_sets_stay_words(text):
    assert len(parse_vocabulary(text).classes) == text.count(",") + text.count(";") * (text != "ade;") + 1


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["dog", "grass"], [("dog",), ("grass",)]),
        (("cat, kitten", "dog"), [("cat", "kitten"), ("dog",)]),
        ([["cat", "kitten"], "dog"], [("cat", "kitten"), ("dog",)]),
        ({"cat": ["kitten", "tom"], "dog": (), "cow": "calf"}, [("cat", "kitten", "tom"), ("dog",), ("cow", "calf")]),
        (["cat/dog", "1. cow", "猫，犬"], [("cat/dog",), ("1. cow",), ("猫", "犬")]),
        (["coco"], [("coco",)]),
        (["a;b", "c|d\ne"], [("a b",), ("c d e",)]),
    ],
)
def test_list_gives_a_class_an_entry_and_nothing_is_guessed(classes, expected):
    vocabulary = vocabulary_of(classes)
    assert [group.prompts for group in vocabulary.classes] == expected
    assert parse_vocabulary(vocabulary.text) == vocabulary


def test_list_may_name_background_words():
    assert vocabulary_of(["cat", "background: wall, floor"]).background == ("wall", "floor")


@pytest.mark.parametrize("classes", [[], [1, 2], [b"cat"], ["cat", None], [["cat", 1]]])
def test_list_of_anything_else_is_refused(classes):
    with pytest.raises(InputError, match="vocabulary: expected"):
        vocabulary_of(classes)


@pytest.mark.parametrize("more", [0.3, 3, {"kitten"}, b"kitten"])
def test_synonyms_of_a_name_are_texts(more):
    with pytest.raises(InputError, match='expected a text or a list of synonyms for each name, got .* for "cat"'):
        vocabulary_of({"cat": more})
