"""Which models run: one from the start, replaced when a better one has been fetched, and further ones on request.

Imports no Gradio.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo import gpu
from demo.cache import Kept
from demo.errors import UserError, for_people
from demo.models import opening
from demo.models.facts import ModelFacts, facts_of, model_bytes
from demo.models.keys import NANO, read_key
from demo.settings import KEPT_MODEL_BYTES, Settings

if TYPE_CHECKING:
    from cliptrase_core import Segmenter
    from cliptrase_core.weights import StartUp

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """What runs unless a visitor chose another, for the banner.

    Attributes:
        ready: whether requests are answered at once.
        busy: whether something is being loaded or fetched, so that asking again soon makes sense.
        name: architecture, or "nano"; empty before the first model is loaded.
        pretrained: its weights.
        device: as torch names it.
        precision: "fp32", "bf16" or "fp16".
        notice: why this model and not the one that was asked for; None when it is the one.
        failed: whether no model could be loaded at all.
    """

    ready: bool = False
    busy: bool = True
    name: str = ""
    pretrained: str = ""
    device: str = ""
    precision: str = ""
    notice: str | None = None
    failed: bool = False


class ModelHolder:
    """The models that requests get, and how they came to be; threads and visitors share one.

    Nano and the model that the page started with stay; of further ones, those used last.
    """

    def __init__(self, settings: Settings) -> None:
        """Remember what to load."""
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded = threading.Event()
        self._thread: threading.Thread | None = None
        self._first: str | None = None  # key of what a visitor gets who chose nothing
        self._staying: dict[str, Segmenter] = {}
        self._further: Kept[Segmenter] = Kept(KEPT_MODEL_BYTES, model_bytes)
        self._status = Status()

    def start(self) -> None:
        """Begin to load in a background thread; calling it again does nothing."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="model")
                self._thread.start()

    def status(self) -> Status:
        """What runs now; never waits."""
        return self._status

    def segmenter(self, key: str | None = None) -> Segmenter:
        """A loaded model; at the start it is waited for.

        Args:
            key: of a further model that was loaded; None takes the one that the page started with.

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
                opening.fetch(key, progress)
                progress(1.0, "reading the weights")
                if key == NANO:
                    self._staying[NANO] = opening.ready(NANO, None, self._settings)
                else:
                    self._further.get(key, lambda: opening.ready_by_key(key, self._settings))
        return key

    def loaded(self) -> list[ModelFacts]:
        """Every model that is loaded now, the one that the page started with first; never waits."""
        found = {**self._staying, **dict(self._further.items())}
        return [facts_of(key, found[key]) for key in sorted(found, key=lambda key: key != self._first)]

    def facts(self, key: str | None = None) -> ModelFacts:
        """What is known about one model; raises and waits like `segmenter`."""
        segmenter = self.segmenter(key)
        return facts_of(_key_of(segmenter), segmenter)

    def _find(self, key: str | None) -> Segmenter | None:
        return None if key is None else self._staying.get(key) or self._further.peek(key)

    def _run(self) -> None:
        """Load what can run now, then fetch what was wanted."""
        plan: StartUp | None = None
        try:
            plan = self._load_first()
        except Exception as error:
            _log.exception("no model could be loaded")
            self._status = Status(busy=False, failed=True, notice=f"No model could be loaded. {_reason(error)}")
        finally:
            self._loaded.set()
        if plan is not None and plan.fetch:
            self._fetch(plan)

    def _load_first(self) -> StartUp | None:
        """Load the wanted model or, whatever is wrong with it, nano: a page that says what is wrong helps more."""
        from cliptrase_core import weights
        from cliptrase_core.errors import CliptraseError

        settings = self._settings
        plan: StartUp | None = None
        try:
            plan = weights.choose_start_up(settings.model)
            segmenter = opening.ready(plan.name, plan.pretrained, settings)
            notice = plan.banner
        except CliptraseError as error:
            sys.stderr.write(f"cliptrase: {error} Running on nano.\n")
            segmenter = opening.ready(NANO, None, dataclasses.replace(settings, device="cpu", precision="fp32"))
            notice = f"{error} Until this is mended, the embedded model nano runs."
            plan = None
        self._take(segmenter, notice, busy=plan is not None and plan.fetch)
        return plan

    def _fetch(self, plan: StartUp) -> None:
        from cliptrase_core import weights

        def tell(share: float, text: str) -> None:
            notice = f"{plan.banner} {share:.0%}, {text}."
            self._status = dataclasses.replace(self._status, notice=notice)

        try:
            weights.download(plan.wanted_name, plan.wanted_pretrained, progress=tell)
            self._take(opening.ready(plan.wanted_name, plan.wanted_pretrained, self._settings), None, busy=False)
        except Exception as error:
            _log.exception("the wanted model could not be fetched")
            notice = f"{plan.wanted_name} could not be fetched. {_reason(error)} The embedded model nano runs."
            self._status = dataclasses.replace(self._status, busy=False, notice=notice)

    def _take(self, segmenter: Segmenter, notice: str | None, *, busy: bool) -> None:
        """Make a model the one that requests get; what ran before stays for whoever looks at its results."""
        info, key = segmenter.info, _key_of(segmenter)
        self._staying[key] = segmenter
        self._first = key
        self._status = Status(
            ready=True,
            busy=busy,
            name=info.name,
            pretrained=info.pretrained,
            device=gpu.device_name(segmenter.device),
            precision=segmenter.precision,
            notice=notice,
        )


def _key_of(segmenter: Segmenter) -> str:
    info = segmenter.info
    return NANO if info.name == NANO else f"{info.name}:{info.pretrained}"


def _reason(error: Exception) -> str:
    from cliptrase_core.errors import CliptraseError

    return str(error) if isinstance(error, CliptraseError) else "The server's log says why."
