"""Top of the page: examples, picture, words, settings, and the settings in the page's address."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cliptrase_core.names import DATASETS
from cliptrase_core.options import LayoutOptions, Option, SegmentOptions, options_of
from demo.handling import AUTO, BACKGROUNDS, BY_THRESHOLD, BY_WORDS, NO, YES, further_options
from demo.html import hint, strip
from demo.settings import DENOISE, METHODS, PRESETS, SHORT_SIDES, TEMPLATES
from demo.tabs.common import CHEAP, EACH, hidden_text

MOST_WORDS = 4_000
"""Maximum number of characters of words in an address."""
OPENING = strip("busy", "Starting.", "The first picture is being segmented.")

Read = Callable[[str], Any]


def _choice(*known: str) -> Read:
    return lambda text: text if text in known else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _yes(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text)


def _plain(one: Option) -> str:
    """Return the default of the control that `control` makes, as the browser writes it."""
    if one.kind is bool and not one.unset:
        return str(one.default).lower()
    return AUTO if one.default is None else str(one.default)


PLAIN: dict[str, str] = {
    "background": BACKGROUNDS[0],
    "background_words": "",
    "threshold": "0.3",
    "method": METHODS[0],
    "preset": PRESETS[0],
    "short_side": AUTO,
    "templates": AUTO,
    "image_prior": "false",
    "everything_else": "false",
    "skip_missing": "false",
    "denoise": DENOISE[0],
    "automatic": "true",
    "eps": "",
    "min_samples": "",
    **{one.name: _plain(one) for one in further_options()},
}
"""Default settings by component name, in the order of `Page.remembered`; an address omits the defaults.

eps and min_samples have none: they count only if `automatic` is "false".
"""


def _reader(one: Option) -> Read:
    if one.kind is bool:
        return _choice(AUTO, YES, NO) if one.unset else _yes
    return _choice(*([AUTO] if one.unset else []), *one.choices) if one.choices else _number


_READ: dict[str, Read] = {
    **{one.name: _reader(one) for one in (*options_of(LayoutOptions), *options_of(SegmentOptions))},
    "background": _choice(*BACKGROUNDS),
    "background_words": lambda text: text[:MOST_WORDS],
    "short_side": _choice(AUTO, *map(str, SHORT_SIDES)),
    "automatic": _yes,
}


def settings_of(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the valid settings of an address; unknown names and invalid values are ignored."""
    found = {name: _READ[name](query[name]) for name in PLAIN if name in query}
    return {name: value for name, value in found.items() if value is not None}


NAME = "settings"
WORDS_HINT = "What is in the picture? For example: cat, kitten; grass; sky"
GRAMMAR = (
    "Words: commas or semicolons separate classes. With semicolons, commas separate synonyms: cat, kitten; dog. "
    "Enter segments, Shift+Enter makes a new line. What is only background: cat | background: wall, floor."
)
ONE_CLASS = f"(words, now, chosen) => lab.oneClass(words, now, chosen, {json.dumps(list(DATASETS))})"
EXAMPLES_HTML = """
<div class="strip-of-examples" role="group" aria-label="Examples: a click segments one">
  {{#each value}}<button type="button" data-index="{{@index}}" title="{{this.title}}">
  <img src="{{this.thumbnail}}" alt="{{this.alt}}"><span>{{this.title}}</span></button>{{/each}}
</div>"""
UPLOAD_HTML = (
    '<button type="button">Upload</button>'
    '<span title="One picture, several, or a saved result (zip)">or drop / paste</span>'
)
EXAMPLES_JS = """
element.addEventListener("click", event => {
  const button = event.target.closest("button[data-index]");
  if (button) trigger("select", { index: Number(button.dataset.index), value: null });
});"""


@dataclass(frozen=True)
class Ask:
    """Components of a request; `Page.request` has those that `read_request` reads."""

    image: gr.Image
    words: gr.Textbox
    go: gr.Button
    stop: gr.Button
    status: gr.HTML
    examples: gr.HTML
    copy_link: gr.Button
    background: gr.Radio
    background_words: gr.Textbox
    threshold: gr.Slider
    method: gr.Dropdown
    preset: gr.Radio
    short_side: gr.Dropdown
    templates: gr.Radio
    image_prior: gr.Checkbox
    everything_else: gr.Checkbox
    skip_missing: gr.Checkbox
    example: gr.Textbox
    further: tuple[Any, ...]
    linked: gr.Textbox
    opening: gr.Image
    opening_words: gr.Textbox
    opening_example: gr.Textbox
    everything_else_chosen: gr.Textbox
    refused: gr.Textbox


def draw_top() -> dict[str, Any]:
    """Draw examples, picture, words and status line in the caller's Gradio block."""
    with gr.Row(elem_id="strip"):
        examples = gr.HTML(
            [],
            html_template=EXAMPLES_HTML,
            js_on_load=EXAMPLES_JS,
            apply_default_css=False,
            elem_id="examples",
            container=False,
        )
        gr.HTML(UPLOAD_HTML, padding=False, elem_id="upload")
        image = gr.Image(
            label="Picture",
            show_label=False,
            type="filepath",
            sources=["upload"],
            placeholder="No picture",
            height=60,
            scale=0,
            min_width=150,
            buttons=[],
            elem_id="picture",
        )
    with gr.Row(elem_id="ask"):
        words = gr.Textbox(
            label="Words",
            show_label=False,
            container=False,
            placeholder=WORDS_HINT,
            lines=1,
            max_lines=4,
            scale=1,
            elem_id="words",
        )
        everything_else = gr.Checkbox(
            False, label="everything else", container=False, scale=0, min_width=130, elem_id="everything-else"
        )
        go = gr.Button("Segment", variant="primary", elem_id="segment", scale=0, min_width=130)
        stop = gr.Button("Stop", elem_id="stop", scale=0, min_width=80)
        status = gr.HTML(OPENING, elem_id="status", padding=False)
    return {
        "examples": examples,
        "image": image,
        "words": words,
        "go": go,
        "stop": stop,
        "status": status,
        "everything_else": everything_else,
        "example": hidden_text("example"),
        "linked": hidden_text("linked"),
        "opening": gr.Image(type="filepath", visible="hidden", interactive=False, elem_id="opening"),
        "opening_words": hidden_text("opening-words"),
        "opening_example": hidden_text("opening-example"),
        "everything_else_chosen": hidden_text("everything-else-chosen"),
        "refused": hidden_text("refused"),
    }


def draw_settings() -> dict[str, Any]:
    """Draw the settings of background, words and picture in the caller's Gradio block."""
    gr.HTML(hint(GRAMMAR), padding=False)
    with gr.Row():
        with gr.Column(min_width=280):
            parts = _about_words()
        with gr.Column(min_width=280):
            parts.update(_about_pictures())
    with gr.Row():
        parts["further"] = tuple(control(one) for one in further_options())
    return parts


def draw_copy_link() -> gr.Button:
    """Draw the button that copies the page's address in the caller's Gradio block."""
    return gr.Button("Copy link", size="sm", elem_id="copy-link", scale=0, min_width=240)


def control(one: Option) -> Any:
    """Return a control for an option by its kind, for options without a control made by hand."""
    facts: dict[str, Any] = {
        "label": one.name.replace("_", " ").capitalize(),
        "info": f"{one.help[:1].upper()}{one.help[1:]}.",
    }
    if one.kind is bool and not one.unset:
        return gr.Checkbox(one.default, **facts)
    choices = (YES, NO) if one.kind is bool else one.choices
    if choices:
        return gr.Radio([AUTO, *choices] if one.unset else [*choices], value=one.default or AUTO, **facts)
    if one.least is not None and one.most is not None and one.default is not None:
        return gr.Slider(one.least, one.most, value=one.default, step=1 if one.kind is int else 0.01, **facts)
    return gr.Number(one.default, precision=0 if one.kind is int else None, **facts)


def wire(ask: Ask) -> None:
    """Wire the events that concern these components alone."""
    ask.copy_link.click(None, ask.example, None, js="example => lab.copyLink(example)", api_visibility="private")
    ask.refused.change(None, ask.refused, ask.status, js="text => lab.refused(text)", api_visibility="private")
    ask.background.change(
        lambda way: (gr.Textbox(visible=way == BY_WORDS), gr.Slider(visible=way == BY_THRESHOLD)),
        ask.background,
        [ask.background_words, ask.threshold],
        **CHEAP,
    )
    ask.preset.change(  # the paper's presets have a size of their own
        lambda preset: gr.Dropdown(interactive=preset == PRESETS[0]), ask.preset, ask.short_side, **EACH, **CHEAP
    )
    rest, chosen = ask.everything_else, ask.everything_else_chosen
    # One class would fill the picture, so everything else becomes a class too, unless the user has decided.
    ask.words.change(None, [ask.words, rest, chosen], rest, js=ONE_CLASS, api_visibility="private")


def _about_words() -> dict[str, Any]:
    background = gr.Radio(
        list(BACKGROUNDS),
        value=BACKGROUNDS[0],
        label="Background",
        info="Class of all that matches none of your words.",
    )
    background_words = gr.Textbox(label="Background words", placeholder="wall, floor, sky", visible=False)
    threshold = gr.Slider(
        0,
        1,
        value=float(PLAIN["threshold"]),
        step=0.01,
        label="Confidence threshold",
        info="Pixels below this confidence are background.",
        visible=False,
    )
    templates = gr.Radio([AUTO, *TEMPLATES], value=AUTO, label="Prompt templates", info="auto: those of the preset.")
    image_prior = gr.Checkbox(False, label="Image prior", info="Weight words by their similarity to the whole picture.")
    skip_missing = gr.Checkbox(
        False, label="Leave out missing classes", info="Drops classes that match no patch better than common words."
    )
    return {
        "skip_missing": skip_missing,
        "background": background,
        "background_words": background_words,
        "threshold": threshold,
        "templates": templates,
        "image_prior": image_prior,
    }


def _about_pictures() -> dict[str, Any]:
    method = gr.Dropdown(list(METHODS), value=METHODS[0], label="Method", info="Compare shows all of them.")
    preset = gr.Radio(
        list(PRESETS), value=PRESETS[0], label="Preset", info="auto takes the whole picture, paper-* its centre."
    )
    short_side = gr.Dropdown(
        [AUTO, *map(str, SHORT_SIDES)],
        value=AUTO,
        label="Short side in pixels",
        info="Size of the model input: larger shows finer parts and takes longer. Only with the preset auto.",
    )
    return {"method": method, "preset": preset, "short_side": short_side}
