"""OpenAPI 3.1 of a table of operations: arguments as pydantic says, results as msgspec does."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tickwork.faces.http.routing import BASE
from tickwork.faces.http.snapshot import DESCRIBED
from tickwork.service.api.operation import Operation
from tickwork.service.api.problems import TITLES

Schema = dict[str, Any]

_REF: Final = "#/components/schemas/"
_OF_QUERY: Final = (400, 401, 403, 404, 409, 410, 421, 422, 429, 500, 502, 503, 504)
_OF_COMMAND: Final = (*_OF_QUERY, 402, 408, 412, 413, 415)
_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "The same command again under the same key is done once, and answered as the first time.",
}
_IF_MATCH: Final[Schema] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": '^"[0-9]{1,9}"$'},
    "description": "The ETag of the version that you know, or its number in quotation marks; 412 if it is another.",
}
_IF_NONE_MATCH: Final[Schema] = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag that you have; 304 if it is still that.",
}
_PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "RFC 9457. Programs go by `code`; what else there is depends on it.",
    "required": ["type", "code", "status", "title", "detail"],
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string", "description": "One of: " + ", ".join(f"`{code}`" for code in TITLES)},
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
    },
}


def openapi(operations: Iterable[Operation], version: str, *, snapshot: bool = False) -> Schema:
    """The whole document. ``snapshot``: is there a live stream to take one of?"""
    table = sorted(operations, key=lambda one: (one.path, one.method))
    told = msgspec.json.schema_components(
        [one.result for one in table], ref_template=_REF + "{name}", schema_hook=_anything
    )
    results: list[Schema] = [_portable(result) for result in told[0]]
    schemas: dict[str, Schema] = _portable(told[1])
    paths: dict[str, Schema] = {}
    for one, result in zip(table, results, strict=True):
        paths.setdefault(BASE + one.path, {})[one.method.lower()] = _operation(one, result, schemas)
    if snapshot:
        paths[f"{BASE}/snapshot"] = _with_problems(DESCRIBED)
    tags = sorted({_tag(one) for one in table})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tickwork",
            "version": version or "0",
            "description": "Durable trading workflows. Problems are RFC 9457 with a stable `code`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Problem": _PROBLEM, **dict(sorted(schemas.items()))},
            "responses": {
                str(status): {
                    "description": "; ".join(
                        f"`{code}`: {title}" for code, (of, title) in TITLES.items() if of == status
                    ),
                    "content": {"application/problem+json": {"schema": {"$ref": _REF + "Problem"}}},
                }
                for status in sorted({status for status, _ in TITLES.values()} | {402})
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Made by `tickwork tokens create`."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "tickwork_token", "description": "See /login."},
            },
        },
        "security": [{"token": []}, {"cookie": []}, {}],
    }


def _portable(schema: Any) -> Any:
    """Tuples as arrays of so many of either: few tools that read OpenAPI know ``prefixItems``."""
    if isinstance(schema, list):
        return [_portable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _portable(value) for key, value in schema.items()}
    parts = found.pop("prefixItems", None)
    if parts is not None:
        found["items"] = parts[0] if all(part == parts[0] for part in parts) else {"anyOf": parts}
    return found


def _anything(kind: type) -> Schema:
    """What msgspec knows no schema of goes out as text."""
    return {"type": "string", "description": kind.__name__}


def _tag(operation: Operation) -> str:
    return operation.name.partition(".")[0]


def _operation(one: Operation, result: Schema, schemas: dict[str, Schema]) -> Schema:
    arguments = inlined(one, schemas)
    properties, required = arguments.get("properties", {}), set(arguments.get("required", ()))
    in_path = _in_path(one)
    examples = [_as_written(one, example, properties) for example in one.examples]
    example = examples[0] if examples else {}
    parameters = [_parameter(name, "path", properties[name], True, example) for name in in_path]
    rest = {name: schema for name, schema in properties.items() if name not in in_path}
    headers: Schema = {}
    if one.kind == "query":
        parameters += [_parameter(name, "query", s, name in required, example) for name, s in rest.items()]
        if one.etag:
            parameters.append(_IF_NONE_MATCH)
            headers["ETag"] = {"schema": {"type": "string"}, "description": "The version, and what tells it apart."}
    else:
        parameters += [_KEY, *([_IF_MATCH] if one.if_match else [])]
    found: Schema = {
        "operationId": one.name,
        "tags": [_tag(one)],
        "summary": one.summary,
        "description": "\n\n".join(filter(None, [one.description, f"Needs the right to `{one.scope}`."])),
        "parameters": parameters,
        "responses": {
            str(one.status): {
                "description": "Done." if one.kind == "command" else "What there is.",
                "content": {"application/json": {"schema": result}},
                **({"headers": headers} if headers else {}),
            },
            **({"304": {"description": "It is still what you have."}} if one.etag else {}),
        },
        "x-scope": one.scope,
    }
    if one.kind == "command" and rest:
        found["requestBody"] = _body(rest, required - set(in_path), examples)
    statuses = _OF_QUERY if one.kind == "query" else _OF_COMMAND
    found["responses"] |= {
        str(status): {"$ref": f"#/components/responses/{status}"}
        for status in statuses
        if str(status) not in found["responses"]
    }
    return found


def _as_written(one: Operation, example: Schema, properties: Schema) -> Schema:
    """An example in the spelling of the document: a field has two."""
    aliases = {name: known.alias or name for name, known in one.args.model_fields.items()}
    return {key if key in properties else aliases.get(key, key): value for key, value in example.items()}


def _in_path(one: Operation) -> list[str]:
    """The fields in the path, as the path spells them."""
    return re.findall(r"\{(\w+)\}", one.path)


def _parameter(name: str, where: str, schema: Schema, required: bool, example: Schema) -> Schema:
    found = {"name": name, "in": where, "required": required, "schema": _without_null(schema)}
    if "description" in schema:
        found["description"] = schema["description"]
    if name in example:
        found["example"] = example[name]
    return found


def _without_null(schema: Schema) -> Schema:
    """Of a parameter: what is not said is left out, for there is no null in a query string."""
    kinds = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in ("title", "description")}
    if rest.get("default", 0) is None:
        del rest["default"]
    if len(kinds) == 1 and len(kinds) < len(schema.get("anyOf", ())):
        del rest["anyOf"]
        rest = {**kinds[0], **rest}
    return rest


def _body(properties: Schema, required: set[str], examples: list[Schema]) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = sorted(required)
    content: Schema = {"schema": schema}
    bodies = [{key: value for key, value in example.items() if key in properties} for example in examples]
    if any(bodies):
        content["examples"] = {f"example{n}": {"value": body} for n, body in enumerate(bodies, 1)}
    return {"required": bool(required), "content": {"application/json": content}}


def inlined(one: Operation, schemas: dict[str, Schema]) -> Schema:
    """The schema of an operation's arguments; what it refers to goes to ``schemas``, under names of its own."""
    found = copy.deepcopy(one.args.model_json_schema(by_alias=True, ref_template=_REF + one.args.__name__ + ".{model}"))
    for name, schema in found.pop("$defs", {}).items():
        schemas[f"{one.args.__name__}.{name}"] = schema
    # a field in the path is called there as the path calls it, which may be either of its names
    aliases = {known.alias: name for name, known in one.args.model_fields.items() if known.alias}
    for name in _in_path(one):
        for spelling, schema in list(found["properties"].items()):
            if spelling != name and aliases.get(spelling) == name:
                found["properties"][name] = found["properties"].pop(spelling)
                found["required"] = [name if known == spelling else known for known in found.get("required", ())]
                assert schema is found["properties"][name]
    return found


def _with_problems(described: Schema) -> Schema:
    found = copy.deepcopy(described)
    for method in found.values():
        method["responses"] |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in _OF_QUERY}
    return found
