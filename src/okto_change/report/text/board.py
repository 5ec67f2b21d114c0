"""The page of `status`: what runs, what is stuck and waits, each with the command that takes it on; what ended comes last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from okto_change.model import ChangeStatus, Concern, Silence, StatusBoard
from okto_change.report import units
from okto_change.report.look import BAD, CARE, DIM, GOOD, STRONG, Cell, Look, Page

STATE_STYLE = {
    "applied": GOOD,
    "cleared": GOOD,
    "undone": DIM,
    "rolled back": DIM,
    "refused": DIM,
    "running": CARE,
    "undoing": CARE,
    "committing": CARE,
    "committing the undo": CARE,
    "starting": CARE,
    "paused": CARE,
    "not cleared": CARE,
    "partly applied": BAD,
    "stuck": BAD,
    "conflict": BAD,
}
CONCERN_STYLE = {Concern.STUCK: BAD, Concern.ENDED: DIM}
RECENT = 10
"""changes that ended which the page shows, the latest; `--json` gives all"""


def status(board: StatusBoard, look: Look) -> str:
    """Return who gives no answer, how many changes ask for what, and each change under what it asks for."""
    page = Page()
    for silence in board.silent:
        _add_silence(page, silence)
    if not board.changes:
        page.line(("nothing was ever run or submitted, as far as can be seen", DIM))
        return page.render(look)
    page.line(*_totals(board.changes))
    for concern in Concern:
        found = [change for change in board.changes if change.concern is concern]
        if found:
            page.heading("", (concern.value.upper(), CONCERN_STYLE.get(concern, STRONG)))
            _add_changes(page, found if concern is not Concern.ENDED else found[:RECENT])
    rest = sum(change.concern is Concern.ENDED for change in board.changes) - RECENT
    if rest > 0:
        page.line((f"and {units.plural(rest, 'change')} that ended earlier: okto-change status --json", DIM))
    return page.render(look)


def standing(found: Sequence[ChangeStatus], look: Look, silent: Sequence[Silence] = ()) -> str:
    """Return who gives no answer, and where one change stands in each environment."""
    page = Page()
    for silence in silent:
        _add_silence(page, silence)
    _add_changes(page, found)
    if not found:
        page.line(("not locked for any environment yet: okto-change lock CHANGE --env ENVIRONMENT", DIM))
    return page.render(look)


def _totals(changes: Sequence[ChangeStatus]) -> list[Cell]:
    numbers = Counter(change.concern for change in changes)
    told = [
        (f"{numbers[one]:,} {one.value.split(':')[0]}", CONCERN_STYLE.get(one, "")) for one in Concern if numbers[one]
    ]
    return [cell for number, one in enumerate(told) for cell in ((", " if number else "", ""), one)]


def _add_silence(page: Page, silence: Silence) -> None:
    page.line((f"{silence.target} of {silence.environment} gives no answer", BAD), f": {silence.message}")
    page.facts([("hidden", silence.hides), ("next", silence.hint)])
    page.gap()


def _add_changes(page: Page, found: Sequence[ChangeStatus]) -> None:
    for one in found:
        style = STATE_STYLE.get(one.state.split(" (")[0], STRONG)
        when = "" if one.at is None else f"  {units.moment(one.at)}"
        page.line((one.change, STRONG), (" → ", DIM), one.environment, "  ", (one.state.upper(), style), (when, DIM))
        page.facts([("title", one.title), ("run", one.run), ("", one.detail), ("next", one.next)])
        page.bullets(one.missing, style=CARE)
        page.bullets(one.owed, style=CARE)
