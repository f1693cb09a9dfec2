"""The left column: the picture, the words, examples and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.handlers.common import AUTO, BACKGROUNDS, BY_THRESHOLD, BY_WORDS
from demo.script import COPY_LINK
from demo.settings import DATASETS, METHODS, PRESETS, SHORT_SIDES, TEMPLATES
from demo.tabs.common import caption, hidden_text

GRAMMAR = "Separate classes by ; and synonyms by , and put what is only background after | background:"
GRAMMAR_EXAMPLE = "cat, kitten; dog | background: wall, floor"


@dataclass(frozen=True)
class Ask:
    """Components of the left column; those that `read_asked` reads are listed by `Page.asked`."""

    image: gr.Image
    words: gr.Textbox
    word_list: gr.Dropdown
    go: gr.Button
    stop: gr.Button
    examples: gr.Gallery
    copy_link: gr.Button
    background: gr.Radio
    background_words: gr.Textbox
    threshold: gr.Slider
    method: gr.Dropdown
    preset: gr.Radio
    short_side: gr.Dropdown
    templates: gr.Radio
    image_prior: gr.Checkbox
    example: gr.Textbox
    linked: gr.Textbox


def draw() -> Ask:
    """Put the components where the caller stands."""
    caption("Picture")
    image = gr.Image(
        label="Picture",
        show_label=False,
        type="filepath",
        sources=["upload", "clipboard", "webcam"],
        height=300,
        buttons=[],
        elem_id="picture",
    )
    words = gr.Textbox(label="Words", info=GRAMMAR, placeholder=GRAMMAR_EXAMPLE, lines=2, max_lines=8, elem_id="words")
    with gr.Row():
        go = gr.Button("Segment", variant="primary", elem_id="go", scale=3, min_width=160)
        stop = gr.Button("Stop", elem_id="stop", scale=1, min_width=70)
    caption("Examples: one click")
    examples = gr.Gallery(
        label="Examples",
        show_label=False,
        visible=False,
        columns=3,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        buttons=[],
        elem_id="examples",
    )
    copy_link = gr.Button("Copy link", size="sm", elem_id="copy-link")
    with gr.Accordion("Background and settings", open=False, elem_id="settings"):
        chosen = _settings()
    return Ask(
        image=image,
        words=words,
        go=go,
        stop=stop,
        examples=examples,
        copy_link=copy_link,
        example=hidden_text("example"),
        linked=hidden_text("linked"),
        **chosen,
    )


def wire(ask: Ask) -> None:
    """Events that concern this column alone; none reaches the server."""
    ask.copy_link.click(None, [ask.example, ask.words], None, js=COPY_LINK, api_visibility="private")
    ask.image.input(None, None, ask.example, js="() => ''", api_visibility="private")  # a link cannot hold it
    ask.background.change(
        lambda way: (gr.Textbox(visible=way == BY_WORDS), gr.Slider(visible=way == BY_THRESHOLD)),
        ask.background,
        [ask.background_words, ask.threshold],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    ask.word_list.input(None, ask.word_list, ask.words, js="name => name", api_visibility="private")


def _settings() -> dict[str, Any]:
    """What becomes of the rest of the picture, and how the picture and the words are read."""
    word_list = gr.Dropdown(
        list(DATASETS), value=None, label="Words of a data set", info="Puts its name into the words."
    )
    background = gr.Radio(
        list(BACKGROUNDS), value=BACKGROUNDS[0], label="Background", info="What becomes of all the rest."
    )
    background_words = gr.Textbox(label="Background words", placeholder="wall, floor, sky", visible=False)
    threshold = gr.Slider(
        0, 1, value=0.3, step=0.01, label="Least confidence", info="Less sure pixels are background.", visible=False
    )
    method = gr.Dropdown(list(METHODS), value=METHODS[0], label="Method", info="Compare shows all of them.")
    preset = gr.Radio(
        list(PRESETS), value=PRESETS[0], label="Preset", info="auto takes the whole picture, paper-* its centre."
    )
    short_side = gr.Dropdown(
        [AUTO, *map(str, SHORT_SIDES)],
        value=AUTO,
        label="Short side in pixels",
        info="What the model is given: larger shows finer parts and takes longer. Only with the preset auto.",
    )
    templates = gr.Radio(
        [AUTO, *TEMPLATES], value=AUTO, label="Sentences around each word", info="auto takes the preset's."
    )
    image_prior = gr.Checkbox(False, label="Image prior", info="Weigh words by how well they suit the whole picture.")
    return {
        "word_list": word_list,
        "background": background,
        "background_words": background_words,
        "threshold": threshold,
        "method": method,
        "preset": preset,
        "short_side": short_side,
        "templates": templates,
        "image_prior": image_prior,
    }
