"""Settings of a run under a sliding-window protocol: the values of its program, replaced by the user's values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cliptrase_core.errors import InputError, counted
from cliptrase_core.evaluation.profiles import LONGEST, Profile, Slide
from cliptrase_core.methods.registry import LAST_COUNTS, Method, method_by_name
from cliptrase_core.options import ProtocolOptions, SegmentOptions

SWITCHES = ("blocks", "pairs", "residual", "mlp", "smoothing", "neighbours", "resclip")
"""Attributes of a method that a report lists, because a program may run a method differently from its paper."""

WIDEST = 448
"""Largest window in pixels of any program; a larger one must fit into the picture."""

_OF_SLIDE = tuple(field.name for field in dataclasses.fields(Slide))
_RESCLIP = "resclip_"


@dataclass(frozen=True)
class Choices:
    """Windows and method of a run; equal choices and equal words give equal labels."""

    slide: Slide
    method: Method


def choose(
    profile: Profile,
    setting: str | None,
    options: SegmentOptions,
    values: ProtocolOptions,
    short_side: int | None = None,
) -> Choices:
    """Return a protocol's windows and method, with the user's values in place of the protocol's.

    Args:
        profile: profile of the protocol.
        setting: name of a benchmark; None for a custom data set.
        options: options with the method and the residual.
        values: user's values; None uses the value of the protocol.
        short_side: user's short side in pixels; None uses the value of the protocol.

    Raises:
        InputError: the protocol does not support the setting, or a value would have no effect.
    """
    given = {name: value for name, value in values.options.items() if value is not None}
    return Choices(
        _slide(profile.slide_of(setting), given, short_side),
        _method(profile.method_of(setting, options.method), given, options.residual),
    )


def _slide(slide: Slide, given: Mapping[str, Any], short_side: int | None) -> Slide:
    changes = {name: value for name, value in given.items() if name in _OF_SLIDE}
    if "window" in changes:
        changes["window"] = changes["window"] or None
    if short_side is not None and short_side > LONGEST:  # the long side would bring it down unnoticed
        expected = f"at most {LONGEST} pixels, the limit of the long side under a protocol with windows"
        raise InputError("short side", expected=expected, got=str(short_side), remedy="Give a smaller --short-side.")
    slide = dataclasses.replace(slide, **changes, short_side=short_side or slide.short_side)
    if slide.window is None:
        if "stride" in given:
            raise _refused("stride", "none, since the model sees the whole picture", given["stride"])
        return dataclasses.replace(slide, stride=Slide.stride)  # unused: one value, so that equal runs compare equal
    if slide.stride > slide.window and "stride" not in given:
        expected, remedy = f"at least the stride's {slide.stride} pixels, to leave no gaps", "Give --stride too."
        raise InputError("window", expected=expected, got=str(slide.window), remedy=remedy)
    if slide.stride > slide.window:
        most = counted(slide.window, "pixel")
        raise _refused("stride", f"at most the window's {most}, to leave no gaps", slide.stride)
    widest = max(slide.short_side, WIDEST)
    if slide.window > widest:  # the time grows with the fourth power of the side, for pixels that are none
        expected = f"at most {widest} pixels with a short side of {slide.short_side}, since the rest would be filled up"
        remedy = "Give a smaller --window or a larger --short-side, or --window 0 for the whole picture."
        raise InputError("window", expected=expected, got=str(slide.window), remedy=remedy)
    return slide


def _method(method: Method, given: Mapping[str, Any], residual: str | None) -> Method:
    own = method_by_name(method.name)
    changes = {name: given[name] for name in ("mlp", "blocks") if name in given}
    changes["residual"] = residual or method.residual
    if own.blocks <= 1 and changes.get("blocks", own.blocks) != own.blocks:
        raise _refused("blocks", f"none, since {method.name} changes the last block alone", changes["blocks"])
    if changes["residual"] == "none" and changes.get("blocks", 1) > 1:
        raise _refused("blocks", LAST_COUNTS, changes["blocks"])
    numbers = {name.removeprefix(_RESCLIP): value for name, value in given.items() if name.startswith(_RESCLIP)}
    if numbers:
        if method.resclip is None:
            name = next(iter(numbers))
            raise _refused(f"{_RESCLIP}{name}", f"none with method {method.name}", numbers[name])
        changes["resclip"] = dataclasses.replace(method.resclip, **numbers)
    return dataclasses.replace(method, **changes)


def expect_background(slide: Slide, values: ProtocolOptions, background: bool) -> None:
    """Raise InputError for background options on data without a background, or a background that no pixel can get.

    Args:
        slide: sliding-window settings of the run.
        values: user's values.
        background: True if the data have a background.
    """
    requested = {"threshold": values.threshold, "least_area": values.least_area}
    unheeded = {name: str(value) for name, value in requested.items() if value}
    unheeded |= {"background_words": "no"} if values.background_words is False else {}
    if unheeded and not background:
        name = next(iter(unheeded))
        raise _refused(name, "none, since these data have no background", unheeded[name])
    if not slide.background_words and not slide.threshold:
        expected = "a threshold above 0 with --no-background-words, or no pixel would be background"
        raise InputError("threshold", expected=expected, got="0", remedy="Give --threshold.")


def expect_label(values: ProtocolOptions, labels: int) -> None:
    """Raise InputError for a label of unsure pixels that no class has: it would be a separate one, as -1 is.

    Args:
        values: user's values.
        labels: number of classes of the run, and one for the background if there is one.
    """
    if values.resclip_unsure is not None and values.resclip_unsure >= labels:
        expected = f"a label from 0 to {labels - 1}, or -1 for a separate one"
        raise _refused("resclip_unsure", expected, values.resclip_unsure)


def differences(profile: Profile, setting: str | None, chosen: Choices) -> Iterator[str]:
    """Yield the differences between a run and its protocol as text: "method clip", "window 448"."""
    method, usual = chosen.method, profile.method_of(setting, chosen.method.name)
    if method.name != profile.method:
        yield f"method {method.name}"
    for name in SWITCHES:
        old, new = getattr(usual, name), getattr(method, name)
        if old != new:
            yield from _each(name, old, new)
    before = profile.slide_of(setting)
    for name in _OF_SLIDE:
        if (new := getattr(chosen.slide, name)) != getattr(before, name) and not _unused(name, chosen.slide):
            yield worded(name, new)


def _unused(name: str, slide: Slide) -> bool:
    return name == "stride" and slide.window is None


def _each(name: str, old: Any, new: Any) -> Iterator[str]:
    """Yield the text of one changed switch, or of each changed ResCLIP number."""
    if name != "resclip":
        yield worded(name, new)
        return
    for field in dataclasses.fields(new):
        if (value := getattr(new, field.name)) != getattr(old, field.name):
            yield worded(f"{_RESCLIP}{field.name}", value)


def worded(name: str, value: Any) -> str:
    """Return a value as part of a column: "window 448", "no vote"."""
    plain = name.replace("_", " ")
    if isinstance(value, bool):
        return plain if value else f"no {plain}"
    if name == "window" and value is None:
        return "whole picture"
    return f"{plain} {value:g}" if isinstance(value, float) else f"{plain} {value}"


def _refused(name: str, expected: str, got: Any) -> InputError:
    flag = f"--{name.replace('_', '-')}"
    if name == "background_words":
        flag = f"--no-{name.replace('_', '-')}"
    return InputError(name.replace("_", " "), expected=expected, got=str(got), remedy=f"Leave out {flag}.")
