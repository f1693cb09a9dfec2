"""Read `--vocabulary @FILE`. Command line only: a web page must never open a file that a visitor names."""

from __future__ import annotations

import codecs
from pathlib import Path

from cliptrase_core.errors import InputError, explain
from cliptrase_core.text.vocabulary import MAX_CHARACTERS

ENDINGS = (".txt", ".json", ".csv", ".tsv", ".yaml", ".yml", ".names", ".pbtxt", ".md", ".list", ".labels")
"""Endings of files that hold words: an argument that ends so and is no file is a mistake, not a class."""

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def words_of_argument(argument: str) -> str:
    """The text of a vocabulary: what was typed, or what stands in the file that was named.

    A file is named by `@` before its path, by a path with a folder in it, or by a name with one of `ENDINGS`.

    Args:
        argument: of the command line.

    Returns:
        For `parse_vocabulary`, which knows the formats of such files.

    Raises:
        InputError: a file that is missing, too large, or no text.
    """
    name = argument.strip()
    asked = name.startswith("@")
    path = Path(name[1:].strip() if asked else name).expanduser() if _is_one_line(name) else None
    if path is None:
        return argument
    ends = path.suffix.lower() in ENDINGS
    if asked or ((ends or path.name != name) and _is_file(path)):
        return _read(path)
    if ends and not set(" ,;|") & set(name):
        return _read(path)  # says that it is missing
    return argument


def _is_one_line(name: str) -> bool:
    return 0 < len(name) < 4096 and not any(sign < " " for sign in name)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path) -> str:
    where = "Give --vocabulary @words.txt, or the words themselves."
    try:
        if path.is_dir():
            raise _error(path, "a folder", where)
        with path.open("rb") as file:
            content = file.read(4 * MAX_CHARACTERS + 5)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        got = "no such file" if isinstance(error, FileNotFoundError) else "one that cannot be opened"
        raise _error(path, got, where) from error
    if len(content) > 4 * MAX_CHARACTERS + 4:
        raise _error(path, f"more than {MAX_CHARACTERS} characters", "Leave some words out.")
    if not content.strip():
        raise _error(path, "an empty file", where)
    if content.startswith(b"version https://git-lfs"):
        raise _error(path, "a Git LFS pointer", "Run `git lfs pull` in its repository.")
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _error(path, "another encoding, or no text", "Save it as UTF-8 text.") from error
    if "\0" in text:
        raise _error(path, "no text", "Save it as UTF-8 text.")
    return text


def _error(path: Path, got: str, remedy: str) -> InputError:
    return InputError(explain(f"words in file {path.name[:100]!r}", expected="a text file", got=got, remedy=remedy))
