"""What is installed, which weights are here, what would run: the first thing to ask of a new machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib import metadata

import torch

from cliptrase_core import weights
from cliptrase_core.errors import CliptraseError
from cliptrase_core.methods import METHODS
from cliptrase_core.precision import WORTH_IT, bf16_gain
from cliptrase_core.refine import SAMS, is_here
from cliptrase_core.version import VERSION

PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "scikit-learn",
    "segment-anything",
    "scipy",
    "numpy",
    "pillow",
    "pycocotools",
    "gradio",
)


def report() -> Iterator[str]:
    """Lines for people. Takes up to 3 s when the hub does not answer."""
    yield f"cliptrase-lab {VERSION}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    for package in PACKAGES:
        yield f"  {package} {_version(package)}"
    yield f"device: {_devices()}, {torch.get_num_threads()} threads"
    gain = bf16_gain("cpu")
    verdict = "worth it: --precision auto takes it" if gain >= WORTH_IT else "not worth it"
    yield f"bf16 on this CPU: {gain:.1f}x the speed of fp32 ({verdict})"
    yield "weights on disk:"
    for name in (weights.NANO, *weights.OPENAI_ARCHITECTURES):
        found = "here" if weights.is_on_disk(name) else "not here"
        yield f"  {name}: {found}"
    for name in SAMS:
        yield f"  SAM {name}: {'here' if is_here(name) else 'not here'}"
    yield "methods:"
    for method in METHODS.values():
        yield f"  {method.name}: {method.title}, {method.source}, arXiv {method.arxiv}"
    yield f"command line would run: {os.environ.get('CLIPTRASE_MODEL') or weights.NANO}"
    yield f"page would start with: {_start_up()}"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing: install it with 'pip install -r requirements.txt'"


def _devices() -> str:
    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name()})"
    return "cpu"


def _start_up() -> str:
    try:
        start = weights.choose_start_up(os.environ.get("CLIPTRASE_MODEL"))
    except CliptraseError as error:
        return f"nothing. {error}"
    return f"{start.name} ({start.reason}){'. ' + start.banner if start.banner else ''}"
