"""Options: each is defined in one list, and everything that takes options follows it."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

import cliptrase_core as cc
from cliptrase_core import options
from cliptrase_core.cli.arguments import add_options, given_options
from cliptrase_core.errors import InputError
from cliptrase_core.io.geometry import LONGEST_SIDE
from cliptrase_core.methods.registry import Method
from cliptrase_core.options import (
    LayoutOptions,
    Options,
    ProtocolOptions,
    SegmentArguments,
    SegmentOptions,
    arguments_of,
    option,
    options_of,
    table_of,
)
from cliptrase_core.text.encoder import TEMPLATES
from demo.service.segmentation import SegmentRequest
from tests.api_schema import schema

DOCS = Path(__file__).parents[1] / "docs" / "options.md"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grown(SegmentOptions):
    """The current options and a new one, added as a developer would."""

    glow: float = option(float, 0.5, "how much it glows", least=0, most=1)


@pytest.fixture
def grown(monkeypatch):
    """Replace `SegmentOptions` by `Grown` in all imported modules."""
    for module in [module for name, module in sys.modules.items() if name.startswith(("cliptrase_core", "demo."))]:
        if vars(module).get("SegmentOptions") is SegmentOptions:
            monkeypatch.setattr(module, "SegmentOptions", Grown)


def parsed(kind: type[Options], *arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add_options(parser, kind)
    return given_options(kind, parser.parse_args(arguments))


def test_a_new_option_is_one_entry_and_found_everywhere(grown, segmenter, picture):
    result = segmenter.segment(segmenter.encode(picture), "cat; dog", glow=0.25)
    assert result.settings["glow"] == 0.25
    with pytest.raises(InputError, match=r"glow: expected a number from 0 to 1, got 2\."):
        segmenter.segment(segmenter.encode(picture), "cat; dog", glow=2)
    assert parsed(Grown, "--glow", "0.25")["glow"] == 0.25
    assert arguments_of(Grown(glow=0.25)) == ["--glow=0.25"]
    assert "| `glow`, `--glow` | `0.5` | a number from 0 to 1 | how much it glows |" in table_of(Grown)
    for call in ("/segment", "/refine", "/compare"):
        described = schema()[call]["parameters"]
        assert described["glow"]["default"] == 0.5
        assert list(described)[-1] == "glow", "clients that call by position are not disturbed"


def test_a_new_option_has_a_control_on_the_page_and_its_value_arrives(grown, monkeypatch):
    from demo import handling
    from demo.page import build
    from demo.service import Service
    from demo.settings import Settings

    asked = []
    monkeypatch.setattr(handling, "SegmentRequest", lambda **options: asked.append(options))
    page = build(Service(Settings(model="nano")))
    labels = {str(block.label): block for block in page.blocks.values() if hasattr(block, "label")}
    assert (labels["Glow"].minimum, labels["Glow"].maximum, labels["Glow"].value) == (0, 1, 0.5)
    assert [choice for choice, _ in labels["Vote"].choices] == ["auto", "yes", "no"]
    fields = [
        "cat; dog",
        "none",
        "",
        0,
        "clip",
        "auto",
        "auto",
        "auto",
        False,
        False,
        "yes",
        False,
        "cls",
        True,
        1,
        1,
        None,
    ]
    handling.read_request(*fields, "no", "cls", 0.25)
    handling.read_request(*fields, "auto", "auto", 0.5)
    found = [(one["vote"], one["residual"], one["glow"]) for one in asked]
    assert found == [(False, "cls", 0.25), (None, None, 0.5)]


def test_the_tables_in_the_docs_are_the_lists():
    text = DOCS.read_text(encoding="utf-8")
    for kind in (LayoutOptions, SegmentOptions, ProtocolOptions):
        assert table_of(kind) in text, "python -m tests.write_options"


@pytest.mark.parametrize("kind", [LayoutOptions, SegmentOptions])
def test_every_way_in_has_every_option_with_its_default(kind, segmenter):
    names = [one.name for one in options_of(kind)]
    assert set(names) <= {field.name for field in dataclasses.fields(SegmentRequest)}
    assert set(names) <= set(schema()["/segment"]["parameters"])
    assert kind(**parsed(kind)) == kind(), "a command line without flags asks for the defaults"
    shown = inspect.signature(segmenter.segment if kind is SegmentOptions else segmenter.encode).parameters
    for one in options_of(kind):
        assert shown[one.name].default == one.default


def test_checkers_know_every_option_with_its_type():
    typed = get_type_hints(SegmentArguments)
    assert typed.pop("method") == str | Method
    assert typed == {name: kind for name, kind in get_type_hints(SegmentOptions).items() if name != "method"}


@pytest.mark.parametrize("kind", [LayoutOptions, SegmentOptions, ProtocolOptions])
def test_help_explains_every_option(kind):
    text = " ".join((kind.__doc__ or "").split())
    for one in options_of(kind):
        assert f"{one.name}: {one.help}; {one.expected}" in text
    if kind is SegmentOptions:
        for function in (cc.Segmenter.segment, cc.Segmenter.scores):
            assert "eps: DBSCAN's neighbourhood radius" in (function.__doc__ or "")


def test_choices_are_what_the_core_has():
    assert set(options.TEMPLATES) == set(TEMPLATES)
    chosen = {one.name: one.choices for one in (*options_of(SegmentOptions), *options_of(LayoutOptions))}
    assert chosen["method"] == tuple(cc.METHODS)
    assert chosen["preset"] == tuple(cc.PRESETS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("eps", value) for value in (0, -1, float("nan"), float("inf"), "0.7", True, 10**400, [1])),
        *(("min_samples", value) for value in (0, 1.5, "3", False, -(10**400))),
        *(("threshold", value) for value in (-0.1, 1.1, None, "half")),
        *(("method", value) for value in ("magic", None, 3, ["clip"])),
        *(("templates", value) for value in ("openai", 7)),
        *(("vote", value) for value in (1, "yes")),
        *(("image_prior", value) for value in (None, 0)),
    ],
)
def test_what_an_option_cannot_be_is_said_with_what_it_can_be(name, value):
    with pytest.raises(InputError, match=f"^{name}: expected ") as refused:
        SegmentOptions(**{name: value})
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("eps", 1, 1.0),
        ("eps", np.float32(0.5), 0.5),
        ("min_samples", 3.0, 3),
        ("min_samples", np.int64(4), 4),
        ("threshold", True, None),
        ("vote", False, False),
    ],
)
def test_numbers_of_other_libraries_are_taken_as_numbers(name, value, kept):
    if kept is None:
        with pytest.raises(InputError):
            SegmentOptions(**{name: value})
        return
    found = getattr(SegmentOptions(**{name: value}), name)
    assert (found, type(found)) == (kept, type(kept))


def test_an_unknown_option_is_refused_with_the_known_ones(segmenter, picture):
    with pytest.raises(TypeError, match=r"unknown option 'epsilon'; expected one of method, .*eps"):
        segmenter.segment(segmenter.encode(picture), "cat; dog", epsilon=0.5)


@pytest.mark.parametrize(
    "chosen",
    [
        SegmentOptions(),
        SegmentOptions(method="clip", eps=0.25, vote=False),
        SegmentOptions(min_samples=2, templates="openai80", image_prior=True, vote=True, threshold=0.4),
        LayoutOptions(preset="paper-336"),
        LayoutOptions(short_side=448),
        SegmentOptions(method="gem", residual="cls"),
        ProtocolOptions(window=0, temperature=0.5, pamr=False, positions="published", resclip_unsure=-1),
    ],
)
def test_arguments_give_the_same_options_again(chosen):
    assert type(chosen)(**parsed(type(chosen), *arguments_of(chosen))) == chosen


def test_schemas_are_json():
    for one in (*options_of(SegmentOptions), *options_of(LayoutOptions)):
        assert json.loads(json.dumps(one.schema())) == one.schema()


def test_the_list_brings_no_torch():
    check = "import sys, cliptrase_core.options; sys.exit(any(n in sys.modules for n in ('torch', 'open_clip', 'cv2')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_public_names_are_listed_once_for_people_and_once_for_checkers():
    checked = re.findall(r"^    from (\S+) import (\w+) as \2$", inspect.getsource(cc), re.MULTILINE)
    assert "    refine = callable_package\n" in inspect.getsource(cc), "a package that can be called"
    assert cc.refine.callable_package is cc.refine
    assert sorted(["__version__", "refine", *(name for _, name in checked)]) == sorted(cc.__all__)
    for module, name in checked:
        assert getattr(cc, name) is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("value", [np.True_, np.array(True)])
def test_booleans_of_numpy_are_booleans(value):
    assert SegmentOptions(image_prior=value, vote=np.False_).options["image_prior"] is True
    assert SegmentOptions(vote=np.False_).vote is False
    for wrong in (np.array([True]), np.int64(1), 1, "true"):
        with pytest.raises(InputError, match="image_prior: expected true or false"):
            SegmentOptions(image_prior=wrong)


def test_the_largest_short_side_is_that_of_the_layout():
    assert LayoutOptions(short_side=LONGEST_SIDE).short_side == LONGEST_SIDE
    with pytest.raises(InputError, match=f"a whole number from 1 to {LONGEST_SIDE}"):
        LayoutOptions(short_side=LONGEST_SIDE + 1)
