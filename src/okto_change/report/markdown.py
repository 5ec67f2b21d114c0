"""A dry run as Markdown for a pull request. Whatever comes from outside stands in code, where it cannot be markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from okto_change.model import DryRun, EditPreview, Finding, Inverse, Rehearsal, RowChange
from okto_change.report import batches, units
from okto_change.report.escape import clean, clean_lines
from okto_change.report.text import parts
from okto_change.report.text.rows import SAMPLE, key
from okto_change.report.verdict import irreversible, objections


def dry_run(result: DryRun) -> str:
    """Return the page of ``result``: verdict, findings, statements, edits, writes, rows, checks, undo, plan digest."""
    sections = [
        f"### Dry run: {_code(result.change)} → {_code(result.environment)}",
        _code(result.title),
        _verdict(result),
        f"**Risk {result.risk.value}**" + "".join(f"\n- {_code(reason)}" for reason in result.risk_reasons),
        *(_finding(finding) for finding in result.findings),
        *(_fold(f"{s.step}: {s.kind.value} {', '.join(s.writes)}", _block(s.text, "sql")) for s in result.statements),
        *(_edit(edit) for edit in result.edits),
        *([] if result.rehearsal is None else _rehearsal(result.rehearsal)),
        *(
            ["Unmasked copies that the run will leave" + "".join(f"\n- {_code(line)}" for line in result.copies)]
            if result.copies
            else []
        ),
        f"Plan digest {_code(result.digest)}",
    ]
    return "\n\n".join(sections) + "\n"


def _verdict(result: DryRun) -> str:
    reasons = objections(result)
    if reasons:
        return "**Not ready**" + "".join(f"\n- {_code(reason)}" for reason in reasons)
    if result.rehearsal is None:
        return "Not rehearsed: row counts are estimates, and nothing proves that the undo works."
    figures = f"{parts.written(result.rehearsal.writes)} · {result.rehearsal.undo}"
    lines = [
        f"**Ready** · {_code(figures)}",
        *(f"- cannot be undone: {_code(line)}" for line in irreversible(result)),
    ]
    return "\n".join(lines)


def _finding(finding: Finding) -> str:
    head = f"**{finding.severity.value} {_code(finding.code)}** {_code(finding.title)} at {_code(str(finding.where))}"
    return "\n".join(
        [
            head,
            f"- {_code(finding.message)}",
            f"- effect: {_code(finding.effect)}",
            f"- remedy: {_code(finding.remedy)}",
        ]
    )


def _edit(edit: EditPreview) -> str:
    moves = [(path, parts.setting(old), parts.setting(new)) for path, old, new in edit.changes]
    return f"**{_code(edit.file)}**\n\n" + _table(["path", "old", "new"], moves) + "\n\n" + _block(edit.diff, "diff")


def _rehearsal(rehearsal: Rehearsal) -> list[str]:
    writes = [
        (w.table, str(w.inserted), str(w.updated), str(w.deleted), "yes" if w.declared else "NO")
        for w in rehearsal.writes
    ]
    checks = [("ok" if c.passed else "FAIL", c.phase.value, c.name, parts.expected(c)) for c in rehearsal.checks]
    took = f"Rehearsed at {units.moment(rehearsal.at)}, {units.duration(rehearsal.milliseconds)}, rolled back."
    large = "".join(f"\n- {_code(batches.expected(seen))}" for seen in rehearsal.batches)
    images = "".join(f"\n- images by {_code(captured)}" for captured in rehearsal.captures)
    images += f"\n- {units.held(rehearsal)}" if rehearsal.statements else ""
    left = "".join(f"\n- leaves behind: {_code(line)}" for line in rehearsal.left_behind)
    return [
        _table(["table", "inserted", "updated", "deleted", "in touches"], writes),
        *_samples(rehearsal.rows),
        _table(["", "phase", "check", "result"], checks),
        f"**{_code(str(rehearsal.undo))}**",
        *(_inverse(inverse) for inverse in rehearsal.inverses),
        took + large + images + left,
    ]


def _inverse(inverse: Inverse) -> str:
    text = "\n".join(f"{statement};" for statement in inverse.statements)
    return _fold(f"what a rollback of {inverse.steps} runs on {inverse.target}", _block(text, "sql"))


def _samples(rows: Sequence[RowChange]) -> list[str]:
    samples = []
    for table in dict.fromkeys(row.table for row in rows):
        lines = [line for row in [row for row in rows if row.table == table][:SAMPLE] for line in _row(row)]
        samples.append(_fold(f"rows of {table}", _table(["key", "column", "old", "new"], lines)))
    return samples


def _row(row: RowChange) -> list[tuple[str, ...]]:
    if row.before is None:
        return [(key(row), "new row", "", row.after or "")]
    if row.after is None:
        return [(key(row), "deleted", row.before, "")]
    return [(key(row), column, units.value(old), units.value(new)) for column, (old, new) in row.columns.items()]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_code(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _fold(title: str, body: str) -> str:
    named = clean(title).replace("&", "&amp;").replace("<", "&lt;").replace("@", "&#64;")
    return f"<details><summary>{named}</summary>\n\n{body}\n\n</details>"


def _block(text: str, language: str) -> str:
    lines = clean_lines(text)
    fence = "`" * max(3, _longest(text) + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])


def _code(text: str) -> str:
    shown = clean(text)
    if not shown:
        return ""
    fence = "`" * (_longest(shown) + 1)
    gap = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{gap}{shown}{gap}{fence}"


def _longest(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
