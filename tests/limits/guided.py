"""The readers of ``test_any_bytes``, guided by what their code does with each input: ``make fuzz-guided``, with atheris.

``python -m tests.limits.guided READER FOLDER [libFuzzer's options]``; inputs that reach something new are kept in FOLDER.
"""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

atheris: Any = import_module("atheris")
with atheris.instrument_imports(include=["okto_change.approval", "okto_change.plan", "okto_change.strictyaml"]):
    from tests.limits import test_any_bytes as readers
    from tests.unit.approval.helpers import armor

READERS = ("statement", "armor", "policy", "plan", "signature")


def reader(name: str) -> tuple[Callable[[bytes], bool], tuple[bytes, ...]]:
    """Return what judges an input, and inputs to begin with."""
    if name != "signature":
        return readers.seeds()[name]
    judge, honest = readers.signatures(Path(tempfile.mkdtemp()))
    inner = tuple(base64.b64decode(b"".join(signed.splitlines()[1:-1])) for signed in honest)
    return lambda blob: judge(armor(blob)), inner


def main() -> None:
    """Read until libFuzzer's options say that it is enough; the last line on stdout says how much was read."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    judge, seeds = reader(name)
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(seed)
    counts = {"read": 0, "accepted": 0}

    def once(content: bytes) -> None:
        counts["read"] += 1
        counts["accepted"] += judge(content)
        if counts["read"] % 1000 == 0:
            os.pwrite(told, f"{name}: {counts}\n".encode(), 0)

    told = os.open(folder.parent / f"{folder.name}.counts", os.O_CREAT | os.O_WRONLY)
    atheris.Setup([sys.argv[0], *sys.argv[3:], str(folder)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
