"""Checks a document and makes its plan: everything that can be wrong is found here, all of it at once.

A document that passes runs: its types exist and are configured, its ports are fed, its names mean something, its
expressions compile, its durations are durations, nothing comes before itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from tickwork.core.breaker import Breaker
from tickwork.core.conditions import compile_condition
from tickwork.core.expressions import compile_expression, compile_template
from tickwork.core.retry import Retry
from tickwork.core.saga import UNDO_RETRY
from tickwork.core.trigger import Trigger
from tickwork.errors import InvalidInput
from tickwork.graph.declare import NodeType, Param
from tickwork.graph.document import BreakerPolicy, Document, Limits, Node, RetryPolicy, Undo, When
from tickwork.graph.library import Types
from tickwork.graph.problems import Problem, Problems, nearest
from tickwork.graph.sources import ADVICE, Sources
from tickwork.graph.tenants import own
from tickwork.graph.triggers import triggers_of, watched
from tickwork.graph.wiring.comparing import check_comparisons
from tickwork.graph.wiring.edges import Doubts, Shape
from tickwork.graph.wiring.names import Names, Reading
from tickwork.graph.wiring.planned import Plan, Planned, Setting
from tickwork.graph.wiring.ports import Ports
from tickwork.graph.wiring.reach import Reach
from tickwork.graph.wiring.starting import warn_of_start
from tickwork.graph.wiring.undo_ports import UndoPorts
from tickwork.values import duration


def plan(document: Document, library: Types, sources: Sources | None, owner: str = "") -> Plan:
    """The plan of a document.

    Args:
        sources: what its nodes may use; ``None`` where that is not known yet: then nobody asks whether they are there.
        owner: whose it is; see ``graph.tenants``.

    Raises:
        InvalidDocument: every problem that could be found.
    """
    problems = Problems()
    made = _Wiring(document, library, sources, problems, owner=owner).plan()
    problems.check(document.name)
    made.warnings = problems.warnings
    return made


def check(document: Document, library: Types, sources: Sources | None, doubts: Doubts | None = None) -> list[Problem]:
    """All problems of a document, warnings among them.

    Args:
        doubts: what could not be read of it; of what depends on that nobody complains.
    """
    problems = Problems()
    _Wiring(document, library, sources, problems, doubts).plan()
    return problems.found


_ORDERS: Final = "orders"
"""The category whose types that have an undo place orders: one more order takes none back."""


class _Wiring:
    def __init__(
        self,
        document: Document,
        library: Types,
        sources: Sources | None,
        problems: Problems,
        doubts: Doubts | None = None,
        owner: str = "",
    ) -> None:
        self._document = document
        self._owner = owner
        self._library = library
        self._sources = sources
        self._problems = problems
        self._breakers: dict[str, Breaker] = {}
        self._readings: list[list[Reading]] = []
        """By node: what its expressions read."""
        types = [self._type(node.type, f"nodes.{node.id}.type") for node in document.nodes]
        self._shape = Shape(document, types, problems, doubts)

    def plan(self) -> Plan:
        """The plan; of use only where there was no problem."""
        shape = self._shape
        if not self._document.nodes:
            self._problems.add("nodes", "none", "at least one node")
        nodes = [self._planned(index) for index in range(len(self._document.nodes))]
        for planned in nodes:
            planned.incoming = tuple(shape.incoming[planned.index])
            planned.outgoing = tuple(shape.outgoing[planned.index])
            planned.fallback = shape.fallbacks.get(planned.index, -1)
            planned.stands_for = shape.stands_for.get(planned.index, -1)
            planned.main = shape.main(planned.index)
        if not self._problems.errors:
            reach = Reach(shape)
            reach.warn(self._problems)
            for planned in nodes:
                planned.choosing = reach.choosing(planned.index)
                reach.warn_of_readings(planned.index, self._readings[planned.index], self._problems)
                if planned.index not in shape.doubts.lacking:
                    warn_of_start(planned, self._document.triggers, self._problems)
        triggers = self._triggers()
        self._limits(self._document.limits)
        undoable = any(planned.undo is not None for planned in nodes)
        # what a node asks verbs for stands in a branch of its own, where its names are nobody else's
        asking = any(planned.type.kind == "verbs" for planned in nodes)
        chain = not undoable and not asking and not shape.fallbacks and _is_chain(shape)
        later = _later(shape)
        choosing = any(planned.choosing for planned in nodes)
        return Plan(
            self._document, nodes, shape.order, triggers, watched(self._document), [], chain, undoable, choosing, later,
            self._owner,
        )  # fmt: skip

    # -- nodes ----------------------------------------------------------------------------------------------------

    def _type(self, name: str, path: str) -> NodeType | None:
        found = self._library.find(name)
        if found is None:
            self._problems.add(path, name, f"a node type of the library: {self._library.nearest(name)}")
        return found

    def _planned(self, index: int) -> Planned:
        shape, node = self._shape, self._document.nodes[index]
        type, path = shape.types[index], f"nodes.{node.id}"
        names = Names(shape, index, shape.earlier[index], self._problems)
        made = Planned(index, node, type or _UNKNOWN, before=names.before)
        made.when = self._when(node.when, names, f"{path}.when")
        if type is not None:
            known = len(self._problems.errors)
            made.fed = Ports(shape, index, names, self._problems).feed(type)
            lacking = index in shape.doubts.lacking
            made.constants, made.settings = self._params(node.params, type, names, path, lacking=lacking)
            self._configured(type, made, path, sound=len(self._problems.errors) == known)
        made.retry = self._retry(node.retry, f"{path}.retry")
        made.timeout = self._duration(node.timeout, f"{path}.timeout")
        made.breaker = self._breaker(node.breaker, f"{path}.breaker")
        made.undo = self._undo(index, node, made, path)
        made.names, made.sees_input = names.feeds, names.sees_input
        self._readings.append(names.readings)
        return made

    def _when(self, when: str | When | None, names: Names, path: str) -> Callable[[dict[str, Any]], bool] | None:
        if when is None:
            return None
        text, missing = (when, "error") if isinstance(when, str) else (when.test, when.missing)
        try:
            test = compile_condition(text)
        except InvalidInput as error:
            self._problems.caught(error, path)
            return None
        names.resolve(test.paths, path, text, needed=missing == "error")
        check_comparisons(text, names.types, self._problems, path)
        return test if missing == "error" else lambda scope: test(scope, "false")

    def _params(
        self, given: Mapping[str, Any], type: NodeType, names: Names, path: str, *, lacking: bool = False
    ) -> tuple[dict[str, Any], tuple[Setting, ...]]:
        constants: dict[str, Any] = {}
        settings: list[Setting] = []
        said: dict[str, str] = {}
        for name, value in given.items():
            where, param = f"{path}.params.{name}", type.param(name)
            if param is None:
                hint = f"a param of {type.name}: {nearest(name, type.params)}"
                if name in type.inputs:
                    hint = f"an entry in `inputs`: {name!r} is an input of {type.name}, not a param"
                self._problems.add(where, name, hint)
            elif param.name in said:
                self._problems.add(where, name, f"either {said[param.name]!r} or {name!r}: both mean one thing")
            else:
                said[param.name] = name
                try:
                    self._param(param, value, names, where, constants, settings)
                except InvalidInput as error:
                    self._problems.caught(error, where if param.expression else "")
        for name, param in type.params.items():
            if name not in said and param.required and not lacking:
                told = f" ({param.unit})" if param.unit else ""
                self._problems.add(f"{path}.params.{name}", "nothing", f"{param.help}{told}: the param is required")
        self._sensible(type, constants, said, path)
        return constants, tuple(settings)

    def _sensible(self, type: NodeType, constants: Mapping[str, Any], said: Mapping[str, str], path: str) -> None:
        """Do the params make sense together, whatever the sources are?"""
        sizes = {name: constants[name] for name in type.one_of if constants.get(name) is not None}
        if len(sizes) > 1:
            told = ", ".join(f"{said[name]} {value}" for name, value in sizes.items())
            self._problems.add(f"{path}.params", told, f"one of {', '.join(type.one_of)}")
        if type.calls and constants.get(type.calls) == self._document.name:
            expected = "another workflow: a document that calls itself never ends"
            self._problems.add(f"{path}.params.{said[type.calls]}", self._document.name, expected)

    def _param(
        self, param: Param, value: Any, names: Names, path: str, constants: dict[str, Any], settings: list[Setting]
    ) -> None:
        if param.expression:
            compiled = compile_condition(value) if param.expression == "test" else compile_expression(value)
            names.resolve(compiled.paths, path, value)
            check_comparisons(value, names.types, self._problems, path)
            settings.append(Setting(param, compiled))
            return
        template = compile_template(value, path)
        if template.is_constant:
            constants[param.name] = param.read(value, path)
            return
        names.resolve(template.paths, path, value)
        settings.append(Setting(param, lambda scope: param.read(template(scope), path)))

    def _configured(
        self, type: NodeType, made: Planned, path: str, *, sound: bool, given: Mapping[str, Any] | None = None
    ) -> None:
        """The sources that the function takes, and what it says of its own settings if these are ``sound``.

        Args:
            given: the params, where they are not the node's.
        """
        if self._sources is None:
            return
        for need in type.needs:
            source = self._sources.get(need.source)
            if source is None and not need.optional:
                expected = f"{need.source} to be configured: {ADVICE.get(need.source, 'see the node type')}"
                self._problems.add(f"{path}.type", type.name, expected)
                sound = False
            made.constants[need.argument] = source
        if type.check is not None and sound:
            said = made.node.params if given is None else given
            try:
                complaint = type.check(made.constants, self._sources)
            except InvalidInput as error:
                named = next((name for name in said if type.params.get(error.path) is type.param(name)), error.path)
                self._problems.add(f"{path}.params.{named}", error.found, error.expected)
                return
            if complaint:
                self._problems.add(f"{path}.params", said, complaint)

    def _undo(self, index: int, node: Node, done: Planned, path: str) -> Planned | None:
        """What takes the node back: what the document says, and nothing where it says nothing."""
        if node.undo is None:
            return None
        spec = Undo(type=node.undo) if isinstance(node.undo, str) else node.undo
        where = f"{path}.undo.type" if isinstance(node.undo, Undo) else f"{path}.undo"
        type = self._type(spec.type, where)
        if type is None:
            return None
        if type.undo and type.category == done.type.category == _ORDERS:
            expected = f"{done.type.undo} or close_position: these take back the orders of {node.id!r}, and only those"
            self._problems.add(where, spec.type, expected)
            return None
        known = len(self._problems.errors)
        names = Names(self._shape, index, self._shape.earlier[index] | (1 << index), self._problems, (index,))
        made = Planned(index, node, type, retry=UNDO_RETRY)
        made.fed = UndoPorts(done, spec, names, self._problems, f"{path}.undo").feed(type)
        made.constants, made.settings = self._params(spec.params, type, names, f"{path}.undo")
        self._configured(
            type, made, f"{path}.undo", sound=len(self._problems.errors) == known, given=spec.params
        )  # fmt: skip
        made.names, made.before = names.feeds, names.before
        return made

    # -- policies -------------------------------------------------------------------------------------------------

    def _retry(self, policy: RetryPolicy | int | None, path: str) -> Retry | None:
        if policy is None:
            return None
        try:
            if isinstance(policy, int):
                return Retry(limit=policy)
            return Retry(
                limit=policy.limit, delay=policy.delay, backoff=policy.backoff, cap=policy.cap, jitter=policy.jitter
            )
        except InvalidInput as error:
            self._problems.add(f"{path}.{error.path.rpartition('.')[2]}", error.found, error.expected)
            return None

    def _duration(self, text: str | None, path: str) -> int:
        if text is None:
            return 0
        try:
            found = duration(text, path)
        except InvalidInput as error:
            self._problems.caught(error)
            return 0
        if not found:
            self._problems.add(path, text, "a duration above zero")
        return found

    def _breaker(self, policy: str | BreakerPolicy | None, path: str) -> Breaker | None:
        if policy is None:
            return None
        spec = BreakerPolicy(name=policy) if isinstance(policy, str) else policy
        try:
            made = Breaker(
                own(self._owner, spec.name), threshold=spec.threshold, window=spec.window, open_for=spec.open_for,
                probes=spec.probes, successes=spec.successes,
            )  # fmt: skip
        except InvalidInput as error:
            self._problems.caught(error, path)
            return None
        known = self._breakers.setdefault(spec.name, made)
        if known != made and isinstance(policy, str):
            return known
        if known != made:
            self._problems.add(path, made.settings, f"the settings that {spec.name!r} has elsewhere: {known.settings}")
        return known

    def _triggers(self) -> tuple[Trigger, ...]:
        found: list[Trigger] = []
        for number, spec in enumerate(self._document.triggers):
            found += triggers_of(spec, self._problems, f"triggers[{number}]", self._owner)
        twice = [text for text, many in Counter(str(trigger) for trigger in found).items() if many > 1]
        for text in twice:
            self._problems.add("triggers", f"{text} twice", "each trigger once")
        return tuple(found)

    def _limits(self, limits: Limits) -> None:
        for name in ("timeout", "debounce", "valid_for"):
            self._duration(getattr(limits, name), f"limits.{name}")
        for name in ("rate_limit", "throttle"):
            rate = getattr(limits, name)
            if rate is not None:
                self._duration(rate.period, f"limits.{name}.period")
        if limits.debounce is not None and limits.rate_limit is not None:
            expected = "no debounce beside it: it would count events, not runs; a throttle paces the runs"
            self._problems.add("limits.rate_limit", "with debounce", expected)
        if limits.key is not None:
            try:
                paths = compile_expression(limits.key).paths
            except InvalidInput as error:
                self._problems.caught(error, "limits.key")
                return
            for one in paths:
                if one.parts[0] != "event":
                    self._problems.add(
                        "limits.key", one.parts[0], "only `event`: nothing else is known before a run begins"
                    )


async def _never() -> dict[str, Any]:
    raise AssertionError


_UNKNOWN = NodeType(
    name="", category="", help="", fn=_never, kind="step", inputs={}, params={}, outputs={}, needs=(), context="",
    output="", open=True, branches=(), more_branches=None, aliases=(), undo="", lookup=None, check=None,
)  # fmt: skip
"""Stands for a type that there is not, so that the rest of a document can be checked."""


def _is_chain(shape: Shape) -> bool:
    """One node after the other, none beside another."""
    ends = [len({link.target for link in links}) for links in shape.outgoing]
    starts = [len({link.source for link in links}) for links in shape.incoming]
    return all(count <= 1 for count in [*ends, *starts]) and starts.count(0) == 1


def _later(shape: Shape) -> list[int]:
    """By node: a bit for each that comes after it."""
    later = [0] * len(shape.earlier)
    for index in reversed(shape.order):
        for link in shape.outgoing[index]:
            later[index] |= later[link.target] | (1 << link.target)
        for main in shape.mains(index)[1:]:  # what it gave stands for what those did not
            later[index] |= 1 << main
            for link in shape.outgoing[main]:
                later[index] |= later[link.target] | (1 << link.target)
        stand_in = shape.fallbacks.get(index)
        if stand_in is not None:
            later[index] |= later[stand_in] | (1 << stand_in)
    return later
