"""What is drawn and listed in the pages on trading is what the code says."""

from __future__ import annotations

import asyncio
import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from tickwork.service.accounts.config import AccountConfig
from tickwork.sim.exchange import control, faults
from tickwork.sim.exchange.__main__ import _arguments
from tickwork.sim.exchange.api import VenueApi
from tickwork.trading import gate
from tickwork.trading.exits import LADDERS, ExitRules
from tickwork.trading.halt import LEVELS
from tickwork.trading.limits import NEEDED, NOT_OF_A_SYMBOL, OF_THE_ACCOUNT, Limits, RiskLimits
from tickwork.trading.measures import RULES
from tickwork.trading.order_life import diagram
from tickwork.trading.orders import OrderIntent
from tickwork.trading.reconciliation import SEVERITIES
from tickwork.trading.reconciliation import Kind as FindingKind
from tickwork.values import DurationLike, duration
from tickwork.venues import named
from tickwork.venues.conformance import table
from tickwork.venues.named import venue_named

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
TRADING = (DOCS / "trading.md").read_text()
GUARANTEES = (DOCS / "guarantees.md").read_text()
REFERENCE = (DOCS / "reference.md").read_text()


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of its level or a higher one."""
    level = heading.partition(" ")[0]
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without their heads."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("|---"):
            found.pop()  # the head
        elif line.startswith("| "):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def keyed(text: str) -> dict[str, list[str]]:
    """The rows whose first cell is one name in backticks."""
    return {row[0].strip("`"): row[1:] for row in rows(text) if re.fullmatch(r"`[\w.]+`", row[0])}


# ------------------------------------------------------------------------------------------------------- drawn, listed


def test_the_life_of_an_order_is_drawn_from_its_table() -> None:
    drawn = re.search(r"```mermaid\n(.*?)\n```", TRADING, re.DOTALL)
    assert drawn is not None
    assert drawn[1] == diagram(), "docs/trading.md: paste what tickwork.trading.order_life.diagram() gives"


def test_the_cases_are_the_suite() -> None:
    drawn = re.search(r"conformance\.table\(\) gives -->\n(.*?)<!-- end -->", GUARANTEES, re.DOTALL)
    assert drawn is not None
    assert drawn[1] == table(), "docs/guarantees.md: paste what tickwork.venues.conformance.table() gives"


# ------------------------------------------------------------------------------------------------------------ an order


def test_every_field_of_an_intent_and_its_default() -> None:
    told = keyed(section(TRADING, "## What an order says"))
    assert list(told) == [one.name for one in fields(OrderIntent)]
    words = {None: "none", "": "empty"}
    for one in fields(OrderIntent):
        expected = "needed" if one.default is MISSING else words.get(one.default, f"`{one.default}`")
        assert told[one.name][0] == expected, one.name


# -------------------------------------------------------------------------------------------------------- the risk gate


def refusals() -> list[str]:
    """Every rule of the gate, in the order in which refusals are given, read off its source."""
    check = inspect.getsource(gate.RiskGate.check)
    steps: list[Any] = [gate.RiskGate._blocked, gate._admitted, gate._priced, gate._below_tick, gate._size, gate._held]
    places = [check.index(f"{step.__name__}(") for step in (*steps, gate._first)]
    assert places == sorted(places), "the gate asks in another order"
    names: list[str] = []
    for step in steps:
        names += re.findall(r"(?:rule=|_outside\()\"(\w+)\"", inspect.getsource(step))
        if step is gate._size:
            assert "rule=bound.rule" in inspect.getsource(step)  # of `min_notional`, which is there already
    return list(dict.fromkeys([*names, *(rule.name for rule in RULES)]))


def test_the_rules_in_the_order_of_their_refusals() -> None:
    assert list(keyed(section(TRADING, "## The risk gate"))) == refusals()


def test_every_level_of_a_halt_is_told() -> None:
    assert list(keyed(section(TRADING, "## Halts")))[: len(LEVELS) - 1] == list(LEVELS[1:])


# ------------------------------------------------------------------------------------------------------------- exits


def test_the_ladders() -> None:
    told = {name: cells[0] for name, cells in keyed(section(TRADING, "## Exits")).items() if name in LADDERS}
    assert told == {
        name: ", ".join(f"{target.profit * 100:.0f}: {target.share * 100:.0f}" for target in levels)
        for name, levels in LADDERS.items()
    }


def test_every_field_of_exit_rules() -> None:
    first = " ".join(row[0] for row in rows(section(TRADING, "## Exits")))
    assert set(ExitRules.__struct_fields__) <= set(re.findall(r"`(\w+)`", first))


# ---------------------------------------------------------------------------------------------------- reconciliation


def test_findings_and_severities() -> None:
    told = section(TRADING, "## Reconciliation")
    kinds = {name for row in rows(told) for name in re.findall(r"`(\w+)`", row[0])}
    assert kinds == set(FindingKind.__args__)  # type: ignore[attr-defined]
    assert tuple(row[0] for row in rows(told) if row[0] in SEVERITIES) == SEVERITIES


# ----------------------------------------------------------------------------------------------------- configuration


def test_every_key_of_an_account_and_its_default() -> None:
    told = keyed(section(REFERENCE, "### `[accounts.<name>]`"))
    assert set(told) - {"alpaca", "hyperliquid"} == set(AccountConfig.model_fields)
    for name, field in AccountConfig.model_fields.items():
        said = told[name][0]
        if field.is_required():
            assert said == "needed", name
        elif field.default not in ("", {}) and said.strip("`") != str(field.default):
            assert duration(said.strip("`")) == duration(field.default), name


def test_every_setting_of_a_venue() -> None:
    told = section(REFERENCE, "### `[accounts.<name>]`")
    settings = {row[0].strip("`"): set(re.findall(r"`([a-z_]+)`", row[1])) for row in rows(told) if len(row) == 2}
    assert settings["exchanges of ccxt's"] >= set(named._OF_CCXT)
    assert settings["alpaca"] >= set(named._OF_ALPACA)
    assert settings["hyperliquid"] >= set(named._OF_HYPERLIQUID)


def test_every_limit_with_scopes_and_default() -> None:
    told = keyed(section(REFERENCE, "### `[accounts.<name>.risk]`"))
    assert set(told) == {one.name for one in fields(Limits)}
    defaults = {one.name: one.default for one in fields(RiskLimits)}
    for name, (scopes, _, default, _) in told.items():
        expected = ["account"]
        expected += [] if name in OF_THE_ACCOUNT else ["workflow"]
        expected += [] if name in NOT_OF_A_SYMBOL else ["symbol"]
        assert scopes.split(", ") == expected, name
        if defaults[name] is MISSING:
            assert default == "account: needed", name
        elif name in NEEDED:
            assert default == f"account: `{defaults[name]}`", name
        elif defaults[name] in (None, ()):
            assert default in ("none", "any"), name
        else:
            assert default == f"`{defaults[name]}`", name


# --------------------------------------------------------------------------------------------------------- guarantees


def capabilities(venue: str, **given: str) -> Any:
    return venue_named(
        venue, "main", ["BTC/USDT"], real=False, clock=lambda: 0, sleep=asyncio.sleep,
        **{"key": "key", "secret": "secret", **given},  # type: ignore[arg-type]
    ).capabilities  # fmt: skip


def seconds(text: DurationLike) -> int:
    return duration(text) // 10**9


@pytest.mark.parametrize("venue", ["mexc", "binance"])
def test_what_is_assumed_of_exchanges_with_a_profile(venue: str) -> None:
    found = capabilities(venue)
    assert not found.deduplicates
    assert (seconds(found.request_validity), seconds(found.visibility_bound)) == (5 + 1, 30)
    assert "(`recvWindow`, 5 s, and 1 s for requests dated ahead) and 30 s have passed" in GUARANTEES


def test_what_is_assumed_of_other_exchanges() -> None:
    assert not capabilities("kraken").absence_is_proof


def test_what_is_assumed_of_alpaca() -> None:
    found = capabilities("alpaca")
    assert (found.deduplicates, seconds(found.grace)) == (True, 15)
    assert "no request arrives later than 15 s" in GUARANTEES


def test_what_is_assumed_of_hyperliquid() -> None:
    found = capabilities("hyperliquid", key="0x" + "1" * 40, secret="0x" + "2" * 64)
    assert not found.deduplicates
    assert (seconds(found.request_validity), seconds(found.visibility_bound)) == (15, 60)
    assert "`expiresAfter` (15 s), signed with the order, has passed and 60 s have passed" in GUARANTEES


# ---------------------------------------------------------------------------------------------- the simulated exchange


def test_the_simulated_exchange_takes_what_is_told() -> None:
    told = section(TRADING, "## The simulated exchange")
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", told)) - {"--live"}:
        assert option in _arguments()._option_string_actions, option
    routes = set(re.findall(r"/(_control/)(\w+)", told))
    assert routes
    for prefix, route in routes:
        assert prefix in inspect.getsource(VenueApi)
        assert any(route == name for _, name in control._HANDLERS)


def test_every_control_route_with_its_fields() -> None:
    told = {
        (method, name): row[1]
        for row in rows(section(TRADING, "## The simulated exchange"))
        for method, name in re.findall(r"^`(GET|POST|DELETE) (\w+)`$", row[0])
    }
    assert set(told) == set(control._HANDLERS)

    def named(route: str) -> set[str]:
        return set(re.findall(r"`(\w+)`", told["POST", route]))

    assert named("faults") == set(faults._FIELDS)
    assert named("market") - {"symbol"} == set(control._SETTINGS)
    for route in ("move", "fill", "deposit", "exchange"):
        handler = control._HANDLERS["POST", route]
        assert named(route) == set(re.findall(r'data(?:\[|\.get\()"(\w+)"', inspect.getsource(handler))), route
