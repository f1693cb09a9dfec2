"""Looking at regions: what each event of the Clusters tab does."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from demo import core
from demo.errors import UserError
from demo.figures import views
from demo.figures.regions import region_map
from demo.handlers.common import inside, plainly, point_of, whole
from demo.presenters import clusters as presenters
from demo.service import Run, Service
from demo.service.clusters import Clusters, clusters_of


class ClustersView(NamedTuple):
    """New values of the components that show clusters, by the components' names."""

    before: Any
    after: Any
    summary: Any
    region_facts: Any
    region_table: Any
    region: Any
    eps: Any
    min_samples: Any


class ClustersHandlers:
    """One method for each event of the tab; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def refresh(self, run: Run | None, path: str | None) -> ClustersView:
        """The tab was opened, or another result is there."""
        if run is None:
            return ClustersView(
                before=None,
                after=None,
                summary=presenters.EMPTY_SUMMARY,
                region_facts="",
                region_table=presenters.EMPTY_TABLE,
                region=gr.Dropdown([], value=None),
                eps=gr.skip(),
                min_samples=gr.skip(),
            )
        return _view(clusters_of(self._service, run, path))

    @plainly
    def click(self, run: Run | None, token: str, path: str | None, event: gr.SelectData) -> ClustersView:
        """A patch of either map was clicked; a click on a result that is no longer shown is ignored."""
        if run is None or token != run.token:
            return ClustersView(*(gr.skip() for _ in ClustersView._fields))
        side, (h, w) = views.cell_side(run.seen.grid), run.seen.grid
        patch = self._service.patch_at(run.seen, *inside(*point_of(event), (h * side, w * side)))
        found = clusters_of(self._service, run, path)
        return _view(found, int(found.after[patch]), patch)

    @plainly
    def pick(self, run: Run | None, path: str | None, region: Any) -> ClustersView:
        """A region's number was picked: the same as a click, without a mouse."""
        if run is None or region is None:
            return ClustersView(*(gr.skip() for _ in ClustersView._fields))
        found, chosen = clusters_of(self._service, run, path), whole("region", region)
        if not 0 <= chosen < len(found.votes):
            raise UserError(f"region: expected 0 to {len(found.votes) - 1}, got {chosen}. Pick one of the list.")
        return _view(found, chosen)


def _view(found: Clusters, chosen: int | None = None, patch: tuple[int, int] | None = None) -> ClustersView:

    colours, asked = core.viz.palette.region_colours(found.count), found.cut.run.asked
    before, after = (
        region_map(found.cut.patches, ids, colours, found.changed, chosen) for ids in (found.before, found.after)
    )
    return ClustersView(
        before=before,
        after=after,
        summary=presenters.summary(found),
        region_facts=presenters.PICK_REGION if chosen is None else presenters.region_facts(found, chosen, patch),
        region_table=presenters.region_table(found, chosen),
        region=gr.Dropdown(
            [(f"Region {vote.region}", vote.region) for vote in found.votes],
            value=None if chosen is None or chosen < 0 else chosen,
        ),
        eps=gr.Slider(value=round(found.automatic.eps, 3)) if asked.eps is None else gr.skip(),
        min_samples=gr.Slider(value=found.automatic.min_samples) if asked.min_samples is None else gr.skip(),
    )
