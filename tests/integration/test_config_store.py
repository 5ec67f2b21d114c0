"""The file store: nothing outside the root, nobody overtaken, all or nothing, owner and mode kept."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from okto_change.config import descriptors, validate
from okto_change.config.store import FileStore
from okto_change.digest import sha256
from okto_change.errors import EditError, Stuck

OLD, NEW = b"a: 1\n", b"a: 2\n"
ROOT = os.geteuid() == 0
NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with ``conf/a.yaml`` in it, and a secret beside the root."""
    folder = tmp_path / "root"
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "a.yaml").write_bytes(OLD)
    (tmp_path / "secret.yaml").write_bytes(OLD)
    return folder


@pytest.fixture
def store(root: Path) -> FileStore:
    """Return a store over the root."""
    return FileStore(root)


def names(root: Path) -> list[str]:
    """Return every path below the root."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def python(tmp_path: Path, code: str) -> str:
    """Return a command line that runs ``code`` with the file as its argument."""
    script = tmp_path / "lint.py"
    script.write_text(code)
    return f"'{sys.executable}' '{script}' {{file}}"


def untouched(root: Path) -> bool:
    """Whether the file is as it was, and nothing was left beside it."""
    return names(root) == ["conf", "conf/a.yaml"] and (root / "conf/a.yaml").read_bytes() == OLD


def test_a_file_is_read_with_its_digest(store: FileStore) -> None:
    """The digest is what reviews and replacements are tied to."""
    assert store.read("conf/a.yaml") == (OLD, sha256(OLD))


def test_a_file_is_replaced_when_it_is_what_was_reviewed(store: FileStore, root: Path) -> None:
    """One file, new content, nothing left behind."""
    assert store.replace("conf/a.yaml", sha256(OLD), NEW) == sha256(NEW)
    assert (root / "conf/a.yaml").read_bytes() == NEW
    assert names(root) == ["conf", "conf/a.yaml"]


def test_a_file_that_somebody_changed_is_not_replaced(store: FileStore, root: Path) -> None:
    """Compare and swap: their content stays."""
    (root / "conf/a.yaml").write_bytes(b"a: 3\n")
    with pytest.raises(EditError, match="somebody changed the file"):
        store.replace("conf/a.yaml", sha256(OLD), NEW)
    assert (root / "conf/a.yaml").read_bytes() == b"a: 3\n"
    assert names(root) == ["conf", "conf/a.yaml"]


@pytest.mark.parametrize(
    "file",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../secret.yaml",
        "conf/../../secret.yaml",
        "conf/../conf/a.yaml",
        "./conf/a.yaml",
        "conf//a.yaml",
        "conf/",
        "conf/.",
        "conf/a.yaml/..",
        "conf/a.yaml\x00",
        "conf/a\n.yaml",
        "conf/\u202ea.yaml",
        "conf/\udcff.yaml",
    ],
)
def test_a_path_that_could_leave_the_root_is_refused(store: FileStore, root: Path, file: str) -> None:
    """Before anything is opened."""
    for act in (lambda: store.read(file), lambda: store.replace(file, sha256(OLD), NEW)):
        with pytest.raises(EditError, match=r"relative to the target's root|cannot be shown"):
            act()
    assert untouched(root)


def link_file(root: Path) -> str:
    """Put a link to the secret in the root."""
    (root / "conf/l.yaml").symlink_to(root.parent / "secret.yaml")
    return "conf/l.yaml"


def link_inside(root: Path) -> str:
    """Put a link to a file inside the root."""
    (root / "conf/l.yaml").symlink_to("a.yaml")
    return "conf/l.yaml"


def link_folder(root: Path) -> str:
    """Put a link to the folder around the root."""
    (root / "up").symlink_to(root.parent)
    return "up/secret.yaml"


def dangling(root: Path) -> str:
    """Put a link to nothing."""
    (root / "conf/l.yaml").symlink_to("gone.yaml")
    return "conf/l.yaml"


def fifo(root: Path) -> str:
    """Put a pipe, which would block whoever opens it."""
    os.mkfifo(root / "conf/p.yaml")
    return "conf/p.yaml"


def hard(root: Path) -> str:
    """Give the secret a second name in the root."""
    os.link(root.parent / "secret.yaml", root / "conf/h.yaml")
    return "conf/h.yaml"


def folder(root: Path) -> str:
    """Name a folder."""
    return "conf"


def gone(root: Path) -> str:
    """Name nothing."""
    return "conf/gone.yaml"


def under_a_file(root: Path) -> str:
    """Name something below a file."""
    return "conf/a.yaml/b.yaml"


def large(root: Path) -> str:
    """Put a file over the limit."""
    with (root / "conf/big.yaml").open("wb") as file:
        file.truncate(8 * 1024 * 1024 + 1)
    return "conf/big.yaml"


def long_name(root: Path) -> str:
    """Name a file with too long a name."""
    return "x" * 300


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (link_file, "symbolic link"),
        (link_inside, "symbolic link"),
        (link_folder, "symbolic link"),
        (dangling, "symbolic link"),
        (fifo, "no regular file"),
        (hard, "2 names"),
        (folder, "no regular file"),
        (gone, "not there"),
        (under_a_file, "no folder"),
        (large, "8,388,608"),
        (long_name, "too long"),
    ],
)
def test_what_is_no_plain_file_is_refused(
    store: FileStore, root: Path, make: Callable[[Path], str], problem: str
) -> None:
    """Links, pipes, folders, second names, giants; what they lead to is not touched."""
    file = make(root)
    before = names(root)
    for act in (lambda: store.read(file), lambda: store.replace(file, sha256(OLD), NEW)):
        with pytest.raises(EditError, match=problem) as caught:
            act()
        assert str(caught.value.where) == file
    assert (root.parent / "secret.yaml").read_bytes() == OLD
    assert names(root) == before


def test_a_root_that_is_a_link_is_resolved_once(root: Path, tmp_path: Path) -> None:
    """Where it led then is where the files are, whatever it leads to later."""
    (tmp_path / "link").symlink_to(root)
    store = FileStore(tmp_path / "link")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path)
    assert store.read("conf/a.yaml")[0] == OLD


@pytest.mark.parametrize("name", ["gone", "secret.yaml"])
def test_a_root_that_is_no_folder_is_refused(tmp_path: Path, root: Path, name: str) -> None:
    """At once, not at the first file."""
    with pytest.raises(EditError, match="cannot be used"):
        FileStore(tmp_path / name)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755, 0o4750])
def test_owner_and_mode_are_kept(store: FileStore, root: Path, mode: int) -> None:
    """As they were, special bits too."""
    path = root / "conf/a.yaml"
    if ROOT:
        os.chown(path, 1234, 2345)
    path.chmod(mode)
    before = path.stat()
    store.replace("conf/a.yaml", sha256(OLD), NEW)
    after = path.stat()
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino


def test_a_replacement_is_never_readable_by_more_people_than_the_file(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is being written only we may read it."""
    modes: list[int] = []
    fill = descriptors.fill

    def spied(handle: int, content: bytes) -> None:
        modes.append(os.fstat(handle).st_mode & 0o777)
        fill(handle, content)

    monkeypatch.setattr(descriptors, "fill", spied)
    (root / "conf/a.yaml").chmod(0o666)
    store.replace("conf/a.yaml", sha256(OLD), NEW)
    assert modes == [0o600]


@pytest.fixture
def ordinary() -> Iterator[Path]:
    """Act as somebody who is not root, in a folder of their own, with a file of root's in it if that can be done."""
    folder = Path(tempfile.mkdtemp(prefix="okto-ordinary-"))
    (folder / "a.yaml").write_bytes(OLD)
    (folder / "theirs.yaml").write_bytes(OLD)
    if ROOT:
        os.chown(folder, NOBODY, NOBODY)
        os.chown(folder / "a.yaml", NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(os.getuid())
        os.setegid(os.getgid())
        shutil.rmtree(folder)


def test_an_ordinary_user_replaces_a_file_of_their_own(ordinary: Path) -> None:
    """No privilege is needed for that."""
    FileStore(ordinary).replace("a.yaml", sha256(OLD), NEW)
    assert (ordinary / "a.yaml").read_bytes() == NEW


def test_an_ordinary_user_cannot_take_over_the_file_of_another(ordinary: Path) -> None:
    """Their folder would allow the rename, but the owner would change; the test needs root to make such a file."""
    store = FileStore(ordinary)
    if not ROOT:
        assert (ordinary / "theirs.yaml").stat().st_uid == os.geteuid()
        store.replace("theirs.yaml", sha256(OLD), NEW)
        return
    with pytest.raises(EditError, match="only root or the file's owner"):
        store.replace("theirs.yaml", sha256(OLD), NEW)
    assert (ordinary / "theirs.yaml").read_bytes() == OLD
    assert names(ordinary) == ["a.yaml", "theirs.yaml"]


def test_a_folder_that_cannot_be_written_leaves_all_as_it_was(ordinary: Path) -> None:
    """The error says why."""
    ordinary.chmod(0o555)
    try:
        with pytest.raises(EditError, match="permission denied"):
            FileStore(ordinary).replace("a.yaml", sha256(OLD), NEW)
    finally:
        ordinary.chmod(0o755)
    assert names(ordinary) == ["a.yaml", "theirs.yaml"]


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "fchmod"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failing_disk_leaves_the_old_content_and_no_litter(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """Whatever fails before the rename, or the rename itself."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(EditError, match="cannot be used"):
        store.replace("conf/a.yaml", sha256(OLD), NEW)
    monkeypatch.undo()
    assert untouched(root)


def test_a_folder_that_cannot_be_synced_is_told_as_it_is(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new content is in place then, and nobody may call that unchanged."""
    fsync = os.fsync

    def fail_for_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    with pytest.raises(Stuck) as caught:
        store.replace("conf/a.yaml", sha256(OLD), NEW)
    assert "new content" in caught.value.state
    assert (root / "conf/a.yaml").read_bytes() == NEW


def test_the_content_is_on_disk_before_it_gets_its_name(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync of the file, rename, fsync of the folder, in this order."""
    seen: list[str] = []
    fsync, rename = os.fsync, os.rename

    def spied_fsync(handle: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def spied_rename(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        seen.append("rename")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(os, "rename", spied_rename)
    store.replace("conf/a.yaml", sha256(OLD), NEW)
    assert seen[-3:] == ["file", "rename", "folder"]


def between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do ``act`` once after the new file is written, before the last look."""
    keep = descriptors.keep_owner

    def then(old: int, new: int) -> None:
        keep(old, new)
        act()

    monkeypatch.setattr(descriptors, "keep_owner", then)


def test_a_change_in_the_last_moment_is_seen(store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is compared again right before the rename."""
    between(monkeypatch, lambda: (root / "conf/a.yaml").write_bytes(b"a: 3\n"))
    with pytest.raises(EditError, match="somebody changed the file"):
        store.replace("conf/a.yaml", sha256(OLD), NEW)
    assert (root / "conf/a.yaml").read_bytes() == b"a: 3\n"


def test_a_file_exchanged_in_the_last_moment_is_seen(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file with the same content may have another owner."""
    (root / "other").write_bytes(OLD)
    between(monkeypatch, lambda: (root / "other").rename(root / "conf/a.yaml"))
    with pytest.raises(EditError, match="somebody changed the file"):
        store.replace("conf/a.yaml", sha256(OLD), NEW)


def test_a_folder_exchanged_for_a_link_leads_nowhere_else(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classic race: conf/ becomes a link to somewhere else after it was looked at."""
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.yaml").write_bytes(OLD)

    def exchange() -> None:
        (root / "conf").rename(root / "moved")
        (root / "conf").symlink_to(elsewhere)

    between(monkeypatch, exchange)
    with pytest.raises(EditError):
        store.replace("conf/a.yaml", sha256(OLD), NEW)
    assert (elsewhere / "a.yaml").read_bytes() == OLD
    assert (root / "moved/a.yaml").read_bytes() == OLD
    assert names(root / "moved") == ["a.yaml"]


def test_two_replacements_at_once_end_with_one_winner(root: Path) -> None:
    """Of many that saw the same content, one replaces it; the others are told."""
    won: list[int] = []
    lost: list[EditError] = []

    def replace(number: int) -> None:
        try:
            FileStore(root).replace("conf/a.yaml", sha256(OLD), b"a: %d\n" % (number + 10))
            won.append(number)
        except EditError as error:
            lost.append(error)

    threads = [threading.Thread(target=replace, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 7
    assert (root / "conf/a.yaml").read_bytes() == b"a: %d\n" % (won[0] + 10)
    assert names(root) == ["conf", "conf/a.yaml"]


def test_a_folder_that_another_okto_change_holds_is_waited_for_in_vain(
    store: FileStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a while, then with a clear error."""
    monkeypatch.setattr(descriptors, "LOCK_WAIT", 0.1)
    held = os.open(root / "conf", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with pytest.raises(EditError, match="another okto-change"):
            store.replace("conf/a.yaml", sha256(OLD), NEW)
    finally:
        os.close(held)
    store.replace("conf/a.yaml", sha256(OLD), NEW)


def test_what_a_killed_process_left_is_swept_away(store: FileStore, root: Path) -> None:
    """Its half-written file is no longer anybody's; files of other names stay."""
    (root / "conf" / f"{descriptors.prefix('a.yaml')}0011.yaml").write_bytes(b"half")
    (root / "conf" / f"{descriptors.prefix('b.yaml')}0011.yaml").write_bytes(b"theirs")
    store.replace("conf/a.yaml", sha256(OLD), NEW)
    assert names(root) == ["conf", f"conf/{descriptors.prefix('b.yaml')}0011.yaml", "conf/a.yaml"]


def test_a_reader_sees_the_old_content_or_the_new_and_nothing_between(store: FileStore, root: Path) -> None:
    """Many replacements while somebody reads."""
    contents = [b"a: %d\n" % number * 5_000 for number in range(2)]
    (root / "conf/a.yaml").write_bytes(contents[0])
    seen: set[bytes] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.add((root / "conf/a.yaml").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(30):
        store.replace("conf/a.yaml", sha256(contents[turn % 2]), contents[(turn + 1) % 2])
    stop.set()
    reader.join()
    assert seen <= set(contents)


# ----------------------------------------------------------------------------------- validate


def test_the_validate_command_judges_the_new_file_beside_the_old_one(
    store: FileStore, root: Path, tmp_path: Path
) -> None:
    """It gets the path of the new content, with the same ending, and must end with 0."""
    check = python(
        tmp_path,
        "import sys, pathlib; p = pathlib.Path(sys.argv[1]);"
        f"assert p.read_bytes() == {NEW!r} and p.suffix == '.yaml' and (p.parent / 'a.yaml').exists()",
    )
    store.replace("conf/a.yaml", sha256(OLD), NEW, validate=check)
    assert (root / "conf/a.yaml").read_bytes() == NEW


def test_a_refusal_of_the_validate_command_is_shown_and_nothing_is_replaced(
    store: FileStore, root: Path, tmp_path: Path
) -> None:
    """With what it said, under the name that the person knows."""
    check = python(tmp_path, "import sys; print('line 1: bad value in', sys.argv[1]); sys.exit(3)")
    with pytest.raises(EditError, match=r"refused the file \(exit code 3\)") as caught:
        store.replace("conf/a.yaml", sha256(OLD), NEW, validate=check)
    assert caught.value.faults == ("line 1: bad value in conf/a.yaml",)
    assert untouched(root)


def test_a_validate_command_that_writes_is_refused(store: FileStore, root: Path, tmp_path: Path) -> None:
    """A formatter would put something in place that nobody reviewed."""
    check = python(tmp_path, "import sys; open(sys.argv[1], 'a').write('b: 1\\n')")
    with pytest.raises(EditError, match="changed the file that it was given"):
        store.replace("conf/a.yaml", sha256(OLD), NEW, validate=check)
    assert untouched(root)


def test_no_shell_reads_the_validate_command(store: FileStore, root: Path, tmp_path: Path) -> None:
    """What a shell would do with it is text here."""
    check = python(tmp_path, "import sys; sys.exit(sys.argv[2:] != ['$HOME;', 'touch', 'x', '`id`', '*', '>y'])")
    store.replace("conf/a.yaml", sha256(OLD), NEW, validate=f"{check} $HOME; touch x `id` * >y")
    assert names(root) == ["conf", "conf/a.yaml"]


def test_the_validate_command_sees_no_connection_strings(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets of the environment are not its business."""
    monkeypatch.setenv("LEDGER_DSN", "postgresql://user:secret@host/db")
    monkeypatch.setenv("PGPASSWORD", "secret")
    check = python(tmp_path, "import os, sys; sys.exit(any('secret' in value for value in os.environ.values()))")
    store.replace("conf/a.yaml", sha256(OLD), NEW, validate=check)


def test_a_validate_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """Its whole process group goes."""
    mark = tmp_path / "child"
    check = python(
        tmp_path,
        "import subprocess, time;"
        "child = subprocess.Popen(['sleep', '60']);"
        f"open({str(mark)!r}, 'w').write(str(child.pid)); time.sleep(60)",
    )
    with pytest.raises(EditError, match=r"did not end within 2 seconds"):
        validate.run(check, "x", "x", cwd=tmp_path, timeout=2.0)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and alive(int(mark.read_text())):
        time.sleep(0.02)
    assert not alive(int(mark.read_text()))


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("lint", "needs {file}"),
        ("{file}", "needs {file}"),
        ("", "needs {file}"),
        ("lint '{file}", "cannot be split"),
        ("/gone/lint {file}", "cannot be started: No such file"),
        ("/ {file}", "cannot be started"),
    ],
)
def test_a_validate_command_that_cannot_be_run_is_a_clear_error(
    store: FileStore, root: Path, command: str, problem: str
) -> None:
    """And nothing is replaced."""
    with pytest.raises(EditError, match=problem):
        store.replace("conf/a.yaml", sha256(OLD), NEW, validate=command)
    assert untouched(root)


def test_a_validate_command_that_is_killed_is_a_refusal(store: FileStore, root: Path, tmp_path: Path) -> None:
    """Out of memory is no approval."""
    check = python(tmp_path, f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")
    with pytest.raises(EditError, match="was ended by SIGKILL"):
        store.replace("conf/a.yaml", sha256(OLD), NEW, validate=check)
    assert untouched(root)


def test_a_long_output_is_shown_by_its_end(store: FileStore, tmp_path: Path) -> None:
    """Megabytes of it do not flood the error."""
    check = python(tmp_path, "import sys; print('x' * 10_000_000); print('the end'); sys.exit(1)")
    with pytest.raises(EditError) as caught:
        store.replace("conf/a.yaml", sha256(OLD), NEW, validate=check)
    assert caught.value.faults[-1] == "the end"
    assert sum(map(len, caught.value.faults)) <= validate.SHOWN


def test_content_is_checked_without_touching_the_root(store: FileStore, root: Path, tmp_path: Path) -> None:
    """A dry run has the command judge a copy elsewhere."""
    store.check("conf/a.yaml", NEW, python(tmp_path, f"import sys; assert open(sys.argv[1], 'rb').read() == {NEW!r}"))
    with pytest.raises(EditError, match="refused the file"):
        store.check("conf/a.yaml", NEW, python(tmp_path, "raise SystemExit(1)"))
    assert untouched(root)
