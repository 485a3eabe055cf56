"""The control socket: other processes ask the owner of a tape to act for them.

One JSON object a line each way over a Unix socket beside the tape (mode 0600): ``{"verb": "cancel", "run": "r12"}`` is
answered ``{"ok": ...}`` or ``{"error": {"type": ..., "args": [...]}}``, when what was asked is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from tickwork.core.codec import decode_error, encode_error
from tickwork.errors import InvalidInput, NotFound, StepFailed, TickworkError

_log = logging.getLogger("tickwork.engine")

Verb = Callable[..., Awaitable[Any]]

LINE_MAX = 16 << 20
"""Bytes of one request or answer: many times the largest value, because JSON may be longer when it is written anew."""


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
            while (line := await _line(reader)) != b"":
                writer.write(await self._answer(line))
                await writer.drain()
        except ConnectionError:
            return  # the other side is gone
        finally:
            writer.close()

    async def _answer(self, line: bytes | None) -> bytes:
        """The line that answers one. Whatever a verb raises is an answer: it may run code of the user's."""
        try:
            if line is None:
                raise InvalidInput("request", f"more than {LINE_MAX:,} bytes", f"at most {LINE_MAX:,} in one line")
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
                raise InvalidInput(
                    "request", line[:100].decode(errors="replace"), 'an object such as {"verb": "status"}'
                )
            name = request.pop("verb")
            verb = self._verbs.get(name)
            if verb is None:
                raise NotFound(
                    "verb",
                    name[:100],
                    "what the process that has the tape open can do: " + ", ".join(sorted(self._verbs)),
                )
            answer = _packed({"ok": msgspec.to_builtins(await verb(**request))})
            if len(answer) > LINE_MAX:
                raise InvalidInput("answer", f"{len(answer):,} bytes", f"at most {LINE_MAX:,}: ask for fewer at once")
            return answer
        except Exception as error:  # noqa: BLE001 - said to whoever asked, and logged unless it was raised on purpose
            if not isinstance(error, TickworkError | TypeError | ValueError):
                _log.exception("a request of another process failed: %s", (line or b"")[:200].decode(errors="replace"))
            return _packed({"error": bytes(encode_error(error)[0]).decode()})


def _packed(told: dict[str, Any]) -> bytes:
    # surrogates stand for the bytes of a file's name that are not UTF-8
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass") + b"\n"


async def _line(reader: asyncio.StreamReader) -> bytes | None:
    """The next line; empty at the end. ``None``: one that is too long, which has been read to its end all the same,
    because whoever sends it hears the answer only then.
    """
    whole = True
    while True:
        try:
            line = await reader.readuntil(b"\n")
            return line if whole else None
        except asyncio.IncompleteReadError as end:
            return end.partial if whole else b""
        except asyncio.LimitOverrunError as over:
            await reader.readexactly(over.consumed)
            whole = False


def ask_owner(tape: str, verb: str, *, timeout: float = 30.0, **arguments: Any) -> Any:
    """Ask the owner of a tape to do something.

    Raises:
        ConnectionRefusedError: nobody owns the tape. InvalidInput: the request is too large. Nothing was asked then.
        ConnectionResetError, TimeoutError: no answer came: it may have been done, or may still be.
        TickworkError, TypeError, ValueError: what the owner answered.
    """
    request = _packed({"verb": verb, **arguments})
    if len(request) > LINE_MAX:
        raise InvalidInput("request", f"{len(request):,} bytes", f"at most {LINE_MAX:,} bytes of JSON")
    path = socket_path(tape)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            with _near(path) as name:
                connection.connect(name)
        except FileNotFoundError:
            raise ConnectionRefusedError(f"nobody owns {tape}") from None
        line = b""
        try:
            connection.sendall(request)
            with connection.makefile("rb") as answers:
                line = answers.readline(LINE_MAX)
        except TimeoutError:
            raise TimeoutError(
                f"the owner of {tape} has not answered within {timeout:g} seconds; it may still do what was asked"
            ) from None
        except ConnectionError:
            pass  # as when the line ends early
    if not line.endswith(b"\n"):
        raise ConnectionResetError(f"the owner of {tape} went away before it answered; what was asked may be done")
    answer = json.loads(line)
    if "error" in answer:
        error = decode_error(answer["error"].encode())
        if isinstance(error, TickworkError | TypeError | ValueError):
            raise error
        # of any other class it would look like a fault of the connection, or of whoever asks
        raise StepFailed(type(error).__name__, str(error))
    return answer["ok"]
