"""Our own mirror: what is read comes from the remote, whatever the user's clone says or does."""

from __future__ import annotations

import os
import shutil
import threading
import zlib
from hashlib import sha256
from pathlib import Path

import pytest

from okto_change.approval import source, tree, trust
from okto_change.approval.objects import BadObject
from okto_change.approval.safegit import GitFailed, SafeGit, without_credentials
from okto_change.errors import NotAuthorised, PlanError, WorkspaceError
from tests.integration.approval_repos import CHANGE, POLICY, Scene, alarm, is_root, make_scene, policy_text, run
from tests.plugins.people import GitRepo, Keys

PLAN = f"changes/{CHANGE}/plan.yaml"


@pytest.fixture
def scene(git_repo: GitRepo, keys: Keys) -> Scene:
    """Return a repository with a policy and one change."""
    scene = make_scene(git_repo, keys)
    git_repo.commit("Add a change", {PLAN: "title: Fix\n", f"changes/{CHANGE}/fix.sql": "SELECT 1;\n"})
    return scene


def read_plan(scene: Scene) -> bytes:
    """Return the plan as trusted."""
    mirror = scene.mirror()
    return mirror.files(mirror.commit(mirror.protected_ref), f"changes/{CHANGE}/")[PLAN]


def test_files_of_a_folder_are_read_by_their_full_path(scene: Scene) -> None:
    """Only what lies under the folder, at one commit."""
    mirror = scene.mirror()
    commit = mirror.commit("refs/heads/main")
    assert set(mirror.files(commit, f"changes/{CHANGE}/")) == {PLAN, f"changes/{CHANGE}/fix.sql"}
    assert mirror.files(commit, "changes/fix") == {}
    assert commit == scene.repo.git("rev-parse", "HEAD")


def test_a_pinned_commit_stays_what_it_was(scene: Scene) -> None:
    """A branch that moves later changes nothing that was pinned."""
    mirror = scene.mirror()
    commit = mirror.commit("refs/heads/main")
    scene.repo.commit("Edit", {PLAN: "title: Other\n"})
    mirror.refresh()
    assert mirror.files(commit, f"changes/{CHANGE}/")[PLAN] == b"title: Fix\n"
    assert mirror.is_ancestor(commit, mirror.commit("refs/heads/main"))


def test_a_policy_on_a_feature_branch_has_no_effect(scene: Scene, keys: Keys) -> None:
    """Neither checked out, nor committed, nor pushed: only the protected branch counts."""
    scene.repo.git("switch", "--quiet", "--create", "feature")
    scene.repo.commit("Enrol myself", {POLICY: policy_text(keys.ana, keys.bruno, keys.mallory)})
    assert set(scene.policy().people) == {"ana", "bruno"}
    scene.repo.commit("Lower the bar", {POLICY: policy_text(keys.ana, need=1)}, push=False)
    assert set(scene.policy().people) == {"ana", "bruno"}


def test_an_unpushed_commit_on_main_has_no_effect(scene: Scene, keys: Keys) -> None:
    """The protected branch is the remote's, not the clone's."""
    scene.repo.commit("Enrol myself", {POLICY: policy_text(keys.ana, keys.mallory, approvers="ana")}, push=False)
    assert set(scene.policy().people) == {"ana", "bruno"}


def test_the_head_of_the_clone_can_be_read_on_request(scene: Scene) -> None:
    """For environments that play with unmerged plans."""
    commit = scene.repo.commit("Try", {PLAN: "title: Try\n"}, push=False)
    mirror = scene.mirror()
    assert mirror.head_commit() == commit
    assert mirror.files(commit, f"changes/{CHANGE}/")[PLAN] == b"title: Try\n"
    assert not mirror.is_ancestor(commit, mirror.commit("refs/heads/main"))


def test_the_highest_policy_is_the_current_one(scene: Scene, keys: Keys) -> None:
    """Old versions stay as a record."""
    second = policy_text(keys.ana, keys.bruno, need=2).replace("version: 1", "version: 2")
    scene.repo.commit("Tighten", {POLICY.replace("0001", "0002"): second})
    assert scene.policy().version == 2


def test_a_policy_for_another_branch_is_refused(scene: Scene, keys: Keys) -> None:
    """A policy says itself where it is to be trusted from."""
    text = policy_text(keys.ana, keys.bruno).replace("refs/heads/main", "refs/heads/trunk")
    scene.repo.commit("Move", {POLICY: text})
    with pytest.raises(NotAuthorised, match="refs/heads/trunk is protected, but stands on refs/heads/main"):
        scene.policy()


def test_without_a_policy_the_hint_says_how_to_begin(git_repo: GitRepo) -> None:
    """A fresh repository has none."""
    with pytest.raises(WorkspaceError, match="there is no policy") as caught:
        trust.read_policy(trust.open_mirror(git_repo.path))
    assert "okto-change init" in (caught.value.hint or "")


def harm(scene: Scene, folder: Path) -> Path:
    """Fill the clone's configuration and hooks with commands; return the file that any of them would leave."""
    script, fired = alarm(folder)
    for name in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "core.editor",
        "core.pager",
        "core.askPass",
        "credential.helper",
        "diff.external",
        "gpg.ssh.program",
        "gpg.program",
        "remote.origin.uploadpack",
        "remote.origin.receivepack",
        "remote.origin.proxy",
        "filter.evil.clean",
        "filter.evil.smudge",
        "uploadpack.packObjectsHook",
        "diff.evil.textconv",
    ):
        scene.repo.git("config", name, str(script))
    scene.repo.git("config", "protocol.ext.allow", "always")
    scene.repo.git("config", "core.attributesFile", str(folder / "attributes"))
    (folder / "attributes").write_text("* filter=evil diff=evil\n")
    (folder / "included").write_text(f"[core]\n\tfsmonitor = {script}\n\thooksPath = {folder}\n")
    scene.repo.git("config", "include.path", str(folder / "included"))
    hooks = scene.repo.path / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        "post-checkout",
        "reference-transaction",
        "pre-push",
        "pre-receive",
        "update",
        "post-update",
        "post-receive",
        "pre-auto-gc",
        "post-index-change",
        "push-to-checkout",
        "proc-receive",
    ):
        shutil.copy(script, hooks / name)
    return fired


def test_a_hostile_clone_runs_nothing_and_changes_nothing(scene: Scene, tmp_path: Path) -> None:
    """Configuration, includes, filters and hooks of the clone have no effect, in reading and in publishing."""
    scene.repo.git("rev-parse", "HEAD")
    fired = harm(scene, tmp_path)
    assert read_plan(scene) == b"title: Fix\n"
    assert scene.mirror().head_commit()
    scene.decide(scene.keys.ana, "submit")
    assert [decision.person for decision in scene.decisions()] == ["ana"]
    assert not fired.exists()
    scene.repo.git("status")
    assert fired.exists(), "plain git in this clone does run what was planted"


def test_a_hostile_clone_without_a_remote_runs_nothing(scene: Scene, tmp_path: Path) -> None:
    """Also where the clone is its own remote, fetched from and pushed into."""
    scene.repo.git("remote", "remove", "origin")
    fired = harm(scene, tmp_path)
    scene.repo.git("config", "--unset-all", "remote.origin.uploadpack")
    scene.repo.git("config", "--remove-section", "remote.origin")
    assert read_plan(scene) == b"title: Fix\n"
    scene.decide(scene.keys.ana, "submit")
    assert [decision.person for decision in scene.decisions()] == ["ana"]
    assert not fired.exists()


def test_a_rewritten_url_has_no_effect(scene: Scene, tmp_path: Path) -> None:
    """``insteadOf`` in the clone does not lead us elsewhere."""
    other = tmp_path / "other.git"
    run("git", "clone", "--quiet", "--bare", str(scene.repo.origin), str(other))
    expected = scene.mirror().commit("refs/heads/main")
    scene.repo.git("config", f"url.{other}.insteadOf", str(scene.repo.origin))
    scene.repo.commit("Push elsewhere", {PLAN: "title: Elsewhere\n"})
    assert scene.mirror().commit("refs/heads/main") == expected


@pytest.mark.parametrize("where", ["clone", "remote"])
def test_replacements_have_no_effect(scene: Scene, where: str) -> None:
    """A replace ref makes git show other bytes for an object; neither the clone's nor the remote's is obeyed."""
    place = scene.repo.path if where == "clone" else scene.repo.origin
    true = run("git", "-C", str(place), "rev-parse", f"main:{PLAN}").strip()
    (place / "evil").write_text("title: Evil\n")
    false = run("git", "-C", str(place), "hash-object", "-w", str(place / "evil")).strip()
    run("git", "-C", str(place), "replace", true, false)
    assert "Evil" in run("git", "-C", str(place), "show", f"main:{PLAN}")
    assert read_plan(scene) == b"title: Fix\n"


def test_a_replacement_in_the_mirror_itself_has_no_effect(scene: Scene) -> None:
    """Even with write access to the mirror's refs nothing is replaced."""
    mirror = scene.mirror()
    true = mirror.git.run("rev-parse", f"{mirror.commit('refs/heads/main')}:{PLAN}").decode().strip()
    false = mirror.git.run("hash-object", "-w", "--stdin", feed=b"title: Evil\n").decode().strip()
    mirror.git.run("update-ref", f"refs/replace/{true}", false)
    assert read_plan(scene) == b"title: Fix\n"


def test_a_forged_object_is_found_out(tmp_path: Path) -> None:
    """Content is hashed again: git itself would show a forged loose object."""
    run("git", "init", "--quiet", "--bare", str(tmp_path / "r.git"))
    git = SafeGit(tmp_path / "r.git")
    oid = git.run("hash-object", "-w", "--stdin", feed=b"fine\n").decode().strip()
    assert git.blobs([oid], 100) == {oid: b"fine\n"}
    file = tmp_path / "r.git" / "objects" / oid[:2] / oid[2:]
    file.chmod(0o644)
    file.write_bytes(zlib.compress(b"blob 5\0evil\n"))
    with pytest.raises(BadObject, match="does not hash to its name"):
        git.blobs([oid], 100)
    with pytest.raises(BadObject, match="is not there, or is no file"):
        git.blobs(["0" * 40], 100)


def test_a_forged_folder_is_found_out(tmp_path: Path) -> None:
    """A tree is hashed again too, so it leads to no other files than the commit says."""
    run("git", "init", "--quiet", "--bare", str(tmp_path / "r.git"))
    git = SafeGit(tmp_path / "r.git")
    blob = git.run("hash-object", "-w", "--stdin", feed=b"fine\n").decode().strip()
    oid = git.run("mktree", feed=f"100644 blob {blob}\tplan.yaml\n".encode()).decode().strip()
    assert [entry.oid for entry in git.objects.tree(oid)] == [blob]
    content = b"100644 plan.yaml\0" + bytes.fromhex(git.run("hash-object", "-w", "--stdin", feed=b"evil\n").decode())
    file = tmp_path / "r.git" / "objects" / oid[:2] / oid[2:]
    file.chmod(0o644)
    file.write_bytes(zlib.compress(b"tree %d\0%s" % (len(content), content)))
    with pytest.raises(BadObject, match="does not hash to its name"):
        SafeGit(tmp_path / "r.git").objects.tree(oid)


def test_a_flood_of_files_is_not_judged(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fills a folder costs a clear error, not the machine."""
    scene.repo.commit("Flood", {f"changes/{CHANGE}/{number}.sql": "x" for number in range(30)})
    mirror = scene.mirror()
    monkeypatch.setattr(tree, "MOST_ENTRIES", 20)
    with pytest.raises(NotAuthorised, match="more than 20 files and folders"):
        mirror.files(mirror.commit("refs/heads/main"), f"changes/{CHANGE}/")
    monkeypatch.setattr(tree, "MOST_HISTORY", 100)
    with pytest.raises(NotAuthorised, match="too long to be judged"):
        mirror.find_version(PLAN, "00" * 32)


@pytest.mark.parametrize(
    "name", ["commondir", "config.worktree", "info/attributes", "hooks", "objects/info/http-alternates"]
)
def test_files_by_which_git_would_go_elsewhere_are_refused(scene: Scene, name: str) -> None:
    """Another object store, other settings, a hook: ours has none of them."""
    place = scene.mirror().folder / name
    place.parent.mkdir(exist_ok=True, parents=True)
    place.write_text("x\n")
    with pytest.raises(WorkspaceError, match="changed by somebody else") as caught:
        scene.mirror()
    assert caught.value.faults == (name,)


def test_a_mirror_that_somebody_changed_is_refused(scene: Scene) -> None:
    """Borrowed objects, a cut history, other settings: the mirror is not ours any more."""
    folder = scene.mirror().folder
    for name in ("shallow", "info/grafts", "objects/info/alternates"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x\n")
        with pytest.raises(WorkspaceError, match="changed by somebody else"):
            scene.mirror()
        (folder / name).unlink()
    config = (folder / "config").read_bytes()
    (folder / "config").write_bytes(config + b"[core]\n\tfsmonitor = evil\n")
    with pytest.raises(WorkspaceError, match="changed by somebody else"):
        scene.mirror()
    shutil.rmtree(folder)
    assert read_plan(scene) == b"title: Fix\n"


def test_the_mirror_is_for_its_owner_alone(scene: Scene) -> None:
    """Others may neither read nor write it; a folder that others can write is refused."""
    folder = scene.mirror().folder
    state = folder.parent.parent
    assert [path.stat().st_mode & 0o777 for path in (state, folder)] == [0o700, 0o700]
    state.chmod(0o777)
    with pytest.raises(WorkspaceError, match="written by, somebody else"):
        scene.mirror()


def test_a_branch_that_goes_backwards_is_refused(scene: Scene) -> None:
    """A force-push could hide a rejection, or bring an old policy back."""
    old = scene.mirror().commit("refs/heads/main")
    scene.repo.git("reset", "--quiet", "--hard", "HEAD~1")
    scene.repo.git("push", "--quiet", "--force", "origin", "main")
    with pytest.raises(NotAuthorised, match=f"went backwards: {old[:12]} is not in the past"):
        scene.mirror()


def test_a_branch_of_decisions_that_vanishes_is_refused(scene: Scene) -> None:
    """Deleting the branch deletes no rejection."""
    scene.decide(scene.keys.ana, "submit")
    scene.mirror()
    scene.repo.git("push", "--quiet", "origin", ":okto-approvals")
    with pytest.raises(NotAuthorised, match=r"okto-approvals of .* was deleted"):
        scene.mirror()


def test_a_remote_that_is_down_is_told(scene: Scene) -> None:
    """Which remote, and what to try; what was fetched before can still be looked at."""
    scene.mirror()
    scene.repo.origin.rename(scene.repo.origin.with_name("gone.git"))
    with pytest.raises(GitFailed, match=r"origin\.git cannot be read") as caught:
        scene.mirror()
    assert "git ls-remote" in (caught.value.hint or "")
    assert caught.value.state == "nothing was changed"
    assert trust.open_mirror(scene.repo.path, fetch=False).commit("refs/heads/main")


def test_a_url_with_a_password_is_never_shown(scene: Scene) -> None:
    """A token in the URL stays out of messages."""
    scene.repo.git("remote", "set-url", "origin", "https://bot:t0ken@127.0.0.1:1/x.git")
    with pytest.raises(GitFailed) as caught:
        scene.mirror()
    told = f"{caught.value.message} {caught.value.hint} {caught.value.said}"
    assert "t0ken" not in told
    assert "https://127.0.0.1:1/x.git" in told
    assert without_credentials("see ssh://git@host/x and http://u:p@h/") == "see ssh://host/x and http://h/"


@pytest.mark.parametrize("url", ["ext::sh -c 'true'", "--upload-pack=x", "http://host/x", "git://host/x", "fd::3"])
def test_an_odd_url_is_refused(scene: Scene, url: str) -> None:
    """Only https, ssh and folders; nothing that could be an option or a command."""
    config = (scene.repo.path / ".git" / "config").read_text()
    (scene.repo.path / ".git" / "config").write_text(config.replace(f"url = {scene.repo.origin}", f'url = "{url}"'))
    with pytest.raises(WorkspaceError, match="a URL that is not used here"):
        scene.mirror()


@pytest.mark.parametrize("url", ["git@host.example:team/x.git", "ssh://git@host/x", "https://host/x.git"])
def test_a_usual_url_is_kept_as_it_is(scene: Scene, url: str) -> None:
    """What git calls a remote, we call a remote."""
    scene.repo.git("remote", "set-url", "origin", url)
    assert source.find(scene.repo.path).url == url


def test_a_repository_without_a_remote_works_by_itself(scene: Scene) -> None:
    """The clone's own main is then the protected branch, whatever is checked out."""
    scene.repo.git("remote", "remove", "origin")
    scene.repo.git("switch", "--quiet", "--create", "feature")
    text = policy_text(scene.keys.ana, scene.keys.mallory, approvers="ana")
    scene.repo.commit("Enrol myself", {POLICY: text}, push=False)
    assert set(scene.policy().people) == {"ana", "bruno"}
    scene.decide(scene.keys.ana, "submit")
    assert scene.repo.git("branch", "--list", "okto-approvals").strip() == "okto-approvals"
    assert [decision.person for decision in scene.decisions()] == ["ana"]


def test_amending_in_a_repository_without_a_remote_is_no_crime(scene: Scene) -> None:
    """One's own branch may be rewritten; there is nobody to hide anything from."""
    scene.repo.git("remote", "remove", "origin")
    assert read_plan(scene) == b"title: Fix\n"
    scene.repo.git("commit", "--quiet", "--amend", "--message", "Reword")
    assert scene.mirror().commit("refs/heads/main") == scene.repo.git("rev-parse", "main")


def test_the_protected_branch_is_the_remote_s_default(scene: Scene, keys: Keys) -> None:
    """A branch called main that somebody pushes is nothing if the forge says trunk."""
    scene.repo.git("branch", "trunk")
    scene.repo.git("push", "--quiet", "origin", "trunk")
    run("git", "-C", str(scene.repo.origin), "symbolic-ref", "HEAD", "refs/heads/trunk")
    assert scene.mirror().protected_ref == "refs/heads/trunk"


def test_an_empty_remote_is_told(tmp_path: Path, scene: Scene) -> None:
    """Before the first push there is nothing to trust."""
    run("git", "init", "--quiet", "--bare", str(tmp_path / "empty.git"))
    scene.repo.git("remote", "set-url", "origin", str(tmp_path / "empty.git"))
    with pytest.raises(WorkspaceError, match="is empty"):
        scene.mirror()


def test_a_work_tree_beside_the_clone_works(scene: Scene, tmp_path: Path) -> None:
    """``git worktree`` keeps its configuration in the main clone; HEAD is its own."""
    beside = tmp_path / "beside"
    scene.repo.git("worktree", "add", "--quiet", "-b", "feature", str(beside))
    other = GitRepo(beside, scene.repo.origin)
    commit = other.commit("Try", {PLAN: "title: Try\n"}, push=False)
    mirror = trust.open_mirror(beside)
    assert (mirror.folder, mirror.head_commit()) == (scene.mirror().folder, commit)


def test_outside_of_a_clone_the_hint_says_where_to_go(tmp_path: Path, home: Path) -> None:
    """Not every folder is a change repository."""
    with pytest.raises(WorkspaceError, match="is not in a git work tree"):
        trust.open_mirror(tmp_path)


def odd_trees() -> dict[str, tuple[str, str]]:
    """Return what may not be in a change: mode and path of an entry, and words of the fault."""
    return {
        "a symlink": (f"120000 changes/{CHANGE}/link", "a symbolic link"),
        "an executable": (f"100755 changes/{CHANGE}/run.sql", "an executable file"),
        "a space": (f"100644 changes/{CHANGE}/a b.sql", "use letters, digits"),
        "a hidden file": (f"100644 changes/{CHANGE}/.env", "use letters, digits"),
        "a control character": (f"100644 changes/{CHANGE}/a\x1b[2Jb", "use letters, digits"),
        "an odd letter": (f"100644 changes/{CHANGE}/f\u0131x.sql", "use letters, digits"),
        "a twin": (f"100644 changes/{CHANGE}/FIX.sql", "only in case"),
        "a long name": (f"100644 changes/{CHANGE}/{'x' * 200}", "at most 200 characters"),
    }


@pytest.mark.parametrize("kind", odd_trees())
def test_odd_entries_of_a_change_are_refused(scene: Scene, kind: str) -> None:
    """Only plain files with plain names are read; the fault names the file."""
    entry, words = odd_trees()[kind]
    mode, path = entry.split(" ", 1)
    blob = scene.repo.git("rev-parse", f"HEAD:{PLAN}")
    scene.repo.git("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}")
    scene.repo.git("commit", "--quiet", "--message", "Odd")
    scene.repo.git("push", "--quiet", "origin", "main")
    mirror = scene.mirror()
    with pytest.raises(PlanError) as caught:
        mirror.files(mirror.commit("refs/heads/main"), f"changes/{CHANGE}/")
    assert words in "\n".join(caught.value.faults)
    assert "\x1b" not in "\n".join(caught.value.faults)


def test_a_submodule_in_a_change_is_refused(scene: Scene) -> None:
    """A submodule is somebody else's repository."""
    head = scene.repo.git("rev-parse", "HEAD")
    scene.repo.git("update-index", "--add", "--cacheinfo", f"160000,{head},changes/{CHANGE}/sub")
    scene.repo.git("commit", "--quiet", "--message", "Odd")
    scene.repo.git("push", "--quiet", "origin", "main")
    mirror = scene.mirror()
    with pytest.raises(PlanError) as caught:
        mirror.files(mirror.commit("refs/heads/main"), f"changes/{CHANGE}/")
    assert "a submodule" in caught.value.faults[0]


def test_a_huge_change_is_refused_without_being_read(scene: Scene) -> None:
    """Sizes are known before contents."""
    big = {f"changes/{CHANGE}/{n}.sql": b"x" * 1_000_000 for n in range(9)}
    scene.repo.commit("Big", big | {f"changes/{CHANGE}/one.sql": b"x" * 1_100_000})
    mirror = scene.mirror()
    with pytest.raises(PlanError) as caught:
        mirror.files(mirror.commit("refs/heads/main"), f"changes/{CHANGE}/")
    assert "1100000 bytes; at most 1 MiB a file" in caught.value.faults[0]
    assert "8 MiB" in caught.value.faults[1]


def test_an_earlier_version_of_a_file_can_be_found_by_its_digest(scene: Scene) -> None:
    """What somebody approved then can be compared with what stands now."""
    mirror = scene.mirror()
    digest = sha256(b"title: Fix\n").hexdigest()
    scene.repo.commit("Edit", {PLAN: "title: Other\n"})
    mirror.refresh()
    assert mirror.find_version(PLAN, f"sha256:{digest}") == b"title: Fix\n"
    assert mirror.find_version(PLAN, "00" * 32) is None


def test_many_commands_at_once_share_one_mirror(scene: Scene) -> None:
    """The first command makes it, others wait or use it."""
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(read_plan(scene))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"title: Fix\n"] * 6


@pytest.mark.skipif(not is_root(), reason="only root can make a clone of another user's")
def test_root_on_a_clone_of_another_user_is_told_so(scene: Scene) -> None:
    """Git refuses such clones; we say so, and how to trust it."""
    for folder, _, files in os.walk(scene.repo.path):
        for name in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(name, 65_534, 65_534, follow_symlinks=False)
    with pytest.raises(GitFailed, match="belongs to another user") as caught:
        scene.mirror()
    assert f"safe.directory {scene.repo.path}" in (caught.value.hint or "")
    run("git", "config", "--global", "--add", "safe.directory", str(scene.repo.path))
    assert read_plan(scene) == b"title: Fix\n"
    assert scene.mirror().head_commit()
