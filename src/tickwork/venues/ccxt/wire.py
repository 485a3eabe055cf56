"""What passes between ccxt and the exchange, noted call by call.

ccxt's exceptions do not say what the decision "did it happen?" needs: was anything sent, with what status was it
answered, was there an answer of the exchange at all or the page of a proxy in front of it. So three methods of the
*instance* are wrapped, after whatever put another transport into its place:

* ``fetch``: from here on the request may be on the wire. A second writing request of one call is not let out: ccxt's
  own retries (``maxRetriesOnFailure``) have made two orders out of one.
* ``handle_errors``: called with every answer before ccxt judges it. Here an answer that is not what was asked for (a
  page of HTML, half a JSON text, an object where a list is due) raises, because ccxt would make an empty list of it.
* ``throttle``: an order does not queue behind reads. ccxt has one queue, and its bucket fills up only while somebody
  waits: at MEXC an order that follows the list of markets waits for five seconds, one that follows a look at the
  account for half a second, however long ago that was (measured). So the bucket is filled for the idle time too, and
  orders and cancels have a lane of their own; what they cost is charged to the reads.

A call is found by a context variable, so calls side by side do not mix.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tickwork.errors import Retryable, Unknown

Due = Literal["list", "object"]

_SHOWN: Final = 200


class Nonsense(Retryable):
    """An answer that cannot be what was asked for."""


@dataclass(slots=True)
class Call:
    """One use of ccxt, and what became of it on the wire."""

    writes: bool = False
    """It may change something, and goes out at most once."""
    urgent: bool = False
    """It does not wait behind reads."""
    due: Due | None = None
    """What the last answer has to be."""
    sent: bool = False
    """Something may have left this process."""
    status: int | None = None
    """Of the last answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Any = None
    """The last answer, as far as it was JSON."""

    @property
    def code(self) -> str | None:
        """The exchange's own code for an error, where it told one."""
        code = self.answer.get("code") if isinstance(self.answer, Mapping) else None
        return str(code) if isinstance(code, int | str) and not isinstance(code, bool) else None


_CALL: ContextVar[Call | None] = ContextVar("tickwork_ccxt_call", default=None)


@contextmanager
def calling(call: Call) -> Iterator[Call]:
    """What ccxt does in this block is ``call``'s."""
    token = _CALL.set(call)
    try:
        yield call
    finally:
        _CALL.reset(token)


def watch(exchange: Any, lane: Lane) -> None:
    """Wrap an instance of ccxt's. To be done once, last; ``lane`` is for what is urgent."""
    _watch_fetch(exchange)
    _watch_answers(exchange)
    if exchange.enableRateLimit:
        _watch_throttle(exchange, lane)


def silence(exchange: Any) -> None:
    """Let an instance of ccxt's log nothing: its debug messages hold the headers, and with them the key."""
    exchange.logger = logging.getLogger("tickwork.venues.ccxt.silent")
    exchange.logger.disabled = True
    exchange.verbose = False


def _watch_fetch(exchange: Any) -> None:
    inner = exchange.fetch

    async def fetch(
        url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> Any:
        call = _CALL.get()
        if call is not None:
            if call.writes and call.sent:
                raise Unknown("a request that writes was about to go out twice; the second was held back")
            call.sent, call.status, call.answer, call.headers = True, None, None, {}
        return await inner(url, method, headers, body)

    exchange.fetch = fetch


def _watch_answers(exchange: Any) -> None:
    inner = exchange.handle_errors

    def handle_errors(
        code: int, reason: str, url: str, method: str, headers: Mapping[str, str], body: str, answer: Any, *rest: Any
    ) -> Any:
        call = _CALL.get()
        if call is not None:
            call.status, call.headers, call.answer = code, headers or {}, answer
        result = inner(code, reason, url, method, headers, body, answer, *rest)
        if 200 <= code < 300:
            _check(answer, body, None if call is None else call.due)
        return result

    exchange.handle_errors = handle_errors


def _check(answer: Any, body: Any, due: Due | None) -> None:
    if not isinstance(answer, list | dict):
        what = "a page" if str(body).lstrip()[:1] == "<" else "no whole JSON"
        raise Nonsense(f"the answer is {what}: {str(body)[:_SHOWN]!r}")
    if due is not None and not isinstance(answer, list if due == "list" else dict):
        raise Nonsense(f"the answer is no {due}: {str(body)[:_SHOWN]!r}")


class Lane:
    """Lets orders out at a pace: ``interval`` seconds for a cost of 1, the first ``burst`` at once.

    ``clock`` gives seconds, ``sleep`` takes them.
    """

    def __init__(
        self,
        interval: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
        *,
        burst: int = 4,
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        self._slack = interval * (burst - 1)
        self._free = 0.0
        """When all that was let out is worked off."""

    async def __call__(self, cost: float) -> None:
        """Wait for one's turn; turns are in the order of the calls."""
        now = self._clock()
        self._free = max(self._free, now)
        wait = self._free - now - self._slack
        self._free += self._interval * cost
        if wait > 0:
            await self._sleep(wait)


def _watch_throttle(exchange: Any, lane: Lane) -> None:
    reads, throttler = exchange.throttle, exchange.throttler
    idle_ms = exchange.milliseconds()

    async def throttle(cost: float | None = None) -> Any:
        nonlocal idle_ms
        call, now_ms = _CALL.get(), exchange.milliseconds()
        bucket = throttler.config
        cost = bucket["cost"] if cost is None else cost
        leaky = bucket["algorithm"] == "leakyBucket"
        if leaky and not throttler.running:
            # ccxt's bucket does not run on while nobody waits: without this the first read after a pause would wait too
            full = min(bucket["tokens"] + (now_ms - idle_ms) * bucket["refillRate"], bucket["capacity"])
            bucket["tokens"] = max(full, bucket["tokens"])  # a head start is more than it holds
        idle_ms = now_ms
        if call is None or not call.urgent:
            await reads(cost)
            idle_ms = exchange.milliseconds()
            return
        if leaky:
            bucket["tokens"] -= cost
        else:
            throttler.timestamps.append({"timestamp": now_ms, "cost": cost})
        await lane(cost)

    exchange.throttle = throttle
