"""Profiles: settings of each paper's own program, as data. One row for each program; the docs print them as a table.

The values are from each repository's configurations (November 2026). All programs resize the whole picture: its short
side to a number of pixels, its long side to at most 2048. They crop windows, average the cosine similarities of
overlapping windows, interpolate them to the size of the picture, multiply by the temperature and take the softmax over
all words. The probability of a class is that of its best word. A pixel becomes background if the probability of its
best class is below a threshold.
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

LONGEST = 2048
"""Maximal long side in pixels after resizing, even if the short side stays below its target."""


@dataclass(frozen=True)
class Slide:
    """Sliding window of one setting.

    Attributes:
        short_side: short side of the resized picture, in pixels.
        temperature: factor of the cosine similarities before the softmax.
        threshold: minimal probability of the best class; pixels below it become background.
        least_area: share of all foreground pixels; classes up to it are removed.
        window: side of a window in pixels; None uses the whole picture as model input.
        stride: distance from one window to the next, in pixels.
        positions: way to resize position embeddings to another grid than the trained one.
        pamr: smooth scores along colours, ten steps with neighbours at 8 and 16 pixels (PAMR).
        background_words: include the words of the background in the softmax; else only the threshold gives background.
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
"""Fields of `Slide` that differ in a setting, by name of the setting."""

_SETTINGS = ("coco171", "voc20", "pc59", "ade150", "coco80", "voc21", "pc60", "cityscapes")


@dataclass(frozen=True)
class Profile:
    """Settings of one program.

    Attributes:
        name: name of the protocol.
        source: repository that the values are from.
        method: name of its method.
        words: name of its word list, see `word_lists`.
        slide: default sliding window.
        sets: changes to `slide` for single settings.
        switches: differences from the method of the paper.
        resclip: values of ResCLIP for each setting.
        settings: names of the supported settings.
        note: information for the comparison of figures; may be empty.
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
        """Return the sliding window of a setting, or the default one for None (the user's own pictures).

        Raises:
            InputError: the program has no values for this setting.
        """
        if setting is None:
            return self.slide
        expect_one_of(f"setting of protocol {self.name}", setting, self.settings)
        return dataclasses.replace(self.slide, **self.sets.get(setting, {}))

    def method_of(self, setting: str | None, method: str) -> Method:
        """Return a method by its name, with the program's switches if it is the program's own method.

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
                resclip={  # the last number is the label of the first class in its files
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
                # Without residuals, only the last changed block has an effect on the result.
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
"""Profiles by name of the protocol; all but `mmseg-slide` belong to a paper."""
PROTOCOLS = ("paper", *PROFILES, "whole")


def table() -> str:
    """Return the profiles as a Markdown table; a test compares it with the table in docs/evaluation.md."""
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
        """Return the default value, then the values of settings that differ."""
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
