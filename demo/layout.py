"""The page: which components there are, where they stand, and which handler each event calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo import presenters
from demo.handlers import CutView, Handlers, LookView
from demo.service import Service
from demo.settings import DELETE_CACHE, DENOISE, EXAMPLES, MAX_UPLOAD, METHODS, PRESETS, QUEUE_SIZE
from demo.style import CSS

TITLE = "CLIPtrase Lab"
GRAMMAR = "Separate classes by ; and synonyms by , and put what is only background after | background:"
GRAMMAR_EXAMPLE = "cat, kitten; dog | background: wall, floor"

_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
_PRIVATE: dict[str, Any] = {"api_visibility": "private"}
_CHEAP: dict[str, Any] = {"queue": False, "show_progress": "hidden", **_PRIVATE}


@dataclass(frozen=True)
class Page:
    """Every component that an event reads or writes."""

    banner: gr.HTML
    timer: gr.Timer
    image: gr.Image
    words: gr.Textbox
    go: gr.Button
    examples: gr.Gallery
    method: gr.Radio
    preset: gr.Radio
    denoise: gr.Radio
    eps: gr.Number
    min_samples: gr.Number
    overlay: gr.Image
    regions: gr.Image
    legend: gr.HTML
    costs: gr.HTML
    patches: gr.Image
    before: gr.Image
    after: gr.Image
    scales: gr.HTML
    patch_facts: gr.HTML
    layer: gr.Slider
    row: gr.Number
    column: gr.Number
    show: gr.Button
    seen: gr.State
    token: gr.Textbox

    def pick(self, view: type[CutView] | type[LookView]) -> list[Any]:
        """The components that a view has new values for, in its order."""
        return [getattr(self, name) for name in view._fields]


def build(service: Service) -> gr.Blocks:
    """Draw the page and wire it; loads nothing."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=DELETE_CACHE) as blocks:
        gr.Markdown(f"# {TITLE}\nCut a picture into parts with nothing but words, and see how the model does it.")
        banner = gr.HTML(presenters.banner(service.status()), padding=False)
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                asked = _input_column()
            with gr.Column(scale=3, min_width=280), gr.Tabs():
                with gr.Tab("Segmentation"):
                    found = _segmentation_tab()
                with gr.Tab("Attention"):
                    looked = _attention_tab()
        page = Page(
            banner=banner,
            timer=gr.Timer(1.0),
            seen=gr.State(None),
            # Travels with each event as the browser saw it, so that a click on an older picture can be told.
            token=gr.Textbox(visible="hidden", container=False, elem_id="token"),
            **asked,
            **found,
            **looked,
        )
        handlers = Handlers(service)
        _endpoints(handlers)  # first: they get the plain names, which Gradio makes of the handlers' otherwise
        _wire(page, handlers, blocks)
    blocks.queue(max_size=QUEUE_SIZE, default_concurrency_limit=4, api_open=False)
    return blocks


def launch_options() -> dict[str, Any]:
    """Arguments for `launch`; address and port stay Gradio's own (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT)."""
    return {
        "share": False,
        "max_file_size": MAX_UPLOAD,
        "enable_monitoring": False,
        "run_history": False,
        "show_error": False,
        "footer_links": ["api"],
        "allowed_paths": [str(EXAMPLES)],
        "theme": gr.themes.Soft(
            primary_hue="teal",
            secondary_hue="teal",
            neutral_hue="slate",
            font=["system-ui", "sans-serif"],
            font_mono=["ui-monospace", "monospace"],
        ),
        "css": CSS,
    }


def _input_column() -> dict[str, Any]:
    sources: list[Any] = ["upload", "clipboard"]
    image = _raw(gr.Image(label="Picture", type="filepath", sources=sources, height=300, buttons=[], elem_id="picture"))
    words = gr.Textbox(label="Words", info=GRAMMAR, placeholder=GRAMMAR_EXAMPLE, lines=2, max_lines=8, elem_id="words")
    go = gr.Button("Segment", variant="primary", elem_id="go")
    examples = gr.Gallery(
        label="Examples",
        visible=False,
        columns=3,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        buttons=[],
        elem_id="examples",
    )
    return {"image": image, "words": words, "go": go, "examples": examples, **_settings()}


def _raw(image: gr.Image) -> gr.Image:
    """Hand an upload's path on as it is: Gradio would open the file first, and fail with a message of its own.

    The check that the path is an upload comes before this and stays.
    """
    image.preprocess = lambda payload: payload.path if payload else None
    return image


def _settings() -> dict[str, Any]:
    with gr.Accordion("Settings", open=False):
        method = gr.Radio(list(METHODS), value=METHODS[0], label="Method")
        preset = gr.Radio(
            list(PRESETS), value=PRESETS[0], label="Preset", info="auto takes the whole picture, paper-* its centre."
        )
        denoise = gr.Radio(
            list(DENOISE), value=DENOISE[0], label="Denoising", info="What keeps global patches from merging regions."
        )
        with gr.Row():
            eps = gr.Number(None, label="eps", info="Empty: automatic", minimum=0, step=0.05, min_width=120)
            min_samples = gr.Number(
                None, label="min_samples", info="Empty: automatic", minimum=1, precision=0, min_width=120
            )
    return {"method": method, "preset": preset, "denoise": denoise, "eps": eps, "min_samples": min_samples}


def _segmentation_tab() -> dict[str, Any]:
    overlay = _shown("Overlay: each class in its colour", "overlay", height=420)
    legend = gr.HTML(presenters.EMPTY_LEGEND, elem_id="legend", min_height=90, padding=False)
    costs = gr.HTML("", elem_id="costs", min_height=44, padding=False)
    regions = _shown("Regions, found without words", "regions", "png", height=320)
    return {"overlay": overlay, "legend": legend, "costs": costs, "regions": regions}


def _attention_tab() -> dict[str, Any]:
    patches = _shown("Click a patch", "patches", height=380, buttons=[])
    patch_facts = gr.HTML(presenters.EMPTY_PATCH, elem_id="patch-facts", min_height=44, padding=False)
    with gr.Row():
        with gr.Column(min_width=120):
            before = _shown("Before: query-key attention", "before", height=300)
        with gr.Column(min_width=120):
            after = _shown("After: recovered affinity", "after", height=300)
    scales = gr.HTML("", elem_id="scales", min_height=60, padding=False)
    with gr.Row():
        row = gr.Number(0, label="Row", minimum=0, precision=0, min_width=110, elem_id="row")
        column = gr.Number(0, label="Column", minimum=0, precision=0, min_width=110, elem_id="column")
        show = gr.Button("Show patch", min_width=110, elem_id="show")
    layer = gr.Slider(1, 12, value=11, step=1, label="Layer", elem_id="layer")
    return {
        "patches": patches,
        "patch_facts": patch_facts,
        "before": before,
        "after": after,
        "scales": scales,
        "row": row,
        "column": column,
        "show": show,
        "layer": layer,
    }


def _shown(label: str, name: str, encoding: str = "jpeg", **options: Any) -> gr.Image:
    """A picture under its caption: Gradio's own label would lie on the picture and cover patches."""
    gr.HTML(f'<p class="caption">{label}</p>', padding=False)
    options.setdefault("buttons", ["download", "fullscreen"])
    return gr.Image(
        label=label, show_label=False, alt_text=label, elem_id=name, format=encoding, interactive=False, **options
    )


def _wire(page: Page, handlers: Handlers, blocks: gr.Blocks) -> None:
    blocks.load(handlers.greet, None, [page.banner, page.examples], **_CHEAP)
    page.timer.tick(handlers.tick, None, [page.banner, page.timer], **_CHEAP)

    asked = [page.image, page.words, page.method, page.preset, page.denoise, page.eps, page.min_samples]
    run: dict[str, Any] = {
        "fn": handlers.segment,
        "inputs": asked,
        "outputs": page.pick(CutView),
        "show_progress_on": [page.overlay],
        **_ONE_AT_A_TIME,
        **_PRIVATE,
    }
    pressed = gr.on([page.go.click, page.words.submit], **run)
    picked = page.examples.select(handlers.pick_example, None, [page.image, page.words], **_CHEAP)
    followed = picked.success(**run)
    # Another picture: whatever still runs for the one before must not be shown beside it.
    page.image.input(
        handlers.forget, None, page.pick(CutView), trigger_mode="always_last", cancels=[pressed, followed], **_CHEAP
    )

    look: dict[str, Any] = {"outputs": page.pick(LookView), "show_progress_on": [page.after], **_ONE_AT_A_TIME}
    where = [page.seen, page.image, page.row, page.column, page.layer]
    page.patches.select(handlers.click, [page.seen, page.token, page.image, page.layer], **look, **_PRIVATE)
    gr.on([page.show.click, page.row.submit, page.column.submit], handlers.step, where, **look, **_PRIVATE)
    page.layer.input(handlers.step, where, trigger_mode="always_last", **look, **_PRIVATE)


def _endpoints(handlers: Handlers) -> None:
    """Public calls for gradio_client and curl; components carry them, which check that files are uploads."""
    with gr.Group(visible=False):
        image = _raw(gr.Image(label="image", type="filepath"))
        vocabulary = gr.Textbox(label="vocabulary")
        method = gr.Textbox("cliptrase", label="method")
        preset = gr.Textbox("auto", label="preset")
        row, column = gr.Number(label="row", precision=0), gr.Number(label="column", precision=0)
        layer = gr.Number(None, label="layer", precision=0)
        answer = gr.JSON(label="result")
        call = gr.Button()
    call.click(handlers.api_segment, [image, vocabulary, method, preset], answer, api_name="segment", **_ONE_AT_A_TIME)
    call.click(handlers.api_inspect, [image, row, column, layer], answer, api_name="inspect_patch", **_ONE_AT_A_TIME)
    call.click(handlers.api_models, None, answer, api_name="models", queue=False)
