"""Write the weights of nano from a training checkpoint, in 8 bits.

python assets/nano/train/pack.py --checkpoint full.pt --words words.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor
from words import class_names

from cliptrase_core.nano import EMBEDDING, FOLDER, ROWS
from cliptrase_core.storage import pack
from cliptrase_core.templates import TEMPLATES, fill

VOCABULARY = 49408
LEAST = 2  # nouns that a token occurs in if it is kept before others
MOST = 24_800  # rows: with more the file is larger than the 10 MB that a Space takes


def used_rows(words: list[str]) -> Tensor:
    """(K,) ids, ascending, of tokens that class names, sentences or nouns hold, at most `MOST`.

    Where there are more, those go that a single noun has, the rarest first: CLIP numbers frequent tokens low.
    """
    sentences = [*class_names(), *(fill(sentence, "a") for group in TEMPLATES.values() for sentence in group)]
    counts = torch.zeros(VOCABULARY, dtype=torch.long)
    for at in range(0, len(words), 4096):
        counts += open_clip.tokenize(words[at : at + 4096]).flatten().bincount(minlength=VOCABULARY)
    counts[open_clip.tokenize(sentences).unique()] = LEAST
    rows = torch.nonzero(counts)[:, 0]
    order = (rows + VOCABULARY * (counts[rows] < LEAST)).argsort()
    return rows[order[:MOST]].sort().values


def packed_state(model: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """A CLIP in 8 bits without token rows that training never saw."""
    state = {name: value for name, value in model.items() if name != "attn_mask"}  # which open_clip makes
    state[EMBEDDING] = state[EMBEDDING][rows]
    return {**pack(state), ROWS: rows.to(torch.int32)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="of image.py, which holds the text tower too")
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=FOLDER / "model.safetensors")
    arguments = parser.parse_args()
    model = torch.load(arguments.checkpoint, map_location="cpu")["model"]
    model["logit_scale"] = model["logit_scale"].clamp(max=4.6052)  # CLIP's own ceiling, ln 100
    save_file(packed_state(model, used_rows(torch.load(arguments.words)["words"])), arguments.output)


if __name__ == "__main__":
    main()
