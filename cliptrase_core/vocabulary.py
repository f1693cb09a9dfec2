"""From what a person types to classes, synonyms and background words.

Grammar: `;` or a new line separates classes, `,` inside a class separates synonyms (the first is shown); in a
text with neither, `,` separates classes. `| background: a, b` after the classes, or an entry that starts with
`background:` (up to the end of its line), names background words. The name of a data set in place of
the classes stands for its words.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from cliptrase_core.errors import InputError, explain
from cliptrase_core.result import BACKGROUND

DATASETS = ("voc20", "voc21", "pc59", "pc60", "pc459", "ade150", "ade847", "coco171", "coco80")
"""Data sets whose words come with the package."""

MAX_CHARACTERS = 200_000
MAX_CLASSES = 1_500
MAX_SYNONYMS = 64
MAX_BACKGROUND = 500
MAX_WORD = 300
"""The longest entry of ade847 has 113 characters."""
MAX_NOTES = 50

_EXAMPLE = 'Write for example "cat, kitten; dog | background: wall, floor".'
_SEPARATORS = re.compile(r"[;,|\s]+")
# The key may stand twice by mistake; it opens an entry, so it follows a separator or nothing.
_KEY = re.compile(rf"(?:^|(?<=[;,\n]))(?: *{BACKGROUND} *:)+", re.IGNORECASE)
_KEY_LINE = re.compile(_KEY.pattern + r"([^\n]*)", re.IGNORECASE)
_LINE_ENDS = re.compile("\r\n|[\r\u0085\u2028\u2029]")
# Joiners shape Persian, Indic scripts and emoji: kept for display, ignored when words are compared.
_JOINERS = re.compile("[\u200c\u200d\ufe0e\ufe0f]")
# Control (C0, C1), lone surrogates, soft hyphen, bidi marks and isolates, zero-width marks, tag characters.
_UNWANTED = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)


@dataclass(frozen=True)
class WordGroup:
    """A class: the name that is shown and every word that means it, the name first."""

    name: str
    prompts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that there is something to compare the picture with."""
        if not self.prompts:
            raise InputError(explain("class", expected="at least one word", got="none", remedy="Give it its own name."))


@dataclass(frozen=True)
class Vocabulary:
    """What a picture is divided among.

    Attributes:
        classes: in the order of the labels, at least one.
        background: words that all share the label after the last class.
        notes: what became of words that were merged or dropped; not compared by `==`.
    """

    classes: tuple[WordGroup, ...]
    background: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Check that there is a class."""
        if not self.classes:
            raise _refuse("at least one class", "none", _EXAMPLE)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every word, P in all: the classes' in order, then the background's."""
        return tuple(word for group in self.classes for word in group.prompts) + self.background

    @property
    def prompt_labels(self) -> tuple[int, ...]:
        """Label of each prompt; background words share C = `len(classes)`."""
        own = tuple(label for label, group in enumerate(self.classes) for _ in group.prompts)
        return own + (len(self.classes),) * len(self.background)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Shown name of each label; the last is "background" when there are background words."""
        return tuple(group.name for group in self.classes) + ((BACKGROUND,) if self.background else ())

    @property
    def text(self) -> str:
        """One line that `parse_vocabulary` reads back as this vocabulary.

        Every parsed vocabulary comes back equal, while its text keeps within `MAX_CHARACTERS`. In one that was
        built by hand, separators inside words (which the grammar cannot express) become spaces.
        """
        for name in sorted(DATASETS, key=lambda name: -len(dataset_vocabulary(name).background)):
            known = dataset_vocabulary(name)
            own = len(known.background)
            if self.classes == known.classes and self.background[:own] == known.background:
                extra = ", ".join(map(_plain, self.background[own:]))
                return f"{name} | {BACKGROUND}: {extra}" if extra else name
        text = "; ".join(", ".join(map(_plain, group.prompts)) for group in self.classes)
        only = self.classes[0]
        # A lone class ends in ";", else its synonyms would be read as classes or its name as a data set.
        if len(self.classes) == 1 and (len(only.prompts) > 1 or only.name.casefold() in DATASETS):
            text += ";"
        if self.background:
            text += f" | {BACKGROUND}: " + ", ".join(map(_plain, self.background))
        return text


def parse_vocabulary(text: str) -> Vocabulary:
    """Read a vocabulary as a person writes it; see the grammar at the top of this file.

    Words are compared by their folded form (NFKC, case folded) and shown as written. A class that is named twice
    is one class with the synonyms of both; a synonym that is another class's name, or already a synonym of an
    earlier class, is dropped; a background word that belongs to a class stays there. Each of these leaves a note.
    Empty entries are skipped in silence, as are repeated words within a class.

    Raises:
        InputError: no text, no class, an unknown section, a class named "background" beside background words, or
            more than the limits of this module allow.
    """
    cleaned = _clean(text)
    if cleaned.strip().casefold() in DATASETS:
        return dataset_vocabulary(cleaned.strip().casefold())
    class_text, background_text = _sections(cleaned)
    if class_text.casefold() in DATASETS:
        return _with_background(dataset_vocabulary(class_text.casefold()), background_text)
    notes: dict[str, None] = {}  # ordered, each once
    groups = _merge(_entries(class_text), notes)
    background = _words(re.split(r"[;,\n]", background_text))
    if background and _fold(BACKGROUND) in groups:
        raise _refuse(
            f'no class named "{BACKGROUND}" beside background words',
            "both",
            "Rename the class, or move it after the |.",
        )
    kept = _background(background, groups, notes)
    _check_counts(groups, kept)
    classes = tuple(WordGroup(next(iter(words.values())), tuple(words.values())) for words in groups.values())
    return Vocabulary(classes, kept, _shorten(tuple(notes)))


@cache
def dataset_vocabulary(name: str) -> Vocabulary:
    """Words of a data set as published: each entry is one prompt, even with commas; repeated words stay.

    Raises:
        InputError: there is no such data set.
    """
    if name not in DATASETS:
        raise InputError(
            explain(
                "data set",
                expected="one of " + ", ".join(DATASETS),
                got=repr(name),
                remedy="Choose one of these.",
            )
        )
    entry = _read_datasets()[name]
    names, background = (tuple(" ".join(word.split()) for word in entry[key]) for key in ("classes", "background"))
    return Vocabulary(tuple(WordGroup(word, (word,)) for word in names), background)


@cache
def _read_datasets() -> dict[str, dict[str, list[str]]]:
    source = resources.files("cliptrase_core").joinpath("data/classes.json")
    data: dict[str, dict[str, list[str]]] = json.loads(source.read_text(encoding="utf-8"))
    return data


def _clean(text: str) -> str:
    """NFC, line ends as "\\n", other white space as " ", without characters that cannot be seen."""
    if not isinstance(text, str):
        raise _refuse("a text", type(text).__name__, _EXAMPLE)
    if len(text) > MAX_CHARACTERS:
        raise _refuse(f"at most {MAX_CHARACTERS} characters", str(len(text)), "Leave some words out.")
    text = re.sub(r"[^\S\n]", " ", _LINE_ENDS.sub("\n", text))
    # NFC comes before splitting: it makes a separator of U+037E, the Greek question mark.
    return unicodedata.normalize("NFC", _UNWANTED.sub("", text))


def _with_background(base: Vocabulary, text: str) -> Vocabulary:
    """A data set's words with further background words."""
    notes: dict[str, None] = {}
    groups = {_fold(group.name): {_fold(word): word for word in group.prompts} for group in base.classes}
    own = [word for word in _words(re.split(r"[;,\n]", text)) if word not in base.background]
    kept = (*base.background, *_background(own, groups, notes))
    _check_counts(groups, kept)
    return Vocabulary(base.classes, kept, _shorten(tuple(notes)))


def _sections(text: str) -> tuple[str, str]:
    """(class part, background part), keys removed."""
    class_text, *rest = text.split("|")
    if len(rest) > 1:
        raise _refuse("at most one |", str(len(rest)), f"Put all background words after one |. {_EXAMPLE}")
    if rest and not _KEY.match(rest[0]):
        raise _refuse(f'"{BACKGROUND}:" after |', _quote(rest[0]), _EXAMPLE)
    background = [line.group(1) for line in _KEY_LINE.finditer(class_text)] + rest
    return _KEY_LINE.sub("", class_text).strip(" \n"), "\n".join(_KEY.sub("", part) for part in background)


def _entries(class_text: str) -> list[dict[str, str]]:
    """Words of each class, folded -> as written; empty classes left out."""
    if re.search(r"[;\n]", class_text):
        entries = [entry.split(",") for entry in re.split(r"[;\n]", class_text)]
    else:
        entries = [[word] for word in class_text.split(",")]
    groups = []
    for entry in entries:
        words: dict[str, str] = {}
        for word in _words(entry):
            words.setdefault(_fold(word), word)
        if words:
            groups.append(words)
    return groups


def _words(raw: Iterable[str]) -> list[str]:
    words = [" ".join(word.split()) for word in raw]
    for word in words:
        if len(word) > MAX_WORD:
            raise _refuse(
                f"at most {MAX_WORD} characters in a word",
                f"{len(word)} in {_quote(word)}",
                "Shorten it, or separate its words by , or ;.",
            )
    return [word for word in words if _fold(word)]


def _merge(entries: list[dict[str, str]], notes: dict[str, None]) -> dict[str, dict[str, str]]:
    """Folded name -> words of the class, no word in two classes."""
    groups: dict[str, dict[str, str]] = {}
    for words in entries:
        key, name = next(iter(words.items()))
        if key in groups:
            notes[f'"{name}" is given as a class more than once: united into one.'] = None
        group = groups.setdefault(key, {})
        for folded, word in words.items():
            group.setdefault(folded, word)
    # Names first: whoever names a class wants it, whatever other classes list as a synonym.
    owner = {key: key for key in groups}
    for key, group in groups.items():
        for folded in list(group):
            if owner.setdefault(folded, key) != key:
                other = next(iter(groups[owner[folded]].values()))
                name = next(iter(group.values()))
                notes[f'"{group.pop(folded)}" belongs to "{other}": dropped from "{name}".'] = None
    return groups


def _background(words: list[str], groups: dict[str, dict[str, str]], notes: dict[str, None]) -> tuple[str, ...]:
    taken = {folded for group in groups.values() for folded in group}
    kept: dict[str, str] = {}
    for word in words:
        folded = _fold(word)
        if folded in taken:
            notes[f'"{word}" is both a class and a background word: kept as a class.'] = None
        elif folded in kept:
            notes[f'"{word}" is given as a background word more than once: kept once.'] = None
        else:
            kept[folded] = word
    return tuple(kept.values())


def _check_counts(groups: dict[str, dict[str, str]], background: tuple[str, ...]) -> None:
    if not groups:
        raise _refuse("at least one class", "only background words" if background else "none", _EXAMPLE)
    if len(groups) > MAX_CLASSES:
        raise _refuse(f"at most {MAX_CLASSES} classes", str(len(groups)), "Leave some classes out.")
    if len(background) > MAX_BACKGROUND:
        raise _refuse(f"at most {MAX_BACKGROUND} background words", str(len(background)), "Leave some out.")
    for words in groups.values():
        if len(words) > MAX_SYNONYMS:
            raise _refuse(
                f"at most {MAX_SYNONYMS} synonyms in a class",
                f"{len(words)} in {_quote(next(iter(words.values())))}",
                "Separate classes by ; or a new line, or leave some synonyms out.",
            )


def _fold(word: str) -> str:
    folded = unicodedata.normalize("NFKC", word).casefold()
    return " ".join(_JOINERS.sub("", unicodedata.normalize("NFKC", folded)).split())


def _plain(word: str) -> str:
    word = _SEPARATORS.sub(" ", word).strip()
    return word.replace(":", " ") if _KEY.match(word) else word


def _shorten(notes: tuple[str, ...]) -> tuple[str, ...]:
    more = len(notes) - MAX_NOTES
    return notes if more <= 0 else (*notes[:MAX_NOTES], f"... and {more} more notes of this kind.")


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return f'"{text}"' if len(text) <= 40 else f'"{text[:40]}..."'


def _refuse(expected: str, got: str, remedy: str) -> InputError:
    return InputError(explain("vocabulary", expected=expected, got=got, remedy=remedy))
