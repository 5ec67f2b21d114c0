"""Commands for getting to know okto-change: the demo, and completion for a shell."""

from __future__ import annotations

import sys

import click

from okto_change.cli import boundary
from okto_change.cli.face import Face, command


@command("okto-change demo --keep /tmp/payments")
@click.option("--keep", metavar="DIR", type=click.Path(), help="Leave everything running in DIR, with commands to try.")
def demo(face: Face, keep: str | None) -> int:
    """Watch the whole journey on a temporary PostgreSQL."""
    from okto_change.demo import walk

    code = walk.main(keep, out=sys.stderr if face.json else sys.stdout)
    if face.json:
        boundary.show_json({"kind": "demo", "kept": keep, "exit_code": code})
    return code


@command('eval "$(okto-change completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(face: Face, shell: str) -> None:
    """Print the completion script of a shell.

    For good: put the example's line into ~/.bashrc (zsh: ~/.zshrc); for fish write the script to
    ~/.config/fish/completions/okto-change.fish.
    """
    from click.shell_completion import get_completion_class

    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"no completion for {shell}")
    root = click.get_current_context().find_root().command
    script = maker(root, {}, "okto-change", "_OKTO_CHANGE_COMPLETE").source()
    if face.json:
        boundary.show_json({"kind": "completion", "shell": shell, "script": script})
    else:
        boundary.show(script + "\n")
