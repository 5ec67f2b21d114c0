"""Who counts, and for what: rows 5 to 18 of the threats."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.attacks.stage import CHANGE, FOLDER, POLICY, REPO, Stage
from tests.plugins.people import make_person

WARM = True
LACKING = "step 7 (approvals): dba: 1 more (bruno)"


def test_row_05_the_author_approves_his_own_plan(stage: Stage) -> None:
    """He is even in a group that approves, and signs with ssh-keygen where the command would not let him."""
    stage.edit(POLICY, "dba: [bruno, carla]", "dba: [ana, bruno, carla]")
    stage.refused("ana wrote this change", command=("approve", CHANGE, "--env", "prod", "--yes", CHANGE), person="ana")
    stage.approve("ana")
    stage.refused(LACKING, "ana wrote this change; somebody else must approve it")
    stage.approve("bruno")
    stage.cleared()


def test_row_06_the_author_approves_with_a_second_key(stage: Stage) -> None:
    """Of her own in the policy: the same person. In no policy: nobody. A second e-mail plays no part at all."""
    second = make_person(stage.folder, "second")
    stage.people = {**stage.people, "second": second}
    stage.publish(stage.signed("second", "approve", "dba", signer="bruno"))
    stage.refused(LACKING, "signed with the unknown key SHA256:")
    more = f'      - {{key: "{second.public}", valid_from: 2026-01-01T00:00:00Z}}\n  eva:\n'
    stage.edit(POLICY, "  eva:\n", more)
    stage.edit(POLICY, "dba: [bruno, carla]", "dba: [ana, bruno, carla]")
    stage.git("config", "user.email", "ana@elsewhere.example")
    stage.publish(stage.signed("second", "approve", "dba", signer="ana"))
    stage.refused(LACKING, "ana wrote this change; somebody else must approve it")
    stage.approve("bruno")
    stage.cleared()


def test_row_07_nobody_admits_to_have_written_it(stage: Stage) -> None:
    """Without a signed submission over this lock nothing is cleared, however many approve."""
    submission = next(
        name for name, file in stage.decisions().items() if b'"decision": "submit"' in file and "/prod/" in name
    )
    stage.tamper({submission: None})
    stage.approve("bruno")
    stage.refused("step 5 (submission): nobody who may submit has submitted this version")
    stage.publish(stage.signed("ana", "submit"))
    stage.cleared()


@pytest.mark.parametrize("author", ["mallory", "carla"])
def test_row_08_a_file_names_somebody_else_as_its_signer(stage: Stage, author: str) -> None:
    """Signed by an unknown key it is nobody's; by a known one it names one and is signed by another."""
    stage.publish(stage.signed(author, "approve", "dba", signer="bruno"))
    reason = "signed with the unknown key" if author == "mallory" else "names bruno, carla signed"
    stage.refused(LACKING, reason)
    content = stage.statement("bruno", "approve", "dba")
    stage.publish(content + b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n")
    stage.refused(LACKING, "the signature cannot be read: it ends too early")
    stage.publish(stage.sign(content, "bruno"))
    stage.cleared()


def test_row_09_a_commit_pretends_to_be_the_approver_s(stage: Stage) -> None:
    """Author, committer and trailers of git give nobody anything; they can only exclude, where the policy says so."""
    stage.tamper(
        {f"decisions/{CHANGE}/prod/bruno-approve-0123456789ab.signed": b"approved\n"}, "approve\n\nSigned-off-by: Bruno"
    )
    place = stage.tampering()
    stage.git("commit", "--quiet", "--amend", "--author", "Bruno <bruno@example.org>", "--no-edit", cwd=place)
    stage.git("push", "--quiet", "--force", "origin", "HEAD:okto-approvals", cwd=place)
    stage.refused(LACKING, "there is no SSH signature in it")
    stage.approve("bruno")
    stage.cleared()
    stage.edit(POLICY, "submit: [engineers]", "submit: [engineers]\n    exclude_contributors: authors")
    stage.cleared()
    notes = f"{FOLDER}/notes.md"
    stage.write({notes: "text\n"})
    stage.git("add", "--all")
    stage.git("commit", "--quiet", "--author", "B <bruno@example.org>", "--message", "Help")
    stage.lock()
    stage.publish(stage.signed("ana", "submit"), stage.signed("carla", "approve", "owners"))
    stage.approve("bruno")
    stage.refused("nobody left in the group can give it", "bruno has a part in it: author of commit")


def test_row_10_one_person_signs_for_two_groups(stage: Stage) -> None:
    """Carla is a DBA and an owner; she counts once, in the role that she took last."""
    stage.approve("carla", "dba", age=30)
    stage.refused("step 7 (approvals): owners: 1 more (davi)", "carla decided again later: approve")
    stage.approve("davi", "owners")
    stage.cleared()


def test_row_11_an_approval_is_copied_to_another_environment(stage: Stage) -> None:
    """What Bruno approved in staging is put into the folder of production."""
    given = stage.signed("bruno", "approve", "dba", environment="staging")
    stage.publish(given, environment="staging")
    stage.publish(given, environment="prod")
    stage.refused(LACKING, "it is for another environment, staging")
    stage.cleared("verify", CHANGE, "--env", "staging")


@pytest.mark.parametrize("what", ["change", "version", "repository"])
def test_row_12_an_approval_is_replayed(stage: Stage, what: str) -> None:
    """To another change, to the same id with other content, from a fork with another UUID."""
    fields = {
        "change": {"change": "fix-other"},
        "version": {"plan_digest": "0" * 64},
        "repository": {"repo": "00000000-0c54-4e0e-9d5e-1b7b9c1d2e3f"},
    }[what]
    reason = {
        "change": "it is for another change, fix-other",
        "version": "it is for another version of the plan, 0000 0000 0000",
        "repository": "it is for another repository",
    }[what]
    stage.approve("bruno", **fields)
    stage.refused(LACKING, reason)
    stage.approve("bruno", repo=REPO)
    stage.cleared()


def test_row_15_an_approval_outlives_its_time(stage: Stage) -> None:
    """By its own end, or by a far one that the policy's greatest age cuts off."""
    stage.approve("bruno", age=9 * 3600)
    stage.refused(LACKING, "it expired at")
    stage.approve("bruno", age=73 * 3600, expires_at=_now() + timedelta(days=3650))
    assert stage.refused(LACKING).count("it expired at") == 2
    stage.approve("bruno", age=7 * 3600)
    stage.cleared()


def test_row_16_a_statement_is_from_the_future(stage: Stage) -> None:
    """More than two minutes ahead it waits; a little skew is forgiven. The target's clock: see the tests of targets."""
    stage.approve("bruno", age=-600)
    stage.refused(LACKING, "it is from the future; compare the clocks")
    stage.approve("bruno", age=-60)
    stage.cleared()


def test_row_17_a_stolen_key_that_ended_signs_with_an_old_date(stage: Stage) -> None:
    """The key must be valid now and when it signed; git itself accepts such a signature."""
    until = (_now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    stage.approve("bruno", age=7200)
    stage.cleared()
    public = stage.people["bruno"].public
    stage.edit(POLICY, f'"{public}", valid_from', f'"{public}", valid_until: {until}, valid_from')
    stage.refused("dba: 1 more (nobody left in the group can give it)", "the key ended at")
    later = (_now() - timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = (
        (stage.work / POLICY)
        .read_text()
        .replace(f"valid_until: {until}, valid_from: 2026-01-01T00:00:00Z", f"valid_from: {later}")
    )
    stage.commit("A key of tomorrow", {POLICY: text})
    stage.refused("when it was signed, the key is valid only from")
    stage.approve("bruno", age=60)
    stage.cleared()


def test_row_18_a_revoked_key_signs(stage: Stage) -> None:
    """Whatever date it gives, before or after the revocation."""
    public = stage.people["bruno"].public
    stage.approve("bruno", age=7200)
    stage.cleared()
    moment = (_now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    stage.edit(POLICY, f'"{public}", valid_from', f'"{public}", revoked: {moment}, valid_from')
    stage.refused("the key was revoked on", "nobody left in the group can give it")
    stage.approve("bruno", age=30)
    stage.refused("the key was revoked on")
    stage.approve("davi", "owners")
    stage.approve("carla", "dba", age=10)
    stage.cleared()


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def test_whoever_could_not_count_is_told_before_signing(stage: Stage) -> None:
    """A key that a rule does not take, one that ended, somebody who may not submit: nothing is signed or published."""
    approve = ("approve", CHANGE, "--env", "prod", "--yes", CHANGE)
    stage.refused("a submission by bruno would not count", command=("submit", CHANGE, "--env", "prod"), person="bruno")
    rule = "{id: prod, when: {env: [prod]}, require: {dba: 1, owners: 1}"
    stage.edit(POLICY, f"{rule}}}", f"{rule}, signed_with: [touch]}}")
    stage.refused("would not count: the rule prod asks for a security key", command=approve, person="bruno")
    stage.edit(POLICY, f"{rule}, signed_with: [touch]}}", f"{rule}}}")
    said = stage.cleared("submit", CHANGE, "--env", "prod", person="ana")
    assert "nobody who may submit" not in said
    key = f'{{key: "{stage.people["bruno"].public}", valid_from: 2026-01-01T00:00:00Z}}'
    soon = datetime.now(UTC) + timedelta(hours=9)
    stage.edit(POLICY, key, key.replace("}", f", valid_until: {soon:%Y-%m-%dT%H:%M:%SZ}}}"))
    said = stage.cleared(*approve, person="bruno")
    assert f"your key ends at {soon:%Y-%m-%d %H:%M}Z" in said
    found = json.loads(stage.okto("approvals", CHANGE, "--env", "prod", "--json").out)
    assert found["ending"] == [
        f"the last key of bruno ends at {soon:%Y-%m-%d %H:%M}Z; enrol another in a new version of the policy"
    ]
