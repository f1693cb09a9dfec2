"""The model input of a picture: its pixels, and the area that they come from. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo import drawing
from demo.errors import UserError, for_people
from demo.service.service import Service

if TYPE_CHECKING:
    from cliptrase_core.io.geometry import Frame


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What a model is given of a picture.

    Attributes:
        pixels: (H, W, 3) in the model frame.
        frame: how the picture was laid out.
    """

    pixels: drawing.Picture
    frame: Frame

    @property
    def patch_in_picture(self) -> drawing.PatchSize:
        """(height, width) of a patch in pixels of the person's picture."""
        tall, wide = (old / new for old, new in zip(self.frame.original, self.frame.resized, strict=True))
        return self.frame.patch[0] * tall, self.frame.patch[1] * wide


def what_it_saw(
    service: Service, path: str | None, preset: str, short_side: int | None, model: str | None
) -> ModelInput:
    """Lay a picture out for a model; nothing runs through the model.

    Args:
        service: that has the model.
        path: of the picture's file.
        preset: as for `SegmentRequest`.
        short_side: as for `SegmentRequest`.
        model: as for `SegmentRequest`.

    Raises:
        UserError: no picture, no usable one, or a model that is not loaded.
    """
    if not path:
        raise UserError("There is no picture yet. Upload one, or pick an example.")
    segmenter = service.holder.segmenter(model)
    with for_people():
        known = service.known(segmenter, path, preset, short_side)
        if known is not None:
            return ModelInput(known.encoding.model_input, known.encoding.frame)
        return ModelInput(*segmenter.view(path, preset, short_side=short_side))
