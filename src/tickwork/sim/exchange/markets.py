"""What can be traded and under which rules, and who may trade."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from tickwork.errors import InvalidInput
from tickwork.values import EXACT, money, price, quantity

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)

OrderType = Literal["LIMIT", "MARKET", "LIMIT_MAKER", "IOC", "FOK"]
ORDER_TYPES: Final[tuple[OrderType, ...]] = ("LIMIT", "MARKET", "LIMIT_MAKER", "IOC", "FOK")
Side = Literal["BUY", "SELL"]
Permission = Literal["read", "trade", "withdraw"]
PERMISSIONS: Final[tuple[Permission, ...]] = ("read", "trade", "withdraw")
Status = Literal["online", "paused", "offline"]


@dataclass(slots=True, kw_only=True)
class Market:
    """A market and its rules. Fields but the steps and fees may be changed while the exchange runs: a listing
    opens, a symbol is suspended.

    Raises:
        InvalidInput: a step or a price that is not above zero, an amount below zero, a fee outside [0, 1).
    """

    base: str
    quote: str
    price: Decimal
    """Where it begins; quote currency per unit of base. Later ``Exchange.move`` sets it."""
    price_tick: Decimal = Decimal("0.01")
    quantity_step: Decimal = Decimal("0.000001")
    """Quantities are multiples of this; base units."""
    min_quantity: Decimal = Decimal("0.000001")
    max_quantity: Decimal = Decimal(9_000)
    min_notional: Decimal = ONE
    """The least price times quantity of an order with a price; quote currency."""
    min_notional_market: Decimal = ONE
    max_notional: Decimal = Decimal(4_000_000)
    maker_fee: Decimal = ZERO
    """A fraction of the notional, 1 is 100 %. The defaults are MEXC's of 2024 on, 0 % and 0.05 %."""
    taker_fee: Decimal = Decimal("0.0005")
    order_types: tuple[OrderType, ...] = ORDER_TYPES
    """A venue that lists ``MARKET`` may still refuse it over the API: ``api_market_orders``."""
    api_market_orders: bool = True
    api_tradable: bool = True
    """False: the API refuses every order in it, whatever its status (MEXC: ``10007 symbol not support api``)."""
    sides: tuple[Side, ...] = ("BUY", "SELL")
    status: Status = "online"
    opens_at: int = 0
    """ns since 1970 UTC: before it the market is listed, and no order is taken."""
    price_band: Decimal | None = None
    """How far from the market's price a limit may be, as a fraction of it; ``None``: any distance."""
    levels: int = 20
    """The market maker quotes this many prices on either side."""
    level_quantity: Decimal = Decimal(10)
    """At each of them; base units."""
    level_ticks: int = 1
    """Ticks from one of its prices to the next, and from the market's price to the first."""
    refills: bool = True
    """Whether the market maker quotes in full again at once after being hit; else only when the price moves."""

    def __post_init__(self) -> None:
        where = f"market.{self.symbol}"
        for name in ("price", "price_tick", "quantity_step"):
            price(getattr(self, name), f"{where}.{name}")
        for name in (
            "min_quantity",
            "max_quantity",
            "min_notional",
            "min_notional_market",
            "max_notional",
            "level_quantity",
        ):
            quantity(getattr(self, name), f"{where}.{name}")
        for name in ("maker_fee", "taker_fee"):
            if not 0 <= money(getattr(self, name), f"{where}.{name}") < 1:
                raise InvalidInput(f"{where}.{name}", getattr(self, name), "a fraction from 0 to below 1; 1 is 100 %")
        if self.levels < 0 or self.level_ticks < 1:
            raise InvalidInput(where, (self.levels, self.level_ticks), "levels of zero or more, one tick apart or more")

    @property
    def symbol(self) -> str:
        """As ccxt and tickwork write it, e.g. ``BTC/USDT``."""
        return f"{self.base}/{self.quote}"

    @property
    def id(self) -> str:
        """As the venues write it, e.g. ``BTCUSDT``."""
        return f"{self.base}{self.quote}"

    def fee_rate(self, *, maker: bool) -> Decimal:
        """The fee of a side of a trade, as a fraction of it."""
        return self.maker_fee if maker else self.taker_fee


def opposite(side: Side) -> Side:
    """The side that a side trades with."""
    return "SELL" if side == "BUY" else "BUY"


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """The sum of the values; plain ``sum`` would round it to 28 digits."""
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total


def on_step(value: Decimal, step: Decimal) -> bool:
    """Whether ``value`` is a multiple of ``step``."""
    return EXACT.remainder(value, step) == 0


def decimals(step: Decimal) -> int:
    """How many digits after the point a multiple of ``step`` may have."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


@dataclass(slots=True)
class Balance:
    """What an account has of an asset."""

    free: Decimal = ZERO
    locked: Decimal = ZERO
    """Held by open orders."""

    @property
    def total(self) -> Decimal:
        """Free and locked together."""
        return EXACT.add(self.free, self.locked)


@dataclass(slots=True)
class Account:
    """An account and the one API key it has."""

    name: str
    key: str
    secret: str
    permissions: frozenset[Permission] = frozenset({"read", "trade"})
    balances: dict[str, Balance] = field(default_factory=dict)

    def of(self, asset: str) -> Balance:
        """Its balance of an asset; an empty one where it has none."""
        balance = self.balances.get(asset)
        if balance is None:
            balance = self.balances[asset] = Balance()
        return balance
