"""Vocabularies: classes, their synonyms and background words; also the vocabularies of data sets in the package.

Grammar: `;` or a new line separates classes, `,` inside a class separates synonyms (the first is shown); in a
text with neither, `,` separates classes. `| background: a, b` after the classes, or an entry that starts with
`background:` (up to the end of its line), names background words. The name of a data set instead of classes
selects its words. `parsing` reads other layouts, as people paste them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources

from cliptrase_core.errors import InputError
from cliptrase_core.names import DATASETS, fold
from cliptrase_core.results import BACKGROUND, is_background
from cliptrase_core.text.parsing import (
    EXAMPLE,
    MOST_DOUBTS,
    VERBATIM,
    clean,
    quoted,
    read_typed,
    refuse,
    removed_controls,
    western,
)

MAX_CHARACTERS = 200_000
MAX_CLASSES = 1_500
MAX_SYNONYMS = 64
MAX_BACKGROUND = 500
MAX_WORD = 300
"""Limit of characters in a word; the longest entry of ade847 has 113 characters."""
MAX_NOTES = 50

MANY_SYNONYMS = 12
"""Number above which synonyms are seldom intended: a data set's class has at most 8 in published lists."""

_SEPARATORS = re.compile(r"[;,|\s]+")
_KEY = re.compile(rf"(?:[-*•][ \t]+)?{BACKGROUND}[ \t]*[:\uff1a]", re.IGNORECASE)
_FILE = re.compile(r"@.*\.\w+|[^\s;,|]+\.(?:txt|json|csv|tsv|ya?ml|names)", re.IGNORECASE)
_UNDERLINED = re.compile(rf"^_+{BACKGROUND}_+$", re.IGNORECASE)  # spelling of LabelMe and PASCAL


@dataclass(frozen=True)
class WordGroup:
    """A class: its shown name, and all its words (the name first, then the synonyms)."""

    name: str
    prompts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that there is at least one word."""
        if not self.prompts:
            raise InputError("class", expected="at least one word", got="none", remedy="Give it its own name.")


@dataclass(frozen=True)
class Vocabulary:
    """Classes and background words for the segmentation of a picture.

    Attributes:
        classes: classes in the order of the labels, at least one.
        background: words that all share the label after the last class.
        notes: remarks on the interpretation of the text, on merged or dropped words, and on a single class; not
            compared by `==`. Of many, only the first `MAX_NOTES`.
        united: remarks on classes that were united with another class or with the background words, all of them; with
            any, there are fewer classes than entries. Not compared by `==`.
    """

    classes: tuple[WordGroup, ...]
    background: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)
    united: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Check that there is a class. If there is only one, add a note that it takes the whole picture."""
        if not self.classes:
            raise refuse("at least one class", "none", EXAMPLE)
        alone = _alone(self.classes[0])
        if len(self.classes) == 1 and not self.background and alone not in self.notes:
            object.__setattr__(self, "notes", (alone, *self.notes))

    @property
    def prompts(self) -> tuple[str, ...]:
        """All P words: those of the classes in order, then the background words."""
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
    def notes_beside_others(self) -> tuple[str, ...]:
        """Notes for use beside further labels: without the note that a single class takes the whole picture."""
        return tuple(note for note in self.notes if note != _alone(self.classes[0]))

    @cached_property
    def text(self) -> str:
        """One line that `parse_vocabulary` reads back as this vocabulary.

        A parsed vocabulary is read back as an equal one, if its text is within `MAX_CHARACTERS`. In a vocabulary
        built by hand, separators inside words (which the grammar cannot express) become spaces.
        """
        for name in sorted(DATASETS, key=lambda name: -len(dataset_vocabulary(name).background)):
            known = dataset_vocabulary(name)
            own = len(known.background)
            if self.classes == known.classes and self.background[:own] == known.background:
                extra = ", ".join(map(_plain, self.background[own:]))
                return f"{name} | {BACKGROUND}: {extra}" if extra else name
        classes = [[_plain(word) for word in group.prompts] for group in self.classes]
        line = "; ".join(", ".join(words) for words in classes)
        background = [_plain(word) for word in self.background]
        end = f" | {BACKGROUND}: " + ", ".join(background) if background else ""
        # ";": a single class is not read as several or as a data set. ";;": words are not read as a layout.
        texts = [f"{line}{mark}{end}" for mark in ("", ";", VERBATIM)]
        return next((text for text in texts[:-1] if _reads_back(text, classes, background)), texts[-1])


def parse_vocabulary(text: str) -> Vocabulary:
    """Read a vocabulary as a person writes or pastes it; see the grammar at the top of this file, and `parsing`.

    Words are compared by their folded form (NFKC, case folded) and shown as written. A class that is named twice
    is one class with the synonyms of both. A synonym is dropped if it is another class's name or already a synonym
    of an earlier class. A background word is dropped if it belongs to a class. A class named "background" is united
    with the background words, if there are any. Each of these adds a note, and so does a layout other than the
    grammar. Empty entries and repeated words within a class are skipped without a note.

    Raises:
        InputError: no text, no class, an unknown section, or more than the limits of this module allow.
    """
    typed = read_typed(_checked(text))
    removed = removed_controls(text)
    name, note = _dataset_called(typed.alone)
    if name:
        return _with_background(dataset_vocabulary(name), typed.background, [*removed, *filter(None, [note])])
    notes, united = dict.fromkeys([*removed, *typed.notes]), dict[str, None]()  # ordered, each once
    groups = _merge(filter(None, map(_folded, typed.classes)), notes, united)
    background = [word for word in _words(typed.background) if word]
    if background and (key := next(filter(is_background, groups), None)):
        own = list(groups.pop(key).values())
        note = f'"{own[0]}" as a class and the background words are one.'
        notes[note] = united[note] = None
        background = own + background
    kept = _background(background, groups, notes)
    _check_counts(groups, kept)
    classes = tuple(WordGroup(next(iter(words.values())), tuple(words.values())) for words in groups.values())
    if len(classes) == 1 and _FILE.fullmatch(classes[0].name):
        name = quoted(classes[0].name)
        notes[f"{name} is the name of a class here, not of a file: give the words of the file instead."] = None
    for group in classes:
        if len(group.prompts) > MANY_SYNONYMS:
            notes[
                f"{quoted(group.name)} has {len(group.prompts) - 1} synonyms, all shown under its name. If they are "
                f'what is only background, write "{BACKGROUND}:" before them.'
            ] = None
    return Vocabulary(classes, kept, _shorten(tuple(notes)), tuple(united))


def vocabulary_of(classes: Iterable[str | Sequence[str]] | Mapping[str, str | Sequence[str]]) -> Vocabulary:
    """Build a vocabulary from a list: each entry is a class; "cat, kitten" or ["cat", "kitten"] has a synonym.

    Args:
        classes: entries in order; one that starts with "background:" names background words; a mapping has the synonyms
            of each name.

    Raises:
        InputError: an entry that is not a text, or any error of `parse_vocabulary`.
    """
    if isinstance(classes, Mapping):
        classes = [_with_synonyms(name, more) for name, more in classes.items()]
    entries = [[entry] if isinstance(entry, str) else entry for entry in classes]
    lines, doubts = [], dict[str, None]()
    for entry in entries:
        if not isinstance(entry, (list, tuple)) or not all(isinstance(word, str) for word in entry):
            got = f"an entry of type {type(entry).__name__}"
            raise refuse("a text, or a list of texts", got, 'For example ["cat, kitten", "dog"].')
        for word in entry:
            if re.search(r"\S\s*[;|\n\r]\s*\S", western(word)):
                doubts[
                    f'{quoted(word)} is read as one word. Give each class, and "{BACKGROUND}: ...", its own entry.'
                ] = None
        lines.append(re.sub(r"[;|\s]+", " ", western(", ".join(entry))))
    found = parse_vocabulary(";\n".join(lines) + VERBATIM)
    return replace(found, notes=_shorten((*[*doubts][:MOST_DOUBTS], *found.notes))) if doubts else found


def _with_synonyms(name: str, more: object) -> list[str]:
    if not isinstance(more, (str, list, tuple)) and more is not None:
        got = f"{type(more).__name__} for {quoted(str(name))}"
        raise refuse("a text or a list of synonyms for each name", got, "For classes without synonyms give a list.")
    return [name, *([more] if isinstance(more, str) else more or ())]


def dataset_vocabulary(name: str) -> Vocabulary:
    """Return the words of a data set as published: each entry is one prompt, even with commas; repetitions stay.

    Args:
        name: its name, or a common one, as in a vocabulary: "voc20", "VOC", "ade20k".

    Raises:
        InputError: there is no such data set.
    """
    called = dataset_called(name) if isinstance(name, str) else None
    if called is None:
        remedy = "Choose one of these, or a common name of one."
        raise InputError("data set", expected=f"one of {', '.join(DATASETS)}", got=repr(name), remedy=remedy)
    return _published(called)


@cache
def _published(name: str) -> Vocabulary:
    entry = dataset_entries()[name]
    names, background = (tuple(" ".join(word.split()) for word in entry[key]) for key in ("classes", "background"))
    return Vocabulary(tuple(WordGroup(word, (word,)) for word in names), background)


def _checked(text: str) -> str:
    """Check the type and the length of a text; return it cleaned."""
    if not isinstance(text, str):
        raise refuse("a text", type(text).__name__, EXAMPLE)
    if len(text) > MAX_CHARACTERS:
        raise refuse(f"at most {MAX_CHARACTERS} characters", str(len(text)), "Leave some words out.")
    return clean(text)


def _dataset_called(text: str) -> tuple[str | None, str]:
    """Return the data set that a text names, or None, and a note if the text is another name for it."""
    text = text.strip().casefold()
    name = dataset_called(text)
    if not name or name == text:
        return name, ""
    # A word may look like the name of a data set, such as "coco".
    count = len(dataset_vocabulary(name).classes)
    return name, f'Read as the {count} classes of the data set {name}. For one class of that name write "{text};".'


def _with_background(base: Vocabulary, words: Iterable[str], about: Iterable[str]) -> Vocabulary:
    """Return a data set's vocabulary with further background words and notes about its text, if there are any."""
    notes: dict[str, None] = dict.fromkeys(about)
    groups = {fold(group.name): {fold(word): word for word in group.prompts} for group in base.classes}
    own = [word for word in _words(words) if word and word not in base.background]
    kept = (*base.background, *_background(own, groups, notes))
    if kept == base.background and not notes:
        return base
    _check_counts(groups, kept)
    return Vocabulary(base.classes, kept, _shorten(tuple(notes)))


def _reads_back(text: str, classes: list[list[str]], background: list[str]) -> bool:
    """Return whether a text is parsed into these words again; folding and merging were done before."""
    typed = read_typed(clean(text))
    found = [words for words in ([word for word in _words(entry) if word] for entry in typed.classes) if words]
    own = [[" ".join(word.split()) for word in words] for words in classes]
    more = [word for word in _words(typed.background) if word]
    return not _dataset_called(typed.alone)[0] and not typed.notes and (found, more) == (own, background)


def _folded(entry: Iterable[str]) -> dict[str, str]:
    """Return the words of a class as written, by their folded form."""
    words: dict[str, str] = {}
    for word in _words(entry):
        words.setdefault(fold(word), word)
    return words


def _words(raw: Iterable[str]) -> list[str]:
    words = [_UNDERLINED.sub(BACKGROUND, " ".join(word.split())) for word in raw]
    for word in words:
        if len(word) > MAX_WORD:
            raise refuse(
                f"at most {MAX_WORD} characters in a word",
                f"{len(word)} in {quoted(word)}",
                "Shorten it, or separate its words by , or ;.",
            )
    return [word for word in words if fold(word)]


def _merge(
    entries: Iterable[dict[str, str]], notes: dict[str, None], united: dict[str, None]
) -> dict[str, dict[str, str]]:
    """Return the words of each class by its folded name; no word is in two classes. Adds to `notes` and `united`."""
    groups: dict[str, dict[str, str]] = {}
    for words in entries:
        key, name = next(iter(words.items()))
        if key in groups:
            note = f'"{name}" is given as a class more than once: united into one.'
            notes[note] = united[note] = None
        group = groups.setdefault(key, {})
        for folded, word in words.items():
            group.setdefault(folded, word)
    # Names have precedence over synonyms of other classes.
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
        folded = fold(word)
        if folded in taken:
            notes[f'"{word}" is both a class and a background word: kept as a class.'] = None
        elif folded in kept:
            notes[f'"{word}" is given as a background word more than once: kept once.'] = None
        else:
            kept[folded] = word
    return tuple(kept.values())


def _check_counts(groups: dict[str, dict[str, str]], background: tuple[str, ...]) -> None:
    if not groups:
        raise refuse("at least one class", "only background words" if background else "none", EXAMPLE)
    if len(groups) > MAX_CLASSES:
        raise refuse(f"at most {MAX_CLASSES} classes", str(len(groups)), "Leave some classes out.")
    if len(background) > MAX_BACKGROUND:
        raise refuse(f"at most {MAX_BACKGROUND} background words", str(len(background)), "Leave some out.")
    for words in groups.values():
        if len(words) > MAX_SYNONYMS:
            raise refuse(
                f"at most {MAX_SYNONYMS} synonyms in a class",
                f"{len(words)} in {quoted(next(iter(words.values())))}",
                "Separate classes by ; or a new line, or leave some synonyms out.",
            )


def _plain(word: str) -> str:
    word = _SEPARATORS.sub(" ", word).strip()
    return word.replace(":", " ") if _KEY.match(word) else word


def _alone(group: WordGroup) -> str:
    """Return the note that a single class takes the whole picture, with advice on further words."""
    name = group.name if len(group.name) <= 40 else "..."
    more = [word for word in ("wall", "grass", "sky") if word not in group.prompts][:2]
    note = (
        f"{quoted(group.name)} is the only class, so it takes the whole picture. Add what else is there, such as "
        f'"{"; ".join([name, *more])}", or what is only background: "{name} | {BACKGROUND}: {", ".join(more)}".'
    )
    if len(group.prompts) > 1:
        return f"{note} Its other words are synonyms. To make them classes, separate them by ;"
    words = [word for word in name.split() if word.isalpha() and word != "and"]
    return f'{note} For one class a word write "{"; ".join(words)}".' if 1 < len(words) < 7 else note


def _shorten(notes: tuple[str, ...]) -> tuple[str, ...]:
    more = len(notes) - MAX_NOTES
    return notes if more <= 0 else (*notes[:MAX_NOTES], f"... and {more} more notes of this kind.")


_ALSO_CALLED = {
    "voc20": "voc pascalvoc voc2007 voc2012 pascalvoc2007 pascalvoc2012 pascalvoc20",
    "voc21": "pascalvoc21",
    "pc59": "pascalcontext context59 pascalcontext59",
    "pc60": "context60 pascalcontext60",
    "pc459": "context459 pascalcontext459 pascalcontextfull",
    "ade150": "ade ade20k ade20k150",
    "ade847": "adefull ade20kfull ade20k847",
    "coco171": "cocostuff cocostuff171 cocostuff164k cocostuff10k",
    "coco80": "coco mscoco coco2014 coco2017 cocoobject cocoobject80 coco81",
    "cityscapes": "",
}
_DATASET_CALLED = {alias: name for name, aliases in _ALSO_CALLED.items() for alias in (name, *aliases.split())}


def dataset_called(text: str) -> str | None:
    """Return the data set of a common name, or None; case and separators do not matter: "VOC-20", "ADE 20K"."""
    return _DATASET_CALLED.get(re.sub(r"[\s._-]+", "", text.casefold())) if len(text) < 40 else None


@cache
def dataset_entries() -> dict[str, dict[str, list[str]]]:
    """Return the classes and background words of each data set, as published."""
    source = resources.files("cliptrase_core.text").joinpath("classes.json")
    data: dict[str, dict[str, list[str]]] = json.loads(source.read_text(encoding="utf-8"))
    return data
