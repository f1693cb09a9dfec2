"""Which model runs: loaded in the background, replaced when a better one has been fetched. Imports no Gradio."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from demo.errors import UserError
from demo.settings import Settings

if TYPE_CHECKING:
    from cliptrase_core import Segmenter
    from cliptrase_core.weights import StartUp

_log = logging.getLogger(__name__)

NANO = "nano"


@dataclass(frozen=True)
class Status:
    """What runs, for the banner.

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
    """The segmenter that requests get, and how it came to be."""

    def __init__(self, settings: Settings) -> None:
        """Remember what to load."""
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded = threading.Event()
        self._thread: threading.Thread | None = None
        self._segmenter: Segmenter | None = None
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
        """A model, waited for if it is still being loaded.

        Args:
            key: of a further model that was loaded; None takes the one that the page started with.

        Raises:
            UserError: none could be loaded, or not the one that is asked for.
        """
        self.start()
        self._loaded.wait()
        segmenter = self._segmenter
        if segmenter is None:
            raise UserError(self._status.notice or "No model could be loaded.")
        if key is not None and key != segmenter.info.name:
            raise UserError("This model is not loaded. Load it on the Model tab.")
        return segmenter

    def _run(self) -> None:
        """Load what can run now, then fetch what was wanted."""
        plan: StartUp | None = None
        try:
            plan = self._load_first()
        except Exception as error:
            _log.exception("no model could be loaded")
            reason = str(error) if _is_ours(error) else "The server's log says why."
            self._status = Status(busy=False, failed=True, notice=f"No model could be loaded. {reason}")
        finally:
            self._loaded.set()
        if plan is not None and plan.fetch:
            self._fetch(plan)

    def _load_first(self) -> StartUp | None:
        """Load the wanted model or, whatever is wrong with it, nano: a page that says what is wrong helps more."""
        from cliptrase_core import Segmenter, weights
        from cliptrase_core.errors import CliptraseError

        settings = self._settings
        plan: StartUp | None = None
        try:
            plan = weights.choose_start_up(settings.model)
            segmenter = self._open(plan.name, plan.pretrained)
            notice = plan.banner
        except CliptraseError as error:
            sys.stderr.write(f"cliptrase: {error} Running on nano.\n")
            segmenter = Segmenter.from_pretrained(NANO, device="cpu")
            notice = f"{error} Until this is mended, the embedded model nano runs."
            plan = None
        _warm_up(segmenter)
        self._take(segmenter, notice, busy=plan is not None and plan.fetch)
        return plan

    def _fetch(self, plan: StartUp) -> None:
        from cliptrase_core import weights

        def tell(share: float, text: str) -> None:
            notice = f"{plan.banner} {share:.0%}, {text}."
            self._status = dataclasses.replace(self._status, notice=notice)

        try:
            weights.download(plan.wanted_name, plan.wanted_pretrained, progress=tell)
            segmenter = self._open(plan.wanted_name, plan.wanted_pretrained)
            _warm_up(segmenter)
            self._take(segmenter, None, busy=False)
        except Exception as error:
            _log.exception("the wanted model could not be fetched")
            reason = str(error) if _is_ours(error) else "The server's log says why."
            notice = f"{plan.wanted_name} could not be fetched. {reason} The embedded model nano runs."
            self._status = dataclasses.replace(self._status, busy=False, notice=notice)

    def _open(self, name: str, pretrained: str | None) -> Segmenter:
        from cliptrase_core import Segmenter

        settings = self._settings
        return Segmenter.from_pretrained(name, pretrained, device=settings.device, precision=settings.precision)

    def _take(self, segmenter: Segmenter, notice: str | None, *, busy: bool) -> None:
        """Make a model the one that requests get."""
        info = segmenter.info
        self._segmenter = segmenter
        self._status = Status(
            ready=True,
            busy=busy,
            name=info.name,
            pretrained=info.pretrained,
            device=str(segmenter.device),
            precision=segmenter.precision,
            notice=notice,
        )


def _warm_up(segmenter: Segmenter) -> None:
    """One run, so that the first visitor does not pay for what libraries do once."""
    side = segmenter.info.short_side
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    segmenter.segment(segmenter.encode(picture), "tree; sky")
    segmenter.capture(picture).maps()


def _is_ours(error: Exception) -> bool:
    from cliptrase_core.errors import CliptraseError

    return isinstance(error, CliptraseError)
