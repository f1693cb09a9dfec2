"""Search for the pictures of a command (files, folders, patterns), and names of their results."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cliptrase_core.errors import InputError, counted
from cliptrase_core.io.files import PICTURE_ENDS, is_ours, read_digests, safe_stem

_WILD = "*?["


def find_pictures(arguments: Sequence[str], *, recursive: bool = False) -> tuple[list[Path], list[str]]:
    """Find all pictures named by the arguments, each once, in the order of the arguments; those of a folder by name.

    Args:
        arguments: files; folders, whose pictures are found by their endings; patterns such as "*.jpg" that a shell did
            not expand. A missing file stays in the list: the error is raised when it is read.
        recursive: search subfolders and links to folders too, except hidden ones; each folder once.

    Returns:
        Pictures, and notes on files that were left out: results of this program, and links to missing pictures.

    Raises:
        InputError: a folder or a pattern without pictures, or only results of this program.
    """
    found: dict[str, Path] = {}
    broken: set[str] = set()
    for argument in arguments:
        for path in _matching(argument, recursive, broken):
            found.setdefault(os.path.abspath(path), path)
    lists: dict[Path, dict[str, set[str]]] = {}
    pictures = [path for full, path in found.items() if not _is_result(path) and not _is_copy(Path(full), lists)]
    if not pictures:
        got = f"{counted(len(found), 'result')} of this program"
        raise InputError("pictures", expected="at least one", got=got, remedy="Name other files.")
    results = len(found) - len(pictures)
    notes = [f"Left out: {counted(results, 'result')} of this program among the pictures."] if results else []
    return pictures, notes + ([f"Left out: {counted(len(broken), 'link')} to missing pictures."] if broken else [])


def _is_result(path: Path) -> bool:
    return path.suffix == ".png" and is_ours(path)


def _is_copy(path: Path, lists: dict[Path, dict[str, set[str]]]) -> bool:
    """Return whether this program copied a picture into a data set; a copy without a mark is in a list of digests.

    Args:
        path: absolute path.
        lists: lists that were read before, by folder; a new one is added.
    """
    folder, name = path.parent.parent, f"{path.parent.name}/{path.name}"
    if folder not in lists:
        lists[folder] = read_digests(folder)
    try:
        return name in lists[folder] and hashlib.sha256(path.read_bytes()).hexdigest() in lists[folder][name]
    except OSError:
        return False


def _matching(argument: str, recursive: bool, broken: set[str]) -> list[Path]:
    """Return the pictures of one argument in order; add links to missing pictures to `broken`."""
    if not argument:  # to pathlib, the current folder
        remedy = "Name it; the current folder is called . here."
        raise InputError("picture", expected="a file, a folder or a pattern", got="an empty name", remedy=remedy)
    path = Path(argument)
    try:
        folder, wild = path.is_dir(), any(sign in argument for sign in _WILD) and not os.path.lexists(path)
    except ValueError:  # a zero byte
        folder = wild = False
    if not folder and not wild:
        return [path]
    inside = _below(path, recursive) if folder else map(Path, glob.iglob(argument, recursive=True))
    named = [file for file in inside if file.suffix.lower() in PICTURE_ENDS]
    pictures = [file for file in named if file.is_file()]
    links = [os.path.abspath(file) for file in named if file.is_symlink() and not file.exists()]
    broken.update(links)
    if not pictures:
        what = f"folder {path.name or argument!r}"
        remedy = "Name another folder." if recursive else "Name another folder, or add --recursive."
        if wild:
            what, remedy = f"pattern {argument!r}", "Check its folder and ending."
        got = f"only {counted(len(links), 'link')} to missing ones" if links else "none"
        raise InputError(what, expected="pictures, such as a .jpg", got=got, remedy=remedy)
    return sorted(pictures)


def _below(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield the files of a folder and, if `recursive`, of those below it; links to folders are followed.

    Each folder is read once, so that a loop of links ends. Links come last: a folder keeps its own path.
    """
    seen, starts = set(), [str(folder)]
    for start in starts:  # grows
        for place, folders, files in os.walk(start):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = [name for name in folders if recursive and not name.startswith(".")]
            starts += [path for name in folders if os.path.islink(path := os.path.join(place, name))]
            yield from (Path(place, name) for name in files if not name.startswith("."))


def result_stems(pictures: Sequence[Path], kept: Mapping[Path, str] | None = None) -> list[str]:
    """Return the stem of each picture's result files, all different even if case is ignored.

    `street.jpg` gives "street". If another picture has the same stem, each keeps its ending ("street.jpg"); if that is
    not enough, its folders are added ("july_street.jpg"). The stems do not depend on the order of the pictures.

    Args:
        pictures: paths, all different.
        kept: stems of earlier results by picture, all different: they stay, and no other picture gets them.
    """
    rungs = [0] * len(pictures)
    while True:
        stems = [(kept or {}).get(path) or _called(path, rung) for path, rung in zip(pictures, rungs, strict=True)]
        used = Counter(stem.casefold() for stem in stems)
        if len(used) == len(stems):
            return stems
        rungs = [rung + (used[stem.casefold()] > 1) for rung, stem in zip(rungs, stems, strict=True)]


def possible_stems(path: Path) -> list[str]:
    """Return every stem that `result_stems` can give a picture, the shortest first."""
    return [_called(path, rung) for rung in range(len(Path(os.path.abspath(path)).parts) + 1)]


def data_set_names(pictures: Sequence[Path]) -> list[str]:
    """Return the name of each picture in a data set: its path relative to the common folder of all, with "/".

    `photos/june/dog.jpg` beside `photos/july/dog.jpg` is "june/dog.jpg"; pictures of one folder have their file names.

    Args:
        pictures: paths.
    """
    full = [Path(os.path.abspath(path)) for path in pictures]
    try:
        common = os.path.commonpath([path.parent for path in full])
    except ValueError:  # on several drives
        return [path.name for path in full]
    return [path.relative_to(common).as_posix() for path in full]


def _called(path: Path, rung: int) -> str:
    if rung == 0:
        return safe_stem(path.stem)
    full = Path(os.path.abspath(path))
    names = full.parts[1:]
    if rung <= len(names):
        return safe_stem("_".join(names[-rung:]))
    # The names differ only beyond the maximum length, or in characters that file names cannot contain.
    digest = hashlib.sha256(os.fsencode(full)).hexdigest()[:8]
    return safe_stem(f"{safe_stem(path.stem).encode()[:180].decode(errors='ignore')[:80]}-{digest}")
