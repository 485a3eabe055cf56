"""What happens in a world, all of it drawn from its seed before it begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Final, Literal

from tests.worlds.flows import ScriptWanted
from tickwork.sim.exchange import Fault
from tickwork.sim.exchange.exchange import Duplicates
from tickwork.sim.exchange.faults import Kind, Shape

D = Decimal
SECOND: Final = 1_000_000_000
START: Final = 1_790_000_000_000_000_000
BTC, XYZ = "BTC/USDT", "XYZ/USDT"
SYMBOLS: Final = (BTC, XYZ)
PRICES: Final = {BTC: D(60_000), XYZ: D("2.5")}
TICKS: Final = {BTC: D("0.01"), XYZ: D("0.0001")}
CASH: Final = D(10_000)

Doing = Literal["script", "halt", "clear", "move", "market", "skew", "feed", "probe"]
CrashAt = Literal["time", "before", "after", "turn"]


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody does at a time."""

    at: int
    """ns after the beginning."""
    doing: Doing
    given: Any = None


@dataclass(frozen=True, slots=True)
class Crash:
    """The process dies."""

    how: CrashAt
    """At a time; before the exchange has, or after it has answered, the nth request; at the nth turn of the loop."""
    n: int
    down: int
    """ns until it is started again."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """A world."""

    seed: str
    venue: Literal["mexc", "binance"]
    duplicates: Duplicates
    latency: int
    """ns of every request."""
    disk: int
    """ns of every write to the tape."""
    window_s: int
    """``recvWindow``."""
    bound_s: int | None
    """Within which an accepted order becomes visible; ``None``: the venue declares no bound."""
    timeout_s: float
    poll_s: float
    limits: dict[str, Any]
    ends: int
    """ns after the beginning: no fault and no crash after that."""
    halves: bool
    """Whether what is on its way when the process dies arrives all the same."""
    faults: list[Fault] = field(default_factory=list)
    exits: bool = False
    """Whether stops and ladders are kept."""
    acts: list[Act] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)
    market: dict[str, dict[str, Any]] = field(default_factory=dict)
    """How the markets differ, by symbol."""


def plan_of(seed: int | str) -> Plan:
    """The world of a seed."""
    rng = Random(f"world {seed}")
    window, bound = rng.choice([(1, 2), (1, 3), (2, 3), (2, 4)])
    plan = Plan(
        seed=str(seed),
        venue="binance" if rng.random() < 0.25 else "mexc",
        duplicates=rng.choice(("same", "reject", "accept", "accept", "accept")),
        latency=rng.choice((0, 2, 20, 120)) * 1_000_000,
        disk=rng.choice((0, 0, 3, 40)) * 1_000_000,
        window_s=window,
        bound_s=None if rng.random() < 0.12 else bound,
        timeout_s=rng.choice((1.0, 2.0)),
        poll_s=rng.choice((0.5, 1, 2, 3)),
        limits=_limits(rng),
        ends=rng.choice((12, 20, 30)) * SECOND,
        halves=rng.random() < 0.5,
    )
    plan.market = {symbol: _market(rng, plan) for symbol in SYMBOLS}
    plan.faults = _faults(rng, plan)
    plan.crashes = _crashes(rng, plan)
    plan.exits = rng.random() < 0.3
    plan.acts = sorted([*_scripts(rng, plan), *_person(rng, plan), *_nature(rng, plan)], key=lambda act: act.at)
    return plan


def _limits(rng: Random) -> dict[str, Any]:
    account: dict[str, Any] = {
        "max_order_notional": "1000",
        "max_position_notional": rng.choice(("1200", "2000")),
        "max_exposure": rng.choice(("2000", "3500")),
        "max_open_orders": rng.choice((4, 8)),
        "max_orders_per_minute": 60,
        "price_band": "0.1",
    }
    limits: dict[str, Any] = {"account": account}
    if rng.random() < 0.3:
        limits["workflows"] = {"w0": {"max_position_notional": "700"}}
    if rng.random() < 0.3:
        limits["symbols"] = {XYZ: {"max_position_notional": "900"}}
    return limits


def _market(rng: Random, plan: Plan) -> dict[str, Any]:
    level = rng.choice((150, 600, 5_000))
    changes: dict[str, Any] = {"level_dollars": level, "refills": rng.random() < 0.7, "levels": rng.choice((2, 8))}
    if rng.random() < 0.08:
        changes["api_market_orders"] = False
    if rng.random() < 0.08:
        changes["opens_s"] = rng.randint(1, 10)
    return changes


_MILD: Final[tuple[tuple[Kind, str, float], ...]] = (
    # kind, where, how often at most
    ("drop_before", "order.create", 0.25),
    ("drop_after", "order.create", 0.35),
    ("error_before", "order.create", 0.2),
    ("error_after", "order.create", 0.3),
    ("stall", "order.create", 0.3),
    ("late", "order.create,order.cancel", 0.25),
    ("drop_before", "*", 0.06),
    ("drop_after", "*", 0.06),
    ("stall", "*", 0.05),
    ("error_after", "*", 0.05),
    ("rate_limit", "*", 0.04),
    ("ban", "order.*", 0.01),
    ("maintenance", "*", 0.008),
    ("forbidden", "*", 0.02),
    ("not_found", "order.query,order.cancel", 0.2),
    ("lag", "order.create", 0.6),
    ("lag", "order.create", 1.0),
    ("partial", "order.create", 0.3),
    ("cancel_race", "order.cancel", 0.5),
    ("cancel_late", "order.cancel", 0.4),
    ("stale", "order.query", 0.15),
    ("nonsense", "*", 0.06),
)
_SHAPES: Final[tuple[Shape, ...]] = ("html", "truncated", "strings", "numbers", "types", "null")
"""Not ``empty``: an empty list where there is something is a lie, and no client can tell."""


def _faults(rng: Random, plan: Plan) -> list[Fault]:
    """A few kinds, each at a rate of its own. Lags stay below the bound that the venue declares."""
    chosen = rng.sample(_MILD, rng.randint(2, 7))
    if rng.random() < 0.3:
        chosen.append(("lag", "order.create", 0.6))
    until = START + plan.ends
    found: list[Fault] = []
    for kind, on, rate in chosen:
        given = _lag(rng, plan, denies=rate == 1) if kind == "lag" else _details(rng, plan, kind)
        often = round(rate * rng.uniform(0.2, 1), 3)
        found.append(Fault(kind=kind, on=on, probability=often, until=until, **given))
    if any(one.kind == "lag" for one in found):  # what is answered need not be looked for
        found.append(Fault(kind="drop_after", on="order.create", probability=0.3, until=until))
    if plan.bound_s is None and rng.random() < 0.5:
        long = round(rng.uniform(5, 20), 2)
        found.append(Fault(kind="lag", on="order.create", probability=0.7, seconds=long, until=until))
        found.append(Fault(kind="drop_after", on="order.create", probability=0.3, until=until))
    return found


def _lag(rng: Random, plan: Plan, *, denies: bool) -> dict[str, Any]:
    """How long an order is not seen, and where. With ``denies`` one place denies for long what another shows: the
    bound is kept all the same.
    """
    if denies:
        views = rng.choice((("order",), ("order", "open"), ("order", "trades")))
        return {"seconds": round(rng.uniform(3, 10), 2), "views": views}
    given: dict[str, Any] = {"seconds": round(rng.uniform(0.2, 0.9 * (plan.bound_s or 30)), 2)}
    if rng.random() < 0.3:
        given["views"] = tuple(rng.sample(("order", "open", "history", "trades"), rng.randint(1, 3)))
    return given


def _details(rng: Random, plan: Plan, kind: Kind) -> dict[str, Any]:
    match kind:
        case "stall":
            return {"seconds": round(plan.timeout_s * rng.choice((0.5, 1.5, 3)), 2)}
        case "late":
            return {"seconds": round(plan.window_s * rng.choice((0.5, 0.9, 1.5)), 2)}
        case "cancel_late" | "stale":
            return {"seconds": round(rng.uniform(0.2, 1.5), 2)}
        case "ban" | "maintenance" | "rate_limit":
            return {"seconds": float(rng.randint(1, 3))}
        case "partial":
            return {"fraction": rng.choice((D(0), D("0.3"), D("0.5"), D(1)))}
        case "cancel_race":
            return {"fraction": rng.choice((D("0.3"), D("0.5"), D(1))), "answer": rng.choice(("ok", "unknown"))}
        case "error_before" | "error_after":
            return {"status": rng.choice((500, 502, 503, 504))}
        case "nonsense":
            return {"shape": rng.choice(_SHAPES)}
        case _:
            return {}


def _crashes(rng: Random, plan: Plan) -> list[Crash]:
    found = []
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        how: CrashAt = rng.choice(("time", "before", "after", "after", "turn"))
        n = {"time": rng.randint(0, plan.ends), "turn": rng.randint(50, 900)}.get(how, rng.randint(3, 25))
        found.append(Crash(how, n, rng.choice((0, 1, 1, 4)) * SECOND))
    return found


# -- who trades -------------------------------------------------------------------------------------------------------


def _scripts(rng: Random, plan: Plan) -> list[Act]:
    found = []
    for n in range(rng.randint(2, 5)):
        acts = [act for _ in range(rng.randint(1, 4)) for act in _acts(rng)]
        wanted = ScriptWanted(n=n, workflow=f"w{n % 3}", acts=acts)
        found.append(Act(rng.randint(0, plan.ends // 2), "script", wanted))
    if plan.exits:
        found += [_protected(rng, plan, n) for n in range(10, 10 + rng.randint(1, 2))]
    return found


def _protected(rng: Random, plan: Plan, n: int) -> Act:
    """A purchase with stops and a ladder."""
    act = {
        "do": "protect",
        "symbol": rng.choice(SYMBOLS),
        "side": "buy",
        "notional": rng.choice(("300", "900")),
        "type": "market",
        "offset": "0",
        "force": "gtc",
        "stop": rng.choice(("0.002", "0.006")),
        "ladder": rng.choice(("0.001 0.0015 0.003", "0.001 0.002 0.004")),
        "hold": rng.choice(("4s", "15s")),
    }
    return Act(rng.randint(0, plan.ends // 2), "script", ScriptWanted(n=n, workflow=f"x{n}", acts=[act]))


def _acts(rng: Random) -> list[dict[str, str]]:
    """One act, or an order that rests and is cancelled."""
    if rng.random() < 0.85:
        return [_act(rng)]
    order = {"do": "order", "symbol": rng.choice(SYMBOLS), "side": "buy", "notional": str(rng.choice((150, 400, 800)))}
    resting = {**order, "type": "limit", "offset": rng.choice(("-0.0002", "-0.003")), "force": "gtc"}
    pause = {"do": "sleep", "for": f"{rng.choice((5, 300, 1_500))} ms"}
    return [resting, pause, {"do": "cancel", "which": "-1"}]


def _act(rng: Random) -> dict[str, str]:
    symbol = rng.choice(SYMBOLS)
    do = rng.choice(("order", "order", "order", "order", "reduce", "reduce", "cancel", "sleep", "wait", "both"))
    match do:
        case "sleep":
            return {"do": do, "for": f"{rng.randint(1, 6)} seconds"}
        case "wait":
            return {"do": do, "for": f"{rng.randint(1, 5)} seconds"}
        case "cancel":
            return {"do": do, "which": str(rng.randint(0, 3))}
        case "reduce":
            return {"do": do, "symbol": symbol, "share": rng.choice(("1", "0.5", "0.34", "2")), **_terms(rng, "sell")}
        case _:
            other = rng.choice(SYMBOLS)
            made = {"do": do, "symbol": symbol, "side": "buy", "notional": str(rng.choice((40, 150, 400, 800, 990)))}
            return {**made, "other": other, **_terms(rng, "buy")}


def _terms(rng: Random, side: str) -> dict[str, str]:
    """Market, or a limit that crosses, rests near or rests far."""
    kind = rng.choice(("market", "limit", "limit", "ioc"))
    offset = rng.choice(("0.004", "0.0005", "-0.0002", "-0.003"))
    if side == "sell":
        offset = str(-D(offset))
    made = {"type": "market" if kind == "market" else "limit", "offset": offset}
    made["force"] = {"ioc": rng.choice(("ioc", "ioc", "fok"))}.get(kind, "gtc")
    if rng.random() < 0.2:
        made["patience"] = str(rng.choice((3, 10)))
    return made


def _person(rng: Random, plan: Plan) -> list[Act]:
    """Halts, and the reductions that somebody wants whatever is going on."""
    found = []
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        at = rng.randint(0, plan.ends * 2 // 3)
        level = rng.choice(("halt", "halt", "shutdown", "alert"))
        found.append(Act(at, "halt", (level, rng.choice(("", "main")))))
        found.append(Act(at + rng.randint(1, 8) * SECOND, "clear"))
    for n in range(rng.choice((0, 1, 2, 3))):
        act = {"do": "reduce", "symbol": rng.choice(SYMBOLS), "share": rng.choice(("1", "0.25"))}
        terms = {"type": "market", "offset": "0", "force": "gtc"}
        wanted = ScriptWanted(n=100 + n, workflow="stops", acts=[{**act, **terms}])
        found.append(Act(rng.randint(plan.ends // 4, plan.ends), "probe", wanted))
    return found


def _nature(rng: Random, plan: Plan) -> list[Act]:
    """Prices, and what else happens at an exchange."""
    found = []
    for symbol in SYMBOLS:
        if rng.random() < 0.25:
            continue
        price, tick, at = PRICES[symbol], TICKS[symbol], 0
        while at < plan.ends + 20 * SECOND:
            at += rng.randint(400, 4_000) * 1_000_000
            price = price * D(rng.randint(9_970, 10_030)) / 10_000
            price = min(max(price, PRICES[symbol] * D("0.98")), PRICES[symbol] * D("1.02"))
            price = price // tick * tick
            found.append(Act(at, "move", (symbol, price)))
    if rng.random() < 0.1:
        at, symbol = rng.randint(0, plan.ends), rng.choice(SYMBOLS)
        found.append(Act(at, "market", (symbol, "status", "paused")))
        found.append(Act(at + rng.randint(1, 5) * SECOND, "market", (symbol, "status", "online")))
    if rng.random() < 0.2:
        found.append(Act(rng.randint(0, plan.ends), "skew", rng.choice((-3_000, -600, 600, 3_000)) * 1_000_000))
    if rng.random() < 0.2:
        at = rng.randint(0, plan.ends)
        found.append(Act(at, "feed", rng.choice(("gone", "old"))))
        found.append(Act(at + rng.randint(1, 5) * SECOND, "feed", "well"))
    return found
