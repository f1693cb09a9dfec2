"""An archive of a batch opened again: its queue, fixes and request, and hostile or incomplete archives."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from cliptrase_core import cli
from cliptrase_core.io.export.formats import read_formats
from cliptrase_core.io.export.saving import save
from cliptrase_core.refine import Fix
from demo.errors import UserError
from demo.reopen import ReopenHandlers
from demo.review import ReviewHandlers
from demo.service import DisplayState, Refinement, SegmentRequest
from demo.service import saved as saving
from demo.service.batch import DONE, FAILED, WAITING
from demo.service.download import CHOICES, choice_of, formats_of
from demo.service.opened import Opened
from demo.service.saved import packed_name, read_archive
from demo.settings import EXAMPLES, MAX_FILES
from demo.tabs.batch import BatchHandlers
from demo.tabs.result import SegmentHandlers
from tests.demo.conftest import Click
from tests.demo.test_page import FIELDS
from tests.demo.test_reopen import asked_by, files_of, packed

WORDS = "cow; grass; horse"
HORSE = Fix(((0.5, 0.1),), "horse", radius=0.2)
NAMES = ("cows", "horses", "kitten")


@pytest.fixture(scope="module")
def archives(service, tmp_path_factory):
    """Return a function that gives the archive of a batch of three pictures, the first one fixed, for a refiner."""
    home, made = tmp_path_factory.mktemp("batch"), {}
    for name in NAMES:
        shutil.copy(EXAMPLES / f"{name}.jpg", home)

    def archive(refiner="none"):
        if refiner not in made:
            handlers = BatchHandlers(service)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("demo.tabs.batch.get_upload_folder", lambda: str(home / refiner))
                batch = list(handlers.add(None, [str(home / f"{name}.jpg") for name in NAMES]))[-1].batch
                batch = list(handlers.run(batch, None, refiner, "prompts", "masks", WORDS, *FIELDS.values()))[-1].batch
                first, second = (item.shown for item in batch.items[:2])
                other = Refinement(second.run, "sam-nano", "prompts")
                known = replace(first.fixed(HORSE), others=(replace(second, refinement=other),))
                made[refiner] = list(handlers.download(batch, known))[-1].file
        return made[refiner]

    return archive


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return tmp_path / "uploads"


@pytest.fixture
def handlers(service, uploads):
    return BatchHandlers(service)


@pytest.fixture
def opener(service, uploads):
    return ReopenHandlers(service, SegmentHandlers(service))


def filled(handlers, values, batch=None):
    return list(handlers.fill(batch, values["saved"]))[-1]


def run_again(handlers, batch, values, words=WORDS):
    fields = (values["refiner"], "prompts", values["formats"], words, *FIELDS.values())
    return list(handlers.run_opened(batch, None, values["saved"], *fields))[-1].batch


@pytest.mark.parametrize("refiner", ["none", "edges"])
def test_the_queue_comes_back_with_its_fixes_and_gives_the_same_archive(handlers, opener, archives, refiner):
    path = archives(refiner)
    values = opener.open(path, None, None)
    assert isinstance(values["saved"], Opened)
    assert "a batch of 3 pictures, 2 with changes by hand. It is in the tab Batch." in values["status"]
    assert (values["refiner"], values["formats"]) == (refiner, "masks")
    assert asked_by(values) == SegmentRequest(WORDS)
    assert values["tabs"].selected == "batch"
    assert list(opener.change(None, None, values["saved"]))  # nothing to refine above
    view = filled(handlers, values)
    assert [item.file for item in view.batch.items] == ["cows.jpg", "horses.jpg", "kitten.jpg"]
    assert "".join(view.queue).count("<img") == 3
    batch = run_again(handlers, view.batch, values)
    assert batch.count(DONE) == 3
    assert batch.items[0].shown.fixes == (HORSE,)
    assert batch.items[1].shown.refinement.refiner == "sam-nano"
    assert len(batch.by_hand()) == 2
    before, after = files_of(path), files_of(list(handlers.download(batch))[-1].file)
    assert set(before) == set(after)
    assert before["coco/annotations.json"] == after["coco/annotations.json"]
    for name in NAMES:
        one, two = (json.loads(files[f"{name}.json"]) for files in (before, after))
        assert one["settings"] == two["settings"]
        assert one["classes"] == two["classes"]


@pytest.mark.parametrize(
    "chosen", [{}, {"method": "sclip", "vote": True}, {"eps": 0.9, "min_samples": 3}, {"min_samples": 5}]
)
def test_a_folder_of_the_command_line_opens_with_its_options(opener, tmp_path, chosen):
    for name in NAMES:
        shutil.copy(EXAMPLES / f"{name}.jpg", tmp_path)
    flags = ["--vote" if value is True else f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
    folder = tmp_path / "out"
    assert cli.main(["segment", str(tmp_path), "--vocabulary", WORDS, "--output", str(folder), *flags]) == 0
    values = opener.open(shutil.make_archive(str(tmp_path / "out"), "zip", folder), None, None)
    if chosen == {"min_samples": 5}:  # the page has one choice for both, and eps differs by picture
        assert asked_by(values).min_samples == 5
        assert "Made with other words or settings" in values["status"]
    else:
        assert asked_by(values) == SegmentRequest(WORDS, **chosen)
        assert "Made with other words or settings" not in values["status"]


@pytest.mark.parametrize("choice", [*CHOICES])
def test_the_files_of_a_batch_are_known_by_those_of_its_results(service, tmp_path, choice):
    view = service.segment(str(EXAMPLES / "cows.jpg"), SegmentRequest(WORDS))
    formats = read_formats([*formats_of(choice), "coco"])
    saved = save(view.result, view.result.canvas(), tmp_path, "cows", formats=formats)
    named = json.loads(saved.json.read_text(encoding="utf-8"))["files"]
    assert formats_of(choice_of(named)) == formats_of("json" if choice == "coco" else choice)  # a batch always has COCO


def test_one_result_and_no_result_leave_the_queue(handlers, opener):
    for opened in (None, "anything"):
        view = list(handlers.fill(None, opened))[-1]
        assert view.batch["__type__"] == "update"
        assert (
            list(handlers.run_opened(None, None, opened, "none", "prompts", "masks"))[-1].batch["__type__"] == "update"
        )


def test_fixes_of_an_opened_batch_are_shown_above_and_outlive_other_words(service, handlers, opener, archives):
    values = opener.open(archives(), None, None)
    batch = run_again(handlers, filled(handlers, values).batch, values)
    reviewing = ReviewHandlers(service, SegmentHandlers(service))

    def show(batch, number, last=None):
        opened = reviewing.open(batch, Click(number))
        return list(reviewing.refine(opened["run"], opened["image"], opened["wanted"], last))[-1].shown

    untouched = DisplayState(service.segment(batch.items[0].path, SegmentRequest("cow; sky")).run)
    for last in (None, untouched, show(batch, 2)):  # the page may show that very picture already
        assert show(batch, 0, last).fixes == (HORSE,)
        *_, view = handlers.download(batch, last)
        assert view.batch.items[0].shown.fixes == (HORSE,)
    taken_back = show(batch, 0).undo()
    assert list(handlers.download(batch, taken_back))[-1].batch.items[0].shown.fixes == ()
    other = list(handlers.run(batch, None, "none", "prompts", "masks", "cow; sky", *FIELDS.values()))[-1].batch
    assert other.items[0].shown.fixes == ()
    assert "1 fix of 'horse' is kept but not applied" in other.items[0].message
    back = list(handlers.run(other, None, "none", "prompts", "masks", WORDS, *FIELDS.values()))[-1].batch
    assert back.items[0].shown.fixes == (HORSE,)
    fresh = show(back, 2).fixed(HORSE)  # the archive has no change of this one
    again = list(handlers.run(back, fresh, "none", "prompts", "masks", "horse; sky", *FIELDS.values()))[-1].batch
    assert again.items[2].shown.fixes == (HORSE,)


def test_what_the_page_knew_of_these_pictures_gives_way_to_the_archive(service, opener, archives):
    run = service.segment(str(EXAMPLES / "cows.jpg"), SegmentRequest(WORDS)).run
    other = service.segment(str(EXAMPLES / "room.jpg"), SegmentRequest(WORDS)).run
    known = tuple(DisplayState(one, fixes=(HORSE,)) for one in (run, other))
    values = opener.open(archives(), None, None, DisplayState(other, others=known))
    assert [one.run for one in values["shown"].others] == [other]


def test_pictures_that_the_archive_lacks_are_awaited_by_name_and_size(handlers, opener, archives, tmp_path):
    files = {name: content for name, content in files_of(archives()).items() if not name.endswith(".jpg")}
    values = opener.open(packed(tmp_path, files), None, None)
    assert (
        "Not in the archive; drop them into the box of the queue, and their fixes return: cows.jpg, "
        in (values["status"])
    )
    view = filled(handlers, values)
    assert [item.state for item in view.batch.items] == 3 * [FAILED]
    assert "The archive lacks this picture. Drop cows.jpg (800 x 600 pixels) into the box above." in "".join(view.queue)
    (tmp_path / "wrong").mkdir()
    wrong = shutil.copy(EXAMPLES / "room.jpg", tmp_path / "wrong" / "kitten.jpg")
    view = list(handlers.add(view.batch, [wrong, str(EXAMPLES / "cows.jpg")]))[-1]
    assert [item.state for item in view.batch.items] == [WAITING, FAILED, FAILED]
    assert "Drop kitten.jpg" in "".join(view.queue)
    assert run_again(handlers, view.batch, values).items[0].shown.fixes == (HORSE,)


def test_one_broken_result_does_not_stop_the_others(handlers, opener, archives, tmp_path):
    files = files_of(archives())
    files["horses.json"] = files["horses.json"][:500]
    record = json.loads(files["kitten.json"])
    record["settings"]["eps"] = "<b>"
    files |= {"kitten.json": json.dumps(record), "another.json": files["cows.json"], "foreign.json": b"[1]"}
    values = opener.open(packed(tmp_path, files), None, None)
    assert "a batch of 1 picture, 1 with changes by hand." in values["status"]
    assert "cannot be read or repeat a picture: horses.json, kitten.json, another.json." in values["status"]
    assert run_again(handlers, filled(handlers, values).batch, values).count(DONE) == 1


def test_damage_inside_one_file_costs_that_file_only(handlers, opener, archives, tmp_path):
    content = bytearray(Path(archives()).read_bytes())
    with zipfile.ZipFile(archives()) as archive:
        for name in ("horses.json", "kitten.jpg"):
            entry = archive.getinfo(name)
            content[entry.header_offset + 200] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(content)
    values = opener.open(str(tmp_path / "damaged.zip"), None, None)
    assert "horses.json" in values["status"]
    batch = filled(handlers, values).batch
    assert [(item.file, item.state) for item in batch.items] == [("cows.jpg", WAITING), ("kitten.jpg", FAILED)]


def test_one_endless_name_does_not_stop_the_others_and_a_failure_leaves_no_folder(
    handlers, opener, archives, uploads, tmp_path, monkeypatch
):
    files = files_of(archives())
    files["horses.json"] = json.dumps(json.loads(files["horses.json"]) | {"picture": "horses." + "x" * 300})
    files[packed_name("horses." + "x" * 300)] = files.pop("horses.jpg")
    values = opener.open(packed(tmp_path, files), None, None)
    batch = filled(handlers, values).batch
    assert [item.state for item in batch.items] == 3 * [WAITING]
    handlers.clear(batch)
    monkeypatch.setattr("demo.service.opened._written", lambda *_: 1 / 0)
    with pytest.raises(gr.Error):
        opener.open(packed(tmp_path, files), None, None)
    assert not list(uploads.iterdir())


def test_names_with_folders_stay_inside_the_queue_s_own_folder(handlers, opener, archives, uploads, tmp_path):
    files = files_of(archives())
    record = json.loads(files["cows.json"])
    record["picture"] = "../../../etc/cows.jpg"
    files["cows.json"] = json.dumps(record)
    values = opener.open(packed(tmp_path, {**files, "../out.json": files["kitten.json"]}), None, None)
    batch = filled(handlers, values).batch
    assert all(Path(item.path).resolve().is_relative_to(uploads.resolve()) for item in batch.items)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.zip", "uploads"]
    handlers.clear(batch)
    assert not list(uploads.rglob("*.jpg")), "emptying the queue removes what it unpacked"


def test_words_and_boundaries_of_the_batch_are_those_of_most(opener, archives, tmp_path):
    files = files_of(archives("edges"))
    record = json.loads(files["kitten.json"])
    record["settings"]["vocabulary"] = "cat; wall"
    values = opener.open(packed(tmp_path, {**files, "kitten.json": json.dumps(record)}), None, None)
    assert (values["words"], values["refiner"]) == (WORDS, "edges")
    assert "Made with other words or settings, and now with those of the others: kitten.jpg." in values["status"]


def test_fixes_that_cannot_be_applied_leave_the_result_without_them(handlers, opener, archives, tmp_path):
    files = files_of(archives())
    record = json.loads(files["cows.json"])
    record["settings"].update(refiner="sam-nano", refine_mode="prompts", keep=[999])
    values = opener.open(packed(tmp_path, {**files, "cows.json": json.dumps(record)}), None, None)
    item = run_again(handlers, filled(handlers, values).batch, values).items[0]
    assert (item.state, item.shown.fixes) == (DONE, ())
    assert "Without its fixes: " in item.message


def test_a_queue_takes_no_more_than_it_may_and_nothing_twice(handlers, opener, archives, monkeypatch):
    values = opener.open(archives(), None, None)
    view = filled(handlers, values, filled(handlers, values).batch)
    assert len(view.batch.items) == 3
    assert "3 of those chosen were there already" in view.news
    monkeypatch.setattr("demo.service.opened.MAX_FILES", 2)
    view = filled(handlers, values)
    assert len(view.batch.items) == 2
    assert "1 more was left out" in view.news


def test_fixes_of_an_archive_have_a_limit_together(opener, archives, monkeypatch):
    monkeypatch.setattr("demo.service.opened.MOST_POINTS_IN_ALL", 0)
    status = opener.open(archives(), None, None)["status"]
    assert "a batch of 2 pictures" in status
    assert "stores at most 0 points of fixes: cows.jpg." in status


def test_large_and_many_records_are_refused_unread(archives, tmp_path, monkeypatch):
    files = files_of(archives())
    many = {f"{number}.json": files["cows.json"] for number in range(MAX_FILES + 1)}
    with pytest.raises(UserError, match="an archive of many results"):
        read_archive(packed(tmp_path, many))
    for name in ("MOST_RECORD", "MOST_RECORDS_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(saving, name, 100)
            with pytest.raises(UserError, match="an archive of many results"):
                read_archive(archives())
