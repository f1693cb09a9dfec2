"""Modes of `evaluate`, each with the arguments that it accepts; every other argument that is given is refused."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from cliptrase_core.cli.arguments import add_model_arguments, expect_no_model_arguments
from cliptrase_core.cli.evaluate_arguments import WITHOUT, add_arguments
from cliptrase_core.errors import InputError
from cliptrase_core.options import ProtocolOptions, SegmentOptions, options_of

FOLDER = ("images", "masks", "first", "ignored", "background", "mask_end")
"""Arguments that describe the user's own folders."""
_DATA = ("setting", "data", "layout", "vocabulary", "limit", *FOLDER)
_WORK = ("batch", "readers", "fresh", "output")
_MODEL = ("model", "pretrained", "device", "precision")
_PROTOCOL = ("protocol", "preset", "reference_quirks")
_SEGMENT = tuple(one.name for one in options_of(SegmentOptions) if one.name not in ("method", *WITHOUT))
_VALUES = tuple(one.name for one in options_of(ProtocolOptions))


@dataclass(frozen=True)
class Mode:
    """Mode of `evaluate`, chosen by the option of its name.

    Attributes:
        expected: all that the mode accepts, as in its messages.
        accepted: names of the arguments that it accepts, besides its own option. Later checks may still refuse one, for
            its value or with a message of their own.
        remedy: end of messages.
    """

    expected: str
    accepted: tuple[str, ...] = ()
    remedy: str = "Leave out {flag}."


MODES = {
    "compare": Mode("two reports and nothing else"),
    "between": Mode(
        "only data and two protocols, which define the rest",
        # Protocols with windows refuse the quirks and most options of a segmentation with messages of their own.
        (*_DATA, *_WORK, *_MODEL, "reference_quirks", *(name for name in _SEGMENT if name != "residual")),
    ),
    "methods": Mode(
        "data and options that suit each method",
        (*_DATA, *_WORK, *_MODEL, *_PROTOCOL, "words", "short_side", *_SEGMENT, *_VALUES),
    ),
    "predictions": Mode(
        "data and a protocol, no options of a model",
        # The processes of `torchrun` exchange records over the device.
        (*_DATA, *_WORK, "device", *_PROTOCOL, "predicted_background"),
        "Leave out {flag}, or --predictions.",
    ),
}
"""Modes by name. If several of these options are given, the first one here is the mode and refuses the others."""


def expect_accepted(parsed: argparse.Namespace) -> None:
    """Raise InputError for the first given argument that has no effect in the mode of this command."""
    name = next((name for name in MODES if getattr(parsed, name) is not None), None)
    if name is None:
        return
    mode = MODES[name]
    if "model" not in mode.accepted:  # no model runs
        expect_no_model_arguments(parsed)
    for other in given_arguments(parsed):
        if other not in (name, *mode.accepted):
            negated = getattr(parsed, other) is False  # the flag as the user typed it
            flag = f"--{'no-' if negated else ''}{other.replace('_', '-')}"
            raise InputError(name, expected=mode.expected, got=flag, remedy=mode.remedy.format(flag=flag))


def given_arguments(parsed: argparse.Namespace) -> list[str]:
    """Return the names of the arguments that differ from their defaults, in the order of `--help`."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    add_model_arguments(parser)
    return [name for name, default in vars(parser.parse_args([])).items() if getattr(parsed, name) != default]
