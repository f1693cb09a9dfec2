"""Search for misspelt words: rare for CLIP's tokenizer, and about one letter different from a word of a data set."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache

from open_clip import tokenize

from cliptrase_core.text.vocabulary import DATASETS, dataset_vocabulary

ALIKE = 0.8
"""Least share of letters that a word and its correction have in common, by `difflib`."""
RARE = 15_000
"""Token number from which a word is rare. Numbers rank words roughly by frequency: "couch" has 12,724."""
MOST_LOOKED_AT = 40
"""Limit of words that are compared with the known ones, about 5 ms each."""
_WORD = re.compile(r"[a-z]{4,}")


def corrections(texts: Iterable[str]) -> dict[str, str]:
    """Return the likely correction of each word that looks misspelt; English only.

    A word looks misspelt if no data set contains it and one of these holds: the tokenizer splits it and a known word
    shares `ALIKE` of its letters; or it is rare and has one letter less or more than a more common known word.

    Args:
        texts: classes or synonyms of one or more words.
    """
    words = dict.fromkeys(word for text in texts for word in _WORD.findall(text.casefold()))
    looked_at = [word for word in words if not _of_datasets().intersection(singulars(word))]
    found = ((word, _correction(word)) for word in looked_at[:MOST_LOOKED_AT])
    return {word: better for word, better in found if better}


def _correction(word: str) -> str | None:
    number, known = _numbers([word]).get(word), _common()
    close = difflib.get_close_matches(word, known, n=3, cutoff=ALIKE if number is None else 0.75)
    close.sort(key=lambda other: sorted(other) != sorted(word))  # words with swapped letters come first
    if number is None:
        return close[0] if close else None
    likely = (other for other in close if number >= RARE and known[other] < number / 2)
    return next((other for other in likely if _lacks_one(other, word) or _lacks_one(word, other)), None)


def _lacks_one(word: str, shorter: str) -> bool:
    """Return whether `shorter` is `word` without one letter."""
    return any(word[:place] + word[place + 1 :] == shorter for place in range(len(word)))


def singulars(word: str) -> list[str]:
    """Return the word and its possible singular forms."""
    return list(dict.fromkeys((word, word.removesuffix("es"), word.removesuffix("s"))))


@cache
def _common() -> dict[str, int]:
    """Return the words of the data sets that are one token each, with their token numbers."""
    return _numbers(sorted(_of_datasets()))


@cache
def _of_datasets() -> frozenset[str]:
    prompts = (prompt for name in DATASETS for prompt in dataset_vocabulary(name).prompts)
    return frozenset(word for prompt in prompts for word in re.findall(r"[a-z]{3,}", prompt.casefold()))


def _numbers(words: list[str]) -> dict[str, int]:
    """Return the token numbers of the words that are one token each."""
    rows = tokenize(words, context_length=4).tolist()  # start, tokens, end; longer words are truncated
    return {word: row[1] for word, row in zip(words, rows, strict=True) if row[3] == 0}
