"""The process that compiles apart: the same answers, errors raised here, and nothing that outlives whoever asks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from okto_change.errors import PlanError
from okto_change.pipeline.apart import Apart
from okto_change.plan import read

ASKER = """
import os, signal, sys
from okto_change.pipeline.apart import Apart
apart = Apart()
print(apart.call(os.getpid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def apart() -> Iterator[Apart]:
    """Begin a process, and end it."""
    found = Apart()
    yield found
    found.close()


def gone(process: int) -> bool:
    """Whether a process that is no child of ours has ended, given a few seconds."""
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_work_is_done_by_one_other_process(apart: Apart) -> None:
    """It answers as often as it is asked."""
    found = apart.call(os.getpid)
    assert found not in (os.getpid(), 0)
    assert apart.call(os.getpid) == found
    assert apart.call(max, (1, 3, 2)) == 3


def test_an_error_is_raised_here_as_if_the_work_was_done_here(apart: Apart) -> None:
    """With everything that it says, and the process goes on answering."""
    with pytest.raises(PlanError) as here:
        read.load("2026-11-22-x", {"plan.yaml": b"format: 2\n"})
    with pytest.raises(PlanError) as there:
        apart.call(read.load, "2026-11-22-x", {"plan.yaml": b"format: 2\n"})
    assert (there.value.message, there.value.faults) == (here.value.message, here.value.faults)
    assert apart.call(os.getpid) != os.getpid()


def test_what_cannot_be_told_to_another_process_is_done_here(apart: Apart) -> None:
    """A function without a name, then one with."""
    assert apart.call(lambda: os.getpid()) == os.getpid()
    assert apart.call(os.getpid) == os.getpid()


def test_when_the_process_is_killed_the_work_is_done_here(apart: Apart) -> None:
    """Nobody notices but by the time that it takes."""
    os.kill(apart.call(os.getpid), signal.SIGKILL)
    assert apart.call(max, (1, 3, 2)) == 3
    assert apart.call(os.getpid) == os.getpid()


def test_what_it_will_need_is_imported_without_an_answer(apart: Apart) -> None:
    """Modules that are not there trouble nobody, and answers stay in order."""
    apart.prepare(("rich.table", "okto_change.nowhere"))
    assert apart.call(max, (1, 3, 2)) == 3
    apart.close()
    apart.prepare(("rich.table",))
    assert apart.call(os.getpid) == os.getpid()


def test_closing_leaves_no_process() -> None:
    """Nobody waits for its end, and not even a zombie is left when the next one has begun; closing twice does nothing."""
    apart = Apart()
    process = apart.call(os.getpid)
    apart.close()
    apart.close()
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    Apart().close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_it_does_not_outlive_an_asker_that_is_killed() -> None:
    """Its pipe is closed by the system, and that ends it."""
    asked = subprocess.run([sys.executable, "-c", ASKER], stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert asked.returncode == -signal.SIGKILL
    assert gone(int(asked.stdout))


def test_ctrl_c_is_for_the_process_that_asks(apart: Apart) -> None:
    """A terminal sends it to both."""
    process = apart.call(os.getpid)
    os.kill(process, signal.SIGINT)
    assert apart.call(os.getpid) == process
