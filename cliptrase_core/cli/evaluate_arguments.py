"""Arguments of `evaluate`; imports no torch, see `names`."""

from __future__ import annotations

import argparse
from pathlib import Path

from cliptrase_core.cli.arguments import ArgumentGroup, Once, add_options, path_argument
from cliptrase_core.evaluation.profiles import PROFILES, PROTOCOLS
from cliptrase_core.evaluation.settings import EXAMPLES, SETTINGS
from cliptrase_core.names import BACKGROUNDS, LAYOUTS, WORD_LISTS
from cliptrase_core.options import LayoutOptions, ProtocolOptions, SegmentOptions

WITHOUT = ("threshold",)
"""The threshold would predict background, for which a data set may have no number; windows have their own threshold."""
_UNSET = {"image_prior": "where the quirks ask for it", "method": "the protocol's, else cliptrase"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all arguments except those of the model."""
    _add_data(parser.add_argument_group("data"))
    _add_protocol(parser.add_argument_group("protocol"))
    add_options(parser.add_argument_group("values that replace those of a sliding-window protocol"), ProtocolOptions)
    work = parser.add_argument_group("work")
    work.add_argument("--batch", type=int, default=8, metavar="N", help="pictures of one forward pass")
    work.add_argument("--readers", type=int, default=2, metavar="N", help="threads that read ahead")
    work.add_argument("--fresh", action="store_true", help="start over instead of resuming")
    work.add_argument(
        "--save-predictions", type=path_argument, metavar="DIR", help="save the labels, one PNG for each picture"
    )
    work.add_argument(
        "--output", type=path_argument, metavar="FILE.json", help="the report; .html, .md and .png beside it"
    )


def _add_data(data: ArgumentGroup) -> None:
    names = ", ".join((*SETTINGS, EXAMPLES))
    data.add_argument("--setting", metavar="NAME|FILE.yaml", help=f"{names}, or a YAML file that describes folders")
    data.add_argument("--data", type=Path, metavar="ROOT", help="folder that holds the data sets, or one of them")
    data.add_argument("--layout", choices=LAYOUTS, help="layout of --data (default: detected from its files)")
    data.add_argument("--images", metavar="DIR", help="pictures of your own, instead of --setting")
    data.add_argument("--masks", metavar="DIR", help="their masks, of the same names")
    words = "classes of your own pictures, or in place of those of a setting; or @FILE"
    data.add_argument("--vocabulary", action=Once, metavar="WORDS", help=words)
    source = "source of the words for the classes of a setting (default: the protocol's)"
    data.add_argument("--words", choices=WORD_LISTS, help=source)
    data.add_argument("--first", type=int, help="number of the first class in your masks (default: 0)")
    data.add_argument("--ignored", type=int, nargs="*", help="numbers that are ignored (default: 255)")
    data.add_argument("--background", type=int, nargs="*", help="numbers of the background (default: none)")
    data.add_argument("--mask-end", help="ending of a mask's name after the picture's name (default: .png)")
    data.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    check = "report which data are present and the content of the masks; runs no model"
    data.add_argument("--check", action="store_true", help=check)


def _add_protocol(how: ArgumentGroup) -> None:
    default = "default: paper; whole for examples and your own folders; see the docs"
    how.add_argument("--protocol", choices=PROTOCOLS, help=default)
    unset = {"preset": "paper-224; auto for protocol whole", "short_side": "the protocol's"}
    add_options(how, LayoutOptions, unset=unset)
    how.add_argument("--reference-quirks", action="store_true", help="repeat the published script's peculiarities")
    add_options(how, SegmentOptions, without=WITHOUT, unset=_UNSET)
    several = "evaluate several methods on the same data, each picture encoded once; a report for each, and a table"
    how.add_argument("--methods", metavar="NAME,NAME|all", help=several)
    between = "go from one paper's protocol to another one difference at a time, and report the effect of each"
    how.add_argument("--between", nargs=2, choices=tuple(PROFILES), metavar="PROTOCOL", help=between)
    how.add_argument("--predictions", type=Path, metavar="DIR", help="score the PNGs of any program; runs no model")
    place = "position of the background's number in --predictions of other programs"
    how.add_argument("--predicted-background", choices=BACKGROUNDS, help=place)
    reports = "differences between two reports; runs no model"
    how.add_argument("--compare", nargs=2, type=Path, metavar="FILE.json", help=reports)
