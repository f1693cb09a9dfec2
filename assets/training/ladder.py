"""Quick evaluation on held-out scenes, without clustering: plain CLIP, recovered attention, ClearCLIP."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from assets.training.crops import cell_shares, normalised
from assets.training.photographs import FACE, HELD_OUT_DIGIT, PERSON, SELECTION, SIDE, Photographs
from assets.training.tower import cls_of, last_tokens, rungs

GRID = SIDE // 16
CELL = 8  # side of a cell with one class, in pixels


class QuickLadder:
    """Scores of three variants on centre crops of held-out scenes, and top-1 on held-out classes of ImageNet.

    The scenes are those for choosing between weights; figures are reported on the others.
    """

    def __init__(self, photographs: Photographs, scene_words: list[Tensor]) -> None:
        """Cut the centre crops once.

        Args:
            photographs: photographs with their masks.
            scene_words: (synonyms, D) unit rows of the synonyms of each class; only the first synonym is used.
        """
        p, held = photographs, photographs.held_out()
        scenes = [i for i in torch.nonzero(held)[:, 0].tolist() if p.is_scene(i, SELECTION) and p.masked[i] >= 0]
        self.pixels, truths = self._middles(p, scenes)
        self.truths = torch.stack(truths) if truths else torch.zeros(0)
        self.text = torch.stack([words[0] for words in scene_words[:FACE]]).to(p.pixels.device)
        of_imagenet = [i for i in torch.nonzero(held)[:, 0].tolist() if p.names[i].startswith("imagenet1000/")]
        # Leave out photographs that are held out only because of their grid.
        named = [i for i in of_imagenet if int(p.classes[i]) % 10 == HELD_OUT_DIGIT]
        self.named, _ = self._middles(p, named)
        self.classes = p.classes[named]

    @staticmethod
    def _middles(p: Photographs, index: list[int]) -> tuple[Tensor, list[Tensor]]:
        """Return (B, 3, 224, 224) in [0, 1], and the most frequent class of each 8 x 8 cell, -1 where unknown."""
        pixels, truths = [], []
        for i in index:
            top, left = (int(side - SIDE) // 2 // CELL * CELL for side in p.sizes[i])
            pixels.append(p.pixels[i, :, top : top + SIDE, left : left + SIDE])
            if p.masked[i] >= 0:
                mask = p.masks[p.masked[i], top : top + SIDE, left : left + SIDE]
                truth = cell_shares(mask[None], CELL)[0].argmax(0) - 1
                truths.append(torch.where(truth == FACE, PERSON, truth))
        if not pixels:
            return torch.zeros(0), []
        return torch.stack(pixels).float() / 255, truths

    @torch.no_grad()
    def __call__(self, visual: Any, names: Tensor | None = None) -> dict[str, float]:
        """Return pixel accuracy and mIoU of every variant, and top-1 if `names` (1000, D) is given, all in per cent.

        Figures without photographs for them are left out.
        """
        found = self._of_scenes(visual) if len(self.pixels) else {}
        if names is not None and len(self.named):
            cls = torch.cat(
                [cls_of(visual, last_tokens(visual, normalised(part)))[:, 0] for part in self.named.split(64)]
            )
            guesses = (cls @ names.T).argmax(1)
            found["top1"] = 100 * float((guesses == self.classes).float().mean())
        return found

    def _of_scenes(self, visual: Any) -> dict[str, float]:
        """Return pixel accuracy and mIoU of every variant, in per cent."""
        said: dict[str, list[Tensor]] = {}
        for part in self.pixels.split(64):
            for rung, patches in rungs(visual, normalised(part)).items():
                logits = (patches @ self.text.T).transpose(1, 2).unflatten(2, (GRID, GRID))
                logits = F.interpolate(logits, size=(SIDE // CELL,) * 2, mode="bilinear")
                said.setdefault(rung, []).append(logits.argmax(1))
        found: dict[str, float] = {}
        for rung, labels in said.items():
            pixels, miou = scores(torch.cat(labels), self.truths, len(self.text))
            found |= {f"{rung}_pixels": pixels, f"{rung}_miou": miou}
        return found


def scores(labels: Tensor, truths: Tensor, classes: int) -> tuple[float, float]:
    """Return pixel accuracy and mIoU over the classes that occur, in per cent; -1 in `truths` is ignored."""
    known = truths >= 0
    pairs = truths[known] * classes + labels[known]
    counted = torch.bincount(pairs, minlength=classes**2).view(classes, classes).double()
    right = counted.diagonal()
    iou = right / (counted.sum(0) + counted.sum(1) - right).clamp_min(1)
    return 100 * float(right.sum() / counted.sum()), 100 * float(iou[counted.sum(1) > 0].mean())
