"""The page of a purge: what is gone, what stays of it, which images must stay."""

from __future__ import annotations

from collections.abc import Sequence

from okto_change.model import Purge, PurgedImages
from okto_change.report import units
from okto_change.report.look import BAD, CARE, DIM, GOOD, STRONG, Cell, Look, Page

DAY = 86_400


def purge(result: Purge, look: Look) -> str:
    """Return what was (or would be) taken away, a line for each table or file of a run, and what was not and why."""
    page = Page()
    rows = sum(one.rows for one in result.images)
    runs = len({one.run for one in result.images})
    kept = (
        f"images are kept for {units.plural(result.keep // DAY, 'day') if result.keep >= DAY else f'{result.keep} s'}"
    )
    if not result.images:
        page.line(("nothing to purge", GOOD), f"  {result.environment}, {kept}")
    elif result.dry_run:
        page.line(("WOULD PURGE", CARE), f"  {units.plural(rows, 'image')} of {units.plural(runs, 'run')}, {kept}")
    else:
        page.line(("PURGED", GOOD), f"  {units.plural(rows, 'image')} of {units.plural(runs, 'run')}, {kept}")
    for change, run in dict.fromkeys((one.change, one.run) for one in result.images):
        page.heading(change, (f"  run {run}", DIM))
        page.columns(_lines([one for one in result.images if (one.change, one.run) == (change, run)]))
    if result.images and not result.dry_run:
        page.gap()
        page.line("these runs cannot be rolled back any more; counts and digests stay, here and in the journal")
    if result.kept:
        page.heading("OLD ENOUGH, BUT MUST STAY")
        page.bullets(result.kept)
    if result.silent:
        page.heading("NOT REACHED")
        page.bullets(result.silent, style=BAD)
    return page.render(look)


def _lines(images: Sequence[PurgedImages]) -> list[list[Cell]]:
    """Return a line for each kind of images of a table: a run in chunks has thousands of digests, which `--json` lists."""
    kinds: dict[tuple[str, str, str], list[PurgedImages]] = {}
    for one in images:
        kinds.setdefault((one.target, one.object, one.part), []).append(one)
    return [
        [target, (name, STRONG), part, f"{sum(one.rows for one in some):,}", (_digest(some), DIM)]
        for (target, name, part), some in kinds.items()
    ]


def _digest(images: Sequence[PurgedImages]) -> str:
    return images[0].digest if len(images) == 1 else f"{len(images):,} digests, see --json"
