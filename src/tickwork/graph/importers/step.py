"""One step of a step list, as it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tickwork.graph.importers.fields import Fields

TRUE: Final = ("actions", "then", "if_true", "on_true", "true_branch")
"""Names of what is done where a condition holds."""
FALSE: Final = ("else", "else_actions", "if_false", "on_false", "false_branch")
NAMING: Final = ("compensate", *TRUE, *FALSE)
"""Fields that may name another step."""


@dataclass(slots=True)
class Step:
    """A step as it was read."""

    path: str
    name: str
    type: str
    fields: Fields
    together: str
    """Neighbours with one such word run at the same time."""
    after: list[str] | None
    inner: list[Step] = field(default_factory=list)
    """Of a group: its members."""


@dataclass(slots=True)
class Placed:
    """A step as nodes: where one comes in, and where the next goes on."""

    entries: list[str]
    tails: list[tuple[str, bool]]
    """Ids, and whether the next follows however they ended."""
    optional: bool = False
    """What comes before it leads to the next one as well."""


def nested(fields: Fields, name: str) -> list[Any]:
    """A list in a step's params."""
    params = fields.peek("params")
    if not isinstance(params, Mapping) or name not in params:
        return []
    fields.take("params")
    return Fields(params, fields.at("params"), fields.problems).items(name)


def groups_of(steps: list[Step]) -> list[list[Step]]:
    """Neighbours that run together."""
    found: list[list[Step]] = []
    for step in steps:
        if found and step.together and found[-1][0].together == step.together:
            found[-1].append(step)
        else:
            found.append([step])
    return found


def actions_of(fields: Fields, names: tuple[str, ...]) -> list[tuple[Any, str]]:
    """What to do on a branch, with its path: one, or a list."""
    found = []
    for name in names:
        value = fields.take(name)
        if isinstance(value, list):
            found += [(one, f"{fields.at(name)}[{index}]") for index, one in enumerate(value)]
        elif value is not None:
            found.append((value, fields.at(name)))
    return found


def names_in(fields: Fields) -> list[str]:
    """Every name in a step that may be another one's."""
    found: list[str] = []
    inside = [fields.peek("params")]
    for holder in (fields.peek("conditions"), (inside[0] or {}).get("conditions") if _maps(inside[0]) else None):
        inside += holder if isinstance(holder, list) else []
    for one in [{key: fields.peek(key) for key in NAMING}, *inside]:
        for key in NAMING if _maps(one) else ():
            value = one.get(key)
            found += [name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)]
    return found


def _maps(value: Any) -> bool:
    return isinstance(value, Mapping)
