"""Results -> pages for a terminal, each a pure function of the result and a `Look`."""

from okto_change.report.text.author import check, init, lock, new, show
from okto_change.report.text.board import status
from okto_change.report.text.decide import ballot, debt, decided, request, reviews
from okto_change.report.text.dryrun import dry_run, dry_run_made
from okto_change.report.text.outcome import audit, doctor, log, outcome, undo_ballot, undo_preview
from okto_change.report.text.pause import pause
from okto_change.report.text.purge import purge
from okto_change.report.text.trash import trash
from okto_change.report.text.trust import policy_check, policy_signed, trust

__all__ = [
    "audit",
    "ballot",
    "check",
    "debt",
    "decided",
    "doctor",
    "dry_run",
    "dry_run_made",
    "init",
    "lock",
    "log",
    "new",
    "outcome",
    "pause",
    "policy_check",
    "policy_signed",
    "purge",
    "request",
    "reviews",
    "show",
    "status",
    "trash",
    "trust",
    "undo_ballot",
    "undo_preview",
]
