"""The paper venue: money, bars, crashes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.support import RULES, SPOT, START, SWAP, D, bar, intent, limits, quote
from tests.trading.world import now
from tickwork.errors import Fatal, InvalidInput, Rejected, TapeError
from tickwork.market.bars import Quote
from tickwork.outcome import Found, NotFound
from tickwork.trading.gate import RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger, fold
from tickwork.trading.matching import PLAIN, Depth, FillModel, Level
from tickwork.trading.orders import ApprovedOrder, Fill, Order, Side
from tickwork.trading.reservations import Reservations
from tickwork.venues.paper import PaperVenue
from tickwork.venues.paper_book import BookTotals, book_totals

CASH = {"USDT": D(10_000)}
GATE = RiskGate(
    limits(max_order_notional=D("1e12"), max_position_notional=D("1e12"), price_band=D(1_000)), RULES, shorts=True
)


def approved(side: Side = "buy", quantity: str = "1", *, price: str = "100", **changes: Any) -> ApprovedOrder:
    """An order through a gate wide enough for everything; reductions are given a position to reduce."""
    wanted = intent(side, quantity, **changes)
    decision = GATE.check(
        replace(wanted, reduce_only=False),
        ledger=Ledger(),
        reservations=Reservations(),
        quote=quote(price, symbol=wanted.symbol),
        now=START,
        halt=Halt(),
    )
    assert decision.approval is not None, decision.refusal
    return GATE.seal(replace(decision.approval, intent=wanted))


def key(number: int) -> str:
    return f"{number:032x}"


def paper(path: str | Path = ":memory:", **changes: Any) -> PaperVenue:
    return PaperVenue(path, **{"rules": RULES.values(), "cash": CASH, **changes})


@pytest.fixture
def venue() -> Iterator[PaperVenue]:
    made = paper()
    yield made
    made.shut()


def found(venue: PaperVenue, number: int) -> Order:
    answer = now(venue.find(key(number)))
    assert isinstance(answer, Found)
    assert isinstance(answer.value, Order)
    return answer.value


def rejected(venue: PaperVenue, order: ApprovedOrder, says: str) -> None:
    with pytest.raises(Rejected, match=says):
        now(venue.submit(order, key(99)))
    assert isinstance(now(venue.find(key(99))), NotFound)


def total(venue: PaperVenue, asset: str) -> Decimal:
    balance = now(venue.balances()).get(asset)
    return balance.total if balance else D(0)


# -------------------------------------------------------------------------------------------------------- bars


def test_an_order_fills_on_the_first_bar_after_it(venue: PaperVenue) -> None:
    venue.on_bar(bar("90"), 7)
    now(venue.submit(approved(), key(1)))
    assert venue.on_bar(bar("80"), 7) == []
    (fill,) = venue.on_bar(bar("100", index=1), 8)
    assert (int(fill.fill_id), fill.price, fill.fee, fill.offset) == (1, D("100.05"), D("0.10005"), 8)
    assert total(venue, "BTC") == 1
    assert total(venue, "USDT") == D("10000") - D("100.05") - D("0.10005")
    assert venue.on_bar(bar("100", index=1), 8) == []


def test_bars_of_other_symbols_trade_nothing(venue: PaperVenue) -> None:
    now(venue.submit(approved(), key(1)))
    assert venue.on_bar(bar("100", symbol=SWAP), 0) == []
    assert venue.on_bar(bar("100", symbol="ETH/USDT"), 0) == []
    assert found(venue, 1).status == "acknowledged"


def test_a_bar_with_nothing_to_do_runs_no_sql(venue: PaperVenue) -> None:
    seen: list[str] = []

    def trace(_: apsw.Cursor, sql: str, __: object) -> bool:
        seen.append(sql)
        return True

    venue._book._db.exec_trace = trace
    venue.on_bar(bar("100"), 0)
    assert seen == []
    now(venue.submit(approved(limit_price=D(50)), key(1)))
    seen.clear()
    venue.on_bar(bar("100", index=1), 1)  # it rests, and is not touched
    assert seen == []
    assert venue.cursor(SPOT) == 1


def test_the_cursor_is_committed_with_what_happened(tmp_path: Path) -> None:
    with paper(tmp_path / "book.db") as venue:
        for index in range(5):
            venue.on_bar(bar("100", index=index), index)
    with paper(tmp_path / "book.db") as venue:
        assert venue.cursor(SPOT) == -1  # nothing happened: these bars may come again
        for index in range(5):
            venue.on_bar(bar("100", index=index), index)
        asyncio.run(venue.submit(approved(), key(1)))
    with paper(tmp_path / "book.db") as venue:
        assert venue.cursor(SPOT) == 4
        assert venue.on_bar(bar("50", index=4), 4) == []
        assert len(venue.on_bar(bar("100", index=5), 5)) == 1
    with paper(tmp_path / "book.db") as venue:
        assert venue.cursor(SPOT) == 5


# -------------------------------------------------------------------------------------------------------- money


def test_what_is_rejected(venue: PaperVenue) -> None:
    rejected(venue, approved("buy", "100"), "insufficient funds: needs 10015.005")
    rejected(venue, approved("sell", "1"), "insufficient funds: needs 1.0000 BTC")
    rejected(venue, approved("sell", "1", reduce_only=True), "nothing to reduce")
    rejected(venue, approved("buy", "1", account="other"), "unknown account")
    tight = paper(rules=[replace(RULES[SPOT], price_tick=D(1), quantity_step=D("0.1"), min_notional=D(50))])
    rejected(tight, approved("buy", "1", limit_price=D("99.5")), "off the tick")
    rejected(tight, approved("buy", "1.05"), "off the step")
    rejected(tight, approved("buy", "0.4"), "below the least")
    rejected(tight, approved("buy", "1", symbol=SWAP), "unknown symbol")
    sized = paper(rules=[replace(RULES[SPOT], min_quantity=D(2), max_quantity=D(3))])
    rejected(sized, approved("buy", "1.9999"), "below the least, 2")
    rejected(sized, approved("buy", "3.0001"), "above the most, 3")
    rejected(sized, approved("sell", "3.0001", reduce_only=True), "above the most, 3")


def test_resting_orders_lock_what_they_need(venue: PaperVenue) -> None:
    now(venue.submit(approved("buy", "90", limit_price=D(100)), key(1)))
    assert now(venue.balances())["USDT"].held == D("9009")
    rejected(venue, approved("buy", "10"), "free are 991")
    now(venue.cancel(key(1)))
    now(venue.submit(approved("buy", "10"), key(2)))


def test_a_jump_of_the_price_fills_what_the_cash_pays_for(venue: PaperVenue) -> None:
    now(venue.submit(approved("buy", "99"), key(1)))
    (fill,) = venue.on_bar(bar("200"), 0)
    order = found(venue, 1)
    assert (order.status, order.filled, order.reason) == ("partially_cancelled", fill.quantity, "insufficient funds")
    assert 0 <= total(venue, "USDT") < D("0.05")


def test_a_stop_gets_through_beside_a_take_profit_and_sells_once(venue: PaperVenue) -> None:
    now(venue.submit(approved("buy", "2"), key(1)))
    venue.on_bar(bar("100"), 0)
    now(venue.submit(approved("sell", "2", limit_price=D(110)), key(2)))
    now(venue.submit(approved("sell", "2", reduce_only=True), key(3)))
    venue.on_bar(bar("100", "90", "120", index=1), 1)
    assert (found(venue, 2).filled + found(venue, 3).filled, total(venue, "BTC")) == (D(2), D(0))
    assert {found(venue, 2).status, found(venue, 3).status} == {"filled", "cancelled"}


def test_contracts_go_short_with_collateral(venue: PaperVenue) -> None:
    rejected(venue, approved("sell", "101", symbol=SWAP), "insufficient funds")
    now(venue.submit(approved("sell", "50", symbol=SWAP), key(1)))
    rejected(venue, approved("buy", "60"), "insufficient funds")  # the collateral is spoken for
    venue.on_bar(bar("100", symbol=SWAP), 0)
    assert total(venue, SWAP) == -50
    rejected(venue, approved("buy", "60"), "insufficient funds")  # and the proceeds are not ours
    now(venue.submit(approved("buy", "40"), key(2)))
    now(venue.cancel(key(2)))
    now(venue.submit(approved("buy", "70", symbol=SWAP, reduce_only=True), key(3)))
    venue.on_bar(bar("90", symbol=SWAP, index=1), 1)
    assert total(venue, SWAP) == 0
    assert venue.totals().differences(fold(now(venue.numbered(0)), CASH)) == []


def test_inverse_contracts_and_floats_are_refused() -> None:
    with pytest.raises(InvalidInput, match="inverse"):
        paper(rules=[replace(RULES[SPOT], symbol="BTC/USD:BTC")])
    with pytest.raises(InvalidInput, match=r"cash\.USDT"):
        paper(cash={"USDT": 1.5})


# -------------------------------------------------------------------------------------------------------- the book


def test_a_book_has_one_owner_and_readers(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    with paper(path) as venue:
        with pytest.raises(Fatal, match="open elsewhere"):
            paper(path)
        asyncio.run(venue.submit(approved(), key(1)))
        code = f"from tickwork.venues.paper import PaperVenue; PaperVenue({str(path)!r}, rules=[], cash={{}})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "Fatal" in other.stderr
        assert "open elsewhere" in other.stderr
        assert book_totals(path).client_order_ids == {key(1)}
    paper(path).shut()


def test_a_book_belongs_to_one_account(tmp_path: Path) -> None:
    paper(tmp_path / "book.db").shut()
    with pytest.raises(InvalidInput, match="other"):
        paper(tmp_path / "book.db", account="other")
    paper(tmp_path / "book.db").shut()  # the refused one let go of the lock


def test_cash_is_paid_in_once(tmp_path: Path) -> None:
    paper(tmp_path / "book.db").shut()
    with paper(tmp_path / "book.db", cash={"USDT": D(5)}) as venue:
        assert venue.totals().balances == CASH


def test_a_book_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="path of a paper book"):
        book_totals(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_change_that_cannot_be_written_did_not_happen(venue: PaperVenue) -> None:
    now(venue.submit(approved(), key(1)))
    before = (venue.totals(), now(venue.open_orders()), now(venue.balances()), venue.cursor(SPOT))
    told: list[TapeError] = []
    venue.when_broken(told.append)
    venue._book._db.set_commit_hook(lambda: True)  # every commit fails
    for doomed in (
        lambda: now(venue.submit(approved(), key(2))),
        lambda: now(venue.cancel(key(1))),
        lambda: venue.on_bar(bar("100"), 0),
        lambda: venue.on_quote(quote("100")),
    ):
        with pytest.raises(TapeError, match=r"paper book :memory: cannot be written .*: free or replace the disk"):
            doomed()
        assert (venue.totals(), now(venue.open_orders()), now(venue.balances()), venue.cursor(SPOT)) == before
    venue._book._db.set_commit_hook(None)
    assert len(venue.on_bar(bar("100"), 0)) == 1
    assert now(venue.submit(approved(), key(2))).venue_order_id == "2"


def test_differences_are_put_in_words(venue: PaperVenue) -> None:
    now(venue.submit(approved(), key(1)))
    venue.on_bar(bar("100"), 0)
    differences = venue.totals().differences(Ledger(CASH))
    assert any(line.startswith("position BTC/USDT: book 1.0000, ledger 0") for line in differences)
    assert any("balance of USDT" in line for line in differences)
    sound = venue.totals()
    assert replace_balance(sound).differences(fold(now(venue.numbered(0)), CASH)) != []


def replace_balance(totals: BookTotals) -> BookTotals:
    return replace(totals, balances={**totals.balances, "USDT": D(1)})


# -------------------------------------------------------------------------------------------------------- laws

sides = st.sampled_from(["buy", "sell"])
moves = st.one_of(
    st.tuples(st.just("market"), sides, st.sampled_from(["1", "40", "0.0101"]), st.sampled_from([SPOT, SWAP])),
    st.tuples(st.just("reduce"), sides, st.sampled_from(["1", "40"]), st.sampled_from([SPOT, SWAP])),
    st.tuples(st.just("limit"), sides, st.sampled_from(["1", "40"]), st.sampled_from([SPOT, SWAP])),
    st.tuples(st.sampled_from(["ioc", "fok"]), sides, st.sampled_from(["1", "40"]), st.sampled_from([SPOT, SWAP])),
    st.tuples(st.just("bar"), st.integers(80, 120), st.integers(0, 15), st.sampled_from([SPOT, SWAP])),
    st.tuples(st.just("bar"), st.integers(80, 120), st.integers(0, 15), st.sampled_from([SPOT, SWAP])),
    st.tuples(st.just("quote"), st.integers(80, 120), st.integers(0, 50), st.sampled_from([SPOT, SWAP])),
    st.tuples(st.just("cancel"), st.integers(0, 20), st.none(), st.none()),
    st.tuples(st.just("crash"), st.none(), st.none(), st.none()),
)


IN_PARTS = FillModel(impact=D("0.001"), volume_share=D("0.7"), depth_share=D("0.3"))


class Twin:
    """A venue whose process may die: it comes back on the same book and is shown its market from the start again."""

    def __init__(self, *, dies: bool, fills: FillModel) -> None:
        self.dies = dies
        self.venue = paper(fills=fills)
        self.seen: list[Callable[[], list[Fill]]] = []

    def play(self, number: int, move: tuple[Any, ...]) -> str:
        what, first, second, third = move
        if what == "bar":
            price = D(first)
            one = bar(price, price - second, price + second, index=number, symbol=third)
            self.seen.append(lambda: self.venue.on_bar(one, number))
            self.seen[-1]()
        elif what == "quote":
            tick = Quote(symbol=third, venue="live", time_ns=START + number, bid=D(first), ask=D(first + 1))
            depth = Depth(
                bids=(Level(D(first), D(second)), Level(D(first - 9), D(9))),
                asks=(Level(D(first + 1), D(second)), Level(D(first + 9), D(9))),
            )
            self.seen.append(lambda: self.venue.on_quote(tick, depth))
            self.seen[-1]()
        elif what == "cancel":
            return self._try(self.venue.cancel(key(first)))
        elif what == "crash":
            if self.dies:
                self.venue._state = self.venue._book.load()  # the memory of a new process
                for again in self.seen:
                    assert again() == [], "a bar or a quote traded twice"
        else:
            changes: dict[str, Any] = {}
            if what in ("limit", "ioc", "fok"):
                changes["limit_price"] = D(95) if first == "buy" else D(105)
            if what in ("ioc", "fok"):
                changes["time_in_force"] = what
            order = approved(first, second, symbol=third, reduce_only=what == "reduce", **changes)
            return self._try(self.venue.submit(order, key(number)))
        return ""

    @staticmethod
    def _try(call: Any) -> str:
        try:
            return str(now(call))
        except Rejected as error:
            return str(error)


@settings(max_examples=200)
@given(st.lists(moves, min_size=20, max_size=60), st.sampled_from([PLAIN, IN_PARTS]))
def test_law_a_crash_changes_nothing_and_money_is_conserved(played: list[tuple[Any, ...]], fills: FillModel) -> None:
    """After any sequence, with crashes or without: the same answers, orders, fills and balances; and the ledger of
    the fills agrees with the book to the last digit, with what the rows add up to included."""
    mortal, immortal = Twin(dies=True, fills=fills), Twin(dies=False, fills=fills)
    for number, move in enumerate(played):
        assert mortal.play(number, move) == immortal.play(number, move)
    assert now(mortal.venue.numbered(0)) == now(immortal.venue.numbered(0))
    assert now(mortal.venue.open_orders()) == now(immortal.venue.open_orders())
    assert now(mortal.venue.balances()) == now(immortal.venue.balances())
    ledger = fold(now(mortal.venue.numbered(0)), CASH)
    ledger.check()
    totals = mortal.venue.totals()
    assert totals.differences(ledger) == []
    assert totals.derived == totals.balances
    assert total(mortal.venue, "BTC") >= 0
    check_orders(mortal.venue)


def check_orders(venue: PaperVenue) -> None:
    """Orders are what their fills make them, what is immediate has one chance, and no reduction turns a position."""
    held: dict[str, Decimal] = {}
    made: dict[str, Decimal] = {}
    for fill in now(venue.numbered(0)):
        before = held.get(fill.symbol, D(0))
        after = held[fill.symbol] = before + fill.signed_quantity
        made[fill.client_order_id] = made.get(fill.client_order_id, D(0)) + fill.quantity
        if found(venue, int(fill.client_order_id, 16)).reduce_only:
            assert abs(after) < abs(before)
            assert after * before >= 0
    for number in [int(key, 16) for key in venue.totals().client_order_ids]:
        order = found(venue, number)
        assert order.filled == made.get(order.client_order_id, D(0))
        assert (order.status == "filled") == (order.filled == order.quantity)
        assert (order.status in ("partially_filled", "partially_cancelled")) <= (0 < order.filled < order.quantity)
        if order.time_in_force == "fok":
            assert order.filled in (D(0), order.quantity)
        if order.time_in_force == "ioc":
            assert order.status != "partially_filled"


def test_kill_9_leaves_a_consistent_book(tmp_path: Path) -> None:
    """A process that trades as fast as it can is killed at arbitrary moments; what it had acknowledged is there."""
    path = tmp_path / "book.db"
    script = Path(__file__).with_name("paper_process.py")
    said: list[str] = []
    for round_ in range(4):
        with subprocess.Popen(
            [sys.executable, str(script), str(path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        ) as process:
            assert process.stdout is not None
            said.append(process.stdout.readline().strip())
            time.sleep(0.02 + 0.03 * round_)
            process.kill()
            said += [line for line in process.stdout.read().splitlines() if len(line) == 32]
    totals = book_totals(path)
    said = [line for line in said if len(line) == 32]
    assert len(said) > 10
    assert set(said) <= totals.client_order_ids
    assert totals.derived == totals.balances
    with paper(path) as venue:
        ledger = fold(asyncio.run(venue.numbered(0)), {"USDT": D("1e9")})
        assert totals.differences(ledger) == []
        assert totals.fills > 0
