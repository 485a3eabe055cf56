"""The node library: which types documents may use. Ours, and those of installed packages.

A package offers node types of its own by an entry point of the group ``tickwork.nodes`` that names a module, or
``module:attribute``; importing it declares them (``graph.declare``). The attribute is looked up, and not called.
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
from tickwork.graph.soundness import undone_by_unknown

_log = logging.getLogger("tickwork.graph")

GROUP: Final = "tickwork.nodes"
_OURS: Final = "tickwork"


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
        InvalidInput: two types of one name, or one that is taken back by a type that there is not.
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
        undone_by_unknown(self._types.values(), self._by_name)

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
    """Everything that is installed. A package that cannot be used is reported, and left out as a whole."""
    for module in pkgutil.iter_modules(nodes.__path__):
        import_module(f"{nodes.__name__}.{module.name}")
    points = sorted(metadata.entry_points(group=GROUP), key=lambda one: (one.name, one.value))
    packages = {_package(one.module) for one in points}
    types = [one for one in DECLARED.values() if _package(one.fn.__module__) not in packages - {_OURS}]
    for package in sorted(packages):
        types += _offered([one for one in points if _package(one.module) == package], packages - {package}, types)
    return Library(types)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _offered(points: list[metadata.EntryPoint], others: set[str], types: list[NodeType]) -> list[NodeType]:
    """What the entry points of one package declare; nothing where one fails or clashes with ``types``.

    Args:
        others: further packages that offer types: what one imports of another is the other's.
    """
    before = set(DECLARED)
    package = _package(points[0].module)
    failed = False
    try:
        for point in points:
            point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - another's package; ours must work without it
        failed = True
        _report(points, error)
    found = [
        one
        for name, one in DECLARED.items()
        if (owner := _package(one.fn.__module__)) == package != _OURS or (name not in before and owner not in others)
    ]
    if not failed:
        try:
            Library([*types, *found])
        except InvalidInput as error:
            failed = True
            _report(points, error)
    if not failed:
        return found
    for one in found:
        del DECLARED[one.name]
    return []


def _report(points: list[metadata.EntryPoint], error: BaseException) -> None:
    dist = points[0].dist
    named = ", ".join(one.value for one in points)
    whose = f"{dist.name} ({named})" if dist is not None else named
    _log.error("the node types of %s cannot be used: %s: %s", whose, type(error).__name__, error)
