"""`segment` on folders and patterns: names of results, protected files, resuming, options, memory."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cliptrase_core import cli
from cliptrase_core.cli import parser
from cliptrase_core.errors import InputError
from cliptrase_core.io import memory
from cliptrase_core.io.export.formats import ARCHIVE_FORMATS
from cliptrase_core.io.export.loading import load_result
from cliptrase_core.io.export.saving import save
from cliptrase_core.io.files import asset, is_ours, safe_stem
from cliptrase_core.io.image import ReducedImage
from cliptrase_core.io.inputs import find_pictures, result_stems
from cliptrase_core.segmenter import Segmenter
from tests.conftest import DATA

WORDS = ("--vocabulary", "cat; dog")
ALL = ("--formats", ",".join(ARCHIVE_FORMATS))


@pytest.fixture(autouse=True)
def one_model(monkeypatch, nano):
    """Load nano once for all commands of this file."""
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))


@pytest.fixture
def no_model(monkeypatch):
    """Fail the test if a model is loaded."""

    def refuse(cls, *args, **settings):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(refuse))


def run(*arguments):
    return cli.main(["segment", *map(str, arguments)])


def write(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((40, 30)).save(path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def labelme(path: Path) -> None:
    path.write_text(json.dumps({"version": "5.4.1", "shapes": [], "imagePath": "dog.png"}))


FOREIGN = {
    "labelme's JSON": ("dog.json", labelme),
    "a JSON list": ("dog.json", lambda path: path.write_text("[1, 2]")),
    "notes in a JSON's place": ("dog.json", lambda path: path.write_text("not JSON at all")),
    "a folder": ("dog.json", lambda path: path.mkdir()),
    "a link to nowhere": ("dog.json", lambda path: path.symlink_to("gone.json")),
    "labels drawn by hand": ("dog.labels.png", write),
    "an overlay of another program": ("dog.overlay.png", write),
    "arrays of another program": ("dog.npz", lambda path: np.savez(path, labels=np.zeros(3))),
    "an empty file": ("dog.npz", lambda path: path.write_bytes(b"")),
}


@pytest.mark.parametrize(("name", "make"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_another_program_is_never_replaced_and_stops_the_run_before_work(
    tmp_path, capsys, no_model, name, make
):
    write(tmp_path / "cat.png")
    write(tmp_path / "dog.png")
    make(tmp_path / name)
    before = contents(tmp_path)
    assert run(tmp_path / "cat.png", tmp_path / "dog.png", *WORDS, *ALL, "--output", tmp_path) == 2
    assert contents(tmp_path) == before
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert name in said[0]


def test_saving_from_python_replaces_no_foreign_file_either(tmp_path, nano, picture):
    labelme(tmp_path / "dog.json")
    result = nano.segment(nano.encode(picture), "cat; dog")
    said = r"^output 'dog\.json': expected no file of that name, .* Choose another folder, or move that file away\.$"
    with pytest.raises(InputError, match=said):
        save(result, picture, tmp_path, "dog")
    assert os.listdir(tmp_path) == ["dog.json"]


def test_own_results_are_replaced_and_known_by_a_mark_in_each_file(tmp_path):
    out = tmp_path / "out"
    path = write(tmp_path / "dog.png")
    assert run(path, *WORDS, *ALL, "--output", out) == 0
    assert {file.name for file in out.iterdir() if is_ours(file)} == {
        "dog.json", "dog.labels.png", "dog.npz", "dog.overlay.png"
    }  # fmt: skip
    (out / "dog.json").unlink()  # as after an interruption between two files
    assert run(path, "--vocabulary", "tree; sky", "--output", out) == 0
    assert load_result(out / "dog.json").class_names == ("tree", "sky")


def test_the_result_of_another_picture_is_not_lost(tmp_path, capsys, monkeypatch):
    for end in ("png", "bmp"):
        write(tmp_path / f"dog.{end}")
    out = tmp_path / "out"
    assert run(tmp_path / "dog.png", *WORDS, "--output", out) == 0
    before = contents(out)
    monkeypatch.setattr(parser, "_load", None)
    assert run(tmp_path / "dog.bmp", *WORDS, "--output", out) == 2
    assert "the result of 'dog.png'" in capsys.readouterr().err
    assert contents(out) == before


def test_a_picture_of_the_same_name_in_another_folder_takes_no_result_but_an_edited_or_moved_one_does(tmp_path, capsys):
    out = tmp_path / "out"
    for place, folder in enumerate("xy"):
        write(tmp_path / folder / "1.png", place)
    assert run(tmp_path / "x", *WORDS, "--output", out) == 0
    before = contents(out)
    capsys.readouterr()
    assert run(tmp_path / "y", *WORDS, "--output", out) == 2
    assert "the result of '1.png' of another folder" in capsys.readouterr().err
    assert contents(out) == before
    write(tmp_path / "x/1.png", 5)  # edited
    assert run(tmp_path / "x", *WORDS, "--output", out) == 0
    os.rename(tmp_path / "x", tmp_path / "moved")
    assert run(tmp_path / "moved", *WORDS, "--output", out, "--skip-existing") == 0
    assert "1 of 1 picture was done before" in capsys.readouterr().err
    path = out / "1.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["folder_digest"]  # as an older version wrote it
    path.write_text(json.dumps(record), encoding="utf-8")
    assert run(tmp_path / "y", *WORDS, "--output", out) == 0


def test_a_mistyped_name_is_told_so_whatever_lies_in_the_output(tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    assert run(write(tmp_path / "dog.png"), *WORDS, "--output", out) == 0
    before = contents(out)
    monkeypatch.setattr(parser, "_load", None)
    assert run(tmp_path / "dog.pn", *WORDS, "--output", out) == 2
    assert "'dog.pn': expected a file that exists" in capsys.readouterr().err
    assert contents(out) == before


@pytest.mark.parametrize("end", ["patch.png", "before.png", "after.png", "npz"])
def test_heat_maps_replace_their_own_kind_only(tmp_path, capsys, end):
    line = ["inspect", str(write(tmp_path / "dog.png")), "--row", "1", "--column", "1", "--output", str(tmp_path)]
    assert cli.main(line) == 0
    assert cli.main(line) == 0
    (path,) = tmp_path.glob(f"dog.layer*.{end}")
    assert is_ours(path)
    path.write_bytes(b"mine")
    assert cli.main(line) == 2
    assert path.read_bytes() == b"mine"
    assert path.name in capsys.readouterr().err


def test_heat_maps_of_another_head_or_layout_have_their_own_names_and_arrays_say_what_they_are(tmp_path):
    out = tmp_path / "out"
    line = ["inspect", str(write(tmp_path / "dog.png")), "--row", "1", "--column", "1", "--output", str(out)]
    assert cli.main(line) == 0
    (usual,) = out.glob("*.npz")
    before = contents(out)
    assert re.fullmatch(r"dog\.layer\d+\.row1\.column1\.npz", usual.name)
    for more in (["--head", "2"], ["--preset", "paper-224"], ["--short-side", "96"]):
        assert cli.main([*line, *more]) == 0
    after = contents(out)
    assert {name: after[name] for name in before} == before
    layer = usual.name.split(".")[1]
    assert {path.name for path in out.glob("*.npz")} == {
        usual.name,
        f"dog.{layer}.head2.row1.column1.npz",
        f"dog.{layer}.row1.column1.paper-224.npz",
        f"dog.{layer}.row1.column1.side96.npz",
    }
    with np.load(out / f"dog.{layer}.head2.row1.column1.npz", allow_pickle=False) as arrays:
        said = [arrays[name].item() for name in ("layer", "head", "row", "column", "preset")]
    assert said == [int(layer.removeprefix("layer")), 2, 1, 1, "auto"]


NAMES = {
    "one stem, two endings": (["d/dog.jpg", "d/dog.png", "d/cat.png"], ["dog.jpg", "dog.png", "cat"]),
    "case does not tell files apart": (["d/Dog.jpg", "d/dog.png"], ["Dog.jpg", "dog.png"]),
    "one name in two folders": (["june/dog.jpg", "july/dog.jpg"], ["june_dog.jpg", "july_dog.jpg"]),
    "folders of one name": (["a/x/1.tif", "b/x/1.tif"], ["a_x_1.tif", "b_x_1.tif"]),
    "a stem that looks like a name": (["d/a.jpg", "d/a.jpg.tif", "d/a.gif"], ["d_a.jpg", "a.jpg.tif", "a.gif"]),
    "other scripts": (["d/\u732b.jpg", "d/\u732b.webp"], ["\u732b.jpg", "\u732b.webp"]),
}


@pytest.mark.parametrize(("paths", "stems"), NAMES.values(), ids=NAMES)
def test_results_are_called_after_the_picture_whatever_its_place_among_the_others(paths, stems):
    for order in itertools.permutations(range(len(paths))):
        found = result_stems([Path(paths[place]) for place in order])
        assert found == [stems[place] for place in order]


@pytest.mark.parametrize(
    "paths", [["n" * 120 + "1.jpg", "n" * 120 + "2.jpg"], ["a?b.jpg", "a*b.jpg"], ["a:b/c.png", "a_b/c.png"]]
)
def test_names_that_no_file_system_takes_are_told_apart_by_the_path(paths):
    stems = result_stems([Path("/", path) for path in paths])
    assert len(set(stems)) == 2
    assert stems == result_stems([Path("/", path) for path in reversed(paths)])[::-1]
    assert all(safe_stem(stem) == stem for stem in stems)


def names(paths):
    return [path.name for path in paths]


def test_a_folder_stands_for_its_pictures_and_those_below_on_request(tmp_path):
    for name in ("b.JPG", "a.png", ".hidden.png", "below/c.webp", "below/deep/d.tiff", ".cache/e.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    assert names(find_pictures([str(tmp_path)])[0]) == ["a.png", "b.JPG"]
    found, _ = find_pictures([str(tmp_path)], recursive=True)
    assert names(found) == ["a.png", "b.JPG", "c.webp", "d.tiff"]


def test_links_to_folders_are_followed_each_folder_once(tmp_path):
    photos, disk = tmp_path / "photos", tmp_path / "disk"
    for path in (photos / "june/a.png", photos / "july/b.png", disk / "deep/c.png", disk / ".hidden/d.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (photos / "august").symlink_to(disk)
    (photos / "again").symlink_to(photos / "june")  # comes before june, which keeps its own path
    (photos / "june/up").symlink_to(photos)
    (disk / "deep/back").symlink_to(disk)
    (disk / "self").symlink_to(disk / "self")
    found, notes = find_pictures([str(photos)], recursive=True)
    assert [path.relative_to(photos).as_posix() for path in found] == ["august/deep/c.png", "july/b.png", "june/a.png"]
    assert notes == []
    (tmp_path / "link").symlink_to(photos / "june")
    assert names(find_pictures([str(tmp_path / "link")])[0]) == ["a.png"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", ["a.jpg", "b.jpg", "d[1].jpg"]),
        ("?.png", ["c.png"]),
        ("[bc].*", ["b.jpg", "c.png"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "d[1].jpg", "e.jpg"]),
        ("*", ["a.jpg", "b.jpg", "c.png", "d[1].jpg"]),
        ("d[1].jpg", ["d[1].jpg"]),  # a file with exactly this name
    ],
)
def test_a_quoted_pattern_is_looked_up_here(tmp_path, monkeypatch, pattern, found):
    for name in ("a.jpg", "b.jpg", "c.png", "d[1].jpg", "deep/e.jpg", "words.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert names(find_pictures([pattern])[0]) == found


def test_a_picture_that_is_named_twice_is_done_once(tmp_path):
    path = write(tmp_path / "a.png")
    found, _ = find_pictures([str(path), str(tmp_path), f"{tmp_path}/./a.png", str(tmp_path / "*.png")])
    assert found == [path]


@pytest.mark.parametrize("argument", ["", "*.jpg", "empty", "nothing-here/*", "nowhere.png", "a\0b.png"])
def test_no_picture_at_all_is_one_line_before_work(tmp_path, monkeypatch, capsys, no_model, argument):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(argument or ".", *WORDS, "--output", "out") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not Path("out").exists()


def test_a_name_cannot_control_the_terminal_and_has_one_line(tmp_path, capsys):
    names = ["a\n\x1b[31m\u202e.png", "\u732b\u202f\u00e9.png"]
    for name in names:
        write(tmp_path / "in" / name)
    (tmp_path / "in/b\x1b.png").write_bytes(b"no picture")
    assert run(tmp_path / "in", *WORDS, "--output", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert sorted(line.split(" -> ")[0].rpartition("/")[2] for line in said.out.splitlines()) == [
        "a\\n\\x1b[31m\\u202e.png",
        names[1],
    ]
    assert "b\\x1b.png: " in said.err
    assert "\x1b" not in said.out + said.err.replace("\x1b[A", "")  # tqdm moves the cursor


@pytest.mark.parametrize("terminal", [True, False])
def test_a_progress_bar_is_for_a_terminal_and_not_for_a_log(tmp_path, capsys, monkeypatch, terminal):
    for name in ("a.png", "b.png"):
        write(tmp_path / "in" / name)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert run(tmp_path / "in", *WORDS, "--output", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert ("image/s" in said.err) == terminal
    assert len(said.out.splitlines()) == 2
    report = ["evaluate", "--setting", "examples", "--limit", "1", "--output", str(tmp_path / "report.json")]
    assert cli.main(report) == 0
    said = capsys.readouterr()
    assert ("image/s" in said.err) == terminal
    assert ", 1 picture: " in said.out
    assert cli.main(report) == 0
    assert "\n1 picture from the records of earlier runs -> " in capsys.readouterr().out


def test_links_to_missing_pictures_are_counted(tmp_path, capsys):
    pictures = tmp_path / "in"
    write(pictures / "a.png")
    for name in ("b.png", "c.jpg"):
        (pictures / name).symlink_to(tmp_path / "gone.png")
    assert run(pictures, *WORDS, "--output", tmp_path / "out") == 0
    assert "note: Left out: 2 links to missing pictures." in capsys.readouterr().err
    (pictures / "a.png").unlink()
    assert run(pictures, *WORDS, "--output", tmp_path / "out") == 2
    assert "got only 2 links to missing ones" in capsys.readouterr().err
    (pictures / "b.png").unlink()
    assert run(pictures, *WORDS, "--output", tmp_path / "out") == 2
    assert "got only 1 link to missing ones" in capsys.readouterr().err


def test_recursive_is_not_advised_to_those_who_gave_it(tmp_path, capsys):
    assert run(tmp_path, "--recursive", *WORDS, "--output", tmp_path / "out") == 2
    assert "--recursive" not in capsys.readouterr().err
    assert run(tmp_path, *WORDS, "--output", tmp_path / "out") == 2
    assert "add --recursive" in capsys.readouterr().err


def test_results_beside_the_pictures_are_not_taken_for_pictures(tmp_path, capsys):
    for name in ("a.png", "b.png"):
        write(tmp_path / name)
    assert run(tmp_path, *WORDS, "--output", tmp_path) == 0
    first = sorted(os.listdir(tmp_path))
    capsys.readouterr()
    assert run(tmp_path / "*.png", *WORDS, "--output", tmp_path) == 0
    assert sorted(os.listdir(tmp_path)) == first
    assert "Left out: 4 results of this program among the pictures." in capsys.readouterr().err


@pytest.mark.parametrize("content", ["bomb", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b""])
def test_a_hostile_picture_in_a_folder_does_not_end_the_run(tmp_path, content):
    write(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((DATA / "images/bomb.png").read_bytes() if content == "bomb" else content)
    assert run(tmp_path, *WORDS, "--output", tmp_path / "out") == 2
    assert [path.name for path in (tmp_path / "out").glob("*.json")] == ["a.json"]


def test_every_json_names_its_picture_and_what_was_asked_for(tmp_path):
    write(tmp_path / "in" / "dog.png")
    write(tmp_path / "in" / "dog.jpg")
    run(tmp_path / "in", *WORDS, "--output", tmp_path / "out", "--method", "naclip")
    for name in ("dog.png", "dog.jpg"):
        record = json.loads((tmp_path / "out" / f"{name}.json").read_text(encoding="utf-8"))
        assert record["picture"] == name
        assert (record["request"]["vocabulary"], record["request"]["method"]) == ("cat; dog", "naclip")
        assert str(tmp_path) not in json.dumps(record), "no folder leaks"


def test_a_run_that_was_cut_goes_on_and_what_has_changed_is_made_again(tmp_path, capsys):
    pictures, out = tmp_path / "in", tmp_path / "out"
    for place, name in enumerate("abcd"):
        write(pictures / f"{name}.png", place)
    again = (pictures, *WORDS, *ALL, "--output", out, "--skip-existing")
    assert run(pictures / "a.png", pictures / "b.png", pictures / "c.png", *WORDS, *ALL, "--output", out) == 0
    (out / "b.npz").unlink()  # as after an interruption
    write(pictures / "c.png", 9)  # another picture under the old name
    times = {name: (out / f"{name}.json").stat().st_mtime_ns for name in "abc"}
    capsys.readouterr()
    assert run(*again) == 0
    said = capsys.readouterr()
    assert "1 of 4 pictures were done before" in said.err
    done = sorted(line.split(" -> ")[0][-5:] for line in said.out.splitlines() if "->" in line)
    assert done == ["b.png", "c.png", "d.png"]
    assert [(out / f"{name}.json").stat().st_mtime_ns == times[name] for name in "abc"] == [True, False, False]
    assert run(*again, "--eps", "0.5") == 0
    assert "0 of 4" in capsys.readouterr().err, "results of other options are not what was asked for"


def test_results_whose_request_has_its_earlier_name_are_recognized(tmp_path, capsys):
    write(tmp_path / "a.png")
    line = (tmp_path / "a.png", *WORDS, "--output", tmp_path / "out", "--skip-existing")
    assert run(*line) == 0
    file = tmp_path / "out" / "a.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    record["asked"] = record.pop("request")
    file.write_text(json.dumps(record), encoding="utf-8")
    capsys.readouterr()
    assert run(*line) == 0
    assert "1 of 1 picture was done before" in capsys.readouterr().err
    assert run(*line, "--eps", "0.5") == 0
    assert "0 of 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [("--pretrained", "{}"), ("--model", "ViT-B-16:{}"), ("--sam-checkpoint", "{}", "--refine", "vit_b")]
)
def test_results_of_other_weights_of_the_same_file_name_are_made_again(tmp_path, capsys, monkeypatch, option):
    monkeypatch.setattr("cliptrase_core.cli.segment.load_refiner", lambda *args, **given: lambda result, image: result)
    write(tmp_path / "a.png")
    first, second = (tmp_path / folder / "model.safetensors" for folder in "xy")
    for place, path in enumerate((first, second)):
        path.parent.mkdir()
        path.write_bytes(bytes([place]))

    def done(path):
        line = (tmp_path / "a.png", *WORDS, "--output", tmp_path / "out", "--skip-existing")
        assert run(*line, *(text.format(path) for text in option)) == 0
        return "1 of 1 picture was done before" in capsys.readouterr().err

    assert [done(first), done(first), done(second), done(second)] == [False, True, False, True]
    second.write_bytes(b"overwritten in place")
    assert [done(second), done(second)] == [False, True]
    file = tmp_path / "out" / "a.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    assert str(tmp_path) not in json.dumps(record), "no folder leaks"
    del record["request"]["weights_sha256"]
    file.write_text(json.dumps(record), encoding="utf-8")
    assert not done(second), "of unknown weights, as older versions wrote it"


def test_when_nothing_is_left_no_model_is_loaded(tmp_path, monkeypatch):
    write(tmp_path / "a.png")
    line = (tmp_path / "a.png", *WORDS, "--output", tmp_path / "out", "--skip-existing")
    assert run(*line) == 0
    monkeypatch.setattr(parser, "_load", None)
    assert run(*line) == 0


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--eps", "-1"), "eps: expected"),
        (("--eps", "nan"), "eps: expected"),
        (("--min-samples", "0"), "min_samples: expected"),
        (("--threshold", "2"), "threshold: expected"),
        (("--short-side", "2"), "short side: expected"),
        (("--short-side", "9000"), "at most 16384 patches"),
        (("--max-pixels", "0"), "max_pixels: expected"),
        (("--preset", "paper-224", "--short-side", "225"), "short side"),
    ],
)
def test_a_wrong_option_is_said_once_before_the_first_picture(tmp_path, capsys, option, said):
    for name in "abc":
        write(tmp_path / f"{name}.png")
    assert run(tmp_path, *WORDS, "--output", tmp_path / "out", *option) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "out").exists()


NO_ROOM = {
    "numpy": MemoryError("Unable to allocate 9. GiB for an array with shape (9, 9) and data type float64"),
    "torch on a CPU": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
    "torch on Windows": RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried 9 bytes"),
    "torch on a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "the system": OSError(12, "Cannot allocate memory"),
    "torch on Apple's": RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
}


@pytest.mark.parametrize("error", NO_ROOM.values(), ids=NO_ROOM)
def test_a_picture_too_large_for_the_memory_does_not_end_the_run(tmp_path, monkeypatch, capsys, nano, error):
    for name in "abc":
        write(tmp_path / f"{name}.png")
    Image.new("RGB", (41, 30)).save(tmp_path / "b.png")
    encode = nano.encode_batch

    def small(images, *args, **options):
        if any(isinstance(image, ReducedImage) and image.size == (30, 41) for image in images):
            raise error
        return encode(images, *args, **options)

    monkeypatch.setattr(nano, "encode_batch", small)
    assert run(tmp_path, *WORDS, "--output", tmp_path / "out") == 2
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == ["a.json", "c.json"]
    error = capsys.readouterr().err
    assert "picture 'b.png': expected one that the memory of this computer holds" in error
    assert "1 of 3 pictures could not be segmented" in error


@pytest.mark.parametrize(
    ("left", "options", "done"),
    [
        (10_000_000_000, (), "abc"),
        (100_000_000, (), "ac"),  # 1500 x 1000 pixels
        (100_000_000, ("--preset", "paper-224"), "abc"),  # labels only the crop
        (100_000_000, ("--short-side", "672"), ""),  # more than 2,300 patches
        (None, ("--short-side", "336"), "abc"),  # available memory unknown
    ],
)
def test_what_would_take_more_memory_than_is_left_is_refused_before_the_system_ends_the_process(
    tmp_path, monkeypatch, left, options, done
):
    for name in "abc":
        write(tmp_path / f"{name}.png")
    Image.new("RGB", (1500, 1000)).save(tmp_path / "b.png")
    monkeypatch.setattr(memory, "available", lambda: left)
    code = run(tmp_path, *WORDS, "--output", tmp_path / "out", *options)
    assert code == (0 if done == "abc" else 2)
    assert "".join(sorted(path.stem for path in (tmp_path / "out").glob("*.json"))) == done


def test_what_is_left_is_the_machine_s_or_the_container_s_whichever_is_less(tmp_path, monkeypatch):
    info, group = tmp_path / "meminfo", tmp_path / "group"
    group.mkdir()
    monkeypatch.setattr(memory, "MEMINFO", info)
    monkeypatch.setattr(memory, "CGROUP", group)
    assert memory.available() is None
    info.write_text("MemTotal: 9000 kB\nMemAvailable: 1000 kB\n")
    assert memory.available() == 1_024_000
    (group / "memory.max").write_text("500000\n")
    (group / "memory.current").write_text("300000\n")
    (group / "memory.stat").write_text("inactive_file 100000\n")
    assert memory.available() == 300_000


def test_an_error_of_the_program_is_not_taken_for_a_lack_of_memory(tmp_path, monkeypatch, nano):
    write(tmp_path / "a.png")
    monkeypatch.setattr(nano, "segment", lambda *args, **options: (_ for _ in ()).throw(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(tmp_path / "a.png", *WORDS, "--output", tmp_path / "out")


def test_bundled_files_are_found_in_the_repository_and_in_a_package(tmp_path, monkeypatch):
    from cliptrase_core.io import files

    assert asset("nano", "config.json").is_file()
    installed = tmp_path / "site" / "cliptrase_core"
    (installed / "assets").mkdir(parents=True)
    monkeypatch.setattr(files, "__file__", str(installed / "io" / "files.py"))
    assert asset("nano") == installed / "assets" / "nano"


def test_the_line_of_a_picture_names_the_classes_that_are_absent(tmp_path, capsys):
    horses = asset("examples", "horses.jpg")
    assert run(horses, "--vocabulary", "horse; grass; sky; submarine", "--output", tmp_path / "one") == 0
    line = capsys.readouterr().out.strip()
    assert re.search(r"  sky [\d.]+%, grass [\d.]+%, horse [\d.]+%; not found: submarine$", line)
    assert run(horses, "--vocabulary", "horse; grass; sky", "--output", tmp_path / "two") == 0
    assert "not found" not in capsys.readouterr().out
    assert run(horses, "--vocabulary", "coco80", "--output", tmp_path / "three") == 0
    assert re.search(r"; not found: (\w[\w ]*, ){5}\w[\w ]* and \d\d more$", capsys.readouterr().out.strip())
    assert run(horses, "--vocabulary", "sofa; submarine", "--skip-missing", "--output", tmp_path / "four") == 0
    assert capsys.readouterr().out.strip().endswith("No class seems to be in the picture, so none is left out.")
    prior = ("--skip-missing", "--image-prior", "--output", tmp_path / "five")
    assert run(horses, "--vocabulary", "submarine; laptop", *prior) == 0
    line = capsys.readouterr().out.strip()
    assert re.search(r"(%|: \w+)\. No class [^.]* left out\. Leave the image prior out: [^.]*\.$", line)


def test_values_of_the_clustering_change_regions_without_a_vote_too(tmp_path):
    """`evaluate`, which scores labels only, refuses them there."""
    regions, labels = [], []
    for value in ((), ("--eps", "0.4")):
        out = tmp_path / f"out{len(regions)}"
        line = (asset("examples", "kitten.jpg"), *WORDS, "--no-vote", *value)
        assert run(*line, "--formats", "npz", "--output", out) == 0
        result = load_result(out / "kitten.json")
        regions.append(result.regions)
        labels.append(result.labels)
    np.testing.assert_array_equal(*labels)
    assert not np.array_equal(*regions)
