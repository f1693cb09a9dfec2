"""Download of a full-size model from a local hub while the page is in use, and hubs that fail."""

from __future__ import annotations

import json
import shutil
import time
from types import SimpleNamespace

import open_clip
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from cliptrase_core.models import hub as core_hub
from demo.errors import UserError
from demo.models import ModelRegistry
from demo.settings import EXAMPLES, Settings
from tests.conftest import tiny_clip
from tests.demo.test_models import TINY, quiet, until
from tests.hub import hub_with
from tests.server import serving
from tests.visitor import Visitor, call

# --- a complete download, with the real server and a full-size model ---


def full_size(path):
    """Write a ViT-B/16 of OpenAI's shape with noise for weights, in float16."""
    shapes = open_clip.create_model("ViT-B-16", device="meta").state_dict()  # needs no memory and no time
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)) * 0.02
    longest = max(value.numel() for value in shapes.values())
    noise = noise.half().repeat(longest // len(noise) + 1)
    ones = torch.ones(1024).half()
    state = {}
    for name, value in shapes.items():
        source = ones if "ln_" in name and name.endswith("weight") else noise
        state[name] = source[: value.numel()].reshape(value.shape).clone()
    save_file(state, path)


def test_the_real_model_is_asked_for_comes_in_and_takes_over_while_old_results_live(tmp_path):
    full_size(tmp_path / "big.safetensors")
    variables = {
        "CLIPTRASE_MODEL": "",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "2",
    }
    with (
        hub_with(tmp_path / "big.safetensors") as hub,
        serving(tmp_path, HF_ENDPOINT=hub.address, **variables) as server,
    ):
        early = call(server.address, "models")  # the model is still being loaded
        assert {entry["downloaded"] for entry in early["refiners"]} <= {True, False, None}
        visitor = Visitor(server.address)
        picture = visitor.upload(EXAMPLES / "shepherd.jpg")
        assert visitor.segment(picture=picture, words="dog; grass") is None
        assert "nano ·" in visitor.shown("costs")
        assert "ViT-B-16 (openai) is not on this computer" in call(server.address, "models")["notice"]
        assert hub.seen == []  # 0.6 GB are never downloaded without a click: the hub gets no request

        hub.gate.clear()  # the hub holds the second half back
        pressed, clicked = visitor.event("head-load", "click"), visitor.event("result", "select")
        loading, old = visitor.join(pressed["id"], visitor.data(pressed)), None
        for message in visitor.messages():
            if old is None and " of 299 MB" in json.dumps(message):
                at = {"index": [9, 9], "value": None}
                old = visitor.join(clicked["id"], visitor.data(clicked), at)  # the page is used during the download
            if message["msg"] == "process_completed" and message["event_id"] == old:
                assert message["success"], message
                hub.gate.set()
            if message["msg"] == "process_completed" and message["event_id"] == loading:
                assert message["success"], message
                assert "ViT-B-16, openai weights" in message["output"]["data"][0]
                break

        assert old, "no progress was shown"
        answer = visitor.do("result", "select", at=[9, 9])  # the result of nano can still be used
        assert answer.succeeded, answer.error
        assert visitor.segment(picture=picture, words="dog; grass") is None
        assert "ViT-B-16:openai ·" in visitor.shown("costs")
        visitor.close()

        for name, arguments in {
            "segment": {"vocabulary": "dog; grass", "short_side": 160, "include_masks": False},
            "compare": {"vocabulary": "dog; grass", "methods": "clip", "short_side": 160},
            "refine": {"vocabulary": "dog; grass", "refiner": "edges", "short_side": 160, "include_masks": False},
            "inspect_patch": {"row": 1, "column": 1},
        }.items():
            own = call(server.address, name, image=picture, **arguments)
            other = call(server.address, name, image=picture, model="nano", **arguments)
            assert (own["model"], own["pretrained"]) == ("ViT-B-16", "openai"), name
            assert (other["model"], other["pretrained"]) == ("nano", "embedded"), name
        now = call(server.address, "models")
        assert (now["model"], now["notice"]) == ("ViT-B-16", None)
        assert "Traceback" not in server.log.read_text()


# --- hubs that fail; the model is tiny, the library and the connection are real ---


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Local hub with one tiny model; the hub library sends its requests to it."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", TINY)
    known = {"one": {"hf_hub": "somebody/one/", "quick_gelu": True}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", known)
    save_file(tiny_clip().state_dict(), tmp_path / "tiny.safetensors")
    with hub_with(tmp_path / "tiny.safetensors") as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 1)
        hasty = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
        for module in ("utils._http", "file_download"):  # only the hub library skips its waits between tries
            monkeypatch.setattr(f"huggingface_hub.{module}.time", hasty)
        yield hub


BAD_HUBS = {
    "401": ({"status": 401, "code": "RepoNotFound"}, "no such repository"),
    "401 of a proxy": ({"status": 401}, "HTTP status 401"),
    "403": ({"status": 403}, "HTTP status 403"),
    "403 gated": ({"status": 403, "code": "GatedRepo"}, "asks for permission"),
    "404": ({"status": 404, "code": "RepoNotFound"}, "no such repository"),
    "404 of the file": ({"status": 404, "code": "EntryNotFound"}, "none of them"),
    "429": ({"status": 429}, "HTTP status 429"),
    "500": ({"status": 500}, "HTTP status 500"),
    "503": ({"status": 503}, "HTTP status 503"),
    "login page of a network": ({"page": True}, "not the hub's"),
    "silence": ({"silent": True}, "did not answer"),
    "stops half way": ({"cut": 3_000_000, "cuts": 100}, "broken transfer"),
}


@pytest.mark.parametrize(("behaviour", "said"), BAD_HUBS.values(), ids=BAD_HUBS)
def test_whatever_the_hub_does_nano_runs_and_one_click_tries_again(behaviour, said, hub):
    for name, value in behaviour.items():
        setattr(hub, name, value)
    registry = ModelRegistry(Settings(model="tiny:one", device="cpu"))
    assert registry.segmenter().info.name == "nano"
    until(lambda: not registry.status().busy)
    status = registry.status()
    assert said in status.notice
    assert "nano runs" in status.notice
    assert not any(secret in status.notice for secret in (hub.address, str(hub.file.parent)))
    assert (status.key, status.offer) == ("nano", "tiny:one")
    hub.mend()
    assert registry.load(status.offer, quiet) == "tiny:one"
    assert (registry.status().key, registry.status().notice, registry.status().offer) == ("tiny:one", None, None)
    assert registry.segmenter("nano").info.name == "nano"


def test_a_transfer_that_breaks_now_and_then_goes_on_where_it_broke(hub):
    hub.cut, hub.cuts = 3_000_000, 3
    registry = ModelRegistry(Settings(model="tiny:one", device="cpu"))
    registry.segmenter()
    until(lambda: not registry.status().busy)
    assert registry.status().key == "tiny:one"


def test_a_slow_hub_shows_how_far_it_is(hub, monkeypatch):
    hub.pause = 0.02
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500_000)  # the library's 10 MB exceed the whole file
    registry, told = ModelRegistry(Settings(model="nano", device="cpu")), []
    registry.load("tiny:one", lambda share, text: told.append((share, text)))
    assert len({text for _, text in told if " of 7 MB" in text}) >= 4
    assert [share for share, _ in told] == sorted(share for share, _ in told)


def test_a_disk_without_room_is_said_before_anything_is_fetched(hub, monkeypatch):
    monkeypatch.setattr(core_hub.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    registry = ModelRegistry(Settings(model="nano", device="cpu"))
    with pytest.raises(UserError, match="full disk.*HF_HOME"):
        registry.load("tiny:one", quiet)
    monkeypatch.setattr(core_hub.shutil, "disk_usage", shutil.disk_usage)
    assert registry.segmenter().info.name == "nano"
