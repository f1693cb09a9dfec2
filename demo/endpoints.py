"""Public calls for gradio_client and curl; `docs/api.md` shows them. Names, types and defaults are stable."""

from __future__ import annotations

import dataclasses
from typing import Any

import gradio as gr

from demo.errors import UserError
from demo.handlers.common import number, one_of, plainly, text, whole
from demo.models import offered
from demo.presenters.attention import describe_look
from demo.presenters.compare import describe_comparison
from demo.presenters.model import describe_models
from demo.presenters.segment import describe
from demo.service import Asked, Service
from demo.service.compare import VARIANTS, Comparison, cuts, variants
from demo.service.differences import difference
from demo.settings import DENOISE, DIRECTIONS, METHODS, OUTGOING, PRESETS, SHORT_SIDES, TEMPLATES
from demo.tabs.common import ONE_AT_A_TIME

WORDS_EXAMPLE = "cat, kitten; dog | background: wall, floor"


class Endpoints:
    """One method for each call; the first line of its docstring is what clients are told."""

    def __init__(self, service: Service) -> None:
        """Answer from one service."""
        self._service = service

    @plainly
    def segment(
        self,
        image: str | None,
        vocabulary: Any,
        method: Any = "cliptrase",
        preset: Any = "auto",
        denoise: Any = "cls",
        eps: Any = None,
        min_samples: Any = None,
        short_side: Any = None,
        templates: Any = None,
        threshold: Any = 0.0,
        image_prior: Any = False,
        vote: Any = None,
        model: Any = None,
        include_masks: Any = True,
    ) -> Any:
        """Divide a picture among words: classes with area, mean confidence and mask, and how it was computed.

        Args:
            image: an uploaded picture.
            vocabulary: as `parse_vocabulary` reads it.
            method: one of `METHODS`.
            preset: one of `PRESETS`.
            denoise: one of `DENOISE`.
            eps: DBSCAN's radius; None takes the preset's.
            min_samples: DBSCAN's core size; None takes the preset's.
            short_side: pixels that the model sees along the short side; None takes the preset's.
            templates: one of `TEMPLATES`; None takes the preset's.
            threshold: pixels less sure than this, 0 to 1, become background.
            image_prior: weigh words by how well they suit the whole picture.
            vote: whether regions vote; None leaves it to the method.
            model: which loaded model; None takes the one that the page started with.
            include_masks: whether each class carries its mask as COCO run lengths.

        Raises:
            gr.Error: an argument is not what it can be; the message says which and what is expected.
        """
        asked = _asked(vocabulary, preset, eps, min_samples, short_side, templates, threshold, image_prior, model)
        asked = dataclasses.replace(
            asked,
            method=one_of("method", method, METHODS),
            denoise=one_of("denoise", denoise, DENOISE),
            vote=None if vote is None else _yes("vote", vote),
        )
        masks = _yes("include_masks", include_masks)
        return describe(self._service.segment(image, asked), self._service.status(), masks=masks)

    @plainly
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
    ) -> Any:
        """What one patch of a picture looks at, before and after recovery, in maps, numbers and one sentence.

        Args:
            image: an uploaded picture.
            row: whole number, of the patch, from 0 to h - 1.
            column: whole number, of the patch, from 0 to w - 1.
            layer: whole number, from 1 to the model's layers; None takes the last but one.
            preset: one of `PRESETS`.
            model: which loaded model; None takes the one that the page started with.
            head: whole number, from 1 to the model's heads; None takes the mean of all.
            direction: one of `DIRECTIONS`: what the patch looks at, or who looks at it.

        Raises:
            gr.Error: an argument is not what it can be; the message says which and what is expected.
        """
        patch = whole("row", row), whole("column", column)
        chosen = None if layer is None else whole("layer", layer)
        model = None if model is None else text("model", model)
        seen = self._service.open(image, one_of("preset", preset, PRESETS), model)
        one_head = None if head is None else whole("head", head)
        direction = one_of("direction", direction, DIRECTIONS)
        look = self._service.look(seen, image, *patch, chosen, model=model, head=one_head, direction=direction)
        return describe_look(look)

    @plainly
    def compare(
        self,
        image: str | None,
        vocabulary: Any,
        methods: Any = "",
        preset: Any = "auto",
        other_vocabulary: Any = "",
        eps: Any = None,
        min_samples: Any = None,
        short_side: Any = None,
        templates: Any = None,
        threshold: Any = 0.0,
        image_prior: Any = False,
        model: Any = None,
    ) -> Any:
        """Divide a picture in several ways and say what differs from the first: areas, changed share, timings.

        Args:
            image: an uploaded picture.
            vocabulary: as `parse_vocabulary` reads it.
            methods: names out of `VARIANTS`, separated by commas; empty takes all.
            preset: one of `PRESETS`.
            other_vocabulary: further words for the same picture, compared as one more; may be empty.
            eps: DBSCAN's radius; None takes the preset's.
            min_samples: DBSCAN's core size; None takes the preset's.
            short_side: pixels that the model sees along the short side; None takes the preset's.
            templates: one of `TEMPLATES`; None takes the preset's.
            threshold: pixels less sure than this, 0 to 1, become background.
            image_prior: weigh words by how well they suit the whole picture.
            model: which loaded model; None takes the one that the page started with.

        Raises:
            gr.Error: an argument is not what it can be; the message says which and what is expected.
        """
        asked = _asked(vocabulary, preset, eps, min_samples, short_side, templates, threshold, image_prior, model)
        names = [name.strip() for name in text("methods", methods).split(",") if name.strip()]
        others = text("other_vocabulary", other_vocabulary)
        found = variants(asked, tuple(dict.fromkeys(names)) or VARIANTS, others)
        run = self._service.segment(image, found[0].asked).run
        pairs = list(cuts(self._service, image, Comparison(run, found)))
        differences = [difference(pairs[0][1], cut) for _, cut in pairs]
        return describe_comparison(pairs, differences, self._service.status())

    @plainly
    def models(self) -> Any:
        """What runs now and on what, loaded and offered models, and the names that the other calls take."""
        status, holder = self._service.status(), self._service.holder
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
            **describe_models(holder.loaded(), offered(look=status.ready)),
        }


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
        asked = [
            *(image, words, _choice("method", METHODS, METHODS[0], "how patches are compared with words"), preset),
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
        found = _result("classes (name, colour, area, confidence, COCO rle), size, grid, settings, timings, notes")
        looked = _result("attention, recovered and affinity as rows, numbers before and after, summary, global_patches")
        compared = _result("compared: each with classes, changed share against the first, class_changes, timings")
        running = _result("what runs, and the names that the other calls take")
        call = gr.Button()
    call.click(endpoints.segment, asked, found, api_name="segment", **ONE_AT_A_TIME)
    call.click(endpoints.inspect_patch, patch, looked, api_name="inspect_patch", **ONE_AT_A_TIME)
    call.click(endpoints.compare, several, compared, api_name="compare", **ONE_AT_A_TIME)
    call.click(endpoints.models, None, running, api_name="models", queue=False)


def _asked(
    vocabulary: Any,
    preset: Any,
    eps: Any,
    min_samples: Any,
    short_side: Any,
    templates: Any,
    threshold: Any,
    image_prior: Any,
    model: Any,
) -> Asked:
    """What the arguments that several calls take ask for; UserError if one holds what it cannot hold."""
    return Asked(
        words=text("vocabulary", vocabulary),
        preset=one_of("preset", preset, PRESETS),
        eps=None if eps is None else number("eps", eps),
        min_samples=None if min_samples is None else whole("min_samples", min_samples),
        short_side=None if short_side is None else whole("short_side", short_side, SHORT_SIDES[0], SHORT_SIDES[-1]),
        templates=None if templates is None else one_of("templates", templates, TEMPLATES),
        threshold=number("threshold", threshold),
        image_prior=_yes("image_prior", image_prior),
        model=None if model is None else text("model", model),
    )


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


def _yes(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{what}: expected true or false, got something else.")
    return value
