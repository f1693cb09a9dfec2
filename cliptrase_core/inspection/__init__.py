"""Attention of any layer, head and patch, before and after recovery; its statistics; scores at a point."""
