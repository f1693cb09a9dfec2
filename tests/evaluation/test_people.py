"""Users' data sets: YAML, listings, masks and pictures of many kinds; correct figures or an error in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from cliptrase_core import cli
from cliptrase_core.cli import parser
from cliptrase_core.errors import InputError, memory_explained
from cliptrase_core.evaluation.data import check_folders
from cliptrase_core.evaluation.folder import folder_set, read_folder_set
from cliptrase_core.evaluation.layouts import find_pairs
from cliptrase_core.evaluation.mask_check import MOST, expect_usable, summarise
from cliptrase_core.evaluation.metrics import ClassCounts, intervals
from cliptrase_core.evaluation.records import Ledger, Record, part_path, read_ledgers
from cliptrase_core.evaluation.settings import RAW_STUFF, SETTINGS
from cliptrase_core.evaluation.sources import Folders, read_stored, read_turned
from cliptrase_core.io import memory
from cliptrase_core.io.image import read_image
from cliptrase_core.segmenter import Segmenter
from tests.datasets import voc_prepared, write_dataset, write_mask, write_picture

TWO = np.array([0, 1])


@pytest.fixture(autouse=True)
def one_model(monkeypatch, nano):
    """Load nano once for all commands of this file."""
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))


def evaluate(tmp_path, *arguments, code=0, output="out/report.json"):
    line = ["evaluate", *map(str, arguments), "--templates", "simple7", "--output", str(tmp_path / output)]
    assert cli.main(line) == code
    return report_of(tmp_path, output) if code == 0 else None


def report_of(tmp_path, output="out/report.json"):
    return json.loads((tmp_path / output).read_text(encoding="utf-8"))


def described(tmp_path: Path, text: str | bytes):
    """Write a YAML file beside folders i and m, and read it."""
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir(exist_ok=True)
    head = "images: i\nmasks: m\n"
    content = text if isinstance(text, bytes) else (head + text).encode()
    (tmp_path / "mine.yaml").write_bytes(content)
    return read_folder_set(tmp_path / "mine.yaml")


CLASSES = {
    "a text": ("vocabulary: 'cat, kitten; dog'", (("cat", "kitten"), ("dog",)), ()),
    "a list": ("vocabulary: [cat, dog]", (("cat",), ("dog",)), ()),
    "a list of one entry with synonyms": ("vocabulary: ['cat, kitten']", (("cat", "kitten"),), ()),
    "a list of one word": ("vocabulary: [cat]", (("cat",),), ()),
    "what YAML takes for truth values": ("vocabulary: [no, on, Yes]", (("no",), ("on",), ("Yes",)), ()),
    "what YAML takes for numbers": ("vocabulary: [1.50, 007, 2024-01-01]", (("1.50",), ("007",), ("2024-01-01",)), ()),
    "nothing as YAML writes it": ("vocabulary: [null, ~x]", (("null",), ("~x",)), ()),
    "background in the list": ("vocabulary:\n- cat\n- background: wall, floor", (("cat",),), ("wall", "floor")),
    "background in quotes": ("vocabulary: [cat, 'background: wall']", (("cat",),), ("wall",)),
    "synonyms in another script": ("vocabulary:\n- \u732b, \u5b50\u732b", (("\u732b", "\u5b50\u732b"),), ()),
}  # fmt: skip


@pytest.mark.parametrize(("text", "classes", "background"), CLASSES.values(), ids=CLASSES)
def test_an_entry_is_a_class_whatever_yaml_makes_of_it(tmp_path, text, classes, background):
    own = described(tmp_path, text)
    assert tuple(group.prompts for group in own.words.classes) == classes
    assert own.words.background == background


def test_the_name_of_a_data_set_may_stand_in_a_list(tmp_path):
    assert len(described(tmp_path, "vocabulary: [voc20]").words.classes) == 20


def test_numbers_to_classes_need_not_follow_each_other(tmp_path):
    own = described(tmp_path, "vocabulary: {7: cat, 3: 'dog, puppy', background: wall}\nbackground: [0]")
    assert [group.name for group in own.words.classes] == ["cat", "dog"]
    np.testing.assert_array_equal(own.numbers.read(np.array([[7, 3, 0, 255]]), 2), [[0, 1, 2, -1]])


MANY_NOTES = "; ".join(f"c{number}, thing" for number in range(60))
"""Classes with more notes than a vocabulary has room for: all but the first lose their synonym."""
REFUSED = {
    "a class twice": ("vocabulary: 'cat; dog; cat'", "each class once.*\"cat\" is given as a class more than once"),
    "twice in a list": ("vocabulary: [cat, dog, cat]", "each class once"),
    "twice but for case": ("vocabulary: [Cat, dog, cat]", "each class once"),
    "twice as one of several words": ("vocabulary: 'cat, kitten; dog; cat, tom'", "each class once"),
    "the background as a class, too": ("vocabulary: 'cat; background | background: wall'", "background words are one"),
    "the same after many notes": (f"vocabulary: '{MANY_NOTES}; background | background: wall'", "each class once"),
    "a number twice": ("vocabulary: {1: cat, 1: dog}", "'1' twice"),
    "a number twice, written otherwise": ("vocabulary: {1: cat, 01: dog}", "1 twice"),
    "an entry twice": ("vocabulary: cat\nvocabulary: dog", "'vocabulary' twice"),
    "two classes in an entry": ("vocabulary: [cat; dog, cow]", "one class an entry.*'cat; dog' in entry 1"),
    "names to words": ("vocabulary: {cat: kitten, dog: puppy}", "numbers in masks to classes.*'cat': 'kitten'"),
    "a list in a list": ("vocabulary: [[cat, dog]]", r"a text in entry 1, got \['cat', 'dog'\]"),
    "a mapping in a list": ("vocabulary: [{id: 1, name: cat}]", "a text in entry 1"),
    "an empty entry": ("vocabulary: [cat, '']", "a text in entry 2, got nothing"),
    "no classes": ("vocabulary:", "no vocabulary"),
    "first beside numbers": ("vocabulary: {1: cat}\nfirst: 1", "first: expected no number"),
    "a truth value for a number": ("vocabulary: cat\nfirst: yes", "whole number, 0 to 65535, got 'yes'"),
    "a broken number": ("vocabulary: cat\nignored: [1.5]", "got '1.5'"),
    "a mapping for numbers": ("vocabulary: cat\nbackground: {0: sky}", "whole number"),
    "background pixels without words": ("vocabulary: [cat]\nfirst: 1\nbackground: 0", "background: expected no number"),
    "a list for a folder": ("vocabulary: cat\nlisting: [a, b]", "listing: expected a text"),
    "an entry that YAML reads as true": ("vocabulary: cat\non: 1", "unknown entry 'on'"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_would_shift_numbers_is_refused_in_one_line(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        described(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_description_may_begin_with_a_byte_order_mark(tmp_path, encoding):
    own = described(tmp_path, "images: i\nmasks: m\nvocabulary: [\u732b, dog]\n".encode(encoding))
    assert own.words.class_names == ("\u732b", "dog")


def pairs_of(tmp_path, **entries):
    own = folder_set({"images": "i", "masks": "m", "vocabulary": "cat; dog", **entries}, tmp_path)
    return find_pairs(own.layout, Path())


def found(tmp_path, pairs):
    """Return (key, picture, mask) as paths below a folder; missing files are None."""

    def below(path):
        return path.relative_to(tmp_path).as_posix() if path.is_file() else None

    return [(pair.key, below(pair.image), below(pair.mask)) for pair in pairs]


LISTS = {
    "names": "a\nmy dog\n",
    "a byte order mark": "\ufeffa\nmy dog\n",
    "lines of Windows and blanks": "a  \r\n\r\n  my dog\r\n",
    "endings": "a.jpg\nmy dog.jpg\n",
    "folders before names": "i/a.jpg\n./i/my dog.jpg\n",
    "slashes at the start": "/i/a\n/i/my dog\n",
    "another machine's folders": "/data/set/i/a.jpg\n/data/set/i/my dog.jpg\n",
    "remarks": "# of the validation\na\nmy dog\n",
    "backslashes": "i\\a.jpg\ni\\my dog.jpg\n",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
def test_a_listing_names_pictures_in_the_ways_that_programs_write_them(tmp_path, text):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO, names=("a", "my dog", "c"))
    (tmp_path / "list.txt").write_bytes(text.encode())
    assert found(tmp_path, pairs_of(tmp_path, listing="list.txt")) == [
        ("a", "i/a.jpg", "m/a.png"), ("my dog", "i/my dog.jpg", "m/my dog.png")
    ]  # fmt: skip


def test_a_listing_may_be_utf_16_as_powershell_writes_it(tmp_path):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    (tmp_path / "list.txt").write_bytes("a\r\nc\r\n".encode("utf-16"))
    assert [pair.key for pair in pairs_of(tmp_path, listing="list.txt")] == ["a", "c"]


COLUMNS = {
    "blanks": "i/a.jpg m/other.png",
    "a tab": "a.jpg\tother.png",
    "a comma": "a.jpg, other.png",
    "slashes at the start": "/i/a.jpg /m/other.png",
    "a semicolon": "a;m/other.png",
}


@pytest.mark.parametrize("line", COLUMNS.values(), ids=COLUMNS)
def test_a_second_column_is_the_mask(tmp_path, line):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    write_mask(tmp_path / "m/other.png", np.zeros((60, 80)))
    (tmp_path / "list.txt").write_text(line)
    assert found(tmp_path, pairs_of(tmp_path, listing="list.txt")) == [("a", "i/a.jpg", "m/other.png")]


@pytest.mark.parametrize("line", ["a 1", "a -1", "a  0", "a.jpg m/a.png 3", "a,cat"])
def test_a_column_that_is_no_mask_is_refused(tmp_path, line):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(InputError, match="a picture and its mask, got the line"):
        pairs_of(tmp_path, listing="list.txt")


@pytest.mark.parametrize(
    ("image", "mask", "mask_end"),
    [
        ("a.jpg", "a.PNG", ".png"),
        ("a.JPG", "a.png", ".png"),
        ("a.Jpeg", "a.Png", ".PNG"),
        ("a.JPG", "a_MASK.Tif", "_mask.tif"),
    ],
)
def test_endings_count_in_any_case(tmp_path, image, mask, mask_end):
    write_picture(tmp_path / "i" / image, np.random.default_rng(0), (8, 8))
    (tmp_path / "m").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "m" / mask)
    assert found(tmp_path, pairs_of(tmp_path, mask_end=mask_end)) == [("a", f"i/{image}", f"m/{mask}")]


BESIDE = {
    "of one name": ("d", "d", ".png", ["d/a.jpg", "d/b.jpg"], ["d/a.png", "d/b.png"]),
    "with an ending of their own": ("d", "d", "_m.png", ["d/a.png", "d/b.png"], ["d/a_m.png", "d/b_m.png"]),
    "in a folder below": ("d", "d/masks", ".png", ["d/a.png", "d/b.jpg"], ["d/masks/a.png", "d/masks/b.png"]),
    "pictures in the folder below": ("d/rgb", "d", ".png", ["d/rgb/a.png", "d/rgb/b.png"], ["d/a.png", "d/b.png"]),
}  # fmt: skip


@pytest.mark.parametrize(("images", "masks", "end", "pictures", "drawn"), BESIDE.values(), ids=BESIDE)
def test_masks_beside_the_pictures_are_not_taken_for_pictures(tmp_path, images, masks, end, pictures, drawn):
    for seed, name in enumerate(pictures):
        write_picture(tmp_path / name, np.random.default_rng(seed), (8, 8))
    for name in drawn:
        write_mask(tmp_path / name, np.zeros((8, 8)))
    (tmp_path / images / "notes.txt").write_text("x")
    assert found(tmp_path, pairs_of(tmp_path, images=images, masks=masks, mask_end=end)) == [
        (key, picture, mask) for key, picture, mask in zip("ab", pictures, drawn, strict=True)
    ]


def test_a_picture_is_never_its_own_mask(tmp_path):
    write_picture(tmp_path / "i/a.png", np.random.default_rng(0), (8, 8))
    with pytest.raises(InputError, match="a mask beside it, got 'a.png' as its own mask. Give --mask-end"):
        pairs_of(tmp_path, masks="i")


def convention_and_looks(tmp_path, numbers, **entries):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: np.array(numbers))
    own = folder_set({"images": "i", "masks": "m", "vocabulary": "cat; dog", **entries}, tmp_path)
    return own.convention, summarise(find_pairs(own.layout, Path()), own.convention)


CAT = "cat | background: wall"
DOUBTFUL = {
    "0 and 255": ([0, 255], {}, "only 0 and 255.*give --first 255"),
    "0 and 255 of one class": ([0, 255], {"vocabulary": "cat;"}, "If 255 is 'cat'"),
    "0 and 255 with a background": ([0, 255], {"vocabulary": CAT, "first": 1, "background": 0}, "only 0 and 255"),
    "nothing but 255": ([255], {}, "nothing but 255, which does not count"),
    "nothing but ignored numbers": ([7, 9], {"ignored": [7, 8, 9]}, "nothing but 7, 9"),
    "nothing but zeros that do not count": ([0], {"first": 1, "ignored": 0}, "nothing but 0,"),
    "numbers of no class": ([0, 40], {}, "none of 3 that were opened. The first, 'a': mask: expected 0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize(("numbers", "entries", "said"), DOUBTFUL.values(), ids=DOUBTFUL)
def test_masks_that_give_no_figures_or_wrong_ones_are_refused(tmp_path, numbers, entries, said):
    convention, looks = convention_and_looks(tmp_path, numbers, **entries)
    with pytest.raises(InputError, match=said):
        expect_usable(looks, convention, whole=True)


@pytest.mark.parametrize(
    ("numbers", "entries"),
    [
        ([0, 255], {"ignored": [255]}),  # explicit, so intended
        ([0, 255], {"vocabulary": CAT, "first": 255, "background": 0}),
        ([0, 255], {"vocabulary": CAT, "first": 255, "background": 0, "ignored": []}),
        ([0, 1, 255], {}),
        ([0], {}),
        ([3, 7], {"vocabulary": {3: "cat", 7: "dog"}}),
    ],
)
def test_masks_that_are_meant_so_pass(tmp_path, numbers, entries):
    convention, looks = convention_and_looks(tmp_path, numbers, **entries)
    expect_usable(looks, convention, whole=True)


@pytest.mark.parametrize("by", ["YAML", "arguments"])
def test_masks_that_begin_with_1_need_a_word_about_it(tmp_path, capsys, monkeypatch, by):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: np.array([1, 2, 255]))
    write_mask(tmp_path / "m/c.png", np.full((70, 70), 3))
    (tmp_path / "x.yaml").write_text("images: i\nmasks: m\nvocabulary: [cat, dog, cow]\n")
    folders = ("--images", tmp_path / "i", "--masks", tmp_path / "m", "--vocabulary", "cat; dog; cow")
    line = ("--setting", tmp_path / "x.yaml") if by == "YAML" else folders
    loads = parser._load
    monkeypatch.setattr(parser, "_load", None)
    evaluate(tmp_path, *line, code=2)
    said = capsys.readouterr().err
    assert "masks: expected numbers 0 to 2, got 1 to 3 and no 0. Give --first 1 (in YAML: first: 1); if" in said
    assert len(said.splitlines()) == 1
    assert cli.main(["evaluate", "--check", *map(str, line)]) == 0
    assert "an evaluation would fail: masks: expected numbers 0 to 2, got 1 to 3" in capsys.readouterr().out
    monkeypatch.setattr(parser, "_load", loads)
    assert evaluate(tmp_path, *folders, "--first", 1)["pictures"]["problems"] == []
    evaluate(tmp_path, *folders, "--first", 0, output="out/meant.json", code=2)
    assert [problem["key"] for problem in report_of(tmp_path, "out/meant.json")["pictures"]["problems"]] == ["c"]


SHIFTED = {
    "a single class": ([1], {"vocabulary": "cat;"}, "expected numbers 0 to 0, got 1 "),
    "with a gap": ([1, 3], {"vocabulary": "cat; dog; cow"}, "expected numbers 0 to 2, got 1, 3 "),
    "words of a benchmark": ([1, 20, 255], {"vocabulary": "voc20"}, "expected numbers 0 to 19, got 1, 20 "),
    "other numbers ignored": ([1, 2, 9], {"ignored": [9]}, "expected numbers 0 to 1, got 1 to 2 "),
}


@pytest.mark.parametrize(("numbers", "entries", "said"), SHIFTED.values(), ids=SHIFTED)
def test_numbers_that_are_all_one_too_large_are_recognised(tmp_path, numbers, entries, said):
    convention, looks = convention_and_looks(tmp_path, numbers, **entries)
    with pytest.raises(InputError, match=f"{said}.*Give --first 1"):
        expect_usable(looks, convention, whole=False)


NOT_SHIFTED = {
    "the first class is there": ([0, 1, 2], {}),
    "no number is too large": ([1], {}),
    "the first number is given": ([1, 2], {"first": 0}),
    "each class has its number": ([7, 2], {"vocabulary": {0: "cat", 7: "dog"}}),
    "255 does not count": ([1, 254, 255], {"vocabulary": [f"word {n}" for n in range(255)]}),
    "two numbers too many": ([1, 2, 3], {}),
}


@pytest.mark.parametrize(("numbers", "entries"), NOT_SHIFTED.values(), ids=NOT_SHIFTED)
def test_what_may_be_right_is_not_taken_for_shifted(tmp_path, numbers, entries):
    convention, looks = convention_and_looks(tmp_path, numbers, **entries)
    expect_usable(one_odd_of(10, looks[0], convention), convention, whole=True)


def one_odd_of(count, odd, convention):
    """Return summaries of a larger set: one as given, the others with the known ones of its numbers alone."""
    known = convention.numbers.known(convention.classes)
    usual = replace(odd, numbers=tuple(number for number in odd.numbers if number in known), problem=None)
    return [odd, *[usual] * (count - 1)]


OTHERS = "cat; dog; cow | background: wall"
MISREAD = {
    "0 for other": (
        [0, 1, 2, 3], {"vocabulary": OTHERS},
        r"numbers 0 to 2, one for each of 3 words, got 0 to 3\. If 0 is none of the words, "
        r"give --first 1 --background 0 \(in YAML: first: 1, background: \[0\]\); if 0 is 'cat', give --first 0\.",
    ),
    "0 for other, without background words": (
        [0, 1, 2, 255], {},
        r"give --first 1 --ignored 0 255 \(in YAML: first: 1, ignored: \[0, 255\]; "
        r"with background words, --background 0 counts it\);",
    ),
    "several numbers too many": ([0, 2, 3], {}, "numbers 0 to 1, got also 2 to 3 in 2 of 3.*or --ignored 2 3 255 if"),
    "many numbers too many": ([0, *range(2, 40)], {}, r"Give a word for each number\.$"),
    "0 beside a given first": ([0, 1, 2], {"first": 1}, "numbers 1 to 2, got also 0 in 2 of 3.*or --ignored 0 255 if"),
    "a number beside those of classes": ([7, 2], {"vocabulary": {0: "cat", 7: "dog"}}, "numbers 0, 7, got also 2 in 2"),
}  # fmt: skip


@pytest.mark.parametrize(("numbers", "entries", "said"), MISREAD.values(), ids=MISREAD)
def test_masks_with_numbers_that_the_words_do_not_explain_are_refused(tmp_path, numbers, entries, said):
    convention, looks = convention_and_looks(tmp_path, numbers, **entries)
    with pytest.raises(InputError, match=said):
        expect_usable([one_odd_of(2, looks[0], convention)[1], *looks[1:]], convention, whole=True)


def test_a_class_too_many_is_no_odd_picture_once_two_masks_hold_it(tmp_path):
    convention, (odd, *_) = convention_and_looks(tmp_path, [0, 1, 2])
    rest = one_odd_of(100, odd, convention)
    expect_usable(rest, convention, whole=False)
    for looks in ([odd, *rest], rest[:9]):
        with pytest.raises(InputError, match="give --first 1 --ignored 0 255"):
            expect_usable(looks, convention, whole=False)


def test_numbers_of_another_layout_end_a_run_before_a_model_is_loaded(tmp_path, capsys, monkeypatch):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: np.array([0, 1, 3]))
    write_mask(tmp_path / "m/c.png", np.ones((70, 70)))
    folders = ("--images", tmp_path / "i", "--masks", tmp_path / "m", "--vocabulary", OTHERS)
    loads = parser._load
    monkeypatch.setattr(parser, "_load", None)
    evaluate(tmp_path, *folders, code=2)
    said = capsys.readouterr().err
    assert "If 0 is none of the words, give --first 1 --background 0" in said
    assert len(said.splitlines()) == 1
    assert cli.main(["evaluate", "--check", *map(str, folders)]) == 0
    assert "an evaluation would fail: masks: expected numbers 0 to 2, one for each of 3" in capsys.readouterr().out
    monkeypatch.setattr(parser, "_load", loads)
    right = evaluate(tmp_path, *folders, "--first", 1, "--background", 0)
    assert right["pictures"]["problems"] == []
    assert {row["name"] for row in right["classes"] if row["true"]} == {"cat", "cow", "background"}


def test_check_asks_about_a_first_class_that_no_mask_has(tmp_path, capsys):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: np.array([1]))
    line = ["evaluate", "--check", "--images", str(tmp_path / "i"), "--masks", str(tmp_path / "m")]
    assert cli.main([*line, "--vocabulary", "cat; dog"]) == 0
    out = capsys.readouterr().out
    assert "no 0 ('cat'): if the first class has number 1, give --first 1" in out
    assert "would fail" not in out
    assert cli.main([*line, "--vocabulary", "cat; dog", "--first", "0"]) == 0
    assert "no 0" not in capsys.readouterr().out


def test_masks_of_0_and_255_get_right_figures_once_it_is_said_what_255_is(tmp_path, nano):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: np.array([0, 255]))
    folders = ("--images", tmp_path / "i", "--masks", tmp_path / "m", "--vocabulary", "cat | background: wall, floor")
    report = evaluate(tmp_path, *folders, "--first", 255, "--background", 0)
    hit = 0
    for name in "abc":
        labels = nano.segment(nano.encode(tmp_path / f"i/{name}.jpg"), folders[-1], templates="simple7").labels
        hit += int((labels == (np.array(Image.open(tmp_path / f"m/{name}.png")) == 0)).sum())
    true = sum(row["true"] for row in report["classes"])
    assert true == 60 * 80 + 90 * 64 + 70 * 70, "no pixel is left out"
    assert report["figures"]["pAcc"]["value"] == pytest.approx(100 * hit / true)


VOC = ("VOC2012/images_detectron2/val", "VOC2012/annotations_detectron2/val")
ADE = "ADEChallengeData2016"
CONTEXT = ("pcontext/val/image", "pcontext/val/label")
COCO = ("coco/val2017", "coco/stuffthingmaps_detectron2/val2017")
RAW_COCO = ("coco/val2017", "coco/stuffthingmaps/val2017")
PREPARED_ADE = (f"{ADE}/images/validation", f"{ADE}/annotations_detectron2/validation")
ELSEWHERE = {
    "raw COCO-Stuff": ("coco171", COCO, [0, 12, 181, 255], "as published"),
    "raw COCO-Stuff for objects": ("coco80", COCO, [0, 89, 175], "as published"),
    "converted COCO-Stuff as raw": ("coco171", RAW_COCO, [0, 11, 170], "for detectron2"),
    "raw VOC": ("voc20", VOC, [0, 20, 255], "VOC2012, SegmentationClass"),
    "raw ADE": ("ade150", PREPARED_ADE, [0, 150], ADE),
    "raw PASCAL Context": ("pc59", CONTEXT, [0, 59], "SegmentationClassContext"),
}


@pytest.mark.parametrize(("setting", "folders", "numbers", "named"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_masks_of_another_layout_in_the_wrong_folder_are_recognised(
    tmp_path, monkeypatch, capsys, setting, folders, numbers, named
):
    write_dataset(tmp_path / folders[0], tmp_path / folders[1], lambda rng: np.array(numbers))
    monkeypatch.setattr(parser, "_load", None)
    evaluate(tmp_path, "--setting", setting, "--data", tmp_path, code=2)
    said = capsys.readouterr().err
    assert "expected numbers of this layout, got those of" in said
    assert named in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "numbers", "named"),
    [
        ("coco171", [0, 12, 181], "COCO, stuffthingmaps as published"),
        ("voc20", [0, 20, 255], "VOC2012, SegmentationClass"),
        ("ade150", [0, 1, 150], "ADEChallengeData2016"),
    ],
)
def test_folders_with_a_benchmark_s_words_may_not_hold_its_other_numbers(tmp_path, words, numbers, named):
    convention, looks = convention_and_looks(tmp_path, numbers, vocabulary=words)
    looks[0] = replace(looks[0], problem=None)  # a single mask may have known numbers only
    with pytest.raises(InputError, match=f"got those of {named}"):
        expect_usable(looks, convention, whole=True)


@pytest.mark.parametrize("masks", ["coco/stuffthingmaps", "coco_stuff164k/annotations"])
@pytest.mark.parametrize(
    ("setting", "meaning"),
    [
        ("coco171", {0: 0, 12: 11, 89: 79, 91: 80, 181: 170, 255: -1}),
        ("coco80", {0: 0, 12: 11, 89: 79, 91: 80, 181: 80, 255: -1}),
    ],
)
def test_coco_stuff_is_read_as_it_is_published(tmp_path, setting, meaning, masks):
    from tests.evaluation.test_data import loaded

    images = "coco/val2017" if masks.startswith("coco/") else "coco_stuff164k/images/val2017"
    write_dataset(tmp_path / images, tmp_path / masks / "val2017", lambda rng: np.array(list(meaning)))
    for sample in loaded(setting, tmp_path):
        for number, label in meaning.items():
            assert (sample.ground_truth[sample.raw == number] == label).all()
    assert len(RAW_STUFF.single) == 171
    assert max(RAW_STUFF.single.values()) == 170


GREYS = {
    "16 bits": np.array([[0, 65535], [32768, 257]], np.uint16),
    "32 bits": np.array([[0, 65535], [32768, 257]], np.int32),
    "floats": np.array([[0, 1], [0.5, 1 / 255]], np.float32),
    "12 bits": np.array([[0, 4095], [2048, 1024]], np.uint16),
}


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\n%%EOF\n"


@pytest.mark.parametrize("read", [read_image, read_stored, read_turned])
def test_a_program_in_the_place_of_a_picture_is_not_run(tmp_path, read):
    path = tmp_path / "x.jpg"
    path.write_bytes(EPS)
    with pytest.raises(InputError, match="expected a JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF or HEIC picture"):
        read(path)


def test_a_program_in_the_place_of_a_picture_is_not_opened_by_the_check_of_masks(tmp_path, monkeypatch):
    write_dataset(tmp_path / "images", tmp_path / "masks", lambda rng: np.arange(2))
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(EPS)
    opened = []
    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", lambda self: opened.append(self))
    data = folder_set({"images": "images", "masks": "masks", "vocabulary": "cat; dog"}, tmp_path)
    assert [one.problem for one in summarise(data.pairs(), None)] == [None, None, None]
    assert opened == []


@pytest.mark.parametrize("read", [read_image, read_stored, read_turned])
@pytest.mark.parametrize("values", GREYS.values(), ids=GREYS)
def test_deep_greys_look_alike_under_every_protocol(tmp_path, values, read):
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    np.testing.assert_array_equal(read(path), read_image(path))
    assert len(np.unique(read(path))) == 4, "white and almost white are not one"


def test_one_picture_has_no_interval(tmp_path, capsys):
    root = voc_prepared(tmp_path)
    report = evaluate(tmp_path, "--setting", "voc20", "--data", root, "--limit", 1)
    assert {entry["low"] for entry in report["figures"].values()} == {None}
    assert "[no interval]" in capsys.readouterr().out
    assert "no interval" in (tmp_path / "out/report.md").read_text()


@pytest.mark.parametrize(("counted", "some"), [([0, 0, 0], False), ([5, 0, 0], False), ([5, 3, 0], True), ([9], False)])
def test_an_interval_needs_two_pictures_with_pixels_that_count(counted, some):
    pixels = np.array(counted, float)[:, None]
    counts = ClassCounts(pixels / 2, pixels, pixels)
    assert bool(intervals(counts, "paper", {})) == some


def test_a_growing_limit_keeps_what_is_known_and_equals_a_run_from_the_start(tmp_path):
    names = tuple("abcdefg")
    for seed, name in enumerate(names):
        write_picture(tmp_path / f"i/{name}.jpg", np.random.default_rng(seed), (40, 50))
        write_mask(tmp_path / f"m/{name}.png", np.arange(2000).reshape(40, 50) % 2)
    line = (
        "--images",
        tmp_path / "i",
        "--masks",
        tmp_path / "m",
        "--vocabulary",
        "cat; dog",
        "--batch",
        2,
        "--short-side",
        64,
    )
    whole = evaluate(tmp_path, *line, output="whole/r.json")
    paces = []
    for limit in (3, 5, 7, 2, 7):
        report = evaluate(tmp_path, *line, "--limit", limit)
        paces.append((report["run"]["images"], report["run"]["resumed"]))
    # With an odd limit the last picture is alone in its batch; it is computed again in its new batch.
    assert paces == [(3, 0), (3, 2), (3, 4), (0, 2), (0, 7)]
    for part in (whole, report):
        part.pop("run")
    assert report == whole


def test_other_pictures_are_not_a_growing_limit(tmp_path, capsys):
    line = ("--images", tmp_path / "i", "--masks", tmp_path / "m", "--vocabulary", "cat; dog", "--short-side", 64)
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    evaluate(tmp_path, *line, "--limit", 1)
    (tmp_path / "i/a.jpg").rename(tmp_path / "i/z.jpg")
    (tmp_path / "m/a.png").rename(tmp_path / "m/z.png")
    evaluate(tmp_path, *line, "--limit", 2, code=2)
    assert "a run with the same pictures, got others: their names differ" in capsys.readouterr().err


def test_records_of_another_batch_are_left_out(tmp_path):
    stamps = dict.fromkeys("abcdef", (1,))
    with Ledger(part_path(tmp_path, 0), {"batch": 4, "pictures": 5}) as ledger:
        ledger.append([Record(key, (1,), left_out="x") for key in "abcde"])
    assert list(read_ledgers(tmp_path, {"batch": 4, "pictures": 6}, stamps)) == list("abcd")
    assert list(read_ledgers(tmp_path, {"batch": 4, "pictures": 5}, dict.fromkeys("abcde", (1,)))) == list("abcde")
    assert list(read_ledgers(tmp_path, {"batch": 4, "pictures": 3}, dict.fromkeys("abc", (1,)))) == []


def test_check_opens_masks_of_a_setting(tmp_path, capsys):
    root = voc_prepared(tmp_path)
    Image.new("RGB", (64, 90)).save(root / VOC[1] / "b.png")
    assert cli.main(["evaluate", "--check", "--setting", "voc20", "--data", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2 masks opened: palette PNG of 8 bits; 60 x 80 to 70 x 70 (height x width)" in lines[2]
    assert "numbers: classes" in lines[3]
    assert "not counted 255" in lines[3]
    assert "not usable, b: file 'b.png'" in lines[4]


@pytest.mark.parametrize("by", ["YAML", "arguments"])
def test_check_takes_descriptions_and_folders(tmp_path, capsys, by):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: np.array([0, 1, 77]))
    write_mask(tmp_path / "m/c.png", np.zeros((4, 4)))
    (tmp_path / "x.yaml").write_text("images: i\nmasks: m\nvocabulary: [cat, dog]\n")
    folders = ["--images", str(tmp_path / "i"), "--masks", str(tmp_path / "m"), "--vocabulary", "cat; dog"]
    line = ["--setting", str(tmp_path / "x.yaml")] if by == "YAML" else folders
    assert cli.main(["evaluate", "--check", *line]) == 0
    out = capsys.readouterr().out
    assert "3 pictures, complete" in out
    assert "numbers: classes 0 to 1; unknown 77" in out
    assert "not usable, a: mask: expected 0 to 1, 255 (ignored), got also 77" in out
    assert "not usable, c: expected the picture's size 70 x 70, got 4 x 4" in out
    assert "an evaluation would fail: masks: expected masks that fit their pictures, got none of 3" in out


def test_check_says_what_stands_in_masks_before_there_are_words_for_it(tmp_path, capsys):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: np.array([0, 1, 2, 77]))
    assert cli.main(["evaluate", "--check", "--images", str(tmp_path / "i"), "--masks", str(tmp_path / "m")]) == 0
    assert "numbers: 0 to 2, 77" in capsys.readouterr().out
    assert cli.main(["evaluate", "--check", "--images", str(tmp_path / "i")]) == 2
    assert "masks: expected a folder, got nothing" in capsys.readouterr().err


def test_the_bundled_examples_need_no_check(capsys):
    assert cli.main(["evaluate", "--check", "--setting", "examples"]) == 2
    assert "They are part of the program: leave out --check." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("left_out", "more", "said"),
    [
        ("masks", (), "masks: expected a folder, got nothing. Give --masks DIR."),
        ("masks", ("--check",), "masks: expected a folder, got nothing. Give --masks DIR."),
        ("images", (), "images: expected a folder, got nothing. Give --images DIR."),
        ("vocabulary", (), "vocabulary: expected classes, got nothing. Give --vocabulary WORDS."),
    ],
)
def test_a_missing_argument_about_folders_is_named_as_an_argument(tmp_path, capsys, left_out, more, said):
    given = {"images": tmp_path, "masks": tmp_path, "vocabulary": "cat; dog"}
    line = [part for name, value in given.items() if name != left_out for part in (f"--{name}", value)]
    evaluate(tmp_path, *line, *more, code=2)
    assert capsys.readouterr().err == f"cliptrase: {said}\n"


def test_a_missing_entry_of_a_file_is_named_and_no_entry_is_listed_twice(tmp_path):
    (tmp_path / "mine.yaml").write_text("images: i\nvocabulary: cat\n")
    with pytest.raises(InputError, match=r"got no masks\. Add the entry 'masks'\.") as caught:
        read_folder_set(tmp_path / "mine.yaml")
    listed = str(caught.value).partition("entries ")[2].partition(", got")[0].replace(" and perhaps", ",").split(", ")
    assert listed[:3] == ["images", "masks", "vocabulary"]
    assert len(listed) == len(set(listed)) == 11


def test_lists_of_one_entry_stand_for_it(tmp_path):
    for folder in ("i", "m"):
        (tmp_path / folder).mkdir()
    text = "images: [i]\nmasks: [m]\nfirst: [1]\nbackground: [0]\nmask_end: [_m.png]\nvocabulary: '" + CAT + "'"
    own = described(tmp_path, text.encode())
    assert (own.numbers.first, own.numbers.background, own.layout.mask_end) == (1, (0,), "_m.png")


def test_check_counts_what_is_missing_and_opens_no_more_than_it_says(tmp_path):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    for place in range(MOST + 20):
        (tmp_path / f"i/x{place:03}.jpg").write_bytes(b"x")
    own = folder_set({"images": "i", "masks": "m", "vocabulary": "cat; dog"}, tmp_path)
    lines = list(check_folders(own))
    assert f"{MOST + 23} pictures, 0 pictures and {MOST + 20} masks are missing" in lines[1]
    assert len(summarise(find_pairs(own.layout, Path()), own.convention)) == MOST


@pytest.mark.parametrize(
    "name", ["report.json", "report.md", "report.html", "report.best.png", "report.median.png", "report.worst.png"]
)
def test_a_report_never_replaces_a_file_of_another_program(tmp_path, monkeypatch, capsys, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(b"my notes on cliptrase-lab")
    monkeypatch.setattr(parser, "_load", None)
    evaluate(tmp_path, "--setting", "examples", code=2)
    assert f"output '{name}'" in capsys.readouterr().err
    assert (tmp_path / "out" / name).read_bytes() == b"my notes on cliptrase-lab"


def test_a_report_replaces_an_earlier_one(tmp_path):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    folders = ("--images", tmp_path / "i", "--masks", tmp_path / "m", "--vocabulary", "cat; dog")
    for limit in (1, 2):
        report = evaluate(tmp_path, *folders, "--short-side", 64, "--limit", limit)
        assert report["pictures"]["listed"] == limit


@pytest.mark.parametrize(
    ("stopped_at", "fresh", "said"),
    [
        (2, (), ["note: the same command goes on from here."]),
        (2, ("--fresh",), ["note: the same command without --fresh goes on from here."]),
        (0, (), []),
    ],
)
def test_a_run_that_is_stopped_says_how_to_go_on_if_it_has_records(
    tmp_path, monkeypatch, capsys, stopped_at, fresh, said
):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    load = Folders.load

    def stopping(self, index):
        if index == stopped_at:
            raise KeyboardInterrupt
        return load(self, index)

    line = ("--images", tmp_path / "i", "--masks", tmp_path / "m", "--vocabulary", "cat; dog", "--batch", 1)
    with monkeypatch.context() as stopped:
        stopped.setattr(Folders, "load", stopping)
        evaluate(tmp_path, *line, *fresh, code=1)
    lines = capsys.readouterr().err.splitlines()
    assert [text for text in lines if "goes on" in text] == said
    assert lines[-1] == "cliptrase: stopped"
    assert bool(evaluate(tmp_path, *line)["run"]["resumed"]) == bool(said)


def test_a_picture_too_large_for_the_memory_is_a_problem_of_its_own(tmp_path, monkeypatch, nano):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    encode = nano.encode_batch

    def small(images, *args, **options):
        if any(image.shape[:2] == (90, 64) for image in images):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return encode(images, *args, **options)

    monkeypatch.setattr(nano, "encode_batch", small)
    folders = ("--images", tmp_path / "i", "--masks", tmp_path / "m", "--vocabulary", "cat; dog")
    evaluate(tmp_path, *folders, code=2)
    report = report_of(tmp_path)
    assert report["pictures"]["scored"] == 2
    (problem,) = report["pictures"]["problems"]
    assert problem["key"] == "b"
    assert "memory of this computer" in problem["why"]


def test_a_picture_that_would_take_more_memory_than_is_left_is_a_problem_of_its_own(tmp_path, monkeypatch):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    write_picture(tmp_path / "i/b.jpg", np.random.default_rng(0), (1000, 1500))
    write_mask(tmp_path / "m/b.png", np.zeros((1000, 1500)))
    monkeypatch.setattr(memory, "available", lambda: 100_000_000)
    folders = ("--images", tmp_path / "i", "--masks", tmp_path / "m", "--vocabulary", "cat; dog", "--short-side", 64)
    evaluate(tmp_path, *folders, code=2)
    report = report_of(tmp_path)
    assert [problem["key"] for problem in report["pictures"]["problems"]] == ["b"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--eps", "-1"), "eps: expected"),
        (("--min-samples", "0"), "min_samples: expected"),
        (("--short-side", "3"), "short side: expected"),
        (("--short-side", "9000"), "at most 16384 patches"),
        (("--eps", "inf"), "eps: expected"),
    ],
)
def test_a_wrong_option_ends_an_evaluation_before_the_first_picture(tmp_path, capsys, option, said):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: TWO)
    folders = ("--images", tmp_path / "i", "--masks", tmp_path / "m", "--vocabulary", "cat; dog")
    evaluate(tmp_path, *folders, *option, code=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "out/report.records").exists()


def test_only_a_lack_of_memory_is_explained_as_one():
    with pytest.raises(RuntimeError, match="illegal memory access"), memory_explained("picture"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_layouts_of_a_setting_have_titles_of_their_own():
    for setting in SETTINGS.values():
        titles = [layout.title for layout in setting.layouts]
        assert len(set(titles)) == len(titles)


def test_what_is_read_of_a_folder_set_is_what_stands_in_its_masks(tmp_path):
    write_dataset(tmp_path / "i", tmp_path / "m", lambda rng: np.array([1, 2, 0]))
    own = folder_set(
        {"images": "i", "masks": "m", "vocabulary": ["cat", "dog"], "first": "1", "ignored": "0"}, tmp_path
    )
    sample = Folders(find_pairs(own.layout, Path()), own.numbers, own.words, read_image).load(0)
    np.testing.assert_array_equal(sample.ground_truth, sample.raw - 1)
