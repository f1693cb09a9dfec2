"""Page with only the lens and the embedded model, for `test_lens.py`; also an example of the wiring.

The fields and buttons replace those of the real page: choose a picture and words, segment, and clear the result.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from demo.examples import read_examples
from demo.service import SegmentRequest, Service
from demo.settings import Settings
from demo.tabs import lens
from demo.tabs.common import CHEAP, PRIVATE
from demo.theme import CSS, theme

service = Service(Settings(model="nano", device="cpu"))
EXAMPLES = {example.name: example for example in read_examples()}


def segment(name: str, words: str, side: float, method: str):
    """Segment an example as the page does; return the run and the path of the picture."""
    path = str(EXAMPLES[name].path)
    asked = SegmentRequest(words or EXAMPLES[name].words, short_side=int(side) or None, method=method or "cliptrase")
    return service.segment(path, asked).run, path


def heard(event: gr.SelectData) -> str:
    """Return the event data of a click as received by the server."""
    return f"{event.index} {event.value}"


with gr.Blocks(analytics_enabled=False, fill_width=True) as demo:
    run, image = gr.State(None), gr.State(None)
    part = lens.draw()
    handlers = lens.LensHandlers(service)
    lens.wire(part, run, image, handlers)
    with gr.Row():
        name = gr.Dropdown(list(EXAMPLES), value="kitten", label="Example", elem_id="example")
        words = gr.Textbox("", label="Words", elem_id="words")
        side = gr.Number(0, label="Short side", elem_id="side")
        method = gr.Textbox("", label="Method", elem_id="method")
        go, clear = gr.Button("Segment", elem_id="go"), gr.Button("Clear", elem_id="clear")
    said = gr.Textbox("", label="Heard", elem_id="heard")
    done = go.click(segment, [name, words, side, method], [run, image], **PRIVATE)
    done.success(handlers.show, [run, image], part, **lens.QUIET)
    clear.click(lambda: None, None, part, **CHEAP)
    part.select(heard, None, said, **CHEAP)

if __name__ == "__main__":
    service.start()
    demo.launch(theme=theme(), css=CSS + ".gradio-container { width: 100%; }")
