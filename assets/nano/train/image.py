"""Train the image tower against fixed word vectors; resumable, one phase after another.

python assets/nano/train/image.py --stock FOLDER --words words.pt --checkpoints FOLDER
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from losses import picture_loss, shares_to_words
from mosaics import PATCH
from pictures import Batch, batches
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from tower import fresh, look, normalised, partition, shipped

from assets.training import (
    Average,
    Run,
    add_options,
    average_gradients,
    learning_rate,
    read_options,
    record,
    resume,
    save,
    set_rate,
)
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
        settings: what a scene that fills the picture is like.
        whole: share of the pictures that are one scene; the others are mosaics.
        dense: patches learn too. Not where a lone object fills every picture: any patch may speak for it there, and
            what patches say moves from the object to the middle of the picture.
        keep: share of the patches that take part in a step.
        apart: how strongly the parts of a mosaic are kept from seeing each other at first, see `partition`; it falls to
            0 over the first 70 % of the phase. Who has only met pictures of one thing mixes all patches, and recognises
            nothing in a mosaic: 1 % of the parts without, 18 % with it, before any training on mosaics.
    """

    pictures: int
    batch: int
    rate: float
    settings: SceneSettings
    whole: float
    dense: bool = True
    keep: float = 1.0
    apart: float = 0.0


PARTS = SceneSettings(128, 5, single=(0.5, 1.25), several=(0.3, 0.6), recolour=0.5, degrade=0.25)
PHASES = {
    "single": Phase(3_000_000, 256, 1e-3, SceneSettings(64, 1, (0.7, 1.25), recolour=0.6, degrade=0.25), 1.0, False),
    "mosaics": Phase(1_000_000, 128, 8e-4, PARTS, 0.1, apart=6.0),
    "scenes": Phase(200_000, 64, 4e-4, replace(PARTS, size=224), 0.4, keep=0.5),
    "finish": Phase(40_000, 48, 1e-4, replace(PARTS, size=224), 0.6),
}


def optimiser(model: Any) -> torch.optim.Optimizer:
    """AdamW; biases, norms and the scale are not decayed."""
    named = [*model.visual.named_parameters(), ("logit_scale", model.logit_scale)]
    groups = [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))


def step(model: Any, batch: Batch, vectors: Tensor, objects: int, phase: Phase, apart: float) -> tuple[Tensor, float]:
    """Loss of one batch, and how often the first guess of [CLS] among objects is in the picture."""
    images, parts, shares = batch
    words = shares_to_words(shares, objects)
    kept = None
    if phase.keep < 1:
        some = round(phase.keep * parts.shape[1])
        kept = torch.rand(parts.shape, device=parts.device).topk(some, dim=1).indices
        parts = parts.gather(1, kept)
    mask = partition(parts, apart, model.visual.transformer.resblocks[0].attn.num_heads) if apart else None
    with torch.autocast(images.device.type, torch.bfloat16):
        room = model.visual.grid_size[0] - images.shape[1] // PATCH
        row, column = (int(v) for v in torch.randint(room + 1, (2,)))
        cls, patches = look(model.visual, normalised(images), (row, column), kept, mask)
    scale = model.logit_scale.exp().clamp(max=100)
    loss, logits = picture_loss(cls, patches, parts, vectors, scale, words, objects, phase.dense)
    guess = logits[:, :objects].argmax(1)
    return loss, float((words.amax(1).gather(1, guess[:, None]) > 0).float().mean())


@torch.no_grad()
def top1(model: Any, sprites: Sprites, vectors: Tensor, chosen: np.ndarray, size: int = 64) -> float:
    """Share of cut-outs, on light grey, whose first guess among all objects is right."""
    level = {64: 1, 128: 0}[size]
    pixels = torch.from_numpy(np.asarray(sprites.levels[level][chosen])).to(vectors.device)
    alpha = pixels[..., 3:].float() / 255
    images = (pixels[..., :3].float() + 215 * (1 - alpha)).clamp(0, 255)
    middle = ((model.visual.grid_size[0] - size // PATCH) // 2,) * 2
    answers = torch.cat([look(model.visual, normalised(part), middle)[0] for part in images.split(256)])
    return float(((answers @ vectors[: len(sprites.names)].T).argmax(1).cpu().numpy() == sprites.labels[chosen]).mean())


def run_phase(model: Any, phase: Phase, stock: tuple[Sprites, Sprites], vectors: Tensor, run: Run, name: str) -> None:
    """Train one phase, from its checkpoint where one lies; now and then the state is saved and measured."""
    training, held_out = stock
    optimizer, checkpoint = optimiser(model), run.folder / f"{name}.pt"
    seen = first = resume(checkpoint, model, optimizer, run.device)
    steps = phase.pictures * run.scale / phase.batch
    if not seen:
        # Where CLIP begins: at a finished model's scale the first wrong answers cost so much that they undo what is
        # known.
        model.logit_scale.data.fill_(math.log(1 / 0.07))
    source = batches(
        training, phase.settings, phase.whole, phase.batch // run.processes, 1 + seen + run.rank, run.workers
    )
    shown = np.random.default_rng(0).choice(len(training.labels), 800)
    average, guesses, started = Average(), Average(), time.monotonic()
    saved = started
    # Rows of a few hundred tokens: on a CPU plain products are faster than the fused kernel's backward pass.
    cuda = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    kernels = cuda if run.device.startswith("cuda") else [SDPBackend.MATH]
    while seen < steps * phase.batch:
        done = seen / phase.batch
        set_rate(optimizer, learning_rate(phase.rate, int(done), steps))
        apart = phase.apart * max(0.0, 1 - done / (0.7 * steps))
        optimizer.zero_grad()
        images, parts, shares = (tensor.to(run.device) for tensor in next(source))
        with sdpa_kernel(kernels):
            loss, right = step(model, (images, parts, shares), vectors, len(training.names), phase, apart)
            loss.backward()
        average_gradients([*model.visual.parameters(), model.logit_scale], run.processes)
        torch.nn.utils.clip_grad_norm_(model.visual.parameters(), 1.0)
        optimizer.step()
        seen += phase.batch
        average.add(float(loss.detach()))
        guesses.add(right)
        now = time.monotonic()
        if run.rank == 0 and (now - saved > 60 * run.minutes or seen >= steps * phase.batch):
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
    parser.add_argument("--phases", default="single,mosaics,scenes,finish")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--from-scratch", action="store_true", help="random weights instead of the shipped ones")
    start.add_argument("--weights", type=Path, help="a checkpoint's weights instead of the shipped ones")
    add_options(parser)
    arguments = parser.parse_args()
    run = read_options(arguments)
    stock = read_stock(arguments.stock / "training"), read_stock(arguments.stock / "held-out")
    words = torch.load(arguments.words)
    names = [*stock[0].names, *STUFF]
    vectors = words["targets"][[words["words"].index(name) for name in names]]
    vectors = vectors.to(run.device)
    model = (fresh() if arguments.from_scratch else shipped()).to(run.device)
    if arguments.weights:
        model.load_state_dict(torch.load(arguments.weights, map_location=run.device)["model"])
    for name in arguments.phases.split(","):
        run_phase(model, PHASES[name], stock, vectors, run, name)


if __name__ == "__main__":
    main()
