"""Encoding of pictures: read, resize and crop, run the image tower once."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cliptrase_core.errors import InputError
from cliptrase_core.io.geometry import Frame, Size
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, ImageInput, file_name, read_reduced
from cliptrase_core.models.attention import recovered_affinity, recovered_attention
from cliptrase_core.models.backbone import Backbone
from cliptrase_core.models.blocks import finish_block, project, vanilla_block
from cliptrase_core.models.loading import LoadedModel
from cliptrase_core.presets import PositionResize, Preset
from cliptrase_core.results import ImageEncoding


class Encoder:
    """Encoder of pictures with one image tower; stores no pictures.

    Args:
        backbone: the image tower.
        info: the loaded model, for its mean, standard deviation and native size.
        model_id: identifier of the model, written into every encoding.
    """

    def __init__(self, backbone: Backbone, info: LoadedModel, model_id: str) -> None:
        """Store the image tower and the constants of the model."""
        self._backbone = backbone
        self._info = info
        self._colours = info.mean, info.std
        self._model_id = model_id

    def prepare(
        self, image: ImageInput | ImageEncoding, preset: Preset, short_side: int | None, max_pixels: int
    ) -> tuple[Tensor, Frame]:
        """Read, resize and crop one picture; return normalised pixels (3, H, W) and their frame.

        For an encoding of this model, the stored model input is used and no picture is read.

        Raises:
            InputError: an unusable picture, or a layout for an encoding, which has its own.
        """
        if isinstance(image, ImageEncoding):
            if preset.name != image.preset or short_side is not None or max_pixels != DEFAULT_MAX_PIXELS:
                expected, remedy = f"the picture's own layout ({image.preset})", "Pass the picture for another layout."
                raise InputError("encoding", expected=expected, got="other values beside it", remedy=remedy)
            return normalise(image.model_input, *self._colours), image.frame
        seen, frame = self.view(image, preset, short_side, max_pixels)
        return normalise(seen, *self._colours), frame

    def view(
        self, image: ImageInput, preset: Preset, short_side: int | None, max_pixels: int
    ) -> tuple[npt.NDArray[np.uint8], Frame]:
        """Read, resize and crop one picture; return colours (H, W, 3) in the model frame, and their frame."""
        side = preset.side(short_side, self._info.short_side)
        pixels, size = read_reduced(image, max_pixels=max_pixels)
        frame = preset.frame(size, side, self._backbone.patch)
        return resize_and_crop(pixels, frame), frame

    def encode(
        self, images: Sequence[ImageInput], preset: Preset, short_side: int | None, max_pixels: int
    ) -> list[ImageEncoding]:
        """Encode pictures; pictures with the same size of the model frame share a forward pass."""
        if not isinstance(images, (list, tuple)):
            single = isinstance(images, (str, bytes, os.PathLike)) or getattr(images, "ndim", 4) < 4
            remedy = "For a single picture call encode." if single else "Make it a list: list(images)."
            raise InputError("images", expected="a list of pictures", got=type(images).__name__, remedy=remedy)
        start = time.perf_counter()
        views = [self.view(image, preset, short_side, max_pixels) for image in images]
        # Copies, so that a cropped view does not hold its whole picture in memory.
        prepared = [(normalise(seen, *self._colours), _read_only(seen.copy()), frame) for seen, frame in views]
        read_seconds = (time.perf_counter() - start) / max(1, len(prepared))
        by_size: dict[Size, list[int]] = {}
        for index, (_, _, frame) in enumerate(prepared):
            by_size.setdefault(frame.model, []).append(index)
        out: dict[int, ImageEncoding] = {}
        for members in by_size.values():
            start = time.perf_counter()
            parts = self.run(torch.stack([prepared[index][0] for index in members]), preset.positions)
            seconds = (time.perf_counter() - start) / len(members)
            for place, index in enumerate(members):
                # Copies, so that one stored encoding does not hold its whole batch in memory.
                features, affinity, last_input = (
                    part[place].clone() if len(members) > 1 else part[0] for part in parts
                )
                out[index] = ImageEncoding(
                    patches=features[1:],
                    cls=features[0],
                    affinity=affinity,
                    last_input=last_input,
                    model_input=prepared[index][1],
                    frame=prepared[index][2],
                    preset=preset.name,
                    model_id=self._model_id,
                    timings={"read": read_seconds, "encode": seconds},
                    name=file_name(images[index]),
                )
        return [out[index] for index in range(len(prepared))]

    @torch.no_grad()  # not inference_mode: callers may use an encoding in further computations
    def run(self, pixels: Tensor, positions: PositionResize) -> tuple[Tensor, Tensor, Tensor]:
        """Return features (B, 1+N, D), affinity (B, 1+N, 1+N) and last block's input (B, 1+N, width)."""
        *early, before_last, last = self._backbone.blocks
        tokens = self._backbone.embed(pixels, positions)
        for block in early:
            tokens = vanilla_block(block, tokens)
        p = project(before_last, tokens)
        affinity = recovered_affinity(p.q, p.k, p.v)
        last_input = vanilla_block(before_last, tokens, p)
        p = project(last, last_input)
        out = finish_block(last, last_input, recovered_attention(p.q, p.k, p.v))
        return self._backbone.features(out), affinity, last_input


def _read_only(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Forbid changes of an array in place: methods read it long after the tokens were computed from it."""
    pixels.flags.writeable = False
    return pixels


def resize_and_crop(image: npt.NDArray[np.uint8], frame: Frame) -> npt.NDArray[np.uint8]:
    """Resize and crop a picture to the model frame.

    Uses PIL's bicubic filter, because the published script resizes PIL pictures: tensor resizing differs in
    the last bits and therefore in labels near ties.

    Args:
        image: (H, W, 3) colours in the original frame.
        frame: geometry of the resizing and the crop.

    Returns:
        (H, W, 3) colours in the model frame.
    """
    height, width = frame.resized
    resized = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    top, left = frame.crop
    return resized[top : top + frame.model[0], left : left + frame.model[1]]


def normalise(seen: npt.NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale colours to [0, 1], subtract the mean and divide by the standard deviation of the training data.

    Args:
        seen: (H, W, 3) colours in the model frame.
        mean: mean of each channel, in [0, 1].
        std: standard deviation of each channel.

    Returns:
        (3, H, W) float32.
    """
    pixels = torch.from_numpy(seen.transpose(2, 0, 1).astype(np.float32)).div_(255)
    return pixels.sub_(torch.tensor(mean)[:, None, None]).div_(torch.tensor(std)[:, None, None])
