"""Names of models as a page or a client gives them: open_clip's own names and tags, never a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from demo import core
from demo.errors import UserError, for_people

if TYPE_CHECKING:
    from cliptrase_core import Segmenter

NANO = "nano"
REAL = "ViT-B-16:openai"
"""What nano stands in for: the paper's backbone, good for photographs; a test compares it with the core's."""

LONGEST = 120
"""Characters of a name: the longest that open_clip knows have some 60."""

# What names and tags are made of. No slash or backslash: nothing that a page sends may name a file.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*(:[A-Za-z0-9][A-Za-z0-9_.+-]*)?")


def read_key(text: Any) -> str:
    """The one way to write a model: "nano", "ViT-B-16:openai".

    Args:
        text: "ViT-B-16" for the usual weights, or "ViT-B-16:tag".

    Raises:
        UserError: no name that open_clip knows, a model that CLIPtrase cannot run on, or anything like a file.
    """

    plain = text.strip() if isinstance(text, str) else ""
    like_a_file = plain.lower().endswith(core.models.checkpoint.SUFFIXES) or ".." in plain
    if len(plain) > LONGEST or like_a_file or not _KEY.fullmatch(plain):
        raise UserError(
            "model: expected nano or a name that open_clip knows, such as ViT-B-16:openai. Files can only be "
            "given where the page is started, as CLIPTRASE_MODEL."
        )
    with for_people():
        name, pretrained = core.models.loading.parse_model(plain)
        if name == NANO:
            core.models.loading.is_on_disk(name, pretrained)  # refuses other weights
            return NANO
        core.models.architectures.configuration(name)
        known = core.models.architectures.tags(name)
    wanted = _folded(pretrained or "")
    for tag in known:
        if _folded(tag) == wanted:
            return f"{name}:{tag}"
    raise UserError(
        f"weights of {name}: expected a tag that open_clip knows, got {pretrained or 'none'}. "
        f"Known: {', '.join(known) or 'none'}."
    )


def key_of(segmenter: Segmenter) -> str:
    """The key of a loaded model."""
    info = segmenter.info
    return NANO if info.name == NANO else f"{info.name}:{info.pretrained}"


def split_key(key: str) -> tuple[str, str]:
    """Architecture and weights of a key."""
    name, _, pretrained = key.partition(":")
    return name, pretrained or "embedded"


def _folded(tag: str) -> str:
    """Open_clip does not tell these apart."""
    return tag.lower().replace("-", "_")
