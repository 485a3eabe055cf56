"""The service in the process that owns the tape: authorises, answers, records.

A call goes one way for every face: may the caller do this -> are the arguments right -> was this key used before ->
``CommandAsked`` -> the operation -> ``CommandAnswered`` -> disk -> the answer. Both records cost no wait of their own:
the operation's own wait for the disk covers the first, and the answer's the second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import Forbidden, InvalidInput, NotFound, TickworkError, Unknown
from tickwork.service.api import commanded
from tickwork.service.api.caller import Caller
from tickwork.service.api.commanded import ANSWER_MAX, WINDOW, CommandAnswered, CommandAsked
from tickwork.service.api.operation import CATALOGUE, Args, Call, Operation
from tickwork.service.api.problems import KeyReused, Problem, problem_of
from tickwork.service.api.reading import FileReaders, OwnReaders, Readers
from tickwork.service.api.tokens import TokenStore

T = TypeVar("T")

KEY_MAX = 255

_log = logging.getLogger("tickwork.service")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a call came to."""

    value: Any
    """In plain JSON values."""
    repeated: bool = False
    """It had been done before, under the same key; this is the answer of then."""


class Failed(TickworkError):
    """What a command came to when it was first asked for under this key: a problem, told again."""

    def __init__(self, code: str, status: int, detail: str) -> None:
        super().__init__(code, status, detail)

    @property
    def problem(self) -> Problem:
        """The problem of then."""
        code, status, detail = self.args
        return Problem(code=code, status=status, title=detail, detail=detail)

    def __str__(self) -> str:
        return str(self.args[2])


def operation_named(name: str) -> Operation:
    """
    Raises:
        NotFound: there is none of this name.
    """
    found = CATALOGUE.get(name)
    if found is None:
        near = get_close_matches(name, CATALOGUE, n=5, cutoff=0.4) or sorted(
            {one.partition(".")[0] for one in CATALOGUE}
        )
        raise NotFound("operation", name, f"one of those that `tickwork call --list` shows, such as {', '.join(near)}")
    return found


def authorise(operation: Operation, caller: Caller, args: Args | None = None) -> None:
    """
    Raises:
        Forbidden: the caller may not do this.
    """
    if not caller.may(operation.scope):
        raise Forbidden(operation.name, caller.name, f"the right to {operation.scope}")
    if caller.owner is not None and not operation.owned:
        raise Forbidden(operation.name, caller.name, "a caller that is bound to no owner")
    if operation.defines and caller.accounts is not None:
        raise Forbidden(operation.name, caller.name, "the right to trade every account (*): workflows may name any")
    if args is None or not operation.account or caller.accounts is None:
        return
    named = getattr(args, operation.account) or ""
    if named not in caller.accounts:
        allowed = ", ".join(sorted(caller.accounts)) or "none"
        raise Forbidden(operation.name, caller.name, f"an account that it may trade ({allowed}), named")


def permitted(operation: Operation, caller: Caller) -> bool:
    """May the caller do this, as far as it does not depend on the arguments?"""
    try:
        authorise(operation, caller)
    except Forbidden:
        return False
    return True


class Service:
    """Answers calls for every face, over an open engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        memory = engine.path == ":memory:"
        self.tokens = TokenStore.beside(engine.path)
        """Who may call from elsewhere."""
        self._readers: Readers = OwnReaders(engine.queries) if memory else FileReaders(engine.path)
        self._under_way: dict[tuple[str, str], asyncio.Future[None]] = {}
        """Calls with a key that have no answer yet."""

    def open(self) -> None:
        """Answer other processes too, over the control socket."""
        self.engine.offer({"call": self._called, **self.tokens.verbs(self.engine.clock.now)})

    def close(self) -> None:
        """Let the tape's file go."""
        self._readers.close()

    async def read(self, ask: Callable[[Queries], T]) -> T:
        """What a function of the tape gives; it sees the tape at one moment."""
        return await self._readers.read(ask)

    async def call(self, name: str, given: object, caller: Caller, key: str = "") -> Answer:
        """Do what is asked for; on return it is on disk.

        Args:
            given: the arguments, as JSON values.
            key: asked for again with the same key, a command is done once, and answered as then.

        Raises:
            NotFound: no such operation. Forbidden: the caller has no right to it. InvalidInput: the arguments.
            KeyReused: the key was used for another call. Unknown: under this key it was asked for, and the process died
                before it was answered. Failed: what it came to under this key. TickworkError: what it came to.
        """
        operation = operation_named(name)
        try:
            authorise(operation, caller)
            args = operation.parse(given)
            authorise(operation, caller, args)
        except Forbidden as error:
            _log.warning("refused: %s", error, extra={"caller": caller.name, "face": caller.face})
            raise
        if operation.kind == "query":
            return Answer(value=await self._answered(operation, args, caller, ""))
        if len(key) > KEY_MAX or not key.isprintable():
            raise InvalidInput("Idempotency-Key", key[:80], f"at most {KEY_MAX} characters that can be printed")
        return await (self._once(operation, args, caller, key) if key else self._done(operation, args, caller, key))

    async def _called(
        self, operation: str, arguments: dict[str, Any], caller: dict[str, Any], key: str = ""
    ) -> dict[str, Any]:
        """A verb for other processes of the same user, whose word on who calls is taken."""
        who = Caller(
            name=str(caller["name"]),
            face=caller["face"],
            scopes=frozenset(caller["scopes"]),
            accounts=None if caller.get("accounts") is None else frozenset(caller["accounts"]),
            owner=caller.get("owner"),
        )
        answer = await self.call(operation, arguments, who, key)
        return {"value": answer.value, "repeated": answer.repeated}

    # -- commands -------------------------------------------------------------------------------------------------

    async def _once(self, operation: Operation, args: Args, caller: Caller, key: str) -> Answer:
        """Of several calls with one key the first is made, the others wait for it and hear its answer."""
        whose = (caller.name, key)
        while (before := self._under_way.get(whose)) is not None:
            await asyncio.wait([before])
        self._under_way[whose] = done = asyncio.get_running_loop().create_future()
        try:
            known = self.engine.arrivals.find(f"command of {caller.name}", key)
            if known is not None:
                lost = await self._again(operation, args, caller, key, known)
                if lost is not None:
                    return lost
            return await self._done(operation, args, caller, key)
        finally:
            del self._under_way[whose]
            done.set_result(None)

    async def _again(self, operation: Operation, args: Args, caller: Caller, key: str, known: int) -> Answer | None:
        """The answer of then; ``None``: there was none, and the command may be done again."""
        await self.engine.durable()
        entry = self.engine.queries.reader.record(known)
        assert entry is not None
        asked = CommandAsked.from_wire(bytes(entry.record.value))
        if asked.fingerprint != commanded.fingerprint(operation.name, _plain_args(args)):
            raise KeyReused("Idempotency-Key", key, f"a new key: this one was used for another call, {asked.operation}")
        seq = self.engine.arrivals.find(f"answer to {caller.name}", key)
        answered = None if seq is None else self.engine.queries.reader.record(seq)
        if answered is None:
            if operation.again == "look":
                raise Unknown(
                    f"{operation.name} was asked for under this key and never answered: look whether it was done"
                )
            return None
        told = CommandAnswered.from_wire(bytes(answered.record.value))
        if told.outcome != "done":
            problem = msgspec.json.decode(told.answer)
            raise Failed(told.outcome, problem["status"], told.detail)
        if operation.secret or len(told.answer) == 0:
            raise Unknown(
                f"{operation.name} was done under this key, and its answer was given once: look at what there is"
            )
        return Answer(value=msgspec.json.decode(told.answer), repeated=True)

    async def _done(self, operation: Operation, args: Args, caller: Caller, key: str) -> Answer:
        if not operation.recorded or (operation.recorded == "keyed" and not key):
            return Answer(value=await self._answered(operation, args, caller, key))
        asked = commanded.asked(operation, _plain_args(args), caller.name, caller.face, key)
        if key:
            seq = self.engine.arrivals.post(asked, source=f"command of {caller.name}", id=key, window=WINDOW).seq
        else:
            seq = self.engine.post(asked)
        try:
            value = await self._answered(operation, args, caller, key)
        except asyncio.CancelledError:
            raise  # whoever asked is gone, or the process ends: nobody knows
        except Exception as error:
            await self._record(self._failure(seq, error), caller, key)
            raise
        kept = "" if operation.secret or not key else msgspec.json.encode(value).decode()
        kept = kept if len(kept) <= ANSWER_MAX else ""
        await self._record(CommandAnswered(asked=seq, outcome="done", answer=kept), caller, key)
        return Answer(value=value)

    @staticmethod
    def _failure(seq: int, error: Exception) -> CommandAnswered:
        problem = problem_of(error)
        code, status, detail = (problem.code, problem.status, problem.detail) if problem else ("internal", 500, "")
        answer = msgspec.json.encode({"status": status}).decode()
        return CommandAnswered(asked=seq, outcome=code, detail=detail, answer=answer)

    async def _record(self, answered: CommandAnswered, caller: Caller, key: str) -> None:
        # what may change with time, or is not known, is asked anew under the same key
        final = answered.outcome == "done" or answered.outcome in _FINAL
        if key and final:
            await self.engine.arrivals.publish(answered, source=f"answer to {caller.name}", id=key, window=WINDOW)
        else:
            await self.engine.emit(answered)

    # -- answering ------------------------------------------------------------------------------------------------

    async def _answered(self, operation: Operation, args: Args, caller: Caller, key: str) -> Any:
        def call(found: Queries | None = None) -> Call:
            return Call(
                caller=caller,
                key=key,
                ask=self.engine.ask,
                read=self.read,
                now=self.engine.clock.now(),
                found=found,
            )

        return await answered(operation, args, call, self.read)


_FINAL = frozenset({"invalid-input", "invalid-document", "not-found", "refused", "rejected"})
"""Codes of failures that the same call, made again, would only meet again."""


async def answered(
    operation: Operation,
    args: Args,
    call: Callable[[Queries | None], Call],
    read: Callable[[Callable[[Queries], Any]], Any],
) -> Any:
    """What an operation answers, in plain JSON values."""
    if asyncio.iscoroutinefunction(operation.answering):
        found = await operation.answering(call(None), args)
    else:
        found = await read(lambda queries: operation.answering(call(queries), args))
    return plain(found)


def plain(value: Any) -> Any:
    """JSON values of what an operation gives: money as text, times in ISO 8601."""
    return msgspec.to_builtins(value, str_keys=True)


def _plain_args(args: Args) -> dict[str, Any]:
    return args.model_dump(mode="json", by_alias=True)


def told(error: BaseException) -> Problem | None:
    """What an error is for programs; also of one that is told again."""
    return error.problem if isinstance(error, Failed) else problem_of(error)
