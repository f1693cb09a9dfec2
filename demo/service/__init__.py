"""Service between page and core: requests, results and caches. Imports no Gradio."""

from demo.service.download import bundle
from demo.service.patch_attention import Matrix, PatchAttention
from demo.service.pictures import PictureKey
from demo.service.points import Point, point_at, scores_of, spots_of
from demo.service.refine import RefinedView, Refinement
from demo.service.segmentation import Run, SegmentRequest, SegmentView
from demo.service.service import Service
from demo.service.shown import DisplayState

__all__ = [
    "DisplayState",
    "Matrix",
    "PatchAttention",
    "PictureKey",
    "Point",
    "RefinedView",
    "Refinement",
    "Run",
    "SegmentRequest",
    "SegmentView",
    "Service",
    "bundle",
    "point_at",
    "scores_of",
    "spots_of",
]
