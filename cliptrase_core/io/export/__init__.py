"""Results as files that other programs open, and back: one module a format."""

from cliptrase_core.io.export.loading import load, read_record
from cliptrase_core.io.export.saving import SavedFiles, plain, result_files, run_lengths, save
from cliptrase_core.io.files import safe_stem

__all__ = ["SavedFiles", "load", "plain", "read_record", "result_files", "run_lengths", "safe_stem", "save"]
