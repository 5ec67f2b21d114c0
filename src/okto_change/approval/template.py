"""The first policy of a repository, for ``init``, and the lines that enrol a person. Text only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from okto_change.approval.sshkeys import parse_line

_POLICY = """\
# Who may change what, and who must agree. It counts only as it stands on {protected_ref}.
# No password or connection string belongs here: name a libpq service, or the environment variable that holds the DSN.
version: 1
repo: {repo}
protected_ref: {protected_ref}
approvals_refs: [refs/heads/okto-approvals]

people:
{people}

groups:
  engineers: [{person}]
  approvers: [{person}]       # add a second person: nobody approves a change of their own
  oncall: [{person}]

environments:
{sandbox}\
  production:
    journal: {target}
    targets:
      {target}: {{postgres: {{dsn_env: OKTO_PRODUCTION_DSN}}}}
    dry_run: required
    demand: {{rows: true, touches: true}}
    max_approval_age: 72h
    submit: [engineers]
    execute: {{groups: [oncall], may_be_author: true}}

# Every rule that matches applies, with the largest number for each group; where no rule matches, nothing runs.
rules:
{sandbox_rule}\
  - {{id: production, when: {{env: [production]}}, require: {{approvers: 1}}}}
  - {{id: high-risk, when: {{env: [production], risk: [high]}}, require: {{approvers: 2}}}}
"""
_SANDBOX = """\
  sandbox:                    # play here: no decision is needed, and the plan may come from your own HEAD
    journal: {target}
    targets:
      {target}: {{postgres: {{dsn_env: OKTO_SANDBOX_DSN}}}}
    from_head: true
    dry_run: optional
"""
_SANDBOX_RULE = "  - {id: sandbox, when: {env: [sandbox]}, require: {}}\n"
_PERSON = """\
  {person}:
    emails: [{emails}]
    keys:
      - {{key: "{key}", valid_from: {since:%Y-%m-%dT%H:%M:%SZ}, valid_until: {until:%Y-%m-%dT%H:%M:%SZ}}}
"""
_KEY_LIFE = timedelta(days=365)


def template(
    *,
    repo: str,
    person: str,
    key: str,
    email: str | None = None,
    now: datetime | None = None,
    sandbox: bool = True,
    protected_ref: str = "refs/heads/main",
    target: str = "main",
) -> str:
    """Return the text of a first policy: ``repo`` a UUID, ``key`` a public key line, ``target`` the database's name."""
    return _POLICY.format(
        repo=repo,
        protected_ref=protected_ref,
        person=person,
        target=target,
        people=snippet(person=person, key=key, email=email, now=now).rstrip(),
        sandbox=_SANDBOX.format(target=target) if sandbox else "",
        sandbox_rule=_SANDBOX_RULE if sandbox else "",
    )


def snippet(*, person: str, key: str, email: str | None = None, now: datetime | None = None) -> str:
    """Return the lines under ``people:`` that enrol a person; raises ValueError for a key that a policy cannot name."""
    since = (now or datetime.now(UTC)).astimezone(UTC)
    return _PERSON.format(
        person=person, emails=email or "", key=parse_line(key).line, since=since, until=since + _KEY_LIFE
    )
