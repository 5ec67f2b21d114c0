"""Load the payments database of the demo and the tests from ``payments.sql``."""

from __future__ import annotations

from importlib import resources

from okto_change.database.session import connect


def load(dsn: str, *, transactions: int = 200_000) -> None:
    """Fill the empty database at ``dsn`` (a libpq string) with ``transactions`` card payments and what hangs on them.

    The content is the same every time for the same number. Raises DatabaseError.
    """
    script = resources.files(__package__).joinpath("payments.sql").read_text(encoding="utf-8")
    with connect("payments", dsn) as session:
        session.run(f"SET okto.transactions = {int(transactions)}")
        session.run(script)
        session.run("VACUUM ANALYZE")
