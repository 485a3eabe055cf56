"""No detour: who may operate does not trade, who may trade one account does not reach another."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.service.awaiting import awaited
from tests.service.operations.calling import Calls, law
from tests.service.operations.trading import BUY, place
from tests.service.operations.trading import Calls as Session
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.errors import Forbidden, InvalidInput
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import authorise
from tickwork.service.api.operation import CATALOGUE, Call
from tickwork.service.exits_lines import ExitLine
from tickwork.service.operations import all as every
from tickwork.values import from_ns

assert every.CATALOGUE is CATALOGUE


def limited(*scopes: str, accounts: frozenset[str] | None = frozenset()) -> Caller:
    """A token, by default one that names no account."""
    return Caller(name="t", face="http", scopes=frozenset(scopes), accounts=accounts)


# ------------------------------------------------------------------------------------------------------------ stopping


@pytest.mark.parametrize("account", ["", "main"])
@pytest.mark.parametrize("accounts", [None, frozenset[str](), frozenset({"other"})])
def test_whoever_may_operate_may_halt_whatever_he_may_trade(account: str, accounts: frozenset[str] | None) -> None:
    operation = CATALOGUE["halt"]
    authorise(operation, limited("operate", accounts=accounts), operation.parse({"account": account}))


@pytest.mark.parametrize("name", ["unhalt", "flatten", "reconcile"])
def test_what_undoes_a_halt_or_trades_is_not_for_who_may_operate(name: str) -> None:
    operation = CATALOGUE[name]
    with pytest.raises(Forbidden):
        authorise(operation, limited("read", "operate", accounts=None))
    with pytest.raises(Forbidden):
        authorise(
            operation,
            limited("trade"),
            operation.parse({"account": "main", "reason": "x"} if name != "reconcile" else {"account": "main"}),
        )


# ------------------------------------------------------------------------------------------------- of another account


def _line(plan: str, account: str) -> ExitLine:
    return ExitLine(
        plan=plan, account=account, workflow="w", symbol="BTC/USDT", side="long", left=Decimal(1), original=Decimal(1),
        on_its_way=Decimal(0), stop=None, stop_reason="", target=None, trailing="", state="waits",
        opened_at=from_ns(0),
    )  # fmt: skip


@awaited
async def test_who_may_trade_one_account_leaves_the_exits_of_others_alone() -> None:
    asked: list[tuple[str, Any]] = []

    async def ask(verb: str, /, **given: Any) -> Any:
        asked.append((verb, given.get("plan")))
        return msgspec.to_builtins([_line("p1", "main"), _line("p2", "other")]) if verb == "exits" else {"left": "1"}

    async def read(_: Any) -> Any:
        raise AssertionError

    for name, more in (("exits.cancel", {"reason": "x"}), ("exits.resize", {"quantity": "1"})):
        operation = CATALOGUE[name]
        call = Call(caller=limited("trade", accounts=frozenset({"main"})), ask=ask, read=read, now=0)
        with pytest.raises(Forbidden, match="may trade"):
            await operation.answering(call, operation.parse({"plan": "p2", **more}))
        assert {verb for verb, _ in asked} == {"exits"}
        await operation.answering(call, operation.parse({"plan": "p1", **more}))
        assert asked.pop()[1] == "p1"


@awaited
async def test_an_order_of_another_account_is_not_disowned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch, mode="paper") as here, here.up(live=False) as call:
        order = (await call("orders.place", **BUY))["clientOrderId"]
        with pytest.raises(Forbidden, match="may trade"):
            await call("orders.disown", order=order, reason="x", caller=limited("trade", accounts=frozenset({"b"})))
        await _nothing_of_the_session_is_started_by_hand(call)


async def _nothing_of_the_session_is_started_by_hand(call: Session) -> None:
    names = {one["name"] for one in (await call("workflows.code"))["items"]}
    assert {"reconcile", "flatten", "exit", "halt", "tickwork/order"} <= names, "no workflow of the user's is there"
    for name in sorted(names):
        with pytest.raises(Forbidden, match="operation"):
            await call("runs.start", workflow=name, input={}, caller=limited("operate", accounts=None))


def test_a_copy_of_a_run_is_for_who_may_trade_every_account() -> None:
    # which account it trades on is in its workflow
    with pytest.raises(Forbidden, match="every account"):
        authorise(CATALOGUE["runs.fork"], limited("trade", accounts=frozenset({"main"})))


# ----------------------------------------------------------------------------------------------------- other detours


def test_an_id_of_ours_is_not_given_to_a_run(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        # a stop's run has its claim's id: were that taken, the stop would sell nothing
        for id in ("exit.r12.exits:1", "halt.all.12", "flatten." + 32 * "a", "order." + 32 * "a", "r12.child.1"):
            with pytest.raises(InvalidInput, match="id"):
                await calls("runs.start", workflow="waits", input={}, id=id)
            with pytest.raises(InvalidInput, match="execution"):
                await calls("workflows.execute", workflow_id="x", execution_id=id)
        assert (await calls("runs.start", workflow="waits", input={}, id="exit-of-mine"))["run"] == "exit-of-mine"

    law(check, tmp_path / "t.db")


@awaited
async def test_who_may_trade_some_accounts_makes_no_token_for_more(tmp_path: Path) -> None:
    asked: list[str] = []

    async def ask(verb: str, /, **_: Any) -> Any:
        asked.append(verb)
        raise AssertionError

    async def read(_: Any) -> Any:
        raise AssertionError

    operation = CATALOGUE["tokens.create"]
    call = Call(caller=limited("admin", accounts=frozenset({"main"})), ask=ask, read=read, now=0)
    for accounts in (["*"], ["main", "other"]):
        with pytest.raises(Forbidden, match="main"):
            await operation.answering(call, operation.parse({"name": "x", "scopes": ["trade"], "accounts": accounts}))
    assert not asked


def test_a_letter_of_ours_gets_no_other_payload(tmp_path: Path) -> None:
    # with another payload it is another order, and that is for who may trade
    @workflow("reconcile")
    async def reconcile(run: Run, given: dict[str, Any]) -> None:
        raise ValueError("dead")

    async def check(calls: Calls) -> None:
        await calls.engine.add(reconcile)
        await calls.engine.start(reconcile, {}, id="mine")
        await calls.engine.idle()
        for which in ({"ids": ["mine"]}, {"source": "reconcile"}, {"every": True}):
            with pytest.raises(Forbidden, match="payload"):
                await calls("letters.redrive", payload={"account": "main"}, **which)
        assert (await calls("letters.redrive", ids=["mine"]))["redriven"] == ["mine"]

    law(check, tmp_path / "t.db")


@pytest.mark.parametrize(
    "name", ["market/alert.set", "market/rule.triggered", "market/feed.resumed", "market/unfed", "demo/started"]
)
def test_nobody_else_says_what_this_program_did(tmp_path: Path, name: str) -> None:
    async def check(calls: Calls) -> None:
        with pytest.raises(Forbidden, match="only tickwork says"):
            await calls("events.publish", name=name, payload={})

    law(check, tmp_path / "t.db")
