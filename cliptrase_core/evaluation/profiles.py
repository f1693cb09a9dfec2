"""Profiles: how each paper's own program scores a picture, as data. One row a program; the docs print them as a table.

Facts are read from each repository's configurations (November 2026). All of them take the whole picture, its short side
brought to a number of pixels and its long one to at most 2048; cut windows, average the cosines of those that overlap,
bring them to the picture's own size, multiply by the temperature and take the softmax over all words; a class's chance
is that of its best word; where the best class is less likely than a threshold the background stands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cliptrase_core.errors import expect_one_of
from cliptrase_core.methods.registry import Method, ResclipSettings, method_by_name
from cliptrase_core.presets import PositionResize


@dataclass(frozen=True)
class Slide:
    """The sliding window of one setting.

    Attributes:
        short_side: pixels that the picture's short side is brought to.
        temperature: what cosines are multiplied by before the softmax.
        threshold: pixels whose best class is less likely become background.
        least_area: classes with a smaller share of all foreground pixels lose them.
        window: side of a window in pixels; None gives the model the whole picture.
        stride: pixels from one window to the next.
        positions: how position embeddings reach another grid than the trained one.
        pamr: scores are smoothed along colours, ten steps with neighbours at 8 and 16 pixels (PAMR).
        background_words: the background's words compete; else it has only what the threshold leaves.
    """

    short_side: int = 336
    temperature: float = 40.0
    threshold: float = 0.0
    least_area: float = 0.0
    window: int | None = 224
    stride: int = 112
    positions: PositionResize = "size"
    pamr: bool = False
    background_words: bool = True


Changes = Mapping[str, Mapping[str, Any]]
"""Setting to fields that differ there."""

_SETTINGS = ("coco171", "voc20", "pc59", "ade150", "coco80", "voc21", "pc60", "cityscapes")


@dataclass(frozen=True)
class Profile:
    """One program.

    Attributes:
        name: of the protocol.
        source: repository that the values come from.
        method: that it runs.
        words: whose words, see `word_lists`.
        slide: its windows where `sets` says nothing else.
        sets: what settings change in `slide`.
        switches: what differs from the method as its paper has it.
        resclip: numbers of ResCLIP that it has for each setting.
        settings: that it knows.
        note: what a person who compares figures should know; may be empty.
    """

    name: str
    source: str
    method: str
    words: str
    slide: Slide = Slide()
    sets: Changes = field(default_factory=dict)
    switches: Mapping[str, Any] = field(default_factory=dict)
    resclip: Mapping[str, ResclipSettings] = field(default_factory=dict)
    settings: tuple[str, ...] = _SETTINGS
    note: str = ""

    def slide_of(self, setting: str | None) -> Slide:
        """Windows of a setting; None for pictures of one's own.

        Raises:
            InputError: the program has no values for it.
        """
        if setting is None:
            return self.slide
        expect_one_of(f"setting of protocol {self.name}", setting, self.settings)
        return dataclasses.replace(self.slide, **self.sets.get(setting, {}))

    def method_of(self, setting: str | None, method: str) -> Method:
        """The method as it runs: with the program's switches where it is the program's own.

        Raises:
            InputError: unknown method.
        """
        chosen = method_by_name(method)
        if method != self.method:
            return chosen
        numbers = {"resclip": self.resclip[setting]} if setting is not None and setting in self.resclip else {}
        changes = {**self.switches, **numbers}
        return dataclasses.replace(chosen, **changes) if changes else chosen


_SCLIP_SETS: Changes = {
    "coco171": {"short_side": 448},
    "cityscapes": {"short_side": 560},
    "voc21": {"temperature": 65.0, "threshold": 0.1, "least_area": 0.1},
    "pc60": {"temperature": 50.0, "threshold": 0.1},
    "coco80": {"temperature": 50.0, "threshold": 0.1},
}
_NACLIP_SETS: Changes = {
    "cityscapes": {"short_side": 560},
    "voc20": {"window": None},
    "voc21": {"window": None, "threshold": 0.1},
    "pc60": {"threshold": 0.1},
    "coco80": {"threshold": 0.1},
}
_CLEARCLIP = Slide(448, temperature=50.0, window=448, stride=224, positions="published")
_CLEARCLIP_SETS: Changes = {
    "cityscapes": {"window": 224},
    "voc21": {"threshold": 0.5},
    "coco80": {"threshold": 0.4},
    "pc60": {"threshold": 0.15},
}
_BARE = {"residual": "none", "mlp": False}
_AS_CLEARCLIP = "As ClearCLIP's program runs it (ignore_residual): neither residual nor MLP"

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile(
                "mmseg-slide",
                "wangf3014/SCLIP",
                "cliptrase",
                "sclip",
                sets={**_SCLIP_SETS, "pc459": {"short_side": 448}, "ade847": {"short_side": 448}},
                settings=(*_SETTINGS, "pc459", "ade847"),
                note="SCLIP's windows for any method; pc459 and ade847 as mc-lan/ProxyCLIP, with the published words",
            ),
            Profile("sclip", "wangf3014/SCLIP", "sclip", "sclip", Slide(positions="published"), _SCLIP_SETS),
            Profile(
                "naclip", "sinahmr/NACLIP", "naclip", "sclip", Slide(positions="published", pamr=True), _NACLIP_SETS
            ),
            Profile(
                "resclip",
                "yvhangyang/ResCLIP",
                "resclip",
                "sclip",
                Slide(positions="published"),
                _NACLIP_SETS,
                resclip={  # the last number is the label that stands first in its files
                    "ade150": ResclipSettings(0.25, 2.0, 0.3, 2.1, 0.7, 0),
                    "cityscapes": ResclipSettings(0.10, 2.0, 0.2, 2.1, 0.6, 0),
                    "coco80": ResclipSettings(0.11, 2.0, 0.4, 1.8, 0.7, 80),
                    "coco171": ResclipSettings(0.11, 2.0, 0.4, 1.8, 0.7, 0),
                    "pc59": ResclipSettings(0.25, 2.0, 0.4, 1.8, 0.7, 0),
                    "pc60": ResclipSettings(0.30, 2.0, 0.3, 1.8, 0.7, 59),
                    "voc20": ResclipSettings(0.10, 2.0, 0.6, 2.1, 0.6, 0),
                    "voc21": ResclipSettings(0.50, 2.0, 0.3, 2.2, 0.7, 20),
                },
            ),
            Profile("clearclip", "mc-lan/ClearCLIP", "clearclip", "clearclip", _CLEARCLIP, _CLEARCLIP_SETS),
            Profile(
                "gem",
                "mc-lan/ClearCLIP",
                "gem",
                "clearclip",
                dataclasses.replace(_CLEARCLIP, positions="size"),
                _CLEARCLIP_SETS,
                # Without residuals nothing of the blocks before reaches the last one's result.
                switches={**_BARE, "blocks": 1},
                note=f"{_AS_CLEARCLIP}, so that only the last block counts",
            ),
            Profile(
                "maskclip",
                "mc-lan/ClearCLIP",
                "maskclip",
                "clearclip",
                _CLEARCLIP,
                _CLEARCLIP_SETS,
                switches=_BARE,
                note=_AS_CLEARCLIP,
            ),
        )
    }
)
"""By name of the protocol; `mmseg-slide` is the one that is nobody's own."""


def table() -> str:
    """The profiles as a table in Markdown: docs/evaluation.md holds it, and a test compares."""
    titles = (
        "protocol",
        "from",
        "method",
        "words",
        "short side",
        "window / stride",
        "temperature",
        "threshold",
        "besides",
    )
    rows = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    rows += [f"| {' | '.join(_cells(profile))} |" for profile in PROFILES.values()]
    return "\n".join(rows)


def _cells(profile: Profile) -> tuple[str, ...]:
    slides = {None: profile.slide} | {name: profile.slide_of(name) for name in profile.settings}

    def several(show: Any) -> str:
        """The usual value, then those of settings that differ."""
        usual = show(profile.slide)
        parts: dict[str, list[str]] = {}
        for name, slide in slides.items():
            if name is not None and show(slide) != usual:
                parts.setdefault(show(slide), []).append(name)
        return "; ".join([usual, *(f"{value} {', '.join(names)}" for value, names in parts.items())])

    besides = [several(lambda slide: "smallest share 0.1" if slide.least_area else "").removeprefix("; ")]
    besides += ["PAMR" if profile.slide.pamr else "", "positions as published" * (profile.slide.positions != "size")]
    besides += ["its numbers for each setting" if profile.resclip else "", profile.note]
    return (
        f"`{profile.name}`",
        profile.source,
        f"`{profile.method}`",
        f"`{profile.words}`",
        several(lambda slide: str(slide.short_side)),
        several(lambda slide: f"{slide.window} / {slide.stride}" if slide.window else "whole picture"),
        several(lambda slide: f"{slide.temperature:g}"),
        several(lambda slide: f"{slide.threshold:g}" if slide.threshold else "none"),
        "; ".join(part for part in besides if part),
    )
