"""The service from another process: reads the tape's file itself, and has commands done by the process that owns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from tickwork.engines.embedded.control import ask_owner
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.system_clock import SystemClock
from tickwork.errors import NotFound, NotRunning, TickworkError, Unknown
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import Answer, answered, authorise, operation_named, plain
from tickwork.service.api.operation import Call
from tickwork.service.api.reading import FileReaders

T = TypeVar("T")

PATIENCE_S: Final = 60.0


class Remote:
    """Answers calls like ``Service``, of the tape at a path, whoever owns it."""

    def __init__(self, tape: str, *, patience: float = PATIENCE_S) -> None:
        self.tape = tape
        self._patience = patience
        self._readers = FileReaders(tape, threads=1)

    def close(self) -> None:
        """Let the tape's file go."""
        self._readers.close()

    async def read(self, ask: Callable[[Queries], T]) -> T:
        """What a function of the tape gives."""
        return await self._readers.read(ask)

    async def call(self, name: str, given: object, caller: Caller, key: str = "") -> Answer:
        """Do what is asked for; on return it is on disk.

        Raises:
            NotRunning: nobody owns the tape, and it takes its owner to do this. Otherwise as ``Service.call``.
        """
        operation = operation_named(name)
        authorise(operation, caller)
        args = operation.parse(given)
        authorise(operation, caller, args)
        if operation.kind == "command":
            try:
                who = msgspec.to_builtins(caller)
                answer = await self.ask("call", operation=name, arguments=given, caller=who, key=key)
                return Answer(value=answer["value"], repeated=answer["repeated"])
            except NotRunning:
                if operation.unowned is None:
                    raise
                return Answer(value=plain(await operation.unowned(self.tape, args, caller)))
            except NotFound as error:
                if (error.path, error.found) != ("verb", "call"):
                    raise  # else: an engine in a program of the user's, with no service: its verbs are asked one by one

        def call(found: Queries | None = None) -> Call:
            return Call(caller=caller, key=key, ask=self.ask, read=self.read, now=SystemClock().now(), found=found)

        return Answer(value=await answered(operation, args, call, self.read))

    async def ask(self, verb: str, /, **arguments: Any) -> Any:
        """Ask the process that owns the tape.

        Raises:
            NotRunning: nobody owns it. Unknown: it did not answer. TickworkError: what it answered.
        """
        try:
            return await asyncio.to_thread(ask_owner, self.tape, verb, timeout=self._patience, **arguments)
        except ConnectionRefusedError:
            raise NotRunning(self.tape) from None
        except (ConnectionError, TimeoutError) as error:
            raise Unknown(f"{error}: look before you ask again") from None
        except (TypeError, ValueError) as error:
            raise TickworkError(f"the owner of {self.tape} cannot do this: {error}") from None
