"""What the image tower learns from: words that are true of a whole picture, or of a part of a mosaic; never a mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STUFF_MEAN = 0.3
STRAYED = 0.5
GROWTH = 0.06  # patches that should say a word, per patch of its part


def shares_to_words(shares: Tensor, objects: int, seen: float = 0.02, stuff_weight: float = 0.35) -> Tensor:
    """Which words a picture, or a part of it, is given.

    Args:
        shares: (..., C) part of the picture that each class covers; objects first, then stuff.
        objects: how many of the C are objects.
        seen: a class that covers less is not named.
        stuff_weight: weight of a kind of stuff beside the 1 of an object.

    Returns:
        (..., C) weights; 0 where a word is absent.
    """
    present = (shares > seen).float()
    present[..., objects:] *= stuff_weight
    return present


def several_positives(logits: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy against all words of a picture at once, (B, C) and (B, C) -> scalar."""
    wanted = words / words.sum(1, keepdim=True).clamp_min(1e-6)
    return -(wanted * logits.log_softmax(1)).sum(1).mean()


def patches_say(patch_logits: Tensor, belongs: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Multiple-instance losses of every part of every picture.

    Args:
        patch_logits: (B, N, C).
        belongs: (B, T, N), 1 where a patch belongs to a part.
        words: (B, T, C), above 0 where a word is present; no word in a part that is not there.

    Returns:
        how far parts are from "some patch says each present word", and how far their patches are from "says a word
        of this part" (the likelihood of a set of possible labels); scalars.
    """
    present = (words > 0).float()
    sayings = patch_logits.softmax(2)  # (B, N, C)
    # Patches expected to say each word, (B, T, C), in units that grow with the part: more than one should say it.
    expected = ((belongs @ sayings) / (1 + GROWTH * belongs.sum(2, keepdim=True))).clamp(1e-6, 20)
    # Poisson: the chance that none does is exp(-expected).
    missing = -(present * torch.log1p(-torch.exp(-expected))).sum(2) / present.sum(2).clamp_min(1)
    allowed = belongs.transpose(1, 2) @ present  # (B, N, C)
    strayed = -(sayings * allowed).sum(2).clamp_min(1e-6).log()
    there = (present.sum(2) > 0).float()
    return (missing * there).sum() / there.sum(), strayed.mean()


def group_loss(logits: Tensor, words: Tensor) -> Tensor:
    """`several_positives` over the rows that have a word at all, (P, G) and (P, G) -> scalar."""
    named = words.sum(1) > 0
    return several_positives(logits[named], words[named]) if bool(named.any()) else logits.sum() * 0


def picture_loss(
    cls: Tensor,
    patches: Tensor,
    parts: Tensor,
    vectors: Tensor,
    scale: Tensor,
    words: Tensor,
    objects: int,
    dense: bool,
) -> tuple[Tensor, Tensor]:
    """All objectives of one batch.

    Args:
        cls: (B, D) projected [CLS]; it answers for pictures that are one scene.
        patches: (B, N, D) projected patches.
        parts: (B, N) which part a patch belongs to.
        vectors: (C, D) unit rows, the words; objects first, then stuff.
        scale: scalar, what cosines are multiplied with.
        words: (B, T, C) from `shares_to_words`.
        objects: how many of the C are objects.
        dense: patches take part; else [CLS] alone.

    Returns:
        scalar loss, and (B, C) logits of [CLS].
    """
    logits = scale * F.normalize(cls.float(), dim=-1) @ vectors.T
    there = words.sum(2) > 0  # (B, T)
    one_scene = (there.sum(1) == 1)[:, None]
    whole = group_loss(logits, words.amax(1) * one_scene)
    if not dense:
        return whole, logits
    patches = F.normalize(patches.float(), dim=-1)
    belongs = F.one_hot(parts, words.shape[1]).transpose(1, 2).to(patches.dtype)  # (B, T, N)
    means = scale * F.normalize((belongs @ patches)[there], dim=-1) @ vectors.T
    named = words[there]
    # Objects among objects, stuff among stuff: against both, stuff wins, which is learnt first and covers more.
    mean = group_loss(means[:, :objects], named[:, :objects])
    mean = mean + STUFF_MEAN * group_loss(means[:, objects:], named[:, objects:])
    missing, strayed = patches_say(scale * patches @ vectors.T, belongs, words)
    return whole + mean + missing + STRAYED * strayed, logits
