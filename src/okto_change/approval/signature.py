"""Signatures over decisions: verified natively, signed by ``ssh-keygen``, which also gives a second opinion."""

from __future__ import annotations

from okto_change.approval.sshkeygen import second_opinion, sign
from okto_change.approval.sshsig import NAMESPACE, PIN_GIVEN, TOUCHED, BadSignature, Signature, parse, verify

__all__ = [
    "NAMESPACE",
    "PIN_GIVEN",
    "TOUCHED",
    "BadSignature",
    "Signature",
    "parse",
    "second_opinion",
    "sign",
    "verify",
]
