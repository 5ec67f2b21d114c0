"""Commands of the one who writes a change."""

from __future__ import annotations

from pathlib import Path

import click

from okto_change.cli.face import Face, any_environment_option, change_argument, command, environment_option
from okto_change.errors import UsageError


@command("okto-change init --person ana --key ~/.ssh/id_ed25519")
@click.argument("folder", required=False, type=click.Path())
@click.option("--name", help="The repository's name; by default the folder's.")
@click.option("--person", help="You, as the policy will know you; by default git's user.name.")
@click.option("--no-sandbox", is_flag=True, help="Leave out the sandbox environment, which needs no approvals.")
def init(face: Face, folder: str | None, name: str | None, person: str | None, no_sandbox: bool) -> None:
    """Make a folder a change repository: policy, environments, keys."""
    from okto_change import pipeline
    from okto_change.report import data, text

    path = face.directory if folder is None else face.directory / folder
    paths = pipeline.init(path, name=name, person=person, key=face.key, sandbox=not no_sandbox)
    face.emit(paths, text.init, data.init)


@command('okto-change new "Release stuck settlements" --template stuck-settlement -p merchant_id=42')
@click.argument("title")
@click.option(
    "--template",
    metavar="NAME",
    default="data-fix",
    help="What it begins as: data-fix (the default), stuck-settlement, schema-change, config-edit.",
)
@click.option(
    "-p", "--parameter", "parameters", metavar="NAME=VALUE", multiple=True, help="A parameter's value; repeatable."
)
@click.option("--incident", help="The incident that this change belongs to.")
def new(face: Face, title: str, template: str, parameters: tuple[str, ...], incident: str | None) -> None:
    """Begin a change from a template."""
    from okto_change import pipeline
    from okto_change.report import data, text

    values = parse_parameters(parameters)
    written = pipeline.new(face.repository(), title, template=template, parameters=values, incident=incident)
    face.emit(written, text.new, data.new)


def parse_parameters(given: tuple[str, ...]) -> dict[str, str]:
    """Return ``NAME=VALUE`` texts as a mapping; raise UsageError with every one that is no such text or comes twice."""
    values: dict[str, str] = {}
    faults = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            faults.append(f"-p {text}: expected NAME=VALUE")
        elif name in values:
            faults.append(f"-p {text}: {name} is given twice")
        values[name] = value
    if faults:
        raise UsageError("parameters cannot be read", faults=tuple(faults), hint="write each once, as -p NAME=VALUE")
    return values


@command("okto-change check stuck-settlements --env production")
@change_argument
@any_environment_option
def check(face: Face, change: str, environment: str | None) -> int:
    """Parse, render and analyse a change, offline."""
    from okto_change import pipeline
    from okto_change.report import data, text, verdict

    report = pipeline.check(face.repository(), change, environment)
    face.emit(report, text.check, data.check)
    return verdict.findings_code(report.analysis.findings)


@command("okto-change lock stuck-settlements --env production")
@change_argument
@environment_option
def lock(face: Face, change: str, environment: str) -> None:
    """Compile a change for one environment: the bytes that will run."""
    from okto_change import pipeline
    from okto_change.report import data, text

    face.emit(pipeline.lock(face.repository(), change, environment), text.lock, data.lock)


@command("okto-change dry-run stuck-settlements --env production --sign --markdown page.md")
@change_argument
@environment_option
@click.option("--static", is_flag=True, help="Only the read-only preview; no rehearsal.")
@click.option(
    "--sign", is_flag=True, help="Sign the report, or end with an error; without this only where it is asked for."
)
@click.option("--markdown", metavar="FILE", type=click.Path(), help="Write the page as Markdown too; - is stdout.")
def dry_run(face: Face, change: str, environment: str, static: bool, sign: bool, markdown: str | None) -> int:
    """Preview and rehearse a change and its undo; nothing stays.

    The report lies beside the lock, to be committed. Where the policy asks for signed ones, it is signed with the key at
    hand, if that counts.
    """
    from okto_change import pipeline
    from okto_change.report import data, text, verdict
    from okto_change.report.markdown import dry_run as page

    if face.json and markdown == "-":
        raise UsageError("--json and --markdown - both want stdout", hint="name a file for the Markdown")
    with face.watching() as watch:
        made = pipeline.dry_run(face.repository(), change, environment, static=static, sign=sign, watch=watch)
    result = made.dry_run
    if markdown == "-":
        click.echo(page(result), nl=False)
        return verdict.dry_run_code(result)
    if markdown is not None:
        _write(markdown, page(result))
    face.emit(made, text.dry_run_made, data.dry_run_made)
    return verdict.dry_run_code(result)


def _write(path: str, content: str) -> None:
    try:
        Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
