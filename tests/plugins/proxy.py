"""A TCP proxy in front of PostgreSQL that can cut, delay, and lose a COMMIT or its answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum

import pytest
from psycopg.conninfo import make_conninfo

from tests.plugins.server import Cluster


class OnCommit(Enum):
    """What the proxy does when a client sends COMMIT."""

    PASS = "pass it on"
    HOLD = "pass it on, hold the answer until release()"
    LOSE_ANSWER = "pass it on, cut when the answer comes"
    LOSE_REQUEST = "cut instead of passing it on"
    LATE = "cut the client, pass it on after `late` seconds"


class Proxy:
    """Listens on a loopback port and passes bytes to and from ``address`` (host, port)."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.on_commit = OnCommit.PASS
        self.delay = 0.0
        """seconds before each chunk in either direction"""
        self.late = 2.0
        """seconds that a COMMIT stays on its way when it is LATE"""
        self.refusing = False
        """whether new connections are closed at once"""
        self.commits = 0
        """COMMITs seen so far"""
        self._address = address
        self._released = threading.Event()
        self._pairs: list[_Pair] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def conninfo(self, conninfo: str) -> str:
        """Return ``conninfo`` with this proxy in place of its server, without encryption."""
        return make_conninfo(
            conninfo, host="127.0.0.1", hostaddr="", port=self.port, sslmode="disable", gssencmode="disable"
        )

    def cut(self) -> None:
        """Break every open connection, as a network does: no goodbye to either side."""
        for pair in self._pairs:
            pair.close()
        self._pairs.clear()

    def release(self) -> None:
        """Let held answers go."""
        self._released.set()

    def close(self) -> None:
        """Stop listening and break what is open."""
        self.release()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            pair = _Pair(client, socket.create_connection(self._address), self)
            self._pairs.append(pair)
            pair.start()

    def saw_commit(self, pair: _Pair) -> bool:
        """Note a COMMIT on its way to the server; return whether it may pass."""
        self.commits += 1
        if self.on_commit is OnCommit.LOSE_REQUEST:
            pair.close()
            return False
        if self.on_commit is OnCommit.LATE:
            pair.cut_client()
            time.sleep(self.late)
            return True
        pair.committing = self.on_commit is not OnCommit.PASS
        return True

    def answer(self, pair: _Pair) -> bool:
        """Decide about an answer that follows a COMMIT; return whether it may pass."""
        if self.on_commit is OnCommit.LOSE_ANSWER:
            pair.close()
            return False
        self._released.wait()
        pair.committing = False
        return True


class _Pair:
    """One client's connection and ours to the server, with a thread for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket, proxy: Proxy) -> None:
        self._client, self._server, self._proxy = client, server, proxy
        self._messages = _Messages()
        self.committing = False

    def start(self) -> None:
        """Begin to pass bytes on."""
        for source, sink, may_pass in (
            (self._client, self._server, self._request),
            (self._server, self._client, self._answer),
        ):
            threading.Thread(target=self._pump, args=(source, sink, may_pass), daemon=True).start()

    def cut_client(self) -> None:
        """Break the client's connection only; the server hears nothing of it yet."""
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Break both connections."""
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _pump(self, source: socket.socket, sink: socket.socket, may_pass: Callable[[bytes], bool]) -> None:
        with suppress(OSError):
            while chunk := source.recv(65_536):
                time.sleep(self._proxy.delay)
                if not may_pass(chunk):
                    break
                sink.sendall(chunk)
        self.close()

    def _request(self, chunk: bytes) -> bool:
        return not self._messages.commits(chunk) or self._proxy.saw_commit(self)

    def _answer(self, _chunk: bytes) -> bool:
        return not self.committing or self._proxy.answer(self)


class _Messages:
    """Cuts a client's bytes into protocol messages; knows a COMMIT when it sees one."""

    def __init__(self) -> None:
        self._buffer = b""
        self._started = False

    def commits(self, chunk: bytes) -> bool:
        """Whether a Query or Parse message whose whole text is COMMIT ends in this chunk."""
        self._buffer += chunk
        found = False
        while (message := self._next()) is not None:
            kind, body = message
            text = body if kind == b"Q" else body.partition(b"\0")[2] if kind == b"P" else b""
            found |= text.partition(b"\0")[0].strip(b" ;").upper() == b"COMMIT"
        return found

    def _next(self) -> tuple[bytes, bytes] | None:
        head = 1 if self._started else 0
        if len(self._buffer) < head + 4:
            return None
        end = head + int.from_bytes(self._buffer[head : head + 4], "big")
        if len(self._buffer) < end:
            return None
        message = self._buffer[:head], self._buffer[head + 4 : end]
        self._buffer, self._started = self._buffer[end:], True
        return message


@pytest.fixture
def proxy(server: Cluster) -> Iterator[Proxy]:
    """Return a proxy in front of the test server."""
    running = Proxy(server.address)
    yield running
    running.close()
