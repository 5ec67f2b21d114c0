"""What each command answers with, for people and machines to read: the results that are neither evidence nor a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from okto_change.model.base import type_
from okto_change.model.evidence import DryRun, Lock
from okto_change.model.found import Analysis
from okto_change.model.plan import ChangePlan, Risk
from okto_change.model.run import Progress


@type_
class NewChange:
    """A change that was just written: its id and the files, relative to the repository's root."""

    change: str
    paths: tuple[str, ...]


@type_
class CheckReport:
    """The plan and what analysis says of it, rendered for each of ``environments`` (none: as written)."""

    plan: ChangePlan
    analysis: Analysis
    environments: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    """SQL files of the change, relative to the repository, that the plan names nowhere"""


@type_
class LockWritten:
    """A compiled lock and where it stands. ``differences`` explains what moved since the lock that was there before."""

    lock: Lock
    path: str
    changed: bool
    differences: tuple[str, ...] = ()


@type_
class DryRunMade:
    """A dry run that was just made and stored as ``paths``. ``signed_by`` None: nobody signed it.

    ``unsigned`` says why not in an environment that asks for it, '' elsewhere.
    """

    dry_run: DryRun
    paths: tuple[str, ...]
    signed_by: str | None = None
    unsigned: str = ""


@type_
class Need:
    """How many people of a group must decide, how many have, and who still can."""

    group: str
    have: int
    need: int
    candidates: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether enough people of the group have decided."""
        return self.have >= self.need


@type_
class BallotLine:
    """One decision as found in git; ``reason`` says why it counts, or not. ``issued_at`` None if unreadable."""

    file: str
    signer: str
    decision: str
    counted: bool
    reason: str
    issued_at: datetime | None
    comment: str = ""


@type_
class Ballot:
    """Every decision on one lock, what is still needed, and what blocks (a rejection, a missing submit).

    ``notes`` say what else stands between the lock and a run, e.g. that it is not merged. ``excluded`` maps people who
    cannot approve it to the reason; ``rules`` are the ids of the policy's rules that match at this ``risk``.
    """

    change: str
    environment: str
    digest: str
    decisions: tuple[BallotLine, ...]
    needs: tuple[Need, ...]
    cleared: bool
    blocks: tuple[str, ...]
    notes: tuple[str, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    risk: Risk = Risk.LOW
    risk_reasons: tuple[str, ...] = ()
    ending: tuple[str, ...] = ()
    """what in the policy ends soon: the policy itself, somebody's last key"""


@type_
class DecisionRequest:
    """What a person is about to sign: exactly what will run, its evidence, and what policy still asks for.

    ``dry_run`` None means that there is none for this lock, ``dry_run_signed_by`` None that nobody's signature on it holds;
    ``warnings`` are things to know before signing (an ``irreversible`` line, a rehearsal that did not prove the undo).
    """

    decision: str
    change: str
    environment: str
    person: str
    reason: str
    incident: str | None
    lock: Lock
    dry_run: DryRun | None
    dry_run_signed_by: str | None = None
    ballot: Ballot | None = None
    warnings: tuple[str, ...] = ()


@type_
class Decided:
    """A decision signed and published: its file on the approvals branch, the plan digest, what is still missing."""

    file: str
    digest: str
    missing: tuple[str, ...]


@type_
class ReviewDebt:
    """A glass that was broken, and what its review still needs. ``statement`` is the id of the statement that broke it."""

    change: str
    environment: str
    statement: str
    digest: str
    signer: str
    incident: str
    reason: str
    at: datetime
    due: datetime
    needs: tuple[Need, ...]

    @property
    def settled(self) -> bool:
        """Whether everybody has reviewed it whom the policy asks for."""
        return all(need.met for need in self.needs)


@type_
class Reviews:
    """What was reviewed now, and what is still owed in the environment, in words."""

    change: str
    environment: str
    files: tuple[str, ...]
    owed: tuple[str, ...]


class Concern(StrEnum):
    """What a change asks of whoever is on call, the most urgent first."""

    RUNNING = "running now"
    STUCK = "stuck: a person must decide"
    PAUSED = "paused or partly applied"
    REVIEW = "review owed"
    READY = "cleared and not run"
    WAITING = "not cleared yet"
    ENDED = "ended"


@type_
class ChangeStatus:
    """Where a change stands: ``state`` a lifecycle state, a sentence in ``detail``, a command in ``next``.

    ``owed`` are the reviews of broken glass that are not complete, ``missing`` is what stands between the change and its
    run, a line each.
    """

    change: str
    environment: str
    title: str
    state: str
    run: str | None = None
    at: datetime | None = None
    digest: str | None = None
    detail: str | None = None
    next: str | None = None
    owed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    concern: Concern = Concern.ENDED


@type_
class Silence:
    """A target of an environment that gives no answer, what that hides (``hides``), and what to do about it."""

    environment: str
    target: str
    message: str
    hides: str
    hint: str | None = None


@type_
class StatusBoard:
    """Where every change stands, the most urgent first and the latest first among equals; and who could not be asked."""

    changes: tuple[ChangeStatus, ...]
    silent: tuple[Silence, ...] = ()
    ending: tuple[str, ...] = ()
    """what in the policy ends soon: the policy itself, somebody's last key"""


@type_
class ChangeView:
    """A change as a whole: its plan as written, its folder, where it stands in each environment.

    ``silent`` are the targets of those environments that give no answer.
    """

    plan: ChangePlan
    path: str
    statuses: tuple[ChangeStatus, ...]
    silent: tuple[Silence, ...] = ()


@type_
class AuditReport:
    """What verifying the journal found: number of entries, every problem in words (none: it holds).

    ``head`` is number and hash of the last entry, ``33:sha256:...``, None where there is none;
    ``notes`` say what could not be compared, e.g. a target that is out of reach.
    """

    environment: str
    entries: int
    head: str | None
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


@type_
class PurgedImages:
    """What stays of some images of a run: how many there were of which table or file, and their digest."""

    target: str
    change: str
    run: str
    unit: str
    object: str
    part: str
    rows: int
    digest: str


@type_
class Purge:
    """Images that were too old (``keep`` is in seconds), gone unless ``dry_run``.

    ``kept`` says which others must stay, ``silent`` names targets that could not be reached.
    """

    environment: str
    keep: int
    at: datetime
    dry_run: bool
    images: tuple[PurgedImages, ...]
    kept: tuple[str, ...]
    silent: tuple[str, ...] = ()


@type_
class TrashItem:
    """Something that was put aside instead of dropped: what it was, where it is, since when, and what drops it for good.

    ``bytes`` is None for a column.
    """

    target: str
    change: str
    run: str
    object: str
    place: str
    at: datetime
    bytes: int | None
    statement: str


@type_
class Trash:
    """What lies aside in an environment, oldest first in each target; ``silent`` names targets that could not be reached."""

    environment: str
    items: tuple[TrashItem, ...]
    silent: tuple[str, ...] = ()


@type_
class PauseAsked:
    """A run that was asked to stop before its next chunk: by whom, and how far it was."""

    run: str
    change: str
    environment: str
    target: str
    person: str
    undo: bool
    progress: Progress | None


@type_
class Diagnosis:
    """One thing that ``doctor`` looked at; ``hint`` says what to do when it is not well."""

    name: str
    ok: bool
    message: str
    hint: str | None = None


@type_
class TrustView:
    """What is trusted here: where it is fetched from, the policy in force, and what of it is pinned where.

    ``fingerprint`` is the policy's, to read out and compare; ``pin_file`` None: nothing is pinned. ``fetched_at`` is when
    the remote was last read, ``quorum`` how many owners sign a version (None: simple mode).
    """

    repo: str
    url: str
    protected_ref: str
    version: int
    fingerprint: str
    quorum: int | None
    pin_file: str | None
    system: bool
    pinned_version: int | None
    pinned_fingerprint: str | None
    fetched_at: datetime | None


@type_
class PolicyCheck:
    """A version of the policy as it lies in the working tree, beside the one in force (``old`` None: there is none).

    ``differences`` and ``effects`` are lines for people, ``warnings`` what could never be approved, ``lacking`` the
    owners' signatures that are missing.
    """

    file: str
    version: int
    old: int | None
    differences: tuple[str, ...]
    effects: tuple[str, ...]
    warnings: tuple[str, ...]
    lacking: tuple[str, ...]


@type_
class PolicySigned:
    """A signature over a version of the policy: whose, the file written, and what is still missing."""

    version: int
    person: str
    path: str
    lacking: tuple[str, ...]
