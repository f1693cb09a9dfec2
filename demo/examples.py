"""Bundled pictures with words for them. Read when the page opens, never at import."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from demo.settings import EXAMPLES

FIRST = "kitten"
"""The example that a page opens with."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """One bundled picture.

    Attributes:
        path: of the picture.
        words: vocabulary that suits it.
        title: for people; may be empty.
        alt: what it shows, for whoever does not see it.
        credit: who made it; may be empty.
    """

    path: Path
    words: str
    title: str = ""
    alt: str = ""
    credit: str = ""

    @property
    def name(self) -> str:
        """What a link calls it."""
        return self.path.stem


def read_examples(folder: Path = EXAMPLES) -> list[Example]:
    """Examples that `examples.json` lists and that exist; none without the folder."""
    try:
        entries = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
        found = [
            Example(
                path=folder / Path(entry["file"]).name,
                words=str(entry["words"]),
                title=str(entry.get("title", "")),
                credit=str(entry.get("credit", "")),
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
