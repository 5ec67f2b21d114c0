"""Refusals that somebody hides, floods, garbage, and signatures that are almost right: rows 25 to 33."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.stage import CHANGE, POLICY, Stage
from tests.unit.approval.helpers import security_key

WARM = True
LACKING = "step 7 (approvals): dba: 1 more (bruno)"
VETO = "step 6 (veto): rejected by davi: because"


def _withdraw(stage: Stage) -> None:
    stage.publish(stage.signed("davi", "revoke", age=5))
    stage.cleared()


@pytest.mark.parametrize("way", ["deleted", "evil merge", "made a symlink"])
def test_row_25_a_refusal_is_deleted(stage: Stage, way: str) -> None:
    """In a later commit, or by a merge that keeps only the other side; it stood there once, and so it counts."""
    stage.approve("bruno")
    (path,) = stage.publish(stage.signed("davi", "reject", age=30))
    stage.refused(VETO)
    if way == "deleted":
        stage.tamper({path: None})
    elif way == "made a symlink":
        place = stage.tampering()
        (place / path).unlink()
        (place / path).symlink_to("elsewhere")
        stage.git("commit", "--quiet", "--all", "--message", "Link", cwd=place)
        stage.git("push", "--quiet", "origin", "HEAD:okto-approvals", cwd=place)
    else:
        place = stage.tampering()
        stage.git("switch", "--quiet", "--create", "side", "HEAD~1", cwd=place)
        stage.git("commit", "--quiet", "--allow-empty", "--message", "Aside", cwd=place)
        stage.git("merge", "--quiet", "--strategy", "ours", "--message", "Merge", "origin/okto-approvals", cwd=place)
        stage.git("push", "--quiet", "origin", "HEAD:okto-approvals", cwd=place)
        assert "reject" not in stage.git("log", "--diff-filter=D", "--name-only", cwd=place)
    assert not (stage.tampering() / path).is_file()
    stage.refused(VETO, "blocks; it was deleted since, which changes nothing")
    _withdraw(stage)


def test_row_26_a_refusal_is_overwritten_with_garbage(stage: Stage) -> None:
    """Its signature, or all of it."""
    stage.approve("bruno")
    (path,) = stage.publish(stage.signed("davi", "reject", age=30))
    content = stage.decisions()[path]
    stage.tamper({path: content.replace(b"SIGNATURE-----\nU1", b"SIGNATURE-----\nVV")})
    stage.refused(VETO, "deleted since, which changes nothing")
    stage.tamper({path: b"garbage\n"})
    stage.refused(VETO)
    _withdraw(stage)


def test_row_27_garbage_floods_the_decisions(stage: Stage) -> None:
    """Ignored and listed up to a number that can be judged; beyond it nothing is cleared, and it says who to look for."""
    stage.approve("bruno")
    folder = f"decisions/{CHANGE}/prod"
    stage.tamper({f"{folder}/garbage-{number}.signed": b"garbage %d\n" % number for number in range(200)})
    stage.tamper({f"{folder}/large.signed": b"x" * 40_000, f"{folder}/odd name\n.signed": b"\xff\x00"})
    said = stage.cleared()
    assert said.count("there is no SSH signature in it") == 201
    assert "it is larger than 32768 bytes" in said
    stage.tamper({f"{folder}/more-{number}.signed": b"more %d\n" % number for number in range(300)})
    stage.refused("more than 500 decision files", "see who floods the branch")


@pytest.mark.parametrize("what", ["kind", "duplicate key", "newer version"])
def test_row_28_a_known_person_signs_what_this_version_cannot_read(stage: Stage, what: str) -> None:
    """It may be a refusal of a newer version: it blocks. By somebody unknown it is garbage."""
    stage.approve("bruno")
    honest = stage.statement("davi", "reject")
    odd = {
        "kind": honest.replace(b'"decision": "reject"', b'"decision": "veto"'),
        "duplicate key": honest.replace(b'"decision": "reject"', b'"decision": "approve",\n    "decision": "reject"'),
        "newer version": honest.replace(b"decision/v1", b"decision/v2"),
    }[what]
    assert odd != honest
    stage.publish(stage.sign(odd, "mallory"))
    stage.cleared()
    stage.publish(stage.sign(odd, "davi"))
    stage.refused("step 3 (decisions):", "signed by davi, not understood")


@pytest.mark.parametrize("namespace", ["git", "file", "policy@okto-change", "presence@okto-change"])
def test_row_29_a_signature_was_made_for_something_else(stage: Stage, namespace: str) -> None:
    """The same key, the same bytes, another namespace: a commit, a file, a policy, a proof of presence."""
    content = stage.statement("bruno", "approve", "dba")
    stage.publish(stage.sign(content, "bruno", namespace))
    stage.refused(LACKING, f"the signature was made for '{namespace}', not for 'decision@okto-change'")
    stage.publish(stage.sign(content, "bruno"))
    stage.cleared()


def _mangled(stage: Stage, what: str) -> bytes:
    honest = stage.signed("bruno", "approve", "dba")
    content, begin, armor = honest.partition(b"-----BEGIN SSH")
    other = stage.signed("bruno", "approve", "dba").partition(b"-----BEGIN SSH")[2]
    return {
        "re-serialised": content.replace(b"\n  ", b"\n    ") + begin + armor,
        "signed but not canonical": stage.sign(content.replace(b'": "', b'":  "', 1), "bruno"),
        "CRLF": honest.replace(b"\n", b"\r\n"),
        "trailing bytes": honest + b"\n",
        "two signatures": honest + begin + other,
        "text before": b"approved\n" + honest,
    }[what]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("re-serialised", "the signature does not fit the statement"),
        ("CRLF", "there is no SSH signature in it"),
        ("trailing bytes", "not in strict form"),
        ("two signatures", "not in strict form"),
        ("text before", "the signature does not fit the statement"),
    ],
)
def test_row_30_a_decision_file_is_mangled(stage: Stage, what: str, reason: str) -> None:
    """Some of these ssh-keygen accepts; here exactly one form does."""
    stage.publish(_mangled(stage, what))
    stage.refused(LACKING, reason)
    stage.approve("bruno")
    stage.cleared()


def test_row_30_a_statement_is_signed_in_another_form(stage: Stage) -> None:
    """A known person's valid signature over text that is not canonical blocks: nobody can tell what others read in it."""
    stage.approve("bruno")
    stage.cleared()
    stage.publish(_mangled(stage, "signed but not canonical"))
    stage.refused("step 3 (decisions):", "signed by bruno, not understood: not canonical JSON")


def test_row_31_a_security_key_signs_without_being_touched(stage: Stage) -> None:
    """No token is at hand: a key in memory imitates one, flags and counter as a token signs them.

    ssh-keygen says "Good" to the first. A PIN is asked for where the policy says `require: [pin]`.
    """
    token = security_key()
    public = stage.people["bruno"].public
    stage.edit(POLICY, f'key: "{public}"', f'key: "{token.line}"')
    content = stage.statement("bruno", "approve", "dba")
    stage.publish(content + token.sign(content, flags=0))
    stage.refused(LACKING, "bruno's security key signed it without being touched")
    stage.publish(content + token.sign(content, flags=1))
    stage.cleared()
    stage.edit(POLICY, f'key: "{token.line}"', f'require: [touch, pin], key: "{token.line}"')
    stage.refused(LACKING, "bruno's security key signed it without its PIN")
    stage.publish(content + token.sign(content, flags=5))
    stage.cleared()


def test_row_32_a_forwarded_agent_signs_on_a_compromised_host(stage: Stage) -> None:
    """Not solvable for a plain key in an agent; what stops it is a touch, which the policy can ask of whole people.

    A software key listed with `require: [touch]` refuses the policy, and so nobody believes to be protected who is not;
    that a token untouched signs nothing that counts is row 31.
    """
    public = stage.people["bruno"].public
    stage.edit(POLICY, f'key: "{public}"', f'require: [touch], key: "{public}"')
    stage.refused("a security key here", code=1)
    stage.edit(POLICY, f'require: [touch], key: "{public}"', f'key: "{public}"')
    stage.approve("bruno")
    stage.cleared()


@pytest.mark.parametrize("what", ["certificate", "wildcard", "shared"])
def test_row_33_a_certificate_a_wildcard_or_a_shared_key(stage: Stage, what: str, tmp_path: Path) -> None:
    """None of them exists in a policy: the whole policy is refused, and the last accepted one is not stretched."""
    stage.approve("bruno")
    stage.cleared()
    bruno, eva = stage.people["bruno"], stage.people["eva"]
    if what == "certificate":
        stage.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "ca"))
        stage.run(
            "ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "x", "-n", "bruno", str(bruno.key.with_suffix(".pub"))
        )
        certificate = bruno.key.with_name("id_bruno-cert.pub")
        stage.edit(POLICY, bruno.public, certificate.read_text().strip())
        certificate.unlink()
        reason = "it is a certificate"
    elif what == "wildcard":
        stage.edit(POLICY, "  bruno:\n", '  "*":\n')
        reason = "0001.yaml"
    else:
        stage.edit(POLICY, eva.public, bruno.public)
        reason = "a key belongs to one person and stands once"
    stage.refused(reason, code=1)
    stage.git("revert", "--no-edit", "HEAD")
    stage.git("push", "--quiet", "origin", "HEAD:main")
    stage.cleared()
