"""Simulated markets: bars of several venues, all made of a seed.

Every symbol has one fair price; each venue is a little off it, and now and then far off for some bars, so that what
looks for differences between venues sometimes finds one. Symbols may be

* spot pairs (``BTC/USDT``) and stocks (``AAPL``), traded around the clock; the fair price of a pair that two others
  imply (``BTC/EUR`` beside ``BTC/USD`` and ``EUR/USD``) is theirs;
* perpetual contracts (``BTC/USDT:USDT``): the fair price of the pair, a premium, and from that a funding rate;
* outcomes of binary markets, by the ends of their names (``RAIN-YES/USDC`` and ``RAIN-NO/USDC``): probabilities that
  sum to about one and are decided when the market expires.

The same arguments make the same bytes. Each header says that its numbers are simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import sqrt
from random import Random
from typing import Final

from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.packed import Source
from tickwork.market.recording import Recording
from tickwork.sim.prices import (
    INNER,
    LEAST,
    MOST,
    Path,
    activity,
    basis_path,
    chance_path,
    deviations,
    fair_path,
)
from tickwork.values import DurationLike, base_of, duration, duration_text, price, quote_of, symbol, timestamp_ns
from tickwork.venues.recorded import Key, Terms

PRICES: Final[Mapping[str, Decimal]] = {
    "BTC": Decimal(60_000),
    "ETH": Decimal(3_000),
    "SOL": Decimal(150),
    "BNB": Decimal(500),
    "XRP": Decimal("0.6"),
    "DOGE": Decimal("0.15"),
}
"""Where well-known symbols begin; others begin at ``OTHERS``, outcomes at ``EVEN``."""
OTHERS: Final = Decimal(100)
EVEN: Final = Decimal("0.5")

HALF_SPREAD: Final = Decimal("0.0002")
VOLATILITY: Final = 0.6

_FUNDING_NS: Final = 8 * 3_600_000_000_000
_LARGEST_FUNDING: Final = Decimal("0.0075")
_TURNOVER: Final = 50_000_000.0
"""Of a usual day at one venue, in quote currency."""
_DAY_NS: Final = 86_400_000_000_000
_NOISE: Final = 0.0002
_OUTCOME_FACTOR: Final = 4.0
"""Outcomes are further off than coins."""
_LEAST_PART: Final = 0.1
"""Of the fair price: no venue is further below it."""
_MOST_BARS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulated market."""

    recordings: list[Recording]
    """One for each venue and symbol, in the order of the venues, then of the symbols."""
    terms: dict[Key, Terms]
    """What is known of each besides its bars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    seed: int | str
    start_ns: int
    interval_ns: int
    volatility: float
    rate: float
    size: float
    expires_ns: int

    def chance(self, *about: str) -> Random:
        """Chance of its own for each thing, so that one more symbol changes no other."""
        return Random("/".join([str(self.seed), *about]))


def simulated(
    seed: int | str,
    venues: Sequence[str],
    symbols: Sequence[str],
    start: datetime,
    bars: int,
    interval: DurationLike = "1m",
    *,
    prices: Mapping[str, Decimal | str | int] | None = None,
    volatility: float = VOLATILITY,
    half_spread: Decimal = HALF_SPREAD,
    dislocations: float = 0.007,
    dislocation: float = 0.012,
    expires: datetime | None = None,
) -> Simulated:
    """Simulate a market.

    Args:
        seed: of all chance there is.
        venues, symbols: every venue lists every symbol.
        start: of the first bar.
        bars: how many, at most a million; outcomes have none after their market expires.
        interval: the length of a bar.
        prices: where symbols begin, by base (``"BTC"``; of an outcome ``"RAIN-YES"``); see ``PRICES``.
        volatility: of a year, a fraction; of coins and stocks.
        half_spread: how far bid and ask are from the close, a fraction.
        dislocations: how often a venue is thrown off its price, per bar.
        dislocation: how far about, a fraction.
        expires: when binary markets do; by default with the last bar.

    Raises:
        InvalidInput: no venue or symbol, one of them twice, no bars, or figures that cannot be.
    """
    interval_ns, start_ns = duration(interval, "interval"), timestamp_ns(start, "start")
    if not 1 <= bars <= _MOST_BARS:
        raise InvalidInput("bars", bars, "a whole number from 1 to 1,000,000")
    if interval_ns == 0:
        raise InvalidInput("interval", interval, "a duration above zero")
    _distinct("venues", venues)
    _distinct("symbols", [symbol(name, "symbols") for name in symbols])
    for name, value in (("volatility", volatility), ("dislocations", dislocations), ("dislocation", dislocation)):
        if not 0 <= value < 10:
            raise InvalidInput(name, value, "a fraction of zero or more")
    if not 0 <= half_spread < Decimal("0.5"):
        raise InvalidInput("halfSpread", half_spread, "a fraction from 0 to below 0.5")
    expires_ns = start_ns + bars * interval_ns if expires is None else timestamp_ns(expires, "expires")
    if expires_ns < start_ns + interval_ns:
        raise InvalidInput("expires", expires, "a time after the first bar")
    world = _World(
        seed=seed,
        start_ns=start_ns,
        interval_ns=interval_ns,
        volatility=volatility,
        rate=dislocations,
        size=dislocation,
        expires_ns=expires_ns,
    )
    found = Simulated([], {})
    implied = {name: two for name in symbols if (two := _implied(name, symbols))}
    fair = {name: _fair(world, name, bars, prices or {}) for name in symbols if name not in implied}
    fair |= {name: _ratio(fair[one], fair[other]) for name, (one, other) in implied.items()}
    for venue in venues:
        for name in symbols:
            recording, funding = _recorded(world, venue, name, fair[name])
            found.recordings.append(recording)
            expiry = expires_ns if _outcome(name) else None
            found.terms[venue, name] = Terms(half_spread=half_spread, funding=funding, expires_at=expiry)
    return found


def _distinct(what: str, names: Sequence[str]) -> None:
    if isinstance(names, str) or not names or not all(names):
        raise InvalidInput(what, str(names), "one or several")
    if len(set(names)) != len(names):
        raise InvalidInput(what, ", ".join(names), "each once")


def _outcome(name: str) -> str:
    """``YES`` or ``NO`` of a binary market's outcome; empty of anything else."""
    side = base_of(name).rpartition("-")[2]
    return side if side in ("YES", "NO") and ":" not in name and "-" in base_of(name) else ""


def _implied(name: str, symbols: Sequence[str]) -> tuple[str, str] | None:
    """The two pairs that a pair is the ratio of, where both are there: what it buys, over what it is paid in."""
    base, paid_in = base_of(name), quote_of(name)
    for other in symbols:
        if ":" not in name + other and base_of(other) == base and quote_of(other) != paid_in:
            rate = f"{paid_in}/{quote_of(other)}"
            if rate in symbols:
                return other, rate
    return None


def _ratio(one: Path, other: Path) -> Path:
    return [[a / b for a, b in zip(first, second, strict=True)] for first, second in zip(one, other, strict=True)]


def _fair(world: _World, name: str, bars: int, prices: Mapping[str, Decimal | str | int]) -> Path:
    """The fair price of a symbol of its own. A contract's is its pair's; those of two outcomes sum to one."""
    side, base = _outcome(name), base_of(name)
    if not side:
        first = price(prices.get(base, PRICES.get(base, OTHERS)), f"prices.{base}")
        chance = world.chance("fair", name.partition(":")[0])
        return fair_path(chance, float(first), bars, world.interval_ns, world.volatility)
    market = base.rpartition("-")[0]
    given = prices.get(f"{market}-YES")
    no = prices.get(f"{market}-NO")
    first = price(given if given is not None else 1 - price(no) if no is not None else EVEN, f"prices.{market}-YES")
    if not LEAST < first < MOST:
        raise InvalidInput(f"prices.{base}", first, "a probability between 0.001 and 0.999")
    remaining = -(-(world.expires_ns - world.start_ns) // world.interval_ns)
    whole = min(bars, (world.expires_ns - world.start_ns) // world.interval_ns)
    yes = chance_path(world.chance("fair", market), float(first), whole, remaining)
    return yes if side == "YES" else [[1.0 - point for point in points] for points in yes]


def _recorded(world: _World, venue: str, name: str, fair: Path) -> tuple[Recording, tuple[Decimal, ...]]:
    outcome, count = bool(_outcome(name)), len(fair)
    factor = _OUTCOME_FACTOR if outcome else 1.0
    off = deviations(
        world.chance("off", venue, name), count, noise=_NOISE * factor, rate=world.rate, size=world.size * factor
    )
    basis = basis_path(world.chance("basis", venue, name), count, world.interval_ns) if ":" in name else [0.0] * count
    chance = world.chance("volume", venue, name)
    digits = 4 if outcome else max(2, 4 - Decimal(fair[0][0]).adjusted())
    usual = world.volatility * sqrt(world.interval_ns / (365 * _DAY_NS)) or 1.0
    turnover = _TURNOVER * world.interval_ns / _DAY_NS
    bars, premium = [], basis[0]
    for at, (points, (before, after)) in enumerate(zip(fair, off, strict=True)):
        prices = [
            point * max(1.0 + (before + premium) + (after + basis[at] - before - premium) * inner / INNER, _LEAST_PART)
            for inner, point in enumerate(points)
        ]
        premium = basis[at]
        rounded = [_rounded(value, digits, LEAST if outcome else 0.0, MOST if outcome else 1e29) for value in prices]
        moved = abs(prices[-1] / prices[0] - 1.0) / usual
        volume = turnover * activity(chance, moved) / float(rounded[-1])
        bars.append(
            Bar(
                name,
                venue,
                world.start_ns + at * world.interval_ns,
                world.interval_ns,
                rounded[0],
                max(rounded),
                min(rounded),
                rounded[-1],
                Decimal(round(volume * 10_000)).scaleb(-4),
            )
        )
    recording = Recording.from_bars(
        bars,
        name=_name(venue, name, world.interval_ns),
        source=Source(package="tickwork.sim", credit="simulated: no market ever showed these prices"),
        notes=f"Simulated from seed {world.seed}. Nobody traded at these prices.",
    )
    return recording, _funding(world, basis) if ":" in name else ()


def _rounded(value: float, digits: int, least: float, most: float) -> Decimal:
    whole = max(round(min(max(value, least), most) * 10**digits), 1)
    return Decimal(whole).scaleb(-digits)


def _funding(world: _World, basis: Sequence[float]) -> tuple[Decimal, ...]:
    """The mean premium since the last time funding was paid (every eight hours from midnight UTC), within bounds."""
    rates: list[Decimal] = []
    period, total, count = -1, 0.0, 0
    for at, premium in enumerate(basis):
        now = (world.start_ns + at * world.interval_ns) // _FUNDING_NS
        if now != period:
            period, total, count = now, 0.0, 0
        total, count = total + premium, count + 1
        rate = Decimal(round(total / count * 10**8)).scaleb(-8)
        rates.append(min(max(rate, -_LARGEST_FUNDING), _LARGEST_FUNDING))
    return tuple(rates)


def _name(venue: str, name: str, interval_ns: int) -> str:
    words = f"{venue}-{name}-{duration_text(interval_ns)}"
    return "sim-" + words.lower().replace("/", "-").replace(":", "-").replace(" ", "-")
