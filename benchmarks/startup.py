"""How long ``okto-change --version`` and ``--help`` take against ``python -c "import click"``, here and now.

``python benchmarks/startup.py [RUNS]`` prints milliseconds and ratios; the runs of all commands are interleaved.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

LIMIT = 1.6
"""How many times the base a command may take."""
BASE = "import click"


def commands() -> dict[str, list[str]]:
    """Return the argv of each command that is measured, the base first."""
    okto = str(Path(sys.executable).with_name("okto-change"))
    return {
        BASE: [sys.executable, "-c", "import click"],
        "--version": [okto, "--version"],
        "--help": [okto, "--help"],
    }


def measure(runs: int = 15) -> dict[str, float]:
    """Return the best time of each command in milliseconds."""
    best: dict[str, float] = {}
    for _ in range(runs):
        for name, command in commands().items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            took = (time.perf_counter() - began) * 1000
            best[name] = min(took, best.get(name, took))
    return best


def main() -> int:
    """Print the figures; return 1 when a command takes too long."""
    best = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
    for name, took in best.items():
        print(f"{name:<14} {took:6.1f} ms   {took / best[BASE]:.2f} x")
    return int(any(took > LIMIT * best[BASE] for took in best.values()))


if __name__ == "__main__":
    sys.exit(main())
