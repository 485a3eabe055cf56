"""Prompts: questions that people ask again and again, as a way through the tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import mcp_types as types

from tickwork.errors import InvalidInput, NotFound

ARGUMENT_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One prompt. In its text, tools are in backticks, and arguments in braces."""

    name: str
    description: str
    text: str
    arguments: Mapping[str, str]
    """Name -> what it is; all of them are required."""

    @property
    def tools(self) -> list[str]:
        """The tools that it names."""
        return re.findall(r"`(\w+)`", self.text)


ASKED: Final = (
    Asked(
        name="position-review",
        description="What is held, why, and what it would take to lose it.",
        text=(
            "Review the open positions. Read them with `get_positions`, the money with `get_balances`, the limits with "
            "`risk_limits`, and resting orders with `orders_list`. For each position say what it is worth, which "
            "workflow holds it, how much of its limits it uses, and whether something protects it (`exits_list`). "
            "Name figures only as the tools give them, and say how old each price is. Change nothing."
        ),
        arguments={},
    ),
    Asked(
        name="morning-briefing",
        description="What happened since yesterday, and what wants attention.",
        text=(
            "Give me a briefing on the last 24 hours, short, the worst first. Look at `halts_show` (does trading "
            "stand?), `letters_list` (what gave up?), `orders_doubtful` (what does nobody know?), `feeds_list` (are "
            "prices fresh?), `runs_list` with status dead, then `get_pnl` and `get_positions`. For all that wants "
            "a decision of mine, say which tool would carry it out, and wait for my word. Change nothing."
        ),
        arguments={},
    ),
    Asked(
        name="why-did-it-trade",
        description="What one run saw, decided and did.",
        text=(
            "Explain the run {run}. Read it with `runs_show` and its steps with `runs_steps`; where a step's input or "
            "output is cut, read the whole of what matters with `runs_io`. Find its orders with `orders_list`. Tell in "
            "order: what started it, what it saw, by which rule it decided, what the risk gate said, what became of "
            "each order. Quote values from the records; where they do not say why, say that they do not."
        ),
        arguments={"run": "The id of a run."},
    ),
    Asked(
        name="halt-drill",
        description="Rehearse stopping, without stopping anything.",
        text=(
            "Rehearse an emergency stop for the account {account}; change nothing. With `halts_show` say whether "
            "trading already stands, with `orders_list` what rests at the venue and would be cancelled, with "
            "`get_positions` what would stay open. Then give me the exact calls, with their arguments, of "
            "`halt_trading` to stop and of `flatten` to close everything, which rights each of them needs, and how I "
            "would see in `halts_acknowledgements` that the venue has confirmed."
        ),
        arguments={"account": "The name of an account."},
    ),
)


def prompts() -> list[types.Prompt]:
    """All of them."""
    return [
        types.Prompt(
            name=one.name,
            description=one.description,
            arguments=[
                types.PromptArgument(name=name, description=what, required=True) for name, what in one.arguments.items()
            ],
        )
        for one in ASKED
    ]


def prompt(name: str, given: Mapping[str, str]) -> types.GetPromptResult:
    """One of them, with its arguments in place.

    Raises:
        NotFound: there is none of this name. InvalidInput: an argument is missing, unknown, or not one line of text.
    """
    found = next((one for one in ASKED if one.name == name), None)
    if found is None:
        raise NotFound("prompt", name[:80], "one of " + ", ".join(one.name for one in ASKED))
    for unknown in sorted(given.keys() - found.arguments.keys()):
        raise InvalidInput(unknown, given[unknown][:80], "nothing: this prompt has no such argument")
    text = found.text
    for argument, what in found.arguments.items():
        value = given.get(argument, "")
        # it becomes part of what a model reads as our words
        if not value or len(value) > ARGUMENT_MAX or not value.isprintable():
            raise InvalidInput(
                argument, value[:80], f"{what.rstrip('.')}, in one line of at most {ARGUMENT_MAX} characters"
            )
        text = text.replace(f"{{{argument}}}", value)
    message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.GetPromptResult(description=found.description, messages=[message])
