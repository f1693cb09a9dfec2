"""Formats: each is one entry of one list, and everything that writes or names formats follows it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import cliptrase_core as cc
from cliptrase_core import cli
from cliptrase_core.errors import InputError
from cliptrase_core.io.export import saving
from cliptrase_core.io.export.components import ComponentRule
from cliptrase_core.io.export.dataset import gather
from cliptrase_core.io.export.formats import FORMATS, OF_FORMATS, ClassFormat, FileFormat, FolderFormat, Job
from cliptrase_core.io.export.images import class_files
from cliptrase_core.io.export.record import read_record
from cliptrase_core.io.export.saving import is_complete, planned, result_files
from cliptrase_core.io.files import seal
from cliptrase_core.io.geometry import LONGEST_SIDE
from cliptrase_core.io.png import encode_png
from cliptrase_core.segmenter import Segmenter
from tests.io.export.test_saving import IMAGE, make

ROOT = Path(__file__).parents[3]


def table(job: Job) -> bytes:
    rows = [f"{name},{share}\n" for name, share in job.result.areas.items()]
    return b"".join(seal([f"{row}".encode() for row in rows], before=b"# "))


CSV = FileFormat(
    name="csv",
    title="Areas for a spreadsheet",
    contents="areas.csv    share of each class",
    file="tables/{stem}.areas.csv",
    content=table,
    kind="areas",
    options=("min_area",),
    needs_picture=True,
)


@pytest.fixture
def csv(monkeypatch):
    """Add the format `CSV` as a developer would."""
    monkeypatch.setitem(FORMATS, "csv", CSV)


def test_a_new_format_is_one_entry_and_the_library_writes_it(csv, tmp_path):
    (files,) = cc.export({"a": make()}, tmp_path, "png,csv", images=IMAGE)
    assert files.areas == tmp_path / "tables/a.areas.csv"
    assert files.areas.read_text().startswith("background,0.55\ncat,0.4\ndog,0.05\n")
    assert json.loads(files.json.read_text())["files"] == {
        "json": "a.json", "labels": "a.labels.png", "areas": "tables/a.areas.csv"
    }  # fmt: skip
    with pytest.raises(InputError, match="csv: expected the picture"):
        make().save(tmp_path, formats="csv")
    make(("cat", "fox", "cow", "background")).save(tmp_path, stem="a")
    assert not files.areas.exists(), "another result of this name removes it"
    files.areas.write_text("a person's")
    with pytest.raises(InputError, match=r"a\.areas\.csv.*no file of that name, or one that this program wrote"):
        cc.export({"a": make()}, tmp_path, "csv", images=IMAGE)
    assert files.areas.read_text() == "a person's"


def test_a_new_format_is_one_entry_and_the_command_line_writes_it(csv, tmp_path, monkeypatch, nano, capsys):
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))
    Image.fromarray(IMAGE).resize((40, 30)).save(tmp_path / "a.png")
    line = ["segment", str(tmp_path / "a.png"), "--vocabulary", "cat; dog", "--output", str(tmp_path / "out")]
    assert cli.main([*line, "--formats", "csv", "--min-area", "9"]) == 0
    table = tmp_path / "out/tables/a.areas.csv"
    assert table.is_file()
    again = [*line, "--formats", "csv", "--min-area", "9", "--skip-existing"]
    capsys.readouterr()
    assert cli.main(again) == 0
    assert "1 of 1 picture was done before" in capsys.readouterr().err
    table.unlink()
    assert cli.main(again) == 0
    assert table.is_file(), "a file that is missing is made again"
    capsys.readouterr()
    assert cli.main([*line, "--formats", "png", "--min-area", "9"]) == 2
    assert "a format that uses it (coco, yolo, labelme, csv)" in capsys.readouterr().err
    table.write_text("a person's")
    assert cli.main([*line, "--formats", "csv", "--min-area", "9"]) == 2
    assert "a.areas.csv" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["segment", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "masks, cutouts, csv (default: png,overlay,json)" in shown
    assert "left out of coco, yolo, labelme, csv" in shown


def test_a_new_format_is_one_entry_and_the_page_offers_it():
    program = (
        "from cliptrase_core.io.export.formats import FORMATS\n"
        "from tests.io.export.test_formats import CSV\n"
        "FORMATS['csv'] = CSV\n"
        "from demo.page import build\n"
        "from demo.service import Service\n"
        "from demo.service.download import contents_of, formats_of\n"
        "from demo.settings import Settings\n"
        "page = build(Service(Settings(model='nano')))\n"
        "menus = [block.choices for block in page.blocks.values() if getattr(block, 'label', '') == 'Formats']\n"
        "assert menus and all((CSV.title, 'csv') in menu for menu in menus), menus\n"
        "assert formats_of('csv') == ('json', 'csv') and 'csv' in formats_of('all')\n"
        "assert contents_of(formats_of('csv')).endswith(CSV.contents)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_list_of_formats_is_read_without_the_libraries_that_write_them():
    program = (
        "import sys\n"
        "import cliptrase_core.io.export.formats\n"
        "print(sorted({'torch', 'cv2', 'PIL', 'pycocotools'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("one", FORMATS.values(), ids=FORMATS)
def test_entries_do_not_collide(one):
    assert one.title
    assert one.contents
    assert isinstance(one, (FileFormat, ClassFormat, FolderFormat)) == (one.name != "json")
    if isinstance(one, FileFormat):
        others = [each for each in FORMATS.values() if isinstance(each, FileFormat) and each is not one]
        assert one.path("dog") not in [each.path("dog") for each in others]
        assert one.kind not in [*(each.kind for each in others), "json", "folder", "stem"]


def test_every_option_of_a_format_is_checked_by_the_command_line():
    assert {option for one in FORMATS.values() for option in one.options} == OF_FORMATS.keys()


def test_paths_of_a_result_are_named_by_kind(tmp_path):
    files = result_files(tmp_path, "a")
    assert files.cutouts == tmp_path / "cutouts/a"
    assert {"json", "labels", "overlay", "npz", "labelme", "masks", "of"} - {*dir(files)} == {"of"}
    with pytest.raises(AttributeError, match="expected one of json, labels, index, .*, got 'lables'"):
        _ = files.lables


def circles(job: Job) -> Iterator[tuple[str, bytes]]:
    names = class_files(job.result.class_names)
    return ((names[label], encode_png(job.image[..., 0])) for label in range(2))


def test_a_new_format_with_a_file_for_each_class_is_one_entry(monkeypatch, tmp_path):
    new = ClassFormat(name="grey", title="Grey", contents="grey/", contents_by_class=circles)
    monkeypatch.setitem(FORMATS, "grey", new)
    result = make()
    (files,) = cc.export({"a": result}, tmp_path, "grey", images=IMAGE)
    assert sorted(path.name for path in files.grey.iterdir()) == ["cat.png", "dog.png"]
    record = read_record(files.json)
    assert record["files"]["grey"] == ["grey/a/cat.png", "grey/a/dog.png"]
    assert is_complete(tmp_path, record, ["grey"])
    (files.grey / "dog.png").unlink()
    assert not is_complete(tmp_path, record, ["grey"])
    assert files.grey / "cat.png" in planned(files, ["grey"], result.class_names)
    cc.export({"a": make(("cat", "fox", "cow", "background"))}, tmp_path)
    assert not (files.grey / "cat.png").exists()


@pytest.mark.parametrize("formats", ["yolo", "labelme"])
def test_the_longest_picture_that_is_accepted_can_be_copied_as_jpeg(nano, tmp_path, formats):
    pixels = np.zeros((16, LONGEST_SIDE, 3), np.uint8)
    nano.segment(nano.encode(pixels), "cat; dog").save(tmp_path, pixels, formats=formats)
    with pytest.raises(InputError, match=f"at most {LONGEST_SIDE} pixels a side"):
        nano.encode(np.zeros((16, LONGEST_SIDE + 1, 3), np.uint8))


def test_coco_names_a_picture_that_its_annotations_lie_on(nano, tmp_path, monkeypatch):
    coarse = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    Image.fromarray(coarse).resize((128, 96)).save(tmp_path / "a.png")
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))

    def files(folder):
        data = COCO(folder / "coco/annotations.json")
        for entry in data.imgs.values():
            path = folder / "coco" / entry["file_name"]
            size = Image.open(path if path.exists() else tmp_path / entry["file_name"]).size
            assert size == (entry["width"], entry["height"])
            assert all(data.annToMask(one).shape == size[::-1] for one in data.anns.values())
        return [entry["file_name"] for entry in data.imgs.values()]

    auto, crop = (nano.segment(nano.encode(tmp_path / "a.png", preset), "cat; dog") for preset in ("auto", "paper-224"))
    small = nano.segment(nano.encode(tmp_path / "a.png"), "cat; dog", size=(24, 32))
    for made, name in ((auto, "a.png"), (crop, "images/a.png"), (auto, "a.png"), (small, "images/a.png")):
        made.save(tmp_path / "one", tmp_path / "a.png", formats="coco", min_area=0)
        assert files(tmp_path / "one") == [name]
        assert (tmp_path / "one/coco/images/a.png").exists() == (name != "a.png")
        cc.export(made, tmp_path / "without", "coco", min_area=0)
        assert files(tmp_path / "without") == [name]
    words = ["segment", str(tmp_path / "a.png"), "--vocabulary", "cat; dog", "--formats", "coco"]
    assert cli.main([*words, "--preset", "paper-224", "--output", str(tmp_path / "cli")]) == 0
    assert files(tmp_path / "cli") == ["images/a.png"]
    (tmp_path / "foreign/coco/images").mkdir(parents=True)
    (tmp_path / "foreign/coco/images/a.png").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"a\.png"):
        crop.save(tmp_path / "foreign", formats="coco")
    assert (tmp_path / "foreign/coco/images/a.png").read_bytes() == b"mine"
    auto.save(tmp_path / "foreign", formats="coco")
    assert (tmp_path / "foreign/coco/images/a.png").read_bytes() == b"mine"


def test_a_new_format_about_a_folder_is_one_entry(monkeypatch, tmp_path, nano, capsys):
    def gather(folder, pictures, polygons):
        names = []
        for picture in pictures:
            names.append(f"{picture.stem} {picture.copies.get('voc')} {len(picture.components)}")
            yield picture
        (folder / "voc/list.txt").write_text("\n".join(names))

    def copy(folder, job):
        ending, content = job.picture
        (folder / "voc").mkdir(exist_ok=True)
        (folder / f"voc/{job.stem}{ending}").write_bytes(content)
        return f"voc/{job.stem}{ending}"

    def expect_untouched(folder):
        if (folder / "voc/mine").exists():
            raise InputError("voc/mine: expected no file, got one. Move it away.")

    new = FolderFormat(
        name="voc", title="VOC", contents="voc/", needs_picture=True, expect_untouched=expect_untouched, gather=gather,
        copy=copy,
    )  # fmt: skip
    monkeypatch.setitem(FORMATS, "voc", new)
    monkeypatch.setattr(Segmenter, "from_pretrained", classmethod(lambda cls, *args, **settings: nano))
    cc.export({"a": make(), "b": make()}, tmp_path, "voc,coco,yolo", images=[IMAGE, IMAGE], min_area=0)
    assert (tmp_path / "voc/list.txt").read_text() == "a voc/a.jpg 2\nb voc/b.jpg 2"
    assert len(COCO(tmp_path / "coco/annotations.json").getImgIds()) == 2
    cc.export({"c": make()}, tmp_path)
    Image.fromarray(IMAGE).save(tmp_path / "d.png")
    assert (
        cli.main(
            [
                "segment",
                str(tmp_path / "d.png"),
                "--vocabulary",
                "cat; dog",
                "--output",
                str(tmp_path),
                "--formats",
                "voc",
            ]
        )
        == 0
    )
    assert "Not in voc: 1 earlier result; segment the pictures with --formats voc" in capsys.readouterr().err
    (tmp_path / "voc/mine").touch()
    with pytest.raises(InputError, match="voc/mine"):
        cc.export({"e": make()}, tmp_path, "voc", images=[IMAGE])
    assert not (tmp_path / "e.json").exists()


def test_pictures_that_were_never_copied_are_counted_for_formats_with_copies_only(tmp_path):
    cc.export({"a": make()}, tmp_path)
    assert gather(tmp_path, ["coco"], ComponentRule()) == {}
    assert gather(tmp_path, ["coco", "yolo"], ComponentRule()) == {"yolo": 1}


@pytest.mark.parametrize("failing", ["coco", "yolo"])
def test_a_format_that_fails_half_way_leaves_the_old_file_about_the_folder(monkeypatch, tmp_path, failing):
    cc.export({"a": make()}, tmp_path, "coco,yolo", images=[IMAGE], min_area=0)
    before = (tmp_path / "coco/annotations.json").read_bytes()
    cc.export({"b": make()}, tmp_path)
    right = FORMATS[failing]

    def half(folder, pictures, polygons):
        yield from islice(right.gather(folder, pictures, polygons), 1)
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(FORMATS, failing, dataclasses.replace(right, gather=half))
    with pytest.raises(InputError, match="No space left"):
        gather(tmp_path, ["coco", "yolo"], ComponentRule(0))
    assert (tmp_path / "coco/annotations.json").read_bytes() == before
    assert not [*tmp_path.rglob("*.tmp")]
    monkeypatch.undo()
    gather(tmp_path, ["coco", "yolo"], ComponentRule(0))
    assert len(COCO(tmp_path / "coco/annotations.json").getImgIds()) == 2


def test_steps_are_named_in_words(tmp_path):
    said = []
    saving.save(
        make(),
        IMAGE,
        tmp_path,
        "a",
        formats="png,overlay,npz,coco",
        step=lambda share, text: said.append((share, text)),
    )
    assert [text for _, text in said] == [
        "connected components", "Labels as an indexed PNG", "Overlay", "Arrays for NumPy", "writing"
    ]  # fmt: skip
    assert [share for share, _ in said] == sorted(share for share, _ in said)


def test_the_readme_lists_the_formats_in_their_order():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| format | file | opened by |")[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [*FORMATS]
