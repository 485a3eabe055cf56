"""The environment in which secrets are looked up: ``MEXC_API_KEY`` may as well be called ``TICKWORK_MEXC_API_KEY``.

Whoever moves here has variables of their own names already; whoever runs several programs wants names that say whose
they are. Both are taken. Where both are set and are not the same, nobody can know which is meant: that is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Final

from tickwork.errors import InvalidInput

PREFIX: Final = "TICKWORK_"


class Environment(Mapping[str, str]):
    """Variables by their name, with or without ``TICKWORK_`` before it. An empty one counts as not set.

    Raises:
        InvalidInput: when a variable is looked up that is set in both ways, differently; names both and shows neither.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __repr__(self) -> str:
        return "Environment()"

    def __getitem__(self, name: str) -> str:
        plain, ours = self._variables.get(name, ""), self._variables.get(f"{PREFIX}{name}", "")
        if plain.strip() and ours.strip() and plain.strip() != ours.strip():
            found = "two different values (not shown)"
            expected = f"one of the two variables {PREFIX}{name} and {name}, or the same in both"
            raise InvalidInput(f"{PREFIX}{name}, {name}", found, expected)
        chosen = ours if ours.strip() else plain
        if not chosen and name not in self._variables and f"{PREFIX}{name}" not in self._variables:
            raise KeyError(name)
        return chosen

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def environment(variables: Mapping[str, str] | None = None) -> Environment:
    """The process's environment, or another."""
    return Environment(os.environ if variables is None else variables)
