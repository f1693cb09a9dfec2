"""`segment` on a folder: formats, files that cover all results, threads, interrupted runs."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from cliptrase_core import cli
from cliptrase_core.cli import pipeline, segment
from cliptrase_core.cli.pipeline import Pipeline
from cliptrase_core.cli.tasks import read_jobs
from cliptrase_core.errors import InputError
from cliptrase_core.io.export.formats import FORMATS
from cliptrase_core.io.export.loading import load_result
from cliptrase_core.io.export.saving import save as save_files
from cliptrase_core.io.files import is_ours
from cliptrase_core.io.inputs import data_set_names
from cliptrase_core.segmenter import Segmenter

WORDS = ("--vocabulary", "cat; dog | background: trumpet")
CLASSES = ("--vocabulary", "cat; dog")  # without a background, so that every result has a foreground class
DATA_SETS = ("--formats", "coco,yolo", "--min-area", "0")


@pytest.fixture(autouse=True)
def one_model(monkeypatch, nano):
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))


def run(*arguments):
    return cli.main(["segment", *map(str, arguments)])


def write(path: Path, seed: int = 0, size=(40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size).save(path)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def coco(out: Path) -> dict:
    return json.loads((out / "coco/annotations.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_writes_its_own_files_and_a_description_and_is_skipped_when_it_is_there(tmp_path, capsys, name):
    write(tmp_path / "in/a.png")
    area = ("--min-area", 0) if name in ("coco", "yolo", "labelme") else ()
    line = (tmp_path / "in", *CLASSES, "--output", tmp_path / "out", "--formats", name, *area)
    assert run(*line) == 0
    made = set(files(tmp_path / "out"))
    expected = {
        "png": {"a.labels.png"},
        "index": {"a.index.png"},
        "overlay": {"a.overlay.png"},
        "npz": {"a.npz"},
        "coco": {"coco/annotations.json"},
        "yolo": {"yolo/data.yaml", "yolo/files.sha256", "yolo/images/a.png", "yolo/labels/a.txt"},
        "labelme": {"labelme/a.json"},
    }.get(name, {path for path in made if path.startswith(f"{name}/a/")})
    assert made == {"a.json", *expected}
    assert name == "json" or expected
    capsys.readouterr()
    assert run(*line, "--skip-existing") == 0
    assert "1 of 1 picture was done before" in capsys.readouterr().err
    if name not in ("json", "coco"):
        victim = next(path for path in sorted(made) if path not in ("a.json", "yolo/data.yaml", "yolo/files.sha256"))
        (tmp_path / "out" / victim).unlink()
        if name == "yolo":
            (tmp_path / "out/yolo/images/a.png").unlink(missing_ok=True)
        assert run(*line, "--skip-existing") == 0
        assert "0 of 1" in capsys.readouterr().err
        assert set(files(tmp_path / "out")) == made


@pytest.mark.parametrize("formats", ["", "jpg", "png,jpg", "png,,coco"])
def test_an_unknown_format_is_one_line_before_work(tmp_path, capsys, monkeypatch, formats):
    write(tmp_path / "a.png")
    monkeypatch.setattr(cli.parser, "_load", None)
    assert run(tmp_path, *WORDS, "--output", tmp_path / "out", "--formats", formats) == 2
    said = capsys.readouterr().err
    assert "format: expected one of png, index, overlay" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [("--jobs", "0"), ("--jobs", "many"), ("--jobs", "-1"), ("--min-area", "-1"),
                                    ("--overlay-side", "-5")])  # fmt: skip
def test_a_senseless_number_is_one_line_before_work(tmp_path, capsys, option):
    write(tmp_path / "a.png")
    assert run(tmp_path, *WORDS, "--output", tmp_path / "out", *option) == 2
    assert "expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "formats"),
    [
        (("--min-area", "9"), "png,overlay"),
        (("--per-class",), "json"),
        (("--polygons",), "yolo,labelme"),
        (("--overlay-side", "0"), "png,coco"),
    ],
)
def test_an_option_that_no_format_uses_is_refused(tmp_path, capsys, option, formats):
    write(tmp_path / "a.png")
    assert run(tmp_path, *WORDS, "--output", tmp_path / "out", "--formats", formats, *option) == 2
    assert f"{option[0]}: expected a format that uses it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_only_options_of_the_formats_make_a_result_again(tmp_path, capsys):
    write(tmp_path / "in/a.png")
    line = (tmp_path / "in", *WORDS, "--output", tmp_path / "out", "--skip-existing")
    assert run(*line, "--formats", "png,overlay,labelme", "--min-area", 9, "--overlay-side", 20) == 0
    for formats, done in (("png", 1), ("png,labelme", 0)):
        capsys.readouterr()
        assert run(*line, "--formats", formats) == 0
        assert f"{done} of 1 picture was done before" in capsys.readouterr().err


def test_one_file_covers_every_run_whatever_their_order_and_cuts(tmp_path, capsys):
    pictures = tmp_path / "in"
    for place, name in enumerate("abcd"):
        write(pictures / f"{name}.png", place)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(pictures, *WORDS, *DATA_SETS, "--output", whole) == 0
    for names in ("c", "ab"):  # two runs, then one that resumes them
        assert run(*(pictures / f"{name}.png" for name in names), *WORDS, *DATA_SETS, "--output", parts) == 0
    assert [entry["file_name"] for entry in coco(parts)["images"]] == ["a.png", "b.png", "c.png"]
    assert run(pictures, *WORDS, *DATA_SETS, "--output", parts, "--skip-existing") == 0
    same = {name: content for name, content in files(whole).items() if not name.endswith((".json", ".sha256"))}
    assert same.items() <= files(parts).items()
    assert coco(parts) == coco(whole)
    # A lost file is written again although no picture is left to segment; a deleted result is removed from it.
    (parts / "coco/annotations.json").unlink()
    (parts / "d.json").unlink()
    assert run(*(pictures / f"{name}.png" for name in "abc"), *WORDS, *DATA_SETS, "--output", parts,
               "--skip-existing") == 0  # fmt: skip
    assert [entry["file_name"] for entry in coco(parts)["images"]] == ["a.png", "b.png", "c.png"]
    assert sorted(path.name for path in (parts / "yolo/labels").iterdir()) == ["a.txt", "b.txt", "c.txt"]
    assert sorted(path.name for path in (parts / "yolo/images").iterdir()) == ["a.png", "b.png", "c.png"]


def test_results_of_other_formats_and_words_join_and_what_yolo_lacks_is_said(tmp_path, capsys):
    write(tmp_path / "a.png")
    write(tmp_path / "b.png", 1)
    out = tmp_path / "out"
    assert run(tmp_path / "a.png", "--vocabulary", "zebra; cat", "--output", out) == 0
    assert run(tmp_path / "b.png", *CLASSES, *DATA_SETS, "--output", out) == 0
    assert "Not in yolo: 1 earlier result;" in capsys.readouterr().err
    found = coco(out)
    assert [entry["file_name"] for entry in found["images"]] == ["a.png", "b.png"]
    assert [entry["name"] for entry in found["categories"]] == ["zebra", "cat", "dog"]
    assert {entry["image_id"] for entry in found["annotations"]} == {1, 2}
    api = COCO(out / "coco/annotations.json")
    for image, name in ((1, "a"), (2, "b")):
        result = load_result(out / f"{name}.json")
        for entry in api.imgToAnns[image]:
            label = result.class_names.index(api.cats[entry["category_id"]]["name"])
            assert not api.annToMask(entry)[result.labels != label].any()


def test_pictures_of_one_name_in_several_folders_are_told_apart(tmp_path):
    for place, name in enumerate(("june/dog.png", "july/dog.png", "july/cat.png")):
        write(tmp_path / "in" / name, place)
    assert run(tmp_path / "in", "--recursive", *WORDS, *DATA_SETS, "--output", tmp_path / "out") == 0
    names = [entry["file_name"] for entry in coco(tmp_path / "out")["images"]]
    assert sorted(names) == ["july/cat.png", "july/dog.png", "june/dog.png"]
    assert all((tmp_path / "in" / name).is_file() for name in names)
    assert len(list((tmp_path / "out/yolo/images").iterdir())) == 3


def test_pictures_that_were_done_before_are_called_by_their_path_from_the_folder_of_all(tmp_path):
    for place, name in enumerate(("x/a.png", "y/z.png")):
        write(tmp_path / "in" / name, place)
    line = ("--skip-existing", *WORDS, "--formats", "coco,png", "--output", tmp_path / "out")
    for _ in range(2):  # the second time, the smaller folder keeps the names of the larger one
        assert run(tmp_path / "in/y", *line) == 0
        before = json.loads((tmp_path / "out/z.json").read_text(encoding="utf-8"))
        assert run(tmp_path / "in", "--recursive", *line) == 0
        assert [entry["file_name"] for entry in coco(tmp_path / "out")["images"]] == ["x/a.png", "y/z.png"]
        assert json.loads((tmp_path / "out/z.json").read_text(encoding="utf-8")) == {**before, "file": "y/z.png"}
    assert before["file"] == "y/z.png"


@pytest.mark.parametrize("again", [(), ("--skip-existing",)])
def test_a_picture_keeps_the_stem_of_its_result_when_another_command_would_choose_one(tmp_path, again):
    first, second = write(tmp_path / "in/june/dog.png"), write(tmp_path / "in/july/dog.png", 1)
    line = (*WORDS, *DATA_SETS, "--output", tmp_path / "out", *again)
    for pictures in ([first], [first, second], [second], [second, first]):
        assert run(*pictures, *line) == 0
    assert [entry["file_name"] for entry in coco(tmp_path / "out")["images"]] == ["june/dog.png", "july/dog.png"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == ["dog.json", "dog.png.json"]
    assert len(list((tmp_path / "out/yolo/images").iterdir())) == 2


def test_a_picture_with_a_result_that_is_named_twice_through_a_link_ends(tmp_path):
    picture = write(tmp_path / "in/dog.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    line = (*WORDS, "--output", tmp_path / "out")
    assert run(picture, *line) == run(picture, tmp_path / "link/dog.png", *line) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.json")) == ["dog.json", "dog.png.json"]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/x.png"], ["x.png"]),
        (["a/x.png", "a/y.png"], ["x.png", "y.png"]),
        (["a/x.png", "a/b/c/y.png"], ["x.png", "b/c/y.png"]),
        (["a/b/x.png", "c/x.png"], ["a/b/x.png", "c/x.png"]),
    ],
)
def test_a_data_set_calls_pictures_by_their_path_from_the_folder_of_all(paths, names):
    assert data_set_names([Path(path) for path in paths]) == names


CHANGED = {
    "COCO that a person corrected": ("coco/annotations.json", lambda text: text.replace('"area": ', '"area": 1')),
    "a text for YOLO that a person corrected": ("yolo/labels/a.txt", lambda text: text + "0 0.1 0.1 0.2 0.2 0.3 0.1\n"),
    "a split of their own": ("yolo/data.yaml", lambda text: text.replace("val: images", "val: other")),
    "labelme's correction": ("labelme/a.json", lambda text: json.dumps({**json.loads(text), "shapes": []})),
}


@pytest.mark.parametrize(("name", "change"), CHANGED.values(), ids=CHANGED)
def test_what_a_person_corrected_is_never_replaced_and_stops_the_run_before_work(
    tmp_path, capsys, monkeypatch, name, change
):
    write(tmp_path / "in/a.png")
    line = (tmp_path / "in", *CLASSES, "--formats", "coco,yolo,labelme", "--min-area", 0, "--output", tmp_path / "out")
    assert run(*line) == 0
    assert run(*line) == 0, "its own files are replaced"
    path = tmp_path / "out" / name
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    before = files(tmp_path)
    monkeypatch.setattr(cli.parser, "_load", None)
    capsys.readouterr()
    assert run(*line) == 2
    assert files(tmp_path) == before
    assert path.name in capsys.readouterr().err


def test_a_picture_that_lies_in_the_place_of_a_copy_is_kept(tmp_path, capsys):
    write(tmp_path / "in/a.png")
    mine = write(tmp_path / "out/yolo/images/a.png", 5)
    before = mine.read_bytes()
    assert run(tmp_path / "in", *WORDS, "--formats", "yolo", "--output", tmp_path / "out") == 2
    assert mine.read_bytes() == before
    assert "yolo/images/a.png" in capsys.readouterr().err


def test_a_run_that_is_stopped_leaves_whole_files_and_one_that_covers_them(tmp_path, monkeypatch, nano, capsys):
    for place in range(6):
        write(tmp_path / f"in/{place}.png", place)
    count, heard = iter(range(99)), threading.Event()

    def interrupt(*_):
        heard.set()
        raise KeyboardInterrupt

    def third(*arguments, **settings):
        if next(count) == 2:
            os.kill(os.getpid(), 2)  # SIGINT, as Ctrl-C sends it, during the work
            assert heard.wait(60)
            time.sleep(0.2)
        return save_files(*arguments, **settings)

    monkeypatch.setattr(segment, "save", third)
    line = (tmp_path / "in", *WORDS, *DATA_SETS, "--output", tmp_path / "out", "--jobs", "1")
    before = signal.signal(signal.SIGINT, interrupt)  # the workers of pytest-xdist ignore SIGINT
    try:
        assert run(*line) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    assert "note: the same command with --skip-existing goes on from here." in capsys.readouterr().err
    results = sorted((tmp_path / "out").glob("*.json"))
    assert 3 <= len(results) < 6
    assert [entry["file_name"][0] for entry in coco(tmp_path / "out")["images"]] == [path.stem for path in results]
    assert not list((tmp_path / "out").rglob("*.tmp"))
    for path in results:
        load_result(path)
    monkeypatch.undo()
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))
    assert run(*line, "--skip-existing") == 0
    assert len(coco(tmp_path / "out")["images"]) == 6


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_jobs_and_batches_change_nothing_in_the_results(tmp_path, jobs, nano):
    for place in range(5):
        write(tmp_path / f"in/{place}.png", place, size=(40, 30) if place % 2 else (30, 44))
    assert run(tmp_path / "in", *WORDS, "--output", tmp_path / "out", "--jobs", jobs) == 0
    for place in range(5):
        alone = nano.segment(nano.encode(str(tmp_path / f"in/{place}.png")), WORDS[1])
        assert np.array_equal(load_result(tmp_path / f"out/{place}.json").labels, alone.labels)


def test_the_overlay_is_small_and_everything_else_in_full(tmp_path):
    write(tmp_path / "a.png", size=(150, 90))
    assert run(tmp_path / "a.png", *WORDS, "--output", tmp_path, "--overlay-side", "75") == 0
    assert Image.open(tmp_path / "a.overlay.png").size == (75, 45)
    assert Image.open(tmp_path / "a.labels.png").size == (150, 90)
    assert run(tmp_path / "a.png", *WORDS, "--output", tmp_path, "--overlay-side", "0") == 0
    assert Image.open(tmp_path / "a.overlay.png").size == (150, 90)


def test_masks_of_classes_that_are_gone_go_and_foreign_files_stay(tmp_path):
    write(tmp_path / "in/a.png")
    line = (tmp_path / "in", "--output", tmp_path / "out", "--formats", "masks,cutouts")
    assert run(*line, "--vocabulary", "zebra | background: wall, floor") == 0
    assert run(*line, "--vocabulary", "cat") == 0
    write(tmp_path / "out/masks/a/mine.png")
    assert run(*line, "--vocabulary", "dog; cow") == 0
    names = {path.name for path in (tmp_path / "out/masks/a").iterdir()}
    assert "mine.png" in names
    assert names <= {"mine.png", "dog.png", "cow.png"}
    assert all(is_ours(path) for path in (tmp_path / "out/cutouts/a").iterdir())


def test_a_data_set_without_the_new_results_is_named(tmp_path, capsys):
    write(tmp_path / "in/a.png")
    line = (tmp_path / "in", "--output", tmp_path / "out", "--vocabulary")
    assert run(*line, "zebra; cat", "--formats", "coco,yolo") == 0
    assert "written anew" not in capsys.readouterr().err
    assert run(*line, "dog; cow", "--formats", "yolo") == 0
    said = capsys.readouterr().err
    assert "note: coco/ was not written anew: add coco to --formats if it should have these results" in said
    assert "yolo/" not in said
    assert {one["name"] for one in coco(tmp_path / "out")["categories"]} == {"zebra", "cat"}


def test_files_of_an_earlier_request_go_unless_they_still_hold_or_belong_to_someone(tmp_path):
    write(tmp_path / "in/a.png")
    line = (tmp_path / "in", "--output", tmp_path / "out")
    kinds = "index,overlay,png,npz,masks,cutouts,labelme"
    assert run(*line, "--vocabulary", "zebra; cat", "--formats", kinds) == 0
    first = set(files(tmp_path / "out"))
    assert run(*line, "--vocabulary", "zebra; cat", "--formats", "png") == 0
    assert set(files(tmp_path / "out")) == first, "other formats of the same result are still right"
    mine = write(tmp_path / "out/a.index.png", 3)
    before = mine.read_bytes()
    assert run(*line, "--vocabulary", "cat; zebra", "--formats", "png") == 0
    assert set(files(tmp_path / "out")) == {"a.json", "a.labels.png", "a.index.png"}
    assert mine.read_bytes() == before


def test_copies_of_a_data_set_inside_the_input_are_not_segmented_as_photographs(tmp_path, capsys):
    for name in ("a.jpg", "below/b.png"):
        write(tmp_path / name)
    line = (tmp_path, "--recursive", *CLASSES, "--formats", "yolo,overlay,coco", "--output", tmp_path / "out")
    assert run(*line) == 0
    first = set(files(tmp_path))
    capsys.readouterr()
    assert run(*line) == 0
    assert set(files(tmp_path)) == first
    assert "Left out: 4 results of this program among the pictures." in capsys.readouterr().err
    write(tmp_path / "out/yolo/images/mine.png", 3)  # a photograph that lies there is still a photograph
    assert run(*line) == 0
    assert [entry["file_name"] for entry in coco(tmp_path / "out")["images"]][-1].endswith("images/mine.png")


class Picture:
    def __init__(self, task, kind, pixels):
        self.task, self.kind, self.pixels = task, kind, pixels


def test_the_memory_is_bounded_and_pictures_of_one_kind_go_together(monkeypatch):
    monkeypatch.setattr(pipeline, "available", lambda: None)
    monkeypatch.setattr(pipeline, "IN_FLIGHT_PIXELS", 40)
    lock, held, most, groups = threading.Lock(), [0], [0], []

    def read(task):
        with lock:
            held[0] += 10
            most[0] = max(most[0], held[0])
        return Picture(task, task % 2, 10)

    def work(pictures):
        with lock:
            groups.append([picture.kind for picture in pictures])
        time.sleep(0.002)
        with lock:
            held[0] -= 10 * len(pictures)
        return [picture.task for picture in pictures]

    done = list(Pipeline(read, work, jobs=2, batch=3).run(range(30)))
    assert sorted(done) == list(range(30))
    assert most[0] <= 60, "four at once, and those that were begun before the first one's size was known"
    assert all(len(set(group)) == 1 and len(group) <= 3 for group in groups)


def test_towards_the_end_groups_are_small_so_that_all_threads_end_together():
    groups = []

    def work(pictures):
        groups.append(len(pictures))
        time.sleep(0.01 * len(pictures))
        return [picture.task for picture in pictures]

    done = list(Pipeline(lambda task: Picture(task, 0, 1), work, jobs=2, batch=4).run(range(40)))
    assert sorted(done) == list(range(40))
    assert max(groups) == 4
    assert groups[-2:] == [1, 1]


def test_whoever_stops_asking_stops_the_run():
    begun = []

    def read(task):
        begun.append(task)
        return Picture(task, 0, 1)

    run = Pipeline(read, lambda pictures: [picture.task for picture in pictures], jobs=1, batch=1).run(range(1000))
    next(run)
    run.close()
    count = len(begun)
    assert count < 20
    time.sleep(0.02)
    assert len(begun) == count


def test_an_error_of_the_program_ends_the_run():
    def read(task):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(Pipeline(read, list, jobs=2, batch=2).run(range(9)))


@pytest.mark.parametrize("text", ["", "0", "65", "1.5", "\u0663", "all"])
def test_jobs_are_auto_or_a_number(text):
    assert read_jobs("3") == 3
    assert 1 <= read_jobs("auto") <= 16
    with pytest.raises(InputError, match="jobs"):
        read_jobs(text)


def test_words_that_the_model_has_never_seen_are_named_once(tmp_path, capsys):
    for name in ("a", "b"):
        write(tmp_path / f"in/{name}.png")
    assert run(tmp_path / "in", "--vocabulary", "instagram; cat", "--output", tmp_path / "out") == 0
    assert capsys.readouterr().err.count('note: This model does not know "instagram".') == 1


def test_misspelt_words_are_named_once(tmp_path, capsys):
    for name in ("a", "b"):
        write(tmp_path / f"in/{name}.png")
    assert run(tmp_path / "in", "--vocabulary", "dgo; cat", "--output", tmp_path / "out") == 0
    assert capsys.readouterr().err.count('note: Did you mean "dog" by "dgo"?\n') == 1
