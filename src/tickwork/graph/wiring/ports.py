"""What feeds the input ports of a node: edges that name them, values of the document, outputs of the same name."""

from __future__ import annotations

from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from tickwork.core.expressions import compile_template
from tickwork.errors import InvalidInput
from tickwork.graph.declare import BRANCH, NodeType, Port
from tickwork.graph.document import Node
from tickwork.graph.problems import Problems, nearest
from tickwork.graph.wiring.edges import Shape
from tickwork.graph.wiring.names import Names
from tickwork.graph.wiring.planned import ABSENT, Fed, Feed, Frame

Source = tuple[int, str]
"""A node and an output port of it."""

_SCALARS: Final = frozenset({str, int, float, bool, Decimal})


class Ports:
    """Feeds the ports of one node.

    Args:
        index: its number.
        names: resolves what its expressions read.
    """

    def __init__(self, shape: Shape, index: int, names: Names, problems: Problems) -> None:
        self._shape = shape
        self._index = index
        self._node: Node = shape.document.nodes[index]
        self._names = names
        self._problems = problems
        self._path = f"nodes.{self._node.id}.inputs"
        self._main = shape.main(index)
        self._any = shape.any(index)
        self._unsure = bool(shape.unsure >> index & 1)
        self._before = list(dict.fromkeys(link.source for link in shape.before(index)))

    def feed(self, type: NodeType) -> tuple[Fed, ...]:
        """All input ports of the type."""
        for name in self._node.inputs:
            if name not in type.inputs:
                expected = f"an input of {type.name}: {nearest(name, type.inputs)}"
                self._problems.add(f"{self._path}.{name}", name, expected)
        found: dict[str, Fed] = {}
        left = []
        for port in type.inputs.values():
            fed = self._named(port) or self._given(port) or self._by_name(port)
            if fed is None:
                left.append(port)
            else:
                found[port.name] = fed
        needed = [port for port in left if port.required] or [port for port in left if port.lone]
        for port in left:
            only = self._only(port) if needed == [port] else None
            if only is None and port.required:
                self._missing(port, type)
            found[port.name] = only or Fed(port, None, "")
        return tuple(found[name] for name in type.inputs)

    # -- where a value may come from ------------------------------------------------------------------------------

    def _named(self, port: Port) -> Fed | None:
        """Edges that name it."""
        edges = self._shape.ports.get((self._main, port.name), [])
        if not edges:
            return None
        sources = [(source, self._output(source, output, port)) for source, output in edges]
        good = [(source, output) for source, output in sources if output]
        if len(good) > 1 and not port.many and not self._any and not self._unsure:
            told = ", ".join(self._told(*one) for one in good)
            self._problems.add(f"{self._path}.{port.name}", told, "one edge to it, or join: any")
        return self._from(port, good) if good else Fed(port, None, "")

    def _output(self, source: int, output: str, port: Port) -> str:
        """The output that an edge to this port carries."""
        type = self._shape.types[source]
        if output or type is None:
            return output
        giving = [name for name in type.outputs if name != BRANCH]
        if port.name in giving:
            return port.name
        if len(giving) == 1:
            return giving[0]
        if type.open:
            return port.name
        id_ = self._shape.document.nodes[source].id
        expected = f"an `output` on the edge from {id_!r}: one of {', '.join(giving) or 'none, it gives nothing'}"
        self._problems.add(f"{self._path}.{port.name}", "nothing", expected)
        return ""

    def _given(self, port: Port) -> Fed | None:
        """A value or a reference of the document."""
        if port.name not in self._node.inputs:
            return None
        value, path = self._node.inputs[port.name], f"{self._path}.{port.name}"
        if value is None and not port.required:
            return Fed(port, None, "nothing")
        return said(port, value, path, self._names, self._problems)

    def _by_name(self, port: Port) -> Fed | None:
        """Outputs of its name, of the nodes just before or else of the nearest earlier one."""
        near = [source for source in self._before if self._has(source, port.name)]
        if not near:
            # an edge that names an output and no input brings it under its own name, or as the only value there is
            return self._far(port)
        if len(near) > 1 and not port.many and not self._any:
            return self._ambiguous(port, near)
        return self._from(port, [(source, port.name) for source in near])

    def _far(self, port: Port) -> Fed | None:
        far = self._names.producers(port.name)
        if not far:
            return None
        if len(far) > 1 and not port.many and not self._any:
            return self._ambiguous(port, far)
        return self._from(port, [(source, port.name) for source in far])

    def _ambiguous(self, port: Port, sources: list[int]) -> Fed | None:
        ids = [self._shape.document.nodes[source].id for source in sources]
        expected = "which is meant: " + " or ".join(f"{{{{{id_}.{port.name}}}}}" for id_ in ids)
        if not port.required:
            self._problems.warn(f"{self._path}.{port.name}", "nothing", f"{expected}; without it the default is taken")
            return Fed(port, None, "")
        if not self._unsure:
            self._problems.add(f"{self._path}.{port.name}", f"{port.name!r} of {', '.join(ids)}", expected)
        return Fed(port, None, "")

    def _only(self, port: Port) -> Fed | None:
        """The one value that the one node before brings."""
        sources = self._before if not port.many else []
        giving: list[Source] = []
        for source in sources:
            type, hints = self._shape.types[source], self._shape.hints.get((source, self._main), [])
            outputs = [] if type is None else hints or [name for name in type.outputs if name != BRANCH]
            giving += [(source, name) for name in outputs]
        if port.many:
            giving = [one for source in self._before for one in self._single(source)]
        if not giving or (len(giving) > 1 and not port.many):
            return None
        return self._from(port, giving)

    def _single(self, source: int) -> list[Source]:
        type = self._shape.types[source]
        outputs = [] if type is None else [name for name in type.outputs if name != BRANCH]
        hints = self._shape.hints.get((source, self._main), outputs)
        return [(source, hints[0])] if len(hints) == 1 else []

    def _missing(self, port: Port, type: NodeType) -> None:
        """Nothing brings it a value."""
        if self._unsure or self._index in self._shape.doubts.lacking:
            return
        given = {
            self._shape.document.nodes[source].id: [name for name in found.outputs if name != BRANCH]
            for source in self._before
            if (found := self._shape.types[source]) is not None
        }
        told = "; ".join(f"{id_} gives {', '.join(names) or 'nothing'}" for id_, names in given.items())
        expected = f"a value for the input {port.name!r} of {type.name}: an edge with `input`, or an entry in `inputs`"
        self._problems.add(f"{self._path}.{port.name}", told or "nothing before it", expected)

    # -- feeds ----------------------------------------------------------------------------------------------------

    def _has(self, source: int, name: str) -> bool:
        type = self._shape.types[source]
        return type is not None and name in type.outputs and name != BRANCH

    def _told(self, source: int, output: str) -> str:
        return f"{self._shape.document.nodes[source].id}.{output}"

    def _from(self, port: Port, sources: list[Source]) -> Fed:
        for source, output in sources:
            self._fits(source, output, port)
        name = ", ".join(self._told(*one) for one in sources)
        if port.many:
            return Fed(port, gathered(sources), name)
        return Fed(port, first(sources) if len(sources) > 1 else single(*sources[0]), name)

    def _fits(self, source: int, output: str, port: Port) -> None:
        path = f"{self._path}.{port.name}"
        for stand_in in self._shape.stand_ins(source):
            instead, id_ = self._shape.types[stand_in], self._shape.document.nodes[stand_in].id
            if instead is not None and not instead.open and output not in instead.outputs:
                self._problems.add(path, self._told(source, output), f"an output that its fallback {id_!r} has as well")
        for giver in (source, *self._shape.stand_ins(source)):
            type = self._shape.types[giver]
            giving = None if type is None else type.outputs.get(output)
            if giving is not None and not compatible(giving.type, _item(port) if port.many else port.type):
                self._problems.add(path, f"{self._told(giver, output)}: {spelled(giving.type)}", spelled(port.type))


def said(port: Port, value: Any, path: str, names: Names, problems: Problems) -> Fed:
    """What the document itself says of a port: a constant, or a text with references."""
    try:
        template = compile_template(value, path)
        if not template.is_constant:
            scope = names.scope(template.paths, path, value)
            return Fed(port, lambda frame: template(scope(frame)), str(value))
        fixed = convert(value, port.type, path)
    except InvalidInput as error:
        problems.caught(error)
        return Fed(port, None, "")
    return Fed(port, lambda frame: fixed, repr(value))


def single(source: int, output: str) -> Feed:
    """The value of one port."""

    def feed(frame: Frame) -> Any:
        found = frame.outputs[source]
        return ABSENT if found is None or frame.dead >> source & 1 else found.get(output, ABSENT)

    return feed


def first(sources: list[Source]) -> Feed:
    """The value of the first of several ports that has one."""
    feeds = [single(*source) for source in sources]

    def feed(frame: Frame) -> Any:
        return next((value for one in feeds if (value := one(frame)) is not ABSENT), ABSENT)

    return feed


def gathered(sources: list[Source]) -> Feed:
    """The values of those of several ports that have one; a list among them is taken apart."""
    feeds = [single(*source) for source in sources]

    def feed(frame: Frame) -> Any:
        values = [value for one in feeds if (value := one(frame)) is not ABSENT]
        return [item for value in values for item in (value if isinstance(value, list) else [value])]

    return feed


# --------------------------------------------------------------------------------------------------------------- types


def convert(value: Any, type: Any, path: str) -> Any:
    """A value as a port takes it.

    Raises:
        InvalidInput: it is not of that type.
    """
    if type is Any or value.__class__ is type:
        return value
    try:
        return msgspec.convert(value, type, strict=False, from_attributes=True)
    except msgspec.ValidationError as error:
        raise InvalidInput(path, repr(value)[:200], f"{spelled(type)} ({error})") from None


def _item(port: Port) -> Any:
    """Of a port that gathers a list: what is in it."""
    return get_args(port.type)[0] if get_origin(port.type) is list else Any


def _kinds(type: Any) -> set[Any]:
    """The classes a type allows, without ``None``; ``Any`` where that cannot be said."""
    origin = get_origin(type)
    if origin in (Union, UnionType):
        return set().union(*(_kinds(one) for one in get_args(type) if one is not NoneType))
    return {origin or type}


def compatible(giving: Any, taking: Any) -> bool:
    """Can a value of one type possibly be taken as another? Says no only where it is certain."""
    gives, takes = _kinds(giving), _kinds(taking)
    if Any in gives | takes or not all(isinstance(one, type) for one in gives | takes):
        return True
    return any(_alike(one, other) for one in gives for other in takes)


def _alike(giving: type, taking: type) -> bool:
    if giving in _SCALARS and taking in _SCALARS:
        return not ((giving is bool) ^ (taking is bool)) or str in (giving, taking)
    if list in (giving, taking):
        return giving is taking
    structured = [one for one in (giving, taking) if issubclass(one, msgspec.Struct | dict)]
    if len(structured) == 2:
        return True  # by their fields, which is seen when the value is there
    return not structured or not ({giving, taking} & (_SCALARS | {list}))


def spelled(type: Any) -> str:
    """A type for people."""
    words: dict[Any, str] = {
        Any: "anything", str: "a text", int: "a whole number", float: "a number", Decimal: "a number",
        bool: "true or false", list: "a list", dict: "an object",
    }  # fmt: skip
    origin = get_origin(type)
    if origin in (Union, UnionType):
        return " or ".join(spelled(one) for one in get_args(type) if one is not NoneType)
    if origin is list:
        return f"a list of {spelled(get_args(type)[0])}"
    return words.get(origin or type) or str(getattr(type, "__name__", type))
