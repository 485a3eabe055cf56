"""What feeds an undo: what it takes back gave, then what that was given, by name; or what the document says."""

from __future__ import annotations

from typing import Any

from tickwork.graph.declare import NodeType, Port
from tickwork.graph.document import Undo
from tickwork.graph.problems import Problems, nearest
from tickwork.graph.wiring.names import Names
from tickwork.graph.wiring.planned import ABSENT, Fed, Feed, Frame, Planned
from tickwork.graph.wiring.ports import said, single


class UndoPorts:
    """Feeds the ports of an undo of ``done``."""

    def __init__(self, done: Planned, spec: Undo, names: Names, problems: Problems, path: str) -> None:
        self._done = done
        self._spec = spec
        self._names = names
        self._problems = problems
        self._path = f"{path}.inputs"

    def feed(self, type: NodeType) -> tuple[Fed, ...]:
        """All input ports of the type."""
        for name in self._spec.inputs:
            if name not in type.inputs:
                expected = f"an input of {type.name}: {nearest(name, type.inputs)}"
                self._problems.add(f"{self._path}.{name}", name, expected)
        return tuple(self._fed(port, type) for port in type.inputs.values())

    def _fed(self, port: Port, type: NodeType) -> Fed:
        done, name = self._done, port.name
        if name in self._spec.inputs:
            return said(port, self._spec.inputs[name], f"{self._path}.{name}", self._names, self._problems)
        if name in done.type.outputs or done.type.open:
            return Fed(port, single(done.index, name), f"{done.id}.{name}")
        if name in done.type.inputs:
            return Fed(port, _input(done.index, name), f"the input {name} of {done.id}")
        if port.required:
            has = ", ".join([*done.type.outputs, *done.type.inputs]) or "nothing"
            expected = f"a value for the input {name!r} of {type.name}; {done.id} has {has}"
            self._problems.add(f"{self._path}.{name}", "nothing", expected)
        return Fed(port, None, "")


def _input(index: int, name: str) -> Feed:
    def feed(frame: Frame) -> Any:
        return frame.inputs.get(index, {}).get(name, ABSENT)

    return feed
