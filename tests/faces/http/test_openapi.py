"""The document for programs, and the page that is made of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from tickwork.faces.http.openapi import openapi
from tickwork.service.api.operation import CATALOGUE
from tickwork.service.api.problems import TITLES
from tickwork.service.operations import all as every

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    assert every.CATALOGUE is CATALOGUE
    return openapi(CATALOGUE.values(), "1.2.3", snapshot=True)


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]


def test_it_is_plain_json_whose_references_lead_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document, allow_nan=False)
    for kind, name in set(re.findall(r'"#/components/(schemas|responses)/([^"]+)"', text)):
        assert name in document["components"][kind], name
    for name in document["components"]["schemas"]:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name), name


def test_every_operation_is_in_it_with_its_right_and_its_problems(document: dict[str, Any]) -> None:
    told = {one["operationId"]: (path, method, one) for path, method, one in operations(document)}
    assert set(told) == set(CATALOGUE) | {"snapshot"}
    for name, one in CATALOGUE.items():
        path, method, described = told[name]
        assert (path, method) == (f"/api/v1{one.path}", one.method.lower())
        assert described["x-scope"] == one.scope
        assert described["summary"] == one.summary != ""
        assert set(described["responses"]) >= {str(one.status), "401", "403", "404", "422", "429"}
        names = {known["name"] for known in described["parameters"] if known["in"] == "path"}
        assert names == set(re.findall(r"\{(\w+)\}", path))
        assert (one.kind == "command") == any(known["name"] == "Idempotency-Key" for known in described["parameters"])
        assert one.kind == "command" or "requestBody" not in described


def test_every_status_of_a_problem_is_described(document: dict[str, Any]) -> None:
    assert {str(status) for status, _ in TITLES.values()} <= set(document["components"]["responses"])


def test_schemas_are_schemas_and_examples_suit_them(document: dict[str, Any]) -> None:
    components = {"components": document["components"]}
    for _, _, described in operations(document):
        content = described.get("requestBody", {}).get("content", {}).get("application/json", {})
        schema = {**content.get("schema", {}), **components}
        jsonschema.Draft202012Validator.check_schema(schema)
        for example in content.get("examples", {}).values():
            jsonschema.validate(example["value"], schema, jsonschema.Draft202012Validator)
        for parameter in described["parameters"]:
            schema = {**parameter["schema"], **components}
            jsonschema.Draft202012Validator.check_schema(schema)
            if "example" in parameter:
                jsonschema.validate(parameter["example"], schema, jsonschema.Draft202012Validator)


def test_texts_and_lists_of_arguments_have_bounds(document: dict[str, Any]) -> None:
    for path, method, described in operations(document):
        for parameter in described["parameters"]:
            if parameter["in"] in ("path", "query"):
                kinds = [parameter["schema"], *parameter["schema"].get("anyOf", ())]
                for kind in kinds:
                    if kind.get("type") == "string" and "enum" not in kind and "format" not in kind:
                        assert "maxLength" in kind, (method, path, parameter["name"])


def test_the_page_of_reference_is_current() -> None:
    script = ROOT / "scripts" / "http_reference.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
