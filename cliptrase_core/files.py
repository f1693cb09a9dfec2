"""Files that are whole or not there, under names that every system takes."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from cliptrase_core.errors import InputError, explain

MAX_STEM = 100
_MAX_STEM_BYTES = 200
"""File systems allow 255 bytes in a name; the longest ending takes 12."""

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?: *\..*)?", re.IGNORECASE | re.DOTALL)


def safe_stem(stem: str) -> str:
    """A file name without endings that every common file system takes; letters of all scripts are kept.

    Separators, wild cards, quotes and characters that cannot be seen become "_"; leading dots and outer spaces
    go; names that Windows reserves get a "_" in front; at most 100 characters (200 bytes). An empty name becomes
    "picture".
    """
    if not isinstance(stem, str):
        raise InputError(
            explain("file name", expected="a text", got=type(stem).__name__, remedy='For example "street".')
        )
    text = unicodedata.normalize("NFC", stem)
    text = "".join("_" if c in '<>:"/\\|?*' or unicodedata.category(c) in _UNSEEN else c for c in text)
    text = _cut(text.lstrip(". "))
    if _RESERVED.fullmatch(text):
        text = _cut(f"_{text}")
    return text or "picture"


# Control, format, surrogate and unassigned characters, line and paragraph separators.
_UNSEEN = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}


def _cut(text: str) -> str:
    short = text[:MAX_STEM].encode("utf-8")[:_MAX_STEM_BYTES]
    return short.decode("utf-8", "ignore").rstrip(". ")  # a character that was cut in two goes


def write_all(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write every file beside its place first, then move all: nobody sees half a file."""
    waiting: list[tuple[Path, Path]] = []
    try:
        for name, content in contents.items():
            part = folder / f".{secrets.token_hex(8)}.tmp"
            waiting.append((part, folder / name))
            with part.open("xb") as file:
                file.write(content)
        for part, final in waiting:
            os.replace(part, final)
    finally:
        for part, _ in waiting:
            part.unlink(missing_ok=True)
