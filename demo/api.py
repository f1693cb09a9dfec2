"""Public calls for gradio_client and curl; `docs/api.md` shows them. Names, types and defaults are stable."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from cliptrase_core.names import EDGES, MODES, PROMPTS, SAM_NANO
from cliptrase_core.options import LayoutOptions, Option, SegmentOptions, options_of
from demo.answers import (
    describe,
    describe_compared,
    describe_comparison,
    describe_models,
    describe_patch_attention,
    describe_refinement,
    describe_refiners,
)
from demo.errors import UserError, as_user_errors
from demo.handling import errors_as_messages, named, one_of, text, whole
from demo.model_facts import offered
from demo.service import Refinement, Run, SegmentRequest, Service
from demo.service.compare import VARIANTS, Comparison, difference, in_full, variant_views, variants
from demo.service.refine import MEGABYTES, expect_available, is_available
from demo.settings import DENOISE, DIRECTIONS, METHODS, OUTGOING, PRESETS, SHORT_SIDES, TEMPLATES
from demo.tabs.common import ONE_AT_A_TIME

REFINERS = tuple(MEGABYTES)


class Endpoints:
    """One method for each call; the first line of its docstring is the description that clients get."""

    def __init__(self, service: Service) -> None:
        """Answer from one service."""
        self._service = service

    @errors_as_messages
    def segment(
        self,
        image: str | None,
        vocabulary: Any,
        *,
        model: Any = None,
        include_masks: Any = True,
        **options: Any,
    ) -> Any:
        """Divide a picture among words: classes with area, mean confidence and mask, and how it was computed.

        Args:
            image: an uploaded picture.
            vocabulary: as `parse_vocabulary` reads it.
            model: key of a loaded model; None takes the one that the page started with.
            include_masks: True adds the mask of each class as COCO run lengths.
            options: fields of `SegmentOptions` and `LayoutOptions`.

        Raises:
            gr.Error: an argument is invalid; the message names it, the expected value and a remedy.
        """
        request = _request(vocabulary, model, options)
        masks = _yes("include_masks", include_masks)
        return describe(self._service.segment(image, request, full=True), masks=masks)

    @errors_as_messages
    def refine(
        self,
        image: str | None,
        vocabulary: Any,
        *,
        refiner: Any = SAM_NANO,
        mode: Any = PROMPTS,
        keep: Any = None,
        model: Any = None,
        include_masks: Any = True,
        **options: Any,
    ) -> Any:
        """Divide a picture among words and refine the boundaries: classes as /segment gives them, and what changed.

        Args:
            image: an uploaded picture.
            vocabulary: as `parse_vocabulary` reads it.
            refiner: one of `REFINERS` with weights on this computer; a call downloads nothing.
            mode: one of `MODES`; edges has none.
            keep: numbers, from 0, of the components whose masks are used; None chooses by quality.
            model: as in `segment`.
            include_masks: as in `segment`.
            options: as in `segment`.

        Raises:
            gr.Error: an argument is invalid; the message names it, the expected value and a remedy.
        """
        request = _request(vocabulary, model, options)
        name, way = one_of("refiner", refiner, REFINERS), one_of("mode", mode, MODES)
        if name == EDGES and way != PROMPTS:
            expected = f"nothing, since {name} has none"
            raise UserError(f"mode: expected {expected}, got {named(mode)}. Leave it out, or name a SAM.")
        chosen, masks = _numbers("keep", keep), _yes("include_masks", include_masks)
        expect_available(name)
        coarse = self._service.segment(image, request)
        better = self._service.refine(Refinement(coarse.run, name, way, chosen), image, full=True)
        return {**describe_refinement(better, masks=masks), "encoding_cached": coarse.encoding_cached}

    @errors_as_messages
    def inspect_patch(
        self,
        image: str | None,
        row: Any,
        column: Any,
        layer: Any = None,
        preset: Any = "auto",
        model: Any = None,
        head: Any = None,
        direction: Any = OUTGOING,
        short_side: Any = None,
    ) -> Any:
        """Attention of one patch before and after recovery: maps, numbers and one sentence.

        Args:
            image: an uploaded picture.
            row: row of the patch, a whole number from 0 to h - 1.
            column: column of the patch, a whole number from 0 to w - 1.
            layer: a whole number from 1 to the number of layers; None takes the last but one.
            preset: one of `PRESETS`.
            model: key of a loaded model; None takes the one that the page started with.
            head: a whole number from 1 to the number of heads; None takes the mean of all.
            direction: one of `DIRECTIONS`: attention from the patch, or towards it.
            short_side: as in `segment`: the grid of patches depends on it.

        Raises:
            gr.Error: an argument is invalid; the message names it, the expected value and a remedy.
        """
        patch = whole("row", row), whole("column", column)
        chosen = None if layer is None else whole("layer", layer)
        model = None if model is None else text("model", model)
        key = self._service.open(image, one_of("preset", preset, PRESETS), model, _short_side(short_side))
        one_head = None if head is None else whole("head", head)
        direction = one_of("direction", direction, DIRECTIONS)
        attention = self._service.patch_attention(key, image, *patch, chosen, head=one_head, direction=direction)
        return describe_patch_attention(attention)

    @errors_as_messages
    def compare(
        self,
        image: str | None,
        vocabulary: Any,
        *,
        methods: Any = "",
        other_vocabulary: Any = "",
        model: Any = None,
        **options: Any,
    ) -> Any:
        """Divide a picture in several ways and say what differs from the first: areas, changed share, timings.

        Args:
            image: an uploaded picture.
            vocabulary: as `parse_vocabulary` reads it.
            methods: names out of `VARIANTS`, as a list or separated by commas; empty takes all.
            other_vocabulary: further words for the same picture, compared as one more; may be empty.
            model: key of a loaded model; None takes the one that the page started with.
            options: fields of `SegmentOptions` and `LayoutOptions`, except those that the call varies.

        Raises:
            gr.Error: an argument is invalid; the message names it, the expected value and a remedy.
        """
        request = _request(vocabulary, model, options)
        given = methods if isinstance(methods, list) else text("methods", methods).split(",")
        names = [name for one in given if (name := text("method", one).strip())]
        others = _words("other_vocabulary", other_vocabulary)
        found = variants(request, tuple(dict.fromkeys(names)) or VARIANTS, others)
        key = self._service.open(
            image, found[0].request.preset, model=found[0].request.model, short_side=request.short_side
        )
        run = Run(key, request)
        full = in_full(self._service.encoded(run, image)[1].encoding.frame.labels, len(found))
        views = variant_views(self._service, image, Comparison(run, found), full=full)
        variant, first = next(views)
        compared = [describe_compared(variant, first, difference(first, first))]
        for variant, view in views:  # only the texts are stored: maps of a photograph take 150 MB
            compared.append(describe_compared(variant, view, difference(first, view)))
        return describe_comparison(first, compared)

    @errors_as_messages
    def models(self) -> Any:
        """Running model and device, loaded and offered models, and the names that the other calls accept."""
        # Answers at once: while the first model loads, the downloaded models are not known yet.
        status, registry = self._service.status(), self._service.models
        return {
            "ready": status.ready,
            "model": status.name,
            "pretrained": status.pretrained,
            "device": status.device,
            "precision": status.precision,
            "notice": status.notice,
            "methods": list(METHODS),
            "presets": list(PRESETS),
            "denoise": list(DENOISE),
            "templates": list(TEMPLATES),
            "refiners": describe_refiners({name: is_available(name) for name in REFINERS if status.ready}),
            "refine_modes": list(MODES),
            **describe_models(registry.loaded(), offered(check_disk=status.ready)),
        }


def _request(vocabulary: Any, model: Any, options: dict[str, Any]) -> SegmentRequest:
    """Build the request of a call; UserError if an argument is invalid."""
    words = _words("vocabulary", vocabulary)
    _short_side(options.get("short_side"))
    with as_user_errors():
        return SegmentRequest(words, model=None if model is None else text("model", model), **options)


def _short_side(value: Any) -> int | None:
    """Check a short side against the page's own bounds, since other visitors share the memory."""
    return None if value is None else whole("short_side", value, SHORT_SIDES[0], SHORT_SIDES[-1])


def _words(what: str, value: Any) -> str:
    """Return a vocabulary as text; a list of classes is written as JSON."""
    if not isinstance(value, list):
        return text(what, value)
    words = [word for one in value for word in (one or [None] if isinstance(one, list) else [one])]
    if not words or not all(isinstance(word, str) for word in words):
        expected = "at least one class, each a text or a list of texts"
        got = "none" if not words else json.dumps(value)[:80]
        raise UserError(f'{what}: expected {expected}, got {got}. Give a list such as ["cat, kitten", "dog"].')
    return json.dumps(value)


def _numbers(what: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise UserError(f"{what}: expected a list of whole numbers, got {named(value)}. Give a list such as [0, 2].")
    return tuple(sorted({whole(what, number, 0) for number in value}))


def _yes(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{what}: expected true or false, got {named(value)}. Give one of them.")
    return value


FIRST = (
    *("method", "preset", "denoise", "eps", "min_samples"),
    *("short_side", "templates", "threshold", "image_prior", "vote"),
)
"""Options in the order of their first publication, since clients may call by position; newer ones come last."""
VARIED = ("method", "denoise", "vote")
"""Options that /compare sets itself."""
WORDS_EXAMPLE = "cat, kitten; dog | background: wall, floor"


def publish(endpoints: Endpoints) -> None:
    """Wire the calls to hidden components, which carry the arguments' names, types and defaults."""
    picture = gr.Image(render=False).api_info()
    with gr.Group(visible=False):
        image: Any = gr.Image(label="image", type="filepath")
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
            _choice("direction", DIRECTIONS, OUTGOING, "attention from the patch, or towards it"),
            options["short_side"],
        ]
        kept = "numbers of components whose masks are used; empty: by quality"
        refined = [
            *(image, words),
            _choice("refiner", REFINERS, SAM_NANO, "refiner of boundaries; its weights must be on the server"),
            _choice("mode", MODES, PROMPTS, "prompts that SAM gets; edges has one way only"),
            _argument("keep", "array", None, kept, example=[0], items={"type": "integer"}),
            *one_way,
        ]
        found = _result("classes (name, colour, area, confidence, COCO rle), size, grid, settings, timings, notes")
        inspected = _result(
            "attention, recovered and affinity as rows, numbers before and after, summary, global_patches"
        )
        compared = _result("compared: each with classes, changed share against the first, class_changes, timings")
        better = _result(
            "as /segment, and refinement: changed, gained, lost, components with the reason why each was used or not"
        )
        running = _result("running model, and the names that the other calls accept")
        call = gr.Button()
    for method, arguments, result in (
        (endpoints.segment, [image, words, *one_way], found),
        (endpoints.inspect_patch, patch, inspected),
        (endpoints.compare, several, compared),
        (endpoints.refine, refined, better),
    ):
        call.click(_named(method, arguments), arguments, result, api_name=method.__name__, **ONE_AT_A_TIME)
    call.click(endpoints.models, None, running, api_name="models", queue=False)


def _named(method: Callable[..., Any], arguments: Sequence[gr.components.Component]) -> Callable[..., Any]:
    """Adapt a method to Gradio: called by position, with one parameter for each component, named after it."""
    names = [str(component.label) for component in arguments]

    @functools.wraps(method)
    def call(*values: Any) -> Any:
        return method(**dict(zip(names, values, strict=True)))

    own = inspect.signature(method).parameters
    required = {name for name in names if name in own and own[name].default is inspect.Parameter.empty}
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                str(component.label),
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if component.label in required else component.value,
            )
            for component in arguments
        ]
    )
    return call


def _option(one: Option) -> gr.Textbox:
    """Make an argument of an option of the core."""
    if one.name == "short_side":
        one = dataclasses.replace(one, least=SHORT_SIDES[0], most=SHORT_SIDES[-1])
    schema = one.schema()
    described = f"{one.help}; empty: {one.unset}" if one.unset else one.help
    example = one.choices[0] if one.choices else None
    return _argument(one.name, schema.pop("type"), one.default, described, example=example, **schema)


def _argument(
    name: str, kind: str, default: Any, description: str, *, example: Any = None, **schema: Any
) -> gr.Textbox:
    """Make a component that passes an argument on unchanged (the endpoints check it) and describes it.

    Args:
        name: of the argument.
        kind: its type in JSON Schema.
        default: None where the method has None, or has no default.
        description: for authors of clients.
        example: value that Gradio's own documentation shows.
        schema: further keys of JSON Schema.
    """
    component: Any = gr.Textbox(label=name)
    component.value = default  # the constructor would make text of it
    component.preprocess = lambda payload: payload
    described = {"type": kind, "additional_description": description, **schema}
    component.api_info = lambda: described
    component.example_payload = component.example_value = lambda: example
    return component


def _choice(name: str, known: tuple[str, ...], default: str | None, description: str) -> gr.Textbox:
    return _argument(name, "string", default, description, example=known[0], enum=list(known))


def _result(description: str) -> gr.JSON:
    component: Any = gr.JSON(label="result")
    component.api_info = lambda: {"type": "object", "description": description}
    return component
