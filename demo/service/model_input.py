"""Model input of a picture: its pixels, and the area of the picture that they cover. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo import drawing
from demo.errors import UserError, as_user_errors
from demo.service.service import Service

if TYPE_CHECKING:
    from cliptrase_core.io.geometry import Frame


@dataclass(frozen=True, eq=False)
class ModelInput:
    """Model input of one picture.

    Attributes:
        pixels: (H, W, 3) in the model frame.
        frame: layout of the picture for the model.
    """

    pixels: drawing.Picture
    frame: Frame

    @property
    def patch_in_picture(self) -> drawing.PatchSize:
        """(height, width) of a patch in pixels of the user's picture."""
        tall, wide = (old / new for old, new in zip(self.frame.original, self.frame.resized, strict=True))
        return self.frame.patch[0] * tall, self.frame.patch[1] * wide


def model_input(
    service: Service, path: str | None, preset: str, short_side: int | None, model: str | None
) -> ModelInput:
    """Prepare a picture for a model; the model itself does not run.

    Args:
        service: service that holds the model.
        path: file of the picture.
        preset: as for `SegmentRequest`.
        short_side: as for `SegmentRequest`.
        model: as for `SegmentRequest`.

    Raises:
        UserError: no picture, an unusable picture, or a model that is not loaded.
    """
    if not path:
        raise UserError("There is no picture yet. Upload one, or pick an example.")
    segmenter = service.models.segmenter(model)
    with as_user_errors():
        known = service.known(segmenter, path, preset, short_side)
        if known is not None:
            return ModelInput(known.encoding.model_input, known.encoding.frame)
        return ModelInput(*segmenter.view(path, preset, short_side=short_side))
