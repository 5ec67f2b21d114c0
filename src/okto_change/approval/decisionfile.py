"""A decision file as found in git, before anything in it is judged."""

from __future__ import annotations

from okto_change.model.base import type_

LARGEST = 32 * 1024
"""bytes of a decision file"""


@type_
class DecisionFile:
    """A file of decisions as found: ``content`` None where it was not read, with ``problem`` saying why.

    ``at_tip`` False means that it stood on the branch once and was deleted or overwritten since.
    """

    file: str
    content: bytes | None
    at_tip: bool = True
    problem: str | None = None
