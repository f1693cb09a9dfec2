"""Interface to Hugging Face's ZeroGPU, which gives a worker process a GPU for some seconds. Imports no Gradio.

It has no effect on other machines. `spaces` is imported before anything that could start CUDA.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from demo import core

try:
    import spaces
except ImportError:  # not on a Space
    spaces = None

DURATION = 15
"""GPU time of one request in seconds: shorter requests get a better place in the queue."""

Function = TypeVar("Function", bound=Callable[..., Any])


def on_gpu(function: Function) -> Function:
    """Run a function in the worker that has the GPU, if there is one; arguments and results are pickled."""
    return function if spaces is None else spaces.GPU(duration=DURATION)(function)


def shared() -> bool:
    """Return whether this is a Space on ZeroGPU, according to its environment variable."""
    return spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def device_name(device: Any) -> str:
    """Return the name of a model's device, for people."""
    return f"{device} and a shared GPU" if shared() else str(device)


@on_gpu  # at import: a Space must know at its start that there is such a function
def work(request: bytes) -> bytes:
    """Answer one request of `demo.zerogpu_model` in the worker; both are bytes, so that no tensor is ever shared."""
    return core.zerogpu_model.answer(request)
