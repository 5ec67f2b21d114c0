"""The page of a pause that was asked for."""

from __future__ import annotations

from okto_change.model import PauseAsked
from okto_change.report import batches
from okto_change.report.look import CARE, Look, Page


def pause(asked: PauseAsked, look: Look) -> str:
    """Return what was asked of which run, how far it is, and how to go on."""
    page = Page()
    what = "the undo" if asked.undo else "the run"
    page.line(("ASKED TO PAUSE", CARE), f"  {what} stops before its next chunk")
    place = f"{asked.change} --env {asked.environment}"
    following = f"okto-change rollback {place}" if asked.undo else f"okto-change resume {asked.run}"
    far = None if asked.progress is None else batches.far(asked.progress)
    page.facts(
        [
            ("change", f"{asked.change} → {asked.environment}, on {asked.target}"),
            ("run", asked.run),
            ("so far", far),
            ("look", f"okto-change status --env {asked.environment}"),
            ("go on", following),
        ],
        indent=0,
    )
    return page.render(look)
