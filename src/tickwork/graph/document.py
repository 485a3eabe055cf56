"""The one form of a workflow document. Everything else (see ``importers``) is read into it.

    name: dip-buyer
    triggers:
      - {type: price_change, symbol: BTC/USD, threshold: "0.02", direction: down}
    nodes:
      - {id: fetch, type: technical_analysis, params: {indicators: [RSI]}}
      - {id: decide, type: if, params: {test: "fetch.rsi < 30"}}
      - {id: buy, type: buy, inputs: {amount: "0.01"}, onError: continue}
    edges:
      - {from: fetch, to: decide}
      - {from: decide, output: "true", to: buy}

Names of fields are camelCase or snake_case where they are read and camelCase where they are written. Texts that hold
``{{node.port}}`` are references (``core.expressions``).
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

ID: Final = r"^[A-Za-z_][A-Za-z0-9_-]*$"
ID_MAX: Final = 64
PRINTABLE: Final = r"^[^\p{C}]+$"
"""In the words of pydantic's regular expressions."""
NAME_MAX: Final = 100
NODES_MAX: Final = 2_000
EDGES_MAX: Final = 20_000

Join = Literal["all", "any"]


class Part(BaseModel):
    """What every part of a document has in common: frozen, no unknown fields, camelCase on the wire."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
        serialize_by_alias=True,
    )


class When(Part):
    """A condition, and what a name that is missing when it is asked means."""

    test: str
    missing: Literal["error", "false"] = "error"


class RetryPolicy(Part):
    """How often a node that failed is tried again, and when. Errors that cannot pass are never tried again."""

    limit: int = Field(default=3, ge=1, le=100)
    """How often at most it is tried *again*."""
    delay: str = "1 second"
    backoff: Literal["exponential", "fixed"] = "exponential"
    cap: str | None = None
    jitter: float = Field(default=0, ge=0, le=1)


class BreakerPolicy(Part):
    """A breaker that must let the node's calls through. Nodes that name the same one share it."""

    name: str = Field(min_length=1, max_length=NAME_MAX)
    threshold: int = Field(default=5, ge=1)
    window: str = "2 minutes"
    open_for: str = "1 minute"
    probes: int = Field(default=1, ge=1)
    successes: int = Field(default=2, ge=1)


class Fallback(Part):
    """Another node that runs when this one has failed, and whose outputs then stand for its."""

    fallback: str


class Undo(Part):
    """What takes back a node that was done, when the run fails later.

    It is a node without a place in the graph: its inputs are filled from the outputs of what it undoes, then from that
    one's own inputs, by name.
    """

    type: str
    params: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, Any] = Field(default_factory=dict)


class Position(Part):
    """Where an editor shows a node, in its own pixels."""

    x: float
    y: float


class Node(Part):
    """One thing to do."""

    id: str = Field(pattern=ID, max_length=ID_MAX)
    type: str
    """Of the node library."""
    name: str = Field(default="", max_length=NAME_MAX)
    """For people; the id where there is none."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Settings, by name; a value may hold references."""
    inputs: dict[str, Any] = Field(default_factory=dict)
    """Values of input ports: constants or references. A reference makes an edge."""
    when: str | When | None = None
    """The node is skipped where this does not hold."""
    join: Join = "all"
    """Run when every edge to it is alive, or as soon as one is."""
    retry: RetryPolicy | int | None = None
    timeout: str | None = None
    """Of one attempt."""
    on_error: Literal["stop", "continue"] | Fallback = "stop"
    undo: str | Undo | None = None
    breaker: str | BreakerPolicy | None = None
    position: Position | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name or self.id


class Edge(Part):
    """From a node to one that comes after it.

    An edge is alive when its node was done and, where ``output`` names a branch of it, took that branch. With ``input``
    it carries a value to that port. One that is only ``after`` carries nothing and is alive however its node ended.
    """

    from_: str = Field(alias="from", validation_alias="from")
    to: str
    output: str = ""
    """Port or branch of the node it comes from."""
    input: str = ""
    """Port of the node it goes to."""
    after: bool = False
    label: str = ""


class TriggerSpec(BaseModel):
    """What starts runs: ``type`` and the fields of that type (``graph.triggers``)."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    type: str

    @property
    def fields(self) -> dict[str, Any]:
        """Everything but the type."""
        return dict(self.model_extra or {})


class Rate(Part):
    """So many in so long."""

    limit: int = Field(ge=1)
    period: str


class Limits(Part):
    """When runs may begin, and how long one may take."""

    timeout: str | None = None
    """Active time of a run."""
    concurrency: int | None = Field(default=None, ge=1)
    """Runs at once."""
    key: str | None = None
    """An expression of ``event``: runs of equal keys take turns."""
    rate_limit: Rate | None = None
    throttle: Rate | None = None
    debounce: str | None = None
    singleton: Literal["skip", "cancel"] | None = None
    valid_for: str | None = None
    """A run that cannot begin within this time of what it is about is dropped."""


class Document(Part):
    """A workflow as a document."""

    name: str = Field(min_length=1, max_length=NAME_MAX, pattern=PRINTABLE)
    description: str = ""
    triggers: tuple[TriggerSpec, ...] = ()
    nodes: tuple[Node, ...] = Field(max_length=NODES_MAX)
    edges: tuple[Edge, ...] = Field(default=(), max_length=EDGES_MAX)
    limits: Limits = Limits()
    priority: int = Field(default=5, ge=0, le=10)
    """From 0 to 10; of runs that wait for their turn the higher goes first."""
    metadata: dict[str, Any] = Field(default_factory=dict)

    def node(self, id: str) -> Node | None:
        """The node of an id."""
        return next((node for node in self.nodes if node.id == id), None)

    def plain(self) -> dict[str, Any]:
        """The canonical form as JSON values: defaults left out, fields in the order above."""
        found: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {"name": self.name, **found}
