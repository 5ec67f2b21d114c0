"""Files of a change folder to a ChangePlan: strict, pure, every fault at once with its file and line."""

from __future__ import annotations

from collections.abc import Mapping

from okto_change import strictyaml
from okto_change.errors import PlanError
from okto_change.model import ChangePlan, Risk
from okto_change.plan import checks, folder, parameters, steps
from okto_change.plan.names import INCIDENT, PERSON, valid_change_id
from okto_change.strictyaml import Faults, Node, Reader

FORMAT = "1"
_REQUIRED = ("format", "title", "reason", "author", "steps")
_OPTIONAL = ("incident", "risk", "parameters", "checks")


def load(change: str, files: Mapping[str, bytes]) -> ChangePlan:
    """Read the plan of ``change`` from ``files``, which maps paths relative to its folder to contents.

    Raises PlanError with every fault found in every file, or at once when the folder is too large to be a plan.
    """
    if not valid_change_id(change):
        raise PlanError(
            f"{change!a} is no id of a change",
            where=f"changes/{change}",
            hint="rename the folder: 3 to 80 lower-case letters, digits and hyphens, like 2026-11-22-release-stuck-settlements",
        )
    sources = folder.sources(files)
    folder.limits(change, sources)
    content = folder.require_plan(change, sources)
    faults = Faults()
    others = {path: text for path, text in sources.items() if path != "plan.yaml"}
    texts = folder.texts(change, others, faults)
    root = strictyaml.read(content, f"changes/{change}/plan.yaml", faults)
    readable = bool(root.mapping) or not len(faults)
    plan = _plan(change, root, texts, Reader(faults if readable else Faults()))
    faults.stop(f"the plan of '{change}'", "correct the lines named, then run: okto-change check " + change)
    return plan


def author_place(change: str, files: Mapping[str, bytes]) -> str:
    """Return where a plan that ``load`` has read names its author: ``changes/x/plan.yaml:5``."""
    file = f"changes/{change}/plan.yaml"
    return str(strictyaml.read(files["plan.yaml"], file, Faults()).mapping["author"].where)


def _plan(change: str, root: Node, texts: Mapping[str, str], reader: Reader) -> ChangePlan:
    scripts = steps.Scripts(change, texts, reader)
    section = reader.section(root, "the plan", required=_REQUIRED, optional=_OPTIONAL)
    _format(section.get("format"), reader)
    declared, overrides = parameters.read(section.get("parameters"), reader)
    return ChangePlan(
        change=change,
        title=reader.line(section.get("title"), "a title", most=120),
        reason=reader.text(section.get("reason"), "a reason why the change is needed"),
        incident=_incident(section.get("incident"), reader),
        author=_author(section.get("author"), reader),
        risk=_risk(section.get("risk"), reader),
        parameters=declared,
        per_environment=overrides,
        steps=steps.read(section.get("steps"), scripts, reader),
        checks=checks.read(section.get("checks"), scripts, reader),
    )


def _format(node: Node | None, reader: Reader) -> None:
    if node is not None and node.raw != FORMAT:
        reader.faults.expected(node, f"format {FORMAT}")


def _incident(node: Node | None, reader: Reader) -> str | None:
    if node is None or node.raw == "null":
        return None
    return reader.text(node, "an incident like INC-2031", pattern=INCIDENT) or None


def _author(node: Node | None, reader: Reader) -> str:
    return reader.text(node, "a person of the policy, like ana,", pattern=PERSON)


def _risk(node: Node | None, reader: Reader) -> Risk | None:
    word = reader.choice(node, tuple(risk.value for risk in Risk), "a risk")
    return Risk(word) if word else None
