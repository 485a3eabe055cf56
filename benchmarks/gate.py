"""The risk gate with every rule on: decisions a second, beside a bare script of the same few comparisons.

The account holds ten positions and twenty resting orders of two workflows; a decision is made on a fresh quote of its
symbol, as one made by a tick is. The script beside it is what a bot without a gate does: a dictionary of limits and
floats.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

from benchmarks.figures import Figure, at_least
from benchmarks.setting import Setting, median
from tickwork.market.bars import Quote
from tickwork.trading.activity import Activity
from tickwork.trading.gate import Decision, RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.limits import Limits, RiskLimits, RiskRules
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Fill, OrderIntent
from tickwork.trading.reservations import Reservations

D = Decimal
SYMBOLS = [f"C{number}/USDT" for number in range(10)]
START = 1_700_000_000_000_000_000
OWN = Limits(
    max_order_notional=D(900),
    max_position_notional=D(5_000),
    max_exposure=D(40_000),
    max_concentration=D("0.5"),
    max_leverage=D(3),
    max_positions=10,
    max_open_orders=30,
    max_orders_per_minute=100_000_000,
    max_daily_loss=D(2_000),
    max_daily_loss_fraction=D("0.05"),
)
RULES = RiskRules(
    account=RiskLimits(
        max_order_notional=D(1_000),
        max_position_notional=D(6_000),
        max_exposure=D(80_000),
        max_concentration=D("0.6"),
        max_leverage=D(4),
        max_positions=20,
        max_open_orders=50,
        max_orders_per_minute=100_000_000,
        max_daily_loss=D(5_000),
        max_daily_loss_fraction=D("0.1"),
        max_drawdown=D("0.2"),
        allowed_symbols=tuple(SYMBOLS),
        session="24/7",
    ),
    workflows={"one": OWN, "two": OWN},
    symbols={SYMBOLS[0]: Limits(max_position_notional=D(5_500), max_open_orders=10)},
)


class Scene:
    """The account, and what a tick and a decision are."""

    def __init__(self) -> None:
        rules = {name: TradingRules(symbol=name, price_tick=D("0.01"), quantity_step=D("0.0001")) for name in SYMBOLS}
        self.gate = RiskGate(RULES, rules)
        self.ledger = Ledger({"USDT": D(100_000)})
        self.reservations = Reservations()
        self.activity = Activity("USDT")
        self.activity.marked(D(100_000), START, {"one": D(0), "two": D(0)})
        self.halt = Halt()
        self.now = START
        self.quotes = {name: self.quote(name, "100.10") for name in SYMBOLS}
        for number, name in enumerate(SYMBOLS):
            self._buy(number, name)
        for number in range(20):
            wanted = self.intent(SYMBOLS[number % 10], limit_price=D("99.50"), workflow=("one", "two")[number % 2])
            approval = self.decide(wanted).approval
            if approval is None:
                raise SystemExit("the gate refuses what the benchmark is made of")
            self.reservations.decide(f"t{number}", approval)
            self.reservations.take(f"t{number}", f"{number:032x}", approval)
            self.reservations.move(f"{number:032x}", "acknowledge")

    def _buy(self, number: int, name: str) -> None:
        fill = Fill(
            venue="bench",
            fill_id=str(number),
            client_order_id=f"f{number}",
            venue_order_id=str(number),
            account="main",
            symbol=name,
            side="buy",
            price=D(100),
            quantity=D(20),
            fee=D(2),
            fee_currency="USDT",
            time=START,
        )
        self.ledger.apply(fill)
        self.activity.filled(fill, ("one", "two")[number % 2])

    @staticmethod
    def quote(name: str, price: str) -> Quote:
        return Quote(symbol=name, venue="bench", time_ns=START, bid=D(price), ask=D(price))

    @staticmethod
    def intent(name: str, limit_price: Decimal | None = None, workflow: str = "one") -> OrderIntent:
        return OrderIntent(
            account="main",
            owner="bench",
            workflow=workflow,
            symbol=name,
            side="buy",
            type="market" if limit_price is None else "limit",
            quantity=D("0.5"),
            limit_price=limit_price,
            reference_price=D(100),
        )

    def decide(self, wanted: OrderIntent) -> Decision:
        return self.gate.check(
            wanted,
            ledger=self.ledger,
            reservations=self.reservations,
            quote=self.quotes[wanted.symbol],
            now=self.now,
            halt=self.halt,
            activity=self.activity,
            marks=self.quotes.get,
        )


def bare(limits: dict[str, float], held: dict[str, float], orders: list[dict[str, float]], price: float) -> bool:
    """What a script checks: an order, its position, the exposure, the number of orders, the price."""
    size = 0.5 * price
    exposure = sum(quantity * price for quantity in held.values()) + sum(one["left"] * one["price"] for one in orders)
    return (
        size <= limits["order"]
        and held["C0/USDT"] * price + size <= limits["position"]
        and exposure + size <= limits["exposure"]
        and len(orders) < limits["orders"]
        and abs(price - 100.0) / price <= limits["band"]
    )


def measure(setting: Setting) -> None:
    """Decisions a second."""
    count = setting.pick(20_000, 500)
    scene = Scene()
    ticks = [scene.quote(SYMBOLS[number % 10], f"100.{number % 7 + 10}") for number in range(70)]
    wanted = [scene.intent(name) for name in SYMBOLS]

    def decisions() -> None:
        for number in range(count):
            tick = ticks[number % 70]
            scene.quotes[tick.symbol] = tick
            decision = scene.decide(wanted[number % 10])
            if decision.approval is None:
                raise SystemExit(f"refused: {decision.refusal}")

    def reservations() -> None:
        """As ``decisions``, and each takes its room and gives it back: the books change every time."""
        for number in range(count):
            tick = ticks[number % 70]
            scene.quotes[tick.symbol] = tick
            decision = scene.decide(wanted[number % 10])
            if decision.approval is None:
                raise SystemExit(f"refused: {decision.refusal}")
            scene.reservations.decide("t", decision.approval)
            scene.reservations.abandon("t")

    limits = {"order": 1_000.0, "position": 6_000.0, "exposure": 80_000.0, "orders": 50.0, "band": 0.05}
    held = dict.fromkeys(SYMBOLS, 20.0)
    orders = [{"left": 0.5, "price": 99.5} for _ in range(20)]

    def script() -> None:
        for number in range(count):
            if not bare(limits, held, orders, 100.0 + number % 5):
                raise SystemExit("refused")

    plain = _rate(script, count)
    setting.add(Figure("gate-decisions", _rate(decisions, count), "1/s", "bare script", plain, at_least(25_000)))
    setting.add(Figure("gate-decisions-with-room", _rate(reservations, count), "1/s", "bare script", plain))


def _rate(call: Callable[[], None], count: int) -> float:
    found = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        found.append(count / (time.perf_counter() - began))
    return median(found)
