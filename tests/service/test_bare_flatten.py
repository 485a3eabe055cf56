"""Flattening without a tape, at a venue that drops requests and answers: nothing is sent twice, the truth is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.guarding import CASH, NAME, Wire
from tests.trading.support import RULES, SPOT, SWAP, D, bar, gate, intent, quote
from tickwork.errors import InvalidInput, NotSent, Rejected, Unknown
from tickwork.outcome import Found, NotFound
from tickwork.service.bare_flatten import (
    BareAccount,
    BareReport,
    BareRun,
    check_symbols,
    flatten_without_tape,
    plan_without_tape,
    told,
    told_plan,
)
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger, LedgerState, Position
from tickwork.trading.reconciliation import WITHOUT_TAPE
from tickwork.trading.reservations import Reservations
from tickwork.trading.venue import Capabilities
from tickwork.venues.paper import PaperVenue

NONCE = b"n" * 16
HOLDING = Ledger.of(LedgerState(positions={SPOT: Position(quantity=D(5))}))
SLOW = Capabilities(
    deduplicates=False, request_validity=timedelta(seconds=5), visibility_bound=timedelta(seconds=5)
)  # fmt: skip
NO_BOUND = Capabilities(deduplicates=False, visibility_bound=None)


class Place:
    """A paper venue with holdings and resting orders, and a time of its own in which bars come."""

    def __init__(self, capabilities: Capabilities | None = None) -> None:
        self.paper = PaperVenue(rules=RULES.values(), cash=CASH)
        self.wire = Wire(self.paper, capabilities)
        self.now = 0
        self.bars = 0
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        await self._order("buy", "2", SPOT)
        await self._order("sell", "1", SWAP)
        self.tick()
        await self._order("buy", "1", SPOT, limit_price=D(90))
        await self._order("sell", "1", SPOT, limit_price=D(150))

    async def _order(self, side: Any, quantity: str, symbol: str, **fields: Any) -> None:
        wanted = intent(side, quantity, symbol=symbol, **fields)
        decided = gate(price_band=D(1), max_quote_age="1000 days").check(
            wanted, ledger=HOLDING, reservations=Reservations(), quote=quote(symbol=symbol, time_ns=0), now=0,
            halt=Halt(),
        )  # fmt: skip
        assert decided.approval is not None, decided
        await self.paper.submit(
            gate().seal(decided.approval), f"{self.bars}{side}{quantity}{symbol}".encode().hex()[:32]
        )

    def tick(self) -> None:
        for symbol in (SPOT, SWAP):
            self.paper.on_bar(bar(D(100), index=self.bars, symbol=symbol), self.bars)
        self.bars += 1

    async def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)
        self.tick()

    def account(self, **fields: Any) -> BareAccount:
        more: dict[str, Any] = {"symbols": (SPOT, SWAP), "nonce": NONCE, **fields}
        return BareAccount(
            name=NAME, currency="USDT", venue=self.wire, clock=lambda: self.now, sleep=self.sleep, **more
        )  # fmt: skip

    def flatten(self, **fields: Any) -> BareReport:
        return asyncio.run(flatten_without_tape(self.account(**fields)))

    def held(self) -> set[str]:
        found = asyncio.run(self.paper.balances())
        return {asset for asset, one in found.items() if one.total}

    def sold(self) -> dict[str, Any]:
        """What orders without a history have traded, by symbol."""
        total: dict[str, Any] = {}
        for symbol in (SPOT, SWAP):
            for fill in asyncio.run(self.paper.fills(symbol, 0))[1:]:
                total[symbol] = total.get(symbol, D(0)) + fill.signed_quantity
        return total


def test_everything_is_closed_and_cancelled() -> None:
    place = Place()
    report = place.flatten()
    assert report.complete, report
    assert len(report.cancelled) == 2
    assert [(line.symbol, line.before, line.left) for line in report.lines] == [(SPOT, D(2), D(0)), (SWAP, D(-1), D(0))]
    assert place.held() == {"USDT"}
    assert not asyncio.run(place.paper.open_orders())
    assert "flat, 2 orders cancelled" in told(report)


def test_only_the_symbols_that_are_given_or_all_in_the_currency() -> None:
    place = Place()
    report = place.flatten(symbols=(SWAP,))
    assert [line.symbol for line in report.lines] == [SWAP]
    assert len(asyncio.run(place.paper.open_orders())) == 2
    assert place.flatten(symbols=(), nonce=b"m" * 16).complete
    assert place.held() == {"USDT"}


calls = st.sampled_from(["submit", "cancel", "find", "open_orders"])
plans = st.dictionaries(calls, st.lists(st.sampled_from(["", "before", "after"]), max_size=5), max_size=4)


@settings(max_examples=40, deadline=None)
@given(plans, st.sampled_from([None, SLOW, NO_BOUND]))
def test_nothing_is_sold_twice_whatever_the_wire_does(
    plan: dict[str, list[str]], capabilities: Capabilities | None
) -> None:
    place = Place(capabilities)
    place.wire.faults = {method: list(faults) for method, faults in plan.items()}
    report = place.flatten()
    held = asyncio.run(place.paper.balances())
    spot, swap = held.get("BTC"), held.get(SWAP)
    assert spot is None or 0 <= spot.total <= 2
    assert swap is None or swap.total in (D(0), D(-1))
    traded = place.sold()
    assert abs(traded.get(SPOT, D(0))) <= 2
    assert abs(traded.get(SWAP, D(0))) <= 1
    for line in report.lines:
        asset = "BTC" if line.symbol == SPOT else SWAP
        now = held[asset].total if asset in held else D(0)
        assert line.left == now or "unknown" in line.why or "order" in line.why
    if report.complete:
        assert place.held() == {"USDT"}
        assert not asyncio.run(place.paper.open_orders())


def test_a_submission_whose_answer_is_lost_is_looked_for_and_not_sent_again() -> None:
    for capabilities in (None, SLOW, NO_BOUND):
        place = Place(capabilities)
        place.wire.faults = {"submit": ["after", "after"], "find": ["before", "", "before"]}
        assert place.flatten().complete
        assert place.wire.calls.count("submit") == 2


def test_one_that_never_came_is_sent_anew_where_that_is_certain_and_reported_where_it_is_not() -> None:
    place = Place(SLOW)
    place.wire.faults = {"submit": ["before"]}
    assert place.flatten().complete
    place = Place(NO_BOUND)
    place.wire.faults = {"submit": ["before"]}
    report = place.flatten()
    assert not report.complete
    (spot, swap) = report.lines
    assert (spot.left, swap.left) == (D(2), D(0))
    assert spot.why.startswith("unknown")
    assert place.wire.calls.count("submit") == 2  # one each


def test_a_venue_that_is_down_is_an_error_and_not_a_flat_account() -> None:
    place = Place()
    place.wire.faults = {"balances": ["before"]}
    with pytest.raises(ConnectionError):
        place.flatten()


def test_orders_that_cannot_be_listed_do_not_keep_positions_open() -> None:
    place = Place()
    place.wire.faults = {"open_orders": ["before"] * 20}
    report = place.flatten()
    assert not report.complete
    assert "cannot be listed" in report.resting[0]


# ------------------------------------------------------------------------------------------------- the stand-in's verbs


def run_of(nonce: bytes = NONCE, **fields: Any) -> BareRun:
    clock = [0]

    async def sleep(seconds: float) -> None:
        clock[0] += int(seconds * 1e9)

    return BareRun(nonce, "flatten", clock=lambda: clock[0], sleep=sleep, patience_s=10.0)


def test_client_ids_derive_from_the_nonce_and_never_repeat() -> None:
    seen: list[str] = []

    async def note(*, key: str) -> None:
        seen.append(key)

    async def main() -> None:
        for nonce in (NONCE, b"m" * 16, b"x" * 64):
            run = run_of(nonce)
            for _ in range(3):
                await run.effect("submit", note)
        await run_of().effect("submit", note)

    asyncio.run(main())
    assert len(set(seen[:9])) == 9
    assert seen[9] == seen[0]
    assert all(len(key) == 32 and key.startswith(WITHOUT_TAPE) and int(key, 16) for key in seen)
    with pytest.raises(InvalidInput):
        run_of(b"short")


def test_what_is_certain_is_raised_and_what_is_not_is_looked_for() -> None:
    async def main() -> None:
        async def fails(error: Exception, *, key: str) -> None:
            raise error

        answers: list[Any] = []

        async def lookup(key: str, error: Exception) -> Any:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        with pytest.raises(Rejected):
            await run_of().effect("x", fails, Rejected("a", "b"), lookup=lookup)
        answers[:] = [ConnectionError("down"), NotFound(), Found(7)]
        assert await run_of().effect("x", fails, ConnectionError(), lookup=lookup, grace="5 seconds") == 7
        answers[:] = [NotFound()]
        with pytest.raises(NotSent):
            await run_of().effect("x", fails, ConnectionError(), lookup=lookup, grace="5 seconds")
        # an answer that fails in between begins the grace anew
        answers[:] = [ConnectionError("down")]
        with pytest.raises(Unknown):
            await run_of().effect("x", fails, ConnectionError(), lookup=lookup, grace="5 seconds")
        with pytest.raises(Unknown):
            await run_of().effect("x", fails, ConnectionError())

    asyncio.run(main())


def test_a_plan_tells_everything_there_is_and_changes_nothing() -> None:
    place = Place()
    plan = asyncio.run(plan_without_tape(place.account()))
    assert plan.close == {SPOT: D(2), SWAP: D(-1)}
    assert len(plan.cancel) == 2
    assert place.wire.calls.count("submit") == place.wire.calls.count("cancel") == 0
    words = told_plan(plan)
    assert "whoever bought it" in words
    assert f"sell 2.0000 of {SPOT}" in words
    assert f"buy back 1.0000 of {SWAP}" in words
    with pytest.raises(InvalidInput, match="TYPO"):
        asyncio.run(check_symbols(place.account(), (SPOT, "TYPO")))


def test_the_sum_comes_last() -> None:
    lines = told(Place().flatten()).splitlines()
    assert lines[0].startswith(f"  {SPOT}: 2.0000 -> 0")
    assert lines[-1] == f"{NAME}: flat, 2 orders cancelled"
