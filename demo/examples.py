"""Bundled pictures with suitable words. Read when the page opens, never at import."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.errors import UserError
from demo.settings import EXAMPLES

FIRST = "horses"
"""Name of the example that is shown when the page opens."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """One bundled picture.

    Attributes:
        path: file of the picture.
        words: vocabulary that suits the picture.
        title: title for people; may be empty.
        alt: description of the picture, for people who cannot see it.
    """

    path: Path
    words: str
    title: str = ""
    alt: str = ""

    @property
    def name(self) -> str:
        """Name of the example in a link."""
        return self.path.stem


def read_examples(folder: Path = EXAMPLES) -> list[Example]:
    """Read the examples that `examples.json` lists and that exist; none without the folder."""
    try:
        entries = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
        found = [
            Example(
                path=folder / Path(entry["file"]).name,
                words=str(entry["words"]),
                title=str(entry.get("title", "")),
                alt=str(entry.get("alt", "")),
            )
            for entry in entries
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        _log.exception("examples.json cannot be read: the page opens without examples")
        return []
    return [example for example in found if example.path.is_file()]


def example_at(index: Any) -> Example:
    """Return the example of this number.

    Raises:
        UserError: there is none; a client may send anything.
    """
    found = read_examples()
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(found):
        raise UserError("There is no such example. Reload the page.")
    return found[index]
