"""Theme, styles and script of the page."""

from __future__ import annotations

import gradio as gr

from demo.static import static

CSS = static("app.css") + static("phone.css")
_FILES = ("app.js", "history.js", "queue.js", "lists.js", "files.js", "navigation.js")
SCRIPT = "() => {\n" + "".join(map(static, _FILES)) + "}"
"""Function that the browser calls once; its files share one scope, in this order."""


def theme() -> gr.themes.Base:
    """Return the theme Soft without coloured backgrounds of labels; its fonts are the system's, without a download."""
    return gr.themes.Soft(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_weight="600",
        block_label_text_color="*body_text_color",
        block_label_text_color_dark="*body_text_color",
        # Gradio's own greys and teals have less contrast than WCAG requires (4.5 : 1, edges of fields 3 : 1).
        block_info_text_color="*body_text_color_subdued",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_border_color="*neutral_500",
        input_border_width="1px",
        checkbox_border_color="*neutral_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        color_accent="*primary_700",
    )
