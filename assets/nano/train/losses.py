"""What the image tower learns from: only words that are true of the whole picture, never a mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
    """Cross-entropy against all words of a picture at once, (B, C) and (B, C) -> scalar."""
    wanted = words / words.sum(1, keepdim=True).clamp_min(1e-6)
    return -(wanted * logits.log_softmax(1)).sum(1).mean()


def some_patch_says(patch_logits: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Multiple-instance losses.

    Args:
        patch_logits: (B, N, C).
        words: (B, C), above 0 where a word is present.

    Returns:
        how far the picture is from "some patch says each present word", and how much patches say absent words.
    """
    present = (words > 0).float()
    sayings = patch_logits.softmax(2)  # (B, N, C)
    expected = sayings.sum(1).clamp(1e-6, 20)  # patches expected to say each word
    # Poisson: the chance that none does is exp(-expected).
    missing = -(present * torch.log1p(-torch.exp(-expected))).sum(1) / present.sum(1).clamp_min(1)
    wrong = ((1 - present) * sayings.mean(1)).sum(1)
    return missing.mean(), wrong.mean()


def picture_loss(
    cls: Tensor, patches: Tensor, vectors: Tensor, scale: Tensor, words: Tensor, dense: bool
) -> tuple[Tensor, Tensor]:
    """All objectives of one batch.

    Args:
        cls: (B, D) projected [CLS].
        patches: (B, N, D) projected patches.
        vectors: (C, D) unit rows, the words.
        scale: scalar, what cosines are multiplied with.
        words: (B, C) from `shares_to_words`.
        dense: patches take part; else [CLS] alone.

    Returns:
        scalar loss, and (B, C) logits of [CLS].
    """
    logits = scale * F.normalize(cls.float(), dim=-1) @ vectors.T
    if not dense:
        return several_positives(logits, words), logits
    patches = F.normalize(patches.float(), dim=-1)
    mean_logits = scale * F.normalize(patches.mean(1), dim=-1) @ vectors.T
    missing, wrong = some_patch_says(scale * patches @ vectors.T, words)
    whole = several_positives(logits, words) + 0.5 * several_positives(mean_logits, words)
    return whole + missing + 2 * wrong, logits
