"""Who runs the server, and the folders it lives in: private to that account, without opening any folder above."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from okto_change.demo.binaries import Binaries
from okto_change.errors import Refused

ACCOUNTS = ("postgres", "nobody")
"""Accounts that root lends the server, first found."""
LONGEST_SOCKET = 90
"""Bytes of a socket folder's path that leave room for the socket's name on every system."""


@dataclass(frozen=True)
class Account:
    """Who runs the server: a user and group id."""

    user: int
    group: int


def lent_account() -> Account | None:
    """Return the account to lend when this is root, None when the server can run as who we are."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise Refused("root has no account to lend to PostgreSQL", hint=f"create the account {ACCOUNTS[0]}")


def make_folder(folder: Path | None, account: Account | None) -> Path:
    """Return ``folder``, created, if the account can reach it, else a temporary folder; the account owns either."""
    if folder is not None and (account is None or _reachable(folder.absolute().parent, account)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = folder.resolve()
    else:
        place = Path(tempfile.mkdtemp(prefix="okto-change-server-", dir=_temporary_root(account))).resolve()
    _give(place, account)
    return place


def _temporary_root(account: Account | None) -> Path:
    roots = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 -- mkdtemp makes a private folder in it
    for root in roots:
        if root.is_dir() and (account is None or _reachable(root, account)):
            return root
    raise Refused("no temporary folder can be reached by the server's account", where=roots[0], hint="set TMPDIR")


def _reachable(folder: Path, account: Account) -> bool:
    """Whether ``account`` may pass through every folder down to ``folder``."""
    resolved = folder.resolve()
    return all(_may_pass(each, account) for each in (resolved, *resolved.parents) if each.exists())


def _may_pass(folder: Path, account: Account) -> bool:
    found = folder.stat()
    if found.st_uid == account.user:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == account.group else 0o001))


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.user, account.group)


def usable(binaries: Binaries, place: Path, account: Account | None) -> Binaries:
    """Return ``binaries``, copied into ``place`` when the server's account may not run them where they are."""
    if account is None or _runs(binaries.folder / "initdb", account):
        return binaries
    base, copy = binaries.base, place / "programs"
    for part in binaries.parts:
        shutil.copytree(base / part, copy / part, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return replace(binaries, folder=copy / binaries.folder.relative_to(base), base=copy)


def _runs(program: Path, account: Account) -> bool:
    try:
        done = subprocess.run(
            [str(program), "--version"],
            user=account.user,
            group=account.group,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            timeout=10,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def socket_folder(place: Path, account: Account | None) -> Path:
    """Return a private folder for the Unix socket whose path is short enough for one."""
    if len(os.fsencode(place)) > LONGEST_SOCKET:
        folder = Path(tempfile.mkdtemp(prefix="okto-", dir="/tmp"))
        _give(folder, account)
        return folder
    return place


def secret_file(place: Path, password: str, account: Account | None) -> Path:
    """Write ``password`` for initdb, readable by the account only."""
    path = place / "password"
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(password + "\n")
    _give(path, account)
    return path
