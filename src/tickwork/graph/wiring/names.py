"""What names in a node's expressions mean: nodes before it, what they produced, ``input``, ``event``, ``trigger``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from tickwork.core.language.paths import Path
from tickwork.graph.declare import BRANCH
from tickwork.graph.problems import Problems, nearest
from tickwork.graph.wiring.edges import Shape, bits
from tickwork.graph.wiring.planned import ABSENT, Feed, Frame

INPUT: Final = "input"
EVENT: Final = "event"
TRIGGER: Final = "trigger"

Scoped = Callable[[Frame], dict[str, Any]]


class Reading(NamedTuple):
    """An expression that reads a node."""

    source: int
    path: str
    found: str
    """The name, and where it stands."""


class Names:
    """Resolves names for one node.

    Args:
        index: its number.
        earlier: a bit for each node whose outputs it may read.
        before: the nodes whose outputs ``input`` is merged from, if not those just before it.
    """

    def __init__(
        self, shape: Shape, index: int, earlier: int, problems: Problems, before: tuple[int, ...] | None = None
    ) -> None:
        self._shape = shape
        self._index = index
        self._earlier = earlier
        self._problems = problems
        self.feeds: dict[str, Feed] = {}
        """What was resolved, by name."""
        self.types: dict[tuple[str | int, ...], Any] = {}
        """What paths are declared as; ``Any`` where that cannot be said."""
        self.readings: list[Reading] = []
        """Which nodes must have run for the expressions to have their values."""
        self.sees_input = False
        """Was ``input`` among it?"""
        if before is None:
            before = tuple(dict.fromkeys(link.source for link in shape.before(index)))
        self.before = before

    def scope(self, paths: Sequence[Path], path: str, text: object) -> Scoped:
        """What gives the names of an expression their values; problems for those that mean nothing.

        Args:
            path: where the expression stands.
            text: the expression, for complaints.
        """
        found = self.resolve(paths, path, text)

        def scope(frame: Frame) -> dict[str, Any]:
            values = ((name, feed(frame)) for name, feed in found.items())
            return {name: value for name, value in values if value is not ABSENT}

        return scope

    def resolve(self, paths: Sequence[Path], path: str, text: object, *, needed: bool = True) -> dict[str, Feed]:
        """Feeds for the names that the paths begin with.

        Args:
            needed: must the names have values when the expression is asked?
        """
        found: dict[str, Feed] = {}
        for one in paths:
            name = str(one.parts[0])
            feed = self.feeds.get(name) or self._feed(name, path, text)
            if feed is not None:
                self.feeds[name] = found[name] = feed
                self.types[one.parts] = self._check(one, path, text)
                sources = self._sources(name) if needed else []
                if len(sources) == 1:
                    self.readings.append(Reading(sources[0], path, f"{name!r} in {text!r}"))
        return found

    def _sources(self, name: str) -> list[int]:
        """The nodes that a name may be read from."""
        if name in (INPUT, EVENT, TRIGGER):
            return []
        index = self._shape.ids.get(name)
        return self.producers(name) if index is None else [index]

    def producers(self, name: str) -> list[int]:
        """The nearest earlier nodes with an output of this name: those that no other of them comes after."""
        having = self._earlier & self._shape.producing.get(name, 0)
        found, covered = bits(having), 0
        for one in found:
            covered |= self._shape.earlier[one]
        return bits(having & ~covered)

    def _feed(self, name: str, path: str, text: object) -> Feed | None:
        if name == INPUT:
            self.sees_input = True
            return self._input()
        if name == EVENT:
            return lambda frame: frame.event
        if name == TRIGGER:
            return lambda frame: frame.trigger
        index = self._shape.ids.get(name)
        if index is not None:
            if self._earlier >> index & 1:
                return lambda frame: ABSENT if (found := frame.outputs[index]) is None else found
            expected = "a node that comes before this one; an edge from it would see to that"
            self._complain(path, f"{name!r} in {text!r}", expected)
            return None
        producers = self.producers(name)
        if len(producers) == 1 or (producers and self._shape.any(self._index)):
            return _produced(producers, name)
        if producers:
            ids = [self._shape.document.nodes[one].id for one in producers]
            expected = "which is meant: " + " or ".join(f"{id_}.{name}" for id_ in ids)
            self._complain(path, f"{name!r} in {text!r}", expected)
        elif not self._shape.doubts.ids:
            expected = f"a name that is known here: {nearest(name, self._known())}"
            self._complain(path, f"{name!r} in {text!r}", expected)
        return None

    def _complain(self, path: str, found: str, expected: str) -> None:
        """Of what depends on the nodes before this one, if these are known."""
        if not self._shape.unsure >> self._index & 1:
            self._problems.add(path, found, expected)

    def _input(self) -> Feed:
        """What the nodes just before gave, merged; what started the run for a node without any before it."""
        before = self.before
        if not before:
            return lambda frame: frame.event

        def feed(frame: Frame) -> Any:
            merged: dict[str, Any] = {}
            for index in before:
                if not frame.dead >> index & 1:
                    merged.update(frame.outputs[index] or {})
            return merged

        return feed

    def _known(self) -> list[str]:
        """Every name that means something here."""
        found = [EVENT, INPUT, TRIGGER]
        for index in bits(self._earlier):
            found.append(self._shape.document.nodes[index].id)
            type = self._shape.types[index]
            found += [] if type is None else [name for name in type.outputs if name != BRANCH]
        return found

    # -- what is inside -------------------------------------------------------------------------------------------

    def _check(self, one: Path, path: str, text: object) -> Any:
        """Does what the path reads exist, as far as the declarations say? Returns what it is declared as."""
        name, rest = str(one.parts[0]), one.parts[1:]
        index = self._shape.ids.get(name)
        if name == INPUT and rest:
            self._check_input(one, path, text)
        if name in (INPUT, EVENT, TRIGGER) or (index is not None and not rest):
            return Any
        if index is None:
            return self._produced(one, path, text)
        type = self._shape.types[index]
        if type is None or type.open:
            return Any
        if rest[0] not in type.outputs:
            expected = f"an output of {name!r}: {nearest(str(rest[0]), type.outputs)}"
            self._problems.add(path, f"{_spelled(one)!r} in {text!r}", expected)
            return Any
        found = self._inside(type.outputs[str(rest[0])].type, rest[1:], one, path, text)
        return Any if self._shape.stand_ins(index) else found

    def _produced(self, one: Path, path: str, text: object) -> Any:
        """The same of a path that begins with an output."""
        found: Any = Any
        producers = self.producers(str(one.parts[0]))
        for producer in producers:
            type = self._shape.types[producer]
            assert type is not None
            found = self._inside(type.outputs[str(one.parts[0])].type, one.parts[1:], one, path, text)
        certain = len(producers) == 1 and not self._shape.stand_ins(producers[0])
        return found if certain else Any

    def _check_input(self, one: Path, path: str, text: object) -> None:
        types = [self._shape.types[index] for index in self.before]
        if not types or any(type is None or type.open for type in types):
            return
        own = self._shape.types[self._index]
        known = {name for type in types if type is not None for name in type.outputs} | set(own.inputs if own else ())
        if one.parts[1] not in known:
            expected = f"an output of the nodes before, or an input of this one: {nearest(str(one.parts[1]), known)}"
            self._complain(path, f"{_spelled(one)!r} in {text!r}", expected)

    def _inside(self, type: Any, rest: tuple[str | int, ...], one: Path, path: str, text: object) -> Any:
        """What a path inside a declared type is declared as."""
        for part in rest:
            if get_origin(type) in (Union, UnionType):
                inner = [other for other in get_args(type) if other is not NoneType]
                if len(inner) != 1:
                    return Any
                type = inner[0]
            if get_origin(type) is list and isinstance(part, int):
                type = get_args(type)[0]
            elif get_origin(type) is dict:
                type = get_args(type)[1]
            elif isinstance(type, _TYPE) and issubclass(type, msgspec.Struct):
                hints = get_type_hints(type)
                fields = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(type)}
                if part not in fields:
                    expected = f"a field of {type.__name__}: {nearest(str(part), fields)}"
                    self._problems.add(path, f"{_spelled(one)!r} in {text!r}", expected)
                    return Any
                type = fields[str(part)]
            elif type in (str, int, float, bool):
                self._problems.add(path, f"{_spelled(one)!r} in {text!r}", f"nothing inside {part!r}: it is a value")
                return Any
            else:
                return Any
        return type


_TYPE: Final = type


def _produced(producers: list[int], name: str) -> Feed:
    def feed(frame: Frame) -> Any:
        for index in producers:
            found = frame.outputs[index]
            if found is not None and name in found:
                return found[name]
        return ABSENT

    return feed


def _spelled(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path.parts)[1:]
