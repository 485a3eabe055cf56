"""WebSockets: ``/ws``, the live stream of views, and ``/ws/events``, the plain stream of what a run does.

Authorising is the server's: it looks at Host, Origin and token, and closes the socket itself where it refuses. A token
that ends, or is revoked, while its socket is open closes that socket.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.datastructures import QueryParams
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tickwork.errors import InvalidInput, TickworkError
from tickwork.faces.http.visit import KEY, Visit, subprotocol
from tickwork.service.api.caller import Caller
from tickwork.service.api.problems import problem_of
from tickwork.service.stream.entities import encode
from tickwork.service.stream.live import Live
from tickwork.service.stream.outside import Outside, Wanted
from tickwork.service.stream.session import BROKEN, POLICY, TRY_LATER, HangUp, Session

PROTOCOL: Final = "1"
"""The version of the protocol of ``/ws``."""

STANDS_S = 1.0
"""Seconds between two looks whether a token still stands."""

Authorise = Callable[[WebSocket], Awaitable[Caller | None]]


def socket_routes(live: Live, authorise: Authorise) -> list[WebSocketRoute]:
    """The routes of both streams.

    Args:
        authorise: who asks; ``None``: it has refused, and closed the socket.
    """

    talking: Counter[str] = Counter()

    async def views(socket: WebSocket) -> None:
        await _let_in(socket, live, authorise, _session, talking)

    async def events(socket: WebSocket) -> None:
        await _let_in(socket, live, authorise, _outside, talking)

    return [WebSocketRoute("/ws", views, name="ws"), WebSocketRoute("/ws/events", events, name="ws-events")]


def _session(live: Live, caller: Caller, socket: WebSocket) -> Session:
    query = socket.query_params
    if query.get("v", PROTOCOL) != PROTOCOL:
        raise InvalidInput("v", query["v"], f"{PROTOCOL}, the version of the protocol")
    since, epoch, opening = _position(query, "since"), query.get("epoch"), query.get("opening")
    return Session(live, caller, _send(socket), since=since, epoch=epoch, opening=opening)


def _outside(live: Live, caller: Caller, socket: WebSocket) -> Outside:
    query = socket.query_params
    wanted = Wanted(
        run=query.get("run", ""),
        document=query.get("workflow", ""),
        execution=query.get("execution", ""),
        after=_position(query, "after"),
        case=query.get("case", "snake"),
    )
    return Outside(live, caller, _send(socket), wanted)


def _position(query: QueryParams, name: str) -> int | None:
    found = query.get(name)
    if found is None:
        return None
    if not (found.isascii() and found.isdecimal() and len(found) < 17):
        raise InvalidInput(name, found[:40], "a position on the tape, such as 81234")
    return int(found)


def _send(socket: WebSocket) -> Callable[[bytes], Awaitable[None]]:
    async def send(frame: bytes) -> None:
        await socket.send_text(frame.decode())

    return send


Make = Callable[[Live, Caller, WebSocket], Session | Outside]


async def _let_in(socket: WebSocket, live: Live, authorise: Authorise, make: Make, talking: Counter[str]) -> None:
    """``talking``: how many sockets each caller has; nobody takes more than half of the room there is."""
    caller = await authorise(socket)
    if caller is None:
        return
    await socket.accept(subprotocol=subprotocol(socket.scope))
    if talking[caller.name] >= max(1, live.connections // 2):
        await _close(socket, TRY_LATER, "this caller has too many sockets")
        return
    talking[caller.name] += 1
    try:
        await _converse(socket, live, caller, make)
    finally:
        talking[caller.name] -= 1


async def _converse(socket: WebSocket, live: Live, caller: Caller, make: Make) -> None:
    try:
        talk = make(live, caller, socket)
    except TickworkError as error:
        await _refuse(socket, error)
        return
    tasks = [asyncio.ensure_future(one) for one in (talk.tell(), _hear(socket, talk), _while_it_stands(socket))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        talk.close()
    await _end(socket, ended)


async def _hear(socket: WebSocket, talk: Session | Outside) -> None:
    """
    Raises:
        WebSocketDisconnect: the client has gone.
    """
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005)
        text = message.get("text")
        await talk.hear(text if text is not None else message.get("bytes") or b"")


async def _while_it_stands(socket: WebSocket) -> None:
    """
    Raises:
        HangUp: the token by which the client was let in is void.
    """
    visit: Visit | None = socket.scope.get(KEY)
    stands = None if visit is None else visit.stands
    while True:
        if stands is not None and not stands():
            raise HangUp(POLICY, "unauthenticated")
        await asyncio.sleep(STANDS_S)


async def _end(socket: WebSocket, ended: Sequence[object]) -> None:
    """Close the socket as what ended the conversation says."""
    told = [one for one in ended if isinstance(one, Exception)]
    if any(isinstance(one, WebSocketDisconnect) for one in told):
        return
    for one in told:
        if isinstance(one, HangUp):
            await _close(socket, one.code, one.reason)
        elif isinstance(one, TickworkError):
            await _refuse(socket, one)
        else:
            await _close(socket, BROKEN, "internal")
            raise one
        return


async def _refuse(socket: WebSocket, error: TickworkError) -> None:
    told = problem_of(error)
    code = "internal" if told is None else told.code
    try:
        await socket.send_text(encode({"t": "err", "id": None, "code": code, "detail": str(error)[:500]}).decode())
    except (WebSocketDisconnect, RuntimeError):
        return
    await _close(socket, POLICY, code)


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        await socket.close(code, reason.encode()[:120].decode(errors="ignore"))
    except (WebSocketDisconnect, RuntimeError):  # the client was faster
        return
