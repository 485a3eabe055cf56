"""Who has what: accounts, what orders lock, and how a trade is paid.

Money is conserved: whatever an account pays is another account's, the market maker's or a fee, so for every asset the
sum of all of them is what was ever deposited (``total`` is ``deposited``). The market maker has a counter account that
may go below zero: it is the rest of the world.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, Context, Decimal
from typing import Final, Literal

from tickwork.errors import InvalidInput
from tickwork.sim.exchange.markets import ONE, PERMISSIONS, ZERO, Account, Market, Permission
from tickwork.sim.exchange.orders import Order
from tickwork.values import EXACT, money

FeesIn = Literal["quote", "received"]
"""In which asset fees are paid: always the quote currency, or what the side receives."""

_CUT: Final = Context(prec=200, rounding=ROUND_DOWN)


class Bank:
    """The accounts of an exchange.

    Args:
        fees_in: in which asset fees are paid.
        fee_step: fees are cut to multiples of this power of ten.
    """

    def __init__(self, fees_in: FeesIn, fee_step: Decimal) -> None:
        self.fees_in = fees_in
        self.fee_step = fee_step
        self.accounts: dict[str, Account] = {}
        """By name."""
        self.keys: dict[str, Account] = {}
        """By API key."""
        self.maker: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
        """What the market maker has of an asset; below zero when it gave more than it got."""
        self.fees: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
        """What the exchange itself earned."""
        self.deposited: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)

    def add_account(
        self,
        name: str,
        key: str,
        secret: str,
        balances: Mapping[str, Decimal | str | int] | None = None,
        permissions: Iterable[Permission] = ("read", "trade"),
    ) -> Account:
        """Open an account with an API key and some money.

        Raises:
            InvalidInput: a name or key that is taken, a permission that does not exist, an amount below zero.
        """
        if name in self.accounts or key in self.keys:
            raise InvalidInput("account", name, "an account whose name and key are not taken")
        granted = frozenset(permissions)
        if not granted <= set(PERMISSIONS):
            raise InvalidInput("account.permissions", sorted(granted), f"any of {', '.join(PERMISSIONS)}")
        account = Account(name, key, secret, granted)
        self.accounts[name] = self.keys[key] = account
        for asset, amount in (balances or {}).items():
            self.deposit(name, asset, amount)
        return account

    def deposit(self, name: str, asset: str, amount: Decimal | str | int) -> None:
        """Money comes in from outside; below zero it goes out.

        Raises:
            InvalidInput: no such account, or more goes out than is free.
        """
        account = self.account(name)
        delta = money(amount, f"deposit.{asset}")
        balance = account.of(asset)
        if EXACT.add(balance.free, delta) < 0:
            raise InvalidInput(f"deposit.{asset}", delta, f"at most the {balance.free} that are free")
        balance.free = EXACT.add(balance.free, delta)
        self.deposited[asset] = EXACT.add(self.deposited[asset], delta)

    def account(self, name: str) -> Account:
        """The account of this name.

        Raises:
            InvalidInput: there is none.
        """
        if name not in self.accounts:
            raise InvalidInput("account", name, f"one of {', '.join(sorted(self.accounts)) or 'none'}")
        return self.accounts[name]

    def total(self, asset: str) -> Decimal:
        """All there is of an asset, wherever it is: equal to what was deposited, always."""
        total = EXACT.add(self.maker[asset], self.fees[asset])
        for account in self.accounts.values():
            if asset in account.balances:
                total = EXACT.add(total, account.balances[asset].total)
        return total

    def with_fee(self, market: Market, notional: Decimal) -> Decimal:
        """What a buy of this notional may cost, in quote currency."""
        if self.fees_in == "received":
            return notional
        return EXACT.multiply(notional, EXACT.add(ONE, max(market.maker_fee, market.taker_fee)))

    def lock(self, order: Order, amount: Decimal) -> None:
        """Put aside what an order may cost."""
        balance = order.account.of(order.market.base if order.side == "SELL" else order.market.quote)
        balance.free = EXACT.subtract(balance.free, amount)
        balance.locked = EXACT.add(balance.locked, amount)
        order.locked = amount

    def release(self, order: Order) -> None:
        """Free what an order no longer needs."""
        if not order.is_open:
            needed = ZERO
        elif order.type == "MARKET":
            return  # it has no price to say what its rest needs; it ends in the same breath
        elif order.side == "SELL":
            needed = order.remaining
        else:
            needed = self.with_fee(order.market, EXACT.multiply(order.price, order.remaining))
        surplus = EXACT.subtract(order.locked, needed)
        if surplus > 0:
            balance = order.account.of(order.market.base if order.side == "SELL" else order.market.quote)
            balance.locked = EXACT.subtract(balance.locked, surplus)
            balance.free = EXACT.add(balance.free, surplus)
            order.locked = needed

    def pay(
        self, order: Order, at: Decimal, traded: Decimal, *, maker: bool, against: Order | None
    ) -> tuple[Decimal, Decimal, str]:
        """Book one side of a trade; against the market maker where the other side is no account's order.

        Returns:
            The notional, the fee and the asset it was paid in.
        """
        market, account = order.market, order.account
        notional = EXACT.multiply(at, traded)
        buys = order.side == "BUY"
        in_base = buys and self.fees_in == "received"
        fee = EXACT.multiply(traded if in_base else notional, market.fee_rate(maker=maker))
        if fee:  # of two equal numbers `min` takes the first: digits are added to none that needs no cut
            fee = min(fee, fee.quantize(self.fee_step, context=_CUT))
        base, quote = account.of(market.base), account.of(market.quote)
        if buys:
            paid = notional if in_base else EXACT.add(notional, fee)
            quote.locked = EXACT.subtract(quote.locked, paid)
            order.locked = EXACT.subtract(order.locked, paid)
            base.free = EXACT.add(base.free, EXACT.subtract(traded, fee) if in_base else traded)
        else:
            base.locked = EXACT.subtract(base.locked, traded)
            order.locked = EXACT.subtract(order.locked, traded)
            quote.free = EXACT.add(quote.free, EXACT.subtract(notional, fee))
        fee_asset = market.base if in_base else market.quote
        self.fees[fee_asset] = EXACT.add(self.fees[fee_asset], fee)
        if against is None:
            give, take = (market.base, market.quote) if buys else (market.quote, market.base)
            given, taken = (traded, notional) if buys else (notional, traded)
            self.maker[give] = EXACT.subtract(self.maker[give], given)
            self.maker[take] = EXACT.add(self.maker[take], taken)
        return notional, fee, fee_asset
