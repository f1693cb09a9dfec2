"""Measured speed and memory: paired ratios against open_clip's own forward. Never part of the tests."""
