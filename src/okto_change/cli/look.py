"""Commands that only look."""

from __future__ import annotations

from okto_change.cli.face import Face, any_environment_option, change_argument, command, environment_option


@command("okto-change status --env production")
@any_environment_option
def status(face: Face, environment: str | None) -> int:
    """Show where each change stands."""
    from okto_change import pipeline
    from okto_change.report import data, text, verdict

    found = pipeline.status(face.repository(), environment)
    face.emit(found, text.status, data.status)
    return verdict.status_code(found)


@command("okto-change show stuck-settlements")
@change_argument
def show(face: Face, change: str) -> int:
    """Show one change: its plan, and where it stands."""
    from okto_change import pipeline
    from okto_change.report import data, text

    found = pipeline.show(face.repository(), change)
    face.emit(found, text.show, data.show)
    return 1 if found.silent else 0


@command("okto-change trash --env production")
@environment_option
def trash(face: Face, environment: str) -> int:
    """List what was put aside instead of dropped.

    A dropped table, column or schema that an automatic undo must bring back is moved or renamed. It lies there until its
    change is rolled back, or until a change of its own, approved like any other, drops it for good.
    """
    from okto_change import pipeline
    from okto_change.report import data, text

    found = pipeline.trash(face.repository(), environment)
    face.emit(found, text.trash, data.trash)
    return 1 if found.silent else 0


@command("okto-change doctor --env production")
@environment_option
def doctor(face: Face, environment: str) -> int:
    """Look for whatever would make a run fail."""
    from okto_change import pipeline
    from okto_change.report import data, text

    found = pipeline.doctor(face.repository(), environment)
    face.emit(found, text.doctor, data.doctor)
    return 0 if all(diagnosis.ok for diagnosis in found) else 1
