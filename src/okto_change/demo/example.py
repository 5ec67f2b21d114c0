"""The example change repository that comes with okto-change: the policy and changes that the demo and the tests run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

RELEASE = "2026-11-22-release-stuck-settlements"
LEDGER = "2026-11-22-post-lost-ledger-entries"
LIMIT = "2026-11-22-raise-merchant-limit"
POLICY = Path(".okto-change/policy/0001.yaml")


def root() -> Path:
    """Return the folder that holds ``changes/`` and ``.okto-change/``: in the package, or the source tree's root."""
    packaged = Path(__file__).with_name("example")
    return packaged if packaged.is_dir() else Path(__file__).parents[3]


def policy(keys: Mapping[str, str]) -> str:
    """Return the example policy with other keys: ``keys`` maps each person to a public key line."""
    text = (root() / POLICY).read_text(encoding="utf-8")
    for person, line in keys.items():
        public = " ".join(line.split()[:2])
        text, found = re.subn(rf"(?m)^(  {person}:\n    keys:\n      - key: ).*$", rf"\g<1>{public}", text)
        if not found:
            raise ValueError(f"the example policy knows no {person}")
    return text


def write_policy(repository: Path, keys: Mapping[str, str]) -> Path:
    """Write the example policy with ``keys`` into ``repository``; return its file."""
    file = repository / POLICY
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(policy(keys), encoding="utf-8")
    return file


def copy_change(change: str, repository: Path, name: str | None = None) -> Path:
    """Copy the files that the author of ``change`` wrote into ``repository``, as ``name``; return the new folder."""
    folder = repository / "changes" / (name or change)
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted((root() / "changes" / change).iterdir()):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
    return folder
