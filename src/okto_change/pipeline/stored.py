"""The stored dry run: what approvals bind, as the file beside the lock. Reading it needs no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from okto_change import digest
from okto_change.masking import mask_all, mask_texts
from okto_change.model import DryRun, Lock
from okto_change.model.base import record
from okto_change.model.codec import decode, encode

REPORT = "https://okto-change.dev/dry-run/v1"


@record
class Report:
    """A stored dry run: what approvals bind. ``sha256`` is over the file's bytes (``content``), bare hexadecimal.

    ``armor`` is the signature that lies beside it, None where there is none; nobody has verified it.
    """

    dry_run: DryRun
    sha256: str
    content: bytes = b""
    armor: bytes | None = None


def lock_path(environment: str) -> str:
    """Return the lock's path relative to the change's folder."""
    return f"locks/{environment}.json"


def report_path(environment: str) -> str:
    """Return the stored dry run's path relative to the change's folder."""
    return f"dryruns/{environment}.json"


def signature_path(environment: str) -> str:
    """Return the path of the signature over a stored dry run, relative to the change's folder."""
    return f"{report_path(environment)}.sig"


def to_file(result: DryRun) -> bytes:
    """Return the report as canonical JSON. It holds counts and verdicts, no row's content and no card: git never forgets."""
    rehearsed = result.rehearsal and replace(result.rehearsal, rows=())
    shown = replace(
        result, rehearsal=rehearsed, previews=tuple(replace(preview, rows=()) for preview in result.previews)
    )
    facts = encode(shown.facts)  # digests and identities, compared byte for byte
    return digest.canonical({"_type": REPORT, "dry_run": mask_stored(encode(shown)) | {"facts": facts}})


def mask_stored(content: dict[str, Any]) -> dict[str, Any]:
    """Return a report without card numbers; numbers stay numbers but for the values of edits, which may be of any type."""
    masked: dict[str, Any] = mask_texts(content) | {"edits": mask_all(content["edits"])}
    return masked


def from_files(files: Mapping[str, bytes], lock: Lock) -> Report | None:
    """Return the stored dry run of exactly this lock; None if there is none, or it is of another lock or unreadable."""
    content = files.get(report_path(lock.environment))
    if content is None:
        return None
    try:
        result = decode(DryRun, digest.parse(content)["dry_run"])
    except (ValueError, KeyError, TypeError):
        return None
    if result.digest != lock.digest or facts_sha256(result.facts) != result.facts_sha256:
        return None
    return Report(
        dry_run=result,
        sha256=digest.sha256(content).removeprefix("sha256:"),
        content=content,
        armor=files.get(signature_path(lock.environment)),
    )


def facts_sha256(found: Mapping[str, Any]) -> str:
    """Return the digest of facts, bare hexadecimal."""
    return digest.sha256(digest.canonical(dict(found))).removeprefix("sha256:")
