"""Every rule, as data: code, title, condition, effect, remedy. Each has a good and a bad example under ``tests/rules``.

ERROR means that the run must not happen. What a rehearsal proves anyway is at most a WARNING.
"""

from okto_change.analysis.rules import batches, cards, catalogue, effects, plans, rows, session
from okto_change.analysis.rules.base import Rule, Scope

RULES: tuple[Rule, ...] = tuple(
    sorted(
        (*rows.RULES, *catalogue.RULES, *effects.RULES, *session.RULES, *plans.RULES, *batches.RULES, *cards.RULES),
        key=lambda rule: rule.code,
    )
)

__all__ = ["RULES", "Rule", "Scope"]
