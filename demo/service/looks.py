"""What one patch looks at, before and after recovery. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demo.figures import views
from demo.service.pictures import Seen


@dataclass(frozen=True, eq=False)
class Look:
    """What one patch looks at in one layer.

    Attributes:
        seen: which picture.
        patch: (row, column), from 0.
        layer: from 1.
        attention: (h, w), query-key softmax: shares of a sum of at most 1.
        affinity: (h, w), recovered, cosine in [-1, 1].
        global_patches: (row, column) of patches that attract most others, strongest first.
        ranks: rank of each of them before and after recovery, 1 = most looked at.
        patches: (h*cell, w*cell, 3), what the model saw.
    """

    seen: Seen
    patch: tuple[int, int]
    layer: int
    attention: npt.NDArray[np.float32]
    affinity: npt.NDArray[np.float32]
    global_patches: list[tuple[int, int]]
    ranks: list[tuple[int, int]]
    patches: views.Picture
