"""The JSON Schema of documents, with the params and ports of each node type; editors and agents check against it."""

from __future__ import annotations

from typing import Any, Final

from tickwork.graph.document import Document
from tickwork.graph.library import Library
from tickwork.graph.triggers import TYPES

ID: Final = "https://tickwork.dev/schema/document.json"


def document_schema(library: Library) -> dict[str, Any]:
    """JSON Schema (2020-12) of the canonical form for a library of node types."""
    schema = Document.model_json_schema(by_alias=True)
    # the model's own pattern says it by a Unicode class, which not every validator knows
    schema["properties"]["name"]["pattern"] = r"^[^\x00-\x1f\x7f-\x9f]+$"
    node = schema["$defs"]["Node"]
    node["properties"]["type"] = {
        "description": "A node type of the library.",
        "enum": library.names,
    }
    node["allOf"] = [_of_type(library, name) for name in library.names]
    trigger = schema["$defs"]["TriggerSpec"]
    trigger["properties"]["type"] = {"description": "What starts runs.", "enum": sorted(TYPES)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, **schema}


def _of_type(library: Library, name: str) -> dict[str, Any]:
    """What a node of one type may have: params of the right kind, inputs that there are."""
    type = library.get(name)
    params: dict[str, Any] = {}
    for param in type.params.values():
        # a value may be a reference to what is only known in a run
        allowed = param.schema() if param.expression else {"anyOf": [param.schema(), _REFERENCE]}
        for spelled in (param.name, *param.aliases):
            params[spelled] = allowed
    inputs = {port.name: ({"description": port.help} if port.help else {}) for port in type.inputs.values()}
    then: dict[str, Any] = {
        "description": type.help,
        "properties": {
            "params": {"type": "object", "properties": params, "additionalProperties": False},
            "inputs": {"type": "object", "properties": inputs, "additionalProperties": False},
        },
    }
    needed = [param.name for param in type.params.values() if param.required]
    if needed:
        then["properties"]["params"]["required"] = needed
        then["required"] = ["params"]
    return {"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": then}


_REFERENCE: Final = {"type": "string", "pattern": r"\{\{.*\}\}", "description": "a reference: {{node.port}}"}
