"""Looking at patches: what each event of the Attention tab does."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from demo.figures import views
from demo.figures.heat import heat_map
from demo.handlers.common import inside, plainly, point_of, whole
from demo.presenters import attention as presenters
from demo.service import Look, Run, Service


class LookView(NamedTuple):
    """New values of the components that show a look at a patch, by the components' names."""

    patches: Any
    before: Any
    after: Any
    scales: Any
    patch_facts: Any
    row: Any
    column: Any
    layer: Any
    looked: Any


class AttentionHandlers:
    """One method for each event of the tab; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def refresh(self, run: Run | None, looked: Any, path: str | None) -> LookView:
        """The tab was opened, or another result is there: its picture, unless it is shown already."""
        if run is None:
            hint = presenters.EMPTY_PATCH
            return LookView(None, None, None, "", hint, 0, 0, gr.skip(), None)
        if looked == run.seen:
            return _unchanged()
        cut, (h, w) = self._service.again(run, path), run.seen.grid
        return LookView(
            patches=views.with_grid(cut.patches, views.cell_side(run.seen.grid)),
            before=None,
            after=None,
            scales="",
            patch_facts=presenters.PICK_PATCH,
            row=gr.Number(0, maximum=h - 1, label=f"Row (0 to {h - 1})"),
            column=gr.Number(0, maximum=w - 1, label=f"Column (0 to {w - 1})"),
            layer=gr.Slider(maximum=run.seen.layers, value=max(1, run.seen.layers - 1)),
            looked=run.seen,
        )

    @plainly
    def click(self, run: Run | None, token: str, path: str | None, layer: Any, event: gr.SelectData) -> LookView:
        """A point of the picture was clicked; a click on a picture that is no longer shown is ignored."""
        if run is None or token != run.token:
            return _unchanged()
        side, (h, w) = views.cell_side(run.seen.grid), run.seen.grid
        x, y = inside(*point_of(event), (h * side, w * side))
        row, column = self._service.patch_at(run.seen, x, y)
        return self._look(run, path, row, column, layer)

    @plainly
    def step(self, run: Run | None, path: str | None, row: Any, column: Any, layer: Any) -> LookView:
        """Row, column or layer was changed: the same as a click, without a mouse."""
        if run is None:
            return _unchanged()
        return self._look(run, path, whole("row", row), whole("column", column), layer)

    def _look(self, run: Run, path: str | None, row: int, column: int, layer: Any) -> LookView:
        chosen = None if layer is None else whole("layer", layer)
        return _look_view(self._service.look(run.seen, path, row, column, chosen, model=run.asked.model))


def _look_view(look: Look) -> LookView:
    side = views.cell_side(look.seen.grid)
    before, after = (
        heat_map(look.patches, values, look.patch, look.global_patches[: presenters.OUTLINED])
        for values in (look.attention, look.affinity)
    )
    return LookView(
        patches=views.mark(views.with_grid(look.patches, side), look.patch, side),
        before=before,
        after=after,
        scales=presenters.scales(look),
        patch_facts=presenters.patch_facts(look),
        row=look.patch[0],
        column=look.patch[1],
        layer=gr.skip(),
        looked=look.seen,
    )


def _unchanged() -> LookView:
    return LookView(*(gr.skip() for _ in LookView._fields))
