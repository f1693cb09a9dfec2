"""What happens on a click: check what came in, ask the service, hand back what each component shows."""

from __future__ import annotations

import functools
import html
import logging
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import gradio as gr

from demo import figures, presenters
from demo.examples import read_examples
from demo.service import Cut, Look, Seen, Service, UserError
from demo.settings import DENOISE, METHODS, PRESETS

_log = logging.getLogger(__name__)

UNEXPECTED = "Something went wrong on the server. Try again; if it stays, the server's log says more."
Handler = TypeVar("Handler", bound=Callable[..., Any])


class LookView(NamedTuple):
    """New values of the components that show a look at a patch, by the components' names."""

    patches: Any
    before: Any
    after: Any
    scales: Any
    patch_facts: Any
    row: Any
    column: Any


class CutView(NamedTuple):
    """New values of the components that show a segmentation, by the components' names."""

    overlay: Any
    regions: Any
    legend: Any
    costs: Any
    layer: Any
    seen: Any
    token: Any
    patches: Any
    before: Any
    after: Any
    scales: Any
    patch_facts: Any
    row: Any
    column: Any


def plainly(handler: Handler) -> Handler:
    """Turn errors into messages: what a person can mend is said, anything else is logged and kept from them."""

    @functools.wraps(handler)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except UserError as error:
            # The browser renders messages as HTML, and this one may quote what was typed.
            raise gr.Error(html.escape(str(error), quote=False), title="Not possible", print_exception=False) from None
        except Exception:
            _log.exception("%s failed", handler.__name__)
            raise gr.Error(UNEXPECTED, print_exception=False) from None

    return guarded  # type: ignore[return-value]


class Handlers:
    """One method for each event of the page; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def greet(self) -> tuple[Any, Any]:
        """Page opened: the examples, and the banner; loading starts here if nothing started it before."""
        self._service.start()
        found = read_examples()
        gallery = gr.Gallery([(str(example.path), example.title) for example in found], visible=bool(found))
        return presenters.banner(self._service.status()), gallery

    @plainly
    def tick(self) -> tuple[Any, Any]:
        """Timer: the banner; the timer stops when nothing is left to wait for."""
        status = self._service.status()
        return presenters.banner(status), gr.Timer(active=status.busy)

    @plainly
    def pick_example(self, event: gr.SelectData) -> tuple[str, str]:
        """Example clicked: its picture and its words."""
        found = read_examples()
        if not isinstance(event.index, int) or not 0 <= event.index < len(found):
            raise UserError("There is no such example. Reload the page.")
        example = found[event.index]
        return str(example.path), example.words

    @plainly
    def segment(
        self, path: str | None, words: str, method: str, preset: str, denoise: str, eps: Any, min_samples: Any
    ) -> CutView:
        """Segment pressed."""
        cut = self._service.segment(
            path,
            words or "",
            _one_of("preset", preset, PRESETS),
            method=_one_of("method", method, METHODS),
            denoise=_one_of("denoising", denoise, DENOISE),
            eps=None if eps is None else _number("eps", eps),
            min_samples=None if min_samples is None else _whole("min_samples", min_samples),
        )
        return _cut_view(cut)

    @plainly
    def forget(self) -> CutView:
        """Another picture was chosen, or none: results of the one before go."""
        hint = presenters.EMPTY_PATCH
        look = LookView(None, None, None, "", hint, 0, 0)
        return CutView(None, None, presenters.EMPTY_LEGEND, "", gr.skip(), None, "", *look)

    @plainly
    def click(self, seen: Seen | None, token: str, path: str | None, layer: Any, event: gr.SelectData) -> LookView:
        """A point of the picture was clicked; a click on a picture that is no longer shown is ignored."""
        if seen is None or token != seen.token:
            return _unchanged()
        point = event.index
        if not isinstance(point, (list, tuple)) or len(point) != 2:
            raise UserError("The click: expected x and y, got something else. Click on the picture.")
        x, y = (_number("click", value) for value in point)
        side = figures.cell_side(seen.grid)
        if not (0 <= x <= seen.grid[1] * side and 0 <= y <= seen.grid[0] * side):
            raise UserError("The click lies outside the picture. Click on one of its patches.")
        row, column = self._service.patch_at(seen, x, y)
        return _look_view(self._service.look(seen, path, row, column, _layer(layer)))

    @plainly
    def step(self, seen: Seen | None, path: str | None, row: Any, column: Any, layer: Any) -> LookView:
        """Row, column or layer was changed: the same as a click, without a mouse."""
        if seen is None:
            return _unchanged()
        patch = _whole("row", row), _whole("column", column)
        return _look_view(self._service.look(seen, path, *patch, _layer(layer)))

    @plainly
    def api_segment(self, image: str | None, vocabulary: str, method: str = "cliptrase", preset: str = "auto") -> Any:
        """Divide a picture among words.

        Args:
            image: the picture.
            vocabulary: "cat, kitten; dog | background: wall, floor".
            method: "cliptrase" or "clip".
            preset: "auto", "paper-224" or "paper-336".

        Returns:
            Classes that are present with colour, area and mean confidence, sizes, settings, timings.
        """
        cut = self._service.segment(image, vocabulary or "", preset, method=method)
        return presenters.describe(cut, self._service.status())

    @plainly
    def api_inspect(self, image: str | None, row: Any, column: Any, layer: Any = None) -> Any:
        """What one patch of a picture looks at, before and after recovery.

        Args:
            image: the picture.
            row: of the patch, from 0.
            column: of the patch, from 0.
            layer: from 1; left out, the last but one.

        Returns:
            Two (h, w) maps as nested lists, and the global patches with their ranks before and after.
        """
        patch = _whole("row", row), _whole("column", column)
        look = self._service.look(self._service.open(image), image, *patch, _layer(layer))
        return presenters.describe_look(look)

    @plainly
    def api_models(self) -> Any:
        """What runs now, on what, and what can be asked for."""
        status = self._service.status()
        return {
            "ready": status.ready,
            "model": status.name,
            "pretrained": status.pretrained,
            "device": status.device,
            "precision": status.precision,
            "notice": status.notice,
            "methods": list(METHODS),
            "presets": list(PRESETS),
        }


def _cut_view(cut: Cut) -> CutView:
    h, w = cut.seen.grid
    look = LookView(
        patches=figures.with_grid(cut.patches, figures.cell_side(cut.seen.grid)),
        before=None,
        after=None,
        scales="",
        patch_facts=presenters.PICK_PATCH,
        row=gr.Number(0, maximum=h - 1, label=f"Row (0 to {h - 1})"),
        column=gr.Number(0, maximum=w - 1, label=f"Column (0 to {w - 1})"),
    )
    return CutView(
        cut.overlay,
        cut.regions,
        presenters.legend_table(cut),
        presenters.costs(cut),
        gr.Slider(maximum=cut.seen.layers, value=max(1, cut.seen.layers - 1)),
        cut.seen,
        cut.seen.token,
        *look,
    )


def _look_view(look: Look) -> LookView:
    side = figures.cell_side(look.seen.grid)
    before, after = (
        figures.heat_map(look.patches, values, look.patch, look.global_patches[: presenters.OUTLINED])
        for values in (look.attention, look.affinity)
    )
    return LookView(
        patches=figures.mark(figures.with_grid(look.patches, side), look.patch, side),
        before=before,
        after=after,
        scales=presenters.scales(look),
        patch_facts=presenters.patch_facts(look),
        row=look.patch[0],
        column=look.patch[1],
    )


def _unchanged() -> LookView:
    return LookView(*(gr.skip() for _ in LookView._fields))


def _one_of(what: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UserError(f"{what}: expected one of {', '.join(known)}. Pick one.")
    return str(value)


def _number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UserError(f"{what}: expected a number, got something else. Give a plain number.")
    return float(value)


def _whole(what: str, value: Any) -> int:
    number = _number(what, value)
    if number != int(number):
        raise UserError(f"{what}: expected a whole number, got {number:g}.")
    return int(number)


def _layer(value: Any) -> int | None:
    return None if value is None else _whole("layer", value)
