"""Stdin as frames: one line is one message, and a line that is none is answered."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any, BinaryIO, Final

import mcp_types as types
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

LINE_MAX: Final = 4 << 20
"""Bytes of one message: as over HTTP."""

_WAITING: Final = 16
"""Lines read ahead: whoever writes faster than they are served waits."""


class Lines:
    """Lines of stdin, for the SDK's stdio transport.

    A thread of its own reads them, because a read cannot be given up: the process ends without waiting for it. What is
    no message is answered with an error without an id, as JSON-RPC says; the SDK would pass over it.

    Args:
        source: what is read.
    """

    def __init__(self, source: BinaryIO | None = None) -> None:
        self._source = source if source is not None else sys.stdin.buffer
        self._loop = asyncio.get_running_loop()
        self._read: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(_WAITING)
        self.out: Any = None
        """Where messages to the client go, once there is a transport."""
        threading.Thread(target=self._pump, name="tickwork-stdin", daemon=True).start()

    def _pump(self) -> None:
        with contextlib.suppress(RuntimeError, OSError, ValueError):  # the loop, or stdin, is closed: nobody listens
            while line := self._source.readline(LINE_MAX + 1):
                whole = len(line) <= LINE_MAX
                while not line.endswith(b"\n") and (more := self._source.readline(LINE_MAX)):
                    line, whole = more, False
                self._put(line if whole else b"")
            self._put(None)

    def _put(self, line: bytes | None) -> None:
        self._room.acquire()
        self._loop.call_soon_threadsafe(self._read.put_nowait, line)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (line := await self._read.get()) is not None:
            self._room.release()
            found = _complaint(line)
            if found is None:
                yield line.decode()
            elif line.strip() or not line:
                error = types.JSONRPCError(jsonrpc="2.0", id=None, error=found)
                await self.out.send(SessionMessage(message=error))

    async def close(self) -> None:
        """At its end stdin is left as it is: its thread may be reading."""


def _complaint(line: bytes) -> types.ErrorData | None:
    """Why a line is no message."""
    if not line:
        return types.ErrorData(code=types.PARSE_ERROR, message=f"a line has at most {LINE_MAX:,} bytes")
    try:
        line.decode()
        types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except UnicodeDecodeError:
        return types.ErrorData(code=types.PARSE_ERROR, message="a line is text in UTF-8")
    except ValidationError as error:
        if any(one["type"] == "json_invalid" for one in error.errors(include_url=False, include_input=False)):
            return types.ErrorData(code=types.PARSE_ERROR, message="a line is one JSON value")
        return types.ErrorData(code=types.INVALID_REQUEST, message="a line is one JSON-RPC message, an object")
    return None
