"""Train sam-nano further on segments of photographs.

python -m assets.training.sam --photos FOLDER --output sam.pt [--minutes 60] [--device cuda --batch 32 --workers 8]

One run is one schedule. It starts from the weights in the repository, or from --start, and writes an exponential
average of the weights.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from assets.training.mask_losses import answer_loss, true_iou
from assets.training.photographs import read_scenes
from assets.training.prompting import boxes, coarse_map, corrections, cut, framed, random_points, segments
from assets.training.schedule import cosine_rate, follow, set_rate, show
from assets.training.windowed import Window, decode, encode, random_window
from cliptrase_core.refine.sam_checkpoints import load_sam

PROMPTS = 4  # segments per picture
ROUNDS = 2  # a first prompt, then corrections
PADDING = (124, 116, 104)  # SAM's mean colour; it becomes zero, SAM's padding value, when the mean is subtracted


class Scenes(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless stream of batches: (B, size, size, 3) uint8 pictures and (B, PROMPTS, size, size) bool segments."""

    def __init__(self, scenes: list[tuple[bytes, bytes]], size: int, batch: int) -> None:
        """Store the settings; `scenes` are pairs of photograph and mask files."""
        self.scenes, self.size, self.batch = scenes, size, batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield random batches without end."""
        worker = get_worker_info()
        if worker:
            torch.set_num_threads(1)
        rng = np.random.default_rng([0, worker.id if worker else 0])
        size = self.size
        while True:
            images: list[np.ndarray] = []
            truths: list[np.ndarray] = []
            while len(images) < self.batch:
                image, labels = cut(rng, *self.scenes[int(rng.integers(len(self.scenes)))], size)
                truth = segments(rng, labels, PROMPTS)
                if truth is not None:
                    images.append(framed(image, size, PADDING))
                    truths.append(framed(truth.transpose(1, 2, 0), size, False).transpose(2, 0, 1))
            yield torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(truths))


def answers_loss(sam: Any, embedding: Tensor, window: Window, truth: Tensor) -> tuple[Tensor, float]:
    """Prompt for the segments of pictures, correct the predicted masks, and compute the loss of all rounds.

    Args:
        sam: SAM model.
        embedding: (B, decoder width, side, side).
        window: position of the pictures in the model's frame.
        truth: (P, H, H) bool, `PROMPTS` segments of the first picture, then of the next.

    Returns:
        The scalar loss, and the mean IoU of the last masks.
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
    """Return the loss of a batch and the mean IoU of its last masks; (B, H, H, 3) uint8, (B, PROMPTS, H, H) bool."""
    window = random_window(sam, images.shape[1])
    # On a CPU the decoder's many small products are faster in fp32.
    with torch.autocast("cuda", torch.bfloat16, enabled=images.is_cuda):
        return answers_loss(sam, encode(sam, images, window), window, truths.flatten(0, 1))


def train(arguments: argparse.Namespace) -> dict[str, Tensor]:
    """Run one schedule and return the averaged weights."""
    sam = load_sam("sam-nano").model.float().requires_grad_(True)
    if arguments.start:
        sam.load_state_dict(torch.load(arguments.start, weights_only=True))
    sam = sam.to(arguments.device)
    average = copy.deepcopy(sam)
    optimizer = torch.optim.AdamW(sam.parameters(), lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.05)
    scenes = Scenes(read_scenes(arguments.photos), arguments.size, arguments.batch)
    ahead = 3 if arguments.workers else None  # without processes nothing can be read ahead
    source = iter(DataLoader(scenes, batch_size=None, num_workers=arguments.workers, prefetch_factor=ahead))
    start, step, shown, overlap = time.monotonic(), 0, 0.0, 0.0
    while (spent := (time.monotonic() - start) / (60 * arguments.minutes)) < 1:
        set_rate(optimizer, cosine_rate(arguments.rate, spent, step))
        loss, iou = batch_loss(sam, *(part.to(arguments.device) for part in next(source)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        step += 1
        follow(average, sam, step)
        overlap = iou if step == 1 else 0.98 * overlap + 0.02 * iou
        if spent - shown > 0.1:
            shown = spent
            show({"part": "sam", "minutes": (time.monotonic() - start) / 60, "steps": step, "iou": overlap})
            torch.save(average.state_dict(), arguments.output)
    return {name: value.cpu() for name, value in average.state_dict().items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="a checkpoint of this program to go on from")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--batch", type=int, default=4, help="pictures a step; 32 on a GPU")
    parser.add_argument("--size", type=int, default=384, help="long side of a picture, a multiple of 32 up to 384")
    parser.add_argument("--rate", type=float, default=2e-4, help="5e-4 with 32 pictures")
    parser.add_argument("--workers", type=int, default=1, help="processes that read pictures")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.save(train(arguments), arguments.output)


if __name__ == "__main__":
    main()
