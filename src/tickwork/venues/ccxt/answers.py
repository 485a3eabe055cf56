"""What an exchange says of orders, trades, balances and rules, checked and in our types.

ccxt evens out names, but it also guesses: an order that is closed and tells no filled amount is "filled whole", a trade
without a number gets one made up, an account without balances is empty. So where the profile knows the raw fields
(``strict``) they must be there; everything else comes from ccxt's structure. Numbers are exact: ccxt is told to keep
them as texts, and a float that an exchange wrote is read by its shortest text.

Every function raises ``Nonsense`` with what was wrong; none leaves out what it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tickwork.errors import InvalidInput
from tickwork.trading.matching import TradingRules
from tickwork.trading.order_life import OrderState
from tickwork.trading.orders import ZERO, Fill, Order, OrderType, Side, TimeInForce
from tickwork.trading.venue import Balance
from tickwork.values import EXACT, MAX_NS, money, price, quantity
from tickwork.venues.ccxt.library import number_text
from tickwork.venues.ccxt.profiles import STATES, Profile
from tickwork.venues.ccxt.wire import Nonsense

NS_PER_MS: Final = 1_000_000

_SIDES: Final[Mapping[str, Side]] = {"buy": "buy", "sell": "sell"}
_FORCES: Final[Mapping[str, TimeInForce]] = {
    "IOC": "ioc",
    "FOK": "fok",
    "GTC": "gtc",
    "IMMEDIATE_OR_CANCEL": "ioc",
    "FILL_OR_KILL": "fok",
}


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Whatever does not fit in this block makes the answer nonsense; ``what`` is its name for a person."""
    try:
        yield
    except InvalidInput as error:
        raise Nonsense(f"{what} cannot be: {error}") from None
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        raise Nonsense(f"{what} cannot be read ({type(error).__name__}: {str(error)[:100]})") from None


def text(value: object, path: str) -> str:
    """An id: a text that says something, or a whole number.

    Raises:
        InvalidInput: anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable():
        return value
    raise InvalidInput(path, repr(value)[:80], "an id")


def time_ns(value: object, path: str) -> int:
    """Milliseconds since 1970 as an exchange tells them, in ns.

    Raises:
        InvalidInput: no whole number, or a time that cannot be.
    """
    told = number_text(value)
    ms = money(told, path)
    if ms != ms.to_integral_value() or not 0 < ms * NS_PER_MS < MAX_NS:
        raise InvalidInput(path, str(value), "milliseconds since 1970")
    return int(ms) * NS_PER_MS


def mapping(value: object, path: str) -> Mapping[str, Any]:
    """An object.

    Raises:
        InvalidInput: anything else.
    """
    if isinstance(value, Mapping):
        return value
    raise InvalidInput(path, repr(value)[:80], "an object")


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one exchange's answers as one account's.

    Args:
        venue: the venue's name.
        account: whose orders and fills they are.
        profile: what is known of the exchange.
        market_id: the exchange's own name for a symbol.
    """

    venue: str
    account: str
    profile: Profile
    market_id: Callable[[str], str | None]

    # -- orders ---------------------------------------------------------------------------------------------------

    def order(self, told: Any, symbol: str, key: str | None = None) -> Order:
        """An order that was asked for. ``key``: the client id it was asked for by, or is known to have.

        Raises:
            Nonsense: what was told cannot be an order in ``symbol``, or has another client id.
        """
        with understood(f"the order in {symbol}"):
            order = mapping(told, "order")
            raw = mapping(order.get("info"), "order.info")
            self._same(order, raw, symbol)
            client_id = self._client_id(order, key)
            amount = quantity(self._number(order, raw, "amount", "origQty"), "order.quantity")
            filled = quantity(self._number(order, raw, "filled", "executedQty"), "order.filled")
            if filled > amount:
                raise InvalidInput("order.filled", filled, f"at most the order's quantity {amount}")
            notional = self._notional(order, raw, filled)
            kind, limit = self._kind(order)
            return Order(
                venue=self.venue,
                client_order_id=client_id,
                venue_order_id=text(order.get("id"), "order.id"),
                account=self.account,
                symbol=symbol,
                side=self._side(order),
                type=kind,
                quantity=amount,
                limit_price=limit,
                time_in_force=self._force(order, raw),
                status=self._state(order, raw, amount, filled),
                filled=filled,
                filled_notional=notional,
                time=0 if order.get("timestamp") is None else time_ns(order["timestamp"], "order.time"),
            )

    def _same(self, told: Mapping[str, Any], raw: Mapping[str, Any], symbol: str) -> None:
        # ccxt takes a symbol that it does not know for the one that was asked about
        if told.get("symbol") != symbol or (self.profile.strict and raw.get("symbol") != self.market_id(symbol)):
            raise InvalidInput("symbol", repr(raw.get("symbol"))[:80], symbol)

    def _client_id(self, order: Mapping[str, Any], key: str | None) -> str:
        """Ours is given back as we spell it, another program's as it is."""
        told = order.get("clientOrderId")
        if key is None:
            return "" if told is None else self.profile.read(text(told, "order.clientId"))
        if told is None and self.profile.strict:
            raise InvalidInput("order.clientId", "none", key)
        if told is not None and self.profile.read(str(told)) != key:
            raise InvalidInput("order.clientId", str(told)[:80], key)
        return key

    def _number(self, told: Mapping[str, Any], raw: Mapping[str, Any], name: str, raw_name: str) -> Any:
        return number_text(raw.get(raw_name) if self.profile.strict else told.get(name))

    def _notional(self, order: Mapping[str, Any], raw: Mapping[str, Any], filled: Decimal) -> Decimal:
        # MEXC and Binance share the misspelling
        notional = quantity(self._number(order, raw, "cost", "cummulativeQuoteQty"), "order.cost")
        if (notional > 0) != (filled > 0):
            raise InvalidInput("order.cost", notional, f"what {filled} filled base units cost")
        return notional

    def _kind(self, order: Mapping[str, Any]) -> tuple[OrderType, Decimal | None]:
        if order.get("type") == "market":
            return "market", None
        if order.get("type") == "limit":
            return "limit", price(number_text(order.get("price")), "order.price")
        # another program's stop or the like: it is shown as what it will be
        limit = order.get("price")
        return ("market", None) if limit is None else ("limit", price(number_text(limit), "order.price"))

    @staticmethod
    def _side(told: Mapping[str, Any]) -> Side:
        side = _SIDES.get(str(told.get("side")))
        if side is None:
            raise InvalidInput("side", repr(told.get("side"))[:80], "buy or sell")
        return side

    @staticmethod
    def _force(order: Mapping[str, Any], raw: Mapping[str, Any]) -> TimeInForce:
        if order.get("type") == "market":
            return "gtc"
        return _FORCES.get(str(raw.get("type")), _FORCES.get(str(order.get("timeInForce")), "gtc"))

    def _state(self, order: Mapping[str, Any], raw: Mapping[str, Any], amount: Decimal, filled: Decimal) -> OrderState:
        said = raw.get("status") if self.profile.strict else order.get("status")
        state = STATES.get(str(said))
        if state is None and not self.profile.strict:
            state = STATES.get(str(raw.get("status")))
        if state is None:
            raise InvalidInput("order.status", repr(said)[:80], f"one of {', '.join(STATES)}")
        if state == "filled" and filled < amount:
            raise InvalidInput("order.filled", filled, f"{amount}, because the order is filled")
        if filled == amount and state in ("acknowledged", "partially_filled", "cancelling"):
            return "filled"  # the list of orders is behind the order's own figures
        if state in ("acknowledged", "partially_filled"):
            return "partially_filled" if filled else "acknowledged"
        if state == "cancelled" and filled:
            return "filled" if filled == amount else "partially_cancelled"
        return state

    def acknowledged(self, told: Any, symbol: str, key: str) -> tuple[str, OrderState]:
        """The venue's id and the state, from what a submission is answered with: at MEXC nothing but the id.

        Raises:
            Nonsense: it is no acknowledgement of this order.
        """
        with understood("the acknowledgement"):
            order = mapping(told, "order")
            raw = mapping(order.get("info"), "order.info")
            if self.profile.strict and raw.get("orderId") is None:
                raise InvalidInput("order.id", repr(raw)[:80], "the order's id")
            self._same(order, raw, symbol)
            order_id = text(order.get("id"), "order.id")
            client_id = raw.get("clientOrderId") if self.profile.strict else order.get("clientOrderId")
            if client_id is not None and self.profile.read(str(client_id)) != key:
                raise InvalidInput("order.clientId", str(client_id)[:80], key)
            if raw.get("status") is None or (self.profile.strict and raw.get("executedQty") is None):
                return order_id, "acknowledged"
            if not self.profile.strict and (order.get("filled") is None or order.get("amount") is None):
                return order_id, "acknowledged"
            return order_id, self.order(told, symbol, key).status

    # -- trades ---------------------------------------------------------------------------------------------------

    def fill(self, told: Any, symbol: str, client_id: str) -> Fill:
        """A trade of ours.

        Raises:
            Nonsense: what was told cannot be a trade in ``symbol``.
        """
        with understood(f"the trade in {symbol}"):
            trade = mapping(told, "trade")
            raw = mapping(trade.get("info"), "trade.info")
            self._same(trade, raw, symbol)
            if self.profile.strict and not isinstance(raw.get("isBuyer"), bool):
                raise InvalidInput("trade.isBuyer", repr(raw.get("isBuyer"))[:80], "true or false")
            fee, currency = self._fee(trade, raw)
            side = self._side(trade)
            return Fill(
                venue=self.venue,
                fill_id=fill_id(text(trade.get("id"), "trade.id"), side),
                client_order_id=client_id,
                venue_order_id=text(trade.get("order"), "trade.order"),
                account=self.account,
                symbol=symbol,
                side=side,
                price=price(self._number(trade, raw, "price", "price"), "trade.price"),
                quantity=_above_zero(self._number(trade, raw, "amount", "qty")),
                fee=fee,
                fee_currency=currency,
                time=time_ns(trade.get("timestamp"), "trade.time"),
            )

    def _fee(self, trade: Mapping[str, Any], raw: Mapping[str, Any]) -> tuple[Decimal, str]:
        """In whatever currency it was taken: quote, base, or the exchange's own coin."""
        fee = trade.get("fee")
        if self.profile.strict:
            cost, currency = raw.get("commission"), mapping(fee, "trade.fee").get("currency")
        else:
            fees = trade.get("fees") or ([] if fee is None else [fee])
            if not fees:
                return ZERO, ""
            if len(fees) > 1:
                raise InvalidInput("trade.fees", len(fees), "a fee in one currency")
            cost, currency = fees[0].get("cost"), fees[0].get("currency")
        return money(number_text(cost), "trade.fee"), text(currency, "trade.feeCurrency")

    def order_of(self, told: Any) -> tuple[str, str | None]:
        """A trade's order: the venue's id of it, and its client id, where the trade tells it.

        Raises:
            Nonsense: the trade names no order.
        """
        with understood("the trade"):
            trade = mapping(told, "trade")
            client_id = mapping(trade.get("info"), "trade.info").get("clientOrderId")
            read = self.profile.read(client_id) if isinstance(client_id, str) and client_id else None
            return text(trade.get("order"), "trade.order"), read

    # -- the account ----------------------------------------------------------------------------------------------

    def balances(self, told: Any) -> dict[str, Balance]:
        """What the account holds. An asset of which it has nothing at all is left out.

        Raises:
            Nonsense: it is no account.
        """
        with understood("the account"):
            account = mapping(told, "account")
            if self.profile.strict:
                raw = mapping(account.get("info"), "account").get("balances")
                if not isinstance(raw, list):
                    raise InvalidInput("account.balances", repr(raw)[:80], "a list")
                for entry in raw:
                    text(mapping(entry, "account.balances").get("asset"), "account.asset")
            found: dict[str, Balance] = {}
            for asset in mapping(account.get("total"), "account.total"):
                entry = mapping(account[asset], asset)
                free, used, total = (number_text(entry.get(name)) for name in ("free", "used", "total"))
                held = quantity(used, f"{asset}.used") if used is not None or self.profile.strict else ZERO
                both = money(total, f"{asset}.total")
                if free is not None and EXACT.add(quantity(free, f"{asset}.free"), held) != both:
                    raise InvalidInput(f"{asset}.total", both, f"the sum of free {free} and used {held}")
                if both or held:
                    found[asset] = Balance(total=both, held=held)
            return found

    # -- rules ----------------------------------------------------------------------------------------------------

    def rules(self, market: Any, tick_size: bool) -> TradingRules:
        """What the exchange asks of orders in a market. ``tick_size``: ccxt writes steps, not numbers of decimals.

        Raises:
            Nonsense: steps that are missing or cannot be.
        """
        with understood("the market"):
            raw, precision, limits = (mapping(market[name], name) for name in ("info", "precision", "limits"))
            if self.profile.step is not None:
                tick, step = self.profile.step(raw)
            else:
                tick, step = (_step(precision.get(name), tick_size) for name in ("price", "amount"))
            least = _least(limits, "cost")
            for name in ("quoteAmountPrecision", "quoteAmountPrecisionMarket") if self.profile.strict else ():
                least = max(least, quantity(number_text(raw.get(name)) or "0", name))
            return TradingRules(
                symbol=market["symbol"],
                price_tick=tick,
                quantity_step=step,
                min_notional=least,
                min_quantity=_least(limits, "amount"),
                max_quantity=_most(limits, "amount"),
            )


def fill_id(number: str, side: Side) -> str:
    """By what a fill is known. Where an account trades with itself, both fills bear the trade's one number."""
    return number if side == "buy" else f"{number}:{side}"


def _least(limits: Mapping[str, Any], name: str) -> Decimal:
    told = number_text((limits.get(name) or {}).get("min"))
    return ZERO if told is None else quantity(told, f"limits.{name}.min")


def _most(limits: Mapping[str, Any], name: str) -> Decimal | None:
    told = number_text((limits.get(name) or {}).get("max"))
    return None if told is None else quantity(told, f"limits.{name}.max") or None


def _step(told: Any, tick_size: bool) -> Decimal:
    value = price(number_text(told), "precision") if tick_size else money(number_text(told), "precision")
    return value if tick_size else Decimal(1).scaleb(-int(value))


def _above_zero(told: Any) -> Decimal:
    amount = quantity(told, "trade.quantity")
    if amount <= 0:
        raise InvalidInput("trade.quantity", amount, "a quantity above zero")
    return amount
