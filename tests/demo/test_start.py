"""Start of the page: imports on several threads, models that cannot run, repeated loads."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from cliptrase_core.models import loading
from demo import core, models
from demo.errors import UserError
from demo.models import ModelRegistry
from demo.service import Service
from demo.settings import Settings
from demo.tabs.model import head_view
from tests.conftest import tiny_clip
from tests.demo.test_models import TINY
from tests.server import ROOT

# --- two threads import at the same time ---

RACE = r"""
import json, os, sys, time
from types import SimpleNamespace
import torch, open_clip, scipy.ndimage, pycocotools.mask, huggingface_hub, gradio
import numpy as np
from demo import models
from demo.api import Endpoints
from demo.errors import as_user_errors
from demo.drawing import heat_map
from demo.tabs.refine import RefineHandlers
from demo.model_facts import read_key
from demo.service import SegmentRequest, Service
from demo.service.compare import variants
from demo.service.refine import is_available
from demo.settings import Settings

class Slow:
    # Lets the other thread in before each module of the core, so that the two meet on every run.
    def find_spec(self, name, path=None, target=None):
        if name.startswith("cliptrase_core"):
            time.sleep(0.005)

def complain():
    with as_user_errors():
        raise ValueError

CALLS = {
    "/models": lambda service: Endpoints(service).models(),
    "refine tab": lambda service: RefineHandlers(service).offer("sam-nano"),
    "weights of a refiner": lambda service: is_available("vit_b"),
    "key of a model": lambda service: read_key("ViT-B-16"),
    "names of methods": lambda service: variants(SegmentRequest("dog")),
    "heat map": lambda service: heat_map(np.zeros((8, 8, 3), np.uint8), np.eye(2), None, ()),
    "error": lambda service: complain(),
}

def race(kind):
    sys.meta_path.insert(0, Slow())
    info = SimpleNamespace(name="nano", pretrained="embedded")
    models.ready = lambda *_: SimpleNamespace(info=info, device="cpu", precision="fp32")  # only imports are raced
    service = Service(Settings(model="nano", device="cpu"))
    service.start()
    try:
        CALLS[kind](service)
    except ValueError:
        pass
    return service.models.segmenter().info.name

found = {}
for kind in CALLS:
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            said = race(kind)
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        found[kind] = answer.read()
    os.wait()
print(json.dumps(found))
"""


def test_whatever_is_asked_while_the_core_is_imported_leaves_a_model():
    done = subprocess.run(
        [sys.executable, "-c", RACE], cwd=ROOT, capture_output=True, text=True, timeout=200, check=True
    )
    found = json.loads(done.stdout)
    assert len(found) == 7
    assert set(found.values()) == {"nano"}, (found, done.stderr)


def test_the_door_gives_the_core_s_own_modules_and_names_what_it_lacks():
    assert core.models.loading is loading
    assert core.torch is torch
    with pytest.raises(ModuleNotFoundError, match="no_such_room"):
        core.no_such_room  # noqa: B018
    assert not hasattr(core, "__path__")


# --- the first result imports nothing that it does not need ---

LEFT_OUT = r"""
import sys
from demo import core

segmenter = core.segmenter.Segmenter.from_pretrained("nano")
segmenter.segment(segmenter.encode("assets/examples/shepherd.jpg"), "dog; grass")
assert not {"timm", "torch._dynamo", "torch._dynamo.utils", "sympy", "sklearn", "scipy.stats"} & set(sys.modules)
from torchvision.ops.roi_align import is_compile_supported
assert is_compile_supported("cpu") in (True, False)
import timm, torch
assert torch._dynamo.utils.is_compile_supported is not is_compile_supported
"""


def test_what_open_clip_brings_along_is_there_for_who_asks_and_for_nobody_before():
    done = subprocess.run([sys.executable, "-c", LEFT_OUT], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


NO_STUBS = """
import ast, inspect
from demo import quick

getfile, cut, parsed = inspect.getfile, ast.get_source_segment, []
ast.get_source_segment = lambda *asked, **how: parsed.append(asked) or cut(*asked, **how)
with quick.classes_without_files():
    import gradio
assert not parsed
assert inspect.getfile is getfile
assert inspect.getfile(gradio.Image).endswith("image.py")
with gradio.Blocks():
    gradio.Image().upload(print)
"""


def test_gradio_is_imported_without_writing_files_for_editors():
    done = subprocess.run([sys.executable, "-c", NO_STUBS], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


QUIET = """
import gc, inspect, sys, threading
from demo import quick

from gradio import route_utils, utils
quick.without_matplotlib()
assert "with utils.MatplotlibBackendMananger():" in inspect.getsource(route_utils)
with utils.MatplotlibBackendMananger():
    assert "matplotlib" not in sys.modules
loaded = threading.Event()
gc.disable()
quick.collect_after(loaded.wait)
assert not gc.isenabled()
loaded.set()
next(one for one in threading.enumerate() if one.name == "garbage").join()
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000
"""


def test_requests_import_no_matplotlib_and_garbage_is_looked_for_once_a_model_is_there():
    done = subprocess.run([sys.executable, "-c", QUIET], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


# --- nano replaces a model that cannot run ---


def no_numbers(state):
    for tensor in state.values():
        tensor.fill_(float("nan")) if tensor.is_floating_point() else None


def one_without_number(state):
    state["visual.proj"][0, 0] = float("nan")


def infinite(state):
    state["visual.conv1.weight"].fill_(float("inf"))


def one_word_without_number(state):
    state["text_projection"][1, 2] = float("nan")


def overflowing(state):
    state["logit_scale"].fill_(1000.0)


@pytest.mark.parametrize("spoil", [no_numbers, one_without_number, infinite, one_word_without_number, overflowing])
def test_weights_that_hold_no_numbers_end_with_nano_and_a_plain_line(spoil, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", TINY)
    state = {name: tensor.clone() for name, tensor in tiny_clip().state_dict().items()}
    spoil(state)
    save_file(state, tmp_path / "spoilt.safetensors")
    registry = ModelRegistry(Settings(model=f"tiny:{tmp_path}/spoilt.safetensors", device="cpu"))
    assert registry.segmenter().info.name == "nano"
    status = registry.status()
    assert "expected finite numbers" in status.notice
    assert str(tmp_path) not in status.notice
    assert (status.ready, status.failed, status.busy, status.offer) == (True, False, False, "ViT-B-16:openai")
    assert "Running on nano" in capsys.readouterr().err


class OddError(Exception):
    """Exception of a third-party library."""


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (KeyError("vision_cfg"), "the server's log has the details"),
        (OddError("/secret/path"), "the server's log has the details"),
        (TypeError("unexpected keyword"), "the server's log has the details"),
        (ImportError("no module named transformers"), "A library is missing"),
        (MemoryError(), "enough memory for it"),
        (torch.OutOfMemoryError("CUDA out of memory"), "enough memory for it"),
        (OSError(12, "Cannot allocate memory"), "enough memory for it"),
        (RecursionError("maximum recursion depth"), "the server's log has the details"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_model_raises_nano_runs(failure, said, monkeypatch):
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", TINY)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"one": {"hf_hub": "somebody/one/"}})
    monkeypatch.setattr(loading, "is_on_disk", lambda *_: True)
    built = loading.load

    def load(name, *arguments, **options):
        if name == "tiny":
            raise failure
        return built(name, *arguments, **options)

    monkeypatch.setattr("cliptrase_core.segmenter.loading.load", load)
    registry = ModelRegistry(Settings(model="tiny:one", device="cpu"))
    assert registry.segmenter().info.name == "nano"
    assert said in registry.status().notice
    assert "secret" not in registry.status().notice
    assert registry.status().offer == "tiny:one"  # one click tries again


# --- a failed load is repeated ---


def test_a_load_that_failed_altogether_is_tried_again_by_the_next_request(monkeypatch):
    ready, failures = models.ready, [ImportError("partially initialized module"), OSError("disk"), MemoryError()]

    def unlucky(*arguments):
        if failures:
            raise failures.pop()
        return ready(*arguments)

    monkeypatch.setattr(models, "ready", unlucky)
    service = Service(Settings(model="nano", device="cpu"))
    with pytest.raises(UserError, match="The next request tries again"):
        service.models.segmenter()  # tries the requested model, then nano as its replacement
    assert service.status().failed
    assert "No model" in head_view(service.status()).banner
    assert service.models.segmenter().info.name == "nano"
    assert not service.status().failed


def test_a_failed_load_is_tried_by_one_thread_however_many_ask(monkeypatch):
    running, most = [], []

    def never(*arguments):
        running.append(arguments)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()
        raise OSError("disk")

    monkeypatch.setattr(models, "ready", never)
    registry = ModelRegistry(Settings(model="nano", device="cpu"))

    def ask():
        with pytest.raises(UserError):
            registry.segmenter()

    people = [threading.Thread(target=ask) for _ in range(8)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert set(most) == {1}
    assert registry.status().failed
