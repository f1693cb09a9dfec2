"""CLIPtrase (ECCV 2024, arXiv 2407.08268) as a small library: segmentation of a picture by any words, without training.

    import cliptrase_core as cc
    segmenter = cc.Segmenter.from_pretrained("nano")
    encoding = segmenter.encode("picture.jpg")
    result = segmenter.segment(encoding, "cat, kitten; dog | background: wall, floor")

Letters in all files: B batch, C classes, P prompts, D embedding width, L layers, H W pixels, h w patch grid,
N = h*w patches, T = 1+N tokens, K clusters. Sizes are always (height, width). Frames: *original* (the user's
picture), *model* (pixels of the model input), *grid* (patches). The *affinity* is the recovered similarity of patches
(1+N, 1+N); row and column 0 are [CLS]. The *attention* is the query-key softmax. A *region* is a cluster converted to
pixels. A *vocabulary* is a list of classes, each with a group of prompts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cliptrase_core.version import VERSION as __version__

if TYPE_CHECKING:
    from cliptrase_core import viz as viz
    from cliptrase_core.cancel import Cancelled as Cancelled
    from cliptrase_core.cancel import CancelToken as CancelToken
    from cliptrase_core.cancel import cancellable as cancellable
    from cliptrase_core.errors import CliptraseError as CliptraseError
    from cliptrase_core.errors import InputError as InputError
    from cliptrase_core.errors import UnsupportedBackboneError as UnsupportedBackboneError
    from cliptrase_core.errors import WeightsError as WeightsError
    from cliptrase_core.inspection.capture import AttentionMaps as AttentionMaps
    from cliptrase_core.inspection.capture import Capture as Capture
    from cliptrase_core.inspection.scores import PatchScores as PatchScores
    from cliptrase_core.io.export.dataset import export as export
    from cliptrase_core.io.export.loading import load_result as load_result
    from cliptrase_core.io.image import read_image as read_image
    from cliptrase_core.methods.registry import METHODS as METHODS
    from cliptrase_core.options import LayoutOptions as LayoutOptions
    from cliptrase_core.options import SegmentOptions as SegmentOptions
    from cliptrase_core.presets import PRESETS as PRESETS
    from cliptrase_core.presets import ClusterSettings as ClusterSettings
    from cliptrase_core.refine import REFINERS as REFINERS
    from cliptrase_core.refine import callable_package
    from cliptrase_core.results import ImageEncoding as ImageEncoding
    from cliptrase_core.results import Refined as Refined
    from cliptrase_core.results import Segmentation as Segmentation
    from cliptrase_core.segmenter import Segmenter as Segmenter
    from cliptrase_core.text.vocabulary import Vocabulary as Vocabulary
    from cliptrase_core.text.vocabulary import dataset_vocabulary as dataset_vocabulary
    from cliptrase_core.text.vocabulary import parse_vocabulary as parse_vocabulary

    refine = callable_package

# Module of each public name, imported on first access. `options` and `errors` can therefore be imported without torch,
# which takes seconds. A test compares this with the list above.
_HOMES = {
    **dict.fromkeys(("CancelToken", "Cancelled", "cancellable"), "cancel"),
    **dict.fromkeys(("CliptraseError", "InputError", "UnsupportedBackboneError", "WeightsError"), "errors"),
    **dict.fromkeys(("LayoutOptions", "SegmentOptions"), "options"),
    **dict.fromkeys(("PRESETS", "ClusterSettings"), "presets"),
    **dict.fromkeys(("ImageEncoding", "Refined", "Segmentation"), "results"),
    **dict.fromkeys(("AttentionMaps", "Capture"), "inspection.capture"),
    **dict.fromkeys(("Vocabulary", "dataset_vocabulary", "parse_vocabulary"), "text.vocabulary"),
    "REFINERS": "refine",
    "METHODS": "methods.registry",
    "export": "io.export.dataset",
    "load_result": "io.export.loading",
    "PatchScores": "inspection.scores",
    "Segmenter": "segmenter",
    "read_image": "io.image",
}
_PACKAGES = ("refine", "viz")
"""Public packages; `refine` can also be called."""

__all__ = ["__version__", *_HOMES, *_PACKAGES]


if not TYPE_CHECKING:  # else a checker would take any misspelt name for a public one

    def __getattr__(name: str) -> Any:
        if name in _PACKAGES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found  # the next access does not call this function
        return found


def __dir__() -> list[str]:
    return sorted(__all__)
