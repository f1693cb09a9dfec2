"""Words of the benchmarks: the published lists of CLIPtrase, and the lists of other methods."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from cliptrase_core.errors import InputError
from cliptrase_core.names import PUBLISHED
from cliptrase_core.text.vocabulary import Vocabulary, WordGroup, dataset_vocabulary


def setting_words(setting: str, words: str = PUBLISHED) -> Vocabulary:
    """Return the words of a benchmark. Classes keep their published names and order with every list.

    Args:
        setting: name of the benchmark.
        words: one of `WORD_LISTS`.

    Raises:
        InputError: the list has no words for this benchmark.
    """
    published = dataset_vocabulary(setting)
    if words == PUBLISHED:
        return published
    lists = _peer_lists(setting)
    if words not in lists:
        remedy = f"Leave out --words, or give {PUBLISHED}."
        known = ", ".join((PUBLISHED, *lists))
        raise InputError(f"words of {setting}", expected=f"one of {known}", got=repr(words), remedy=remedy)
    lines = [tuple(line.split(", ")) for line in lists[words]]
    background = lines.pop(0) if published.background else ()
    groups = (WordGroup(group.name, line) for group, line in zip(published.classes, lines, strict=True))
    return Vocabulary(tuple(groups), background)


def usual_words(setting: str, wanted: str) -> str:
    """Return the name of the wanted list, or `PUBLISHED` if that list does not have the benchmark."""
    return wanted if wanted in _peer_lists(setting) else PUBLISHED


def _peer_lists(setting: str) -> dict[str, Sequence[str]]:
    """Return the lines of each list by name: one line per class, words separated by ", "; any background is first."""
    return {who: entry["words"] for entry in _peer_words().get(setting, ()) for who in entry["by"]}


@cache
def _peer_words() -> Mapping[str, Sequence[Mapping[str, Sequence[str]]]]:
    source = resources.files("cliptrase_core.evaluation").joinpath("peer_words.json")
    found: Mapping[str, Sequence[Mapping[str, Sequence[str]]]] = json.loads(source.read_text(encoding="utf-8"))
    return found
