"""What an open account has and how its limits stand, for whoever asks: money, exposure, readings of its gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tickwork.errors import NotFound
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.accounts.opening import Opened
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, NS_PER_SECOND, plain, quote_of


class AccountLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An account that is open here. Money is text, in ``currency``."""

    account: str
    owner: str
    venue: str
    currency: str
    prices_of: str
    """Whose prices it looks at."""
    symbols: list[str]
    capital: str
    equity: str | None
    """``None``: a price of what it holds is missing."""
    level: str
    """Of its halt: normal, alert, halt, shutdown."""
    halted_because: str
    working: int
    """Orders at the venue."""
    in_doubt: list[str]
    """Client ids of orders of which nobody knows whether they exist."""
    unheard_seconds: float | None
    """How long the venue has not answered; ``None``: it does."""


class BalanceLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Cash of one account in one currency, as text."""

    account: str
    venue: str
    currency: str
    cash: str
    reserved: str | None
    """What orders on their way may need of it at most; ``None``: nobody has the account open, so nobody knows."""
    free: str | None
    """Cash less that, zero at least."""


class LimitLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """How a limit stands. Limit and actual are texts, in which no digit is lost."""

    account: str
    rule: str
    scope: str
    """``account``, ``workflow NAME`` or ``symbol NAME``."""
    limit: str
    actual: str
    """``none`` and why, where it cannot be measured: then the limit refuses."""
    used: str | None
    """Actual over limit, a fraction: 1 is all of it."""
    warns: bool
    """It is near its end, or beyond it, or cannot be measured."""


class ExposureLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What an account is exposed to in one symbol. Quantities are base units, as text."""

    account: str
    symbol: str
    held: str
    buying: str
    """On its way in."""
    selling: str
    value: str
    """The worst case, at the mark: what limits are held against; ``none`` and why, where it cannot be said."""


class AccountExposure(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What an account is exposed to in all. Money is text, in ``currency``; ``none`` and why, where it is not known."""

    account: str
    currency: str
    equity: str
    gross: str
    """Sum of the worst cases of all symbols."""
    daily_loss: str
    drawdown: str
    """Below its peak."""
    peak: str | None
    symbols: list[ExposureLine]


class Books:
    """Answers for the accounts of a session.

    Args:
        opened: by name.
        sources: whose prices each account looks at.
        clock: ns since 1970 UTC.
    """

    def __init__(self, opened: Mapping[str, Opened], sources: Mapping[str, str], clock: Callable[[], int]) -> None:
        self._opened = opened
        self._sources = sources
        self._clock = clock

    def verbs(self) -> dict[str, Any]:
        """What other processes may ask for, to be given to ``Engine.offer``. ``owner``: only that owner's accounts."""

        async def accounts(owner: str | None = None) -> list[AccountLine]:
            return [self._line(one) for one in self._of("", owner)]

        async def balances(account: str = "", owner: str | None = None) -> list[BalanceLine]:
            return [line for one in self._of(account, owner) for line in _balances(one.account)]

        async def limits(account: str = "", owner: str | None = None) -> list[LimitLine]:
            return [line for one in self._of(account, owner) for line in _limits(one.account)]

        async def exposure(account: str = "", owner: str | None = None) -> list[AccountExposure]:
            return [_exposure(one.account) for one in self._of(account, owner)]

        return {"accounts": accounts, "balances": balances, "risk.limits": limits, "risk.exposure": exposure}

    def _of(self, name: str, owner: str | None) -> list[Opened]:
        """
        Raises:
            NotFound: no account of this name is open, or it is another owner's.
        """
        mine = {name: one for name, one in self._opened.items() if owner in (None, one.account.owner)}
        if not name:
            return list(mine.values())
        if name not in mine:
            raise NotFound("account", name, f"an account that is open here: {', '.join(mine) or 'none is'}")
        return [mine[name]]

    def _line(self, one: Opened) -> AccountLine:
        account, since = one.account, one.account.unheard_since
        equity, halt = account.equity(), account.desk.halt
        return AccountLine(
            account=account.name,
            owner=account.owner,
            venue=account.venue.name,
            currency=account.currency,
            prices_of=self._sources[account.name],
            symbols=sorted(one.rules),
            capital=plain(account.desk.ledger.capital(account.currency)),
            equity=None if equity is None else plain(equity),
            level=halt.level,
            halted_because=halt.reason,
            working=len(account.desk.reservations.working()),
            in_doubt=account.desk.reservations.doubtful(),
            unheard_seconds=None if since is None else (self._clock() - since) / NS_PER_SECOND,
        )


def reserved(account: OpenAccount) -> dict[str, Decimal]:
    """What orders on their way may need at most of each currency: buys what they may cost."""
    found: dict[str, Decimal] = {}
    reservations = account.desk.reservations
    for symbol in reservations.symbols():
        for held, left in reservations.of(symbol):
            if held.side == "buy" and not held.reduce_only:
                currency = quote_of(symbol)
                found[currency] = EXACT.add(found.get(currency, ZERO), EXACT.multiply(left, held.price))
    return found


def _balances(account: OpenAccount) -> list[BalanceLine]:
    ledger, needed = account.desk.ledger, reserved(account)
    lines = []
    for currency in sorted({account.currency, *ledger.currencies(), *needed}):
        cash, held = ledger.cash(currency), needed.get(currency, ZERO)
        if not cash and not held and currency != account.currency:
            continue
        lines.append(
            BalanceLine(
                account=account.name,
                venue=account.venue.name,
                currency=currency,
                cash=plain(cash),
                reserved=plain(held),
                free=plain(max(EXACT.subtract(cash, held), ZERO)),
            )
        )
    return lines


def _limits(account: OpenAccount) -> list[LimitLine]:
    return [
        LimitLine(
            account=account.name,
            rule=one.rule,
            scope=one.scope,
            limit=one.limit,
            actual=one.actual,
            used=None if one.used is None else plain(one.used),
            warns=near,
        )
        for one, near in account.desk.limits()
    ]


def _exposure(account: OpenAccount) -> AccountExposure:
    found = account.desk.exposure()
    return AccountExposure(
        account=account.name,
        currency=account.currency,
        equity=_text(found.equity),
        gross=_text(found.gross),
        daily_loss=_text(found.daily_loss),
        drawdown=_text(found.drawdown),
        peak=None if found.peak is None else plain(found.peak),
        symbols=[
            ExposureLine(
                account=account.name,
                symbol=one.symbol,
                held=plain(one.held),
                buying=plain(one.buys),
                selling=plain(one.sells),
                value=_text(one.value),
            )
            for one in found.symbols
        ],
    )


def _text(figure: Decimal | str) -> str:
    return figure if isinstance(figure, str) else plain(figure)
