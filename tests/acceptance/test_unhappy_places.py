"""What is wrong around a change: repositories, people, disks and servers. Each answer tells what happened and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from okto_change.demo import example
from tests.plugins.market import document, explained, query, write_change
from tests.plugins.people import make_person
from tests.plugins.server import Cluster
from tests.plugins.world import Shop

WARM = True
CHANGE = "set-limit"
SANDBOX = ("--env", "sandbox")
NOBODY = 65534


@pytest.fixture(scope="module")
def locked(market: Shop) -> Shop:
    """Return a shop with a change that is published and locked for the sandbox, which needs no approval."""
    write_change(market, CHANGE)
    market.okto("ana", "lock", CHANGE, *SANDBOX)
    market.world.publish("ana", "A change")
    return market


# ------------------------------------------------------------------ repositories


def git(shop: Shop, *arguments: str) -> None:
    """Run git as Ana, anywhere."""
    command = ["git", "-c", "user.name=ana", "-c", "user.email=ana@example.org", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=shop.world.environ(), stdin=subprocess.DEVNULL)


def test_outside_of_a_repository_every_command_points_to_init(locked: Shop, tmp_path: Path) -> None:
    """Also for a folder that is not there."""
    for place in (tmp_path, tmp_path / "gone"):
        answer = locked.okto("ana", "-C", str(place), "status", expect=1)
        explained(answer, 1, "is not in a git work tree", "okto-change init")


def test_an_empty_repository_and_one_without_policy_say_what_to_commit(locked: Shop, tmp_path: Path) -> None:
    """First nothing, then a commit without a policy, then an empty remote."""
    repository = tmp_path / "empty"
    git(locked, "init", "--quiet", str(repository))
    run = ("-C", str(repository), "status")
    explained(locked.okto("ana", *run, expect=1), 1, "neither a remote nor a branch main", "commit the policy")
    git(locked, "-C", str(repository), "commit", "--quiet", "--allow-empty", "--message", "Begin")
    explained(locked.okto("ana", *run, expect=1), 1, "no policy .okto-change/policy/0001.yaml", "okto-change init")
    git(locked, "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    git(locked, "-C", str(repository), "remote", "add", "origin", str(tmp_path / "origin.git"))
    explained(locked.okto("ana", *run, expect=1), 1, "origin.git is empty", "okto-change init")


def test_the_first_change_of_a_new_repository_fits_its_policy(locked: Shop, tmp_path: Path) -> None:
    """What init and new write goes together; a target that no environment has is a fault without --env too."""
    at = ("-C", str(tmp_path / "fresh"))
    locked.okto(
        "ana", *at[:1], str(tmp_path), "init", "fresh", "--person", "ana", "--key", str(locked.world.key("ana"))
    )
    git(locked, *at, "add", "--all")
    git(locked, *at, "commit", "--quiet", "--message", "Begin a change repository")
    key = ("--key", str(locked.world.key("ana")))
    for template in ("data-fix", "stuck-settlement", "schema-change"):
        locked.okto("ana", *at, "new", f"A {template}", "--template", template, *key)
        assert " → production, sandbox\n" in locked.okto("ana", *at, "check", f"a-{template}").out
    locked.okto("ana", *at, "new", "An edit", "--template", "config-edit", *key)
    refused = locked.okto("ana", *at, "check", "an-edit", expect=1)
    explained(
        refused, 1, "no environment of the policy has all targets", "is for target 'routing'", "production has main"
    )


def test_a_policy_with_faults_names_their_lines(locked: Shop, tmp_path: Path) -> None:
    """All of them: a key of nobody, an unknown word, a password where none belongs."""
    repository = tmp_path / "faulty"
    git(locked, "clone", "--quiet", str(locked.world.folder / "origin.git"), str(repository))
    git(locked, "-C", str(repository), "remote", "remove", "origin")
    policy = repository / example.POLICY
    policy.write_text(policy.read_text().replace("dsn_env: SANDBOX_LEDGER", "dsn: x").replace("veto:", "vetoes:"))
    git(locked, "-C", str(repository), "commit", "--quiet", "--all", "--message", "Break it")
    answer = locked.okto("ana", "-C", str(repository), "check", CHANGE, expect=1)
    said = explained(answer, 1, "0001.yaml", "unknown key 'vetoes'", "did you mean 'veto'?", "protected branch")
    assert said.count("0001.yaml:") >= 3


def test_an_unreachable_remote_is_named_without_its_password(locked: Shop, tmp_path: Path) -> None:
    """The hint is a command that works."""
    clone = tmp_path / "clone"
    git(locked, "clone", "--quiet", str(locked.world.folder / "origin.git"), str(clone))
    for url in ("https://ana:s3cr3t@127.0.0.1:1/x.git", str(tmp_path / "gone.git")):
        git(locked, "-C", str(clone), "remote", "set-url", "origin", url)
        answer = locked.okto("ana", "-C", str(clone), "apply", CHANGE, *SANDBOX, expect=1)
        said = explained(answer, 1, "cannot be read", "git ls-remote origin")
        assert "s3cr3t" not in said


def test_a_change_that_was_not_pulled_yet_says_git_pull(locked: Shop) -> None:
    """It is on the protected branch; it was not begun anew."""
    answer = locked.okto("bruno", "check", CHANGE, expect=1)
    explained(answer, 1, "is on the protected branch, but not in this working tree", "git pull")
    explained(locked.okto("bruno", "approvals", CHANGE, *SANDBOX, expect=1), 1, "not in the commit at HEAD", "git pull")


# ------------------------------------------------------------------ people


@contextmanager
def without(shop: Shop, *settings: str) -> Iterator[None]:
    """Take git settings out of Ana's clone for a while."""
    before = {name: shop.world.git("ana", "config", name).strip() for name in settings}
    for name in settings:
        shop.world.git("ana", "config", "--unset", name)
    try:
        yield
    finally:
        for name, value in before.items():
            shop.world.git("ana", "config", name, value)


def test_without_a_key_nothing_is_signed_and_nothing_runs_where_people_count(locked: Shop, tmp_path: Path) -> None:
    """Exit code 3 for a key that is not there, has no public half, or is nobody's."""
    submit = ("submit", CHANGE, *SANDBOX)
    explained(locked.okto("ana", *submit, "--key", str(tmp_path / "none"), expect=3), 3, "there is no file", "--key")
    for command in ("apply", "rollback"):  # also where the policy asks for nobody: it would go by another name
        answer = locked.okto("ana", command, CHANGE, *SANDBOX, "--key", str(tmp_path / "none"), expect=3)
        explained(answer, 3, "there is no file")
    half = make_person(tmp_path, "half").key
    half.with_suffix(".pub").unlink()
    explained(locked.okto("ana", *submit, "--key", str(half), expect=3), 3, f"ssh-keygen -y -f {half}")
    with without(locked, "user.signingkey"):
        explained(locked.okto("ana", *submit, expect=3), 3, "no key of yours is in the policy", "--key FILE")


def test_without_key_and_git_user_a_new_change_asks_who_you_are(locked: Shop) -> None:
    """An author must be somebody of the policy; nothing is written."""
    with without(locked, "user.signingkey", "user.name", "user.email"):
        answer = locked.okto("ana", "new", "Nobody's change", expect=2)
    explained(answer, 2, "who are you?", "people: ana, bruno", "--key FILE")
    assert not list((locked.world.clone("ana") / "changes").glob("*nobody*"))


def test_init_that_is_refused_leaves_nothing_behind(locked: Shop, tmp_path: Path) -> None:
    """No key, no name, a place that cannot be; then it works."""
    empty = tmp_path / "home"
    empty.mkdir()
    place = str(tmp_path / "new" / "repository")
    alone = {"HOME": str(empty), "GIT_CONFIG_GLOBAL": str(empty / "none"), "SSH_AUTH_SOCK": ""}
    answer = locked.okto("ana", "init", place, "--person", "ana", expect=3, **alone)
    explained(answer, 3, "there is no SSH key to enrol", "ssh-keygen -t ed25519")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    answer = locked.okto("ana", "init", str(tmp_path / "file" / "x"), "--person", "ana", expect=1)
    explained(answer, 1, "cannot be made", "choose another folder")
    locked.okto("ana", "init", place, "--person", "ana", "--key", str(locked.world.key("ana")), expect=0, **alone)


# ------------------------------------------------------------------ disks


def test_a_file_where_a_folder_belongs_is_told_as_such(locked: Shop, tmp_path: Path) -> None:
    """In the change's folder, and where our own state goes."""
    write_change(locked, "no-room")
    (locked.change("ana", "no-room") / "locks").touch()
    answer = locked.okto("ana", "lock", "no-room", *SANDBOX, expect=1)
    explained(answer, 1, "changes/no-room/locks/sandbox.json cannot be written")
    shutil.rmtree(locked.change("ana", "no-room"))
    (tmp_path / "state").touch()
    answer = locked.okto("ana", "check", CHANGE, expect=1, XDG_STATE_HOME=str(tmp_path / "state"))
    explained(answer, 1, "cannot be made", "XDG_STATE_HOME")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_told_as_such(locked: Shop) -> None:
    """Nothing is half written."""
    folder = write_change(locked, "read-only")
    folder.chmod(0o555)
    try:
        answer = locked.okto("ana", "lock", "read-only", *SANDBOX, expect=1)
    finally:
        folder.chmod(0o755)
    explained(answer, 1, "changes/read-only/locks/sandbox.json cannot be written: Permission denied")


# ------------------------------------------------------------------ targets


def test_a_server_that_cannot_be_reached_is_explained_for_every_command(locked: Shop, tmp_path: Path) -> None:
    """Down, an unknown service, no service file, no DSN, one that cannot be read; passwords are never shown."""
    dry_run, apply = ("dry-run", CHANGE, *SANDBOX), ("apply", CHANGE, *SANDBOX)
    other = tmp_path / "services"
    other.write_text("[other]\nhost=127.0.0.1\n")
    for arguments, variables, words in (
        (dry_run, {"SANDBOX_LEDGER": "host=127.0.0.1 port=1 password=s3cr3t"}, ["is the server up"]),
        (apply, {"SANDBOX_LEDGER": ""}, ["SANDBOX_LEDGER is empty", "set SANDBOX_LEDGER"]),
        (apply, {"SANDBOX_LEDGER": "postgresql://u:s3cr3t@[::1"}, ["connection string cannot be read"]),
        (("audit", "log", "--env", "production"), {"PGSERVICEFILE": str(other)}, ["its service is not defined"]),
        (("rollback", CHANGE, "--env", "production"), {"PGSERVICEFILE": "/no/such/file"}, ["the service file"]),
    ):
        said = explained(locked.okto("ana", *arguments, expect=1, **variables), 1, "cannot connect to ledger", *words)
        assert "s3cr3t" not in said


def test_of_several_environments_the_one_that_is_silent_is_named(locked: Shop) -> None:
    """The others are shown all the same; exit code 1."""
    answer = locked.okto("ana", "status", "--json", expect=1, SANDBOX_LEDGER="host=127.0.0.1 port=1")
    (silent,) = document(answer)["silent"]
    assert (silent["environment"], silent["target"]) == ("sandbox", "ledger")
    assert "connection refused" in silent["message"]


def test_what_a_silent_journal_hides_is_not_said_to_be_nothing(locked: Shop) -> None:
    """Whether a run is known, what stands and what lies aside cannot be told; exit code 1, and what to do."""
    nowhere = {"SANDBOX_LEDGER": "host=127.0.0.1 port=1"}
    for command in ("resume", "pause"):
        answer = locked.okto("ana", command, "20261122-000000-00000000", expect=1, **nowhere)
        explained(answer, 1, "cannot be told", "the journal of sandbox gives no answer", "is the server up")
    explained(locked.okto("ana", "resume", "20261122-000000-00000000", expect=2), 2, "no journal knows a run")
    shown = locked.okto("ana", "show", CHANGE, expect=1, **nowhere).out
    assert "ledger of sandbox gives no answer" in shown and "NOT KNOWN" in shown and "never run" not in shown
    assert "never run" in locked.okto("ana", "show", CHANGE).out
    assert "in what was reached" in locked.okto("ana", "trash", *SANDBOX, expect=1, **nowhere).out


def test_a_config_root_that_is_not_there_is_no_missing_file(locked: Shop, tmp_path: Path) -> None:
    """The variable that names it is named; the doctor says the same."""
    gone = str(tmp_path / "gone")
    explained(
        locked.okto("ana", "dry-run", CHANGE, *SANDBOX, expect=1, SANDBOX_ROUTING=gone), 1, gone, "SANDBOX_ROUTING"
    )
    told = document(locked.okto("ana", "doctor", *SANDBOX, "--json", expect=1, SANDBOX_ROUTING=gone))["diagnoses"]
    assert [one["message"] for one in told if not one["ok"]] == [f"{gone} is no folder"]


@pytest.fixture
def guest(locked: Shop, server: Cluster) -> Iterator[str]:
    """Return the connection string of a role that may change rows of the sandbox, and nothing else."""
    role = f"okto_guest_{os.getpid()}"
    dsn = locked.world.dsn("sandbox")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'guest'".encode())
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}".encode())
    yield make_conninfo(dsn, user=role, password="guest")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {role} CASCADE".encode())
        connection.execute(f"DROP ROLE {role}".encode())


def test_a_role_without_privileges_is_told_which_by_the_doctor(locked: Shop, guest: str) -> None:
    """First CREATE is missing, then TRIGGER; each time nothing was changed, and doctor has the GRANT."""
    apply = ("apply", CHANGE, *SANDBOX)
    role = f"okto_guest_{os.getpid()}"
    query(locked, "DROP SCHEMA IF EXISTS okto_change CASCADE", "sandbox")
    answer = locked.okto("ana", *apply, expect=1, SANDBOX_LEDGER=guest)
    explained(answer, 1, "permission denied for database", "okto-change doctor")
    said = locked.okto("ana", "doctor", *SANDBOX, expect=1, SANDBOX_LEDGER=guest, COLUMNS="120").out
    assert f"CREATE SCHEMA okto_change AUTHORIZATION {role}" in " ".join(said.split())
    query(locked, f"CREATE SCHEMA okto_change AUTHORIZATION {role}", "sandbox")
    answer = locked.okto("ana", *apply, "--json", expect=1, SANDBOX_LEDGER=guest)
    told = document(answer)
    assert (told["result"], told["state"]) == ("refused", "nothing was changed")
    assert "public.merchants belongs to" in told["conflicts"][0] and "needs its owner" in told["conflicts"][0]
    said = locked.okto("ana", "doctor", *SANDBOX, expect=1, SANDBOX_LEDGER=guest, COLUMNS="120").out
    assert "no TRIGGER" in said and "GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON public.merchants" in " ".join(
        said.split()
    )
