"""Public calls for gradio_client and curl; `docs/api.md` shows them. Names, types and defaults are stable."""

from __future__ import annotations

import json
from typing import Any

from demo.errors import UserError, for_people
from demo.handlers.common import one_of, plainly, text, whole
from demo.models import offered
from demo.presenters.attention import describe_look
from demo.presenters.compare import describe_compared, describe_comparison
from demo.presenters.model import describe_models
from demo.presenters.refine import describe_refinement, describe_refiners
from demo.presenters.segment import describe
from demo.service import Refinement, Run, SegmentRequest, SegmentView, Service
from demo.service.compare import VARIANTS, Comparison, cuts, variants
from demo.service.differences import difference
from demo.service.refine import MEGABYTES, NO_MODEL, expect_here, is_here
from demo.settings import DENOISE, DIRECTIONS, METHODS, OUTGOING, PRESETS, REFINE_MODES, SHORT_SIDES, TEMPLATES

REFINERS = tuple(MEGABYTES)
SAM_NANO = "sam-nano"


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
        *,
        model: Any = None,
        include_masks: Any = True,
        **options: Any,
    ) -> Any:
        """Divide a picture among words: classes with area, mean confidence and mask, and how it was computed.

        Args:
            image: an uploaded picture.
            vocabulary: as `parse_vocabulary` reads it.
            model: which loaded model; None takes the one that the page started with.
            include_masks: whether each class carries its mask as COCO run lengths.
            options: those of `SegmentOptions` and `LayoutOptions`.

        Raises:
            gr.Error: an argument is not what it can be; the message says which and what is expected.
        """
        asked = _asked(vocabulary, model, options)
        masks = _yes("include_masks", include_masks)
        return describe(self._service.segment(image, asked, full=True), masks=masks)

    @plainly
    def refine(
        self,
        image: str | None,
        vocabulary: Any,
        *,
        refiner: Any = SAM_NANO,
        mode: Any = REFINE_MODES[0],
        keep: Any = None,
        model: Any = None,
        include_masks: Any = True,
        **options: Any,
    ) -> Any:
        """Divide a picture among words and refine the boundaries: classes as /segment gives them, and what changed.

        Args:
            image: an uploaded picture.
            vocabulary: as `parse_vocabulary` reads it.
            refiner: one of `REFINERS` whose weights are here; a call fetches nothing.
            mode: one of `REFINE_MODES`; edges has none.
            keep: numbers, from 0, of the components whose masks are taken; None leaves it to their quality.
            model: as in `segment`.
            include_masks: as in `segment`.
            options: as in `segment`.

        Raises:
            gr.Error: an argument is not what it can be; the message says which and what is expected.
        """
        asked = _asked(vocabulary, model, options)
        name, way = one_of("refiner", refiner, REFINERS), one_of("mode", mode, REFINE_MODES)
        if name == NO_MODEL and way != REFINE_MODES[0]:
            raise UserError(f"mode: expected nothing, since {name} has none. Leave it out, or name a SAM.")
        chosen, masks = _numbers("keep", keep), _yes("include_masks", include_masks)
        expect_here(name)
        run = self._service.segment(image, asked).run
        better = self._service.refine(Refinement(run, name, way, chosen), image, full=True)
        return describe_refinement(better, masks=masks)

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
        look = self._service.look(seen, image, *patch, chosen, head=one_head, direction=direction)
        return describe_look(look)

    @plainly
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
            methods: names out of `VARIANTS`, separated by commas; empty takes all.
            other_vocabulary: further words for the same picture, compared as one more; may be empty.
            model: which loaded model; None takes the one that the page started with.
            options: those of `SegmentOptions` and `LayoutOptions` that are no variants.

        Raises:
            gr.Error: an argument is not what it can be; the message says which and what is expected.
        """
        asked = _asked(vocabulary, model, options)
        names = [name.strip() for name in text("methods", methods).split(",") if name.strip()]
        others = _words("other_vocabulary", other_vocabulary)
        found = variants(asked, tuple(dict.fromkeys(names)) or VARIANTS, others)
        seen = self._service.open(image, found[0].asked.preset, model=found[0].asked.model, short_side=asked.short_side)
        first: SegmentView | None = None
        compared = []
        for variant, cut in cuts(self._service, image, Comparison(Run(seen, asked), found), full=True):
            first = first or cut  # of the others only the words stay: maps of a photograph take 150 MB
            compared.append(describe_compared(variant, cut, difference(first, cut)))
        return describe_comparison(first, compared)

    @plainly
    def models(self) -> Any:
        """What runs now and on what, loaded and offered models, and the names that the other calls take."""
        # At once: while the first model is being loaded, what is on this computer is not known yet.
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
            "refiners": describe_refiners({name: is_here(name) for name in REFINERS if status.ready}),
            "refine_modes": list(REFINE_MODES),
            **describe_models(holder.loaded(), offered(look=status.ready)),
        }


def _asked(vocabulary: Any, model: Any, options: dict[str, Any]) -> SegmentRequest:
    """What a call asks for; UserError if an argument holds what it cannot hold."""
    words = _words("vocabulary", vocabulary)
    if options.get("short_side") is not None:  # the page's own bounds: others share its memory
        whole("short_side", options["short_side"], SHORT_SIDES[0], SHORT_SIDES[-1])
    with for_people():
        return SegmentRequest(words, model=None if model is None else text("model", model), **options)


def _words(what: str, value: Any) -> str:
    """A vocabulary as text; a list of classes is one too."""
    return json.dumps(value) if isinstance(value, list) else text(what, value)


def _numbers(what: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise UserError(f"{what}: expected a list of whole numbers, got something else.")
    return tuple(sorted({whole(what, number, 0) for number in value}))


def _yes(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{what}: expected true or false, got something else.")
    return value
