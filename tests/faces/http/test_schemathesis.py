"""Schemathesis asks a real ``tickwork up`` on paper what its OpenAPI document says, and much that it does not say.

Whatever is asked: no failure of ours, no status, type or body that the document does not know, and what the document
says is wrong is refused. In a process of its own, over loopback, with every operation there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.faces.upping import place


def refused(context: Any, response: Any, case: Any) -> bool | None:
    """What is said to be wrong is refused; where that makes it long, for its length."""
    return None if response.status_code == 413 else negative_data_rejection(context, response, case)


CHECKS: list[Any] = [
    not_a_server_error,
    content_type_conformance,
    refused,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
PATIENCE_S = 120
"""Longer than any operation waits for the end of what it began."""
LIMITS = "[server.limits]\nper_caller = 1000000\nper_address = 1000000\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a process that is up, and a token that may everything."""
    folder = tmp_path_factory.mktemp("up")
    with place(folder) as home:
        told = folder / "tickwork.toml"
        told.write_text(told.read_text().replace("port = 0\n", f"port = 0\n{LIMITS}"))
        made = home.run("tokens", "create", "schemathesis-root", "--scope", "admin", "--account", "*")
        assert made.returncode == 0, made.stderr
        begun = home.up()
        assert begun.returncode == 0, begun.stderr
        try:
            yield home.status()["processes"][0]["addresses"][0], made.stdout.split()[0]
            # it is up, and has nothing to say of a mistake
            assert home.status()["up"]
            assert '"ERROR"' not in home.log().upper(), home.log()[-5_000:]
        finally:
            home.run("down")


@pytest.fixture(scope="module")
def described(served: tuple[str, str]) -> Any:
    """The document of that process."""
    address, token = served
    headers = {"Authorization": f"Bearer {token}"}
    return schemathesis.openapi.from_url(f"{address}/api/v1/openapi.json", headers=headers)


def complaints(described: Any, served: tuple[str, str], examples: int, mode: GenerationMode) -> list[str]:
    """What is wrong with the answers, an operation at a time."""
    unhurried = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    found = []
    for result in described.get_all_operations():
        operation = result.ok()

        @settings(max_examples=examples, deadline=None, suppress_health_check=unhurried, database=None)
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            # other runs of it, and what it asked before, leave things behind: what is asked stands for itself
            case.call_and_validate(headers={"Authorization": f"Bearer {served[1]}"}, checks=CHECKS, timeout=PATIENCE_S)

        try:
            ask()
        except Unsatisfiable:
            continue  # of an operation that takes nothing, nothing can be wrong
        except BaseExceptionGroup as group:
            found.append(f"{operation.label}: {group.exceptions}")
        except Failure as failure:
            found.append(f"{operation.label}: {failure}")
    return found


def test_what_is_asked_is_answered_as_it_is_described(described: Any, served: tuple[str, str]) -> None:
    found = complaints(described, served, 2, GenerationMode.POSITIVE)
    assert not found, "\n\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_much_is_asked(described: Any, served: tuple[str, str], mode: GenerationMode) -> None:
    found = complaints(described, served, 60, mode)
    assert not found, "\n\n".join(found)
