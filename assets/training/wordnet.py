"""Words of WordNet 3.0: nouns and their counts, synonyms, hypernyms of ImageNet's classes, nouns of a caption.

Needs WordNet's files (Debian: wordnet-base); the environment variable WORDNET gives their folder.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Set
from functools import cache
from pathlib import Path

WORDNET = Path(os.environ.get("WORDNET", "/usr/share/wordnet"))
WNIDS = Path(__file__).with_name("imagenet_wnids.txt")

_ABSTRACT = """
entity physical_entity abstraction object whole thing artifact instrumentality living_thing organism matter
substance causal_agent part unit natural_object attribute measure definite_quantity psychological_feature covering
structure_element device implement way area equipment conveyance container commodity consumer_goods durables
creation product solid artefact
"""
ABSTRACT = frozenset(_ABSTRACT.split())
"""Hypernyms that people do not use for objects in a picture."""

_NO_NOUNS = """
a an the in is it its at on of one two three four five several many lot group front side top back background
image picture photo view scene some other others while with by be are was as up down out over middle center edge
foreground shot bunch pair set piece part number first second day time way line end head hand hands right left look
something someone area place do can have has no i he she his her next
"""
NO_NOUNS = frozenset(_NO_NOUNS.split())
"""Words of captions that are nouns in WordNet but name no object in the picture."""

THINGS = frozenset({"05", "06", "08", "13", "17", "20"})
"""WordNet's kinds of nouns of things: animals, artefacts, the body, food, natural objects, plants."""
VISIBLE = THINGS | {"15", "18"}
"""WordNet's kinds of nouns that a picture shows: things, places, people."""

NO_MEN = {"human", "german", "roman", "norman", "ottoman", "shaman", "talisman", "caiman", "brahman", "mussulman"}
"""Nouns in -man with a regular plural."""

FEWEST, MOST = 2, 420  # range of the number of ImageNet classes below a usable hypernym


def _lines(name: str) -> list[str]:
    """Read the lines of one of WordNet's files, without its licence.

    Raises:
        SystemExit: there is no such file.
    """
    path = WORDNET / name
    if not path.is_file():
        raise SystemExit(
            f"expected WordNet's file {name} in {WORDNET}, got none: install it, or set WORDNET to its folder"
        )
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("  ")]


@cache
def wnids() -> list[str]:
    """Return the synset ids of ImageNet's 1,000 classes, in order."""
    return WNIDS.read_text(encoding="utf-8").split()


@cache
def synsets() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the lemmas and hypernyms of every noun synset, by id ("n02084071")."""
    lemmas, above = {}, {}
    for line in _lines("data.noun"):
        head = line.split(" | ")[0].split()
        count = int(head[3], 16)
        lemmas["n" + head[0]] = [head[4 + 2 * i] for i in range(count)]
        pointers = head[5 + 2 * count :]
        above["n" + head[0]] = [
            "n" + pointers[4 * i + 1] for i in range(int(head[4 + 2 * count])) if pointers[4 * i] in ("@", "@i")
        ]
    return lemmas, above


def nouns() -> list[str]:
    """Return all nouns of up to three plain words, sorted."""
    found = set()
    for line in _lines("index.noun"):
        word = line.split(" ", 1)[0].replace("_", " ")
        if re.fullmatch(r"[a-z][a-z' -]{1,24}", word) and len(word.split()) <= 3:
            found.add(word)
    return sorted(found)


def counts() -> dict[str, int]:
    """Return the counts of nouns in WordNet's tagged texts; nouns that do not occur are left out."""
    found: dict[str, int] = defaultdict(int)
    for line in _lines("cntlist.rev"):
        key, _, count = line.split()
        lemma, sense = key.split("%")
        if sense.startswith("1:"):
            found[lemma.replace("_", " ")] += int(count)
    return dict(found)


def meanings() -> dict[str, tuple[list[str], str]]:
    """Return (nouns of the same meaning, the noun itself among them; definition) of each noun.

    The meaning is the first of a kind in `VISIBLE` that is no name (Stephen Crane), else the first of all.
    """
    lemmas, shown, definitions = synsets()[0], _visible_synsets(), {}
    for line in _lines("data.noun"):
        head, gloss = line.split(" | ", 1)
        definitions[head.split(" ", 1)[0]] = re.sub(r"\(.*?\)", "", gloss.split(";")[0]).strip()
    found = {}
    for line in _lines("index.noun"):
        fields = line.split()
        own = fields[-int(fields[2]) :]
        synset = next((one for one in own if one in shown), own[0])
        nouns = [noun.replace("_", " ").lower() for noun in lemmas["n" + synset]]
        found[fields[0].replace("_", " ")] = (nouns, definitions[synset])
    return found


def _visible_synsets(kinds: Set[str] = VISIBLE) -> set[str]:
    """Return the ids of the noun synsets of these kinds that are no names."""
    found = (line.split(" | ")[0].split() for line in _lines("data.noun"))
    return {synset for synset, kind, *fields in found if kind in kinds and "@i" not in fields}


def visible(kinds: Set[str] = VISIBLE) -> set[str]:
    """Return the nouns that can name something in a picture: with a meaning of one of these kinds that is no name."""
    shown = _visible_synsets(kinds)
    index = (line.split() for line in _lines("index.noun"))
    return {fields[0].replace("_", " ") for fields in index if shown & set(fields[-int(fields[2]) :])}


def plural(noun: str) -> str:
    """Return the regular plural of a noun, or WordNet's irregular one."""
    *first, last = noun.split(" ")
    if last in irregular_plurals():
        end = irregular_plurals()[last]
    elif last.endswith("man") and last not in NO_MEN:
        end = last[:-3] + "men"
    elif re.search(r"([sxz]|[cs]h)$", last):
        end = last + "es"
    elif re.search(r"[^aeiou]y$", last):
        end = last[:-1] + "ies"
    else:
        end = last + "s"
    return " ".join([*first, end])


@cache
def irregular_plurals() -> dict[str, str]:
    """Return a map from singular to plural of WordNet's exceptions; of two plurals the first."""
    found: dict[str, str] = {}
    for line in _lines("noun.exc"):
        many, one = line.split()[:2]
        found.setdefault(one, many)
    return found


def levels() -> list[tuple[str, list[int]]]:
    """Return (name, ImageNet classes below it) of every hypernym in common use with `FEWEST` to `MOST` classes."""
    lemmas, above = synsets()
    below: dict[str, set[int]] = defaultdict(set)
    for index, wnid in enumerate(wnids()):
        todo, seen = [wnid], set()
        while todo:
            for up in above.get(todo.pop(), ()):
                if up not in seen:
                    seen.add(up)
                    below[up].add(index)
                    todo.append(up)
    found: dict[str, set[int]] = {}
    for synset, classes in below.items():
        name = lemmas[synset][0]
        if FEWEST <= len(classes) <= MOST and name not in ABSTRACT:
            found.setdefault(name.replace("_", " ").lower(), set()).update(classes)
    return sorted((name, sorted(classes)) for name, classes in found.items())


def noun_reader() -> Callable[[str], list[str]]:
    """Return a function from a caption to its distinct nouns, in the singular."""
    known = {line.split(" ", 1)[0] for line in _lines("index.noun")}
    exceptions = dict(line.split()[:2] for line in _lines("noun.exc"))
    endings = (("", ""), ("ies", "y"), ("ses", "s"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("s", ""))

    def other(word: str) -> bool:
        """Return whether a word is probably a verb form or a plural, even if WordNet has it as a noun."""
        return word.endswith("ing") or (word.endswith("s") and word[:-1] in known)

    def singular(word: str) -> str | None:
        if word in exceptions:
            return exceptions[word]
        for end, new in endings:
            if not word.endswith(end) or (not end and other(word)):
                continue
            stem = word[: len(word) - len(end)] + new
            if stem in known:
                return stem
        return None

    def read(caption: str) -> list[str]:
        words = (singular(word) for word in re.findall(r"[a-z]{3,}", caption.lower()) if word not in NO_NOUNS)
        return list(dict.fromkeys(word for word in words if word and word not in NO_NOUNS))

    return read
