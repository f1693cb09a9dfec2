"""Train nano's image tower on photographs. All losses are on [CLS] of a picture or of a crop, none on a patch.

python -m assets.training.image --photos FOLDER --text text.pt --output visual.pt [--start visual.npz] [--minutes 90]

One run is one schedule. It starts from the weights in the repository, or from --start, and writes an exponential
average of the weights.
"""

from __future__ import annotations

import argparse
import copy
import random
import time
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from assets.training import wordnet
from assets.training.crops import (
    BESIDE,
    PATCH,
    SEEN,
    UNTOLD,
    Crops,
    CropSource,
    SceneCrops,
    cut,
    inside,
    mix,
    normalised,
    parts,
)
from assets.training.ladder import QuickLadder
from assets.training.photographs import CLASSES, PERSON, Photographs, read
from assets.training.schedule import bf16_pays, cosine_rate, follow, set_rate, show
from assets.training.teachers import PictureTeacher
from assets.training.text import Sentences, embed
from assets.training.tower import (
    cls_of,
    last_tokens,
    new_visual,
    read_text,
    read_visual,
    shipped_text,
    shipped_visual,
)
from assets.training.words import token_ids
from cliptrase_core.text.encoder import TEMPLATES

FASTER = 4.0  # learning rate of the projection, relative to that of the other weights
SHARPNESS = 30.0  # factor of cosines in every softmax here
PARTS = {"plain": (1, 5, 10), "scenes": (4, 3, 10)}
"""Boxes of a crop for which [CLS] is trained as well: their number, and the least and most patches along a side."""
TAUGHT = 192  # side of a box in the input of the teacher, in pixels
PRIOR = 0.5  # share of the teacher's prior that is removed: 118 of its 1,000 names are breeds of dogs
TRUE_AS_WELL = 0.45  # a word whose cosine with a true word is higher is not used as a negative
WEIGHTS = {
    "exact": 0.5, "levelled": 0.5, "scenes": 0.8, "said": 0.2,
    "part_exact": 0.25, "part_levelled": 0.3, "part_scenes": 0.8,
}  # fmt: skip
UNKNOWN = 0.15  # with a larger share of unlabelled pixels, a crop may contain classes that its mask lacks
GENERAL = 60  # a hypernym of more classes than this is general and carries little information
OFTEN, RARELY = 0.25, 0.02  # probability that a hypernym replaces its classes; RARELY is for general ones
RIVALS = 96  # ImageNet names used as negatives, besides the classes of masks and grids
NEVER = -100.0  # added to the logits of words that must not be negatives


class Words:
    """Text embeddings (unit rows) of all words of the training, computed with nano's text tower."""

    def __init__(self, text: Any, vocabulary: list[str], device: str) -> None:
        """Embed the names of ImageNet, their hypernyms, the classes of masks and grids, and `vocabulary`."""

        def say(words: list[str]) -> Tensor:
            rows = torch.arange(len(words), device=device)
            return embed(text, Sentences(token_ids(words), device), rows, TEMPLATES["simple7"])

        self.levels = wordnet.levels()
        self.names, self.above = say(list(open_clip.IMAGENET_CLASSNAMES)), say([name for name, _ in self.levels])
        self.scene = [say(group) for group in CLASSES]
        self.said = say(vocabulary) if vocabulary else torch.zeros(0, self.names.shape[1], device=device)

    def cut(self) -> tuple[Tensor, Tensor]:
        """Draw a random cut through WordNet: some hypernyms replace their classes.

        Returns:
            (1000,) index of each class's word in the cut, and (K, D) embeddings of the words of the cut.
        """
        owner = torch.arange(1000)
        chances = [RARELY if len(below) > GENERAL else OFTEN for _, below in self.levels]
        chosen = [index for index, chance in enumerate(chances) if random.random() < chance]
        for index in sorted(chosen, key=lambda i: len(self.levels[i][1])):
            owner[self.levels[index][1]] = 1000 + index
        kept, inverse = owner.unique(return_inverse=True)
        return inverse.to(self.names.device), torch.cat([self.names, self.above])[kept.to(self.names.device)]


class Losses:
    """Losses on the [CLS] embedding of crops."""

    def __init__(self, words: Words, photographs: Photographs) -> None:
        """Start from a uniform prior of the teacher."""
        self.words, self.photographs = words, photographs
        self.prior = torch.full((1000,), 1e-3, device=words.names.device)

    def taught(self, cls: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """Return two distillation losses: over the teacher's 1,000 names, and over a random cut of their hypernyms."""
        self.prior = 0.99 * self.prior + 0.01 * answers.mean(0)
        exact = _divergence(cls @ self.words.names.T, self.prior, answers)
        owner, vectors = self.words.cut()
        merged = answers.new_zeros(len(answers), len(vectors)).index_add_(1, owner, answers)
        prior = self.prior.new_zeros(len(vectors)).index_add_(0, owner, self.prior)
        return exact, _divergence(cls @ vectors.T, prior, merged)

    def scenes(self, cls: Tensor, shares: Tensor, whole: Tensor) -> Tensor:
        """Return the classification loss of crops or of boxes in them.

        The target of a class is proportional to the square root of its share. The negatives are the other classes
        and some names of ImageNet.

        Args:
            cls: (B, D) unit rows.
            shares: (B, 1 + C) share that each class covers; column 0 is unknown.
            whole: (B,) bool, True if every pixel may have a label, False if only faces are labelled.
        """
        words = self.words
        unknown, shares = shares[:, 0], torch.where(shares[:, 1:] < SEEN, 0, shares[:, 1:])
        one = torch.stack([group[random.randrange(len(group))] for group in words.scene])  # a synonym of each
        other = words.names[torch.randperm(len(words.names), device=cls.device)[:RIVALS]]
        true = shares > 0
        means_the_same = true.float() @ (one @ other.T > TRUE_AS_WELL).float() > 0
        no_rival = torch.cat([maybe_there(true, unknown, whole), means_the_same], 1)
        logits = SHARPNESS * cls @ torch.cat([one, other]).T + NEVER * no_rival
        wanted = shares.sqrt()
        wanted = wanted / wanted.sum(1, keepdim=True).clamp_min(1e-6)
        losses = -(wanted * logits.log_softmax(1)[:, : len(one)]).sum(1)
        has = true.any(1).float()
        return (losses * has).sum() / has.sum().clamp_min(1)

    def said(self, cls: Tensor, index: Tensor) -> Tensor:
        """Return the loss of words from captions, file names and grids, against those of the other photographs."""
        words = self.photographs.words[index]  # (B, T)
        pool, place = words.unique(return_inverse=True)
        true = cls.new_zeros(len(index), len(pool)).scatter_(1, place, 1.0)
        keep = pool >= 0
        true, vectors = true[:, keep], self.words.said[pool[keep]]
        near = (true @ (vectors @ vectors.T > TRUE_AS_WELL).float() > 0) & (true == 0)
        logits = SHARPNESS * cls @ vectors.T + NEVER * near
        return -(true / true.sum(1, keepdim=True).clamp_min(1) * logits.log_softmax(1)).sum(1).mean()


def maybe_there(true: Tensor, unknown: Tensor, whole: Tensor) -> Tensor:
    """Return (B, C) bool: classes that are not labelled in crops but may be present.

    Args:
        true: (B, C) bool, classes that are present.
        unknown: (B,) share of the crop that has no class.
        whole: (B,) bool, True if every pixel may have a label, False if only faces are labelled.
    """
    # Masks leave much unlabelled, mainly ground and the classes that only grids have.
    found = UNTOLD.to(true.device) & (unknown[:, None] > UNKNOWN)
    found[:, PERSON] = ~whole  # only faces are labelled here, and a face belongs to a person
    found |= true.float() @ BESIDE.to(true.device).float() > 0
    return found & ~true


def _divergence(cosines: Tensor, prior: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean over rows of KL(wanted || prediction of [CLS]), with a share of the prior removed."""
    logits = SHARPNESS * cosines + PRIOR * prior.clamp_min(1e-8).log()
    return F.kl_div(logits.log_softmax(-1), wanted, reduction="none").sum(-1).mean()


def draw(source: CropSource, batch: int) -> dict[str, Crops]:
    """Draw the crops of one step, by kind of label: "plain", "said", "scenes".

    Args:
        source: sampler of crops.
        batch: number of "scenes" crops (with masks), and of "plain" crops (labelled only by the teacher); there are a
            quarter as many "said" crops (with words).
    """

    def some(index: Tensor, count: int) -> Tensor:
        return index[torch.randint(len(index), (count,), device=index.device)]

    found = {}
    if len(source.plain):
        crops = source.of(some(source.plain, batch), 0.12)
        found["plain"] = Crops(mix(crops.pixels), crops.index)
    if len(source.said):
        found["said"] = source.of(some(source.said, max(1, batch // 4)), 0.4)
    if float(source.chances.sum()):
        found["scenes"] = source.scenes(batch)
    return found


def step_losses(
    visual: Any, losses: Losses, teacher: nn.Module, crops: dict[str, Crops], mixed: bool
) -> dict[str, Tensor]:
    """Return the losses of one step, with the keys of `WEIGHTS`; `mixed` uses bf16.

    [CLS] is computed for whole crops and for boxes of patches. For a box, it attends in the last block only to the
    patches of the box and to itself.
    """
    pixels = torch.cat([found.pixels for found in crops.values()])
    grid, device = visual.grid_size[0], pixels.device
    part = {name: parts(len(found.index), *PARTS[name], grid, device) for name, found in crops.items() if name in PARTS}
    seen = {name: inside(boxes, grid) for name, boxes in part.items()}
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        tokens = last_tokens(visual, normalised(pixels)).split([len(found.index) for found in crops.values()])
        of = dict(zip(crops, tokens, strict=True))
        cls = {name: cls_of(visual, of[name]) for name in crops}
        cls |= {f"part_{name}": cls_of(visual, of[name], where) for name, where in seen.items()}
        if "plain" in crops:
            shown = crops["plain"].pixels
            answers = {"": teacher(shown), "part_": teacher(cut(shown, PATCH * part["plain"][:, 0], TAUGHT))}
    found = {}
    if "plain" in crops:
        for name, wanted in answers.items():
            taught = losses.taught(cls[f"{name}plain"][:, 0], wanted.float())
            found[f"{name}exact"], found[f"{name}levelled"] = taught
    if "said" in crops:
        found["said"] = losses.said(cls["said"][:, 0], crops["said"].index)
    if isinstance(scenes := crops.get("scenes"), SceneCrops):
        all_of_it = torch.ones_like(seen["scenes"][:, :1])
        for name, where in (("scenes", all_of_it), ("part_scenes", seen["scenes"])):
            shares = where.float() @ scenes.cells.flatten(2).transpose(1, 2) / where.sum(-1, keepdim=True)
            whole = scenes.whole.repeat_interleave(where.shape[1])
            found[name] = losses.scenes(cls[name].flatten(0, 1), shares.flatten(0, 1), whole)
    return found


class Learner:
    """Image tower in training, its optimizer and its exponential average."""

    def __init__(self, visual: Any, rate: float) -> None:
        """Create the optimizer; `rate` is the highest learning rate, the projection uses `FASTER` times as much."""
        self.visual, self.average, self.rate, self.steps = visual, copy.deepcopy(visual), rate, 0
        self.weights = [visual.proj, *(value for name, value in visual.named_parameters() if name != "proj")]
        groups = [{"params": self.weights[:1], "faster": FASTER}, {"params": self.weights[1:]}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), weight_decay=0.05)

    def step(self, found: dict[str, Tensor], spent: float) -> None:
        """Make one optimizer step on the weighted losses, at a share `spent` of the schedule."""
        set_rate(self.optimizer, cosine_rate(self.rate, spent, self.steps))
        loss = torch.stack([WEIGHTS[name] * value for name, value in found.items()]).sum()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.steps += 1
        follow(self.average, self.visual, self.steps)


def train(arguments: argparse.Namespace, photographs: Photographs, text: Any) -> dict[str, Tensor]:
    """Run one schedule and return the averaged weights.

    Raises:
        SystemExit: every photograph is held out.
    """
    device = arguments.device
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    learner = Learner(
        new_visual(read_visual(arguments.start) if arguments.start else shipped_visual()).to(device), arguments.rate
    )
    photographs = photographs.to(device)
    if device.startswith("cuda"):
        for block in learner.visual.transformer.resblocks[:-1]:
            block.compile()
    losses = Losses(Words(text.to(device), photographs.vocabulary, device), photographs)
    source, teacher = CropSource(photographs), PictureTeacher(arguments.teacher).to(device)
    if not len(source.plain) and not float(source.chances.sum()):
        raise SystemExit("expected photographs to learn from, got only such as are held out")
    check = QuickLadder(photographs, losses.words.scene)
    mean: dict[str, float] = {}  # moving average of the losses
    begin, shown, mixed = time.monotonic(), 0.0, bf16_pays(device)
    while (spent := (time.monotonic() - begin) / (60 * arguments.minutes)) < 1:
        crops = draw(source, arguments.batch)
        found = step_losses(learner.visual, losses, teacher, crops, mixed)
        learner.step(found, spent)
        if learner.steps % 5 == 0 or not mean:
            now = {name: value.item() for name, value in found.items()}
            mean = {name: 0.98 * mean.get(name, value) + 0.02 * value for name, value in now.items()}
        if spent - shown > arguments.every:
            shown = spent
            line = {"minutes": (time.monotonic() - begin) / 60, "steps": learner.steps, **mean}
            show({"part": "image", **line, **check(learner.average, losses.words.names)})
            torch.save(learner.average.state_dict(), arguments.output)
    figures = check(learner.average, losses.words.names)
    show({"part": "image", "steps": learner.steps, "end": True, **mean, **figures})
    return {name: value.cpu() for name, value in learner.average.state_dict().items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--text", type=Path, help="what text.py wrote; without it the text tower in the repository")
    parser.add_argument("--start", type=Path, help="image tower to go on from; without it the one in the repository")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument(
        "--batch", type=int, default=12, help="crops of scenes a step, and as many of photographs; 320 on a GPU"
    )
    parser.add_argument("--rate", type=float, default=6e-5, help="3e-4 with 320 crops")
    parser.add_argument("--every", type=float, default=0.1, help="share of the schedule between checks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--teacher", type=Path, help="EfficientNet's state dict, where its package is not installed")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    photographs = read(arguments.photos, arguments.threads)
    text = read_text(arguments.text) if arguments.text else shipped_text()
    torch.save(train(arguments, photographs, text), arguments.output)


if __name__ == "__main__":
    main()
