"""Which bytes are approved and run: rows 1 to 4, 34 to 39, 46, 50."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from okto_change import digest
from tests.attacks.stage import CHANGE, FOLDER, LOCK, PLAN, SQL, Stage, words

WARM = True
SUBMITTED = "step 5 (submission): nobody who may submit has submitted this version"
OTHER = "it is for another version of the plan"
LOCKING = ("lock", CHANGE, "--env", "prod")


@pytest.fixture
def approved(stage: Stage) -> Stage:
    """Return a world in which everything is approved."""
    stage.approve("bruno")
    stage.cleared()
    return stage


def test_row_01_sql_is_edited_after_approval(approved: Stage) -> None:
    """The lock is not what the sources say; apply says it before it looks for any database."""
    approved.edit(f"{FOLDER}/fix.sql", "= {{", "<> {{")
    approved.refused("the sources changed since they were locked", "fix.sql", code=1)
    approved.refused(
        "the lock is not what the sources compile to", command=("apply", CHANGE, "--env", "prod", "--yes"), person="eva"
    )
    approved.edit(f"{FOLDER}/fix.sql", "<> {{", "= {{")
    approved.cleared()


def test_row_02_sql_is_edited_and_locked_again(approved: Stage) -> None:
    """Every earlier statement is for another version."""
    approved.edit(f"{FOLDER}/fix.sql", "= {{", "<> {{")
    approved.lock()
    said = approved.refused(SUBMITTED)
    assert said.count(OTHER) == 3
    approved.publish(approved.signed("ana", "submit"), approved.signed("carla", "approve", "owners"))
    approved.approve("bruno")
    approved.cleared()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("fix.undo.sql", "'PENDING'", "'LOST'"),
        ("plan.yaml", "value: 1}", "value: 2}"),
        ("plan.yaml", "staging: {settlement: 7}", "prod: {settlement: 7}"),
    ],
)
def test_row_03_only_the_undo_or_a_parameter_is_edited(approved: Stage, file: str, old: str, new: str) -> None:
    """Both are inside the lock."""
    before = approved.digest()
    approved.edit(f"{FOLDER}/{file}", old, new)
    approved.refused("the sources changed since they were locked", code=1)
    approved.lock()
    assert approved.digest() != before
    assert approved.refused(SUBMITTED).count(OTHER) == 3
    approved.edit(f"{FOLDER}/{file}", new, old)
    approved.lock()
    assert approved.digest() == before
    approved.cleared()


def test_row_04_a_lock_written_by_hand_says_something_else(stage: Stage) -> None:
    """Approved by people who did not look: no command signs it, is green over it, or runs it: each compiles again."""
    honest = (stage.work / LOCK).read_bytes()
    stage.edit(f"{FOLDER}/fix.sql", "SETTLED", "STOLEN", push="")
    stage.lock(push="")
    said = json.loads(honest)
    forged = json.loads((stage.work / LOCK).read_bytes()) | {name: said[name] for name in ("sources", "source_sha256")}
    stage.git("checkout", "--quiet", "HEAD~2", "--", f"{FOLDER}/fix.sql")
    stage.commit("Lock", {LOCK: digest.canonical(forged)})
    assert stage.digest() != digest.sha256(honest)
    stage.refused("lock", command=("approve", CHANGE, "--env", "prod", "--yes", CHANGE), person="bruno", code=1)
    stage.publish(stage.signed("ana", "submit"), stage.signed("carla", "approve", "owners"))
    stage.approve("bruno")
    stage.refused(
        "the lock is not what the sources compile to",
        "'TOLEN' -> 'ETTLED'",
        command=("apply", CHANGE, "--env", "prod", "--yes"),
        person="eva",
    )
    for _ in range(2):
        stage.refused("the lock is not what the sources compile to", "'TOLEN' -> 'ETTLED'")
    stage.commit("Lock as compiled", {LOCK: honest})
    stage.approve("bruno")
    for _ in range(2):
        stage.cleared()
    stage.commit("Lock by hand again", {LOCK: digest.canonical(forged)})
    stage.refused("the lock is not what the sources compile to")
    stage.commit("Lock as compiled", {LOCK: honest})
    stage.cleared("check", CHANGE)


@pytest.mark.parametrize("what", ["a symbolic link", "a submodule", "an executable file"])
def test_row_34_what_is_no_plain_file_stands_in_the_change(approved: Stage, what: str) -> None:
    """Refused by the mode in git's tree, before anything is read."""
    path = approved.work / FOLDER / "odd"
    if what == "a symbolic link":
        path.symlink_to("/etc/passwd")
    elif what == "an executable file":
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    approved.git("add", "--all")
    if what == "a submodule":
        approved.git("update-index", "--add", "--cacheinfo", f"160000,{approved.git('rev-parse', 'HEAD')},{FOLDER}/odd")
    approved.git("commit", "--quiet", "--message", "Odd")
    approved.git("push", "--quiet", "origin", "HEAD:main")
    approved.refused(f"odd: {what}; only plain files are read", code=1)
    approved.git("reset", "--quiet", "--hard", "HEAD~1")
    approved.commit("Take it away again", push="again")
    approved.cleared()


def test_row_35_odd_paths(approved: Stage) -> None:
    """Twins by case, names that a shell or an eye misreads."""
    paths = ("Fix.sql", "fix;rm -rf.sql", "fi\u0445.sql")
    approved.commit("Odd", {f"{FOLDER}/{path}": "SELECT 1;\n" for path in paths})
    said = approved.refused("differs from changes/fix-settlements/Fix.sql only in case", code=1)
    assert said.count("use letters, digits") == 2
    approved.git("reset", "--quiet", "--hard", "HEAD~1")
    approved.cleared()


def test_row_35_a_plan_reaches_into_another_change(stage: Stage) -> None:
    """Only files of the change's own folder can be named; a name of such a file can."""
    stage.commit("Another", {"changes/another/fix.sql": SQL})
    stage.edit(f"{FOLDER}/plan.yaml", "sql: fix.sql", "sql: ../another/fix.sql")
    stage.refused("plan.yaml:9", "../another/fix.sql", command=LOCKING, code=1)
    stage.edit(f"{FOLDER}/plan.yaml", "sql: ../another/fix.sql", "sql: copied.sql")
    stage.commit("Copy", {f"{FOLDER}/copied.sql": SQL})
    stage.cleared(*LOCKING)


TEMPLATES = (
    "{% include '../../.okto-change/policy/0001.yaml' %}",
    "{% import 'os' as os %}",
    "{{ now() }}",
    "{{ environ }}",
    "{{ range(9) | random }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ settlement.__class__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ lipsum.__globals__.os.popen('id').read() }}",
)


def test_row_36_a_template_reaches_outside(stage: Stage) -> None:
    """The loader knows the files of the change and nothing else, and there is neither clock, chance nor environment."""
    _each_refused(stage, [SQL.encode() + f"-- {template}\n".encode() for template in TEMPLATES], line=2)


def _each_refused(stage: Stage, files: Sequence[bytes], line: int) -> str:
    """Give the plan a step for each file; demand that one command refuses every one of them and locks nothing."""
    before = (stage.work / LOCK).read_bytes()
    names = [f"odd-{number}.sql" for number in range(len(files))]
    steps = "".join(f"  - {{name: {name[:-4]}, target: ledger, sql: {name}, undo: auto}}\n" for name in names)
    odd = {f"{FOLDER}/{name}": content for name, content in zip(names, files, strict=True)}
    stage.write({f"{FOLDER}/plan.yaml": PLAN + steps, **odd})
    said = stage.refused(*(f"{name}:{line}" for name in names), command=LOCKING, code=1)
    assert (stage.work / LOCK).read_bytes() == before
    return said


def test_row_36_an_innocent_template_renders(stage: Stage) -> None:
    """With parameters, loops and conditions."""
    text = SQL.replace("'SETTLED'", "{% if settlement == 1 %}'ONE'{% else %}'MANY'{% endif %}")
    stage.write({f"{FOLDER}/fix.sql": text})
    stage.cleared(*LOCKING)
    assert "SET status = 'ONE'" in (stage.work / LOCK).read_text()


ODD = (
    b"\r",
    b"\xef\xbb\xbf",
    b"\0",
    "\u202e".encode(),
    "\u200b".encode(),
    b"\x1b[2K",
    "e\u0301".encode(),
    "\u2028".encode(),
    b"\xff",
)
"""CR, BOM, NUL, a bidi control, a zero-width space, an escape, no NFC, a line separator, no UTF-8"""


def test_row_37_characters_that_deceive(stage: Stage) -> None:
    """In a comment, where they change nothing but what a reader sees."""
    said = _each_refused(stage, [SQL.encode() + b"-- note " + odd + b"x\n" for odd in ODD], line=2)
    assert "\x1b" not in said and "\u202e" not in said


def test_row_37_innocent_accents_pass(stage: Stage) -> None:
    """In comments and literals, composed."""
    stage.write({f"{FOLDER}/fix.sql": SQL.encode() + "-- liquidação, ação\n".encode()})
    stage.cleared(*LOCKING)


LOOKALIKES = (
    "UPDATE settlements SET status = 'X' WHERE \u0456d = 1;",
    "UPDATE settlements\u00a0SET status = 'X';",
    "UPDATE settlements SET status = 'X'\uff1b",
    "UPDATE settlements\ufe0f SET status = 'X';",
)
"""a Cyrillic letter, a no-break space, a full-width semicolon, a variation selector"""


def test_row_38_names_that_look_like_others(stage: Stage) -> None:
    """In SQL anything beyond ASCII stands in comments, literals and quoted names only, and is shown escaped there."""
    _each_refused(stage, [f"{text}\n".encode() for text in LOOKALIKES], line=1)
    _each_refused(stage, ["SELECT 1 FROM settlements\u3164;\n".encode()], line=1)


def test_row_38_innocent_names_in_quotes_pass(stage: Stage) -> None:
    """A literal of a customer's name."""
    stage.write({f"{FOLDER}/fix.sql": "UPDATE settlements SET status = 'São João' WHERE id = {{ settlement }};\n"})
    stage.cleared(*LOCKING)


def test_row_39_a_terminal_escape_hides_lines_from_the_approver(stage: Stage) -> None:
    """In the plan it is refused; in a comment that somebody signed it is shown as text, or not at all."""
    stage.write({f"{FOLDER}/plan.yaml": PLAN.replace("The acquirer", '"\\e[2J The acquirer') + '"'})
    stage.refused("plan.yaml", command=LOCKING, code=1)
    stage.git("checkout", "--quiet", "--", ".")
    honest = stage.statement("carla", "approve", "owners", comment="looks \u00e9 good")
    stage.publish(stage.sign(honest, "carla"))
    stage.publish(stage.sign(honest.replace(b"\\u00e9", b"\\u001b[2K"), "mallory"))
    answer = stage.okto("approvals", CHANGE, "--env", "prod")
    assert "\x1b" not in answer.said
    name = f"decisions/{CHANGE}/prod/x\x1b[2K\u202e.signed"
    stage.tamper({name: b"garbage\n"})
    answer = stage.okto("approvals", CHANGE, "--env", "prod")
    assert answer.code == 0
    assert "\x1b" not in answer.said and "\u202e" not in answer.said
    assert "there is no SSH signature in it" in words(answer.said)
    stage.approve("bruno")
    stage.cleared()


def test_row_46_two_plans_have_one_digest(stage: Stage) -> None:
    """Nobody can make a collision of SHA-256; what can be tried is to let one lock stand for two places.

    The lock says its repository, change and environment, so its digest belongs to one; moved, it is refused.
    """
    moved = (stage.work / f"{FOLDER}/locks/staging.json").read_bytes()
    honest = (stage.work / LOCK).read_bytes()
    stage.commit("Move", {LOCK: moved})
    stage.refused("the lock is of another environment")
    stage.commit(
        "Copy",
        {LOCK: honest}
        | {
            f"changes/second-fix/{path.relative_to(stage.work / FOLDER)}": path.read_bytes()
            for path in (stage.work / FOLDER).rglob("*")
            if path.is_file()
        },
    )
    stage.refused("the lock is of another change", command=("verify", "second-fix", "--env", "prod"))
    stage.approve("bruno")
    stage.cleared()


YAML = {
    "duplicate key": ("title: Release", "title: Other\ntitle: Release"),
    "anchor": ("reason: The", "reason: &a The"),
    "tag": ("reason: The acquirer timed out.", "reason: !!python/object/apply:os.system [id]"),
    "merge key": ("author: ana", "author: ana\n<<: {risk: low}"),
    "octal": ("value: 1}", "value: 0o10}"),
    "unknown key": ("author: ana", "author: ana\napproved: yes"),
}


@pytest.mark.parametrize("name", YAML)
def test_row_50_yaml_that_means_something_else(stage: Stage, name: str) -> None:
    """The strict reader refuses it with its line."""
    old, new = YAML[name]
    stage.write({f"{FOLDER}/plan.yaml": PLAN.replace(old, new)})
    stage.refused("plan.yaml:", command=LOCKING, code=1)


def test_row_50_scalars_mean_what_they_say(stage: Stage) -> None:
    """`010` is no 8, `12:30` no 750 and `yes` no true: texts stay as they are written."""
    plan = PLAN.replace(
        "  per_env",
        "  note: {type: text, value: 12:30}\n  yes_: {type: text, value: yes}\n  zero: {type: text, value: 010}\n  per_env",
    )
    stage.write(
        {
            f"{FOLDER}/plan.yaml": plan,
            f"{FOLDER}/fix.sql": SQL.replace("'SETTLED'", "concat({{ note }}, {{ yes_ }}, {{ zero }})"),
        }
    )
    stage.cleared(*LOCKING)
    assert "concat('12:30'::text, 'yes'::text, '010'::text)" in (stage.work / LOCK).read_text()
