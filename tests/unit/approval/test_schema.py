"""The policy file, read strictly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from okto_change.approval.rulebook import FilesTarget, PostgresTarget
from okto_change.approval.schema import read
from okto_change.errors import PlanError, UsageError
from tests.unit.approval.helpers import ENVIRONMENTS, GROUPS, PEOPLE, RULES, make_policy, people, policy_text


def faults_of(text: str) -> str:
    """Return every fault of a policy, a line each."""
    with pytest.raises(PlanError) as caught:
        read(text.encode(), "policy.yaml")
    return "\n".join(caught.value.faults)


def test_a_policy_says_what_it_says() -> None:
    """Every part is read into its type."""
    policy = make_policy(who=people(more=", valid_until: 2027-01-01T00:00:00Z, revoked: 2026-11-03T09:00:00Z"))
    production = policy.environment("prod")
    assert policy.people["ana"].keys[0].revoked == datetime(2026, 11, 3, 9, tzinfo=UTC)
    assert policy.groups["dba"] == ("bruno", "carla")
    assert production.targets["ledger"] == PostgresTarget(
        name="ledger", service="pay-prod", dsn_env=None, database="payments", system_identifier="7301"
    )
    assert production.targets["routing"] == FilesTarget(name="routing", root="/srv/routing", root_env=None)
    assert production.journal == "ledger"
    assert production.execute.groups == ("dba", "engineers")
    assert policy.environment("sandbox").from_head
    assert [rule.require for rule in policy.rules] == [{"dba": 1, "owners": 1}, {}, {"dba": 1}]


def test_times_and_switches_have_safe_defaults() -> None:
    """What is not said is strict: a dry run, single use, three days, the author may not run it."""
    environments = "environments: {prod: {targets: {ledger: {postgres: {service: s}}}}}\n"
    rules = "rules: [{id: prod, require: {dba: 1}}]\n"
    environment = make_policy(environments=environments, rules=rules).environment("prod")
    assert (environment.dry_run, environment.single_use, environment.max_approval_age) == ("required", True, 259_200)
    assert not environment.execute.may_be_author
    assert not environment.from_head


def test_an_unknown_environment_names_the_known_ones() -> None:
    """A typing error on the command line costs a second, not a search."""
    with pytest.raises(UsageError) as caught:
        make_policy().environment("production")
    assert "prod, sandbox, staging" in (caught.value.hint or "")


def test_all_faults_are_found_at_once() -> None:
    """Every wrong line is named, in order."""
    text = policy_text(
        groups="groups: {dba: [bruno, zoe], Dba: []}\n",
        environments="environments:\n  prod:\n    targets: {l: {postgres: {service: a, dsn_env: B}}}\n"
        "    dry_run: maybe\n    submit: [x]\n",
        rules="rules: [{id: a, require: {dbas: 1}}, {id: a, require: {dba: 0}, whenn: {}}]\n",
    ).replace("version: 1", "version: one")
    found = faults_of(text)
    for words in (
        "policy.yaml:1: expected the version",
        "expected a known person",
        "'Dba' cannot name a group",
        "expected either 'service:' or 'dsn_env:'",
        "expected required or optional, found 'maybe'",
        "expected a known group",
        "unknown key 'dbas' (did you mean 'dba'?)",
        "expected a number of people",
        "unknown key 'whenn' (did you mean 'when'?)",
        "the rule id 'a' stands here again",
    ):
        assert words in found


def test_missing_parts_are_named() -> None:
    """An empty policy lacks everything, and says so."""
    found = faults_of("version: 1\n")
    for key in ("repo", "protected_ref", "approvals_refs", "people", "groups", "environments", "rules"):
        assert f"expected a line '{key}:'" in found


@pytest.mark.parametrize(
    "place",
    [
        "{postgres: {dsn_env: 'postgresql://okto:s3cr3t@db/payments'}}",
        "{postgres: {service: 'host=db password=s3cr3t'}}",
        "{postgres: {service: pay, password: s3cr3t}}",
        "{postgres: {dsn: 'host=db user=u s3cr3t'}}",
        "{postgres: {service: pay}, database: 'postgres://u:s3cr3t@h/d'}",
        "{postgres: {service: pay}, url: 's3cr3t'}",
        "{files: {root: '/x', token: s3cr3t}}",
    ],
)
def test_a_secret_in_the_policy_is_a_fault_and_is_not_shown(place: str) -> None:
    """Passwords and connection strings are refused; the message does not repeat them."""
    found = faults_of(policy_text(environments=f"environments:\n  prod:\n    targets: {{ledger: {place}}}\n"))
    assert "a password or connection string has no place here" in found
    assert "s3cr3t" not in found


def test_a_key_of_two_people_refuses_the_policy() -> None:
    """Counting by person means nothing if two people hold one key."""
    line = PEOPLE["ana"].line
    found = faults_of(policy_text(who=people({"ana": line, "bruno": line + " other comment"}), groups="groups: {}\n"))
    assert "this key stands here for bruno and already for ana" in found


def test_a_key_that_ends_before_it_begins_is_a_fault() -> None:
    """Such a key could never count."""
    assert "a moment after valid_from" in faults_of(policy_text(who=people(more=", valid_until: 2025-01-01T00:00:00Z")))


def test_only_a_security_key_can_owe_touch_and_pin() -> None:
    with pytest.raises(PlanError) as error:
        make_policy(who=people(more=", require: [pin]"))
    assert "expected a security key here" in error.value.faults[0]
    with pytest.raises(PlanError) as error:
        make_policy(rules="rules: [{id: all, require: {dba: 1}, signed_with: [fingerprint]}]\n")
    assert "touch, pin" in error.value.faults[0]


def test_an_unusable_key_is_a_fault_with_its_line() -> None:
    """What is no key, or no allowed one, is said where it stands."""
    assert "policy.yaml:7: expected an SSH public key" in faults_of(policy_text(who=people({"ana": "ssh-dss AAAA"})))


def test_yaml_tricks_are_refused() -> None:
    """Duplicate keys, anchors and tags never reach the schema; numbers are written plainly."""
    assert "stands here again" in faults_of(policy_text() + RULES)
    assert "anchor" in faults_of(policy_text(groups=GROUPS.replace("[ana, eva]", "&x [ana, eva]")))
    assert "expected a number of people" in faults_of(policy_text(rules=RULES.replace("dba: 1", "dba: 010")))
    assert "expected true or false" in faults_of(
        policy_text(environments=ENVIRONMENTS.replace("from_head: true", "from_head: yes"))
    )


def test_the_journal_must_be_a_database_of_the_environment() -> None:
    """The audit trail cannot be kept in a folder of files, nor be left open where there are several databases."""
    two = "environments: {prod: {targets: {a: {postgres: {service: a}}, b: {postgres: {service: b}}}%s}}\n"
    assert "names the database keeping the audit trail" in faults_of(policy_text(environments=two % ""))
    assert "a database target of this environment (a, b)" in faults_of(policy_text(environments=two % ", journal: c"))


def test_the_version_is_the_file_s() -> None:
    """A copied file cannot pretend to be a newer one."""
    with pytest.raises(PlanError, match="1 fault"):
        read(policy_text().encode(), ".okto-change/policy/0002.yaml")


@pytest.mark.parametrize(
    "ref", ["main", "refs/heads/../x", "refs/heads/-x", "refs/heads/a b", "refs/tags/v1", "refs/heads/x/"]
)
def test_a_branch_is_written_in_full(ref: str) -> None:
    """Odd names never reach git."""
    assert "expected a branch" in faults_of(policy_text().replace("refs/heads/main", f"'{ref}'"))


def test_any_bytes_at_all_end_in_one_kind_of_error() -> None:
    """Binary, empty and broken files are faults, not crashes."""
    for content in (b"", b"\x00\x01", b"\xff\xfe", b"[", b"- a\n", b"people: [\n", b"people: 3\nrules: {a: b}\n"):
        with pytest.raises(PlanError):
            read(content, "policy.yaml")
