"""Whatever an operation is given, what comes of it is an answer or a problem with a code, and the engine goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.service.operations.calling import HERE, Calls, Ping, law
from tickwork.service.api.here import told
from tickwork.service.api.operation import CATALOGUE
from tickwork.service.operations.paging import cursor_of

NOUNS = (
    "runs",
    "events",
    "tape",
    "workflows",
    "agents",
    "queues",
    "letters",
    "schedules",
    "breakers",
    "approvals",
    "views",
)
MINE = sorted(name for name in CATALOGUE if name.split(".")[0] in NOUNS)

_NAMES = ["", "x", "r0", "r٣", "٣", "ключ", "inbox", "ops/ping", "report", "ops-last", "hears", "much", "done", "kept"]
_NUMBERS = ["0", "-1", "1e9", "9" * 18, "9" * 40, "r" + "9" * 20, "step#٣", "\x00", "../..", "'; DROP TABLE runs"]
_TIMES = ["1 s", "-5 s", "100000000 days", "999999999999 years", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
_LEASES = ["inbox:1.2.00000000", f"inbox:{'9' * 18}.{'9' * 18}.00000000", "a" * 5_000, "{" * 2_000, "===="]
_CURSORS = [cursor_of(one) for one in (10**30, [10**30, 1], [1, 10**30], [-1, "\x00"], "\x00", [1.5, 2], None)]
TEXTS = st.sampled_from([*_NAMES, *_NUMBERS, *_TIMES, *_LEASES, *_CURSORS])
VALUES: st.SearchStrategy[Any] = st.one_of(
    TEXTS,
    st.sampled_from(
        [None, True, False, 0, 1, -1, 10**30, -(10**30), 1 << 62, 1 << 63, 0.5, 1e308, [], {}, [[]], {"": None}]
    ),
    st.lists(TEXTS, max_size=3),
    st.dictionaries(st.sampled_from(["n", "name", "a", "\x00", "steps[0].type"]), TEXTS | st.integers(), max_size=3),
    st.sampled_from([[10**30], {"n": 10**30}, {"name": {"name": [1e300] * 50}}]),
)


def _given(name: str) -> st.SearchStrategy[dict[str, Any]]:
    fields = CATALOGUE[name].args.model_fields
    needed = {known: VALUES for known, field in fields.items() if field.is_required()}
    more = {known: VALUES for known, field in fields.items() if not field.is_required()}
    return st.fixed_dictionaries(needed, optional=more)


ALL = st.sampled_from(MINE).flatmap(lambda name: st.tuples(st.just(name), _given(name)))


@settings(
    max_examples=40, deadline=None, phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(st.lists(ALL, min_size=30, max_size=60), st.data())
def test_an_answer_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, asked: list[Any], data: st.DataObject
) -> None:
    async def check(calls: Calls) -> None:
        await _something(calls)
        for name, fields in asked:
            problem = await _outcome(calls, name, fields)
            assert problem is None or problem.status < 500 or problem.code in _PASSING, (name, fields, problem)
        await calls.engine.idle()
        assert calls.engine.fault is None
        assert await calls("runs.list", limit=1)

    law(check, tmp_path_factory.mktemp("bad") / "t.db")


_PASSING = {"not-running", "queue-full", "unknown"}


async def _something(calls: Calls) -> None:
    await calls.engine.emit(Ping(n=1))
    await calls("runs.start", workflow="waits", input={}, id="x")
    await calls("queues.send", queue="inbox", body=1)


async def _outcome(calls: Calls, name: str, fields: dict[str, Any]) -> Any:
    try:
        await calls.service.call(name, fields, HERE)
    except Exception as error:  # noqa: BLE001 - what nobody raised on purpose is what this looks for
        problem = told(error)
        assert problem is not None, (name, fields, error)
        return problem
    return None


@pytest.mark.parametrize("name", MINE)
def test_the_bounds_of_its_fields(tmp_path: Path, name: str) -> None:
    """Each field alone, with each value that is not what it takes."""

    async def check(calls: Calls) -> None:
        await _something(calls)
        operation = CATALOGUE[name]
        example = dict(operation.examples[0]) if operation.examples else {}
        for field in operation.args.model_fields:
            wire = operation.args.model_fields[field].alias or field
            for value in _EDGES:
                problem = await _outcome(calls, name, {**{k: v for k, v in example.items() if k != field}, wire: value})
                assert problem is None or problem.status < 500 or problem.code in _PASSING, (
                    name,
                    field,
                    value,
                    problem,
                )
        await calls.engine.idle()
        assert calls.engine.fault is None

    law(check, tmp_path / "t.db")


_EDGES: tuple[Any, ...] = (
    10**30, -1, "\x00", *_TIMES, *_CURSORS, "9" * 18, [10**30], {"n": 10**30}, "\ud800", ["\ud800"], {"a": "\ud800"},
)  # fmt: skip
