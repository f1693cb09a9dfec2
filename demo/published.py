"""The public calls' arguments and results as components that nobody sees: names, types, defaults, descriptions."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from cliptrase_core.options import LayoutOptions, Option, SegmentOptions, options_of
from demo.endpoints import REFINERS, SAM_NANO, Endpoints
from demo.service.compare import VARIANTS
from demo.settings import DIRECTIONS, OUTGOING, REFINE_MODES, SHORT_SIDES
from demo.tabs.common import ONE_AT_A_TIME

FIRST = (
    *("method", "preset", "denoise", "eps", "min_samples"),
    *("short_side", "templates", "threshold", "image_prior", "vote"),
)
"""Options in the order in which they were first published, since clients may call by position: others come last."""
VARIED = ("method", "denoise", "vote")
"""Options that /compare varies by itself."""
WORDS_EXAMPLE = "cat, kitten; dog | background: wall, floor"


def publish(endpoints: Endpoints) -> None:
    """Wire the calls to components that nobody sees: they carry the arguments' names, types and defaults."""
    picture = gr.Image(render=False).api_info()
    with gr.Group(visible=False):
        image = gr.Image(label="image", type="filepath")
        image.api_info = lambda: {**picture, "additional_description": "an uploaded file; links are not fetched"}
        model = _argument("model", "string", None, "key of a loaded model; empty: the one that the page started with")
        words = _argument("vocabulary", "string", None, "classes by ';', synonyms by ','", example=WORDS_EXAMPLE)
        options = {one.name: _option(one) for one in (*options_of(SegmentOptions), *options_of(LayoutOptions))}
        masks = _argument("include_masks", "boolean", True, "each class with its mask as COCO run lengths")
        first = [options[name] for name in FIRST]
        later = [component for name, component in options.items() if name not in FIRST]
        one_way = [*first, model, masks, *later]
        several = [
            *(image, words),
            _argument("methods", "string", "", f"out of {', '.join(VARIANTS)}; empty: all", example="clip, cliptrase"),
            options["preset"],
            _argument("other_vocabulary", "string", "", "further words for the same picture; empty: none"),
            *(options[name] for name in FIRST if name not in {"preset", *VARIED}),
            model,
            *later,
        ]
        patch = [
            image,
            _argument("row", "integer", None, "of the patch, from 0", example=3),
            _argument("column", "integer", None, "of the patch, from 0", example=7),
            _argument("layer", "integer", None, "from 1; empty: the last but one"),
            options["preset"],
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
    for method, arguments, result in (
        (endpoints.segment, [image, words, *one_way], found),
        (endpoints.inspect_patch, patch, looked),
        (endpoints.compare, several, compared),
        (endpoints.refine, refined, better),
    ):
        call.click(_named(method, arguments), arguments, result, api_name=method.__name__, **ONE_AT_A_TIME)
    call.click(endpoints.models, None, running, api_name="models", queue=False)


def _named(method: Callable[..., Any], arguments: Sequence[gr.components.Component]) -> Callable[..., Any]:
    """The method as Gradio wants it: called by position, with a parameter for each component, of its name."""
    names = [str(component.label) for component in arguments]

    @functools.wraps(method)
    def call(*values: Any) -> Any:
        return method(**dict(zip(names, values, strict=True)))

    own = inspect.signature(method).parameters
    required = {name for name in names if name in own and own[name].default is inspect.Parameter.empty}
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                component.label,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if component.label in required else component.value,
            )
            for component in arguments
        ]
    )
    return call


def _option(one: Option) -> gr.Textbox:
    """An option of the core as an argument."""
    if one.name == "short_side":
        one = dataclasses.replace(one, least=SHORT_SIDES[0], most=SHORT_SIDES[-1])
    schema = one.schema()
    described = f"{one.help}; empty: {one.unset}" if one.unset else one.help
    example = one.choices[0] if one.choices else None
    return _argument(one.name, schema.pop("type"), one.default, described, example=example, **schema)


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
