"""Generate docs/options.md from the lists of options: `python -m tests.write_options`."""

from __future__ import annotations

from pathlib import Path

from cliptrase_core.options import LayoutOptions, ProtocolOptions, SegmentOptions, table_of

DOCS = Path(__file__).parents[1] / "docs" / "options.md"
TEXT = """# Options

An option has one name in the library (`segmenter.segment(encoding, words, eps=0.7)`), on the command line (`--eps 0.7`)
and in the web endpoints (`"eps": 0.7`). This page is made from `cliptrase_core/options.py`:
`python -m tests.write_options`.

## How a picture is laid out

`Segmenter.encode`, and every command that reads pictures. On the page and in its endpoints `short_side` is 160 to 1024.

{layout}

## How it is divided among words

`Segmenter.segment`, `segment`, `evaluate` (whose `--threshold` is another, see below), and the endpoints.

`residual` holds for every method. CLIP, which changes no block, gets it in the last one. GEM and CLIP Surgery change
six, and it holds in each: with another than `patch` only the attention of the last tells patches apart. `skip_missing`
compares words with the patches of the published CLIPtrase, whatever the method and its residual.

{segment}

## Values in place of a protocol's

`evaluate`, with a protocol whose windows slide ([evaluation.md](evaluation.md)).

{protocol}
"""

if __name__ == "__main__":
    tables = {"layout": LayoutOptions, "segment": SegmentOptions, "protocol": ProtocolOptions}
    text = TEXT.format(**{name: table_of(kind) for name, kind in tables.items()})
    DOCS.write_text(text, encoding="utf-8")
