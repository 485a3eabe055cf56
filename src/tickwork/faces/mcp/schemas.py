"""JSON schemas of tools: of the arguments in snake_case, of the results as they are on the wire."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from pydantic.fields import FieldInfo

from tickwork.service.api.here import KEY_MAX
from tickwork.service.api.operation import Args, Operation

KEY: Final = "idempotency_key"
"""An argument that every command takes besides its own."""

_KEY_SCHEMA: Final = {
    "type": "string",
    "maxLength": KEY_MAX,
    "description": "Give the same text again to ask for the same thing again: it is done once, and answered as then.",
}

RESULT: Final = "result"
"""The field of what is not an object: structured content must be one."""


def input_schema(operation: Operation) -> dict[str, Any]:
    """What a tool takes."""
    schema = _untitled(operation.args.model_json_schema(by_alias=False))
    fields = {spelled(operation.args, name): found for name, found in schema.get("properties", {}).items()}
    if operation.kind == "command":
        assert KEY not in fields, f"{operation.name} has an argument of the name {KEY}"
        fields[KEY] = _KEY_SCHEMA
    required = [spelled(operation.args, name) for name in schema.pop("required", [])]
    schema.pop("description", None)
    made = {**schema, "type": "object", "properties": fields, "additionalProperties": False}
    return {**made, "required": required} if required else made


def spelled(args: type[Args], name: str) -> str:
    """How a field is written in a tool: in snake_case, unless it was given a name of its own, as ``async`` was."""
    field: FieldInfo = args.model_fields[name]
    own = field.alias if field.alias_priority == 2 or name.endswith("_") else None
    return own or name


def output_schema(operation: Operation) -> dict[str, Any] | None:
    """What a tool answers; ``None``: that is open."""
    (found,), named = msgspec.json.schema_components([operation.result], ref_template="#/$defs/{name}")
    top = found.get("$ref", "").removeprefix("#/$defs/")
    root = named.get(top, found) if top else found
    if _is_open(root):
        return None
    parts = {name: _untitled(part) for name, part in named.items()}
    if root.get("type") != "object":
        made: dict[str, Any] = {"type": "object", "properties": {RESULT: found}, "required": [RESULT]}
    else:
        made = _untitled(root)
        made.pop("description", None)
        if not _refers(parts, top) and not _refers(root, top):
            parts.pop(top, None)
    return {**made, "$defs": parts} if parts else made


def _is_open(root: dict[str, Any]) -> bool:
    return not root or (root.get("type") == "object" and set(root) <= {"type", "description", "title"})


def _refers(schema: Any, name: str) -> bool:
    if isinstance(schema, dict):
        return schema.get("$ref") == f"#/$defs/{name}" or any(_refers(one, name) for one in schema.values())
    return isinstance(schema, list) and any(_refers(one, name) for one in schema)


def _untitled(schema: Any) -> Any:
    """Without the titles that only say the names once more: a model pays for each word of a tool.

    A title is a text; a field that is called so is a schema.
    """
    if isinstance(schema, dict):
        kept = {key: one for key, one in schema.items() if not (key == "title" and isinstance(one, str))}
        return {key: _untitled(one) for key, one in kept.items()}
    return [_untitled(one) for one in schema] if isinstance(schema, list) else schema
