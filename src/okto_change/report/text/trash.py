"""The page of what was put aside instead of dropped."""

from __future__ import annotations

from okto_change.model import Trash, TrashItem
from okto_change.report import units
from okto_change.report.look import BAD, DIM, GOOD, STRONG, Look, Page


def trash(found: Trash, look: Look) -> str:
    """Return what lies aside, by change, and the statements that an approved change needs to drop it for good."""
    page = Page()
    if not found.items:
        seen = ("nothing lies aside in what was reached", DIM) if found.silent else ("nothing lies aside", GOOD)
        page.line(seen, f"  {found.environment}")
    else:
        page.line(("PUT ASIDE", STRONG), f"  {found.environment}, {units.plural(len(found.items), 'object')}")
    for change, run in dict.fromkeys((one.change, one.run) for one in found.items):
        page.heading(change, (f"  run {run}", DIM))
        for one in found.items:
            if (one.change, one.run) == (change, run):
                _item(page, one)
    if found.items:
        page.gap()
        page.line("It stays until `okto-change rollback` of its change brings it back or an approved change drops it.")
        page.line("For that, write these statements into a step with `undo: {irreversible: reason}`:")
        page.listing("\n".join(f"{one.statement};" for one in found.items))
    if found.silent:
        page.heading("NOT REACHED")
        page.bullets(found.silent, style=BAD)
    return page.render(look)


def _item(page: Page, one: TrashItem) -> None:
    size = "" if one.bytes is None else f", {units.size(one.bytes)}"
    page.line(f"{one.target}  ", (one.object, STRONG), f"  since {units.moment(one.at)}{size}", indent=2)
    page.line((f"now {one.place}", DIM), indent=4)
