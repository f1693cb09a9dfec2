"""Checks of a vocabulary: misspelt words, and near-synonyms that the model confuses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from cliptrase_core.errors import some
from cliptrase_core.names import DATASETS
from cliptrase_core.text.spelling import corrections, singulars
from cliptrase_core.text.vocabulary import Vocabulary, dataset_vocabulary

MOST_FINDINGS = 8
MOST_COMPARED = 400
"""Limit of words that are compared with each other; a comparison of more would take too long."""
SPREADS = 3.0
"""Standard deviations above the mean similarity of unrelated things, from which two words are near-synonyms."""

Embed = Callable[[Sequence[str]], Tensor]
"""Function from words to (P, D) unit vectors."""


def lint(vocabulary: Vocabulary, embed: Embed, unknown: Callable[[Sequence[str]], list[str]]) -> list[str]:
    """Return warnings about a vocabulary, most important first; empty for a good one.

    Args:
        vocabulary: vocabulary to check.
        embed: text encoder of the model in use.
        unknown: function from words to those that the model does not know.
    """
    strange = unknown(vocabulary.prompts)
    return [
        *data_sets(vocabulary),
        *misspelt(vocabulary),
        *not_known(strange, unknown),
        *near_synonyms(vocabulary, embed, set(strange)),
    ]


def data_sets(vocabulary: Vocabulary) -> list[str]:
    """Return warnings about names of data sets that stand beside other words."""
    names = [name for name in vocabulary.prompts if name.casefold() in DATASETS]
    return [f'"{name}" is a word here. The words of the data set are used if its name stands alone.' for name in names]


def not_known(strange: Sequence[str], unknown: Callable[[Sequence[str]], list[str]]) -> list[str]:
    """Return warnings about words that the model does not know, and the singular of a plural if it knows that.

    Args:
        strange: words that the model does not know.
        unknown: function from words to those that the model does not know.
    """
    if not strange:
        return []
    shown = [word for word in strange[:MOST_FINDINGS] if len(word) > 3]
    pairs = [(word, one) for word in shown for one in singulars(word) if one != word]
    without = set(unknown([one for _, one in pairs]))
    better = {word: one for word, one in pairs if one not in without}
    advice = ", ".join(f'"{one}" instead of "{word}"' for word, one in better.items())
    names = some([f'"{word}"' for word in strange], MOST_FINDINGS)
    return [
        f"This model does not know {names}. It knows English words for everyday things."
        + (f" Try {advice}." if advice else "")
    ]


def misspelt(vocabulary: Vocabulary) -> list[str]:
    """Return warnings about words that are probably misspelt."""
    found = corrections(vocabulary.prompts)
    return [f'Did you mean "{better}" by "{word}"?' for word, better in found.items()][:MOST_FINDINGS]


def near_synonyms(vocabulary: Vocabulary, embed: Embed, strange: Collection[str]) -> list[str]:
    """Return warnings about pairs of classes whose words have nearly the same vectors; without the `strange` words.

    The limit is the mean similarity of different classes of PASCAL VOC plus `SPREADS` standard deviations. It thus
    adapts to the model, since the vectors of all words are close together in some models and far apart in others.
    """
    pairs = zip(vocabulary.prompts, vocabulary.prompt_labels, strict=True)
    known = [(word, label) for word, label in pairs if word not in strange][:MOST_COMPARED]
    words, labels = [word for word, _ in known], [label for _, label in known]
    if len(words) < 2:
        return []
    usual = _pairs(embed(dataset_vocabulary("voc20").prompts))
    limit = min(float(usual.mean() + SPREADS * usual.std()), 0.999)
    vectors, own = embed(words), torch.tensor(labels)
    alike = (vectors @ vectors.T).float().cpu().triu(1).masked_fill(own[:, None] == own, -1.0)
    order = alike.flatten().argsort(descending=True, stable=True)[: 4 * MOST_FINDINGS].tolist()
    found: dict[tuple[int, int], str] = {}  # one sentence for each pair of classes
    for one, other in (divmod(place, len(words)) for place in order):
        if alike[one, other] <= limit:
            break
        found.setdefault(
            (labels[one], labels[other]),
            f'"{words[one]}" and "{words[other]}" mean nearly the same to this model (cosine '
            f"{float(alike[one, other]):.2f}): it may mix them up. Leave one out, or "
            f'make them one class: "{words[one]}, {words[other]}", with ; between all classes.',
        )
    return list(found.values())[:MOST_FINDINGS]


def _pairs(vectors: Tensor) -> Tensor:
    """Return the cosines of all pairs of different rows, on the CPU."""
    alike = (vectors @ vectors.T).float().cpu()
    return alike[torch.ones_like(alike).triu(1).bool()]
