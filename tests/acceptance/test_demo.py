"""``okto-change demo`` does what it tells, ends in time, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from okto_change.demo.stage import installed_command

FOLDERS = re.compile(r"(?:runs|lies) in (.+)\.$", re.MULTILINE)
SMALL = {"OKTO_DEMO_TRANSACTIONS": "2000"}


@contextmanager
def demo(*arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demo with its output in a pipe; kill it if the test leaves it running."""
    with subprocess.Popen(
        [*installed_command(), "demo", *arguments],
        env=os.environ | variables,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores Ctrl-C
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return what the demo wrote up to and with the line that holds ``text``."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            break
    return "".join(lines)


def folders(output: str) -> list[Path]:
    """Return the server's folder and the demo's, as the first lines name them."""
    return [Path(found) for found in FOLDERS.findall(output)]


def listens(port: int) -> bool:
    """Whether anybody listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def are_gone(paths: list[Path], seconds: float = 60.0) -> bool:
    """Whether all of ``paths`` vanish in time."""
    deadline = time.monotonic() + seconds
    while any(path.exists() for path in paths) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(path.exists() for path in paths)


def test_the_demo_walks_through_three_changes_and_cleans_up() -> None:
    """One change is applied and taken back, one is stopped before COMMIT, one approval dies; nothing is left.

    ``.ci/run`` plays it at its full size.
    """
    with demo(**SMALL) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert len(folders(output)) == 2 and are_gone(folders(output), 0.0)
    assert "undo proven:" in output
    assert output.count("(exit code 4)") == 1
    assert output.count("(exit code 3)") == 1
    stuck = [line.strip() for line in output.split("\n") if re.fullmatch(r" +(PENDING|RELEASED) \| \d+", line)]
    assert stuck == ["PENDING | 37", "RELEASED | 12", "RELEASED | 49", "PENDING | 37", "RELEASED | 12"]
    assert "acquirers.yaml is what it was, byte for byte" in output


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_demo_that_is_stopped_half_way_leaves_nothing_behind(way: signal.Signals) -> None:
    """Ctrl-C, a closed terminal, kill and kill -9."""
    with demo(**SMALL) as process:
        output = read_until(process, "== Change 1")
        process.send_signal(way)
        process.wait()
        assert len(folders(output)) == 2
        assert are_gone(folders(output))


def test_a_kept_demo_can_be_tried_and_stopped(tmp_path: Path) -> None:
    """The page's commands work in a plain shell; the script that it names stops and removes everything, or what a crash left."""
    folder = tmp_path / "kept here"
    with demo("--keep", str(folder), **SMALL) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    server = folders(output)[0]
    parts = [folder] if folder in server.parents else [folder, server]
    crashed = tmp_path / "as after kill -9"
    try:
        commands = ". ../env.sh && okto-change status --env production && okto-change audit verify --env production"
        tried = subprocess.run(["sh", "-c", commands], cwd=folder / "ana", capture_output=True, text=True, check=False)
        assert tried.returncode == 0, tried.stderr
        port = int((server / "data" / "postmaster.pid").read_text().split("\n")[3])
        assert listens(port)
        for number, part in enumerate(parts):
            subprocess.run(["cp", "-a", str(part), f"{crashed} {number}"], check=True)
    finally:
        subprocess.run([str(folder / "stop.sh")], check=True)
    assert not listens(port)
    assert are_gone([folder, server], 0.0)
    for number, part in enumerate(parts):
        Path(f"{crashed} {number}").rename(part)
    finds_its_server_gone(folder, server)


def finds_its_server_gone(folder: Path, server: Path) -> None:
    """After a kill -9 it says so and removes everything; who has the number of the process now is left alone."""
    left = server / "data" / "postmaster.pid"
    number = left.read_text().split("\n")[0]
    with subprocess.Popen(["sleep", "60"]) as other:
        left.write_text(left.read_text().replace(number, str(other.pid), 1))
        done = subprocess.run([str(folder / "stop.sh")], check=True, capture_output=True, text=True)
        assert other.poll() is None
        other.kill()
    assert (done.stdout, done.stderr) == ("the server was gone already\n", "")
    assert are_gone([folder, server], 0.0)


@pytest.mark.parametrize(("present", "missing"), [("git", "ssh-keygen"), ("ssh-keygen", "git")])
def test_a_demo_without_its_programs_says_which_are_missing(tmp_path: Path, present: str, missing: str) -> None:
    """Before anything is made."""
    (tmp_path / present).symlink_to(shutil.which(present) or "")
    with demo(PATH=str(tmp_path)) as process:
        output, _ = process.communicate()
    assert process.returncode == 1
    assert f"found no {missing} to show the demo with" in output and "next:  install git" in output


def test_keeping_in_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    """Nothing of the person's own is ever mixed with the demo's, or removed with it."""
    (tmp_path / "mine.txt").touch()
    with demo("--keep", str(tmp_path)) as process:
        output, _ = process.communicate()
    assert process.returncode == 2
    assert "is not an empty folder" in output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
