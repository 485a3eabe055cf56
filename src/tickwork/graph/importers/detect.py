"""Which format a document is in, and reading it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from tickwork.core.language.lookup import kind_of, snake_case
from tickwork.errors import InvalidDocument, InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.importers.blocks import read_blocks
from tickwork.graph.importers.nodes import read_nodes
from tickwork.graph.importers.react import read_react
from tickwork.graph.importers.sound import check_sound
from tickwork.graph.importers.steps import read_steps
from tickwork.graph.importers.strategy_graph import read_strategy_graph
from tickwork.graph.library import Types
from tickwork.graph.problems import nearest
from tickwork.graph.reading import read_document

AUTO: Final = "auto"
CANONICAL: Final = "canonical"
_N8N: Final = ("n8n-nodes-", "@n8n/")

Read = Callable[[Any, Types, str], tuple[Document, list[str]]]


class Imported(NamedTuple):
    """A document that was read from some format."""

    document: Document
    format: str
    """Of ``FORMATS``."""
    notes: list[str]
    """What means something else than it may seem, for the one who imports it."""


class Format(NamedTuple):
    """A format that can be read."""

    read: Read
    misfit: Callable[[Mapping[str, Any]], str]
    """Why a document cannot be in it; empty: it can."""
    holder: str
    """The field in which it keeps what there is to do."""


def import_document(value: Any, *, name: str = "", format: str = AUTO, library: Types) -> Imported:
    """Read a document of any format.

    Args:
        value: plain values, as from JSON or YAML.
        name: what it is called where it does not say itself.
        format: one of ``FORMATS``, or ``"auto"``: the one that its fields show.
        library: the node types it may use.

    Raises:
        InvalidDocument: everything in it that cannot be represented, each with its path in ``value``.
        InvalidInput: it is in none of the formats; says why for each. An unknown format, or more than can be looked at.
    """
    if format != AUTO and format not in FORMATS:
        raise InvalidInput("format", format, f"{AUTO} or one of: {nearest(format, FORMATS)}")
    if not isinstance(value, Mapping):
        raise InvalidInput("document", kind_of(value), "an object")
    check_sound(value)
    chosen = _found(value) if format == AUTO else format
    try:
        document, notes = FORMATS[chosen].read(value, library, name)
    except InvalidDocument as error:
        if format != AUTO or chosen == CANONICAL:
            raise
        read_as = f"{error.path or 'the document'} (read as {chosen}{_others(value, chosen)})"
        raise InvalidDocument(read_as, error.args[1]) from None
    return Imported(document, chosen, notes)


def _others(value: Mapping[str, Any], chosen: str) -> str:
    """Why each other format that documents of these fields may be in is not the one."""
    near = [name for name, one in FORMATS.items() if name not in (chosen, CANONICAL) and one.holder in value]
    reasons = [f"not {name}: {FORMATS[name].misfit(value) or f'{chosen} is tried first'}" for name in near]
    return "; ".join(["", *reasons, "--format names another"]) if reasons else ""


def _is_n8n(value: Mapping[str, Any]) -> bool:
    nodes = value.get("nodes")
    types = [str(one.get("type")) for one in nodes if isinstance(one, Mapping)] if isinstance(nodes, list) else []
    return any(one.startswith(_N8N) for one in types)


def _found(value: Mapping[str, Any]) -> str:
    if _is_n8n(value):
        raise InvalidInput("document", "a workflow of n8n", f"one of the formats known here: {', '.join(FORMATS)}")
    reasons = {}
    for name, one in FORMATS.items():
        reasons[name] = one.misfit(value)
        if not reasons[name]:
            return name
    fields = ", ".join(sorted(str(key) for key in value)[:20]) or "no fields"
    tried = "; ".join(f"{name}: {why}" for name, why in reasons.items())
    raise InvalidInput("document", fields, f"one of the formats ({tried})")


def _read_canonical(value: Any, types: Types, name: str) -> tuple[Document, list[str]]:
    named = {**value, "name": name} if name and not value.get("name") else value
    return read_document(named, name or "document", types), []


# -- how the formats are told apart


def _each(value: Mapping[str, Any], key: str) -> Iterable[set[str]]:
    """The fields of each object in a list."""
    found = value.get(key)
    inside: Iterable[Any] = found.values() if isinstance(found, Mapping) else found if isinstance(found, list) else ()
    return [{snake_case(str(name)) for name in one} for one in inside if isinstance(one, Mapping)]


def _without(value: Mapping[str, Any], *keys: str) -> str:
    lacking = [key for key in keys if key not in value]
    return f"no {' and no '.join(lacking)}" if lacking else ""


def _no_steps(value: Mapping[str, Any]) -> str:
    return _without(value, "steps")


def _no_blocks(value: Mapping[str, Any]) -> str:
    return _without(value, "blocks")


def _no_strategy_graph(value: Mapping[str, Any]) -> str:
    return _without(value, "nodes", "connections")


_ENDS: Final = {"source", "target", "source_handle", "target_handle"}
_OF_NODES: Final = {"action", "provider", "condition", "true_branch", "false_branch", "depends_on"}
"""What a node of a node graph has, and no other."""


def _no_react(value: Mapping[str, Any]) -> str:
    inside = set[str]().union(*_each(value, "nodes"))
    if inside & {"properties", "data"}:
        return ""
    if not any(one & _ENDS for one in _each(value, "edges")):
        return _without(value, "nodes") or "no edge has a source and a target, no node has properties or data"
    own = inside & (_OF_NODES | {"params", "inputs"})
    return f"its nodes have no data or properties, but {', '.join(sorted(own))}" if own else ""


def _no_nodes(value: Mapping[str, Any]) -> str:
    missing = _without(value, "nodes")
    if missing:
        return missing
    nodes = value["nodes"] if isinstance(value["nodes"], list) else []
    listed = any(isinstance(one, Mapping) and isinstance(one.get("inputs"), list) for one in nodes)
    if listed or any(one & _OF_NODES for one in _each(value, "nodes")):
        return ""
    if any(one & _ENDS for one in _each(value, "edges")):
        return ""
    return "no node has an action, a condition or a list of inputs"


def _no_canonical(value: Mapping[str, Any]) -> str:
    return _without(value, "nodes")


FORMATS: Final[dict[str, Format]] = {
    "steps": Format(read_steps, _no_steps, "steps"),
    "blocks": Format(read_blocks, _no_blocks, "blocks"),
    "strategy_graph": Format(read_strategy_graph, _no_strategy_graph, "nodes"),
    "react": Format(read_react, _no_react, "nodes"),
    "nodes": Format(read_nodes, _no_nodes, "nodes"),
    CANONICAL: Format(_read_canonical, _no_canonical, "nodes"),
}
"""The formats, in the order in which they are tried."""
