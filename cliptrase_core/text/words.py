"""Reading of the classes given to `segment`: a vocabulary, a list, or precomputed text features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cliptrase_core.errors import InputError
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
        features: (P, width), used unchanged.
        names: names of the first rows; further rows are background words.
        vocabulary: must be None.
        width: feature width D of the model.

    Raises:
        InputError: a vocabulary as well, another shape, values that are not finite, or names that do not fit.
    """
    if vocabulary is not None:
        raise InputError("words", expected="a vocabulary or text_features", got="both", remedy="Leave one out.")
    if isinstance(names, (set, frozenset)):
        remedy = "A set has no order: make it a list, in the order of the rows."
        raise InputError("class_names", expected="a list", got=type(names).__name__, remedy=remedy)
    try:
        text = torch.as_tensor(features).to(torch.float32)
        names = () if names is None or isinstance(names, str) else tuple(names)
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        text, names = torch.empty(0), ()
    finite = bool(torch.isfinite(text).all())
    usable = text.ndim == 2 and text.shape[1] == width and finite
    named = all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)
    if not (usable and named and 1 <= len(names) <= len(text)):
        values, kind = "" if finite else " with NaN or infinity", "" if named else "repeated or unusable "
        raise InputError(
            "text_features",
            expected=f"finite rows of width {width} and at least one and at most as many distinct class_names",
            got=f"shape {tuple(text.shape)}{values} and {len(names)} {kind}names",
            remedy="Give a name for each class; further rows are background words.",
        )
    if len(text) > len(names) and any(map(is_background, names)):
        raise InputError(
            "class_names",
            expected=f"no class named {BACKGROUND!r} beside background words",
            got=repr(BACKGROUND),
            remedy="Rename the class.",
        )
    rest = tuple(f"background word {place + 1}" for place in range(len(text) - len(names)))
    return Vocabulary(tuple(WordGroup(name, (name,)) for name in names), rest), text
