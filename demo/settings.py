"""Constants of the page, and settings from the environment. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cliptrase_core.options import LayoutOptions, SegmentOptions, options_of

_CHOICES = {one.name: one.choices for kind in (LayoutOptions, SegmentOptions) for one in options_of(kind)}
PRESETS, METHODS, DENOISE, TEMPLATES = (_CHOICES[name] for name in ("preset", "method", "denoise", "templates"))
OUTGOING, INCOMING = DIRECTIONS = ("outgoing", "incoming")
"""Directions of attention: from the chosen patch to others, and from others to it."""

MAX_UPLOAD_BYTES = 40_000_000
"""Maximum bytes of a picture: enough for a photograph of 50 megapixels from a phone."""
MAX_FILES = 50
"""Maximum number of files of one upload, and of pictures of one batch. Memory hardly grows with them: a batch of 50
photographs of 12 megapixels takes as much as one of 20; but each step of the queue sends its whole list, 0.3 MB."""
MAX_UPLOAD_BODY = MAX_UPLOAD_BYTES + MAX_FILES * 5_000_000
"""Maximum bytes of one upload: one picture of the maximum size and several usual ones; or one of the page's zips."""
QUEUE_SIZE = 20
DELETE_CACHE = (600, 7200)
"""Interval and age in seconds: every 10 minutes, uploads and results older than 2 hours are removed."""

TIME_LIMIT_S = 300
"""Time limit of one event in seconds; Meta's largest SAM on two cores stays below it."""

SESSION = r"[A-Za-z0-9-]{1,64}"
"""Pattern of the names of sessions and events; clients choose those of sessions, so longer ones are not stored."""
NO_SESSION = "The session: expected 1 to 64 letters, digits and dashes, got something else. Use a UUID."
SESSIONS = 500
"""Maximum visitors whose last result is stored: Gradio stores about 1 MB for each, until an hour after they left."""
SESSIONS_EACH = 100
"""Maximum of these per address: enough for a school class behind one router, with several tabs each."""
CONNECTIONS = 1000
"""Maximum number of open connections; a browser opens six."""
CONNECTIONS_EACH = 250
"""Maximum number of open connections from one address that is not a named proxy."""
HEAD_TIMEOUT_S = 15.0
"""Seconds within which the headers of a request must be complete."""

CACHED_PICTURE_BYTES = 100_000_000
"""Maximum bytes of cached encoded pictures, for all visitors: 12 MB each at 224 pixels, most of it for display."""
CACHED_RESULT_BYTES = 60_000_000
"""Maximum bytes of cached results: two bytes per shown pixel, so enough for two Compares of large photographs."""
CACHED_REFINED_BYTES = 25_000_000
"""Maximum bytes of cached refined results, likewise."""
CACHED_FIXED_BYTES = 25_000_000
"""Maximum bytes of cached results fixed by hand, likewise: the last steps of the visitors who are fixing."""
CACHED_FOR_EACH = 4
"""Number of clusterings of one picture that the core caches; a test compares this value with the core's."""
CACHED_DIGESTS = 1024
"""Number of files whose hash is cached: a few hundred bytes each."""
CACHED_CAPTURE_BYTES = 300_000_000
"""Maximum bytes of cached queries, keys and values: 4 MB for a picture at 224 pixels, 70 MB at 4816 patches; 700 MB
there for ViT-L, which then stays alone."""
CACHED_MAP_BYTES = 300_000_000
"""Maximum bytes of cached N x N maps of layers and heads: 0.8 MB each at 224 pixels, 200 MB at 4096 patches."""
CACHED_MATRICES = 8
"""Number of cached whole matrices at the size of display: at most 4 MB each."""
CACHED_DEPTHS = 256
"""Number of pictures whose global patches of every layer are cached: a few numbers each."""

CACHED_MODEL_BYTES = 2_000_000_000
"""Maximum bytes of cached models besides nano and the one from the start: three of the size of ViT-B-16."""

MOST_PATCHES = 6144
"""Maximum patches of one picture: 1024 x 1536 pixels. Time grows with their square, and other visitors wait."""

OFFERED = (
    ("nano", 86, "embedded: small, for everyday things"),
    ("ViT-B-16:openai", 598, "the paper's, good for photographs"),
    ("ViT-B-16:laion2b_s34b_b88k", 598, "the same size, trained on LAION-2B"),
    ("ViT-B-16:datacomp_xl_s13b_b90k", 598, "the same size, trained on DataComp-1B"),
    ("ViT-B-32:openai", 605, "larger patches: faster and coarser"),
    ("ViT-L-14:openai", 1710, "larger and slower, seldom better here"),
)
"""Models that the page proposes: key, megabytes of weights in memory, advice on use; a test checks the sizes."""

REFINERS = (
    ("edges", 0, "follows the picture's own edges; no model"),
    ("sam-nano", 4, "a small SAM, embedded"),
    ("sam-nano+edges", 4, "the small SAM, then edges"),
    ("vit_b", 375, "Meta's SAM, good for photographs"),
    ("vit_l", 1250, "larger and slower"),
    ("vit_h", 2564, "the largest and slowest"),
)
"""Refiners of boundaries: name, megabytes of weights, description; a test compares them with the core's."""

SHORT_SIDES = (160, 224, 288, 336, 448, 560, 672, 896, 1024)
"""Available short sides of the model input, in pixels."""

ASSETS = Path(__file__).resolve().parent.parent / "assets"
EXAMPLES, ICON = ASSETS / "examples", ASSETS / "icon" / "icon.png"


@dataclass(frozen=True)
class Settings:
    """Settings of the model.

    Attributes:
        model: "nano", "ViT-B-16", "ViT-B-16:tag" or "ViT-B-16:file"; None leaves the choice to the start-up rule.
        device: name of the device as in torch; None uses a GPU if there is one.
        precision: "fp32", "bf16", "fp16", "fp64" or "auto".
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
