"""Models of the page: names, several at once, memory, download from a fake hub, the Model tab, sizes too large.

The models are tiny and are registered with open_clip here; a folder with their weights replaces the hub.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import gradio as gr
import numpy as np
import open_clip
import pytest
import torch
from gradio_client import Client
from PIL import Image
from safetensors.torch import save_file

from cliptrase_core import Segmenter
from cliptrase_core.io import memory
from cliptrase_core.models import hub, loading
from demo import model_facts, models
from demo.drawing import model_pixels
from demo.errors import UserError, as_user_errors
from demo.jobs import watched
from demo.model_facts import offered, read_key
from demo.models import ModelRegistry
from demo.opening import PageHandlers
from demo.page import build, launch_options
from demo.service import Refinement, SegmentRequest, Service, bundle, point_at
from demo.service.clusters import clusters_of
from demo.service.compare import Comparison, variant_views, variants
from demo.settings import OFFERED, Settings
from demo.tabs import model as tab
from demo.tabs.model import ModelHandlers, head_view
from demo.tabs.result import SegmentHandlers
from tests.conftest import tiny_clip
from tests.demo.test_page import FIELDS
from tests.visitor import until

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"layers": 3, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    "quick_gelu": True,
}
TAGS = ("one", "two", "three")


def fields(model):
    """Return the values of the page's fields after the words."""
    return {**FIELDS, "model": model}.values()


def quiet(share, text):
    """Ignore all progress messages."""


@pytest.fixture
def fake_hub(monkeypatch, tmp_path):
    """Fake hub with three tiny models; the folder `fake_hub.near` has the downloaded ones."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", TINY)
    known = {tag: {"hf_hub": f"somebody/{tag}/", "quick_gelu": True} for tag in TAGS}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", known)
    far, near = tmp_path / "far", tmp_path / "near"
    near.mkdir()
    far.mkdir()
    for seed, tag in enumerate(TAGS):
        save_file(tiny_clip(seed=seed).state_dict(), far / f"{tag}.safetensors")
    world = Hub(far, near)
    monkeypatch.setattr(hub, "hf_hub_download", world.download)
    monkeypatch.setattr(hub, "try_to_load_from_cache", world.cached)
    monkeypatch.setattr(hub, "hub_answers", lambda *_: world.answers)
    monkeypatch.setattr(loading, "hub_answers", lambda *_: world.answers)
    return world


class Hub:
    """Fake hub: a download copies a file from `far` to `near`, and waits half way until `released` is set."""

    def __init__(self, far: Path, near: Path):
        self.far, self.near, self.answers = far, near, True
        self.released = threading.Event()
        self.released.set()

    def place(self, repository):
        return self.near / f"{repository.split('/')[1]}.safetensors"

    def download(self, repository, name, tqdm_class=None):
        here = self.place(repository)
        with tqdm_class(total=1_000_000, disable=True) as bar:
            bar.update(400_000)
            assert self.released.wait(60)
            bar.update(600_000)
        shutil.copy(self.far / here.name, here)
        return str(here)

    def cached(self, repository, name):
        here = self.place(repository)
        return str(here) if here.exists() else None


@pytest.fixture(scope="module")
def plain():
    """Service with only nano, already loaded."""
    service = Service(Settings(model="nano", device="cpu"))
    service.models.segmenter()
    return service


# --- names ---


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("nano", "nano"),
        ("nano:embedded", "nano"),
        (" ViT-B-16 ", "ViT-B-16:openai"),
        ("ViT-B-16:LAION2B-s34b-b88k", "ViT-B-16:laion2b_s34b_b88k"),
    ],
)
def test_a_model_has_one_name(text, key):
    assert read_key(text) == key


@pytest.mark.parametrize(
    "text",
    [
        *("/etc/passwd", "ViT-B-16:/etc/passwd", "ViT-B-16:../x", "ViT-B-16:..", "ViT-B-16:weights.pt", "a\\b"),
        *("ViT-B-16:x.SAFETENSORS", "C:\\x", "ViT-B-16:assets", "assets", "", None, 3, "ViT-B-16:a:b", "x" * 500),
        *(
            "ViT-B-16-SigLIP:webli",
            "RN50:openai",
            "nano:openai",
            "ViT-B-16\n:openai",
            "hf-hub:somebody/x",
            "local-dir:x",
        ),
    ],
    ids=str,
)
def test_nothing_but_known_names_and_tags_is_taken(text, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assets").mkdir()
    with pytest.raises(UserError):
        read_key(text)


def test_an_unknown_tag_gets_the_list_of_known_ones():
    with pytest.raises(UserError, match="laion2b_s34b_b88k"):
        read_key("ViT-B-16:laion")


def test_offered_models_are_known_and_weigh_what_the_page_says(nano):
    for key, megabytes, _ in OFFERED:
        assert read_key(key) == key
        found = model_facts.model_bytes(nano) if key == "nano" else model_facts.weighed(key.split(":")[0])
        assert megabytes == pytest.approx(found / 1e6, abs=1)


# --- several at once ---


def test_two_visitors_with_different_models_get_their_own_answers(fake_hub, photo):
    service = Service(Settings(model="nano", device="cpu"))
    keys = [service.models.load(f"tiny:{tag}", quiet) for tag in ("one", "two")]
    alone = {tag: Segmenter.from_pretrained("tiny", tag, device="cpu") for tag in ("one", "two")}
    answers = {}

    def visitor(key, tag):
        answers[tag] = [service.segment(photo, SegmentRequest("cat; dog; tree", model=key)).result for _ in range(3)]

    people = [threading.Thread(target=visitor, args=pair) for pair in zip(keys, ("one", "two"), strict=True)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    for tag, segmenter in alone.items():
        expected = segmenter.segment(segmenter.encode(photo), "cat; dog; tree")
        for result in answers[tag]:
            np.testing.assert_array_equal(result.labels, expected.labels)
            np.testing.assert_allclose(result.confidence, expected.confidence, atol=1e-5)
    assert np.abs(answers["one"][0].confidence - answers["two"][0].confidence).max() > 0.01
    assert (
        service.segment(photo, SegmentRequest("cat; dog")).run.key.model_id == service.models.segmenter("nano").model_id
    )


def test_models_unused_for_longest_go_but_the_first_stays(fake_hub, monkeypatch):
    size = model_facts.model_bytes(Segmenter.from_open_clip(tiny_clip()))
    monkeypatch.setattr(models, "CACHED_MODEL_BYTES", 2 * size)
    registry = ModelRegistry(Settings(model="nano", device="cpu"))
    for tag in ("one", "two"):
        registry.load(f"tiny:{tag}", quiet)
    registry.segmenter("tiny:one")
    registry.load("tiny:three", quiet)
    assert [facts.key for facts in registry.loaded()] == ["nano", "tiny:one", "tiny:three"]
    with pytest.raises(UserError, match="Load it on the Model tab"):
        registry.segmenter("tiny:two")


def test_a_model_is_loaded_once_and_told_about(fake_hub, monkeypatch):
    registry, steps = ModelRegistry(Settings(model="nano", device="cpu")), []
    registry.load("tiny:one", lambda share, text: steps.append((share, text)))
    shares = [share for share, _ in steps]
    assert shares == sorted(shares)
    assert (0.4, "0 of 1 MB") in steps
    loaded = registry.segmenter("tiny:one")
    assert registry.load("tiny:one", quiet) == "tiny:one"
    assert registry.segmenter("tiny:one") is loaded


def test_offline_is_said_with_what_to_do(fake_hub):
    fake_hub.answers = False
    registry = ModelRegistry(Settings(model="nano", device="cpu"))
    with pytest.raises(UserError, match=r"does not answer|forbids fetching") as refusal:
        registry.load("tiny:one", quiet)
    assert "CLIPTRASE_MODEL=tiny:weights.safetensors" in str(refusal.value)
    assert registry.segmenter().info.name == "nano"


def test_a_model_that_memory_does_not_hold_is_refused_before_it_is_fetched(fake_hub, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1_000_000)
    with pytest.raises(UserError, match="Choose a smaller model"):
        ModelRegistry(Settings(model="nano", device="cpu")).load("tiny:one", quiet)
    assert not list(fake_hub.near.iterdir())


# --- the start: download, then switch ---


def test_the_page_starts_on_nano_and_switches_when_the_wanted_model_has_come(fake_hub, photo):
    fake_hub.released.clear()
    service = Service(Settings(model="tiny:one", device="cpu"))
    service.start()
    first = service.segment(photo, SegmentRequest("cat; dog"))
    assert service.models.segmenter().info.name == "nano"
    until(lambda: "40\u00a0%" in (service.status().notice or ""))
    assert service.status().busy
    fake_hub.released.set()
    until(lambda: not service.status().busy)
    assert (service.status().name, service.status().pretrained, service.status().notice) == ("tiny", "one", None)
    assert service.again(first.run, photo).run.key.model == "nano"
    assert (
        service.segment(photo, SegmentRequest("cat; dog")).run.key.model_id
        == service.models.segmenter("tiny:one").model_id
    )
    assert service.models.segmenter("nano").info.name == "nano"


USES = {
    "again": lambda service, run, path: service.again(run, path),
    "point": lambda service, run, path: point_at(service, run, path, 3, 3),
    "patch": lambda service, run, path: service.patch_attention(run.key, path, 1, 2),
    "[CLS]": lambda service, run, path: service.cls_attention(run.key, path),
    "matrix": lambda service, run, path: service.matrix(run.key, path),
    "layers": lambda service, run, path: service.depth(run.key, path),
    "clusters": lambda service, run, path: clusters_of(service, run, path),
    "comparison": lambda service, run, path: list(
        variant_views(service, path, Comparison(run, variants(run.request, ("clip",))))
    ),
    "refinement": lambda service, run, path: service.refine(Refinement(run, "edges", "prompts"), path),
    "archive": lambda service, run, path: bundle(service, run, path),
    "findings": lambda service, run, path: SegmentHandlers(service).findings(run, path),
    "result": lambda service, run, path: (
        SegmentHandlers(service).resegment(run, path, "cat; dog", *fields("nano")).result
    ),
}


@pytest.fixture(scope="module")
def switched():
    """Service with nano loaded; the test replaces nano by another model."""
    service = Service(Settings(model="nano", device="cpu"))
    service.models.segmenter()
    return service


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_result_outlives_the_arrival_of_another_model(use, switched, photo):
    service = switched
    service.models._take(service.models.segmenter("nano"), None)
    run = service.segment(photo, SegmentRequest("cat; dog")).run
    service.models._take(Segmenter.from_open_clip(tiny_clip()), None)
    assert service.models.segmenter().info.name == "given"
    assert use(service, run, photo) is not None
    assert service.again(run, photo).run.key.model == "nano"
    assert service.segment(photo, SegmentRequest("cat; dog")).run.key.model == "given:given"


def test_a_visitor_s_choice_outlives_the_switch(fake_hub):
    fake_hub.released.clear()
    service = Service(Settings(model="tiny:one", device="cpu"))
    assert service.models.segmenter().info.name == "nano"
    opening = PageHandlers(service)
    assert opening.tick("nano")[0] == gr.skip()
    assert "tiny (one)" in opening.tick(None)[0]
    fake_hub.released.set()
    until(lambda: not service.status().busy)
    assert service.models.segmenter("nano").info.name == "nano"


def test_the_switch_is_seen_through_the_real_server(fake_hub):
    fake_hub.released.clear()
    service = Service(Settings(model="tiny:one", device="cpu"))
    demo = build(service)
    service.start()
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    try:
        client = Client(url, verbose=False)
        until(lambda: client.predict(api_name="/models")["model"] == "nano")
        assert "is being fetched" in client.predict(api_name="/models")["notice"]
        fake_hub.released.set()
        until(lambda: client.predict(api_name="/models")["model"] == "tiny")
        answer = client.predict(api_name="/models")
        assert [facts["key"] for facts in answer["loaded"]] == ["tiny:one", "nano"]
        assert [entry["key"] for entry in answer["offered"]] == [key for key, *_ in OFFERED]
        assert answer["offered"][0]["downloaded"] is True
        assert answer["loaded"][1]["digest"] == service.models.segmenter("nano").info.digest
    finally:
        demo.close()


# --- the page's head ---


def test_the_head_offers_the_real_model_and_fetches_nothing_by_itself(fake_hub):
    service = Service(Settings(device="cpu"))
    assert service.models.segmenter().info.name == "nano"
    head = head_view(service.status())
    assert (head.offer.value, head.offer.visible) == ("Load ViT-B-16:openai (0.6 GB)", True)
    assert "is not on this computer" in head.banner
    assert not service.status().busy
    assert not list(fake_hub.near.iterdir())


def test_one_click_in_the_head_loads_what_the_page_was_to_start_with_for_everybody(fake_hub):
    fake_hub.answers = False
    service = Service(Settings(model="tiny:one", device="cpu"))
    handlers = ModelHandlers(service)
    assert service.models.segmenter().info.name == "nano"
    # The hub does not answer yet.
    for steps in (handlers.load_offered(None), handlers.load("tiny:two", None)):
        said = []
        with pytest.raises(gr.Error, match="does not answer|is not on the machine"):
            said.extend(getattr(step, "news", step.banner) for step in steps)
        assert "Not loaded." in said[-1], "the reason stays after the message has gone"
    fake_hub.answers = True
    fake_hub.released.clear()
    steps = handlers.load_offered(None)
    next(steps)
    step = next(steps)
    assert "<progress" in step.banner
    assert (step.offer.visible, step.stop.visible) == (False, True)
    fake_hub.released.set()
    *_, last = steps
    assert last.model == "tiny:one"
    assert "tiny, one weights" in last.banner
    assert not last.offer.visible
    assert service.models.segmenter().info.pretrained == "one"
    (other,) = handlers.load_offered(None)  # another visitor who clicked at the same time
    assert other.model == gr.skip()
    assert PageHandlers(service).tick("nano")[1].visible is False


# --- the Model tab ---


def test_loading_shows_steps_and_ends_with_the_visitor_s_own_model(fake_hub):
    handlers = ModelHandlers(Service(Settings(model="nano", device="cpu")))
    fake_hub.released.clear()
    steps = handlers.load("tiny:two", None)
    first = next(steps)
    assert "<progress" in first.news
    assert first.model == gr.skip()
    fake_hub.released.set()
    *_, last = steps
    assert last.model == "tiny:two"
    assert "tiny, two weights" in last.banner
    assert "Your choice" in last.banner


def test_a_file_that_the_page_started_with_can_be_chosen_again(fake_hub):
    own = "tiny:one.safetensors"
    service = Service(Settings(model=f"tiny:{fake_hub.far / 'one.safetensors'}", device="cpu"))
    handlers = ModelHandlers(service)
    assert service.models.facts().key == own
    *_, last = handlers.load("nano", None)
    assert last.model == "nano"
    assert own in [key for _, key in handlers.refresh("nano").choice.choices]
    *_, last = handlers.load(f" {own} ", "nano")
    assert last.model == own
    assert "tiny, one.safetensors weights" in last.banner
    assert service.models.segmenter(own) is service.models.segmenter()


def test_a_model_that_is_not_loaded_gets_the_list_of_those_that_are(fake_hub):
    registry = ModelRegistry(Settings(model="nano", device="cpu"))
    with pytest.raises(UserError, match=r"model: expected one that is loaded \(nano\), got tiny:one"):
        registry.segmenter("tiny:one")


@pytest.mark.parametrize("asked", [None, "", 3, "../../etc/passwd", "ViT-B-16:<img src=x>"])
def test_what_is_no_model_gets_a_message_without_markup(asked):
    handlers = ModelHandlers(Service(Settings(model="nano", device="cpu")))
    with pytest.raises(gr.Error, match="model: expected") as refusal:
        list(handlers.load(asked, None))
    assert "<img" not in str(refusal.value)


def test_leaving_ends_the_transfer_at_its_next_step():
    ended, go_on, went_on = (threading.Event() for _ in range(3))

    def work(tell):
        try:
            tell(0.1, "first")
            go_on.wait(10)
            tell(0.2, "second")
            went_on.set()
        finally:
            ended.set()

    steps = watched(work)
    assert next(steps) == (0.1, "first")
    steps.close()
    go_on.set()
    assert ended.wait(10)
    assert not went_on.is_set(), "nobody waits for the rest"


def test_the_sheet_names_everything_about_the_model(nano, plain):
    sheet = ModelHandlers(plain).refresh(None).facts
    count = sum(p.numel() for p in nano.info.model.parameters())
    for said in (
        f"{count / 1e6:.1f} million",
        nano.info.digest,
        "cpu",
        "fp32",
        "processor thread",
        "embedded",
        "everyday things",
    ):
        assert said in sheet


def test_a_hostile_file_name_of_weights_is_escaped():
    facts = model_facts.ModelFacts(
        *("k", "<b>", "<script>", "file <script>", "d"), 1, 4, "cpu", "fp32", 2, 224, (16, 16), 12, 12
    )
    assert "<script" not in tab.model_sheet(facts) + tab.loaded(facts) + tab.loading("<script>", 0, "")


@pytest.mark.parametrize("preset", ["auto", "paper-224"])
def test_the_tab_shows_the_pixels_that_the_model_is_given(preset, nano, photo, plain):
    view = ModelHandlers(plain).show_input(photo, preset, "auto", None)
    if preset != "auto":  # it has a size of its own: one that was chosen before is not used, as by Segment
        assert ModelHandlers(plain).show_input(photo, preset, "448", None)[1] == view[1]
    encoding = nano.encode(photo, preset)
    h, w = encoding.grid
    assert f"{h} x {w} = {h * w} patches" in view.sizes
    assert "48 x 64 pixels" in view.sizes
    times = view.pixels.shape[0] // encoding.frame.model[0]
    given, _ = nano.view(photo, preset)
    middle = view.pixels[times * 8 :: times, times * 8 :: times]  # pixels inside the patches, away from grid lines
    np.testing.assert_array_equal(middle[:8, :8], given[8:16, 8:16])


def test_a_patch_s_place_in_the_picture_follows_height_and_width():
    grid = model_pixels(np.zeros((32, 64, 3), dtype=np.uint8), (8, 16))
    assert grid.shape == (12 * 32, 12 * 64, 3)
    lines = (np.flatnonzero(grid[1, :, 0])[0], np.flatnonzero(grid[:, 1, 0])[0])
    assert lines == (16 * 12, 8 * 12)


def test_a_chosen_model_makes_the_result(fake_hub, photo):
    service = Service(Settings(model="nano", device="cpu"))
    key = service.models.load("tiny:one", quiet)
    view = SegmentHandlers(service).segment(photo, "cat; dog", *fields(key))
    assert view.run.key.model_id == service.models.segmenter("tiny:one").model_id


# --- sizes too large ---


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you ..."
        ),
        RuntimeError("[enforce fail] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("Unable to allocate memory for the weights"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_memory_that_ran_out_is_said_with_a_smaller_size(failure, plain, photo, monkeypatch):
    handlers = SegmentHandlers(plain)

    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(Segmenter, "encode", fail)
    with pytest.raises(gr.Error, match="Choose a smaller short side"):
        handlers.segment(photo, "cat; dog", *fields(None))


def test_other_failures_are_not_taken_for_a_lack_of_memory():
    for failure in (RuntimeError("shape mismatch"), OSError(2, "No such file")):
        with pytest.raises(type(failure)), as_user_errors():
            raise failure


def test_a_long_picture_at_the_largest_size_gets_a_size_that_fits(tmp_path, plain):
    path = tmp_path / "long.png"
    Image.new("RGB", (1200, 300)).save(path)
    with pytest.raises(UserError, match=r"16384 patches.*short side of 560 or less"):
        plain.segment(str(path), SegmentRequest("cat; dog", short_side=1024))


def test_less_memory_means_a_smaller_size(tmp_path, monkeypatch, plain):
    path = tmp_path / "square.png"
    Image.new("RGB", (300, 300)).save(path)
    monkeypatch.setattr(memory, "available", lambda: 100_000_000)  # N = 784 takes 89 MB, N = 1225 takes 150 MB
    with pytest.raises(UserError, match="memory that is left.*short side of 448 or less"):
        plain.segment(str(path), SegmentRequest("cat; dog", short_side=1024))
    assert plain.segment(str(path), SegmentRequest("cat; dog", short_side=224)).legend


def test_memory_is_the_lesser_of_machine_and_container(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 1000 kB\n")
    assert memory.available() == 1_024_000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("500000\n")
    assert memory.available() == 1_024_000
    (tmp_path / "memory.max").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    assert memory.available() == 300_000


def test_offered_models_are_looked_up_only_when_asked():
    assert {entry.downloaded for entry in offered(check_disk=False)} == {None}
    assert offered(check_disk=True)[0].downloaded is True
