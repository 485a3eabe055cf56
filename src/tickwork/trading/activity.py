"""Activity: what of an account's past its limits count, folded from the tape.

Theory of operation. Limits on orders a minute, on the loss of a day and on drawdown need more than what is held now.
This is that more, and nothing of it is a counter beside the tape: every method that changes anything takes what one
record of the tape says, so reading the tape again, or a ``state`` and the records after it, gives the same answers.

    decided    the gate approved an order                      -> orders a minute
    filled     a fill of some workflow                         -> what each workflow holds and has made
    marked     what the account and its workflows are worth    -> loss of the day, drawdown
    failed     a submission was rejected or became unknown     -> error rate
    deposited  money was paid in or taken out                  -> no loss and no gain
    rebased    a person lets the drawdown count from here

**Days** begin at midnight in a time zone. What a day began with is the last figure before midnight, and only where
there is none the first of the day; so there is no moment without one, and a fall while nobody looked counts.

**A workflow's profit** is that of its own fills, at average cost, fees included, with its positions at the marks. It is
measured when equity is (``profits``); a workflow that no mark tells of is judged by what it has realised.

Figures that are missing or old are said in words instead of given: whoever needs them must refuse.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from tickwork.errors import InvalidInput
from tickwork.trading.hours import zone_named
from tickwork.trading.ledger import Ledger, LedgerState
from tickwork.trading.orders import ZERO, Approval, Fill
from tickwork.values import EXACT, age_text, from_ns, money, quote_of, timestamp_ns

MINUTE: Final = 60_000_000_000
KEPT: Final = 86_400_000_000_000
"""How long failures are remembered, in ns: a day, the longest window there is any use for."""


@dataclass(slots=True, kw_only=True)
class Mark:
    """What an account was worth at a time."""

    equity: Decimal
    time: int
    """In ns."""
    profits: dict[str, Decimal] = field(default_factory=dict)
    """What each workflow had made until then, its positions at the marks."""


@dataclass(slots=True, kw_only=True)
class ActivityState:
    """An activity as JSON; decimals are texts, times integer ns."""

    currency: str
    zone: str = "UTC"
    decided: list[tuple[int, str, str]] = field(default_factory=list)
    """Time, workflow and symbol of approvals; of the last minute and a little more."""
    failed: list[int] = field(default_factory=list)
    last: Mark | None = None
    begin: Mark | None = None
    """What the day of ``last`` began with."""
    peak: Decimal | None = None
    books: dict[str, LedgerState] = field(default_factory=dict)
    """Each workflow's own fills."""
    day: int = 0
    """When the day of the latest record began."""
    realised: dict[str, Decimal] = field(default_factory=dict)
    """What each workflow had realised, fees included, when that day began."""


class Activity:
    """What of one account's past its limits count.

    Args:
        currency: in which equity is measured.
        zone: where a day begins.

    Raises:
        InvalidInput: no such zone.
    """

    def __init__(self, currency: str, zone: str = "UTC") -> None:
        self._zone = zone_named(zone, "activity.zone")
        self._state = ActivityState(currency=currency, zone=zone)
        self._times: dict[str, list[int]] = {}
        """Times of approvals by what they are counted for: ``""`` for all, ``workflow NAME``, ``symbol NAME``."""
        self._books: dict[str, Ledger] = {}
        self._day = (0, 0)
        """Begin and end of the day last asked for."""

    # -- writing: each of these is one record of the tape ---------------------------------------------------------

    def decided(self, approval: Approval) -> None:
        """The gate let an order through."""
        intent = approval.intent
        self._count(approval.approved_at, intent.workflow, intent.symbol)

    def _count(self, at: int, workflow: str, symbol: str) -> None:
        for name in ("", f"workflow {workflow}", f"symbol {symbol}"):
            times = self._times.setdefault(name, [])
            insort(times, at)
            if times[0] <= times[-1] - MINUTE:
                del times[: bisect_right(times, times[-1] - MINUTE)]
        decided = self._state.decided
        decided.append((at, workflow, symbol))
        if len(decided) > 2 * len(self._times[""]) + 100:  # now and then, so that each costs the same on the average
            oldest = self._times[""][0]
            self._state.decided = [one for one in decided if one[0] >= oldest]

    def filled(self, fill: Fill, workflow: str) -> bool:
        """A fill of ``workflow``; ``""`` for one that is nobody's. False when it was counted before.

        Raises:
            InvalidInput: figures that cannot be.
        """
        self._turn(fill.time)
        book = self._books.get(workflow)
        if book is None:
            book = self._books[workflow] = Ledger()
        return book.apply(fill)

    def marked(self, equity: Decimal, time_ns: int, profits: Mapping[str, Decimal] | None = None) -> bool:
        """What the account, and what its workflows had made, was worth. False for one older than the last.

        Raises:
            InvalidInput: a float, NaN, or no number.
        """
        mark = Mark(
            equity=money(equity, "mark.equity"),
            time=time_ns,
            profits={name: money(value, f"mark.profits.{name}") for name, value in (profits or {}).items()},
        )
        state = self._state
        if state.last is not None and time_ns < state.last.time:
            return False
        self._turn(time_ns)
        if state.last is None:
            state.begin = mark
        elif state.last.time < self._begin_of(time_ns):
            state.begin = state.last
        state.last = mark
        state.peak = mark.equity if state.peak is None else max(state.peak, mark.equity)
        return True

    def deposited(self, amount: Decimal) -> None:
        """Money was paid in, or taken out (below zero): neither profit nor loss.

        Raises:
            InvalidInput: a float, NaN, or no number.
        """
        amount, state = money(amount, "deposit.amount"), self._state
        if state.peak is not None and state.last is not None and state.begin is not None:
            state.peak = EXACT.add(state.peak, amount)
            begin, last = state.begin, state.last
            state.begin = Mark(equity=EXACT.add(begin.equity, amount), time=begin.time, profits=begin.profits)
            state.last = Mark(equity=EXACT.add(last.equity, amount), time=last.time, profits=last.profits)

    def failed(self, time_ns: int) -> None:
        """A submission was rejected, or nobody knows what became of it."""
        failed = self._state.failed
        insort(failed, time_ns)
        if failed[0] <= failed[-1] - KEPT:
            del failed[: bisect_right(failed, failed[-1] - KEPT)]

    def rebased(self) -> None:
        """The drawdown counts from the last equity on: a person's act."""
        if self._state.last is not None:
            self._state.peak = self._state.last.equity

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def currency(self) -> str:
        """In which equity is measured."""
        return self._state.currency

    def orders(self, now: int, of: str = "") -> int:
        """Approvals in the minute before ``now`` (ns), of all or of ``workflow NAME`` or ``symbol NAME``.

        Times after ``now`` count too: a clock that was set back must not open the gate.
        """
        times = self._times.get(of)
        return 0 if not times else len(times) - bisect_right(times, now - MINUTE)

    def failures(self, now: int, window: int) -> int:
        """Failed submissions in the ``window`` ns before ``now``, and after it: see ``orders``."""
        failed = self._state.failed
        return len(failed) - bisect_right(failed, now - window)

    def equity(self, now: int, max_age: int) -> Decimal | str:
        """The last equity; or why there is none that may be used: none was measured, or it is too old."""
        last = self._state.last
        if last is None:
            return "none: equity was never measured"
        if abs(now - last.time) > max_age:
            return f"none: equity is {age_text(now - last.time)}"
        return last.equity

    def day_begin(self, now: int) -> Decimal | None:
        """The equity with which the day of ``now`` began; ``None``: it was never measured."""
        begin = self._began(now)
        return None if begin is None else begin.equity

    def daily_loss(self, now: int, max_age: int, workflow: str = "") -> Decimal | str:
        """How far the account, or what a workflow has made, is below where the day began; zero or more.

        Or why that cannot be said.
        """
        if workflow:
            return self._loss_of(workflow, now, max_age)
        equity, begin = self.equity(now, max_age), self._began(now)
        if isinstance(equity, str) or begin is None:
            return equity if isinstance(equity, str) else "none: the day began with none"
        return max(EXACT.subtract(begin.equity, equity), ZERO)

    def _loss_of(self, workflow: str, now: int, max_age: int) -> Decimal | str:
        last, begin = self._state.last, self._began(now)
        if last is None or begin is None or workflow not in last.profits:
            before = self._state.realised.get(workflow, ZERO) if self._is_today(now) else self._made(workflow)
            return max(EXACT.subtract(before, self._made(workflow)), ZERO)
        equity = self.equity(now, max_age)
        if isinstance(equity, str):
            return equity
        return max(EXACT.subtract(begin.profits.get(workflow, ZERO), last.profits[workflow]), ZERO)

    def drawdown(self, now: int, max_age: int) -> tuple[Decimal, Decimal] | str:
        """By how much equity is below its peak, zero or more, and that peak; or why that cannot be said."""
        equity, peak = self.equity(now, max_age), self._state.peak
        if isinstance(equity, str) or peak is None:
            return equity if isinstance(equity, str) else "none: no peak"
        return max(EXACT.subtract(peak, equity), ZERO), peak

    def workflows(self) -> list[str]:
        """Those that have fills, sorted; ``""`` among them where some are nobody's."""
        return sorted(self._books)

    def held(self, workflow: str) -> Ledger | None:
        """The books of a workflow's own fills; not to be changed. ``None``: it has none."""
        return self._books.get(workflow)

    def profits(self, prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """What each workflow has made, its positions at ``prices``: for ``marked``, and for its record.

        Amounts in another currency than the account's are converted at the price of ``OTHER/CURRENCY``.

        Raises:
            InvalidInput: a price above zero is missing. Guessing one would invent money.
        """
        return {name: self._worth(book, prices) for name, book in self._books.items() if name}

    def _worth(self, book: Ledger, prices: Mapping[str, Decimal]) -> Decimal:
        total, ours = ZERO, self._state.currency
        for currency in {*book.currencies(), *map(quote_of, book.positions())}:
            amount = book.equity(prices, currency)
            if amount and currency != ours:
                rate = prices.get(f"{currency}/{ours}")
                if rate is None or not rate.is_finite() or rate <= 0:
                    raise InvalidInput(f"prices[{currency}/{ours}]", rate, "a price above zero")
                amount = EXACT.multiply(amount, rate)
            total = EXACT.add(total, amount)
        return total

    def _made(self, workflow: str) -> Decimal:
        """What a workflow has realised in the account's currency, less fees."""
        book = self._books.get(workflow)
        if book is None:
            return ZERO
        return EXACT.subtract(book.realised(self._state.currency), book.fees(self._state.currency))

    # -- days -----------------------------------------------------------------------------------------------------

    def _began(self, now: int) -> Mark | None:
        state = self._state
        if state.last is not None and state.last.time < self._begin_of(now):
            return state.last
        return state.begin

    def _is_today(self, now: int) -> bool:
        return self._state.day >= self._begin_of(now)

    def _turn(self, time_ns: int) -> None:
        """The first record of a later day: note what had been realised."""
        begin = self._begin_of(time_ns)
        if begin > self._state.day:
            self._state.day = begin
            self._state.realised = {name: self._made(name) for name in self._books}

    def _begin_of(self, time_ns: int) -> int:
        """When the day of a time began; remembers the last answer, because nearly all ask for the same day."""
        begin, end = self._day
        if not begin <= time_ns < end:
            local = from_ns(time_ns).astimezone(self._zone)
            midnight = datetime(local.year, local.month, local.day, tzinfo=self._zone)
            next_day = local.date() + timedelta(days=1)
            begin = timestamp_ns(midnight)
            end = timestamp_ns(datetime(next_day.year, next_day.month, next_day.day, tzinfo=self._zone))
            self._day = (begin, end)
        return begin

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self) -> ActivityState:
        """A copy of everything, for JSON."""
        held = self._state
        return ActivityState(
            currency=held.currency,
            zone=held.zone,
            decided=list(held.decided),
            failed=list(held.failed),
            last=held.last,
            begin=held.begin,
            peak=held.peak,
            books={name: book.state() for name, book in self._books.items()},
            day=held.day,
            realised=dict(held.realised),
        )

    @classmethod
    def of(cls, state: ActivityState) -> Activity:
        """The activity of a state.

        Raises:
            InvalidInput: no such zone. TickworkError: a workflow's books do not balance.
        """
        activity = cls(state.currency, state.zone)
        held = activity._state
        held.failed, held.last, held.begin = list(state.failed), state.last, state.begin
        held.peak, held.day, held.realised = state.peak, state.day, dict(state.realised)
        activity._books = {name: Ledger.of(book) for name, book in state.books.items()}
        for at, workflow, symbol in state.decided:
            activity._count(at, workflow, symbol)
        return activity
