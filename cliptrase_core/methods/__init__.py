"""Segmentation methods: their registry, and the patch features computed from a registry entry."""
