"""Arguments shared by several commands: the options of `options.py`, the model, the vocabulary.

`--vocabulary @FILE` is read only here, because a web page must never open a file named by a visitor.
"""

from __future__ import annotations

import argparse
import codecs
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cliptrase_core.errors import InputError
from cliptrase_core.names import NANO, PRECISION_NAMES
from cliptrase_core.options import Option, Options, options_of
from cliptrase_core.text.vocabulary import MAX_CHARACTERS
from cliptrase_core.text.word_lists import read_list

ArgumentGroup = argparse.ArgumentParser | argparse._ArgumentGroup


def path_text(text: str) -> str:
    """Return the text of a path. Raises ArgumentTypeError for an empty one: to pathlib, the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty one; . is the current folder")
    return text


def path_argument(text: str) -> Path:
    """Return a path, as `path_text` does."""
    return Path(path_text(text))


class Once(argparse.Action):
    """Action of an argument that may be given only once; argparse would keep the last and drop the others."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Store the value."""
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice; give all classes in one, with ; between them")
        setattr(namespace, self.dest, values)


def add_options(
    parser: ArgumentGroup, kind: type[Options], *, without: Collection[str] = (), unset: Mapping[str, str] | None = None
) -> None:
    """Add a flag for each option of a class.

    Args:
        parser: parser or argument group.
        kind: class of `options.py`.
        without: names of options to leave out.
        unset: options whose default is None in this command, with the meaning of None for the help text.
    """
    for one in options_of(kind):
        if one.name not in without:
            _add_option(parser, one, (unset or {}).get(one.name))


def _add_option(parser: ArgumentGroup, one: Option, unset: str | None) -> None:
    default = None if unset else one.default
    meaning = unset or (one.unset if one.default is None else one.default)
    text = one.help.replace("%", "%%") + (
        f" (default: {meaning})" if one.kind is not bool or unset or one.unset else ""
    )
    settings: dict[str, Any] = {"default": default, "help": text}
    if one.kind is bool:
        settings["action"] = argparse.BooleanOptionalAction
    elif one.choices:
        settings["choices"] = one.choices
    else:
        settings |= {"type": one.kind, "metavar": "N" if one.kind is int else "X"}
    parser.add_argument(one.flag, **settings)


def given_options(kind: type[Options], parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the parsed options of a class by name, without those that are None where None has no meaning."""
    return {
        one.name: value
        for one in options_of(kind)
        if (value := getattr(parsed, one.name, None)) is not None or one.unset
    }


def add_model_arguments(command: argparse.ArgumentParser) -> None:
    """Add `--model`, `--pretrained`, `--device` and `--precision`; their defaults come from the environment."""
    usual = _usual_model()
    command.add_argument(
        "--model",
        default=usual["model"],
        help="nano (embedded) or an open_clip architecture, with weights after a colon (default: %(default)s)",
    )
    command.add_argument("--pretrained", metavar="TAG|FILE", help="weights by open_clip's tag or from a file")
    command.add_argument(
        "--device", default=os.environ.get("CLIPTRASE_DEVICE") or None, help="cpu, cuda, ... (default: best)"
    )
    command.add_argument(
        "--precision",
        default=usual["precision"],
        choices=PRECISION_NAMES,
        help="fp32 is exact; bf16 and fp16 change some labels; auto takes bf16 if it is faster here",
    )


def _usual_model() -> dict[str, str | None]:
    return {
        "model": os.environ.get("CLIPTRASE_MODEL") or NANO,
        "pretrained": None,
        "precision": os.environ.get("CLIPTRASE_PRECISION") or "fp32",
    }


def about_model(options: argparse.Namespace) -> list[str]:
    """Return notes about the chosen model."""
    if options.model.partition(":")[0].strip() != NANO:
        return []
    return [
        "nano is small (15 MB): it knows everyday things, by English words; --model ViT-B-16 is better "
        "(downloads 0.6 GB)."
    ]


def expect_no_model_arguments(options: argparse.Namespace) -> None:
    """Raise InputError if a model argument is given although no model runs."""
    for name, usual in _usual_model().items():
        if (got := getattr(options, name)) != usual:
            raise InputError(name, expected="none, since no model runs", got=repr(got), remedy=f"Leave out --{name}.")


ENDINGS = (".txt", ".json", ".csv", ".tsv", ".yaml", ".yml", ".names", ".pbtxt", ".md", ".list", ".labels")
"""Extensions of word files. An argument with such an extension that is not a file is a mistake, not a class."""

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def words_of_argument(argument: str) -> str:
    """Return the text of a vocabulary: the argument itself, or the content of the file that it names.

    A file is named by `@` before its path, by a path with a folder in it, or by a name with one of `ENDINGS`.

    Args:
        argument: command line argument.

    Returns:
        Text for `parse_vocabulary`, which handles the formats of such files.

    Raises:
        InputError: the file is missing, too large, or not a text file.
    """
    name = argument.strip()
    requested = name.startswith("@")
    path = Path(name[1:].strip() if requested else name).expanduser() if _is_one_line(name) else None
    if path is None:
        return argument
    ends = path.suffix.lower() in ENDINGS
    if requested or ((ends or path.name != name) and _is_file(path)):
        return _read(path)
    if ends and not set(" ,;|") & set(name):
        return _read(path)  # raises the error for a missing file
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
    if path.suffix.lower() == ".json" and text.lstrip("\ufeff \t\r\n")[:1] in ("[", "{") and not read_list(text):
        _expect_json(path, text)
    return text


def _expect_json(path: Path, text: str) -> None:
    """Raise InputError with the place of the mistake; otherwise signs of JSON would become parts of words."""
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        raise _error(path, f"JSON that does not parse{place}", "Correct it, or write one class a line.") from error


def _error(path: Path, got: str, remedy: str) -> InputError:
    return InputError(f"words in file {path.name[:100]!r}", expected="a text file", got=got, remedy=remedy)
