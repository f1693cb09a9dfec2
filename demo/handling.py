"""Helpers of all handlers: errors become messages, arguments are checked before anything is computed."""

from __future__ import annotations

import functools
import hashlib
import html
import inspect
import json
import logging
import math
import string
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import gradio as gr
from gradio.utils import get_upload_folder

from cliptrase_core.cancel import Cancelled, Progress
from cliptrase_core.options import Option, SegmentOptions, options_of
from demo import core
from demo.drawing import Picture
from demo.errors import NO_ROOM, UserError, as_user_errors
from demo.html import percent
from demo.jobs import watched
from demo.service import SegmentRequest
from demo.settings import PRESETS, SHORT_SIDES, TIME_LIMIT_S

_log = logging.getLogger(__name__)

UNEXPECTED = "Something went wrong on the server. Try again. If it persists, the server's log has the details."
STOPPED = "Stopped."
TOOK_TOO_LONG = (
    f"Stopped after {TIME_LIMIT_S} seconds, because other visitors wait. Choose a smaller short side under Settings, "
    "fewer words, or a smaller model."
)
MOST_SHOWN = 40
"""Maximum number of characters of a client's value in an error message."""
NO_WORDS = "Type at least one class, for example: cat; sofa."
NO_BACKGROUND, BY_WORDS, BY_THRESHOLD = BACKGROUNDS = ("none", "words", "unsure pixels")
AUTO, YES, NO = "auto", "yes", "no"
LARGEST = sys.float_info.max
"""Limit that excludes infinities and integers of hundreds of digits, which JSON may contain."""
_SEPARATORS = ",;|" + string.whitespace
"""Separators of classes; a text of only these has no class. The library's own message is too long for the page."""
Handler = TypeVar("Handler", bound=Callable[..., Any])
View = TypeVar("View")
Result = TypeVar("Result")


def errors_as_messages(handler: Handler) -> Handler:
    """Turn errors of a handler into messages: errors that the user can fix are shown, others are logged and hidden."""

    @functools.wraps(handler)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        with _as_messages(handler.__name__):
            return handler(*args, **kwargs)

    @functools.wraps(handler)
    def guarded_steps(*args: Any, **kwargs: Any) -> Any:
        with _as_messages(handler.__name__):
            yield from handler(*args, **kwargs)

    return guarded_steps if inspect.isgeneratorfunction(handler) else guarded  # type: ignore[return-value]


@contextmanager
def _as_messages(name: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        # The browser renders messages as HTML, and this one may quote user input.
        raise gr.Error(html.escape(str(error), quote=False), title="Not possible", print_exception=False) from None
    except Cancelled as ended:
        raise gr.Error(TOOK_TOO_LONG if ended.late else STOPPED, print_exception=False) from None
    except Exception as error:
        if core.errors.out_of_space(error):
            _log.error("%s: %s", name, NO_ROOM)
            raise gr.Error(NO_ROOM, print_exception=False) from None
        _log.exception("%s failed", name)
        raise gr.Error(UNEXPECTED, print_exception=False) from None


def same(view: type[View]) -> View:
    """Return a view (a NamedTuple) that changes nothing."""
    return view(*(gr.skip() for _ in view._fields))  # type: ignore[attr-defined]


def spoken(
    handler: Callable[..., View], view: type[View], place: str, say: Callable[[str], str]
) -> Callable[..., View]:
    """Return a handler that shows its errors in one field and leaves the others unchanged: a toast would disappear.

    Args:
        handler: handler decorated with `errors_as_messages`.
        view: type of its result, a NamedTuple.
        place: field of the view that shows the error.
        say: function that makes HTML of plain text.
    """

    @functools.wraps(handler)
    def speaking(*args: Any, **kwargs: Any) -> View:
        try:
            return handler(*args, **kwargs)
        except gr.Error as error:
            message: View = same(view)._replace(**{place: say(html.unescape(str(error.message)))})  # type: ignore[attr-defined]
            return message

    return speaking


def followed(work: Callable[[Progress], Result], view: Callable[[float, str], View]) -> Generator[View, None, Result]:
    """Run long work in the background and yield a view of each of its steps; closing the generator ends the work.

    Args:
        work: function as for `demo.jobs.watched`.
        view: function that returns the new values for a step, (share in [0, 1], description).

    Returns:
        The result of the work.
    """
    steps = watched(work)
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                done: Result = end.value
                return done
            yield view(*step)
    finally:
        steps.close()


class DownloadView(NamedTuple):
    """New values while an archive is made and afterwards: the pressed button, and the file."""

    download: Any
    file: Any


def downloaded(work: Callable[[Progress], tuple[str, bytes]], label: str) -> Generator[DownloadView, None, None]:
    """Make an archive in the background; meanwhile the button shows the progress and is disabled.

    Args:
        work: function as for `followed` that returns the name and the content of a file.
        label: label of the button when no archive is being made.
    """
    ready = gr.Button(label, interactive=True)

    def busy(share: float, text: str) -> DownloadView:
        return DownloadView(
            gr.Button(f"{text[:1].upper()}{text[1:]} ({percent(share, 0)})", interactive=False), gr.skip()
        )

    try:
        file = save_archive(*(yield from followed(work, busy)))
    except Exception:
        yield DownloadView(ready, gr.skip())
        raise
    yield DownloadView(ready, file)


def save_archive(name: str, content: bytes) -> str:
    """Write a new file in the folder from which files are served and removed. Return its path."""
    home = Path(get_upload_folder())
    home.mkdir(parents=True, exist_ok=True)
    file = Path(tempfile.mkdtemp(dir=home)) / name
    file.write_bytes(content)
    return str(file)


def save_picture(pixels: Picture) -> str:
    """Write a PNG in the folder of uploads, faster than Gradio. Return its path, the same for the same picture."""
    content = core.io.png.encode_png(pixels)
    path = Path(get_upload_folder()) / hashlib.sha256(content).hexdigest() / "image.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        core.io.files.write_all(path.parent, {path.name: content})  # another visitor may read it meanwhile
    return str(path)


class Fields(NamedTuple):
    """Values of the page's fields that determine a result, by component name; `further_options` adds fields.

    An option of the core has the field of its name here, or else a field among the further ones.
    """

    words: Any
    background: Any
    background_words: Any
    threshold: Any
    method: Any
    preset: Any
    short_side: Any
    templates: Any
    image_prior: Any
    everything_else: Any
    everything_else_chosen: Any
    skip_missing: Any
    denoise: Any
    automatic: Any
    eps: Any
    min_samples: Any
    model: Any


def further_options() -> list[Option]:
    """Return the options of the core without a field in `Fields`; the page makes a control for each by its kind."""
    return [one for one in options_of(SegmentOptions) if one.name not in Fields._fields]


def request_fields() -> list[str]:
    """Return the names of all fields of a request, in the order in which `read_request` takes their values."""
    return [*Fields._fields, *(one.name for one in further_options())]


def read_request(*values: Any) -> SegmentRequest:
    """Read the values of the page's fields, in the order of `request_fields`.

    Raises:
        UserError: a field has an invalid value.
    """
    count = len(Fields._fields)
    fields, further = Fields(*values[:count]), zip(further_options(), values[count:], strict=True)
    background = one_of("background", fields.background, BACKGROUNDS)
    typed = text("words", fields.words)
    if not typed.strip(_SEPARATORS):
        raise UserError(NO_WORDS)
    extra = text("background words", fields.background_words).strip() if background == BY_WORDS else ""
    automatic = fields.automatic is True
    chosen = fields.everything_else_chosen == "yes"
    with as_user_errors():
        return SegmentRequest(
            words=f"{typed}\nbackground: {', '.join(extra.splitlines())}" if extra else typed,
            preset=fields.preset,
            short_side=side_of(fields.preset, fields.short_side),
            model=None if fields.model is None else text("model", fields.model),
            method=fields.method,
            denoise=fields.denoise,
            eps=None if automatic else fields.eps,
            min_samples=None if automatic else fields.min_samples,
            templates=None if fields.templates == AUTO else fields.templates,
            image_prior=fields.image_prior is True,
            everything_else=fields.everything_else is True if chosen else _is_one_class(typed, extra),
            skip_missing=fields.skip_missing is True,
            threshold=fields.threshold if background == BY_THRESHOLD else 0.0,
            **{one.name: _chosen(one, value) for one, value in further},
        )


def side_of(preset: Any, value: Any) -> int | None:
    """Read the fields of preset and short side: pixels of the short side, or None for those of the preset.

    Raises:
        UserError: the short side has an invalid value.
    """
    side = one_of("short side", str(value), (AUTO, *map(str, SHORT_SIDES)))
    return None if side == AUTO or preset != PRESETS[0] else int(side)


def _chosen(one: Option, value: Any) -> Any:
    """Return the value of a control that was made from an option."""
    if one.unset and value in (None, AUTO):
        return None
    return {YES: True, NO: False}.get(value, value) if one.kind is bool and isinstance(value, str) else value


def _is_one_class(words: str, background: str) -> bool:
    """Return whether the words are a single class without background words: it would fill the picture."""
    try:
        return not background and len(core.text.vocabulary.parse_vocabulary(words).class_names) == 1
    except core.errors.CliptraseError:
        return False  # reported where the words are used


def point_of(event: gr.SelectData) -> tuple[float, float]:
    """Return the clicked point as (x, y) in pixels of the picture; a client may send any value.

    Raises:
        UserError: the value is not a point.
    """
    point = event.index
    if not isinstance(point, (list, tuple)) or len(point) != 2:
        raise UserError(f"The click: expected x and y, got {named(point)}. Click on the picture.")
    x, y = (number("click", value) for value in point)
    return x, y


def inside(x: float, y: float, size: tuple[int, int]) -> tuple[float, float]:
    """Return the point if it is inside a picture of `size`, (height, width).

    Raises:
        UserError: the point is outside.
    """
    if not (0 <= x <= size[1] and 0 <= y <= size[0]):
        raise UserError("The click lies outside the picture. Click inside it.")
    return x, y


def named(value: Any) -> str:
    """Return a name for a value of a client's JSON, in an error message: short, and never the content of an object."""
    if value is None:
        return "nothing"
    if isinstance(value, (bool, int, float, str)):
        shown = json.dumps(value, ensure_ascii=False)
        return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}..."
    return "a list" if isinstance(value, (list, tuple)) else "an object"


def one_of(what: str, value: Any, known: tuple[str, ...]) -> str:
    """Return the value if it is one of the known names; else raise UserError."""
    if not isinstance(value, str) or value not in known:
        raise UserError(f"{what}: expected one of {', '.join(known)}, got {named(value)}. Pick one.")
    return value


def number(what: str, value: Any) -> float:
    """Return the value if it is a finite number; else raise UserError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise UserError(f"{what}: expected a number, got {named(value)}. Give a plain number.")
    return float(value)


def whole(what: str, value: Any, least: float = -math.inf, most: float = math.inf) -> int:
    """Return the value if it is a whole number within the bounds; else raise UserError."""
    found = number(what, value)
    if found != int(found):
        raise UserError(f"{what}: expected a whole number, got {found:g}. Give one without a fraction.")
    if not least <= found <= most:
        raise UserError(f"{what}: expected {least:g} to {most:g}, got {found:g}. Give one of these.")
    return int(found)


Place = tuple[int, int, int, int]
"""Row, column, layer and head (0 for the mean of all) that the lens shows."""


def place_of(value: Any) -> Place | None:
    """Read "row,column,layer,head" from the browser; None before the lens has shown a patch.

    Raises:
        UserError: a value is no whole number; a client may send anything.
    """
    parts = [part for part in text("patch", value).split(",") if part]
    found = [whole("patch", int(part) if part.isdecimal() and len(part) < 6 else part) for part in parts]
    return (found[0], found[1], found[2], found[3]) if len(found) == 4 else None


def text(what: str, value: Any) -> str:
    """Return the value if it is text, or "" for None; else raise UserError."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{what}: expected text, got {named(value)}. Give it in quotes.")
    return value
