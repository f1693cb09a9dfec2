"""Train nano's image tower on photographs. Only [CLS] learns, from words of a picture or of a crop; never a patch.

python -m assets.training.image --photos FOLDER --text text.pt --output visual.pt [--start visual.npz] [--minutes 90]

One run is one schedule. It starts from the weights in the repository, or from --start, and writes an exponential
average of what it learned.
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
from torch import Tensor

from assets.training import ladder, wordnet
from assets.training.crops import Crops, CropSource, normalised
from assets.training.photographs import FACE, PERSON, SCENE_CLASSES, Photographs, read
from assets.training.schedule import cosine_rate, follow, set_rate, show
from assets.training.teachers import PictureTeacher
from assets.training.text import Sentences, embed
from assets.training.tower import cls_of, new_visual, read_visual
from assets.training.words import token_ids
from cliptrase_core.templates import TEMPLATES

SHARPNESS = 30.0  # factor of cosines in every softmax here
WINDOW = 128  # pixels of small crops: 8 x 8 patches
PRIOR = 0.5  # share of the teacher's prior that is taken out: 118 of its 1,000 names are breeds of dogs
TRUE_AS_WELL = 0.45  # a word whose cosine with a true word is higher is no negative
WEIGHTS = {"exact": 0.35, "levelled": 0.45, "scenes": 0.8, "windows": 0.4, "said": 0.2}
UNKNOWN = 0.15
GROUND = [group[0] in ("building", "grass", "sea", "sky", "road", "table", "tree") for group in SCENE_CLASSES]
RARELY = 60  # classes; a hypernym of more is used in one step of fifty


class Words:
    """Unit rows of every word that training says, by the text tower that nano ships."""

    def __init__(self, text: Any, vocabulary: list[str], device: str) -> None:
        """Embed ImageNet's names, their hypernyms, the synonyms of scene classes, and what photographs are said to show."""

        def say(words: list[str]) -> Tensor:
            rows = torch.arange(len(words), device=device)
            return embed(text, Sentences(token_ids(words), device), rows, TEMPLATES["simple7"])

        self.levels = wordnet.levels()
        self.names, self.above = say(list(open_clip.IMAGENET_CLASSNAMES)), say([name for name, _ in self.levels])
        self.scene = [say(group) for group in SCENE_CLASSES]
        self.said = say(vocabulary) if vocabulary else torch.zeros(0, self.names.shape[1], device=device)

    def cut(self) -> tuple[Tensor, Tensor]:
        """A random cut through WordNet: some hypernyms take the place of their classes.

        Returns:
            (1000,) which word of the cut each class belongs to, and (K, D) the words of the cut.
        """
        owner = torch.arange(1000)
        chosen = [i for i, (_, below) in enumerate(self.levels) if random.random() < (0.02 if len(below) > RARELY else 0.25)]
        for index in sorted(chosen, key=lambda i: len(self.levels[i][1])):
            owner[self.levels[index][1]] = 1000 + index
        kept, inverse = owner.unique(return_inverse=True)
        return inverse.to(self.names.device), torch.cat([self.names, self.above])[kept.to(self.names.device)]


class Losses:
    """What [CLS] is told of crops."""

    def __init__(self, words: Words, photographs: Photographs) -> None:
        """Nothing is known of the teacher's prior yet."""
        self.words, self.photographs = words, photographs
        self.prior = torch.full((1000,), 1e-3, device=words.names.device)

    def taught(self, cls: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's soft answers over 1,000 names, and over a random cut through their hypernyms."""
        self.prior = 0.99 * self.prior + 0.01 * answers.mean(0)
        exact = _divergence(cls @ self.words.names.T, self.prior, answers)
        owner, vectors = self.words.cut()
        merged = answers.new_zeros(len(answers), len(vectors)).index_add_(1, owner, answers)
        prior = self.prior.new_zeros(len(vectors)).index_add_(0, owner, self.prior)
        return exact, _divergence(cls @ vectors.T, prior, merged)

    def scenes(self, cls: Tensor, crops: Crops) -> Tensor:
        """The classes of a crop, by the root of what they cover, against the other classes and 96 names."""
        words = self.words
        one = torch.stack([group[random.randrange(len(group))] for group in words.scene])  # a synonym of each
        other = words.names[torch.randperm(1000, device=cls.device)[:96]]
        logits = SHARPNESS * cls @ torch.cat([one, other]).T
        true = crops.shares > 0
        near = (one @ other.T > TRUE_AS_WELL).float()
        count = len(one)
        logits[:, count:] -= 100 * (true.float() @ near > 0).float()
        unknown = ~crops.whole[:, None] & ~true  # only faces are known here: whoever has a face is a person as well
        unknown &= torch.arange(count, device=cls.device)[None] == PERSON
        logits[:, :count] -= 100 * unknown.float()
        # Masks leave much unlabelled, ground above all: where they do, no ground is known to be absent.
        ground = torch.tensor(GROUND, device=cls.device)[None] & ~true & (crops.unknown[:, None] > UNKNOWN)
        logits[:, :count] -= 100 * ground.float()
        # A face that was not found is no reason to say that there is none.
        faceless = (true[:, PERSON] & ~true[:, FACE]).float()
        logits[:, FACE] -= 100 * faceless
        wanted = crops.shares.sqrt()
        wanted = wanted / wanted.sum(1, keepdim=True).clamp_min(1e-6)
        losses = -(wanted * logits.log_softmax(1)[:, :count]).sum(1)
        has = true.any(1).float()
        return (losses * has).sum() / has.sum().clamp_min(1)

    def said(self, cls: Tensor, index: Tensor) -> Tensor:
        """Words of captions and of names of files, against those of the other photographs."""
        words = self.photographs.words[index]  # (B, T)
        pool, place = words.unique(return_inverse=True)
        true = cls.new_zeros(len(index), len(pool)).scatter_(1, place, 1.0)
        keep = pool >= 0
        true, vectors = true[:, keep], self.words.said[pool[keep]]
        near = (true @ (vectors @ vectors.T > TRUE_AS_WELL).float() > 0) & (true == 0)
        logits = SHARPNESS * cls @ vectors.T - 100 * near.float()
        return -(true / true.sum(1, keepdim=True).clamp_min(1) * logits.log_softmax(1)).sum(1).mean()


def _divergence(cosines: Tensor, prior: Tensor, wanted: Tensor) -> Tensor:
    logits = SHARPNESS * cosines + PRIOR * prior.clamp_min(1e-8).log()
    return F.kl_div(logits.log_softmax(-1), wanted, reduction="none").sum(-1).mean()


def step_losses(
    visual: Any, source: CropSource, losses: Losses, teacher: PictureTeacher, batch: int, windows: bool, mixed: bool
) -> dict[str, Tensor]:
    """One step: `batch` crops of scenes, as many photographs, half as many windows and a quarter that words are said of."""
    device = source.plain.device
    plain = source.of(source.plain[torch.randint(len(source.plain), (batch,), device=device)], 0.12)
    said = None
    if len(source.said):
        said = source.of(source.said[torch.randint(len(source.said), (max(1, batch // 4),), device=device)], 0.4)
    scenes = source.scenes(batch) if float(source.chances.sum()) else None
    crops = [part for part in (plain, scenes, said) if part is not None]
    small = source.windows(batch // 2, WINDOW) if windows and scenes is not None and batch > 1 else None
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        answers = teacher(plain.pixels).float()
        cls = cls_of(visual, normalised(torch.cat([part.pixels for part in crops])))
        if small is not None:
            most = visual.grid_size[0] - WINDOW // visual.patch_size[0]
            corner = (random.randint(0, most), random.randint(0, most))
            small_cls = cls_of(visual, normalised(small.pixels), corner)
    parts = dict(zip(("plain", *(["scenes"] if scenes else []), *(["said"] if said else [])), cls.split([len(p.index) for p in crops]), strict=True))
    found = dict(zip(("exact", "levelled"), losses.taught(parts["plain"], answers), strict=True))
    if scenes is not None:
        found["scenes"] = losses.scenes(parts["scenes"], scenes)
    if small is not None:
        found["windows"] = losses.scenes(small_cls, small)
    if said is not None:
        found["said"] = losses.said(parts["said"], said.index)
    return found


def train(arguments: argparse.Namespace, photographs: Photographs, text: Any) -> dict[str, Tensor]:
    """One schedule; the averaged weights."""
    device = arguments.device
    torch.manual_seed(arguments.seed)
    random.seed(arguments.seed)
    visual = new_visual(read_visual(arguments.start) if arguments.start else ladder.shipped_visual()).to(device)
    average = copy.deepcopy(visual)
    photographs = photographs.to(device)
    losses = Losses(Words(text.to(device), photographs.vocabulary, device), photographs)
    source, teacher = CropSource(photographs), PictureTeacher(arguments.teacher).to(device)
    proj = [visual.proj]
    rest = [value for name, value in visual.named_parameters() if name != "proj"]
    groups = [{"params": proj}, {"params": rest}]
    optimizer = torch.optim.AdamW(groups, lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.05)
    check = ladder.QuickLadder(photographs, losses.words.scene)
    start, step, shown, run = time.monotonic(), 0, 0.0, {}
    while (spent := (time.monotonic() - start) / (60 * arguments.minutes)) < 1:
        set_rate(optimizer, cosine_rate(arguments.rate, spent, step))
        optimizer.param_groups[0]["lr"] *= 4
        found = step_losses(visual, source, losses, teacher, arguments.batch, not arguments.no_windows, mixed(device))
        loss = sum(WEIGHTS[name] * value for name, value in found.items())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*proj, *rest], 1.0)
        optimizer.step()
        step += 1
        follow(average, visual, step)
        run = {name: 0.98 * run.get(name, value.item()) + 0.02 * value.item() for name, value in found.items()} if step % 5 == 0 or not run else run
        if spent - shown > arguments.every:
            shown = spent
            show({"part": "image", "minutes": (time.monotonic() - start) / 60, "steps": step, **run, **check(average, losses.words.names)})
            torch.save(average.state_dict(), arguments.output)
    show({"part": "image", "steps": step, "end": True, **run, **check(average, losses.words.names)})
    return {name: value.cpu() for name, value in average.state_dict().items()}


def mixed(device: str) -> bool:
    """Whether bf16 pays: on a GPU; on processors only where they multiply in it (others take twenty times as long)."""
    if device.startswith("cuda"):
        return True
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def read_text(path: Path) -> Any:
    """The text tower that text.py wrote, in an open_clip CLIP."""
    model = ladder.new_model()
    model.load_state_dict(torch.load(path, weights_only=True), strict=False)
    return model.eval()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--text", type=Path, help="what text.py wrote; without it the text tower in the repository")
    parser.add_argument("--start", type=Path, help="image tower to go on from; without it the one in the repository")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--batch", type=int, default=12, help="crops of scenes a step, and as many of photographs; 320 on a GPU")
    parser.add_argument("--rate", type=float, default=6e-5, help="3e-4 with 320 crops")
    parser.add_argument("--every", type=float, default=0.1, help="share of the schedule between checks")
    parser.add_argument("--no-windows", action="store_true", help="no small crops")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--teacher", type=Path, help="EfficientNet's state dict, where its package is not installed")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    photographs = read(arguments.photos, arguments.threads)
    text = read_text(arguments.text) if arguments.text else ladder.shipped_text()
    torch.save(train(arguments, photographs, text), arguments.output)


if __name__ == "__main__":
    main()
