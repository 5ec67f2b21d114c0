"""What was approved is what runs: whatever changed afterwards is refused, with the place where it changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.market import (
    CHECK,
    PLAN,
    SQL,
    UNDO,
    document,
    edited,
    explained,
    limit_of,
    propose,
    query,
    write_change,
)
from tests.plugins.people import make_person
from tests.plugins.world import Shop

WARM = True
CHANGE, ENV = "set-limit", ("--env", "production")
APPLY = ("apply", CHANGE, *ENV)
FOLDER = f"changes/{CHANGE}"
POLICY = ".okto-change/policy/0001.yaml"


def located(template: str, text: str, length: int) -> str:
    """Return how a difference of ``length`` bytes at ``text`` in the rendered template is announced."""
    rendered = template.replace("{{ merchant_id }}", "'7'::bigint")
    start = rendered.index(text)
    return f"bytes {start}-{start + length} of {len(rendered)} (line 1) differ: "


WITH_EDIT = PLAN.replace("undo: auto", "undo: undo.sql").replace(
    "checks:",
    """\
  - name: timeout
    target: routing
    edit: acquirers.yaml
    set: {acquirers.south.timeout_ms: 9000}
checks:""",
)


@pytest.fixture(scope="module")
def approved(market: Shop) -> Shop:
    """Return a shop with an approved change that has SQL, an undo script, a parameter, a check and a config edit."""
    write_change(market, CHANGE, plan=WITH_EDIT, files={"undo.sql": UNDO})
    propose(market, CHANGE)
    market.approve(CHANGE)
    return market


@pytest.mark.parametrize(
    ("file", "old", "new", "places"),
    [
        ("limit.sql", "'500'", "'900'", ["limit.sql (step 'limit'", located(SQL, "500", 1) + "'5' -> '9'"]),
        ("plan.yaml", "value: 7}", "value: 8}", ["parameter merchant_id", "limit.sql", "undo.sql", "bytes"]),
        (
            "undo.sql",
            "WHERE id =",
            "WHERE id <>",
            ["undo.sql (step 'limit': undo", located(UNDO, "= '7'", 1) + "'=' -> '<>'"],
        ),
        (
            "there.sql",
            "'500'",
            "'900'",
            ["there.sql (check 'the limit is set'", located(CHECK, "500", 1) + "'5' -> '9'"],
        ),
        ("plan.yaml", "rows: 1", "rows: {min: 0, max: 900}", ["step 'limit': rows 1: max: 1 -> 900"]),
        ("plan.yaml", "expect: 1", "expect: 2", ["check 'the limit is set': expect", '"1" -> "2"']),
        ("plan.yaml", "asked for it", "did not ask", ["reason 1", "did not ask"]),
    ],
    ids=["sql", "parameter", "undo script", "check", "bounds", "expectation", "reason"],
)
def test_an_edit_after_approval_is_refused_and_located(
    approved: Shop, file: str, old: str, new: str, places: list[str]
) -> None:
    """Exit code 3, the file and its byte range, and who to ask."""
    with edited(approved, f"{FOLDER}/{file}", old, new):
        explained(approved.okto("ana", *APPLY, expect=3), 3, *places, "git log -p", "nothing was changed")


def test_what_was_signed_is_revoked_though_the_sources_changed(approved: Shop) -> None:
    """Speaking against a change never waits for its author to put it in order."""
    command = ("revoke", CHANGE, *ENV, "--yes", CHANGE)
    with edited(approved, f"{FOLDER}/limit.sql", "'500'", "'900'"):
        approved.world.git("bruno", "pull", "--quiet")
        assert "revoked" in approved.okto("bruno", *command).out
    approved.world.git("bruno", "pull", "--quiet")
    explained(approved.okto("ana", *APPLY, expect=3), 3, "approvers: 1 more (bruno)")
    approved.approve_again(CHANGE)


def test_submitting_again_or_instead_of_approving_is_noticed(approved: Shop) -> None:
    """Before the signature, which can then still be left out."""
    wrong = ("--yes", "another-change")
    assert "signed the same already" in approved.okto("ana", "submit", CHANGE, *ENV, *wrong, expect=2).err
    said = approved.okto("bruno", "submit", CHANGE, *ENV, *wrong, expect=2).err
    assert "whoever submits cannot approve" in said
    assert "nobody who may submit has submitted" not in said


def test_an_edit_that_was_locked_and_rehearsed_again_needs_new_decisions(approved: Shop) -> None:
    """Every earlier decision is for another version; the refusal says what changed since."""
    folder = approved.change("ana", CHANGE)
    kept = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    (folder / "limit.sql").write_text((folder / "limit.sql").read_text().replace("'500'", "'900'"))
    approved.okto("ana", "lock", CHANGE, *ENV)
    approved.world.publish("ana", "Lock another version")
    try:
        refusal = approved.okto("ana", *APPLY, expect=3)
        explained(refusal, 3, "step 5 (submission)", "since bruno approved: limit.sql", located(SQL, "500", 1))
        stale = approved.okto("bruno", "approve", CHANGE, *ENV, "--yes", CHANGE)
        assert "main: another version stands there" in stale.out, "Bruno has not pulled, and must be told"
        assert "may be applied" not in stale.out
    finally:
        for file, content in kept.items():
            file.write_bytes(content)
        approved.world.publish("ana", "Back to the version that was approved")


def test_an_edited_policy_voids_approvals_given_under_the_other_one(approved: Shop) -> None:
    """The byte range of the policy is named, and the approval is listed as not counted."""
    with edited(approved, POLICY, "max_approval_age: 72h", "max_approval_age: 71h"):
        explained(
            approved.okto("ana", *APPLY, expect=3),
            3,
            "step 7 (approvals): approvers: 1 more (bruno)",
            "the approval by bruno does not count: it was given under another version of the policy",
            f"since bruno approved: {POLICY}: bytes ",
            "'2' -> '1'",
        )


@pytest.fixture(scope="module")
def proposed(market: Shop) -> str:
    """Return a change that Ana submitted."""
    write_change(market, "another-limit", merchant=10)
    propose(market, "another-limit")
    return "another-limit"


def test_the_author_cannot_approve_an_own_change(market: Shop, proposed: str) -> None:
    """Not even with the whole id typed; the hint names who can."""
    answer = market.okto("ana", "approve", proposed, *ENV, "--yes", proposed, expect=3)
    explained(answer, 3, "ana wrote this change; somebody else must approve it", "ask bruno")


def test_a_key_that_nobody_enrolled_signs_nothing(approved: Shop, tmp_path: Path) -> None:
    """Neither approves nor runs; the hint has the lines for the policy."""
    mallory = make_person(tmp_path, "mallory")
    for command in (("approve", CHANGE, *ENV, "--yes", CHANGE), APPLY):
        answer = approved.okto("bruno", *command, "--key", str(mallory.key), expect=3)
        explained(answer, 3, "belongs to nobody in the policy", mallory.public.split()[1])


def test_a_change_that_is_not_merged_does_not_run(approved: Shop) -> None:
    """Approved on its branch, as in a pull request; the approver is told that merging is missing."""
    for person in ("ana", "bruno"):
        approved.world.git(person, "pull", "--quiet", "origin", "main")
    approved.world.git("ana", "switch", "--quiet", "--create", "proposal")
    write_change(approved, "on-a-branch", merchant=9)
    approved.okto("ana", "lock", "on-a-branch", *ENV)
    approved.okto("ana", "dry-run", "on-a-branch", *ENV)
    approved.world.git("ana", "add", "--all")
    approved.world.git("ana", "commit", "--quiet", "--message", "Propose")
    approved.world.git("ana", "push", "--quiet", "origin", "proposal")
    submitted = document(approved.okto("ana", "submit", "on-a-branch", *ENV, "--json"))
    assert submitted["missing"] == ["approvers: 1 more (bruno)", "main: this change is not merged there yet"]
    try:
        answer = approved.okto("ana", "apply", "on-a-branch", *ENV, expect=1)
        explained(answer, 1, "is not on the protected branch main", "merged into main")
    finally:
        approved.world.git("ana", "switch", "--quiet", "main")


def test_a_rejection_blocks_until_its_signer_decides_again(market: Shop, proposed: str) -> None:
    """With its reason; deleting its file changes nothing."""
    market.approve(proposed)
    market.okto("bruno", "reject", proposed, *ENV, "-m", "not this week")
    refusal = market.okto("ana", "apply", proposed, *ENV, expect=3)
    explained(refusal, 3, "step 6 (veto): rejected by bruno: not this week", f"okto-change approvals {proposed}")
    remove_decision(market, proposed, "bruno-reject")
    refusal = market.okto("ana", "apply", proposed, *ENV, expect=3)
    explained(refusal, 3, "step 6 (veto): rejected by bruno: not this week")
    assert limit_of(market, 10) != "500"


def remove_decision(shop: Shop, change: str, name: str) -> None:
    """Delete a decision's file from the tip of the branch of decisions, as anybody with push rights can."""
    shop.world.git("ana", "fetch", "--quiet", "origin", "okto-approvals")
    shop.world.git("ana", "switch", "--quiet", "--detach", "FETCH_HEAD")
    (file,) = (shop.world.clone("ana") / "decisions" / change / "production").glob(f"{name}-*")
    shop.world.git("ana", "rm", "--quiet", str(file))
    shop.world.git("ana", "commit", "--quiet", "--message", "Tidy up")
    shop.world.git("ana", "push", "--quiet", "origin", "HEAD:okto-approvals")
    shop.world.git("ana", "switch", "--quiet", "main")


ADDED = "ledger: table merchants: column since_then is new: integer"


def test_a_target_that_changed_since_the_dry_run_is_refused_by_name(approved: Shop) -> None:
    """A table that was altered; the same change runs when the table is as it was reviewed."""
    query(approved, "ALTER TABLE merchants ADD COLUMN since_then int")
    try:
        refusal = approved.okto("ana", *APPLY, expect=3)
        explained(refusal, 3, "the target is not what the dry run saw", ADDED, "dry-run")
    finally:
        query(approved, "ALTER TABLE merchants DROP COLUMN since_then")


def test_a_config_file_that_changed_since_the_dry_run_is_refused_by_name(approved: Shop) -> None:
    """One comment is enough: what was reviewed is not what would be there."""
    file = approved.world.config("production")
    before = file.read_bytes()
    file.write_bytes(b"# hello from somebody else\n" + before)
    try:
        refusal = approved.okto("ana", *APPLY, expect=3)
        explained(refusal, 3, "the target is not what the dry run saw", "routing: acquirers.yaml was sha256:")
        assert file.read_bytes() == b"# hello from somebody else\n" + before
    finally:
        file.write_bytes(before)
