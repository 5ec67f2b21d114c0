"""What a shell may complete: changes and environments, from the names of folders and locks alone. No file is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


def changes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the changes whose id has ``incomplete`` in it."""
    return [plan.parent.name for plan in _glob(ctx, "changes/*/plan.yaml") if incomplete in plan.parent.name]


def environments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the environments that some change is locked for."""
    names = {lock.stem for lock in _glob(ctx, "changes/*/locks/*.json")}
    return sorted(name for name in names if name.startswith(incomplete))


def _glob(ctx: click.Context, pattern: str) -> Iterable[Path]:
    outer = ctx.find_root().params.get("directory")
    start = Path(ctx.params.get("directory") or outer or ".").resolve()
    root = next((folder for folder in (start, *start.parents) if (folder / "changes").is_dir()), start)
    return sorted(root.glob(pattern))
