"""Hyperliquid as a venue: perpetual contracts settled in USDC, one account.

    HyperliquidVenue(agent_key, address=account, clock=clock)

Symbols are ccxt's: ``BTC/USDC:USDC``. The key is that of an agent ("API wallet") which the account has approved: it
trades and cannot withdraw. ``address`` is the account itself, not the agent: asked about an agent, Hyperliquid answers
with empty lists. Each process needs an agent of its own, since nonces are counted by agent.

**Exactly once.** A client id is the ``cloid``. That Hyperliquid refuses one twice is not documented, so it is not
relied on. What is: an order carries ``expiresAfter``, signed with it, and is not accepted later (``validity``); and
its nonce is good once. What is assumed: that an accepted order can be found by its cloid after ``visibility``, which
no document bounds (``None`` where that is too much to assume: then what cannot be found stays unknown for ever, and a
person has to look). "Not found" is only said by a server whose state is no older than ten seconds by our clock, after
asking for the order's status, the open orders and the latest 2,000 orders (these two lists at most every twenty
seconds: they are dear).

**Market orders** are immediate-or-cancel limits at ``slippage`` beyond the middle of the book, never further: what the
book does not fill by there is cancelled. They are shown as what they are, limit orders of that kind. No order can be
fill-or-kill. A limit off the tick and a quantity off the step are rejected here; ticks grow with prices, and the one in
``rules`` is good up to twice the price of that moment.

**Leverage** is a setting of account and contract at Hyperliquid, not of an order. Before an order that may open, what
is set is looked at and, where it differs, set to the intent's, one such order in a contract at a time. Setting is
harmless to repeat, so it needs no record of its own; if it fails, the order was not sent. It holds for a position that
is there already, too. Reductions leave it alone; that they only reduce is the venue's to see to (``r``).

**Balances.** ``USDC`` is the cash with contracts booked at their full notional, as the ledger books them; funding
changes it without a fill. Spot holdings and contracts of builders' own dexes are neither traded nor shown.

Tried against a server on the loopback that answers as Hyperliquid's documents say and checks signatures with the SDK;
never against Hyperliquid.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from tickwork.errors import InvalidInput, NotSent, Rejected, Retryable, TickworkError
from tickwork.outcome import Found, NotFound
from tickwork.trading.matching import TradingRules
from tickwork.trading.order_life import FINAL, WORKING, OrderState
from tickwork.trading.orders import ZERO, Ack, ApprovedOrder, Fill, Order, require_approved
from tickwork.trading.venue import Balance, Capabilities, VenueReport
from tickwork.values import EXACT, FRACTION, DurationLike, duration, money, to_timedelta
from tickwork.venues.hyperliquid.answers import locked_by, refusal, usdc_of
from tickwork.venues.hyperliquid.info import Info, not_sent
from tickwork.venues.hyperliquid.markets import SETTLED_IN, Market
from tickwork.venues.hyperliquid.signing import Signer
from tickwork.venues.wire import Answer, Row, Unanswered, Wire

MAINNET: Final = "https://api.hyperliquid.xyz"
TESTNET: Final = "https://api.hyperliquid-testnet.xyz"

_NS_PER_MS: Final = 1_000_000
_KEY: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_ONE: Final = Decimal(1)


class HyperliquidVenue:
    """A ``VenuePort`` onto one Hyperliquid account.

    Args:
        key: private key of the agent; it appears in no error.
        address: of the account whose money it is: 0x and 40 hex digits.
        clock: ns since 1970 UTC; nonces and expiries are made of it, so it must be right to a second or so.
        account: its name here, in orders and fills.
        vault: ``address`` is a sub-account or a vault; the agent is that of its master.
        mainnet: real money. Else the test network.
        host: another address than the network's own.
        name: the venue's name in orders, fills and errors.
        slippage: how far beyond the middle of the book a market order may trade; a fraction.
        isolated: margin of positions: isolated, else cross.
        validity: how long an order that is under way may still be accepted.
        visibility: after this an accepted order is taken to be findable; ``None``: never.
        timeout: of one exchange with Hyperliquid.

    Raises:
        InvalidInput: the extra is missing, or a key, an address or a fraction that is none.
    """

    def __init__(
        self,
        key: str,
        *,
        address: str,
        clock: Callable[[], int],
        account: str = "main",
        vault: bool = False,
        mainnet: bool = False,
        host: str = "",
        name: str = "hyperliquid",
        slippage: Decimal | str = Decimal("0.01"),
        isolated: bool = False,
        validity: DurationLike = "15s",
        visibility: DurationLike | None = "60s",
        timeout: DurationLike = "10s",
    ) -> None:
        if not _ADDRESS.fullmatch(address):
            raise InvalidInput(f"{name}.address", address[:80], "an address: 0x and 40 hex digits")
        self._slippage = money(slippage, f"{name}.slippage", FRACTION)
        if not 0 < self._slippage < 1:
            raise InvalidInput(f"{name}.slippage", slippage, "a fraction above 0 and below 1, such as '0.01' (1 %)")
        self._address = address.lower()
        for_whom = self._address if vault else None
        self._signer = Signer(key, vault=for_whom, mainnet=mainnet, clock=clock, path=f"{name}.key")
        secrets = (key, key.removeprefix("0x"))
        self._wire = Wire(name, host or (MAINNET if mainnet else TESTNET), secrets=secrets, timeout=timeout)
        self._info = Info(self._wire, self._address, account, clock)
        self._name = name
        self._account = account
        self._clock = clock
        self._isolated = isolated
        self._validity_ns = duration(validity, f"{name}.validity")
        self._capabilities = Capabilities(
            deduplicates=False,
            request_validity=to_timedelta(validity),
            visibility_bound=None if visibility is None else to_timedelta(visibility, f"{name}.visibility"),
            times_in_force=frozenset({"gtc", "ioc"}),
            shorts=True,
        )
        self._opening: dict[str, asyncio.Lock] = {}

    # -- the port -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The venue's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """See the module's text: no promise of deduplication, but an expiry, and an assumed bound of visibility."""
        return self._capabilities

    async def rules(self, symbols: Collection[str] = ()) -> dict[str, TradingRules]:
        """What it asks of orders; the tick is good for prices up to twice the contract's mark now."""
        return await self._info.rules(symbols)

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """Send an order; see ``VenuePort.submit``, and the module's text on market orders and leverage.

        Raises:
            Rejected, NotYet, NotSent, InvalidInput: certain that there is no such order.
            Unanswered: unknown.
        """
        require_approved(order)
        if not _KEY.fullmatch(key):
            raise InvalidInput("key", key, "a client id of 32 hex digits")
        if order.account != self._account:
            raise Rejected(self._name, f"unknown account {order.account}")
        if order.type == "limit" and order.time_in_force == "fok":
            raise Rejected(self._name, "no order can be fill-or-kill")
        try:
            market = await self._info.market(order.symbol)
            if market is None or not market.listed:
                raise Rejected(self._name, f"unknown symbol {order.symbol}")
            limit = await self._limit(order, market)
        except (InvalidInput, Retryable) as error:
            raise not_sent(error) from None
        if order.reduce_only:
            return await self._place(order, key, market, limit)
        async with self._opening.setdefault(order.symbol, asyncio.Lock()):
            await self._lever(order, market)
            return await self._place(order, key, market, limit)

    async def find(self, key: str, symbol: str = "") -> Found[Order] | NotFound:
        """The order of a client id, by its status, then in the lists of orders; see the module's text.

        Raises:
            Retryable: not found, by a server that is behind.
        """
        found = await self._info.order(key)
        return NotFound() if found is None else Found(found)

    async def cancel(self, key: str, symbol: str = "") -> Order:
        """Cancel; an order that has ended is returned as it is.

        Raises:
            Rejected: no order has this client id.
            Unanswered: nobody knows whether it was cancelled; cancelling again is harmless.
        """
        found = await self._info.order(key)
        if found is None:
            raise Rejected(self._name, f"no order has client id {key}")
        market = await self._info.market(found.symbol)
        if found.status in FINAL or market is None:
            return found
        answer = await self._wire.call("POST", "/exchange", json=self._signer.cancel(market.asset, key))
        try:
            status = self._status(answer, "cancel", on_order=False)
        except Rejected as no:  # of the cancel; here the word means that there is no such order
            raise self._lost(answer, str(no)) from None
        if status != "success" and not (isinstance(status, Row) and status.has("error")):
            raise self._lost(answer, "nobody knows whether it was cancelled")
        try:
            after = await self._info.order(key)
        except (InvalidInput, NotSent) as error:  # of a look after the fact: they are certain of nothing
            raise self._lost(answer, f"what became of the order could not be looked up: {error}") from None
        if after is None:
            raise self._lost(answer, "the order has vanished from its lists")
        return replace(after, status="cancelling") if status == "success" and after.status in WORKING else after

    async def open_orders(self) -> list[Order]:
        """Orders that can still trade, oldest first, other programs' too."""
        return await self._info.open_orders()

    async def fills(self, symbol: str, since: int) -> list[Fill]:
        """Fills in ``symbol`` (in all when it is ``""``) at ``since`` or later, in order of time.

        Hyperliquid keeps the latest 10,000.
        """
        return [fill for fill in await self._info.fills(since) if symbol in ("", fill.symbol)]

    async def balances(self) -> dict[str, Balance]:
        """Cash in USDC, and contracts by symbol, below zero for a short. Held is what open orders would take."""
        state = await self._info.state()
        found = {SETTLED_IN: Balance(total=usdc_of(state), held=locked_by(await self._info.open_orders()))}
        for symbol, size in (await self._info.positions(state)).items():
            found[symbol] = Balance(total=size, held=ZERO)
        return found

    async def examine(self) -> VenueReport:
        """Key, clock and permissions, looked at without trading."""
        asked = self._clock()
        state = await self._info.state()
        skew_ns = state.millis("time") - (asked + self._clock()) // 2
        own, (word, master) = self._signer.address == self._address, await self._info.role(self._signer.address)
        mine = own or (word == "agent" and await self._belongs(master))
        value, free = state.row("marginSummary").amount("accountValue"), state.amount("withdrawable")
        notes = [f"account value {value} USDC, of which {free} can be withdrawn"]
        if own:
            notes.append("the key is the account's own and may withdraw: approve an agent, and use its key")
        elif not mine:
            notes.append(
                f"the key is that of {f'an agent of {master}' if master else f'a {word}'}, not of an agent here"
            )
        return VenueReport(
            clock_skew=timedelta(microseconds=skew_ns // 1_000),
            may_read=True,
            may_trade=mine,
            may_withdraw=own,
            notes=tuple(notes),
        )

    async def _belongs(self, master: str) -> bool:
        """Is the account that of this master, or one below it? Who leads a vault is not looked up."""
        if master == self._address:
            return True
        word, owner = await self._info.role(self._address)
        return word == "vault" or (word == "subAccount" and owner == master)

    async def updates(self) -> AsyncIterator[Order | Fill]:
        """Nothing streams here; ask."""
        return
        yield  # pragma: no cover - what makes this a generator

    async def close(self) -> None:
        """Let the connections go."""
        await self._wire.close()

    # -- submitting -----------------------------------------------------------------------------------------------

    async def _limit(self, order: ApprovedOrder, market: Market) -> Decimal:
        """The worst price the order may trade at.

        Raises:
            Rejected: one that Hyperliquid does not take.
            Retryable, InvalidInput: a market order, and no book to go by.
        """
        limit = order.limit_price
        if limit is None:
            far = EXACT.add(_ONE, self._slippage if order.side == "buy" else EXACT.minus(self._slippage))
            # an old book only bounds a reduction: it trades at better prices if there are any, or not at all
            worst = EXACT.multiply(await self._info.middle(market, fresh=not order.reduce_only), far)
            limit = market.bound(worst, order.side)
        if not market.takes(limit):
            raise Rejected(self._name, f"price {limit} is off the tick, {market.tick(limit)}")
        return limit

    async def _lever(self, order: ApprovedOrder, market: Market) -> None:
        """Set the leverage of the contract, where it is another.

        Raises:
            Rejected: it cannot be had. NotSent: it could not be set; so the order was not sent.
        """
        wanted = order.approval.intent.leverage
        if wanted != int(wanted) or wanted > market.max_leverage:
            most = market.max_leverage
            raise Rejected(self._name, f"leverage {wanted} in {order.symbol}: a whole number up to {most} can be had")
        cross = not (self._isolated or market.only_isolated)
        try:
            if await self._info.leverage(market) == (int(wanted), cross):
                return
            request = self._signer.leverage(market.asset, int(wanted), cross=cross, expires_ms=self._expiry())
            answer = await self._wire.call("POST", "/exchange", json=request)
            self._status(answer, "default", on_order=False)
        except InvalidInput as error:
            if error.path == f"{self._name}.key":
                raise
            raise not_sent(error) from None
        except Retryable as error:
            raise not_sent(error) from None

    async def _place(self, order: ApprovedOrder, key: str, market: Market, limit: Decimal) -> Ack:
        size = order.quantity
        if EXACT.remainder(size, market.step):
            raise Rejected(self._name, f"quantity {size} is off the step, {market.step}")
        lasting = order.type == "limit" and order.time_in_force == "gtc"
        request = self._signer.order(
            asset=market.asset,
            buys=order.side == "buy",
            price=limit,
            size=size,
            reduce_only=order.reduce_only,
            tif="Gtc" if lasting else "Ioc",
            key=key,
            expires_ms=self._expiry(),
        )
        answer = await self._wire.call("POST", "/exchange", json=request)
        status = self._status(answer, "order", on_order=True)
        try:
            return self._acknowledged(status, key, size, lasting)
        except InvalidInput as error:
            raise self._lost(answer, f"accepted, in words that cannot be read: {error}") from None

    def _acknowledged(self, status: Row | str, key: str, size: Decimal, lasting: bool) -> Ack:
        """What ``{"resting": {...}}`` and ``{"filled": {...}}`` say."""
        if isinstance(status, str):
            raise InvalidInput(f"{self._name}: order status", status, "resting or filled")
        if status.has("resting"):
            oid = status.row("resting").whole("oid")
            state: OrderState = "acknowledged"
        else:
            filled = status.row("filled")
            oid, done = filled.whole("oid"), filled.price("totalSz")
            if done > size:
                raise InvalidInput(filled.at("totalSz"), done, f"no more than the order's size, {size}")
            state = "filled" if done == size else "partially_filled" if lasting else "partially_cancelled"
        return Ack(venue=self._name, client_order_id=key, venue_order_id=str(oid), status=state)

    def _expiry(self) -> int:
        return (self._clock() + self._validity_ns) // _NS_PER_MS

    # -- answers of /exchange -------------------------------------------------------------------------------------

    def _status(self, answer: Answer, kind: str, *, on_order: bool) -> Row | str:
        """The one status in an answer: an object, or a word; ``""`` where the kind has none.

        ``on_order``: an error in it is raised, as what it means for an order.

        Raises:
            Rejected, NotYet, NotSent, InvalidInput: a certain no. Unanswered: anything that is not one.
        """
        if answer.status == 429:
            raise NotSent(f"{self._name}: {self._wire.told(answer)}")
        if answer.status in (400, 422) and not answer.body.lstrip().startswith(
            b"<"
        ):  # it could not be read as an action
            raise Rejected(self._name, self._wire.told(answer))
        if answer.status != 200:
            raise self._lost(answer, "nobody knows what became of it")
        try:
            row = Row(self._wire.json(answer, kind), f"{self._name}: {kind}")
            if row.one_of("status", ("ok", "err")) == "err":
                raise self._no(answer, row.text("response"))
            response = row.row("response")
            response.one_of("type", (kind,))
            if kind == "default":
                return ""
            status = self._only(response.row("data"))
            if on_order and isinstance(status, Row) and status.has("error"):
                raise self._no(answer, status.text("error"))
        except InvalidInput as error:
            if error.path == f"{self._name}.key":
                raise
            raise self._lost(answer, f"it cannot be read: {error}") from None
        return status

    def _only(self, data: Row) -> Row | str:
        statuses = data.values("statuses")
        if len(statuses) != 1:
            raise InvalidInput(data.at("statuses"), len(statuses), "one status")
        only = statuses[0]
        return only if isinstance(only, str) else Row(only, data.at("statuses[0]"))

    def _no(self, answer: Answer, text: str) -> TickworkError:
        said = self._wire.clean(text)
        return refusal(said, self._name) or self._lost(answer, said)

    def _lost(self, answer: Answer, why: str) -> Unanswered:
        return Unanswered(self._name, f"{answer.what}: {why}; it answered {self._wire.told(answer)}")
