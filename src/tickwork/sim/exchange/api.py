"""What every venue's routes share: finding the route, faults, limits, signatures, numbers in requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Final

from tickwork.errors import InvalidInput
from tickwork.sim.exchange.book import Book
from tickwork.sim.exchange.control import control
from tickwork.sim.exchange.exchange import Exchange
from tickwork.sim.exchange.faults import NOTHING, Fault, Faults, Fired
from tickwork.sim.exchange.http import (
    Delayed,
    Dropped,
    Outcome,
    Reply,
    Request,
    equal,
    fields,
    html_reply,
    json_reply,
    signature_of,
    signed_part,
)
from tickwork.sim.exchange.limits import Limits
from tickwork.sim.exchange.markets import Account, Market, Permission
from tickwork.sim.exchange.nonsense import nonsense
from tickwork.sim.exchange.orders import Order, Rejection, State, Ticket, Trade, View
from tickwork.values import EXACT, NS_PER_SECOND, money, rounded_down

MS: Final = 1_000_000
Parameters = Mapping[str, str]


class ApiError(Exception):
    """An answer that says no.

    Args:
        code: the venue's own.
        message: the venue's own words.
        status: of HTTP.
    """

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(code, message, status)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way to its handler."""

    parameters: Parameters
    account: Account | None
    fired: Fired

    @property
    def owner(self) -> Account:
        """The account whose key signed it."""
        assert self.account is not None, "the route asks for a signature"
        return self.account


@dataclass(frozen=True, slots=True)
class Route:
    """What is done for a method and a path."""

    name: str
    """One of ``faults.ROUTES``."""
    handler: Callable[[Any, Call], Any]
    """Of the venue and the call; what it returns is answered as JSON."""
    permission: Permission | None = None
    """What the key must be allowed to; ``None``: the route asks for no key."""
    weight: int = 1


class VenueApi:
    """The routes of a venue over an exchange. Subclasses have the routes, the payloads and the words.

    Args:
        exchange: what is asked.
        faults: what goes wrong.
        limits: how much may be asked; ``None``: anything.
    """

    name: ClassVar[str]
    key_header: ClassVar[str]
    routes: ClassVar[Mapping[tuple[str, str], Route]]
    settings: ClassVar[Mapping[str, Any]] = {}
    """How this venue's exchange differs from one made without arguments."""

    @classmethod
    def exchange_of(cls, clock: Callable[[], int], **changes: Any) -> Exchange:
        """An empty exchange that works as this venue's does: in which asset fees are paid, what becomes of a client id
        that was used before. ``changes`` are arguments of ``Exchange``.
        """
        return Exchange(clock, **{**cls.settings, **changes})

    def __init__(self, exchange: Exchange, faults: Faults | None = None, limits: Limits | None = None) -> None:
        self.exchange = exchange
        self.faults = faults if faults is not None else Faults()
        self.limits = limits

    # ------------------------------------------------------------------------------------------------------- requests

    def handle(self, request: Request) -> Outcome:
        """Answer a request, or fail to."""
        self.exchange.settle()
        if request.path.startswith("/_control/"):
            return control(self.exchange, self.faults, request)
        route = self.routes.get((request.method, request.path))
        if route is None:
            return html_reply("Not Found", 404)
        refusal = self._refusal(request, route)
        if refusal is not None:
            return refusal
        parameters = self.parameters(request)
        fired = self.faults.fire(route.name, self.exchange.now(), _client_id(parameters), parameters.get("symbol"))
        if fired is NOTHING:
            return self._answer(route, request, parameters, fired)
        if fired.before is not None:
            return self._refuse(fired.before)
        if fired.late is not None:
            return self._later(fired.late, route, request, parameters, fired)
        return self._finish(route, request, parameters, fired)

    def parameters(self, request: Request) -> dict[str, str]:
        """What a request asks with. Of one that is in the query and in the body, the query's counts."""
        if not request.body:
            return fields(request.query)
        return {**fields(request.body), **fields(request.query)}

    def _refusal(self, request: Request, route: Route) -> Reply | None:
        """Whatever is asked, nothing is answered."""
        now = self.exchange.now()
        if now < self.faults.banned_until:
            return self.too_many(418, self.faults.banned_until - now)
        if now < self.faults.down_until:
            return html_reply("Service Temporarily Unavailable", 503)
        if self.limits is not None:
            wait = self.limits.take(request.header(self.key_header) or "", route.weight, now)
            if wait is not None:
                status, left = wait
                return self.too_many(status, left)
        return None

    def _refuse(self, fault: Fault) -> Outcome:
        now = self.exchange.now()
        self.faults.did(fault.kind)
        match fault.kind:
            case "drop_before":
                return Dropped()
            case "rate_limit":
                return self.too_many(429, fault.ns)
            case "ban":
                self.faults.banned_until = now + fault.ns
                return self.too_many(418, fault.ns)
            case "maintenance":
                self.faults.down_until = now + fault.ns
                return html_reply("Service Temporarily Unavailable", 503)
            case "forbidden":
                return html_reply("Forbidden", 403)
            case _:
                return self.broken(fault.status or 500)

    def _later(self, fault: Fault, route: Route, request: Request, parameters: Parameters, fired: Fired) -> Delayed:
        """The request is still on its way when its sender may have given up already."""
        self.faults.did("late")
        arrived: list[Outcome] = []

        def arrive() -> None:
            if not arrived:
                arrived.append(self._finish(route, request, parameters, fired))

        def answer() -> Reply | Dropped:
            self.exchange.settle()
            arrive()  # a waiter's timer may be ahead of the exchange's clock by a hair
            return arrived[0].answer() if isinstance(arrived[0], Delayed) else arrived[0]

        self.exchange.at(self.exchange.now() + fault.ns, arrive)
        return Delayed(fault.seconds, answer)

    def _finish(self, route: Route, request: Request, parameters: Parameters, fired: Fired) -> Outcome:
        reply = self._answer(route, request, parameters, fired)
        fault = fired.after
        if fault is None:
            return reply
        self.faults.did(fault.kind)
        match fault.kind:
            case "drop_after":
                return Dropped()
            case "stall":
                return Delayed(fault.seconds, lambda: reply)
            case "nonsense":
                return nonsense(reply, fault.shape)
            case _:
                return self.broken(fault.status or 502)

    def _answer(self, route: Route, request: Request, parameters: Parameters, fired: Fired) -> Reply:
        try:
            account = None
            if route.permission is not None:
                account = self.authenticate(request, parameters, route.permission)
            answer = route.handler(self, Call(parameters, account, fired))
        except ApiError as error:
            return _no(error)
        except Rejection as rejection:
            return _no(self.rejection(rejection))
        return answer if isinstance(answer, Reply) else json_reply(answer)

    # --------------------------------------------------------------------------------------------------- venue's words

    def rejection(self, rejection: Rejection) -> ApiError:
        """The venue's code and words for why an order was not taken."""
        raise NotImplementedError

    def authenticate(self, request: Request, parameters: Parameters, permission: Permission) -> Account:
        """Whose request it is.

        Raises:
            ApiError: a key that is missing or unknown, a signature that is wrong or too old, or no permission.
        """
        raise NotImplementedError

    def too_many(self, status: int, left: int) -> Reply:
        """429 or 418, and when to come back: in ``left`` ns."""
        raise NotImplementedError

    def broken(self, status: int) -> Reply:
        """A 5xx."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------------------------------- shared work

    def signed(self, request: Request, account: Account) -> bool:
        """Whether a request carries the right signature."""
        text, signature = signed_part(request.query, request.body)
        return equal(signature_of(text, account.secret), signature)

    def in_time(self, timestamp: int, window: int) -> bool:
        """``timestamp < serverTime + 1000 && serverTime - timestamp <= recvWindow``, in ms: both venues' rule."""
        server = self.exchange.server_time() // MS
        return timestamp < server + 1_000 and server - timestamp <= window

    def book(self, market: Market) -> Book:
        """The book of a market."""
        return self.exchange.books[market.id]

    def create(self, call: Call, ticket: Ticket) -> Order:
        """Take an order, with what goes wrong while it is taken."""
        partial, lag = call.fired.during.get("partial"), call.fired.during.get("lag")
        before = len(self.exchange.repeats)
        order = self.exchange.submit(call.owner, ticket, None if partial is None else partial.fraction)
        if len(self.exchange.repeats) > before:
            return order
        if partial is not None:
            self.faults.did("partial")
        if lag is not None:
            self.faults.did("lag")
            order.hidden = dict.fromkeys(lag.views, self.exchange.now() + lag.ns)
        return order

    def query(self, call: Call, order: Order) -> Order:
        """An order as the query for one finds it.

        Raises:
            Rejection: it does not.
        """
        if call.fired.instead is not None:
            self.faults.did("not_found")
            raise Rejection("not_found")
        if not order.seen_in("order", self.exchange.now()):
            raise Rejection("not_found")
        return order

    def cancel(self, call: Call, order: Order) -> None:
        """End an order, with what goes wrong meanwhile.

        Raises:
            Rejection: it is not known, or no longer open.
        """
        if call.fired.instead is not None:
            self.faults.did("not_found")
            raise Rejection("not_open")
        if not order.seen_in("order", self.exchange.now()):
            raise Rejection("not_open")
        race, late = call.fired.during.get("cancel_race"), call.fired.during.get("cancel_late")
        if race is not None and order.is_open:
            self.faults.did("cancel_race")
            self._fill_share(order, race.fraction)
            if race.answer == "unknown":
                if order.is_open:
                    self.exchange.cancel(order)
                raise Rejection("not_open")
            if order.is_open:
                self.exchange.cancel(order)
            return
        if late is not None and order.is_open:
            self.faults.did("cancel_late")
            self.exchange.at(self.exchange.now() + late.ns, lambda: self._cancel_at_last(order))
            return
        self.exchange.cancel(order)

    def _cancel_at_last(self, order: Order) -> None:
        if order.is_open:
            self.exchange.cancel(order)

    def _fill_share(self, order: Order, fraction: Decimal) -> None:
        amount = rounded_down(EXACT.multiply(order.remaining, fraction), order.market.quantity_step)
        if amount > 0:
            self.exchange.fill(order, amount)

    def state(self, call: Call, order: Order) -> State | None:
        """The state that a query for an order answers with; ``None`` is its state now."""
        stale = call.fired.during.get("stale")
        if stale is None:
            return None
        self.faults.did("stale")
        return order.state(self.exchange.server_time() - stale.ns)

    def visible(self, orders: list[Order], view: View) -> list[Order]:
        """Those of the orders that a query knows of already."""
        now = self.exchange.now()
        return [order for order in orders if order.seen_in(view, now)]

    def visible_trades(self, trades: list[Trade]) -> list[Trade]:
        """Those of the trades that a query knows of already."""
        now = self.exchange.now()
        return [trade for trade in trades if trade.order.seen_in("trades", now)]


def _no(error: ApiError) -> Reply:
    return json_reply({"code": error.code, "msg": error.message}, error.status)


def _client_id(parameters: Parameters) -> str | None:
    return parameters.get("newClientOrderId") or parameters.get("origClientOrderId")


def amount(parameters: Parameters, name: str, complaint: Callable[[str], ApiError]) -> Decimal | None:
    """A number of a request; ``None`` when it is not there.

    Raises:
        ApiError: of ``complaint``, when it is no number.
    """
    text = parameters.get(name)
    if text is None or text == "":
        return None
    try:
        return money(text, name)
    except InvalidInput:
        raise complaint(name) from None


def whole(parameters: Parameters, name: str, complaint: Callable[[str], ApiError]) -> int | None:
    """A whole number of a request; ``None`` when it is not there.

    Raises:
        ApiError: of ``complaint``, when it is none.
    """
    text = parameters.get(name)
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 25):
        raise complaint(name)
    return int(text)


def seconds_of(ns: int) -> str:
    """Whole seconds, at least one: as ``Retry-After`` gives them."""
    return str(max(1, -(-ns // NS_PER_SECOND)))
