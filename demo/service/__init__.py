"""Between the page and the core: what is asked, what comes back, what is kept meanwhile. Imports no Gradio."""

from demo.errors import UserError
from demo.models import Status
from demo.service.bundle import bundle
from demo.service.cuts import Asked, Cut, Run
from demo.service.looks import Look, Matrix
from demo.service.pictures import Seen
from demo.service.points import Point, point_at, scores_of
from demo.service.refine import Better, Refinement
from demo.service.service import Service

__all__ = [
    "Asked",
    "Better",
    "Cut",
    "Look",
    "Matrix",
    "Point",
    "Refinement",
    "Run",
    "Seen",
    "Service",
    "Status",
    "UserError",
    "bundle",
    "point_at",
    "scores_of",
]
