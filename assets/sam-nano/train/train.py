"""Train sam-nano on composed scenes, whose masks are exact; resumable.

python assets/sam-nano/train/train.py --stock FOLDER --checkpoints FOLDER
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mask_losses import answer_loss, true_iou
from prompting import boxes, coarse_map, corrections, framed, oblong, random_points, segments
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from windowed import Window, decode, encode, random_window

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
from cliptrase_core.refine.sam import build_sam
from cliptrase_core.refine.sam_files import FOLDER
from cliptrase_core.scenes.compose import SceneSettings, compose
from cliptrase_core.scenes.sprites import Sprites, read_stock
from cliptrase_core.scenes.stuff import ground

PROMPTS = 4  # segments asked for in every picture
ROUNDS = 2  # a first prompt, then corrections
PADDING = (124, 116, 104)  # SAM's mean colour: after it has been taken off, the zeros that SAM pads with
GROUND = (16, 288)  # paintings of every kind of ground, and their side in pixels


@dataclass(frozen=True)
class Phase:
    """One stage of training.

    Attributes:
        pictures: how many are seen.
        batch: pictures a step.
        rate: highest learning rate.
        size: side of a picture in pixels.
        oblong: pictures are cut to other shapes and padded to the square, as SAM pads what it is given.
    """

    pictures: int
    batch: int
    rate: float
    size: int
    oblong: bool = False


PHASES = {
    "tiny": Phase(200_000, 8, 1e-3, 128),
    "small": Phase(100_000, 8, 5e-4, 192),
    "full": Phase(40_000, 4, 2e-4, 384, oblong=True),
}


class Scenes(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless batches: (B, size, size, 3) uint8 pictures and (B, PROMPTS, size, size) bool segments."""

    def __init__(self, sprites: Sprites, phase: Phase, seed: int) -> None:
        """Nothing is made yet; `seed` fixes every picture that follows."""
        self.sprites, self.phase, self.seed = sprites, phase, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Compose for ever."""
        torch.set_num_threads(1)
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        stock = ground(rng, *GROUND)
        settings = SceneSettings(self.phase.size, 5, (0.4, 1.0), (0.22, 0.6), recolour=0.4, degrade=0.2)
        while True:
            images, truths = [], []
            while len(images) < self.phase.batch:
                scene = compose(rng, self.sprites, stock, settings)
                if self.phase.oblong:
                    scene = oblong(rng, scene)
                truth = segments(rng, scene, PROMPTS)
                if truth is not None:
                    images.append(framed(scene.image, settings.size, PADDING))
                    truths.append(framed(truth.transpose(1, 2, 0), settings.size, False).transpose(2, 0, 1))
            yield torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(truths))


def answers_loss(sam: Any, embedding: Tensor, window: Window, truth: Tensor) -> tuple[Tensor, float]:
    """Ask for segments of pictures, then correct the answers.

    Args:
        sam: the model.
        embedding: (B, decoder width, side, side).
        window: of the pictures.
        truth: (P, H, H) bool, PROMPTS of the first picture, then of the next.

    Returns:
        scalar loss, and the mean IoU of the last answers.
    """
    cells = F.avg_pool2d(truth[:, None].float(), 4)[:, 0]  # (P, H/4, H/4)
    kind = float(torch.rand(()))
    labels = torch.ones(len(truth), 1, dtype=torch.long, device=truth.device)
    points: tuple[Tensor, Tensor] | None = None
    box = mask = None
    if kind < 0.3:
        points = (random_points(truth)[:, None], labels)
    elif kind < 0.6:
        box = boxes(truth)
    else:
        box, mask = boxes(truth, 0.2), coarse_map(truth)
        points = (random_points(truth)[:, None], labels) if kind < 0.8 else None
    total = embedding.new_zeros(())
    for turn in range(ROUNDS):
        logits, predicted = decode(sam, embedding, window, points=points, box=box, mask=mask)
        loss, chosen = answer_loss(logits.float(), predicted.float(), cells, several=turn == 0 and kind < 0.3)
        total = total + loss / ROUNDS
        mask = logits[torch.arange(len(truth), device=truth.device), chosen][:, None].detach().float()
        if turn + 1 < ROUNDS:
            large = F.interpolate(mask, size=truth.shape[1:], mode="bilinear")[:, 0]
            point, label = corrections(large, truth)
            old = points or (point[:, None][:, :0], label[:, None][:, :0])
            points = (torch.cat([old[0], point[:, None]], 1), torch.cat([old[1], label[:, None]], 1))
    return total, float(true_iou(mask, cells).mean())


def batch_loss(sam: Any, images: Tensor, truths: Tensor) -> tuple[Tensor, float]:
    """Loss of a batch, and the mean IoU of its last answers; (B, H, H, 3) uint8 and (B, PROMPTS, H, H) bool."""
    window = random_window(sam, images.shape[1])
    # On a CPU the decoder's many small products are faster in fp32.
    with torch.autocast("cuda", torch.bfloat16, enabled=images.is_cuda):
        return answers_loss(sam, encode(sam, images, window), window, truths.flatten(0, 1))


def run_phase(sam: Any, phase: Phase, sprites: Sprites, run: Run, name: str) -> None:
    """Train one phase, from its checkpoint where one lies; now and then the state is saved."""
    checkpoint = run.folder / f"{name}.pt"
    optimizer = torch.optim.AdamW(sam.parameters(), lr=phase.rate, betas=(0.9, 0.98), weight_decay=0.05)
    seen = first = resume(checkpoint, sam, optimizer, run.device)
    steps = phase.pictures * run.scale / phase.batch
    scenes = Scenes(sprites, replace(phase, batch=phase.batch // run.processes), 1 + seen + run.rank)
    source = iter(DataLoader(scenes, batch_size=None, num_workers=run.workers, prefetch_factor=3))
    losses, ious, started = Average(), Average(), time.monotonic()
    saved = started
    while seen < steps * phase.batch:
        set_rate(optimizer, learning_rate(phase.rate, seen // phase.batch, steps))
        loss, iou = batch_loss(sam, *(part.to(run.device) for part in next(source)))
        optimizer.zero_grad()
        loss.backward()
        average_gradients([*sam.parameters()], run.processes)
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        seen += phase.batch
        losses.add(float(loss.detach()))
        ious.add(iou)
        now = time.monotonic()
        if run.rank == 0 and (now - saved > 60 * run.minutes or seen >= steps * phase.batch):
            saved = now
            save(checkpoint, sam, optimizer, seen)
            line = {"phase": name, "seen": seen, "loss": losses.value, "iou": ious.value}
            line["pictures_per_second"] = (seen - first) / (now - started)
            record(run.folder, line)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock", type=Path, required=True, help="what assets/sprites/restyle.py wrote")
    parser.add_argument("--phases", default="tiny,small,full")
    add_options(parser)
    arguments = parser.parse_args()
    run = read_options(arguments)
    sam = build_sam(json.loads((FOLDER / "config.json").read_text(encoding="utf-8")))
    torch.nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)
    sam = sam.to(run.device)
    sprites = read_stock(arguments.stock / "training")
    for name in arguments.phases.split(","):
        run_phase(sam, PHASES[name], sprites, run, name)


if __name__ == "__main__":
    main()
