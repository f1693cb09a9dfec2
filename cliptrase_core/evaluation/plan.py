"""Create the plan of a run from a request: vocabulary, pictures, protocol, and the report's header."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cliptrase_core.errors import InputError, expect_one_of
from cliptrase_core.evaluation.batches import Job
from cliptrase_core.evaluation.choices import (
    SWITCHES,
    Choices,
    choose,
    differences,
    expect_background,
    expect_label,
    worded,
)
from cliptrase_core.evaluation.data import Data, sha256_of
from cliptrase_core.evaluation.metrics import Rule
from cliptrase_core.evaluation.predictions import FilePredictor, Saver, expect_apart, folders_of, read_facts
from cliptrase_core.evaluation.predictors import (
    SLIDE_TEMPLATES,
    Predictor,
    PresetPredictor,
    SlidePredictor,
    expect_slidable,
)
from cliptrase_core.evaluation.profiles import PROFILES, Profile
from cliptrase_core.evaluation.request import Request, chosen_protocol
from cliptrase_core.evaluation.settings import Setting, setting_by_name
from cliptrase_core.evaluation.word_lists import usual_words
from cliptrase_core.methods.registry import method_by_name, with_residual
from cliptrase_core.models.loading import ClusteringDefaults
from cliptrase_core.names import PUBLISHED
from cliptrase_core.options import Options, SegmentOptions, arguments_of, changed
from cliptrase_core.presets import PRESETS, preset_by_name
from cliptrase_core.segmenter import Segmenter, try_out
from cliptrase_core.version import VERSION

_OF_REGIONS = ("denoise", "eps", "min_samples")


@dataclass(frozen=True)
class Plan:
    """Plan of a run.

    Attributes:
        job: data set, predictor and options to process each picture.
        header: every setting that the figures depend on.
        rule: rule to compute figures from counts.
        batch: number of pictures in one forward pass.
    """

    job: Job
    header: Mapping[str, Any]
    rule: Rule
    batch: int


def make_plan(request: Request, data: Data, load: Callable[[], Segmenter]) -> Plan:
    """Combine data, protocol and model into a plan.

    Args:
        request: settings of the evaluation, already checked by `expect_fitting`.
        data: data of this request.
        load: function that loads the model; not called if predictions are given.

    Raises:
        InputError: settings that do not fit together, or predictions that would be saved among the data.
    """
    protocol = chosen_protocol(request)
    if request.save_predictions is not None:
        expect_apart(folders_of(request.save_predictions, data.source.keys), data.pairs, "save-predictions")
    rule: Rule = "mmseg" if protocol in PROFILES else "published" if request.quirks else "paper"
    if request.predictions:
        predictor, made_by = _from_files(request, data)
    else:
        chosen = _choices(request, data)  # raises before weights are downloaded
        predictor, made_by = _by_model(request, data, load(), chosen)
    header = _header(request, data) | made_by
    saver = None
    if request.save_predictions is not None:
        saver = Saver(request.save_predictions, data.source.keys, data.source.names, header)
    return Plan(Job(data.source, predictor, request.quirks, request.readers, saver), header, rule, request.batch)


def _header(request: Request, data: Data) -> dict[str, Any]:
    """Return the settings that the figures depend on, except those of the predictor."""
    source, words = data.source, data.words
    protocol = chosen_protocol(request)
    preset = _preset(request.preset, protocol)
    profile = PROFILES.get(protocol)
    column = protocol if profile else preset if protocol == "paper" else f"{protocol}, {preset}"
    column += " with reference quirks" if request.quirks else ""
    if not request.step and not request.predictions:
        changes = _differences(request, profile) if profile else _changes(request, preset, protocol)
        column = ", ".join([column, *changes])
    column += f", then {request.step.title} {request.step.after}" if request.step and request.step.before else ""
    return {
        "title": data.title,
        "setting": request.data if isinstance(request.data, str) else request.data.name,
        "protocol": protocol,
        "column": column + (", predictions from files" if request.predictions else ""),
        "layout": data.layout,
        "pictures": len(source.keys),
        "keys_sha256": data.keys_sha256,
        "numbers": source.reading,
        "word_list": data.word_list,
        "words": words.text if words and len(words.text) < 200 else None,
        "words_sha256": sha256_of([list(words.prompts), list(words.prompt_labels)]) if words else None,
        "versions": {"cliptrase-lab": VERSION, "torch": torch.__version__},
        "preset": None if profile else preset,
        "short_side": request.short_side,
        "quirks": request.quirks,
        "batch": request.batch,
    }


def _differences(request: Request, profile: Profile) -> Iterator[str]:
    """Yield a short text for each setting that differs from the protocol."""
    for difference in differences(profile, _setting_name(request), _windows(request, profile)):
        # `mmseg-slide` has no method of its own: its column is for any method, and the report names the method.
        if profile.name != "mmseg-slide" or not difference.startswith("method "):
            yield difference
    yield from _other_words(request, profile.words)
    if request.options.templates not in (None, SLIDE_TEMPLATES):
        yield f"templates {request.options.templates}"


def _changes(request: Request, preset: str, protocol: str) -> Iterator[str]:
    """Yield a short text for each value that differs from the usual one of the preset and the method."""
    usual = SegmentOptions().options | _defaults(request, preset)
    usual["image_prior"] = _usual_prior(request, protocol)
    given = request.options.options | {"image_prior": request.image_prior, "short_side": request.short_side}
    for name, value in given.items():
        # As for `mmseg-slide`, a column is for any method.
        if name != "method" and value is not None and value != usual.get(name):
            yield worded(name, value)
    yield from _other_words(request, PUBLISHED)


def _defaults(request: Request, preset: str) -> dict[str, Any]:
    """Return the values of options that the method or the preset sets; eps and min_samples only if they are numbers."""
    method, chosen = method_by_name(request.options.method), preset_by_name(preset)
    clustering = {} if chosen.clustering is None else asdict(chosen.clustering)
    return {
        "vote": method.regions_vote,
        "residual": method.residual,
        "templates": chosen.templates,
        **clustering,
    }


def _rules(clustering: ClusteringDefaults) -> dict[str, str]:
    """Return eps and min_samples of preset auto as text, since they follow the number of patches N of each picture."""
    eps, neighbours = clustering.eps_per_sqrt_n, clustering.min_samples_per_patch
    return {"eps": f"{eps:g} sqrt(N)", "min_samples": f"{neighbours:.3g} N, rounded"}


def _other_words(request: Request, usual: str) -> Iterator[str]:
    setting = _setting_name(request)
    if request.words is not None and setting and request.words != usual_words(setting, usual):
        yield f"words {request.words}"


def _setting_name(request: Request) -> str | None:
    return request.data if isinstance(request.data, str) else None


def _windows(request: Request, profile: Profile) -> Choices:
    return choose(profile, _setting_name(request), request.options, request.values, request.short_side)


def _choices(request: Request, data: Data) -> Choices | None:
    """Return windows and method of a sliding-window protocol, or None for other protocols."""
    if request.step is not None:
        return Choices(request.step.slide, request.step.method)
    profile = PROFILES.get(chosen_protocol(request))
    if profile is None:
        return None
    chosen = _windows(request, profile)
    expect_background(chosen.slide, request.values, data.words is not None and bool(data.words.background))
    if data.words is not None:  # examples have their own words each
        expect_label(request.values, len(data.words.class_names))
    return chosen


def _by_model(
    request: Request, data: Data, segmenter: Segmenter, chosen: Choices | None
) -> tuple[Predictor, dict[str, Any]]:
    """Return the predictor of the protocol with a model, and its settings that the figures depend on."""
    protocol = chosen_protocol(request)
    method = replace(request.options, image_prior=_prior(request, protocol))
    side, slide, features = request.short_side, None, with_residual(method_by_name(method.method), method.residual)
    predictor: Predictor
    if chosen is not None:
        slide, features = chosen.slide, chosen.method
        in_effect: dict[str, Any] = {"vote": False, "residual": features.residual}  # windows have no regions
        method = replace(method, templates=method.templates or SLIDE_TEMPLATES)
        predictor = SlidePredictor(segmenter, slide, method, features)
    else:
        preset = _preset(request.preset, protocol)
        in_effect = _rules(segmenter.info.clustering) | _defaults(request, preset)
        method = replace(method, templates=method.templates or in_effect["templates"])
        preset_by_name(preset).side(side, segmenter.info.short_side)
        try_out(segmenter, data.words or "cat; dog", preset, side, **method.options)
        predictor = PresetPredictor(segmenter, preset, method, side)
    info = segmenter.info
    return predictor, {
        "model": info.name,
        "pretrained": info.pretrained,
        "weights": info.digest,
        "clustering": asdict(info.clustering),
        "precision": segmenter.precision,
        "device": segmenter.device.type,
        "slide": asdict(slide) if slide else None,
        "method": {name: in_effect.get(name) if value is None else value for name, value in asdict(method).items()},
        "switches": {name: value for name, value in asdict(features).items() if name in SWITCHES},
    }


def _from_files(request: Request, data: Data) -> tuple[Predictor, dict[str, Any]]:
    """Return a predictor that reads a folder of predictions, and the known settings of these predictions."""
    folder = request.predictions or Path()
    protocol = chosen_protocol(request)
    crop = preset_by_name(_preset(request.preset, protocol)).short_side if protocol == "paper" else None
    pictures = {pair.key: pair.image.name for pair in data.pairs}
    requested = request.predicted_background
    predictor = FilePredictor(folder, data.source.keys, data.source.names, requested, crop, pictures)
    made_by = (read_facts(folder) or {}).get("setup", {})
    known = {name: made_by.get(name) for name in ("column", "model", "pretrained", "method")}
    return predictor, {"predictions": {"background": predictor.background, **known}}


def expect_fitting(request: Request) -> None:
    """Raise InputError for settings that do not fit together; needs neither data nor model."""
    protocol = chosen_protocol(request)
    _preset(request.preset, protocol)
    method_by_name(request.options.method)
    if request.predicted_background is not None and request.predictions is None:
        expected, got = "none without --predictions", request.predicted_background
        remedy = "Leave out --predicted-background, or give --predictions."
        raise InputError("predicted background", expected=expected, got=got, remedy=remedy)
    if protocol not in PROFILES:
        _expect_no_values(request, protocol)
        _expect_regions_used(request.options)
    else:
        _windows(request, PROFILES[protocol])
        expect_slidable(replace(request.options, image_prior=_prior(request, protocol)))


def _expect_no_values(request: Request, protocol: str) -> None:
    """Raise InputError for values of sliding windows if the protocol has none."""
    for flag in _flags(request.values):
        expected = "a protocol whose windows slide, such as mmseg-slide"
        raise InputError(flag, expected=expected, got=protocol, remedy=f"Leave out {flag}.")


def _expect_regions_used(options: SegmentOptions) -> None:
    """Raise InputError for values of the clustering without a vote, since only labels are scored, not regions."""
    votes = method_by_name(options.method).regions_vote if options.vote is None else options.vote
    unused = {name: value for name, value in changed(options).items() if name in _OF_REGIONS}
    if unused and not votes:
        name, value = next(iter(unused.items()))
        flag = f"--{name.replace('_', '-')}"
        expected = "no value, since regions change labels only by a vote"
        remedy = f"Leave out {flag}, or {'give --vote' if options.vote is None else '--no-vote'}."
        raise InputError(name.replace("_", " "), expected=expected, got=str(value), remedy=remedy)


def _flags(chosen: Options) -> list[str]:
    """Return the flags, without values, of options that differ from their default."""
    return [argument.partition("=")[0] for argument in arguments_of(chosen)]


def _setting(request: Request) -> Setting:
    return setting_by_name(str(request.data))


def _preset(name: str | None, protocol: str) -> str:
    fitting: Sequence[str] = [preset.name for preset in PRESETS.values() if preset.crop == (protocol == "paper")]
    if protocol in PROFILES:
        if name not in (None, "auto"):
            raise InputError(
                "preset", expected="none, since windows slide", got=str(name), remedy="Leave out --preset."
            )
        return "auto"
    chosen = name or fitting[0]
    if chosen in PRESETS and chosen not in fitting:
        raise InputError(
            f"preset of protocol {protocol}",
            expected=f"one of {', '.join(fitting)}",
            got=repr(chosen),
            remedy="Give another --preset or --protocol.",
        )
    expect_one_of("preset", chosen, fitting)
    return chosen


def _prior(request: Request, protocol: str) -> bool:
    """Return the image prior of the request; by default it follows the published script (quirk B7)."""
    return _usual_prior(request, protocol) if request.image_prior is None else request.image_prior


def _usual_prior(request: Request, protocol: str) -> bool:
    return request.quirks and protocol == "paper" and _setting(request).prior
