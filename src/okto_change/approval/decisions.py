"""Decision files as found in git -> decisions whose signatures were checked against the policy's keys. Counts nothing.

What cannot be tied to a known person is ignored with a reason, so that nobody can block a change with garbage. What a
known person validly signed but this version does not understand blocks: it might be a rejection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from okto_change.approval import signature, sshkeygen, statement
from okto_change.approval.decisionfile import DecisionFile as DecisionFile
from okto_change.approval.rulebook import PersonKey, Policy
from okto_change.approval.statement import Statement
from okto_change.errors import NotAuthorised
from okto_change.model.base import type_


@type_
class Decision:
    """A decision file after its signature was checked. ``person`` None: nobody known signed it, see ``problem``.

    ``statement`` None with a person: validly signed but not understood, which blocks. ``id`` is the statement's id,
    ``proven`` what a security key vouched for.
    """

    file: str
    at_tip: bool
    id: str = ""
    person: str | None = None
    key: PersonKey | None = None
    statement: Statement | None = None
    problem: str | None = None
    proven: tuple[str, ...] = ()

    @property
    def not_understood(self) -> bool:
        """Whether a known person validly signed something that cannot be read."""
        return self.person is not None and self.statement is None

    @property
    def issued_at(self) -> datetime | None:
        """When it was signed, by the signer's own clock."""
        return self.statement.issued_at if self.statement else None


def examine(policy: Policy, files: Iterable[DecisionFile], *, second_opinion: bool = False) -> tuple[Decision, ...]:
    """Return every file as a decision, duplicates included, in the order given.

    With ``second_opinion``, ``ssh-keygen`` (where there is one) must agree with every accepted signature; raises
    NotAuthorised where it does not.
    """
    if not second_opinion:
        return tuple(_examine(policy, file, None) for file in files)
    with sshkeygen.Opinions() as opinions:
        found = tuple(_examine(policy, file, opinions) for file in files)
        refused = opinions.refused()
    if refused:
        raise NotAuthorised(
            f"ssh-keygen does not accept the signature of {refused[0]}, which looks valid here",
            hint="somebody may be attacking the verification itself; keep the file and report it",
        )
    return found


def _examine(policy: Policy, file: DecisionFile, opinions: sshkeygen.Opinions | None) -> Decision:
    if file.content is None or file.problem:
        return Decision(file=file.file, at_tip=file.at_tip, problem=file.problem or "it was not read")
    try:
        content, armor = statement.split(file.content)
        signed = signature.verify(content, armor)
    except ValueError as error:
        return Decision(file=file.file, at_tip=file.at_tip, problem=str(error))
    found = _attribute(policy, file, content, signed)
    if opinions is not None and found.person is not None:
        opinions.ask(file.file, content, armor, signed.key)
    return found


def _attribute(policy: Policy, file: DecisionFile, content: bytes, signed: signature.Signature) -> Decision:
    """Tie a valid signature to the person whose key made it, then read what was signed."""
    owner = policy.owner(signed.key)
    if owner is None:
        problem = f"signed with the unknown key {signed.key.fingerprint}"
        return Decision(file=file.file, at_tip=file.at_tip, problem=problem)
    person, key = owner
    if fault := key.lacks(signed.proven):
        problem = f"{person.name}'s security key signed it {fault}"
        return Decision(file=file.file, at_tip=file.at_tip, problem=problem)
    signed_by = Decision(
        file=file.file,
        at_tip=file.at_tip,
        id=statement.identify(content),
        person=person.name,
        key=key,
        proven=signed.proven,
    )
    try:
        return replace(signed_by, statement=statement.parse(content))
    except statement.BadStatement as error:
        return replace(signed_by, problem=f"signed by {person.name}, not understood: {error}")
