"""Temporary folders in memory: what tests make and throw away is thousands of small files, each database alone three hundred.

A file system on disk that has just seen many files go looks at each of them again before it gives a new one its place; that was
a fifth of all the processor time of the tests. ``TMPDIR``, where somebody set it, or ``--basetemp`` decide instead.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
ENOUGH = 4 << 30
"""Bytes that must be free, both in the folder's file system and of the machine's memory."""


def pytest_configure(config: pytest.Config) -> None:
    """Put temporary folders, those of servers and commands too, into memory if there is enough of it."""
    if "TMPDIR" not in os.environ and not config.option.basetemp and _serves(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def _serves(folder: Path) -> bool:
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    system = os.statvfs(folder)
    return (
        min(system.f_bavail * system.f_frsize, _memory()) >= ENOUGH
        and not system.f_flag & os.ST_NOEXEC  # tests run hooks and programs that they have put there
    )


def _memory() -> int:
    """Return the bytes of memory that are free or can be had, 0 where the system does not say so."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else 0
