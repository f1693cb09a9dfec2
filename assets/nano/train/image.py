"""Train the image tower against what the text tower says; resumable, one phase after another.

python assets/nano/train/image.py --stock FOLDER --text text.pt --checkpoints FOLDER
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from losses import parts_disagree, says, several_positives, shares_to_words
from pictures import PATCH, Batch, Box, batches, cut
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from tower import fresh, look, normalised, shipped, take_tower, word_vectors

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
        parts: sides in patches of parts of a picture that are pictures too, and teach its patches; none: [CLS] alone
            learns. Not where a lone object fills every picture: there is nothing to tell apart.
        beside: a phase of which a batch is seen in every step too, lest what it taught be forgotten.
    """

    pictures: int
    batch: int
    rate: float
    settings: SceneSettings
    parts: tuple[int, ...] = ()
    beside: str | None = None


SINGLE = SceneSettings(64, 1, single=(0.7, 1.25), recolour=0.6, degrade=0.25)
SCENES = SceneSettings(160, 5, single=(0.44, 1.25), several=(0.31, 0.69), recolour=0.5, degrade=0.25)
FULL = SceneSettings(224, 5, single=(0.3, 1.25), several=(0.22, 0.6), recolour=0.5, degrade=0.25)
PHASES = {
    "single": Phase(3_000_000, 256, 1e-3, SINGLE),
    "scenes": Phase(400_000, 64, 4e-4, SCENES, (3, 5, 6), "single"),
    "full": Phase(40_000, 64, 1e-4, FULL, (4, 7, 8), "single"),
}


def optimiser(model: Any) -> torch.optim.Optimizer:
    """AdamW; biases, norms and the scale are not decayed."""
    named = [*model.visual.named_parameters(), ("logit_scale", model.logit_scale)]
    groups = [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98))


def step(model: Any, batch: Batch, vectors: Tensor, objects: int) -> tuple[Tensor, float]:
    """Loss of one batch, and how often the first guess of [CLS] among objects is in the picture."""
    images, shares, (whole, *parts) = batch
    room = model.visual.grid_size[0] - whole[2]
    row, column = (int(v) for v in torch.randint(room + 1, (2,)))
    scale = model.logit_scale.exp().clamp(max=100)

    def answers(box: Box) -> tuple[Tensor, Tensor]:
        pixels = normalised(cut(images, box, 1))
        with torch.autocast(images.device.type, torch.bfloat16):
            cls, patches = look(model.visual, pixels, (row + box[0], column + box[1]))
        return says(cls, vectors, scale, objects), says(patches, vectors, scale.detach(), objects)

    logits, patches = answers(whole)
    patches = patches.unflatten(1, (whole[2], whole[2]))
    words = shares_to_words(shares[:, 0], objects)
    loss = several_positives(logits, words)
    for part, covered in zip(parts, shares[:, 1:].unbind(1), strict=True):
        alone, _ = answers(part)
        # Of a part, what is too little to be recognised is not named, and an object has no more weight than its ground.
        named = shares_to_words(covered, objects, seen=0.1, stuff_weight=1.0)
        loss = loss + (several_positives(alone, named) + parts_disagree(patches, part, alone, words)) / len(parts)
    guess = logits[:, :objects].argmax(1, keepdim=True)
    return loss, float((words.gather(1, guess) > 0).float().mean())


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
    taught = [phase, PHASES[phase.beside]] if phase.beside else [phase]
    sources = [
        batches(training, p.settings, p.parts, p.batch // run.processes, 1 + seen + run.rank, run.workers)
        for p in taught
    ]
    shown = np.random.default_rng(0).choice(len(training.labels), 800)
    average, guesses, started = Average(), Average(), time.monotonic()
    saved = started
    # Rows of a few hundred tokens: on a CPU plain products are faster than the fused kernel's backward pass.
    cuda = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    kernels = cuda if run.device.startswith("cuda") else [SDPBackend.MATH]
    while seen < steps * phase.batch:
        set_rate(optimizer, learning_rate(phase.rate, seen // phase.batch, steps))
        optimizer.zero_grad()
        for source in reversed(sources):  # the phase's own last: its figures are shown
            images, shares, boxes = next(source)
            with sdpa_kernel(kernels):
                batch = images.to(run.device), shares.to(run.device), boxes
                loss, right = step(model, batch, vectors, len(training.names))
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
    parser.add_argument("--text", type=Path, help="what text.py wrote; otherwise the shipped text tower")
    parser.add_argument("--phases", default="single,scenes,full")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--from-scratch", action="store_true", help="random weights instead of the shipped ones")
    start.add_argument("--weights", type=Path, help="a checkpoint's image tower instead of the shipped one")
    add_options(parser)
    arguments = parser.parse_args()
    run = read_options(arguments)
    stock = read_stock(arguments.stock / "training"), read_stock(arguments.stock / "held-out")
    model = shipped()
    if arguments.from_scratch:
        take_tower(model, fresh().state_dict(), image=True)
    for path, image in ((arguments.weights, True), (arguments.text, False)):
        if path is not None:
            take_tower(model, torch.load(path, map_location="cpu")["model"], image)
    vectors = word_vectors(model, [*stock[0].names, *STUFF]).to(run.device)
    model = model.to(run.device)
    for name in arguments.phases.split(","):
        run_phase(model, PHASES[name], stock, vectors, run, name)


if __name__ == "__main__":
    main()
