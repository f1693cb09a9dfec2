"""What the page shows of a run: coarse or refined, with what a person fixed by hand. Imports no Gradio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from demo import core
from demo.errors import for_people
from demo.service.refine import Refinement, expect_here, mode_of
from demo.service.segmentation import Run

if TYPE_CHECKING:
    from cliptrase_core.refine import Fix


@dataclass(frozen=True)
class Shown:
    """Enough to find or repeat what is shown, small enough to keep for each visitor.

    Attributes:
        run: of which everything else is made.
        refinement: of its boundaries; None shows them coarse.
        fixes: by hand, in their order.
        undone: fixes that were taken back, the last one last.
    """

    run: Run
    refinement: Refinement | None = None
    fixes: tuple[Fix, ...] = ()
    undone: tuple[Fix, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether it differs from the run's own result."""
        return self.refinement is not None or bool(self.fixes)

    @property
    def suffix(self) -> str:
        """What the names of its files end in."""
        return ("-refined" if self.refinement else "") + ("-fixed" if self.fixes else "")

    def fixed(self, one: Fix) -> Shown:
        """With one more fix; what was taken back is forgotten."""
        return replace(self, fixes=(*self.fixes, one), undone=())

    def undo(self) -> Shown:
        """Without the last fix."""
        return replace(self, fixes=self.fixes[:-1], undone=(*self.undone, *self.fixes[-1:]))

    def redo(self) -> Shown:
        """With the fix that was taken back last."""
        return replace(self, fixes=(*self.fixes, *self.undone[-1:]), undone=self.undone[:-1])

    def clear(self) -> Shown:
        """Without any fix; each can be had again."""
        return replace(self, fixes=(), undone=(*self.undone, *reversed(self.fixes)))


def shown_of(run: Run, shown: Shown | None) -> Shown:
    """What is shown of a run: its own result, until something was done to it."""
    return shown if shown is not None and shown.run == run else Shown(run)


def stepped(shown: Shown, asked: Mapping[str, Any], refiner: str, mode: str, refinement: Refinement | None) -> Shown:
    """What is to be shown next.

    Args:
        shown: so far.
        asked: one of `refined` (true or false), `undo`, `redo`, `clear` and `fix` (as `Fix.as_dict`, without its SAM);
            anything may come over the wire.
        refiner: who refines; also who is asked what lies under a click, where it is a SAM alone.
        mode: of a SAM that refines.
        refinement: what the Refine tab has made, which is taken where it is of the same run, refiner and mode.

    Raises:
        UserError: something that nobody can ask for, or weights that are not here.
    """
    for name, step in (("undo", shown.undo), ("redo", shown.redo), ("clear", shown.clear)):
        if asked.get(name) is True:
            return step()
    if "refined" in asked:
        if asked["refined"] is not True:
            return replace(shown, refinement=None)
        expect_here(refiner)
        new = Refinement(shown.run, refiner, mode_of(refiner, mode))
        known = refinement is not None and replace(refinement, keep=None) == new
        return replace(shown, refinement=refinement if known else new)
    sam = refiner if refiner in core.refine.SAMS else core.refine.SAMS[0]
    expect_here(sam)
    entry = asked.get("fix")
    with for_people():
        fixes = core.refine.read_fixes([{**entry, "sam": sam} if isinstance(entry, Mapping) else entry])
    return shown.fixed(fixes[0])
