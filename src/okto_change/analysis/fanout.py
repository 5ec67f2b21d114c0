"""UPDATE ... FROM: which sources can give one target row several partners."""

from __future__ import annotations

from okto_change.analysis.facts import Column, Facts, Link, Source
from okto_change.analysis.subject import Context
from okto_change.model import Table


def undetermined(facts: Facts, context: Context) -> tuple[str, ...]:
    """Return the aliases of the sources that no unique key ties to the target row; offline every plain table is one.

    A source is determined once all columns of one of its unique keys equal constants, columns of the target, or columns
    of sources already determined; so a chain of joins on keys is followed to its end.
    """
    loose = {source.alias: source for source in facts.sources}
    progress = True
    while progress:
        done = [alias for alias, source in loose.items() if _determined(source, loose, facts.links, context)]
        for alias in done:
            del loose[alias]
        progress = bool(done)
    return tuple(loose)


def _determined(source: Source, loose: dict[str, Source], links: tuple[Link, ...], context: Context) -> bool:
    others = {alias for alias in loose if alias != source.alias}
    fixed = {
        link.column.name
        for link in links
        if _belongs(link.column, source, context)
        and not any(need.qualifier in others or _belongs(need, source, context) for need in link.needs)
        and not _ambiguous(link, others, loose, context)
    }
    return any(set(columns) <= fixed for columns in _keys(source, context))


def _keys(source: Source, context: Context) -> tuple[tuple[str, ...], ...]:
    table = _table(source, context)
    return (*source.unique, *((table.key,) if table.key else ()), *table.unique) if table else source.unique


def _belongs(column: Column, source: Source, context: Context) -> bool:
    if column.qualifier:
        return column.qualifier == source.alias
    table = _table(source, context)
    return table is not None and any(column.name == c.name for c in table.columns)


def _ambiguous(link: Link, others: set[str], loose: dict[str, Source], context: Context) -> bool:
    """An unqualified column may belong to a source that is still loose; without its columns nobody can tell."""
    return any(
        not need.qualifier and (_table(loose[alias], context) is None or _belongs(need, loose[alias], context))
        for need in link.needs
        for alias in others
    )


def _table(source: Source, context: Context) -> Table | None:
    return context.table(source.table) if source.table else None
