"""One object of the catalogue -> the statement that makes it again, and the one that drops it, never with CASCADE. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from okto_change.database.inverse import Record
from okto_change.execution.inverse import grants


def dropping(record: Record) -> tuple[str, ...]:
    """Return what drops a created object; () when nothing does."""
    table, name = record.get("table"), record.get("name")
    match record.kind:
        case "column":
            return (f"ALTER TABLE {table} DROP COLUMN {name}",)
        case "attribute":
            return (f"ALTER TYPE {table} DROP ATTRIBUTE {name}",)
        case "constraint":
            return (f"ALTER {_holder(record)} {table} DROP CONSTRAINT {name}",)
        case "published table":
            return (f"ALTER PUBLICATION {record.ref} DROP TABLE {table}",)
        case "default privileges":
            return grants.restoring(record.get("standard"), record.get("acl"), record)
        case "base type":
            return ()
        case _:
            drop = f"DROP {record.word} {record.ref}"
            return (
                (drop, f"ALTER TABLE {record.get('parents')[0]} DETACH PARTITION {record.ref}; {drop}")
                if record.get("bound")
                else (drop,)
            )


def making(record: Record) -> tuple[str, ...]:
    """Return what makes a dropped object again, bare: owner, privileges, comment and the like are set afterwards."""
    table, name, definition = record.get("table"), record.get("name"), record.get("def")
    match record.kind:
        case "schema":
            return (f"CREATE SCHEMA {record.ref}",)
        case "view" | "materialized view":
            return (view(record),)
        case "sequence":
            return (f"CREATE SEQUENCE {record.ref} {sequence(record.get('sequence'))}",)
        case "constraint":
            return (f"ALTER {_holder(record)} {table} ADD CONSTRAINT {name} {definition}",)
        case "published table":
            return () if record.get("partly") else (f"ALTER PUBLICATION {record.ref} ADD TABLE {table}",)
        case "default privileges":
            return grants.restoring(record.get("acl"), record.get("standard"), record)
        case "enum" | "composite type" | "domain" | "range":
            return (_type(record),)
        case "index":  # of a partitioned table: with those of its partitions, which went with it
            return (definition.replace(f" {name} ON ONLY ", f" {name} ON ", 1),)
        case "trigger" | "rule" | "policy" | "statistics":
            return (definition,)
        case "routine":
            return (definition,) if definition else ()
        case _:
            return ()


def view(record: Record) -> str:
    """Return CREATE VIEW or CREATE MATERIALIZED VIEW with its options."""
    options = assigned(record.get("options"))
    parts = [f"CREATE {record.word} {record.ref}", f"USING {record.get('am')}" if record.get("am") else ""]
    parts += [f"WITH ({options})" if options else "", f"AS {record.get('def').rstrip().rstrip(';')}"]
    if record.kind == "materialized view":
        parts.append("WITH DATA" if record.get("populated") else "WITH NO DATA")
    return " ".join(part for part in parts if part)


def assigned(options: Sequence[tuple[str, str]] | None) -> str:
    """Return options as ``name=value, ...``."""
    return ", ".join(f"{name}={value}" for name, value in options or ())


def sequence(parts: dict[str, str], restart: str = "") -> str:
    """Return the options of a sequence; ``restart`` goes where the order of the server's checks wants it."""
    return (
        f"AS {parts['as']} INCREMENT BY {parts['increment']} MINVALUE {parts['minvalue']} MAXVALUE {parts['maxvalue']}"
        f" START WITH {parts['start']}{restart} CACHE {parts['cache']} {'CYCLE' if parts['cycle'] else 'NO CYCLE'}"
    )


def _type(record: Record) -> str:
    match record.kind:
        case "enum":
            labels = ", ".join(label for _, label in record.get("labels") or ())
            return f"CREATE TYPE {record.ref} AS ENUM ({labels})"
        case "composite type":
            return f"CREATE TYPE {record.ref} AS ({', '.join(record.get('attributes') or ())})"
        case "range":
            return f"CREATE TYPE {record.ref} AS RANGE ({record.get('range')})"
    parts = [f"CREATE DOMAIN {record.ref} AS {record.get('base')}"]
    parts += [f"COLLATE {record.get('collation')}" if record.get("collation") else ""]
    parts += [f"DEFAULT {record.get('default')}" if record.get("default") is not None else ""]
    return " ".join([*filter(None, parts), "NOT NULL" if record.get("not_null") else "NULL"])


def _holder(constraint: Record) -> str:
    return "DOMAIN" if constraint.get("domain") else "TABLE"
