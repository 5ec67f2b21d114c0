"""The policy file's schema: strict YAML in, a Policy out, or every fault with its line. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from okto_change import digest, strictyaml
from okto_change.approval.fields import Fields
from okto_change.approval.rulebook import (
    NUMBERED,
    OWNERS,
    BreakGlass,
    Environment,
    Execute,
    FilesTarget,
    Freeze,
    Person,
    PersonKey,
    Policy,
    PostgresTarget,
    Rule,
    Target,
    Window,
)
from okto_change.approval.sshkeys import PublicKey, parse_line
from okto_change.approval.sshsig import PROOFS
from okto_change.model import Risk, StatementKind
from okto_change.strictyaml import Faults, Node

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ENVIRONMENT = re.compile(r"[a-z][a-z0-9-]{0,31}")
BRANCH = re.compile(r"refs/heads/[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*")
SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
COLUMN = re.compile(r'(("[^".]+"|[a-z_][a-z0-9_$]*)\.){1,2}("[^".]+"|[a-z_][a-z0-9_$]*|\*)')
HEX = re.compile(r"[0-9a-f]{64}")
REASON = re.compile(r"\S.{0,199}")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KINDS = ("sql", "edit", *(kind.value for kind in StatementKind))


def read(content: bytes, file: str) -> Policy:
    """Return the policy in ``content``; raises PlanError with all faults. ``file`` is its path, for messages."""
    faults = Faults()
    root = strictyaml.read(content, file, faults)
    policy = _Reader(faults).policy(root, content, file)
    number = NUMBERED.search(file)
    if number and int(number[1]) != policy.version and not len(faults):
        faults.add(root.place("version"), f"expected version {int(number[1])}, as the file's name says")
    faults.stop("the policy", "correct the lines named; okto-change reads the policy from the protected branch only")
    return policy


class _Reader(Fields):
    """Reads nodes into the policy's domain types."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self._owners: dict[PublicKey, str] = {}

    def policy(self, root: Node, content: bytes, file: str) -> Policy:
        """Return the whole policy."""
        self.refuse_secrets(root)
        part = self.fields(
            root,
            "version repo protected_ref approvals_refs people groups environments rules",
            "expires previous_sha256 policy_quorum",
        )
        people = {name: self._person(name, node) for name, node in self.named(part.get("people"), NAME, "a person")}
        groups = {
            name: self.known(node, people, "person") for name, node in self.named(part.get("groups"), NAME, "a group")
        }
        environments = {
            name: self._environment(name, node, groups)
            for name, node in self.named(part.get("environments"), ENVIRONMENT, "an environment")
        }
        return Policy(
            previous_sha256=self.text(
                part.get("previous_sha256"), HEX, "64 hexadecimal digits, as sha256sum prints them"
            ),
            policy_quorum=self._quorum(part.get("policy_quorum"), groups),
            file=file,
            content=content,
            sha256=digest.sha256(content),
            people=people,
            groups=groups,
            environments=environments,
            rules=self._rules(part.get("rules"), groups, environments),
            version=self.number(part.get("version"), 1, 9999, "the version, a number from 1 on", 1),
            repo=self.text(part.get("repo"), UUID, "the repository's UUID, in lower case"),
            protected_ref=self.text(part.get("protected_ref"), BRANCH, "a branch such as refs/heads/main"),
            approvals_refs=self._branches(part.get("approvals_refs")),
            expires=self.moment(part.get("expires")),
        )

    def _quorum(self, node: Node | None, groups: Mapping[str, tuple[str, ...]]) -> int | None:
        if node is None:
            return None
        quorum = self.number(node, 1, 99, "a number of policy owners", 1)
        owners = groups.get(OWNERS, ())
        if len(owners) < quorum:
            self._faults.add(
                node.where, f"expected at least {quorum} people in the group {OWNERS}, found {len(owners)}"
            )
        return quorum

    def _person(self, name: str, node: Node) -> Person:
        part = self.fields(node, "keys", "emails")
        emails = self.texts(part.get("emails"), re.compile(r"[^@\s]+@[^@\s]+"), "an e-mail address")
        keys = tuple(key for item in self.items(part.get("keys"), "keys") if (key := self._key(name, item)))
        return Person(name=name, emails=emails, keys=keys)

    def _key(self, person: str, node: Node) -> PersonKey | None:
        part = self.fields(node, "key valid_from", "valid_until revoked require")
        line = part.get("key")
        if line is None:
            return None
        try:
            key = parse_line(line.text or "")
        except (ValueError, UnicodeDecodeError) as error:
            self._faults.add(line.where, f"expected an SSH public key: {error}")
            return None
        if key in self._owners:
            self._faults.add(
                line.where,
                f"this key stands here for {person} and already for {self._owners[key]}; "
                "a key belongs to one person and stands once",
            )
        self._owners[key] = person
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        since, until = self.moment(part.get("valid_from")) or epoch, self.moment(part.get("valid_until"))
        if until is not None and until <= since:
            self.expected(part["valid_until"], "a moment after valid_from")
        require = self.known(part.get("require"), PROOFS, "proof (touch, pin)")
        if require and not key.is_security_key:
            self.expected(
                part["require"], "a security key here (sk-ssh-ed25519, sk-ecdsa): only those vouch for touch and PIN"
            )
        revoked = self.moment(part.get("revoked"))
        return PersonKey(key=key, valid_from=since, valid_until=until, revoked=revoked, require=require)

    def _environment(self, name: str, node: Node, groups: Mapping[str, Any]) -> Environment:
        part = self.fields(
            node,
            "targets",
            "journal from_head max_approval_age dry_run demand submit execute veto single_use policy_change "
            "revoke exclude_contributors windows freezes break_glass images",
        )
        targets = {key: self._target(key, item) for key, item in self.named(part.get("targets"), NAME, "a target")}
        demand = self.fields(part.get("demand"), "", "rows touches")
        images = self.fields(part.get("images"), "", "keep")
        dry_run, dry_run_signers = self._dry_run(part.get("dry_run"), groups)
        policy_change = self.choice(part.get("policy_change"), ("void", "keep"), "void")
        return Environment(
            name=name,
            targets=targets,
            journal=self._journal(node, part.get("journal"), targets),
            from_head=self.boolean(part.get("from_head"), False),
            demand_rows=self.boolean(demand.get("rows"), False),
            demand_touches=self.boolean(demand.get("touches"), False),
            max_approval_age=self.duration(part.get("max_approval_age"), 72 * 3600),
            dry_run=dry_run,
            dry_run_signers=dry_run_signers,
            execute=self._execute(part.get("execute"), groups),
            submit=self.known(part.get("submit"), groups, "group"),
            veto=self.known(part.get("veto"), groups, "group"),
            single_use=self.boolean(part.get("single_use"), True),
            policy_change="keep" if policy_change == "keep" else "void",
            keep_images=self.duration(images.get("keep"), 90 * 86400),
            revoke=self.known(part.get("revoke"), groups, "group"),
            exclude_contributors=self._contributors(part.get("exclude_contributors")),
            windows=tuple(self._window(item) for item in self.items(part.get("windows"), "windows")),
            freezes=tuple(self._freeze(item) for item in self.items(part.get("freezes"), "freezes")),
            break_glass=self._break_glass(part.get("break_glass"), groups),
        )

    def _dry_run(
        self, node: Node | None, groups: Mapping[str, Any]
    ) -> tuple[Literal["required", "optional"], tuple[str, ...]]:
        """Return whether approvals need a dry run, and the groups that must have signed it: ``{signers: [ci]}``."""
        if node is None or not node.mapping:
            chosen = self.choice(node, ("required", "optional"), "required")
            return ("optional" if chosen == "optional" else "required"), ()
        signers = self.known(self.fields(node, "signers", "").get("signers"), groups, "group")
        if not signers:
            self.expected(node, "at least one group that signs dry runs")
        return "required", signers

    def _contributors(self, node: Node | None) -> Literal["off", "authors", "committers"]:
        chosen = self.choice(node, ("off", "authors", "committers"), "off")
        return "authors" if chosen == "authors" else "committers" if chosen == "committers" else "off"

    def _window(self, node: Node) -> Window:
        part = self.fields(node, "from until zone", "days")
        days = self.known(part.get("days"), DAYS, "day") or DAYS
        start, end = self.clock(part.get("from")), self.clock(part.get("until"))
        if start == end and {"from", "until"} <= part.keys():
            self.expected(part["until"], "another time than 'from:'")
        zone = self.zone(part.get("zone"))
        return Window(days=tuple(DAYS.index(day) for day in days), start=start, end=end, zone=zone)

    def _freeze(self, node: Node) -> Freeze:
        part = self.fields(node, "from until reason", "")
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        since, until = self.moment(part.get("from")) or epoch, self.moment(part.get("until")) or epoch
        if until <= since and {"from", "until"} <= part.keys():
            self.expected(part["until"], "a moment after 'from:'")
        return Freeze(since=since, until=until, reason=self.text(part.get("reason"), REASON, "a line of text"))

    def _break_glass(self, node: Node | None, groups: Mapping[str, Any]) -> BreakGlass | None:
        if node is None:
            return None
        part = self.fields(node, "execute review", "require valid")
        review = self.fields(part.get("review"), "require", "within")
        execute, after = self.known(part.get("execute"), groups, "group"), self.numbers(review.get("require"), groups)
        for key, found in (("execute", execute), ("review", after)):
            if key in part and not found:
                self.expected(
                    part[key], "at least one group: a broken glass is somebody's, and is looked at afterwards"
                )
        return BreakGlass(
            execute=execute,
            require=self.numbers(part.get("require"), groups),
            review=after,
            valid=self.duration(part.get("valid"), 3600),
            within=self.duration(review.get("within"), 48 * 3600),
        )

    def _execute(self, node: Node | None, groups: Mapping[str, Any], *, author: bool = False) -> Execute:
        """Return who may execute; ``author`` is whether the author may where nothing is said."""
        part = self.fields(node, "", "groups may_be_author may_be_approver")
        return Execute(
            groups=self.known(part.get("groups"), groups, "group"),
            may_be_author=self.boolean(part.get("may_be_author"), author),
            may_be_approver=self.boolean(part.get("may_be_approver"), True),
        )

    def _target(self, name: str, node: Node) -> Target:
        if "files" in node.mapping:
            part = self.fields(self.fields(node, "files", "").get("files"), "", "root root_env")
            self.one_of(node, part, "root", "root_env")
            root = self.text(part.get("root"), re.compile(r"/[^\0]*"), "an absolute path") or None
            return FilesTarget(name=name, root=root, root_env=self.variable(part.get("root_env")))
        part = self.fields(node, "postgres", "database system_identifier sensitive")
        place = self.fields(part.get("postgres"), "", "service dsn_env")
        self.one_of(node, place, "service", "dsn_env")
        return PostgresTarget(
            name=name,
            service=self.text(place.get("service"), SERVICE, "the name of a libpq service") or None,
            dsn_env=self.variable(place.get("dsn_env")),
            database=self.text(part.get("database"), re.compile(r".{1,63}"), "a database's name") or None,
            system_identifier=self.text(
                part.get("system_identifier"),
                re.compile(r"[0-9]{1,20}"),
                "digits, as SELECT system_identifier FROM pg_control_system() gives them",
            )
            or None,
            sensitive=self.texts(part.get("sensitive"), COLUMN, "a column such as public.cards.pan or cards.pan"),
        )

    def _journal(self, node: Node, journal: Node | None, targets: Mapping[str, Target]) -> str:
        databases = [name for name, target in targets.items() if isinstance(target, PostgresTarget)]
        if journal is None and len(databases) == 1:
            return databases[0]
        if journal is None:
            self._faults.add(node.where, "expected a line 'journal:' that names the database keeping the audit trail")
        elif journal.text not in databases:
            self.expected(journal, f"a database target of this environment ({', '.join(databases) or 'none'})")
        return (journal.text if journal else None) or ""

    def _rules(self, node: Node | None, groups: Mapping[str, Any], environments: Mapping[str, Any]) -> tuple[Rule, ...]:
        rules = tuple(self._rule(item, groups, environments) for item in self.items(node, "rules"))
        for index, rule in enumerate(rules):
            if rule.id in [earlier.id for earlier in rules[:index]] and node is not None:
                self._faults.add(node.sequence[index].where, f"the rule id {rule.id!r} stands here again")
        return rules

    def _rule(self, node: Node, groups: Mapping[str, Any], environments: Mapping[str, Any]) -> Rule:
        part = self.fields(node, "id require", "when execute signed_with")
        when = self.fields(part.get("when"), "", "env risk objects paths kind rows")
        pattern = re.compile(r"\S+")
        return Rule(
            id=self.text(part.get("id"), NAME, "a rule's id"),
            when_env=self.known(when.get("env"), environments, "environment"),
            when_risk=self.known(when.get("risk"), [risk.value for risk in Risk], "risk"),
            when_objects=self.texts(when.get("objects"), pattern, "a pattern such as ledger.*"),
            when_paths=self.texts(when.get("paths"), pattern, "a pattern such as routing/**"),
            when_kind=self.known(when.get("kind"), KINDS, "kind"),
            when_rows=self.number(when.get("rows"), 1, 999_999_999, "a number of rows", 0) or None,
            require=self.numbers(part.get("require"), groups),
            signed_with=self.known(part.get("signed_with"), PROOFS, "proof (touch, pin)"),
            execute=self._execute(part["execute"], groups, author=True) if "execute" in part else None,
        )

    def _branches(self, node: Node | None) -> tuple[str, ...]:
        branches = self.texts(node, BRANCH, "a branch such as refs/heads/okto-approvals")
        if node is not None and not branches:
            self.expected(node, "at least one branch for decisions")
        return branches
