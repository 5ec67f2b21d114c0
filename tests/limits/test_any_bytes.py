"""Any bytes: the readers of armor, statements, policies and plans refuse them in their own words or read them exactly.

A few seconds in the default run. ``make fuzz`` goes on for ``OKTO_FUZZ_SECONDS`` of processor time. Signatures are held
against ``ssh-keygen -Y verify``: what is valid here, it accepts too. The other way round we are stricter: one block in
strict form, nothing behind it, RSA with SHA-2, numbers in their shortest form.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from okto_change.approval import schema, sshkeygen, sshsig, statement
from okto_change.errors import PlanError
from okto_change.plan.read import load
from tests.unit.approval.helpers import NOW, SoftKey, armor, make_file, policy_text, security_key

BUDGET = int(os.environ.get("OKTO_FUZZ_SECONDS", "2"))
"""processor seconds, shared by the four readers and the comparison"""
SOFT: tuple[SoftKey, ...] = (
    security_key(),
    SoftKey("sk-ecdsa-sha2-nistp256@openssh.com", ec.generate_private_key(ec.SECP256R1())),
)
"""security keys, imitated: no token is at hand"""
REAL = (("ed25519", 256), ("rsa", 3072), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521))
"""kinds and sizes of keys that ssh-keygen makes, and signs with"""
PLAN = """\
format: 1
title: A change
reason: It must be tested.
author: ana
parameters: {id: {type: bigint, value: 7}}
steps:
  - {name: fix, target: ledger, sql: fix.sql, rows: {min: 1, max: 2}, touches: [merchants], undo: auto}
checks:
  inside: [{name: there, target: ledger, statement: "SELECT 1", expect: 1}]
"""


@st.composite
def edits(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Return one of ``seeds`` with a few parts cut out, doubled, swapped or replaced."""
    text = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 12)))
        odd = draw(st.one_of(st.binary(max_size=6), st.sampled_from(PIECES), st.just(text[at:end] * 2)))
        text = text[:at] + odd + text[end:]
    return text


@st.composite
def flips(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Return one of ``seeds`` with a bit or two turned over: lengths, flags, counters and numbers that are nearly right."""
    text = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 2))):
        text[draw(st.integers(0, len(text) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(text)


@st.composite
def crossed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Return the start of one of ``seeds`` with the end of another: a key beside somebody else's signature."""
    one, two = draw(st.sampled_from(seeds)), draw(st.sampled_from(seeds))
    return one[: draw(st.integers(0, len(one)))] + two[draw(st.integers(0, len(two))) :]


PIECES = (
    b'"',
    b"\\",
    b"\n",
    b"\r\n",
    b"{",
    b"}",
    b"[",
    b": ",
    b"- ",
    b"&a ",
    b"*a",
    b"!!int ",
    b"<<: ",
    b"\xff",
    b"\x00",
    b"\xe2\x80\xae",
    b"1e999",
    b"NaN",
    b"-0",
    b"0x10",
    b"true",
    b"null",
    b"\\ud800",
    b"9" * 40,
    b"=",
    b"AAAA",
    sshsig.BEGIN.encode(),
    sshsig.END.encode(),
)


def hunt(strategy: st.SearchStrategy[bytes], judge: Callable[[bytes], bool], share: float) -> tuple[int, int]:
    """Judge examples until this share of the time is used up; return how many there were, and how many were accepted."""
    ends, seen, taken = time.process_time() + BUDGET * share, 0, 0

    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def some(content: bytes) -> None:
        nonlocal seen, taken
        seen += 1
        taken += judge(content)

    while time.process_time() < ends or not seen:
        some()
    return seen, taken


def _statement(content: bytes) -> bool:
    try:
        said = statement.parse(content)
    except statement.BadStatement:
        return False
    assert said.content() == content
    return True


def _armor(content: bytes) -> bool:
    try:
        found = sshsig.parse(content)
    except sshsig.BadSignature:
        return False
    inner = base64.b64decode(re.sub(rb"-----.*?-----|\n", b"", content))
    assert armor(inner) == content
    assert found.key.blob in inner
    return True


def _policy(content: bytes) -> bool:
    try:
        found = schema.read(content, "policy.yaml")
    except PlanError as error:
        assert error.faults
        return False
    assert found.content == content
    return True


def _plan(content: bytes) -> bool:
    try:
        load("a-change", {"plan.yaml": content, "fix.sql": b"SELECT 1;\n"})
    except PlanError as error:
        assert error.faults
        return False
    return True


def seeds() -> dict[str, tuple[Callable[[bytes], bool], tuple[bytes, ...]]]:
    files = [make_file("ana", "submit"), make_file("bruno", "approve", "dba"), make_file("davi", "reject")]
    parts = [statement.split(file.content or b"") for file in files]
    sk = tuple(key.sign(b"x") for key in SOFT)
    return {
        "statement": (_statement, tuple(content for content, _ in parts)),
        "armor": (_armor, (*(signed for _, signed in parts), *sk)),
        "policy": (_policy, (policy_text().encode(),)),
        "plan": (_plan, (PLAN.encode(),)),
    }


@pytest.mark.timeout(BUDGET * 10 + 60)
@pytest.mark.parametrize("reader", ["statement", "armor", "policy", "plan"])
def test_no_bytes_break_a_reader(reader: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is refused is refused as its own error; what is accepted is exactly what was written."""
    judge, begun = seeds()[reader]
    assert all(judge(seed) for seed in begun)
    seen, taken = hunt(st.one_of(edits(begun), st.binary(max_size=200)), judge, 0.2)
    with capsys.disabled():
        print(f" {reader}: {seen} read, {taken} accepted", end="") if BUDGET > 10 else None


def signatures(folder: Path) -> tuple[Callable[[bytes], bool], list[bytes]]:
    """Return what judges a signature of one statement, and an honest one by every kind of key. Keys are made in ``folder``."""
    content = statement.build(
        repo="7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f",
        change="fix-it",
        environment="prod",
        plan_digest="0" * 64,
        decision="submit",
        signer="ana",
        role="",
        issued_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        policy_sha256="0" * 64,
    )
    honest = [key.sign(content) for key in SOFT] + list(_by_ssh_keygen(folder, content))
    assert len({sshsig.parse(signed).key.algorithm for signed in honest}) == len(SOFT) + len(REAL)

    def judge(signed: bytes) -> bool:
        try:
            key = sshsig.verify(content, signed).key
        except sshsig.BadSignature:
            return False
        assert sshkeygen.second_opinion(content, signed, key) is True
        return True

    return judge, honest


@pytest.mark.timeout(BUDGET * 10 + 60)
def test_ssh_keygen_accepts_what_is_valid_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Signatures of every kind of key with edits in their armor and in their bytes, one's value beside another's key."""
    judge, honest = signatures(tmp_path)
    assert all(judge(signed) for signed in honest)
    blobs = tuple(base64.b64decode(b"".join(signed.splitlines()[1:-1])) for signed in honest)
    inner = st.one_of(edits(blobs), flips(blobs), crossed(blobs)).map(armor)
    seen, taken = hunt(st.one_of(edits(tuple(honest)), inner, inner, inner, st.sampled_from(honest)), judge, 0.2)
    with capsys.disabled():
        print(f" signatures: {seen} read, {taken} accepted", end="") if BUDGET > 10 else None


def _by_ssh_keygen(folder: Path, content: bytes) -> Iterator[bytes]:
    """Yield a signature over ``content`` by a fresh key of each kind, made and used by ssh-keygen."""
    for kind, bits in REAL:
        key = str(folder / f"{kind}-{bits}")
        make = ["ssh-keygen", "-q", "-t", kind, "-b", str(bits), "-N", "", "-C", "", "-f", key]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
        sign = ["ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", sshsig.NAMESPACE]
        yield subprocess.run(sign, check=True, input=content, capture_output=True).stdout
