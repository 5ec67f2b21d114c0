"""The decision file and the statement in it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from okto_change import digest
from okto_change.approval import statement
from okto_change.approval.statement import BadStatement
from tests.unit.approval.helpers import NOW, REPO, ed25519_key

GOOD = statement.build(
    repo=REPO,
    change="fix-settlements",
    environment="prod",
    plan_digest="sha256:" + "ab" * 32,
    decision="approve",
    signer="ana",
    role="dba",
    issued_at=NOW,
    expires_at=NOW + timedelta(days=2),
    policy_sha256="sha256:" + "0" * 64,
    comment="row counts checked",
    nonce="c0b7a6408541cdb758a4f058825f6e83",
    dry_run_facts_sha256="5b" * 32,
    dry_run_report_sha256="e1" * 32,
)


def changed(**fields: Any) -> bytes:
    """Return the good statement with fields of its predicate exchanged; None takes a field out."""
    value = json.loads(GOOD)
    value["predicate"] |= fields
    value["predicate"] = {key: item for key, item in value["predicate"].items() if item is not None}
    return digest.canonical(value)


def test_the_statement_has_the_published_form() -> None:
    """The format is fixed, byte for byte: other tools read it."""
    assert GOOD.decode() == (
        '{\n  "_type": "https://in-toto.io/Statement/v1",\n  "predicate": {\n    "about": "",\n    "change": "fix-settlements",\n'
        '    "comment": "row counts checked",\n    "decision": "approve",\n'
        f'    "dry_run_facts_sha256": "{"5b" * 32}",\n    "dry_run_report_sha256": "{"e1" * 32}",\n'
        '    "environment": "prod",\n    "expires_at": "2026-11-24T17:00:00Z",\n    "incident": "",\n'
        '    "issued_at": "2026-11-22T17:00:00Z",\n    "max_runs": 1,\n'
        '    "nonce": "c0b7a6408541cdb758a4f058825f6e83",\n    "of": "",\n'
        f'    "policy_sha256": "{"0" * 64}",\n    "repo": "{REPO}",\n    "role": "dba",\n    "signer": "ana"\n  }},\n'
        '  "predicateType": "https://okto-change.dev/decision/v1",\n  "subject": [\n    {\n      "digest": {\n'
        f'        "sha256": "{"ab" * 32}"\n      }},\n      "name": "lock:fix-settlements@prod"\n    }}\n  ]\n}}\n'
    )


def test_a_statement_comes_back_as_it_was() -> None:
    """Parsing and writing are inverse."""
    assert statement.parse(GOOD).content() == GOOD


def test_a_file_splits_into_statement_and_signature() -> None:
    """The signed bytes end before the armor begins."""
    armor = ed25519_key().sign(GOOD)
    assert statement.split(statement.join(GOOD, armor)) == (GOOD, armor)


def test_a_file_without_a_signature_is_refused() -> None:
    """A bare statement claims nothing."""
    with pytest.raises(BadStatement, match="no SSH signature"):
        statement.split(GOOD)


def test_a_file_is_named_after_its_statement() -> None:
    """The name is unique for each statement, whatever the signature."""
    assert statement.file_name(statement.parse(GOOD)) == f"ana-approve-{statement.identify(GOOD)[:12]}.signed"


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "veto"},
        {"decision": 1},
        {"max_runs": 2},
        {"max_runs": True},
        {"max_runs": "1"},
        {"change": "../etc"},
        {"change": "Fix"},
        {"environment": "PROD"},
        {"signer": "ana\n"},
        {"signer": "Ana"},
        {"repo": "x"},
        {"nonce": "abc"},
        {"policy_sha256": ""},
        {"dry_run_facts_sha256": "5B" * 32},
        {"issued_at": "2026-11-22"},
        {"issued_at": "2026-11-22T17:00:00+00:00"},
        {"issued_at": "2026-02-30T17:00:00Z"},
        {"issued_at": " 2026-11-22T17:00:00Z"},
        {"comment": "\x1b[2Jnothing to see"},
        {"comment": "\u202eevil"},
        {"comment": "x" * 4_001},
        {"role": None},
        {"of": "something new"},
        {"environment": "staging"},
    ],
)
def test_a_field_out_of_form_is_refused(fields: dict[str, Any]) -> None:
    """Unknown, missing and odd fields: nothing is guessed."""
    with pytest.raises(BadStatement):
        statement.parse(changed(**fields))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null\n",
        b"[]\n",
        GOOD.replace(b"\n", b"\r\n"),
        GOOD[:-1],
        GOOD + b"\n",
        GOOD.replace(b'"max_runs": 1', b'"max_runs": 1.0'),
        GOOD.replace(b'"signer": "ana"', b'"signer": "ana",\n    "signer": "ana"'),
        GOOD.replace(b"Statement/v1", b"Statement/v2"),
        GOOD.replace(b"decision/v1", b"decision/v2"),
        json.dumps(json.loads(GOOD)).encode(),
        b"[" * 100_000,
    ],
)
def test_other_bytes_are_refused(content: bytes) -> None:
    """Only the canonical form of this version is a statement."""
    with pytest.raises(BadStatement):
        statement.parse(content)


def test_more_than_one_subject_is_refused() -> None:
    """With several subjects one could be signed for and another run."""
    value = json.loads(GOOD)
    value["subject"] *= 2
    with pytest.raises(BadStatement, match="exactly one subject"):
        statement.parse(digest.canonical(value))


def test_the_subject_must_be_the_predicate_s() -> None:
    """Change and environment stand in two places, which must agree."""
    value = json.loads(GOOD)
    value["subject"][0]["name"] = "lock:fix-settlements@staging"
    with pytest.raises(BadStatement, match="another change or environment"):
        statement.parse(digest.canonical(value))


def test_nothing_can_be_built_that_could_not_be_read() -> None:
    """A bad comment is found before it is signed."""
    with pytest.raises(BadStatement, match="comment"):
        statement.build(
            repo=REPO,
            change="fix-settlements",
            environment="prod",
            plan_digest="ab" * 32,
            decision="reject",
            signer="ana",
            role="",
            issued_at=NOW,
            expires_at=NOW,
            policy_sha256="0" * 64,
            comment="\x07",
        )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"decision": "review"}, "which statement it is about"),
        ({"about": "ab" * 32}, "which statement it is about"),
        ({"decision": "break-glass"}, "names an incident"),
        ({"incident": "INC-1"}, "names an incident"),
        ({"of": "bruno"}, "no decision about somebody else's"),
        ({"decision": "break-glass", "incident": "INC-1", "comment": " "}, "needs a reason"),
        ({"decision": "review", "about": "ab" * 32, "comment": ""}, "needs a reason"),
        ({"decision": "break-glass", "incident": "INC 1; DROP"}, "incident is not in its form"),
    ],
)
def test_each_kind_of_decision_says_what_belongs_to_it(fields: dict[str, str], words: str) -> None:
    """A field that means nothing in a decision might be read as meaning something elsewhere."""
    with pytest.raises(BadStatement, match=words):
        statement.parse(changed(**fields))


def test_a_card_number_in_a_comment_is_masked_before_it_is_signed() -> None:
    """Decisions are kept in git, which never forgets."""
    content = statement.build(
        repo=REPO,
        change="fix-settlements",
        environment="prod",
        plan_digest="sha256:" + "ab" * 32,
        decision="approve",
        signer="ana",
        role="dba",
        issued_at=NOW,
        expires_at=NOW + timedelta(days=2),
        policy_sha256="sha256:" + "0" * 64,
        comment="seen 4111-1111-1111-1111",
    )
    assert statement.parse(content).comment == "seen 411111******1111"
