"""The OpenSSH client's part: signing with ``ssh-keygen`` (key file, agent, hardware key) and its second opinion."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from okto_change.approval.sshkeys import ALGORITHMS, PublicKey
from okto_change.approval.sshsig import NAMESPACE
from okto_change.errors import KeyUnusable

PATIENCE = 120
"""seconds for a person to touch a key or type a passphrase"""
LONGEST = 30
"""seconds for a second opinion"""
AT_ONCE = 8
"""signatures that are asked about at once"""
_KEPT = (
    "PATH",
    "HOME",
    "USER",
    "TERM",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSH_SK_PROVIDER",
    "SSH_ASKPASS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
)


def sign(statement: bytes, key: Path | str, *, namespace: str = NAMESPACE, interactive: bool | None = None) -> bytes:
    """Return the armored signature over ``statement``; raises KeyUnusable with a hint.

    ``key`` is a private key file, a ``.pub`` file or a public key line; a public key is looked up in the agent first.
    ``interactive`` None asks for a passphrase only where there is a terminal.
    """
    import tempfile

    tool = _tool()
    with tempfile.TemporaryDirectory(prefix="okto-change-") as folder:
        file = _key_file(key, Path(folder))
        command = [tool, "-Y", "sign", "-q", "-f", str(file), "-n", namespace]
        asks = sys.stdin.isatty() and sys.stderr.isatty() if interactive is None else interactive
        try:
            done = subprocess.run(
                command,
                input=statement,
                stdout=subprocess.PIPE,
                stderr=None if asks else subprocess.PIPE,
                env=_environment(asks),
                start_new_session=not asks,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _unusable(key, "the key gave no answer", "touch it when it blinks, then try again") from error
    if done.returncode != 0 or not done.stdout:
        raise _explained(key, (done.stderr or b"").decode("utf-8", "replace"))
    return done.stdout


class Opinions:
    """Asks ``ssh-keygen -Y verify`` about signatures, several at once, while somebody does something else.

    Used in a ``with`` statement, which ends what still runs. Where there is no ssh-keygen, nobody has another opinion.
    """

    def __init__(self) -> None:
        self._tool = _which("ssh-keygen")
        self._asked: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Opinions:
        places = (os.environ.get("TMPDIR"), "/tmp", "/var/tmp", ".")  # noqa: S108
        place = next(place for place in places if place and os.access(place, os.W_OK))
        self._folder = Path(place, f"okto-change-{os.urandom(16).hex()}").absolute()
        self._folder.mkdir(mode=0o700)
        return self

    def __exit__(self, *given: object) -> None:
        for _, process in self._asked:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for file in self._folder.iterdir():
            file.unlink()
        self._folder.rmdir()

    def ask(self, name: str, statement: bytes, armor: bytes, key: PublicKey, namespace: str = NAMESPACE) -> None:
        """Begin to ask about a signature by ``key``, which ``name`` stands for."""
        if self._tool is None:
            return
        if len(self._asked) >= AT_ONCE:
            _agrees(self._asked[-AT_ONCE][1])
        base = self._folder / str(len(self._asked))
        signers, signature, content = (base.with_suffix(end) for end in (".signers", ".sig", ".json"))
        signers.write_text(f'signer namespaces="{namespace}" {key.line}\n', encoding="ascii")
        signature.write_bytes(armor)
        content.write_bytes(statement)
        command = [self._tool, "-Y", "verify", "-q", "-f", str(signers), "-I", "signer", "-n", namespace]
        with content.open("rb") as stdin:
            process = subprocess.Popen(
                [*command, "-s", str(signature)],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(False),
            )
        self._asked.append((name, process))

    def refused(self) -> tuple[str, ...]:
        """Wait for every answer; return the names of the signatures that ``ssh-keygen`` does not accept."""
        return tuple(name for name, process in self._asked if not _agrees(process))


def _agrees(process: subprocess.Popen[bytes]) -> bool:
    # Its end closes the pipe, which wakes us at once; to wait for a process with a limit, Python sleeps and looks.
    try:
        process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return False
    return process.returncode == 0


def second_opinion(statement: bytes, armor: bytes, key: PublicKey, namespace: str = NAMESPACE) -> bool | None:
    """Return what ``ssh-keygen -Y verify`` says of a signature by ``key``; None where there is no ssh-keygen."""
    if _which("ssh-keygen") is None:
        return None
    with Opinions() as opinions:
        opinions.ask("it", statement, armor, key, namespace)
        return not opinions.refused()


def agent_keys() -> tuple[str, ...]:
    """Return the public key lines that the running ssh-agent offers; nothing without an agent."""
    tool = _which("ssh-add")
    if tool is None or not os.environ.get("SSH_AUTH_SOCK"):
        return ()
    try:
        done = subprocess.run([tool, "-L"], capture_output=True, env=_environment(False), timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return ()
    return tuple(done.stdout.decode("utf-8", "replace").splitlines()) if done.returncode == 0 else ()


def _which(name: str) -> str | None:
    """Return the file on PATH that runs as ``name``, like ``shutil.which``, whose import costs more than the search."""
    paths = (os.path.join(folder, name) for folder in os.get_exec_path())
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def _tool() -> str:
    tool = _which("ssh-keygen")
    if tool is None:
        raise KeyUnusable("ssh-keygen is not installed; signing needs it", hint="install the OpenSSH client")
    return tool


def _key_file(key: Path | str, folder: Path) -> Path:
    text = str(key)
    if isinstance(key, str) and text.split(" ")[0] in ALGORITHMS:
        file = folder / "key.pub"
        file.write_text(text + "\n", encoding="utf-8")
        return file
    file = Path(text).expanduser().absolute()
    if not file.is_file():
        raise _unusable(key, "there is no such file", "name a key with --key, or make one: ssh-keygen -t ed25519")
    return file


def _environment(interactive: bool) -> Mapping[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"LC_ALL": "C"} | ({} if interactive else {"SSH_ASKPASS_REQUIRE": "never"})


_REASONS = (
    ("passphrase", "its passphrase could not be asked for", "add it to an agent first: ssh-add {key}"),
    ("bad permissions", "its file can be read by others", "run: chmod 600 {key}"),
    ("too open", "its file can be read by others", "run: chmod 600 {key}"),
    ("agent refused", "the agent refused to sign (a constrained key cannot)", "use another key with --key"),
    ("invalid format", "it is no OpenSSH key", "name an SSH key with --key"),
    ("load public key", "it is no OpenSSH key", "name an SSH key with --key"),
    ("No private key", "its private half is neither in the file nor in an agent", "add it to an agent: ssh-add"),
    ("device not found", "its security key is not plugged in", "plug the security key in and try again"),
    ("Permission denied", "its file cannot be read", "look at the owner of {key}"),
)


def _explained(key: Path | str, said: str) -> KeyUnusable:
    for sign_of, reason, hint in _REASONS:
        if sign_of.lower() in said.lower():
            return _unusable(key, reason, hint.format(key=_shown(key)))
    last = said.strip().splitlines()[-1] if said.strip() else "ssh-keygen gave no signature"
    return _unusable(key, last, "try by hand: ssh-keygen -Y sign -f KEY -n decision@okto-change FILE")


def _unusable(key: Path | str, reason: str, hint: str) -> KeyUnusable:
    return KeyUnusable(f"the key {_shown(key)} cannot sign: {reason}", hint=hint)


def _shown(key: Path | str) -> str:
    text = str(key)
    return f"{text[:57]}..." if text.split(" ")[0] in ALGORITHMS else text
