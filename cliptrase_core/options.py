"""Definition of every option: name, kind, range or choices, default and help. Imports no torch.

The definitions give the arguments of `Segmenter.segment` and `encode`, the flags of the command line, the schema of the
web endpoints, the controls of the page, the command line in a download, and the tables of docs/options.md.
A new option needs one more field here, and the code that uses it. One of `segment` also needs its type in
`SegmentArguments`; a test compares them.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, TypedDict, TypeVar, get_args

from cliptrase_core.errors import InputError, is_number, is_truth, near
from cliptrase_core.methods.registry import COLDEST, METHODS, RESIDUALS, Method, method_by_name, with_residual
from cliptrase_core.presets import PRESETS, PositionResize

DENOISE = ("cls", "dice", "none")
TEMPLATES = ("simple7", "openai80")
"""Names of template sets; `text.encoder.TEMPLATES` contains the sentences."""


@dataclass(frozen=True)
class Option:
    """Definition of one option.

    Attributes:
        name: name as a keyword argument.
        kind: str, float, int or bool.
        default: default value; `unset` describes None.
        help: one sentence, without a full stop.
        choices: allowed values of a str; empty if any text is allowed.
        least: smallest value of a number; None for no bound.
        most: largest value of a number; None for no bound.
        above: exclusive lower bound of a number; None for no bound.
        unset: meaning of None, for example "the preset's"; empty if None is not allowed.
    """

    name: str
    kind: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    unset: str = ""

    @property
    def flag(self) -> str:
        """Name on the command line, such as "--min-samples"."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def expected(self) -> str:
        """Allowed values for messages, such as "a whole number of at least 1, or nothing"."""
        text = f"one of {', '.join(self.choices)}" if self.choices else _NOUNS[self.kind]
        if self.least is not None and self.most is not None:
            text += f" from {_plain(self.least)} to {_plain(self.most)}"
        elif self.least is not None:
            text += f" of at least {_plain(self.least)}"
        elif self.above is not None:
            text += f" above {_plain(self.above)}" + (f", at most {_plain(self.most)}" if self.most is not None else "")
        return f"{text}, or nothing ({self.unset})" if self.unset else text

    def check(self, value: Any) -> Any:
        """Return the value converted to the kind of the option.

        Raises:
            InputError: the value is not of this kind, not one of the choices, not finite or out of range.
        """
        if value is None and self.unset:
            return None
        found = _READERS[self.kind](value)
        if found is None or not self._allows(found):
            raise InputError(self.name, expected=self.expected, got=_shown(value), remedy=self._remedy(value))
        return found

    def _remedy(self, value: Any) -> str:
        default = self.unset if self.default is None else _literal(self.default)
        meant = near(value, self.choices, most=1, cutoff=0.7)
        return f"{meant} Leave it out for the default ({default}).".strip()

    def schema(self) -> dict[str, Any]:
        """Return the option as JSON Schema."""
        bounds = {"minimum": self.least, "maximum": self.most, "exclusiveMinimum": self.above}
        return {
            "type": _JSON_TYPES[self.kind],
            **({"enum": list(self.choices)} if self.choices else {}),
            **{key: bound for key, bound in bounds.items() if bound is not None},
        }

    def _allows(self, value: Any) -> bool:
        if self.choices and value not in self.choices:
            return False
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _truth(value: Any) -> bool | None:
    return bool(value) if is_truth(value) else None


def _number(value: Any) -> float | None:
    if not is_number(value):
        return None
    try:
        found = float(value)
    except OverflowError:  # for example a whole number of 400 digits
        return None
    return found if math.isfinite(found) else None


def _whole(value: Any) -> int | None:
    found = _number(value)
    return int(found) if found is not None and found == int(found) else None


_READERS: Mapping[type, Any] = {str: _text, bool: _truth, float: _number, int: _whole}
_NOUNS: Mapping[type, str] = {str: "text", bool: "true or false", float: "a number", int: "a whole number"}
_JSON_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", float: "number", int: "integer"}


def _plain(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**40 else "a very large number"
    return text if len(text) <= 60 else f"{text[:60]}..."


def option(kind: type, default: Any, help: str, **facts: Any) -> Any:  # noqa: A002 - as argparse calls it
    """Return a field of an options class; `facts` are further attributes of `Option`."""
    return dataclasses.field(default=default, metadata={"kind": kind, "help": help, **facts})


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of the options classes; checks every value on creation."""

    def __post_init__(self) -> None:
        """Check every option; raise InputError for the first invalid one."""
        for known in options_of(type(self)):
            object.__setattr__(self, known.name, known.check(getattr(self, known.name)))

    @property
    def options(self) -> dict[str, Any]:
        """Values of the options by name."""
        return {known.name: getattr(self, known.name) for known in options_of(type(self))}


@dataclass(frozen=True, kw_only=True)
class LayoutOptions(Options):
    """Layout of a picture for the model: options of `Segmenter.encode`."""

    preset: str = option(
        str,
        "auto",
        "auto uses the whole picture, labels in its size; paper-* use its centre, as the paper",
        choices=(*PRESETS,),
    )
    short_side: int | None = option(
        int,
        None,
        "short side of the model input in pixels, at least one patch (14, 16 or 32, by model); only with preset auto",
        least=1,
        most=65_500,
        unset="the preset's",
    )


@dataclass(frozen=True, kw_only=True)
class SegmentOptions(Options):
    """Segmentation of an encoded picture by words: options of `Segmenter.segment`."""

    method: str = option(str, "cliptrase", "segmentation method", choices=(*METHODS,))
    denoise: str = option(
        str,
        "cls",
        "denoising, so that global patches do not merge clusters: cls subtracts the similarity to [CLS], dice drops "
        "clusters similar to [CLS], none is off",
        choices=DENOISE,
    )
    eps: float | None = option(
        float, None, "DBSCAN's neighbourhood radius; larger merges more", above=0, unset="by preset and model"
    )
    min_samples: int | None = option(
        int,
        None,
        "DBSCAN's minimum of neighbours; larger leaves more noise",
        least=1,
        most=100_000,
        unset="by preset and model",
    )
    templates: str | None = option(
        str, None, "prompt templates: the sentences around each word", choices=TEMPLATES, unset="the preset's"
    )
    image_prior: bool = option(bool, False, "weight words by their similarity to the whole picture")
    vote: bool | None = option(bool, None, "whether regions take their majority label", unset="the method's")
    everything_else: bool = option(
        bool,
        False,
        "add a class for all that resembles none of the classes (Otsu's threshold on each class's similarity), for one "
        "or two classes: many leave nothing to it; "
        "background: in the words names classes to compare with instead",
    )
    skip_missing: bool = option(bool, False, "leave out missing classes: those that common words beat at every patch")
    threshold: float = option(
        float, 0.0, "confidence threshold: pixels that are less sure become background", least=0, most=1
    )
    residual: str | None = option(
        str,
        None,
        "residual added to the attention of each block that the method changes: patch is the stream of the patch, none "
        "is nothing, cls the stream of [CLS]",
        choices=RESIDUALS,
        unset="the method's",
    )


class SegmentArguments(TypedDict, total=False):
    """Keyword arguments of `Segmenter.segment` and `scores`, for editors and type checkers; see `SegmentOptions`."""

    method: str | Method
    denoise: str
    eps: float | None
    min_samples: int | None
    templates: str | None
    image_prior: bool
    vote: bool | None
    everything_else: bool
    skip_missing: bool
    threshold: float
    residual: str | None


_PROTOCOLS = "the protocol's"
_RESCLIP = "of ResCLIP: "


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions(Options):
    """Values that replace those of a protocol with windows: options of `evaluate`."""

    window: int | None = option(
        int,
        None,
        "side of a window in pixels; 0 gives the model the whole picture",
        least=0,
        most=2048,
        unset=_PROTOCOLS,
    )
    stride: int | None = option(
        int, None, "pixels from one window to the next, at most a window", least=1, most=2048, unset=_PROTOCOLS
    )
    positions: str | None = option(
        str,
        None,
        "resizing of position embeddings: size as in open_clip, published as in the peers' programs, which add 0.1",
        choices=get_args(PositionResize),
        unset=_PROTOCOLS,
    )
    temperature: float | None = option(
        float, None, "factor of the cosines before the softmax", least=COLDEST, most=1_000_000, unset=_PROTOCOLS
    )
    threshold: float | None = option(
        float,
        None,
        "confidence below which a pixel becomes background",
        least=0,
        most=1,
        unset=_PROTOCOLS,
    )
    least_area: float | None = option(
        float,
        None,
        "share of the foreground; classes up to it are removed",
        least=0,
        most=1,
        unset=_PROTOCOLS,
    )
    background_words: bool | None = option(
        bool, None, "whether background words compete; without them the threshold alone makes background", unset="yes"
    )
    pamr: bool | None = option(
        bool, None, "smooth scores along colours, ten steps with neighbours at 8 and 16 pixels", unset=_PROTOCOLS
    )
    mlp: bool | None = option(bool, None, "whether blocks that the method changes keep their MLP", unset=_PROTOCOLS)
    blocks: int | None = option(
        int,
        None,
        "number of changed blocks, counted from the last; for methods that change several",
        least=1,
        unset=_PROTOCOLS,
    )
    resclip_least: float | None = option(
        float,
        None,
        _RESCLIP + "confidence below which a pixel of the first segmentation is unsure",
        least=0,
        most=1,
        unset=_PROTOCOLS,
    )
    resclip_gain: float | None = option(
        float, None, _RESCLIP + "factor of its whole attention", above=0, most=1000, unset=_PROTOCOLS
    )
    resclip_middle: float | None = option(
        float, None, _RESCLIP + "share of the middle blocks' attention", least=0, most=1, unset=_PROTOCOLS
    )
    resclip_structure_gain: float | None = option(
        float, None, _RESCLIP + "factor of correlation and structure", above=0, most=1000, unset=_PROTOCOLS
    )
    resclip_structure: float | None = option(
        float, None, _RESCLIP + "share of the structure", least=0, most=1, unset=_PROTOCOLS
    )
    resclip_unsure: int | None = option(
        int, None, _RESCLIP + "label of unsure pixels, -1 for a separate one", least=-1, unset=_PROTOCOLS
    )


Chosen = TypeVar("Chosen", bound=Options)
Function = TypeVar("Function", bound=Callable[..., Any])


def options_of(kind: type[Options]) -> tuple[Option, ...]:
    """Return the options of a class, in order; other fields are left out."""
    return tuple(
        Option(name=field.name, default=None if field.default is MISSING else field.default, **field.metadata)
        for field in dataclasses.fields(kind)
        if "kind" in field.metadata
    )


def read_options(kind: type[Chosen], given: Mapping[str, Any]) -> Chosen:
    """Create options from keyword arguments.

    Raises:
        InputError: an invalid value.
        TypeError: an unknown option; the message lists the known ones.
    """
    known = [one.name for one in options_of(kind)]
    for name in given:
        if name not in known:
            raise TypeError(f"unknown option {name!r}; expected one of {', '.join(known)}")
    return kind(**given)


def read_segmentation(given: Mapping[str, Any]) -> tuple[SegmentOptions, Method]:
    """Create the options of a segmentation, and its method with the chosen residual.

    `method` may also be a `Method` with the name of a known one and other values. Errors as for `read_options`.
    """
    method = given.get("method")
    if not isinstance(method, Method):
        requested = read_options(SegmentOptions, given)
        return requested, with_residual(method_by_name(requested.method), requested.residual)
    requested = read_options(SegmentOptions, {**given, "method": method.name})
    return requested, with_residual(method, requested.residual)


def described(kind: type[Options]) -> str:
    """Return a line of text for each option of a class: meaning, values and default."""
    texts = (
        f"{one.name}: {one.help}; {one.expected}" + ("." if one.default is None else f"; by default {one.default!r}.")
        for one in options_of(kind)
    )
    return "\n".join(textwrap.fill(text, 100, initial_indent=" " * 4, subsequent_indent=" " * 8) for text in texts)


def takes(kind: type[Options]) -> Callable[[Function], Function]:
    """Return a decorator of a function with `**options`, so that `help` and notebooks explain these options."""

    def listed(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        added = [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default) for one in options_of(kind)
        ]
        function.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        function.__doc__ = f"{inspect.getdoc(function)}\n\nOptions:\n{described(kind)}"
        return function

    return listed


def changed(chosen: Options) -> dict[str, Any]:
    """Return the options that differ from their default."""
    return {one.name: value for one in options_of(type(chosen)) if (value := getattr(chosen, one.name)) != one.default}


def arguments_of(chosen: Options) -> list[str]:
    """Return the options that differ from their default as command-line arguments: ["--eps=0.7", "--no-vote"]."""
    flags = {one.name: one.flag for one in options_of(type(chosen))}
    return [
        (flags[name] if value else flags[name].replace("--", "--no-", 1))
        if isinstance(value, bool)
        else f"{flags[name]}={value}"
        for name, value in changed(chosen).items()
    ]


def table_of(kind: type[Options]) -> str:
    """Return the options as a table in Markdown. docs/options.md contains it, and a test compares them."""
    rows = ["| option | default | values | meaning |", "|---|---|---|---|"]
    for one in options_of(kind):
        default = one.unset if one.default is None else f"`{_literal(one.default)}`"
        values = ", ".join(f"`{choice}`" for choice in one.choices) or one.expected.split(", or nothing")[0]
        rows.append(f"| `{one.name}`, `{one.flag}` | {default} | {values} | {one.help} |")
    return "\n".join(rows)


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


for _kind in (LayoutOptions, SegmentOptions, ProtocolOptions):
    _kind.__doc__ = f"{_kind.__doc__}\n\nAttributes:\n{described(_kind)}"  # for `help`
