"""Methods of a result: save it under its picture's name, show it in a notebook."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterable
from pathlib import PureWindowsPath

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.export.components import ComponentRule
from cliptrase_core.io.export.images import overlay_png
from cliptrase_core.io.export.saving import DEFAULT_FORMATS, SavedFiles, read_formats, save
from cliptrase_core.io.image import ImageInput
from cliptrase_core.results import Segmentation
from cliptrase_core.viz.palette import legend

NEED_PICTURE = ("yolo", "labelme", "cutouts")
NOTEBOOK_SIDE = 640
"""Longest side in pixels of the picture that a notebook shows."""


def save_result(
    result: Segmentation,
    folder: str | os.PathLike[str],
    image: ImageInput | None,
    stem: str | None,
    formats: str | Iterable[str] | None,
    min_area: int,
    per_class: bool,
) -> SavedFiles:
    """What `Segmentation.save` does; takes and raises the same."""
    chosen, rule = read_formats(DEFAULT_FORMATS if formats is None else formats), ComponentRule(min_area, per_class)
    source = image if isinstance(image, (str, os.PathLike)) else None
    name = PureWindowsPath(os.fsdecode(source)).name if source is not None else result.name
    needing = [each for each in chosen if each in NEED_PICTURE]
    if needing and image is None:
        got = "none: a result keeps only the small one that the model was given"
        raise InputError(explain(needing[0], expected="the picture", got=got, remedy="Pass it as image."))
    stem = stem if stem is not None else PureWindowsPath(name).stem or "picture"
    about = {"picture": name or stem}
    return save(result, result.canvas(image), folder, stem, formats=chosen, about=about, rule=rule, source=source)


def notebook_png(result: Segmentation) -> bytes:
    """The overlay, small."""
    return overlay_png(result.canvas(), result, NOTEBOOK_SIDE)


def notebook_html(result: Segmentation) -> str:
    """The overlay and its legend; names are text, whatever they hold."""
    rows = "".join(
        f'<div><span style="display:inline-block;width:1em;height:1em;background:{row.colour}"></span> '
        f"{html.escape(row.name)} {row.area:.1%}</div>"
        for row in legend(result)
    )
    picture = base64.b64encode(notebook_png(result)).decode("ascii")
    alt = html.escape(repr(result), quote=True)
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:1em">'
        f'<img alt="{alt}" src="data:image/png;base64,{picture}"><div>{rows}</div></div>'
    )
