"""Turn a request into a run: vocabulary, pictures, protocol, and the report's header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from cliptrase_core.errors import InputError, expect_one_of, explain
from cliptrase_core.evaluation.batches import Job
from cliptrase_core.evaluation.data import Data, sha256_of
from cliptrase_core.evaluation.folder import FolderSet
from cliptrase_core.evaluation.predictors import Predictor, PresetPredictor, SlidePredictor, expect_slidable
from cliptrase_core.evaluation.report import Rule
from cliptrase_core.evaluation.request import Request, chosen_protocol
from cliptrase_core.evaluation.settings import Setting, setting_by_name
from cliptrase_core.methods.registry import method_by_name
from cliptrase_core.presets import PRESETS, preset_by_name
from cliptrase_core.segmenter import Segmenter, try_out
from cliptrase_core.version import VERSION


@dataclass(frozen=True)
class Plan:
    """What runs.

    Attributes:
        job: what is done with every picture.
        header: names everything that the figures depend on.
        rule: how counts become figures.
        batch: pictures that share a forward pass.
    """

    job: Job
    header: Mapping[str, Any]
    rule: Rule
    batch: int


def make_plan(request: Request, data: Data, segmenter: Segmenter) -> Plan:
    """Put data, protocol and model together.

    Args:
        request: what was asked for; `expect_fitting` has passed it.
        data: found for it.
        segmenter: the model.

    Raises:
        InputError: settings that do not go together.
    """
    protocol = chosen_protocol(request)
    preset = _preset(request.preset, protocol)
    method = replace(request.options, image_prior=_prior(request, protocol))
    source, words = data.source, data.words
    side = request.short_side
    predictor: Predictor
    if protocol == "mmseg-slide":
        slide = _setting(request).slide if isinstance(request.data, str) else FolderSet.slide
        slide = replace(slide, short_side=side or slide.short_side)
        predictor = SlidePredictor(segmenter, slide, method)
        rule: Rule = "mmseg"
        column = protocol
    else:
        slide = None
        preset_by_name(preset).side(side, segmenter.info.short_side)
        try_out(segmenter, words or "cat; dog", preset, side, **method.options)
        predictor = PresetPredictor(segmenter, preset, method, side)
        rule = "published" if request.quirks else "paper"
        column = preset if protocol == "paper" else f"{protocol}, {preset}"
    column += f", short side {request.short_side}" if request.short_side else ""
    info = segmenter.info
    header = {
        "title": data.title,
        "setting": request.data if isinstance(request.data, str) else request.data.name,
        "protocol": protocol,
        "column": column + (" with reference quirks" if request.quirks else ""),
        "layout": data.layout,
        "pictures": len(source.keys),
        "keys_sha256": data.keys_sha256,
        "numbers": source.reading,
        "word_list": data.word_list,
        "words": words.text if words and len(words.text) < 200 else None,
        "words_sha256": sha256_of([list(words.prompts), list(words.prompt_labels)]) if words else None,
        "model": info.name,
        "pretrained": info.pretrained,
        "weights": info.digest,
        "clustering": asdict(info.clustering),
        "precision": segmenter.precision,
        "device": segmenter.device.type,
        "versions": {"cliptrase-lab": VERSION, "torch": torch.__version__},
        "preset": None if slide else preset,
        "short_side": side,
        "slide": asdict(slide) if slide else None,
        "method": asdict(method),
        "quirks": request.quirks,
        "batch": request.batch,
    }
    return Plan(Job(source, predictor, request.quirks, request.readers), header, rule, request.batch)


def expect_fitting(request: Request) -> None:
    """Raise InputError for settings that do not go together; needs neither data nor model."""
    protocol = chosen_protocol(request)
    _preset(request.preset, protocol)
    method_by_name(request.options.method)
    if protocol == "mmseg-slide":
        expect_slidable(replace(request.options, image_prior=_prior(request, protocol)))


def _setting(request: Request) -> Setting:
    return setting_by_name(str(request.data))


def _preset(name: str | None, protocol: str) -> str:
    fitting: Sequence[str] = [preset.name for preset in PRESETS.values() if preset.crop == (protocol == "paper")]
    if protocol == "mmseg-slide":
        if name not in (None, "auto"):
            raise InputError(
                explain("preset", expected="none, since windows slide", got=str(name), remedy="Leave out --preset.")
            )
        return "auto"
    chosen = name or fitting[0]
    if chosen in PRESETS and chosen not in fitting:
        raise InputError(
            explain(
                f"preset of protocol {protocol}",
                expected=f"one of {', '.join(fitting)}",
                got=repr(chosen),
                remedy="Give another --preset or --protocol.",
            )
        )
    expect_one_of("preset", chosen, fitting)
    return chosen


def _prior(request: Request, protocol: str) -> bool:
    """Quirk B7 unless it was said otherwise."""
    if request.image_prior is not None:
        return request.image_prior
    return request.quirks and protocol == "paper" and _setting(request).prior
