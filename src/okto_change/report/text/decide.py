"""Pages about decisions: what a person is about to sign, what was signed, every decision and why it counts or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from okto_change.model import (
    Ballot,
    BallotLine,
    Decided,
    DecisionRequest,
    DryRun,
    EditStep,
    Irreversible,
    Need,
    ReviewDebt,
    Reviews,
)
from okto_change.report import units
from okto_change.report.look import BAD, CARE, DIM, GOOD, STRONG, Cell, Look, Page
from okto_change.report.text import parts
from okto_change.report.text.dryrun import dry_run
from okto_change.report.verdict import objections

_NEEDED = ("(approvals): ",)
"""what the list of needs says already"""

_GIVEN = ("(submission): ",)
"""what is about to be given"""

SIGNED = {"submit": "submitted", "approve": "approved", "reject": "rejected", "revoke": "revoked"}


def request(asked: DecisionRequest, look: Look) -> str:
    """Return the page before a signature: plan, dry run, risk, warnings, and what is missing.

    Whoever speaks against a change signs no figures: the plan's head is enough to see that it is the right one.
    """
    page = Page()
    parts.add_place(page, asked.change, asked.environment, before=asked.decision.upper(), after=f"as {asked.person}")
    page.line((asked.lock.title, STRONG))
    page.facts([("reason", asked.reason), ("incident", asked.incident), ("author", asked.lock.author)])
    if asked.decision in ("reject", "revoke"):
        return page.render(look) + _signature(asked, look)
    evidence = _evidence(asked)
    if evidence is not None:
        return page.render(look) + "\n" + dry_run(evidence, look, whole=True) + _signature(asked, look)
    parts.add_risk(page, asked.lock.risk, asked.lock.risk_reasons)
    _steps(page, asked)
    why = "there is none" if asked.dry_run is None else f"the one on file is of another plan, {asked.dry_run.digest}"
    page.heading("NO DRY RUN  ", (f"{why}: neither row counts nor the undo are proven", BAD))
    return page.render(look) + _signature(asked, look)


def _evidence(asked: DecisionRequest) -> DryRun | None:
    # A dry run is a file that its author wrote: what will run, and its risk, are taken from the lock that is signed.
    lock, found = asked.lock, asked.dry_run
    if found is None or found.digest != lock.digest:
        return None
    return replace(
        found,
        change=lock.change,
        environment=lock.environment,
        title=lock.title,
        statements=lock.statements,
        steps=lock.steps,
        risk=lock.risk,
        risk_reasons=lock.risk_reasons,
    )


def _steps(page: Page, asked: DecisionRequest) -> None:
    for number, step in enumerate(asked.lock.steps, 1):
        page.heading(f"STEP {number}  {step.name}", (" → ", DIM), (step.target, ""))
        page.facts(parts.step_terms(step))
        if isinstance(step, EditStep):
            parts.add_settings(page, step)
        for place, statement in enumerate((s for s in asked.lock.statements if s.step == step.name), 1):
            page.gap()
            parts.add_statement(page, statement, f"{number}.{place}", "", most=None)


def _signature(asked: DecisionRequest, look: Look) -> str:
    page = Page()
    page.heading("WHAT YOU SIGN")
    page.line(("digest   ", DIM), asked.lock.digest)
    page.facts([("risk", asked.lock.risk.value), ("proof", _proof(asked)), ("dry run", _voucher(asked))], indent=0)
    page.bullets(asked.warnings, style=CARE)
    for_good = [step for step in asked.lock.steps if isinstance(step.undo, Irreversible)]
    page.bullets((f"{step.name}: {units.undo(step.undo)}" for step in for_good), style=BAD)
    if asked.ballot is not None:
        _needs(page, asked.ballot, _GIVEN if asked.decision == "submit" else ())
    return "\n" + page.render(look)


def _proof(asked: DecisionRequest) -> str:
    evidence = _evidence(asked)
    if evidence is None or evidence.rehearsal is None:
        return "none: not rehearsed"
    reasons = objections(evidence)
    return "; ".join(reasons) or f"{parts.written(evidence.rehearsal.writes)} · {evidence.rehearsal.undo}"


def _voucher(asked: DecisionRequest) -> str | None:
    if asked.dry_run is None:
        return None
    return (
        f"signed by {asked.dry_run_signed_by}" if asked.dry_run_signed_by else "unsigned: the word of who committed it"
    )


def decided(result: Decided, decision: str, look: Look) -> str:
    """Return what was signed and published, and what policy still asks for."""
    page = Page()
    page.line((SIGNED.get(decision, decision), GOOD), f"  {result.file}")
    page.line(("digest  ", DIM), result.digest, indent=2)
    if decision == "reject":
        page.line(
            ("it blocks the change where the policy gives you a veto; approving later takes it back", CARE), indent=2
        )
    elif decision == "revoke":
        page.line(("what was signed before does not count any more; a new version starts anew", CARE), indent=2)
    elif result.missing:
        page.line("still missing:", indent=2)
        page.bullets(result.missing, style=CARE)
    else:
        page.line(("nothing is missing: the change may be applied", GOOD), indent=2)
    return page.render(look)


def ballot(result: Ballot, look: Look) -> str:
    """Return every decision with whether it counts and why, then what is missing and who can give it."""
    page = Page()
    parts.add_place(page, result.change, result.environment)
    page.line((f"digest {result.digest}", DIM))
    page.line(
        ("risk ", DIM),
        (result.risk.value, parts.RISK_STYLE[result.risk]),
        ("  by rules ", DIM),
        ", ".join(result.rules) or "none",
    )
    page.bullets(result.risk_reasons)
    page.gap()
    page.table(
        ["", "who", "decision", "when", "why"],
        [_decision(line) for line in sorted(result.decisions, key=_moment)],
        indent=0,
    )
    if not result.decisions:
        page.line(("no decision yet", CARE))
    _needs(page, result)
    page.gap()
    may_run = (
        ("cleared, as soon as it is merged", CARE) if result.notes else ("cleared: the change may be applied", GOOD)
    )
    page.line(may_run if result.cleared else ("not cleared", BAD))
    page.bullets(result.notes, style=CARE)
    return page.render(look)


def _moment(line: BallotLine) -> datetime:
    return line.issued_at or datetime.max.replace(tzinfo=UTC)


def _decision(line: BallotLine) -> list[Cell]:
    counted = ("counts", GOOD) if line.counted else ("no", BAD)
    when = "" if line.issued_at is None else units.moment(line.issued_at)
    who = line.signer if line.issued_at is not None else line.file.rpartition("/")[2]
    said = f"{line.reason} - {line.comment}" if line.comment else line.reason
    return [counted, who, line.decision, when, said]


def _needs(page: Page, result: Ballot, told: tuple[str, ...] = ()) -> None:
    if result.needs:
        page.heading("NEEDED")
        page.columns([_need(need) for need in result.needs])
    blocks = [line for line in result.blocks if not any(one in line for one in (*_NEEDED, *told))]
    if blocks:
        page.heading("BLOCKED BY")
        page.bullets(blocks, style=BAD)


def debt(owed: ReviewDebt, look: Look) -> str:
    """Return what a person is about to say that it was looked at."""
    page = Page()
    parts.add_place(page, owed.change, owed.environment, before="REVIEW")
    page.facts(
        [
            ("broken by", owed.signer),
            ("when", units.moment(owed.at)),
            ("incident", owed.incident),
            ("reason", owed.reason),
            ("due", units.moment(owed.due)),
            ("digest", owed.digest),
        ]
    )
    page.line(("what it did: ", DIM), f"okto-change audit log --env {owed.environment} {owed.change}")
    page.columns([_need(need) for need in owed.needs])
    return page.render(look)


def reviews(result: Reviews, look: Look) -> str:
    """Return what was reviewed, and what is still owed."""
    page = Page()
    for file in result.files:
        page.line(("reviewed", GOOD), f"  {file}")
    if result.owed:
        page.line(f"still owed in {result.environment}:")
        page.bullets(result.owed, style=CARE)
    return page.render(look)


def _need(need: Need) -> list[Cell]:
    who = "" if need.met else "can still be given by " + (", ".join(need.candidates) or "nobody")
    return [(f"{need.have} of {need.need}", GOOD if need.met else CARE), need.group, who]
