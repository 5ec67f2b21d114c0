"""What happens in the demo: a repository, then three changes. Each function is a scene that runs installed commands."""

from __future__ import annotations

from datetime import UTC, datetime

from okto_change.demo import example
from okto_change.demo.stage import Stage, few_rows

STUCK = (
    "SELECT status, count(*) FROM settlements WHERE acquirer_id = 1 AND requested_at"
    " <@ tstzrange('2026-11-22 09:10Z', '2026-11-22 09:14Z') GROUP BY status ORDER BY status"
)


def repository(stage: Stage) -> None:
    """Make the repository, and give its policy two people and a production."""
    stage.heading("A repository for changes")
    stage.okto("ana", "init", "--name", "payments", "--person", "ana")
    stage.say("Ana adds Bruno, production and the rule that production needs an approver to the policy.")
    example.write_policy(stage.world.clone("ana"), stage.world.public_keys())
    stage.publish("ana", "Begin a change repository")
    stage.okto("ana", "doctor", "--env", "production")


def good_change(stage: Stage) -> None:
    """Write, rehearse, approve and apply the release of 37 settlements and a longer timeout."""
    stage.heading("Change 1: 37 settlements are stuck in PENDING")
    stage.query("production", STUCK)
    stage.okto("ana", "new", "Release stuck settlements", "--incident", "INC-2031")
    stage.say("Ana writes the plan and its SQL (changes/ in the sources of okto-change holds them).")
    change = f"{datetime.now(UTC):%Y-%m-%d}-release-stuck-settlements"
    folder = stage.world.clone("ana") / "changes" / change
    for file in folder.iterdir():
        file.unlink()
    example.copy_change(example.RELEASE, stage.world.clone("ana"), change)
    stage.okto("ana", "check", "release-stuck", "--env", "production")
    rehearse(stage, "release-stuck", lines=None)
    decide(stage, "release-stuck", change)
    stage.okto("ana", "apply", "release-stuck", "--env", "production")
    stage.query("production", STUCK)
    stage.say("The file in production differs in one line; its comments and layout are as they were:")
    stage.show(_changed_lines(stage))
    stage.say("Once is enough:")
    stage.okto("ana", "apply", "release-stuck", "--env", "production")


def change_that_breaks_an_invariant(stage: Stage) -> None:
    """Apply a change that unbalances the ledger in the sandbox: it does not get as far as COMMIT."""
    stage.heading("Change 2: a mistake that is stopped before COMMIT")
    stage.say("This change books lost ledger entries and forgets the fees. The sandbox needs no approval:")
    example.copy_change(example.LEDGER, stage.world.clone("ana"))
    stage.okto("ana", "lock", "lost-ledger", "--env", "sandbox", lines=6)
    stage.publish("ana", "Post the ledger entries that the crash lost")
    stage.okto("ana", "apply", "lost-ledger", "--env", "sandbox", expect=4)


def change_that_was_edited(stage: Stage) -> None:
    """Approve a change, edit its SQL afterwards, and see it refused."""
    stage.heading("Change 3: an approval that does not cover what would run")
    example.copy_change(example.LIMIT, stage.world.clone("ana"))
    rehearse(stage, "merchant-limit", lines=6)
    decide(stage, "merchant-limit", example.LIMIT)
    stage.say("After the approval somebody makes the UPDATE hit every merchant but this one:")
    file = stage.world.clone("ana") / "changes" / example.LIMIT / "raise.sql"
    file.write_text(file.read_text(encoding="utf-8").replace("WHERE id =", "WHERE id <>"), encoding="utf-8")
    stage.publish("ana", "A small correction")
    stage.okto("ana", "apply", "merchant-limit", "--env", "production", expect=3)


def take_back(stage: Stage) -> None:
    """Roll the good change back, then look at the trail."""
    stage.heading("Change 1 is taken back")
    stage.okto("ana", "rollback", "release-stuck", "--env", "production")
    stage.query("production", STUCK)
    stage.show(_changed_lines(stage) or "acquirers.yaml is what it was, byte for byte")
    stage.heading("What the auditor sees")
    stage.okto("ana", "status", "--env", "production")
    stage.okto("ana", "audit", "log", "--env", "production", lines=12)
    stage.okto("ana", "audit", "verify", "--env", "production")


def rehearse(stage: Stage, change: str, *, lines: int | None) -> None:
    """Lock and dry-run a change for production and publish both; show ``lines`` lines of the dry run."""
    stage.okto("ana", "lock", change, "--env", "production", lines=6)
    stage.okto("ana", "dry-run", change, "--env", "production", lines=lines, talk=False, short=few_rows)


def decide(stage: Stage, part: str, change: str) -> None:
    """Have Ana submit a change and Bruno approve it."""
    stage.publish("ana", f"Plan, lock and dry run of {change}")
    stage.okto("ana", "submit", part, "--env", "production", "-m", "rehearsed", talk=False)
    stage.say("Bruno reads what will run, and signs:")
    stage.pull("bruno")
    stage.okto("bruno", "approve", part, "--env", "production", "--yes", change, talk=False)
    stage.okto("bruno", "approvals", part, "--env", "production")


def _changed_lines(stage: Stage) -> str:
    """Return the lines of production's config file that differ from the sandbox's, which nobody touched."""
    now, before = (
        stage.world.config(name).read_text(encoding="utf-8").split("\n") for name in ("production", "sandbox")
    )
    pairs = zip(before, now, strict=True)
    return "\n".join(f"- {old.strip()}\n+ {new.strip()}" for old, new in pairs if old != new)
