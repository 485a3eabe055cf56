"""Risk limits as data: what an account, a workflow and a symbol may do.

    rules = RiskRules(
        account=RiskLimits(max_order_notional=Decimal(1_000), max_position_notional=Decimal(3_000)),
        workflows={"sniper": Limits(max_exposure=Decimal(500), max_open_orders=3)},
        symbols={"DOGE/USDT": Limits(max_position_notional=Decimal(200))},
    )

Theory of operation. Limits of the account, of the workflow and of the symbol *all* hold: a more specific one can
forbid, never allow. What a limit counts follows from where it stands: the account's count everything, a workflow's its
own orders and positions, a symbol's those in it. A limit that is ``None`` is no limit; the account's must have the few
without which nothing should trade (``RiskLimits``).

A limit is not a wish: a misspelt name, a float, a fraction given as 5 for 5 % is an error here and not a rule that
never bites. ``read_rules`` takes plain data (a TOML table) and names the path of what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, Literal

from tickwork.errors import InvalidInput
from tickwork.trading.hours import check_hours, zone_named
from tickwork.values import FRACTION, DurationLike, duration, price, quantity, symbol

ZERO: Final = Decimal(0)

_AMOUNTS: Final = ("max_order_notional", "max_position_notional", "max_exposure", "min_notional")
_SHARES: Final = ("max_daily_loss_fraction", "max_drawdown", "warn_at")
_COUNTS: Final = ("max_open_orders", "max_orders_per_minute", "max_positions", "max_failures")
_DURATIONS: Final = ("max_quote_age", "approval_ttl", "max_equity_age", "failure_window")
_SYMBOLS: Final = ("allowed_symbols", "forbidden_symbols")

OF_THE_ACCOUNT: Final = frozenset({"max_drawdown", "max_failures", "failure_window", "max_equity_age"})
"""Limits that only the account has: its equity and its errors are nobody's in particular."""
NOT_OF_A_SYMBOL: Final = OF_THE_ACCOUNT | {
    "max_exposure",
    "max_positions",
    "max_daily_loss",
    "max_daily_loss_fraction",
    *_SYMBOLS,
}
"""Limits that mean nothing for one symbol, or the same as another."""

ScopeKind = Literal["account", "workflow", "symbol"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one scope. Money is in the account's currency; fractions say 1 for 100 %; ``None`` is no limit.

    Raises:
        InvalidInput: a limit below zero, a float, a fraction that is none, no duration, symbol or hours.
    """

    max_order_notional: Decimal | None = None
    """One order's quantity at the worse of quote and limit price."""
    max_position_notional: Decimal | None = None
    """Per symbol: the worst case of position and orders on their way."""
    max_exposure: Decimal | None = None
    """Gross: the sum of those worst cases over all symbols."""
    max_concentration: Decimal | None = None
    """Share of the account's equity that the worst case in one symbol may come to."""
    max_leverage: Decimal | None = None
    """Gross exposure over equity; and an order's own, in a contract."""
    max_positions: int | None = None
    """Symbols in which something is held or on its way."""
    max_open_orders: int | None = None
    """Approved, being sent, unknown or working, reductions too."""
    max_orders_per_minute: int | None = None
    """Approvals in the 60 seconds before, reductions too."""
    max_daily_loss: Decimal | None = None
    """By how much equity (a workflow: its profit) may fall below where the day began; above zero."""
    max_daily_loss_fraction: Decimal | None = None
    """The same as a fraction of the account's equity at the day's begin."""
    max_drawdown: Decimal | None = None
    """By what fraction of its peak equity may have fallen."""
    max_failures: int | None = None
    """Submissions that were rejected or became unknown, within ``failure_window``, before trading halts."""
    failure_window: DurationLike = "5 minutes"
    price_band: Decimal | None = None
    """How far the intent's reference price, and a limit price on its aggressive side, may be from the quote."""
    min_notional: Decimal | None = None
    """Besides the venue's own; the larger of the two holds."""
    allowed_symbols: tuple[str, ...] | None = None
    """Only these; the empty tuple allows none."""
    forbidden_symbols: tuple[str, ...] = ()
    session: str | None = None
    """Only then: see ``hours``."""
    max_quote_age: DurationLike | None = None
    max_equity_age: DurationLike = "5 minutes"
    """An older figure of equity decides nothing: limits that need it refuse."""
    approval_ttl: DurationLike | None = None
    """An approval that old is not sent any more."""
    warn_at: Decimal = Decimal("0.8")
    """From which fraction of a limit on an approval carries a warning."""

    def __post_init__(self) -> None:
        for name in _AMOUNTS:
            self._checked(name, quantity)
        for name in ("max_daily_loss", "max_leverage", "max_concentration"):
            self._checked(name, price)
        self._checked("price_band", lambda value, path: quantity(value, path, FRACTION))
        for name in _SHARES:
            self._checked(name, _share)
        for name in _COUNTS:
            self._checked(name, _count)
        if self.max_failures == 0:
            raise InvalidInput("limits.max_failures", 0, "a whole number of 1 or more")
        for name in _DURATIONS:
            value = getattr(self, name)
            if value is not None:
                duration(value, f"limits.{name}")
        for name in _SYMBOLS:
            self._checked(name, _symbols)
        self._checked("session", check_hours)

    def _checked(self, name: str, check: Any) -> None:
        value = getattr(self, name)
        if value is not None:
            # frozen: the checked, canonical value can only be put in place this way
            object.__setattr__(self, name, check(value, f"limits.{name}"))

    def given(self) -> list[str]:
        """Names of the limits that are set, those with a default of their own only where they differ from it."""
        return [one.name for one in fields(self) if getattr(self, one.name) != _NEUTRAL[one.name]]


def _share(value: object, path: str) -> Decimal:
    share = price(value, path, FRACTION)
    if share > 1:
        raise InvalidInput(path, share, "a fraction above 0 and up to 1; 1 means 100 %")
    return share


def _count(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(path, repr(value)[:80], "a whole number of zero or more")
    return value


def _symbols(value: object, path: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        raise InvalidInput(path, repr(value)[:80], "a list of symbols such as ['BTC/USDT']")
    return tuple(sorted({symbol(name, path) for name in value}))


_NEUTRAL: Final[dict[str, Any]] = {one.name: one.default for one in fields(Limits)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimits(Limits):
    """Limits of an account: with those that every account must have.

    Raises:
        InvalidInput: see ``Limits``; or a needed one is ``None``.
    """

    max_order_notional: Decimal
    max_position_notional: Decimal
    price_band: Decimal = Decimal("0.05")
    min_notional: Decimal = ZERO
    max_quote_age: DurationLike = "30 seconds"
    approval_ttl: DurationLike = "5 minutes"

    def __post_init__(self) -> None:
        for name in NEEDED:
            if getattr(self, name) is None:
                raise InvalidInput(f"limits.{name}", None, "a limit: an account does not trade without it")
        Limits.__post_init__(self)


NEEDED: Final = (
    "max_order_notional",
    "max_position_notional",
    "price_band",
    "min_notional",
    "max_quote_age",
    "approval_ttl",
)
"""What an account's limits never lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskRules:
    """All limits of an account.

    Raises:
        InvalidInput: a limit where it means nothing, no symbol, no time zone.
    """

    account: RiskLimits
    workflows: Mapping[str, Limits] = field(default_factory=dict)
    symbols: Mapping[str, Limits] = field(default_factory=dict)
    currency: str = ""
    """Of all money here; amounts in other currencies are converted at fresh quotes. ``""``: that of each symbol."""
    zone: str = "UTC"
    """Where a day begins."""

    def __post_init__(self) -> None:
        if not isinstance(self.account, RiskLimits):
            raise InvalidInput("risk.account", type(self.account).__name__, "RiskLimits")
        zone_named(self.zone, "risk.zone")
        for name, limits in self.workflows.items():
            if not name:
                raise InvalidInput("risk.workflows", name, "the name of a workflow")
            _fits(limits, f"risk.workflows.{name}", OF_THE_ACCOUNT, "a limit of the account alone")
        for name, limits in self.symbols.items():
            symbol(name, "risk.symbols")
            _fits(limits, f"risk.symbols.{name}", NOT_OF_A_SYMBOL, "a limit of the account or of a workflow")


def _fits(limits: Limits, path: str, without: frozenset[str], where: str) -> None:
    for name in limits.given():
        if name in without:
            raise InvalidInput(f"{path}.{name}", name, f"none here: it is {where}")


# ------------------------------------------------------------------------------------------------------- reading


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_NAMES: Final = {spelling: name for name in _NEUTRAL for spelling in (name, _camel(name))}


def read_limits(data: object, path: str = "limits", *, essential: bool = False) -> Limits:
    """Limits from plain data: a table whose keys are the fields of ``Limits``. ``essential``: an account's.

    Raises:
        InvalidInput: an unknown key, a wrong value, or a needed limit is missing; with the path of the field.
    """
    found: dict[str, Any] = {}
    for key, value in _table(data, path).items():
        name = _NAMES.get(key)
        if name is None:
            near = get_close_matches(key, _NEUTRAL, n=1, cutoff=0.6)
            meant = f"; {near[0]} was probably meant" if near else ""
            raise InvalidInput(f"{path}.{key}", key, f"the name of a limit{meant}")
        if name in found:
            raise InvalidInput(f"{path}.{key}", key, "each limit once")
        found[name] = value
    if essential:
        for name in ("max_order_notional", "max_position_notional"):
            if name not in found:
                raise InvalidInput(f"{path}.{name}", None, "a limit: an account does not trade without it")
    try:
        return RiskLimits(**found) if essential else Limits(**found)
    except InvalidInput as error:
        raise InvalidInput(error.path.replace("limits.", f"{path}.", 1), error.found, error.expected) from None


def read_rules(data: object, path: str = "risk") -> RiskRules:
    """Rules from plain data, as TOML gives it: tables ``account``, ``workflows``, ``symbols``.

    Raises:
        InvalidInput: an unknown key, a wrong value, or a needed limit is missing; with the path of the field.
    """
    table = _table(data, path)
    known = [one.name for one in fields(RiskRules)]
    for key in table:
        if key not in known:
            raise InvalidInput(f"{path}.{key}", key, f"one of {', '.join(known)}")
    account = read_limits(table.get("account", {}), f"{path}.account", essential=True)
    assert isinstance(account, RiskLimits)  # what `essential` makes
    scopes = {
        kind: {
            name: read_limits(one, f"{path}.{kind}.{name}")
            for name, one in _table(table.get(kind, {}), f"{path}.{kind}").items()
        }
        for kind in ("workflows", "symbols")
    }
    texts = {}
    for name in ("currency", "zone"):
        if name in table:
            if not isinstance(table[name], str):
                raise InvalidInput(f"{path}.{name}", repr(table[name])[:80], "a text")
            texts[name] = table[name]
    return RiskRules(account=account, workflows=scopes["workflows"], symbols=scopes["symbols"], **texts)


def _table(data: object, path: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise InvalidInput(path, repr(data)[:80], "a table")
    return data


# --------------------------------------------------------------------------------------------- what a limit says


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a limit stands. Limit and actual are texts: no digit is lost, and any rule can say what it compares."""

    rule: str
    scope: str
    """``account``, ``workflow NAME`` or ``symbol NAME``."""
    limit: str
    actual: str
    """``none`` and why, where it cannot be measured: then the limit refuses."""
    used: Decimal | None = None
    """Actual over limit, cut at four digits; 1 is all of it. ``None``: cannot be said."""
