"""SQL templates: a small part of Jinja2, in which only typed literals and quoted names can reach the output.

No filesystem, clock, chance, macros, arithmetic or text building; loops run over array parameters. What a template may
contain is an allow-list over its syntax tree, so that all faults are found before anything is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import SandboxedEnvironment

from okto_change.plan import literals, placing
from okto_change.plan.bound import Budget, Refused, Value
from okto_change.plan.placing import Token
from okto_change.plan.types import BIGINT, SqlType
from okto_change.plan.window import Window
from okto_change.strictyaml import suggestion

MOST_OUTPUT = 8 * 1024 * 1024

BATCH = "batch"
"""the word that stands for the range of a chunk"""

Problem = tuple[int | None, str]
"""the template's line, from 1 (None: unknown), and what is wrong there"""

_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.For,
    nodes.If,
    nodes.CondExpr,
    nodes.Assign,
    nodes.Filter,
    nodes.Test,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Tuple,
    nodes.List,
)
_RAW = "write {% raw %} ... {% endraw %} around braces that belong to the SQL"


def render(
    text: str, parameters: Mapping[str, tuple[SqlType, Any]], window: Window | None = None
) -> tuple[str, list[Problem]]:
    """Return the rendered ``text`` and the problems found; with any problem the text is not to be used.

    ``window`` is what ``batch`` stands for, None where the text belongs to no batch.
    """
    environment, output = _Sandbox(undefined=StrictUndefined, **_OPTIONS), _Output()
    environment.globals, environment.filters, environment.tests = {}, dict(_FILTERS), dict(_TESTS)
    special: dict[str, Any] = {} if window is None else {BATCH: window}
    problems = _syntax(environment, text, {**parameters, **special})
    if problems:
        return "", problems
    environment.finalize = output.finalizer()
    budget = Budget()
    values = {name: Value(kind, value, budget) for name, (kind, value) in parameters.items()}
    try:
        marked = output.collect(environment.from_string(text).generate({**values, **special}))
    except (TemplateError, ValueError, TypeError, RecursionError, MemoryError) as error:
        return "", [(_line(error.__traceback__), str(error) or type(error).__name__)]
    rendered, misplaced = placing.place(marked, output.tokens)
    if "{%" in text or "{#" in text:
        return rendered, [(None, f"{problem} (line {line} as rendered)") for line, problem in misplaced]
    return rendered, list(misplaced)


class _Sandbox(SandboxedEnvironment):
    """Hides every attribute but the counters of a loop, and the table's alias behind ``batch``."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may read ``attr``."""
        return (attr in _LOOP and isinstance(obj, LoopContext)) or isinstance(obj, Window)


class _Output:
    """Takes what a template puts out: text of its own as it is, values as marks for ``placing``, nothing else."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self._size = 0

    def finalizer(self) -> Callable[[Context, Any], str]:
        """Return the function that Jinja2 calls for every ``{{ ... }}``."""

        @pass_context
        def finalize(context: Context, value: Any) -> str:
            self.tokens.append(_token(value))
            self._count(len(self.tokens[-1].sql))
            return f"\x00{len(self.tokens) - 1}\x00"

        return finalize

    def collect(self, pieces: Iterator[str]) -> str:
        """Return the pieces joined; raises Refused when they grow too large."""
        kept = []
        for piece in pieces:
            self._count(len(piece))
            kept.append(piece)
        return "".join(kept)

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > MOST_OUTPUT:
            raise Refused(f"the rendered text is larger than {MOST_OUTPUT // 1024 // 1024} MiB")


def _token(value: Any) -> Token:
    match value:
        case Token():
            return value
        case Window():
            return value.condition()
        case Value():
            return Token(value.sql())
        case Undefined():
            raise Refused(str(value) or "an 'if' without 'else' has nothing to put out here")
        case int() if not isinstance(value, bool):
            return Token(literals.literal(BIGINT, str(value)))
        case _:
            raise Refused(
                f"expected a parameter between the braces, found {type(value).__name__}; "
                "write text into the SQL itself, and names as {{ parameter | identifier }}"
            )


def _identifier(value: Any) -> Token:
    if not isinstance(value, Value) or value.kind.family != "text" or value.value is None:
        raise Refused("the identifier filter needs a parameter of type text, or text[] for a qualified name")
    parts = value.value if value.kind.array else (value.value,)
    try:
        return Token(literals.identifier(*parts), name=True)
    except (ValueError, AttributeError, TypeError) as error:
        raise Refused(f"expected a name: {error}") from error


def _length(value: Any) -> int:
    return len(value)


def _first(value: Any) -> Any:
    return value[0]


def _last(value: Any) -> Any:
    return value[-1]


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, Value) and value.value is None)


def _syntax(environment: SandboxedEnvironment, text: str, parameters: Mapping[str, object]) -> list[Problem]:
    if "\x00" in text:
        return [(None, "the text contains a NUL character")]
    try:
        tree = environment.parse(text)
    except TemplateSyntaxError as error:
        return [(error.lineno, f"not a valid template: {error.message}; {_RAW}")]
    except RecursionError:
        return [(None, "not a valid template: it is nested too deeply")]
    assigned = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    found = list(_walk(tree, set(parameters) | assigned | {"loop"}))
    taken = sorted(assigned & (set(parameters) | {"loop"}))
    return found + [(None, f"the template gives the parameter '{name}' another value") for name in taken]


def _walk(node: nodes.Node, known: set[str]) -> Iterator[Problem]:
    problem = _problem(node, known)
    if problem:
        yield node.lineno, problem
    if isinstance(node, _ALLOWED):
        for child in node.iter_child_nodes():
            yield from _walk(child, known)


def _problem(node: nodes.Node, known: set[str]) -> str | None:
    match node:
        case nodes.Name(name=name, ctx="load") if name == BATCH and name not in known:
            return "batch is only known in the SQL of a step with `batch:`, and in its invariants with `each: chunk`"
        case nodes.Name(name=name, ctx="load") if name not in known:
            return f"no parameter '{name}' is declared{suggestion(name, known)}"
        case nodes.Filter() if node.name not in _FILTERS or node.args or node.kwargs:
            near = suggestion(node.name, _FILTERS)
            return f"no filter '{node.name}' is available{near}; known: {', '.join(_FILTERS)}"
        case nodes.Test() if node.name not in _TESTS:
            return f"no test '{node.name}' is available; known: none"
        case nodes.For() if node.recursive:
            return "a recursive loop is not available in a template"
        case nodes.Getattr() if not _of_loop(node) and not _of_batch(node):
            return f"the attribute '.{node.attr}' is not available; only loop and batch have attributes"
    if isinstance(node, _ALLOWED):
        return None
    what = type(node).__name__.lower()
    return f"'{what}' is not available in a template; parameters can be put out, compared and gone through"


def _of_loop(node: nodes.Getattr) -> bool:
    return isinstance(node.node, nodes.Name) and node.node.name == "loop" and node.attr in _LOOP


def _of_batch(node: nodes.Getattr) -> bool:
    return isinstance(node.node, nodes.Name) and node.node.name == BATCH and not node.attr.startswith("_")


def _line(trace: TracebackType | None) -> int | None:
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


_OPTIONS = {
    "autoescape": False,
    "optimized": False,
    "keep_trailing_newline": True,
    "trim_blocks": True,
    "lstrip_blocks": True,
}
_FILTERS: dict[str, Callable[..., Any]] = {
    "identifier": _identifier,
    "length": _length,
    "first": _first,
    "last": _last,
}
_TESTS: dict[str, Callable[..., bool]] = {"none": _is_null, "null": _is_null}
