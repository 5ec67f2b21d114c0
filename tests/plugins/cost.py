"""``--cost``: processor seconds of each file and of the dearest tests, those of git, the server and every command included.

Wall time says what else the machine did; processor time hardly does. The whole tree of processes below this one counts: what
PostgreSQL spent for a test, and what a command that was started for it spent.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
SHOWN = 40
"""Tests and files in the table."""


def spent() -> float:
    """Return the processor seconds of this process and of everything below it so far, in seconds."""
    times: dict[int, tuple[int, int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile; its parent counts it
        times[int(file.parent.name)] = (int(fields[1]), sum(int(each) for each in fields[11:15]))
    return (
        sum(times[pid][1] for pid in _below(os.getpid(), {pid: parent for pid, (parent, _) in times.items()})) / TICKS
    )


def _below(root: int, parents: dict[int, int]) -> Iterator[int]:
    for pid in parents:
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above == root:
            yield pid


class Costs:
    """Adds up what each phase of a test cost; with several processes each measures and the first one adds up."""

    def __init__(self) -> None:
        self._last = spent()
        self._tests: dict[str, float] = defaultdict(float)
        self._files: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note in the report what was spent since the report before it."""
        report = yield
        now = spent()
        report.user_properties.append(("cpu", now - self._last))
        self._last = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up."""
        cost = float(str(dict(report.user_properties).get("cpu", 0)))
        self._tests[report.nodeid] += cost
        self._files[report.nodeid.partition("::")[0]] += cost

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the dearest files and tests."""
        terminalreporter.section(f"processor seconds: {sum(self._files.values()):.1f}")
        for costs in (self._tests, self._files):
            for name in sorted(costs, key=lambda name: -costs[name])[:SHOWN]:
                terminalreporter.write_line(f"{costs[name]:8.2f}  {name}")
            terminalreporter.write_line("")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--cost``."""
    parser.addoption("--cost", action="store_true", help="show the processor seconds of the dearest tests and files")


def pytest_configure(config: pytest.Config) -> None:
    """Measure if ``--cost`` was given."""
    if config.getoption("--cost"):
        config.pluginmanager.register(Costs(), "costs")
