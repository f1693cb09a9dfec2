"""Distil the text tower: it learns to say, from CLIP's own tokens, what the word targets say; resumable.

python assets/nano/train/text.py --words words.pt --checkpoints FOLDER
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor
from tower import shipped
from words import class_names

from assets.training import add_options, learning_rate, read_options, record, resume, save, set_rate
from cliptrase_core.templates import TEMPLATES, fill

BATCH = 384
CLASSES_IN_BATCH = 48  # class names come more often than other nouns
RATE = 1e-3
STEPS = 20_000
HELD_OUT = 500  # nouns that measure how well unseen words are understood
SENTENCES = ("{}", "a {}.", "the {}", "a photo of a {}", *TEMPLATES["simple7"], *TEMPLATES["openai80"])


def encode(model: Any, tokens: Tensor) -> Tensor:
    """(P, T) token ids, cut to the longest prompt -> (P, D) unit rows."""
    length = tokens.shape[1]
    hidden = model.token_embedding(tokens) + model.positional_embedding[:length]
    hidden = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask[:length, :length]))
    last = hidden[torch.arange(len(tokens), device=tokens.device), tokens.argmax(-1)]  # end of text has the largest id
    return F.normalize((last @ model.text_projection).float(), dim=-1)


def tokenised(words: list[str], rng: np.random.Generator) -> Tensor:
    """(P, T): every word in a random sentence."""
    sentences = [fill(SENTENCES[int(rng.integers(len(SENTENCES)))], word) for word in words]
    tokens = open_clip.tokenize(sentences)
    return tokens[:, : int((tokens != 0).sum(1).max())]


def distil_loss(said: Tensor, wanted: Tensor, ids: Tensor) -> Tensor:
    """Be close to the target, and closer to it than to other words' targets.

    Args:
        said: (P, D) unit rows of the tower.
        wanted: (P, D) unit rows, targets.
        ids: (P,) which word each row is; equal words are no rivals.
    """
    same = (ids[:, None] == ids[None]).float()
    contrast = -((same / same.sum(1, keepdim=True)) * (20 * said @ wanted.T).log_softmax(1)).sum(1).mean()
    return 2 * (1 - (said * wanted).sum(1)).mean() + 0.5 * contrast


@torch.no_grad()
def cosine(model: Any, words: list[str], vectors: Tensor) -> float:
    """Mean cosine between what the tower says of words and their targets."""
    tokens = open_clip.tokenize([f"a photo of a {word}." for word in words])
    tokens = tokens[:, : int((tokens != 0).sum(1).max())].to(vectors.device)
    return float((encode(model, tokens) * vectors).sum(1).mean())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=Path, required=True, help="what words.py wrote")
    add_options(parser)
    arguments = parser.parse_args()
    run = read_options(arguments)
    if run.processes > 1:
        raise SystemExit("text.py compares the phrases of a whole batch: run it with python, not with torchrun.")
    steps = int(STEPS * run.scale)
    data = torch.load(arguments.words)
    words, vectors = data["words"], data["targets"].to(run.device)
    classes = len(class_names())
    order = np.random.default_rng(0).permutation(np.arange(classes, len(words)))
    unseen, training = order[:HELD_OUT], order[HELD_OUT:]
    model = shipped().to(run.device)
    weights = [value for name, value in model.named_parameters() if not name.startswith(("visual", "logit_scale"))]
    optimizer = torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.98), weight_decay=0.02)
    checkpoint = run.folder / "text.pt"
    step = resume(checkpoint, model, optimizer, run.device)
    rng, saved = np.random.default_rng(step), time.monotonic()
    while step < steps:
        set_rate(optimizer, learning_rate(RATE, step, steps))
        ids = np.concatenate(
            [rng.choice(training, BATCH - CLASSES_IN_BATCH), rng.integers(classes, size=CLASSES_IN_BATCH)]
        )
        tokens = tokenised([words[index] for index in ids], rng).to(run.device)
        said = encode(model, tokens)
        loss = distil_loss(said, vectors[ids], torch.from_numpy(ids).to(run.device))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        step += 1
        if time.monotonic() - saved > 60 * run.minutes or step == steps:
            saved = time.monotonic()
            save(checkpoint, model, optimizer, step)
            line = {"phase": "text", "seen": step, "loss": float(loss.detach())}
            line["classes"] = cosine(model, words[:classes], vectors[:classes])
            line["unseen"] = cosine(model, [words[i] for i in unseen], vectors[unseen])
            record(run.folder, line)


if __name__ == "__main__":
    main()
