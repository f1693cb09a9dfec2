"""The request: all settings of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cliptrase_core.errors import InputError, expect_one_of
from cliptrase_core.evaluation.between import Step
from cliptrase_core.evaluation.folder import FolderSet
from cliptrase_core.evaluation.profiles import PROFILES, PROTOCOLS
from cliptrase_core.evaluation.readers.base import ReadSet
from cliptrase_core.evaluation.settings import EXAMPLES
from cliptrase_core.options import ProtocolOptions, SegmentOptions

OwnSet = FolderSet | ReadSet
"""The user's own data set: folders described by the user, or a data set found by a reader."""


@dataclass(frozen=True)
class Request:
    """Settings of an evaluation.

    Attributes:
        data: name of a setting, or the user's own data set.
        root: folder of the data sets; None for the bundled examples and the user's own data set.
        layout: name of the reader for the data of a setting; None tries all known layouts and readers.
        protocol: one of `PROTOCOLS`; None takes the default for the data.
        preset: name of the preset; None takes the default of the protocol.
        short_side: short side of the model input in pixels, instead of the preset's or the setting's.
        values: values of sliding windows, instead of the protocol's.
        options: options of `Segmenter.segment`, except `image_prior`.
        image_prior: use of the image prior; None takes the published script's value with `quirks`, else no prior.
        vocabulary: words instead of the setting's, for the same number of classes.
        words: one of `word_lists.WORD_LISTS` for a benchmark; None takes the protocol's.
        limit: number of pictures to use, from the first on; None uses all.
        batch: number of pictures in one forward pass.
        readers: number of threads that read pictures ahead.
        quirks: reproduce the quirks of the published script.
        predictions: folder of predictions to score instead of the model's.
        predicted_background: position of the background's number, see `predictions.FilePredictor`.
        save_predictions: folder to save the labels of the run.
        step: windows, method and words instead of a profile's, for a run between two profiles.
    """

    data: str | OwnSet
    root: Path | None = None
    protocol: str | None = None
    preset: str | None = None
    short_side: int | None = None
    options: SegmentOptions = field(default_factory=SegmentOptions)
    values: ProtocolOptions = field(default_factory=ProtocolOptions)
    image_prior: bool | None = None
    vocabulary: str | None = None
    words: str | None = None
    limit: int | None = None
    batch: int = 8
    readers: int = 2
    quirks: bool = False
    predictions: Path | None = None
    predicted_background: str | None = None
    save_predictions: Path | None = None
    layout: str | None = None
    step: Step | None = None

    def __post_init__(self) -> None:
        """Check the values that do not depend on the data."""
        for name, value in (("limit", self.limit), ("batch", self.batch), ("readers", self.readers)):
            if value is not None and value < 1:
                raise InputError(name, expected="at least 1", got=str(value), remedy="Give a larger number.")


def chosen_protocol(request: Request) -> str:
    """Return the requested protocol, or the default for the data.

    Raises:
        InputError: an unknown protocol, or one that does not suit the data.
    """
    own = not isinstance(request.data, str)
    examples = request.data == EXAMPLES
    protocol = request.protocol or ("whole" if own or examples else "paper")
    fitting = PROTOCOLS if own else ("whole",) if examples else ("paper", *PROFILES)
    expect_one_of("protocol", protocol, fitting)
    if request.quirks and (own or examples or protocol != "paper" or request.data == "cityscapes"):
        raise InputError(
            "reference quirks",
            expected="protocol paper on one of the nine published settings",
            got=f"protocol {protocol}",
            remedy="Leave out --reference-quirks.",
        )
    return protocol
