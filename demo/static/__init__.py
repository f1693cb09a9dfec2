"""Scripts and styles for the browser."""

from pathlib import Path


def static(name: str) -> str:
    """Return the text of a file in this folder."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
