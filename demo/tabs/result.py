"""The result: the picture with its classes and their names, the legend beside it, a spot, what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.common import DownloadView
from demo.handlers.segment import ResultView, SegmentHandlers
from demo.presenters import segment as presenters
from demo.service.figure import KINDS
from demo.static import static
from demo.tabs.common import ONE_AT_A_TIME, PRIVATE, Shared, fetch_file, hidden_text, outputs

FILE = "file"
RESULT_HTML = """
<div class="tools" role="group" aria-label="How the result is drawn">
  <label><input type="radio" name="style" value="fill" checked> fill</label>
  <label><input type="radio" name="style" value="outline"> outline</label>
  <label><input type="radio" name="style" value="hatch"> hatch</label>
  <label class="opacity">opacity <input type="range" min="0" max="1" step="0.05" value="0.55"></label>
  <label><input type="checkbox" checked> names</label>
</div>
<div class="stage blank">
  <img alt="">
  <canvas tabindex="0" role="img" aria-label="The result; arrows move from patch to patch, Enter asks why"></canvas>
  <div class="names" aria-hidden="true"></div>
  <i class="cross" hidden></i>
</div>"""
SPOT_HTML = '<p class="now">Point at the picture: it says what is there, and what came second.</p>'


@dataclass(frozen=True)
class Result:
    """Components of the result, and the two values that say which one is shown."""

    result: gr.HTML
    legend: gr.HTML
    point: gr.HTML
    absent: gr.HTML
    findings: gr.HTML
    status: gr.HTML
    costs: gr.HTML
    download: gr.Button
    figure: gr.Dropdown
    save: gr.Button
    place: gr.Textbox
    file: gr.DownloadButton
    run: gr.State
    token: gr.Textbox


def draw(run: gr.State, token: gr.Textbox, status: gr.HTML) -> Result:
    """Put the components where the caller stands."""
    with gr.Row(elem_id="main"):
        picture = gr.HTML(
            None,
            html_template=RESULT_HTML,
            js_on_load=static("result.js"),
            apply_default_css=False,
            elem_id="result",
        )
        with gr.Column(elem_id="legend-column", min_width=240):
            legend = gr.HTML(presenters.EMPTY_LEGEND, elem_id="legend", padding=False)
        with gr.Column(elem_id="notes", min_width=240):
            gr.HTML(SPOT_HTML, elem_id="spot", padding=False)
            point = gr.HTML("", elem_id="point", padding=False)
            absent = gr.HTML("", elem_id="absent", padding=False)
            findings = gr.HTML("", elem_id="findings", padding=False)
            costs = gr.HTML("", elem_id="costs", padding=False)
            download = gr.Button(presenters.DOWNLOAD, elem_id="download", size="sm")
            with gr.Row(elem_id="save-row"):
                kinds = [(title, name) for name, (title, _) in KINDS.items()]
                figure = gr.Dropdown(
                    kinds, value="png", label="Figure", show_label=False, container=False, filterable=False,
                    min_width=170, elem_id="figure",
                )  # fmt: skip
                save = gr.Button(presenters.SAVE, elem_id="save", size="sm", scale=0, min_width=90)
    place = hidden_text("place")
    file = gr.DownloadButton("Download", visible="hidden", elem_id=FILE)
    return Result(
        picture, legend, point, absent, findings, status, costs, download, figure, save, place, file, run, token
    )


def wire(result: Result, lens: gr.HTML, shared: Shared, handlers: SegmentHandlers) -> None:
    """Events of the result; a patch that is chosen in the lens is asked about here too."""
    lens.select(
        handlers.patch,
        [shared.run, shared.token, shared.image],
        result.point,
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    result.result.select(
        handlers.point,
        [shared.run, shared.token, shared.image],
        result.point,
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
    saved = result.save.click(
        handlers.figure,
        [shared.run, shared.image, result.figure, result.place],
        [result.save, result.file],
        show_progress="hidden",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    saved.success(None, None, None, js=fetch_file(FILE), **PRIVATE)
    # The archive is made when it is asked for; the browser then fetches it as if its link had been clicked.
    made.success(None, None, None, js=fetch_file(FILE), **PRIVATE)


def result_outputs(result: Result) -> list[Any]:
    """Where a new result goes."""
    return outputs(result, ResultView)
