"""Train the image tower against fixed word vectors; resumable, one phase after another.

python assets/nano/train/image.py --stock FOLDER --words words.pt --run FOLDER --phases single,scenes,finish
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from losses import picture_loss, shares_to_words
from pictures import batches
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from tower import fresh, look, normalised, shipped

from assets.training import Average, Run, add_options, learning_rate, read_options, record, resume, save, set_rate
from cliptrase_core.scenes.compose import SceneSettings
from cliptrase_core.scenes.sprites import Sprites, read_stock
from cliptrase_core.scenes.stuff import STUFF


@dataclass(frozen=True)
class Phase:
    """One stage of training.

    Attributes:
        pictures: how many are seen.
        batch: pictures a step.
        rate: highest learning rate; it rises over 100 steps and falls along a cosine to a twentieth.
        settings: what the pictures are like.
        dense: patches learn too. Not where a lone object fills the picture: any patch may speak for it there, and
            what patches say moves from the object to the middle of the picture.
    """

    pictures: int
    batch: int
    rate: float
    settings: SceneSettings
    dense: bool = True


PHASES = {
    "single": Phase(3_000_000, 256, 1e-3, SceneSettings(64, 1, single=(0.7, 1.25), recolour=0.6, degrade=0.25), False),
    "scenes": Phase(
        600_000, 128, 6e-4, SceneSettings(112, 4, single=(0.4, 1.1), several=(0.3, 0.6), recolour=0.5, degrade=0.25)
    ),
    "finish": Phase(
        100_000, 48, 2e-4, SceneSettings(224, 5, single=(0.35, 1.0), several=(0.22, 0.55), recolour=0.4, degrade=0.25)
    ),
}


def optimiser(model: Any) -> torch.optim.Optimizer:
    """AdamW; biases, norms and the scale are not decayed."""
    named = [*model.visual.named_parameters(), ("logit_scale", model.logit_scale)]
    groups = [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))


def step(model: Any, batch: tuple[Tensor, Tensor], vectors: Tensor, objects: int, dense: bool) -> tuple[Tensor, float]:
    """Loss of one batch, and how often the first guess of [CLS] among objects is in the picture."""
    images, shares = batch
    words = shares_to_words(shares, objects)
    with torch.autocast(images.device.type, torch.bfloat16):
        cls, patches = look(model.visual, normalised(images))
    loss, logits = picture_loss(cls, patches, vectors, model.logit_scale.exp().clamp(max=100), words, dense)
    guess = logits[:, :objects].argmax(1)
    return loss, float((words.gather(1, guess[:, None]) > 0).float().mean())


@torch.no_grad()
def top1(model: Any, sprites: Sprites, vectors: Tensor, chosen: np.ndarray, size: int = 64) -> float:
    """Share of cut-outs, on light grey, whose first guess among all objects is right."""
    level = {64: 1, 128: 0}[size]
    pixels = torch.from_numpy(np.asarray(sprites.levels[level][chosen])).to(vectors.device)
    alpha = pixels[..., 3:].float() / 255
    images = (pixels[..., :3].float() + 215 * (1 - alpha)).clamp(0, 255)
    guesses = [look(model.visual, normalised(part))[0] @ vectors[: len(sprites.names)].T for part in images.split(256)]
    return float((torch.cat(guesses).argmax(1).cpu().numpy() == sprites.labels[chosen]).mean())


def run_phase(model: Any, phase: Phase, stock: tuple[Sprites, Sprites], vectors: Tensor, run: Run, name: str) -> None:
    """Train one phase, from its checkpoint where one lies; now and then the state is saved and measured."""
    training, held_out = stock
    optimizer, checkpoint = optimiser(model), run.folder / f"{name}.pt"
    seen = first = resume(checkpoint, model, optimizer, run.device)
    steps = phase.pictures * run.scale / phase.batch
    source = batches(training, phase.settings, phase.batch, 1 + seen, run.workers)
    shown = np.random.default_rng(0).choice(len(training.labels), 800)
    average, guesses, started = Average(), Average(), time.monotonic()
    saved = started
    # With 17 tokens plain products are faster than the fused kernel, whose backward pass is made for long rows.
    kernel = SDPBackend.MATH if phase.settings.size < 112 else SDPBackend.FLASH_ATTENTION
    while seen < steps * phase.batch:
        set_rate(optimizer, learning_rate(phase.rate, seen // phase.batch, steps))
        optimizer.zero_grad()
        images, shares = (part.to(run.device) for part in next(source))
        with sdpa_kernel(kernel):
            loss, right = step(model, (images, shares), vectors, len(training.names), phase.dense)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.visual.parameters(), 1.0)
        optimizer.step()
        seen += phase.batch
        average.add(float(loss.detach()))
        guesses.add(right)
        now = time.monotonic()
        if now - saved > 60 * run.minutes or seen >= steps * phase.batch:
            saved = now
            save(checkpoint, model, optimizer, seen)
            line = {"phase": name, "seen": seen, "loss": average.value, "right": guesses.value}
            line["training_top1"] = top1(model, training, vectors, shown)
            line["held_out_top1"] = top1(model, held_out, vectors, np.arange(len(held_out.labels)))
            line["pictures_per_second"] = (seen - first) / (now - started)
            record(run.folder, line)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock", type=Path, required=True, help="what assets/sprites/restyle.py wrote")
    parser.add_argument("--words", type=Path, required=True, help="what words.py wrote")
    parser.add_argument("--phases", default="single,scenes,finish")
    parser.add_argument("--from-scratch", action="store_true", help="random weights instead of the shipped ones")
    add_options(parser)
    arguments = parser.parse_args()
    run = read_options(arguments)
    stock = read_stock(arguments.stock / "training"), read_stock(arguments.stock / "held-out")
    words = torch.load(arguments.words)
    names = [*stock[0].names, *STUFF]
    vectors = words["targets"][[words["words"].index(name) for name in names]]
    vectors = vectors.to(run.device)
    model = (fresh() if arguments.from_scratch else shipped()).to(run.device)
    # Where CLIP begins: at a finished model's scale the first wrong answers cost so much that they undo what it knows.
    model.logit_scale.data.fill_(math.log(1 / 0.07))
    for name in arguments.phases.split(","):
        run_phase(model, PHASES[name], stock, vectors, run, name)


if __name__ == "__main__":
    main()
