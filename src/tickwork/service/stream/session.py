"""One client of the live stream: what it asks for, and what it is told. Knows frames, and no socket.

Two tasks: one hears what the client says, one tells it what is new and awaits that each frame has been taken. Whatever
a client does, it holds a cursor for each subscription, a few answers that are not yet sent, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from tickwork.errors import InvalidInput, TapeError, TickworkError
from tickwork.service.api.caller import Caller
from tickwork.service.api.problems import problem_of
from tickwork.service.stream.entities import encode
from tickwork.service.stream.live import TICK_S, Cursor, Live
from tickwork.service.stream.views import View, view_named

FRAME_MAX: Final = 4_096
"""Bytes of what a client may say at once."""

SUBSCRIPTIONS: Final = 32
"""Views of one client at once."""

MISTAKES: Final = 100
"""Frames that nobody can make use of, after which a client is hung up on."""

ANSWERS: Final = 32
"""Answers that wait to be sent; then no more is heard until there is room."""

HEARTBEAT_S: Final = 5.0
"""Seconds without a word after which a client is told that all is well."""

RATE_MS: Final = (50, 5_000)
"""Milliseconds between two messages that a client may ask for."""

RETRY_MS: Final = 500
"""When a client should come back after a restart."""

_ID_MAX: Final = 2**53

DONE, POLICY, TOO_BIG, BROKEN, RESTART, TRY_LATER = 1000, 1008, 1009, 1011, 1012, 1013
"""Codes of RFC 6455 with which a connection is closed."""

Send = Callable[[bytes], Awaitable[None]]

_log = logging.getLogger("tickwork.stream")


class HangUp(Exception):
    """The conversation is over: close the connection with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Subscription:
    """A view that a client watches."""

    __slots__ = ("cursor", "since", "view")

    def __init__(self, view: View, since: int | None) -> None:
        self.view = view
        self.since = since
        """Where to go on from; read once."""
        self.cursor: Cursor | None = None
        """``None``: nothing has been sent."""


class Session:
    """One client.

    Args:
        caller: who it is.
        send: sends a frame, and returns when it has been taken.
        since: where its first subscriptions go on from if they do not say; with the epoch, and the opening, of then.
            Once it has been told anything, a subscription that says nothing is of a view that it does not know.
    """

    def __init__(
        self,
        live: Live,
        caller: Caller,
        send: Send,
        *,
        since: int | None = None,
        epoch: str | None = None,
        opening: str | None = None,
    ) -> None:
        self._live = live
        self._caller = caller
        self._send = send
        self._since = since
        self._epoch = epoch
        self._opening = opening
        self._subscriptions: dict[int, Subscription] = {}
        self._answers: asyncio.Queue[bytes] = asyncio.Queue(ANSWERS)
        self._news = asyncio.Event()
        self._pause = TICK_S
        self._mistakes = 0

    async def tell(self) -> None:
        """Tell the client what is new, until the stream is closed.

        Raises:
            HangUp: it is over.
        """
        live, clock = self._live, asyncio.get_running_loop().time
        if live.closing:
            raise HangUp(RESTART, "restart")
        if live.full:
            raise HangUp(TRY_LATER, "there are too many clients")
        live.listen(self._news.set)
        try:
            await live.look()
            await self._send(live.hello())
            told_at, deltas_at = clock(), 0.0
            while not live.closing:
                self._news.clear()
                now = clock()
                sent = await self._tell_answers()
                if now >= deltas_at:
                    news = await self._tell_news()
                    sent = sent or news
                    deltas_at = now + self._pause if news and self._pause > TICK_S else 0.0
                if sent:
                    told_at = clock()
                elif clock() - told_at >= HEARTBEAT_S:
                    await self._send(b'{"t":"hb","seq":%d}' % live.seq)
                    told_at = clock()
                await self._wait(min(told_at + HEARTBEAT_S, deltas_at or told_at + HEARTBEAT_S) - clock())
            await self._send(encode({"t": "bye", "reason": "restart", "retry_ms": RETRY_MS}))
            raise HangUp(RESTART, "restart")
        except TapeError as fault:
            raise HangUp(BROKEN, f"tape-error: {fault}"[:120]) from None
        finally:
            live.unlisten(self._news.set)

    def close(self) -> None:
        """Give up what it watches; when nobody tells or hears any more."""
        for subscription in self._subscriptions.values():
            self._live.unwatch(subscription.view)
        self._subscriptions.clear()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._news.wait()
        except TimeoutError:
            return

    async def _tell_answers(self) -> bool:
        sent = False
        while not self._answers.empty():
            await self._send(self._answers.get_nowait())
            sent = True
        return sent

    async def _tell_news(self) -> bool:
        sent = False
        live = self._live
        for id, subscription in list(self._subscriptions.items()):
            if live.fault is not None:
                raise live.fault
            if self._subscriptions.get(id) is not subscription:
                continue  # it was given up while another frame was sent
            if subscription.cursor is None:
                message = live.resume(subscription.view, subscription.since, self._epoch, self._opening)
            else:
                found = live.next(subscription.view, subscription.cursor)
                if found is None:
                    continue
                message = found
            subscription.cursor = message.cursor
            self._since = None
            await self._send(message.frame(id))
            sent = True
        return sent

    # -- what the client says -------------------------------------------------------------------------------------

    async def hear(self, frame: str | bytes) -> None:
        """One frame of the client.

        Raises:
            HangUp: it is too large, or there was too much nonsense.
        """
        size = len(frame) if isinstance(frame, bytes) else len(frame.encode(errors="replace"))
        if size > FRAME_MAX:
            raise HangUp(TOO_BIG, f"a frame of {size} bytes: at most {FRAME_MAX}")
        said: Any = None
        try:
            said = _object(frame)
            await self._heed(said)
        except TickworkError as error:
            told = problem_of(error)
            code = "internal" if told is None else told.code
            await self._complain(_id_of(said), code, str(error))
        self._news.set()

    async def _complain(self, id: object, code: str, detail: str) -> None:
        self._mistakes += 1
        if self._mistakes > MISTAKES:
            raise HangUp(POLICY, "too many frames that nobody can make use of")
        _log.info("refused a frame: %s", detail, extra={"caller": self._caller.name})
        await self._answers.put(encode({"t": "err", "id": id, "code": code, "detail": detail[:500]}))

    async def _heed(self, said: dict[str, Any]) -> None:
        match said.get("t"):
            case "sub":
                await self._subscribe(said)
            case "unsub":
                self._unsubscribe(said)
            case "rate":
                self._pause = _rate(said.get("ms")) / 1_000
            case found:
                raise InvalidInput("t", found, "sub, unsub or rate")

    async def _subscribe(self, said: dict[str, Any]) -> None:
        id = _id(said.get("id"))
        since = said.get("since", self._since)
        if since is not None and (not _whole(since) or since < 0):
            raise InvalidInput("since", since, "a position on the tape")
        if id in self._subscriptions:
            raise InvalidInput("id", id, "one that is not in use: unsub first")
        if len(self._subscriptions) >= SUBSCRIPTIONS:
            raise InvalidInput("sub", len(self._subscriptions), f"at most {SUBSCRIPTIONS} views at once")
        view = view_named(said.get("view"), self._caller)
        await self._live.watch(view)
        self._subscriptions[id] = Subscription(view, since)

    def _unsubscribe(self, said: dict[str, Any]) -> None:
        id = _id(said.get("id"))
        subscription = self._subscriptions.pop(id, None)
        if subscription is None:
            raise InvalidInput("id", id, "the id of a subscription")
        self._live.unwatch(subscription.view)


def _object(frame: str | bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput("frame", str(frame[:80]), f"a JSON object ({error})") from None
    if not isinstance(said, dict):
        raise InvalidInput("frame", str(said)[:80], "a JSON object")
    return said


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _ID_MAX


def _id(value: Any) -> int:
    if not _whole(value) or value < 0:
        raise InvalidInput("id", value, "a whole number from 0, by which the client knows its subscription")
    found: int = value
    return found


def _id_of(said: Any) -> int | None:
    id = said.get("id") if isinstance(said, dict) else None
    return id if _whole(id) else None


def _rate(value: Any) -> int:
    least, most = RATE_MS
    if not _whole(value) or not least <= value <= most:
        raise InvalidInput("ms", value, f"whole milliseconds from {least} to {most}")
    found: int = value
    return found
