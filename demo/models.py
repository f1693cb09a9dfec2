"""Models that run: one from the start, replaced once a better one is downloaded, and further ones on request."""

from __future__ import annotations

import dataclasses
import logging
import math
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cliptrase_core.cache import LRUCache
from cliptrase_core.cancel import Progress
from cliptrase_core.names import NANO
from demo import core, zerogpu
from demo.errors import UserError, as_user_errors
from demo.examples import FIRST, read_examples
from demo.html import percent
from demo.model_facts import ModelFacts, facts_of, key_of, model_bytes, read_key, real_model, weighed
from demo.settings import CACHED_MODEL_BYTES, Settings

if TYPE_CHECKING:
    from cliptrase_core import Segmenter
    from cliptrase_core.models.loading import StartUp


PEAK_RATIO = 2.2
"""Peak memory of loading, divided by that of the weights: the content of the file and the model coexist in memory."""


def fetch(key: str, progress: Progress) -> None:
    """Download a model's weights to this computer, if there is memory for them.

    Args:
        key: name of the model, as from `read_key`.
        progress: function that is called with (share in [0, 1], description).

    Raises:
        UserError: too little memory, or the weights are not on this computer and cannot be downloaded.
        WeightsError: the transfer failed.
    """
    name, pretrained = core.models.loading.parse_model(key)
    if name == NANO:
        return
    needed, left = PEAK_RATIO * weighed(name), core.io.memory.available()
    if left is not None and needed > left:
        raise UserError(
            f"{key} needs about {needed / 1e6:.0f} MB of memory to load, and {left / 1e6:.0f} MB are left on the "
            "machine that runs this page. Choose a smaller model, for instance ViT-B-16:openai or nano."
        )
    if core.models.loading.is_on_disk(name, pretrained):
        return
    if not core.models.hub.hub_answers():
        why = "HF_HUB_OFFLINE=1 forbids fetching" if core.models.hub.offline() else "the model hub does not answer"
        raise UserError(
            f"{key} is not on the machine that runs this page, and {why}. Connect it and load again, or start the "
            f"page with a file: CLIPTRASE_MODEL={name}:weights.safetensors. Loaded models continue to work."
        )
    progress(0.0, "asking the model hub")
    core.models.loading.download(name, pretrained, progress=progress)


def ready_by_key(key: str, settings: Settings) -> Segmenter:
    """Load a model by its key; raises the errors of `ready`."""
    name, pretrained = core.models.loading.parse_model(key)
    return ready(name, pretrained, settings)


def ready(name: str, pretrained: str | None, settings: Settings) -> Segmenter:
    """Load a model and run it once, so that the first visitor does not wait for one-time work of libraries.

    Raises:
        UserError: the weights contain NaN or infinity.
        CliptraseError: invalid weights, device or precision.
    """
    if zerogpu.shared():
        return core.zerogpu_model.ZeroGPUSegmenter(
            name, pretrained, settings.precision
        )  # a first run would use up GPU seconds
    build = core.segmenter.Segmenter.from_pretrained
    segmenter = build(name, pretrained, device=settings.device, precision=settings.precision)
    _expect_finite(segmenter)
    # Few patches are enough. The words are those of the opening page, so that they are cached for its first visitor.
    side = 4 * max(segmenter.backbone.patch)
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    encoding = segmenter.encode(picture, short_side=side)
    segmenter.segment(encoding, next((one.words for one in read_examples() if one.name == FIRST), "tree; sky"))
    segmenter.capture(encoding).maps()
    return segmenter


def _expect_finite(segmenter: Segmenter) -> None:
    """Check that all weights are finite: one NaN makes every result NaN, and messages of libraries do not help."""
    for name, weight in segmenter.info.model.named_parameters():
        if not all(math.isfinite(end) for end in core.torch.aminmax(weight)):  # in one pass, without a copy
            raise UserError(
                f"weights {segmenter.info.pretrained}: expected finite numbers, got NaN or infinity in {name}. "
                "The file is damaged, or its training failed: take another."
            )


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """State of the default model, for the banner; visitors may choose another.

    Attributes:
        ready: True if requests are answered without waiting for a model.
        busy: True while a model is loaded or downloaded, so that another query soon makes sense.
        key: key of the model; empty before the first one is loaded.
        name: architecture, or "nano".
        pretrained: tag, file name, or "embedded".
        device: name of the device as in torch.
        precision: "fp32", "bf16" or "fp16".
        notice: reason why this model runs and not the requested one; None if it is the requested one.
        failed: True if no model could be loaded at all; the next request tries again.
        offer: key of a better model that one click loads; None if there is none, or if it is already being loaded.
    """

    ready: bool = False
    busy: bool = True
    key: str = ""
    name: str = ""
    pretrained: str = ""
    device: str = ""
    precision: str = ""
    notice: str | None = None
    failed: bool = False
    offer: str | None = None


class ModelRegistry:
    """Models for requests, with their loading and state; shared by threads and visitors.

    Nano and the model from the settings stay in memory; of further models, the most recently used.
    """

    def __init__(self, settings: Settings) -> None:
        """Store the settings; loads nothing."""
        self._settings = settings
        self._lock = threading.Lock()
        self._making = threading.Lock()  # one model is loaded at a time, and none twice
        self._loaded = threading.Event()
        self._thread: threading.Thread | None = None
        self._first: str | None = None  # key of the default model
        self._wanted: str | None = None  # key of the intended default; None if it is a file
        self._staying: dict[str, Segmenter] = {}
        self._further: LRUCache[Segmenter] = LRUCache(CACHED_MODEL_BYTES, model_bytes)
        self._status = Status()

    def start(self) -> None:
        """Start loading in a background thread; does nothing while that thread runs, or once a model is loaded."""
        with self._lock:
            if self._thread is None or (self._status.failed and not self._thread.is_alive()):
                self._loaded.clear()
                self._status = Status()
                self._thread = threading.Thread(target=self._run, daemon=True, name="model")
                self._thread.start()

    def status(self) -> Status:
        """Return the state of the default model; never waits."""
        return self._status

    def settled(self) -> None:
        """Wait until a model is loaded, or until loading has failed."""
        self._loaded.wait()

    def segmenter(self, key: str | None = None) -> Segmenter:
        """Return a loaded model. Waits for it at the start, and tries again if loading had failed.

        Args:
            key: key of a further loaded model; None for the default model.

        Raises:
            UserError: no model could be loaded, or the requested one is not loaded.
        """
        self.start()
        self._loaded.wait()
        found = self._find(self._first if key is None else key)
        if found is None and key is not None:
            found = self._find(read_key(key))
            if found is None:
                known = ", ".join(facts.key for facts in self.loaded())
                raise UserError(f"model: expected one that is loaded ({known}), got {key}. Load it on the Model tab.")
        if found is None:
            raise UserError(self._status.notice or "No model could be loaded.")
        return found

    def load(self, key: str, progress: Progress) -> str:
        """Load a further model; downloads its weights if they are not on this computer.

        If it is the model from the settings, it becomes the default for all visitors who have chosen none.

        Args:
            key: name of the model, as for `read_key`.
            progress: function that is called with (share in [0, 1], description).

        Returns:
            The key of the model for `segmenter`.

        Raises:
            UserError: an unknown name, no network, weights that do not fit, or too little memory.
        """
        self.start()
        self._loaded.wait()
        # A file that is loaded has a name too, though only the start of the page can give a file.
        key = key.strip() if self._find(key.strip()) else read_key(key)
        if self._find(key) is None:
            with as_user_errors():
                fetch(key, progress)
                progress(1.0, "reading the weights")
                self._make(key)
        if key == self._wanted and not self._status.busy:  # if busy, the downloading thread does this
            self._take(self._make(key), None)
        return key

    def loaded(self) -> list[ModelFacts]:
        """Return the facts about every loaded model, the default model first; never waits."""
        found: dict[Any, Segmenter] = {**self._staying, **dict(self._further.items())}
        return [facts_of(key, found[key]) for key in sorted(found, key=lambda key: key != self._first)]

    def facts(self, key: str | None = None) -> ModelFacts:
        """Return the facts about one model; raises and waits like `segmenter`."""
        segmenter = self.segmenter(key)
        return facts_of(key_of(segmenter), segmenter)

    def _find(self, key: str | None) -> Segmenter | None:
        return None if key is None else self._staying.get(key) or self._further.peek(key)

    def _make(self, key: str) -> Segmenter:
        """Return a model whose weights are on this computer; loads it if necessary."""
        with self._making:
            found = self._find(key)
            if found is None and key in (NANO, self._wanted):
                found = self._staying[key] = ready_by_key(key, self._settings)
            if found is None:
                found, _ = self._further.get(key, lambda: ready_by_key(key, self._settings))
            return found

    def _run(self) -> None:
        """Load a model that can run now, then download the wanted one."""
        plan: StartUp | None = None
        try:
            plan = self._load_first()
        except Exception as error:
            _log.exception("no model could be loaded")
            notice = f"No model could be loaded. {_reason(error)} The next request tries again."
            self._status = Status(busy=False, failed=True, notice=notice)
        finally:
            self._loaded.set()
        if plan is not None and plan.fetch:
            self._fetch(plan)

    def _load_first(self) -> StartUp | None:
        """Load the wanted model or, after any error, nano, so that the page runs and can show the error."""
        settings = self._settings
        try:
            self._wanted = _key_or_none(settings.model or real_model())
            plan = core.models.loading.choose_start_up(settings.model and (self._wanted or settings.model))
            segmenter = ready(plan.name, plan.pretrained, settings)
        except Exception as error:
            self._report(error, "the wanted model cannot run")
            sys.stderr.write(f"cliptrase: {_reason(error)} Running on nano.\n")
            segmenter = ready(NANO, None, dataclasses.replace(settings, device="cpu", precision="fp32"))
            self._take(segmenter, f"{_reason(error)} Until this is fixed, the embedded model nano runs.")
            return None
        self._take(segmenter, plan.banner, busy=plan.fetch)
        return plan

    def _fetch(self, plan: StartUp) -> None:
        """Download the wanted model while the page is in use; after a failure, the page offers another try."""
        key = self._wanted or real_model()  # only weights that have a tag are downloaded

        def progress(share: float, text: str) -> None:
            self._status = dataclasses.replace(self._status, notice=f"{plan.banner} {percent(share, 0)}, {text}.")

        try:
            fetch(key, progress)
            progress(1.0, "reading the weights")
            self._take(self._make(key), None)
        except Exception as error:
            self._report(error, "the wanted model could not be fetched")
            notice = f"{key} could not be fetched. {_reason(error)} The embedded model nano runs."
            self._status = dataclasses.replace(self._status, busy=False, notice=notice, offer=key)

    def _take(self, segmenter: Segmenter, notice: str | None, *, busy: bool = False) -> None:
        """Make a model the default; the previous one stays for visitors who look at its results."""
        info, key = segmenter.info, key_of(segmenter)
        self._staying[key] = segmenter
        self._first = key
        better = real_model() if self._wanted in (None, NANO) else self._wanted
        self._status = Status(
            ready=True,
            busy=busy,
            key=key,
            name=info.name,
            pretrained=info.pretrained,
            device=zerogpu.device_name(segmenter.device),
            precision=segmenter.precision,
            notice=notice,
            offer=better if key == NANO and not busy else None,
        )

    def _report(self, error: Exception, what: str) -> None:
        """Log an error if the page does not show it in full."""
        if not isinstance(error, (UserError, core.errors.CliptraseError)):
            _log.error(what, exc_info=error)


def _key_or_none(model: str) -> str | None:
    """Return the key of a model that visitors may choose too; None for a file or an invalid name."""
    try:
        return read_key(model)
    except UserError:
        return None


def _reason(error: Exception) -> str:
    """Return the reason why a model cannot run, for people; other errors are not quoted, as they may name folders."""
    if isinstance(error, ImportError):
        return "A library is missing or broken; the server's log says which."
    if isinstance(error, (UserError, core.errors.CliptraseError)):
        return str(error)
    if core.errors.out_of_memory(error):
        return "This machine does not have enough memory for it."
    return "It failed; the server's log has the details."
