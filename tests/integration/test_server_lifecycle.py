"""Our own server comes up for root and for anybody else, and is gone when whoever started it is gone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from okto_change.demo import binaries
from okto_change.demo import server as own
from okto_change.demo.binaries import find
from okto_change.errors import Refused

STARTS = """
import sys, time
from okto_change.demo.server import start
server = start()
print(server.folder, server.port, flush=True)
time.sleep(60)
"""


def gone(path: Path, seconds: float = 60.0) -> bool:
    """Whether ``path`` vanishes within ``seconds``."""
    deadline = time.monotonic() + seconds
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not path.exists()


def test_a_server_answers_over_the_socket_and_over_tcp_and_leaves_nothing_behind() -> None:
    """Both doors lead to the same cluster; its folder is private and is removed."""
    with own.running() as server:
        for tcp in (False, True):
            with psycopg.connect(server.conninfo(tcp=tcp)) as connection:
                found = connection.execute("SELECT current_user, current_setting('TimeZone')").fetchone()
            assert found == ("postgres", "UTC")
        assert stat.S_IMODE(server.folder.stat().st_mode) & 0o077 == 0
    assert not server.folder.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.conninfo(tcp=True))


def test_the_port_is_kept_for_the_server_until_it_listens() -> None:
    """No other process is handed it meanwhile, and a server that reuses addresses, as PostgreSQL does, gets it."""
    with own._reserved_port() as port:
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            server.listen()


def test_tcp_asks_for_the_password() -> None:
    """Another account on the machine cannot walk in over loopback."""
    with own.running() as server, pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.conninfo(tcp=True), password="guess")


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_killed_parent_leaves_no_server_behind(way: signal.Signals) -> None:
    """The supervisor notices that the pipe ended and stops the server, whatever ended the parent."""
    with subprocess.Popen([sys.executable, "-c", STARTS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        folder, port = parent.stdout.readline().decode().split()
        postmaster = int((Path(folder) / "data" / "postmaster.pid").read_text().split()[0])
        parent.send_signal(way)
        parent.wait()
    assert gone(Path(folder))
    with pytest.raises(ProcessLookupError):
        os.kill(postmaster, 0)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres")


def test_a_kept_server_outlives_its_parent_and_stops_when_its_process_is_told_to() -> None:
    """``keep`` is for the demo that leaves everything running."""
    server = own.start()
    server.keep()
    with psycopg.connect(server.conninfo()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    os.kill(int(server.pid_file.read_text().split()[0]), signal.SIGINT)
    assert gone(server.pid_file)
    shutil.rmtree(server.folder)


def test_the_folders_that_belong_to_the_server_go_with_it(tmp_path: Path) -> None:
    """``remove`` names what else goes, for a demo that is killed."""
    other = tmp_path / "other"
    other.mkdir()
    with own.running(remove=(other,)):
        assert other.exists()
    assert not other.exists()


def test_a_server_that_cannot_start_says_what_its_log_says() -> None:
    """A setting that PostgreSQL refuses is told with PostgreSQL's own words, and the folder is removed."""
    with pytest.raises(Refused, match="did not start") as caught:
        own.start(settings={"shared_buffers": "a lot"})
    assert "shared_buffers" in str(caught.value.hint)
    assert caught.value.where is not None and not Path(caught.value.where).exists()


def test_no_programs_at_all_is_told_with_every_place_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names the extra to install and the variable to set."""
    monkeypatch.setattr(binaries, "PACKAGED", tmp_path)
    with pytest.raises(Refused, match="found no PostgreSQL") as caught:
        find("installed", {"PATH": str(tmp_path), "OKTO_TEST_PG_BIN": str(tmp_path)})
    assert [fault for fault in caught.value.faults if str(tmp_path) in fault]
    assert "OKTO_TEST_PG_BIN" in str(caught.value.hint)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends the server another account")
def test_root_lends_the_server_an_account_without_opening_folders_above(tmp_path: Path) -> None:
    """A folder that the account cannot reach is left alone; the cluster goes to a temporary folder."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with own.running(folder=closed / "server") as server:
        assert not server.folder.is_relative_to(closed)
        assert server.folder.stat().st_uid != 0
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends the server another account")
def test_programs_that_the_lent_account_cannot_reach_are_copied_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment in root's own home still serves the embedded PostgreSQL."""
    closed, embedded = tmp_path / "closed", find("embedded")
    closed.mkdir(mode=0o700)
    for part in embedded.parts:
        shutil.copytree(embedded.base / part, closed / part, symlinks=True)
    (closed / embedded.parts[0].parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(closed))
    with own.running("embedded") as server, psycopg.connect(server.conninfo()) as connection:
        assert server.binaries.folder.is_relative_to(server.folder)
        assert connection.info.server_version // 10_000 == embedded.major
