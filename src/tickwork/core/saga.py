"""Sagas: steps and effects with an undo. When the block fails, the undos of the completed ones run in reverse.

An undo receives the result and then the arguments of what it undoes: ``undo(result, *args)`` (an effect's undo also
``key=``), and is retried by ``UNDO_RETRY``. One that cannot be done becomes a dead letter and an alert; the others
still run. Undone steps are forgotten: a new attempt of the workflow does them anew, under a new key.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tickwork.core.asks import Ask, Effect, Mishap, Step
from tickwork.core.breaker import guarded
from tickwork.core.retry import Retry
from tickwork.errors import Cancelled, InvalidInput

if TYPE_CHECKING:
    from tickwork.core.run import Run

UNDO_RETRY = Retry(limit=5, delay="1 second", cap="1 minute")


class Saga:
    """Collects undos; see ``Run.saga``."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._done: list[tuple[Any, str, Any, Callable[..., Any]]] = []

    def step(self, name: str, fn: Callable[..., Any], *args: Any, undo: Callable[..., Any], **options: Any) -> _Doing:
        """Like ``run.step``, with an undo."""
        return self._doing(self._run.step(name, fn, *args, **options), undo)

    def effect(self, name: str, fn: Callable[..., Any], *args: Any, undo: Callable[..., Any], **options: Any) -> _Doing:
        """Like ``run.effect``, with an undo."""
        return self._doing(self._run.effect(name, fn, *args, **options), undo)

    def _doing(self, ask: Any, undo: Callable[..., Any]) -> _Doing:
        if not callable(undo):
            raise InvalidInput(f"undo of {ask.name!r}", undo, "a function undo(result, *args)")
        return _Doing(self, ask, undo)

    def completed(self, ask: Ask, identity: str, result: Any, undo: Callable[..., Any]) -> None:
        """Remember that ``ask`` was done and how to undo it."""
        self._done.append((ask, identity, result, undo))

    @property
    def identity(self) -> str:
        """Identity of the ask answered last: what an undo undoes."""
        return self._run._drive.answered

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or kind is GeneratorExit:
            return  # done, or merely parked: a parked coroutine is not a failed one
        interrupted: BaseException | None = None
        for ask, identity, result, undo in reversed(self._done):
            name = f"undo {ask.name}"
            kind_of_undo = Effect if isinstance(ask, Effect) else Step
            undoing: Ask | None = guarded(
                kind_of_undo(name=name, fn=undo, args=(result, *ask.args), retry=UNDO_RETRY, undoes=identity)
            )
            while undoing is not None:
                try:
                    await undoing
                    undoing = None
                except Cancelled as told:  # what has begun to be undone is undone to its end
                    interrupted = told
                except Exception as failure:  # noqa: BLE001 - one undo that fails must not keep the others from running
                    if failure is self._run.interruption:  # the attempt has run out of time
                        interrupted = failure
                    else:
                        undoing = None if isinstance(undoing, Mishap) else Mishap(name, failure)
        if interrupted is not None:
            raise interrupted


class _Doing:
    """The awaitable of one saga step: asks, then remembers the undo."""

    __slots__ = ("_ask", "_saga", "_undo")

    def __init__(self, saga: Saga, ask: Ask, undo: Callable[..., Any]) -> None:
        self._saga, self._ask, self._undo = saga, ask, undo

    def __await__(self) -> Generator[Any, Any, Any]:
        result = yield self._ask
        self._saga.completed(self._ask, self._saga.identity, result, self._undo)
        return result
