"""From a configured account to an open one: the venue is looked at, the desk rebuilt from the tape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final, Protocol

from tickwork.core.event import Event
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, Refused
from tickwork.market.bars import Quote
from tickwork.market.sessions import Sessions
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.accounts.config import AccountConfig
from tickwork.service.accounts.recovery import Past, recall
from tickwork.service.reconcile_events import AccountAdjusted
from tickwork.service.trading import AccountOpened
from tickwork.trading.activity import Activity
from tickwork.trading.adoptions import Adoption, Adoptions
from tickwork.trading.desk import Desk
from tickwork.trading.gate import RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.venue import VenuePort, VenueReport
from tickwork.values import EXACT, from_ns

MAX_SKEW: Final = timedelta(seconds=1)
"""A venue refuses requests that are dated further ahead than this, and ours would be dated by our clock."""


class MakeVenue(Protocol):
    """Makes an account's venue; nothing is asked of it yet."""

    def __call__(self, name: str, config: AccountConfig, /) -> VenuePort:
        """
        Raises:
            InvalidInput: a venue that is not known, a key that is missing.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """An account, open, and what belongs to it."""

    config: AccountConfig
    account: OpenAccount
    rules: dict[str, TradingRules]
    news: AccountOpened | None
    """To be put on the tape: it was never opened before."""
    past: Past
    adoptions: Adoptions


def judge(name: str, config: AccountConfig, report: VenueReport) -> list[str]:
    """What must be true of a venue and a key before anything is traded there; returns notes for a person.

    Raises:
        Refused: the key may withdraw, and nobody said why.
        InvalidInput: the key may not trade, or the clocks differ too much.
    """
    path = f"accounts.{name}"
    if report.may_trade is False:
        raise InvalidInput(f"{path}.{'key_env'}", "a key that may not trade", "one that may; give it that right there")
    if report.may_withdraw and not config.withdrawals:
        raise Refused("withdrawals", "a key that may not withdraw", f"{path}: this one may; say why in withdrawals")
    notes = list(report.notes)
    if report.clock_skew is not None and abs(report.clock_skew) > MAX_SKEW:
        seconds = report.clock_skew.total_seconds()
        notes.append(f"the clock of {config.venue} is {seconds:+.1f} s off ours: see to NTP")
    return notes


async def listed(name: str, config: AccountConfig, venue: VenuePort) -> dict[str, TradingRules]:
    """What a venue asks of orders in an account's symbols.

    Raises:
        InvalidInput: it does not list one of them.
    """
    rules = await venue.rules(config.symbols)
    for symbol in config.symbols:
        if symbol not in rules:
            raise InvalidInput(f"accounts.{name}.symbols", symbol, f"a symbol that {venue.name} lists")
    return rules


def open_account(
    name: str,
    config: AccountConfig,
    *,
    venue: VenuePort,
    rules: dict[str, TradingRules],
    queries: Queries | None,
    quotes: Callable[[str], Quote | None],
    clock: Callable[[], int],
    halt: Halt,
    post: Callable[[Event], object],
) -> Opened:
    """Rebuild an account from its tape (``queries``; ``None``: there is none yet).

    Raises:
        InvalidInput: the tape knows the account at another venue or in another currency, or the limits are wrong.
    """
    past = Past() if queries is None else recall(queries, name)
    _check(name, config, venue, past)
    paid_in = past.paid_in or {config.currency: config.capital}
    risk = config.rules(name)
    gate = RiskGate(risk, rules, shorts=venue.capabilities.shorts, markets=Sessions)
    accounts: list[OpenAccount] = []
    desk = Desk(
        name,
        venue=venue,
        gate=gate,
        ledger=Ledger(paid_in),
        quotes=quotes,
        clock=clock,
        halt=halt,
        activity=Activity(config.currency, risk.zone),
        tell=lambda news: accounts[0].told(news),
    )
    account = OpenAccount(
        owner=config.owner,
        post=post,
        desk=desk,
        venue=venue,
        currency=config.currency,
        quotes=quotes,
        clock=clock,
        every=config.poll,
        holders=past.holders,
    )
    accounts.append(account)
    account.restore(past)
    adoptions = Adoptions(name, venue.name, desk.ledger)
    for adjusted in past.adjusted:
        adoption = adjusted.adoption()
        adoptions.apply(adoption)
        if adoption.order is not None:
            desk.follow(adoption.order)
    opened = None
    if past.opened is None:
        opened = AccountOpened(account=name, venue=venue.name, currency=config.currency, amount=config.capital)
    return Opened(config, account, rules, opened, past, adoptions)


async def before_us(name: str, config: AccountConfig, venue: VenuePort, now: int) -> AccountAdjusted | None:
    """What was at a venue before an account was first opened there, besides its capital: it is left alone.

    The configured capital is the user's word on what is ours; all else stays theirs until they say otherwise.

    Raises:
        InvalidInput: there is less than the capital.
    """
    left = {asset: balance.total for asset, balance in (await venue.balances()).items()}
    there = left.get(config.currency, Decimal(0))
    if there < config.capital:
        path, expected = f"accounts.{name}.capital", f"at most the {there} {config.currency} that are there"
        raise InvalidInput(path, config.capital, expected)
    left[config.currency] = EXACT.subtract(there, config.capital)
    left = {asset: amount for asset, amount in left.items() if amount}
    if not left:
        return None
    adoption = Adoption(id=f"opening {name}", left=left, time=now)
    return AccountAdjusted(
        id=adoption.id,
        account=name,
        venue=venue.name,
        action="leave",
        finding=adoption.id,
        detail="was there when the account was opened",
        by="configuration",
        at=from_ns(now),
        left=left,
    )


def _check(name: str, config: AccountConfig, venue: VenuePort, past: Past) -> None:
    before = past.opened
    if before is None:
        return
    if before.venue != venue.name:
        expected = f"{before.venue}, where the tape has it; give an account of another venue another name"
        raise InvalidInput(f"accounts.{name}.venue", venue.name, expected)
    if before.currency != config.currency:
        raise InvalidInput(f"accounts.{name}.currency", config.currency, f"{before.currency}, as on the tape")


def notes_on_capital(name: str, config: AccountConfig, past: Past) -> list[str]:
    """Where the configuration says another capital than the tape: the tape's stays."""
    paid_in = past.paid_in.get(config.currency, Decimal(0))
    if past.opened is None or paid_in == config.capital:
        return []
    return [f"account {name} began with {paid_in} {config.currency}, as the tape says: capital is not read again"]
