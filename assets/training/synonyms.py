"""Measure whether nano's text tower knows everyday synonyms: `synonyms.txt`, a pair a line.

python -m assets.training.synonyms [--text text.pt] [--missed]

The pairs were written down before anything was measured on them, and no training reads them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assets.training.schedule import show
from assets.training.text import Sentences, embed
from assets.training.tower import read_text, shipped_text
from assets.training.words import token_ids
from cliptrase_core.text.encoder import TEMPLATES

PAIRS = Path(__file__).with_name("synonyms.txt")


def read_pairs(path: Path = PAIRS) -> tuple[list[str], list[str]]:
    """Return the first and the second words of the pairs."""
    pairs = [line.split(", ") for line in path.read_text(encoding="utf-8").splitlines()]
    return [first for first, _ in pairs], [second for _, second in pairs]


def nearest(model: Any, firsts: list[str], seconds: list[str]) -> Tensor:
    """Return (P,) for each second word, the index of the first word with the most similar embedding.

    Args:
        model: an open_clip CLIP with the text tower.
        firsts: P first words.
        seconds: P second words.
    """
    device = str(model.text_projection.device)
    sentences = Sentences(token_ids(firsts + seconds), device)
    rows = embed(model, sentences, torch.arange(len(firsts) + len(seconds), device=device), TEMPLATES["simple7"])
    return (rows[len(firsts) :] @ rows[: len(firsts)].T).argmax(1).cpu()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--text", type=Path, help="text tower that text.py wrote; without it the one in the repository")
    parser.add_argument("--missed", action="store_true", help="list the pairs whose second word is nearer to another")
    arguments = parser.parse_args()
    firsts, seconds = read_pairs()
    found = nearest(read_text(arguments.text) if arguments.text else shipped_text(), firsts, seconds).tolist()
    for own, place in enumerate(found):
        if arguments.missed and place != own:
            show({"first": firsts[own], "second": seconds[own], "nearest": firsts[place]})
    right = sum(own == place for own, place in enumerate(found))
    show({"part": "synonyms", "pairs": len(found), "right": right, "per_cent": 100 * right / len(found)})


if __name__ == "__main__":
    main()
