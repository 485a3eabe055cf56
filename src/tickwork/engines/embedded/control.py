"""The control socket: other processes ask the owner of a tape to act for them.

One JSON object a line each way over a Unix socket beside the tape (mode 0600): ``{"verb": "cancel", "run": "r12"}`` is
answered ``{"ok": ...}`` or ``{"error": {"type": ..., "args": [...]}}``, when what was asked is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from tickwork.core.codec import decode_error, encode_error
from tickwork.errors import InvalidInput, TickworkError

Verb = Callable[..., Awaitable[Any]]

LINE_MAX = 4 << 20
"""Bytes of one request or answer."""


def socket_path(tape: str) -> Path:
    """Where the owner of a tape listens."""
    return Path(tape + ".sock")


@contextlib.contextmanager
def _near(path: Path) -> Any:
    """A short name for a path: a Unix socket's may have only 107 bytes, and folders are deep."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}" if len(os.fsencode(path)) > 100 else str(path)
    finally:
        os.close(folder)


class Control:
    """Listens for other processes."""

    def __init__(self, tape: str, verbs: dict[str, Verb]) -> None:
        self._path = socket_path(tape)
        self._verbs = verbs
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Listen. Whoever holds the tape's lock may take over a dead owner's socket."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        with _near(self._path) as name:
            listening = socket.socket(socket.AF_UNIX)
            mask = os.umask(0o177)
            try:
                listening.bind(name)
            finally:
                os.umask(mask)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LINE_MAX)

    def drop(self) -> None:
        """Stop listening and leave the socket's file, as a death does."""
        if self._server is not None:
            self._server.close()

    async def stop(self) -> None:
        """Stop listening."""
        self.drop()
        if self._server is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.LimitOverrunError):
            return  # the other side is gone, or sent a line beyond all measure
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
                raise InvalidInput(
                    "request", line[:100].decode(errors="replace"), 'an object such as {"verb": "status"}'
                )
            verb = self._verbs.get(request.pop("verb"))
            if verb is None:
                raise InvalidInput(
                    "verb", line[:100].decode(errors="replace"), "one of " + ", ".join(sorted(self._verbs))
                )
            return {"ok": msgspec.to_builtins(await verb(**request))}
        except (TickworkError, TypeError, ValueError) as error:
            return {"error": bytes(encode_error(error)[0]).decode()}


def ask_owner(tape: str, verb: str, *, timeout: float = 30.0, **arguments: Any) -> Any:
    """Ask the owner of a tape to do something.

    Raises:
        ConnectionError: nobody owns the tape. TickworkError: what the owner answered.
    """
    path = socket_path(tape)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            with _near(path) as name:
                connection.connect(name)
        except FileNotFoundError:
            raise ConnectionRefusedError(f"nobody owns {tape}") from None
        connection.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline(LINE_MAX)
    if not line.endswith(b"\n"):
        raise ConnectionResetError(f"the owner of {tape} went away before it answered")
    answer = json.loads(line)
    if "error" in answer:
        error = decode_error(answer["error"].encode())
        raise error if isinstance(error, Exception) else TickworkError(str(error))
    return answer["ok"]
