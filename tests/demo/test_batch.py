"""Batches: the queue, a corrupt picture, stop and resume, repeated work, the archive, refused input."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import gradio as gr
import numpy as np
import pytest
from gradio.exceptions import Error
from PIL import Image

from cliptrase_core.cancel import CancelToken, cancellable
from cliptrase_core.refine import Fix
from demo import guard
from demo.changing import ChangeView
from demo.errors import NO_ROOM, NOT_WRITTEN, UserError
from demo.handling import same
from demo.review import ReviewHandlers
from demo.service import DisplayState, Refinement, SegmentRequest
from demo.service.batch import (
    DONE,
    FAILED,
    WAITING,
    Batch,
    BatchRequest,
    added,
    new_folder,
    prepared,
    segmented,
)
from demo.service.packing import packed
from demo.service.shown import apply_change
from demo.settings import EXAMPLES, MAX_FILES
from demo.tabs.batch import BatchHandlers, NoteView, queue_list
from demo.tabs.result import SegmentHandlers
from tests.demo.conftest import Click
from tests.demo.test_page import FIELDS

WORDS = "cow; grass; horse"
NAMES = ("cows", "horses", "kitten", "room")
REQUEST = BatchRequest(SegmentRequest(WORDS), "none", "prompts", "masks")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr("demo.tabs.batch.get_upload_folder", lambda: str(tmp_path / "uploads"))
    return tmp_path


@pytest.fixture
def handlers(service):
    return BatchHandlers(service)


@pytest.fixture
def five(tmp_path):
    """Paths of five pictures; the third one is corrupt."""
    for name in NAMES:
        shutil.copy(EXAMPLES / f"{name}.jpg", tmp_path)
    (tmp_path / "broken.jpg").write_bytes((EXAMPLES / "palace.jpg").read_bytes()[:3000])
    return [str(tmp_path / f"{name}.jpg") for name in ("cows", "horses", "broken", "kitten", "room")]


def run(handlers, batch, refiner="none", choice="masks", words=WORDS):
    return handlers.run(batch, None, refiner, "prompts", choice, words, *FIELDS.values())


def rows(view) -> str:
    """Return the HTML of the queue, as the browser joins it."""
    return "".join(view.queue)


def taken(handlers, batch) -> zipfile.ZipFile:
    return zipfile.ZipFile(list(handlers.download(batch))[-1].file)


def test_five_pictures_of_which_one_is_corrupt_give_one_zip_and_one_line(handlers, home, five):
    view = list(handlers.add(None, five))[-1]
    assert view.files is None, "the box is free for more"
    assert rows(view).count("<img") == 4
    done = list(run(handlers, view.batch))[-1]
    assert [item.state for item in done.batch.items] == [DONE, DONE, FAILED, DONE, DONE]
    assert rows(done).count('class="failed"') == 1
    assert "expected a whole picture" in rows(done)
    assert "4 of 5 are done, 1 cannot be used" in done.news
    assert "Download before you leave this page" in done.news
    for item in done.batch.items:
        assert bool(item.overlay) == (item.state == DONE)
        if item.overlay:
            assert item.overlay in rows(done), "the queue shows what was made"
            assert item.thumbnail not in rows(done)
            assert len(item.overlay) < 20_000
    archive = taken(handlers, done.batch)
    assert archive.testzip() is None
    coco = json.loads(archive.read("coco/annotations.json"))
    assert [image["file_name"] for image in coco["images"]] == ["cows.jpg", "horses.jpg", "kitten.jpg", "room.jpg"]
    assert {entry["name"] for entry in coco["categories"]} == {"cow", "grass", "horse"}
    assert any(name.startswith("masks/cows/") for name in archive.namelist())
    for image in coco["images"]:
        assert archive.read(image["file_name"]) == (home / image["file_name"]).read_bytes(), "COCO has its pictures"
    how = archive.read("HOW-TO.txt").decode()
    assert "without their pictures" not in how
    assert how.count("broken.jpg: expected") == 1
    assert str(home) not in how
    assert f"--vocabulary={WORDS}" in how


def test_a_finished_picture_changes_its_own_row_alone(handlers, five):
    views = list(run(handlers, list(handlers.add(None, five))[-1].batch))
    for before, after in pairwise(views):
        changed = sum(old != new for old, new in zip(before.queue, after.queue, strict=True))
        assert changed <= 2, "the finished one, and the next one"


def test_it_goes_on_where_it_stopped(handlers, service, home, five, monkeypatch):
    batch = list(handlers.add(None, five))[-1].batch
    steps, newest = run(handlers, batch), None
    for view in steps:
        newest = view
        if view.batch.count(DONE) == 2:
            break
    steps.close()  # as Stop does
    stopped = handlers.stopped(newest.batch)
    assert "2 of 5 are done" in stopped.news
    assert "busy" not in stopped.news + rows(stopped)
    assert stopped.go.value == "Go on"
    assert len(json.loads(taken(handlers, newest.batch).read("coco/annotations.json"))["images"]) == 2
    asked = []
    monkeypatch.setattr("demo.tabs.batch.segmented", lambda *a: (asked.append(a[2]), segmented(*a))[1])
    done = list(run(handlers, newest.batch))[-1].batch
    assert asked == [3, 4]
    assert done.count(DONE) == 4
    assert len(json.loads(taken(handlers, done).read("coco/annotations.json"))["images"]) == 4


@pytest.mark.parametrize("change", [{"words": "cow; sky"}, {"refiner": "edges"}, {"choice": "labelme"}])
def test_what_was_asked_otherwise_is_made_again(handlers, home, five, change):
    first = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch))[-1].batch
    assert list(run(handlers, first))[-1].batch == first, "nothing to do"
    again = list(run(handlers, first, **change))
    assert again[0].batch.count(WAITING) == 2
    assert not any(item.overlay for item in again[0].batch.items)
    archive = taken(handlers, again[-1].batch)
    masks = [name for name in archive.namelist() if name.startswith("masks/")]
    assert bool(masks) == (change.get("choice", "masks") == "masks")
    if "words" in change:
        assert not any(name.endswith("/grass.png") for name in masks), "nothing is left of what was made before"
    if "refiner" in change:
        assert json.loads(archive.read("cows.json"))["refinement"]["refiner"] == "edges"


def test_a_large_picture_stays_behind_and_that_is_said(service, home, five, monkeypatch):
    batch = prepared(added(Batch(str(home / "out")), five[:2], 20)[0], REQUEST)
    for index in (0, 1):
        batch = batch.with_item(index, segmented(service, batch, index))
    monkeypatch.setattr("demo.service.download.MOST_PICTURE", max(Path(path).stat().st_size for path in five[:2]) - 1)
    packed(service, batch, home / "a.zip")
    with zipfile.ZipFile(home / "a.zip") as archive:
        there = {"cows.jpg", "horses.jpg"} & set(archive.namelist())
        how = archive.read("HOW-TO.txt").decode()
    assert len(there) == 1
    (gone,) = {"cows.jpg", "horses.jpg"} - there
    assert f"larger than 10 MB):\n\n{gone}\n" in how


@pytest.mark.parametrize("refiner", ["none", "edges"])
def test_a_finished_picture_is_shown_as_the_batch_made_it(service, handlers, home, five, refiner):
    batch = list(run(handlers, list(handlers.add(None, five[:3]))[-1].batch, refiner))[-1].batch
    reviewing = ReviewHandlers(service, SegmentHandlers(service))
    shown = reviewing.open(batch, Click(1))
    assert (shown["image"], shown["words"]) == (five[1], batch.request.segment_request.words)
    assert shown["run"].request == batch.request.segment_request
    assert ("horses.jpg" in shown["status"]) == (refiner == "none")
    last = list(reviewing.refine(shown["run"], shown["image"], shown["wanted"]))[-1]
    if refiner == "none":
        assert last == same(ChangeView)._replace(shown=DisplayState(shown["run"]), due=False)
    else:
        assert last.shown.refinement == batch.request.refinement(shown["run"])
        assert "horses.jpg" in last.status
    assert list(reviewing.refine(None, None, shown["wanted"])) == [same(ChangeView)], "another picture came meanwhile"


@pytest.mark.parametrize("refiner", ["none", "edges"])
def test_fixes_of_a_picture_return_when_it_is_shown_again(service, handlers, home, five, refiner):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch, refiner))[-1].batch
    reviewing = ReviewHandlers(service, SegmentHandlers(service))

    def show(number, shown):
        opened = reviewing.open(batch, Click(number))
        return list(reviewing.refine(opened["run"], opened["image"], opened["wanted"], shown))[-1]

    first, fix = show(0, None), Fix(((0.5, 0.5),), "grass", radius=0.2)
    fixed = replace(first.shown, fixes=(fix,))
    second = show(1, fixed)
    assert second.shown.fixes == ()
    for last in (show(0, second.shown), show(0, fixed)):
        assert last.shown.fixes == (fix,)
        assert last.result["fixes"] == 1
        assert "cows.jpg" in last.status
        assert ("Coarse, 1 fix:" if refiner == "none" else "Refined by edges, 1 fix:") in last.status


@pytest.fixture
def reviewing(service):
    return ReviewHandlers(service, SegmentHandlers(service))


def show(reviewing, batch, number, shown=None):
    """Show a finished picture above; return the state of the page."""
    opened = reviewing.open(batch, Click(number))
    return list(reviewing.refine(opened["run"], opened["image"], opened["wanted"], shown))[-1].shown


def area_in_coco(archive, file, name):
    """Return the pixels of a class in the annotations of a picture."""
    coco = json.loads(archive.read("coco/annotations.json"))
    image = next(one["id"] for one in coco["images"] if one["file_name"] == file)
    category = next(one["id"] for one in coco["categories"] if one["name"] == name)
    wanted = (image, category)
    return sum(one["area"] for one in coco["annotations"] if (one["image_id"], one["category_id"]) == wanted)


HORSE = Fix(((0.5, 0.1),), "horse", radius=0.2)


@pytest.mark.parametrize("refiner", ["none", "edges"])
def test_the_archive_holds_what_was_fixed_and_refined_by_hand(handlers, reviewing, home, five, refiner):
    batch = list(run(handlers, list(handlers.add(None, five))[-1].batch, refiner))[-1].batch
    before = taken(handlers, batch)
    fixed = show(reviewing, batch, 0).fixed(HORSE)
    second = show(reviewing, batch, 1, fixed)
    refined = replace(second, refinement=Refinement(second.run, "sam-nano", "prompts"))
    *_, view = handlers.download(batch, show(reviewing, batch, 4, refined))
    after = zipfile.ZipFile(view.file)
    cows, horses, kitten = (json.loads(after.read(f"{name}.json")) for name in ("cows", "horses", "kitten"))
    assert cows["settings"]["fixes"] == [HORSE.as_dict()]
    assert cows["settings"].get("refiner") == (None if refiner == "none" else refiner)
    assert horses["settings"]["refiner"] == "sam-nano"
    assert kitten == json.loads(before.read("kitten.json"))
    assert "masks/cows/horse.png" in after.namelist()
    assert area_in_coco(after, "cows.jpg", "horse") > area_in_coco(before, "cows.jpg", "horse")
    how = after.read("HOW-TO.txt").decode()
    assert "which the command does not repeat:\n\ncows.jpg: " in how
    assert ", 1 fix\nhorses.jpg: refined by sam-nano\n" in how
    assert "2 with your changes" in view.news
    assert view.batch.items[0].overlay != batch.items[0].overlay


def test_a_row_tells_a_fix_when_it_is_made_and_when_it_is_taken_back(handlers, reviewing, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch))[-1].batch
    plain = show(reviewing, batch, 0)
    assert handlers.note(batch, plain.run, five[0], plain) == same(NoteView)._replace(in_batch="")
    view = handlers.note(batch, plain.run, five[0], plain.fixed(HORSE))
    assert rows(view).count("<i>done, 1 fix</i>") == 1
    assert "2 of 2 are done, 1 with your changes." in view.news
    assert view.batch.items[0].message != batch.items[0].message, "areas"
    assert view.batch.items[0].overlay in rows(view)
    assert view.batch.items[0].overlay != batch.items[0].overlay
    for shown in (None, plain, show(reviewing, batch, 1, plain.fixed(HORSE))):  # a result that is being restored
        assert handlers.note(view.batch, plain.run, five[0], shown).batch == same(NoteView).batch
    back = handlers.note(view.batch, plain.run, five[0], plain.fixed(HORSE).undo())
    assert "<i>done</i>" in rows(back)
    assert back.batch.items[0].message == batch.items[0].message
    downloaded = list(handlers.download(view.batch, None))[-1]
    assert json.loads(zipfile.ZipFile(downloaded.file).read("cows.json"))["settings"]["fixes"] == [HORSE.as_dict()]
    again = list(run(handlers, view.batch, words="horse; sky"))[-1].batch
    assert again.items[0].shown.fixes == (HORSE,), "the next result takes the fix over"


@pytest.mark.parametrize(("asked", "other"), [(SegmentRequest("cow; sky"), "words"), (None, "settings")])
def test_other_words_for_a_picture_of_the_batch_are_told(service, handlers, reviewing, home, five, asked, other):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch))[-1].batch
    made = batch.items[0].shown.run
    last = DisplayState(service.segment(five[0], asked or replace(made.request, image_prior=True)).run)
    view = handlers.note(batch, last.run, five[0], last)
    assert f"cows.jpg has other {other} here; its row and the archive keep those of the batch." in view.in_batch
    assert rows(view).count(f"Shown above with other {other}; the archive has those of the batch.") == 1
    elsewhere = show(reviewing, batch, 1)
    assert handlers.note(view.batch, elsewhere.run, five[1], elsewhere) == same(NoteView)._replace(in_batch="")
    back = handlers.note(view.batch, made, five[0], DisplayState(made))
    assert (back.in_batch, back.batch) == ("", batch)
    assert not any(item.note for item in list(run(handlers, view.batch, words="cow"))[-1].batch.items)


def test_a_result_outside_the_batch_changes_nothing_in_it(service, handlers, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:1]))[-1].batch))[-1].batch
    other = service.segment(five[4], SegmentRequest(WORDS)).run
    for queue, one in ((batch, other), (batch, None), (None, other)):
        assert handlers.note(queue, one, five[4], None) == same(NoteView)._replace(in_batch="")


def test_fixes_beyond_what_a_queue_stores_stay_those_of_the_page(handlers, reviewing, home, five, monkeypatch):
    monkeypatch.setattr("demo.service.queue_row.MOST_POINTS_IN_ALL", 0)
    batch = list(run(handlers, list(handlers.add(None, five[:1]))[-1].batch))[-1].batch
    fixed = show(reviewing, batch, 0).fixed(HORSE)
    assert handlers.note(batch, fixed.run, five[0], fixed) == same(NoteView)._replace(in_batch="")
    assert "1 with your changes" in list(handlers.download(batch, fixed))[-1].news


def test_a_change_taken_back_leaves_the_archive_and_nothing_is_written_twice(
    handlers, reviewing, home, five, monkeypatch
):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch))[-1].batch
    fixed = show(reviewing, batch, 0).fixed(HORSE)
    again = list(handlers.download(batch, fixed))[-1].batch
    with monkeypatch.context() as patch:
        patch.setattr("demo.service.batch._written", None)
        assert list(handlers.download(again, show(reviewing, again, 1, fixed)))[-1].batch == again
    *_, view = handlers.download(again, fixed.undo())
    assert "fixes" not in json.loads(zipfile.ZipFile(view.file).read("cows.json"))["settings"]
    assert "your changes" not in view.news
    assert view.batch == batch


def test_an_archive_keeps_the_changes_of_pictures_that_the_page_no_longer_knows(handlers, reviewing, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch))[-1].batch
    fixed = show(reviewing, batch, 0).fixed(HORSE)
    again = list(handlers.download(batch, fixed))[-1].batch
    for last in (None, show(reviewing, again, 1)):
        *_, view = handlers.download(again, last)
        assert json.loads(zipfile.ZipFile(view.file).read("cows.json"))["settings"]["fixes"] == [HORSE.as_dict()]
        assert "1 with your changes" in view.news


@pytest.mark.parametrize("known", [False, True])
def test_the_download_has_the_files_that_are_chosen_now(handlers, reviewing, home, five, known):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch))[-1].batch
    fixed = show(reviewing, batch, 0).fixed(HORSE) if known else None
    *_, view = handlers.download(batch, fixed, "labelme")
    names = zipfile.ZipFile(view.file).namelist()
    assert {"labelme/cows.json", "labelme/horses.json"} <= set(names)
    assert not any(name.startswith("masks/") for name in names)
    assert view.batch.request.choice == "labelme"
    assert len(json.loads(zipfile.ZipFile(view.file).read("coco/annotations.json"))["images"]) == 2
    *_, back = handlers.download(view.batch, None, "masks")
    names = zipfile.ZipFile(back.file).namelist()
    assert "masks/horses/horse.png" in names
    assert not any(name.startswith("labelme/") for name in names)
    fixes = json.loads(zipfile.ZipFile(back.file).read("cows.json"))["settings"].get("fixes", [])
    assert fixes == ([HORSE.as_dict()] if known else [])


def test_files_of_another_kind_never_take_away_what_cannot_be_made_again(handlers, service, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch))[-1].batch
    service.forget(five[:2])
    Path(five[0]).unlink()
    *_, view = handlers.download(batch, None, "labelme")
    names = zipfile.ZipFile(view.file).namelist()
    assert {"masks/cows/grass.png", "masks/horses/horse.png", "cows.json"} <= set(names)
    assert not any(name.startswith("labelme/") for name in names)
    told = "Not in the download: the files chosen now, because these pictures are no longer here: cows.jpg."
    assert told in view.news
    assert told.removeprefix("Not in the download: ") in zipfile.ZipFile(view.file).read("HOW-TO.txt").decode()
    assert view.batch == batch


def test_files_that_cannot_be_written_are_no_path_on_the_page_and_are_tried_again(handlers, home, five, monkeypatch):
    batch = list(handlers.add(None, five[:2]))[-1].batch
    for number, said in ((errno.ENOSPC, NO_ROOM), (errno.EACCES, NOT_WRITTEN)):
        with monkeypatch.context() as patch:
            error = OSError(number, os.strerror(number), str(home / "secret"))
            patch.setattr("cliptrase_core.io.export.saving.write_all", Mock(side_effect=error))
            failed = list(run(handlers, batch))[-1]
        assert [(item.state, item.message) for item in failed.batch.items] == [(FAILED, said)] * 2
        assert str(home) not in rows(failed) + failed.news
        batch = failed.batch
    assert list(run(handlers, batch))[-1].batch.count(DONE) == 2


def test_fixes_that_failed_once_are_tried_again_at_the_download(handlers, reviewing, service, home, five, monkeypatch):
    batch = list(run(handlers, list(handlers.add(None, five[:1]))[-1].batch))[-1].batch
    batch = handlers.note(batch, *(lambda one: (one.run, five[0], one))(show(reviewing, batch, 0).fixed(HORSE))).batch
    shown = type(service).shown

    def failing(self, what, *args, **kwargs):
        if what.fixes:
            raise UserError("Too little memory.")
        return shown(self, what, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(service), "shown", failing)
        again = list(run(handlers, batch, words="horse; sky"))[-1].batch
    assert "Without its fixes: Too little memory." in again.items[0].message
    fixes = json.loads(taken(handlers, again).read("cows.json"))["settings"]["fixes"]
    assert fixes == [HORSE.as_dict()]


def test_new_boundaries_reach_pictures_with_fixes_too(handlers, reviewing, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch))[-1].batch
    fixed = show(reviewing, batch, 0).fixed(HORSE)
    noted = handlers.note(batch, fixed.run, five[0], fixed).batch
    for refiner in ("edges", "none"):
        noted = list(run(handlers, noted, refiner))[-1].batch
        archive = taken(handlers, noted)
        for name in ("cows", "horses"):
            settings = json.loads(archive.read(f"{name}.json"))["settings"]
            assert settings.get("refiner", "none") == refiner
            assert settings.get("fixes", []) == ([HORSE.as_dict()] if name == "cows" else [])


def test_fixes_of_the_page_are_in_the_first_result_of_the_queue(handlers, service, home, five):
    view = list(handlers.add(None, five[:2]))[-1]
    fixed = DisplayState(service.segment(five[0], SegmentRequest(WORDS)).run).fixed(HORSE)
    done = list(handlers.run(view.batch, fixed, "none", "prompts", "masks", WORDS, *FIELDS.values()))[-1]
    assert rows(done).count("<i>done, 1 fix</i>") == 1
    assert "2 of 2 are done, 1 with your changes." in done.news
    assert json.loads(taken(handlers, done.batch).read("cows.json"))["settings"]["fixes"] == [HORSE.as_dict()]


def test_a_row_counts_fixes_made_with_other_words(handlers, reviewing, service, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:1]))[-1].batch))[-1].batch
    other = DisplayState(service.segment(five[0], SegmentRequest("horse; sky")).run).fixed(HORSE).fixed(HORSE)
    view = handlers.note(batch, other.run, five[0], other)
    assert rows(view).count("<i>done, 2 fixes</i>") == 1
    assert "cows.jpg has other words here" in view.in_batch
    archive = zipfile.ZipFile(list(handlers.download(view.batch, other))[-1].file)
    assert len(json.loads(archive.read("cows.json"))["settings"]["fixes"]) == 2


def test_go_waits_for_the_end_of_a_run(handlers, home, five, monkeypatch):
    batch = list(handlers.add(None, five[:2]))[-1].batch
    views = list(run(handlers, batch))
    assert {view.go.interactive for view in views[:-1]} == {False}
    assert views[-1].go.interactive is True
    assert handlers.stopped(views[0].batch).go.interactive is True
    monkeypatch.setattr("demo.tabs.batch.segmented", None)
    seen = []
    with pytest.raises(gr.Error):
        seen.extend(run(handlers, views[0].batch))
    assert seen[-1].go.interactive is True, "also after a failure"


def test_coarse_boundaries_chosen_by_hand_stay_coarse(handlers, reviewing, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch, "edges"))[-1].batch
    coarse = apply_change(show(reviewing, batch, 0), {"refined": False}, "edges", "prompts", None)
    for last in (coarse, show(reviewing, batch, 1, coarse)):
        *_, view = handlers.download(batch, last)
        archive = zipfile.ZipFile(view.file)
        assert "refiner" not in json.loads(archive.read("cows.json"))["settings"]
        assert json.loads(archive.read("horses.json"))["settings"]["refiner"] == "edges"
        assert "1 with your changes" in view.news
        assert show(reviewing, view.batch, 0, last).refinement is None


def test_changes_that_do_not_fit_are_said_at_the_download(service, handlers, reviewing, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:2]))[-1].batch))[-1].batch
    other = service.segment(five[0], SegmentRequest("cow; sky"))
    *_, view = handlers.download(batch, DisplayState(other.run, fixes=(replace(HORSE, class_name="sky"),)))
    assert "Not in the download: cows.jpg: 1 fix of" in view.news
    assert "cows.jpg: 1 fix of 'sky' is kept but not applied" in zipfile.ZipFile(view.file).read("HOW-TO.txt").decode()
    fixed = replace(batch.items[0].shown, fixes=(HORSE,))
    last = show(reviewing, batch, 1, fixed).fixed(HORSE)
    Path(five[0]).write_bytes(b"another picture")
    *_, view = handlers.download(batch, last)
    assert "Not in the download: cows.jpg: " in view.news
    assert "1 with your changes" in view.news


def test_a_download_that_takes_too_long_goes_on_with_the_next(handlers, reviewing, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:1]))[-1].batch))[-1].batch
    fixed = show(reviewing, batch, 0).fixed(HORSE)
    with cancellable(CancelToken(0.0)):
        *_, view = handlers.download(batch, fixed)
    assert "Press Download again" in view.news
    assert view.file is None, "no earlier archive"
    assert view.download.interactive
    assert "1 with your changes" in list(handlers.download(view.batch, fixed))[-1].news


def test_a_review_that_takes_too_long_says_so(service, handlers, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:1]))[-1].batch, "edges"))[-1].batch
    reviewing = ReviewHandlers(service, SegmentHandlers(service))
    shown = reviewing.open(batch, Click(0))
    service.forget([shown["image"]])
    with cancellable(CancelToken(0.0)):
        *_, last = reviewing.refine(shown["run"], shown["image"], shown["wanted"])
    assert "The result is coarse. The time limit is over." in last.status


@pytest.mark.parametrize("index", [2, 9, -1, "1", None, [0], 1.5, float("nan")])
def test_what_is_not_done_is_not_shown(service, home, five, index):
    batch = prepared(added(Batch(str(home / "out")), five, 20)[0], REQUEST)
    batch = batch.with_item(1, segmented(service, batch, 1))
    reviewing = ReviewHandlers(service, SegmentHandlers(service))
    for asked in (batch, None):
        answer = reviewing.open(asked, Click(index))
        assert set(answer) == {"status", "wanted"}
        assert "Not possible" in answer["status"]


def test_every_picture_has_a_name_of_its_own(tmp_path):
    batch, left_out = added(Batch(str(tmp_path)), ["/a/dog.jpg", "/b/dog.jpg", "/c/Dog.png", "/d/dog-2.jpg"], 20)
    assert [item.file for item in batch.items] == ["dog.jpg", "dog-2.jpg", "Dog-3.png", "dog-2-2.jpg"]
    batch, left_out = added(batch, [f"/e/{number}.jpg" for number in range(30)], 20)
    assert (len(batch.items), left_out) == (20, 14)


def test_more_than_a_batch_takes_are_left_out_and_said(handlers, home, photo):
    paths = [str(home / f"{number}.png") for number in range(MAX_FILES + 3)]
    for number, path in enumerate(paths):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    view = list(handlers.add(None, paths))[-1]
    assert len(view.batch.items) == MAX_FILES
    assert "3 more were left out" in view.news
    assert f"a batch takes {MAX_FILES}. Download these, empty the queue, then add the others." in view.news


def test_a_folder_with_known_pictures_and_other_files_is_counted_right(handlers, home, five, tmp_path):
    (tmp_path / "notes.txt").write_text("not a picture")
    shutil.copy(five[0], tmp_path / "copy.jpg")
    batch = list(handlers.add(None, five[:3]))[-1].batch
    view = list(handlers.add(batch, [*five, str(tmp_path / "notes.txt"), str(tmp_path / "copy.jpg")]))[-1]
    assert [item.file for item in view.batch.items] == [Path(path).name for path in five]
    known = "3 of those chosen were there already. copy.jpg is the same picture as cows.jpg."
    assert f"5 pictures, 1 cannot be used. {known} 1 is no picture (notes.txt)." in view.news


LEFT_OUT = {"full": 0, "later": 0, "known": 0, "large": 0, "others": 0, "names": []}


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"full": 30}, f"30 more were left out: a batch takes {MAX_FILES}. Download these, empty the queue, then"),
        ({"later": 2}, "2 more were left out: one upload takes 290 MB. Add them again."),
        ({"known": 1}, "1 of those chosen was there already."),
        ({"large": 1}, "1 is larger than 40 MB."),
        ({"others": 5, "names": ["<b>.txt", "b", "c"]}, "5 are no pictures (&lt;b&gt;.txt, b, c)."),
    ],
)
def test_what_the_browser_left_out_is_said(handlers, home, five, left, said):
    text = json.dumps({**LEFT_OUT, **left})
    assert said in list(handlers.add(None, five[:1], text))[-1].news
    assert said in handlers.nothing_added(None, text)


@pytest.mark.parametrize(
    "text",
    [
        *(None, 5, "", "[", "[]", "{}", "[" * 9999),
        *(json.dumps({**LEFT_OUT, **wrong}) for wrong in ({"full": -1}, {"full": 0.5}, {"names": 3})),
    ],
    ids=lambda text: str(text)[:20],
)
def test_counts_that_are_none_count_nothing(handlers, text):
    assert handlers.nothing_added(None, text) == '<div class="strip calm" role="status"><b>Batch:</b> 0 pictures.</div>'


def test_names_of_files_are_text(tmp_path):
    batch, _ = added(Batch(str(tmp_path)), ["/a/<img src=x onerror=alert(1)>.jpg"], 20)
    assert "<img src=x" not in "".join(queue_list(batch))


def test_a_picture_that_goes_meanwhile_is_one_line(service, home, five):
    batch = prepared(added(Batch(str(home / "out")), five[:2], 20)[0], REQUEST)
    Path(five[0]).unlink()
    item = segmented(service, batch, 0)
    assert (item.state, "no longer here" in item.message) == (FAILED, True)
    assert segmented(service, batch, 1).state == DONE


def test_a_large_photograph_is_made_in_full(service, home):
    large = home / "large.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 2000, 3)).astype(np.uint8)).save(large)
    batch = prepared(added(Batch(str(home / "out")), [str(large)], 20)[0], REQUEST)
    batch = batch.with_item(0, segmented(service, batch, 0))
    packed(service, batch, home / "a.zip")
    with zipfile.ZipFile(home / "a.zip") as archive:
        assert json.loads(archive.read("large.json"))["size"] == [1500, 2000]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"words": ""}, "Type at least one class, for example: cat; sofa."),
        ({"refiner": "laser"}, "refiner: expected one of"),
        ({"refiner": "vit_h"}, "refiner: expected one whose weights"),
        ({"choice": "exe"}, "format: expected one of"),
    ],
)
def test_what_suits_no_picture_is_said_before_the_first(handlers, home, five, change, said):
    batch = list(handlers.add(None, five[:1]))[-1].batch
    with pytest.raises(Error, match=said):
        list(run(handlers, batch, **change))


def test_an_empty_queue_is_explained(handlers, home):
    with pytest.raises(Error, match="no pictures yet"):
        list(run(handlers, None))
    with pytest.raises(Error, match="no pictures yet"):
        list(handlers.download(None))
    batch = list(handlers.add(None, []))[-1].batch
    with pytest.raises(Error, match="Nothing is done yet"):
        list(handlers.download(batch))


def test_emptying_removes_the_files(handlers, home, five):
    batch = list(run(handlers, list(handlers.add(None, five[:1]))[-1].batch))[-1].batch
    assert list(Path(batch.folder).iterdir())
    assert handlers.clear(batch).batch is None
    assert not Path(batch.folder).exists()


def test_results_that_nobody_took_go_in_time(tmp_path):
    old, young = (Path(new_folder(tmp_path)) for _ in range(2))
    (old / "a.json").write_text("{}")
    (tmp_path / "another").mkdir()
    for path in (old, tmp_path / "another"):
        os.utime(path, (0, 0))
    new_folder(tmp_path)
    assert not old.exists()
    assert young.exists()
    assert (tmp_path / "another").exists(), "not a batch's"


def test_a_press_that_took_too_long_goes_on_with_the_next(handlers, home, five):
    batch = list(handlers.add(None, five[:2]))[-1].batch
    token = CancelToken(0)
    with cancellable(token):
        views = list(run(handlers, batch))
    assert "Press Go on" in views[-1].news
    assert list(run(handlers, views[-1].batch))[-1].batch.count(DONE) == 2


@pytest.mark.parametrize(
    "payload",
    [
        [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}],
        [{"url": "http://example.com/a.jpg"}],
        ["/etc/passwd"],
        [[{"path": "/etc/passwd"}]],
        {"path": "/etc/passwd"},
    ],
)
def test_only_uploads_reach_the_queue(payload):
    with pytest.raises(gr.Error, match="expected an uploaded file"):
        guard.uploads(payload)
