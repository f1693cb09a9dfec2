"""Displayed state of a run: coarse or refined, with fixes made by hand, and its transfer to the next run.

Imports no Gradio."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from cliptrase_core.names import fold
from demo import core
from demo.errors import as_user_errors
from demo.service.refine import Refinement, expect_available, is_available, mode_of
from demo.service.segmentation import Run, SegmentView
from demo.settings import MAX_FILES

if TYPE_CHECKING:
    from cliptrase_core.refine import Fix

MOST_POINTS = 40_000
"""Maximum number of points of removed fixes that are stored for a visitor; a result has at most half of that."""
MOST_PICTURES = MAX_FILES
"""Maximum number of former pictures whose state is stored for a visitor: all of a batch are fixed before a download."""
MOST_POINTS_IN_ALL = 160_000
"""Maximum number of points of the fixes of all former pictures that are stored for a visitor."""


class PlacedFix(NamedTuple):
    """Fix with its place, also one that cannot be applied to a run, such as that of a class that it does not have.

    Attributes:
        place: its place among the applied fixes.
        fix: the fix.
        cropped: True if its points are shares of the picture's centre, as under a paper preset.
    """

    place: int
    fix: Fix
    cropped: bool


@dataclass(frozen=True)
class DisplayState:
    """Displayed state of a run: enough to find or repeat it, small enough to store for each visitor.

    Attributes:
        run: run that refinement and fixes apply to.
        refinement: refinement of its boundaries; None for coarse boundaries.
        fixes: fixes made by hand, in their order.
        undone: undone steps, the latest last: a fix, or None for the removal of all fixes.
        aside: fixes that cannot be applied to this run; they return when they can.
        removed: fixes of each removal of all, the latest last; undoing returns them.
        others: changed states of the visitor's former pictures, the latest last; they return with the picture.
        coarse_by_hand: True if the person chose coarse boundaries, also where a batch refined them.
    """

    run: Run
    refinement: Refinement | None = None
    fixes: tuple[Fix, ...] = ()
    undone: tuple[Fix | None, ...] = ()
    aside: tuple[PlacedFix, ...] = ()
    removed: tuple[tuple[PlacedFix, ...], ...] = ()
    others: tuple[DisplayState, ...] = ()
    coarse_by_hand: bool = field(default=False, compare=False)

    @property
    def changed(self) -> bool:
        """True if it differs from the run's own result."""
        return self.refinement is not None or bool(self.fixes)

    @property
    def how(self) -> str:
        """Plain text about its state, such as "Coarse, 2 fixes" or "Coarse by GEM, 1 fix"."""
        fixes, aside, other = len(self.fixes), len(self.aside), self.run.request.other_method
        if self.refinement:
            base = f"Refined by {self.refinement.refiner}" + (f" from {other}" if other else "")
        else:
            base = "Coarse" + (f" by {other}" if other else "")
        applied = f", {core.errors.counted(fixes, 'fix', 'fixes')}" if fixes else ""
        return f"{base}{applied}{f', {aside} kept aside' if aside else ''}"

    @property
    def touched(self) -> bool:
        """True if it was changed by hand, also if such a change was taken back or is set aside."""
        return self.changed or self.coarse_by_hand or bool(self.aside or self.undone or self.removed)

    @property
    def suffix(self) -> str:
        """Suffix of its file names."""
        return ("-refined" if self.refinement else "") + ("-fixed" if self.fixes else "")

    def fixed(self, one: Fix) -> DisplayState:
        """Return a copy with one more fix and without undone fixes."""
        aside = tuple(kept._replace(place=min(kept.place, len(self.fixes))) for kept in self.aside)
        return replace(self, fixes=(*self.fixes, one), undone=(), aside=aside)

    def undo(self) -> DisplayState:
        """Return a copy before the last step. Removed fixes return set aside: `transfer_changes` applies them."""
        if self.fixes or not self.removed:
            return replace(self, fixes=self.fixes[:-1], undone=(*self.undone, *self.fixes[-1:]))
        *others, last = self.removed
        back = tuple(one._replace(place=0) for one in (*last, *self.aside))
        return replace(self, undone=(*self.undone, None), aside=back, removed=tuple(others))

    def redo(self) -> DisplayState:
        """Return a copy after the latest undone step."""
        if not self.undone:
            return self
        *others, one = self.undone
        if one is None:
            return replace(self.clear(), undone=tuple(others))
        return replace(self, fixes=(*self.fixes, one), undone=tuple(others))

    def clear(self) -> DisplayState:
        """Return a copy without fixes and without undone steps; one step back returns all, those set aside too."""
        everything = tuple(self.every_fix())
        if not everything:
            return self
        removed = (*self.removed, everything)
        removed = removed[_first_kept(removed, MOST_POINTS) :]
        return replace(self, fixes=(), undone=(), aside=(), removed=removed)

    def coarse(self) -> DisplayState:
        """Return the run's own result; every fix is set aside."""
        aside = tuple(one._replace(place=0) for one in self.every_fix())
        return replace(self, refinement=None, fixes=(), aside=aside)

    def every_fix(self) -> Iterator[PlacedFix]:
        """Yield the applied fixes and those set aside, in the order in which they were made."""
        for place in range(len(self.fixes) + 1):
            yield from (kept for kept in self.aside if min(kept.place, len(self.fixes)) == place)
            yield from (PlacedFix(place, one, _cropped(self.run)) for one in self.fixes[place : place + 1])


def _first_kept(lists: Sequence[Collection[PlacedFix]], most: int) -> int:
    """Return where the last lists of fixes begin that have at most so many points together; the last one is kept."""
    points, first = 0, len(lists)
    while first and (points := points + sum(len(one.fix.points) for one in lists[first - 1])) <= most:
        first -= 1
    return min(first, len(lists) - 1)


def _of_picture(last: DisplayState, run: Run) -> DisplayState:
    """Return the last displayed state of the picture of a run; that of the previous picture joins the others."""
    picture = run.key.picture
    found = next((one for one in last.others if one.run.key.picture == picture), DisplayState(run))
    others = [one for one in last.others if one.run.key.picture != picture]
    if last.touched:
        others.append(replace(last, undone=(), removed=(), others=()))
    others = others[-MOST_PICTURES:]
    fixes = [tuple(one.every_fix()) for one in others]
    return replace(found, others=tuple(others[_first_kept(fixes, MOST_POINTS_IN_ALL) :]))


def others_of(last: DisplayState | None, run: Run) -> tuple[DisplayState, ...]:
    """Return the states of the visitor's pictures other than that of a run."""
    if last is None:
        return ()
    return last.others if last.run.key.picture == run.key.picture else _of_picture(last, run).others


def without(last: DisplayState | None, pictures: Collection[str]) -> DisplayState | None:
    """Return a displayed state that does not know former pictures, given by the digests of their files."""
    if last is None:
        return None
    return replace(last, others=tuple(one for one in last.others if one.run.key.picture not in pictures))


def shown_of(run: Run, shown: DisplayState | None) -> DisplayState:
    """Return the displayed state of a run: `shown` if it is of this run, else the run's own result."""
    return shown if shown is not None and shown.run == run else DisplayState(run)


def transfer_changes(last: DisplayState | None, view: SegmentView) -> tuple[DisplayState, str]:
    """Transfer refinement and fixes to another result of their picture, as far as they still apply.

    Args:
        last: previous displayed state, also of another picture.
        view: new result, coarse.

    Returns:
        The new displayed state, and a plain text about what is no longer applied and why; empty if everything is. Such
        fixes are kept for later results; undone ones that do not fit are not.
    """
    run = view.run
    if last is None:
        return DisplayState(run), ""
    if last.run.key.picture != run.key.picture:
        last = _of_picture(last, run)
    if last.run == run and not last.aside:
        return last, ""
    refinement, message = (last.refinement, "") if last.run == run else _refinement(last.refinement, run)
    classes, cropped = _classes(view, last.run.request.words), _cropped(run)

    def has_class(one: Fix) -> bool:
        return _has_class(one, classes)

    def fits(one: Fix) -> bool:
        return has_class(one) and (one.sam is None or is_available(one.sam))

    fixes: list[Fix] = []
    aside: list[PlacedFix] = []
    for kept in last.every_fix():
        if kept.cropped == cropped and fits(kept.fix):
            fixes.append(_renamed(kept.fix, classes))
        else:
            aside.append(kept._replace(place=len(fixes)))
    moved = _cropped(last.run) != cropped
    message += _not_applied([one for one in last.fixes if moved or not fits(one)], moved, has_class)
    undone = tuple(one and _renamed(one, classes) for one in last.undone if not moved and (one is None or fits(one)))
    state = replace(last, run=run, refinement=refinement, fixes=tuple(fixes), undone=undone, aside=tuple(aside))
    return state, message.strip()


def _refinement(last: Refinement | None, run: Run) -> tuple[Refinement | None, str]:
    """Return the same refinement for another run, and a text about losses; that run has other components."""
    if last is None:
        return None, ""
    if not is_available(last.refiner):
        return None, f" The weights of {last.refiner} are no longer here: boundaries are coarse."
    lost = "" if last.keep is None else " Your choice of masks was dropped: the new result has other components."
    return replace(last, run=run, keep=None), lost


def _classes(view: SegmentView, earlier: str) -> dict[str, str]:
    """Return a mapping from each word of a result, folded, to its class name.

    A word of the `earlier` words that is no word now belongs to the class of its synonyms then: while the words were
    "horse, pony", fixes of "pony" became those of "horse"; with "pony" alone they are those of "pony" again. With both
    words as classes they remain those of "horse".
    """
    names = view.result.class_names
    parse = core.text.vocabulary.parse_vocabulary
    groups = parse(view.run.request.words).classes
    found = {fold(word): one.name for one in groups for word in one.prompts if one.name in names}
    found |= {fold(name): name for name in names}
    for one in parse(earlier).classes:
        words = [fold(word) for word in one.prompts]
        now = next((found[word] for word in words if word in found), None)
        found |= {word: now for word in words if now is not None and word not in found}
    return found


def _cropped(run: Run) -> bool:
    """Return whether only the picture's centre is labelled: fixes are in shares of the labelled area."""
    return bool(core.presets.preset_by_name(run.key.preset).crop)


def _named(one: Fix) -> str | None:
    """Return the class that a fix assigns or removes."""
    return one.class_name or one.from_class


def _renamed(one: Fix, classes: Mapping[str, str]) -> Fix:
    """Return the same fix with the class name of a result."""
    given, taken = (name and classes[fold(name)] for name in (one.class_name, one.from_class))
    return replace(one, class_name=given, from_class=taken)


def not_applied(state: DisplayState, view: SegmentView) -> str:
    """Return plain text about the fixes that a state sets aside, and why; empty if there are none."""
    classes, cropped = _classes(view, state.run.request.words), _cropped(view.run)
    moved = any(one.cropped != cropped for one in state.aside)
    return _not_applied([one.fix for one in state.aside], moved, lambda one: _has_class(one, classes)).strip()


def _has_class(one: Fix, classes: Mapping[str, str]) -> bool:
    """Return whether a result with these words has the class of a fix, or needs none."""
    name = _named(one)
    return name is None or fold(name) in classes


def _not_applied(fixes: Sequence[Fix], moved: bool, has_class: Callable[[Fix], bool]) -> str:
    """Return sentences about fixes that are kept, but not applied to a result; empty if there are none.

    Args:
        fixes: such fixes.
        moved: True if the result labels another part of the picture.
        has_class: function that returns whether the result has the class of a fix.
    """
    if moved:
        return _kept(len(fixes), "another part of the picture is labelled")
    gone = list(dict.fromkeys(_named(one) for one in fixes if not has_class(one)))
    classless = sum(not has_class(one) for one in fixes)
    why = "it is no class now" if len(gone) == 1 else "they are no classes now"
    return _kept(classless, why, f" of {', '.join(map(repr, gone))}") + _kept(
        len(fixes) - classless, "SAM's weights are no longer here"
    )


def _kept(count: int, why: str, of: str = "") -> str:
    """Return a sentence about fixes that are kept, but not applied; empty if there are none."""
    if not count:
        return ""
    fixes = core.errors.counted(count, "fix", "fixes")
    return f" {fixes}{of} {'are' if count > 1 else 'is'} kept but not applied: {why}."


def apply_change(
    shown: DisplayState, request: Mapping[str, Any], refiner: str, mode: str, refinement: Refinement | None
) -> DisplayState:
    """Return the next displayed state.

    Args:
        shown: current displayed state.
        request: one of `refined` (true or false), `undo`, `redo`, `clear`, `fix` (as `Fix.as_dict`, without its SAM);
            sent by the browser, so the content may be anything.
        refiner: refiner of the boundaries; also the model for clicks and boxes if it is a SAM alone.
        mode: mode of a SAM refiner.
        refinement: refinement from the Refine tab, used if its run, refiner and mode are the same.

    Raises:
        UserError: an impossible request, or weights that are not on this machine.
    """
    for name, step in (("undo", shown.undo), ("redo", shown.redo), ("clear", shown.clear)):
        if request.get(name) is True:
            return step()
    if "refined" in request:
        if request["refined"] is not True:
            return replace(shown, refinement=None, coarse_by_hand=True)
        expect_available(refiner)
        new = Refinement(shown.run, refiner, mode_of(refiner, mode))
        known = refinement is not None and replace(refinement, keep=None) == new
        return replace(shown, refinement=refinement if known else new, coarse_by_hand=False)
    sam = refiner if refiner in core.refine.SAMS else core.refine.SAMS[0]
    expect_available(sam)
    entry = request.get("fix")
    with as_user_errors():
        fixes = core.refine.read_fixes([{**entry, "sam": sam} if isinstance(entry, Mapping) else entry])
    return shown.fixed(fixes[0])
