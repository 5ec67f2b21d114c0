"""Edits touch what they name and nothing else: comments, order, quotes, indentation and line breaks stay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from okto_change.config.edit import EditResult, plan_edit
from okto_change.errors import EditError

ACQUIRERS = """\
# Acquirers. Ask #payments before touching.
defaults: &defaults
  currency: BRL   # ISO 4217

acquirers:
  # the old one
  north:
    host: "north.example:8443"
    timeout_ms: 3000   # raised in INC-1
    legacy_retry: true # remove after March
    hosts:
      - a
      - 'b'   # two
      - name: c
        port: 1
    limits: {daily: 10, monthly: 100}
  south:
    <<: *defaults
    timeout_ms: 2500
    note: |
      several
      lines

    empty:
# tail
"""
PRETTY = """\
{
  "a": {
    "x": 1,
    "y": [1, 2, {"z": null}]
  },
  "b": "q"
}
"""


def edit(
    text: str, set: dict[str, Any] | None = None, remove: tuple[str, ...] = (), file: str = "f.yaml"
) -> EditResult:
    """Edit with paths written with slashes."""
    asked = [(path.split("/"), value) for path, value in (set or {}).items()]
    return plan_edit(file, text.encode(), asked, [path.split("/") for path in remove])


def yaml(text: str, set: dict[str, Any] | None = None, *remove: str) -> str:
    """Return a YAML text after an edit."""
    return edit(text, set, remove).content.decode()


def js(text: str, set: dict[str, Any] | None = None, *remove: str) -> str:
    """Return a JSON text after an edit."""
    return edit(text, set, remove, "f.json").content.decode()


def changed_lines(result: EditResult) -> list[str]:
    """Return the lines of a diff that change something."""
    return [line for line in result.diff.splitlines()[2:] if line[:1] in "+-"]


# ----------------------------------------------------------------------------------- one value


def test_a_one_value_edit_is_a_one_line_diff() -> None:
    """The comment on the line stays, and so does everything else."""
    result = edit(ACQUIRERS, {"acquirers/north/timeout_ms": 8000})
    assert changed_lines(result) == [
        "-    timeout_ms: 3000   # raised in INC-1",
        "+    timeout_ms: 8000   # raised in INC-1",
    ]
    assert result.changes == ((("acquirers", "north", "timeout_ms"), 3000, 8000),)
    assert result.content.decode() == ACQUIRERS.replace("3000", "8000")


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("5", 6, "6"),
        ("5", True, "true"),
        ("5", None, "null"),
        ("5", 0.5, "0.5"),
        ("5", 1e22, "1.0e+22"),
        ("5", -0.0, "-0.0"),
        ("5", 10**30, "1" + "0" * 30),
        ("5", "six", "six"),
        ("5", "6", '"6"'),
        ("5", "yes", '"yes"'),
        ("5", "No", '"No"'),
        ("5", "null", '"null"'),
        ("5", "~", '"~"'),
        ("5", "", '""'),
        ("5", "010", '"010"'),
        ("5", "0x1f", '"0x1f"'),
        ("5", "1_000", '"1_000"'),
        ("5", "12:30", '"12:30"'),
        ("5", "1e3", '"1e3"'),
        ("5", "2026-11-22", '"2026-11-22"'),
        ("5", "10.0.0.1", '"10.0.0.1"'),
        ("5", ".inf", '".inf"'),
        ("5", "a: b", '"a: b"'),
        ("5", "a #b", '"a #b"'),
        ("5", "#b", '"#b"'),
        ("5", "- b", '"- b"'),
        ("5", "*b", '"*b"'),
        ("5", "&b", '"&b"'),
        ("5", "!b", '"!b"'),
        ("5", "%b", '"%b"'),
        ("5", "@b", '"@b"'),
        ("5", "{b}", '"{b}"'),
        ("5", "[b", '"[b"'),
        ("5", "a,b", '"a,b"'),
        ("5", " a", '" a"'),
        ("5", "a ", '"a "'),
        ("5", "=", '"="'),
        ("5", "<<", '"<<"'),
        ("5", "---", '"---"'),
        ("5", "5s", "5s"),
        ("5", "https://pay.example:8443/v1", "https://pay.example:8443/v1"),
        ("5", "two words", "two words"),
        ("5", "line\nbreak\ttab \x07 \x85 \u2028 é 😀", '"line\\nbreak\\ttab \\x07 \\x85 \\u2028 é 😀"'),
        ("'it''s'", "they're", "'they''re'"),
        ("'a'", "b\nc", '"b\\nc"'),
        ("'a'", 5, "5"),
        ('"a"', "plain", '"plain"'),
        ('"a"', 'q"\\', '"q\\"\\\\"'),
        ("[1, 2]", [3], "[3]"),
        ("{a: 1}", {"b": [True]}, "{b: [true]}"),
        ("[1]", [], "[]"),
        ("5", {}, "{}"),
    ],
)
def test_a_value_keeps_its_type_and_its_quotes(old: str, value: Any, new: str) -> None:
    """What would read back as another type, here or in another reader of YAML, is quoted."""
    assert yaml(f"a: 1\nk: {old} # note\nz: 1\n", {"k": value}) == f"a: 1\nk: {new} # note\nz: 1\n"


def test_new_quotes_are_those_of_the_file() -> None:
    """A file with single quotes gets single quotes."""
    assert yaml("a: 'x'\nk: 5\n", {"k": "6"}) == "a: 'x'\nk: '6'\n"


def test_a_key_that_has_the_value_already_is_no_change() -> None:
    """Nothing is written, not even differently quoted; another type is a change."""
    result = edit("a: 'x'\nb: 0x10\nc: 0.50\n", {"a": "x", "b": 16, "c": 0.5})
    assert (result.changes, result.diff) == ((), "")
    assert yaml("a: '5'\n", {"a": 5}) == "a: 5\n"


@pytest.mark.parametrize(
    ("text", "value", "new"),
    [
        ("k:\nz: 1\n", 5, "k: 5\nz: 1\n"),
        ("k:   # note\nz: 1\n", 5, "k: 5   # note\nz: 1\n"),
        ("k: # note\n  a: 1 # one\n  # between\n  b: 2\nz: 1\n", 5, "k: 5 # note\nz: 1\n"),
        ("k: 5 # note\nz: 1\n", {"a": 1, "b": []}, "k: # note\n  a: 1\n  b: []\nz: 1\n"),
        ("k:\n  - 1\n  - 2\nz: 1\n", [3, {"a": 1, "b": 2}], "k:\n  - 3\n  - a: 1\n    b: 2\nz: 1\n"),
        ("k:\n- 1\nz: 1\n", [3], "k:\n- 3\nz: 1\n"),
        ("k:\n- 1\nz: 1\n", {"a": [1]}, "k:\n  a:\n  - 1\nz: 1\n"),
        ("k: |\n  text\n  more\n\nz: 1\n", "short", "k: short\n\nz: 1\n"),
        ("k: >-\n  text\n\n  more\n# c\nz: 1\n", 5, "k: 5\n# c\nz: 1\n"),
        ("k: several\n  lines\nz: 1\n", "one", "k: one\nz: 1\n"),
        ("k:\n  far\nz: 1\n", "near", "k:\n  near\nz: 1\n"),
        ("k: 'x", None, None),
        ("k:\n    a: 1\n    b: 2\nz: 1\n", {"c": {"d": 3}}, "k:\n    c:\n        d: 3\nz: 1\n"),
    ],
)
def test_any_kind_of_value_can_take_the_place_of_any_other(text: str, value: Any, new: str | None) -> None:
    """Scalars, empty ones, blocks, folded text and collections, with the comments around them."""
    if new is None:
        with pytest.raises(EditError, match="not YAML"):
            edit(text, {"k": value})
    else:
        assert yaml(text, {"k": value}) == new


# ----------------------------------------------------------------------------------- new keys


def test_a_new_key_comes_after_its_siblings_with_their_indentation() -> None:
    """Blocks within blocks keep the file's own steps."""
    result = edit(ACQUIRERS, {"acquirers/north/new": {"a": 1, "b": ["x", "yes"]}, "acquirers/south/z": "12:30"})
    text = result.content.decode()
    added = '    new:\n      a: 1\n      b:\n        - x\n        - "yes"\n'
    assert f"    limits: {{daily: 10, monthly: 100}}\n{added}  south:" in text
    assert '    empty:\n    z: "12:30"\n# tail\n' in text
    assert all(line.startswith("+") for line in changed_lines(result))


@pytest.mark.parametrize(
    ("text", "path", "new"),
    [
        ("a: 1", "b", "a: 1\nb: 5"),
        ("a: 1 # c", "b", "a: 1 # c\nb: 5"),
        ("a: |+\n  x\n\n", "b", "a: |+\n  x\n\nb: 5\n"),
        ("a: |\n  x\n\n\nz: 1\n", "b", "a: |\n  x\n\n\nz: 1\nb: 5\n"),
        ("---\na: 1\n...\n", "b", "---\na: 1\nb: 5\n...\n"),
        ("{a: 1}\n", "b", "{a: 1, b: 5}\n"),
        ("a: { x: 1 }\n", "a/w", "a: { x: 1, w: 5 }\n"),
        ("a: {}\n", "a/w", "a: {w: 5}\n"),
        ("a: { }\n", "a/w", "a: {w: 5}\n"),
        ("a: {x: 1,}\n", "a/w", "a: {x: 1, w: 5,}\n"),
        ("a: {\n  x: 1, # one\n  z: 2 # two\n}\n", "a/w", "a: {\n  x: 1, # one\n  z: 2, # two\n  w: 5\n}\n"),
        ("a: {\n  x: 1,\n}\n", "a/w", "a: {\n  x: 1,\n  w: 5,\n}\n"),
        ("- a: 1\n- b: 2\n", "0/x", "- a: 1\n  x: 5\n- b: 2\n"),
        ("- 1 # one\n", "1", "- 1 # one\n- 5\n"),
        ("a:\n- 1\nb: 2\n", "a/1", "a:\n- 1\n- 5\nb: 2\n"),
        ("a: [1, 2]\n", "a/2", "a: [1, 2, 5]\n"),
        ("a: []\n", "a/0", "a: [5]\n"),
    ],
)
def test_a_new_entry_fits_in(text: str, path: str, new: str) -> None:
    """In blocks, braces and lists; with or without a final line break."""
    assert yaml(text, {path: 5}) == new


def test_a_new_key_that_looks_like_something_else_is_quoted() -> None:
    """Keys are text, whatever they look like."""
    assert yaml("a: 1\n", {"8080": 5}) == 'a: 1\n"8080": 5\n'
    assert yaml("a: 1\n", {"on": 5}) == 'a: 1\n"on": 5\n'


def test_keys_of_other_types_are_found_by_their_characters() -> None:
    """A port as a key needs no special path."""
    assert yaml("8080: x\ntrue: y\n", {"8080": "z", "true": 1}) == "8080: z\ntrue: 1\n"


# ----------------------------------------------------------------------------------- removed keys


@pytest.mark.parametrize(
    ("text", "path", "new"),
    [
        ("a: 1 # one\n# about b\nb: 2\n", "a", "# about b\nb: 2\n"),
        ("# about a\na: 1\nb: 2 # two\n", "b", "# about a\na: 1\n"),
        ("a: 1\nb: 2", "b", "a: 1"),
        ("a: 1\nb: 2", "a", "b: 2"),
        ("a: 1\n", "a", "{}\n"),
        ("p: # why\n  a: 1\nz: 1\n", "p/a", "p: {} # why\nz: 1\n"),
        ("p:\n- a\nz: 1\n", "p/0", "p: []\nz: 1\n"),
        ("- a: 1\n  b: 2\n- c: 3\n", "0/a", "- b: 2\n- c: 3\n"),
        ("- a: 1\n  b: 2\n- c: 3\n", "0", "- c: 3\n"),
        ("- a: 1\n- c: 3\n", "0/a", "- {}\n- c: 3\n"),
        ("p:\n  a: |\n    text\n\n    more\n  b: 1\n", "p/a", "p:\n  b: 1\n"),
        ("p: {a: 1, b: 2, c: 3}\n", "p/a", "p: {b: 2, c: 3}\n"),
        ("p: {a: 1, b: 2, c: 3}\n", "p/b", "p: {a: 1, c: 3}\n"),
        ("p: {a: 1, b: 2, c: 3}\n", "p/c", "p: {a: 1, b: 2}\n"),
        ("p: {a: 1}\n", "p/a", "p: {}\n"),
        ("p: [1, 2]\n", "p/0", "p: [2]\n"),
        ("p: {\n  a: 1, # one\n  b: 2 # two\n}\n", "p/a", "p: {\n  b: 2 # two\n}\n"),
        ("p: {\n  a: 1, # one\n  b: 2 # two\n}\n", "p/b", "p: {\n  a: 1 # one\n}\n"),
        ("p:\n  a: 1\n  b:\n\n  c: 3\n", "p/b", "p:\n  a: 1\n\n  c: 3\n"),
    ],
)
def test_a_removed_entry_takes_its_line_and_its_comment_only(text: str, path: str, new: str) -> None:
    """Comments on lines of their own, and blank lines, stay where they are."""
    assert yaml(text, None, path) == new


def test_several_items_of_a_list_are_removed_by_their_index_in_the_file_as_it_is() -> None:
    """Removing one does not shift the others away."""
    result = edit("p: [a, b, c, d]\n", {"p/4": "e"}, ("p/0", "p/2"))
    assert result.content == b"p: [b, d, e]\n"
    assert sorted(result.changes) == [(("p", "0"), "a", None), (("p", "2"), "c", None), (("p", "4"), None, "e")]


# ----------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("file", ["f.yaml", "f.json"])
def test_line_breaks_of_windows_and_a_byte_order_mark_stay(file: str) -> None:
    """New lines get the file's own line break."""
    text = "\ufeffa: 1\r\nb: 2 # é\r\n" if file == "f.yaml" else '\ufeff{\r\n  "a": 1,\r\n  "b": 2\r\n}\r\n'
    result = edit(text, {"a": 5, "c": 3}, file=file).content.decode()
    assert result.startswith("\ufeff")
    assert "\n" not in result.replace("\r\n", "")
    assert result.count("\r\n") == text.count("\r\n") + 1


def test_a_missing_final_line_break_is_shown_and_kept() -> None:
    """The diff says so as people know it."""
    result = edit("a: 1", {"a": 2})
    assert result.content == b"a: 2"
    assert result.diff == (
        "--- a/f.yaml\n+++ b/f.yaml\n@@ -1 +1 @@\n-a: 1\n\\ No newline at end of file\n"
        "+a: 2\n\\ No newline at end of file\n"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: \xff\n", "not UTF-8"),
        ("a: 1\n".encode("utf-16"), "not UTF-8"),
        (b"a: \x00\n", "not YAML"),
        (b"a: 1\rb: 2\n", "carriage returns"),
        (b"", "empty"),
        (b"# only a comment\n", "empty"),
        (b"a: 1\na: 2\n", "'a' stands twice"),
        (b"p:\n  a: 1\n  'a': 2\n", "'a' stands twice"),
        (b"a: 1\n---\nb: 2\n", "several documents"),
        (b"a: [1\n", "not YAML"),
        (b"\ta: 1\n", "not YAML"),
        (b"a: *gone\n", "no anchor"),
        (b"a: " + b"[" * 200 + b"]" * 200, "levels of nesting"),
        (b"x" * (8 * 1024 * 1024 + 1), "8,388,608"),
    ],
)
def test_a_file_that_cannot_be_edited_is_refused_clearly(content: bytes, problem: str) -> None:
    """With the file's name, and the line where there is one."""
    with pytest.raises(EditError, match=problem) as caught:
        plan_edit("conf/f.yaml", content, [(("a",), 1)], [])
    assert str(caught.value.where).startswith("conf/f.yaml")


@pytest.mark.parametrize("file", ["a.toml", "a.ini", ".env", "a.properties", "Makefile", "a.yaml.bak"])
def test_other_formats_are_not_available_in_this_version(file: str) -> None:
    """And the error says which are."""
    with pytest.raises(EditError, match="not available in this version") as caught:
        plan_edit(file, b"a: 1\n", [(("a",), 1)], [])
    assert ".json" in str(caught.value.hint)


# ----------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("path", "problem", "hint"),
    [
        ("acquirers/nroth/timeout_ms", "acquirers.nroth is not there", "did you mean north"),
        ("acquirers/north/host/x", "has no keys", ""),
        ("acquirers/north/hosts/x", "is a list; 'x' is no index", ""),
        ("acquirers/north/hosts/-1", "is no index", ""),
        ("acquirers/north/hosts/01", "is no index", ""),
        ("acquirers/north/hosts/4", "beyond its end", ""),
        ("acquirers/south/empty/x", "holds null, which has no keys", ""),
        ("defaults/currency", "shared: it has the anchor &defaults", "write the values out"),
        ("defaults", "shared", ""),
        ("acquirers/south/<</currency", "alias \\*defaults", ""),
        ("acquirers/south/<<", "alias", ""),
        ("acquirers/south/currency", "comes from a merge key", ""),
        ("new/deep", "new is not there", "set its key to a mapping"),
    ],
)
def test_a_path_that_leads_nowhere_or_to_something_shared_is_refused(path: str, problem: str, hint: str) -> None:
    """Editing a shared node would change it in places that nobody named."""
    with pytest.raises(EditError, match=problem) as caught:
        edit(ACQUIRERS, {path: 1})
    assert hint in str(caught.value.hint)


def test_a_key_that_is_not_there_cannot_be_removed() -> None:
    """It would be a typing mistake that looks like success."""
    with pytest.raises(EditError, match=r"acquirers\.north\.gone is not there"):
        edit(ACQUIRERS, None, ("acquirers/north/gone",))


def test_paths_inside_one_another_are_refused() -> None:
    """Which of them wins would be a guess."""
    with pytest.raises(EditError, match="inside one another"):
        edit(ACQUIRERS, {"acquirers/north": {}}, ("acquirers/north/host",))
    with pytest.raises(EditError, match="at least one key"):
        plan_edit("f.yaml", b"a: 1\n", [((), 1)], [])


def test_a_key_that_is_there_in_two_types_is_refused() -> None:
    """The path cannot tell them apart."""
    with pytest.raises(EditError, match="2 times, as keys of different types"):
        edit('8080: 1\n"8080": 2\n', {"8080": 3})


def test_a_shared_node_below_an_edited_one_is_refused_too() -> None:
    """An anchor that goes with its value leaves aliases without meaning."""
    with pytest.raises(EditError, match="without touching something else"):
        edit("p:\n  a: &x 1\n  b: 2\nq: *x\n", None, ("p",))


@pytest.mark.parametrize("value", ["!vault abc", "&x 5"])
def test_a_tag_or_an_anchor_is_not_lost_in_silence(value: str) -> None:
    """The new value would mean something else."""
    with pytest.raises(EditError, match="which a plain value would lose"):
        edit(f"k: {value}\n", {"k": "new"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"a": float("inf")}])
def test_a_value_that_no_file_can_hold_is_refused(value: Any) -> None:
    """In both formats."""
    with pytest.raises(EditError, match="cannot be written"):
        edit("a: 1\n", {"b": value})


def test_a_merge_key_cannot_be_set() -> None:
    """It is no key like the others."""
    with pytest.raises(EditError, match="merge key"):
        edit("a: 1\n", {"<<": {"b": 1}})


def test_layout_that_cannot_be_spliced_is_refused_instead_of_mangled() -> None:
    """A key written with a question mark has its value elsewhere."""
    with pytest.raises(EditError):
        edit("? a\n: 1\nb: 2\n", None, ("a",))
    with pytest.raises(EditError):
        edit("? a\n: 1\n", {"b": 5})
    with pytest.raises(EditError):
        edit("p: [a: 1, b]\n", {"p/0/c": 2})


# ----------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("text", "set", "remove", "new"),
    [
        (PRETTY, {"a/x": 5}, (), PRETTY.replace('"x": 1', '"x": 5')),
        (PRETTY, {"b": "é"}, (), PRETTY.replace('"q"', '"é"')),
        (PRETTY, {"c": {"n": [1]}}, (), PRETTY.replace('"q"\n}', '"q",\n  "c": {\n    "n": [\n      1\n    ]\n  }\n}')),
        (PRETTY, {"a/y/2/w": True}, (), PRETTY.replace("null}", 'null, "w": true}')),
        (PRETTY, {"a/y/3": 4}, ("a/y/0",), PRETTY.replace('[1, 2, {"z": null}]', '[2, {"z": null}, 4]')),
        (PRETTY, None, ("a/x",), PRETTY.replace('    "x": 1,\n', "")),
        (PRETTY, None, ("b",), PRETTY.replace('  },\n  "b": "q"\n', "  }\n")),
        ('{"a":1,"b":[]}', {"b/0": {"x": 1.5}, "c": 2}, ("a",), '{"b":[{"x":1.5}],"c":2}'),
        ('{"a": 1}', {"b": None}, (), '{"a": 1, "b": null}'),
        ("{}", {"b": 1}, (), '{"b": 1}'),
        ('{"a":{}}', {"a/b": 1}, (), '{"a":{"b":1}}'),
        ('{"a": 1}\n', None, ("a",), "{}\n"),
        ('{"k": "\\u00e9"}', {"k": "ü"}, (), '{"k": "\\u00fc"}'),
        ('{"k.x": 1, "": 2}', {"k.x": 2}, (), '{"k.x": 2, "": 2}'),
        ("[1, 2]", {"0": 3}, ("1",), "[3]"),
        ('{\n\t"a": {\n\t\t"b": 1\n\t}\n}', {"a/c": 2}, (), '{\n\t"a": {\n\t\t"b": 1,\n\t\t"c": 2\n\t}\n}'),
        ('{\n\t"b": 1\n}', {"c": [2]}, (), '{\n\t"b": 1,\n\t"c": [\n\t\t2\n\t]\n}'),
    ],
)
def test_json_keeps_its_layout(text: str, set: dict[str, Any] | None, remove: tuple[str, ...], new: str) -> None:
    """Pretty or compact, tabs or spaces, escaped or not."""
    assert js(text, set, *remove) == new
    json.loads(new)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"x": {"a": 1, "\\u0061": 2}}', "'a' stands twice"),
        ("{'a': 1}", "double quotes"),
        ('{"a": 1,}', "double quotes"),
        ("[1,]", "expected a value"),
        ('{"a": NaN}', "expected a value"),
        ('{"a": 01}', "expected ','"),
        ('{"a": +1}', "expected a value"),
        ('{"a": 1} // note', "comments are not JSON"),
        ('{\n  # note\n  "a": 1}', "comments are not JSON"),
        ('{"a": "x\ny"}', "nvalid control character"),
        ('{"a": "x', "nterminated string"),
        ('{"a": 1} {}', "after the end"),
        ("", "the end of the file"),
        ("[" * 300, "levels of nesting"),
        ('{"a" 1}', "expected ':'"),
        ('{"a": truex}', "expected ','"),
    ],
)
def test_what_is_no_json_is_refused_with_its_line(text: str, problem: str) -> None:
    """Strictly by the standard: what other readers would not take is not written on."""
    with pytest.raises(EditError, match=problem) as caught:
        edit(text, {"b": 1}, file="f.json")
    assert str(caught.value.where).startswith("f.json:")
