"""The text of a pin file -> pins, strictly."""

from __future__ import annotations

import re

from okto_change import strictyaml
from okto_change.approval import schema
from okto_change.approval.fields import Fields
from okto_change.approval.pins import URL, Pin
from okto_change.strictyaml import Faults, Node

_HEX = re.compile(r"[0-9a-f]{64}")


def read(content: bytes, file: str) -> tuple[Pin, ...]:
    """Return the pins in ``content``; raises PlanError with every fault."""
    faults = Faults()
    fields = Fields(faults)
    part = fields.fields(strictyaml.read(content, file, faults), "format repositories", "")
    fields.choice(part.get("format"), ("1",), "1")
    pins = tuple(_pin(fields, node) for node in fields.items(part.get("repositories"), "repositories"))
    faults.stop("the pin file", "correct the lines named, or write it anew: okto-change trust init")
    return pins


def _pin(fields: Fields, node: Node) -> Pin:
    part = fields.fields(node, "repo url protected_ref policy", "")
    policy = fields.fields(part.get("policy"), "version sha256", "")
    return Pin(
        repo=fields.text(part.get("repo"), schema.UUID, "the repository's UUID, in lower case"),
        url=fields.text(part.get("url"), URL, "the URL or folder to fetch from"),
        protected_ref=fields.text(part.get("protected_ref"), schema.BRANCH, "a branch such as refs/heads/main"),
        version=fields.number(policy.get("version"), 1, 9999, "the version, a number from 1 on", 1),
        sha256="sha256:" + fields.text(policy.get("sha256"), _HEX, "64 hexadecimal digits"),
    )
