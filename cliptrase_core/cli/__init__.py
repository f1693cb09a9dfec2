"""Command line interface."""

from cliptrase_core.cli.parser import main

__all__ = ["main"]
