"""One part of an object as it was and as it is -> the statements that set it back, alternatives in order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from okto_change.database.inverse import Record
from okto_change.execution.inverse import making

Texts = tuple[str, ...]
"""alternatives: the first that the server takes is the one"""
Setter = Callable[[Record, Record], Texts]
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_COMPRESSION = {"p": "pglz", "l": "lz4"}
_ENABLED = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def name(before: Record, now: Record) -> Texts:
    """Rename back; under a name of passage where another object still has the old one."""
    passage = f'"okto_change_{now.id.replace(":", "_")}"'
    return tuple(_rename(now, to) for to in (before.get("name"), passage))


def aside(created: Record) -> Texts:
    """Rename out of the way what has the name that something else had before."""
    return name(created, created)[1:]


def _rename(now: Record, to: str) -> str:
    table, own = now.get("table"), now.get("name")
    match now.kind:
        case "column":
            return f"ALTER TABLE {table} RENAME COLUMN {own} TO {to}"
        case "attribute":
            return f"ALTER TYPE {table} RENAME ATTRIBUTE {own} TO {to}"
        case "constraint":
            return f"ALTER {'DOMAIN' if now.get('domain') else 'TABLE'} {table} RENAME CONSTRAINT {own} TO {to}"
        case "trigger" | "rule" | "policy":
            return f"ALTER {now.word} {own} ON {table} RENAME TO {to}"
        case _:
            return f"ALTER {now.word} {now.ref} RENAME TO {to}"


def schema(before: Record, now: Record) -> Texts:
    """Move back; not into another schema that has the name of the old one for now."""
    home = before.get("schema")
    return () if home == now.get("schema") else (f"ALTER {now.word} {now.ref} SET SCHEMA {home}",)


def parents(before: Record, now: Record) -> Texts:
    """Attach, detach or inherit as before; one step, as the next one is found when this is done."""
    was, is_ = before.get("parents") or [], now.get("parents") or []
    for parent in is_:
        if parent not in was or before.get("bound") != now.get("bound"):
            if now.get("bound"):
                return (f"ALTER TABLE {parent} DETACH PARTITION {now.ref}",)
            return (f"ALTER TABLE {now.ref} NO INHERIT {parent}",)
    for parent in was:
        if parent not in is_:
            if before.get("bound"):
                return (f"ALTER TABLE {parent} ATTACH PARTITION {now.ref} {before.get('bound')}",)
            return (f"ALTER TABLE {now.ref} INHERIT {parent}",)
    return ()


def owner(before: Record, now: Record) -> Texts:
    """Give back to the owner."""
    return (f"ALTER {now.word} {now.ref} OWNER TO {before.get('owner')}",)


def definition(before: Record, now: Record) -> Texts:
    """Replace, else drop and make again."""
    drop, make = making.dropping(now), making.making(before)
    again = f"{drop[0]}; {make[0]}" if drop and make else ""
    match before.kind:
        case "view":
            return (make[0].replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1), again)
        case "routine":
            return (*make, again)
        case "constraint" if not before.get("domain"):
            table, own = now.get("table"), now.get("name")
            return (
                f"ALTER TABLE {table} DROP CONSTRAINT {own}, ADD CONSTRAINT {before.get('name')} {before.get('def')}",
            )
        case "index" if before.get("constrains") or before.get("options") != now.get("options"):
            return ()  # follows from the constraint, or from the options
        case _:
            return (again,) if again else ()


def column_type(before: Record, now: Record) -> Texts:
    """Cast back by assignment, which does not cut values, or as text; with the default taken off where it stands in the way."""
    if before.kind == "attribute":
        return (f"ALTER TYPE {now.get('table')} ALTER ATTRIBUTE {now.get('name')} TYPE {_typed(before)}",)
    own = now.get("name")
    plain = f"TYPE {_typed(before)}"
    using = f"{plain} USING {own}::{before.get('type')}"
    as_text = f"{plain} USING {own}::text::{before.get('type')}"
    again = f", ALTER COLUMN {own} SET DEFAULT {before.get('default')}" if before.get("default") is not None else ""
    bare = (
        f"ALTER TABLE {now.get('table')} ALTER COLUMN {own} DROP DEFAULT, ALTER COLUMN {own} {action}{again}"
        for action in (using, as_text)
    )
    return (*(_alter(now, action) for action in (plain, using, as_text)), *bare)


def _typed(record: Record) -> str:
    collation = f" COLLATE {record.get('collation')}" if record.get("collation") else ""
    return f"{record.get('type')}{collation}"


def _alter(now: Record, action: str) -> str:
    return f"ALTER TABLE {now.get('table')} ALTER COLUMN {now.get('name')} {action}"


def default(before: Record, now: Record) -> Texts:
    """Set or drop the default of a column or domain."""
    value = before.get("default")
    action = "DROP DEFAULT" if value is None else f"SET DEFAULT {value}"
    return (f"ALTER DOMAIN {now.ref} {action}",) if now.kind == "domain" else (_alter(now, action),)


def not_null(before: Record, now: Record) -> Texts:
    """Set or drop NOT NULL of a column or domain."""
    action = "SET NOT NULL" if before.get("not_null") else "DROP NOT NULL"
    return (f"ALTER DOMAIN {now.ref} {action}",) if now.kind == "domain" else (_alter(now, action),)


def identity(before: Record, now: Record) -> Texts:
    """Make or unmake an identity column, or change when it may be overruled."""
    if before.get("identity") is None:
        return (_alter(now, "DROP IDENTITY"),)
    if now.get("identity") is not None:
        return (_alter(now, f"SET GENERATED {before.get('identity')}"),)
    parts = before.get("sequence")
    if parts is None:  # a partition's, which follows the table above it
        return ()
    options = f"SEQUENCE NAME {parts['name']} {making.sequence(parts).partition(' ')[2].partition(' ')[2]}"
    return (_alter(now, f"ADD GENERATED {before.get('identity')} AS IDENTITY ({options})"),)


def generated(before: Record, now: Record) -> Texts:
    """Change the expression of a stored column (PostgreSQL 17); nothing else can be done about one."""
    if before.get("generated") and now.get("generated"):
        return (_alter(now, f"SET EXPRESSION AS ({before.get('generated').partition(' ')[2]})"),)
    return ()


def sequence(before: Record, now: Record) -> Texts:
    """Set the options of a sequence, and where it stood if the change has set that too."""
    if before.kind == "column":
        return ()
    state = before.get("state")
    if not _was_set(before, now):
        return (f"ALTER SEQUENCE {now.ref} {making.sequence(before.get('sequence'))}",)
    last, called = state
    restart = making.sequence(before.get("sequence"), f" RESTART WITH {last}")
    value = f"pg_catalog.setval({_literal(now.ref)}::pg_catalog.regclass, {last}, '{called}'::boolean)"
    return (f"ALTER SEQUENCE {now.ref} {restart}; SELECT {value}",)


def _was_set(before: Record, now: Record) -> bool:
    state = before.get("state")
    return bool(state and before.get("filenode") != now.get("filenode") and list(state) != list(now.get("state") or ()))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def owned_by(before: Record, now: Record) -> Texts:
    """Bind a sequence to the column it was bound to."""
    return (f"ALTER SEQUENCE {now.ref} OWNED BY {before.get('owned_by') or 'NONE'}",)


def labels(before: Record, now: Record) -> Texts:
    """Rename an enum's value back. A value that was added stays: PostgreSQL cannot drop one."""
    is_ = dict(now.get("labels") or ())
    for oid, label in before.get("labels") or ():
        if oid in is_ and is_[oid] != label:
            return (f"ALTER TYPE {now.ref} RENAME VALUE {is_[oid]} TO {label}",)
    return ()


def options(before: Record, now: Record, facet: str = "options") -> Texts:
    """Set the options of a relation or column as they were, in their order."""
    sets = making.assigned(before.get(facet))
    resets = ", ".join(name for name, _ in now.get(facet) or ())
    actions = [f"RESET ({resets})" if resets else "", f"SET ({sets})" if sets else ""]
    if now.kind == "column":
        return ("; ".join(_alter(now, action) for action in actions if action),)
    return ("; ".join(f"ALTER {now.word} {now.ref} {action}" for action in actions if action),)


def enabled(before: Record, now: Record) -> Texts:
    """Switch a trigger or rule as it was."""
    return (f"ALTER TABLE {now.get('table')} {_ENABLED[before.get('enabled')]} {now.word} {now.get('name')}",)


def comment(before: Record, now: Record) -> Texts:
    """Put the comment back."""
    text = before.get("comment")
    if now.kind in ("published table", "default privileges"):
        return ()
    return (f"COMMENT ON {now.word} {now.ref} IS {'NULL' if text is None else _literal(text)}",)


def storage(before: Record, now: Record) -> Texts:
    """Set how a column is stored."""
    return (_alter(now, f"SET STORAGE {_STORAGE[before.get('storage')]}"),)


def compression(before: Record, now: Record) -> Texts:
    """Set how a column is compressed."""
    return (_alter(now, f"SET COMPRESSION {_COMPRESSION.get(before.get('compression'), 'DEFAULT')}"),)


def statistics(before: Record, now: Record) -> Texts:
    """Set the statistics targets of a column, of an index's columns or of extended statistics."""
    if now.kind == "column":
        return (_alter(now, f"SET STATISTICS {_target(before.get('statistics'))}"),)
    if now.kind == "statistics":
        return (f"ALTER STATISTICS {now.ref} SET STATISTICS {_target(before.get('statistics'))}",)
    was, is_ = before.get("statistics") or {}, now.get("statistics") or {}
    return (
        "; ".join(
            f"ALTER INDEX {now.ref} ALTER COLUMN {number} SET STATISTICS {_target(was.get(number))}"
            for number in sorted(was.keys() | is_.keys(), key=int)
            if was.get(number) != is_.get(number)
        ),
    )


def _target(value: int | None) -> int:
    return -1 if value is None else value


def populated(before: Record, now: Record) -> Texts:
    """Fill or empty a materialized view."""
    return (f"REFRESH MATERIALIZED VIEW {now.ref} {'WITH DATA' if before.get('populated') else 'WITH NO DATA'}",)


def _relation(action: Callable[[Record], str]) -> Setter:
    return lambda before, now: (f"ALTER {now.word} {now.ref} {action(before)}",)


STAGES: tuple[Mapping[str, Setter], ...] = (
    {"name": name, "schema": schema},
    {"parents": parents, "bound": parents},
    {"owner": owner},
    {
        "def": definition,
        "type": column_type,
        "collation": column_type,
        "default": default,
        "not_null": not_null,
        "identity": identity,
        "generated": generated,
        "sequence": sequence,
        "state": sequence,
        "labels": labels,
        "owned_by": owned_by,
        "persistence": _relation(lambda was: f"SET {'UN' * (was.get('persistence') == 'u')}LOGGED"),
        "am": _relation(lambda was: f"SET ACCESS METHOD {was.get('am')}"),
        "tablespace": _relation(lambda was: f"SET TABLESPACE {was.get('tablespace')}"),
        "populated": populated,
        "of_type": _relation(lambda was: f"OF {was.get('of_type')}" if was.get("of_type") else "NOT OF"),
    },
    {
        "options": options,
        "toast": lambda before, now: options(before, now, "toast"),
        "enabled": enabled,
        "row_security": _relation(
            lambda was: f"{'ENABLE' if was.get('row_security') else 'DISABLE'} ROW LEVEL SECURITY"
        ),
        "forced": _relation(lambda was: f"{'' if was.get('forced') else 'NO '}FORCE ROW LEVEL SECURITY"),
        "replica_identity": _relation(lambda was: f"REPLICA IDENTITY {was.get('replica_identity')}"),
        "clustered": _relation(
            lambda was: f"CLUSTER ON {was.get('clustered')}" if was.get("clustered") else "SET WITHOUT CLUSTER"
        ),
        "storage": storage,
        "compression": compression,
        "statistics": statistics,
        "comment": comment,
    },
)
"""What is set back one after the other, since it changes how the rest is called. Privileges come last."""
