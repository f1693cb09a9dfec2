"""Prompt templates: sentences around a class name."""

from __future__ import annotations

from types import MappingProxyType

import open_clip

from cliptrase_core.errors import expect_one_of

TEMPLATES = MappingProxyType(
    {
        # open_clip keeps functions; with the place holder itself as the word they give plain sentences.
        "simple7": tuple(template("{}") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES),
        "openai80": tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES),
    }
)
"""Template sets by name; every template holds "{}" once."""


def templates_by_name(name: str) -> tuple[str, ...]:
    """The sentences of a set.

    Raises:
        InputError: unknown name.
    """
    expect_one_of("templates", name, TEMPLATES)
    return TEMPLATES[name]


def fill(template: str, word: str) -> str:
    """Put a word into a template. Never `str.format`: words may hold braces."""
    return template.replace("{}", word, 1)
