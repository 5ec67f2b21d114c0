"""The fixtures that other tests stand on do what they say."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psycopg
import pytest

from tests.plugins.people import GitRepo, Keys
from tests.plugins.proxy import OnCommit, Proxy


def test_each_test_has_a_database_of_its_own(database: str) -> None:
    """It is empty, and the role is a superuser."""
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)
        assert connection.info.parameter_status("is_superuser") == "on"


def test_the_proxy_passes_cuts_and_refuses(database: str, proxy: Proxy) -> None:
    """A cut connection is broken for the client, and nothing new comes through while refusing."""
    with psycopg.connect(proxy.conninfo(database)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    proxy.refusing = True
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(proxy.conninfo(database))


def test_the_proxy_delays(database: str, proxy: Proxy) -> None:
    """Each direction waits."""
    with psycopg.connect(proxy.conninfo(database)) as connection:
        proxy.delay = 0.1
        began = time.monotonic()
        connection.execute("SELECT 1")
        assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(("way", "arrived"), [(OnCommit.LOSE_ANSWER, 1), (OnCommit.LOSE_REQUEST, 0)])
def test_the_proxy_loses_a_commit_or_its_answer(database: str, proxy: Proxy, way: OnCommit, arrived: int) -> None:
    """The client cannot tell the two apart; the database can."""
    with psycopg.connect(database, autocommit=True) as direct:
        direct.execute("CREATE TABLE t (a int)")
        with psycopg.connect(proxy.conninfo(database)) as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            proxy.on_commit = way
            with pytest.raises(psycopg.OperationalError):
                connection.commit()
        assert proxy.commits == 1
        time.sleep(0.2)
        assert direct.execute("SELECT count(*) FROM t").fetchone() == (arrived,)


def test_the_proxy_holds_the_answer_to_a_commit_until_released(database: str, proxy: Proxy) -> None:
    """The commit is done on the server while the client still waits."""
    proxy.on_commit = OnCommit.HOLD
    with psycopg.connect(database, autocommit=True) as direct, psycopg.connect(proxy.conninfo(database)) as connection:
        direct.execute("CREATE TABLE t (a int)")
        connection.execute("INSERT INTO t VALUES (1)")
        waiting = threading.Thread(target=connection.commit)
        waiting.start()
        limit = time.monotonic() + 60
        while direct.execute("SELECT count(*) FROM t").fetchone() != (1,):
            assert time.monotonic() < limit
        assert waiting.is_alive()
        proxy.release()
        waiting.join(60)
        assert not waiting.is_alive()


def test_a_repository_has_an_origin_and_an_isolated_home(git_repo: GitRepo, keys: Keys, home: Path) -> None:
    """Commits are Ana's and reach the bare origin; nothing of the machine's own git settings is seen."""
    commit = git_repo.commit("Add a file", {"a.txt": "a\n"})
    assert git_repo.git("ls-remote", str(git_repo.origin), "main").split()[0] == commit
    assert git_repo.git("log", "-1", "--format=%an") == "ana"
    assert keys.ana.public.startswith("ssh-ed25519 ") and keys.ana.public != keys.bruno.public
    assert list(home.iterdir()) == []
