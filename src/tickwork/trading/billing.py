"""Billing: what the positions of an account owe to whoever runs it, as double entry beside the ledger.

Theory of operation. Terms are data: an infrastructure fee for each position that is opened, and a share of the profit
of each that is closed. ``Billing.take`` is given episodes, open and closed, as often as one likes: each position is
charged each of the two once, known by its ``position_id``.

* The infrastructure fee is due when a position opens, whatever becomes of it: 0.20 by default.
* The profit share is a fraction of ``Episode.net``: realised profit less all fees of the venue, above zero. 20 % by
  default (2,000 bps); the other rate in use is 10 %, ``LOWER_SHARE``. The infrastructure fee does not lower it. It is
  cut to the asset's cents toward zero, so rounding is always in the customer's favour; a share of less than a cent is
  no entry.
* With a high-water mark, profits and losses of closed positions are accumulated (by asset, in the order they are
  taken), and the share is due only on what rises above the highest sum so far: a loss is earned back before anything
  is shared again.

A subscription is a matter between people and not charged here.

Double entry. A charge is an expense that is owed, and moves no cash at the venue, or the ledger would no longer be what
the venue says::

    billing:USDT +25.10      payable:USDT -25.10

When it is paid, the ledger is told by ``deposit(asset, -amount)`` (cash falls, and so does capital) and billing by
``settle`` (what was owed is paid, and what left as capital was not capital but this expense). Each of the two books
sums to zero by itself, so both together do, and what was charged and never collected stays visible as ``owed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from tickwork.errors import InvalidInput
from tickwork.trading.attribution import Episode
from tickwork.trading.ledger import Posting
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, FRACTION, money, plain, price, quantity, quote_of, rounded_down

INFRA_FEE: Final = Decimal("0.20")
"""For each opened position, in the terms' asset."""
PROFIT_SHARE: Final = Decimal("0.20")
LOWER_SHARE: Final = Decimal("0.10")
"""The other convention of the field."""

_BPS: Final = Decimal(10_000)
_CENT: Final = Decimal("0.01")
_COIN_STEP: Final = Decimal("1e-8")

ChargeKind = Literal["INFRA_FEE", "PROFIT_SHARE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingTerms:
    """What an account or owner is charged.

    Raises:
        InvalidInput: an amount that is no number or below zero, or a share that is no whole number of basis points
            between none and all.
    """

    asset: str = "USDT"
    """Of the infrastructure fee. A profit share is in what the profit is in."""
    infra_fee: Decimal = INFRA_FEE
    profit_share: Decimal = PROFIT_SHARE
    """A fraction: 0.2 is 20 %."""
    high_water_mark: bool = False
    steps: Mapping[str, Decimal] = field(default_factory=dict)
    """Smallest amount charged, by asset; a cent of ``asset`` and eight digits of others where it does not say."""
    receiver: str = ""
    """Who is paid; goes into the entries as it is."""

    def __post_init__(self) -> None:
        share = quantity(self.profit_share, "billing.profitShare", FRACTION)
        points = EXACT.multiply(share, _BPS)
        if share > 1 or points != int(points):
            raise InvalidInput("billing.profitShare", share, "a fraction from 0 to 1, to a basis point: '0.2' is 20 %")
        # frozen: the checked decimals can only be put in place this way
        object.__setattr__(self, "profit_share", share)
        object.__setattr__(self, "infra_fee", quantity(self.infra_fee, "billing.infraFee"))
        for asset, step in self.steps.items():
            price(step, f"billing.steps[{asset}]")

    @property
    def bps(self) -> int:
        """The profit share in basis points."""
        return int(EXACT.multiply(self.profit_share, _BPS))

    def step(self, asset: str) -> Decimal:
        """The smallest amount of ``asset`` that is charged."""
        return self.steps.get(asset, _CENT if asset == self.asset else _COIN_STEP)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingEntry:
    """One charge."""

    kind: ChargeKind
    amount: Decimal
    asset: str
    status: Literal["CHARGED"] = "CHARGED"
    position_id: str
    workflow: str
    """Whose position it was (the deployment, where systems speak of those); empty for the account itself."""
    agent: str
    time: int
    """When the position opened or closed, in ns since 1970 UTC."""
    metadata: dict[str, str | int] = field(default_factory=dict)
    """Of a share ``pnl`` and ``bps``, with a high-water mark ``above`` too; ``receiver`` where there is one."""


@dataclass(slots=True, kw_only=True)
class BillingState:
    """Billing as JSON; decimals are texts."""

    positions: dict[str, Literal["opened", "closed"]] = field(default_factory=dict)
    """How far each position was charged: kept for good, because an old one may be taken again at any time."""
    accumulated: dict[str, Decimal] = field(default_factory=dict)
    """Profits less losses of closed positions, by asset."""
    highest: dict[str, Decimal] = field(default_factory=dict)
    """The highest that has been; zero at the start."""
    charged: dict[str, Decimal] = field(default_factory=dict)
    settled: dict[str, Decimal] = field(default_factory=dict)


class Billing:
    """The charges of one account or owner under ``terms``; new terms count for what is charged from then on."""

    def __init__(self, terms: BillingTerms, state: BillingState | None = None) -> None:
        self.terms = terms
        self._state = _copy(state or BillingState())

    def take(self, episode: Episode, rates: Mapping[str, Decimal] | None = None) -> tuple[BillingEntry, ...]:
        """Charge what is due for a position and has not been.

        ``rates``: prices such as ``BNB/USDT``, where fees were paid in a third currency.

        Raises:
            InvalidInput: such a rate is missing; nothing was charged, so it can be taken again.
        """
        known = self._state.positions.get(episode.position_id)
        if known == "closed" or (known == "opened" and episode.closed_at is None):
            return ()
        pnl = ZERO if episode.closed_at is None else episode.net(rates or {})  # raises before anything has changed
        entries: list[BillingEntry] = []
        if known is None and self.terms.infra_fee:
            entries.append(self._entry(episode, "INFRA_FEE", self.terms.infra_fee, self.terms.asset, {}))
        self._state.positions[episode.position_id] = "opened"
        if episode.closed_at is not None:
            self._state.positions[episode.position_id] = "closed"
            entries += self._share(episode, pnl)
        for entry in entries:
            _add(self._state.charged, entry.asset, entry.amount)
        return tuple(entries)

    def _share(self, episode: Episode, pnl: Decimal) -> list[BillingEntry]:
        asset, state, terms = quote_of(episode.symbol), self._state, self.terms
        _add(state.accumulated, asset, pnl)
        before = state.highest.get(asset, ZERO)
        state.highest[asset] = max(before, state.accumulated[asset])
        base = EXACT.subtract(state.highest[asset], before) if terms.high_water_mark else max(pnl, ZERO)
        amount = rounded_down(EXACT.multiply(base, terms.profit_share), terms.step(asset))
        if not amount:
            return []
        metadata: dict[str, str | int] = {"pnl": plain(pnl), "bps": terms.bps}
        if terms.high_water_mark:
            metadata["above"] = plain(base)
        return [self._entry(episode, "PROFIT_SHARE", amount, asset, metadata)]

    def _entry(
        self, episode: Episode, kind: ChargeKind, amount: Decimal, asset: str, metadata: dict[str, str | int]
    ) -> BillingEntry:
        at = episode.opened_at if kind == "INFRA_FEE" or episode.closed_at is None else episode.closed_at
        return BillingEntry(
            kind=kind,
            amount=amount,
            asset=asset,
            position_id=episode.position_id,
            workflow=episode.workflow,
            agent=episode.agent,
            time=at,
            metadata=metadata | ({"receiver": self.terms.receiver} if self.terms.receiver else {}),
        )

    def settle(self, asset: str, amount: Decimal) -> None:
        """Note that ``amount`` was paid. The ledger is told by ``deposit(asset, -amount)``, since cash has left.

        Raises:
            InvalidInput: not above zero, or more than is owed.
        """
        if not ZERO < money(amount, "settle.amount") <= self.owed(asset):
            raise InvalidInput("settle.amount", amount, f"an amount above zero, at most the {self.owed(asset)} owed")
        _add(self._state.settled, asset, amount)

    def charged(self, asset: str) -> Decimal:
        """All charges so far."""
        return self._state.charged.get(asset, ZERO)

    def owed(self, asset: str) -> Decimal:
        """Charged and not paid yet."""
        return EXACT.subtract(self.charged(asset), self._state.settled.get(asset, ZERO))

    def postings(self) -> list[Posting]:
        """The trial balance, signed so that each currency sums to zero; to be read together with the ledger's."""
        lines: list[Posting] = []
        for asset, amount in self._state.charged.items():
            settled = self._state.settled.get(asset, ZERO)
            lines.append(Posting("billing", asset, amount))
            lines.append(Posting("payable", asset, self.owed(asset).copy_negate()))
            lines.append(Posting("capital", asset, settled.copy_negate()))
        return lines

    def state(self) -> BillingState:
        """A copy of everything, for JSON."""
        return _copy(self._state)


def _copy(state: BillingState) -> BillingState:
    return BillingState(
        positions=dict(state.positions),
        accumulated=dict(state.accumulated),
        highest=dict(state.highest),
        charged=dict(state.charged),
        settled=dict(state.settled),
    )


def _add(account: dict[str, Decimal], asset: str, amount: Decimal) -> None:
    account[asset] = EXACT.add(account.get(asset, ZERO), amount)
