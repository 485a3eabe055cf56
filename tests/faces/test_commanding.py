"""Verbs of the command line are operations: they are recorded with who asked, and mean what they did before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.mcp.serving import WORKER
from tests.faces.support import answer, tickwork, worker
from tickwork.engines.embedded.queries import Queries
from tickwork.service.api.commanded import CommandAnswered, CommandAsked

BARE = WORKER.replace("service.open()", "").replace('"one", "two", "three"', '"one", "two", "three", "four"')
"""The same without a service, as somebody's own program is."""


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tape that a process with a service has open."""
    with worker(tmp_path_factory.mktemp("owner"), WORKER) as path:
        yield path


def asked(tape: Path) -> list[tuple[str, str, str, str | None]]:
    """The commands on a tape, in order: what was asked, by whom, over which face, and what came of it."""
    queries = Queries.open(str(tape))

    def found(kind: type[Any]) -> list[tuple[int, Any]]:
        return [(entry.seq, kind.from_wire(bytes(entry.record.value))) for entry in queries.events(kind.event_name)]

    outcomes = {one.asked: one.outcome for _, one in found(CommandAnswered)}
    return [(one.operation, one.by, one.face, outcomes.get(seq)) for seq, one in found(CommandAsked)]


def test_a_verb_is_on_the_tape_with_who_asked(tape: Path) -> None:
    before = len(asked(tape))
    assert answer(tape, "pause", "one") == {"run": "one", "done": "pause"}
    assert answer(tape, "resume", "one") == {"run": "one", "done": "resume"}
    assert tickwork(tape, "pause", "nothing").returncode in (1, 2)
    assert tickwork(tape, "breakers", "trip", "unheard-of", "--by", "Anna").returncode == 2
    assert asked(tape)[before:] == [
        ("runs.pause", "local", "cli", "done"),
        ("runs.resume", "local", "cli", "done"),
        ("runs.pause", "local", "cli", "not-found"),
        ("breakers.trip", "Anna", "cli", "not-found"),
    ]


def test_a_program_without_a_service_is_asked_verb_by_verb(tmp_path: Path) -> None:
    with worker(tmp_path, BARE) as tape:
        assert answer(tape, "cancel", "four") == {"run": "four", "done": "cancel"}
        assert answer(tape, "call", "runs.pause", "run=one") == {"id": "one", "done": "paused"}
        assert tickwork(tape, "cancel", "four").returncode == 2
        assert asked(tape) == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["call"], 2, "invalid-input"),
        (["call", "nothing.here"], 2, "not-found"),
        (["call", "runs.cancel"], 2, "invalid-input"),
        (["call", "runs.cancel", "run"], 2, "invalid-input"),
        (["call", "runs.cancel", "run=a", "run=b"], 2, "invalid-input"),
        (["call", "runs.list", "limit=many"], 2, "invalid-input"),
        (["call", "runs.list", "--json-args", "[]"], 2, "invalid-input"),
        (["call", "runs.list", "--json-args", '{"limit": 5}', "limit=6"], 2, "invalid-input"),
        (["call", "runs.show", "run=nothing"], 2, "not-found"),
    ],
)
def test_what_is_wrong_has_its_code(tape: Path, words: list[str], code: int, told: str) -> None:
    found = tickwork(tape, *words)
    assert (found.returncode, found.stdout) == (code, "")
    assert found.stderr.startswith("tickwork: ")
    assert found.stderr.endswith(f"({told})\n")
    assert found.stderr.count("\n") == 1


def test_a_problem_is_json_where_json_is_wanted(tape: Path) -> None:
    found = tickwork(tape, "call", "runs.show", "run=nothing", "--json")
    assert (found.returncode, found.stderr) == (2, "")
    problem = json.loads(found.stdout)
    assert [problem[key] for key in ("code", "kind", "id")] == ["not-found", "run", "nothing"]


def test_nobody_has_the_tape_open(tmp_path: Path) -> None:
    with worker(tmp_path, WORKER) as tape:
        pass
    assert [run["id"] for run in answer(tape, "call", "runs.list", "limit=1")["items"]] == ["three"]
    found = tickwork(tape, "call", "runs.cancel", "run=one", "--json")
    assert (found.returncode, json.loads(found.stdout)["code"]) == (1, "not-running")


def test_lists_are_given_text_by_text(tape: Path) -> None:
    every = answer(tape, "call", "runs.list")["items"]
    assert answer(tape, "call", "runs.list", "status=waiting", "status=paused")["items"] == every
    assert answer(tape, "call", "runs.list", 'status=["waiting"]', "limit=1")["items"] == every[:1]


def test_an_operation_is_described_and_all_are_listed(tape: Path) -> None:
    told = tickwork(tape, "call", "runs.cancel", "--help").stdout
    assert all(words in told for words in ("runs.cancel", "operate", "POST /api/v1/runs/{run}/cancel", "required"))
    listed = answer(tape, "call", "--list")
    assert {"name", "scope", "summary"} == listed[0].keys()
    assert {one["name"] for one in listed} >= {"runs.list", "runs.cancel"}


def test_a_run_is_started_and_forked(tape: Path) -> None:
    started = answer(tape, "run", "sleeper", "{}", "--id", "mine")
    assert answer(tape, "run", "sleeper", "{}", "--id", "mine") == started == {"run": "mine"}
    assert tickwork(tape, "run", "nothing").returncode == 2
    assert tickwork(tape, "fork", "mine", "--from", "sleep").returncode == 2, "what acts for real has to be said"
    unknown = tickwork(tape, "fork", "mine", "--from", "nothing", "--live")
    assert (unknown.returncode, "nothing" in unknown.stderr) == (2, True)
