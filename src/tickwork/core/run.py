"""``Run``: the verbs a workflow body may await, and the few values it may read."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from tickwork.core.asks import (
    Again,
    All,
    Approval,
    Ask,
    Call,
    Composed,
    Effect,
    Emit,
    Race,
    Send,
    Sleep,
    Start,
    Step,
    WaitFor,
    discard,
)
from tickwork.core.breaker import GUARDED, Breaker, guarded
from tickwork.core.conditions import Where
from tickwork.core.event import Event
from tickwork.core.latch import Latch
from tickwork.core.queue import Queue, pack, queue_name
from tickwork.core.retry import Retry
from tickwork.core.saga import Saga
from tickwork.errors import InvalidInput
from tickwork.values import duration, from_ns, timestamp_ns

if TYPE_CHECKING:
    from tickwork.core.drive import Drive

T = TypeVar("T")
A = TypeVar("A", bound=Ask)
E = TypeVar("E", bound=Event)
Span = timedelta | str
"""A length of time: a ``timedelta`` or a text such as ``"5 seconds"``."""

NAME_MAX = 200
_GOOD_NAMES_MAX = 10_000


class Won(NamedTuple):
    """How a race ended: which arm (from 0), and its value."""

    index: int  # type: ignore[assignment]
    value: Any


class Run:
    """One execution of a workflow, as its body sees it. Everything it offers is recorded or derived from records."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive

    # -- what a body may await ------------------------------------------------------------------------------------

    @overload
    def step(
        self,
        name: str,
        fn: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        retry: Retry | None = ...,
        timeout: Span | None = ...,
        blocking: bool | None = ...,
        breaker: Breaker | None = ...,
    ) -> Awaitable[T]: ...
    @overload
    def step(
        self,
        name: str,
        fn: Callable[..., T],
        *args: Any,
        retry: Retry | None = ...,
        timeout: Span | None = ...,
        blocking: bool | None = ...,
        breaker: Breaker | None = ...,
    ) -> Awaitable[T]: ...
    def step(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        retry: Retry | None = None,
        timeout: Span | None = None,
        blocking: bool | None = None,
        breaker: Breaker | None = None,
    ) -> Awaitable[Any]:
        """Read or compute, and remember the result.

        Args:
            name: shown to people and used in replay together with its occurrence.
            fn: sync or async; its return annotation types the recorded result.
            args: passed to ``fn``; should serialise.
            retry: when to try again; without one a failure goes to the body at once.
            timeout: for one attempt. A sync ``fn`` with a time-out runs in a thread.
            blocking: a sync ``fn`` runs in a thread (``True``), on the loop (``False``), or on the loop once it has
                shown itself quick (``None``; see ``docs/architecture.md``).
            breaker: must let each attempt through; by default the one that ``fn`` is decorated with, if any.

        Raises:
            Whatever ``fn`` raised last, by its own class if that round-trips, else ``StepFailed``.
            BreakerOpen: the breaker let the last attempt not through.
        """
        self._ready(name, fn)
        _check_retry(name, retry)
        step = Step(name, fn, args, retry, 0 if timeout is None else _span("step(timeout=)", timeout), blocking)
        if breaker is not None or GUARDED:
            kept = guarded(step, _check_breaker(name, breaker))
            if kept is not step:
                return self._made(kept)
        self._drive.made += 1
        return step

    @overload
    def effect(
        self,
        name: str,
        fn: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        lookup: Callable[..., Any] | None = ...,
        grace: Span | None = ...,
        retry: Retry | None = ...,
        timeout: Span | None = ...,
        valid_for: Span | None = ...,
        breaker: Breaker | None = ...,
    ) -> Awaitable[T]: ...
    @overload
    def effect(
        self,
        name: str,
        fn: Callable[..., T],
        *args: Any,
        lookup: Callable[..., Any] | None = ...,
        grace: Span | None = ...,
        retry: Retry | None = ...,
        timeout: Span | None = ...,
        valid_for: Span | None = ...,
        breaker: Breaker | None = ...,
    ) -> Awaitable[T]: ...
    def effect(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        lookup: Callable[..., Any] | None = None,
        grace: Span | None = None,
        retry: Retry | None = None,
        timeout: Span | None = None,
        valid_for: Span | None = None,
        breaker: Breaker | None = None,
    ) -> Awaitable[Any]:
        """Touch the outside world: ``fn(*args, key=key)`` runs after its intent, with ``key``, is on disk.

        Args:
            lookup: ``lookup(key, *args)`` answers ``Found(value)`` or ``NotFound()``; asked whenever the outcome is
                unknown. Without it the effect happens at least once, always with the same key.
            grace: how long "not found" must hold before the effect is made again.
            valid_for: how long after it was asked for it may still be made. After a laptop's sleep or a long outage an
                effect that was not made in time is not made at all.
            breaker: must let ``fn`` through, by default the one that it is decorated with, if any. It refuses before
                ``fn`` is first called, and only delays it after; ``lookup`` asks no breaker.

        Raises:
            Refused, Rejected, InvalidInput, NotSent, Fatal: certain outcomes. Stale: it was not made in time.
            BreakerOpen: a certain outcome too, a NotSent.
            Unknown: it is too old to be made again, and without a look-up nobody can tell whether it was.
        """
        self._ready(name, fn)
        _check_retry(name, retry)
        if lookup is not None and not callable(lookup):
            raise InvalidInput(f"effect {name!r} lookup", lookup, "a function lookup(key, *args) -> Found | NotFound")
        effect = Effect(
            name,
            fn,
            args,
            lookup,
            0 if grace is None else _span("effect(grace=)", grace),
            retry,
            0 if timeout is None else _span("effect(timeout=)", timeout),
            valid_for=0 if valid_for is None else _span("effect(valid_for=)", valid_for),
        )
        return self._made(guarded(effect, _check_breaker(name, breaker)))

    def sleep(self, length: Span) -> Awaitable[None]:
        """Wait; a sleeping run costs a row, not memory."""
        self._ready()
        return self._made(Sleep("sleep", self._drive.clock + _span("sleep", length)))

    def sleep_until(self, time: datetime) -> Awaitable[None]:
        """Wait until an aware time; one in the past returns at once."""
        self._ready()
        return self._made(Sleep("sleep", timestamp_ns(time)))

    def wait_for(
        self,
        event: type[E],
        where: Mapping[str, Any] | str | None = None,
        since: int | None = None,
        timeout: Span | None = None,
    ) -> Awaitable[E | None]:
        """The next matching event after ``since``, or ``None`` on time-out.

        Args:
            where: a mapping of fields, or a condition text; never a function.
            since: a position from ``run.mark()``; by default the run's previous match of any wait, else its start.
        """
        self._ready()
        if not (isinstance(event, type) and issubclass(event, Event) and event.event_name):
            raise InvalidInput("wait_for", event, "a class of events")
        drive = self._drive
        due = 0 if timeout is None else drive.clock + _span("wait_for(timeout=)", timeout)
        return self._made(WaitFor(event.event_name, Where(event, where), drive.since if since is None else since, due))

    def emit(self, event: Event, delay: Span | None = None, at: datetime | None = None) -> Awaitable[int]:
        """Publish an event exactly once, now, after ``delay`` or ``at`` a time. Returns the record's ``seq``."""
        self._ready()
        if not (isinstance(event, Event) and event.event_name):
            raise InvalidInput("emit", event, "an event (an instance of a named subclass of Event)")
        due = 0
        if delay is not None:
            if at is not None:
                raise InvalidInput("emit", "delay and at", "only one of them")
            due = self._drive.clock + _span("emit(delay=)", delay)
        elif at is not None:
            due = timestamp_ns(at)
        return self._made(Emit(event.event_name, event, due))

    def emit_all(self, events: Iterable[Event], batch: int = 10, pause: Span = "100 ms") -> Awaitable[list[int]]:
        """Publish events in order, each exactly once, with a pause after every ``batch`` of them but the last.

        Made of ``emit`` and ``sleep``: after a crash it goes on where it was. Returns the records' positions.

        Raises:
            InvalidInput: not events, or a batch below 1.
        """
        self._ready()
        given = tuple(events)
        for index, event in enumerate(given):
            if not (isinstance(event, Event) and event.event_name):
                raise InvalidInput(f"emit_all[{index}]", event, "an event (an instance of a named subclass of Event)")
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise InvalidInput("emit_all(batch=)", batch, "a whole number from 1")
        _span("emit_all(pause=)", pause)
        return self._made(Composed("emit_all", lambda made: self._emit_all(made, given, batch, pause)))

    async def _emit_all(self, made: Ask, events: tuple[Event, ...], batch: int, pause: Span) -> list[int]:
        self._drive.unheard.pop(id(made), None)
        positions = []
        for index, event in enumerate(events):
            if index and index % batch == 0:
                await self.sleep(pause)
            positions.append(await self.emit(event))
        return positions

    def send(
        self,
        queue: Queue | str,
        body: Any,
        group: str = "",
        id: str | None = None,
        delay: Span | None = None,
        priority: int = 0,
    ) -> Awaitable[int]:
        """Put a message into a queue exactly once, now or after ``delay``. Returns its ``seq``.

        Args:
            body: an event, or any JSON value.
            group: messages of one group stay in order.
            id: a second message with the same id, within the queue's window, is the first one.
            priority: between groups, the higher goes first.

        Raises:
            QueueFull: there is no room. InvalidInput: an unknown queue, or a body it does not take.
        """
        self._ready()
        name = queue.name if isinstance(queue, Queue) else queue_name("send(queue)", queue)
        due = 0 if delay is None else self._drive.clock + _span("send(delay=)", delay)
        return self._made(Send(name, pack(body, group, id, priority), due))

    def call(self, workflow: Any, input: Any = None, id: str | None = None) -> Awaitable[Any]:
        """Start a child run and wait for its result; its failure is raised here."""
        self._ready()
        return self._made(Call(_workflow_name(workflow), workflow, input, id or ""))

    def start(self, workflow: Any, input: Any = None, id: str | None = None) -> Awaitable[str]:
        """Start a child run and go on. Returns its id."""
        self._ready()
        return self._made(Start(_workflow_name(workflow), workflow, input, id or ""))

    def all(self, *arms: Awaitable[Any]) -> Awaitable[list[Any]]:
        """Wait for every arm (verbs, or coroutines made of verbs); their values in order.

        The first failure cancels the other arms and is raised; an effect in flight is followed to its outcome first.
        """
        return self._made(All(self._arms("all", arms)))

    def race(self, *arms: Awaitable[Any]) -> Awaitable[Won]:
        """Wait for the first arm to end, and cancel the others; a losing effect is followed to its outcome first."""
        if not arms:
            raise InvalidInput("race", "no arms", "at least one")
        return self._made(Race(self._arms("race", arms)))

    def latch(self) -> Latch:
        """A gate between arms of one ``all``: ``await latch`` goes on once another arm has called ``latch.open()``.

        Not recorded: it follows from the answers that are.
        """
        return Latch(self._drive)

    def _arms(self, verb: str, arms: tuple[Awaitable[Any], ...]) -> tuple[Awaitable[Any], ...]:
        try:
            self._ready()
            for index, arm in enumerate(arms):
                if not isinstance(arm, Ask | Coroutine) and not hasattr(arm, "__await__"):
                    expected = "a verb of the run, or a coroutine made of verbs"
                    raise InvalidInput(f"{verb} arm {index}", type(arm).__name__, expected)
        except BaseException:
            discard(arms)
            raise
        return arms

    def saga(self) -> Saga:
        """``async with run.saga() as saga``: steps and effects whose undos run in reverse when the block fails."""
        self._ready()
        return Saga(self)

    def approval(self, question: str, timeout: Span | None = None) -> Awaitable[bool]:
        """A human's yes or no, over any face; a time-out is a no."""
        self._ready(question)
        return self._made(
            Approval(question, 0 if timeout is None else self._drive.clock + _span("approval(timeout=)", timeout))
        )

    def again(self, input: Any = None) -> Awaitable[Any]:
        """Finish this run and continue as a fresh one of the same workflow: how endless loops stay short."""
        self._ready()
        return self._made(Again("again", input))

    # -- what a body may read -------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The time of the last answered record (UTC)."""
        return from_ns(self._drive.now)

    @property
    def now_ns(self) -> int:
        """The same in ns since 1970 UTC."""
        return self._drive.now

    def random(self) -> float:
        """A number from 0 to 1, derived from the run: the same in every replay."""
        return self._drive.rng().random()

    def uuid(self) -> uuid.UUID:
        """A UUID derived from the run: the same in every replay."""
        return uuid.UUID(int=self._drive.rng().getrandbits(128), version=4)

    def mark(self) -> int:
        """The tape position of the last answered record, for ``wait_for(since=)``."""
        return self._drive.seq

    def patched(self, change: str) -> bool:
        """Guard a deliberate change: True in runs that reach this line for the first time with the new code."""
        self._ready(change)
        return self._drive.patched(change)

    @property
    def id(self) -> str:
        """The run's id."""
        return self._drive.id

    @property
    def owner(self) -> str:
        """Whose run this is."""
        return self._drive.owner

    @property
    def attempt(self) -> int:
        """Which attempt of the workflow this is, from 1."""
        return self._drive.attempt

    @property
    def branch(self) -> str:
        """The path of the branch (an arm of ``all`` or ``race``) whose code is running; ``""`` for the body's own."""
        return self._drive.branch

    def remembered(self, name: str) -> Any:
        """What the first step of this name in the current branch gave in an earlier attempt of this run; else ``None``.

        A fork remembers nothing: it may have been given another input.
        """
        return self._drive.remembered(name)

    @property
    def interruption(self) -> BaseException | None:
        """What was last thrown into the body from outside: a cancellation, or that the attempt has run out of time."""
        return self._drive.interruption

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that carries the run's id and is silent in replay."""
        return _RunLog(logging.getLogger("tickwork.run"), self._drive)

    def _made(self, ask: A) -> A:
        """Remember a verb until it is awaited."""
        self._drive.unheard[id(ask)] = ask
        return ask

    def _ready(self, name: Any = "-", fn: Any = callable) -> None:
        """Refuse what cannot be replayed, before anything is asked."""
        if self._drive.closing:
            # parked: a verb in a `finally` must not run; the body believes it is being closed, and it is
            raise GeneratorExit
        if type(name) is not str or name not in _good_names:
            _check_name(name)
        if not callable(fn):
            hint = " (pass the function itself and its arguments after it: run.step('name', fn, arg))"
            raise InvalidInput(f"function of {name!r}", type(fn).__name__, "a function" + hint)


def _check_retry(name: str, retry: Any) -> None:
    if retry is not None and type(retry) is not Retry:
        raise InvalidInput(f"retry of {name!r}", retry, "a Retry, such as Retry(limit=3, delay='1 second')")


def _check_breaker(name: str, breaker: Any) -> Breaker | None:
    if breaker is None or isinstance(breaker, Breaker):
        return breaker
    raise InvalidInput(f"breaker of {name!r}", breaker, "a Breaker, such as Breaker('mexc')")


_good_names: set[str] = {"-"}
"""Names that were checked, so that a name is checked once and not at each step."""


def _check_name(name: Any) -> None:
    if type(name) is not str or not name or len(name) > NAME_MAX or not name.isprintable():
        raise InvalidInput("step name", name, f"a printable text of 1 to {NAME_MAX} characters, equal in every replay")
    if len(_good_names) >= _GOOD_NAMES_MAX:
        _good_names.clear()
    _good_names.add(name)


class _RunLog(logging.LoggerAdapter[logging.Logger]):
    def __init__(self, logger: logging.Logger, drive: Drive) -> None:
        super().__init__(logger, {"run": drive.id})
        self._of = drive

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return not self._of.replaying and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return f"[{self._of.id}] {msg}", {**kwargs, "extra": self.extra}


def _span(path: str, length: Span) -> int:
    if type(length) is not str and not isinstance(length, timedelta):
        raise InvalidInput(path, length, "a timedelta or a text with a unit, such as '5 seconds'")
    try:
        return duration(length)
    except InvalidInput as error:
        raise InvalidInput(path, error.found, error.expected) from None


def _workflow_name(workflow: Any) -> str:
    name = getattr(workflow, "name", None)
    if not isinstance(name, str):
        raise InvalidInput("workflow", workflow, "a function decorated with @workflow")
    return name


def seeded(seed: bytes) -> random.Random:
    """The run's own randomness."""
    return random.Random(seed)  # noqa: S311 - repeatable on purpose
