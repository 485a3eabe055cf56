"""Flow: asking people, other workflows, time and breakers how to go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from tickwork.core.event import Event, newest_event
from tickwork.core.run import Run
from tickwork.errors import InvalidDocument, InvalidInput
from tickwork.graph.declare import Context, node, param, port, test
from tickwork.graph.nodes.views import Emitted
from tickwork.graph.nodes.words import Words
from tickwork.graph.sources import Analysts, Breakers, Calls, Models, Sandboxes, Sources, Workflows
from tickwork.graph.tenants import check_heard, own
from tickwork.graph.texts import ConditionOrNothing, Duration, DurationAboveZero, DurationOrNothing
from tickwork.values import duration

# -------------------------------------------------------------------------------------------------------------- people


class Decided(msgspec.Struct, frozen=True):
    """What a person said."""

    branch: Annotated[Literal["approved", "rejected"], port("which way it went")]
    approved: Annotated[bool, port("was it a yes? No answer in time is a no")]


@node("gate", category="flow", branches=("approved", "rejected"), aliases=("approval", "human_approval"))
async def gate(
    run: Run,
    *,
    question: Annotated[Words, param("what to ask; it may hold references; else whether this document may go on")] = "",
    timeout: Annotated[
        DurationOrNothing, param("how long to wait for an answer, such as 15 minutes; nothing: for ever")
    ] = "",
    context: Context,
) -> Decided:
    """Ask a person whether to go on. No answer in time is a no."""
    asked = question or f"{context.document}: go on at {context.node}?"
    yes = await run.approval(" ".join(asked.split())[:200], timeout or None)
    return Decided("approved" if yes else "rejected", yes)


# ---------------------------------------------------------------------------------------------------------------- time


@node("wait", category="flow", aliases=("delay", "sleep"))
async def wait(
    run: Run,
    *,
    duration: Annotated[Duration, param("how long, such as 5 minutes")],
) -> None:
    """Wait. A run that waits costs a row, not memory, and outlives a restart."""
    await run.sleep(duration)


class Heard(msgspec.Struct, frozen=True):
    """What was waited for."""

    branch: Annotated[Literal["received", "timed_out"], port("which way it went")]
    received: Annotated[bool, port("did it come in time?")]
    event: Annotated[dict[str, Any] | None, port("its fields; nothing where it did not come")]


@node("wait_for_event", category="flow", branches=("received", "timed_out"))
async def wait_for_event(
    run: Run,
    *,
    event: Annotated[str, param("its name, such as market/news, or one that emit_event gives", min_length=1)],
    where: Annotated[
        ConditionOrNothing, param("a condition on its fields, such as symbol == 'BTC/USD'; nothing: any")
    ] = "",
    timeout: Annotated[DurationOrNothing, param("how long to wait, such as 1 hour; nothing: for ever")] = "",
    context: Context,
) -> Heard:
    """Wait for the next event of a name; those from before the node was reached do not count.

    A name that no class of events has is one of ``emit_event``: then ``where`` sees ``name``, ``document``, ``symbol``
    and ``data``.

    Raises:
        InvalidInput: the event is not for the document's owner; see ``graph.tenants``.
    """
    known = newest_event(event)
    conditions = [f"({where})"] if where else []
    if known is None:
        known = Emitted
        conditions.append(f"name == {_quoted(event, context.node)}")
    if context.tenant:
        check_heard(f"{context.node}.event", known)
        if known is Emitted:
            conditions.append(f"owner == {json.dumps(context.tenant, ensure_ascii=False)}")
    found = await run.wait_for(known, " and ".join(conditions) or None, since=run.mark(), timeout=timeout or None)
    if found is None:
        return Heard("timed_out", received=False, event=None)
    return Heard("received", received=True, event=_fields(found))


def _quoted(name: str, path: str) -> str:
    if "'" in name or "\\" in name or not name.isprintable():
        raise InvalidInput(f"{path}.event", name, "a name without quotes")
    return f"'{name}'"


def _fields(event: Event) -> dict[str, Any]:
    return event.model_dump(mode="json")


# ----------------------------------------------------------------------------------------------------------- workflows


def _known_workflow(params: Mapping[str, Any], sources: Sources) -> str | None:
    """Is there a workflow of the name that the document gives?

    Raises:
        InvalidInput: there is none, or it cannot be called.
    """
    found, name = sources.get(Workflows.source_name), params.get("workflow_id")
    if found is None or not isinstance(name, str):
        return None
    try:
        found.get(name)
    except InvalidInput as error:
        expected = error.expected
        if isinstance(error, InvalidDocument):
            path, _, wanted = error.problems[0]
            expected = f"a workflow without problems of its own (its {path}: {wanted})"
        raise InvalidInput("workflow_id", name, expected) from None
    return None


@node(
    "subprocess", category="flow", aliases=("subflow", "sub_workflow"), check=_known_workflow, calls="workflow_id"
)  # fmt: skip
async def subprocess(
    run: Run,
    *,
    workflow_id: Annotated[str, param("name or id of a workflow", aliases=("workflow",), min_length=1)],
    input: Annotated[
        dict[str, Any] | None,
        param("what it is given; values may hold references; else what starts this run"),
    ] = None,
    workflows: Workflows,
    calls: Calls | None = None,
    context: Context,
) -> dict[str, Any]:
    """Run another workflow and wait for it. Its result's fields are the outputs; it fails when the other one does.

    Raises:
        InvalidInput: there is no such workflow; it has too many unfinished runs; or too many runs call each other.
    """
    given = input if input is not None else _given(context.event)
    called = workflows.get(workflow_id)
    if calls is not None:
        # recorded, for the answer is another one when the run is read again
        await run.step("room", calls.check, called.name, run.id, blocking=False)
    result = await run.call(called, given)
    plain = msgspec.to_builtins(result, enc_hook=_model)
    return plain if isinstance(plain, dict) else {"result": plain}


def _given(event: Any) -> Any:
    return _fields(event) if isinstance(event, Event) else event


def _model(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise InvalidInput("result", type(value).__name__, "what JSON can hold")
    return dump(mode="json")


# ------------------------------------------------------------------------------------------------ the state of breakers


class Circuit(msgspec.Struct, frozen=True):
    """How a breaker stands."""

    branch: Annotated[Literal["closed", "open", "half_open"], port("the same, as the way to go on")]
    circuit_status: Annotated[
        Literal["closed", "open", "half_open"],
        port("closed: a call would be let through; open: the dependency rests; half_open: others are trying it"),
    ]
    circuit: Annotated[str, port("the breaker's name")]


CIRCUIT_BRANCHES: Final = ("closed", "open", "half_open")


@node("circuit_breaker", category="flow", branches=CIRCUIT_BRANCHES, aliases=("check_circuit",))
def circuit_breaker(
    *,
    name: Annotated[str, param("which breaker; else the one named like the document")] = "",
    failure_threshold: Annotated[int, param("failures that open it", unit="failures", ge=1)] = 5,  # noqa: ARG001 - see below
    timeout_duration: Annotated[float, param("within which they count", unit="seconds", gt=0)] = 60,  # noqa: ARG001
    reset_timeout: Annotated[float, param("how long it stays open", unit="seconds", gt=0)] = 300,  # noqa: ARG001
    breakers: Breakers,
    context: Context,
) -> Circuit:
    """Say how a breaker stands.

    The breaker is fed by the nodes that name it (``breaker: <name>``); the settings here are those that it gets where
    they do not say others: ``failure_threshold`` failures within ``timeout_duration`` open it for ``reset_timeout``.
    Until one of them has been called it is closed; so it is once it has rested, for the calls that try it again.
    """
    which = name or context.document
    mode = breakers.mode(own(context.tenant, which)).replace("-", "_")
    for status in CIRCUIT_BRANCHES:
        if mode == status:
            return Circuit(status, status, which)
    raise InvalidInput(f"breakers.{which}", mode, f"one of {', '.join(CIRCUIT_BRANCHES)}")


# ----------------------------------------------------------------------------------------------------------- validating


@node("validation", category="flow", aliases=("validate", "assert"), output="valid")
def validation(
    *,
    test: Annotated[bool, test("what must hold")],
    message: Annotated[Words, param("what to say where it does not; it may hold references")] = "",
    context: Context,
) -> Annotated[bool, port("true: where it does not hold, the node fails")]:
    """Fail where something that must hold does not.

    Raises:
        InvalidInput: it does not.
    """
    if not test:
        raise InvalidInput(f"{context.node}.test", found=False, expected=message or "a condition that holds")
    return True


# ---------------------------------------------------------------------------------------------- analysts, models, code


@node("agent", category="flow", effect=True)
async def agent(
    data: Annotated[Any, port("what it is to look at")] = None,
    *,
    agent: Annotated[str, param("which analyst", aliases=("agent_type",), min_length=1)],
    task: Annotated[Words, param("what it is to do; it may hold references")] = "",
    analysts: Analysts,
    key: str,
) -> dict[str, Any]:
    """Ask an analyst. What it says are the outputs; it may cost money, so it is asked once."""
    return await analysts.ask(agent, task, msgspec.to_builtins(data, enc_hook=_model), key)


@node("neural", category="flow", aliases=("predict",))
async def neural(
    features: Annotated[Any, port("what the model is to judge")] = None,
    *,
    model: Annotated[str, param("which model", min_length=1)],
    models: Models,
) -> dict[str, Any]:
    """Ask a trained model. What it gives are the outputs."""
    return await models.predict(model, msgspec.to_builtins(features, enc_hook=_model))


@node("sandbox", category="flow")
async def sandbox(
    data: Annotated[Any, port("what the program gets")] = None,
    *,
    code: Annotated[str, param("the program", min_length=1)],
    timeout: Annotated[DurationAboveZero, param("how long it may take")] = "30 seconds",
    sandboxes: Sandboxes,
    context: Context,
) -> dict[str, Any]:
    """Run a program of the document's own, apart from everything else. What it gives are the outputs."""
    span = duration(timeout, f"{context.node}.timeout")
    return await sandboxes.execute(code, msgspec.to_builtins(data, enc_hook=_model), span)
