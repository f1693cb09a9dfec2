"""From pictures to labels under each protocol, and the truth in the frame in which that protocol scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from cliptrase_core.errors import CliptraseError, memory_explained
from cliptrase_core.evaluation.sources import Labels, Sample
from cliptrase_core.io.geometry import centre_crop_frame
from cliptrase_core.io.memory import expect_room
from cliptrase_core.presets import preset_by_name
from cliptrase_core.regions.denoise import Denoise
from cliptrase_core.results import ImageEncoding
from cliptrase_core.segmenter import Segmenter

Outcome = Labels | CliptraseError
"""Labels (H, W) in the frame of the prepared truth, or why there are none."""


@dataclass(frozen=True)
class Method:
    """How words are told apart; None leaves a value to preset and method.

    Attributes:
        name: of a method.
        vote: whether regions take their majority label.
        image_prior: weigh words by the whole picture.
        denoise: how global patches are kept out of clusters.
        eps: DBSCAN's radius.
        min_samples: DBSCAN's core size.
        templates: template set.
    """

    name: str = "cliptrase"
    vote: bool | None = None
    image_prior: bool = False
    denoise: Denoise = "cls"
    eps: float | None = None
    min_samples: int | None = None
    templates: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """As `Segmenter.segment` takes them."""
        settings = dataclasses.asdict(self)
        return {"method": settings.pop("name"), **settings}


class Predictor(Protocol):
    """One protocol on one model."""

    def prepare(self, sample: Sample) -> Sample:
        """Bring picture and truth to where they are needed; InputError where that fails. Safe in threads."""
        ...

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """Run the model on prepared samples together; what is returned finishes each, and is safe in threads."""
        ...


class PresetPredictor:
    """One look at each picture, laid out by a preset: protocols `paper` (centre crop) and `whole`.

    Args:
        segmenter: the model.
        preset: a name.
        method: how words are told apart.
        short_side: pixels that the model sees, instead of the preset's.
    """

    def __init__(self, segmenter: Segmenter, preset: str, method: Method, short_side: int | None = None) -> None:
        """Look the preset up."""
        self._segmenter, self._method, self._short_side = segmenter, method, short_side
        self._preset = preset_by_name(preset)

    def prepare(self, sample: Sample) -> Sample:
        """Crop picture and truth where the preset crops; else nothing is to do."""
        if not self._preset.crop:
            return sample
        # The crop of a crop is itself, so all of the reading is done by the reader's threads.
        seen, frame = self._segmenter.view(sample.image, self._preset.name, short_side=self._short_side)
        return dataclasses.replace(
            sample,
            image=seen,
            truth=crop_truth(sample.truth, frame.model[0]),
            raw=None if sample.raw is None else crop_truth(sample.raw, frame.model[0]),
        )

    def predict(self, samples: Sequence[Sample]) -> list[Callable[[], Outcome]]:
        """Encode together where that works, else one by one, so that one bad picture does not take others along."""
        images = [sample.image for sample in samples]
        try:
            encoded: list[ImageEncoding | CliptraseError] = list(self._encode(images))
        except CliptraseError:
            encoded = [self._encode_alone(image) for image in images]
        return [
            lambda sample=sample, encoding=encoding: self._label(sample, encoding)  # type: ignore[misc]
            for sample, encoding in zip(samples, encoded, strict=True)
        ]

    def _encode(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[ImageEncoding]:
        with memory_explained("picture"):
            return self._segmenter.encode_batch(images, self._preset.name, short_side=self._short_side)

    def _encode_alone(self, image: npt.NDArray[np.uint8]) -> ImageEncoding | CliptraseError:
        try:
            return self._encode([image])[0]
        except CliptraseError as error:
            return error

    def _label(self, sample: Sample, encoding: ImageEncoding | CliptraseError) -> Outcome:
        if isinstance(encoding, CliptraseError):
            return encoding
        try:
            expect_room(f"picture {sample.key!r}", encoding.frame)
            return self._segmenter.segment(encoding, sample.words, **self._method.settings).labels
        except CliptraseError as error:
            return error


def crop_truth(truth: Labels, side: int) -> Labels:
    """What the published script scores: short side to `side` by nearest neighbours, then the centre.

    Args:
        truth: (H, W).
        side: pixels.

    Returns:
        (side, side).
    """
    frame = centre_crop_frame((truth.shape[0], truth.shape[1]), side, (side, side))
    height, width = frame.resized
    # PIL's filter, as the script uses it: torch rounds other pixels to the nearest.
    resized = np.asarray(Image.fromarray(truth.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST))
    top, left = frame.crop
    return resized[top : top + side, left : left + side]
