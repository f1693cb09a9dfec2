"""Find and check the data of an evaluation before a model is loaded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import isdir, isfile
from pathlib import Path

from cliptrase_core.errors import InputError, counted, expect_one_of, one_line
from cliptrase_core.evaluation.examples import read_examples
from cliptrase_core.evaluation.layouts import Layout, Pair, find_pairs, missing_folders
from cliptrase_core.evaluation.mask_check import Convention, described, expect_usable, summarise
from cliptrase_core.evaluation.numbers import Numbers
from cliptrase_core.evaluation.profiles import PROFILES
from cliptrase_core.evaluation.readers.base import AbsentError, Found, fitting_words, own_set
from cliptrase_core.evaluation.readers.registry import serving, states
from cliptrase_core.evaluation.request import OwnSet, Request, chosen_protocol
from cliptrase_core.evaluation.settings import EXAMPLES, SETTINGS, Setting, find_layout, setting_by_name
from cliptrase_core.evaluation.sources import Examples, Folders, Source, read_stored, read_turned
from cliptrase_core.evaluation.word_lists import setting_words, usual_words
from cliptrase_core.io.files import asset
from cliptrase_core.io.image import read_image
from cliptrase_core.names import PUBLISHED
from cliptrase_core.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Data:
    """Pictures with their ground truth.

    Attributes:
        source: reader of the pictures and masks.
        title: readable name of the data set.
        layout: readable name of the folder layout.
        words: classes, if all pictures share them; else None.
        word_list: name of the word list of a benchmark; None for the user's own words.
        keys_sha256: digest of the names of all pictures of the data set, regardless of any limit.
        pairs: picture and mask files; empty for the bundled examples.
        convention: meaning of the numbers in the masks.
    """

    source: Source
    title: str
    layout: str
    words: Vocabulary | None = None
    word_list: str | None = None
    keys_sha256: str | None = None
    pairs: Sequence[Pair] = ()
    convention: Convention | None = None

    def expect_usable(self) -> None:
        """Raise InputError if the masks would give no figures or wrong ones; opens up to a hundred masks."""
        if self.convention is None:
            return
        found = summarise(self.pairs, self.convention)
        expect_usable(found, self.convention, len(found) == len(self.pairs))


def find_data(request: Request) -> Data:
    """Find the requested data; reads no picture.

    Raises:
        InputError: missing folders, or words that do not match the data set.
    """
    protocol = chosen_protocol(request)
    if request.data == EXAMPLES:
        bundled = read_examples(asset("examples"))
        keys = sha256_of([example.name for example in bundled])
        return Data(Examples(bundled, request.limit), "Bundled examples", "bundled", keys_sha256=keys)
    word_list: str | None = None
    published = False
    if not isinstance(request.data, str):
        own = request.data
        every: Sequence[Pair] = own.pairs()
        layout, numbers = own.title, own.numbers
        title, words, convention = own.name, own.words, own.convention
    else:
        setting = setting_by_name(request.data)
        root, title, word_list = expect_root(request.root), setting.title, _word_list(request, setting, protocol)
        words = setting_words(setting.name, word_list)
        every, layout, numbers, published = _benchmark(setting, root, protocol, request)
        if request.vocabulary is not None:
            words, word_list = fitting_words(request.vocabulary, words), None
        convention = setting_convention(setting, numbers, words)
    pairs = every[: request.limit]
    read = read_image if protocol == "whole" else read_stored if published and protocol == "paper" else read_turned
    return Data(
        source=Folders(pairs, numbers, words, read),
        title=title,
        layout=layout,
        words=words,
        word_list=word_list,
        keys_sha256=sha256_of([pair.key for pair in every]),
        pairs=pairs,
        convention=convention,
    )


def _benchmark(
    setting: Setting, root: Path, protocol: str, request: Request
) -> tuple[Sequence[Pair], str, Numbers, bool]:
    """Return a setting's pictures, the layout's title and its numbers, from its own layouts or those of the readers.

    The last value is True for the files of the benchmark. An export that names its own classes may hold anyone's
    photographs, whose masks were drawn on upright pictures.
    """
    problem: InputError | None = None
    if request.layout is None:
        try:
            layout, numbers = find_layout(setting, root, protocol, request.quirks)
            return find_pairs(layout, root), layout.title, numbers, True
        except InputError as error:
            problem = error
    try:
        found = None if request.quirks else serving(setting.name, root, protocol, request.layout)
    except AbsentError as error:
        raise InputError(f"{problem} The folder has {error}.") from error
    if found is not None:
        return found[0].pairs, found[0].title, found[1], not found[0].names
    raise problem or InputError(
        "layout", expected="none with the published script", got=str(request.layout), remedy="Leave it out."
    )


def _word_list(request: Request, setting: Setting, protocol: str) -> str:
    """Return the requested word list, or by default that of the protocol."""
    return request.words or usual_words(setting.name, PROFILES[protocol].words if protocol in PROFILES else PUBLISHED)


def setting_convention(setting: Setting, numbers: Numbers, words: Vocabulary) -> Convention:
    """Return the expected meaning of the numbers in a setting's masks, and their meanings in other layouts."""
    others = {
        layout.title: layout.numbers for layout in setting.layouts if layout.numbers and layout.numbers != numbers
    }
    return Convention(numbers, len(words.classes), words.class_names[0], others)


def expect_root(root: Path | None) -> Path:
    """Return the folder of `--data`.

    Raises:
        InputError: no such folder, or no permission to list it.
    """
    if root is None or not isdir(root):
        got = "nothing" if root is None else str(root)
        raise InputError("data", expected="a folder that holds the data", got=got, remedy="Give --data ROOT.")
    try:
        os.scandir(root).close()
    except OSError as error:
        got = f"{root} ({error.strerror})"
        raise InputError("data", expected="a folder that may be listed", got=got, remedy="Check its owner.") from error
    return root


def sha256_of(value: object) -> str:
    """Return the SHA-256 digest of a JSON-able value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def check(setting: str | None, root: Path | None) -> Iterator[str]:
    """Yield lines about the available data of one setting, or of all settings.

    Raises:
        InputError: unknown setting, or no root folder.
    """
    if setting is not None:
        expect_one_of("setting", setting, tuple(SETTINGS))
    root = expect_root(root)
    for entry in SETTINGS.values() if setting is None else [SETTINGS[setting]]:
        yield f"{entry.name}: {entry.title}"
        for layout in entry.layouts:
            yield from _state(entry, layout, root)
    yield "layouts of tools and archives (--layout):"
    for line, found in states(root, setting):
        yield f"  {'-' if found is None else '+'} {line}"
        if found is not None:
            yield f"    {_counted(found.pairs, 'complete')}"
            try:
                yield from _masks(found.pairs, _convention(found, setting))
            except InputError as error:
                yield f"    an evaluation would fail: {one_line(error)}"


def _convention(found: Found, setting: str | None) -> Convention | None:
    """Return the expected meaning of the numbers in masks; None if only a setting defines it."""
    if setting is None:
        return own_set(found, "").convention if found.names else None
    return setting_convention(SETTINGS[setting], found.numbers_in(setting, "paper"), setting_words(setting))


def check_folders(data: OwnSet | Layout) -> Iterator[str]:
    """Yield lines about a custom data set; a layout without a vocabulary lists the numbers in its masks.

    Raises:
        InputError: no pictures, or a listing that cannot be read.
    """
    pairs = find_pairs(data, Path()) if isinstance(data, Layout) else data.pairs()
    yield "no vocabulary" if isinstance(data, Layout) else f"{data.name}: {', '.join(data.words.class_names)}"
    yield f"  + {data.title}: {_counted(pairs, 'complete')}"
    yield from _masks(pairs, None if isinstance(data, Layout) else data.convention)


def _state(setting: Setting, layout: Layout, root: Path) -> Iterator[str]:
    missing = missing_folders(layout, root)
    if missing:
        yield f"  - {layout.title}: no {', no '.join(map(str, missing))}"
        return
    try:
        pairs = find_pairs(layout, root)
    except InputError as error:
        yield f"  - {layout.title}: {one_line(error)}"
        return
    numbers = layout.numbers or layout.quirk_numbers
    yield f"  + {layout.title}: {_counted(pairs, 'complete' if layout.numbers else 'for --reference-quirks only')}"
    if numbers is not None:
        yield from _masks(pairs, setting_convention(setting, numbers, setting_words(setting.name)))


def _counted(pairs: Sequence[Pair], use: str) -> str:
    no_image = sum(not isfile(pair.image) for pair in pairs)
    no_mask = sum(not isfile(pair.mask) for pair in pairs)
    state = (
        use if not no_image + no_mask else f"{counted(no_image, 'picture')} and {counted(no_mask, 'mask')} are missing"
    )
    return f"{counted(len(pairs), 'picture')}, {state}"


def _masks(pairs: Sequence[Pair], convention: Convention | None) -> Iterator[str]:
    found = summarise(pairs, convention)
    yield from described(found, convention)
    if convention is None:
        return
    try:
        expect_usable(found, convention, len(found) == len(pairs))
    except InputError as error:
        yield f"    an evaluation would fail: {one_line(error)}"
