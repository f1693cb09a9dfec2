"""Options tried out before the first picture: what suits none is said once, not for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from cliptrase_core.segmenter import Segmenter
from cliptrase_core.text.vocabulary import Vocabulary

_SIDE = 64
"""Pixels of the picture that is tried: a few patches, a hundredth of a second."""


def try_out(
    segmenter: Segmenter, vocabulary: str | Vocabulary, preset: str, short_side: int | None, **settings: Any
) -> None:
    """Lay out and segment an empty picture; the words stay embedded.

    Args:
        segmenter: the model.
        vocabulary: that all pictures share.
        preset: a name.
        short_side: as for `Segmenter.encode`.
        settings: of `Segmenter.segment`.

    Raises:
        CliptraseError: an option that would fail on every picture.
    """
    blank = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    segmenter.view(blank, preset, short_side=short_side)
    segmenter.segment(segmenter.encode(blank, short_side=_SIDE), vocabulary, **settings)
