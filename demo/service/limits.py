"""Whether a picture is small enough for one page that many share, before anything is computed. Imports no Gradio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo import core
from demo.errors import UserError
from demo.settings import MOST_PATCHES, SHORT_SIDES

if TYPE_CHECKING:
    from cliptrase_core import Segmenter
    from cliptrase_core.io.geometry import Size

PAIR_BYTES, PATCH_BYTES = 18, 100_000
"""Memory that each pair of patches and each patch takes at the peak: 5 GB were measured at 16,384 patches."""

MOST_SENTENCES = 40_000
"""Words times prompt templates of one request."""

FULL_BYTES = 30
"""Memory that each pixel takes while a result is made and packed in full: three maps, the picture, and copies."""


def expect_room_in_full(size: Size) -> None:
    """Refuse to make a result of (H, W) pixels that would take more memory than is left.

    Raises:
        UserError: with a way out.
    """
    needed, left = FULL_BYTES * size[0] * size[1], core.io.memory.available()
    if left is not None and needed > left:
        raise UserError(
            f"In full, {size[0]} x {size[1]} pixels take about {needed / 1e9:.1f} GB of memory, and "
            f"{left / 1e9:.1f} GB are left. Use a smaller copy of the picture."
        )


def expect_few_sentences(words: str, preset: str, templates: str | None) -> None:
    """Refuse words that make more sentences than one visitor may have read: 40,000 take nano a minute.

    Raises:
        UserError: with a way out.
        InputError: words that cannot be read, or an unknown preset.
    """
    prompts = len(core.text.vocabulary.parse_vocabulary(words).prompts)
    chosen = templates or core.presets.preset_by_name(preset).templates
    each = len(core.text.templates.templates_by_name(chosen))
    if prompts * each > MOST_SENTENCES:
        raise UserError(
            f"Words: {prompts} words in {each} sentences each are more than the {MOST_SENTENCES} sentences that "
            "this page reads at once. Leave some words out, or choose the prompt templates simple7."
        )


def expect_room(segmenter: Segmenter, size: Size, preset: str, short_side: int | None) -> None:
    """Refuse a picture that would take too long or more memory than is left.

    Args:
        segmenter: that is to see it.
        size: (H, W) of the picture.
        preset: how it is to be laid out.
        short_side: pixels along the short side; None for the preset's.

    Raises:
        UserError: with a size that would do.
        InputError: more patches than the core accepts.
    """
    patches = _patches(segmenter, size, preset, short_side)
    left = core.io.memory.available()
    if _fits(patches, left):
        return
    smaller = [s for s in SHORT_SIDES if s < (short_side or SHORT_SIDES[-1] + 1)]
    fitting = [s for s in smaller if _fits(_patches(segmenter, size, "auto", s), left)]
    why = (
        f"this page takes at most {MOST_PATCHES}" if patches > MOST_PATCHES else "too many for the memory that is left"
    )
    remedy = f"Choose a short side of {fitting[-1]} or less under Settings." if fitting else "Use a smaller picture."
    raise UserError(f"At this size the picture makes {patches} patches, {why}. {remedy}")


def _patches(segmenter: Segmenter, size: Size, preset: str, short_side: int | None) -> int:

    plan = core.presets.preset_by_name(preset)
    side = plan.side(short_side, segmenter.info.short_side)
    h, w = plan.frame(size, side, segmenter.backbone.patch).grid
    return h * w


def _fits(patches: int, left: int | None) -> bool:
    needed = PAIR_BYTES * patches**2 + PATCH_BYTES * patches
    return patches <= MOST_PATCHES and (left is None or needed <= left)
