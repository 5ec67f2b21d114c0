"""Sections that several pages share: findings, checks, risk, a statement, an edit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from okto_change.model import (
    Batch,
    CheckResult,
    EditPreview,
    EditStep,
    Finding,
    Phase,
    Risk,
    Severity,
    Statement,
    Step,
    TableWrites,
)
from okto_change.report import units
from okto_change.report.look import BAD, CARE, DIM, GOOD, STRONG, Cell, Page

SEVERITY_STYLE = {Severity.ERROR: BAD, Severity.WARNING: CARE, Severity.NOTE: DIM}
RISK_STYLE = {Risk.LOW: GOOD, Risk.MEDIUM: CARE, Risk.HIGH: BAD}
SEVERITIES = list(Severity)


def add_place(page: Page, change: str, environment: str, *, before: str = "", after: str = "") -> None:
    """Add the line that names a change and an environment."""
    words = [(f"{before}  " if before else "", DIM), (change, STRONG), (" → ", DIM), (environment, STRONG)]
    page.line(*words, f" {after}" if after else "")


def add_risk(page: Page, risk: Risk, reasons: Sequence[str]) -> None:
    """Add the risk and, a line each, why."""
    page.heading("RISK  ", (risk.value.upper(), RISK_STYLE[risk]))
    page.bullets(reasons)


def add_findings(page: Page, findings: Sequence[Finding]) -> None:
    """Add every finding, worst first, with its place, effect and remedy."""
    page.heading("FINDINGS  ", (tally(findings), ""))
    for finding in sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)):
        style = SEVERITY_STYLE[finding.severity]
        page.line((finding.severity.value, style), " ", (finding.code, STRONG), f"  {finding.title}", indent=2)
        where = str(finding.where)
        facts = [("where", where), ("what", finding.message), ("effect", finding.effect), ("remedy", finding.remedy)]
        page.facts(facts, indent=4)


def tally(findings: Sequence[Finding]) -> str:
    """Return how many findings there are of each severity: ``none``, ``1 error, 2 warnings``."""
    numbers = Counter(finding.severity for finding in findings)
    return ", ".join(units.plural(numbers[kind], kind.value) for kind in SEVERITIES if numbers[kind]) or "none"


def add_checks(page: Page, checks: Sequence[CheckResult]) -> None:
    """Add every check with what was expected and found."""
    page.heading("CHECKS")
    rows: list[list[Cell]] = [
        [(("ok", GOOD) if c.passed else ("FAIL", BAD)), (c.phase.value, DIM), c.name, expected(c)] for c in checks
    ]
    page.columns(rows or [[("none", CARE)]])


def expected(check: CheckResult) -> str:
    """Return what a check found, and what it expected where that differs."""
    same = check.expected == check.found
    if check.phase is Phase.INVARIANT:
        return f"same before and after: {check.found}" if same else f"before {check.expected}, after {check.found}"
    return f"found {check.found}, as expected" if same else f"expected {check.expected}, found {check.found}"


def add_statement(page: Page, statement: Statement, number: str, figure: str, *, most: int | None) -> None:
    """Add one statement: number, kind, tables, ``figure`` (rows, time), and the author's text with its line numbers."""
    tables = ", ".join(statement.writes or statement.reads)
    page.line((number, STRONG), "  ", (statement.kind.value.upper(), STRONG), f" {tables}  ", (figure, ""), indent=2)
    page.listing(statement.text, first=statement.where.line or 1, most=most)
    if statement.instead is not None:
        page.facts([("instead", statement.instead)], indent=4)
    if statement.data is not None:
        page.line(("data of the COPY", DIM), indent=4)
        page.listing(statement.data, most=most)


def add_edit(page: Page, edit: EditPreview) -> None:
    """Add one config edit: each path with its old and new value, then the unified diff."""
    moves: list[list[Cell]] = [[path, setting(old), ("→", DIM), setting(new)] for path, old, new in edit.changes]
    page.columns(moves, indent=4)
    page.gap()
    page.diff(edit.diff)


def step_terms(step: Step) -> list[tuple[str, str]]:
    """Return what a step declares, as label and text: undo, rows, tables, limits, or the file of an edit."""
    if isinstance(step, EditStep):
        return [("file", step.file), ("undo", units.undo(step.undo))]
    touches = "not declared" if step.touches is None else ", ".join(step.touches)
    limits = f"lock {units.duration(step.timeouts.lock)}, statement {units.duration(step.timeouts.statement)}"
    terms = [
        ("undo", units.undo(step.undo)),
        ("rows", units.bounds(step.rows)),
        ("touches", touches),
        ("waits", limits),
    ]
    return terms if step.batch is None else [*terms, ("chunks", _chunks(step.batch))]


def _chunks(batch: Batch) -> str:
    pause = f", {units.duration(batch.pause)} between two" if batch.pause else ""
    lag = "" if batch.max_lag is None else f", while no replica is more than {units.duration(batch.max_lag)} behind"
    return f"{batch.size:,} rows of {batch.table} each, by {batch.key}; a transaction each{pause}{lag}"


def add_settings(page: Page, step: EditStep) -> None:
    """Add what an edit sets and removes, a line a path."""
    lines: list[list[Cell]] = [[".".join(path), ("→", DIM), setting(value)] for path, value in step.set]
    page.columns(lines + [[".".join(path), ("→", DIM), "removed"] for path in step.remove], indent=4)


def add_writes(page: Page, writes: Sequence[TableWrites]) -> None:
    """Add the rows that each table gained, lost or changed, against what the plan declares."""
    page.heading("WRITES  ", (written(writes), ""))
    header = ["table", "inserted", "updated", "deleted", "imaged", "in touches"]
    page.table(header, [_write(table) for table in writes], right=(1, 2, 3, 4))


def _write(table: TableWrites) -> list[Cell]:
    figures = (table.inserted, table.updated, table.deleted, table.imaged)
    return [table.table, *(f"{figure:,}" for figure in figures), ("yes", GOOD) if table.declared else ("NO", BAD)]


def written(writes: Sequence[TableWrites]) -> str:
    """Return the size of a write set: ``74 rows in 2 tables``, ``no rows``."""
    total = sum(table.total for table in writes)
    return f"{units.plural(total, 'row')} in {units.plural(len(writes), 'table')}" if total else "no rows"


def setting(value: Any) -> str:
    """Return a config value as shown: ``absent`` for None, texts in quotes, the rest as JSON."""
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}'" if isinstance(value, str) else str(value)
