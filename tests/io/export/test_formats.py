"""Formats: each is one entry of one list, and everything that writes or names formats follows it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import cliptrase_core as cc
from cliptrase_core import cli
from cliptrase_core.errors import InputError
from cliptrase_core.io.export.formats import FORMATS, ClassFormat, FileFormat, FolderFormat, Format, Job, users_of
from cliptrase_core.io.files import seal
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
    assert "1 of 1 pictures were done before" in capsys.readouterr().err
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
def test_entries_are_complete(one):
    assert one.contents
    assert isinstance(one, (FileFormat, ClassFormat, FolderFormat)) == (one.name != "json")
    assert all(one.name in users_of(option) for option in one.options)
    if isinstance(one, FileFormat):
        others = [each for each in FORMATS.values() if isinstance(each, FileFormat) and each is not one]
        assert one.path("dog") not in [each.path("dog") for each in others]
        assert one.kind not in [*(each.kind for each in others), "json", "folder", "stem"]
    elif type(one) is not Format:
        assert one.title


def test_the_readme_lists_the_formats_in_their_order():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| format | file | opened by |")[2]
    rows = table.partition("\n\n")[0].splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [*FORMATS]
