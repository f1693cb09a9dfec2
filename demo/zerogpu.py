"""The seam to Hugging Face's ZeroGPU, which lends a GPU for seconds to a worker process. Imports no Gradio.

Everywhere else nothing here has an effect. `spaces` is imported before anything that could start CUDA.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from demo import core

try:
    import spaces
except ImportError:  # no Space
    spaces = None

DURATION = 15
"""Seconds that are asked for at once: fewer mean a better place in the queue."""

Function = TypeVar("Function", bound=Callable[..., Any])


def on_gpu(function: Function) -> Function:
    """Run a function in the worker that has the GPU, where there is one; arguments and results are pickled."""
    return function if spaces is None else spaces.GPU(duration=DURATION)(function)


def lent() -> bool:
    """Whether a GPU is lent here: a Space on ZeroGPU says so."""
    return spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def device_name(device: Any) -> str:
    """Where a model runs, for people."""
    return f"{device} and a lent GPU" if lent() else str(device)


@on_gpu  # at import: a Space wants to know at its start that there is such a function
def work(request: bytes) -> bytes:
    """Answer one request of `demo.zerogpu_model` in the worker: bytes both ways, so that no tensor is ever shared."""

    return core.zerogpu_model.answer(request)
