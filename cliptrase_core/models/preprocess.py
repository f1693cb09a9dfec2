"""From a picture to the normalised pixels that a ViT is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cliptrase_core.io.geometry import Frame


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
