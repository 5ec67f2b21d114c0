"""Versions of the policy: what follows on what, and who must have signed it."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

import pytest

from okto_change import digest
from okto_change.approval import chain
from okto_change.approval.memory import Mark
from okto_change.errors import NotAuthorised, PlanError
from tests.unit.approval.helpers import GROUPS, MALLORY, NOW, PEOPLE, RULES, SoftKey, people, policy_text, security_key

OWNERS = GROUPS + "  policy-owners: [ana, bruno, carla]\n"
FOLDER = ".okto-change/policy/"


def version(
    number: int,
    previous: bytes = b"",
    *,
    quorum: int | None = 2,
    who: str | None = None,
    groups: str = OWNERS,
    rules: str = RULES,
) -> bytes:
    """Return a version of the policy that follows on ``previous``."""
    head = f"policy_quorum: {quorum}\n" if quorum else ""
    head += f"previous_sha256: {sha256(previous).hexdigest()}\n" if previous else ""
    text = policy_text(head=head, who=who, groups=groups, rules=rules)
    return text.replace("version: 1\n", f"version: {number}\n").encode()


def files(*versions: bytes, **signed: tuple[str, ...]) -> dict[str, bytes]:
    """Return a policy folder; ``v2=("ana",)`` says who signed version 2."""
    found = {f"{FOLDER}{number:04}.yaml": content for number, content in enumerate(versions, 1)}
    for name, who in signed.items():
        number = int(name[1:])
        found |= {f"{FOLDER}{number:04}.{one}.sig": sign(PEOPLE[one], versions[number - 1]) for one in who}
    return found


def sign(key: SoftKey, content: bytes, namespace: str = chain.NAMESPACE, flags: int = 1) -> bytes:
    """Return a signature over a version."""
    return key.sign(content, namespace, flags=flags)


def mark(content: bytes, number: int, strong: bool = True) -> Mark:
    """Return a version as seen before."""
    return Mark(number, digest.sha256(content), strong)


ONE = version(1)
TWO = version(2, ONE, rules=RULES.replace("dba: 1", "dba: 2"))


def test_a_version_signed_by_its_quorum_is_in_force() -> None:
    """Two owners of the old version, two of the new one; the same people will do."""
    found = files(ONE, TWO, v2=("ana", "carla"))
    assert chain.current(found, NOW, pin=mark(ONE, 1)).version == 2
    assert chain.current(found, NOW, pin=mark(ONE, 1), seen=mark(TWO, 2)).version == 2


@pytest.mark.parametrize("who", [(), ("ana",), ("davi", "eva"), ("ana", "davi")])
def test_without_its_quorum_it_is_not(who: tuple[str, ...]) -> None:
    """Nobody, one owner, people who are no owners."""
    with pytest.raises(NotAuthorised, match="version 2 of the policy is not signed by its owners") as caught:
        chain.current(files(ONE, TWO, v2=who), NOW, pin=mark(ONE, 1))
    assert "2 policy owners of version 1 must sign version 2" in caught.value.faults[0]


def test_nobody_makes_himself_an_owner() -> None:
    """The owners of the version before must agree, and so must those of the new one."""
    taken = version(2, ONE, groups=OWNERS.replace("[ana, bruno, carla]", "[davi, eva]"))
    with pytest.raises(NotAuthorised) as caught:
        chain.current(files(ONE, taken, v2=("davi", "eva")), NOW, pin=mark(ONE, 1))
    assert len(caught.value.faults) == 1
    given = files(ONE, taken, v2=("davi", "eva", "ana", "bruno"))
    assert chain.current(given, NOW, pin=mark(ONE, 1)).groups["policy-owners"] == ("davi", "eva")


def test_strong_mode_cannot_be_left_without_its_owners() -> None:
    """Dropping the quorum is a change like any other; so is taking it up."""
    weak = version(2, ONE, quorum=None)
    with pytest.raises(NotAuthorised, match="not signed"):
        chain.current(files(ONE, weak), NOW, pin=mark(ONE, 1))
    assert chain.current(files(ONE, weak, v2=("ana", "bruno")), NOW, pin=mark(ONE, 1)).policy_quorum is None
    simple = version(1, quorum=None)
    strong = version(2, simple)
    with pytest.raises(NotAuthorised, match="not signed"):
        chain.current(files(simple, strong), NOW)
    assert chain.current(files(simple, strong, v2=("ana", "bruno")), NOW).version == 2


@pytest.mark.parametrize("key", [MALLORY, security_key()])
def test_keys_of_nobody_sign_nothing(key: SoftKey) -> None:
    """Whatever the file is called."""
    found = files(ONE, TWO, v2=("ana",)) | {f"{FOLDER}0002.bruno.sig": sign(key, TWO)}
    with pytest.raises(NotAuthorised, match="not signed"):
        chain.current(found, NOW, pin=mark(ONE, 1))


def test_two_signatures_of_one_person_are_one() -> None:
    """People are counted."""
    found = files(ONE, TWO, v2=("ana",)) | {f"{FOLDER}0002.bruno.sig": sign(PEOPLE["ana"], TWO)}
    with pytest.raises(NotAuthorised, match="not signed"):
        chain.current(found, NOW, pin=mark(ONE, 1))


@pytest.mark.parametrize("namespace", ["decision@okto-change", "git", "file"])
def test_a_signature_for_something_else_is_none(namespace: str) -> None:
    """An approval can never pass for a policy."""
    found = files(ONE, TWO, v2=("ana",)) | {f"{FOLDER}0002.bruno.sig": sign(PEOPLE["bruno"], TWO, namespace)}
    with pytest.raises(NotAuthorised, match="not signed"):
        chain.current(found, NOW, pin=mark(ONE, 1))


def test_a_signature_over_another_version_is_none() -> None:
    """Exactly these bytes, or nothing."""
    found = files(ONE, TWO, v2=("ana",)) | {f"{FOLDER}0002.bruno.sig": sign(PEOPLE["bruno"], TWO + b"# \n")}
    with pytest.raises(NotAuthorised, match="not signed"):
        chain.current(found, NOW, pin=mark(ONE, 1))


@pytest.mark.parametrize("more", [", revoked: 2026-11-01T00:00:00Z", ", valid_until: 2026-11-01T00:00:00Z"])
def test_a_key_that_ended_signs_no_new_version(more: str) -> None:
    """Neither a revoked nor an expired one; but what it signed in time stays accepted."""
    one = version(1, who=people(more=more))
    two = version(2, one)
    found = files(one, two, v2=("ana", "bruno"))
    with pytest.raises(NotAuthorised, match="not signed"):
        chain.current(found, NOW, pin=mark(one, 1))
    assert chain.current(found, NOW, pin=mark(one, 1), seen=mark(two, 2)).version == 2
    if "until" in more:
        assert chain.current(found, NOW - timedelta(days=60), pin=mark(one, 1)).version == 2


def test_an_older_policy_does_not_come_back() -> None:
    """Signed is not current: below what was pinned or seen there is nothing."""
    for seen in ({"pin": mark(TWO, 2)}, {"seen": mark(TWO, 2, strong=False)}):
        with pytest.raises(NotAuthorised, match="went back to version 1; version 2 was there before"):
            chain.current(files(ONE, v1=("ana", "bruno")), NOW, **seen)


def test_a_gap_is_refused() -> None:
    """A version that is missing may be the one that revoked a key."""
    found = files(ONE, TWO, version(3, TWO), v3=("ana", "bruno"))
    del found[f"{FOLDER}0002.yaml"]
    with pytest.raises(NotAuthorised, match="version 2 of the policy is missing, though 3 is there"):
        chain.current(found, NOW, pin=mark(ONE, 1))


def test_a_version_must_follow_on_the_one_that_is_here() -> None:
    """Signed on top of another history, it says nothing here."""
    with pytest.raises(NotAuthorised, match="does not follow on the version 1") as caught:
        other = version(2, b"other")
        chain.current(files(ONE, other, v2=("ana", "bruno")), NOW, pin=mark(ONE, 1))
    assert sha256(ONE).hexdigest() in (caught.value.hint or "")


def test_what_was_pinned_cannot_be_edited_in_place() -> None:
    """Nor can what was accepted under a pin or with signatures; without either, editing in place is how it began."""
    simple = version(1, quorum=None)
    edited = version(1, quorum=None, rules=RULES.replace("dba: 1", "dba: 2"))
    with pytest.raises(NotAuthorised, match="version 1 of the policy is not the one that was trusted before"):
        chain.current(files(edited), NOW, pin=mark(simple, 1))
    with pytest.raises(NotAuthorised, match="is not the one"):
        chain.current(files(edited), NOW, seen=mark(simple, 1))
    assert chain.current(files(edited), NOW, seen=mark(simple, 1, strong=False)).version == 1


def test_a_first_strong_version_is_signed_by_its_own_owners() -> None:
    """Where nothing is pinned, at least those who are named in it must have agreed."""
    with pytest.raises(NotAuthorised, match="version 1 of the policy is not signed"):
        chain.current(files(ONE), NOW)
    assert chain.current(files(ONE, v1=("ana", "bruno")), NOW).version == 1


def test_a_version_of_another_repository_is_refused() -> None:
    """An id is what signatures are bound to."""
    other = TWO.replace(b"7d1f", b"8d1f", 1)
    with pytest.raises(NotAuthorised, match="of another repository"):
        chain.current(files(ONE, other, v2=("ana", "bruno")), NOW, pin=mark(ONE, 1))


def test_a_quorum_that_cannot_be_reached_is_a_fault() -> None:
    """Otherwise nobody could ever change the policy again."""
    with pytest.raises(PlanError) as caught:
        chain.current(files(version(1, quorum=4)), NOW)
    assert "at least 4 people in the group policy-owners, found 3" in caught.value.faults[0]
