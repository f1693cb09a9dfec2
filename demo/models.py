"""Which models run: one from the start, replaced when a better one has been fetched, and further ones on request."""

from __future__ import annotations

import dataclasses
import logging
import math
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from demo import core, zerogpu
from demo.cache import LRUCache
from demo.errors import UserError, for_people, out_of_memory
from demo.examples import FIRST, read_examples
from demo.html import percent
from demo.model_facts import NANO, REAL, ModelFacts, facts_of, key_of, model_bytes, read_key, weighed
from demo.settings import KEPT_MODEL_BYTES, Settings

if TYPE_CHECKING:
    from cliptrase_core import Segmenter
    from cliptrase_core.models.loading import StartUp


ROOM = 2.2
"""Memory that loading takes at its peak, over that of the weights: the file's content lies beside the model's."""


def fetch(key: str, progress: Callable[[float, str], None]) -> None:
    """Bring a model's weights onto this computer, if there is memory for them.

    Args:
        key: from `read_key`.
        progress: called with (share in [0, 1], what happens).

    Raises:
        UserError: too little memory, or the weights are elsewhere and nothing can be fetched.
        WeightsError: the transfer failed.
    """

    name, pretrained = core.models.loading.parse_model(key)
    if name == NANO:
        return
    needed, left = ROOM * weighed(name), core.io.memory.available()
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
            f"{key} is not on the machine that runs this page, and {why}. Connect it and load again; or start the "
            f"page with a file: CLIPTRASE_MODEL={name}:weights.safetensors. What is loaded goes on working."
        )
    progress(0.0, "asking the model hub")
    core.models.loading.download(name, pretrained, progress=progress)


def ready_by_key(key: str, settings: Settings) -> Segmenter:
    """Load a model by its key; raises what `ready` raises."""

    return ready(*core.models.loading.parse_model(key), settings)


def ready(name: str, pretrained: str | None, settings: Settings) -> Segmenter:
    """Load a model and let it run once, so that the first visitor does not pay for what libraries do once.

    Raises:
        UserError: weights that hold no numbers.
        CliptraseError: weights, device or precision are not what they should be.
    """
    if zerogpu.lent():
        return core.zerogpu_model.ZeroGPUSegmenter(
            name, pretrained, settings.precision
        )  # a first run would spend lent seconds
    build = core.segmenter.Segmenter.from_pretrained
    segmenter = build(name, pretrained, device=settings.device, precision=settings.precision)
    _expect_finite(segmenter)
    # Few patches do; the words are those that the page opens with, so that they are known when its first visitor comes.
    side = 4 * max(segmenter.backbone.patch)
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    encoding = segmenter.encode(picture, short_side=side)
    segmenter.segment(encoding, next((one.words for one in read_examples() if one.name == FIRST), "tree; sky"))
    segmenter.capture(encoding).maps()
    return segmenter


def _expect_finite(segmenter: Segmenter) -> None:
    """One NaN makes every answer NaN, and libraries say so in words that help nobody."""
    for name, weight in segmenter.info.model.named_parameters():
        if not all(math.isfinite(end) for end in core.torch.aminmax(weight)):  # in one pass, without a copy
            raise UserError(
                f"weights {segmenter.info.pretrained}: expected finite numbers, got NaN or infinity in {name}. "
                "The file is damaged, or its training failed: take another."
            )


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """What runs unless a visitor chose another, for the banner.

    Attributes:
        ready: whether requests are answered at once.
        busy: whether something is being loaded or fetched, so that asking again soon makes sense.
        key: of the model; empty before the first one is loaded.
        name: architecture, or "nano".
        pretrained: its weights.
        device: as torch names it.
        precision: "fp32", "bf16" or "fp16".
        notice: why this model and not the one that was asked for; None when it is the one.
        failed: whether no model could be loaded at all; the next request tries again.
        offer: key of a better model that one click loads; None where there is none, or where it is on its way.
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
    """The models that requests get, and how they came to be; threads and visitors share one.

    Nano and the model that the page was to start with stay; of further ones, those used last.
    """

    def __init__(self, settings: Settings) -> None:
        """Remember what to load."""
        self._settings = settings
        self._lock = threading.Lock()
        self._making = threading.Lock()  # one model is read at a time, and none twice
        self._loaded = threading.Event()
        self._thread: threading.Thread | None = None
        self._first: str | None = None  # key of what a visitor gets who chose nothing
        self._wanted: str | None = None  # key of what that is to be; None where a file is
        self._staying: dict[str, Segmenter] = {}
        self._further: LRUCache[Segmenter] = LRUCache(KEPT_MODEL_BYTES, model_bytes)
        self._status = Status()

    def start(self) -> None:
        """Begin to load in a background thread; does nothing while that goes on, or once a model is there."""
        with self._lock:
            if self._thread is None or (self._status.failed and not self._thread.is_alive()):
                self._loaded.clear()
                self._status = Status()
                self._thread = threading.Thread(target=self._run, daemon=True, name="model")
                self._thread.start()

    def status(self) -> Status:
        """What runs now; never waits."""
        return self._status

    def settled(self) -> None:
        """Wait until a model is loaded, or until none could be."""
        self._loaded.wait()

    def segmenter(self, key: str | None = None) -> Segmenter:
        """A loaded model; at the start it is waited for, and where loading had failed it is tried again.

        Args:
            key: of a further model that was loaded; None takes the one that the page runs now.

        Raises:
            UserError: none could be loaded, or not the one that is asked for.
        """
        self.start()
        self._loaded.wait()
        found = self._find(self._first if key is None else key)
        if found is None and key is not None:
            found = self._find(read_key(key))
            if found is None:
                raise UserError("This model is not loaded. Load it on the Model tab.")
        if found is None:
            raise UserError(self._status.notice or "No model could be loaded.")
        return found

    def load(self, key: str, progress: Callable[[float, str], None]) -> str:
        """Make a further model ready, fetching its weights if they are not on this computer.

        The one that the page was to start with then runs for everybody who chose none.

        Args:
            key: as `read_key` takes it.
            progress: called with (share in [0, 1], what happens).

        Returns:
            The key to ask `segmenter` for.

        Raises:
            UserError: an unknown name, no network, weights that do not fit, or too little memory.
        """
        self.start()
        self._loaded.wait()
        key = read_key(key)
        if self._find(key) is None:
            with for_people():
                fetch(key, progress)
                progress(1.0, "reading the weights")
                self._make(key)
        if key == self._wanted and not self._status.busy:  # busy: the thread that fetches it takes it
            self._take(self._make(key), None)
        return key

    def loaded(self) -> list[ModelFacts]:
        """Every model that is loaded now, the one that the page runs first; never waits."""
        found = {**self._staying, **dict(self._further.items())}
        return [facts_of(key, found[key]) for key in sorted(found, key=lambda key: key != self._first)]

    def facts(self, key: str | None = None) -> ModelFacts:
        """What is known about one model; raises and waits like `segmenter`."""
        segmenter = self.segmenter(key)
        return facts_of(key_of(segmenter), segmenter)

    def _find(self, key: str | None) -> Segmenter | None:
        return None if key is None else self._staying.get(key) or self._further.peek(key)

    def _make(self, key: str) -> Segmenter:
        """A model whose weights are on this computer, read now unless it is loaded."""
        with self._making:
            found = self._find(key)
            if found is None and key in (NANO, self._wanted):
                found = self._staying[key] = ready_by_key(key, self._settings)
            if found is None:
                found, _ = self._further.get(key, lambda: ready_by_key(key, self._settings))
            return found

    def _run(self) -> None:
        """Load what can run now, then fetch what was wanted."""
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
        """Load the wanted model or, whatever is wrong with it, nano: a page that says what is wrong helps more."""
        settings = self._settings
        try:
            self._wanted = _key_or_none(settings.model or REAL)
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
        """Fetch the wanted model beside the page in use; what fails is offered to whoever asks again."""
        key = self._wanted or REAL  # only what a tag names is fetched

        def tell(share: float, text: str) -> None:
            self._status = dataclasses.replace(self._status, notice=f"{plan.banner} {percent(share, 0)}, {text}.")

        try:
            fetch(key, tell)
            tell(1.0, "reading the weights")
            self._take(self._make(key), None)
        except Exception as error:
            self._report(error, "the wanted model could not be fetched")
            notice = f"{key} could not be fetched. {_reason(error)} The embedded model nano runs."
            self._status = dataclasses.replace(self._status, busy=False, notice=notice, offer=key)

    def _take(self, segmenter: Segmenter, notice: str | None, *, busy: bool = False) -> None:
        """Make a model the one that requests get; what ran before stays for whoever looks at its results."""
        info, key = segmenter.info, key_of(segmenter)
        self._staying[key] = segmenter
        self._first = key
        better = REAL if self._wanted in (None, NANO) else self._wanted
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
        """Into the log goes only what the page does not say in full."""
        if not isinstance(error, (UserError, core.errors.CliptraseError)):
            _log.error(what, exc_info=error)


def _key_or_none(model: str) -> str | None:
    """The key of a model that visitors may ask for too; None for a file, or nonsense."""
    try:
        return read_key(model)
    except UserError:
        return None


def _reason(error: Exception) -> str:
    """Why a model cannot run, for people; what else went wrong may name folders."""
    if isinstance(error, ImportError):
        return "A library is missing or broken; the server's log says which."
    if isinstance(error, (UserError, core.errors.CliptraseError)):
        return str(error)
    if out_of_memory(error):
        return "The memory of this machine does not suffice for it."
    return "It failed in a way that the server's log tells."
