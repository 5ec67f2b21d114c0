"""An error as text: what happened, where, every fault, what state things are in, what to do next. Light to import."""

from __future__ import annotations

from okto_change.errors import OktoError
from okto_change.report.escape import clean, clean_lines

RED, YELLOW, OFF = "\x1b[1;31m", "\x1b[1;33m", "\x1b[0m"


def error(fault: OktoError, *, colour: bool = False, causes: bool = False) -> str:
    """Return ``fault`` as lines; ``causes`` adds the chain of exceptions behind it."""
    label = f"{RED}error:{OFF} " if colour else "error: "
    lines = [label + "\n       ".join(clean_lines(fault.message))]
    lines += [f"  {clean(line)}" for line in fault.faults]
    pairs = (("where", fault.where), ("state", fault.state), ("next", fault.hint))
    lines += [f"  {name + ':':<7}{_indented(text)}" for name, text in pairs if text]
    if causes:
        lines += [f"  because: {clean(line)}" for line in _causes(fault)]
    return "\n".join(lines) + "\n"


def warning(line: str, *, colour: bool = False) -> str:
    """Return something worth knowing that stops nothing."""
    label = f"{YELLOW}warning:{OFF} " if colour else "warning: "
    return label + "\n         ".join(clean_lines(line)) + "\n"


def _indented(text: str) -> str:
    return ("\n" + " " * 9).join(clean_lines(text))


def _causes(fault: BaseException) -> list[str]:
    cause = fault.__cause__ or fault.__context__
    return [] if cause is None else [f"{type(cause).__name__}: {cause}", *_causes(cause)]
