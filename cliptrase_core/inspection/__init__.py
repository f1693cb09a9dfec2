"""Attention maps of any layer, head and patch, before and after recovery; their statistics; class scores at a point."""
