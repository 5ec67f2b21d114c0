"""Versions of the policy, one on top of the other, up to the one in force. Pure.

A version that was seen once is never gone back behind, and none is missing. In *strong* mode (``policy_quorum`` in the
policy) each version is signed by that many policy owners of the version before it, and by as many of its own as it asks
for itself: then not even whoever can write the protected branch can change the policy alone.

Signatures carry no moment that could be believed, so a version is judged when it is first seen: by keys that count then.
What was accepted stays accepted (``seen``), or nothing could be read any more on the day that an owner's key ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache

from okto_change import digest
from okto_change.approval import signature
from okto_change.approval.memory import Mark
from okto_change.approval.rulebook import NUMBERED, OWNERS, Policy
from okto_change.approval.sshkeys import PublicKey
from okto_change.errors import NotAuthorised, PlanError

NAMESPACE = "policy@okto-change"
LARGEST = 4096
"""bytes of a signature"""
_SIGNATURE = re.compile(r"(?:^|/)([0-9]{4})\.[a-z0-9][a-z0-9._-]{0,63}\.sig$")
Versions = Mapping[int, tuple[str, bytes]]


def versions(files: Mapping[str, bytes]) -> dict[int, tuple[str, bytes]]:
    """Return the path and content of every version in a policy folder's files, by number."""
    found = {int(match[1]): name for name in files if (match := NUMBERED.search(name))}
    return {number: (found[number], files[found[number]]) for number in sorted(found)}


def signatures(files: Mapping[str, bytes], version: int) -> tuple[bytes, ...]:
    """Return the signatures over a version (``0002.ana.sig``); names of files carry no authority."""
    named = {name: match for name in sorted(files) if (match := _SIGNATURE.search(name))}
    return tuple(files[name] for name, match in named.items() if int(match[1]) == version)


def current(files: Mapping[str, bytes], now: datetime, pin: Mark | None = None, seen: Mark | None = None) -> Policy:
    """Return the newest version, if it rests on what was pinned and seen before; raises NotAuthorised, PlanError.

    ``files`` are those of the policy's folder, with at least one version among them.
    """
    found = versions(files)
    newest = max(found)
    fixed = [mark for mark in (pin, seen) if mark and (mark is pin or mark.strong or pin)]
    _demand_no_gap(found)
    for mark in filter(None, (pin, seen)):
        _demand_not_behind(newest, mark)
    for mark in fixed:
        _demand_unchanged(found, mark)
    if not fixed:
        start = min(found) if _asks_owners(found[newest]) else newest
        policy = _read(found, start)
        _demand_quorum(policy, policy, signatures(files, start), now)
    else:
        start = max(mark.version for mark in fixed)
        policy = _read(found, start)
    for number in range(start + 1, newest + 1):
        following = _read(found, number)
        _demand_link(policy, following, signatures(files, number), now)
        policy = following
    return policy


def keys(files: Mapping[str, bytes]) -> frozenset[PublicKey]:
    """Return every key of every person in any version that can be read."""
    found, held = versions(files), set[PublicKey]()
    for number in found:
        with suppress(PlanError):
            held |= {one.key for person in _read(found, number).people.values() for one in person.keys}
    return frozenset(held)


def signing_key(content: bytes, armor: bytes) -> PublicKey | None:
    """Return the key whose valid signature over a version's ``content`` this is; None if it is none."""
    try:
        return signature.verify(content, armor, NAMESPACE).key if len(armor) <= LARGEST else None
    except ValueError:
        return None


def signers(policy: Policy, content: bytes, armors: Iterable[bytes], now: datetime) -> frozenset[str]:
    """Return the policy owners of ``policy`` whose valid signature over ``content`` is among ``armors``."""
    return frozenset(person for armor in armors if (person := _signer(policy, content, armor, now)))


def lacking(old: Policy, new: Policy, armors: tuple[bytes, ...], now: datetime) -> tuple[str, ...]:
    """Say which signatures a version still lacks, a line for each version whose owners must sign; () if none."""
    judges = dict.fromkeys(policy.version for policy in (old, new))
    sides = {policy.version: policy for policy in (old, new)}
    return tuple(line for version in judges for line in _lacking(sides[version], new, armors, now))


def _lacking(judge: Policy, new: Policy, armors: tuple[bytes, ...], now: datetime) -> tuple[str, ...]:
    if judge.policy_quorum is None:
        return ()
    have = signers(judge, new.content, armors, now)
    if len(have) >= judge.policy_quorum:
        return ()
    rest = ", ".join(sorted(set(judge.groups[OWNERS]) - have)) or "nobody left"
    return (
        f"{judge.policy_quorum} policy owners of version {judge.version} must sign version {new.version}, "
        f"{len(have)} did ({', '.join(sorted(have)) or 'nobody'}); still can: {rest}",
    )


def _signer(policy: Policy, content: bytes, armor: bytes, now: datetime) -> str | None:
    if len(armor) > LARGEST:
        return None
    try:
        signed = signature.verify(content, armor, NAMESPACE)
    except ValueError:
        return None
    owner = policy.owner(signed.key)
    if owner is None or owner[1].fault(now) or owner[0].name not in policy.groups.get(OWNERS, ()):
        return None
    if owner[1].lacks(signed.proven):
        return None
    return owner[0].name


def _asks_owners(version: tuple[str, bytes]) -> bool:
    """Whether a version is strong, without judging the rest of it: its whole chain is then looked at."""
    return _parsed(version[1], version[0]).policy_quorum is not None


def _read(found: Versions, number: int) -> Policy:
    name, content = found[number]
    return _parsed(content, name)


@lru_cache(maxsize=8)
def _parsed(content: bytes, name: str) -> Policy:
    from okto_change.approval import schema  # and with it the YAML reader, where policies are read

    return schema.read(content, name)


def _demand_no_gap(found: Versions) -> None:
    missing = sorted(set(range(min(found), max(found) + 1)) - found.keys())
    if missing:
        raise NotAuthorised(
            f"version {missing[0]} of the policy is missing, though {max(found)} is there",
            where=found[max(found)][0],
            hint="versions stay where they are and are numbered without a gap; put it back",
        )


def _demand_not_behind(newest: int, mark: Mark) -> None:
    if newest < mark.version:
        raise NotAuthorised(
            f"the policy went back to version {newest}; version {mark.version} was there before",
            hint="find out who removed the newer one; to go back to old rules, write them as a new version",
        )


def _demand_unchanged(found: Versions, mark: Mark) -> None:
    if mark.version not in found or digest.sha256(found[mark.version][1]) != mark.sha256:
        raise NotAuthorised(
            f"version {mark.version} of the policy is not the one that was trusted before",
            where=found[mark.version][0] if mark.version in found else None,
            hint=f"put it back as it was, and write what is to change as version {max(found) + 1}; "
            "if it was rightly replaced, compare fingerprints again: okto-change trust init",
        )


def _demand_link(old: Policy, new: Policy, armors: tuple[bytes, ...], now: datetime) -> None:
    if new.repo != old.repo:
        raise NotAuthorised(f"version {new.version} of the policy is of another repository", where=new.file)
    strong = old.policy_quorum is not None or new.policy_quorum is not None
    expected = old.sha256.removeprefix("sha256:")
    if (strong or new.previous_sha256) and new.previous_sha256 != expected:
        raise NotAuthorised(
            f"version {new.version} of the policy does not follow on the version {old.version} that is here",
            where=new.file,
            hint=f"it must say: previous_sha256: {expected}",
        )
    _demand_quorum(old, new, armors, now)


def _demand_quorum(old: Policy, new: Policy, armors: tuple[bytes, ...], now: datetime) -> None:
    faults = lacking(old, new, armors, now)
    if faults:
        raise NotAuthorised(
            f"version {new.version} of the policy is not signed by its owners",
            where=new.file,
            faults=faults,
            hint="an owner signs with `okto-change policy sign`, and the signature is merged beside the policy",
        )
