"""What two versions of a document differ in, place by place.

Two documents differ in nothing exactly when their canonical forms are equal: what is done with the changes of a diff
to the old canonical form gives the new one. Nodes are compared by id, edges by their ends, everything else by where it
stands. Where only the order of nodes or edges differs, that is a change too: steps are counted in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from tickwork.graph.document import Document

_SIMPLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN: Final = 200
"""Characters of a value in the readable form."""


class Change(msgspec.Struct, frozen=True):
    """One difference."""

    kind: Literal["added", "removed", "changed"]
    path: str
    """Where: ``nodes.fetch.params.depth``, ``edges[fetch -> buy].label``, ``triggers[0].threshold``."""
    before: Any = None
    """What was there; of what was added, nothing."""
    after: Any = None
    """What is there; of what was removed, nothing."""

    def __str__(self) -> str:
        if self.kind == "added":
            return f"+ {self.path} = {_shown(self.after)}"
        if self.kind == "removed":
            return f"- {self.path} = {_shown(self.before)}"
        return f"~ {self.path}: {_shown(self.before)} -> {_shown(self.after)}"


def diff(old: Document, new: Document) -> list[Change]:
    """How ``new`` differs from ``old``, in the order of a document's fields; nothing where they are equal."""
    return diff_of(old.plain(), new.plain())


def diff_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The same of canonical forms, as versions keep them."""
    changes: list[Change] = []
    for field in _fields(before, after):
        if field == "nodes":
            _keyed(changes, "nodes", _nodes(before), _nodes(after))
        elif field == "edges":
            _keyed(changes, "edges", _edges(before), _edges(after))
        else:
            _compare(changes, field, before, after, field)
    return changes


def text(changes: Iterable[Change]) -> str:
    """Changes as lines for people."""
    return "\n".join(str(change) for change in changes)


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    order = [field.alias or name for name, field in Document.model_fields.items()]
    return [name for name in order if name in before or name in after]


def _nodes(document: Mapping[str, Any]) -> dict[str, Any]:
    return _named((f".{node['id']}", node) for node in document.get("nodes", ()))


def _edges(document: Mapping[str, Any]) -> dict[str, Any]:
    return _named((f"[{edge_name(edge)}]", edge) for edge in document.get("edges", ()))


def edge_name(edge: Mapping[str, Any]) -> str:
    """An edge by its ends: ``fetch.true -> buy.signal``."""
    ends = ((edge["from"], edge.get("output")), (edge["to"], edge.get("input")))
    return " -> ".join(f"{node}.{port}" if port else str(node) for node, port in ends)


def _named(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """By name; of equal names the second one is ``name#2``."""
    found: dict[str, Any] = {}
    for name, item in items:
        number = 1
        while (key := name if number == 1 else f"{name}#{number}") in found:
            number += 1
        found[key] = item
    return found


def _keyed(changes: list[Change], path: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Compare what is named, and its order."""
    changes += [Change("removed", path + name, before=item) for name, item in before.items() if name not in after]
    for name, item in after.items():
        if name in before:
            _object(changes, path + name, before[name], item)
        else:
            changes.append(Change("added", path + name, after=item))
    kept = [name for name in before if name in after]
    expected = kept + [name for name in after if name not in before]
    if expected != list(after):
        changes.append(Change("changed", f"order of {path}", _bare(before), _bare(after)))


def _bare(named: Iterable[str]) -> list[str]:
    return [name.removeprefix(".").removeprefix("[").removesuffix("]") for name in named]


def _compare(changes: list[Change], path: str, before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> None:
    if key not in after:
        changes.append(Change("removed", path, before=before[key]))
    elif key not in before:
        changes.append(Change("added", path, after=after[key]))
    else:
        _value(changes, path, before[key], after[key])


def _value(changes: list[Change], path: str, before: Any, after: Any) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        _object(changes, path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        _list(changes, path, before, after)
    elif json.dumps(before) != json.dumps(after):  # 1, 1.0 and true are equal, but not the same
        changes.append(Change("changed", path, before, after))


def _object(changes: list[Change], path: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    for key in [*before, *(key for key in after if key not in before)]:
        step = f".{key}" if _SIMPLE.fullmatch(key) else f"[{json.dumps(key, ensure_ascii=False)}]"
        _compare(changes, path + step, before, after, key)


def _list(changes: list[Change], path: str, before: list[Any], after: list[Any]) -> None:
    for index in range(max(len(before), len(after))):
        if index >= len(after):
            changes.append(Change("removed", f"{path}[{index}]", before=before[index]))
        elif index >= len(before):
            changes.append(Change("added", f"{path}[{index}]", after=after[index]))
        else:
            _value(changes, f"{path}[{index}]", before[index], after[index])


def _shown(value: Any) -> str:
    told = json.dumps(value, ensure_ascii=False)
    return told if len(told) <= _SHOWN else told[: _SHOWN - 3] + "..."
