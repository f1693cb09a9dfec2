"""Export of results to files for other programs, and loading of saved results: one module per format."""

from cliptrase_core.io.export.components import ComponentRule
from cliptrase_core.io.export.dataset import expect_untouched, export, gather
from cliptrase_core.io.export.loading import load_result
from cliptrase_core.io.export.record import folder_digest, is_of_another, plain, read_record, run_lengths
from cliptrase_core.io.export.saving import (
    ARCHIVE_FORMATS,
    SavedFiles,
    is_whole,
    read_formats,
    result_files,
    save,
)
from cliptrase_core.io.files import safe_stem
from cliptrase_core.names import DEFAULT_FORMATS, FORMATS, OVERLAY_SIDE

__all__ = [
    "ARCHIVE_FORMATS",
    "DEFAULT_FORMATS",
    "FORMATS",
    "OVERLAY_SIDE",
    "ComponentRule",
    "SavedFiles",
    "expect_untouched",
    "export",
    "folder_digest",
    "gather",
    "is_of_another",
    "is_whole",
    "load_result",
    "plain",
    "read_formats",
    "read_record",
    "result_files",
    "run_lengths",
    "safe_stem",
    "save",
]
