"""Positions, balances, ledger, performance and risk as operations: they agree with each other and with the exchange."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.awaiting import awaited
from tests.service.operations.trading import BTC, BUY, HERE, Calls, D, place, until
from tickwork.errors import Forbidden, NotFound
from tickwork.service.api.caller import Caller
from tickwork.service.api.there import Remote
from tickwork.service.figures import LEAST, thinned
from tickwork.sim.exchange import truth
from tickwork.trading.performance import EquityPoint, drawdown


async def traded(call: Calls, trades: Iterable[tuple[str, str, str]]) -> None:
    """Buy and sell: side, quantity, in whose name."""
    for count, (side, quantity, workflow) in enumerate(trades, start=1):
        asked = {**BUY, "side": side, "quantity": quantity, "workflow": workflow}
        await call("orders.place", **asked)

        async def booked(count: int = count) -> Any:
            return len((await call("fills.list", limit=100))["items"]) >= count

        await until(booked)


TRADES = [("buy", "0.01", "a"), ("buy", "0.02", "b"), ("sell", "0.004", "a"), ("sell", "0.02", "b")]


@awaited
async def test_every_booking_balances_and_they_come_to_what_the_exchange_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        await traded(call, TRADES)
        found, cursor = [], None
        while True:
            page = await call("ledger.list", limit=2, **({"cursor": cursor} if cursor else {}))
            found += page["items"]
            if (cursor := page["next"]) is None:
                break
        assert [one["what"] for one in found] == ["opened", *["fill"] * 4]
        sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for one in found:
            moved: dict[str, Decimal] = defaultdict(Decimal)
            for posting in one["postings"]:
                moved[posting["currency"]] += D(posting["amount"])
                sums[posting["postedTo"], posting["currency"]] += D(posting["amount"])
            assert set(moved.values()) == {D(0)}, one
        trial = (await call("ledger.balances", account="main"))["items"]
        balances = {(one["postedTo"], one["currency"]): D(one["amount"]) for one in trial}
        assert balances == {key: amount for key, amount in sums.items() if amount}
        there = truth(here.exchange)["accounts"]["main"]["balances"]
        (balance,) = (await call("balances.list"))["items"]
        assert D(balance["cash"]) == balances["cash", "USDT"] == D(there["USDT"]["free"]) - 90_000
        (position,) = (await call("positions.list"))["positions"]
        assert D(position["quantity"]) == D("0.006") == D(there["BTC"]["free"])
        with pytest.raises(NotFound, match="account"):
            await call("ledger.balances", account="other")
        tape = str(call.session.files.tape)
    alone = Remote(tape)
    (read,) = (await alone.call("balances.list", {}, HERE)).value["items"]
    assert (read["cash"], read["free"]) == (balance["cash"], None), "what orders may need is not known then"
    alone.close()


@awaited
async def test_profit_is_shared_out_without_a_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        await traded(call, TRADES)
        (found,) = (await call("performance.show"))["items"]
        shares = {one["workflow"]: one for one in found["shares"]}
        assert set(shares) == {"a", "b"}
        assert sum((D(one["profit"]) for one in shares.values()), D(0)) == D(found["profit"])
        assert sum((D(one["fees"]) for one in shares.values()), D(0)) == D(found["fees"])
        assert (shares["b"]["trades"]["count"], shares["b"]["trades"]["open"], shares["a"]["trades"]["open"]) == (
            1,
            0,
            1,
        )
        assert found["points"] == len(found["curve"]) == 1
        assert D(found["equity"]) == D(found["capital"]) == 10_000
        assert found["figures"]["maxDrawdown"] == 0
        only = (await call("performance.show", workflow="b", points=4))["items"][0]
        assert [one["workflow"] for one in only["shares"]] == ["b"]
        with pytest.raises(NotFound):
            await call("performance.show", account="other")
        assert len(here.orders()) == len(TRADES)


@awaited
async def test_limits_stand_as_the_gate_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = '[accounts.main.risk.workflows.a]\nmax_position_notional = "700"'
    async with place(tmp_path, monkeypatch, more=more) as here, here.up() as call:
        await traded(call, TRADES[:1])
        await call("orders.place", **BUY, type="limit", limitPrice="58000")
        limits = (await call.from_elsewhere("risk.limits", account="main"))["items"]
        positions = {one["scope"]: one for one in limits if one["rule"] == "max_position_notional"}
        account, mine = positions[f"account, {BTC}"], positions[f"workflow a, {BTC}"]
        assert D("1170") < D(account["actual"]) < D("1230"), "what is held and what rests, at the worse price"
        assert (account["limit"], account["warns"]) == ("5000", False)
        assert D(account["used"]) == (D(account["actual"]) / 5000).quantize(D("0.0001"), "ROUND_DOWN")
        assert (mine["warns"], D(mine["used"]) > D("0.8")) == (True, True)
        (exposure,) = (await call("risk.exposure"))["items"]
        (symbol,) = exposure["symbols"]
        assert (D(symbol["held"]), D(symbol["buying"])) == (D("0.01"), D("0.01"))
        assert D(exposure["gross"]) == D(symbol["value"])
        assert D(exposure["equity"]) > 9_000
        with pytest.raises(NotFound, match="account"):
            await call("risk.limits", account="other")
        assert len(here.orders()) == 2


@awaited
async def test_accounts_tell_how_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        (account,) = (await call("accounts.list"))["items"]
        assert (account["account"], account["venue"], account["level"], account["working"]) == (
            "main",
            "mexc",
            "normal",
            0,
        )
        assert D(account["equity"]) == 10_000
        await call("halt", reason="a test")
        (account,) = (await call.from_elsewhere("accounts.list"))["items"]
        assert (account["level"], account["haltedBecause"]) == ("halt", "a test")
        assert here.orders() == []


@awaited
async def test_nobody_sees_what_is_another_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = (
        Caller(name=name, face="http", scopes=frozenset({"read"}), owner=name, accounts=None) for name in ("ann", "bob")
    )
    async with place(tmp_path, monkeypatch, of_account='owner = "ann"') as here:
        async with here.up() as call:
            await traded(call, TRADES)
            key = here.orders()[0]["clientId"]
            assert len((await call("orders.list", caller=ann))["items"]) == 4
            assert len((await call.from_elsewhere("fills.list", caller=ann))["items"]) == 4
            assert (await call("orders.show", order=key, caller=ann))["order"]["account"] == "main"
            assert (await call("positions.list", caller=ann))["positions"]
            assert (await call("performance.show", caller=ann))["items"][0]["account"] == "main"
            for name in ("orders.list", "fills.list", "orders.doubtful", "ledger.list"):
                for ask in (call, call.from_elsewhere):
                    assert (await ask(name, caller=bob))["items"] == []
            for name in ("orders.list", "fills.list", "positions.list", "ledger.balances", "balances.list"):
                with pytest.raises(NotFound, match="account"):
                    await call(name, account="main", caller=bob)
            for name in ("positions.list", "ledger.balances", "performance.show"):
                with pytest.raises(NotFound, match="account"):
                    await call(name, caller=bob)
            assert (await call("balances.list", caller=bob))["items"] == []
            with pytest.raises(NotFound, match="of yours"):
                await call("orders.show", order=key, caller=bob)
            for name in ("reconciliations.list", "feeds.list", "notifications.outbox"):
                with pytest.raises(Forbidden):
                    await call(name, caller=ann)
        here.config.write_text(here.config.read_text().replace('owner = "ann"', 'owner = "bob"'))
        async with here.up() as call:
            assert len((await call("fills.list", caller=bob))["items"]) == 4, "whose it is, the last configuration says"
            assert (await call("fills.list", caller=ann))["items"] == []


@given(
    st.lists(st.integers(1, 1_000), min_size=1, max_size=60),
    st.integers(2, 70),
)
def test_a_thinned_curve_keeps_its_ends_and_its_deepest_fall(figures: list[int], most: int) -> None:
    points = [EquityPoint(number, Decimal(figure)) for number, figure in enumerate(figures)]
    kept = thinned(points, most)
    assert kept == sorted(set(kept))
    assert len(kept) <= max(most, 1)
    assert {kept[0], kept[-1]} == {0, len(points) - 1}
    if most >= LEAST:
        whole, part = [float(one) for one in figures], [float(figures[index]) for index in kept]
        assert drawdown(part).depth == drawdown(whole).depth
