"""Small changes share one table of images: however many of them ran, no table, type or trigger is left behind."""

from __future__ import annotations

from benchmarks.small import CATALOGUES, run_many
from okto_change.database.session import Session


def test_a_hundred_fixes_leave_nothing_in_the_catalogue(database: str, session: Session) -> None:
    """Each runs through the engine with its images, journal and books; the catalogues have as many rows as after the first."""
    session.run("CREATE TABLE t (id int PRIMARY KEY, status text, tries int)")
    session.run("INSERT INTO t SELECT g, 'PENDING', 0 FROM generate_series(1, 100) AS g")
    _, left = run_many(database, 100)
    assert left == dict.fromkeys(CATALOGUES, 0)
    assert session.execute("SELECT min(tries), max(tries), count(*) FROM t WHERE tries > 0") == [(101, 101, 40)]
    before_and_after = 2
    assert session.execute("SELECT count(*) FROM okto_change.image") == [(before_and_after * 40 * 101,)]
