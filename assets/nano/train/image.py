"""Train the image tower against fixed word vectors; resumable, one phase after another.

python assets/nano/train/image.py --stock FOLDER --words words.pt --checkpoints FOLDER
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from losses import cls_loss, picture_loss, shares_to_words
from pictures import PATCH, Batch, Windows, batches
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from tower import fresh, look, normalised, shipped

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
        settings: what the scenes are like.
        window: side of a picture in pixels.
        dense: patches learn too, from pairs of windows of one scene. Not where a lone object fills every picture:
            any patch may speak for it there, and what patches say moves from the object to the middle of the picture.
    """

    pictures: int
    batch: int
    rate: float
    settings: SceneSettings
    window: int
    dense: bool = True


SCENES = SceneSettings(256, 5, single=(0.3, 0.9), several=(0.25, 0.5), recolour=0.5, degrade=0.25)
PHASES = {
    "single": Phase(3_000_000, 256, 1e-3, SceneSettings(64, 1, (0.7, 1.25), recolour=0.6, degrade=0.25), 64, False),
    "scenes": Phase(600_000, 64, 4e-4, SCENES, 160),
    "finish": Phase(60_000, 48, 1e-4, SCENES, 224),
}


def optimiser(model: Any) -> torch.optim.Optimizer:
    """AdamW; biases, norms and the scale are not decayed."""
    named = [*model.visual.named_parameters(), ("logit_scale", model.logit_scale)]
    groups = [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))


def step(model: Any, batch: Batch, vectors: Tensor, objects: int, dense: bool) -> tuple[Tensor, float]:
    """Loss of one batch, and how often the first guess of [CLS] among objects is in the picture."""
    images, shares, corners = batch
    each = (-1, images.shape[1])
    words = shares_to_words(shares.flatten(0, 1), objects).unflatten(0, each)
    room = model.visual.grid_size[0] - images.shape[2] // PATCH
    row, column = (int(v) for v in torch.randint(room + 1, (2,)))
    with torch.autocast(images.device.type, torch.bfloat16):
        cls, patches = look(model.visual, normalised(images.flatten(0, 1)), (row, column))
    cls, patches = cls.unflatten(0, each), patches.unflatten(0, each)
    scale = model.logit_scale.exp().clamp(max=100)
    if dense:
        loss, logits = picture_loss(cls, patches, corners, vectors, scale, words, objects)
    else:
        loss, logits = cls_loss(cls, vectors, scale, words)
    guess = logits[..., :objects].argmax(2, keepdim=True)
    return loss, float((words.gather(2, guess) > 0).float().mean())


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
    windows = Windows(phase.window, 2 if phase.dense else 1)
    scenes = phase.batch // windows.each // run.processes
    source = batches(training, phase.settings, windows, scenes, 1 + seen + run.rank, run.workers)
    shown = np.random.default_rng(0).choice(len(training.labels), 800)
    average, guesses, started = Average(), Average(), time.monotonic()
    saved = started
    # Rows of a few hundred tokens: on a CPU plain products are faster than the fused kernel's backward pass.
    cuda = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    kernels = cuda if run.device.startswith("cuda") else [SDPBackend.MATH]
    while seen < steps * phase.batch:
        set_rate(optimizer, learning_rate(phase.rate, seen // phase.batch, steps))
        optimizer.zero_grad()
        images, shares, corners = (tensor.to(run.device) for tensor in next(source))
        with sdpa_kernel(kernels):
            loss, right = step(model, (images, shares, corners), vectors, len(training.names), phase.dense)
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
    parser.add_argument("--phases", default="single,scenes,finish")
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
