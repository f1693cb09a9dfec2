"""The lens: one picture in every step of CLIPtrase, with one selected patch in all panes. Component, handlers, wiring.

The browser selects patches itself (`demo/static/lens.js`): hover, tap and arrow keys send no request while the picture
has at most `demo.service.lens.MOST_SENT` patches.

`select` passes a `gr.SelectData` whose `index` is [row, column] of the patch and whose `value` is the class there.
`change` is Gradio's own event for a new value. Use the lens only as an output: as an input, its megabytes would be sent
back to the server.

Every CSS class in the lens's HTML begins with "lens-". `demo/static/lens.css` adapts it to the available width: one row
of panes from 1,000 pixels on, one pane at a time below 560.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo.handling import errors_as_messages, whole
from demo.service import Run, Service
from demo.service.lens import lens_rows, lens_value
from demo.static import static
from demo.tabs.common import EACH, QUIET

PANES = (
    ("picture", "The picture", "Choose a patch here or in any other pane."),
    ("before", "1 Before", "The patch's query-key attention, as in plain CLIP."),
    ("after", "2 After", "Its recovered attention: it goes to patches that resemble this one."),
    ("clusters", "3 Clusters", "Patches that resemble each other: orange is this patch's cluster, hatched is in none."),
    ("denoised", "4 Denoised", "The same with denoising: what each patch shares with [CLS] is subtracted first."),
    ("words", "5 Words", "The class of each pixel: each cluster takes its most frequent class."),
)
"""Name, title and description of each pane."""


def draw() -> gr.HTML:
    """Create the lens in the current Gradio layout context; it is empty until it gets a value of `lens_value`."""
    return gr.HTML(
        value=None,
        html_template=_template(),
        css_template=static("lens.css"),
        js_on_load=static("spot.js") + static("lens.js") + static("present.js"),
        apply_default_css=False,
        elem_id="lens",
        padding=False,
        rows=None,
    )


class LensHandlers:
    """Event handlers of the lens; no visitor's data is stored."""

    def __init__(self, service: Service) -> None:
        """Use one service for all pages."""
        self._service = service

    @errors_as_messages
    def show(self, run: Run | None, path: str | None) -> Any:
        """Return the lens value of a new result; None without a result."""
        return None if run is None else lens_value(self._service, run, path)

    @errors_as_messages
    def request(self, run: Run | None, path: str | None, event: gr.EventData) -> Any:
        """Handle a request for another layer or head, or for one row of a large grid; checks the event data."""
        data = event._data if isinstance(event._data, dict) else {}
        if run is None or data.get("run") != run.token:  # the request belongs to an old result
            return gr.skip()
        layer = whole("layer", data.get("layer"))
        head = None if data.get("head") is None else whole("head", data["head"])
        if data.get("patch") is None:
            return lens_value(self._service, run, path, layer, head=head)
        return gr.HTML(rows=lens_rows(self._service, run, path, whole("patch", data["patch"]), layer, head=head))


def wire(lens: gr.HTML, run: gr.State, image: gr.Image, handlers: LensHandlers) -> None:
    """Connect the requests that the lens sends itself, one for several quick presses."""
    lens.input(handlers.request, [run, image], lens, **EACH, **QUIET)


def _template() -> str:
    """Return the HTML of the lens without a picture: fixed text only; the script inserts user input as text."""
    panes = "".join(
        _PANE.format(view=view, title=title, about=about, **(_WIPED if view == "after" else _PLAIN))
        for view, title, about in PANES
    )
    return (
        f'<section class="lens" aria-label="The lens: one patch in every step">{_WAIT}{_BAR}{_TURN}'
        f'<div class="lens-panes">{panes}</div>{_FOOT}{_SLIDES}</section>'
    )


_WAIT = (
    '<p class="lens-wait">The steps of a segmented picture appear here, side by side, soon after its result. '
    "(The lens needs JavaScript; everything else on the page does without it.)</p>"
)
_BAR = """
<div class="lens-bar">
  <p class="lens-tell"></p>
  <span class="lens-group" role="group" aria-label="Layer">
    <button type="button" data-do="shallower" aria-label="One layer back (key -)">&minus;</button>
    <span class="lens-layer"></span>
    <button type="button" data-do="deeper" aria-label="One layer on (key +)">+</button>
  </span>
  <label>Head <select class="lens-head"></select></label>
  <label>After <select class="lens-kind">
    <option value="after">recovered</option><option value="affinity">affinity</option>
  </select></label>
  <label><input type="checkbox" class="lens-smooth"> Smooth</label>
  <label class="lens-wide"><input type="checkbox" class="lens-large"> Large</label>
  <button type="button" data-do="home" title="The patch where recovery changed most (key Home)">Most telling</button>
  <button type="button" data-do="present" title="One step a screen; arrow keys turn, Escape leaves">Present</button>
</div>"""
_TURN = """
<div class="lens-turn">
  <button type="button" data-do="previous" aria-label="Pane before">&lsaquo;</button><span class="lens-which"></span>
  <button type="button" data-do="next" aria-label="Next pane">&rsaquo;</button>
</div>"""
_PANE = """
<figure><p class="lens-title" title="{about}">{title}</p>
  <div class="lens-pane" data-view="{view}" role="application" tabindex="-1" aria-label="{title}. {about}">
    <img alt="" draggable="false"><canvas class="lens-map"></canvas><canvas class="lens-marks"></canvas>
    {in_pane}<i class="lens-cross"></i>
  </div>
<figcaption></figcaption>{below}</figure>"""
_PLAIN = {"in_pane": "", "below": ""}
_WIPED = {
    "in_pane": '<canvas class="lens-was"></canvas><i class="lens-edge"></i>',
    "below": '<label class="lens-wipe">before <input type="range" min="0" max="100" value="50" '
    'aria-label="How much of the frame shows before"> <span class="lens-second">after</span></label>',
}
"""Additions to the pane "after" on a narrow screen: before and after in one frame, with a movable border."""
_FOOT = """
<div class="lens-foot">
  <div class="lens-scale"><span>0</span><canvas width="256" height="1"></canvas><span class="lens-end"></span></div>
  <div class="lens-globals" hidden><i></i><span></span></div>
  <dl class="lens-numbers"></dl>
  <p class="lens-note"></p>
  <p class="lens-live" aria-live="polite"></p>
</div>"""
_SLIDES = """
<dialog class="lens-slides" aria-label="The steps, one a screen">
  <div class="lens-screen" tabindex="-1">
    <div class="lens-head-line"><h2 class="lens-step"></h2><span class="lens-where"></span>
      <span class="lens-count"></span>
      <button type="button" data-go="out" aria-label="Leave the presentation (Escape)">&times;</button></div>
    <div class="lens-stand"></div>
    <div aria-live="polite"><p class="lens-point"></p><p class="lens-about"></p></div>
    <div class="lens-turns"><button type="button" data-go="back">&lsaquo; Back</button><div class="lens-ruler"></div>
      <button type="button" data-go="on">Next &rsaquo;</button></div>
  </div>
</dialog>"""
