"""Write ``docs/http-reference.md``: every operation over HTTP, from the document that the server gives to programs.

python scripts/http_reference.py            write it
python scripts/http_reference.py --check    1 if it is not what it would be
"""

from __future__ import annotations

import json
import shlex
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from tickwork.faces.http.openapi import openapi
from tickwork.service.operations.all import CATALOGUE

FILE = Path(__file__).resolve().parent.parent / "docs" / "http-reference.md"
ADDRESS = "http://127.0.0.1:8420"

_HEAD = """# HTTP reference

Every operation that `tickwork up` answers below `/api/v1`. This page is written by `scripts/http_reference.py` from the
table that HTTP, MCP and `tickwork call` share; the server gives the same to programs at `/api/v1/openapi.json`, and to
people at `/api/v1/docs`.

Arguments that are not in the path are in the query string of a GET, else in a JSON object in the body. Every command
takes an `Idempotency-Key` header.
"""


def reference() -> str:
    """The whole page."""
    document = openapi(CATALOGUE.values(), "", snapshot=True)
    rows = [
        (described["tags"][0], path, method.upper(), described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]
    parts = [_HEAD]
    for tag, group in groupby(sorted(rows, key=lambda row: row[:3]), key=lambda row: row[0]):
        parts.append(f"## {tag}\n")
        parts += [_operation(path, method, described) for _, path, method, described in group]
    return "\n".join(parts)


def _operation(path: str, method: str, described: dict[str, Any]) -> str:
    lines = [f"### `{method} {path}`\n", f"{described['summary']}\n"]
    status = next(iter(described["responses"]))
    lines.append(f"`{described['operationId']}`, needs `{described.get('x-scope', 'read')}`, answers {status}.\n")
    rows = [_row(one["name"], one["in"], one["required"], one["schema"], one.get("description", ""))
            for one in described["parameters"] if one["in"] != "header"]  # fmt: skip
    body = _body(described)
    schema = body.get("schema", {})
    for name, field in schema.get("properties", {}).items():
        rows.append(_row(name, "body", name in schema.get("required", ()), field, field.get("description", "")))
    if rows:
        lines += ["| argument | in | type | |", "|---|---|---|---|", *rows, ""]
    examples = [one["value"] for one in body.get("examples", {}).values()]
    if examples or method != "GET":
        lines.append(_curl(path, method, described, examples[0] if examples else None))
    return "\n".join(lines)


def _body(described: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = described.get("requestBody", {}).get("content", {}).get("application/json", {})
    return found


def _row(name: str, where: str, required: bool, schema: dict[str, Any], description: str) -> str:
    told = " ".join(description.split()).replace("|", "\\|")
    return f"| `{name}` | {where}{', required' if required else ''} | {_type(schema)} | {told} |"


def _type(schema: dict[str, Any]) -> str:
    """In a word or two."""
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "anyOf" in schema:
        kinds = dict.fromkeys(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
        return " or ".join(kinds)
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2].rpartition(".")[2]
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = str(schema.get("format") or schema.get("type") or "any")
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(high, int) and high < 1 << 31:
        return f"{kind} {low or 0} to {high}"
    return kind


def _curl(path: str, method: str, described: dict[str, Any], body: Any) -> str:
    for one in described["parameters"]:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", str(one.get("example", one["name"].upper())))
    words = ["curl", "-X", method, f"{ADDRESS}{path}"]
    if body:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(body, ensure_ascii=False)]
    return f"```\n{shlex.join(words)}\n```\n"


def main() -> int:
    """Write it, or say whether it is as it should be."""
    found = reference()
    if "--check" in sys.argv[1:]:
        current = FILE.is_file() and FILE.read_text() == found
        print(f"{FILE.name} is {'current' if current else 'not current: python scripts/http_reference.py writes it'}")
        return 0 if current else 1
    FILE.write_text(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
