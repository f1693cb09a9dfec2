"""Looking at regions: what each event of the Clusters tab does."""

from __future__ import annotations

from typing import Any, NamedTuple

from demo.handlers.common import plainly
from demo.service import Run, Service


class ClustersView(NamedTuple):
    """New values of the components that show clusters, by the components' names."""

    regions: Any


class ClustersHandlers:
    """One method for each event of the tab; keeps nothing of any visitor."""

    def __init__(self, service: Service) -> None:
        """Serve pages from one service."""
        self._service = service

    @plainly
    def refresh(self, run: Run | None, path: str | None) -> ClustersView:
        """The tab was opened, or another result is there."""
        if run is None:
            return ClustersView(None)
        from cliptrase_core.colours import paint, region_colours

        cut = self._service.again(run, path)
        return ClustersView(paint(cut.regions, region_colours(int(cut.result.regions.max()) + 1)))
