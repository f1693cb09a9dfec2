"""Words as people type and paste them: other scripts, lists of programs, marks, tables, quotes, other separators, words
that only look like these, notes on ambiguous input, files of the command line, time."""

# ruff: noqa: E501, RUF001

import json
import time

import pytest
from PIL import Image

from cliptrase_core import cli
from cliptrase_core.cli.arguments import words_of_argument
from cliptrase_core.errors import InputError
from cliptrase_core.text.vocabulary import parse_vocabulary

PETS = [("cat",), ("dog",), ("grass",)]
KITTENS = [("cat", "kitten"), ("dog",)]


def groups(text):
    return [group.prompts for group in parse_vocabulary(text).classes]


@pytest.mark.parametrize(
    "text",
    ["猫，狗，草", "猫、狗、草", "猫；狗；草", "猫。狗。草。", "猫 狗 草", "猫/狗/草", "猫\uff0f狗\uff0f草", "猫・狗・草", "猫\u3000狗\u3000草", "猫\uff5c狗\uff5c草", "「猫」「狗」「草」", "1、猫\n2、狗\n3、草", "①猫\n②狗\n③草",
     "１．猫\n２．狗\n３．草", "一 猫，狗，草。"[2:], "猫﹐狗﹐草", "『猫』、『狗』、『草』"],
)  # fmt: skip
def test_chinese_and_japanese_lists(text):
    assert groups(text) == [("猫",), ("狗",), ("草",)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("قط؛ كلب", ["قط", "كلب"]),
        ("قط، كلب، عشب", ["قط", "كلب", "عشب"]),
        ("گربه؛ سگ", ["گربه", "سگ"]),
        ("بلی۔ کتا۔", ["بلی", "کتا"]),
        ("ድመት፣ ውሻ", ["ድመት", "ውሻ"]),
        ("կատու՝ շուն", ["կատու", "շուն"]),
        ("बिल्ली। कुत्ता।", ["बिल्ली", "कुत्ता"]),
        ("แมว สุนัข", ["แมว", "สุนัข"]),
        ("γάτα\u037e σκύλος", ["γάτα", "σκύλος"]),
        ("кошка / собака", ["кошка", "собака"]),
        ("красный трактор, небо", ["красный трактор", "небо"]),
        ("빨간 자동차、 하늘", ["빨간 자동차", "하늘"]),
    ],
)
def test_separators_of_other_scripts(text, expected):
    assert [name for name, *_ in groups(text)] == expected


def test_background_is_named_with_the_colon_of_other_scripts_too():
    vocabulary = parse_vocabulary("猫，狗\uff5cbackground\uff1a墙，地板")
    assert vocabulary.background == ("墙", "地板")


@pytest.mark.parametrize(
    "text",
    [
        "cat . dog . grass .", "cat. dog. grass.", "cat. dog. grass", "cat / dog / grass", "cat/dog/grass", "cat\tdog\tgrass", "cat | dog | grass",
        "cat • dog • grass", "cat · dog · grass", "cat - dog - grass", "cat – dog – grass", "cat + dog + grass", "#cat #dog #grass",
        r"cat\ndog\ngrass", r"cat\r\ndog\r\ngrass", r"cat\tdog\tgrass", r"cat\\ndog\\ngrass", "cat<br>dog<br/>grass",
        "cat, dog, grass.", "cat, dog, and grass", "cat, dog, grass, etc.", "cat, dog, grass, ...", "cat;\ndog;\ngrass;", "cat,\ndog,\ngrass,",
    ],
)  # fmt: skip
def test_separators_that_are_not_the_grammar_s(text):
    assert groups(text) == PETS


@pytest.mark.parametrize(
    "text",
    [
        '["cat", "dog", "grass"]', "['cat', 'dog', 'grass']", "('cat', 'dog', 'grass',)", "{'cat', 'dog', 'grass'}", "[cat, dog, grass]",
        "(cat, dog, grass)", "['cat' 'dog' 'grass']", "['cat'\n 'dog'\n 'grass']", "classes = ['cat', 'dog', 'grass']", 'c("cat", "dog", "grass")',
        'const names: string[] = ["cat", "dog", "grass"];', "np.array(['cat', 'dog', 'grass'])", "names: ['cat', 'dog', 'grass']",
        '{"0": "cat", "1": "dog", "2": "grass"}', "{0: 'cat', 1: 'dog', 2: 'grass'}", "{'cat': 0, 'dog': 1, 'grass': 2}",
        '{"classes": ["cat", "dog", "grass"]}', '[{"id": 2, "name": "cat"}, {"id": 5, "name": "dog"}, {"name": "grass"}]',
        '{"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "grass"}], "images": []}',
        "nc: 3\nnames:\n  0: cat\n  1: dog\n  2: grass\n", "names:\n- cat\n- dog\n- 'grass'\nnc: 3", "path: x\nnames: [cat, dog, grass]\n",
        "item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  id: 2\n  name: 'dog'\n}\nitem { id: 3 name: 'grass' }",
        "item { name: '/m/01' id: 1 display_name: 'cat' } item { name: '/m/02' id: 2 display_name: 'dog' } item { display_name: 'grass' }",
        '{"0": ["n02123045", "cat"], "1": ["n02099601", "dog"], "2": ["n12102133", "grass"]}',
        '["cat",\n "dog",\n "grass",\n]',
    ],
)  # fmt: skip
def test_lists_of_programs_and_files(text):
    assert groups(text) == PETS


@pytest.mark.parametrize(
    "text",
    [
        '[["cat", "kitten"], ["dog"]]', '{"cat": ["kitten"], "dog": []}', "{'cat': ['kitten'], 'dog': []}", '["cat, kitten", "dog"]',
        '"cat, kitten", "dog"', '"cat, kitten"; dog', "'cat, kitten', 'dog'", '"cat, kitten"\n"dog"', "“cat, kitten”, “dog”", "«cat, kitten»; «dog»",
        "cat\tkitten\ndog\t", "id\tname\tsynonyms\n1\tcat\tkitten\n2\tdog\t", '[{"name": "cat", "synonyms": ["kitten"]}, {"name": "dog"}]',
        "1. cat, kitten\n2. dog", "- cat, kitten\n- dog", "0: cat, kitten\n1: dog", '"cat, kitten; dog"',
    ],
)  # fmt: skip
def test_synonyms_in_every_layout(text):
    assert groups(text) == KITTENS


@pytest.mark.parametrize(
    "text",
    [
        "1. cat\n2. dog\n3. grass", "1) cat\n2) dog\n3) grass", "(1) cat\n(2) dog\n(3) grass", "[1] cat\n[2] dog\n[3] grass", "1 - cat\n2 - dog\n3 - grass",
        "0 cat\n1 dog\n2 grass", "0: cat\n1: dog\n2: grass", "7: cat\n8: dog\n20: grass", "1. cat 2. dog 3. grass", "1) cat, 2) dog, 3) grass",
        "a) cat\nb) dog\nc) grass", "- cat\n- dog\n- grass", "* cat\n\n* dog\n\n* grass", "• cat\n• dog\n• grass", "-cat\n-dog\n-grass",
        "- [ ] cat\n- [x] dog\n- [ ] grass", "→ cat\n→ dog\n→ grass".replace("→", "►"), "cat 0\ndog 1\ngrass 2", "cat: 1\ndog: 2\ngrass: 3",
        "id,name\n1,cat\n2,dog\n3,grass", "1,cat\n2,dog\n3,grass", "cat,128,0,0\ndog,0,128,0\ngrass,0,0,128", "cat,#ff0000\ndog,#00ff00\ngrass,#0000ff",
        "Idx\tRatio\tName\n1\t0.15\tcat\n2\t0.1\tdog\n3\t0.09\tgrass", "| id | name |\n|----|------|\n| 1 | cat |\n| 2 | dog |\n| 3 | grass |",
        "name,supercategory\ncat,animal\ndog,animal\ngrass,plant", "# label:color_rgb:parts:actions\ncat:128,0,0::\ndog:0,128,0::\ngrass:0,0,128::",
        "// my classes\ncat\ndog\ngrass", "* cat * dog * grass",
    ],
)  # fmt: skip
def test_marks_numbers_and_tables_go(text):
    assert groups(text) == PETS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("court 1, pitch 2", ["court 1", "pitch 2"]),
        ("court 1, pitch 2 | background: grass", ["court 1", "pitch 2"]),
        ("1 person; 2 people", ["1 person", "2 people"]),
        ("0 cats, 1 cat", ["0 cats", "1 cat"]),
    ],
)
def test_bare_numbers_in_one_line_belong_to_the_words(text, expected):
    assert [names[0] for names in groups(text)] == expected


@pytest.mark.parametrize(
    "word",
    [
        "tic-tac-toe", "24/7 shop", "St. Bernard", "rock'n'roll", "U.S. flag", "AC/DC", "and/or gate", "I/O port", "Dr. Pepper can", "No. 7",
        "Mrs. Doubtfire", "Washington D.C.", "J. R. R. Tolkien", "Mercedes-Benz", "C++", "R&B", "salt & pepper", "'70s car", 'a "big" dog', '12" pipe',
        "dog's bone", "cat (black)", "cat: a pet", "red  car", "1.5 l bottle", "16:9 screen", "2-door car", "3D printer", "e.g. cat", "@home", "50 %",
        "http://example.org/cat", "x = y", "f(x)", "#1 fan", "Ünïcödé dög", "왕 가방", "naïve café", "A+", "O'Neill", "Rs. 10 note", "[sic]",
    ],
)  # fmt: skip
def test_words_that_only_look_like_lists_stay_words(word):
    assert groups(word) == [(" ".join(word.split()),)]
    assert groups(f"{word}; other")[0] == (" ".join(word.split()),)
    assert groups(f"{word}, other")[0] == (" ".join(word.split()),)
    assert groups(f"other\n{word}")[-1] == (" ".join(word.split()),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 euro coin\n2 euro coin", [("1 euro coin",), ("2 euro coin",)]),
        ("2-door car\n4-door car", [("2-door car",), ("4-door car",)]),
        ("7 eleven\n24/7 shop", [("7 eleven",), ("24/7 shop",)]),
        ("3 dogs, 5 cats", [("3 dogs",), ("5 cats",)]),
        ("cat, kitten\ndog, 2", [("cat", "kitten"), ("dog", "2")]),
        ("cat (black), dog (white)", [("cat (black)",), ("dog (white)",)]),
        ("dog's, cat's", [("dog's",), ("cat's",)]),
        ("No. 7, No. 8", [("No. 7",), ("No. 8",)]),
        ("cat, Washington D.C.", [("cat",), ("Washington D.C.",)]),
        ("cat, St. Bernard", [("cat",), ("St. Bernard",)]),
    ],
)
def test_grammar_holds_where_a_mark_is_not_on_every_entry(text, expected):
    assert groups(text) == expected


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("cat . dog", "Read as 2 classes, separated by full stops: cat; dog"),
        ("cat/dog", "Read as 2 classes, separated by /: cat; dog"),
        ("cat\tdog", "separated by tabs"),
        ("a - b - c - d - e - f", "Read as 6 classes, separated by -: a; b; c; d; ..."),
        ("猫 狗", "separated by spaces"),
        ("1. cat\n2. dog", "Numbers in front of words are left out."),
        ("cat 1\ndog 2", "Numbers behind words are left out."),
        ("id,name\n1,cat\n2,dog", "Read as a table of 2 rows"),
        ('"door, double door", wall', "A comma within quotes separates synonyms"),
        ("sofa/couch, dog", '"sofa/couch" is read as one word'),
        ("sofa / couch; dog", '"sofa / couch" is read as one word'),
        ("cat, dog . grass", '"dog . grass" is read as one word'),
        ("cat, dog and bird", '"dog and bird" is read as one word'),
        ("cat, dog,\ngrass, sky", 'Each line is one class: "dog" is a synonym of "cat".'),
        ("# pets\ncat\ndog", "are taken for remarks"),
        (", ".join(f"w{i}" for i in range(14)) + "\ncat", '"w0" has 13 synonyms, all shown under its name'),
    ],
)
def test_what_could_have_been_meant_otherwise_is_said_in_one_line(text, note):
    vocabulary = parse_vocabulary(text)
    assert sum(note in own for own in vocabulary.notes) == 1
    assert not any("\n" in own for own in vocabulary.notes)
    assert parse_vocabulary(vocabulary.text) == vocabulary
    assert not any(note in own for own in parse_vocabulary(vocabulary.text).notes if "synonyms, all" not in own)


@pytest.mark.parametrize("text", ["cat|dog", "cat | wall", "| cat", "cat; dog | sky"])
def test_one_bar_is_refused_for_it_could_mean_either(text):
    with pytest.raises(InputError, match='expected "background:" after |'):
        parse_vocabulary(text)


@pytest.mark.parametrize(
    "unit",
    ["'", '"', '""', "\\", '"\\', "[", "，", ". ", "/", "#a ", "1. ", "a,1\n", "\t", "item {", "names:\n", "“", ",'"],
)
def test_any_text_takes_time_in_proportion(unit):
    parse_vocabulary("warm; up")
    start = time.perf_counter()
    for end in ("", "x", "]"):
        text = (unit * 100_000)[: 99_999 - len(end)] + end
        try:
            parse_vocabulary(text)
        except InputError:
            continue
    assert time.perf_counter() - start < 9  # about 0.5 s on idle cores; quadratic time would be minutes


FILES = {
    "lines.txt": "cat\ndog\ngrass\n",
    "windows.txt": b"\xef\xbb\xbfcat\r\ndog\r\ngrass\r\n",
    "wide.txt": "cat\ndog\ngrass".encode("utf-16"),
    "list.json": json.dumps(["cat", "dog", "grass"]),
    "comma.json": '["cat", "dog", "grass",]',
    "lines.json": "cat\ndog\ngrass\n",
    "ids.txt": "1: cat\n2: dog\n3: grass",
    "labels.csv": "id,name\n0,cat\n1,dog\n2,grass\n",
    "data.yaml": "train: a\nval: b\nnames:\n  0: cat\n  1: dog\n  2: grass\n",
    "map.pbtxt": "item { id: 1 name: 'cat' } item { id: 2 name: 'dog' } item { id: 3 name: 'grass' }",
    "coco.names": "cat\ndog\ngrass\n",
    "words": "cat; dog; grass",
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_people_have_are_read(name, tmp_path, monkeypatch):
    content = FILES[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert groups(words_of_argument(f"@{tmp_path / name}")) == PETS
    assert groups(words_of_argument(str(tmp_path / name))) == PETS
    monkeypatch.chdir(tmp_path)
    assert groups(words_of_argument(f"@{name}")) == PETS
    assert groups(words_of_argument(name)) == (PETS if "." in name else [("words",)])


def test_class_file_of_published_code_keeps_its_synonyms(tmp_path):
    file = tmp_path / "cls_voc20.txt"
    file.write_text("boat, ship\nbus\nperson, person in shirt, person in jeans\n")
    assert groups(words_of_argument(f"@{file}")) == [
        ("boat", "ship"), ("bus",), ("person", "person in shirt", "person in jeans")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words", ["cat; dog", "voc20", "St. Bernard", "a.b; c.txt", "cat\ndog", "no file here.txt, cat", "x" * 5000, ""]
)
def test_words_are_no_files(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words_of_argument(words) == words


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.txt", None, "no such file"),
        ("folder.txt", "folder", "a folder"),
        ("empty.txt", b" \n", "an empty file"),
        ("old.txt", b"caf\xe9\n", "another encoding"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n\x00\x00\xff", "another encoding, or no text"),
        ("zeros.txt", b"a\0b", "no text"),
        ("lfs.txt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        ("cut.json", b'["cat", "dog"', r"JSON that does not parse \(line 1: "),
        ("cut2.json", b'{"names": [\n"cat",\n"dog"}', r"JSON that does not parse \(line 3: "),
        ("huge.txt", b"a\n" * 500_000, "more than 200000 characters"),
    ],
)
@pytest.mark.parametrize("sign", ["@", ""])
def test_files_that_cannot_be_read_are_named_for_what_they_are(name, content, message, sign, tmp_path, monkeypatch):
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        words_of_argument(f"{sign}{name}")
    assert str(tmp_path) not in str(error.value)


def test_command_line_says_what_words_were_taken_for(capsys, tmp_path):
    (tmp_path / "words.txt").write_text("1. cat\n2. dog\n")
    Image.new("RGB", (40, 30), "green").save(tmp_path / "a.png")
    words, output = f"@{tmp_path / 'words.txt'}", str(tmp_path / "out")
    code = cli.main(["segment", str(tmp_path / "a.png"), "--vocabulary", words, "--output", output])
    said = capsys.readouterr().err
    assert code == 0
    assert "note: Numbers in front of words are left out." in said


@pytest.mark.parametrize("mark", ["\u0300", "\u0315\u0300", "\u05b0", "\u064b", "\u0e38", "\u3099"])
def test_a_letter_with_thousands_of_marks_is_refused_at_once(mark):
    start = time.perf_counter()
    with pytest.raises(InputError, match="at most 30 accents and marks"):
        parse_vocabulary("dog; a" + mark * (150_000 // len(mark)))
    assert time.perf_counter() - start < 2  # it once took a minute


@pytest.mark.parametrize("word", ["Việt Nam", "é" * 50, "שָׁלוֹם", "مُحَمَّدٌ", "नमस्ते", "กี่", "z̷̢̧̛", "👩‍🚀"])
def test_marks_as_languages_use_them_are_kept(word):
    assert parse_vocabulary(f"{word}; dog").class_names[0]
