"""`doctor`: list installed versions, weights on disk, and the model that would run."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path

import torch

from cliptrase_core.errors import CliptraseError
from cliptrase_core.methods.registry import METHODS
from cliptrase_core.models import loading
from cliptrase_core.models.embedded import read_nano
from cliptrase_core.models.precision import WORTH_IT, bf16_gain, device_by_name, resolve_precision
from cliptrase_core.names import NANO, SAM_NANO, SAMS
from cliptrase_core.refine import is_available
from cliptrase_core.refine.sam_checkpoints import load_sam
from cliptrase_core.version import VERSION

PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "segment-anything",
    "scipy",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "matplotlib",
    "pycocotools",
    "gradio",
)

PAGE = Path(__file__).resolve().parents[2] / "app.py"


def report() -> Iterator[str]:
    """Yield the lines of the report. Takes up to 3 s if the hub does not answer."""
    yield f"cliptrase-lab {VERSION}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    for package in PACKAGES:
        yield f"  {package} {_version(package)}"
    yield f"device: {_device()}"
    gain = bf16_gain("cpu")
    two_digits = f"{gain:#.2g}".rstrip(".")
    verdict = "worth it: --precision auto takes it" if gain >= WORTH_IT else "not worth it"
    yield f"bf16 on this CPU: {two_digits}x the speed of fp32 ({verdict})"
    yield "weights on disk:"
    yield f"  {NANO}: {_embedded(loading.is_on_disk(NANO), read_nano)}"
    for name in loading.OPENAI_ARCHITECTURES:
        yield f"  {name}: {_downloaded(loading.is_on_disk(name))}"
    for name in SAMS:
        found = is_available(name)
        state = _embedded(found, partial(load_sam, name)) if name == SAM_NANO else _downloaded(found)
        yield f"  SAM {name}: {state}"
    yield "methods:"
    for method in METHODS.values():
        yield f"  {method.name}: {method.title}, {method.source}, arXiv {method.arxiv}"
        if method.quirk:
            yield f"    {method.quirk}"
    requested = os.environ.get("CLIPTRASE_MODEL") or None
    start = _start_up(requested or NANO)
    yield f"command line would run: {_command_line(requested or NANO, start)}"
    yield f"page would start with: {_page(start if requested else _start_up(None))}"


def _embedded(found: bool, read: Callable[[], object]) -> str:
    """Return the state of a bundled model. Reads the whole model: nothing else shows that its files are intact."""
    if not found:
        return "missing: the program is incomplete, install it again"
    try:
        read()
    except CliptraseError as error:
        return f"unusable. {error}"
    return "included"


def _downloaded(found: bool) -> str:
    return "downloaded" if found else "not downloaded"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return f"missing: install it with 'pip install {package}'"


def _device() -> str:
    name = os.environ.get("CLIPTRASE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = device_by_name(name)
    except CliptraseError as error:
        return f"none. {error}"
    card = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    return f"{name}{card}, {torch.get_num_threads()} threads"


def _start_up(requested: str | None) -> loading.StartUp | CliptraseError:
    """Return the model that can run now, or the error in the settings of the environment."""
    try:
        device = device_by_name(os.environ.get("CLIPTRASE_DEVICE") or "cpu")
        resolve_precision(os.environ.get("CLIPTRASE_PRECISION") or "fp32", device)
        return loading.choose_start_up(requested)
    except CliptraseError as error:
        return error


def _command_line(requested: str, start: loading.StartUp | CliptraseError) -> str:
    """Return the model of the commands: they run no other one while it is missing, and download it first."""
    if isinstance(start, CliptraseError):
        return f"nothing. {start}"
    states = {
        "fetching": f"{requested}, after a download",
        "hub silent": f"nothing. {requested} is not on this computer, and the model hub does not answer",
        "offline": f"nothing. {requested} is not on this computer, and HF_HUB_OFFLINE=1 forbids fetching it",
    }
    return states.get(start.reason, requested)


def _page(start: loading.StartUp | CliptraseError) -> str:
    if not PAGE.is_file():
        return "nothing: the page is not installed with the command line, it runs from a clone (python app.py)"
    if isinstance(start, CliptraseError):
        return f"nothing. {start}"
    return f"{start.name} ({start.reason}){'. ' + start.banner if start.banner else ''}"
