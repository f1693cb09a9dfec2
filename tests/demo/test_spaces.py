"""Support for Spaces, proxies and desktops: front matter, requirements, file sizes, the manifest, headers, `--open`."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from PIL import Image

import app
from cliptrase_core.models import architectures, hub, loading
from demo.page import build, launch_options
from demo.service import Service
from demo.settings import Settings

ROOT = Path(__file__).parents[2]
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


@pytest.fixture(scope="module")
def front():
    found = re.match(r"---\n(.*?)\n---\n", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return yaml.safe_load(found.group(1))


def test_front_matter_is_what_a_space_reads(front):
    assert (front["sdk"], front["license"]) == ("gradio", "mit")
    assert (ROOT / front["app_file"]).is_file()
    assert front["python_version"] in ("3.10", "3.12")  # versions of ZeroGPU; as a YAML number, 3.10 would be 3.1
    assert {front["colorFrom"], front["colorTo"]} <= COLOURS
    assert len(front["short_description"]) <= 60


def test_the_space_gets_the_gradio_that_is_tested(front):
    assert front["sdk_version"] == importlib.metadata.version("gradio")


def test_preloaded_weights_are_those_that_the_page_looks_for_first(front):
    place = architectures.tag(loading.DEFAULT_MODEL, "openai")["hf_hub"]
    repository, files = hub.files_at(place)
    assert front["preload_from_hub"] == [f"{repository} {files[0]}"]
    assert front["models"] == [repository]


def test_preloaded_weights_are_found_in_the_hub_cache_without_a_network(front, tmp_path, monkeypatch):
    from huggingface_hub import constants, try_to_load_from_cache

    repository, file = front["preload_from_hub"][0].split()
    kept = tmp_path / f"models--{repository.replace('/', '--')}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    (kept / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (kept / "snapshots" / ("0" * 40) / file).write_bytes(b"weights")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *a: try_to_load_from_cache(*a, cache_dir=tmp_path))
    plan = loading.choose_start_up(None)
    assert (plan.name, plan.pretrained, plan.reason) == ("ViT-B-16", "openai", "on disk")


def test_no_file_of_the_repository_is_over_ten_megabytes():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("no git repository here")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert len(files) > 50
    assert not [str(path) for path in files if path.is_file() and path.stat().st_size > 10_000_000]


def test_requirements_allow_what_a_space_brings():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    names = [re.split(r"[<>=~! ]", line)[0] for line in lines if line and not line.startswith("#")]
    assert {"torch", "torchvision", "gradio", "open_clip_torch"} <= set(names)
    assert "spaces" not in names  # a Space has its own
    assert not any("@" in line or line.startswith("-") for line in lines)  # no URLs, no options


@pytest.fixture(scope="module")
def url():
    demo = build(Service(Settings(model="nano", device="cpu")))
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options())
    yield url
    demo.close()


def fetch(address):
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.headers, answer.read()


def test_the_page_can_be_installed(url):
    manifest = json.loads(fetch(f"{url}manifest.json")[1])
    assert (manifest["name"], manifest["display"]) == ("CLIPtrase Lab", "standalone")
    assert [icon["sizes"] for icon in manifest["icons"]] == ["192x192", "512x512"]
    for icon in manifest["icons"]:
        picture = Image.open(io.BytesIO(fetch(url.rstrip("/") + icon["src"])[1]))
        assert f"{picture.width}x{picture.height}" == icon["sizes"]
    assert b'rel="manifest"' in fetch(url)[1]


def test_answers_carry_safe_headers_and_may_be_framed(url):
    headers, _ = fetch(url)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert headers["x-frame-options"] is None


@pytest.mark.parametrize(("arguments", "opens"), [([], False), (["--open"], True)])
def test_open_opens_the_browser_only_when_asked(arguments, opens, monkeypatch):
    seen = {}
    monkeypatch.setattr(sys, "argv", ["app.py", *arguments])
    monkeypatch.setattr(app.service, "start", lambda: None)
    monkeypatch.setattr(app.demo, "launch", lambda **options: seen.update(options))
    monkeypatch.setattr(app.demo, "close", lambda **_: None)
    monkeypatch.setattr(app.ending, "wait", lambda: None)
    app.main()
    assert seen["inbrowser"] is opens


def test_unknown_arguments_get_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["app.py", "--port", "80"])
    with pytest.raises(SystemExit) as refusal:
        app.main()
    said = capsys.readouterr().err
    assert refusal.value.code == 2
    assert said.count("\n") == 1
    assert "--port 80" in said


def test_the_deployment_page_names_every_variable_that_is_read():
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    sources = [*(ROOT / "demo").rglob("*.py"), *(ROOT / "cliptrase_core").rglob("*.py")]
    sources = [path for path in sources if path.name != "run.py"]  # its variables are set by torchrun
    read = {name for path in sources for name in re.findall(r'environ(?:ment)?\.get\("(\w+)"', path.read_text())}
    assert read >= {"CLIPTRASE_MODEL", "CLIPTRASE_DEVICE", "CLIPTRASE_PRECISION", "SPACES_ZERO_GPU"}
    assert all(f"`{name}`" in page for name in read)
