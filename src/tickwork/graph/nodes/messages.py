"""Messages: to people, to queues, to other workflows.

A notification is the event ``tickwork/notify``: who hears of it, over which channel and when, the rules of the
installation say.
"""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final, Literal

import msgspec

from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.about import given_symbols
from tickwork.graph.nodes.placing import wants
from tickwork.graph.nodes.signals import SymbolSignal
from tickwork.graph.nodes.views import DEPTH_MAX, Emitted
from tickwork.graph.nodes.words import Words
from tickwork.graph.sources import Calls
from tickwork.graph.tenants import own
from tickwork.graph.texts import DurationOrNothing, QueueName
from tickwork.notify.events import Notify, Severity

_MESSAGE = param("what to say; it may hold references such as {{analyze.rsi}}")
_TITLE = param("its first line; where nothing is said, the document's name")
_SEVERITY = param("how much it matters")
_KIND = param("what it is about: routes go by it")
_SIGNAL = port("false or HOLD: nothing is sent")

KIND: Final = "document.message"
"""The kind of what documents say, where they do not say one."""

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Said(msgspec.Struct, frozen=True):
    """What was said."""

    sent: Annotated[bool, port("true if it was published; the channels follow")]
    title: Annotated[str, port("its first line")] = ""
    message: Annotated[str, port("the rest of it")] = ""


async def _say_if(
    signal: Any, run: Run, context: Context, title: str, message: str, severity: Severity, kind: str
) -> Said:
    return Said(sent=False) if _is_no(signal) else await _say(run, context, title, message, severity, kind)


async def _say(run: Run, context: Context, title: str, message: str, severity: Severity, kind: str) -> Said:
    first, body = title or context.document, message or _occasion(context)
    await run.emit(
        Notify(
            kind=kind or KIND,
            title=first,
            body=body,
            severity=severity,
            owner=context.owner,
            # one node says one thing in one run: said again, by a second attempt, it is the same
            dedupe=f"{context.run} {context.node} {context.undoing}".strip(),
        )
    )
    return Said(sent=True, title=first, message=body)


def _occasion(context: Context) -> str:
    about = context.given("symbol")
    started = f"started by {context.trigger or 'hand'}" + (f" of {about}" if about else "")
    return f"{context.node}: run {context.run}, {started}"


def _is_no(signal: Any) -> bool:
    return wants(signal) == "nothing"


@node("notify", category="messages")
async def notify(
    run: Run,
    signal: Annotated[Any, _SIGNAL] = True,
    *,
    message: Annotated[Words, _MESSAGE] = "",
    title: Annotated[Words, _TITLE] = "",
    severity: Annotated[Severity, _SEVERITY] = "info",
    kind: Annotated[str, _KIND] = KIND,
    context: Context,
) -> Said:
    """Tell people something, when the signal says so."""
    return await _say_if(signal, run, context, title, message, severity, kind)


@node("alert_user", category="messages")
async def alert_user(
    run: Run,
    signal: Annotated[Any, _SIGNAL] = True,
    *,
    message: Annotated[Words, _MESSAGE] = "",
    title: Annotated[Words, _TITLE] = "",
    severity: Annotated[Severity, _SEVERITY] = "critical",
    kind: Annotated[str, _KIND] = "document.alert",
    context: Context,
) -> Said:
    """Tell people something that matters at once."""
    return await _say_if(signal, run, context, title, message, severity, kind)


@node("send_notification", category="messages", undo="send_failure_alert")
async def send_notification(
    run: Run,
    signal: Annotated[Any, _SIGNAL] = True,
    *,
    message: Annotated[Words, _MESSAGE] = "",
    title: Annotated[Words, _TITLE] = "",
    severity: Annotated[Severity, _SEVERITY] = "info",
    kind: Annotated[str, _KIND] = KIND,
    context: Context,
) -> Said:
    """Tell people that something was done; if it is undone later, they hear of that too."""
    return await _say_if(signal, run, context, title, message, severity, kind)


@node("send_failure_alert", category="messages")
async def send_failure_alert(
    run: Run,
    sent: Annotated[bool, port("as an undo: was anything said that no longer holds?")] = True,
    title: Annotated[str, port("as an undo: what was said")] = "",
    message: Annotated[str, port("as an undo: the rest of it")] = "",
    *,
    text: Annotated[Words, param("what to say; it may hold references")] = "",
    severity: Annotated[Severity, _SEVERITY] = "error",
    kind: Annotated[str, _KIND] = "document.failed",
    context: Context,
) -> Said:
    """Tell people that the run has failed, and what they were told before that no longer holds."""
    if context.undoing and not sent:
        return Said(sent=False)
    body = text or f"run {context.run} failed"
    if title and context.undoing:
        body += f"; what was said before no longer holds: {title}" + (f" ({message})" if message else "")
    return await _say(run, context, f"{context.document} has failed", body, severity, kind)


# -------------------------------------------------------------------------------------------------------------- queues


class Queued(msgspec.Struct, frozen=True):
    """What was put into a queue."""

    message: Annotated[str, port("id of the first message; empty where there was none")]
    messages: Annotated[list[str], port("ids of all")]
    queue: Annotated[str, port("where they are")]


@node("queue_for_execution", category="messages", aliases=("queue",))
async def queue_for_execution(
    run: Run,
    signal: Annotated[Any, port("BUY, SELL, EXIT, true; HOLD or false: nothing is queued")] = True,
    confidence: Annotated[float | None, port("how sure the signal is")] = None,
    symbol: Annotated[str, port("what it is about")] = "",
    by_symbol: Annotated[dict[str, Any] | None, port("signals of several symbols: a message each")] = None,
    data: Annotated[Any, port("whatever else is to go along")] = None,
    *,
    queue: Annotated[QueueName, param("which queue; the engine must have it")] = "execution",
    type: Annotated[str, param("the message's type, which workers go by")] = "trade_signal",
    delay: Annotated[DurationOrNothing, param("how long the message stays invisible, such as 60s")] = "",
    context: Context,
) -> Queued:
    """Put work into a queue: a message for each symbol, in order within the symbol.

    A message is ``{type, symbol, signal, confidence, data, document, node, run}``, its signal BUY, SELL or EXIT however
    the node before spells it, or true. Sent again by the same run it is the same message.

    Raises:
        QueueFull: there is no room. InvalidInput: the engine has no such queue.
    """
    known = {name: found for name, one in (by_symbol or {}).items() if (found := _signal(one)) is not None}
    if not known:
        names = [symbol] if symbol else given_symbols(context) or [""]
        known = dict.fromkeys(names, (signal, confidence))
    plain = msgspec.to_builtins(data, enc_hook=_model)
    ids = []
    for name, (said, sure) in known.items():
        if _is_no(said):
            continue
        body = {
            "type": type, "symbol": name, "signal": _spelled(said), "confidence": sure, "data": plain,
            "document": context.document, "node": context.node, "run": context.run,
        }  # fmt: skip
        ids.append(f"{context.run}:{context.node}:{name}")
        await _send(run, context, queue, body, group=name, id=ids[-1], delay=delay or None)
    return Queued(ids[0] if ids else "", ids, queue)


def _spelled(signal: Any) -> Any:
    return signal.upper() if isinstance(signal, str) else signal


async def _send(run: Run, context: Context, queue: str, body: dict[str, Any], **told: Any) -> None:
    try:
        await run.send(own(context.tenant, queue), body, **told)
    except InvalidInput as error:
        if not context.tenant or error.path != "queue":
            raise
        # the engine's own words name the queues of everybody
        raise InvalidInput("queue", queue, "the queue of a trigger of one of the same owner's documents") from None


def _signal(one: Any) -> tuple[Any, float | None] | None:
    """Signal and confidence; ``None`` of what is no signal, such as a symbol's indicators."""
    if isinstance(one, SymbolSignal):
        return one.signal, one.confidence
    if isinstance(one, dict) and "signal" in one:
        return one["signal"], one.get("confidence")
    return None


# -------------------------------------------------------------------------------------------------------------- events


class Published(msgspec.Struct, frozen=True):
    """Where an event stands."""

    event: Annotated[str, port("its name")]
    seq: Annotated[int, port("its position on the tape")]


@node("emit_event", category="messages")
async def emit_event(
    run: Run,
    data: Annotated[Any, port("what it says, an object; anything else is put under `value`")] = None,
    *,
    name: Annotated[str, param("what listeners know it by, such as dip.found", min_length=1, max_length=100)],
    symbol: Annotated[str, param("what it is about")] = "",
    fields: Annotated[dict[str, Any] | None, param("more that it says; values may hold references")] = None,
    delay: Annotated[DurationOrNothing, param("how long until it is published, such as 5 minutes")] = "",
    calls: Calls | None = None,
    context: Context,
) -> Published:
    """Publish an event of a name of the document's own (``graph/event.emitted``), which others can wait for.

    Raises:
        InvalidInput: what started the run came of ``DEPTH_MAX`` such events, each of which started the next one's run.
    """
    depth = await _depth(run, calls, context)
    plain = msgspec.to_builtins(data, enc_hook=_model)
    said = plain if isinstance(plain, dict) else {} if plain is None else {"value": plain}
    about = symbol or str(context.given("symbol") or "")
    event = Emitted(
        name=name, document=context.document, node=context.node, run=context.run, symbol=about,
        data={**said, **msgspec.to_builtins(fields or {}, enc_hook=_model)}, owner=context.tenant, depth=depth,
    )  # fmt: skip
    return Published(name, await run.emit(event, delay=delay or None))


async def _depth(run: Run, calls: Calls | None, context: Context) -> int:
    """How many such events led to the one that is to be: each started the run that emitted the next."""
    if isinstance(context.event, Emitted):
        known = context.event.depth
    elif calls is None or isinstance(context.event, Event):
        known = 0
    else:  # it may have been called by a run that such an event started
        known = await run.step("what led to it", calls.depth, run.id, blocking=False)
    if known >= DEPTH_MAX:
        found = f"an event that comes of {known} others, each emitted by a run that the one before it started"
        raise InvalidInput("emit_event", found, f"at most {DEPTH_MAX} of them in a row: documents start each other")
    return known + 1


def _model(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise InvalidInput("data", type(value).__name__, "what JSON can hold")
    return dump(mode="json")


@node("log", category="messages", aliases=("log_and_skip",), output="text")
async def log(
    run: Run,
    data: Annotated[Any, port("what to write beside the message")] = None,
    *,
    message: Annotated[Words, _MESSAGE] = "",
    level: Annotated[Literal["debug", "info", "warning", "error"], param("how much it matters")] = "info",
    context: Context,
) -> Annotated[str, port("what was written")]:
    """Write a line into the log; a run that is replayed does not write it again."""
    text = message or _occasion(context)
    if data is not None:
        text += f": {data}"
    run.log.log(_LEVELS[level], "%s", text)
    return text
