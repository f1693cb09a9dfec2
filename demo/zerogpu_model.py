"""Model whose towers run in a worker with a GPU of ZeroGPU, while all caches stay in this process.

This process reads pictures, caches words, and makes regions and labels. It sends only pixels and new words to the
worker, and gets tensors on the CPU back. Imported late, since it needs the core. Imports no Gradio.
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
"""Device of the worker."""

MODELS_ON_GPU = 3
"""Maximum number of models on the GPU of a worker."""

_local: weakref.WeakValueDictionary[str, Segmenter] = weakref.WeakValueDictionary()
"""Models of this process by id: a worker inherits them when it is forked."""
_remote: dict[str, Segmenter] = {}
"""Models on the GPU; filled in workers only."""


class ZeroGPUSegmenter(Segmenter):
    """Segmenter on the CPU that sends the work of its towers to the worker."""

    def __init__(self, name: str, pretrained: str | None, precision: str) -> None:
        """Load the weights in this process; the worker makes its own copy of them."""
        super().__init__(loading.load(name, pretrained), precision=precision, device="cpu")
        _local[self.model_id] = self
        self._encoder = _RemoteEncoder(self)
        self._text = _RemoteText(self)

    def _capture(
        self, pixels: Tensor, frame: Frame, positions: PositionResize, kept_as: torch.dtype = torch.float16
    ) -> Capture:
        done: Capture = self.ask("capture", pixels, frame, positions, kept_as)
        return done

    def ask(self, task: str, *arguments: Any) -> Any:
        """Run a task in the worker.

        Raises:
            CliptraseError: the worker's model refused the task.
            RuntimeError: any other failure in the worker, including lack of memory.
        """
        info = self.info
        request = pickle.dumps((self.model_id, info.name, info.pretrained, self.precision, task, arguments))
        result = pickle.loads(zerogpu.work(request))
        if isinstance(result, Exception):
            raise result
        return result


class _RemoteEncoder(Encoder):
    def __init__(self, owner: ZeroGPUSegmenter) -> None:
        super().__init__(owner.backbone, owner.info, owner.model_id)
        self._owner = weakref.proxy(owner)

    def run(self, pixels: Tensor, positions: PositionResize) -> tuple[Tensor, Tensor, Tensor]:
        done: tuple[Tensor, Tensor, Tensor] = self._owner.ask("encode", pixels, positions)
        return done


class _RemoteText(TextEncoder):
    def __init__(self, owner: ZeroGPUSegmenter) -> None:
        super().__init__(owner.info.model, owner.info.tokenizer)
        self._owner = weakref.proxy(owner)

    def embed_new(self, words: Sequence[str], sentences: Sequence[str]) -> Tensor:
        done: Tensor = self._owner.ask("words", list(words), list(sentences))
        return done


def answer(request: bytes) -> bytes:
    """Run one task in the worker. Return its result on the CPU, or an error that can be pickled, as bytes."""
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
    """Return the tensors on the CPU: a tensor on a GPU cannot leave the process that made it."""
    return tuple(part.cpu() for part in result) if isinstance(result, tuple) else result.cpu()


def _on_gpu(model_id: str, name: str, pretrained: str, precision: str) -> Segmenter:
    if model_id not in _remote:
        # Threads do not survive a fork: with a second one, torch would wait forever.
        torch.set_num_threads(1)
        if len(_remote) >= MODELS_ON_GPU:
            del _remote[next(iter(_remote))]
        inherited = _local.get(model_id)  # missing if the model was loaded after the fork
        loaded = inherited.info if inherited is not None else loading.load(name, pretrained)
        _remote[model_id] = Segmenter(loaded, precision=precision, device=DEVICE)
    return _remote[model_id]
