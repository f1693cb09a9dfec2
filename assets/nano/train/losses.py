"""What the image tower learns from: words true of a whole picture, and its own answers to parts of it; never a mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# A kind of stuff covers 57 times (4.0 in logarithms) what a kind of object does, and is told from ten others, an object
# from 283: where that is unsure, stuff is still likelier than any one of them. 7.5: the best in training styles.
STUFF_FREQUENCY = 7.5


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


def says(answers: Tensor, vectors: Tensor, scale: Tensor, objects: int) -> Tensor:
    """How likely words are of tokens in training, where a kind of stuff is far more frequent than a kind of object.

    What is frequent is added here, so that it is not learned (logit adjustment: Menon et al., ICLR 2021): who asks for
    a dog on grass makes both equally likely.

    Args:
        answers: (..., D) projected tokens.
        vectors: (C, D) unit rows, the words; objects first, then stuff.
        scale: scalar, what cosines are multiplied with.
        objects: how many of the C are objects.

    Returns:
        (..., C) logits.
    """
    frequent = torch.zeros(len(vectors), device=vectors.device)
    frequent[objects:] = STUFF_FREQUENCY
    return scale * F.normalize(answers.float(), dim=-1) @ vectors.T + frequent


def parts_disagree(patches: Tensor, box: Sequence[int], alone: Tensor, words: Tensor) -> Tensor:
    """How far the patches of a part say, together, from what [CLS] says where the part is all that is seen.

    Words of a picture do not tell where in it they are true; what is outside of a part cannot be said of it. Parts of
    many sizes at many places leave one arrangement that agrees with all of them. The idea is CLIPSelf's (Wu et al.,
    ICLR 2024), with words in place of features: of two things in a part, each patch may say its own.

    Args:
        patches: (B, g, g, C) logits of a picture's patches.
        box: (row, column, side) of the part, patches.
        alone: (B, C) logits of [CLS] for the part alone; it teaches and is not taught.
        words: (B, C), above 0 where a word is true of the whole picture: [CLS] chooses among these.

    Returns:
        scalar, Kullback-Leibler divergence in nats.
    """
    row, column, side = box
    together = patches[:, row : row + side, column : column + side].softmax(3).mean((1, 2))
    teacher = alone.detach().masked_fill(words == 0, -1e4).log_softmax(1)
    return (teacher.exp() * (teacher - together.clamp_min(1e-7).log())).sum(1).mean()
