"""Where a function runs: on the loop, in a thread, or as a task.

The rule for a sync function whose ``blocking`` was not said: it must *earn* the loop. It runs in a thread until
three calls in a row took less than ``QUICK``; from then on it runs on the loop, and ``STRIKES`` calls that take
longer than ``SLOW`` there send it back to the threads, with a warning and ten times the trials before it may return. So
a function that blocks (HTTP, a database, a large computation) never gets onto the loop; one that used to be quick
stalls it ``STRIKES`` times at most. One strike is not enough: on a busy machine any call can be interrupted for
milliseconds. Measured here: a hop to a thread costs about 60 us, so the rule costs some 0.2 ms for each function once
in a process.

In virtual time everything sync runs on the loop: nothing else is waiting, and the order must not depend on threads.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tickwork.core.functions import Function
from tickwork.engines.embedded.working import WORKING, Work

_log = logging.getLogger("tickwork.engine")

QUICK = 1_000_000
"""ns."""
SLOW = 5_000_000
"""ns."""

STRIKES = 3
FORGIVEN = 1_000
"""Quick calls after which a strike is forgotten."""

THREADS = 32

Done = Callable[[Any, BaseException | None, int], None]
"""Called with the value or the exception, and how long it took (ns)."""


class Calls:
    """Calls users' functions."""

    def __init__(self, virtual: bool) -> None:
        self._virtual = virtual
        self._pool: ThreadPoolExecutor | None = None
        self.running = 0
        """Calls under way outside of the loop's turn."""

    def inline(self, function: Function, blocking: bool | None, timeout: int) -> bool:
        """May this sync function run on the loop?"""
        if function.is_async:
            return False
        if self._virtual or blocking is False:
            return True
        if blocking or timeout:
            return False
        return function.quick >= function.trials

    def timed(self, function: Function, took: int, on_loop: bool) -> None:
        """Judge a finished call of a sync function."""
        if took < QUICK:
            function.quick += 1
            if function.strikes and function.quick % FORGIVEN == 0:
                function.strikes -= 1
        elif not on_loop:
            function.quick = 0
        elif took > SLOW:
            function.strikes += 1
            if function.strikes >= STRIKES:
                function.strikes = function.quick = 0
                function.trials *= 10
                _log.warning(
                    "%s took %d ms on the loop, once more, and runs in a thread from now on; say blocking=True",
                    function.name,
                    took // 1_000_000,
                )

    def spawn(
        self,
        function: Function,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        timeout: int,
        done: Done,
        on_loop: bool = False,
        work: Work | None = None,
    ) -> asyncio.Future[Any]:
        """Run ``fn`` as a task or in a thread. The future can be cancelled; a thread goes on all the same.

        ``on_loop``: no thread, though it is sync. ``work``: for what, as logs tell it.
        """
        started = time.perf_counter_ns()
        self.running += 1
        if function.is_async or self._virtual or on_loop:
            before = WORKING.set(work)  # a task takes with it what is set when it is made
            task: asyncio.Future[Any] = asyncio.ensure_future(_run(fn, args, keywords, timeout))
            WORKING.reset(before)
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="tickwork-step")
            judged = _Judged(self, function, fn, args, keywords, work)
            task = asyncio.ensure_future(_thread(self._pool.submit(judged), timeout))

        def finished(task: asyncio.Future[Any]) -> None:
            self.running -= 1
            took = time.perf_counter_ns() - started
            if task.cancelled():
                return  # dropped on purpose; who dropped it knows
            error = task.exception()
            if isinstance(error, _OwnCancellation):
                error = error.__cause__
            done(None if error is not None else task.result(), error, 0 if self._virtual else took)

        task.add_done_callback(finished)
        return task

    def close(self) -> None:
        """Take no more calls; threads still at work are left to end by themselves."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


class _Judged:
    """A call in a thread that times itself: the hop there and back says nothing about the function."""

    def __init__(
        self,
        calls: Calls,
        function: Function,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        work: Work | None,
    ) -> None:
        self._calls, self._function, self._fn, self._args, self._keywords = calls, function, fn, args, keywords
        self._work = work

    def __call__(self) -> Any:
        WORKING.set(self._work)  # of this thread, which does nothing else meanwhile
        started = time.perf_counter_ns()
        try:
            return self._fn(*self._args, **self._keywords)
        finally:
            self._calls.timed(self._function, time.perf_counter_ns() - started, on_loop=False)


class Expired(Exception):
    """A function did not finish in time; ``straggling`` if it is still running in its thread."""

    def __init__(self, straggling: bool, call: Future[Any] | None = None) -> None:
        super().__init__(straggling)
        self.straggling = straggling
        self.call = call
        """The call that still runs."""


class _OwnCancellation(Exception):
    """A function raised ``CancelledError`` though nobody had cancelled its call: an error like any other.

    It has a class of its own because a task in which that error is raised counts as cancelled.
    """


def _is_cancelled() -> bool:
    """Has somebody cancelled the task that runs here?"""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _run(fn: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any], timeout: int) -> Any:
    try:
        return await _called(fn, args, keywords, timeout)
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        raise _OwnCancellation from error


async def _called(fn: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any], timeout: int) -> Any:
    result = fn(*args, **keywords)
    if not inspect.isawaitable(result):
        return result
    if not timeout:
        return await result
    scope = asyncio.timeout(timeout / 1e9)
    try:
        async with scope:
            return await result
    except TimeoutError:
        if scope.expired():
            raise Expired(False) from None
        raise


async def _thread(call: Future[Any], timeout: int) -> Any:
    """The thread's result; a function that returned an awaitable (a lambda around one) is awaited here."""
    threaded = asyncio.wrap_future(call)
    if timeout:
        done, _ = await asyncio.wait({threaded}, timeout=timeout / 1e9)
        if not done:
            threaded.add_done_callback(_silence)
            # the call knows whether its thread has taken it up; asyncio's future would say "cancelled" in any case
            raise Expired(not call.cancel(), call)
    try:
        result = await asyncio.shield(threaded)
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        raise _OwnCancellation from error


def _silence(future: asyncio.Future[Any]) -> None:
    """Nobody waits for a straggler's result; fetch its exception so that asyncio does not complain."""
    if not future.cancelled():
        future.exception()
