"""Pages without a layout, for machines and logs: plain lines, nothing to import. Everything is escaped as elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from okto_change.model import Ballot
from okto_change.report.escape import clean


def ballot(result: Ballot) -> str:
    """Return whether a change is cleared, what stands in its way, and every decision with its reason."""
    return "".join(f"{clean(line)}\n" for line in _ballot(result))


def _ballot(result: Ballot) -> Iterator[str]:
    said = "cleared" if result.cleared else "not cleared"
    yield f"{result.change} for {result.environment}: {said}"
    yield f"  digest {result.digest}"
    yield f"  risk {result.risk.value}" + "".join(f"; {reason}" for reason in result.risk_reasons)
    yield f"  rules {', '.join(result.rules) or 'none'}"
    yield from (f"  {need.have} of {need.need} {need.group}" for need in result.needs)
    yield from (f"  blocked: {reason}" for reason in result.blocks)
    yield from (f"  note: {note}" for note in result.notes)
    for line in result.decisions:
        counts = "counts" if line.counted else "does not count"
        yield f"  {line.decision} by {line.signer} {counts}: {line.reason} ({line.file})"
