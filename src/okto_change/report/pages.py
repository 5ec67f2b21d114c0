"""Pages that another process may lay out: what they are made with is imported by whoever lays them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from okto_change.model import Outcome
    from okto_change.report.look import Look


def outcome(result: Outcome, look: Look) -> str:
    """Return the page of how a run ended."""
    from okto_change.report import text

    return text.outcome(result, look)
