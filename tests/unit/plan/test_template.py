"""Templates put out literals and quoted names only, where literals and names can stand, and end in good time."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from okto_change.analysis.lexer import scan
from okto_change.analysis.split import split
from okto_change.errors import PlanError
from okto_change.plan.template import render
from okto_change.plan.types import SqlType, parse

VALUES: dict[str, tuple[SqlType, Any]] = {
    "name": (parse("text"), "O'Brien; DROP TABLE x --"),
    "evil": (parse("text"), " ; DROP TABLE x; --"),
    "slash": (parse("text"), "\\'; DROP TABLE x; --"),
    "dollars": (parse("text"), "$$; DROP TABLE x; --"),
    "n": (parse("bigint"), "-5"),
    "price": (parse("numeric"), "1.50"),
    "ids": (parse("bigint[]"), ("1", "2", None)),
    "none_of_them": (parse("bigint[]"), ()),
    "yes": (parse("boolean"), "true"),
    "missing": (parse("text"), None),
    "table": (parse("text"), 'we"ird'),
    "qualified": (parse("text[]"), ("public", "t")),
    "many": (parse("bigint[]"), tuple(map(str, range(1000)))),
}
EVIL = ("'; DROP --", "\\'; DROP --", "$$; DROP", "$a$;", "*/ x /*", "\n; DROP\n", '"; DROP', "\\", "\n\\.\n", "''")
PIECES = (
    "'",
    "''",
    '"',
    "\\",
    "E'",
    "U&'",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "\n",
    " ",
    ";",
    "a",
    "1",
    "(",
    ")",
    ",",
    "é",
    "E",
    "N'",
    "&",
    ".",
    "[",
    "{{ v }}",
    " {{ v }} ",
    "{{v|identifier}}",
    "DO ",
    "CREATE ",
    "LANGUAGE sql ",
    "COPY t FROM STDIN",
    "\n\\.\n",
)


def problem_of(text: str) -> str:
    """Return the problems of a template that is refused."""
    _, problems = render(text, VALUES)
    assert problems, text
    return "\n".join(f"{line}: {problem}" for line, problem in problems)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT {{ name }}", "SELECT 'O''Brien; DROP TABLE x --'::text"),
        ("a = ANY({{ ids }}) AND b = {{n}}::int", "a = ANY('{1,2,NULL}'::bigint[]) AND b = '-5'::bigint::int"),
        (
            "{% for i in ids %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}",
            "'1'::bigint, '2'::bigint, NULL::bigint",
        ),
        ("IN ({% for i in none_of_them %}{{ i }}{% else %}NULL{% endfor %})", "IN (NULL)"),
        ("{{ ids[0] }} {{ ids | length }} {{ ids | last }}", "'1'::bigint '3'::bigint NULL::bigint"),
        ("FROM {{ table | identifier }}", 'FROM "we""ird"'),
        ("FROM {{ qualified | identifier }}.x({{ n }})", 'FROM "public"."t".x(\'-5\'::bigint)'),
        ("-- {{ evil }}\nSELECT 1", "-- ' ; DROP TABLE x; --'::text\nSELECT 1"),
        ("DO $$ BEGIN PERFORM {{ n }}; END $$;", "DO $$ BEGIN PERFORM '-5'::bigint; END $$;"),
        ("{% if n == -5 and n < 3 and price >= 1 and yes and missing is none %}x{% endif %}", "x"),
        ("{% if name != 'x' and 2 in ids and not none_of_them %}x{% endif %}", "x"),
        ("{% set other = name %}{{ other }}", "'O''Brien; DROP TABLE x --'::text"),
        ("a\n  {% if yes %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc\n"),
        ("{% raw %}'{{1,2},{3,4}}'{% endraw %}", "'{{1,2},{3,4}}'"),
        ("{# seen by nobody #}x", "x"),
        ("E'it\\'s' || {{ n }}", "E'it\\'s' || '-5'::bigint"),
        ("/* it's */ {{ n }}", "/* it's */ '-5'::bigint"),
        ("COPY t FROM STDIN;\nO'Brien\n\\.\nSELECT {{ n }}", "COPY t FROM STDIN;\nO'Brien\n\\.\nSELECT '-5'::bigint"),
    ],
)
def test_values_are_put_out_as_literals(text: str, expected: str) -> None:
    """Parameters, their items, quoted names, conditions and loops."""
    assert render(text, VALUES) == (expected, [])


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' }}",
        "{{ name ~ 'x' }}",
        "{{ name | upper }}",
        "{{ name | string }}",
        "{{ name + name }}",
        "{{ true }}",
        "{{ none }}",
        "{{ [name] }}",
        "{{ {'a': 1} }}",
        "{{ 'a' * 99999999999 }}",
        "{{ 2 ** 99999999 }}",
        "{{ ids | join }}",
        "{{ name == 'x' }}",
        "{% set x %}y{% endset %}{{ x }}",
        "{% macro m() %}x{% endmacro %}{{ m() }}",
        "{% filter upper %}x{% endfilter %}",
        "{{ '%s' % name }}",
        "{{ name.__class__ }}",
        "{{ name['__class__'] }}",
        "{{ ids.kind }}",
        "{{ ids.sql() }}",
        "{{ name | attr('sql') }}",
        "{{ self }}",
        "{{ range(9) }}",
        "{{ lipsum() }}",
        "{{ cycler('a') }}",
        "{{ loop }}",
        "{{ loop.index }}",
        "{% for i in ids %}{{ loop }}{% endfor %}",
        "{{ missing_one }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% block x %}{% endblock %}",
        "{% set name = 1 %}",
        "{% for n in ids %}{% endfor %}",
        "{% for i in n %}{% endfor %}",
        "{{ ids[7] }}",
        "{% for i in ids recursive %}{% endfor %}",
        "{% if name %}{% endif %}",
        "{% if name == 3 %}{% endif %}",
        "{% if name < 'x' %}{% endif %}",
        "{{ n if not yes }}",
        "{{ n | identifier }}",
        "{{ missing | identifier }}",
        "{{ 'x' | identifier }}",
        "{% autoescape false %}{{ 'x' }}{% endautoescape %}",
        "{% do 1 %}",
        "{% debug %}",
        "{{ n",
        "'{{1,2},{3,4}}'",
        "{% if yes %}",
        "{{ " + "(" * 5000 + "n" + ")" * 5000 + " }}",
        "{{ '\\x00' }}",
        "\x00{{ n }}",
    ],
)
def test_nothing_else_can_be_put_out(text: str) -> None:
    """Raw text, computed text, other objects and unknown names are refused; there is no way around the quoting."""
    assert problem_of(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT '{{ evil }}'", "inside quotes"),
        ('SELECT "{{ table | identifier }}"', "inside quotes"),
        ("E'a\\' {{ evil }}'", "inside quotes"),
        ("E'a'\n'\\' {{ evil }}'", "inside quotes"),
        ("'a'\n{{ evil }}", "would continue this string"),
        ("'a' -- b\n {{ evil }}", "would continue this string"),
        ("/* {{ evil }} */", "inside a block comment"),
        ("/* /* */ {{ evil }} */", "inside a block comment"),
        ("SELECT $x$ {{ evil }} $x$", "inside dollar-quoted text"),
        ("DO $$ BEGIN EXECUTE '{{ evil }}'; END $$", "inside quotes"),
        ("DO $$ BEGIN x({{ dollars }}); END $$", "contains $$"),
        ("DO $$ BEGIN; CREATE FUNCTION f() AS $f$ {{ dollars }} $f$; END $$", "contains $$"),
        ("DO LANGUAGE plpython3u $$ x = {{ n }} $$", "inside dollar-quoted text"),
        ("COPY t FROM STDIN;\n{{ n }}\n\\.\n", "inside COPY data"),
        ("COPY t (a) FROM STDIN WITH (FORMAT csv);\nO'Brien\n\\.\nSELECT '{{ evil }}'", "inside quotes"),
        ("E{{ slash }}", "touches"),
        ("U&{{ slash }}", "touches"),
        ("U&{{ table | identifier }}", "touches"),
        ("x{{ n }}", "touches"),
        ("{{ n }}{{ n }}", "touches"),
        ("{{ ids }}[1]", "touches"),
        ("{{ n }}(3)", "touches"),
        ("s.{{ n }}", "touches"),
        ("{{ n }}text", "touches"),
    ],
)
def test_a_value_stands_only_where_a_value_can(text: str, why: str) -> None:
    """Inside quotes, comments, foreign bodies and COPY data a literal would be torn apart, so it is refused."""
    assert why in problem_of(text)


def test_no_value_changes_how_the_text_around_it_is_read() -> None:
    """What is not refused of hundreds of odd templates has the same tokens with a tame and with a wild value."""
    chance = random.Random(20261122)  # the same texts every time
    kind, rendered = parse("text"), 0
    for evil in itertools.islice(itertools.cycle(EVIL), 250):
        text = "".join(chance.choices(PIECES, k=chance.randrange(2, 12)))
        (tame, refused), (wild, also) = (render(text, {"v": (kind, value)}) for value in ("zz", evil))
        if not refused and not also:
            rendered += 1
            assert shape(tame) == shape(wild), (text, evil)
    assert rendered > 20


def shape(sql: str) -> list[list[str]] | None:
    """Return the kinds of tokens of each statement; None if the text is not complete."""
    try:
        return [[token.kind for token in scan(statement.text, 0)] for statement in split(sql, "f", "s")]
    except PlanError:
        return None


def test_faults_are_found_together_with_their_lines() -> None:
    """One rendering names every unknown parameter and filter."""
    text = problem_of("SELECT 1,\n {{ nmae }},\n {{ name | uper }},\n {% include 'x' %}")
    assert "2: no parameter 'nmae' is declared (did you mean 'name'?)" in text
    assert "3: no filter 'uper' is available" in text
    assert "4: 'include' is not available" in text
    assert "2: a value stands inside quotes" in problem_of("SELECT 1,\n '{{ evil }}'")
    assert "3: only a boolean" in problem_of("\n\n{% if n %}{% endif %}")
