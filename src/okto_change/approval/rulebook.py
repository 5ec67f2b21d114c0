"""The policy's domain types: people and their keys, targets, environments, rules. Pure data, read by ``schema``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from okto_change.approval.sshkeys import PublicKey
from okto_change.errors import UsageError
from okto_change.model.base import type_

NUMBERED = re.compile(r"(?:^|/)([0-9]{4})\.yaml$")
"""the file of a version of the policy"""
WITHOUT = {"touch": "without being touched", "pin": "without its PIN"}
"""what a security key did not vouch for, in words"""


@type_
class PersonKey:
    """A person's key and when it counts; ``valid_until`` and ``revoked`` None mean never.

    ``require`` is what a security key must vouch for in each signature: ``touch``, ``pin``.
    """

    key: PublicKey
    valid_from: datetime
    valid_until: datetime | None
    revoked: datetime | None
    require: tuple[str, ...] = ()

    def lacks(self, proven: tuple[str, ...]) -> str | None:
        """Say what a signature by this key lacks, given what it has ``proven``; None if nothing. A touch is always asked."""
        asked = ("touch", *self.require) if self.key.is_security_key else self.require
        missing = tuple(word for word in asked if word not in proven)
        return WITHOUT[missing[0]] if missing else None

    def fault(self, at: datetime) -> str | None:
        """Say why the key does not count at ``at``; None if it does. A revoked key never counts."""
        if self.revoked is not None:
            return f"the key was revoked on {self.revoked:%Y-%m-%d}"
        if at < self.valid_from:
            return f"the key is valid only from {self.valid_from:%Y-%m-%d %H:%MZ} on"
        if self.valid_until is not None and at >= self.valid_until:
            return f"the key ended at {self.valid_until:%Y-%m-%d %H:%MZ}"
        return None


@type_
class Person:
    """Somebody who may sign. People, not keys or e-mail addresses, are counted."""

    name: str
    emails: tuple[str, ...]
    keys: tuple[PersonKey, ...]

    def can_sign(self, at: datetime, *, touching: bool = False) -> bool:
        """Whether any key of theirs counts at ``at``; with ``touching``, any security key."""
        return any(key.fault(at) is None and (not touching or key.key.is_security_key) for key in self.keys)


@type_
class PostgresTarget:
    """A database, named by a libpq service or by the environment variable that holds its connection string."""

    name: str
    service: str | None
    dsn_env: str | None
    database: str | None = None
    system_identifier: str | None = None
    sensitive: tuple[str, ...] = ()
    """columns whose values are shown nowhere, ``schema.table.column`` or ``table.column``; ``*`` for every column"""

    @property
    def kind(self) -> str:
        """``postgres``: SQL steps run here."""
        return "postgres"

    def entry(self) -> dict[str, Any]:
        """Return what the lock says of the target; never a secret."""
        place = {"service": self.service, "dsn_env": self.dsn_env}
        expected = {"database": self.database, "system_identifier": self.system_identifier}
        return _present({"name": self.name, "postgres": _present(place)} | expected)


@type_
class FilesTarget:
    """A folder of config files: an absolute path, or the environment variable that holds it."""

    name: str
    root: str | None
    root_env: str | None

    @property
    def kind(self) -> str:
        """``files``: edits are made here."""
        return "files"

    def entry(self) -> dict[str, Any]:
        """Return what the lock says of the target."""
        return {"name": self.name, "files": _present({"root": self.root, "root_env": self.root_env})}


Target = PostgresTarget | FilesTarget
OWNERS = "policy-owners"
"""the group whose members sign versions of the policy, where it asks for that"""


@type_
class Execute:
    """Who may run a change; no groups means anybody."""

    groups: tuple[str, ...] = ()
    may_be_author: bool = False
    may_be_approver: bool = True


@type_
class Window:
    """When runs may start: on these days (0 is Monday), from ``start`` to ``end`` in minutes of the day in ``zone``.

    ``end`` before ``start`` lies on the next day. ``zone`` is a name of the IANA database.
    """

    days: tuple[int, ...]
    start: int
    end: int
    zone: str


@type_
class Freeze:
    """When no run may start, and why; ``until`` is the first moment after it."""

    since: datetime
    until: datetime
    reason: str


@type_
class BreakGlass:
    """How an emergency may pass the rules: who may break the glass, the approvals that are asked for even then.

    ``valid`` and ``within`` are in seconds: how long the statement holds, how soon ``review`` must have its people.
    """

    execute: tuple[str, ...]
    require: Mapping[str, int]
    valid: int
    review: Mapping[str, int]
    within: int


@type_
class Environment:
    """One environment as policy describes it. ``max_approval_age`` is in seconds.

    ``submit`` names the groups whose members may submit (none: anybody known), ``veto`` those whose reject blocks
    (none: everybody who may approve). ``from_head`` lets the user's own HEAD stand in for the protected branch's plan.
    ``policy_change`` says whether approvals given under another version of the policy count. ``revoke`` names the groups
    whose members may revoke anybody's decisions (none: the group ``security``, where there is one).
    ``exclude_contributors`` keeps people from approving whose e-mail stands in commits on the change: as author or
    co-author, or as committer too. No ``windows`` means at any time; no ``break_glass``, that there is no way round.
    """

    name: str
    journal: str
    targets: Mapping[str, Target]
    from_head: bool = False
    max_approval_age: int = 72 * 3600
    dry_run: Literal["required", "optional"] = "required"
    dry_run_signers: tuple[str, ...] = ()
    """groups, of which somebody must have signed the dry run; none: it need not be signed"""
    demand_rows: bool = False
    demand_touches: bool = False
    submit: tuple[str, ...] = ()
    execute: Execute = Execute()
    veto: tuple[str, ...] = ()
    single_use: bool = True
    policy_change: Literal["void", "keep"] = "void"
    keep_images: int = 90 * 86400
    """seconds for which the rows that a run found and left are kept, after that `purge` takes them away"""
    revoke: tuple[str, ...] = ()
    exclude_contributors: Literal["off", "authors", "committers"] = "off"
    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    break_glass: BreakGlass | None = None

    def target_entries(self) -> dict[str, dict[str, Any]]:
        """Return every target's entry for the lock, by name."""
        return {name: target.entry() for name, target in self.targets.items()}


@type_
class Rule:
    """Who must approve what: every ``when_*`` that is not empty must match, ``require`` maps groups to numbers.

    ``when_rows`` matches what may write that many rows or more. ``execute`` adds to what the environment asks of whoever
    runs it.
    """

    id: str
    when_env: tuple[str, ...]
    when_risk: tuple[str, ...]
    when_objects: tuple[str, ...]
    when_paths: tuple[str, ...]
    when_kind: tuple[str, ...]
    require: Mapping[str, int]
    when_rows: int | None = None
    execute: Execute | None = None
    signed_with: tuple[str, ...] = ()
    """what a security key must vouch for in the approvals of these groups: ``touch``, ``pin``"""


@type_
class Policy:
    """The policy as it stands in one file at one commit. ``content`` are its bytes, ``sha256`` their digest.

    ``previous_sha256`` is the bare digest of the version before ('' where it says none). ``policy_quorum`` is how many of
    the group ``policy-owners`` must sign a version (None: nobody, the protected branch alone decides).
    """

    file: str
    content: bytes
    sha256: str
    version: int
    repo: str
    protected_ref: str
    approvals_refs: tuple[str, ...]
    expires: datetime | None
    people: Mapping[str, Person]
    groups: Mapping[str, tuple[str, ...]]
    environments: Mapping[str, Environment]
    rules: tuple[Rule, ...]
    previous_sha256: str = ""
    policy_quorum: int | None = None

    def environment(self, name: str) -> Environment:
        """Return an environment; raises UsageError that lists the known ones."""
        if name not in self.environments:
            known = ", ".join(sorted(self.environments)) or "none"
            raise UsageError(
                f"there is no environment {name!r} in the policy",
                where=self.file,
                hint=f"environments: {known}; the policy counts as it stands on {self.protected_ref}",
            )
        return self.environments[name]

    def owner(self, key: PublicKey) -> tuple[Person, PersonKey] | None:
        """Return whose key this is, whether or not it counts now; None for an unknown key."""
        for person in self.people.values():
            for candidate in person.keys:
                if candidate.key == key:
                    return person, candidate
        return None

    def members(self, groups: tuple[str, ...]) -> frozenset[str]:
        """Return the people in any of ``groups``."""
        return frozenset(person for group in groups for person in self.groups[group])

    def revokers(self, environment: Environment) -> frozenset[str]:
        """Return the people who may revoke anybody's decisions in ``environment``."""
        usual = ("security",) if "security" in self.groups else ()
        return self.members(environment.revoke or usual)

    def people_of(self, email: str) -> tuple[str, ...]:
        """Return the people that an e-mail address stands for; upper and lower case are one."""
        wanted = email.strip().casefold()
        return tuple(
            name for name, person in self.people.items() if wanted in (known.casefold() for known in person.emails)
        )

    def groups_of(self, person: str) -> tuple[str, ...]:
        """Return the groups that ``person`` is in, in the policy's order."""
        return tuple(group for group, people in self.groups.items() if person in people)


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
