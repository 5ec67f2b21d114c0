"""Privileges as they are -> the GRANT and REVOKE statements that make them what they were. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from okto_change.database.inverse import Record

Grant = tuple[str, str, str, bool]
"""grantor, grantee, privilege, whether it may be passed on; roles quoted by the server"""


def restoring(before: Iterable[Grant], now: Iterable[Grant], target: Record) -> tuple[str, ...]:
    """Return what takes back the privileges in ``now`` that were not there and grants those that were."""
    was, is_ = {_key(grant): grant for grant in before or ()}, {_key(grant): grant for grant in now or ()}
    revoked = [is_[key] for key in is_ if key not in was]
    passing = [is_[key] for key in is_ if key in was and is_[key][3] and not was[key][3]]
    granted = [was[key] for key in was if key not in is_ or (was[key][3] and not is_[key][3])]
    texts = [_sentence("REVOKE", "FROM", group, target) for group in _groups(revoked)]
    texts += [_sentence("REVOKE GRANT OPTION FOR", "FROM", group, target) for group in _groups(passing)]
    texts += [_sentence("GRANT", "TO", group, target, tail=True) for group in _groups(granted)]
    return tuple(texts)


def _key(grant: Grant) -> tuple[str, str, str]:
    return grant[0], grant[1], grant[2]


def _groups(grants: Iterable[Grant]) -> list[tuple[Grant, ...]]:
    """Put together what one statement can say: same grantor, grantee and option."""
    groups: dict[tuple[str, str, bool], list[Grant]] = {}
    for grant in grants:
        groups.setdefault((grant[0], grant[1], grant[3]), []).append(grant)
    return [tuple(group) for group in groups.values()]


def _sentence(verb: str, preposition: str, grants: tuple[Grant, ...], target: Record, *, tail: bool = False) -> str:
    grantor, grantee, _, passing = grants[0]
    column = f" ({target.get('name')})" if target.kind == "column" else ""
    privileges = ", ".join(f"{grant[2]}{column}" for grant in grants)
    option = " WITH GRANT OPTION" if tail and passing else ""
    if target.kind == "default privileges":
        return (
            f"ALTER DEFAULT PRIVILEGES {target.ref} {verb} {privileges} ON {target.get('objects')}"
            f" {preposition} {grantee}{option}"
        )
    text = f"{verb} {privileges} ON {_on(target)} {preposition} {grantee}{option}"
    if target.kind == "column" or grantor == target.get("owner"):
        return text
    return f"SET LOCAL ROLE {grantor}; {text}; RESET ROLE"


def _on(target: Record) -> str:
    match target.kind:
        case "column":
            return f"TABLE {target.get('table')}"
        case "sequence" | "schema":
            return f"{target.word} {target.ref}"
        case "routine":
            return f"{'PROCEDURE' if target.word == 'PROCEDURE' else 'FUNCTION'} {target.ref}"
        case "enum" | "domain" | "range" | "composite type" | "base type":
            return f"TYPE {target.ref}"
        case _:
            return f"TABLE {target.ref}"
