"""What the image tower learns from: words true of a whole picture, and two views of one scene; never a mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STUFF_MEAN = 0.3
STRAYED = 0.1
GROWTH = 0.06  # patches that should say a word, per patch of the picture


def shares_to_words(shares: Tensor, objects: int, seen: float = 0.02, stuff_weight: float = 0.35) -> Tensor:
    """Which words a picture is given.

    Args:
        shares: (B, C) part of the picture that each class covers; objects first, then stuff.
        objects: how many of the C are objects.
        seen: a class that covers less is not named.
        stuff_weight: weight of a kind of stuff beside the 1 of an object.

    Returns:
        (B, C) weights; 0 where a word is absent.
    """
    present = (shares > seen).float()
    present[:, objects:] *= stuff_weight
    return present


def several_positives(logits: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy against all words of a picture at once, over the pictures that have one; (B, C) twice -> scalar."""
    named = (words.sum(1) > 0).float()
    wanted = words / words.sum(1, keepdim=True).clamp_min(1e-6)
    return -(wanted * logits.log_softmax(1)).sum() / named.sum().clamp_min(1)


def patches_say(patch_logits: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Multiple-instance losses.

    Args:
        patch_logits: (B, N, C).
        words: (B, C), above 0 where a word is present.

    Returns:
        how far pictures are from "some patches say each present word", and how far patches are from "says a word of
        the picture" (the likelihood of a set of possible labels); scalars.
    """
    present = (words > 0).float()
    sayings = patch_logits.softmax(2)  # (B, N, C)
    # Patches expected to say each word, in units that grow with the picture: more than one should say it.
    expected = (sayings.sum(1) / (1 + GROWTH * sayings.shape[1])).clamp(1e-6, 20)
    # Poisson: the chance that none does is exp(-expected).
    missing = -(present * torch.log1p(-torch.exp(-expected))).sum(1) / present.sum(1).clamp_min(1)
    strayed = -(sayings * present[:, None]).sum(2).clamp_min(1e-6).log()
    return missing.mean(), strayed.mean()


def disagreement(patch_logits: Tensor, corners: Tensor) -> Tensor:
    """How differently two windows of a scene speak of what both show: Jensen-Shannon, with the mean held fixed.

    What is said of a thing moves with the thing. Without this the multiple-instance losses are as content when it is
    said in the middle of the picture, and so it is: the place of what patches said followed an object's by a quarter.

    Args:
        patch_logits: (B, 2, N, C) of square windows.
        corners: (B, 2, 2) (row, column) of a window's first patch in its scene.

    Returns:
        scalar, nats per patch; 0 where no two windows overlap.
    """
    side = int(patch_logits.shape[2] ** 0.5)
    grid = torch.arange(side, device=patch_logits.device)
    cells = torch.cartesian_prod(grid, grid).view(1, -1, 2)  # (1, N, 2)
    beside = cells + (corners[:, 0] - corners[:, 1])[:, None]  # the first window's cells, counted in the second
    shared = ((beside >= 0) & (beside < side)).all(2)  # (B, N)
    if not bool(shared.any()):
        return patch_logits.sum() * 0
    sayings = patch_logits.log_softmax(3)
    number = (beside[..., 0] * side + beside[..., 1]).clamp(0, side * side - 1)
    second = sayings[:, 1].gather(1, number[..., None].expand_as(sayings[:, 1]))
    one, two = sayings[:, 0][shared], second[shared]
    both = ((one.exp() + two.exp()) / 2).detach()
    return (torch.xlogy(both, both) - both * (one + two) / 2).sum(1).mean()


def picture_loss(
    cls: Tensor, patches: Tensor, corners: Tensor, vectors: Tensor, scale: Tensor, words: Tensor, objects: int
) -> tuple[Tensor, Tensor]:
    """All objectives of a batch of scenes.

    Args:
        cls: (B, 2, D) projected [CLS] of two windows of every scene.
        patches: (B, 2, N, D) projected patches.
        corners: as in `disagreement`.
        vectors: (C, D) unit rows, the words; objects first, then stuff.
        scale: scalar, what cosines are multiplied with.
        words: (B, 2, C) from `shares_to_words`.
        objects: how many of the C are objects.

    Returns:
        scalar loss, and (B, 2, C) logits of [CLS].
    """
    loss, logits = cls_loss(cls, vectors, scale, words)
    patches = F.normalize(patches.float(), dim=-1)
    means = (scale * F.normalize(patches.mean(2), dim=-1) @ vectors.T).flatten(0, 1)
    named = words.flatten(0, 1)
    # Objects among objects, stuff among stuff: against both, stuff wins, which is learnt first and covers more.
    loss = loss + several_positives(means[:, :objects], named[:, :objects])
    loss = loss + STUFF_MEAN * several_positives(means[:, objects:], named[:, objects:])
    missing, strayed = patches_say((scale * patches @ vectors.T).flatten(0, 1), named)
    # The scale is for the words to choose: a lower one would make any two windows agree.
    return loss + missing + STRAYED * strayed + disagreement(scale.detach() * patches @ vectors.T, corners), logits


def cls_loss(cls: Tensor, vectors: Tensor, scale: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """CLIP's own objective, [CLS] against the words; as in `picture_loss`, for any number of windows a scene."""
    logits = scale * F.normalize(cls.float(), dim=-1) @ vectors.T
    return several_positives(logits.flatten(0, 1), words.flatten(0, 1)), logits
