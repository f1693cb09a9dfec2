"""Which way of unpacking a benchmark lies below a folder."""

from __future__ import annotations

from pathlib import Path

from cliptrase_core.errors import InputError, explain
from cliptrase_core.evaluation.layouts import Layout, missing_folders
from cliptrase_core.evaluation.numbers import Numbers
from cliptrase_core.evaluation.settings import Setting


def find_layout(setting: Setting, root: Path, protocol: str, quirks: bool) -> tuple[Layout, Numbers]:
    """The first layout that is complete and can be read, and what its numbers mean.

    Raises:
        InputError: none is there, with the folder that is missing; or only one that cannot be read the right way.
    """
    readable = [(layout, layout.numbers_under(protocol, quirks)) for layout in setting.layouts]
    for layout, numbers in readable:
        if numbers is not None and not missing_folders(layout, root):
            return layout, numbers
    unreadable = [layout for layout, numbers in readable if numbers is None and not missing_folders(layout, root)]
    if unreadable:
        remedy = (
            "Point --data at the prepared folders that it reads, or leave out --reference-quirks."
            if quirks
            else "They hold background and void as one number: unpack the original masks beside them (see "
            "docs/evaluation.md), or give --reference-quirks."
        )
        raise InputError(
            explain(
                f"data of {setting.name}",
                expected="masks that the published script reads" if quirks else "masks that tell background from void",
                got=unreadable[0].title,
                remedy=remedy,
            )
        )
    possible = [layout for layout, numbers in readable if numbers is not None]
    wanted = min(possible, key=lambda layout: len(missing_folders(layout, root)))
    missing = " and ".join(str(path) for path in missing_folders(wanted, root))
    raise InputError(
        explain(
            f"data of {setting.name}",
            expected=f"{wanted.title} below {root}",
            got=f"no {missing}",
            remedy=f"Unpack it there, or run 'evaluate --check --setting {setting.name} --data ...' for all layouts.",
        )
    )
