"""Names and defaults that the command line and the page offer. Light: `--help` needs no torch.

The modules that implement them import them; a test compares the names of tables, such as those of readers.
"""

import re
import unicodedata

NANO = "nano"
"""Name of the bundled model."""
AUTO = "auto"
PRECISION_NAMES = ("fp32", "bf16", "fp16", "fp64", AUTO)

NONE, EDGES = "none", "edges"
FREE = (NONE, EDGES)
"""Refiners that need no weights."""
SAM_NANO = "sam-nano"
PUBLISHED_SAMS = ("vit_b", "vit_l", "vit_h")
SAMS = (SAM_NANO, *PUBLISHED_SAMS)
"""Refiners that use one SAM each, with its own weights."""
NANO_THEN_EDGES = "sam-nano+edges"
"""Two steps: the embedded SAM segments the components, then their boundaries move to the edges of the picture."""
REFINERS = (*FREE, SAM_NANO, NANO_THEN_EDGES, *PUBLISHED_SAMS)
PROMPTS, REGIONS, EVERYTHING = "prompts", "regions", "everything"
MODES = (PROMPTS, REGIONS, EVERYTHING)
"""Modes of SAM: prompts for every component of a class, prompts for every region of the clustering, or all masks."""

DATASETS = ("voc20", "voc21", "pc59", "pc60", "pc459", "ade150", "ade847", "coco171", "coco80", "cityscapes")
"""Data sets whose words are part of the package."""

OVERLAY_SIDE = 1280
"""Longest side in pixels of the command line's overlays: the size on the page, in a tenth of the time of full size."""
OPACITY = 0.55
"""Opacity of the colours over a picture, 0 to 1."""
MIN_AREA = 64
"""Minimum component area in pixels; smaller components are not worth annotating."""

LAYOUTS = (
    *("labelmap", "colours", "cityscapes", "coco-panoptic", "coco-instances", "pascal-context", "camvid", "loveda"),
    *("labelme", "cvat", "parquet", "ade-full"),
)
"""Layouts of data sets that `evaluate` detects, in the order of its readers."""
PUBLISHED = "published"
WORD_LISTS = (PUBLISHED, "sclip", "clearclip", "proxyclip")
"""Names of word lists: CLIPtrase's, and the files `cls_*.txt` of wangf3014/SCLIP, mc-lan/ClearCLIP, mc-lan/ProxyCLIP.

The other lists write many names without a space ("trafficlight"), and use other words for some classes and for the
background."""
BACKGROUNDS = ("first", "last")
"""Position of the background's number: 0 before the classes ("first"), or after them ("last")."""

_JOINERS = re.compile("[\u200c\u200d\ufe0e\ufe0f]")
"""They shape Persian, Indic scripts and emoji: kept for display, ignored when names are compared."""


def fold(name: str) -> str:
    """Return the form in which names of classes are compared: without case, width, joiners and repeated spaces."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(_JOINERS.sub("", unicodedata.normalize("NFKC", folded)).split())
