"""Reading of the classes given to `segment`: a vocabulary, a list, or precomputed text features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cliptrase_core.errors import InputError, counted
from cliptrase_core.results import BACKGROUND, is_background
from cliptrase_core.text.vocabulary import Vocabulary, WordGroup, parse_vocabulary, vocabulary_of

TextFeatures: TypeAlias = Tensor | npt.NDArray[np.floating[Any]]
"""(P, D) precomputed features of prompts."""

Words: TypeAlias = str | Vocabulary | Sequence[str | Sequence[str]] | Mapping[str, str | Sequence[str]]
"""Vocabulary as a text, a parsed `Vocabulary`, a list of classes, or names with their synonyms."""


def read_words(vocabulary: Words | None, class_names: Sequence[str] | None) -> Vocabulary:
    """Parse the vocabulary.

    Raises:
        InputError: no vocabulary, one that cannot be read, or class names without text features.
    """
    if vocabulary is None or class_names is not None:
        raise InputError(
            "words",
            expected="a vocabulary, or text_features with class_names",
            got="no vocabulary" if vocabulary is None else "a vocabulary with class_names",
            remedy='For example "cat, kitten; dog | background: wall, floor".',
        )
    if isinstance(vocabulary, (str, Vocabulary)):
        return vocabulary if isinstance(vocabulary, Vocabulary) else parse_vocabulary(vocabulary)
    if isinstance(vocabulary, np.ndarray):
        vocabulary = vocabulary.tolist()
    if isinstance(vocabulary, (Mapping, list, tuple)):
        return vocabulary_of(vocabulary)
    expected, got = 'a text, or a list such as ["cat", "dog"]', type(vocabulary).__name__
    unordered = isinstance(vocabulary, (set, frozenset))
    remedy = "A set has no order: make it a list." if unordered else "Make it a list of texts."
    raise InputError("vocabulary", expected=expected, got=got, remedy=remedy)


def read_text_features(
    features: TextFeatures,
    names: Sequence[str] | None,
    vocabulary: Words | None,
    *,
    width: int,
) -> tuple[Vocabulary, Tensor]:
    """Check precomputed text features; return a vocabulary that names their rows, and the features.

    Args:
        features: (P, width) real numbers, no row of zeros. They are used unchanged, so rows should have unit length:
            scores grow with it.
        names: names of the first rows; further rows are background words.
        vocabulary: must be None.
        width: feature width D of the model.

    Raises:
        InputError: a vocabulary as well, another shape, values that are not finite or no real numbers, a row of zeros,
            or names that do not fit.
    """
    if vocabulary is not None:
        raise InputError("words", expected="a vocabulary or text_features", got="both", remedy="Leave one out.")
    text = _rows(features, width)
    names = _names(names, len(text))
    if len(text) > len(names) and any(map(is_background, names)):
        raise InputError(
            "class_names",
            expected=f"no class named {BACKGROUND!r} beside background words",
            got=repr(BACKGROUND),
            remedy="Rename the class.",
        )
    rest = tuple(f"background word {place + 1}" for place in range(len(text) - len(names)))
    return Vocabulary(tuple(WordGroup(name, (name,)) for name in names), rest), text


def _rows(features: object, width: int) -> Tensor:
    """Return features as float32, (P, width); raise InputError if they are none."""
    what, remedy = "text_features", "Take the rows of `embed_words` of the same model."
    try:
        given = torch.as_tensor(np.ascontiguousarray(features) if isinstance(features, np.ndarray) else features)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        got = type(features).__name__
        raise InputError(what, expected="an array of real numbers", got=got, remedy=remedy) from error
    if given.is_complex() or given.dtype == torch.bool:
        got = str(given.dtype).removeprefix("torch.")
        raise InputError(what, expected="an array of real numbers", got=got, remedy=remedy)
    if given.ndim != 2 or not len(given):
        got = f"shape {tuple(given.shape)}"
        raise InputError(what, expected=f"one or more rows of width {width}", got=got, remedy=remedy)
    if given.shape[1] != width:
        raise InputError(what, expected=f"rows of width {width}", got=f"width {given.shape[1]}", remedy=remedy)
    text = given.to(torch.float32)
    for wrong, expected, got in (
        (~torch.isfinite(text).all(dim=1), "finite numbers", "NaN or infinity"),
        ((text == 0).all(dim=1), "rows with a direction", "only zeros"),
    ):
        if bool(wrong.any()):
            place = f"{got} in row {int(wrong.nonzero()[0])}, counted from 0"
            raise InputError(what, expected=expected, got=place, remedy="Compute this row again, or leave it out.")
    return text


def _names(names: object, rows: int) -> tuple[str, ...]:
    """Return the names of the first rows; raise InputError if they are none, or too many."""
    what, remedy = "class_names", "Give a name for each class; further rows are background words."
    if isinstance(names, (set, frozenset)):
        unordered = "A set has no order: make it a list, in the order of the rows."
        raise InputError(what, expected="a list", got=type(names).__name__, remedy=unordered)
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        got = "none" if names is None else f"{type(names).__name__} {names!r}"[:80]
        raise InputError(what, expected="a list of names", got=got, remedy=remedy)
    found = tuple(names)
    for name in found:
        if not isinstance(name, str) or not name:
            raise InputError(what, expected="texts that are not empty", got=repr(name)[:80], remedy="Name every class.")
    for name, count in Counter(found).items():
        if count > 1:
            got = f"{name!r} {count} times"
            raise InputError(what, expected="distinct names", got=got, remedy="Rename one, or merge their rows.")
    if not 1 <= len(found) <= rows:
        got = f"{len(found)} for {counted(rows, 'row')}"
        raise InputError(what, expected="at least one name and at most one for each row", got=got, remedy=remedy)
    return found
