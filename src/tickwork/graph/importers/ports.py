"""Connections by index: which port is meant, and what the library calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tickwork.core.language.lookup import kind_of, snake_case
from tickwork.graph.declare import NodeType
from tickwork.graph.importers.building import Building, look, position, setting_name
from tickwork.graph.importers.fields import Fields
from tickwork.graph.importers.naming import word
from tickwork.graph.importers.triggers import clock_triggers, polling_cron, webhook

VENUES: Final = ("polymarket", "luno", "kalshi", "binance", "coinbase", "bybit", "kraken", "dydx")
"""Types of blocks that are a venue's data."""
PROVIDER: Final = "provider"

Ports = tuple[str, ...]

ORDER: Final[dict[str, tuple[Ports, Ports]]] = {
    PROVIDER: ((), ("price_feed", "balance", "positions", "orderbook")),
    "price_cross": (("price", "threshold"), ("signal",)),
    "volume_spike": (("volume", "multiplier"), ("signal",)),
    "time_trigger": (("schedule",), ("signal",)),
    "rsi_signal": (("period", "overbought", "oversold"), ("signal",)),
    "webhook": (("url",), ("data",)),
    "event_listener": (("event_type",), ("event",)),
    "manual_trigger": ((), ("trigger",)),
    "and": (("input1", "input2"), ("output",)),
    "or": (("input1", "input2"), ("output",)),
    "not": (("input1",), ("output",)),
    "math": (("value1", "value2"), ("result",)),
    "compare": (("value1", "operator", "value2"), ("result",)),
    "threshold": (("value", "min", "max"), ("pass",)),
    "if": (("condition",), ("true", "false")),
    "switch": (("value",), ("case1", "case2", "case3", "default")),
    "buy": (("signal", "amount"), ("order",)),
    "sell": (("signal", "amount"), ("order",)),
    "cancel": (("signal",), ("done",)),
    "notify": (("signal", "message"), ("sent",)),
    "stop_loss": (("price", "percentage"), ("trigger",)),
    "take_profit": (("price", "percentage"), ("trigger",)),
    "position_size": (("capital", "risk_pct"), ("size",)),
    "max_trades": (("limit",), ("allowed",)),
}
"""Inputs and outputs of the block editor's own types, in its order: what an index means where a block does not say."""

ONLY_IF_TRUE: Final = ("only_if_true", "onlyIfTrue", "if_true", "true")
_GATES: Final = ("approval", "gate", "approve")
_KEPT: Final = {
    "profile_id": "the account and its keys are the installation's",
    "enabled_endpoints": "a provider reads what its outputs are used for",
}


@dataclass(slots=True)
class Block:
    """A block as it was read."""

    id: str
    type: str
    """What it is called here."""
    inputs: list[str] = field(default_factory=list)
    """The ports that the block itself lists, in its order."""
    outputs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class End:
    """One end of a connection: a port by its index or by its name."""

    block: Block
    port: int | str
    path: str
    said: bool = True
    """Where no port is said, which one is meant follows from the two blocks."""
    orders: bool = False
    """It takes no value."""


class Blocks:
    """Adds blocks and connections to a document."""

    def __init__(self, building: Building) -> None:
        self.building = building
        self.problems = building.problems
        self.connected: set[tuple[str, str]] = set()

    # -- blocks ---------------------------------------------------------------------------------------------------

    def add(self, fields: Fields, id_: str, settings: Mapping[str, Any], path: str, type_name: str = "") -> Block:
        """A block whose id is claimed; takes the fields that all editors have.

        Args:
            type_name: its type, where the field of this name says something else.
        """
        name = fields.text("type", "node_type")
        name = type_name or name
        category = fields.peek("category")
        block = Block(id_, name, self.ports(fields, "inputs"), self.ports(fields, "outputs"))
        label = fields.text("name", "label")
        kept = look(fields) | fields.object("metadata")
        where = position(fields)
        venue = word(name) in VENUES
        wanted = PROVIDER if venue else name
        if self.building.find(wanted) is None and category == "gate":
            wanted = next((gate for gate in _GATES if self.building.find(gate) is not None), wanted)
            self.building.note(f"{fields.at('type')}: {name!r} is a gate, so a person is asked ({wanted})")
        type_ = self.building.type(wanted, fields.at("type"))
        if type_ is None:
            return block
        if kept.get("category") == type_.category:
            kept.pop("category")
        node = self.building.node(id_, type_, label, metadata=kept)
        if where is not None:
            node["position"] = where
        values = dict(settings)
        if venue:
            node["params"]["provider"] = word(name)
        for key, why in _KEPT.items():
            found = next((one for one in values if snake_case(one) == key), "")
            if found and not setting_name(type_, found):
                value = values.pop(found)
                if value not in ("", None, []):
                    node["metadata"][key] = value
                    self.building.note(f"{path}.{found}: kept, but decides nothing: {why}")
        self.trigger(block, values, path)
        self.building.settings(node, type_, values, path)
        return block

    def ports(self, fields: Fields, name: str) -> list[str]:
        """Names of the ports that a block lists."""
        found = []
        for index, one in enumerate(fields.items(name)):
            port = one.get("name") or one.get("id") if isinstance(one, Mapping) else one
            if not isinstance(port, str):
                self.problems.add(f"{fields.at(name)}[{index}]", kind_of(port), "a name")
            found.append(str(port))
        return found

    def trigger(self, block: Block, values: dict[str, Any], path: str) -> None:
        """A block that starts runs also gives the document a trigger."""
        kind = word(block.type)
        if kind == "manual_trigger":
            self.start({"type": "manual"})
        elif kind == "webhook":
            given = str(values.get("name") or values.get("url") or block.id)
            name = word(given.rstrip("/").rpartition("/")[2]) or block.id
            for key in ("url", "name"):
                values.pop(key, None)
            values["url"] = name
            self.start(webhook({"type": "webhook"}, name, path, self.building.note))
        elif kind == "event_listener":
            event = values.get("event_type", values.get("eventType"))
            if isinstance(event, str) and event:
                self.start({"type": "event", "event_type": event})
            else:
                self.problems.add(f"{path}.event_type", event, "the name of an event")
        elif kind == "time_trigger":
            self.clock(values, path)

    def clock(self, values: dict[str, Any], path: str) -> None:
        """The schedule of a time trigger: times of the day, a cron text, or an interval in minutes."""
        zone = next((values.get(key) for key in ("timezone", "zone") if values.get(key)), None)
        minutes = next((values.get(key) for key in ("interval", "interval_minutes") if key in values), None)
        given = values.get("schedule")
        found: list[dict[str, Any]] = []
        if isinstance(given, str) and given.strip():
            found = clock_triggers(given) or [{"type": "schedule", "cron": given.strip()}]
        elif isinstance(minutes, int | float) and (cron := polling_cron(minutes * 60)):
            found = [{"type": "schedule", "cron": cron}]
        else:
            expected = "times of the day such as '09:30,15:45', a cron text, or minutes that divide an hour or a day"
            self.problems.add(f"{path}.schedule", given if minutes is None else minutes, expected)
        if zone is None and found:
            self.building.note(f"{path}.schedule: no time zone is said, so it is UTC")
        for one in found:
            self.start(one | ({"timezone": zone} if zone else {}))

    def start(self, trigger: dict[str, Any]) -> None:
        """Add a trigger; two blocks of one kind are one."""
        if trigger not in self.building.triggers:
            self.building.triggers.append(trigger)

    # -- connections ----------------------------------------------------------------------------------------------

    def connect(self, source: End, target: End, label: str, condition: str, path: str) -> None:
        """A connection between two blocks."""
        building = self.building
        giving, taking = building.types.get(source.block.id), building.types.get(target.block.id)
        if giving is None or taking is None:
            return  # complained of where the block stands
        node = next(one for one in building.nodes if one["id"] == target.block.id)
        first = next(one for one in building.nodes if one["id"] == source.block.id)
        branches = giving.branches_of(first["params"])
        if branches and not source.said:
            branch_named = self.branch_named(branches, label, condition)
            if not branch_named:
                self.problems.add(source.path, "no branch", f"which is meant, {' or '.join(branches)}, as its port")
                return
            source = replace(source, port=branch_named, said=True)
            condition = "" if condition.lower() in (branch_named, *ONLY_IF_TRUE) else condition
        source, target = self.unsaid(source, target, giving, taking, node)
        output = self.output(source, giving, branches)
        input_ = self.input(target, taking)
        branch = output in branches
        if output is None or input_ is None:
            return
        if input_ and (target.block.id, input_) in self.connected and not _many(taking, input_):
            self.problems.add(path, input_, f"one connection to the input {input_!r} of {target.block.id!r}")
            return
        self.connected.add((target.block.id, input_))
        reference = f"{{{{{source.block.id}.{output}}}}}"
        more = {"label": label} if label else {}
        if branch:
            building.edge(source.block.id, target.block.id, output, **more)
            self.taken(node, taking, input_)
        elif input_ in taking.inputs:
            if node["inputs"].pop(input_, None) is not None:
                building.note(f"{path}: what is connected to {input_!r} counts, not the property of that name")
            building.edge(source.block.id, target.block.id, output, input_, **more)
        elif input_:
            node["params"][input_] = reference
            building.edge(source.block.id, target.block.id, **more)
        else:
            building.edge(source.block.id, target.block.id, output, **more)
        if condition in ONLY_IF_TRUE:
            if not branch:  # a branch is only taken where it holds
                self.only_if_true(source, giving, node, output, path)
        elif condition:
            building.when(node, condition)

    def branch_named(self, branches: Ports, label: str, condition: str) -> str:
        """The branch that a connection without a port tells by its condition or its label; empty: none."""
        if condition in ONLY_IF_TRUE and "true" in branches:
            return "true"
        return next((one.lower() for one in (condition, label) if one.lower() in branches), "")

    def unsaid(
        self, source: End, target: End, giving: NodeType, taking: NodeType, node: Mapping[str, Any]
    ) -> tuple[End, End]:
        """Which ports are meant where they are not said: what the target must have, else those of one name.

        Where nothing of the kind is there, a source with one output feeds the first input, and one with several orders.
        """
        orders = replace(source, port=""), replace(target, port="", orders=True)
        if source.said or target.said:
            if not source.said:
                source = replace(source, port=target.port if target.port in giving.outputs else 0)
            if not target.said:
                target = replace(target, port=source.port if source.port in taking.inputs else 0)
            return source, target
        if not giving.outputs or not taking.inputs:
            return orders
        wanted = next(
            (
                name
                for name, port in taking.inputs.items()
                if port.required and name not in node["inputs"] and (target.block.id, name) not in self.connected
            ),
            "",
        )
        shared = [name for name in taking.inputs if name in giving.outputs]
        if shared and (not wanted or wanted in shared):
            name = wanted or shared[0]
            return (replace(source, port=name), replace(target, port=name)) if wanted or len(shared) == 1 else orders
        output = next(iter(giving.outputs))
        input_ = wanted or next(iter(taking.inputs))
        link = f"{source.block.id} -> {target.block.id}"
        if not wanted and len(giving.outputs) > 1:
            self.building.note(f"{link}: no ports are said and none fit each other, so it only orders the two")
            return orders
        if len(giving.outputs) > 1 or len(taking.inputs) > 1:
            self.building.note(f"{link}: no ports are said, so {output!r} goes to {input_!r}")
        return replace(source, port=output), replace(target, port=input_)

    def taken(self, node: dict[str, Any], taking: NodeType, input_: str) -> None:
        """A branch carries nothing but that it was taken: true, for an input that must have a value."""
        if input_ in taking.inputs and taking.inputs[input_].required:
            node["inputs"].setdefault(input_, True)
        elif input_ in taking.params:
            node["params"].setdefault(input_, True)

    def only_if_true(self, source: End, giving: NodeType, node: dict[str, Any], output: str, path: str) -> None:
        truth = output if output in giving.outputs and giving.outputs[output].type is bool else ""
        truth = truth or next((name for name, port in giving.outputs.items() if port.type is bool), "")
        if truth:
            self.building.when(node, f"{{{{{source.block.id}.{truth}}}}}")
        else:
            expected = f"no condition, or an output of {source.block.id!r} that is true or false"
            self.problems.add(f"{path}.condition", "only_if_true", expected)

    def output(self, end: End, type_: NodeType, branches: Ports) -> str | None:
        """The output port or branch that is meant; empty: whatever fits."""
        known = [*branches, *type_.outputs]
        names = self.candidates(end, end.block.outputs, 1, list(known))
        found = next((name for name in names if name in known or type_.open), None)
        if found is None and len(type_.outputs) == 1 and not branches and end.port in (0, "", *end.block.outputs[:1]):
            return str(next(iter(type_.outputs)))
        if found is None and end.port not in ("", 0):
            self.problems.add(end.path, end.port, f"an output of {type_.name} ({', '.join(known) or 'it has none'})")
            return None
        return found or ""

    def input(self, end: End, type_: NodeType) -> str | None:
        """The input port or param that is meant; empty: whatever fits."""
        known = [*type_.inputs, *type_.params]
        if end.orders:
            return ""
        for name in self.candidates(end, end.block.inputs, 0, list(type_.inputs)):
            found = setting_name(type_, name)
            if found:
                return found
        if end.port in ("", 0) and not type_.inputs:
            return ""
        if len(type_.inputs) == 1 and end.port in (0, "", *end.block.inputs[:1]):
            return str(next(iter(type_.inputs)))
        if end.port == "":
            return ""
        self.problems.add(end.path, end.port, f"an input of {type_.name} ({', '.join(known) or 'it has none'})")
        return None

    def candidates(self, end: End, own: list[str], side: int, library: list[str]) -> list[str]:
        """Names that the port may have, the likeliest first."""
        if isinstance(end.port, str):
            names = [end.port] if end.port else []
        else:
            kind = PROVIDER if word(end.block.type) in VENUES else word(end.block.type)
            listed = [own, list(ORDER[kind][side]) if kind in ORDER else library]
            names = [ports[end.port] for ports in listed if 0 <= end.port < len(ports)]
        return [one for name in names for one in (name, snake_case(name), word(snake_case(name)))]


def _many(type_: NodeType, input_: str) -> bool:
    return input_ in type_.inputs and bool(type_.inputs[input_].many)


def settle_config(building: Building, name: str = "config") -> dict[str, Any]:
    """What a document says of how it is run: a schedule where it is polled; the rest is kept, and noted."""
    config = building.fields.object(name)
    path = building.fields.at(name)
    fields = Fields(config, path, building.problems)
    seconds = fields.peek("poll_interval_seconds")
    mode = fields.peek("execution_mode")
    if seconds is not None and (mode is None or "poll" in str(mode).lower()):
        good = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        cron = polling_cron(seconds) if good else ""
        if cron:
            building.triggers.append({"type": "schedule", "cron": cron})
        else:
            expected = "an interval that divides a minute, an hour or a day: it becomes a cron schedule"
            building.problems.add(fields.at("poll_interval_seconds"), seconds, expected)
    told = {
        "dry_run": "paper or live is the installation's",
        "enable_auto_execution": "a published document runs when its triggers say so",
        "risk_limits": "the account's risk gate has its own limits",
        "max_daily_loss": "the account's risk gate has its own limits",
    }
    for key, why in told.items():
        if key in fields:
            building.note(f"{fields.at(key)}: kept, but decides nothing: {why}")
    return config
