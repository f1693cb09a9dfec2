"""labelme's JSON: a polygon for each connected component, the picture inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from cliptrase_core.io.export.components import Component, ComponentRule
from cliptrase_core.io.files import seal
from cliptrase_core.io.geometry import Size

VERSION = "5.5.0"
"""Of labelme's format; its later versions read it."""


def to_labelme(
    components: Sequence[Component], names: Sequence[str], size: Size, picture: tuple[str, bytes], rule: ComponentRule
) -> bytes:
    """The file's content.

    A polygon has no hole: its line goes around one through a cut of no width, which labelme fills to the same pixels.
    With one component for each class, its polygons share a `group_id`.

    Args:
        components: of one result.
        names: of all classes.
        size: (H, W) of the labels.
        picture: name and content of its file.
        rule: that made the components.
    """
    shapes = [
        {
            "label": names[component.label],
            "points": outline.astype(float).tolist(),
            "group_id": component.label if rule.per_class else None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for component in components
        for outline in component.outlines
    ]
    entries = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": picture[0],
        "imageData": base64.b64encode(picture[1]).decode("ascii"),
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    text = json.dumps(entries, ensure_ascii=False)[:-1] + ",\n"
    return b"".join(seal([text.encode("utf-8", "replace")], before=b'"made_by": "', after=b'"}'))
