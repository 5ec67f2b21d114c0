"""YAML is read strictly: nothing is guessed, and every fault is found at once with its place."""

from __future__ import annotations

import pytest

from okto_change import strictyaml
from okto_change.errors import PlanError
from okto_change.model import Where
from okto_change.strictyaml import MOST_BYTES, Faults, Node, Reader, load, suggestion


def faults_of(text: bytes | str) -> tuple[str, ...]:
    """Return the faults of a text that cannot be read."""
    with pytest.raises(PlanError) as caught:
        load(text, "p.yaml")
    return caught.value.faults


def reading(text: str) -> tuple[Node, Reader]:
    """Return the value of the key ``x`` in ``text``, and a reader to read it with."""
    return load(f"x: {text}", "p.yaml").mapping["x"], Reader(Faults())


def test_nodes_know_their_place() -> None:
    """Keys, values and items carry file and line."""
    root = load("a: 1\nb:\n  - x\n  - {c: y}\n", "p.yaml")
    assert root.place("b") == Where(file="p.yaml", line=2)
    assert root.mapping["b"].sequence[1].mapping["c"].where == Where(file="p.yaml", line=4)
    assert root.place("missing") == Where(file="p.yaml", line=1)


@pytest.mark.parametrize("word", ["010", "12:30", "yes", "1_000", "0x10", "1e3", ".inf", "2026-01-01", "<<", "On"])
def test_scalars_stay_text(word: str) -> None:
    """What YAML would turn into a number, a truth or a date is the text that was written."""
    assert load(f"a: {word}", "p.yaml").mapping["a"].text == word


@pytest.mark.parametrize(
    ("text", "null"), [("null", True), ("~", True), ("", True), ("'null'", False), ("Null", False)]
)
def test_only_a_plain_null_is_null(text: str, null: bool) -> None:
    """Quotes make text of it, and other spellings are text."""
    assert load(f"a: {text}", "p.yaml").mapping["a"].is_null is null


def test_all_faults_are_found_at_once_in_order() -> None:
    """A file with six faults gives six lines, sorted by where they are."""
    faults = faults_of("a: &x 1\nb: *x\nc: !!int 3\na: 2\nd:\t4\n? [e]\n: 5\n")
    assert faults == (
        "p.yaml:1: the anchor '&x' is not allowed; write the value out where it is needed",
        "p.yaml:2: the alias '*x' is not allowed; write the value out",
        "p.yaml:3: the tag 'tag:yaml.org,2002:int' is not allowed; write the value plainly",
        "p.yaml:4: the key 'a' stands here again, first in line 1",
        "p.yaml:5: a tab; indent with spaces",
        "p.yaml:6: expected a key that is text, found a sequence",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "an empty file"),
        ("# only a comment\n", "an empty file"),
        ("a: 1\n---\nb: 2\n", "another one after '---'"),
        ("%YAML 1.1\n---\na: 1\n", "the directive"),
        ("a: [1\n", "not valid YAML"),
        ("a: b: c\n", "not valid YAML"),
        ("a: '\u202e'\n", "U+202E"),
        ("a: 1\r\n", "carriage return"),
        ('a: "\\ud800"\n', "surrogate"),
        (b"a: \xff\n", "invalid UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "binary content"),
        ("a: " + "[" * 2_000, "deeper nesting"),
        ("a: " + "x" * MOST_BYTES, "bytes of YAML"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text: str | bytes, found: str) -> None:
    """Each fault says what was found, and nothing but PlanError comes out."""
    assert any(found in fault for fault in faults_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "{a?: 1}",
        "[http://a?b]",
        "[?a]",
        "? a",
        "a: >#\n  b",
        "a: |-#\n  b",
        "---",
        "a: {lock: \n, statement: 1s}",
        "a: {\n}",
        "a:",
        "%YAML 1.2\n---\na",
        "a: b: c",
        "a: &x 1",
        "a: 1\na: 2",
        'a: "\\ud800"',
    ],
)
def test_libyaml_is_not_believed_where_it_differs(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With it and without it, the same faults and the same tree; tests/limits/test_any_yaml.py looks for more."""

    def seen() -> tuple[list[str], Node]:
        faults = Faults()
        node = strictyaml.read(text, "p.yaml", faults)
        return list(faults), node

    quick = seen()
    monkeypatch.setattr(strictyaml, "_LIBYAML", None)
    assert seen() == quick


def test_a_section_reports_unknown_and_missing_keys() -> None:
    """Unknown keys come with the known key that is nearest."""
    node, reader = reading("{titel: a, autor: b, zzz: c}")
    assert reader.section(node, "the plan", required=("title", "steps"), optional=("author",)) == {}
    assert tuple(reader.faults) == (
        "p.yaml:1: unknown key 'titel' in the plan (did you mean 'title'?)",
        "p.yaml:1: unknown key 'autor' in the plan (did you mean 'author'?)",
        "p.yaml:1: unknown key 'zzz' in the plan",
        "p.yaml:1: expected the key 'title' in the plan, found none",
        "p.yaml:1: expected the key 'steps' in the plan, found none",
    )


@pytest.mark.parametrize(
    "text", ["010", "'5'", "+5", "5.0", "1e3", "0x5", "-1", "yes", "[]", "99999999999999999999", ""]
)
def test_an_integer_is_written_in_one_way(text: str) -> None:
    """No leading zeros, quotes, signs or fractions."""
    node, reader = reading(text)
    assert reader.integer(node, "a number", most=100, default=7) == 7
    assert len(reader.faults) == 1


@pytest.mark.parametrize(
    ("text", "expected"), [("0ms", 0), ("100ms", 100), ("2s", 2000), ("5m", 300_000), ("1h", 3_600_000)]
)
def test_durations_have_a_unit(text: str, expected: int) -> None:
    """They are given in milliseconds, whatever the unit."""
    node, reader = reading(text)
    assert reader.duration(node, "a wait") == expected
    assert not len(reader.faults)


@pytest.mark.parametrize("text", ["5", "2 s", "-1s", "1.5s", "05s", "5S", "9999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number alone does not say of what."""
    node, reader = reading(text)
    reader.duration(node, "a wait")
    assert len(reader.faults) == 1


def test_choices_booleans_and_lines() -> None:
    """The other readers accept their form and report any other."""
    node, reader = reading('{a: mediun, b: true, c: yes, d: one line, e: "two\\nlines", f: \'  \', g: "\\u200b"}')
    values = node.mapping
    assert reader.choice(values["a"], ("low", "medium"), "a risk", default="low") == "low"
    assert reader.boolean(values["b"], "a truth") is True
    assert reader.boolean(values["c"], "a truth") is False
    assert reader.line(values["d"], "a title") == "one line"
    for key in "efg":
        assert reader.line(values[key], f"title {key}") == ""
    text = "\n".join(reader.faults)
    for part in ("did you mean 'medium'", "'yes'", "title e", "title f", "title g", "U+200B"):
        assert part in text


def test_a_suggestion_is_near_or_none() -> None:
    """Slips of the finger and beginnings are recognised, other words are left alone."""
    assert suggestion("stepz", ("steps", "title")) == " (did you mean 'steps'?)"
    assert suggestion("stuck", ("data-fix", "stuck-settlement")) == " (did you mean 'stuck-settlement'?)"
    assert suggestion("zzz", ("steps",)) == ""
    assert suggestion("", ("steps",)) == ""
