"""Crops of photographs, drawn and cut on the device that trains; masks, labels and captions say what is in them."""

from __future__ import annotations

from dataclasses import dataclass

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from assets.training.photographs import CANVAS, CELL, CELLS, SCENE_CLASSES, SIDE, Photographs

RARE = 0.35  # classes are drawn by this power of how many photographs show them
BETTER = {"cow": 2.0, "sheep": 2.0, "bird": 2.0, "boat": 2.0, "chair": 1.5, "cat": 1.5, "building": 1.5, "face": 1.5}
LEAST_SHARE = 0.01  # of a photograph, for its class to be drawn from it
HOLDS = 0.15  # share of a crop that the drawn class has
TRIES = 6
SEEN = 0.02  # a class that covers less of a crop is not named
LEAST_CROP = 0.03  # share of a photograph with a mask that a crop takes at least, before the power of 1.5
ZOOM = (0.7, 1.5)  # pixels of the photograph to a pixel of a window
MEAN, STD = torch.tensor(open_clip.OPENAI_DATASET_MEAN), torch.tensor(open_clip.OPENAI_DATASET_STD)


@dataclass(frozen=True, eq=False)
class Crops:
    """B crops.

    Attributes:
        pixels: (B, 3, s, s) in [0, 1].
        index: (B,) photograph.
        shares: (B, C) of the crop that each scene class covers, 0 below `SEEN` and where nothing is known.
        whole: (B,) whether any pixel may have had a class, else only faces are known.
        unknown: (B,) share of the crop that has no class.
    """

    pixels: Tensor
    index: Tensor
    shares: Tensor
    whole: Tensor
    unknown: Tensor


class CropSource:
    """Draws crops of photographs that are not held out."""

    def __init__(self, photographs: Photographs) -> None:
        """List what can be drawn."""
        self.photographs = p = photographs
        device = p.pixels.device
        usable = ~p.held_out().to(device)
        self.plain = torch.nonzero(usable & ((p.masked < 0) | ~has_whole_mask(p.whole, p.masked)))[:, 0]
        self.said = torch.nonzero(usable & (p.words[:, 0] >= 0))[:, 0]
        scenes = torch.nonzero(usable & (p.masked >= 0))[:, 0]
        total = p.counts[p.masked[scenes], :, -1, -1].float()
        shares = total[:, 1:] / total.sum(1, keepdim=True).clamp_min(1)
        self.of_class = [scenes[shares[:, c] > LEAST_SHARE] for c in range(len(SCENE_CLASSES))]
        wanted = [BETTER.get(synonyms[0], 1.0) for synonyms in SCENE_CLASSES]
        self.chances = torch.tensor(
            [more * len(found) ** RARE for more, found in zip(wanted, self.of_class, strict=True)]
        )

    def scenes(self, count: int) -> Crops:
        """Crops of photographs with masks: a class is drawn, a photograph that shows it, a crop that holds it."""
        classes, index = self._draw(count)
        sizes = self.photographs.sizes[index].float()
        area = (torch.rand(count, TRIES, device=index.device) * (1 - LEAST_CROP) + LEAST_CROP) ** 1.5
        return self._choose(index, classes, self._boxes(sizes, area), SIDE)

    def windows(self, count: int, side: int) -> Crops:
        """Small crops of photographs with masks, about as large as they stand in the photograph: `side` pixels."""
        classes, index = self._draw(count)
        sizes = self.photographs.sizes[index].float()
        scale = torch.rand(count, TRIES, 1, device=index.device) * (ZOOM[1] - ZOOM[0]) + ZOOM[0]
        extent = (scale * side).expand(-1, -1, 2).minimum(sizes[:, None])
        return self._choose(index, classes, self._place(sizes, extent), side)

    def of(self, index: Tensor, least: float) -> Crops:
        """One crop of each of these photographs, at least a share `least` of them."""
        sizes = self.photographs.sizes[index].float()
        area = torch.rand(len(index), 1, device=index.device) * (1 - least) + least
        none = torch.zeros(len(index), dtype=torch.long, device=index.device)
        return self._choose(index, none, self._boxes(sizes, area), SIDE)

    def _draw(self, count: int) -> tuple[Tensor, Tensor]:
        """(count,) classes, rare ones more often than they stand there, and a photograph that shows each."""
        classes = torch.multinomial(self.chances, count, replacement=True)
        device = self.plain.device
        drawn = torch.empty(count, dtype=torch.long, device=device)
        for c in classes.unique().tolist():
            at = classes == c
            found = self.of_class[c]
            drawn[at.to(device)] = found[torch.randint(len(found), (int(at.sum()),), device=device)]
        return classes.to(device), drawn

    @staticmethod
    def _boxes(sizes: Tensor, area: Tensor) -> Tensor:
        """(B, T, 4) boxes of a share (B, T) of photographs, up to 1.4 times as wide as high or the reverse."""
        ratio = torch.exp(torch.rand_like(area) * 0.7 - 0.35)
        pixels = area * sizes.prod(1, keepdim=True)
        extent = torch.stack([(pixels / ratio).sqrt(), (pixels * ratio).sqrt()], -1).minimum(sizes[:, None])
        return CropSource._place(sizes, extent)

    @staticmethod
    def _place(sizes: Tensor, extent: Tensor) -> Tensor:
        """(B, T, 4) top, left, height, width: (B, T, 2) extents somewhere in photographs of (B, 2)."""
        return torch.cat([torch.rand_like(extent) * (sizes[:, None] - extent), extent], -1)

    def _choose(self, index: Tensor, classes: Tensor, boxes: Tensor, side: int) -> Crops:
        """The first box that holds enough of the class, else the last."""
        p = self.photographs
        shares = self._shares(index, boxes)  # (B, T, C)
        wanted = shares.gather(2, classes[:, None, None].expand(-1, boxes.shape[1], 1))[..., 0] > HOLDS
        wanted[:, -1] = True
        rows = torch.arange(len(index), device=index.device)
        best = wanted.float().argmax(1)
        box, shares = boxes[rows, best], shares[rows, best]
        return Crops(
            pixels=_jitter(self._cut(index, box, side)),
            index=index,
            shares=torch.where(shares < SEEN, 0, shares),
            whole=has_whole_mask(p.whole, p.masked[index]),
            unknown=1 - shares.sum(1),
        )

    def _shares(self, index: Tensor, boxes: Tensor) -> Tensor:
        """(B, T, C) share of boxes that each class covers; 0 where a photograph has no mask."""
        p = self.photographs
        if not p.counts.numel():
            return boxes.new_zeros(*boxes.shape[:2], len(SCENE_CLASSES))
        row = p.masked[index].clamp_min(0)[:, None].expand(boxes.shape[:2])
        start = (boxes[..., :2] / CELL).round().long().clamp(0, CELLS - 1)
        end = ((boxes[..., :2] + boxes[..., 2:]) / CELL).round().long().clamp(max=CELLS).maximum(start + 1)
        (y0, x0), (y1, x1) = start.unbind(-1), end.unbind(-1)
        counts = p.counts.permute(0, 2, 3, 1)
        inside = (counts[row, y1, x1] - counts[row, y0, x1] - counts[row, y1, x0] + counts[row, y0, x0]).float()
        shares = inside[..., 1:] / inside.sum(-1, keepdim=True).clamp_min(1)
        return shares * (p.masked[index] >= 0).float()[:, None, None]

    def _cut(self, index: Tensor, box: Tensor, side: int) -> Tensor:
        """(B, 3, side, side) in [0, 1], half of them mirrored."""
        pixels = self.photographs.pixels[index]
        pixels = pixels.half() if pixels.is_cuda else pixels.float()
        steps = (torch.arange(side, device=index.device) + 0.5) / side
        flip = (torch.rand(len(index), 1, device=index.device) < 0.5).float()
        across = flip * (1 - steps) + (1 - flip) * steps  # (B, side)
        x = (box[:, 1:2] + box[:, 3:] * across) / CANVAS * 2 - 1
        y = (box[:, :1] + box[:, 2:3] * steps) / CANVAS * 2 - 1
        grid = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1)
        cut = F.grid_sample(pixels, grid.to(pixels.dtype), mode="bilinear", padding_mode="border", align_corners=False)
        return cut.float() / 255


def has_whole_mask(whole: Tensor, masked: Tensor) -> Tensor:
    """Whether photographs have a whole mask, by their row of masks (-1: none)."""
    if not whole.numel():
        return torch.zeros_like(masked, dtype=torch.bool)
    return whole[masked.clamp_min(0)] & (masked >= 0)


def _jitter(pixels: Tensor) -> Tensor:
    """Other light, other colours; a tenth without colour."""
    count, device = len(pixels), pixels.device

    def rand(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, 1, 1, device=device) * (high - low) + low

    grey = (torch.rand(count, 1, 1, 1, device=device) < 0.1).float()
    pixels = grey * pixels.mean(1, keepdim=True) + (1 - grey) * pixels
    return pixels * rand(0.75, 1.25, 1) * rand(0.92, 1.08, 3) + rand(-0.1, 0.1, 1)


def normalised(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> as CLIP wants its pictures."""
    mean, std = (values.to(pixels).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels - mean) / std
