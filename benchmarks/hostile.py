"""How the time for hostile SQL and text grows with its size: twice as much may take at most three times as long.

``python benchmarks/hostile.py`` prints milliseconds for the smaller and the larger text, and their ratio.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from okto_change.analysis.split import split
from okto_change.masking import mask

LIMIT = 3.0
"""How many times as long twice as much may take: linear is 2, quadratic 4."""
SQL: dict[str, Callable[[int], str]] = {
    "operators": lambda size: "+" * size,
    "brackets": lambda size: "(" * size + ")" * size,
    "comments": lambda size: "/* */" * size,
    "nested comments": lambda size: "/*" * size + "*/" * size,
    "escapes": lambda size: "E'\\''" * size,
    "continued strings": lambda size: "'a'" + "\n'a'" * size,
    "dollar quotes": lambda size: "$a$ $b$ $a$" * size,
    "statements": lambda size: "1; SELECT " * size + "1",
}
TEXT: dict[str, Callable[[int], str]] = {
    "groups of digits": lambda size: "12 " * size,
    "digests": lambda size: ("4111111111111112," + "a" * 40 + ",") * (size // 50),
}
SIZE = 20_000


def best(act: Callable[[str], object], text: str, runs: int = 5) -> float:
    """Return the best time of ``act(text)`` in milliseconds."""
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        act(text)
        took.append((time.perf_counter() - began) * 1000)
    return min(took)


def cut(text: str) -> object:
    """Split one SELECT of ``text``."""
    return split(f"SELECT {text}", "fix.sql", "fix")


def main() -> int:
    """Print the figures; return 1 when one grows faster than its text."""
    slow = False
    for kind, act in ((SQL, cut), (TEXT, mask)):
        for name, make in kind.items():
            small, large = best(act, make(SIZE)), best(act, make(2 * SIZE))
            slow |= large > LIMIT * small
            print(f"{name:<18} {small:8.1f} ms {large:8.1f} ms   {large / small:.1f} x")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
