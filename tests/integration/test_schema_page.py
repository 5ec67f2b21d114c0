"""The page about schema okto_change: every table, column and function of the schema as it is installed, and its questions run."""

from __future__ import annotations

import re

from okto_change.database import state
from okto_change.database.session import Session
from tests.plugins.docs import ROOT, Shown

pytest_plugins = ["tests.plugins.sessions"]
PAGE = "docs/reference/schema.md"

TABLES = """
SELECT c.relname::text, obj_description(c.oid, 'pg_class')
  FROM pg_class AS c WHERE c.relnamespace = 'okto_change'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY c.relname
"""
COLUMNS = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum)
  FROM pg_attribute AS a WHERE a.attrelid = %(name)s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
FUNCTIONS = """
SELECT p.proname::text, obj_description(p.oid, 'pg_proc')
  FROM pg_proc AS p WHERE p.pronamespace = 'okto_change'::regnamespace ORDER BY p.proname
"""


def cell(text: object) -> str:
    """Return a text for a cell of a Markdown table."""
    return str(text).replace("|", "\\|")


def test_the_page_lists_the_schema_as_it_is(session: Session, shown: Shown) -> None:
    """Names, types and comments of the database itself; a column without a comment would show as None."""
    state.ensure_schema(session)
    parts = []
    for name, comment in session.execute(TABLES):
        columns = session.execute(COLUMNS, {"name": f"okto_change.{name}"})
        rows = "".join(f"| `{column}` | {cell(kind)} | {cell(said)} |\n" for column, kind, said in columns)
        table = f"| column | type | meaning |\n| --- | --- | --- |\n{rows}\n" if rows else ""
        parts.append(f"### {name}\n\n{comment}\n\n{table}")
    truth = "".join(parts)
    assert "None" not in truth
    shown.check(PAGE, "tables", truth)
    functions = session.execute(FUNCTIONS)
    shown.check(PAGE, "functions", "".join(f"- `{name}()`: {comment}\n" for name, comment in functions))


def test_the_page_says_of_every_table_how_long_it_is_kept(session: Session) -> None:
    """Each is in one line of the table about that."""
    state.ensure_schema(session)
    told = re.findall(r"^\| (`.*?`) \| ", (ROOT / PAGE).read_text().split("## Put aside")[0], re.MULTILINE)
    named = [name for line in told for name in re.findall(r"`(\w+)`", line)]
    assert sorted(named) == [name for name, _ in session.execute(TABLES)]


def test_the_questions_of_the_page_can_be_asked(session: Session) -> None:
    """Its SQL runs on the schema as it is installed."""
    state.ensure_schema(session)
    (block,) = re.findall(r"```sql\n(.*?)```", (ROOT / PAGE).read_text(), re.DOTALL)
    questions = [text for text in block.split(";") if text.strip()]
    assert len(questions) == 4
    for text in questions:
        assert session.execute(text) == []
