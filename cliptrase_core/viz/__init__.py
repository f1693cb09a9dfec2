"""Colours of classes, overlays and heat maps."""
