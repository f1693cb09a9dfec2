"""Train sam-nano on composed scenes, whose masks are exact; resumable.

    python assets/sam-nano/train/train.py --stock FOLDER --run FOLDER
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mask_losses import answer_loss, true_iou
from prompting import boxes, coarse_map, corrections, random_points, segments
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from windowed import decode, encode, random_window

from cliptrase_core.sam import FOLDER, build_sam
from cliptrase_core.scenes.compose import SceneSettings, compose
from cliptrase_core.scenes.sprites import Sprites, build
from cliptrase_core.scenes.stuff import ground

PROMPTS = 4  # segments asked for in every picture
ROUNDS = 2  # a first prompt, then corrections
GROUND = (16, 288)  # paintings of every kind of ground, and their side in pixels


@dataclass(frozen=True)
class Phase:
    """One stage: how many pictures, how many a step, the highest learning rate, the side of a picture in pixels."""

    pictures: int
    batch: int
    rate: float
    size: int


PHASES = {
    "tiny": Phase(200_000, 8, 1e-3, 128),
    "small": Phase(100_000, 8, 5e-4, 192),
    "full": Phase(40_000, 4, 2e-4, 384),
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
                truth = segments(rng, scene, PROMPTS)
                if truth is not None:
                    images.append(scene.image)
                    truths.append(truth)
            yield torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(truths))


def read_stock(folder: Path) -> Sprites:
    """Read what `assets/sprites/restyle.py` wrote."""
    names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
    return build(np.load(folder / "pixels.npy"), np.load(folder / "labels.npy"), names)


def picture_loss(sam: Any, embedding: Tensor, window: Any, truth: Tensor) -> tuple[Tensor, float]:
    """Ask for the segments of one picture, then correct the answers.

    Args:
        sam: the model.
        embedding: (1, decoder width, side, side).
        window: of the picture.
        truth: (P, H, H) bool.

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


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


@dataclass(frozen=True)
class Run:
    """Where a run keeps its checkpoints, minutes between them, processes that compose pictures, and the device."""

    folder: Path
    minutes: float
    workers: int
    device: str


def run_phase(sam: Any, phase: Phase, sprites: Sprites, run: Run, name: str) -> None:
    """Train one phase, from its checkpoint where one lies; now and then the state is saved."""
    checkpoint, seen = run.folder / f"{name}.pt", 0
    optimizer = torch.optim.AdamW(sam.parameters(), lr=phase.rate, betas=(0.9, 0.98), weight_decay=0.05)
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=run.device)
        sam.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        seen = state["seen"]
    scenes = Scenes(sprites, phase, 1 + seen)
    source = iter(DataLoader(scenes, batch_size=None, num_workers=run.workers, prefetch_factor=3))
    started = saved = time.monotonic()
    first, average = seen, [math.nan, math.nan]
    while seen < phase.pictures:
        warm = min(1.0, (seen / phase.batch + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = phase.rate * warm * (0.05 + 0.475 * (1 + math.cos(math.pi * seen / phase.pictures)))
        images, truths = (part.to(run.device) for part in next(source))
        window = random_window(sam, phase.size)
        # On a CPU the decoder's many small products are faster in fp32.
        with torch.autocast("cuda", torch.bfloat16, enabled=run.device != "cpu"):
            embeddings = encode(sam, images, window)
            answers = [picture_loss(sam, e[None], window, truth) for e, truth in zip(embeddings, truths, strict=True)]
        loss = torch.stack([answer[0] for answer in answers]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        seen += phase.batch
        new = (float(loss.detach()), sum(answer[1] for answer in answers) / len(answers))
        average = [b if math.isnan(a) else 0.97 * a + 0.03 * b for a, b in zip(average, new, strict=True)]
        if time.monotonic() - saved > 60 * run.minutes or seen >= phase.pictures:
            saved = time.monotonic()
            save(checkpoint, {"model": sam.state_dict(), "optimizer": optimizer.state_dict(), "seen": seen})
            line = {"phase": name, "seen": seen, "loss": round(average[0], 3), "iou": round(average[1], 3)}
            line["pictures_per_second"] = round((seen - first) / (saved - started), 2)
            line["minutes"] = round((saved - started) / 60, 1)
            print(json.dumps(line), flush=True)
            with (run.folder / "curve.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stock", type=Path, required=True, help="what assets/sprites/restyle.py wrote")
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--phases", default="tiny,small,full")
    parser.add_argument("--scale", type=float, default=1.0, help="share of each phase's pictures, for slow machines")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that compose pictures")
    parser.add_argument("--minutes", type=float, default=3.0, help="between checkpoints")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(2)
    arguments.run.mkdir(parents=True, exist_ok=True)
    sam = build_sam(json.loads((FOLDER / "config.json").read_text(encoding="utf-8")))
    torch.nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)
    sam = sam.to(arguments.device)
    sprites = read_stock(arguments.stock / "training")
    run = Run(arguments.run, arguments.minutes, arguments.workers, arguments.device)
    for name in arguments.phases.split(","):
        phase = replace(PHASES[name], pictures=int(PHASES[name].pictures * arguments.scale))
        run_phase(sam, phase, sprites, run, name)


if __name__ == "__main__":
    main()
