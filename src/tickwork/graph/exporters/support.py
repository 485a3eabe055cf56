"""What modules that ``exporters.python`` writes are made of: a document's nodes, called by name in an ordinary body.

A node's outputs are a mapping by port; a node that did not run is ``None``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from tickwork.core.breaker import Breaker
from tickwork.core.conditions import compile_condition
from tickwork.core.event import Event
from tickwork.core.expressions import compile_expression, compile_template
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.trigger import Trigger
from tickwork.errors import InvalidInput
from tickwork.graph.compiling import MANUAL, key_of, kinds_of
from tickwork.graph.declare import BRANCH, Context, NodeType
from tickwork.graph.document import Node, TriggerSpec
from tickwork.graph.library import Library, library
from tickwork.graph.problems import Problems
from tickwork.graph.running.calling import call
from tickwork.graph.running.runner import told
from tickwork.graph.running.states import NodeError, Outcome, Status
from tickwork.graph.sources import ADVICE, Sources
from tickwork.graph.triggers import triggers_of
from tickwork.graph.wiring.planned import ABSENT, Planned
from tickwork.graph.wiring.ports import convert
from tickwork.values import duration

__all__ = [
    "Nodes", "Policy", "first", "gathered", "key_of", "merged", "of", "took", "triggers",
]  # fmt: skip

T = TypeVar("T")
Outputs = Mapping[str, Any] | None
_NONE: Final = Sources()


class Policy(NamedTuple):
    """What happens around one node."""

    retry: Retry | None = None
    timeout: str = ""
    breaker: Breaker | None = None


class _Given:
    """Inputs in the function's order, and settings by name; stands where a plan's would."""

    def __init__(self, inputs: list[Any], settings: dict[str, Any]) -> None:
        self.inputs = inputs
        self.settings = settings


class Nodes:
    """Calls nodes of one run.

    Args:
        document: what the nodes are told they belong to.
        started_by: the workflow's triggers.
        watched: the symbols that these name.
    """

    def __init__(
        self,
        run: Run,
        event: Any,
        document: str,
        sources: Sources | None,
        started_by: Sequence[Trigger] = (),
        types: Library | None = None,
        watched: Sequence[str] = (),
    ) -> None:
        self.trigger: dict[str, str] = {"type": MANUAL}
        """What conditions call ``trigger``."""
        if isinstance(event, Event):
            self.trigger["type"] = kinds_of(tuple(started_by)).get(type(event), MANUAL)
        self._run = run
        self._event = event
        self._document = document
        self._sources = sources or _NONE
        self._types = types or library()
        self._watched = tuple(watched)
        self._errors: list[NodeError] = []

    async def __call__(self, id: str, type: str, policy: Policy | None = None, /, **given: Any) -> dict[str, Any]:
        """Run a node as a step, an effect or verbs of its own, whichever it is; its outputs.

        Args:
            id: its name on the tape.
            type: of the library.
            given: inputs and params by name.

        Raises:
            InvalidInput: an unknown type, input or param; a source that is not there. Whatever the node raises.
        """
        policy = policy or Policy()
        found = self._types.get(type, f"{id}.type")
        planned = Planned(0, Node(id=id, type=type), found, retry=policy.retry, breaker=policy.breaker)
        planned.timeout = duration(policy.timeout) if policy.timeout else 0
        planned.constants = self._needed(found, id)
        inputs = [self._input(found, name, given.pop(name, ABSENT), id) for name in found.inputs]
        settings = {}
        for name, value in given.items():
            param = found.param(name)
            if param is None:
                known = ", ".join([*found.inputs, *found.params])
                raise InvalidInput(f"{id}.{name}", name, f"an input or a param of {type} ({known})")
            settings[param.name] = value if param.expression else param.read(value, f"{id}.{name}")
        value = await call(self._run, planned, _Given(inputs, settings), self._context(id), id)  # type: ignore[arg-type]
        return found.fields(value)

    def _needed(self, type: NodeType, id: str) -> dict[str, Any]:
        found = {need.argument: self._sources.get(need.source) for need in type.needs}
        for need in type.needs:
            if found[need.argument] is None and not need.optional:
                expected = f"{need.source} to be configured: {ADVICE.get(need.source, 'see the node type')}"
                raise InvalidInput(f"{id}.type", type.name, expected)
        return found

    @staticmethod
    def _input(type: NodeType, name: str, value: Any, id: str) -> Any:
        port = type.inputs[name]
        if value is not ABSENT:
            return convert(value, port.type, f"{id}.{name}")
        if port.required:
            expected = f"a value: what feeds the input {name!r} was not done in this run"
            raise InvalidInput(f"{id}.{name}", "nothing", expected)
        return port.default

    def _context(self, id: str) -> Context:
        run, kind = self._run, self.trigger["type"]
        return Context(self._document, id, run.id, run.owner, self._event, kind, run.now_ns, watched=self._watched)

    def holds(self, text: str, names: Mapping[str, Any], *, missing: str = "error") -> bool:
        """Does a condition hold?

        Args:
            names: what it reads.
            missing: what a name without a value means: an ``error``, or ``false``.

        Raises:
            InvalidInput: it cannot be evaluated.
        """
        test = compile_condition(text)
        return self._read(test, names) if missing == "error" else test(_there(names), "false")

    def value_of(self, text: str, names: Mapping[str, Any]) -> Any:
        """The value of an expression.

        Raises:
            InvalidInput: it cannot be evaluated.
        """
        return self._read(compile_expression(text), names)

    def fill(self, template: Any, names: Mapping[str, Any]) -> Any:
        """A value with its ``{{references}}`` filled in.

        Raises:
            InvalidInput: one of them has no value.
        """
        return self._read(compile_template(template), names)

    def _read(self, compiled: Callable[[dict[str, Any]], T], names: Mapping[str, Any]) -> T:
        """What it comes to; a node that gave no value is named with what became of it."""
        try:
            return compiled(_there(names))
        except InvalidInput as error:
            absent = next((name for name, value in names.items() if value is ABSENT and name == error.found), None)
            if absent is None:
                raise
            fate = "failed" if any(one.node == absent for one in self._errors) else "was skipped"
            raise InvalidInput(error.path, absent, f"a name that has a value: {absent} {fate}") from error

    def failed(self, id: str, error: Exception) -> None:
        """Go on although a node failed."""
        self._errors.append(NodeError(id, f"{type(error).__name__}: {error}"))

    def outcome(self, nodes: Mapping[str, Outputs], last: Sequence[str]) -> Outcome:
        """The result of the run.

        Args:
            nodes: the outputs of every node.
            last: those that nothing comes after.
        """
        failed = {error.node for error in self._errors}
        statuses: dict[str, Status] = {
            id: "completed" if found is not None else "failed" if id in failed else "skipped"
            for id, found in nodes.items()
        }
        outputs = {
            id: told(dict(found)) for id in sorted(last, key=list(nodes).index) if (found := nodes[id]) is not None
        }
        return Outcome("completed_with_errors" if failed else "completed", statuses, outputs, self._errors)


def took(node: Outputs, branch: str) -> bool:
    """Did a node run and take this branch?"""
    return node is not None and node.get(BRANCH) == branch


def of(node: Outputs, port: str = "") -> Any:
    """An output of a node, or all of them; what stands for nothing where it did not run."""
    if node is None:
        return ABSENT
    return node.get(port, ABSENT) if port else node


def first(*values: Any) -> Any:
    """The first of several values that is there."""
    return next((value for value in values if value is not ABSENT), ABSENT)


def gathered(*values: Any) -> Any:
    """Values as one list; lists among them are taken apart, and what is not there is left out."""
    found = [value for value in values if value is not ABSENT]
    return [item for value in found for item in (value if isinstance(value, list) else [value])]


def merged(*nodes: Outputs) -> dict[str, Any]:
    """The outputs of several nodes by name; the later ones win."""
    found: dict[str, Any] = {}
    for node in nodes:
        found.update(node or {})
    return found


def _there(names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in names.items() if value is not ABSENT}


def triggers(specs: Sequence[Mapping[str, Any]]) -> list[Trigger]:
    """Triggers as documents write them.

    Raises:
        InvalidDocument: they are wrong.
    """
    problems = Problems()
    found = [
        trigger
        for index, spec in enumerate(specs)
        for trigger in triggers_of(TriggerSpec.model_validate(spec), problems, f"triggers[{index}]")
    ]
    problems.check("triggers")
    return found
