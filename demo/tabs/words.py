"""Word lists: classes of data sets with check boxes, and the user's own vocabularies, stored in the browser."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo import core
from demo.handling import errors_as_messages
from demo.static import static
from demo.tabs.common import CHEAP

TITLES = {
    "voc20": "Pascal VOC",
    "coco80": "COCO",
    "ade150": "ADE20K",
    "cityscapes": "Cityscapes",
    "coco171": "COCO-Stuff",
    "pc59": "Pascal Context",
    "voc21": "Pascal VOC and background",
    "pc60": "Pascal Context and background",
    "pc459": "Pascal Context, all",
    "ade847": "ADE20K, all",
}
"""Data sets in the order of the menu; a test compares the names with the core's."""
WORDS_HTML = """
<div class="word-lists">
  <div class="line"><label><span class="lead">Words of a data set</span> <select class="list"></select></label>
    <input type="search" class="filter" placeholder="Find a class" aria-label="Find a class in the list">
    <button type="button" data-do="all">All of them</button> <button type="button" data-do="none">None</button></div>
  <div class="ticks" role="group" aria-label="Classes of the data set: tick what may be in the picture"></div>
  <div class="line"><label><span class="lead">Your own words</span> <select class="own"></select></label>
    <button type="button" data-do="use">Use</button> <button type="button" data-do="delete">Delete</button>
    <input class="own-name" maxlength="80" placeholder="Name" aria-label="Name for the words that are asked for now">
    <button type="button" data-do="save">Save these words</button></div>
  <output class="told-words"></output>
</div>"""


class WordsHandlers:
    """Event handlers, one method for each event."""

    @errors_as_messages
    def lists(self) -> list[dict[str, Any]]:
        """Return the classes of all data sets when the page opens; not earlier: the core takes seconds to import."""
        found = core.text.vocabulary.dataset_entries()
        return [{"name": name, "title": title, "classes": found[name]["classes"]} for name, title in TITLES.items()]


def draw() -> gr.HTML:
    """Create the word lists in the current Gradio layout context."""
    return gr.HTML(
        [],
        html_template=WORDS_HTML,
        css_template=static("words.css"),
        js_on_load=static("words.js"),
        apply_default_css=False,
        elem_id="word-lists",
        padding=False,
    )


def wire(part: gr.HTML, blocks: gr.Blocks, handlers: WordsHandlers) -> None:
    """Fill the lists when the page opens."""
    blocks.load(handlers.lists, None, part, **CHEAP)
