"""Names in the parser's tree: as written, folded unless quoted; and which of them mean a WITH query, not a table."""

from __future__ import annotations

from sqlglot import exp

from okto_change.analysis.facts import Tree


def table_name(table: exp.Table) -> str:
    """Return a table's name as written, folded unless quoted."""
    return ".".join(fold(part) for part in table.parts if isinstance(part, exp.Identifier))


def is_cte(table: exp.Table) -> bool:
    """Tell whether a name means a WITH query visible here; a query sees itself only if it is RECURSIVE."""
    if table.args.get("db"):
        return False
    wanted = fold(table.this)
    node: Tree | None = table
    below: list[Tree] = []
    while node is not None:
        clause = node.args.get("with_")
        if isinstance(clause, exp.With) and wanted in _visible(clause, below):
            return True
        below.append(node)
        node = node.parent
    return False


def _visible(clause: exp.With, below: list[Tree]) -> set[str]:
    inside = next((cte for cte in clause.expressions if any(cte is node for node in below)), None)
    seen: set[str] = set()
    for cte in clause.expressions:
        if cte is inside and not clause.args.get("recursive"):
            break
        seen.add(_alias(cte))
    return seen


def _alias(cte: Tree) -> str:
    return fold(cte.args["alias"].this)


def fold(node: object) -> str:
    """Return the name an identifier stands for: lower case unless quoted."""
    if isinstance(node, exp.Identifier):
        return str(node.this) if node.args.get("quoted") else str(node.this).lower()
    return node.name.lower() if isinstance(node, exp.Expression) else ""
