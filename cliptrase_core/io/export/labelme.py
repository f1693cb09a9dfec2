"""labelme's JSON: a polygon for each connected component, with the picture inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from cliptrase_core.io.export.components import Component, ComponentRule
from cliptrase_core.io.files import seal
from cliptrase_core.io.geometry import Size

VERSION = "5.5.0"
"""Version of labelme's format; later versions of labelme read it too."""


def to_labelme(
    components: Sequence[Component], names: Sequence[str], size: Size, picture: tuple[str, bytes], rule: ComponentRule
) -> bytes:
    """Return the content of the file.

    A polygon has no holes: a cut of zero width joins each hole to its line, and labelme fills it to the same pixels.
    With one component for each class, the polygons of a component share a `group_id`.

    Args:
        components: components of one result.
        names: names of all classes.
        size: (H, W) of the labels.
        picture: name and content of the picture's file.
        rule: definition of a component that was used to find `components`.
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
