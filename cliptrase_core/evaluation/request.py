"""The request: everything a user can set for an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cliptrase_core.errors import InputError, expect_one_of, explain
from cliptrase_core.evaluation.between import Step
from cliptrase_core.evaluation.folder import FolderSet
from cliptrase_core.evaluation.profiles import PROFILES
from cliptrase_core.evaluation.readers.base import ReadSet
from cliptrase_core.evaluation.settings import EXAMPLES
from cliptrase_core.options import ProtocolOptions, SegmentOptions

OwnSet = FolderSet | ReadSet
"""A data set of one's own: folders that a person described, or what a reader found."""

PROTOCOLS = ("paper", *PROFILES, "whole")


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        data: a setting's name, or a data set of one's own.
        root: folder that holds the data sets; None for the bundled examples and one's own.
        layout: name of the one reader that looks for a setting's data; None takes what is there.
        protocol: one of `PROTOCOLS`; None takes what suits the data.
        preset: None takes what suits the protocol.
        short_side: pixels that the model sees, instead of the preset's or the setting's.
        values: in place of a protocol's, where windows slide.
        options: of `Segmenter.segment`; `image_prior` None takes the published script's where quirks are asked for.
        image_prior: see above.
        vocabulary: words instead of the setting's, as many classes.
        words: one of `word_lists.WORD_LISTS` for a benchmark; None takes the protocol's.
        limit: only the first so many pictures.
        batch: pictures that share a forward pass.
        readers: threads that read ahead.
        quirks: reproduce the published script's.
        predictions: folder of predictions that are scored instead of a model's.
        predicted_background: see `predictions.FilePredictor`.
        save_predictions: folder for the labels of a run.
        step: windows, method and words in place of a profile's, on the way to another.
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
        """Check what does not depend on the data."""
        for name, value in (("limit", self.limit), ("batch", self.batch), ("readers", self.readers)):
            if value is not None and value < 1:
                raise InputError(explain(name, expected="at least 1", got=str(value), remedy="Give a larger number."))


def chosen_protocol(request: Request) -> str:
    """The protocol asked for, or the one that suits the data.

    Raises:
        InputError: unknown, or one that does not suit the data.
    """
    own = not isinstance(request.data, str)
    examples = request.data == EXAMPLES
    protocol = request.protocol or ("whole" if own or examples else "paper")
    fitting = PROTOCOLS if own else ("whole",) if examples else ("paper", *PROFILES)
    expect_one_of("protocol", protocol, fitting)
    if request.quirks and (own or examples or protocol != "paper" or request.data == "cityscapes"):
        raise InputError(
            explain(
                "reference quirks",
                expected="protocol paper on one of the nine published settings",
                got=f"protocol {protocol}",
                remedy="Leave out --reference-quirks.",
            )
        )
    return protocol
