"""From what was asked for to what runs: words, pictures, protocol, and the header that names them all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from cliptrase_core.errors import InputError, expect_one_of, explain
from cliptrase_core.evaluation.batches import Job
from cliptrase_core.evaluation.figures import Rule
from cliptrase_core.evaluation.finding import find_layout
from cliptrase_core.evaluation.folder import FolderSet
from cliptrase_core.evaluation.layouts import find_pairs
from cliptrase_core.evaluation.predictors import Method, Predictor, PresetPredictor
from cliptrase_core.evaluation.settings import SCENES, Setting, setting_by_name, setting_words
from cliptrase_core.evaluation.sliding import SlidePredictor
from cliptrase_core.evaluation.sources import Folders, Scenes, Source, read_stored, read_turned
from cliptrase_core.imaging import read_image
from cliptrase_core.methods import method_by_name
from cliptrase_core.pipeline import Segmenter
from cliptrase_core.presets import PRESETS, preset_by_name
from cliptrase_core.version import VERSION
from cliptrase_core.vocabulary import Vocabulary, parse_vocabulary

PROTOCOLS = ("paper", "mmseg-slide", "whole")
SCENE_COUNT = 60
_SCENE_SIDE = 224


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        data: a setting's name, or a folder of one's own.
        root: folder that holds the data sets; None for drawn scenes and one's own folder.
        protocol: one of `PROTOCOLS`; None takes what suits the data.
        preset: None takes what suits the protocol.
        short_side: pixels that the model sees, instead of the preset's or the setting's.
        method: how words are told apart; `image_prior` None takes the published script's where quirks are asked for.
        image_prior: see above.
        vocabulary: words instead of the setting's, as many classes.
        limit: only the first so many pictures.
        batch: pictures that share a forward pass.
        readers: threads that read ahead.
        quirks: reproduce the published script's.
    """

    data: str | FolderSet
    root: Path | None = None
    protocol: str | None = None
    preset: str | None = None
    short_side: int | None = None
    method: Method = field(default_factory=Method)
    image_prior: bool | None = None
    vocabulary: str | None = None
    limit: int | None = None
    batch: int = 8
    readers: int = 2
    quirks: bool = False

    def __post_init__(self) -> None:
        """Check what does not depend on the data."""
        for name, value in (("limit", self.limit), ("batch", self.batch), ("readers", self.readers)):
            if value is not None and value < 1:
                raise InputError(explain(name, expected="at least 1", got=str(value), remedy="Give a larger number."))


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


def make_plan(request: Request, segmenter: Segmenter) -> Plan:
    """Find the data and put everything together.

    Raises:
        InputError: missing folders, or settings that do not go together.
    """
    protocol = chosen_protocol(request)
    preset = _preset(request.preset, protocol)
    method = replace(request.method, image_prior=_prior(request, protocol))
    method_by_name(method.name)
    source, title, layout, words = _source(request, protocol)
    side = request.short_side or (_SCENE_SIDE if request.data == SCENES else None)
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
        predictor = PresetPredictor(segmenter, preset, method, side)
        rule = "published" if request.quirks else "paper"
        column = preset if protocol == "paper" else f"{protocol}, {preset}"
    column += f", short side {request.short_side}" if request.short_side else ""
    info = segmenter.info
    header = {
        "title": title,
        "setting": request.data if isinstance(request.data, str) else request.data.name,
        "protocol": protocol,
        "column": column + (" with reference quirks" if request.quirks else ""),
        "layout": layout,
        "pictures": len(source.keys),
        "keys_sha256": _sha256(list(source.keys)),
        "numbers": source.reading,
        "words": words.text if words and len(words.text) < 200 else None,
        "words_sha256": _sha256([list(words.prompts), list(words.prompt_labels)]) if words else None,
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


def chosen_protocol(request: Request) -> str:
    """The protocol asked for, or the one that suits the data.

    Raises:
        InputError: unknown, or one that does not suit the data.
    """
    own = not isinstance(request.data, str)
    scenes = request.data == SCENES
    protocol = request.protocol or ("whole" if own or scenes else "paper")
    fitting = PROTOCOLS if own else ("whole",) if scenes else ("paper", "mmseg-slide")
    expect_one_of("protocol", protocol, fitting)
    if request.quirks and (own or scenes or protocol != "paper" or request.data == "cityscapes"):
        raise InputError(
            explain(
                "reference quirks",
                expected="protocol paper on one of the nine published settings",
                got=f"protocol {protocol}",
                remedy="Leave out --reference-quirks.",
            )
        )
    return protocol


def _source(request: Request, protocol: str) -> tuple[Source, str, str, Vocabulary | None]:
    """Pictures, title, layout, and the words if all pictures share them."""
    if request.data == SCENES:
        count = request.limit or SCENE_COUNT
        return Scenes(count), "Drawn scenes", "composed, seed fixed", None
    if isinstance(request.data, FolderSet):
        layout, numbers = request.data.layout, request.data.numbers
        root, title, words = Path(), request.data.name, request.data.words
    else:
        setting = _setting(request)
        root, title, words = _root(request), setting.title, setting_words(setting.name, protocol)
        layout, numbers = find_layout(setting, root, protocol, request.quirks)
        if request.vocabulary is not None:
            words = _other_words(request.vocabulary, words)
    pairs = find_pairs(layout, root)[: request.limit]
    read = {"paper": read_stored, "mmseg-slide": read_turned}.get(protocol, read_image)
    return Folders(pairs, numbers, words, read), title, layout.title, words


def _setting(request: Request) -> Setting:
    return setting_by_name(str(request.data))


def _root(request: Request) -> Path:
    if request.root is None or not request.root.is_dir():
        raise InputError(
            explain(
                "data",
                expected="the folder that holds the data sets",
                got="nothing" if request.root is None else str(request.root),
                remedy="Give --data ROOT.",
            )
        )
    return request.root


def _other_words(text: str, own: Vocabulary) -> Vocabulary:
    words = parse_vocabulary(text)
    if len(words.classes) != len(own.classes) or bool(words.background) != bool(own.background):
        wanted = f"{len(own.classes)} classes {'and' if own.background else 'without'} background words"
        got = f"{len(words.classes)} classes {'and' if words.background else 'without'} background words"
        raise InputError(
            explain("vocabulary", expected=wanted, got=got, remedy="Name the setting's classes in their order.")
        )
    return words


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


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
