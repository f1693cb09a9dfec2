"""Constants of the page, and settings from the environment. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cliptrase_core import options

METHODS, PRESETS = tuple(options.METHODS), tuple(options.PRESETS)
DENOISE, TEMPLATES = options.DENOISE, options.TEMPLATES
OUTGOING, INCOMING = DIRECTIONS = ("outgoing", "incoming")
"""What a patch looks at; who looks at it."""
DATASETS = ("voc20", "voc21", "pc59", "pc60", "pc459", "ade150", "ade847", "coco171", "coco80", "cityscapes")

MAX_UPLOAD_BYTES = 40_000_000
"""What phones make of 50 megapixels."""
MAX_FILES = 20
"""Files of one upload, and pictures of one batch."""
QUEUE_SIZE = 20
DELETE_CACHE = (600, 7200)
"""Every 10 minutes, remove uploads and results that are older than 2 hours."""

TIME_LIMIT_S = 300
"""Seconds that one event may take: Meta's largest SAM on two cores stays below."""

SESSIONS = 500
"""Visitors whose last result is remembered: Gradio keeps about 1 MB for each, until an hour after they left."""
SESSIONS_EACH = 100
"""Of them at one address: a class behind one router, several tabs each."""
CONNECTIONS = 1000
"""That are open at once: a browser opens six."""
CONNECTIONS_EACH = 250
"""Of them from one address that is no named proxy."""
HEAD_TIMEOUT_S = 15.0
"""Seconds within which a request's headers must come to their end."""

KEPT_PICTURE_BYTES = 100_000_000
"""Encoded pictures that stay in memory, for everyone together: at 224 pixels 12 MB each, most of it what is shown."""
KEPT_RESULT_BYTES = 60_000_000
"""Results that stay in memory: two bytes for each pixel that is shown, so two Compares of large photographs."""
KEPT_REFINED_BYTES = 25_000_000
"""Refined results that stay in memory, likewise."""
KEPT_FIXED_BYTES = 25_000_000
"""Results that were fixed by hand, likewise: the last steps of those who are at it."""
KEPT_FOR_EACH = 4
"""Clusterings of one picture that the core keeps; a test compares it."""
KEPT_DIGESTS = 1024
"""Files whose hash is remembered: a few hundred bytes each."""
KEPT_CAPTURES = 4
"""Pictures whose queries, keys and values stay in memory: tens of MB each for a large model."""
KEPT_MAP_BYTES = 300_000_000
"""Layers and heads whose N x N maps stay in memory: 0.8 MB each at 224 pixels, 200 MB at 4096 patches."""
KEPT_MATRICES = 8
"""Whole matrices, small enough to be shown: 4 MB each at most."""
KEPT_DEPTHS = 256
"""Pictures whose global patches of every layer are remembered: a few numbers each."""

KEPT_MODEL_BYTES = 2_000_000_000
"""Models that stay in memory besides nano and the one from the start: three of the size of ViT-B-16."""

MOST_PATCHES = 6144
"""Patches of one picture: 1024 x 1536 pixels. Time grows with their square, and others wait meanwhile."""

OFFERED = (
    ("nano", 86, "embedded: small, for everyday things"),
    ("ViT-B-16:openai", 598, "the paper's, good for photographs"),
    ("ViT-B-16:laion2b_s34b_b88k", 598, "the same size, other training pictures"),
    ("ViT-B-16:datacomp_xl_s13b_b90k", 598, "likewise"),
    ("ViT-B-32:openai", 605, "larger patches: faster and coarser"),
    ("ViT-L-14:openai", 1710, "larger and slower, seldom better here"),
)
"""Models that the page proposes: key, megabytes of weights in memory, what each is good for; a test weighs them."""

REFINERS = (
    ("edges", 0, "follows the picture's own edges; no model"),
    ("sam-nano", 4, "a small SAM, embedded"),
    ("sam-nano+edges", 4, "the small SAM, then edges"),
    ("vit_b", 375, "Meta's SAM, good for photographs"),
    ("vit_l", 1250, "larger and slower"),
    ("vit_h", 2564, "the largest and slowest"),
)
"""What may refine boundaries: name, megabytes of weights, what it is; a test compares them with the core's."""
REFINE_MODES = ("prompts", "regions", "everything")

SHORT_SIDES = (160, 224, 288, 336, 448, 560, 672, 896, 1024)
"""Pixels that the model may be given along the short side."""

ASSETS = Path(__file__).resolve().parent.parent / "assets"
EXAMPLES, ICON = ASSETS / "examples", ASSETS / "icon" / "icon.png"


@dataclass(frozen=True)
class Settings:
    """What to run.

    Attributes:
        model: "nano", "ViT-B-16", "ViT-B-16:tag" or "ViT-B-16:file"; None leaves the choice to the start-up rule.
        device: as torch names it; None takes a GPU when there is one.
        precision: "fp32", "bf16", "fp16" or "auto".
    """

    model: str | None = None
    device: str | None = None
    precision: str = "fp32"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read CLIPTRASE_MODEL, CLIPTRASE_DEVICE and CLIPTRASE_PRECISION; empty counts as not set."""
        return cls(
            model=environment.get("CLIPTRASE_MODEL", "").strip() or None,
            device=environment.get("CLIPTRASE_DEVICE", "").strip() or None,
            precision=environment.get("CLIPTRASE_PRECISION", "").strip() or "fp32",
        )
