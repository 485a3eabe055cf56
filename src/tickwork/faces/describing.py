"""Operations in words: what one takes, who may ask for it, and where else it is."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

from tickwork.faces.mcp.schemas import input_schema, spelled
from tickwork.service.api.operation import Operation

_BOUNDS: Final = {
    "minimum": "from {}",
    "maximum": "to {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} of them",
}


def text_of(operation: Operation) -> str:
    """What ``tickwork call OPERATION --help`` shows."""
    lines = [f"{operation.name}: {operation.summary}"]
    if operation.description:
        lines += ["", operation.description]
    lines += ["", f"A {operation.kind}; needs the right to {operation.scope}."]
    lines.append(f"Also {operation.method} /api/v1{operation.path}, and the tool {operation.tool}.")
    if operation.verb:
        lines.append(f"For people: `tickwork {operation.verb}`.")
    fields = _fields(operation)
    if fields:
        lines += ["", "Arguments:", *fields]
    if operation.examples:
        lines += ["", "Examples:", *(f"  {words_of(operation, one)}" for one in operation.examples)]
    return "\n".join(lines)


def field_of(operation: Operation, name: str) -> str | None:
    """The field that a name means, in snake_case or as it is on the wire; ``None``: none."""
    for field, known in operation.args.model_fields.items():
        if name in (field, known.alias):
            return field
    return None


def form_of(operation: Operation, field: str) -> Literal["text", "texts", "json"]:
    """How a field's value is written: a text needs no quotes, and nor do several; so do times and amounts."""
    schema = operation.args.model_json_schema(by_alias=False)
    found, parts = schema.get("properties", {}).get(field, {"type": "string"}), schema.get("$defs", {})
    if _takes_text(found, parts):
        return "text"
    several = [one["items"] for one in [found, *found.get("anyOf", [])] if isinstance(one.get("items"), dict)]
    return "texts" if any(_takes_text(one, parts) for one in several) else "json"


def _takes_text(schema: dict[str, Any], parts: dict[str, Any]) -> bool:
    if "$ref" in schema:
        return _takes_text(parts[schema["$ref"].rpartition("/")[2]], parts)
    if schema.get("type") == "string" or isinstance(schema.get("const"), str):
        return True
    if isinstance(schema.get("enum"), list):
        return all(isinstance(one, str) for one in schema["enum"])
    return any(_takes_text(one, parts) for one in [*schema.get("anyOf", []), *schema.get("oneOf", [])])


def _fields(operation: Operation) -> list[str]:
    schema = input_schema(operation)
    required = schema.get("required", [])
    names = [spelled(operation.args, field) for field in operation.args.model_fields]
    width = max((len(name) for name in names), default=0)
    found = []
    for name in names:
        field = schema["properties"][name]
        notes = [_kind(field), *_bounds(field)]
        if name in required:
            notes.append("required")
        elif field.get("default") not in (None, "", [], {}):
            notes.append(f"by default {json.dumps(field['default'])}")
        found.append(f"  {name:<{width}}  {field.get('description', '')} ({', '.join(notes)})")
    return found


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return "object"
    if "enum" in field:
        return "one of " + ", ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    kinds = [_kind(one) for one in field.get("anyOf", ()) if one.get("type") != "null"]
    if kinds:
        # an amount is a number or a text: as a text it stays exact
        return " or ".join(dict.fromkeys(kinds))
    return {"string": "text", None: "any JSON"}.get(field.get("type"), str(field.get("type")))


def _bounds(field: dict[str, Any]) -> list[str]:
    where = [field, *(one for one in field.get("anyOf", ()) if isinstance(one, dict))]
    return [words.format(one[key]) for key, words in _BOUNDS.items() for one in where if key in one]


def words_of(operation: Operation, arguments: dict[str, Any]) -> str:
    """The command that asks for it, for a shell."""
    from shlex import quote

    words = ["tickwork call", operation.name]
    for name, value in arguments.items():
        form = form_of(operation, field_of(operation, name) or name)
        several = value if form == "texts" and isinstance(value, list) else [value]
        plain = form != "json"
        words += [quote(f"{name}={one if plain and isinstance(one, str) else json.dumps(one)}") for one in several]
    return " ".join(words)
