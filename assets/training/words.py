"""Phrases (nouns, plurals, nouns with a colour or a material) and their target embeddings in nano's 256 dimensions.

python -m assets.training.words --output words.pt [--new-tokens]

With --new-tokens only the phrases with a token that the text tower in the repository does not have yet.
"""

from __future__ import annotations

import argparse
import json
import random
from itertools import accumulate
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from spellchecker import SpellChecker
from torch import Tensor

from assets.training import wordnet
from assets.training.photographs import CLASSES
from assets.training.teachers import WordTeacher
from cliptrase_core.models.embedded import FOLDER, ROWS
from cliptrase_core.text.encoder import TEMPLATES

CLASS_LISTS = Path(__file__).resolve().parents[2] / "cliptrase_core" / "text" / "classes.json"
EVERYDAY = Path(__file__).with_name("everyday.txt")
START, END = 49406, 49407  # token ids
VOCABULARY = 49408
MOST = 25_500
"""Maximum number of token embedding rows in the file; with more, it exceeds the 10 MB limit of a Space."""
SENTENCES = ("{}", "a {}.", "the {}", "a photo of a {}", *TEMPLATES["simple7"], *TEMPLATES["openai80"])

_ADJECTIVES = """
red orange yellow green blue purple pink brown black white grey gray golden silver beige dark light bright
colorful striped spotted checkered transparent wooden metal plastic glass stone brick leather paper cotton woollen
concrete marble ceramic rusty old new young big small tall little tiny large long short round square wet dry dirty clean
broken open closed empty full parked flying running sitting standing sleeping sliced fresh cooked frozen furry fluffy
wild baby adult male female
cute beautiful pretty gorgeous happy sad angry messy fuzzy spicy grilled roasted fried decorated knitted woven glowing
blurred foggy cloudy sunny rainy stormy snowy muddy misty dusty crowded abandoned vintage retro modern colourful
turquoise shiny grassy curly curled spiky spiked crooked gilded rotten larger smiling laughing jumping swimming eating
surfing hiking
"""
ADJECTIVES = _ADJECTIVES.split()
_JOINED = "on, in, with, of, under, next to, behind, near, above, between, in front of, inside, around"
JOINED = ("{} and {}", *(f"{{}} {word} a {{}}" for word in _JOINED.split(", ")))
WHOLE = 1.2
"""Weight of a thing whose words are one token each: frequent on the web, for which CLIP's tokens were made."""
RARELY = 0.3
"""A continued run draws phrases that weigh less than `WHOLE` only this often: the first run has learned them."""
GLOSS_SHARE, SYNONYMS_SHARE = 0.5, 0.3
"""Weights, in the target of a noun, of the noun with WordNet's definition behind it, and of the nouns with the same
meaning (sofa and couch); the noun alone has the rest. MiniLM knows rare words more by letters than by sense."""


def everyday(index: list[str]) -> dict[str, float]:
    """Return word frequencies: the root of (1 + count in tagged texts), at least 4 for class names of data sets and
    for the words of everyday.txt, which WordNet's texts of the last century lack (sunset, selfie, hoodie)."""
    known = set(index)
    found = {word: (1 + count) ** 0.5 for word, count in wordnet.counts().items() if word in known}
    names = [name.lower() for name in open_clip.IMAGENET_CLASSNAMES]
    lists = json.loads(CLASS_LISTS.read_text(encoding="utf-8"))
    names += [word.lower() for setting in lists.values() for group in setting["classes"] for word in _words(group)]
    names += EVERYDAY.read_text(encoding="utf-8").splitlines()
    for name in [*names, *(name for name, _ in wordnet.levels())]:
        found[name] = max(found.get(name, 0.0), 4.0)
    return found


def _words(group: object) -> list[str]:
    """Return the words of a class in classes.json: one, or several synonyms."""
    return group.split(", ") if isinstance(group, str) else [str(word) for word in group]  # type: ignore[attr-defined]


def phrases(composed: int) -> tuple[list[str], list[float]]:
    """Return the training phrases of the text tower and their sampling weights (not normalised).

    Args:
        composed: number of phrases of several words to generate ("red car", "dog on a sofa").

    Returns:
        Distinct phrases, nouns first; and their weights.
    """
    rng = random.Random(0)
    nouns = wordnet.nouns()
    common = everyday(nouns)
    visible, things = wordnet.visible(), wordnet.visible(wordnet.THINGS)
    whole = open_clip.tokenizer.SimpleTokenizer().encoder
    weights = {word: 0.8 if word in visible else 0.7 for word in nouns}
    for word in things:
        if all(f"{part}</w>" in whole for part in word.split()) and word in weights:
            weights[word] = WHOLE
    weights |= {word: 1.0 + value for word, value in common.items()}
    words, chances = list(common), list(accumulate(common.values()))
    plurals = {wordnet.plural(noun) for noun in (*nouns, *words)}
    for word in words:
        if word not in plurals:
            many = wordnet.plural(word)
            weights[many] = max(weights.get(many, 0.0), 0.4 + 0.4 * common[word])
    for _ in range(composed):
        one, other = rng.choices(words, cum_weights=chances, k=2)
        if rng.random() < 0.7:
            phrase = f"{rng.choice(ADJECTIVES)} {one if one in plurals or rng.random() < 0.8 else wordnet.plural(one)}"
        else:
            phrase = rng.choice(JOINED).replace("{}", one, 1).replace("{}", other, 1)
        weights.setdefault(phrase, 0.5)
    return list(weights), list(weights.values())


def spoken(things: set[str]) -> dict[str, float]:
    """Return higher weights for things that people speak of; WordNet's tagged texts lack many (casket, knickers).

    By counts of pyspellchecker's dictionary (subtitles of films), which are of spellings, not of nouns ("can"): a word
    that is counted 100 times and more has the root of a hundredth of its count, at most 4. A compound has no count; if
    each of its words is counted 500 times and more, it has 1.6, also if nobody says it ("expressed almond oil").
    """
    count, found = SpellChecker().word_frequency, {}
    for thing in things:
        least = min(count[part] for part in thing.split())
        if " " in thing and least >= 500:
            found[thing] = 1.6
        elif " " not in thing and least >= 100:
            found[thing] = min(4.0, (least / 100) ** 0.5)
    return found


def continued(words: list[str], weights: Tensor) -> Tensor:
    """Return (P,) sampling weights of a continued run: things that people speak of weigh more, rare phrases less.

    Args:
        words: P phrases.
        weights: (P,) their weights in the first run.
    """
    raised = spoken(wordnet.visible(wordnet.THINGS) & set(words))
    weights = weights.maximum(torch.tensor([raised.get(word, 0.0) for word in words]).to(weights))
    return torch.where(weights < WHOLE, RARELY * weights, weights)


def noun_meanings() -> dict[str, tuple[list[str], str]]:
    """Return WordNet's meanings of nouns, and those of their singular for plurals."""
    known = wordnet.meanings()
    return {wordnet.plural(noun): meaning for noun, meaning in known.items()} | known


def meanings(words: list[str], teacher: WordTeacher) -> Tensor:
    """Return (P, 256) unit rows: the teacher's embeddings; those of nouns, and of their plurals, are moved towards
    their definition and their synonyms."""
    said, known = teacher(words), noun_meanings()
    place = {word: index for index, word in enumerate(words)}
    nouns = [word for word in words if word in known]
    defined = teacher([f"{noun}, {known[noun][1]}" for noun in nouns])
    moved = said.clone()
    for noun, definition in zip(nouns, defined, strict=True):
        same = said[[place[other] for other in sorted({noun, *known[noun][0]} & place.keys())]].mean(0)
        alone = (1 - GLOSS_SHARE - SYNONYMS_SHARE) * said[place[noun]]
        moved[place[noun]] = alone + GLOSS_SHARE * definition + SYNONYMS_SHARE * same
    return F.normalize(moved, dim=-1)


def learned() -> set[str]:
    """Return the words with which the image tower was trained, but for those of captions and of file names."""
    levels = {name for name, _ in wordnet.levels()}
    return {*open_clip.IMAGENET_CLASSNAMES, *levels, *(word for group in CLASSES for word in group)}


def token_ids(texts: list[str]) -> Tensor:
    """Tokenize texts: (P, 76) int32 token ids in the range of uint16, without start and end, padded with 0."""
    tokens = torch.cat([open_clip.tokenize(texts[at : at + 8192]) for at in range(0, len(texts), 8192)])
    tokens = tokens[:, 1:]
    tokens[tokens == END] = 0
    return tokens.to(torch.int32)


def used_rows(ids: Tensor, weights: Tensor) -> Tensor:
    """Return (K,) ascending ids of the most frequent tokens of training, at most `MOST`; templates have priority.

    Args:
        ids: (P, T) tokens of the phrases, padded with 0.
        weights: (P,) their weights in training.
    """
    often = torch.zeros(VOCABULARY)
    often.index_add_(0, ids.flatten().long(), weights.float()[:, None].expand(ids.shape).flatten())
    often[0] = 0  # padding
    often[token_ids([sentence.replace("{}", "a") for sentence in SENTENCES]).unique().long()] = torch.inf
    often[[START, END]] = torch.inf
    kept = often.argsort(descending=True, stable=True)[:MOST]
    return kept[often[kept] > 0].sort().values


def with_new_tokens(ids: Tensor, rows: Tensor, stored: Tensor) -> list[int]:
    """Return the indices of the phrases with a token that is not in `stored`, and with no token outside `rows`.

    Args:
        ids: (P, T) tokens of the phrases, padded with 0.
        rows: (K,) tokens that the next file of the text tower will have.
        stored: (L,) tokens that the present one has.
    """
    kept, new = torch.zeros(2, VOCABULARY, dtype=torch.bool)
    kept[rows.long()] = new[rows.long()] = True
    new[stored.long()] = False
    kept[0], new[0] = True, False  # padding
    return torch.nonzero(kept[ids.long()].all(1) & new[ids.long()].any(1))[:, 0].tolist()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument(
        "--new-tokens", action="store_true", help="only phrases with tokens that the repository's text tower leaves out"
    )
    parser.add_argument("--composed", type=int, default=300_000, help="phrases of several words")
    parser.add_argument("--minilm", type=Path, help="folder of MiniLM's files, where the package is not installed")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    words, said_weights = phrases(arguments.composed)
    weights, ids = torch.tensor(said_weights), token_ids(words)
    rows = used_rows(ids, weights)
    synonyms: list[str] = []
    if arguments.new_tokens:
        chosen = with_new_tokens(ids, rows, load_file(FOLDER / "text.safetensors")[ROWS])
        if not chosen:
            raise SystemExit("expected phrases with tokens that the repository's text tower leaves out, got none")
        every, words, weights, ids = set(words), [words[place] for place in chosen], weights[chosen], ids[chosen]
        known = noun_meanings()  # synonyms that are not chosen move the targets of the chosen words too
        synonyms = sorted({other for word in words if word in known for other in known[word][0]} & every - set(words))
    targets = meanings(words + synonyms, WordTeacher(arguments.device, arguments.minilm))[: len(words)].half().cpu()
    ids = ids[:, : int((ids != 0).sum(1).max())]
    torch.save({"words": words, "weights": weights, "targets": targets, "ids": ids, "rows": rows}, arguments.output)


if __name__ == "__main__":
    main()
