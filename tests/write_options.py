"""Write docs/options.md anew from the lists of options: `python -m tests.write_options`."""

from __future__ import annotations

from pathlib import Path

from cliptrase_core.options import LayoutOptions, SegmentOptions, table_of

DOCS = Path(__file__).parents[1] / "docs" / "options.md"
TEXT = """# Options

An option has one name in the library (`segmenter.segment(encoding, words, eps=0.7)`), on the command line (`--eps 0.7`)
and in the web endpoints (`"eps": 0.7`). This page is made from `cliptrase_core/options.py`:
`python -m tests.write_options`.

## How a picture is laid out

`Segmenter.encode`, and every command that reads pictures. On the page and in its endpoints `short_side` is 160 to 1024.

{layout}

## How it is divided among words

`Segmenter.segment`, `segment`, `evaluate` (without `--threshold`), and the endpoints.

{segment}
"""

if __name__ == "__main__":
    text = TEXT.format(layout=table_of(LayoutOptions), segment=table_of(SegmentOptions))
    DOCS.write_text(text, encoding="utf-8")
