"""The decision file: a canonical JSON statement in in-toto's shape, followed by the signature over exactly those bytes.

One file a decision, written once. File names carry no authority; a statement's id is the sha256 of its bytes (not of
the file, since some signatures differ every time).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, get_args

from okto_change import digest
from okto_change.approval.decisionfile import LARGEST as LARGEST
from okto_change.approval.sshsig import BEGIN
from okto_change.masking import mask
from okto_change.model.base import type_
from okto_change.model.moment import SECONDS, moment
from okto_change.plaintext import problems

DecisionKind = Literal["submit", "approve", "reject", "revoke", "break-glass", "review"]
DECISIONS: tuple[str, ...] = get_args(DecisionKind)
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://okto-change.dev/decision/v1"
LONGEST_COMMENT = 4_000

_SEPARATOR = f"\n{BEGIN}\n".encode("ascii")
_HEX = re.compile(r"[0-9a-f]{64}")
_PATTERNS = {
    "change": re.compile(r"[a-z0-9][a-z0-9-]{2,79}"),
    "environment": re.compile(r"[a-z][a-z0-9-]{0,31}"),
    "repo": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "nonce": re.compile(r"[0-9a-f]{32}"),
    "signer": re.compile(r"[a-z0-9][a-z0-9._-]{0,63}"),
    "role": re.compile(r"([a-z0-9][a-z0-9._-]{0,63})?"),
    "of": re.compile(r"([a-z0-9][a-z0-9._-]{0,63})?"),
    "about": re.compile(r"([0-9a-f]{64})?"),
    "incident": re.compile(r"([A-Za-z0-9][A-Za-z0-9._:/#-]{0,99})?"),
    "policy_sha256": _HEX,
    "dry_run_facts_sha256": re.compile(r"([0-9a-f]{64})?"),
    "dry_run_report_sha256": re.compile(r"([0-9a-f]{64})?"),
}


class BadStatement(ValueError):
    """The bytes are no decision statement of this version; the message says what is wrong."""


@type_
class Statement:
    """What a person signed. ``digest`` is the plan digest, ``sha256:<hex>``; ``*_sha256`` are bare hex or ''.

    ``of`` is the person whose decisions a ``revoke`` takes away ('' for one's own), ``about`` the id of the break-glass
    statement that a ``review`` is about, ``incident`` what the glass was broken for; '' in other decisions.
    """

    about: str
    change: str
    comment: str
    decision: str
    digest: str
    dry_run_facts_sha256: str
    dry_run_report_sha256: str
    environment: str
    expires_at: datetime
    incident: str
    issued_at: datetime
    max_runs: int
    nonce: str
    of: str
    policy_sha256: str
    repo: str
    role: str
    signer: str

    @property
    def subject(self) -> str:
        """The name that the statement's one subject carries."""
        return f"lock:{self.change}@{self.environment}"

    def content(self) -> bytes:
        """Return the canonical bytes that are signed."""
        predicate = {name: getattr(self, name) for name in _PREDICATE}
        for name in ("expires_at", "issued_at"):
            predicate[name] = predicate[name].astimezone(UTC).strftime(SECONDS)
        subject = {"digest": {"sha256": bare(self.digest)}, "name": self.subject}
        return digest.canonical(
            {"_type": STATEMENT_TYPE, "predicate": predicate, "predicateType": PREDICATE_TYPE, "subject": [subject]}
        )


_PREDICATE = tuple(name for name in Statement.__annotations__ if name != "digest")


def build(
    *,
    repo: str,
    change: str,
    environment: str,
    plan_digest: str,
    decision: str,
    signer: str,
    role: str,
    issued_at: datetime,
    expires_at: datetime,
    policy_sha256: str,
    comment: str = "",
    dry_run_facts_sha256: str = "",
    dry_run_report_sha256: str = "",
    nonce: str | None = None,
    of: str = "",
    about: str = "",
    incident: str = "",
) -> bytes:
    """Return the canonical bytes to sign; digests are taken with or without ``sha256:``. Raises BadStatement.

    A card number in the comment is masked: the statement is kept in git for good.
    """
    content = Statement(
        change=change,
        comment=mask(comment),
        decision=decision,
        digest=plan_digest,
        environment=environment,
        dry_run_facts_sha256=bare(dry_run_facts_sha256),
        dry_run_report_sha256=bare(dry_run_report_sha256),
        expires_at=expires_at,
        issued_at=issued_at,
        max_runs=1,
        nonce=nonce or os.urandom(16).hex(),
        policy_sha256=bare(policy_sha256),
        repo=repo,
        role=role,
        signer=signer,
        of=of,
        about=bare(about),
        incident=incident,
    ).content()
    parse(content)
    return content


def parse(content: bytes) -> Statement:
    """Return the statement in ``content``; raises BadStatement unless it is exactly one of this version, canonical."""
    try:
        value = digest.parse(content)
    except (ValueError, RecursionError) as error:
        raise BadStatement(f"not canonical JSON: {error}") from error
    document = _exactly(value, {"_type", "predicate", "predicateType", "subject"}, "the statement")
    if (document["_type"], document["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise BadStatement("it is of another type or version")
    predicate = _exactly(document["predicate"], set(_PREDICATE), "the predicate")
    statement = Statement(**_values(predicate), digest=_digest(document["subject"]))
    if document["subject"][0]["name"] != statement.subject:
        raise BadStatement("its subject names another change or environment than its predicate")
    return statement


def identify(content: bytes) -> str:
    """Return a statement's id: the bare hex sha256 of its bytes."""
    return sha256(content).hexdigest()


def join(content: bytes, armor: bytes) -> bytes:
    """Return the decision file of a statement and its armored signature."""
    return content + armor


def split(file: bytes) -> tuple[bytes, bytes]:
    """Return the statement and the armor of a decision file; raises BadStatement where it holds no signature."""
    at = file.find(_SEPARATOR)
    if at < 0:
        raise BadStatement("there is no SSH signature in it")
    return file[: at + 1], file[at + 1 :]


def file_name(statement: Statement) -> str:
    """Return the name of its file: ``<signer>-<decision>-<12hex>.signed``, unique for each statement."""
    return f"{statement.signer}-{statement.decision}-{identify(statement.content())[:12]}.signed"


def folder(change: str, environment: str) -> str:
    """Return the folder of decisions on the approvals branch."""
    return f"decisions/{change}/{environment}"


def bare(value: str) -> str:
    """Return a digest without its ``sha256:``."""
    return value.removeprefix("sha256:")


def _exactly(value: Any, keys: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadStatement(f"{what} is no object")
    if value.keys() != keys:
        odd = sorted(value.keys() ^ keys)
        raise BadStatement(f"{what} lacks or adds {', '.join(name[:40] for name in odd[:5])}")
    return value


def _values(predicate: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(predicate)
    for name, item in values.items():
        if not isinstance(item, int if name == "max_runs" else str) or isinstance(item, bool):
            raise BadStatement(f"{name} has the wrong type")
    for name, pattern in _PATTERNS.items():
        if not pattern.fullmatch(values[name]):
            raise BadStatement(f"{name} is not in its form")
    if values["decision"] not in DECISIONS:
        raise BadStatement(f"the decision {values['decision'][:40]!r} is unknown to this version")
    if values["max_runs"] != 1:
        raise BadStatement("max_runs must be 1")
    _lint(values["comment"])
    _fit(values)
    return values | {name: _moment(values[name]) for name in ("expires_at", "issued_at")}


def _fit(values: Mapping[str, Any]) -> None:
    """Demand the fields that a kind of decision needs, and none that it has no use for."""
    decision = values["decision"]
    if bool(values["about"]) != (decision == "review"):
        raise BadStatement("exactly a review says which statement it is about")
    if bool(values["incident"]) != (decision == "break-glass"):
        raise BadStatement("exactly a break-glass statement names an incident")
    if values["of"] and decision not in {"revoke", "review"}:
        raise BadStatement(f"{decision} is no decision about somebody else's")
    if decision in {"break-glass", "review"} and not values["comment"].strip():
        raise BadStatement(f"{decision} needs a reason")


def _lint(comment: str) -> None:
    found = problems(comment)
    if found or len(comment) > LONGEST_COMMENT:
        reason = found[0][1] if found else f"it is longer than {LONGEST_COMMENT} characters"
        raise BadStatement(f"the comment cannot be accepted: {reason}")


def _moment(text: str) -> datetime:
    try:
        return moment(text)
    except ValueError as error:
        raise BadStatement("a moment is not in the form 2026-11-22T17:00:00Z") from error


def _digest(subject: Any) -> str:
    if not isinstance(subject, list) or len(subject) != 1:
        raise BadStatement("it must have exactly one subject")
    one = _exactly(subject[0], {"digest", "name"}, "the subject")
    value = _exactly(one["digest"], {"sha256"}, "the digest")["sha256"]
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise BadStatement("its digest is no sha256")
    return f"sha256:{value}"
