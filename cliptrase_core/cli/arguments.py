"""Arguments that commands share: the options of `options.py`, and which model."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping
from typing import Any

from cliptrase_core.errors import InputError, explain
from cliptrase_core.models import loading
from cliptrase_core.models.precision import AUTO, PRECISIONS
from cliptrase_core.options import Option, Options, options_of

Group = argparse.ArgumentParser | argparse._ArgumentGroup


def add_options(
    parser: Group, kind: type[Options], *, without: Collection[str] = (), unset: Mapping[str, str] | None = None
) -> None:
    """Add a flag for each option of a class.

    Args:
        parser: or a group of one.
        kind: a class of `options.py`.
        without: names of options that the command has no use for.
        unset: options that are None here where they are not given, and what that stands for.
    """
    for one in options_of(kind):
        if one.name not in without:
            _add_option(parser, one, (unset or {}).get(one.name))


def _add_option(parser: Group, one: Option, unset: str | None) -> None:
    default = None if unset else one.default
    meaning = unset or (one.unset if one.default is None else one.default)
    text = one.help.replace("%", "%%") + (
        f" (default: {meaning})" if one.kind is not bool or unset or one.unset else ""
    )
    settings: dict[str, Any] = {"default": default, "help": text}
    if one.kind is bool:
        settings["action"] = argparse.BooleanOptionalAction
    elif one.choices:
        settings["choices"] = one.choices
    else:
        settings |= {"type": one.kind, "metavar": "N" if one.kind is int else "X"}
    parser.add_argument(one.flag, **settings)


def given_options(kind: type[Options], parsed: argparse.Namespace) -> dict[str, Any]:
    """The options of a class that a command has, by name; those that were not given and mean nothing are left out."""
    return {
        one.name: value
        for one in options_of(kind)
        if (value := getattr(parsed, one.name, None)) is not None or one.unset
    }


def add_model_arguments(command: argparse.ArgumentParser) -> None:
    """Add `--model`, `--pretrained`, `--device` and `--precision`; their defaults come from the environment."""
    usual = _usual_model()
    command.add_argument(
        "--model",
        default=usual["model"],
        help="nano (embedded) or an open_clip architecture, with weights after a colon (default: %(default)s)",
    )
    command.add_argument("--pretrained", metavar="TAG|FILE", help="weights by open_clip's tag or from a file")
    command.add_argument("--device", default=os.environ.get("CLIPTRASE_DEVICE"), help="cpu, cuda, ... (default: best)")
    command.add_argument(
        "--precision",
        default=usual["precision"],
        choices=[*PRECISIONS, AUTO],
        help="auto measures whether bf16 is faster here",
    )


def _usual_model() -> dict[str, str | None]:
    return {
        "model": os.environ.get("CLIPTRASE_MODEL") or loading.NANO,
        "pretrained": None,
        "precision": os.environ.get("CLIPTRASE_PRECISION") or "fp32",
    }


def expect_no_model_arguments(options: argparse.Namespace) -> None:
    """Raise InputError for a model where none runs."""
    for name, usual in _usual_model().items():
        if (got := getattr(options, name)) != usual:
            remedy = f"Leave out --{name}."
            raise InputError(explain(name, expected="none, since no model runs", got=repr(got), remedy=remedy))
