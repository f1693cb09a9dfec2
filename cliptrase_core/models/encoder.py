"""Pictures to encodings: read, lay out, run the image tower once."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.geometry import Frame, Size
from cliptrase_core.io.image import ImageInput, file_name, read_reduced
from cliptrase_core.models.attention import recovered_affinity, recovered_attention
from cliptrase_core.models.backbone import Backbone
from cliptrase_core.models.blocks import finish_block, project, vanilla_block
from cliptrase_core.models.loading import LoadedModel
from cliptrase_core.presets import PositionResize, Preset
from cliptrase_core.results import ImageEncoding


class Encoder:
    """Encodes pictures with one image tower; keeps nothing of them.

    Args:
        backbone: the image tower.
        info: the model's mean, deviation and native size.
        model_id: written into every encoding.
    """

    def __init__(self, backbone: Backbone, info: LoadedModel, model_id: str) -> None:
        """Keep what every picture needs."""
        self._backbone = backbone
        self._info = info
        self._colours = info.mean, info.std
        self._model_id = model_id

    def prepare(
        self, image: ImageInput | ImageEncoding, preset: Preset, short_side: int | None, max_pixels: int
    ) -> tuple[Tensor, Frame]:
        """Read and lay out one picture: (3, H, W) normalised pixels and where they came from.

        An encoding of this model stands for its picture, which then is neither read nor laid out again.
        """
        if isinstance(image, ImageEncoding):
            return normalise(image.model_input, *self._colours), image.frame
        seen, frame = self.view(image, preset, short_side, max_pixels)
        return normalise(seen, *self._colours), frame

    def view(
        self, image: ImageInput, preset: Preset, short_side: int | None, max_pixels: int
    ) -> tuple[npt.NDArray[np.uint8], Frame]:
        """The same pixels while they are still colours: (H, W, 3) in the model frame."""
        side = preset.side(short_side, self._info.short_side)
        pixels, size = read_reduced(image, max_pixels=max_pixels)
        frame = preset.frame(size, side, self._backbone.patch)
        return resize_and_crop(pixels, frame), frame

    def encode(
        self, images: Sequence[ImageInput], preset: Preset, short_side: int | None, max_pixels: int
    ) -> list[ImageEncoding]:
        """Encode pictures; those of equal model frame share a forward pass."""
        if not isinstance(images, (list, tuple)):
            raise InputError(
                explain(
                    "images",
                    expected="a list of pictures",
                    got=type(images).__name__,
                    remedy="For a single picture call encode.",
                )
            )
        start = time.perf_counter()
        views = [self.view(image, preset, short_side, max_pixels) for image in images]
        # Copies, so that a centre does not keep the picture that it was cut out of.
        prepared = [(normalise(seen, *self._colours), seen.copy(), frame) for seen, frame in views]
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
                # Copies, so that one encoding that is kept does not keep its whole batch.
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

    @torch.no_grad()  # not inference_mode: callers may go on computing with an encoding
    def run(self, pixels: Tensor, positions: PositionResize) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, 1+N, D), affinity (B, 1+N, 1+N) and last block's input (B, 1+N, width)."""
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


def resize_and_crop(image: npt.NDArray[np.uint8], frame: Frame) -> npt.NDArray[np.uint8]:
    """What the model will see, still as colours.

    PIL's bicubic filter, because the published script resizes PIL pictures: tensor resizing differs in
    the last bits and so in labels near ties.

    Args:
        image: (H, W, 3) in the original frame.
        frame: where to put it.

    Returns:
        (H, W, 3) in the model frame.
    """
    height, width = frame.resized
    resized = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    top, left = frame.crop
    return resized[top : top + frame.model[0], left : left + frame.model[1]]


def normalise(seen: npt.NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale colours to [0, 1], subtract the mean and divide by the deviation of the model's training data.

    Args:
        seen: (H, W, 3) in the model frame.
        mean: of each channel, in [0, 1].
        std: of each channel.

    Returns:
        (3, H, W) float32.
    """
    pixels = torch.from_numpy(seen.transpose(2, 0, 1).astype(np.float32)).div_(255)
    return pixels.sub_(torch.tensor(mean)[:, None, None]).div_(torch.tensor(std)[:, None, None])
