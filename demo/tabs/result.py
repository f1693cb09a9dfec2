"""The Result tab: the overlay, its legend, what is at a point, what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.figures.overlay import STYLES
from demo.handlers.common import DownloadView
from demo.handlers.segment import ResultView, SegmentHandlers
from demo.presenters import segment as presenters
from demo.tabs.common import CHEAP, ONE_AT_A_TIME, PRIVATE, Shared, fetch_file, outputs, shown

FILE = "file"


@dataclass(frozen=True)
class Result:
    """Components of the tab, and the two values that say which result is shown."""

    overlay: gr.Image
    style: gr.Radio
    opacity: gr.Slider
    point: gr.HTML
    across: gr.Slider
    down: gr.Slider
    legend: gr.HTML
    findings: gr.HTML
    costs: gr.HTML
    download: gr.Button
    file: gr.DownloadButton
    run: gr.State
    token: gr.Textbox


def draw(run: gr.State, token: gr.Textbox) -> Result:
    """Put the components where the caller stands."""
    picture = shown("Each class in its colour; click to ask what is there", "overlay", height=420)
    with gr.Row():
        style = gr.Radio(list(STYLES), value=STYLES[0], label="Style", min_width=200, elem_id="style")
        opacity = gr.Slider(0, 1, value=0.55, step=0.05, label="Opacity", min_width=160, elem_id="opacity")
    with gr.Accordion("Ask for a point without a mouse", open=False, elem_id="by-keys"), gr.Row():
        across = gr.Slider(0, 100, value=50, step=1, label="Across, %", min_width=160, elem_id="across")
        down = gr.Slider(0, 100, value=50, step=1, label="Down, %", min_width=160, elem_id="down")
    return Result(
        overlay=picture,
        style=style,
        opacity=opacity,
        point=gr.HTML(presenters.EMPTY_POINT, elem_id="point", min_height=30, padding=False),
        across=across,
        down=down,
        legend=gr.HTML(presenters.EMPTY_LEGEND, elem_id="legend", min_height=90, padding=False),
        findings=gr.HTML("", elem_id="findings", padding=False),
        costs=gr.HTML("", elem_id="costs", min_height=44, padding=False),
        download=gr.Button(presenters.DOWNLOAD, elem_id="download"),
        file=gr.DownloadButton("Download", visible="hidden", elem_id=FILE),
        run=run,
        token=token,
    )


def wire(result: Result, shared: Shared, handlers: SegmentHandlers) -> None:
    """Events of this tab alone."""
    look: list[Any] = [result.style, result.opacity]
    gr.on(
        [result.style.input, result.opacity.input],
        handlers.restyle,
        [shared.run, shared.image, *look],
        result.overlay,
        trigger_mode="always_last",
        **CHEAP,
    )
    result.overlay.select(
        handlers.point,
        [shared.run, shared.token, shared.image],
        result.point,
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    gr.on(
        [result.across.input, result.down.input],
        handlers.point_by_numbers,
        [shared.run, shared.image, result.across, result.down],
        result.point,
        trigger_mode="always_last",
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    made = result.download.click(
        handlers.download,
        [shared.run, shared.image],
        outputs(result, DownloadView),
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    # The archive is made when it is asked for; the browser then fetches it as if its link had been clicked.
    made.success(None, None, None, js=fetch_file(FILE), **PRIVATE)


def result_outputs(result: Result) -> list[Any]:
    """Where a new result goes."""
    return outputs(result, ResultView)
