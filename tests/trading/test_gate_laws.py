"""The gate under any interleaving: many workflows, one account, a ledger that lags, restarts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.gate_account import OTHER, PAIR, PRICE, RULES, SECOND, SWAP, SYMBOLS, Account
from tests.trading.support import D, intent
from tickwork.trading.limits import RiskLimits, RiskRules
from tickwork.trading.orders import OrderIntent

EXPOSURE = RiskRules(
    account=RiskLimits(max_order_notional=D(2_000), max_position_notional=D(3_000), max_exposure=D(4_000))
)
"""Fewer rules, so that more orders come to be judged by these."""

sides = st.sampled_from(["buy", "sell"])
sizes = st.sampled_from(["0.01", "1", "4", "7.5", "9", "12", "20"])
workflows = st.sampled_from(["a", "b", "c"])
picks = st.integers(0, 30)
symbols = st.sampled_from(SYMBOLS)
moves = st.one_of(
    st.tuples(st.just("place"), workflows, symbols, sides, sizes),
    st.tuples(st.sampled_from(["rest", "trade"]), workflows, symbols, sides, sizes),
    st.tuples(st.sampled_from(["reduce", "rest reducing", "trade reducing"]), workflows, symbols, sides, sizes),
    st.tuples(st.sampled_from(["send", "send", "withdraw", "fill", "fill", "part", "lose", "find", "end"]), picks),
    st.tuples(st.sampled_from(["book", "book", "crash", "wait"])),
)


def play(account: Account, move: tuple[Any, ...]) -> None:
    what, *rest = move
    if len(rest) == 4:
        place(account, what, *rest)
    elif what in ("send", "withdraw"):
        if account.waiting:
            getattr(account, what)(rest[0])
    elif what in ("book", "crash"):
        getattr(account, what)()
    elif what == "wait":
        account.now += 20 * SECOND
    elif account.orders:
        key = sorted(account.orders)[rest[0] % len(account.orders)]
        if what in ("fill", "part"):
            account.fill(key, D(10**6) if what == "fill" else D("0.5"))
        else:
            getattr(account, what)(key)


def place(account: Account, what: str, workflow: str, symbol: str, side: Any, size: str) -> None:
    """``rest``: and send it. ``trade``: and it fills at once."""
    reduces = "reduc" in what
    approval = account.place(workflow, symbol, side, size, reduce_only=reduces).approval
    if approval is None:
        return
    if not reduces and account.rules is RULES:
        check_workflow(account, workflow, symbol)
        check_counts(account, workflow)
    if what.startswith(("rest", "trade")):
        account.send(-1)
        key = f"{account.number:032x}"
        if what.startswith("trade") and key in account.orders:
            account.fill(key, D(10**6))
            account.book()


def may_buy_and_sell(account: Account, symbol: str, workflow: str = "") -> tuple[Decimal, Decimal]:
    """Worked out from the orders themselves: what could still be bought and sold at the venue."""
    could = {"buy": D(0), "sell": D(0)}
    for sent in account.orders.values():
        wanted = sent.approval.intent
        if wanted.symbol == symbol and not wanted.reduce_only and workflow in ("", wanted.workflow):
            could[wanted.side] += sent.left
    return could["buy"], could["sell"]


def worst(account: Account, symbol: str) -> Decimal:
    """The largest position, in money, that the orders at the venue can lead to from now on, whatever fills first."""
    held = account.positions.get(symbol, D(0))
    buys, sells = may_buy_and_sell(account, symbol)
    short = sells - held if ":" in symbol else D(0)
    return max(held + buys, short, abs(held)) * PRICE


def check_account(account: Account) -> None:
    """At no time is the worst case at the venue beyond a limit of the account or of a symbol."""
    by_symbol = {symbol: worst(account, symbol) for symbol in SYMBOLS}
    assert max(by_symbol.values()) <= 3_000
    assert sum(by_symbol.values()) <= 4_000
    if account.rules is RULES:
        assert by_symbol[OTHER] <= 1_000
        assert sum(value > 0 for value in by_symbol.values()) <= 2


def check_workflow(account: Account, workflow: str, symbol_of_it: str) -> None:
    """After an approval of a workflow its own limits hold too, of positions by its own fills.

    Reductions always pass, also one that leaves the workflow short of what another holds: so there may be more
    positions than the limit, and an order opens no further one.
    """
    rooms = {symbol: D(0) for symbol in SYMBOLS}
    for symbol in SYMBOLS:
        held = held_by(account, workflow, symbol)
        buys = sells = D(0)
        for one, left in account.reservations.of(symbol):
            if one.workflow == workflow and not one.reduce_only:
                buys, sells = (buys + left, sells) if one.side == "buy" else (buys, sells + left)
        rooms[symbol] = max(held + buys, (sells - held) if ":" in symbol else D(0), D(0)) * PRICE
    if workflow == "a":
        assert max(rooms.values()) <= 1_500
        assert sum(rooms.values()) <= 2_500
    if workflow == "b":
        others = sum(rooms[symbol] > 0 for symbol in SYMBOLS if symbol != symbol_of_it)
        alone = [one for one, _ in account.reservations.of(symbol_of_it) if one.workflow == workflow]
        assert others == 0 or len(alone) > 1 or held_by(account, workflow, symbol_of_it)


def held_by(account: Account, workflow: str, symbol: str) -> Decimal:
    """What a workflow has of a symbol by its own fills."""
    book = account.activity.held(workflow)
    return book.quantity(symbol) if book else D(0)


def check_counts(account: Account, workflow: str) -> None:
    assert len(account.reservations) <= 8
    recent = [one for one in account.approvals.values() if one.approved_at > account.now - 60 * SECOND]
    assert len(recent) <= 15
    assert workflow != "b" or sum(one.intent.workflow == "b" for one in recent) <= 4


@settings(max_examples=120)
@pytest.mark.parametrize("rules", [RULES, EXPOSURE], ids=["all", "exposure alone"])
@given(played=st.lists(moves, min_size=15, max_size=60))
def test_law_no_limit_is_exceeded_under_any_interleaving(rules: RiskRules, played: list[tuple[Any, ...]]) -> None:
    account = Account(rules)
    for move in played:
        play(account, move)
        check_account(account)


@settings(max_examples=60)
@given(
    played=st.lists(moves, min_size=10, max_size=50),
    probes=st.lists(st.tuples(workflows, st.sampled_from(SYMBOLS), sides, sizes), max_size=8),
)
def test_law_a_restart_resets_nothing(played: list[tuple[Any, ...]], probes: list[Any]) -> None:
    """What the tape gives again decides as what there was before."""
    account = Account()
    for move in played:
        play(account, move)
    account.book()
    while account.waiting:
        account.withdraw(0)
    for key in sorted(account.orders):
        account.find(key)
    intents = [intent(side, size, workflow=name, symbol=symbol) for name, symbol, side, size in probes]
    before = [account.judge(one) for one in intents]
    account.crash()
    assert [account.judge(one) for one in intents] == before


reductions = st.sampled_from(["reduce", "rest reducing", "trade reducing"])
reducing = st.one_of(
    st.tuples(st.sampled_from(["place", "trade"]), st.just("c"), st.just(PAIR), st.just("buy"), sizes),
    st.tuples(reductions, workflows, st.just(PAIR), st.just("sell"), sizes),
    st.tuples(reductions, workflows, st.just(PAIR), st.just("sell"), sizes),
    st.tuples(st.sampled_from(["send", "send", "withdraw", "fill", "part", "end"]), picks),
    st.tuples(st.sampled_from(["book", "crash"])),
)


@settings(max_examples=200)
@given(played=st.lists(reducing, min_size=10, max_size=60))
def test_law_reductions_of_a_pair_sell_no_more_than_its_position(played: list[tuple[Any, ...]]) -> None:
    """There are more of the coins than the position: the venue would sell them too. No reduction may ask it to."""
    account = Account(owned={PAIR: D(1_000)})
    for move in played:
        play(account, move)
        assert account.positions.get(PAIR, D(0)) >= 0


swapping = st.one_of(
    st.tuples(st.sampled_from(["place", "rest", "rest", "trade"]), st.just("c"), st.just(SWAP), sides, sizes),
    st.tuples(reductions, workflows, st.just(SWAP), sides, sizes),
    st.tuples(st.sampled_from(["send", "send", "fill", "part", "lose", "find"]), picks),
    st.tuples(st.sampled_from(["book", "crash"])),
)


@settings(max_examples=200)
@given(played=st.lists(swapping, min_size=10, max_size=60))
def test_law_reductions_of_a_contract_never_enlarge_it(played: list[tuple[Any, ...]]) -> None:
    """Neither by what they do nor by what they leave to orders that were judged beside them."""
    account = Account(EXPOSURE)
    for move in played:
        before = dict(account.positions)
        reduces = move[0] in ("fill", "part") and account.orders and _chosen(account, move[1]).reduce_only
        play(account, move)
        if reduces:
            assert abs(account.positions.get(SWAP, D(0))) <= abs(before.get(SWAP, D(0)))
            assert account.positions.get(SWAP, D(0)) * before.get(SWAP, D(0)) >= 0
        assert worst(account, SWAP) <= 3_000


def _chosen(account: Account, pick: int) -> OrderIntent:
    return account.orders[sorted(account.orders)[pick % len(account.orders)]].approval.intent


MINIMUMS = {"min_quantity", "min_notional"}


@settings(max_examples=80)
@given(
    played=st.lists(moves, max_size=40),
    symbol=st.sampled_from(SYMBOLS),
    workflow=workflows,
    side=sides,
    large=st.decimals(min_value=1, max_value=40, places=2),
    share=st.decimals(min_value=D("0.01"), max_value=1, places=2),
)
def test_law_a_smaller_order_is_never_refused_where_a_larger_one_passes(
    played: list[Any], symbol: str, workflow: str, side: Any, large: Decimal, share: Decimal
) -> None:
    account = Account()
    for move in played:
        play(account, move)
    passes = account.judge(intent(side, str(large), workflow=workflow, symbol=symbol)).approval is not None
    small = account.judge(intent(side, str(max(large * share, D("0.01"))), workflow=workflow, symbol=symbol))
    if passes and small.refusal is not None:
        assert small.refusal.rule in MINIMUMS


@pytest.mark.parametrize("doubt", [False, True])
def test_an_unknown_reduction_does_not_block_a_stop(doubt: bool) -> None:
    account = Account()
    account.place("c", PAIR, "buy", "10")
    account.send(0)
    account.fill(next(iter(account.orders)), D(10))
    account.book()
    assert account.place("c", PAIR, "sell", "10", reduce_only=True).approval
    account.send(0)
    key = next(iter(account.orders))
    if doubt:
        account.lose(key)
    stop = account.place("c", PAIR, "sell", "10", reduce_only=True)
    assert (stop.approval is not None) == doubt
    if not doubt:
        assert stop.refusal is not None
        assert "cancel it first" in stop.refusal.limit
        account.end(key)  # the venue's answer to the cancel
        again = account.place("c", PAIR, "sell", "10", reduce_only=True)
        assert again.approval is not None


def test_a_position_is_not_set_off_against_orders_that_a_reduction_could_outrun() -> None:
    account = Account(EXPOSURE)
    for _ in range(2):
        play(account, ("trade", "c", SWAP, "buy", "12"))
    play(account, ("rest", "c", SWAP, "sell", "20"))
    refusal = account.place("c", SWAP, "sell", "20").refusal  # 40 against 24 held: 16 short, unless 24 are closed first
    assert refusal is not None
    assert (refusal.rule, refusal.actual) == ("max_position_notional", "4000.00")
    play(account, ("trade reducing", "c", SWAP, "sell", "24"))
    account.fill(next(iter(account.orders)), D(20))
    assert account.positions[SWAP] == -20


def test_a_decision_without_its_room_is_judged_again_before_the_wire() -> None:
    account = Account(EXPOSURE)
    account.place("c", SWAP, "buy", "20")
    account.crash()
    for size in ("12", "12"):
        play(account, ("rest", "c", SWAP, "buy", size))
    account.send(0)
    assert len(account.orders) == 2
    assert not account.waiting
