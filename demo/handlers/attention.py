"""Looking at patches: what each event of the Attention tab does."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr
import numpy as np

from demo import core
from demo.figures import views
from demo.figures.heat import difference_map, heat_map, matrix_picture, own_range
from demo.handlers.common import inside, one_of, plainly, point_of, whole
from demo.presenters import attention as presenters
from demo.service import Matrix, PatchAttention, Run, Service
from demo.settings import DIRECTIONS

PATCH, CLS, MATRIX = SUBJECTS = ("patch", "cls", "matrix")
ALL_HEADS = 0


class LookView(NamedTuple):
    """New values of the components that show a look at a patch, by the components' names."""

    patches: Any
    before: Any
    after: Any
    difference: Any
    affinity: Any
    scales: Any
    patch_facts: Any
    numbers: Any
    depth: Any
    row: Any
    column: Any
    layer: Any
    head: Any
    direction: Any
    looked: Any


class AttentionHandlers:
    """One method for each event of the tab; keeps nothing of any visitor.

    `fields` are what the tab's controls hold, in the order of `_show`.
    """

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def refresh(self, run: Run | None, looked: Any, path: str | None) -> LookView:
        """The tab was opened, or another result is there: its picture, unless it is shown already."""
        if run is None:
            return _empty(patch_facts=presenters.EMPTY_PATCH, row=0, column=0)
        if looked == run.seen:
            return _unchanged()
        cut, (h, w) = self._service.again(run, path), run.seen.grid
        heads = [("mean of all heads", ALL_HEADS), *((f"head {head}", head) for head in range(1, run.seen.heads + 1))]
        return _empty(
            patches=views.with_grid(cut.patches, views.cell_side(run.seen.grid)),
            patch_facts=presenters.PICK_PATCH,
            row=gr.Number(0, maximum=h - 1, label=f"Row (0 to {h - 1})"),
            column=gr.Number(0, maximum=w - 1, label=f"Column (0 to {w - 1})"),
            layer=gr.Slider(maximum=run.seen.layers, value=max(1, run.seen.layers - 1)),
            head=gr.Dropdown(heads, value=ALL_HEADS),
            looked=run.seen,
        )

    @plainly
    def click(self, run: Run | None, token: str, path: str | None, event: gr.SelectData, *fields: Any) -> LookView:
        """A point of the picture was clicked; a click on a picture that is no longer shown is ignored."""
        if run is None or token != run.token:
            return _unchanged()
        side, (h, w) = views.cell_side(run.seen.grid), run.seen.grid
        x, y = inside(*point_of(event), (h * side, w * side))
        return self._show(run, path, *self._service.patch_at(run.seen, x, y), *fields)

    @plainly
    def step(self, run: Run | None, path: str | None, row: Any, column: Any, *fields: Any) -> LookView:
        """Row, column or another control was changed: the same as a click, without a mouse."""
        if run is None:
            return _unchanged()
        return self._show(run, path, whole("row", row), whole("column", column), *fields)

    @plainly
    def move(
        self, run: Run | None, path: str | None, row: Any, column: Any, *fields: Any, by: tuple[int, int]
    ) -> LookView:
        """An arrow was pressed: the neighbouring patch, or the same one at the picture's edge."""
        if run is None:
            return _unchanged()
        place = (whole("row", row) + by[0], whole("column", column) + by[1])
        row, column = (min(max(0, at), side - 1) for at, side in zip(place, run.seen.grid, strict=True))
        return self._show(run, path, row, column, *fields)

    def _show(
        self, run: Run, path: str | None, row: int, column: int, layer: Any, head: Any, direction: Any, subject: Any,
        scale: Any,
    ) -> LookView:  # fmt: skip
        seen, service = run.seen, self._service
        subject = one_of("view", subject, SUBJECTS)
        direction = one_of("direction", direction, DIRECTIONS)
        scale = one_of("colour scale", scale, presenters.SCALES)
        chosen = None if layer is None else whole("layer", layer)
        one_head = None if head in (None, ALL_HEADS) else whole("head", head)
        look: PatchAttention | Matrix
        if subject == MATRIX:
            look = service.matrix(seen, path, chosen, head=one_head)
        elif subject == CLS:
            look = service.look_of_cls(seen, path, chosen, head=one_head)
        else:
            look = service.look(seen, path, row, column, chosen, direction=direction, head=one_head)
        depth = presenters.depth_figure(service.depth(seen, path), look.layer)
        mark = (row, column) if subject == PATCH else None
        return _look_view(look, scale, depth, mark)


def _look_view(look: PatchAttention | Matrix, scale: str, depth: str, mark: views.Cell | None) -> LookView:
    side = views.cell_side(look.seen.grid)
    patches = views.with_grid(look.patches, side)
    before, after, difference, affinity = _matrix_maps(look, scale) if isinstance(look, Matrix) else _maps(look, scale)
    return LookView(
        patches=views.mark(patches, mark, side) if mark else patches,
        before=before,
        after=after,
        difference=difference,
        affinity=affinity,
        scales=presenters.scales(look, scale),
        patch_facts=presenters.patch_facts(look),
        numbers=presenters.numbers_table(look),
        depth=depth,
        row=mark[0] if mark else gr.skip(),
        column=mark[1] if mark else gr.skip(),
        layer=gr.skip(),
        head=gr.skip(),
        direction=gr.Radio(interactive=mark is not None),
        looked=look.seen,
    )


def _maps(look: PatchAttention, scale: str) -> tuple[views.Picture, ...]:
    marked, ends = look.global_patches[: presenters.OUTLINED], presenters.heat_ends(scale)
    before, after, affinity = (
        heat_map(look.patches, values, look.patch, marked, ends) for values in _values(look, scale)
    )
    gained, most = look.even[1] - look.even[0], presenters.difference_end(look, scale)
    return before, after, difference_map(look.patches, gained, most, look.patch, marked), affinity


def _matrix_maps(matrix: Matrix, scale: str) -> tuple[views.Picture, ...]:

    before, after, affinity = (
        matrix_picture(core.viz.heatmap.heat_colours(values, *(presenters.heat_ends(scale) or own_range(values, None))))
        for values in _values(matrix, scale)
    )
    gained = core.viz.heatmap.signed_colours(matrix.even[1] - matrix.even[0], presenters.difference_end(matrix, scale))
    return before, after, matrix_picture(gained), affinity


def _values(look: PatchAttention | Matrix, scale: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The maps to paint: on a common scale the affinity counts as a share too, on its own it is the cosine."""
    before, after, share = look.even
    return before, after, share if scale == presenters.SAME_SCALE else look.affinity


def _unchanged() -> LookView:
    return LookView(*(gr.skip() for _ in LookView._fields))


def _empty(**values: Any) -> LookView:
    """Nothing is shown, but for what `values` says; controls stay as they are."""
    kept = ("layer", "head", "direction")
    blank: dict[str, Any] = {name: gr.skip() if name in kept else None for name in LookView._fields}
    return LookView(**{**blank, "scales": "", "numbers": "", "depth": "", **values})
