"""Search for misspelt English words: in no dictionary, and one letter different from a word that is in one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from open_clip import tokenize
from spellchecker import SpellChecker

from cliptrase_core.names import DATASETS
from cliptrase_core.text.vocabulary import dataset_vocabulary

RARE = 15_000
"""Token number from which a word is rare. Numbers rank words roughly by frequency: "couch" has 12,724. More frequent
words that the dictionary lacks are right (hoodie, iphone)."""
SELDOM = 100
"""Occurrences in the dictionary's texts below which a word is hardly what somebody meant (titch; wombat has 122)."""
MOST_LOOKED_AT = 100
"""Limit of words that are compared with the dictionary, about a millisecond each."""
_WORD = re.compile(r"(?<!\w)[a-z]{3,24}(?!\w)")
"""Whole words of unaccented letters; in other words nothing is corrected."""


def corrections(texts: Iterable[str]) -> dict[str, str]:
    """Return the likely correction of each word that looks misspelt; English only.

    A word looks misspelt if neither the dictionary nor a data set contains it, it is rare for CLIP's tokenizer, and a
    known word differs by one letter, or by two neighbours that are swapped. If a word has letters that English words
    have not, the texts are in another language.

    Args:
        texts: classes or synonyms of one or more words.
    """
    texts = [text.lower() for text in texts]  # case folding would turn \u00df, which is foreign, into ss
    if any(_is_foreign(word) for text in texts if not text.isascii() for word in text.split()):
        return {}
    words = dict.fromkeys(word for text in texts for word in _WORD.findall(text))
    unknown = [word for word in words if not any(map(_is_listed, singulars(word)))]
    numbers = _token_numbers([single for word in unknown for single in singulars(word)])
    looked_at = [word for word in unknown if all(numbers.get(one, RARE) >= RARE for one in singulars(word))]
    found = ((word, _correction(word)) for word in looked_at[:MOST_LOOKED_AT])
    return {word: better for word, better in found if better}


def _is_foreign(word: str) -> bool:
    return word.isalpha() and not word.isascii() and word not in _dictionary()


def _is_listed(word: str) -> bool:
    return word in _of_datasets() or word in _dictionary()


def _is_likely(word: str) -> bool:
    return word in _of_datasets() or _dictionary()[word] >= SELDOM


def _correction(word: str) -> str | None:
    """Return the best known word that differs by one letter, or by two neighbours that are swapped.

    Words of data sets come first, then those of the same letters (gras: grass, not gas), then frequent ones. A word of
    three letters is corrected only if two are swapped (dgo): it is more often an abbreviation (suv, bmx). A word that
    lacks only an accent (pinata) is right.
    """
    plural = "" if word.endswith("s") else f"{word}s"
    close = sorted({*_dictionary().edit_distance_1(word)} - {plural})
    if any(_unaccented(other) == word for other in close if other in _dictionary()):
        return None
    usable = [other for other in close if other.isascii() and other.isalpha() and _is_likely(other)]
    if len(word) == 3:
        usable = [other for other in usable if sorted(other) == sorted(word)]
    frequency = _dictionary().word_usage_frequency

    def rank(other: str) -> tuple[bool, bool, bool, float]:
        of_dataset = not _of_datasets().isdisjoint(singulars(other))
        return of_dataset, sorted(other) == sorted(word), {*other} == {*word}, frequency(other)

    return max(usable, key=rank, default=None)


def _unaccented(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


def singulars(word: str) -> list[str]:
    """Return the word and its possible singular forms; "es" is an ending only after a hiss or an o (not treees)."""
    stem = word.removesuffix("es")
    forms = (word, stem if stem.endswith(("s", "x", "z", "ch", "sh", "o")) else word, word.removesuffix("s"))
    return list(dict.fromkeys(forms))


@cache
def _dictionary() -> SpellChecker:
    """Load the dictionary of `pyspellchecker`, 160,000 words; 0.1 s and 39 MB."""
    return SpellChecker(language="en", distance=1)


@cache
def _of_datasets() -> frozenset[str]:
    prompts = (prompt for name in DATASETS for prompt in dataset_vocabulary(name).prompts)
    return frozenset(word for prompt in prompts for word in _WORD.findall(prompt.casefold()))


def _token_numbers(words: list[str]) -> dict[str, int]:
    """Return the token numbers of the words that are one token each."""
    if not words:
        return {}
    rows = tokenize(words, context_length=4).tolist()  # start, tokens, end; longer words are truncated
    return {word: row[1] for word, row in zip(words, rows, strict=True) if row[3] == 0}
