"""One shop for all tests of a module: small changes to work with, edits that are taken back, answers that must explain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.plugins import warm
from tests.plugins.server import Cluster
from tests.plugins.world import Answer, Shop, opened

PLAN = """\
format: 1
title: Set the daily limit of a merchant
reason: The merchant asked for it.
author: ana
parameters:
  merchant_id: {type: bigint, value: 7}
steps:
  - name: limit
    target: ledger
    sql: limit.sql
    rows: 1
    touches: [merchants, audit_log]
    undo: auto
checks:
  inside:
    - {name: the limit is set, target: ledger, sql: there.sql, expect: 1}
"""
SQL = """\
UPDATE merchants SET settings = jsonb_set(settings, '{daily_limit}', '500')
 WHERE id = {{ merchant_id }};
"""
CHECK = "SELECT count(*) FROM merchants WHERE id = {{ merchant_id }} AND settings ->> 'daily_limit' = '500'\n"
UNDO = "UPDATE merchants SET settings = settings - 'daily_limit' WHERE id = {{ merchant_id }};\n"


@pytest.fixture(scope="module")
def market(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, server: Cluster, payments_template: str
) -> Iterator[Shop]:
    """Return a shop that the tests of a module share; each of them has changes and rows of its own.

    In a module that says ``WARM = True`` its commands are forks of a process that has started.
    """
    folder = tmp_path_factory.mktemp("market") / "shop"
    with opened(folder, server, payments_template, warm=warm.wanted(request)) as fresh:
        yield fresh


def write_change(
    shop: Shop, change: str, *, merchant: int = 7, plan: str = PLAN, files: Mapping[str, str | bytes] | None = None
) -> Path:
    """Write a change that sets one merchant's limit, or another ``plan`` and other ``files``, into Ana's clone."""
    folder = shop.change("ana", change)
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[str, str | bytes] = {"limit.sql": SQL, "there.sql": CHECK}
    texts |= {"plan.yaml": plan.replace("value: 7}", f"value: {merchant}}}")} | dict(files or {})
    for name, text in texts.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def propose(shop: Shop, change: str, environment: str = "production") -> None:
    """Have Ana lock, dry-run, publish and submit a change of hers, whatever the dry run thinks of it."""
    shop.okto("ana", "lock", change, "--env", environment)
    shop.okto("ana", "dry-run", change, "--env", environment, expect=None)
    shop.world.publish("ana", f"Propose {change}")
    shop.okto("ana", "submit", change, "--env", environment)


@contextmanager
def edited(shop: Shop, path: str, old: str, new: str) -> Iterator[None]:
    """Publish an edit of a file in Ana's clone; publish the file as it was when the block is left."""
    file = shop.world.clone("ana") / path
    before = file.read_text(encoding="utf-8")
    assert old in before
    file.write_text(before.replace(old, new), encoding="utf-8")
    shop.world.publish("ana", f"Edit {path}")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")
        shop.world.publish("ana", f"Put {path} back")


def query(shop: Shop, sql: str, environment: str = "production") -> list[tuple[Any, ...]]:
    """Run somebody else's statement on an environment's database; return its rows."""
    with psycopg.connect(shop.world.dsn(environment), autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def limit_of(shop: Shop, merchant: int, environment: str = "production") -> str:
    """Return a merchant's daily limit."""
    return str(
        query(shop, f"SELECT settings ->> 'daily_limit' FROM merchants WHERE id = {merchant}", environment)[0][0]
    )


def explained(answer: Answer, code: int, *words: str) -> str:
    """Demand an error that says what happened, what state things are in and what to do next; return what was said."""
    said = answer.err
    assert answer.code == code, said
    assert said.count("error: ") == 1, said
    assert "\n  state: " in said, said
    assert "\n  next:  " in said, said
    assert "Traceback" not in said and "our bug" not in said, said
    for word in words:
        assert word in said, f"{word!r} is not in:\n{said}"
    return said


def document(answer: Answer) -> dict[str, Any]:
    """Return the only JSON document on stdout."""
    found = json.loads(answer.out)
    assert isinstance(found, dict)
    return found
