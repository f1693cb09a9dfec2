"""Reopening a downloaded archive: restored values, refused archives, and checks before anything is unpacked."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import tracemalloc
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from cliptrase_core.cancel import CancelToken, cancellable
from cliptrase_core.io.export.record import FORMAT
from demo import reopen
from demo.errors import UserError
from demo.handling import further_options, read_request
from demo.reopen import ReopenHandlers, values_of
from demo.service import Refinement, SegmentRequest, bundle
from demo.service import saved as saving
from demo.service.saved import packed_name, read_archive
from demo.service.shown import DisplayState
from demo.settings import EXAMPLES, MAX_FILES, SHORT_SIDES
from demo.tabs.result import SegmentHandlers

WORDS = "cat, kitten; dog | background: wall"
FIX = {"tool": "brush", "class": "dog", "points": [[0.5, 0.5], [0.6, 0.5]], "radius": 0.1}


def packed(tmp_path, files, name="result.zip", **options):
    """Write an archive of `files` (content by name) and return its path."""
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", **options) as archive:
        for entry, content in files.items():
            archive.writestr(entry, content)
    return str(path)


@pytest.fixture
def made(service, photo):
    """Return a function that makes a download from a request: its name and content."""

    def make(asked=None, **shown):
        run = service.segment(photo, asked or SegmentRequest(WORDS)).run
        return bundle(service, DisplayState(run, **shown), photo)

    return make


@pytest.fixture
def downloaded(made, tmp_path):
    """Return a function that writes the download of a request and returns its path."""

    def make(*asked, **shown):
        name, content = made(*asked, **shown)
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return make


@pytest.fixture
def handlers(service, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return ReopenHandlers(service, SegmentHandlers(service))


def files_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(files, **settings):
    """Return the same files with `settings` changed in their record."""
    name = next(name for name in files if name.endswith(".json"))
    record = json.loads(files[name])
    record["settings"].update(settings)
    return {**files, name: json.dumps(record)}


def asked_by(values):
    """Return the request that the page makes from these field values."""
    order = [
        *("words", "background", "background_words", "threshold", "method", "preset", "short_side", "templates"),
        *("image_prior", "everything_else", "everything_else_chosen", "skip_missing", "denoise", "automatic"),
    ]
    clustering = [values[name].value for name in ("eps", "min_samples")]
    usual = [values[name] if not isinstance(values[name], dict) else 0.3 for name in order]
    return read_request(*usual, *clustering, None, *(values[one.name] for one in further_options()))


@pytest.mark.parametrize(
    "asked",
    [
        SegmentRequest(WORDS),
        SegmentRequest("cat; dog", preset="paper-224", method="clip"),
        SegmentRequest("dog", everything_else=True, short_side=160),
        SegmentRequest("cat; dog; tree", eps=0.61, min_samples=2, denoise="dice", threshold=0.4),
        SegmentRequest("cat; dog", templates="openai80", image_prior=True, vote=False, skip_missing=True),
    ],
    ids=lambda asked: repr(asked)[:60],
)
def test_words_settings_picture_and_result_come_back(service, handlers, downloaded, photo, asked):
    before = service.segment(photo, asked)
    values = handlers.open(downloaded(asked), None, None)
    assert "The result is the saved one." in values["status"]
    assert Path(values["image"]).read_bytes() == Path(photo).read_bytes()
    after = service.again(values["run"], values["image"])
    np.testing.assert_array_equal(after.labels, before.labels)
    assert values["automatic"] is (asked.eps is None)
    again = service.segment(values["image"], asked_by(values))
    np.testing.assert_array_equal(again.labels, before.labels)
    assert asked_by(values) == dataclasses.replace(asked, words=asked_by(values).words), "what was auto is auto again"
    assert asked_by(values).words == asked.words


@pytest.mark.parametrize("own", [{}, {"eps": 0.7}, {"min_samples": 3}, {"eps": 0.7, "min_samples": 3}])
def test_clustering_is_automatic_unless_both_values_are_set(own):
    assert SegmentRequest("dog", **own).own_clustering == ((0.7, 3) if len(own) == 2 else None)


def test_older_records_say_what_was_in_effect_and_what_suits_is_auto_again(handlers, downloaded, tmp_path):
    files = files_of(downloaded(SegmentRequest("cat; dog", vote=False)))
    name = next(name for name in files if name.endswith(".json"))
    record = json.loads(files[name])
    assert record.pop("automatic") == ["short_side", "eps", "min_samples", "templates", "residual"]
    values = handlers.open(packed(tmp_path, {**files, name: json.dumps(record)}), None, None)
    assert (values["templates"], values["residual"], values["vote"]) == ("auto", "auto", "no")
    assert "The result is the saved one." in values["status"]
    for hostile in (7, {"eps": 1}, ["<b>", None, "words"], [[]]):
        files[name] = json.dumps({**record, "automatic": hostile})
        assert "<b>" not in handlers.open(packed(tmp_path, files), None, None)["status"].replace("<b>", "", 1)


def test_what_was_refined_and_fixed_comes_back(service, handlers, downloaded, photo):
    from cliptrase_core.refine import read_fixes

    run = service.segment(photo, SegmentRequest(WORDS)).run
    what = DisplayState(run, Refinement(run, "edges", "prompts"), read_fixes([FIX]))
    path = downloaded(refinement=what.refinement, fixes=what.fixes)
    values = handlers.open(path, None, None)
    assert "Opening." in values["status"]
    *_, view = handlers.change(values["run"], values["image"], values["saved"])
    cut, _ = service.shown(view.shown, values["image"])
    np.testing.assert_array_equal(cut.labels, service.shown(what, photo)[0].labels)
    assert (view.shown.fixes, view.shown.refinement.refiner) == (what.fixes, "edges")
    assert "1 fix" in view.status
    assert "The result is the saved one." in view.status
    assert view.result["kind"] == "refined"


def test_the_fixes_of_other_pictures_stay_known(service, handlers, downloaded, photo):
    from cliptrase_core.refine import read_fixes

    other = DisplayState(
        service.segment(str(EXAMPLES / "cows.jpg"), SegmentRequest(WORDS)).run, fixes=read_fixes([FIX])
    )
    values = handlers.open(downloaded(fixes=read_fixes([FIX])), None, None, other)
    assert values["shown"].others == (other,)
    *_, view = handlers.change(values["run"], values["image"], values["saved"], values["shown"])
    assert view.shown.others == (other,)


def test_the_time_limit_is_said_in_place_of_opening(service, handlers, downloaded, photo):
    run = service.segment(photo, SegmentRequest(WORDS)).run
    values = handlers.open(downloaded(refinement=Refinement(run, "edges", "regions")), None, None)
    service.forget([photo])
    with cancellable(CancelToken(0.0)):
        *_, view = handlers.change(values["run"], values["image"], values["saved"])
    assert "the result has coarse boundaries" in view.status
    assert "The time limit is over." in view.status


def test_masks_that_were_taken_by_hand_come_back(service, handlers, downloaded, photo):
    run = service.segment(photo, SegmentRequest(WORDS)).run
    found = service.refine(Refinement(run, "sam-nano", "regions"), photo).refined.report.components
    other = tuple(index for index, component in enumerate(found) if not component.accepted)
    assert other
    what = DisplayState(run, Refinement(run, "sam-nano", "regions", keep=other))
    values = handlers.open(downloaded(refinement=what.refinement), None, None)
    *_, view = handlers.change(values["run"], values["image"], values["saved"])
    assert view.shown.refinement.keep == other
    np.testing.assert_array_equal(
        service.shown(view.shown, values["image"])[0].labels, service.shown(what, photo)[0].labels
    )
    assert "masks taken by hand. The result is the saved one." in view.status


def test_masks_that_do_not_exist_here_leave_the_coarse_result(handlers, downloaded, tmp_path):
    files = changed(files_of(downloaded()), refiner="sam-nano", refine_mode="prompts", keep=[999])
    values = handlers.open(packed(tmp_path, files), None, None)
    *_, view = handlers.change(values["run"], values["image"], values["saved"])
    assert "the result has coarse boundaries" in view.status


def test_without_its_picture_the_one_on_the_page_is_taken_if_it_is_that_one(handlers, downloaded, photo, tmp_path):
    files = files_of(downloaded())
    del files[packed_name(photo)]
    path = packed(tmp_path, files)
    assert handlers.open(path, photo, None)["image"] == photo
    (tmp_path / "other").mkdir()
    smaller, renamed = tmp_path / "other" / "photo.png", tmp_path / "another.png"
    Image.open(photo).resize((40, 40)).save(smaller)
    Image.open(photo).save(renamed)
    for current in (None, str(smaller), str(renamed)):
        values = handlers.open(path, current, None)
        assert set(values) == {"status", "saved"}  # nothing else changes
        assert "does not contain the picture. Choose photo.png" in values["status"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"method": "magic"}, "method"),
        ({"threshold": 7}, "threshold"),
        ({"eps": "<b>"}, "eps"),
        ({"vocabulary": 5}, "does not hold what it should"),
        ({"original_size": [1]}, "does not hold what it should"),
        ({"original_size": ["a", 2]}, "does not hold what it should"),
        ({"model_size": None}, "does not hold what it should"),
        ({"refiner": "/etc/passwd"}, "does not hold what it should"),
        ({"fixes": [{"tool": "axe"}]}, "fix"),
        ({"fixes": "all"}, "fixes"),
        ({"keep": ["<b>"]}, "does not hold what it should"),
        ({"keep": 3}, "does not hold what it should"),
        ({"keep": list(range(10_001))}, "does not hold what it should"),
        ({"refiner": "sam-nano", "refine_mode": "magic"}, "does not hold what it should"),
        ({"preset": ["auto"]}, "does not hold what it should"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_record_that_was_tampered_with_is_refused(handlers, downloaded, tmp_path, settings, reason):
    values = handlers.open(packed(tmp_path, changed(files_of(downloaded()), **settings)), None, None)
    assert set(values) == {"status", "saved"}
    assert reason in values["status"]
    assert "<b>" not in values["status"].removeprefix('<div class="strip bad" role="status"><b>Not possible.</b>')


def test_another_model_and_other_names_are_said_and_escaped(handlers, downloaded, tmp_path):
    files = files_of(downloaded())
    name = next(name for name in files if name.endswith(".json"))
    record = json.loads(files[name])
    record["settings"].update(model="<img src=x>", pretrained="openai")
    for entry, area in zip(record["classes"], (0.9, 0.1, 0.0), strict=True):
        entry["area"] = area
    status = handlers.open(packed(tmp_path, {**files, name: json.dumps(record)}), None, None)["status"]
    assert "It was made by &lt;img src=x&gt;:openai, this page runs nano." in status
    assert "Classes differ by up to" in status


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"PK\x03\x04" + bytes(100),
        b"\x89PNG" + bytes(200),
        b"PK\x05\x06" + bytes(18),
        struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 60000, 60000, 40_000_000, 0, 0),
    ],
    ids=["empty", "cut", "zeros", "picture", "no files", "a long list"],
)
def test_what_is_no_archive_is_refused(content, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(UserError, match="expected a result that was downloaded from this page"):
        read_archive(str(path))


def test_a_damaged_archive_is_refused_or_read_as_it_was(downloaded, tmp_path):
    path = downloaded()
    whole, content = read_archive(path), Path(path).read_bytes()
    assert whole.content is not None
    read, refused = [], []
    for place in (0.02, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99):
        damaged = bytearray(content)
        damaged[int(place * len(content))] ^= 0xFF
        (tmp_path / "b.zip").write_bytes(damaged)
        try:
            found = read_archive(str(tmp_path / "b.zip"))
        except UserError as error:
            refused.append(str(error))
        else:
            assert found == whole, place
            read.append(place)
    assert read
    assert refused
    assert all("a damaged archive" in error for error in refused)


def written(picture="a.png", settings=(), **entries):
    """Return a record with just what is needed."""
    needed = {"original_size": [60, 80], "model_size": [224, 298], "preset": "auto", "vocabulary": "cat; dog"}
    record = {"format": FORMAT, "picture": picture, "classes": [], "settings": needed | dict(settings)}
    return json.dumps(record | entries).encode()


def bombs():
    record = b'{"format": "x", "pad": "' + bytes(50_000_000) + b'"}'
    yield "a large record", "a record too large", {"a.json": record}
    yield "many records", "many results", {f"{i}.json": written(f"{i}.png") for i in range(MAX_FILES + 1)}
    yield "no record", "no result", {"readme.txt": b"hello"}
    yield "records below folders", "no result", dict.fromkeys(("../a.json", "/etc/a.json", "x/a.json"), written())
    yield "nested", "no result", {"a.json": b"[" * 100_000}
    yield "numbers", "no result", {"a.json": b'{"format": ' + b"9" * 10_000 + b"}"}
    yield "UTF-16", "no result", {"a.json": written().decode().encode("utf-16")}
    yield "values", "a record too large", {"a.json": b'{"a": [' + b"[]," * 300_000 + b"0]}"}
    yield "objects", "a record too large", {"a.json": b"[" + b'{"":0},' * 300_000 + b"0]", "b.json": b"[]"}


@pytest.mark.parametrize(("reason", "files"), [case for _, *case in bombs()], ids=[name for name, *_ in bombs()])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, reason, files):
    path = packed(tmp_path, files, compression=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=f"expected a result.* got an? .*{reason}"):
            read_archive(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_as_many_results_as_a_batch_has_are_read_each_once(tmp_path, monkeypatch):
    files = {f"{i}.json": written(f"{i}.png") for i in range(MAX_FILES - 2)} | {"x.json": b"[1]", "y.json": b"[1"}
    parsed, loads = [], json.loads
    monkeypatch.setattr(saving.json, "loads", lambda text: parsed.append(text) or loads(text))
    found = read_archive(packed(tmp_path, files))
    assert [one.picture for one in found.results] == [f"{i}.png" for i in range(MAX_FILES - 2)]
    assert found.unread == ("y.json",)
    assert len(parsed) == MAX_FILES


def test_text_in_a_record_is_no_value_and_its_start_may_have_a_mark(tmp_path):
    content = b"\xef\xbb\xbf" + written(notes='[{,"' * 300_000)
    assert read_archive(packed(tmp_path, {"a.json": content})).picture == "a.png"


def test_more_classes_than_any_result_has_are_not_stored(tmp_path):
    def read(count):
        return read_archive(packed(tmp_path, {"a.json": written(classes=classes[:count])}))

    classes = [{"name": f"thing {i}", "area": 0.0} for i in range(saving.MOST_ENTRIES + 1)]
    assert len(read(saving.MOST_ENTRIES).areas) == saving.MOST_ENTRIES
    with pytest.raises(UserError, match="does not hold what it should"):
        read(saving.MOST_ENTRIES + 1)


@pytest.mark.parametrize("preset", ["auto", "paper-224"])
@pytest.mark.parametrize("short", [SHORT_SIDES[0], SHORT_SIDES[-1], SHORT_SIDES[0] + 1])
def test_a_short_side_that_the_page_does_not_offer_is_automatic(tmp_path, short, preset):
    saved = read_archive(
        packed(tmp_path, {"a.json": written(settings={"model_size": [2000, short], "preset": preset})})
    )
    assert saved.request.short_side == (short if preset == "auto" and short in SHORT_SIDES else None)


def test_fixes_of_a_batch_s_picture_belong_to_its_own_words(service, downloaded, photo):
    from cliptrase_core.refine import read_fixes

    fixes = read_fixes([FIX])
    saved = read_archive(downloaded(SegmentRequest("cat; dog"), fixes=fixes))
    same, other = (
        DisplayState(service.segment(photo, SegmentRequest(words)).run) for words in ("cat; dog", "dog; tree")
    )
    assert saved.former(same).run == same.run
    former = saved.former(other)
    assert (former.run.request.words, former.fixes) == ("cat; dog", fixes)
    assert former.run.key.picture == other.run.key.picture


def test_more_than_any_result_unpacks_to_is_refused_unread(downloaded, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "MOST_UNPACKED", 1_000)
    with pytest.raises(UserError, match="unpacks to more"):
        read_archive(downloaded())


def test_a_second_result_of_a_picture_is_not_taken_but_named(downloaded, tmp_path):
    files = files_of(downloaded())
    name = next(name for name in files if name.endswith(".json"))
    found = read_archive(packed(tmp_path, {**files, "second.json": files[name]}))
    assert [one.picture for one in found.results] == ["photo.png"]
    assert found.unread == ("second.json",)


def test_a_picture_is_taken_by_its_content_and_never_by_a_path(downloaded, tmp_path, photo):
    files = files_of(downloaded())
    files[packed_name(photo)] = b"#!/bin/sh"
    assert read_archive(packed(tmp_path, files)).content is None
    record = next(name for name in files if name.endswith(".json"))
    entries = json.loads(files[record]) | {"picture": "../../../etc/passwd.png"}
    hostile = read_archive(packed(tmp_path, {**files, record: json.dumps(entries)}))
    assert (hostile.picture, hostile.content) == ("passwd.png", None)


HOSTILE_NAMES = [
    *("a." + "x" * 300, "a." + "\N{WINKING FACE}" * 300, "x" * 300 + ".png" + "y" * 300),
    *("a.\0png", "a.\ud800", "a.p:g", "." * 300, "a. "),
]


@pytest.mark.parametrize("number", range(len(HOSTILE_NAMES)))
def test_a_picture_with_a_name_that_no_file_system_has_gets_another_one(handlers, downloaded, tmp_path, photo, number):
    picture = HOSTILE_NAMES[number]
    files = files_of(downloaded())
    record = next(name for name in files if name.endswith(".json"))
    files[record] = json.dumps(json.loads(files[record]) | {"picture": picture})
    files[packed_name(picture)] = files.pop(packed_name(photo))
    values = handlers.open(packed(tmp_path, files), None, None)
    path = Path(values["image"])
    assert path.read_bytes() == Path(photo).read_bytes()
    assert len(path.name.encode()) <= 255
    assert path.name.isprintable()


@pytest.mark.parametrize("name", ["photo.png", "photo.JPEG", "a.b.tiff", "photo", ".hidden", "\u00e4.jpg"])
def test_usual_names_stay_as_they_are_so_that_older_archives_open(name):
    assert packed_name(name) == name.removeprefix(".")


def test_a_large_picture_stays_out_of_the_archive(made, monkeypatch, photo):
    from demo.service import download

    monkeypatch.setattr(download, "MOST_PICTURE", 10)
    _, content = made()
    assert packed_name(photo) not in zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_every_setting_of_the_page_has_its_value():
    names = {*reopen.SETTINGS, *(one.name for one in further_options())}
    values = values_of(SegmentRequest("cat; dog", vote=True), automatic=True)
    assert set(values) == names
    assert isinstance(values["eps"], gr.Slider)
    assert values["vote"] == "yes"
