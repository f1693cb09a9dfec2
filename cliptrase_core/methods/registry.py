"""Registry of methods: the changes of each method to the image tower, as data for `features`.

docs/decisions/017-nine-methods.md defines the details that the papers do not specify.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from cliptrase_core.errors import InputError, expect_one_of, is_number, is_whole

Residual = Literal["patch", "none", "cls"]
"""Residual added to the attention of a changed block: the token's own stream, nothing, or the stream of [CLS]."""
RESIDUALS: tuple[Residual, ...] = ("patch", "none", "cls")


PAIRS = tuple(a + b for a in "qkv" for b in "qkv")
"""Pairs of projections that can be correlated."""
TINY = sys.float_info.min
COLDEST = 0.001
"""Smallest temperature: scores of a much smaller one underflow, and all labels become one."""
LAST_COUNTS = "1, since without residual only the last changed block counts"

_KNOWN: dict[str, Method] = {}
"""Content of `METHODS`: a method with changed values is compared with the known one of its name."""


def _is_none_or(kind: Callable[[object], bool], value: Any, least: float) -> bool:
    return value is None or (kind(value) and least <= value < math.inf)


@dataclass(frozen=True)
class ResclipSettings:
    """Parameters of ResCLIP, set per data set in the published code; defaults as for COCO-Object and COCO-Stuff.

    Attributes:
        least: probability below which a pixel's best label is unsure in the first labelling.
        gain: factor of the whole attention (tau of RCS).
        middle: share of the middle blocks' attention, in [0, 1] (lambda of RCS).
        structure_gain: factor of the sum of correlation and structure (tau of SFR).
        structure: share of the structure, in [0, 1] (lambda of SFR).
        unsure: label of unsure pixels; -1 is a separate label, the published code uses the first of its list.
    """

    least: float = 0.11
    gain: float = 2.0
    middle: float = 0.4
    structure_gain: float = 1.8
    structure: float = 0.7
    unsure: int = -1


@dataclass(frozen=True)
class Method:
    """A method to compute patch features: a frozen CLIP with changed attention.

    Values that the computation would not use are refused, such as pairs with smoothing.

    Attributes:
        name: identifier in options and code.
        title: name shown to users.
        authors: authors of the paper.
        venue: venue and year of the paper.
        arxiv: arXiv number of the paper.
        blocks: number of changed blocks, counted from the last. Several changed blocks form a separate path. It
            starts from the input of the first changed block and takes queries, keys and values from the unchanged
            path; [CLS] stays that of the unchanged path.
        pairs: correlated projections: "qk" is softmax(s q k^T), the vanilla attention. Several are summed.
            With none, each token keeps its own value.
        residual: term added to the attention of each changed block (of the last block, if none is changed):
            the tokens that enter it, nothing, or for every token the [CLS] that enters it.
        mlp: True if a changed block keeps its MLP.
        smoothing: number of steps of `attention.smoothed_values`; None for no smoothing.
        neighbours: range of the attraction between neighbours (standard deviation in patches); None for none.
        resclip: parameters of ResCLIP's corrections; None for none.
        temperature: factor of cosines before softmax, by the published code, at least `COLDEST`; None takes the
            model's own (100 in OpenAI's weights). It affects confidences only, except in ResCLIP's first labelling.
        regions_vote: True if clusters of the recovered affinity take their majority label by default.
        quirk: remark for readers who compare measured figures; may be empty.
    """

    name: str
    title: str
    authors: str
    venue: str
    arxiv: str
    blocks: int
    pairs: tuple[str, ...]
    residual: Residual = "patch"
    mlp: bool = True
    smoothing: int | None = None
    neighbours: float | None = None
    resclip: ResclipSettings | None = None
    temperature: float | None = None
    regions_vote: bool = False
    quirk: str = ""

    def __post_init__(self) -> None:
        """Check the values that somebody may have changed."""
        expect_one_of("residual", self.residual, RESIDUALS)
        pairs = isinstance(self.pairs, tuple) and all(pair in PAIRS for pair in self.pairs)
        for name, usable, expected in (
            ("pairs", pairs, f"a tuple of pairs such as {', '.join(PAIRS[:4])}"),
            ("blocks", is_whole(self.blocks) and self.blocks >= 0, "a whole number of at least 0"),
            ("smoothing", _is_none_or(is_whole, self.smoothing, 0), "a whole number of at least 0, or None"),
            ("neighbours", _is_none_or(is_number, self.neighbours, TINY), "a number above 0, or None"),
            (
                "temperature",
                _is_none_or(is_number, self.temperature, COLDEST),
                f"a number of at least {COLDEST}, or None",
            ),
        ):
            if not usable:
                raise self._refused(name, expected)
        self._expect_effect()

    def _expect_effect(self) -> None:
        """Raise InputError for a value that the computation would not use, since results name it as a change."""
        known = _KNOWN.get(self.name, self)
        pairs, blocks, several = self.pairs != known.pairs, self.blocks != known.blocks, self.blocks > 1
        smooth, corrected = self.smoothing is not None, self.resclip is not None
        vanilla = self.pairs == ("qk",) and not smooth and self.mlp
        for name, unused, expected in (
            ("smoothing", smooth and corrected, "None with ResCLIP's corrections"),
            ("blocks", several and corrected, "1 with ResCLIP's corrections"),
            ("neighbours", self.neighbours is not None and several, "None with several changed blocks"),
            ("neighbours", self.neighbours is not None and smooth, "None with smoothing"),
            ("neighbours", self.neighbours is not None and not self.pairs and not corrected, "None without pairs"),
            ("pairs", pairs and smooth, "no change with smoothing, which uses qq, kk and vv"),
            ("pairs", pairs and corrected, "no change with ResCLIP's corrections, which use kk"),
            ("blocks", blocks and max(self.blocks, known.blocks) == 1, "no change of 0 and 1, which are the same here"),
            ("blocks", blocks and self.blocks != 1 and self.residual == "none", LAST_COUNTS),
            ("blocks", blocks and several and vanilla, "no change, since earlier blocks would stay as they are"),
        ):
            if unused:
                raise self._refused(name, expected)

    def _refused(self, name: str, expected: str) -> InputError:
        got, remedy = repr(getattr(self, name))[:60], "See the values of METHODS."
        return InputError(f"{name} of method {self.name}", expected=expected, got=got, remedy=remedy)

    @property
    def changes(self) -> dict[str, Any]:
        """Values other than those of the known method of this name, as JSON values; without the residual."""
        known, own = asdict(METHODS[self.name]) if self.name in METHODS else {}, asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in own.items()
            if value != known.get(name) and name != "residual"
        }

    @property
    def source(self) -> str:
        """Short citation of the paper."""
        return f"{self.authors}, {self.venue}"

    @property
    def own_path(self) -> bool:
        """True if the changed blocks form a separate path."""
        return self.blocks > 1


CLIPTRASE = Method(
    name="cliptrase",
    title="CLIPtrase",
    authors="Shao et al.",
    venue="ECCV 2024",
    arxiv="2407.08268",
    blocks=1,
    pairs=("qq", "kk", "vv"),
    regions_vote=True,
    quirk="A sum, not a mean: rows of its attention add to 3.",
)
CLIP = Method(
    name="clip",
    title="CLIP",
    authors="Radford et al.",
    venue="ICML 2021",
    arxiv="2103.00020",
    blocks=0,
    pairs=("qk",),
    quirk="Only [CLS] was trained to match text, patches never were.",
)
MASKCLIP = Method(
    name="maskclip",
    title="MaskCLIP",
    authors="Zhou et al.",
    venue="ECCV 2022",
    arxiv="2112.01071",
    blocks=1,
    pairs=(),
    quirk="Key smoothing and prompt denoising, options of its head, are left out.",
)
CLIP_SURGERY = Method(
    name="clip_surgery",
    title="CLIP Surgery",
    authors="Li et al.",
    venue="Pattern Recognition 2025",
    arxiv="2304.05653",
    blocks=6,
    pairs=("vv",),
    mlp=False,
    quirk="Architecture surgery only; feature surgery is for heat maps of single words, not for a choice among them.",
)
SCLIP = Method(
    name="sclip",
    title="SCLIP",
    authors="Wang et al.",
    venue="ECCV 2024",
    arxiv="2312.01597",
    blocks=1,
    pairs=("qq", "kk"),
    temperature=40.0,
    quirk="A sum, not a mean: rows of its attention add to 2.",
)
GEM = Method(
    name="gem",
    title="GEM",
    authors="Bousselham et al.",
    venue="CVPR 2024",
    arxiv="2312.00878",
    blocks=6,
    pairs=("qq", "kk", "vv"),
    mlp=False,
    smoothing=1,
    quirk="A mean of normalised pairs; their temperature follows the picture's mean token norm.",
)
NACLIP = Method(
    name="naclip",
    title="NACLIP",
    authors="Hajimiri et al.",
    venue="WACV 2025",
    arxiv="2404.08181",
    blocks=1,
    pairs=("kk",),
    residual="none",
    mlp=False,
    neighbours=5.0,
    temperature=40.0,
    quirk="Published figures also smooth labels along colours (PAMR), which is left out.",
)
CLEARCLIP = Method(
    name="clearclip",
    title="ClearCLIP",
    authors="Lan et al.",
    venue="ECCV 2024",
    arxiv="2407.12442",
    blocks=1,
    pairs=("qq",),
    residual="none",
    mlp=False,
    temperature=50.0,
)
RESCLIP = Method(
    name="resclip",
    title="ResCLIP",
    authors="Yang et al.",
    venue="CVPR 2025",
    arxiv="2411.15851",
    blocks=1,
    pairs=("kk",),
    residual="none",
    mlp=False,
    neighbours=5.0,
    resclip=ResclipSettings(),
    temperature=40.0,
    quirk="Published figures tune five numbers for each data set; here they are those of COCO everywhere. "
    "Patches depend on the words: a first division among them guides the second.",
)

METHODS = MappingProxyType(_KNOWN)
for _method in (CLIPTRASE, CLIP, MASKCLIP, CLIP_SURGERY, SCLIP, GEM, NACLIP, CLEARCLIP, RESCLIP):
    _KNOWN[_method.name] = _method


def method_by_name(name: str) -> Method:
    """Return the method with this name.

    Raises:
        InputError: unknown name.
    """
    expect_one_of("method", name, METHODS)
    return METHODS[name]


def with_residual(method: Method, residual: str | None) -> Method:
    """Return the method with another residual (one of `RESIDUALS`) in its changed blocks; None changes nothing.

    Raises:
        InputError: unknown residual.
    """
    if residual is None:
        return method
    expect_one_of("residual", residual, RESIDUALS)
    return replace(method, residual=residual)  # type: ignore[arg-type]
