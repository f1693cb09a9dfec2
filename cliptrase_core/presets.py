"""Presets: named settings of layout and clustering."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from cliptrase_core.errors import InputError, expect_one_of, is_number, is_whole
from cliptrase_core.io.geometry import Frame, Size, centre_crop_frame, keep_aspect_frame

PositionResize = Literal["published", "size"]
"""Method to resize position embeddings to another grid; see docs/decisions/003-position-embeddings.md."""


@dataclass(frozen=True)
class ClusterSettings:
    """Both parameters of DBSCAN.

    Attributes:
        eps: neighbourhood radius, Euclidean, in the space of N-dimensional rows; therefore it grows with N.
        min_samples: minimum number of patches within `eps` of a core patch, the patch itself included.
    """

    eps: float
    min_samples: int

    def __post_init__(self) -> None:
        """Check both ranges."""
        if not (is_number(self.eps) and math.isfinite(self.eps) and self.eps > 0):
            raise InputError("eps", expected="a number above 0", got=repr(self.eps), remedy="0.7 suits N = 196.")
        if not is_whole(self.min_samples) or self.min_samples < 1:
            raise InputError(
                "min_samples",
                expected="a whole number of at least 1",
                got=repr(self.min_samples),
                remedy="3 suits N = 196.",
            )


@dataclass(frozen=True)
class Preset:
    """Named settings of layout and clustering.

    Attributes:
        name: name of the preset.
        short_side: short side in pixels; None uses the size that the model was trained at.
        crop: True for a centre crop with labels in the model frame, False for the whole picture with labels in the
            original frame.
        positions: method to resize position embeddings to another grid.
        clustering: parameters of DBSCAN; None uses the model's rule for N patches.
        templates: name of the template set for words.
    """

    name: str
    short_side: int | None
    crop: bool
    positions: PositionResize
    clustering: ClusterSettings | None
    templates: str

    def side(self, requested: int | None, native: int) -> int:
        """Return the short side in pixels.

        Args:
            requested: requested short side in pixels; None uses the preset's.
            native: size that the model was trained at.

        Raises:
            InputError: the size differs from that of a preset whose clustering is tuned for its size.
        """
        if requested is None:
            return self.short_side or native
        if self.short_side is not None and requested != self.short_side:
            raise InputError(
                f"short side of preset {self.name}",
                expected=f"{self.short_side}, which its clustering was tuned for",
                got=repr(requested)[:40],
                remedy="Leave it out, or use preset auto for any size.",
            )
        return requested

    def frame(self, original: Size, short_side: int, patch: Size) -> Frame:
        """Return the layout of a picture of (height, width) with patches of (height, width), all in pixels.

        Raises:
            InputError: a size that the layout does not accept.
        """
        layout = centre_crop_frame if self.crop else keep_aspect_frame
        return layout(original, short_side, patch)


PRESETS = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset("auto", None, crop=False, positions="size", clustering=None, templates="simple7"),
            # The two settings that the paper reports: 0.7 / 3 at 14 x 14 patches, 1.1 / 7 at 21 x 21.
            Preset("paper-224", 224, True, "published", ClusterSettings(0.7, 3), "openai80"),
            Preset("paper-336", 336, True, "published", ClusterSettings(1.1, 7), "openai80"),
        )
    }
)


WINDOWS = Preset("windows", None, crop=False, positions="published", clustering=None, templates="openai80")
"""Preset for windows and whole pictures as in the programs of other methods; users cannot choose its name."""


def preset_by_name(name: str | Preset) -> Preset:
    """Return the preset of this name; `WINDOWS`, which users cannot name, is given itself.

    Raises:
        InputError: unknown name.
    """
    if name is WINDOWS:
        return WINDOWS
    expect_one_of("preset", name, PRESETS)
    return PRESETS[str(name)]


def preset_of_encoding(name: str) -> Preset:
    """Return the preset that an encoding was made with, by the name that the encoding has."""
    return WINDOWS if name == WINDOWS.name else preset_by_name(name)
