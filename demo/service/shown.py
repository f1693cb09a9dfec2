"""What the page shows of a run: coarse or refined, with what a person fixed by hand; and of the run after it.

Imports no Gradio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from demo import core
from demo.errors import for_people
from demo.service.refine import Refinement, expect_here, is_here, mode_of
from demo.service.segmentation import Run, SegmentView

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


def carried(last: Shown | None, cut: SegmentView) -> tuple[Shown, str]:
    """What is shown of another result of the same picture: as refined as the last one, with the fixes that still apply.

    Args:
        last: what was shown before.
        cut: the new result, coarse.

    Returns:
        What is to be shown, and in plain text what of the last one is dropped and why; empty where nothing is.
    """
    run = cut.run
    if last is None or last.run.seen.picture != run.seen.picture:
        return Shown(run), ""
    if last.run == run:
        return last, ""
    refinement, said = _refinement(last.refinement, run)
    classes, moved = _classes(cut), _cropped(last.run) != _cropped(run)
    gone = [name for one in last.fixes if (name := _named(one)) and name.casefold() not in classes]

    def kept(fixes: tuple[Fix, ...]) -> tuple[Fix, ...]:
        named = [one for one in fixes if not _named(one) or str(_named(one)).casefold() in classes]
        return () if moved else tuple(_renamed(one, classes) for one in named if one.sam is None or is_here(one.sam))

    fixes = kept(last.fixes)
    lost = len(last.fixes) - len(fixes)
    if moved and lost:
        said += _dropped(lost, "another part of the picture is divided")
    elif lost:
        said += _dropped(
            len(gone), f"{'it is no class' if len(set(gone)) == 1 else 'they are no classes'} any more", gone
        )
        said += _dropped(lost - len(gone), "SAM's weights are no longer here")
    return Shown(run, refinement, fixes, kept(last.undone)), said.strip()


def _refinement(last: Refinement | None, run: Run) -> tuple[Refinement | None, str]:
    """The same of another run, and what is lost; components are others there."""
    if last is None:
        return None, ""
    if not is_here(last.refiner):
        return None, f" The weights of {last.refiner} are no longer here: boundaries are coarse."
    lost = "" if last.keep is None else " Which masks are taken is no longer as you chose: these are other components."
    return replace(last, run=run, keep=None), lost


def _classes(cut: SegmentView) -> dict[str, str]:
    """Class of a result by each of its words, in small letters."""
    names = cut.result.class_names
    groups = core.text.vocabulary.parse_vocabulary(cut.run.asked.words).classes
    synonyms = {word.casefold(): one.name for one in groups for word in one.prompts if one.name in names}
    return {**synonyms, **{name.casefold(): name for name in names}}


def _cropped(run: Run) -> bool:
    """Whether labels are those of the picture's centre: fixes are in shares of what is labelled."""
    return bool(core.presets.preset_by_name(run.seen.preset).crop)


def _named(one: Fix) -> str | None:
    """The class that a fix gives or takes away."""
    return one.class_name or one.from_class


def _renamed(one: Fix, classes: Mapping[str, str]) -> Fix:
    """The same, with its class as a result calls it."""
    given, taken = (name and classes[name.casefold()] for name in (one.class_name, one.from_class))
    return replace(one, class_name=given, from_class=taken)


def _dropped(count: int, why: str, names: Sequence[str] = ()) -> str:
    """A sentence about fixes; empty where there are none."""
    if not count:
        return ""
    of = f" of {', '.join(repr(name) for name in dict.fromkeys(names))}" if names else ""
    return f" {count} fix{'es' if count > 1 else ''}{of} {'were' if count > 1 else 'was'} dropped: {why}."


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
