"""The public calls' arguments and results as components that nobody sees: names, types, defaults, descriptions."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo.endpoints import REFINERS, SAM_NANO, Endpoints
from demo.service.compare import VARIANTS
from demo.settings import DENOISE, DIRECTIONS, METHODS, OUTGOING, PRESETS, REFINE_MODES, SHORT_SIDES, TEMPLATES
from demo.tabs.common import ONE_AT_A_TIME

WORDS_EXAMPLE = "cat, kitten; dog | background: wall, floor"


def publish(endpoints: Endpoints) -> None:
    """Wire the calls to components that nobody sees: they carry the arguments' names, types and defaults."""
    picture = gr.Image(render=False).api_info()
    with gr.Group(visible=False):
        image = gr.Image(label="image", type="filepath")
        image.api_info = lambda: {**picture, "additional_description": "an uploaded file; links are not fetched"}
        preset = _choice("preset", PRESETS, "auto", "how the picture is laid out; paper-* takes its centre")
        model = _argument("model", "string", None, "key of a loaded model; empty: the one that the page started with")
        words = _argument("vocabulary", "string", None, "classes by ';', synonyms by ','", example=WORDS_EXAMPLE)
        eps = _argument("eps", "number", None, "DBSCAN's radius; empty: automatic")
        min_samples = _argument("min_samples", "integer", None, "DBSCAN's core size; empty: automatic")
        sides = f"pixels, {SHORT_SIDES[0]} to {SHORT_SIDES[-1]}; empty: preset's"
        short_side = _argument("short_side", "integer", None, sides)
        templates = _choice("templates", TEMPLATES, None, "sentences around each word; empty: the preset's")
        threshold = _argument("threshold", "number", 0.0, "0 to 1; pixels that are less sure become background")
        prior = _argument("image_prior", "boolean", False, "weigh words by how well they suit the whole picture")
        one_way = [
            *(_choice("method", METHODS, METHODS[0], "how patches are compared with words"), preset),
            _choice("denoise", DENOISE, DENOISE[0], "what keeps global patches from merging regions"),
            *(eps, min_samples, short_side, templates, threshold, prior),
            _argument("vote", "boolean", None, "whether regions vote; empty: the method's"),
            model,
            _argument("include_masks", "boolean", True, "each class with its mask as COCO run lengths"),
        ]
        several = [
            *(image, words),
            _argument("methods", "string", "", f"out of {', '.join(VARIANTS)}; empty: all", example="clip, cliptrase"),
            preset,
            _argument("other_vocabulary", "string", "", "further words for the same picture; empty: none"),
            *(eps, min_samples, short_side, templates, threshold, prior, model),
        ]
        patch = [
            image,
            _argument("row", "integer", None, "of the patch, from 0", example=3),
            _argument("column", "integer", None, "of the patch, from 0", example=7),
            _argument("layer", "integer", None, "from 1; empty: the last but one"),
            preset,
            model,
            _argument("head", "integer", None, "from 1; empty: the mean of all heads"),
            _choice("direction", DIRECTIONS, OUTGOING, "what the patch looks at, or who looks at it"),
        ]
        kept = "numbers of components whose masks are taken; empty: by quality"
        refined = [
            *(image, words, _choice("refiner", REFINERS, SAM_NANO, "who moves boundaries; its weights must be here")),
            _choice("mode", REFINE_MODES, REFINE_MODES[0], "how SAM is asked; edges has one way only"),
            _argument("keep", "array", None, kept, example=[0], items={"type": "integer"}),
            *one_way,
        ]
        found = _result("classes (name, colour, area, confidence, COCO rle), size, grid, settings, timings, notes")
        looked = _result("attention, recovered and affinity as rows, numbers before and after, summary, global_patches")
        compared = _result("compared: each with classes, changed share against the first, class_changes, timings")
        better = _result(
            "as /segment, and refinement: changed, gained, lost, components with why each was taken or not"
        )
        running = _result("what runs, and the names that the other calls take")
        call = gr.Button()
    call.click(endpoints.segment, [image, words, *one_way], found, api_name="segment", **ONE_AT_A_TIME)
    call.click(endpoints.inspect_patch, patch, looked, api_name="inspect_patch", **ONE_AT_A_TIME)
    call.click(endpoints.compare, several, compared, api_name="compare", **ONE_AT_A_TIME)
    call.click(endpoints.refine, refined, better, api_name="refine", **ONE_AT_A_TIME)
    call.click(endpoints.models, None, running, api_name="models", queue=False)


def _argument(
    name: str, kind: str, default: Any, description: str, *, example: Any = None, **schema: Any
) -> gr.Textbox:
    """A component that hands an argument on as it came (the endpoints check it) and says what it is.

    Args:
        name: of the argument.
        kind: its type in JSON Schema.
        default: None where the method has None, or has no default.
        description: for people who write a client.
        example: value that Gradio's own documentation shows.
        schema: further keys of JSON Schema.
    """
    component = gr.Textbox(label=name)
    component.value = default  # the constructor would make text of it
    component.preprocess = lambda payload: payload
    described = {"type": kind, "additional_description": description, **schema}
    component.api_info = lambda: described
    component.example_payload = component.example_value = lambda: example
    return component


def _choice(name: str, known: tuple[str, ...], default: str | None, description: str) -> gr.Textbox:
    return _argument(name, "string", default, description, example=known[0], enum=list(known))


def _result(description: str) -> gr.JSON:
    component = gr.JSON(label="result")
    component.api_info = lambda: {"type": "object", "description": description}
    return component
