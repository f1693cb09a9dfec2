"""Files that the browser runs."""

from pathlib import Path


def static(name: str) -> str:
    """The text of a file of this folder."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
