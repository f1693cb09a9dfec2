"""The registry of methods: what each changes in the image tower, as data for `features`.

What the papers leave open is settled in docs/decisions/017-nine-methods.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from cliptrase_core.errors import expect_one_of

Residual = Literal["patch", "none", "cls"]
"""What is added to the attention of a changed block: the patch's own stream, nothing, or the stream of [CLS]."""
RESIDUALS: tuple[Residual, ...] = ("patch", "none", "cls")


@dataclass(frozen=True)
class ResclipSettings:
    """Numbers that the published code sets for each data set; the defaults are those of COCO-Object and COCO-Stuff.

    Attributes:
        least: pixels whose best probability is lower count as unsure in the first division.
        gain: factor of the whole attention (tau of RCS).
        middle: share of the middle blocks' attention, in [0, 1] (lambda of RCS).
        structure_gain: factor of correlation and structure (tau of SFR).
        structure: share of the structure, in [0, 1] (lambda of SFR).
        unsure: label of unsure pixels; -1 is one of their own, the published code takes the first of its list.
    """

    least: float = 0.11
    gain: float = 2.0
    middle: float = 0.4
    structure_gain: float = 1.8
    structure: float = 0.7
    unsure: int = -1


@dataclass(frozen=True)
class Method:
    """One way from a picture to features of its patches; as a whole a frozen CLIP that attends differently.

    Attributes:
        name: as it is asked for.
        title: as it is shown.
        authors: of its paper.
        venue: and year of its paper.
        arxiv: number of its paper.
        blocks: how many blocks are changed, counted from the last. More than one are changed on a path of its
            own, which starts from what enters the first of them and takes its queries, keys and values from the
            unchanged path; [CLS] stays that of the unchanged path.
        pairs: what is correlated: "qk" stands for softmax(s q k^T), the vanilla attention. Several are summed.
            With none, each token keeps its own value.
        residual: what is added to the attention of each changed block (of a method that changes none, of the last):
            the tokens that enter it, nothing, or for every token the [CLS] that enters it.
        mlp: whether a changed block keeps its MLP.
        smoothing: None, or pairs are correlated as `attention.smoothed_values` does, with so many steps.
        neighbours: None, or how far neighbours attract each other (standard deviation in patches).
        resclip: None, or what ResCLIP adds to the pairs.
        temperature: factor of cosines before softmax, by the published code; None takes the model's own
            (100 in OpenAI's weights). It decides confidences, never which class wins.
        regions_vote: whether clusters of the recovered affinity take their majority label by default.
        quirk: what a person who compares figures should know; may be empty.
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

    @property
    def source(self) -> str:
        """Paper, in a few words."""
        return f"{self.authors}, {self.venue}"

    @property
    def own_path(self) -> bool:
        """Whether changed blocks form a path of their own."""
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
    quirk="Patches were never trained to meet words; only [CLS] was.",
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
    quirk="Architecture surgery; feature surgery serves heat maps of single words, not a choice among them.",
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

METHODS = MappingProxyType(
    {
        method.name: method
        for method in (CLIPTRASE, CLIP, MASKCLIP, CLIP_SURGERY, SCLIP, GEM, NACLIP, CLEARCLIP, RESCLIP)
    }
)


def method_by_name(name: str) -> Method:
    """Look a method up.

    Raises:
        InputError: unknown name.
    """
    expect_one_of("method", name, METHODS)
    return METHODS[name]


def with_residual(method: Method, residual: str | None) -> Method:
    """The method with another of `RESIDUALS` in the blocks that it changes; None leaves it as it is.

    Raises:
        InputError: unknown residual.
    """
    if residual is None:
        return method
    expect_one_of("residual", residual, RESIDUALS)
    return replace(method, residual=residual)  # type: ignore[arg-type]
