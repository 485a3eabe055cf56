"""Dead letters: what becomes of what gave up, as data.

    DeadLetterPolicy(
        Rule("rate_limit", "retry", after="60s"),
        Rule("invalid_symbol", "discard"),
        Rule("*", "alert"),
    )

A rule matches the *code* of an error: its ``code``, else its class's name in ``snake_case``; the class's own name
matches too. The first rule that matches decides; where none does, an alert tells a person, and the letter lies open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from tickwork.errors import InvalidInput, StepFailed
from tickwork.values import DurationLike, duration

Action = Literal["retry", "discard", "alert"]

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

TIMES = 5
"""How often a rule tries again when it does not say."""


def error_code(error: BaseException) -> str:
    """The code of an error: ``rate_limit`` for one whose ``code`` is that, or whose class is ``RateLimit``."""
    code = getattr(error, "code", None)
    if isinstance(code, str) and code and code.isprintable():
        return code
    return _WORD.sub("_", class_name(error)).lower()


def class_name(error: BaseException) -> str:
    """The name of an error's class, also of one that could not be rebuilt."""
    name = error.type if isinstance(error, StepFailed) else type(error).__name__
    return name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of letters with an error of this code.

    Args:
        match: a code, a class's name, or ``"*"`` for all.
        action: ``retry`` redrives it ``after`` a while, up to ``times``, and then alerts; ``discard`` puts it away with
            a record; ``alert`` tells a person and leaves it open.
    """

    match: str
    action: Action
    after: DurationLike = "60 seconds"
    times: int = TIMES
    after_ns: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.match, str) or not self.match:
            raise InvalidInput("rule.match", self.match, "a code such as 'rate_limit', a class's name, or '*'")
        if self.action not in get_args(Action):
            raise InvalidInput("rule.action", self.action, "'retry', 'discard' or 'alert'")
        if isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 1:
            raise InvalidInput("rule.times", self.times, "a whole number from 1")
        object.__setattr__(self, "after_ns", duration(self.after, "rule.after"))

    def matches(self, code: str, name: str) -> bool:
        """Is this rule for errors of that code, or of a class of that name?"""
        return self.match in ("*", code, name)


ALERT = Rule("*", "alert")


class DeadLetterPolicy:
    """Rules, of which the first that matches decides."""

    def __init__(self, *rules: Rule) -> None:
        for index, rule in enumerate(rules):
            if not isinstance(rule, Rule):
                raise InvalidInput(f"DeadLetterPolicy[{index}]", rule, "a Rule(match, action)")
        self.rules = rules

    def rule(self, code: str, name: str = "", tried: int = 0) -> Rule:
        """The rule for an error; one that has been tried as often as it may alerts instead."""
        found = next((rule for rule in self.rules if rule.matches(code, name)), ALERT)
        return ALERT if found.action == "retry" and tried >= found.times else found

    def __repr__(self) -> str:
        return f"DeadLetterPolicy{self.rules!r}"


DEFAULT_POLICY = DeadLetterPolicy()
