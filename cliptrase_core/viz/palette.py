"""Colours of classes, derived from their names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from cliptrase_core.errors import InputError, is_whole
from cliptrase_core.names import fold
from cliptrase_core.results import EVERYTHING_ELSE, Segmentation, is_background

Colour = tuple[int, int, int]
"""(red, green, blue), each 0 to 255."""

BACKGROUND_COLOUR: Colour = (64, 64, 64)
EVERYTHING_ELSE_COLOUR: Colour = (128, 128, 128)
NO_REGION_COLOUR: Colour = (208, 208, 208)

# The seven colours of Okabe and Ito, then the colours with the largest distance (CIE76) from all before and from the
# two greys, in the worst case of normal vision, protanopia and deuteranopia (Machado et al. 2009). Each pair has a
# distance of at least 13.
_PALETTE = (
    "E69F00 56B4E9 009E73 F0E442 0072B2 D55E00 CC79A7 0000FF "
    "C3F096 2D1EA5 871E00 5A78FF 690F69 69B45A 78D296 3C4BF0 "
    "4B783C 874B78 87E1FF 4B96F0 D2E169 004BA5 0000C3 5A2D1E "
    "3C694B 96FFC3 B43C00 963CD2 3CB4C3 F02D69 78FFFF 690087"
)
PALETTE: tuple[Colour, ...] = tuple(
    (int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for code in _PALETTE.split()
)
"""The 32 colours that are assigned first."""

_CUSTOMARY_NAMES = {
    "56B4E9": "sky",
    "0072B2": "water sea ocean lake river",
    "69B45A": "grass lawn meadow",
    "3C694B": "tree trees forest bush bushes",
    "5A2D1E": "soil earth ground dirt",
}
CUSTOMARY: dict[str, Colour] = {
    name: PALETTE[_PALETTE.split().index(code)] for code, names in _CUSTOMARY_NAMES.items() for name in names.split()
}
"""Customary colours of common names: blue grass would mislead. Other names get these colours last."""
_KEPT = frozenset(CUSTOMARY.values())

_LIKE = 180  # distance of `_unlike`; from any first colour, about eight colours of the palette are this far apart

# Colours for use after the palette: steps of 17, neither dark nor greyish, about 3,500 colours.
_STEPS = range(0, 256, 17)
_LATTICE: tuple[Colour, ...] = tuple(
    (r, g, b)
    for r, g, b in product(_STEPS, _STEPS, _STEPS)
    if max(r, g, b) >= 102 and max(r, g, b) - min(r, g, b) >= 68 and (r, g, b) not in PALETTE
)
_LATTICE_TRIES = 64


@dataclass(frozen=True)
class LegendRow:
    """Legend entry of one class that is present.

    Attributes:
        index: label of the class.
        name: shown name.
        colour: "#rrggbb".
        area: share of the picture, in (0, 1].
        confidence: mean confidence of its pixels, in [0, 1]; NaN if a person gave it some.
    """

    index: int
    name: str
    colour: str
    area: float
    confidence: float


def class_colours(names: Iterable[str], also: Iterable[str] = ()) -> dict[str, Colour]:
    """Assign a distinct colour to each name, the same in every order and every run.

    A name gets its `CUSTOMARY` colour, or a colour by its hash. If a name with a smaller hash has the same or a similar
    colour, it gets its next choice that differs clearly from all others or, if there is none, its next choice. Up to 32
    names and the background are well distinguishable, also for colour-blind people. More names still get distinct
    colours, but some are similar.

    Args:
        names: shown names; "background", in upper or lower case, always has the same dark grey, "everything else" a
            lighter one.
        also: further names; they change no colour of `names`.
    """
    colours: dict[str, Colour] = {}
    free = set(PALETTE)
    used = {BACKGROUND_COLOUR, EVERYTHING_ELSE_COLOUR, NO_REGION_COLOUR, *PALETTE}
    # Sorted by hash, so that the order of the words does not matter.
    first = set(names)
    ranked = sorted(
        (name not in first, fold(name) not in CUSTOMARY, _digest(fold(name)), name) for name in {*first, *also}
    )
    for *_, digest, name in ranked:
        if is_background(name) and BACKGROUND_COLOUR not in colours.values():
            colours[name] = BACKGROUND_COLOUR
        elif name == EVERYTHING_ELSE:
            colours[name] = EVERYTHING_ELSE_COLOUR
        elif (own := CUSTOMARY.get(fold(name))) in free:
            colours[name] = own
            free.remove(own)
        elif free:
            # An odd stride visits all 32 places.
            places = ((digest[0] + k * (digest[1] | 1)) % len(PALETTE) for k in range(len(PALETTE)))
            # Stable sort: customary colours are the last choices of other names.
            choices = sorted((PALETTE[place] for place in places if PALETTE[place] in free), key=_KEPT.__contains__)
            taken = [*colours.values(), *_KEPT]
            colours[name] = next((colour for colour in choices if _unlike(colour, taken)), choices[0])
            free.remove(colours[name])
        else:
            colours[name] = _beyond_palette(name, used)
            used.add(colours[name])
    return colours


def region_colours(count: int) -> npt.NDArray[np.uint8]:
    """Return the colours of a region map: `region_colours(count)[regions]` is its picture.

    Returns:
        (count + 1, 3); the last row, for index -1, is the light grey of "no region". Colours repeat only beyond about
        3,500 regions, and never for consecutive ones.
    """
    if not is_whole(count) or count < 0:
        raise InputError(
            "count of regions",
            expected="a whole number, at least 0",
            got=repr(count),
            remedy="Pass the largest region plus one.",
        )
    rest = sorted(_LATTICE, key=lambda colour: _digest(repr(colour))) if count > len(PALETTE) else []
    cycle = [*PALETTE, *rest]
    rows = [cycle[i % len(cycle)] for i in range(count)]
    return np.array([*rows, NO_REGION_COLOUR], dtype=np.uint8)


def paint(labels: npt.NDArray[np.integer], colours: Sequence[Colour] | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Convert a label or region map to a picture.

    Args:
        labels: (H, W), index into `colours`; -1 selects the last row.
        colours: (C, 3), 0 to 255.

    Returns:
        (H, W, 3).
    """
    table = np.asarray(colours, dtype=np.uint8)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer) or table.ndim != 2 or table.shape[1] != 3:
        raise InputError(
            "map and colours",
            expected="whole numbers (H, W) and (C, 3)",
            got=f"{labels.dtype} {labels.shape} and {table.shape}",
            remedy="Pass one label map and one colour for each label.",
        )
    if labels.size and (labels.min() < -1 or labels.max() >= len(table)):
        raise InputError(
            "labels",
            expected=f"-1 to {len(table) - 1}",
            got=f"{labels.min()} to {labels.max()}",
            remedy="Give one colour for each label.",
        )
    return table.take(labels, axis=0)  # three times as fast as table[labels]


def label_colours(result: Segmentation) -> npt.NDArray[np.uint8]:
    """Return the colour of each label of a result: (C, 3)."""
    return np.array(_colour_table(result.class_names), dtype=np.uint8)


@lru_cache(maxsize=64)
def _colour_table(names: tuple[str, ...]) -> tuple[Colour, ...]:
    """Return the colour of each name; cached, since all results of a folder have the same names."""
    by_name = class_colours(names)
    return tuple(by_name[name] for name in names)


def legend(result: Segmentation) -> list[LegendRow]:
    """Return the classes that are present, largest first, equal ones in the order of their labels."""
    (shares, certainties), colours = result.shares, label_colours(result)
    return [
        LegendRow(int(i), result.class_names[i], to_hex(colours[i]), float(shares[i]), float(certainties[i]))
        for i in np.argsort(-shares, kind="stable")
        if shares[i]
    ]


def to_hex(colour: Sequence[int] | npt.NDArray[np.uint8]) -> str:
    """Return a colour in CSS notation, for example #e69f00."""
    return "#" + "".join(f"{int(channel):02x}" for channel in colour)


def _digest(text: str) -> bytes:
    # Not hash(), which differs between runs.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _unlike(colour: Colour, others: Iterable[Colour]) -> bool:
    """Return whether no other colour is similar, by the "redmean" approximation of perception (T. Riemersma)."""
    r, g, b = colour
    for red, green, blue in others:
        mean = (r + red) / 2 / 256
        if (2 + mean) * (r - red) ** 2 + 4 * (g - green) ** 2 + (3 - mean) * (b - blue) ** 2 < _LIKE**2:
            return False
    return True


def _beyond_palette(name: str, used: set[Colour]) -> Colour:
    attempt = 0
    while True:
        digest = _digest(f"{fold(name)}\n{attempt}")
        if attempt < _LATTICE_TRIES:
            colour = _LATTICE[int.from_bytes(digest[:4], "big") % len(_LATTICE)]
        else:  # thousands of names: any colour that is left
            colour = (digest[0], digest[1], digest[2])
        if colour not in used:
            return colour
        attempt += 1
