"""Submitting an order: once, or again only after the exchange has certainly not taken it.

``_Terms`` is what is sent. Two answers lead to a second request, both only after a certain "no", both with the same
client id, each at most once:

* *our clock is wrong*: it is set by the exchange's, and the same request is signed anew;
* *market orders are switched off* (MEXC 30018, 30019): the order is sent as a limit order that is immediate or
  cancelled. Its limit is the price the approval was valued at, made worse by the slippage (default 0.5 %) and put on
  the tick so that the bound is never passed: a buy down, a sell up. What cannot be had within the bound is not traded,
  and the order ends as cancelled; a market order had no bound at all.

An answer that the client id was used before means that an earlier request of ours arrived: the order is looked for, and
is the answer, if it is on our terms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from tickwork.errors import InvalidInput, NotSent, NotYet, Rejected, TickworkError, Unknown
from tickwork.outcome import Found
from tickwork.trading.matching import TradingRules
from tickwork.trading.order_life import OrderState
from tickwork.trading.orders import Ack, ApprovedOrder, OrderType, TimeInForce
from tickwork.values import EXACT, plain, rounded_down, rounded_up
from tickwork.venues.ccxt.answers import Reader
from tickwork.venues.ccxt.looking import Looking
from tickwork.venues.ccxt.profiles import Meaning, Profile
from tickwork.venues.ccxt.session import Session
from tickwork.venues.ccxt.verdicts import Judge
from tickwork.venues.ccxt.wire import Call

_ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What is sent of an order."""

    type: OrderType
    price: Decimal | None
    force: TimeInForce


class Sending:
    """Sends one account's orders.

    Args:
        session: the client.
        looking: where earlier orders are looked for.
        reader: makes sense of acknowledgements.
        judge: makes sense of errors.
        profile: what is known of the exchange.
        max_slippage: how much worse than the approval's price a replaced market order may trade; 1 means 100 %.
    """

    def __init__(
        self, session: Session, looking: Looking, reader: Reader, judge: Judge, profile: Profile, max_slippage: Decimal
    ) -> None:
        self._session = session
        self._looking = looking
        self._reader = reader
        self._judge = judge
        self._profile = profile
        self._max_slippage = max_slippage

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """Send ``order``. See ``VenuePort.submit`` for what is raised."""
        name = self._reader.venue
        tick = await self._market(order)
        terms = _Terms(order.type, order.limit_price, order.time_in_force)
        tried: set[Meaning] = set()
        while True:
            call = Call(writes=True, urgent=True, due="object" if self._profile.strict else None)
            try:
                return await self._sent(order, key, terms, call)
            except (NotSent, Rejected):
                raise
            except Exception as error:  # noqa: BLE001 - told apart here
                meaning = self._judge.meaning(error, call)
                ended: TickworkError = self._judge.submission(meaning, error, call)
            if meaning == "duplicate":
                return await self._ours(order, key)
            if meaning in tried or meaning not in ("clock", "no_market"):
                raise ended
            tried.add(meaning)
            if meaning == "clock":
                await self._set_clock()
            elif order.type == "market":
                terms = self._bounded(order, tick, ended)
            else:
                raise Rejected(name, ended.args[1])

    async def _sent(self, order: ApprovedOrder, key: str, terms: _Terms, call: Call) -> Ack:
        params: dict[str, Any] = {"clientOrderId": self._profile.spelled(key)}
        if terms.force != "gtc":
            params["timeInForce"] = terms.force.upper()
        # with a price ccxt turns the quantity of a market buy into an amount of money
        price = None if terms.price is None else plain(terms.price)
        told = await self._session.write(
            call, "create_order", order.symbol, terms.type, order.side, plain(order.quantity), price, params
        )
        order_id, status = self._reader.acknowledged(told, order.symbol, key)
        if status == "rejected":
            raise Rejected(self._reader.venue, "the order was made and rejected at once")
        self._looking.note(order.symbol, order_id, key)
        return self._ack(order_id, status, key)

    def _ack(self, order_id: str, status: OrderState, key: str) -> Ack:
        return Ack(venue=self._reader.venue, client_order_id=key, venue_order_id=order_id, status=status)

    # -- before the wire ------------------------------------------------------------------------------------------

    async def _market(self, order: ApprovedOrder) -> Decimal:
        """Is there such a market, and does it take the order as it is? Its price tick.

        Raises:
            NotSent: the exchange cannot be reached, or says nothing of use.
            InvalidInput: the key is not accepted, or the order is not on the steps.
            Rejected: it does not list the symbol. NotYet: the same, of an order that waits for its symbol.
        """
        try:
            market = await self._session.market(order.symbol)
            rules = None if market is None else self._session.rules(self._reader, market)
        except (InvalidInput, NotSent):
            raise
        except TickworkError as error:
            raise NotSent(f"nothing was sent: {error}") from None
        if rules is not None:
            self._check_steps(order, rules)
            return rules.price_tick
        told = f"it lists no spot pair {order.symbol}"
        raise (
            Rejected(self._reader.venue, told)
            if order.approval.intent.retry_until is None
            else NotYet(self._reader.venue, told)
        )

    @staticmethod
    def _check_steps(order: ApprovedOrder, rules: TradingRules) -> None:
        """ccxt cuts and rounds in silence; what was approved is sent as it is, or not at all."""
        for path, value, step in (
            ("order.quantity", order.quantity, rules.quantity_step),
            ("order.limitPrice", order.limit_price, rules.price_tick),
        ):
            if value is not None and rounded_down(value, step) != value:
                raise InvalidInput(path, plain(value), f"a multiple of {plain(step)} in {order.symbol}")

    def _bounded(self, order: ApprovedOrder, tick: Decimal, no: TickworkError) -> _Terms:
        """The limit order that takes the place of a market order."""
        approval = order.approval
        worth = approval.valuation_price or approval.quote_price
        if not worth:
            raise Rejected(self._reader.venue, f"{no.args[1]}; and no price is known to bound a limit order by")
        if order.side == "buy":
            bound = rounded_down(EXACT.multiply(worth, EXACT.add(_ONE, self._max_slippage)), tick)
        else:
            bound = rounded_up(EXACT.multiply(worth, EXACT.subtract(_ONE, self._max_slippage)), tick)
        if bound <= 0:
            raise Rejected(self._reader.venue, f"{no.args[1]}; and no tick lies within the bound of a limit order")
        return _Terms("limit", bound, "ioc")

    async def _set_clock(self) -> None:
        try:
            await self._session.set_clock()
        except TickworkError as error:
            raise NotSent(f"our clock is wrong and could not be set: {error}") from None

    # -- after it -------------------------------------------------------------------------------------------------

    async def _ours(self, order: ApprovedOrder, key: str) -> Ack:
        """The order that has our client id already.

        Raises:
            Unknown: it is not found, or cannot be looked for.
            Rejected: it is there on other terms, so ours is not.
        """
        name = self._reader.venue
        try:
            found = await self._looking.find(key, order.symbol)
        except TickworkError as error:
            raise Unknown(f"{name} knows the client id {key}; looking for its order failed: {error}") from None
        if not isinstance(found, Found):
            raise Unknown(f"{name} knows the client id {key} and does not show its order")
        there = found.value
        if (there.side, there.quantity) != (order.side, order.quantity):
            raise Rejected(name, f"the client id {key} is that of another order: {there.side} {there.quantity}")
        if there.status == "rejected":
            raise Rejected(name, "the order was made and rejected")
        return replace(there.ack(), client_order_id=key)
