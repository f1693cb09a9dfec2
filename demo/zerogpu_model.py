"""A model whose towers run in a worker with a lent GPU, while everything that is kept stays here.

Pictures are read, words are remembered, regions and labels are made in this process; only pixels and new words go to
the worker, and tensors on the CPU come back. Imported late, since it needs the core. Imports no Gradio.
"""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from cliptrase_core import Segmenter
from cliptrase_core.errors import CliptraseError
from cliptrase_core.inspection.capture import Capture, capture
from cliptrase_core.io.geometry import Frame
from cliptrase_core.models import loading
from cliptrase_core.models.encoder import Encoder
from cliptrase_core.presets import PositionResize
from cliptrase_core.text.encoder import TextEncoder
from demo import zerogpu

DEVICE = "cuda"
"""Of the worker."""

KEPT_THERE = 3
"""Models that a worker keeps on its GPU."""

_here: weakref.WeakValueDictionary[str, Segmenter] = weakref.WeakValueDictionary()
"""Models of this process by id: a worker inherits them when it is forked."""
_there: dict[str, Segmenter] = {}
"""Models on the GPU; filled in workers only."""


class ZeroGPUSegmenter(Segmenter):
    """A segmenter on the CPU that sends the work of its towers to the worker."""

    def __init__(self, name: str, pretrained: str | None, precision: str) -> None:
        """Load the weights here; the worker makes its own copy of them."""
        super().__init__(loading.load(name, pretrained), precision=precision, device="cpu")
        _here[self.model_id] = self
        self._encoder = _LentEncoder(self)
        self._text = _LentText(self)

    def _capture(self, pixels: Tensor, frame: Frame, positions: PositionResize) -> Capture:
        done: Capture = self.ask("capture", pixels, frame, positions)
        return done

    def ask(self, task: str, *arguments: Any) -> Any:
        """Have a task done by the worker.

        Raises:
            CliptraseError: what the worker's own model refused.
            RuntimeError: what failed there, memory included.
        """
        info = self.info
        request = pickle.dumps((self.model_id, info.name, info.pretrained, self.precision, task, arguments))
        result = pickle.loads(zerogpu.work(request))
        if isinstance(result, Exception):
            raise result
        return result


class _LentEncoder(Encoder):
    def __init__(self, owner: ZeroGPUSegmenter) -> None:
        super().__init__(owner.backbone, owner.info, owner.model_id)
        self._owner = weakref.proxy(owner)

    def run(self, pixels: Tensor, positions: PositionResize) -> tuple[Tensor, Tensor, Tensor]:
        done: tuple[Tensor, Tensor, Tensor] = self._owner.ask("encode", pixels, positions)
        return done


class _LentText(TextEncoder):
    def __init__(self, owner: ZeroGPUSegmenter) -> None:
        super().__init__(owner.info.model, owner.info.tokenizer)
        self._owner = weakref.proxy(owner)

    def embed_new(self, words: Sequence[str], sentences: Sequence[str]) -> Tensor:
        done: Tensor = self._owner.ask("words", list(words), list(sentences))
        return done


def answer(request: bytes) -> bytes:
    """What the worker does: one task, its result on the CPU, or the error as a value that survives the way back."""
    model_id, name, pretrained, precision, task, arguments = pickle.loads(request)
    try:
        segmenter = _on_gpu(model_id, name, pretrained, precision)
        if task == "capture":
            return pickle.dumps(capture(segmenter.backbone, *arguments))  # on the CPU already
        run = segmenter._encoder.run if task == "encode" else segmenter._text.embed_new
        return pickle.dumps(home(run(*arguments)))
    except CliptraseError as error:
        return pickle.dumps(error)
    except Exception as error:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))


def home(result: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """Tensors on the CPU: one on a GPU cannot leave the process that made it."""
    return tuple(part.cpu() for part in result) if isinstance(result, tuple) else result.cpu()


def _on_gpu(model_id: str, name: str, pretrained: str, precision: str) -> Segmenter:
    if model_id not in _there:
        # Threads do not survive a fork: a second one would be waited for without end.
        torch.set_num_threads(1)
        if len(_there) >= KEPT_THERE:
            del _there[next(iter(_there))]
        inherited = _here.get(model_id)  # not there if the model was loaded after the fork
        loaded = inherited.info if inherited is not None else loading.load(name, pretrained)
        _there[model_id] = Segmenter(loaded, precision=precision, device=DEVICE)
    return _there[model_id]
