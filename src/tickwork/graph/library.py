"""The node library: which types documents may use. Ours, and those of installed packages.

A package offers node types of its own by an entry point of the group ``tickwork.nodes`` that names a module; importing
it declares them (``graph.declare``).
"""

from __future__ import annotations

import logging
import pkgutil
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module, metadata
from typing import Final, Protocol

from tickwork.errors import InvalidInput
from tickwork.graph import nodes
from tickwork.graph.declare import DECLARED, NodeType
from tickwork.graph.problems import nearest

_log = logging.getLogger("tickwork.graph")

GROUP: Final = "tickwork.nodes"


class Types(Protocol):
    """What checking a document asks of the library."""

    def find(self, name: str) -> NodeType | None:
        """The type of a name or an alias."""
        ...

    def nearest(self, name: str) -> str:
        """Names like it, for complaints."""
        ...


class Library:
    """Node types by name and alias.

    Raises:
        InvalidInput: two types of one name.
    """

    def __init__(self, types: Iterable[NodeType]) -> None:
        self._types: dict[str, NodeType] = {}
        self._by_name: dict[str, NodeType] = {}
        for one in types:
            self._types[one.name] = one
            for name in (one.name, *one.aliases):
                other = self._by_name.setdefault(name, one)
                if other is not one:
                    raise InvalidInput("node type", name, f"a name or alias that {other.name!r} has not taken")

    def find(self, name: str) -> NodeType | None:
        """The type of a name or an alias."""
        return self._by_name.get(name)

    def get(self, name: str, path: str = "type") -> NodeType:
        """The type of a name or an alias.

        Raises:
            InvalidInput: there is none; names the nearest.
        """
        found = self._by_name.get(name)
        if found is None:
            raise InvalidInput(path, name, f"a node type of the library: {self.nearest(name)}")
        return found

    def nearest(self, name: str) -> str:
        """Names like it, for complaints."""
        return nearest(name, self._by_name)

    @property
    def names(self) -> list[str]:
        """Every name and alias, sorted."""
        return sorted(self._by_name)

    def __iter__(self) -> Iterator[NodeType]:
        return iter(sorted(self._types.values(), key=lambda one: (one.category, one.name)))

    def __contains__(self, name: object) -> bool:
        return name in self._by_name


@cache
def library() -> Library:
    """Everything that is installed. A package that cannot be imported is reported, and left out."""
    for module in pkgutil.iter_modules(nodes.__path__):
        import_module(f"{nodes.__name__}.{module.name}")
    for point in metadata.entry_points(group=GROUP):
        try:
            import_module(point.value)
        except Exception as error:  # noqa: BLE001 - another's package; ours must work without it
            _log.error("the node types of %s cannot be used: %s: %s", point.value, type(error).__name__, error)
    return Library(DECLARED.values())
