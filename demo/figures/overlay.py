"""Styles in which the page lays classes over a picture; the core draws them."""

STYLES = ("fill", "contour", "hatch")
"""The core's own names, repeated so that the page can be drawn before the core is imported; a test compares them."""
