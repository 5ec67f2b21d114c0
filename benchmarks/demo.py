"""How long ``okto-change demo`` takes from its start to its last trace removed, here and now.

``python benchmarks/demo.py`` prints seconds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

LIMIT = 60
"""Seconds it may take."""


def main() -> int:
    """Print the figure; return 1 when the demo takes too long."""
    okto = str(Path(sys.executable).with_name("okto-change"))
    began = time.perf_counter()
    subprocess.run([okto, "demo"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - began
    print(f"demo {took:6.1f} s   of at most {LIMIT}")
    return int(took > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
