"""A document as a Python module: an ordinary workflow that does the same, for going on by hand.

Nodes are called in their order, each once (``exporters.support``); a branch becomes an ``if``, neighbours that do not
know each other a ``run.all``. What such a body cannot say is refused: nodes that are undone, nodes in whose place
another runs, and ``join: any`` where several branches may be alive at once.
"""

from __future__ import annotations

import builtins
import json
import keyword
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from tickwork.core.conditions import compile_condition
from tickwork.core.expressions import compile_expression, compile_template
from tickwork.core.language.paths import Path
from tickwork.errors import InvalidInput
from tickwork.graph.document import BreakerPolicy, Document
from tickwork.graph.exporters.guards import Guards
from tickwork.graph.library import Library
from tickwork.graph.problems import Problems
from tickwork.graph.triggers import watched
from tickwork.graph.wiring import plan as plan_of
from tickwork.graph.wiring.edges import Shape
from tickwork.graph.wiring.names import EVENT, INPUT, TRIGGER, Names
from tickwork.graph.wiring.planned import Plan, Planned

WIDTH: Final = 110
STEP: Final = "    "

_TAKEN: Final = frozenset(
    {"run", "event", "node", "nodes", "sources", "types", "build", "workflow", "annotations", "error"}
    | {"first", "gathered", "key_of", "merged", "of", "took", "triggers"}
)
"""Names that a module uses itself; the rest begins with a capital letter."""


class Call(NamedTuple):
    """A node's line."""

    planned: Planned
    text: list[str]


def as_python(document: Document, library: Library) -> str:
    """The source of a module whose ``build(sources)`` makes the workflow.

    Raises:
        InvalidDocument: the document is wrong.
        InvalidInput: it says what a body of that kind cannot.
    """
    plan = plan_of(document, library, None)
    for planned in plan.nodes:
        _sayable(planned)
    return _Module(plan).text()


def _sayable(planned: Planned) -> None:
    path = f"nodes.{planned.id}"
    if planned.undo is not None:
        raise InvalidInput(f"{path}.undo", planned.undo.type.name, "no undo: write the saga by hand")
    if planned.fallback >= 0 or planned.stands_for >= 0:
        raise InvalidInput(f"{path}.onError", "fallback", "stop or continue: write the fallback by hand")


class _Module:
    """Writes one module."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.document = plan.document
        self.shape = Shape(self.document, [planned.type for planned in plan.nodes], Problems())
        self.guards = Guards(plan)
        self.variables = _variables(planned.id for planned in plan.nodes)
        self.used: set[str] = {"Nodes"}
        """What it takes from the support."""
        self.core: set[str] = set()
        """What it takes from the core."""

    def text(self) -> str:
        body = self.body()
        decorator = self.decorator()
        name = _variables([self.document.name], _TAKEN | set(self.variables))[0]
        lines = [
            *self.heading(),
            *self.triggers(),
            "",
            "def build(sources: Sources | None = None, types: Library | None = None) -> Workflow:",
            f'{STEP}"""The workflow; ``sources``: what its nodes work with, ``types``: their library."""',
            "",
            *(STEP + line for line in decorator),
            f"{STEP}async def {name}(run: Run, event: Any = None) -> Outcome:",
            *(STEP * 2 + line if line else "" for line in body),
            "",
            f"{STEP}return {name}",
        ]
        return "\n".join(lines) + "\n"

    # -- around the body ------------------------------------------------------------------------------------------

    def heading(self) -> list[str]:
        said = [line.rstrip() for line in self.document.description.splitlines()]
        told = [f"{self.document.name}: written from its workflow document.", "", *said, *([""] if said else [])]
        if any(node.position or node.metadata for node in self.document.nodes) or self.document.metadata:
            told += ["The document's metadata and positions are not in here.", ""]
        told = ["".join(one if one.isprintable() else " " for one in line) for line in told]
        docstring = "\n".join(told).rstrip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        return [
            f'"""{docstring}',
            '"""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import Any",
            "",
            "from tickwork import Run, workflow",
            *self.imports(),
            "from tickwork.core.workflow import Workflow",
            f"from tickwork.graph.exporters.support import {', '.join(sorted(self.used))}",
            "from tickwork.graph.library import Library",
            "from tickwork.graph.sources import Sources",
            "from tickwork.graph.running.states import Outcome",
            "",
        ]

    def imports(self) -> list[str]:
        homes = {"Breaker": "breaker", "Concurrency": "flow", "RateLimit": "flow", "Retry": "retry", "Throttle": "flow"}
        by_home: dict[str, list[str]] = {}
        for name in sorted(self.core):
            by_home.setdefault(homes[name], []).append(name)
        return [f"from tickwork.core.{home} import {', '.join(names)}" for home, names in sorted(by_home.items())]

    def triggers(self) -> list[str]:
        specs = [spec.model_dump(mode="json") for spec in self.document.triggers]
        if not specs:
            return []
        return [
            "TRIGGERS = triggers(",
            f"{STEP}[",
            *(f"{STEP * 2}{literal(spec)}," for spec in specs),
            f"{STEP}]",
            ")",
            "",
        ]

    def decorator(self) -> list[str]:
        limits, found = self.document.limits, [literal(self.document.name)]
        if self.document.triggers:
            self.used.add("triggers")
            found.append("on=TRIGGERS")
        if limits.key is not None:
            self.used.add("key_of")
            found.append(f"key=key_of({literal(limits.key)})")
        if limits.concurrency is not None:
            self.core.add("Concurrency")
            found.append(f"concurrency=Concurrency({limits.concurrency})")
        for name, kind in (("rate_limit", "RateLimit"), ("throttle", "Throttle")):
            rate = getattr(limits, name)
            if rate is not None:
                self.core.add(kind)
                found.append(f"{name}={kind}({rate.limit}, {literal(rate.period)})")
        plain = {name: getattr(limits, name) for name in ("timeout", "debounce", "singleton", "valid_for")}
        found += [f"{name}={literal(value)}" for name, value in plain.items() if value is not None]
        found.append(f"priority={self.document.priority}")
        return _call("@workflow", found)

    # -- the body -------------------------------------------------------------------------------------------------

    def body(self) -> list[str]:
        named = [literal(self.document.name), "sources", *(["TRIGGERS"] if self.document.triggers else [])]
        about = watched(self.document)
        named += ["types=types", *([f"watched={literal(about)}"] if about else [])]
        lines = [f"node = Nodes(run, event, {', '.join(named)})"]
        for guard, together in self.blocks():
            if guard:
                names = [self.variables[planned.index] for group in together for planned in group]
                lines += [f"{' = '.join(names)} = None", f"if {guard}:"]
            inner = [line for group in together for line in self.group(group)]
            lines += [STEP + line for line in inner] if guard else inner
        pairs = [f"{literal(planned.id)}: {self.variables[planned.index]}" for planned in self.plan.nodes]
        last = [planned.id for planned in self.plan.nodes if not planned.outgoing]
        return [*lines, *_call("nodes = ", pairs, "{}"), f"return node.outcome(nodes, last={literal(last)})"]

    def blocks(self) -> list[tuple[str, list[list[Planned]]]]:
        """Nodes in their order: those under one condition, and in there, those that run side by side."""
        found: list[tuple[str, list[list[Planned]]]] = []
        for planned, guard in self.ordered():
            self.used |= {"took"} if "took(" in guard else set()
            if not found or found[-1][0] != guard:
                found.append((guard, [[planned]]))
            elif self.beside(planned, found[-1][1][-1]):
                found[-1][1][-1].append(planned)
            else:
                found[-1][1].append([planned])
        return found

    def ordered(self) -> Iterator[tuple[Planned, str]]:
        """Every node after those before it, and next to those under the same condition as far as that goes."""
        guards = [self.guards.text(planned.index, self.variables) for planned in self.plan.nodes]
        waits = [len(planned.incoming) for planned in self.plan.nodes]
        ready = [index for index in self.plan.order if not waits[index]]
        place = {index: number for number, index in enumerate(self.plan.order)}
        last = ""
        while ready:
            ready.sort(key=lambda index: (guards[index] != last, place[index]))
            index = ready.pop(0)
            last = guards[index]
            yield self.plan.nodes[index], last
            for link in self.plan.nodes[index].outgoing:
                waits[link.target] -= 1
                if not waits[link.target]:
                    ready.append(link.target)

    def beside(self, planned: Planned, others: list[Planned]) -> bool:
        """May it run at the same time as these?"""
        if not all(self.simple(one) and not _evaluates(one) for one in (planned, *others)):
            return False  # an argument that fails would leave the calls before it hanging
        earlier = self.shape.earlier[planned.index]
        return not any(earlier >> other.index & 1 for other in others)

    @staticmethod
    def simple(planned: Planned) -> bool:
        return planned.node.when is None and planned.node.on_error == "stop"

    def group(self, group: list[Planned]) -> list[str]:
        if len(group) == 1:
            return self.one(group[0])
        names = ", ".join(self.variables[planned.index] for planned in group)
        lines = [f"{names} = await run.all("]
        for planned in group:
            made = self.call(planned)
            lines += [STEP + line for line in [*made[:-1], made[-1] + ","]]
        return [*lines, ")"]

    def one(self, planned: Planned) -> list[str]:
        """A node with its condition, and with what happens when it fails."""
        name, made = self.variables[planned.index], self.call(planned)
        lines = [f"{name} = await {made[0]}", *made[1:]]
        bare = self.simple(planned)
        if planned.node.when is not None:
            condition = self.when(planned)
            lines = [f"if {condition}:", *(STEP + line for line in lines)]
        if planned.node.on_error == "continue":
            lines = [
                "try:",
                *(STEP + line for line in lines),
                "except Exception as error:",
                f"{STEP}node.failed({literal(planned.id)}, error)",
            ]
        declared = bare or bool(self.guards.text(planned.index, self.variables))
        return lines if declared else [f"{name} = None", *lines]

    def when(self, planned: Planned) -> str:
        when = planned.node.when
        text, missing = (when, "error") if isinstance(when, str) else (getattr(when, "test", ""), "false")
        if not isinstance(when, str) and when is not None:
            missing = when.missing
        scope = self.scope(planned, compile_condition(text).paths)
        return f"node.holds({literal(text)}, {scope}{'' if missing == 'error' else f', missing={literal(missing)}'})"

    def call(self, planned: Planned) -> list[str]:
        """The call of a node."""
        arguments = [literal(planned.id), literal(planned.type.name)]
        policy = self.policy(planned)
        arguments += [policy] if policy else []
        pairs = [*self.inputs(planned), *self.params(planned)]
        odd = [pair for pair in pairs if keyword.iskeyword(pair[0])]
        arguments += [f"{name}={text}" for name, text in pairs if not keyword.iskeyword(name)]
        arguments += [f"**{{{', '.join(f'{literal(name)}: {text}' for name, text in odd)}}}"] if odd else []
        return _call("node", arguments)

    def policy(self, planned: Planned) -> str:
        found = []
        if planned.retry is not None:
            self.core.add("Retry")
            retry = planned.retry
            parts = [f"limit={retry.limit}", f"delay={literal(retry.delay)}", f"backoff={literal(retry.backoff)}"]
            parts += [f"cap={literal(retry.cap)}"] if retry.cap is not None else []
            parts += [f"jitter={literal(retry.jitter)}"] if retry.jitter else []
            found.append(f"retry=Retry({', '.join(parts)})")
        if planned.node.timeout is not None:
            found.append(f"timeout={literal(planned.node.timeout)}")
        if planned.node.breaker is not None:
            self.core.add("Breaker")
            found.append(f"breaker={self.breaker(planned.node.breaker)}")
        if not found:
            return ""
        self.used.add("Policy")
        return f"Policy({', '.join(found)})"

    def breaker(self, policy: str | BreakerPolicy) -> str:
        name = policy if isinstance(policy, str) else policy.name
        told = [node.breaker for node in self.document.nodes if isinstance(node.breaker, BreakerPolicy)]
        spec = next((one for one in told if one.name == name), BreakerPolicy(name=name))
        settings = ("threshold", "window", "open_for", "probes", "successes")
        return f"Breaker({literal(name)}, {', '.join(f'{one}={literal(getattr(spec, one))}' for one in settings)})"

    # -- what a node is given -------------------------------------------------------------------------------------

    def inputs(self, planned: Planned) -> list[tuple[str, str]]:
        found = []
        wired = {edge.input for edge in self.document.edges if edge.to == planned.id and not edge.after}
        for fed in planned.fed:
            name = fed.port.name
            if fed.feed is None:
                continue
            if name in planned.node.inputs and name not in wired:
                found.append((name, self.filled(planned, planned.node.inputs[name])))
                continue
            sources = [one.rpartition(".") for one in fed.name.split(", ")]
            values = [self.output(planned, self.plan.index_of(id_), port) for id_, _, port in sources]
            if fed.port.many:
                found.append((name, self.helper("gathered", values)))
            else:
                found.append((name, values[0] if len(values) == 1 else self.helper("first", values)))
        return found

    def params(self, planned: Planned) -> list[tuple[str, str]]:
        found = []
        for name, value in planned.node.params.items():
            param = planned.type.param(name)
            assert param is not None
            if param.expression == "test":
                scope = self.scope(planned, compile_condition(value).paths)
                found.append((param.name, f"node.holds({literal(value)}, {scope})"))
            elif param.expression:
                scope = self.scope(planned, compile_expression(value).paths)
                found.append((param.name, f"node.value_of({literal(value)}, {scope})"))
            else:
                found.append((param.name, self.filled(planned, value)))
        return found

    def filled(self, planned: Planned, value: Any) -> str:
        template = compile_template(value)
        if template.is_constant:
            return literal(value)
        return f"node.fill({literal(value)}, {self.scope(planned, template.paths)})"

    def helper(self, name: str, values: Iterable[str]) -> str:
        self.used.add(name)
        return f"{name}({', '.join(values)})"

    def output(self, planned: Planned, source: int, port: str) -> str:
        """An output of another node, which may not have run."""
        variable = self.variables[source]
        if self.guards.certain(source, planned.index) and not self.plan.nodes[source].type.open:
            return f"{variable}[{literal(port)}]"
        return self.helper("of", [variable, literal(port)])

    def scope(self, planned: Planned, paths: Sequence[Path]) -> str:
        """The names that an expression reads, as a mapping."""
        names = Names(self.shape, planned.index, self.shape.earlier[planned.index], Problems())
        found: dict[str, str] = {}
        for path in paths:
            name = str(path.parts[0])
            if name == INPUT:
                merged = [self.variables[index] for index in planned.before]
                found[name] = self.helper("merged", merged) if merged else "event"
            elif name == EVENT:
                found[name] = "event"
            elif name == TRIGGER:
                found[name] = "node.trigger"
            elif name in self.shape.ids:
                index = self.shape.ids[name]
                sure = self.guards.certain(index, planned.index)
                found[name] = self.variables[index] if sure else self.helper("of", [self.variables[index]])
            else:
                values = [self.output(planned, index, name) for index in names.producers(name)]
                found[name] = values[0] if len(values) == 1 else self.helper("first", values)
        return "{" + ", ".join(f"{literal(name)}: {text}" for name, text in found.items()) + "}"


def _evaluates(planned: Planned) -> bool:
    """Is anything that it is given the value of an expression?"""
    return bool(planned.settings) or not all(compile_template(one).is_constant for one in planned.node.inputs.values())


def literal(value: Any) -> str:
    """A JSON value as Python writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(literal(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(one)}" for key, one in value.items()) + "}"
    return repr(value)


def _variables(ids: Iterable[str], taken: Iterable[str] = _TAKEN) -> list[str]:
    """A Python name for each id."""
    found: list[str] = []
    used = {*taken, *dir(builtins)}
    for id_ in ids:
        stem = re.sub(r"[^A-Za-z0-9_]+", "_", id_).strip("_").lower() or "made"
        stem = f"n{stem}" if stem[0].isdigit() else stem
        name, number = stem, 1
        while name in used or keyword.iskeyword(name) or keyword.issoftkeyword(name):
            number += 1
            name = f"{stem}_{number}"
        used.add(name)
        found.append(name)
    return found


def _call(head: str, arguments: list[str], brackets: str = "()") -> list[str]:
    """A call on one line, or with a line for each argument."""
    line = f"{head}{brackets[0]}{', '.join(arguments)}{brackets[1]}"
    if len(line) <= WIDTH - 2 * len(STEP) or not arguments:
        return [line]
    return [f"{head}{brackets[0]}", *(f"{STEP}{one}," for one in arguments), brackets[1]]
