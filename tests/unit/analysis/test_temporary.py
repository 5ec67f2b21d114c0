"""What only makes, alters or drops temporary tables is told from DDL by its names."""

from __future__ import annotations

import pytest

from okto_change import analysis
from okto_change.model import Risk
from tests.unit.analysis.making import plan, step

MADE = "CREATE TEMP TABLE w (id integer);\n"


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        (MADE, ["temporary"]),
        ("CREATE TEMPORARY TABLE IF NOT EXISTS w ON COMMIT DROP AS SELECT 1", ["temporary"]),
        ("SELECT 1 AS id INTO TEMP w", ["temporary"]),
        ("SELECT 1 AS id INTO w", ["ddl"]),
        ("SELECT 1 AS id INTO local", ["ddl"]),
        (MADE + "CREATE INDEX ON w (id); ALTER TABLE w ADD COLUMN a text; DROP TABLE w", ["temporary"] * 4),
        (MADE + "DROP TABLE w; DROP TABLE w", ["temporary", "temporary", "ddl"]),
        (MADE + "CREATE INDEX ON t (id)", ["temporary", "ddl"]),
        (MADE + "DROP TABLE w, t", ["temporary", "ddl"]),
        (MADE + "CREATE INDEX ON public.w (id)", ["temporary", "ddl"]),
        (MADE + "CREATE INDEX CONCURRENTLY i ON w (id)", ["temporary", "ddl"]),
        ("SET LOCAL search_path = public, pg_temp;\n" + MADE + "DROP TABLE w", ["set", "ddl", "ddl"]),
        (
            MADE + "INSERT INTO w VALUES (1); UPDATE t SET a = 1 FROM w WHERE w.id = t.id",
            ["temporary", "insert", "update"],
        ),
    ],
)
def test_kinds(sql: str, kinds: list[str]) -> None:
    """Names that were made temporary, until they are dropped; with a search_path of the plan's own nothing is sure."""
    assert [statement.kind.value for statement in analysis.analyse(plan(step(sql))).statements] == kinds


def test_a_fix_that_gathers_rows_first_has_no_findings_and_no_more_risk() -> None:
    """Neither DDL mixed with data, nor an undeclared table, nor something dropped."""
    sql = (
        MADE
        + "INSERT INTO w (id) SELECT id FROM t WHERE id < 9;\nUPDATE t SET a = 1 WHERE id IN (SELECT id FROM w);\nDROP TABLE w;\n"
    )
    found = analysis.analyse(plan(step(sql, touches=("t",))))
    assert not {finding.code for finding in found.findings} & {"OC601", "OC602", "OC611", "OC208"}
    assert found.risk is Risk.LOW, found.risk_reasons
