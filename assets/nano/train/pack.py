"""Write the weights of nano from training checkpoints, in 8 bits.

python assets/nano/train/pack.py --image finish.pt --text text.pt --words words.pt
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


def packed_state(image: dict[str, Tensor], text: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """The image tower of one checkpoint and the text tower of another, without token rows that training never saw."""
    state = {name: image[name] if name.startswith(("visual", "logit_scale")) else text[name] for name in image}
    state.pop("attn_mask", None)  # open_clip makes it
    state[EMBEDDING] = state[EMBEDDING][rows]
    return {**pack(state), ROWS: rows.to(torch.int32)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=FOLDER / "model.safetensors")
    arguments = parser.parse_args()
    image, text = (torch.load(path, map_location="cpu")["model"] for path in (arguments.image, arguments.text))
    image["logit_scale"] = image["logit_scale"].clamp(max=4.6052)  # CLIP's own ceiling, ln 100
    save_file(packed_state(image, text, used_rows(torch.load(arguments.words)["words"])), arguments.output)


if __name__ == "__main__":
    main()
