"""Colours of classes, overlays, names, heat maps and figures."""

# The function, although its module has the same name: `cc.viz.figure(result)`.
from cliptrase_core.viz.figure import figure, layer_sheet

__all__ = ["figure", "layer_sheet"]
