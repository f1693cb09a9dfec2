"""Distil nano's text tower: learn to predict the target embeddings of words from CLIP's tokens.

python -m assets.training.text --words words.pt --output text.pt [--start [--new-tokens]] [--minutes 60] [--device cuda]

With --start it continues from the tower in the repository, and the words with which the image tower was trained keep
their embeddings, so that the image tower still fits. With --new-tokens it learns only the tokens that the file of the
repository leaves out, and words without them keep their embeddings exactly (pack leaves out others instead).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from assets.training.schedule import bf16_pays, cosine_rate, set_rate, show
from assets.training.tower import new_model, shipped_text
from assets.training.words import END, SENTENCES, START, continued, learned, token_ids
from cliptrase_core.text.encoder import TEMPLATES

UNSEEN = 100  # phrases left out of training, to measure the quality on unseen words
SHARPNESS = 20.0  # factor of cosines in the softmax
TOGETHER = 4096  # sentences per batch of `embed`
FASTER = 1.7  # learning rate of the token embedding, relative to that of the other weights


class Sentences:
    """Token ids of templates and words, combined on demand."""

    def __init__(self, ids: Tensor, device: str) -> None:
        """Split the templates around the word; `ids` (P, T) are the tokens of the words, padded with 0."""
        halves = [sentence.split("{}") for sentence in SENTENCES]
        self.before, self.after = (token_ids([half[side] for half in halves])[:, :16].to(device) for side in (0, 1))
        self.words = ids.to(device)
        self.lengths = [(part != 0).sum(1) for part in (self.before, self.words, self.after)]

    def __call__(self, index: Tensor, sentence: Tensor) -> Tensor:
        """Put words into templates: (P,) words and (P,) templates -> (P, T) token ids, cut to the longest."""
        before, word, after = (n[i] for n, i in zip(self.lengths, (sentence, index, sentence), strict=True))
        rest = 1 + before + word  # position after the word
        end = rest + after
        place = torch.arange(int(end.max()) + 1, device=index.device)[None]  # (1, T)

        def at(tokens: Tensor, start: Tensor) -> Tensor:
            return tokens.gather(1, (place - start[:, None]).clamp(0, tokens.shape[1] - 1))

        out = at(self.after[sentence], rest)
        out = torch.where(place < rest[:, None], at(self.words[index], 1 + before), out)
        out = torch.where(place < (1 + before)[:, None], at(self.before[sentence], torch.ones_like(before)), out)
        out = torch.where(place == end[:, None], END, out)
        out = torch.where(place > end[:, None], 0, out)
        return torch.where(place == 0, START, out).long()


def encode(model: Any, tokens: Tensor) -> Tensor:
    """Embed sentences: (P, T) token ids, cut to the longest sentence -> (P, D) unit rows."""
    length = tokens.shape[1]
    hidden = model.token_embedding(tokens) + model.positional_embedding[:length]
    hidden = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask[:length, :length]))
    last = hidden[torch.arange(len(tokens), device=tokens.device), tokens.argmax(-1)]  # end of text has the largest id
    return F.normalize((last @ model.text_projection).float(), dim=-1)


def distil_loss(said: Tensor, wanted: Tensor, ids: Tensor) -> Tensor:
    """Compute the distillation loss: cosine distance to the target, and contrast with the targets of other words.

    Args:
        said: (P, D) unit rows, output of the tower.
        wanted: (P, D) unit rows, targets.
        ids: (P,) word of each row; rows of the same word are not negatives.
    """
    same = (ids[:, None] == ids[None]).float()
    contrast = -((same / same.sum(1, keepdim=True)) * (SHARPNESS * said @ wanted.T).log_softmax(1)).sum(1).mean()
    return 2 * (1 - (said * wanted).sum(1)).mean() + 0.5 * contrast


@torch.no_grad()
def embed(model: Any, sentences: Sentences, index: Tensor, templates: tuple[str, ...]) -> Tensor:
    """Embed words as the program does: (P,) words -> (P, D) unit rows, the mean over templates."""
    rows = []
    for part in index.split(TOGETHER):
        parts = [encode(model, sentences(part, torch.full_like(part, SENTENCES.index(t)))) for t in templates]
        rows.append(F.normalize(torch.stack(parts).mean(0), dim=-1))
    return torch.cat(rows)


def _new_rows(model: Any, ids: Tensor) -> Tensor:
    """Let only the rows of the token embedding that are zero learn; return (P,) bool: words that use them.

    Args:
        model: open_clip CLIP; such rows start from the mean of the others.
        ids: (P, T) tokens of the words, padded with 0.

    Raises:
        SystemExit: no word uses them.
    """
    rows = model.token_embedding.weight
    new = (rows == 0).all(1)
    with torch.no_grad():
        rows[new] = rows[~new].mean(0)
    rows.register_hook(lambda gradient: gradient * new[:, None])
    has_new = (new[ids.long()] & (ids > 0)).any(1)
    if not has_new.any():
        raise SystemExit("expected words with tokens that the text tower leaves out, got none")
    return has_new


def train(
    words: dict[str, Any],
    minutes: float,
    device: str,
    batch: int,
    rate: float,
    start: Any = None,
    new_tokens: bool = False,
) -> Any:
    """Train for `minutes` from random weights or from `start`; return an open_clip CLIP with the trained text tower.

    Args:
        words: what words.py wrote.
        minutes: duration.
        device: torch device name.
        batch: phrases a step.
        rate: highest learning rate; the token embedding has `FASTER` times as much, unless only new tokens learn.
        start: open_clip CLIP to go on from.
        new_tokens: train only the rows of the token embedding that are zero in `start`, on the words with such tokens.
    """
    torch.manual_seed(0)
    model = (new_model() if start is None else start).to(device)
    sentences, targets = Sentences(words["ids"], device), words["targets"].to(device).float()
    chances = words["weights"].to(device).clone()
    unseen = torch.randperm(len(chances))[:UNSEEN].to(device)
    if new_tokens:
        has_new = _new_rows(model, words["ids"].to(device))
        chances *= has_new
        unseen = torch.nonzero(has_new)[:UNSEEN, 0]  # seen in fact: such a token is in a word or two
    else:
        if start is not None:
            chances = continued(words["words"], chances)
            fixed = learned()
            kept = torch.tensor([place for place, word in enumerate(words["words"]) if word in fixed], device=device)
            targets[kept] = embed(model, sentences, kept, TEMPLATES["simple7"])
        chances[unseen] = 0
    rows, apart = model.token_embedding.weight, ("visual", "logit_scale", "token_embedding")
    others = [] if new_tokens else [value for name, value in model.named_parameters() if not name.startswith(apart)]
    faster = 1.0 if new_tokens else FASTER
    # Weight decay would shrink the rows of absent words.
    groups = [{"params": [rows], "weight_decay": 0.0, "faster": faster}, {"params": others}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), weight_decay=0.02)
    begin, step, shown, mixed = time.monotonic(), 0, 0.0, bf16_pays(device)
    while (spent := (time.monotonic() - begin) / (60 * minutes)) < 1:
        set_rate(optimizer, cosine_rate(rate, spent, step))
        index = torch.multinomial(chances, batch, replacement=True)
        tokens = sentences(index, torch.randint(len(SENTENCES), (batch,), device=device))
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=mixed):
            said = encode(model, tokens)
        loss = distil_loss(said, targets[index], index)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([rows, *others], 1.0)
        optimizer.step()
        step += 1
        if spent - shown > 0.1:
            shown = spent
            show({"part": "text", "steps": step, "loss": loss.item(), **understood(model, sentences, targets, unseen)})
    return model.eval()


def understood(model: Any, sentences: Sentences, targets: Tensor, unseen: Tensor) -> dict[str, float]:
    """Return the mean cosine to the targets, for common words (the first of the list) and for unseen words."""
    seen = torch.arange(0, min(4000, len(targets)), 4, device=targets.device)
    template = ("a photo of a {}.",)
    cosines = [(embed(model, sentences, index, template) * targets[index]).sum(1) for index in (seen, unseen)]
    return {"seen": float(cosines[0].mean()), "unseen": float(cosines[1].mean())}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--words", type=Path, required=True, help="what words.py wrote")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--start", action="store_true", help="continue from the text tower in the repository")
    parser.add_argument("--new-tokens", action="store_true", help="with --start: learn only tokens that it leaves out")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=384, help="phrases a step; 4096 on a GPU")
    parser.add_argument(
        "--rate",
        type=float,
        default=1.5e-3,
        help="highest learning rate; with --start 3e-4 at 384 phrases or 6e-4 at 4096, with --new-tokens 1e-2",
    )
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if arguments.new_tokens and not arguments.start:
        parser.error("expected --start with --new-tokens, got none")
    words = torch.load(arguments.words)
    start = shipped_text() if arguments.start else None
    new = arguments.new_tokens
    model = train(words, arguments.minutes, arguments.device, arguments.batch, arguments.rate, start, new)
    state = {name: value.cpu() for name, value in model.state_dict().items() if not name.startswith("visual")}
    torch.save(state, arguments.output)


if __name__ == "__main__":
    main()
