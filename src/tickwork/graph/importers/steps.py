"""Step lists, as news traders write them: ``{name, steps[], triggers[], priority, metadata}``.

A step is a text, ``{name, type, params}``, or ``{id, action, agent, depends_on[], parallel}``. They run one after the
other, those with ``depends_on`` after what they name, neighbours with ``parallel: true`` or one ``parallel_group``
together, as do the steps inside ``parallel: [...]`` and of a step of type ``parallel``. A ``conditional`` becomes an
``if``, its actions the nodes ``<step>_<action>`` on its branches, and what comes after it runs whether or not they were
chosen. ``compensate`` becomes the ``undo``.

A ``circuit_breaker`` step tells of a breaker. Those who ask it (``circuit_status == 'closed'``) also report to it:
their nodes get that breaker, because one that nobody reports to protects nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from tickwork.core.expressions import compile_expression
from tickwork.core.language.lookup import kind_of
from tickwork.errors import InvalidInput
from tickwork.graph.declare import NodeType
from tickwork.graph.document import NAME_MAX, Document
from tickwork.graph.importers.blocks import informs
from tickwork.graph.importers.building import Building
from tickwork.graph.importers.fields import Fields
from tickwork.graph.importers.policies import breaker_policy, read_breaker, read_retry
from tickwork.graph.importers.step import FALSE, TRUE, Placed, Step, actions_of, groups_of, names_in, nested
from tickwork.graph.library import Types

DOCUMENT: Final = "id name description version steps triggers priority metadata"
CONDITIONAL: Final = "conditional"
BREAKER: Final = "circuit_breaker"
GROUP: Final = "parallel_group"
_GROUPS: Final = (GROUP, "parallel")
_MEMBERS: Final = ("steps", "actions", "parallel")
STATUS: Final = "circuit_status"
AGENTS: Final = ("agent_type", "agent")
ACTIONS: Final = {"analyze": "technical_analysis"}
"""Actions whose name is no type of the library."""


def read_steps(root: Any, library: Types, name: str = "") -> tuple[Document, list[str]]:
    """A step list as a document, and what has changed its meaning.

    Raises:
        InvalidDocument: everything that cannot be represented.
    """
    building = Building(root, library, name)
    informs(building)
    _Steps(building).read()
    building.fields.done(DOCUMENT)
    return building.finish(), building.notes


class _Steps:
    def __init__(self, building: Building) -> None:
        self.building = building
        self.problems = building.problems
        self.placed: dict[str, Placed] = {}
        self.all: dict[str, Step] = {}
        """Every step, by its foreign name."""
        self.moved: set[str] = set()
        """Steps that run only where an action or a compensation names them."""
        self.used: set[str] = set()
        """Those that undo another one."""
        self.breakers: dict[str, dict[str, Any]] = {}
        """By id of a ``circuit_breaker`` step: what those who ask it get."""

    def read(self) -> None:
        raw = self.building.fields.items("steps")
        if not raw:
            self.problems.add("document.steps", "none", "at least one step")
        steps = [self.step(value, f"document.steps[{index}]") for index, value in enumerate(raw)]
        self.building.names.claim(self.all)
        for step in self.all.values():
            label = step.fields.peek("name")
            if isinstance(label, str):
                self.building.names.alias(label, self.building.names.id(step.name))
        self.moved = self.named_elsewhere()
        for step in self.all.values():
            if step.type == BREAKER:
                self.breaker(step)
        listed = [step for step in steps if step.name not in self.moved]
        self.link(listed, [])
        for step in self.all.values():
            if step.name in self.moved:
                self.elsewhere(step)
        for step in self.all.values():
            if step.name not in self.placed and step.name not in self.used:
                self.problems.add(
                    step.path, step.name, "a step that is reached: only steps that run each other name it"
                )
        self.building.keep("steps", [self.building.names.id(step.name) for step in steps])

    def elsewhere(self, step: Step) -> None:
        """What is left to do for a step that runs only where another one names it."""
        if step.together:
            key = "parallel_group" if "parallel_group" in step.fields else "parallel"
            self.problems.add(step.fields.at(key), step.together, "none: it runs where another step names it")
        if step.after is not None and step.name in self.placed:
            self.depend(step)
        elif step.after:
            self.problems.add(step.fields.at("depends_on"), step.after, "none: it only undoes another step")

    # -- reading --------------------------------------------------------------------------------------------------

    def step(self, value: Any, path: str) -> Step:
        if not isinstance(value, str | Mapping):
            self.problems.add(path, kind_of(value), "a step: a text, or an object with a name and a type")
            value = path.rpartition(".")[2]
        fields = Fields({"name": value} if isinstance(value, str) else value, path, self.problems)
        name = fields.word("id") or fields.text("name")
        if not name:
            name = fields.text("action") or path.rpartition(".")[2]
        fields.take("name")
        if name in self.all:
            self.problems.add(f"{path}.name", name, "a name that no other step has")
        deps = fields.words("depends_on") if "depends_on" in fields else None
        type_, group = self.kind(fields), fields.word("parallel_group")
        together = group or ("parallel" if type_ != GROUP and fields.flag("parallel") else "")
        step = Step(path, name, type_, fields, together, deps)
        self.all[name] = step
        if step.type == GROUP:
            self.members(step)
        return step

    def kind(self, fields: Fields) -> str:
        """The type of a step; of what is spelled in several ways, the one this module goes by."""
        said = fields.text("type")
        if said in _GROUPS:
            return GROUP
        if isinstance(fields.peek("parallel"), list):
            if said:
                self.problems.add(fields.at("type"), said, "type: parallel, or none: what runs together stands in it")
            return GROUP
        inside = fields.peek("params")
        branching = any(name in fields or (isinstance(inside, Mapping) and name in inside) for name in (*TRUE, *FALSE))
        return CONDITIONAL if said in ("if", "condition") and branching else said

    def members(self, step: Step) -> None:
        """Read the steps of a group."""
        key = next((one for one in _MEMBERS if isinstance(step.fields.peek(one), list)), "")
        found = step.fields.items(key) if key else nested(step.fields, "steps")
        where = step.fields.at(key) if key else f"{step.path}.params.steps"
        step.inner = [self.step(one, f"{where}[{index}]") for index, one in enumerate(found)]
        if not step.inner:
            expected = "the steps of the group, as steps: [{id: a, type: get_ticker}, {id: b, type: get_bars}]"
            self.problems.add(f"{step.path}.steps", "none", expected)

    def named_elsewhere(self) -> set[str]:
        """Steps that actions and compensations name."""
        found: set[str] = set()
        for step in self.all.values():
            for name in names_in(step.fields):
                if name in found and name in self.all:
                    self.problems.add(step.path, name, "a step that only one action or compensation names")
                if name in self.all and name != step.name:
                    found.add(name)
        return found

    def breaker(self, step: Step) -> None:
        params = Fields(step.fields.peek("params") or {}, f"{step.path}.params", self.problems)
        id_ = self.building.names.id(step.name)
        self.breakers[id_] = breaker_policy(params, f"{self.building.name}/{id_}")
        self.breaker_named(step.path, self.breakers[id_])

    def breaker_named(self, path: str, guarded: Mapping[str, Any]) -> None:
        policy = guarded.get("breaker")
        name = policy["name"] if isinstance(policy, Mapping) else policy or ""
        if len(name) > NAME_MAX:
            self.problems.add(path, name, f"a document's and a step's name of {NAME_MAX} in all")

    # -- order ----------------------------------------------------------------------------------------------------

    def link(self, steps: list[Step], before: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
        """Place steps in their order, and say where the next one goes on."""
        explicit = any(step.after is not None for step in steps)
        tails, groups = before, groups_of(steps)
        self.together_once(groups)
        for group in groups:
            for step in group:
                self.placed[step.name] = self.place(step)
                if step.after is None and explicit and tails:
                    self.building.note(
                        f"{step.path}: it has no depends_on, so it follows what is written before it "
                        "(depends_on: [] waits for nothing)"
                    )
            tails = [tail for step in group for tail in self.after(self.placed[step.name], tails, step.after is None)]
        for step in steps:
            if step.after is not None:
                self.depend(step)
        return list(dict.fromkeys(tails))

    def together_once(self, groups: list[list[Step]]) -> None:
        seen: set[str] = set()
        for group in groups:
            word = group[0].together
            if word and word != "parallel" and word in seen:
                self.problems.add(f"{group[0].path}.parallel_group", word, "the steps of one group next to each other")
            seen.add(word)

    def after(self, placed: Placed, before: list[tuple[str, bool]], joined: bool) -> list[tuple[str, bool]]:
        if joined:
            for entry in placed.entries:
                self.join(before, entry)
        return [*(before if placed.optional and joined else ()), *placed.tails]

    def join(self, before: list[tuple[str, bool]], entry: str) -> None:
        for id_, however in before:
            self.building.edge(id_, entry, after=however)

    def depend(self, step: Step) -> None:
        for index, name in enumerate(step.after or ()):
            other = self.placed.get(name) or self.placed.get(self.by_label(name))
            if other is None:
                known = ", ".join(self.placed) or "none"
                self.problems.add(f"{step.fields.at('depends_on')}[{index}]", name, f"the name of a step ({known})")
                continue
            for entry in self.placed[step.name].entries:
                self.join(self.tails(name, set()), entry)

    def by_label(self, name: str) -> str:
        return next((one.name for one in self.all.values() if one.fields.peek("name") == name), "")

    def tails(self, name: str, seen: set[str]) -> list[tuple[str, bool]]:
        """Where one goes on after a step; past one that may have been skipped, from those before it, too."""
        name = name if name in self.placed else self.by_label(name)
        placed = self.placed[name]
        found = list(placed.tails)
        if placed.optional and name not in seen:
            seen.add(name)
            into = [edge for edge in self.building.edges if edge["to"] in placed.entries]
            found += [(edge["from"], bool(edge.get("after"))) for edge in into if not edge.get("output")]
        return found

    # -- nodes ----------------------------------------------------------------------------------------------------

    def place(self, step: Step) -> Placed:
        if step.type == GROUP:
            return self.group(step)
        if step.type == CONDITIONAL:
            return self.conditional(step)
        return self.plain(step, self.building.names.id(step.name), {})

    def group(self, step: Step) -> Placed:
        placed = [self.place(one) for one in step.inner]
        for one, here in zip(step.inner, placed, strict=True):
            self.placed[one.name] = here
            if one.after is not None:
                self.problems.add(one.fields.at("depends_on"), one.after, "none: the steps of a group run together")
        self.leftover(step)
        return Placed([id_ for one in placed for id_ in one.entries], [tail for one in placed for tail in one.tails])

    def plain(self, step: Step, id_: str, guarded: dict[str, Any]) -> Placed:
        """A step that is one node."""
        type_ = self.type_of(step)
        condition = step.fields.text("condition")
        if type_ is None:
            step.fields.rest()
            return Placed([], [])
        node = self.building.node(id_, type_, self.label(step, id_), **guarded)
        self.settings(step, node)
        if id_ in self.breakers and type_.param("name") is not None:
            node["params"]["name"] = self.breakers[id_]["breaker"]["name"]
        if condition:
            self.building.when(node, condition)
            for key, value in self.asked(condition, step).items():
                node.setdefault(key, value)
        return Placed([id_], [(id_, bool(condition))], optional=bool(condition))

    def label(self, step: Step, id_: str) -> str:
        label = step.fields.peek("name")
        return label if isinstance(label, str) else (step.name if step.name != id_ else "")

    def type_of(self, step: Step) -> NodeType | None:
        """What a step does: its type, else its action, else its name."""
        building, fields = self.building, step.fields
        if step.type:
            return building.type(step.type, f"{step.path}.type")
        action = fields.text("action")
        label = fields.peek("name")
        for name in (action, step.name, label if isinstance(label, str) else ""):
            found = building.find(name) if name else None
            if found is not None:
                return found
        where, said = (fields.at("action"), action) if action else (f"{step.path}.type", step.name)
        expected = f"a type: neither is this the name of a node type: {building.library.nearest(said)}"
        self.problems.add(where, said, expected)
        return None

    def settings(self, step: Step, node: dict[str, Any]) -> None:
        """Everything of a step but its order."""
        fields, building = step.fields, self.building
        type_ = building.types[node["id"]]
        building.settings(node, type_, fields.object("params", "parameters"), fields.at("params"))
        if type_.name != BREAKER:
            self.guard(step, node)
        limit, retry = fields.seconds("timeout"), read_retry(fields, building.note)
        if limit:
            node["timeout"] = limit
        if retry:
            node["retry"] = retry
        self.agents(step, node, type_)
        self.undo(step, node)
        node["metadata"] |= fields.object("metadata")
        description = fields.text("description")
        if description:
            node["metadata"]["description"] = description
        building.settings(node, type_, fields.rest(), step.path)

    def guard(self, step: Step, node: dict[str, Any]) -> None:
        """The breaker that a step names or describes."""
        found = read_breaker(step.fields, f"{self.building.name}/{node['id']}")
        named = found.get("breaker")
        found = self.breakers.get(self.building.names.id(named), found) if isinstance(named, str) else found
        self.breaker_named(step.path, found)
        for key, value in found.items():
            node.setdefault(key, value)

    def agents(self, step: Step, node: dict[str, Any], type_: NodeType) -> None:
        fields = step.fields
        param = next((param.name for name in AGENTS if (param := type_.param(name)) is not None), "")
        agent = fields.text(*AGENTS)
        if agent and param:
            node["params"][param] = agent
        elif agent:
            node["metadata"]["agent"] = agent
            self.building.note(f"{fields.at('agent')}: nobody is assigned; the node type {type_.name} does the work")
        other = fields.text("fallback_agent_type")
        if other and not param:
            expected = f"none: {type_.name} is not done by an agent that another could stand in for"
            self.problems.add(fields.at("fallback_agent_type"), other, expected)
        elif other:
            stand_in = self.building.names.fresh(f"{node['id']}_fallback")
            params = {**node["params"], param: other}
            self.building.node(stand_in, type_, params=params, inputs=dict(node["inputs"]))
            node["onError"] = {"fallback": stand_in}

    def undo(self, step: Step, node: dict[str, Any]) -> None:
        given = step.fields.take("compensate")
        path = step.fields.at("compensate")
        if given is None:
            return
        building = self.building
        if isinstance(given, str) and given in self.all and given != step.name:
            node["undo"] = self.undo_of(self.all[given])
        elif isinstance(given, str):
            found = building.find(given)
            if found is None:
                expected = f"a node type or the name of a step: {building.library.nearest(given)}"
                self.problems.add(path, given, expected)
            else:
                node["undo"] = found.name
        else:
            node["undo"] = self.undo_of(self.step_at(given, path))

    def undo_of(self, step: Step) -> dict[str, Any] | None:
        type_ = self.type_of(step)
        if type_ is None:
            step.fields.rest()
            return None
        undo: dict[str, Any] = {"type": type_.name, "params": {}, "inputs": {}}
        self.building.settings(undo, type_, step.fields.object("params", "parameters"), step.fields.at("params"))
        step.fields.take("description")
        step.fields.done("name type action params description")
        self.used.add(step.name)
        return undo

    def step_at(self, value: Any, path: str) -> Step:
        """A step inside another one."""
        fields = Fields({"type": value} if isinstance(value, str) else value, path, self.problems)
        name = fields.word("id") or fields.text("name")
        fields.take("name")
        type_ = fields.text("type")
        return Step(path, name or type_ or str(fields.peek("action") or ""), type_, fields, "", None)

    # -- conditions -----------------------------------------------------------------------------------------------

    def conditional(self, step: Step) -> Placed:
        fields = step.fields
        inside = Fields(fields.object("params", "parameters"), fields.at("params"), self.problems)
        said = inside if any(name in inside for name in ("condition", "conditions", "if")) else fields
        several = said.items("conditions")
        questions = [
            Fields(one, f"{said.at('conditions')}[{index}]", self.problems) for index, one in enumerate(several)
        ] or [said]
        if len(questions) > 1:
            self.building.note(f"{step.path}: its conditions are asked one after the other, each for itself")
        placed = [self.question(step, one, index) for index, one in enumerate(questions)]
        for one, following in pairwise(placed):
            for entry in following.entries:
                self.join(one.tails, entry)
        for asked in (inside, *(question for question in questions if question is not fields)):
            asked.done(" ".join(("condition conditions if", *TRUE, *FALSE)))
        self.leftover(step)
        return Placed(placed[0].entries, placed[-1].tails)

    def question(self, step: Step, fields: Fields, index: int) -> Placed:
        """One ``if`` with what follows from it."""
        building = self.building
        id_ = building.names.id(step.name)
        id_ = building.names.fresh(f"{id_}_{index + 1}") if index else id_
        text = fields.text("condition", "if")
        if not text:
            self.problems.add(fields.at("condition"), "nothing", "a condition such as \"category == 'urgent'\"")
        type_ = building.type("if", f"{step.path}.type")
        if type_ is None:
            fields.rest()
            return Placed([], [])
        node = building.node(id_, type_, "" if index else self.label(step, id_), params={"test": text})
        if not index:
            node["metadata"] |= step.fields.object("metadata")
            description = step.fields.text("description")
            node["metadata"] |= {"description": description} if description else {}
        asked = self.asked(text, step)
        tails = [(id_, False)]
        chosen = {branch: actions_of(fields, names) for branch, names in (("true", TRUE), ("false", FALSE))}
        if not any(chosen.values()):
            self.problems.add(fields.at("actions"), "nothing", "what to do: actions, or then and else, each a list")
        for branch, actions in chosen.items():
            last = self.actions(step, id_, branch, actions, asked)
            tails += [(last, True)] if last != id_ else []
        return Placed([id_], tails)

    def actions(self, step: Step, id_: str, branch: str, actions: list[tuple[Any, str]], asked: dict[str, Any]) -> str:
        """Actions one after the other on a branch; the last one's id."""
        before: list[tuple[str, bool]] = []
        last = id_
        for value, path in actions:
            placed = self.action(step, value, path, asked)
            for entry in placed.entries:
                if before:
                    self.join(before, entry)
                else:
                    self.building.edge(id_, entry, output=branch)
            before = placed.tails or before
            last = placed.tails[-1][0] if placed.tails else last
        return last

    def action(self, step: Step, value: Any, path: str, asked: dict[str, Any]) -> Placed:
        if isinstance(value, str) and value in self.all and value != step.name:
            other = self.all[value]
            self.placed[value] = placed = self.place(other)
            nodes = [node for node in self.building.nodes if node["id"] in placed.entries]
            for node in nodes:
                for key, policy in asked.items():
                    node.setdefault(key, policy)
            return placed
        name = value if isinstance(value, str) else ""
        found = self.building.find(name) or self.building.find(ACTIONS.get(name, ""))
        inner = self.step_at({"name": name, "type": found.name} if found else value, path)
        if name and found is None:
            expected = f"a node type or the name of a step: {self.building.library.nearest(name)}"
            self.problems.add(path, name, expected)
            return Placed([], [])
        id_ = self.building.names.fresh(f"{self.building.names.id(step.name)}_{name or inner.name}")
        placed = self.plain(inner, id_, dict(asked))
        if isinstance(value, Mapping) and inner.name not in self.all:
            self.building.names.alias(inner.name, id_)
            self.placed.setdefault(inner.name, placed)
        return placed

    def asked(self, text: str, step: Step) -> dict[str, Any]:
        """What a node gets that runs only where a breaker says so."""
        if not self.breakers:
            return {}
        try:
            paths = compile_expression(self.building.names.template(text)).paths
        except InvalidInput:
            return {}  # complained of when the document is finished
        names = {self.building.names.id(str(path.parts[0])) or str(path.parts[0]) for path in paths}
        named = [id_ for id_ in self.breakers if id_ in names]
        if not named and STATUS not in names:
            return {}
        order = [self.building.names.id(name) for name in self.all]
        here = order.index(self.building.names.id(step.name)) if step.name in self.all else len(order)
        earlier = [id_ for id_ in order[:here] if id_ in self.breakers] or list(self.breakers)
        chosen = self.breakers[named[0] if named else earlier[-1]]
        self.building.note(f"{step.path}: what it guards reports to the breaker {chosen['breaker']['name']!r}")
        return dict(chosen)

    def leftover(self, step: Step) -> None:
        step.fields.take("description" if step.type == GROUP else "name")
        step.fields.take("metadata" if step.type == GROUP else "name")
        for key in step.fields.rest():
            self.problems.add(step.fields.at(key), key, f"no {key} on a step of type {step.type}")
