"""How a node's function is called: as a step, as an effect, or as verbs of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any

from tickwork.core.breaker import Breaker
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.saga import Saga
from tickwork.errors import Fatal, InvalidInput, NotSent, TimedOut
from tickwork.graph.declare import Context
from tickwork.graph.wiring.planned import ABSENT, Frame, Planned
from tickwork.graph.wiring.ports import convert
from tickwork.values import duration_text


class Bound(partial[Any]):
    """A function with its settings, called with its inputs and with the settings that depend on the run.

    Whatever comes after those is only there to be seen: it tells one call from another on the tape. The engine knows a
    function by its code, so this has the code of the function that it binds.
    """

    inputs: int
    """How many there are."""

    @property
    def __code__(self) -> Any:
        return self.func.__code__

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        return self.func(*args[: self.inputs], **{**self.keywords, **args[self.inputs], **keywords})


class Lookup(Bound):
    """The look-up of a node's effect: ``lookup(key, ...)`` with the same arguments."""

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        key, *rest = args
        return self.func(key, *rest[: self.inputs], **{**self.keywords, **rest[self.inputs], **keywords})


class NodeRun(Run):
    """The run as a node with verbs of its own sees it.

    Its breaker, if it has one, must let its effects through; and it is noted whether one of them took hold, or may
    have: then the node is not tried again as a whole, which would do that a second time under another key.
    """

    def __init__(self, run: Run, breaker: Breaker | None) -> None:
        super().__init__(run._drive)
        self._breaker = breaker
        self.acted = False

    def effect(self, name: str, fn: Callable[..., Any], *args: Any, **options: Any) -> Awaitable[Any]:
        """As of ``Run``."""
        guarded = options if self._breaker is None else {"breaker": self._breaker, **options}
        return _Acting(self, super().effect(name, fn, *args, **guarded))

    def saga(self) -> Saga:
        """As of ``Run``; what is done in it counts as an effect that took hold."""
        self.acted = True
        return Saga(Run(self._drive))


class _Acting:
    """An effect whose outcome is noted."""

    __slots__ = ("_effect", "_run")

    def __init__(self, run: NodeRun, effect: Awaitable[Any]) -> None:
        self._run, self._effect = run, effect

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            found = yield from self._effect.__await__()
        except (NotSent, Fatal):
            raise  # certain: nothing of it took hold
        except Exception:
            self._run.acted = True
            raise
        self._run.acted = True
        return found


class Given:
    """What a node is given in this run: its inputs and settings."""

    __slots__ = ("inputs", "named", "settings")

    def __init__(self, planned: Planned, frame: Frame, scope: dict[str, Any]) -> None:
        """
        Raises:
            InvalidInput: an input has no value, or a value is not what the node takes.
        """
        self.inputs: list[Any] = []
        self.named: dict[str, Any] = {}
        for port, feed, _ in planned.fed:
            value = ABSENT if feed is None else feed(frame)
            if value is not ABSENT:
                value = convert(value, port.type, f"{planned.id}.{port.name}")
                self.named[port.name] = value
            elif port.required:
                expected = f"a value: what feeds the input {port.name!r} was not done in this run"
                raise InvalidInput(f"{planned.id}.{port.name}", "nothing", expected)
            else:
                value = port.default
            self.inputs.append(value)
        self.settings = {setting.param.name: setting.value(scope) for setting in planned.settings}


async def call(run: Run, planned: Planned, given: Given, context: Context | None, name: str) -> Any:
    """Do what a node does; ``name`` is that of its step or effect on the tape.

    Raises:
        Whatever its function raises; TimedOut.
    """
    type, fixed, settings = planned.type, planned.constants, given.settings
    if context is not None and type.context:
        fixed = {**fixed, type.context: context}
    elif type.kind == "step" and planned.doing is None:
        planned.doing = bound(Bound, type.fn, fixed, len(given.inputs))
    if type.kind == "verbs":
        return await _recorded(run, planned, partial(type.fn, **fixed, **settings), given.inputs, name)
    doing = planned.doing or bound(Bound, type.fn, fixed, len(given.inputs))
    # what a node may know of its run is an argument too: a fork with another input must not take its old result
    arguments = (*given.inputs, settings) if context is None else (*given.inputs, settings, context.event)
    timeout = duration_text(planned.timeout) if planned.timeout else None
    if type.kind == "step":
        return await run.step(name, doing, *arguments, retry=planned.retry, timeout=timeout, breaker=planned.breaker)
    lookup = None if type.lookup is None else bound(Lookup, type.lookup, fixed, len(given.inputs))
    return await run.effect(
        name, doing, *arguments, lookup=lookup, retry=planned.retry, timeout=timeout, breaker=planned.breaker
    )


def bound(kind: type[Bound], fn: Callable[..., Any], fixed: dict[str, Any], inputs: int) -> Bound:
    """A function bound to its settings, with so many inputs."""
    made = kind(fn, **fixed)
    made.inputs = inputs
    return made


def outcome_of(name: str) -> str:
    """The step that holds what came of a node with verbs of its own."""
    return f"{name} outcome"


async def _recorded(run: Run, planned: Planned, fn: Callable[..., Awaitable[Any]], inputs: list[Any], name: str) -> Any:
    """A node that asks verbs of its own; what came of it is one record more, so that it can be read off the tape."""
    try:
        value = await _verbs(run, planned, fn, inputs)
    except Exception as error:
        if error is not run.interruption:
            await run.step(outcome_of(name), _Failed(error), str(error), blocking=False)
        raise
    assert planned.type.outcome is not None
    return await run.step(outcome_of(name), planned.type.outcome, value, blocking=False)


class _Failed:
    """A step that fails as a node did."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    @property
    def __code__(self) -> Any:
        return _failed.__code__

    def __call__(self, _: str) -> None:
        raise self._error


def _failed() -> None:
    """What a failed outcome is called on the tape."""


async def _verbs(run: Run, planned: Planned, fn: Callable[..., Awaitable[Any]], inputs: list[Any]) -> Any:
    """Its verbs, tried again as its retry says, unless an effect of a try took hold."""
    retry, failures = planned.retry or Retry(limit=0), 0
    while True:
        inner = NodeRun(run, planned.breaker)
        try:
            return await _limited(run, planned, fn(inner, *inputs))
        except Exception as error:
            failures += 1
            if inner.acted or error is run.interruption or not retry.allows(error, failures):
                raise
            wait = retry.wait(failures, run.random() if retry.jitter else 0)
        if wait:
            await run.sleep(duration_text(wait))


async def _limited(run: Run, planned: Planned, doing: Any) -> Any:
    """Its verbs, up to the node's time-out; an effect that is under way then is followed to its outcome."""
    if not planned.timeout:
        return await doing
    limit = duration_text(planned.timeout)
    won = await run.race(doing, run.sleep(limit))
    if won.index == 1:
        raise TimedOut(f"node {planned.id!r}", limit)
    return won.value
