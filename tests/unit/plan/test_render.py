"""A plan is rendered for one environment, all of it or not at all."""

from __future__ import annotations

import sys

import pytest

from okto_change.errors import PlanError
from okto_change.model import ScriptUndo, SqlStep
from okto_change.plan import read
from okto_change.plan.render import render
from tests.unit.plan.plans import CHANGE, FILES, changed, rendered


def test_an_environment_has_its_own_values() -> None:
    """Overrides replace the values of the plan; the others stay."""
    for environment, value in (("production", "'42'::bigint"), ("sandbox", "'7'::bigint")):
        plan = rendered(environment=environment)
        step = plan.steps[0]
        assert isinstance(step, SqlStep)
        assert isinstance(step.undo, ScriptUndo)
        assert step.sql.startswith(f"UPDATE settlements SET status = 'PAID' WHERE id = {value};\n")
        assert step.sql.endswith("SELECT 'O''Brien; DROP TABLE x --'::text;\n")
        assert step.undo.sql.endswith(f"WHERE merchant_id = {value};\n")
        assert (plan.environment, plan.per_environment) == (environment, {})
    assert plan.checks[0].sql == "SELECT count(*) FROM settlements WHERE id = ANY('{1,2,NULL}'::bigint[])\n"


def test_the_environment_itself_is_a_value() -> None:
    """A template can tell environments apart, and put the name out as a literal."""
    text = "SELECT {{ environment }}{% if environment == 'sandbox' %}, 1{% endif %};\n"
    for environment, expected in (("sandbox", "SELECT 'sandbox'::text, 1;\n"), ("test", "SELECT 'test'::text;\n")):
        step = rendered(changed(release_sql=text), environment).steps[0]
        assert isinstance(step, SqlStep)
        assert step.sql == expected


def test_text_without_a_template_is_left_byte_for_byte() -> None:
    """White space, comments and backslashes are the author's."""
    text = "  SELECT '{}', E'\\\\' -- %}\n\n\n"
    step = rendered(changed(release_sql=text)).steps[0]
    assert isinstance(step, SqlStep)
    assert step.sql == text


def test_the_faults_of_all_templates_are_found_at_once() -> None:
    """Files with their lines, inline statements with their step."""
    files = changed(release_sql="\n{{ nope }}", release_undo_sql="'{{ name }}'", stuck_sql="{{ 1 + 1 }}")
    files["plan.yaml"] = files["plan.yaml"].replace(b"merchant = {{ merchant_id }}", b"merchant = {{ merchant }}")
    files["release.undo.sql"] = b"'{{ name }}'"
    with pytest.raises(PlanError) as caught:
        render(read.load(CHANGE, files), "production")
    text = "\n".join(caught.value.faults)
    assert f"changes/{CHANGE}/release.sql:2: no parameter 'nope' is declared" in text
    assert f"changes/{CHANGE}/release.undo.sql:1: a value stands inside quotes" in text
    assert f"changes/{CHANGE}/stuck.sql:1: 'add' is not available" in text
    assert "plan.yaml:25: no parameter 'merchant' is declared (did you mean 'merchant_id'?) (line 2 of the" in text


def test_a_plan_that_renders_too_large_is_refused() -> None:
    """The limit counts all texts together."""
    big = "-- " + "x" * 1_000_000 + "\nSELECT 1;\n"
    plan = "format: 1\ntitle: a\nreason: b\nauthor: c\nsteps:\n" + "".join(
        f"  - {{name: s{number}, target: t, sql: big.sql}}\n" for number in range(9)
    )
    with pytest.raises(PlanError, match="at most 8388608 are possible"):
        render(read.load("abc", {"plan.yaml": plan.encode(), "big.sql": big.encode()}), "production")


def test_an_odd_environment_is_refused() -> None:
    """The name goes into paths, so it has a grammar."""
    for environment in ("", "../x", "Production", "a b"):
        with pytest.raises(PlanError, match="no name of an environment"):
            render(read.load(CHANGE, FILES), environment)


def test_jinja_is_not_loaded_for_plain_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan without parameters does not pay for the template engine."""
    monkeypatch.delitem(sys.modules, "okto_change.plan.template", raising=False)
    plan = "format: 1\ntitle: a\nreason: b\nauthor: c\nsteps: [{name: d, target: e, statement: SELECT 1}]\n"
    render(read.load("abc", {"plan.yaml": plan.encode()}), "production")
    assert "okto_change.plan.template" not in sys.modules
