"""Random crops of photographs, sampled and cut on the training device, with the classes of their masks."""

from __future__ import annotations

from dataclasses import dataclass

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from assets.training.photographs import CANVAS, CLASSES, NUMBER, SCENE_CLASSES, SIDE, Photographs, word_groups

RARE = 0.35  # a class is drawn with a weight of (number of photographs that show it) ** RARE
BETTER = {
    "cow": 2.0, "sheep": 2.0, "bird": 2.0, "boat": 2.0, "chair": 2.0, "bottle": 2.0, "bag": 2.0,
    "cat": 1.5, "bicycle": 1.5, "building": 1.5, "cell phone": 1.5, "cup": 1.5, "face": 1.5, "racket": 1.5,
}  # fmt: skip
LEAST_SHARE = 0.01  # a photograph is drawn for a class only if the class covers more than this share of it
HOLDS = 0.15  # the drawn class must cover more than this share of a crop
TRIES = 6  # candidate boxes per crop
LOOKED_AT = 32  # sample points along each side of a crop, to measure the share of the drawn class
SEEN = 0.02  # a class that covers less of a crop is ignored
LEAST_CROP = 0.03  # minimum share of a photograph with a mask that a crop covers, before the power of 1.5
PATCH = 16
LABELS = 1 + len(CLASSES)  # label 0 is unknown
_GROUND = """
building grass sea sky road table tree wall floor ceiling window curtain door cabinet counter shelf rug cloud plant bush
leaf hedge fence sidewalk sand rock mountain snow ice dirt hill field ground roof bridge stairs blanket mirror
cliff waterfall driveway dock moss court platform smoke
"""
GROUND = torch.tensor([group[0] in _GROUND.split() for group in CLASSES])
"""(C,) bool: classes of ground and background, which are never pasted."""
UNTOLD = GROUND | (torch.arange(len(CLASSES)) >= len(SCENE_CLASSES))
"""(C,) bool: classes that may be present in the unlabelled pixels of scene masks."""
_BESIDE = """
person,face,hair,hand,hat,shirt,glasses,helmet,mask|truck,car,wheel|van,car,wheel|tree,leaf,branch,wood,log,bush,plant
plant,leaf,flower,bush,tree|bush,leaf,plant,tree,hedge|hedge,leaf,bush,plant|flower,leaf,plant|leaf,plant,tree,bush
branch,tree,wood|log,wood,tree|wood,log|building,window,door,roof,church,temple|church,building|temple,building
window,glass|cabinet,drawer,door|dresser,drawer,cabinet|drawer,cabinet|nightstand,drawer,cabinet,table|counter,table
bed,pillow,blanket|sofa,pillow,blanket|desk,table|table,tablecloth,desk|tablecloth,table,cloth|rug,mat|mat,rug
computer,laptop,keyboard,television|laptop,computer,keyboard|towel,cloth|blanket,cloth|road,driveway,ground
driveway,road,ground|sidewalk,ground|dirt,ground,sand|moss,grass,rock|ground,dirt,grass,sand|sand,ground,dirt
field,grass,ground|mountain,hill,cliff,rock|hill,mountain,grass,field|cliff,rock,mountain|rock,cliff,mountain
coral,rock|snow,ice|ice,snow|cloud,sky|sky,cloud|floor,wood|dock,wood|car,wheel|bicycle,wheel|motorcycle,wheel
bus,wheel|airplane,wheel
"""


def _beside() -> Tensor:
    """Return a (C, C) bool table; each row marks a class's parts and other names, which are often not labelled."""
    found = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.bool)
    for word, *others in word_groups(_BESIDE):
        found[NUMBER[word] - 1, [NUMBER[other] - 1 for other in others]] = True
    return found


BESIDE = _beside()
"""(C, C) bool. Row: a labelled class. Column: a class that may be present too, although it is not labelled."""
SEEN_BY_EYE = 0.3  # share of the crops with masks that are drawn for a class that only grids have
PASTED = 0.5  # share of scene crops into which an object of another crop is pasted
TILED = 0.35  # share of scene crops that are replaced by a 2 x 2 square of four crops
MIXED = 1 / 3  # share of photographs blended with another; the same share gets a rectangle of another
MEAN, STD = torch.tensor(open_clip.OPENAI_DATASET_MEAN), torch.tensor(open_clip.OPENAI_DATASET_STD)


@dataclass(frozen=True, eq=False)
class Crops:
    """Batch of B crops.

    Attributes:
        pixels: (B, 3, 224, 224) in [0, 1].
        index: (B,) index of the photograph.
    """

    pixels: Tensor
    index: Tensor


@dataclass(frozen=True, eq=False)
class SceneCrops(Crops):
    """Batch of crops of photographs with masks.

    Attributes:
        cells: (B, 1 + C, g, g) share of each patch that each class covers; channel 0 is unknown.
        whole: (B,) bool, True if every pixel may have a label, False if only faces are labelled.
    """

    cells: Tensor
    whole: Tensor


class CropSource:
    """Sampler of crops of the photographs that are not held out."""

    def __init__(self, photographs: Photographs) -> None:
        """Group the photographs by available labels and compute the weight of each class."""
        self.photographs = p = photographs
        device = p.pixels.device
        usable = ~p.held_out().to(device)
        scene = torch.tensor([name.startswith("scenes/") for name in p.names], device=device)
        self.plain = torch.nonzero(usable & ~(scene & has_whole_mask(p.whole, p.masked)))[:, 0]
        self.said = torch.nonzero(usable & (p.words[:, 0] >= 0))[:, 0]
        scenes = torch.nonzero(usable & (p.masked >= 0))[:, 0]
        counts = [torch.bincount(p.masks[row].flatten(), minlength=LABELS) for row in p.masked[scenes].tolist()]
        areas = p.sizes[scenes].prod(1, keepdim=True)
        shares = torch.stack(counts) / areas if counts else torch.zeros(0, LABELS, device=device)
        self.of_class = [scenes[shares[:, 1 + c] > LEAST_SHARE] for c in range(len(CLASSES))]
        wanted = [BETTER.get(synonyms[0], 1.0) for synonyms in CLASSES]
        self.chances = torch.tensor(
            [more * len(found) ** RARE for more, found in zip(wanted, self.of_class, strict=True)]
        )
        of_scenes, of_grids = self.chances.split([len(SCENE_CLASSES), len(CLASSES) - len(SCENE_CLASSES)])
        if of_scenes.any() and of_grids.any():
            of_grids *= SEEN_BY_EYE / (1 - SEEN_BY_EYE) * of_scenes.sum() / of_grids.sum()

    def scenes(self, count: int) -> SceneCrops:
        """Sample crops of photographs with masks: draw a class, then a photograph that shows it, then a crop of it.

        In half of them the object of another crop is pasted, cut out along its mask. The model then learns objects
        independently of their background.
        """
        p = self.photographs
        classes, index = self._draw(count)
        area = (torch.rand(count, TRIES, device=index.device) * (1 - LEAST_CROP) + LEAST_CROP) ** 1.5
        box = self._choose(index, classes, self._boxes(p.sizes[index].float(), area))
        flip = torch.rand(count, 1, device=index.device) < 0.5
        labels = self._labels(index, box[:, None], flip, SIDE)[:, 0]
        pixels, labels = paste(_jitter(self._cut(index, box, flip)), labels, classes)
        pixels, labels, whole = tile(pixels, labels, has_whole_mask(p.whole, p.masked[index]))
        return SceneCrops(pixels, index, cell_shares(labels, PATCH), whole)

    def of(self, index: Tensor, least: float) -> Crops:
        """Sample one crop of each photograph in `index`; a crop covers at least the share `least` of its area."""
        area = torch.rand(len(index), 1, device=index.device) * (1 - least) + least
        box = self._boxes(self.photographs.sizes[index].float(), area)[:, 0]
        return Crops(_jitter(self._cut(index, box, torch.rand(len(index), 1, device=index.device) < 0.5)), index)

    def _draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Draw (count,) classes, with rare ones over-represented, and (count,) photographs that show them."""
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
        """Sample (B, T, 4) boxes (top, left, height, width) that cover shares `area` (B, T) of photographs.

        The ratio of width to height is between 1 / 1.4 and 1.4.
        """
        ratio = torch.exp(torch.rand_like(area) * 0.7 - 0.35)
        pixels = area * sizes.prod(1, keepdim=True)
        extent = torch.stack([(pixels / ratio).sqrt(), (pixels * ratio).sqrt()], -1).minimum(sizes[:, None])
        return torch.cat([torch.rand_like(extent) * (sizes[:, None] - extent), extent], -1)

    def _choose(self, index: Tensor, classes: Tensor, boxes: Tensor) -> Tensor:
        """Return (B, 4): the first of the boxes (B, T, 4) with enough of the class, else the last one."""
        unflipped = torch.zeros(len(index), 1, dtype=torch.bool, device=index.device)
        labels = self._labels(index, boxes, unflipped, LOOKED_AT)
        held = (labels == 1 + classes[:, None, None, None]).float().mean((2, 3)) > HOLDS
        held[:, -1] = True
        return boxes[torch.arange(len(index), device=index.device), held.float().argmax(1)]

    def _labels(self, index: Tensor, boxes: Tensor, flip: Tensor, side: int) -> Tensor:
        """Return the (B, T, side, side) uint8 labels in boxes (B, T, 4)."""
        rows, columns = (x.long().clamp(0, CANVAS - 1) for x in places(boxes, side, flip[:, None]))
        row = self.photographs.masked[index][:, None, None, None]
        return self.photographs.masks[row, rows[..., :, None], columns[..., None, :]]

    def _cut(self, index: Tensor, box: Tensor, flip: Tensor) -> Tensor:
        """Return the (B, 3, 224, 224) pixels in [0, 1] of boxes, mirrored where `flip` (B, 1) is True."""
        pixels = self.photographs.pixels[index]
        return cut(pixels.half() if pixels.is_cuda else pixels.float(), box, SIDE, flip).float() / 255


def places(box: Tensor, side: int, flip: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return (..., side) rows and columns of sample points in boxes (..., 4), mirrored where `flip` (..., 1) is set."""
    steps = (torch.arange(side, device=box.device) + 0.5) / side
    across = steps if flip is None else torch.where(flip, 1 - steps, steps)
    return box[..., :1] + box[..., 2:3] * steps, box[..., 1:2] + box[..., 3:] * across


def cut(pixels: Tensor, box: Tensor, side: int, flip: Tensor | None = None) -> Tensor:
    """Resample boxes of pictures: (B, 3, s, s), (B, 4) top, left, height, width in pixels -> (B, 3, side, side)."""
    y, x = (found / pixels.shape[-1] * 2 - 1 for found in places(box, side, flip))
    grid = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1)
    grid = grid.to(pixels.dtype)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def parts(count: int, times: int, least: int, most: int, grid: int, device: torch.device) -> Tensor:
    """Sample boxes on a square grid: (count, times, 4) top, left, height, width in patches."""
    extent = torch.randint(least, most + 1, (count, times, 2), device=device)
    start = (torch.rand(count, times, 2, device=device) * (grid + 1 - extent)).long()
    return torch.cat([start, extent], -1)


def inside(box: Tensor, side: int) -> Tensor:
    """Rasterise boxes on a square grid: (B, K, 4) -> (B, K, side * side) bool, True inside the box."""
    along = torch.arange(side, device=box.device)
    start, end = box[..., :2, None], (box[..., :2] + box[..., 2:])[..., None]
    within = (along >= start) & (along < end)  # (B, K, 2, side)
    return (within[:, :, 0, :, None] & within[:, :, 1, None]).flatten(2)


def cell_shares(labels: Tensor, cell: int) -> Tensor:
    """Return the share of each label in each cell: (B, H, W) -> (B, 1 + C, H / cell, W / cell)."""
    batch, height, width = labels.shape
    rows, columns = height // cell, width // cell
    place = torch.arange(batch * rows * columns, device=labels.device).view(batch, rows, 1, columns, 1)
    where = place * LABELS + labels.long().view(batch, rows, cell, columns, cell)
    counts = torch.bincount(where.flatten(), minlength=batch * rows * columns * LABELS)
    return counts.view(batch, rows, columns, LABELS).permute(0, 3, 1, 2).float() / cell**2


def paste(pixels: Tensor, labels: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Paste the object of the previous crop into a share `PASTED` of crops, unless its class is ground.

    Args:
        pixels: (B, 3, H, W).
        labels: (B, H, W) uint8.
        classes: (B,) class drawn for each crop.
    """
    drawn, other = classes.roll(1), labels.roll(1, 0)
    chosen = ~GROUND.to(drawn.device)[drawn] & (torch.rand(len(drawn), device=drawn.device) < PASTED)
    thing = (other == 1 + drawn[:, None, None]) & chosen[:, None, None]
    soft = F.avg_pool2d(thing[:, None].float(), 3, 1, 1)
    return soft * pixels.roll(1, 0) + (1 - soft) * pixels, torch.where(thing, other, labels)


def tile(pixels: Tensor, labels: Tensor, whole: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Replace a share `TILED` of crops by a 2 x 2 square of half-size crops: the crop and the three before it.

    Args:
        pixels: (B, 3, H, W).
        labels: (B, H, W) uint8.
        whole: (B,) bool, True if every pixel may have a label; a square is whole if all four crops are.
    """

    def square(small: Tensor) -> Tensor:
        upper, lower = torch.cat([small, small.roll(1, 0)], -1), torch.cat([small.roll(2, 0), small.roll(3, 0)], -1)
        return torch.cat([upper, lower], -2)

    chosen = torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < TILED
    all_whole = torch.stack([whole.roll(back, 0) for back in range(4)]).all(0)
    return (
        torch.where(chosen, square(F.avg_pool2d(pixels, 2)), pixels),
        torch.where(chosen[:, 0], square(labels[:, ::2, ::2]), labels),
        torch.where(chosen[:, 0, 0, 0], all_whole, whole),
    )


def mix(pixels: Tensor) -> Tensor:
    """Blend a share `MIXED` of pictures (B, 3, s, s) with the previous one; paste a rectangle of it into as many."""
    other, (batch, _, side, _) = pixels.roll(1, 0), pixels.shape

    def rand(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, device=pixels.device)

    extent = (rand(2) * 0.6 + 0.3) * side
    start = rand(2) * (side - extent)
    piece = inside(torch.cat([start, extent], -1)[:, None], side).unflatten(2, (side, side)).float()
    kind, whole = rand(1, 1, 1), rand(1, 1, 1)
    share = torch.where(kind < MIXED, whole, torch.where(kind < 2 * MIXED, piece, 0))
    return share * other + (1 - share) * pixels


def has_whole_mask(whole: Tensor, masked: Tensor) -> Tensor:
    """Return (B,) bool: whether photographs have a whole mask, given their rows in `masks` (-1: none)."""
    if not whole.numel():
        return torch.zeros_like(masked, dtype=torch.bool)
    return whole[masked.clamp_min(0)] & (masked >= 0)


def _jitter(pixels: Tensor) -> Tensor:
    """Vary brightness, contrast and colours at random; make a tenth of the crops grey and blur a tenth."""
    count, device = len(pixels), pixels.device

    def rand(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, 1, 1, device=device) * (high - low) + low

    colour = torch.where(rand(0, 1, 1) < 0.1, 0, rand(0.6, 1.4, 1))
    pixels = torch.lerp(pixels.mean(1, keepdim=True), pixels, colour)
    pixels = torch.lerp(pixels.mean((1, 2, 3), keepdim=True), pixels, rand(0.6, 1.4, 1))
    pixels = torch.where(rand(0, 1, 1) < 0.1, F.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False), pixels)
    return pixels * rand(0.75, 1.25, 1) * rand(0.92, 1.08, 3) + rand(-0.1, 0.1, 1)


def normalised(pixels: Tensor) -> Tensor:
    """Normalise pixels (B, 3, H, W) in [0, 1] with CLIP's mean and standard deviation."""
    mean, std = (values.to(pixels).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels - mean) / std
