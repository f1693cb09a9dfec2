"""The Refine tab: views of each event, no download without a request, components by hand, archive, cached results."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import re
import shlex
import threading
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

import cliptrase_core as cc
from cliptrase_core import cli
from cliptrase_core.errors import WeightsError
from cliptrase_core.io import memory
from cliptrase_core.models import hub
from cliptrase_core.names import MODES
from cliptrase_core.refine import base, sam_checkpoints
from cliptrase_core.refine.fixes import Fix
from cliptrase_core.refine.sam import Sam
from cliptrase_core.refine.sam_checkpoints import PUBLISHED
from demo.changing import ChangeHandlers
from demo.drawing import AFTER, BEFORE, SAME, boundaries
from demo.service import DisplayState, Refinement, SegmentRequest, Service, bundle
from demo.service import refine as refining
from demo.service.batch import Batch, BatchRequest, Item, prepared, segmented
from demo.settings import EXAMPLES, REFINERS, Settings
from demo.tabs.refine import NOTHING, BetterView, RefineHandlers, RefineView

core = importlib.import_module("cliptrase_core.refine")  # `cliptrase_core.refine` as an attribute is a function
WORDS = "horse; grass; sky"
HORSES = str(EXAMPLES / "horses.jpg")


@pytest.fixture(scope="module")
def handlers(service):
    return RefineHandlers(service)


@pytest.fixture(scope="module")
def horses(service):
    return service.segment(HORSES, SegmentRequest(WORDS))


def refined(handlers, run, refiner="sam-nano", mode="prompts"):
    """Press Refine and return the final views."""
    last = list(handlers.refine(run, HORSES, refiner, mode))[-1]
    count = len(RefineView._fields)
    return RefineView(*last[:count]), BetterView(*last[count:])


@pytest.fixture
def missing(monkeypatch):
    """Hide Meta's weights, as if none were on this machine."""
    monkeypatch.setattr(hub, "find_file", lambda repository, name: None)


def test_names_and_megabytes_are_the_core_s():
    assert ("none", *(name for name, _, _ in REFINERS)) == cc.REFINERS
    sizes = {name: megabytes for name, megabytes, _ in REFINERS}
    assert {name: known.megabytes for name, known in PUBLISHED.items()} == {name: sizes[name] for name in PUBLISHED}


def test_sam_moves_boundaries_and_shows_before_after_and_every_component(handlers, service, horses):
    view, better = refined(handlers, horses.run)
    expected = service.refine(Refinement(horses.run, "sam-nano", "prompts"), HORSES).refined.report
    assert "sam-nano took" in view.news or "reused" in view.news
    assert len(view.components.choices) == len(expected.components) > 2
    assert view.components.value == [i for i, component in enumerate(expected.components) if component.accepted]
    left, right = better.slider
    assert left.shape == right.shape == horses.shown.shape
    assert (left != right).any()
    assert f"<b>{expected.changed:,}</b> pixels" in better.share
    assert better.component_table.count("<tr>") == 1 + len(expected.components)
    for name, won in expected.gained.items():
        assert re.search(f"{name}</bdi></th><td[^>]*>{won:,}</td>", better.classes)


def test_steps_are_shown_and_an_older_result_goes_at_once(service, handlers, horses):
    fresh = RefineHandlers(Service(Settings(model="nano", device="cpu"), service.models))
    steps = list(fresh.refine(horses.run, HORSES, "sam-nano", "regions"))
    first = steps[0]
    assert len(steps) >= 2
    assert "busy" in first[0]
    assert "<progress" in first[0]
    assert first[len(RefineView._fields) :] == NOTHING


@pytest.fixture
def without_sky(service, monkeypatch):
    """Service whose refiner gives all pixels of the third class to the first."""

    def make(view, pixels, request, **rest):
        labels = np.where(view.result.labels == 2, 0, view.result.labels)
        return base.refined(view.result, labels, refiner="edges", mode="guided filter", settings={}, seconds=0.0)

    monkeypatch.setattr("demo.service.service.make_refined", make)
    return Service(Settings(model="nano", device="cpu"), service.models)


def test_a_class_that_was_removed_altogether_is_named_everywhere(without_sky, horses, tmp_path):
    said = "Nothing is left of sky, which the coarse result has."
    request = Refinement(horses.run, "edges", "prompts")
    _, better = refined(RefineHandlers(without_sky), horses.run, "edges")
    assert f"{said} Another refiner may keep it." in better.share
    taken = list(ChangeHandlers(without_sky).take(horses.run, HORSES, None, request))[-1]
    assert 'class="strip note" role="status"><b>Refined by edges:</b>' in taken.status
    assert said in taken.status
    assert said in taken.legend
    assert "Not found" not in taken.legend
    asked = BatchRequest(horses.run.request, "edges", "prompts", "masks")
    batch = prepared(Batch(str(tmp_path), (Item(HORSES, "horses.jpg", "a thumbnail"),)), asked)
    assert said in segmented(without_sky, batch, 0).message


def test_edges_has_no_components_and_modes_do_not_matter(handlers, horses):
    view, better = refined(handlers, horses.run, "edges", "everything")
    assert better.refinement == Refinement(horses.run, "edges", "prompts")
    assert view.components.visible is False
    assert "does not work by components" in better.component_table


def test_rejecting_and_keeping_components_applies_without_asking_sam_again(handlers, horses, monkeypatch):
    view, better = refined(handlers, horses.run)
    monkeypatch.setattr(Sam, "answer", None)
    monkeypatch.setattr(Sam, "embed", None)
    none = handlers.choose(better.refinement, view.token, HORSES, [])
    assert "No pixel changed" in none.share
    assert "left out by the user" in none.component_table
    count = len(view.components.choices)
    assert none.news == f'<p class="facts">0 of {count} components have a new mask</p>'
    np.testing.assert_array_equal(none.slider[0], none.slider[1])
    one = handlers.choose(none.refinement, view.token, HORSES, view.components.value[:1])
    assert f">1 of {count} components have a new mask<" in one.news
    assert one.refinement.keep == tuple(view.components.value[:1])
    again = handlers.choose(one.refinement, view.token, HORSES, view.components.value)
    np.testing.assert_array_equal(again.slider[1], better.slider[1])
    assert again.share == better.share


def test_a_late_tick_of_an_older_result_changes_nothing(handlers, horses):
    view, _ = refined(handlers, horses.run)
    newer, other = refined(handlers, horses.run, mode="regions")
    assert view.token != newer.token
    assert all(value == gr.skip() for value in handlers.choose(other.refinement, view.token, HORSES, [0]))
    assert all(value == gr.skip() for value in handlers.choose(None, view.token, HORSES, [0]))


@pytest.mark.parametrize("components", [[-1], [999], ["one"], [True], [0.5], None, "0", {"a": 1}])
def test_forged_components_get_a_message(handlers, horses, components):
    view, better = refined(handlers, horses.run)
    with pytest.raises(gr.Error, match="component|keep"):
        handlers.choose(better.refinement, view.token, HORSES, components)


@pytest.mark.parametrize(
    ("refiner", "mode"), [("magic", "prompts"), ("none", "prompts"), (3, "prompts"), ("edges", None)]
)
def test_forged_choices_get_a_message(handlers, horses, refiner, mode):
    with pytest.raises(gr.Error, match="expected one of"):
        list(handlers.refine(horses.run, HORSES, refiner, mode))


def test_before_a_result_it_is_said(handlers):
    with pytest.raises(gr.Error, match="Press Segment first"):
        list(handlers.refine(None, HORSES, "edges", "prompts"))
    with pytest.raises(gr.Error, match="Press Refine first"):
        list(handlers.download(None, HORSES, None))


def test_a_replaced_picture_is_not_refined(handlers, service, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(Path(HORSES).read_bytes())
    run = service.segment(str(path), SegmentRequest("dog; road")).run
    with Image.open(HORSES) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    steps = handlers.refine(run, str(path), "edges", "prompts")
    shown = []
    with pytest.raises(gr.Error, match="replaced"):
        shown.extend(steps)
    assert all("busy" not in str(step[0]) for step in shown[-1:]), "nothing runs any longer, and it is not said to"


def test_weights_that_are_not_here_are_never_fetched_by_refine(handlers, horses, missing, monkeypatch):
    monkeypatch.setattr(hub, "fetch_file", lambda *a, **k: pytest.fail("fetched"))
    with pytest.raises(gr.Error, match=r"vit_l. Fetch it on the Refine tab first \(1250 MB\)"):
        list(handlers.refine(horses.run, HORSES, "vit_l", "prompts"))


def test_what_can_be_fetched_is_offered_with_its_size(handlers, missing):
    offer = handlers.offer("vit_b")
    assert offer.fetch.visible is True
    assert offer.fetch.value == "Fetch vit_b (375 MB)"
    assert offer.mode.visible is True
    assert [("not downloaded" in label) for label, _ in offer.refiner.choices] == [False] * 3 + [True] * 3
    edges = handlers.offer("edges")
    assert (edges.fetch.visible, edges.mode.visible) == (False, False)


def test_fetching_shows_progress_and_ends_with_what_to_do(handlers, missing, monkeypatch):
    told = threading.Event()

    def fetch(name, progress):
        progress(0.4, "150 of 375 MB")
        told.wait(5)

    monkeypatch.setattr(sam_checkpoints, "fetch", fetch)
    steps = handlers.fetch("vit_b")
    first = next(steps)
    told.set()
    assert "150 of 375 MB" in first.fetch_news
    assert "busy" in first.fetch_news
    last = list(steps)[-1]
    assert "Press Refine" in last.fetch_news
    assert (bool(first.fetching), last.fetching) == (True, "")


def test_stop_ends_a_download_at_its_next_step(handlers, missing, monkeypatch):
    ended, goes_on = threading.Event(), threading.Event()

    def fetch(name, progress):
        try:
            progress(0.1, "1 of 10 MB")
            goes_on.wait(5)
            progress(0.2, "2 of 10 MB")
        except BaseException:
            ended.set()
            raise

    monkeypatch.setattr(sam_checkpoints, "fetch", fetch)
    steps = handlers.fetch("vit_h")
    first = next(steps)
    steps.close()
    goes_on.set()
    assert ended.wait(5)
    stopped = handlers.fetch_stopped(first.fetching)
    assert "Stopped" in stopped.fetch_news
    assert all(value == gr.skip() for value in handlers.fetch_stopped(stopped.fetching))


def test_stop_ends_refining_at_its_next_step_and_keeps_nothing(service, horses, monkeypatch):
    began, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow(*_, step, **__):
        began.set()
        try:
            step(0.1, "looking")
            goes_on.wait(5)
            step(0.2, "looking")
        except BaseException:
            ended.set()
            raise

    fresh = Service(Settings(model="nano", device="cpu"), service.models)
    fresh.segment(HORSES, horses.run.request)
    with monkeypatch.context() as patched:
        patched.setattr("demo.service.service.make_refined", slow)
        steps = RefineHandlers(fresh).refine(horses.run, HORSES, "sam-nano", "prompts")
        next(steps)
        steps.close()
        goes_on.set()
        assert began.is_set()
        assert ended.wait(5)
    _, better = refined(RefineHandlers(fresh), horses.run)
    assert "pixels changed" in better.share


def test_stop_reaches_sam_in_every_mode(service, horses):
    class Enough(Exception):  # noqa: N818 - a stop signal, not an error
        pass

    def stop(share, text):
        if text not in ("reading the weights",):
            raise Enough

    for mode in MODES:
        fresh = Service(Settings(model="nano", device="cpu"), service.models)
        fresh.segment(HORSES, SegmentRequest("dog; road; sky"))
        run = fresh.segment(HORSES, SegmentRequest("dog; road; sky")).run
        with pytest.raises(Enough):
            fresh.refine(Refinement(run, "sam-nano", mode), HORSES, stop)


def test_errors_of_weights_are_said_without_paths(handlers, missing, monkeypatch):
    def fetch(name, progress):
        raise WeightsError("weights SAM vit_b: expected a file from the model hub, got no answer from the hub.")

    monkeypatch.setattr(sam_checkpoints, "fetch", fetch)
    shown = []
    with pytest.raises(gr.Error, match="no answer from the hub") as refusal:
        shown.extend(handlers.fetch("vit_b"))
    assert shown == [("", "")], "the progress bar goes"
    assert "/" not in str(refusal.value)


def test_a_model_that_memory_cannot_hold_is_refused_before_it_is_loaded(handlers, horses, monkeypatch):
    monkeypatch.setattr(refining, "is_available", lambda name: True)
    monkeypatch.setattr(memory, "available", lambda: 3_000_000_000)
    monkeypatch.setattr(core, "load_refiner", lambda *a, **k: pytest.fail("loaded"))
    with pytest.raises(gr.Error, match="vit_h needs about 7 GB of memory, and 3 GB are left"):
        list(handlers.refine(horses.run, HORSES, "vit_h", "prompts"))


def test_another_result_takes_the_refined_one_away(handlers, horses):
    _, better = refined(handlers, horses.run)
    for run in (None, dataclasses.replace(horses.run, request=SegmentRequest("cat"))):
        gone = handlers.forget(better.refinement, run)
        assert gone[len(RefineView._fields) :] == NOTHING
        assert gone[RefineView._fields.index("found")].visible is False
    assert all(value == gr.skip() for value in handlers.forget(better.refinement, horses.run)), (
        "late: it is of this result"
    )
    assert all(value == gr.skip() for value in handlers.forget(None, None))


def test_stopping_is_said_only_where_something_ran(service, horses):
    fresh = RefineHandlers(Service(Settings(model="nano", device="cpu"), service.models))
    steps = [
        RefineView(*step[: len(RefineView._fields)]) for step in fresh.refine(horses.run, HORSES, "edges", "prompts")
    ]
    assert len(steps) > 1
    assert all(step.running for step in steps[:-1])
    stopped = fresh.stopped(steps[0].running)
    assert "Stopped" in stopped.news
    for done in (steps[-1], stopped):
        assert all(value == gr.skip() for value in fresh.stopped(done.running))


def test_what_a_person_typed_is_escaped_everywhere(handlers, service):
    cut = service.segment(HORSES, SegmentRequest("<b>dog</b>, dog; <i>road, road; brick wall"))
    view, better = refined(handlers, cut.run)
    for text in (better.classes, better.component_table, better.share, view.news):
        assert "<b>dog" not in text
        assert "<i>road" not in text
    assert "&lt;b&gt;dog" in better.component_table + better.classes


def test_boundaries_are_white_where_they_stayed_dashed_where_they_were_blue_where_they_are():
    picture = np.full((64, 640, 3), 128, dtype=np.uint8)
    before, after = np.zeros((64, 640), np.int32), np.zeros((64, 640), np.int32)
    before[:, 200:], after[:, 300:] = 1, 1
    before[:, 500:] = after[:, 500:] = 2
    out = boundaries(picture, before, after)
    assert out.shape == picture.shape
    assert (out[:, 299:301] == AFTER).all()
    assert (out[:, 499:501] == SAME).all()
    was = (out[:, 199:201] == BEFORE).all(axis=-1)
    assert 0.3 < was.mean() < 0.7, "dashed"
    rest = out[:, 10:190].reshape(-1, 3)
    assert (rest == rest[0, 0]).all()


def test_a_large_picture_s_boundaries_are_shown_at_a_size_that_can_be_looked_at():
    labels = np.zeros((3000, 4000), np.int32)
    labels[:, 2000:] = 1
    out = boundaries(np.zeros((3000, 4000, 3), np.uint8), labels, labels, [(1, (3999, 2999))])
    assert out.shape == (960, 1280, 3)


@pytest.mark.parametrize("preset", ["auto", "paper-224"])
@pytest.mark.parametrize(("refiner", "mode"), [("edges", "prompts"), ("sam-nano", "regions")])
def test_the_archive_holds_the_refinement_and_its_command_gives_the_same(
    service, tmp_path, monkeypatch, preset, refiner, mode
):
    photo = tmp_path / "dog.png"
    photo.write_bytes(Path(HORSES).read_bytes())
    run = service.segment(str(photo), SegmentRequest(WORDS, preset=preset)).run
    asked = Refinement(run, refiner, mode)
    result = service.refine(asked, str(photo)).refined
    _, content = bundle(service, DisplayState(run, asked), str(photo))
    archive = zipfile.ZipFile(io.BytesIO(content))
    record = json.loads(archive.read("dog-refined.json"))
    assert record["refinement"]["refiner"] == record["settings"]["refiner"] == refiner
    assert record["refinement"]["changed"] == result.report.changed > 0
    np.testing.assert_array_equal(np.asarray(Image.open(archive.open("dog-refined.labels.png"))), result.labels)
    command = archive.read("HOW-TO.txt").decode().strip().split("line:\n\n")[1]
    monkeypatch.chdir(tmp_path)
    assert cli.main(shlex.split(command)[3:]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "dog.labels.png")), result.labels)


def test_the_archive_says_that_components_were_chosen_by_hand(service, horses):
    _, content = bundle(
        service, DisplayState(horses.run, Refinement(horses.run, "sam-nano", "prompts", keep=(0,))), HORSES
    )
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert "chosen by hand" in archive.read("HOW-TO.txt").decode()
    record = json.loads(archive.read("horses-refined.json"))
    assert record["settings"]["keep"] == [0]
    assert [component["accepted"] for component in record["refinement"]["components"]][:2] == [True, False]


def test_the_download_of_the_tab_has_the_fixes_made_on_the_refined_result_only(handlers, horses):
    asked = Refinement(horses.run, "edges", "prompts")
    fixes = (Fix(((0.1, 0.1),), "grass", radius=0.05),)
    for last, made in (
        (None, 0),
        (DisplayState(horses.run, asked, fixes), 1),
        (DisplayState(horses.run, None, fixes), 0),
    ):
        *_, view = handlers.download(asked, HORSES, last)
        archive = zipfile.ZipFile(view.file)
        record = json.loads(archive.read(next(name for name in archive.namelist() if name.endswith("d.json"))))
        assert len(record["settings"].get("fixes", [])) == made
        assert record["settings"]["refiner"] == "edges"


def test_refining_never_encodes_the_picture_again(service, horses, monkeypatch):
    monkeypatch.setattr(type(service.models.segmenter()), "encode", None)
    monkeypatch.setattr(type(service.models.segmenter()), "segment", None)
    fresh = service.refine(Refinement(horses.run, "edges", "prompts"), HORSES)
    assert fresh.refined.class_names == horses.result.class_names
    assert service.refine(Refinement(horses.run, "edges", "prompts"), HORSES).after.result_cached
