"""CLIPtrase (ECCV 2024, arXiv 2407.08268) as a small library: a picture divided among any words, no training.

    import cliptrase_core as cc
    segmenter = cc.Segmenter.from_pretrained("nano")
    encoding = segmenter.encode("picture.jpg")
    result = segmenter.segment(encoding, "cat, kitten; dog | background: wall, floor")

Letters, in every file: B batch, C classes, P prompts, D embedding width, L layers, H W pixels, h w patch grid,
N = h*w patches, T = 1+N tokens, K clusters. Sizes are always (height, width). Frames: *original* (the person's
picture), *model* (the pixels given to the ViT), *grid* (patches). *affinity* is the recovered similarity of
patches (1+N, 1+N), row and column 0 are [CLS]; *attention* the query-key softmax; a *region* is a cluster made
into pixels; a *vocabulary* is classes, each a group of prompts.
"""

from cliptrase_core import viz
from cliptrase_core.errors import CliptraseError, InputError, UnsupportedBackboneError, WeightsError
from cliptrase_core.inspection.capture import AttentionMaps, Capture
from cliptrase_core.inspection.scores import PatchScores
from cliptrase_core.io.image import read_image
from cliptrase_core.methods.registry import METHODS
from cliptrase_core.presets import PRESETS, ClusterSettings
from cliptrase_core.refine import REFINERS, Refined, refine
from cliptrase_core.results import ImageEncoding, Segmentation
from cliptrase_core.segmenter import Segmenter
from cliptrase_core.text.vocabulary import Vocabulary, dataset_vocabulary, parse_vocabulary
from cliptrase_core.version import VERSION as __version__

__all__ = [
    "METHODS",
    "PRESETS",
    "REFINERS",
    "AttentionMaps",
    "Capture",
    "CliptraseError",
    "ClusterSettings",
    "ImageEncoding",
    "InputError",
    "PatchScores",
    "Refined",
    "Segmentation",
    "Segmenter",
    "UnsupportedBackboneError",
    "Vocabulary",
    "WeightsError",
    "__version__",
    "dataset_vocabulary",
    "parse_vocabulary",
    "read_image",
    "refine",
    "viz",
]
