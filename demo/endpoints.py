"""Public calls for gradio_client and curl. Components carry them, which check that files are uploads."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo.handlers.common import plainly, whole
from demo.presenters.attention import describe_look
from demo.presenters.segment import describe
from demo.service import Asked, Service
from demo.settings import METHODS, PRESETS
from demo.tabs.common import ONE_AT_A_TIME, raw


class Endpoints:
    """One method for each call; its docstring is what clients are told."""

    def __init__(self, service: Service) -> None:
        """Answer from one service."""
        self._service = service

    @plainly
    def segment(self, image: str | None, vocabulary: str, method: str = "cliptrase", preset: str = "auto") -> Any:
        """Divide a picture among words.

        Args:
            image: the picture.
            vocabulary: "cat, kitten; dog | background: wall, floor".
            method: "cliptrase" or "clip".
            preset: "auto", "paper-224" or "paper-336".

        Returns:
            Classes that are present with colour, area and mean confidence, sizes, settings, timings.
        """
        cut = self._service.segment(image, Asked(vocabulary or "", preset, method=method))
        return describe(cut, self._service.status())

    @plainly
    def inspect_patch(self, image: str | None, row: Any, column: Any, layer: Any = None) -> Any:
        """What one patch of a picture looks at, before and after recovery.

        Args:
            image: the picture.
            row: of the patch, from 0.
            column: of the patch, from 0.
            layer: from 1; left out, the last but one.

        Returns:
            Two (h, w) maps as nested lists, and the global patches with their ranks before and after.
        """
        patch = whole("row", row), whole("column", column)
        chosen = None if layer is None else whole("layer", layer)
        return describe_look(self._service.look(self._service.open(image), image, *patch, chosen))

    @plainly
    def models(self) -> Any:
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


def publish(endpoints: Endpoints) -> None:
    """Wire the calls to components that nobody sees."""
    with gr.Group(visible=False):
        image = raw(gr.Image(label="image", type="filepath"))
        vocabulary = gr.Textbox(label="vocabulary")
        method = gr.Textbox("cliptrase", label="method")
        preset = gr.Textbox("auto", label="preset")
        row, column = gr.Number(label="row", precision=0), gr.Number(label="column", precision=0)
        layer = gr.Number(None, label="layer", precision=0)
        answer = gr.JSON(label="result")
        call = gr.Button()
    asked = [image, vocabulary, method, preset]
    call.click(endpoints.segment, asked, answer, api_name="segment", **ONE_AT_A_TIME)
    patch = [image, row, column, layer]
    call.click(endpoints.inspect_patch, patch, answer, api_name="inspect_patch", **ONE_AT_A_TIME)
    call.click(endpoints.models, None, answer, api_name="models", queue=False)
