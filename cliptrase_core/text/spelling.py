"""Find words that look misspelt: rare to CLIP's tokenizer, and one letter or so from a word of a data set."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache

from open_clip import tokenize

from cliptrase_core.text.vocabulary import DATASETS, dataset_vocabulary

ALIKE = 0.8
"""Share of letters that a word and its correction have in common, by `difflib`."""
RARE = 15_000
"""The tokenizer numbers words about by how often they occur; from this number on one is rare: "couch" has 12,724."""
MOST_LOOKED_AT = 40
"""Words that are compared with the known ones, some 5 ms each."""
_WORD = re.compile(r"[a-z]{4,}")


def corrections(texts: Iterable[str]) -> dict[str, str]:
    """What is probably meant by each word that looks misspelt; English only.

    A word looks so if it is in no data set's words, and the tokenizer splits it while a known word shares `ALIKE` of
    its letters, or it is rare and lacks one letter of a common known word, or has one too many.

    Args:
        texts: classes or synonyms, each perhaps of several words.
    """
    words = dict.fromkeys(word for text in texts for word in _WORD.findall(text.casefold()))
    looked_at = [word for word in words if not _singular(word) & _of_datasets()]
    found = ((word, _correction(word)) for word in looked_at[:MOST_LOOKED_AT])
    return {word: better for word, better in found if better}


def _correction(word: str) -> str | None:
    number, known = _numbers([word]).get(word), _common()
    close = difflib.get_close_matches(word, known, n=3, cutoff=ALIKE if number is None else 0.75)
    close.sort(key=lambda other: sorted(other) != sorted(word))  # two letters that changed places come first
    if number is None:
        return close[0] if close else None
    likely = (other for other in close if number >= RARE and known[other] < number / 2)
    return next((other for other in likely if _lacks_one(other, word) or _lacks_one(word, other)), None)


def _lacks_one(word: str, shorter: str) -> bool:
    """Whether `shorter` is `word` without one letter."""
    return any(word[:place] + word[place + 1 :] == shorter for place in range(len(word)))


def _singular(word: str) -> set[str]:
    """The word, and what it may be the plural of."""
    return {word, word.removesuffix("s"), word.removesuffix("es")}


@cache
def _common() -> dict[str, int]:
    """Words of the data sets that the tokenizer has whole, with their numbers."""
    return _numbers(sorted(_of_datasets()))


@cache
def _of_datasets() -> frozenset[str]:
    prompts = (prompt for name in DATASETS for prompt in dataset_vocabulary(name).prompts)
    return frozenset(word for prompt in prompts for word in re.findall(r"[a-z]{3,}", prompt.casefold()))


def _numbers(words: list[str]) -> dict[str, int]:
    """Numbers of the words that are one token each."""
    rows = tokenize(words, context_length=4).tolist()  # start, tokens, end; what is longer is cut
    return {word: row[1] for word, row in zip(words, rows, strict=True) if row[3] == 0}
