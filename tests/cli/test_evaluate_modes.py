"""Modes of `evaluate`: every argument without effect in a mode is refused; the cases follow from the parser."""

from __future__ import annotations

import argparse

import pytest

from cliptrase_core import cli
from cliptrase_core.cli import parser as commands
from cliptrase_core.cli.arguments import add_model_arguments
from cliptrase_core.cli.evaluate_arguments import add_arguments
from cliptrase_core.cli.evaluate_modes import MODES, given_arguments

DATA = {"setting", "data", "layout", "images", "masks", "vocabulary", "first", "ignored", "background", "mask_end"}
RUN = {"limit", "batch", "readers", "fresh", "output", "device"}
MODEL = {"model", "pretrained", "precision"}
WITHOUT_EFFECT_ON_METHODS = {"method", "predictions", "predicted_background", "save_predictions"}


def make_parser():
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    add_model_arguments(parser)
    return parser


ACTIONS = {action.dest: action for action in make_parser()._actions}
MODE_OPTIONS = {*MODES, "check"}
EFFECT = {
    "compare": set(),
    "between": {*DATA, *RUN, *MODEL, "templates"},
    "methods": {*ACTIONS} - MODE_OPTIONS - WITHOUT_EFFECT_ON_METHODS,
    "predictions": {*DATA, *RUN, "protocol", "preset", "reference_quirks", "predicted_background"},
}
"""Arguments with an effect in each mode, besides the option of the mode."""
LINES = {
    "compare": ["--compare", "a.json", "b.json"],
    "between": ["--between", "sclip", "naclip", "--setting", "voc20", "--data", "nowhere"],
    "methods": ["--methods", "clip,naclip", "--setting", "voc20", "--data", "nowhere"],
    "predictions": ["--predictions", "theirs", "--setting", "voc20", "--data", "nowhere"],
}
WITHOUT_EFFECT = [
    (mode, name)
    for place, mode in enumerate(MODES)
    for name in ACTIONS
    # --check runs nothing, whatever the mode is; an earlier mode refuses the options of the later ones.
    if name not in EFFECT[mode] and name not in [*MODES][: place + 1] and (name != "check" or mode == "compare")
]


def typed(action):
    """Return an argument with a value that is not its default, as on the command line."""
    if action.nargs == 0:
        return [action.option_strings[0]]
    value = next((choice for choice in action.choices or () if choice != action.default), "1")
    return [action.option_strings[0], *[value] * (action.nargs if isinstance(action.nargs, int) else 1)]


@pytest.mark.parametrize(("mode", "name"), WITHOUT_EFFECT)
def test_every_argument_without_effect_in_a_mode_is_refused_by_its_name(tmp_path, monkeypatch, capsys, mode, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "_load", None)
    argument = typed(ACTIONS[name])
    output = [] if mode == "compare" else ["--output", "r.json"]
    assert cli.main(["evaluate", *LINES[mode], *argument, *output]) == 2
    said = capsys.readouterr().err
    assert "nowhere" not in said, "refused before the data are read"
    assert argument[0] in said
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("mode", MODES)
def test_every_argument_with_an_effect_in_a_mode_is_accepted(mode):
    accepted = {*MODES[mode].accepted}
    assert EFFECT[mode] <= accepted <= {*ACTIONS}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_argument_is_given_if_it_differs_from_its_default(name):
    assert given_arguments(make_parser().parse_args([])) == []
    assert given_arguments(make_parser().parse_args(typed(ACTIONS[name]))) == [name]
