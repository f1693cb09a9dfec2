"""The command line: one file for each command."""

from cliptrase_core.cli.parser import main

__all__ = ["main"]
