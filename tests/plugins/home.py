"""An empty home: no test sees the settings, keys, services or locale of whoever runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

UNSET = ("PG", "GIT_", "OKTO_", "SSH_")
"""Prefixes of variables that steer libpq, git, okto-change and the OpenSSH client."""
KEPT = ("OKTO_TEST_",)


def clean_environment(home: Path, environ: dict[str, str] | None = None) -> dict[str, str]:
    """Return ``environ`` (default: this process's) as somebody without any settings has it, at home in ``home``."""
    given = dict(os.environ) if environ is None else environ
    cleaned = {name: value for name, value in given.items() if not name.startswith(UNSET) or name.startswith(KEPT)}
    return cleaned | {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "PGSERVICEFILE": str(home / ".pg_service.conf"),
        "PGPASSFILE": str(home / ".pgpass"),
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home folder that HOME, XDG_*, git and libpq point to for the length of the test."""
    folder = tmp_path / "home"
    folder.mkdir()
    wanted = clean_environment(folder)
    for name in set(os.environ) - set(wanted):
        monkeypatch.delenv(name)
    for name, value in wanted.items():
        monkeypatch.setenv(name, value)
    return folder
