"""Documents from texts: YAML or JSON into plain values, plain values into a ``Document``; all complaints at once.

YAML is read as its version 1.2 means it: ``09:30`` and ``2026-01-01`` are texts, only ``true`` and ``false`` are truth
values. Keys must not repeat, and there are no aliases, because a few lines of them can stand for gigabytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from functools import cache
from math import isfinite
from typing import Any, Final, NoReturn

from pydantic import BaseModel, ValidationError

from tickwork.errors import InvalidInput
from tickwork.graph.document import (
    ID,
    BreakerPolicy,
    Document,
    Edge,
    Fallback,
    Limits,
    Node,
    Position,
    Rate,
    RetryPolicy,
    Undo,
    When,
)
from tickwork.graph.library import Types
from tickwork.graph.problems import Problems, nearest
from tickwork.graph.salvage import further_problems

MAX_TEXT: Final = 1_000_000
"""Characters; a document goes onto the tape as a whole."""
MAX_DEPTH: Final = 40
MAX_VALUES: Final = 200_000
_EMPTY: Final = "a document: an object with a name and nodes"
_BARE: Final = re.compile(r"(?:^|[:,\[-])\s*(\{\{[^{}]*\}\}[^,\]}#]*)")
"""A reference in YAML that no quotes make a text."""


def read_text(text: str, name: str = "document") -> Any:
    """The plain values of a YAML or JSON text.

    Raises:
        InvalidInput: too long, too deep, or neither YAML nor JSON; names the line and the column.
    """
    if len(text) > MAX_TEXT:
        raise InvalidInput(name, f"{len(text):,} characters", f"at most {MAX_TEXT:,}")
    stripped = text.lstrip("\ufeff \t\r\n")
    if not stripped:
        raise InvalidInput(name, "nothing", _EMPTY)
    try:
        value = _json(stripped, name) if stripped[:1] in ("{", "[") else _yaml(text, name)
    except RecursionError:
        raise InvalidInput(name, "deeper nesting", f"at most {MAX_DEPTH} levels") from None
    if value is None:
        raise InvalidInput(name, "nothing", _EMPTY)
    _bounded(value, name)
    return value


def read_document(value: Any, name: str = "document", library: Types | None = None) -> Document:
    """A canonical document from plain values.

    Args:
        library: where it is given, what can be read of a broken document is checked against it, so that everything
            that is wrong is told at once. A document that can be read is for ``graph.wiring`` to check.

    Raises:
        InvalidDocument: every field that is missing, unknown or wrong.
    """
    problems = Problems()
    if not isinstance(value, Mapping):
        problems.add(name, type(value).__name__, "an object with a name and nodes")
        problems.check(name)
    try:
        _bounded(value, name)
        value = _branches_as_text(value)
        return Document.model_validate(value)
    except InvalidInput as error:
        problems.caught(error)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            _complain(problems, one, value)
        if library is not None:
            problems.found += further_problems(value, library, [problem.path for problem in problems.found])
    problems.check(str(value.get("name") or name))
    raise AssertionError


# ---------------------------------------------------------------------------------------------------------------- text


def _json(text: str, name: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise InvalidInput(name, constant, "finite numbers")

    try:
        return json.loads(text, parse_constant=refuse, object_pairs_hook=lambda pairs: _unique(pairs, name))
    except json.JSONDecodeError as error:
        if text[:1] == "{" and '"' not in text[: error.pos + 1][:40]:
            return _yaml(text, name)  # YAML's own braces
        found = text[error.pos : error.pos + 30].partition("\n")[0] or "the end"
        raise InvalidInput(f"{name} line {error.lineno} column {error.colno}", found, _json_words(error.msg)) from None
    except ValueError as error:
        raise InvalidInput(name, str(error), "numbers of a sane length") from None


def _json_words(message: str) -> str:
    return "JSON: " + message[:1].lower() + message[1:] + " (comments and trailing commas are not JSON; YAML has them)"


def _unique(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidInput(name, f"{twice!r} twice in one object", "each key once")
    return found


def _yaml(text: str, name: str) -> Any:
    import yaml  # noqa: PLC0415 - the help of the command line needs none

    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise yaml.MarkedYAMLError(problem="an alias (*name)", problem_mark=event.start_mark)  # type: ignore[arg-type]
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise RecursionError
        return yaml.load(text, Loader=_loader())  # noqa: S506 - a SafeLoader that knows even less
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1} column {mark.column + 1}" if mark is not None else ""
        found, expected = _yaml_words(error.problem or "something else", text, mark)
        raise InvalidInput(f"{name}{where}", found, expected) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInput(name, " ".join(str(error).split())[:200], "YAML or JSON") from None


def _yaml_words(problem: str, text: str, mark: Any) -> tuple[str, str]:
    """What was found and what would be right, where the parser's own words help nobody."""
    lines = text.split("\n") if mark is not None else []
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if mark is not None and line[mark.column : mark.column + 1] == "\t":
        return "a tab", "spaces: YAML is not indented by tabs"
    bare = _BARE.search(line)
    quoted = bare is not None and any(line[: bare.start()].count(quote) % 2 for quote in "\"'")
    if bare is not None and not quoted:
        return bare[1].strip(), f'it in quotes: "{bare[1].strip()}"; a bare {{ begins an object'
    return problem, "YAML or JSON"


@cache
def _loader() -> Any:
    """A loader of texts, numbers, truth values, lists and objects, and of nothing else."""
    import yaml  # noqa: PLC0415

    class Loader(yaml.CSafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
            seen: set[Any] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(problem="a key that is no text", problem_mark=key.start_mark)
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} a second time", problem_mark=key.start_mark)
                seen.add(key.value)
            return {str(key): value for key, value in super().construct_mapping(node, deep).items()}

    Loader.yaml_implicit_resolvers = {}
    for tag, pattern, first in (
        ("bool", r"^(?:true|True|false|False)$", "tTfF"),
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
        ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
    ):
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))
    return Loader


def _bounded(value: Any, name: str) -> None:
    """
    Raises:
        InvalidInput: too deep, too many values, or one that JSON has no word for.
    """
    left, many = [(value, 0)], 0
    while left:
        one, depth = left.pop()
        many += 1
        if many > MAX_VALUES:
            raise InvalidInput(name, f"more than {MAX_VALUES:,} values", "fewer")
        if depth > MAX_DEPTH:
            raise InvalidInput(name, "deeper nesting", f"at most {MAX_DEPTH} levels")
        if isinstance(one, Mapping):
            left += [(inside, depth + 1) for inside in one.values()]
        elif isinstance(one, list | tuple):
            left += [(inside, depth + 1) for inside in one]
        elif isinstance(one, float) and not isfinite(one):
            raise InvalidInput(name, one, "finite numbers")
        elif isinstance(one, str) and len(one) > MAX_TEXT:
            raise InvalidInput(name, f"a text of {len(one):,} characters", f"at most {MAX_TEXT:,}")


# ------------------------------------------------------------------------------------------------------------ document


_PARTS: Final[dict[str, type[BaseModel]]] = {
    "nodes": Node,
    "edges": Edge,
    "limits": Limits,
    "when": When,
    "retry": RetryPolicy,
    "breaker": BreakerPolicy,
    "undo": Undo,
    "onError": Fallback,
    "on_error": Fallback,
    "position": Position,
    "rateLimit": Rate,
    "throttle": Rate,
}
_UNION_TAGS: Final = frozenset(
    {"str", "int", "When", "RetryPolicy", "Undo", "BreakerPolicy", "Fallback"} | {"literal['stop','continue']"}
)


def _branches_as_text(value: Mapping[str, Any]) -> dict[str, Any]:
    """``output: true`` of an edge means the branch of that name: YAML reads the bare word as a truth value."""
    edges = value.get("edges")
    if not isinstance(edges, list):
        return dict(value)
    spelled = [
        {**edge, "output": str(edge["output"]).lower()}
        if isinstance(edge, Mapping) and isinstance(edge.get("output"), bool)
        else edge
        for edge in edges
    ]
    return {**value, "edges": spelled}


def _complain(problems: Problems, one: Any, value: Any) -> None:
    """One complaint of pydantic, in the document's own names."""
    loc = [part for part in one["loc"] if part not in _UNION_TAGS]
    path, model = place(loc, value), _model(loc)
    found = one["input"] if isinstance(one["input"], str | int | float | bool | None) else repr(one["input"])[:100]
    kind = one["type"]
    if kind == "extra_forbidden":
        names = [field.alias or name for name, field in model.model_fields.items()]
        problems.add(path, found, f"no field of this name: {nearest(str(loc[-1]), names)}")
    elif kind == "missing":
        problems.add(path, "nothing", "a value: the field is required")
    elif kind == "string_pattern_mismatch":
        words = "a letter or underscore, then letters, digits, dashes and underscores"
        problems.add(path, found, words if one["ctx"]["pattern"] == ID else "printable characters")
    elif "fallback" in str(one["loc"]).lower() or (loc and loc[-1] in ("onError", "on_error")):
        problems.add(path, found, "stop, continue, or {fallback: <id of a node>}")
    else:
        problems.add(path, found, _words(kind, one))
    _once(problems)


def _words(kind: str, one: Any) -> str:
    """What would be right."""
    value = one["input"]
    if kind == "string_type":
        quoted = isinstance(value, int | float) and not isinstance(value, bool)
        return f'a text: in quotes, "{value}"' if quoted else "a text"
    if kind in ("tuple_type", "list_type"):
        return "a list" + (", each with its id inside" if isinstance(value, Mapping) else "")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return "an object"
    text = str(one["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return text[:1].lower() + text[1:]


def _once(problems: Problems) -> None:
    """A union complains once for each of its members: what is said of a place inside it says more than of the whole."""
    last = problems.found[-1]
    others = [other for other in problems.found[:-1] if not last.path.startswith(f"{other.path}.")]
    if any(other.path == last.path or other.path.startswith(f"{last.path}.") for other in others):
        problems.found.pop()
    else:
        problems.found[:-1] = others


def place(loc: list[Any], value: Any) -> str:
    """``["nodes", 3, "type"]`` as ``nodes.fetch.type``: a node by its id where it has one."""
    path = ""
    for part in loc:
        here = value
        value = _inside(value, part)
        if isinstance(part, int):
            id_ = value.get("id") if isinstance(value, Mapping) and isinstance(here, list) else None
            path += f".{id_}" if isinstance(id_, str) and id_ and path.endswith("nodes") else f"[{part}]"
        else:
            path += f".{part}" if path else str(part)
    return path


def _inside(value: Any, part: Any) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None


def _model(loc: list[Any]) -> type[BaseModel]:
    for part in reversed(loc[:-1]):
        if part in _PARTS:
            return _PARTS[part]
    return Document
