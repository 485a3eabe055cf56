"""A document that was checked, in the form in which it runs: nodes by number, ports and names resolved.

``graph.wiring`` makes it; ``graph.running.runner`` walks it. Nothing here looks anything up by name any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from tickwork.core.breaker import Breaker
from tickwork.core.retry import Retry
from tickwork.core.trigger import Trigger
from tickwork.graph.declare import NodeType, Param, Port
from tickwork.graph.document import Document, Node
from tickwork.graph.problems import Problem


class _Absent:
    """What a port or name gives that has no value in this run."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


class Link(NamedTuple):
    """An edge between numbered nodes."""

    source: int
    target: int
    branch: str = ""
    """The branch of the source that must have been taken."""
    after: bool = False
    """It orders and carries nothing."""


Outputs = Sequence[dict[str, Any] | None]


class Frame(Protocol):
    """What values are read from while a document runs."""

    @property
    def outputs(self) -> Outputs:
        """By node; ``None`` until it is done, and for ever where it was not."""
        ...

    inputs: dict[int, dict[str, Any]]
    """Of nodes that can be undone: what they were given."""
    event: Any
    trigger: dict[str, Any]
    dead: int
    """A bit for each node just before whose edge carries nothing."""


Feed = Callable[[Frame], Any]
"""Gives a value, or ``ABSENT``."""


class Fed(NamedTuple):
    """An input port with what feeds it; ``None``: its default."""

    port: Port
    feed: Feed | None
    name: str
    """What feeds it, for people."""


class Setting(NamedTuple):
    """A param whose value depends on the run."""

    param: Param
    value: Callable[[dict[str, Any]], Any]
    """Of the names in scope."""


@dataclass(slots=True)
class Planned:
    """A node, ready to run."""

    index: int
    node: Node
    type: NodeType
    fed: tuple[Fed, ...] = ()
    """Its input ports, in the order of the function's arguments."""
    constants: dict[str, Any] = field(default_factory=dict)
    """Params that the document fixes, and the sources."""
    settings: tuple[Setting, ...] = ()
    when: Callable[[dict[str, Any]], bool] | None = None
    names: dict[str, Feed] = field(default_factory=dict)
    """What its expressions read, by name."""
    sees_input: bool = False
    """Do they read ``input``?"""
    before: tuple[int, ...] = ()
    """The nodes whose outputs ``input`` is merged from."""
    main: int = -1
    """The node whose edges count for it: itself, if it stands for no other."""
    incoming: tuple[Link, ...] = ()
    outgoing: tuple[Link, ...] = ()
    retry: Retry | None = None
    timeout: int = 0
    """ns; 0: none."""
    breaker: Breaker | None = None
    doing: Any = None
    """A step's function with its settings, where these are the same in every run; made when first called."""
    fallback: int = -1
    """The node that runs in its place when it has failed."""
    stands_for: int = -1
    """The node in whose place it runs."""
    undo: Planned | None = None

    @property
    def id(self) -> str:
        """The node's id."""
        return self.node.id

    choosing: bool = False
    """May several edges to it be alive of which one is enough?"""

    @property
    def any(self) -> bool:
        """Does it run as soon as one edge is alive?"""
        return self.node.join == "any"


@dataclass(slots=True)
class Plan:
    """A document, ready to run."""

    document: Document
    nodes: list[Planned]
    order: list[int]
    """One in which every node comes after those before it."""
    triggers: tuple[Trigger, ...]
    watched: tuple[str, ...]
    """The symbols that the triggers name."""
    warnings: list[Problem]

    chain: bool = False
    """May it run in one branch: one node after the other, nothing to be undone?"""
    undoable: bool = False
    """Has a node an undo?"""
    choosing: bool = False
    """Does it depend on time which edges a node goes on with?"""
    later: list[int] = field(default_factory=list)
    """By node: a bit for each that comes after it."""
    owner: str = ""
    """Whose document it is; nothing: the installation's."""

    def index_of(self, id: str) -> int:
        """The number of a node."""
        return next(planned.index for planned in self.nodes if planned.id == id)
