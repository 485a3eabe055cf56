"""Workflows: an ``async def`` with a name, a version and what starts it."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, get_origin

import msgspec
from msgspec import Raw

from tickwork.core.codec import Codec, annotations_of, codec_for
from tickwork.core.event import Event, read_event, tagged
from tickwork.core.flow import Batch, Concurrency, Debounce, Flow, Idempotency, RateLimit, Throttle
from tickwork.core.letters import DeadLetterPolicy
from tickwork.core.retry import Retry
from tickwork.core.run import NAME_MAX, Run, Span
from tickwork.core.trigger import Trigger, When
from tickwork.errors import InvalidInput
from tickwork.values import duration

Body = Callable[..., Coroutine[Any, Any, Any]]
Source = type[Event] | Trigger
"""What starts runs: a class of events, or a trigger."""


class Workflow:
    """A workflow as declared. Unique by name and version; a run keeps the version it started with."""

    def __init__(
        self,
        fn: Body,
        name: str,
        *,
        on: tuple[Trigger, ...],
        version: int,
        retry: Retry | None,
        timeout: int,
        key: Callable[[Any], str] | None,
        on_failure: Body | None,
        flow: Flow,
        valid_for: int,
        policy: DeadLetterPolicy | None,
    ) -> None:
        self.fn = fn
        self.name = name
        self.triggers = on
        self.on = tuple(dict.fromkeys(trigger.event for trigger in on if trigger.event is not None))
        """Classes of the events that start a run."""
        self.version = version
        self.retry = retry
        self.timeout = timeout
        self.key = key
        self.on_failure = on_failure
        self.flow = flow or None
        """When its runs may begin; ``None``: at once."""
        self.valid_for = valid_for
        """ns after which a run that has not begun does not happen; 0: never."""
        self.policy = policy
        """What becomes of its runs that died."""
        parameters = list(inspect.signature(fn).parameters.values())
        if len(parameters) not in (1, 2):
            raise InvalidInput(
                f"@workflow({name!r})", f"{len(parameters)} parameters", "async def name(run) or name(run, input)"
            )
        if on_failure is not None and not (
            inspect.iscoroutinefunction(on_failure) and len(inspect.signature(on_failure).parameters) == 3
        ):
            raise InvalidInput(
                f"@workflow({name!r}) on_failure", on_failure, "an `async def on_failure(run, input, error)`"
            )
        self.takes_input = len(parameters) > 1
        annotations = annotations_of(fn)
        annotation = annotations.get(parameters[1].name, Any) if self.takes_input else None
        if flow.batch is not None and get_origin(annotation) is not list:
            found = "no input" if not self.takes_input else getattr(annotation, "__name__", str(annotation))
            raise InvalidInput(f"@workflow({name!r}) input", found, "list[...] of its events, because it takes batches")
        for event in self.on:
            if isinstance(annotation, type) and issubclass(annotation, Event) and not issubclass(event, annotation):
                raise InvalidInput(
                    f"@workflow({name!r}) input", annotation.__name__, f"what starts it: {event.__name__}"
                )
        self._default = parameters[1].default if self.takes_input else None
        self.input: Codec = codec_for(annotation)
        self.result: Codec = codec_for(annotations.get("return", Any))
        self.__doc__ = fn.__doc__
        self.__name__ = fn.__name__
        self.__module__ = fn.__module__

    def body(self, run: Run, input: Any) -> Coroutine[Any, Any, Any]:
        """The body's coroutine."""
        return self.fn(run, input) if self.takes_input else self.fn(run)

    def encode_input(self, input: Any) -> Raw:
        """The input as JSON; a wrong one is found here, before anything is recorded.

        Raises:
            InvalidInput: it is not what the body's parameter is annotated with, or cannot be put on the tape.
        """
        what = f"input of {self.name!r}"
        if input is None and self._default is not inspect.Parameter.empty:
            input = self._default
        wanted = self.input.annotation
        if isinstance(input, dict) and isinstance(wanted, type) and issubclass(wanted, Event):
            input = wanted(**input)
        if isinstance(wanted, type) and issubclass(wanted, Event) and not isinstance(input, wanted):
            raise InvalidInput(what, input, f"a {wanted.__name__} (or a mapping of its fields)")
        return self.input.round_trip(input, what)[0]

    def decode_input(self, data: Raw | bytes, event: str = "") -> Any:
        """The input as the body receives it; ``event`` is the tag of the event it is, when one started the run."""
        if event:
            name, version = tagged(event)
            for listening in self.on:
                if listening.event_name == name and listening.reads(version):
                    if self.flow is not None and self.flow.batch is not None:
                        return [listening.read(version, bytes(item)) for item in _items(bytes(data))]
                    return listening.read(version, bytes(data))
            found = _messages(name, version, bytes(data))
            if found is not None:
                return found
        return self.input.decode(data, f"input of {self.name!r}")

    def decode_result(self, data: Raw | bytes) -> Any:
        """The result as ``handle.result()`` and ``run.call`` give it."""
        return self.result.decode(data, f"result of {self.name!r}")

    def __repr__(self) -> str:
        return f"<workflow {self.name!r} version {self.version}>"


def _check(path: str, retry: Any, key: Any, policy: Any) -> None:
    if retry is not None and not isinstance(retry, Retry):
        raise InvalidInput(f"{path} retry", retry, "a Retry, such as Retry(limit=3, delay='1 second')")
    if key is not None and not callable(key):
        raise InvalidInput(f"{path} key", key, "a function of the input, such as lambda order: order.symbol")
    if policy is not None and not isinstance(policy, DeadLetterPolicy):
        raise InvalidInput(f"{path} policy", policy, "a DeadLetterPolicy(Rule(match, action), ...)")


_items = msgspec.json.Decoder(list[Raw]).decode


def _messages(name: str, version: int, data: bytes) -> Any:
    """A queue's message, or a list of them, by the event that they are; ``None`` where nobody declares it any more."""
    if data[:1] != b"[":
        return read_event(name, version, data)
    events = [read_event(name, version, bytes(item)) for item in _items(data)]
    return None if None in events else events


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, Idempotency)


def _triggers(path: str, on: Any) -> tuple[Trigger, ...]:
    given = () if on is None else on if isinstance(on, list | tuple) else (on,)
    found: list[Trigger] = []
    for source in given:
        if isinstance(source, Trigger):
            found.append(source)
        elif isinstance(source, type) and issubclass(source, Event) and source.event_name:
            found.append(When(source))
        else:
            raise InvalidInput(path, source, "a class of events or a trigger, or several")
    texts = Counter(str(trigger) for trigger in found)
    twice = next((text for text, number in texts.items() if number > 1), None)
    if twice is not None:
        raise InvalidInput(path, f"{twice} twice", "each trigger once")
    return tuple(found)


def workflow(
    name: str,
    *,
    on: Source | Sequence[Source] | None = None,
    version: int = 1,
    retry: Retry | None = None,
    timeout: Span | None = None,
    key: Callable[[Any], str] | None = None,
    on_failure: Body | None = None,
    concurrency: Concurrency | int | None = None,
    rate_limit: RateLimit | None = None,
    throttle: Throttle | None = None,
    debounce: Debounce | Span | None = None,
    batch: Batch | None = None,
    priority: int | Callable[[Any], int] = 0,
    singleton: Literal["skip", "cancel"] | None = None,
    idempotency: Idempotency | Callable[[Any], str] | None = None,
    valid_for: Span | None = None,
    policy: DeadLetterPolicy | None = None,
) -> Callable[[Body], Workflow]:
    """Declare a workflow.

    Args:
        name: unique together with ``version``.
        on: what starts a run: classes of events and triggers (``core.trigger``), one or several.
        retry: new attempts of the whole body after it failed; completed steps are kept.
        timeout: the active time of one attempt (steps and effects at work), not its sleep.
        key: names what a run is about (an account, a symbol). Runs with the same key take turns, in order.
        on_failure: ``async def on_failure(run, input, error)``, run before the run becomes a dead letter.
        concurrency, rate_limit, throttle, debounce, batch, priority, singleton, idempotency: when runs may begin
            (``core.flow``).
        valid_for: a run that cannot begin within this time of what it is about is dropped, with a record of it.
        policy: what becomes of runs that died; by default an ``Alert`` tells of them.

    Raises:
        InvalidInput: not an ``async def``, or an argument is wrong.
    """
    path = f"@workflow({name!r})"
    if not isinstance(name, str) or not name or len(name) > NAME_MAX or not name.isprintable():
        raise InvalidInput("@workflow(name)", name, f"a printable text of 1 to {NAME_MAX} characters")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InvalidInput(f"{path} version", version, "a whole number from 1")
    triggers = _triggers(f"{path} on", on)
    _check(path, retry, key, policy)
    try:
        flow = Flow(
            keyed=key is not None,
            concurrency=Concurrency(total=concurrency) if isinstance(concurrency, int) else concurrency,
            rate_limit=rate_limit,
            throttle=throttle,
            debounce=debounce if debounce is None or isinstance(debounce, Debounce) else Debounce(debounce),
            batch=batch,
            priority=priority,
            singleton=singleton,
            idempotency=Idempotency(idempotency) if _is_function(idempotency) else idempotency,  # type: ignore[arg-type]
        )
        age = 0 if valid_for is None else duration(valid_for, "valid_for")
        if valid_for is not None and not age:
            raise InvalidInput("valid_for", valid_for, "a duration above zero")
    except InvalidInput as error:
        raise InvalidInput(f"{path} {error.path}", error.found, error.expected) from None

    def declare(fn: Body) -> Workflow:
        if not inspect.iscoroutinefunction(fn):
            raise InvalidInput(path, getattr(fn, "__qualname__", fn), "an `async def name(run, input)`")
        return Workflow(
            fn,
            name,
            on=triggers,
            version=version,
            retry=retry,
            timeout=0 if timeout is None else duration(timeout),
            key=key,
            on_failure=on_failure,
            flow=flow,
            valid_for=age,
            policy=policy,
        )

    return declare
