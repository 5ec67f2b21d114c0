"""A PostgreSQL server of our own in a temporary folder, gone when the process that started it is gone, however it ends.

The server belongs to ``supervisor.py``, a process that waits on a pipe from here: leaving the ``with`` block, an
exception, SIGTERM, SIGHUP, SIGINT and SIGKILL all close the pipe, and the supervisor stops the server and removes the
folder. Root starts it as an unprivileged account, because PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from okto_change.demo import places, supervisor
from okto_change.demo.binaries import Binaries, Kind, find
from okto_change.errors import Refused

Auth = Literal["scram-sha-256", "trust"]

HURRY = {"fsync": "off", "full_page_writes": "off"}
SETTINGS = {"timezone": "UTC", "log_timezone": "UTC", "max_prepared_transactions": "10", "log_min_messages": "warning"}


@dataclass(frozen=True)
class Server:
    """A running server. Over the socket (a private folder) no password is asked for, over TCP as ``auth`` says."""

    binaries: Binaries
    folder: Path
    port: int
    sockets: Path
    process: subprocess.Popen[bytes] = field(repr=False)
    password: str = field(repr=False)
    user: str = "postgres"

    def parameters(self, database: str = "postgres", *, tcp: bool = False) -> dict[str, str]:
        """Return the superuser's libpq parameters, password included, over the Unix socket or loopback TCP."""
        return {
            "host": "127.0.0.1" if tcp else str(self.sockets),
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": database,
        }

    def conninfo(self, database: str = "postgres", *, tcp: bool = False) -> str:
        """Return the same as a connection string."""
        return connection_string(self.parameters(database, tcp=tcp))

    @property
    def pid_file(self) -> Path:
        """``postmaster.pid``: its first line is the process to send SIGINT to."""
        return self.folder / "data" / "postmaster.pid"

    def stop(self) -> None:
        """Stop the server and remove its folder; safe to call twice."""
        self._close(b"")

    def keep(self) -> None:
        """Leave the server running and its folder in place after this process ends."""
        self._close(b"keep\n")

    def _close(self, message: bytes) -> None:
        pipe = self.process.stdin
        if pipe is None or pipe.closed:
            return
        try:
            pipe.write(message)
            pipe.close()
        except BrokenPipeError:
            pass
        self.process.wait()


@contextmanager
def running(
    kind: Kind = "auto",
    *,
    durable: bool = False,
    auth: Auth = "scram-sha-256",
    folder: Path | None = None,
    settings: Mapping[str, str] | None = None,
    remove: Sequence[Path] = (),
) -> Iterator[Server]:
    """Run a server for the length of the block; see ``start``."""
    server = start(kind, durable=durable, auth=auth, folder=folder, settings=settings, remove=remove)
    try:
        yield server
    finally:
        server.stop()


def start(
    kind: Kind = "auto",
    *,
    durable: bool = False,
    auth: Auth = "scram-sha-256",
    folder: Path | None = None,
    settings: Mapping[str, str] | None = None,
    remove: Sequence[Path] = (),
) -> Server:
    """Create a cluster and start it; the superuser is ``postgres``, encoding UTF8, locale C, time zone UTC.

    ``durable`` keeps fsync on. ``folder`` (empty or missing) holds the cluster if the server's account can reach it,
    else a temporary folder does. ``remove`` names further folders that go when the server goes. Raises Refused when no
    programs are found or the server does not come up.
    """
    account = places.lent_account()
    place = places.make_folder(folder, account)
    try:
        binaries = places.usable(find(kind), place, account)
        password = secrets.token_urlsafe(18)
        secret = places.secret_file(place, password, account)
        sockets = places.socket_folder(place, account)
        options = {**SETTINGS, **({} if durable else HURRY), **(settings or {})}
        with _reserved_port() as port:
            spec = {
                "folder": str(place),
                "remove": [str(each) for each in (place, sockets, *remove)],
                "prepare": [_initdb(binaries, place, auth, secret)],
                "server": _postgres(binaries, place, port, sockets, options),
                "user": account and account.user,
                "group": account and account.group,
                "environ": {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(place), "LC_ALL": "C", "TZ": "UTC"},
                "timeout": 60,
            }
            process = _supervise(spec)
        secret.unlink()
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return Server(binaries, place, port, sockets, process, password)


def _supervise(spec: Mapping[str, object]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(supervisor.__file__)), json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    assert process.stdout is not None and process.stdin is not None
    with process.stdout as answers:
        answer = answers.readline().decode(errors="replace").strip()
    if answer != "ready":
        process.stdin.close()
        process.wait()
        raise Refused("PostgreSQL did not start", where=spec["folder"], hint=answer.removeprefix("failed ") or None)
    return process


def _initdb(binaries: Binaries, place: Path, auth: Auth, secret: Path) -> list[str]:
    return [
        str(binaries.folder / "initdb"),
        "--pgdata",
        str(place / "data"),
        "--username=postgres",
        "--encoding=UTF8",
        "--locale=C",
        "--auth-local=trust",
        f"--auth-host={auth}",
        f"--pwfile={secret}",
        "--no-sync",
    ]


def _postgres(binaries: Binaries, place: Path, port: int, sockets: Path, options: Mapping[str, str]) -> list[str]:
    all_options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": _listed(sockets),
        **options,
    }
    settings = [part for key, value in all_options.items() for part in ("-c", f"{key}={value}")]
    return [str(binaries.folder / "postgres"), "-D", str(place / "data"), *settings]


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Give a port that no other process is handed until the block ends.

    A socket that is bound and does not listen keeps it; PostgreSQL may bind beside it, since both say SO_REUSEADDR (socket(7)).
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def connection_string(parameters: Mapping[str, str]) -> str:
    """Return libpq parameters as a connection string."""
    return " ".join(f"{name}={_quoted(value)}" for name, value in parameters.items())


def _quoted(value: str) -> str:
    """Quote a value for a libpq connection string."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _listed(folder: Path) -> str:
    """Quote a folder for ``unix_socket_directories``, a list of identifiers."""
    escaped = str(folder).replace('"', '""')
    return f'"{escaped}"'
