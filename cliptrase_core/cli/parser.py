"""Command line with the commands `segment`, `inspect`, `evaluate` and `doctor`.

Exit codes: 0 success; 1 other failure; 2 wrong usage or bad input, with one line on stderr (subject, expected, got,
remedy), a full disk, or a picture that could not be used, after the work on all others. Each command imports its
modules when it runs: they import torch, which takes seconds.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NoReturn

from cliptrase_core.cli import evaluate_arguments
from cliptrase_core.cli.arguments import (
    Once,
    about_model,
    add_model_arguments,
    add_options,
    path_text,
    words_of_argument,
)
from cliptrase_core.errors import CliptraseError, one_line, out_of_space
from cliptrase_core.io.export.formats import DEFAULT_FORMATS, FORMATS, users_of
from cliptrase_core.io.files import not_written
from cliptrase_core.io.image import DEFAULT_MAX_PIXELS, read_image
from cliptrase_core.names import MIN_AREA, MODES, NONE, OVERLAY_SIDE, REFINERS
from cliptrase_core.options import LayoutOptions, SegmentOptions
from cliptrase_core.version import VERSION

if TYPE_CHECKING:
    from cliptrase_core.segmenter import Segmenter

DONE, FAILED, BAD_INPUT = 0, 1, 2


class _Parser(argparse.ArgumentParser):
    """Argument parser with errors of one line; only `--help` prints the usage.

    Options have their full names: the beginning of one could mean two after the next version.
    """

    def __init__(self, **settings: Any) -> None:
        """Accept the arguments of an ArgumentParser."""
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        self.exit(
            BAD_INPUT,
            f"{self.prog}: {message}{'' if message.endswith('?') else '.'} Run '{self.prog} --help' for the usage.\n",
        )


class _CommandParser(_Parser):
    """Parser of one command: complains about an unknown option first, with the most similar one, not about what is
    missing because of it."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        options = list(takewhile(lambda text: text != "--", args or ()))  # behind "--" everything is a file
        if not {"-h", "--help"}.intersection(options):
            # To argparse, a text with a space is a value.
            for name in (text[2:].partition("=")[0] for text in options if text.startswith("--") and " " not in text):
                if name not in known:
                    begun = [other for other in known if other.startswith(name)]
                    similar = begun or get_close_matches(name, known, n=1, cutoff=0.7)
                    self.error(f"no option --{name}" + (f", did you mean --{similar[0]}?" if similar else ""))
        return super().parse_known_args(args, namespace)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the terminal's encoding may lack characters of a file name
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe, as `| head` does
        _discard_rest()
        return FAILED
    except OSError as error:
        if not out_of_space(error):
            raise
        _discard_rest()
        return _complain(not_written("output", "", error, full="Free disk space, then run it again."))
    except CliptraseError as error:
        return _complain(error)
    except KeyboardInterrupt:
        _complain("stopped")
        return FAILED
    return code


def _open_closed_streams() -> None:
    """Discard what is printed on a stream that the caller has closed (`>&-`): Python has None in its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the end


def _discard_rest() -> None:
    """Discard what stdout could not print: Python would try it again at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _segment(options: argparse.Namespace) -> int:
    from cliptrase_core.cli.tasks import find_tasks, gather_results, note
    from cliptrase_core.text.vocabulary import parse_vocabulary

    vocabulary = parse_vocabulary(words_of_argument(options.vocabulary))
    # With --everything-else, a single class does not take the whole picture.
    notes = list(vocabulary.notes_beside_others if options.everything_else else vocabulary.notes)
    if not options.everything_else and vocabulary.notes_beside_others != vocabulary.notes:
        notes.append("--everything-else adds a class for all that does not resemble it.")
    tasks, more = find_tasks(vocabulary, options)  # before torch is imported and weights are downloaded
    notes += more
    if not tasks:
        note(*notes)
        gather_results(options)
        return DONE
    from cliptrase_core.cli.segment import segment_pictures
    from cliptrase_core.text.linter import data_sets, misspelt

    notes += [*data_sets(vocabulary), *misspelt(vocabulary), *about_model(options)]
    return BAD_INPUT if segment_pictures(tasks, vocabulary, _load(options), options, notes) else DONE


def _inspect(options: argparse.Namespace) -> int:
    image = read_image(options.image, max_pixels=options.max_pixels)  # before torch is imported
    from cliptrase_core.cli.inspect import inspect_picture
    from cliptrase_core.cli.tasks import note

    lines = list(inspect_picture(image, _load(options), options))
    note(*about_model(options))
    print("\n".join(lines))
    return DONE


def _evaluate(options: argparse.Namespace) -> int:
    from cliptrase_core.cli.evaluate import execute

    return execute(options, _load)


def _doctor(options: argparse.Namespace) -> int:
    from cliptrase_core.cli import doctor

    del options
    for line in doctor.report():
        print(line)
    return DONE


def _load(options: argparse.Namespace) -> Segmenter:
    from cliptrase_core.segmenter import Segmenter

    model = options.model
    if options.pretrained and model == os.environ.get("CLIPTRASE_MODEL"):
        model = model.partition(":")[0]  # typed weights replace those of the environment
    return Segmenter.from_pretrained(model, options.pretrained, device=options.device, precision=options.precision)


def _complain(problem: object) -> int:
    print(f"cliptrase: {one_line(problem)}", file=sys.stderr)
    return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cliptrase", description="Segment pictures by words, without training.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_CommandParser)

    segment = commands.add_parser("segment", help="divide pictures among words")
    segment.add_argument("images", nargs="+", metavar="IMAGE", help="a file, a folder, or a pattern such as '*.jpg'")
    segment.add_argument("--recursive", action="store_true", help="search folders within folders too")
    segment.add_argument(
        "--skip-existing", action="store_true", help="leave out pictures that the same command has done before"
    )
    segment.add_argument(
        "--vocabulary",
        action=Once,
        required=True,
        metavar="WORDS",
        help='"cat, kitten; dog | background: wall, floor", a data set such as ade150, or a file: @words.txt',
    )
    add_options(segment, SegmentOptions)
    segment.add_argument(
        "--refine", default=NONE, choices=REFINERS, help="boundaries: edges needs no weights, the others are SAM"
    )
    segment.add_argument("--refine-mode", choices=MODES, help=f"how SAM is prompted (default: {MODES[0]})")
    segment.add_argument("--sam-checkpoint", metavar="FILE", help="SAM's weights (default: fetched when needed)")
    segment.add_argument("--intermediates", action="store_true", help="put features and affinity into the .npz too")
    _add_outputs(segment)
    _add_common(segment)
    segment.set_defaults(run=_segment)

    inspect = commands.add_parser("inspect", help="attention of one patch, before and after recovery")
    inspect.add_argument("image", metavar="IMAGE")
    inspect.add_argument("--row", type=int, required=True, help="of the patch, from 0")
    inspect.add_argument("--column", type=int, required=True, help="of the patch, from 0")
    inspect.add_argument("--layer", type=int, help="block, from 1 (default: the last but one)")
    inspect.add_argument("--head", type=int, help="head, from 1 (default: the mean of all)")
    inspect.add_argument("--figure", action="store_true", help="also one figure of picture, before, after, difference")
    _add_common(inspect)
    inspect.set_defaults(run=_inspect)

    evaluate = commands.add_parser("evaluate", help="score a method on a data set")
    evaluate_arguments.add_arguments(evaluate)
    add_model_arguments(evaluate)
    evaluate.set_defaults(run=_evaluate)

    check = commands.add_parser("doctor", help="what is installed, which weights are here, what would run")
    check.set_defaults(run=_doctor)
    return parser


def _add_outputs(segment: argparse.ArgumentParser) -> None:
    out = segment.add_argument_group("what is written, and how fast")
    out.add_argument(
        "--formats",
        default=",".join(DEFAULT_FORMATS),
        metavar="NAME,...",
        help=f"{', '.join(FORMATS)} (default: %(default)s); json always comes along",
    )
    out.add_argument(
        "--min-area",
        type=int,
        default=MIN_AREA,
        metavar="PIXELS",
        help=f"smaller components are left out of {', '.join(users_of('min_area'))} (default: %(default)s)",
    )
    out.add_argument("--per-class", action="store_true", help="one annotation a class, not one a connected component")
    out.add_argument("--polygons", action="store_true", help="coco: outlines as polygons, not as run lengths")
    out.add_argument(
        "--overlay-side",
        type=int,
        default=OVERLAY_SIDE,
        metavar="PIXELS",
        help="longest side of the overlay, 0 for the picture's own (default: %(default)s)",
    )
    out.add_argument("--jobs", default="auto", metavar="N", help="pictures at once; auto (default): one for each core")


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", required=True, type=path_text, metavar="DIR", help="made if missing")
    add_options(command, LayoutOptions)
    command.add_argument(
        "--max-pixels",
        type=int,
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help="larger pictures are refused (default: %(default)s)",
    )
    add_model_arguments(command)
