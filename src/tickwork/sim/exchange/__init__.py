"""A simulated spot exchange that speaks as MEXC's spot v3 and as Binance's spot REST do.

It has accounts, markets with precision rules, price-time matching, fees and rate limits, and faults on demand. It knows
nothing of whoever trades on it: clients see requests and replies. It runs

* inside a world, in virtual time and without sockets (``Wire``, ``CcxtSession``), under the real ccxt client or any
  other;
* behind a socket (``serving``; ``python -m tickwork.sim.exchange``), for the real ccxt client over loopback.

How to have one::

    exchange = MexcApi.exchange_of(clock)             # clock() is ns since 1970 UTC; BinanceApi has its own settings
    exchange.add_market(Market(base="BTC", quote="USDT", price=Decimal(60_000)))
    exchange.add_account("main", key="k", secret="s", balances={"USDT": "100000"})
    faults = Faults(seed=7, plan=storm(0.02))         # or Faults(); faults.add(Fault(kind="drop_after", nth=1))
    api = MexcApi(exchange, faults)                   # api.handle(Request(...)) -> Reply | Dropped | Delayed

    client = ccxt.mexc({"apiKey": "k", "secret": "s", **ccxt_settings(Wire(api, sleep_ns))})    # in a world
    in_virtual_time(client, clock)

    async with serving(api) as server:                # over loopback
        client.urls["api"] = ccxt_urls("mexc", server.url)

What a test does to it: ``exchange.move(symbol, price)`` (fills what is crossed), ``exchange.fill(order, amount)``,
``exchange.duplicates``, ``exchange.skew`` (ns), the fields of a ``Market`` (``status``, ``opens_at``, ``api_tradable``,
``api_market_orders``, ``refills``, ...), ``faults.add / remove / clear / counts``; what it reads: ``truth(exchange)``.
From another process the same goes over ``/_control/...``: see ``control``. ``faults`` lists the kinds of faults.
"""

from tickwork.sim.exchange.api import VenueApi
from tickwork.sim.exchange.binance import BinanceApi
from tickwork.sim.exchange.clients import ccxt_settings, ccxt_urls, in_virtual_time
from tickwork.sim.exchange.control import truth
from tickwork.sim.exchange.exchange import Exchange
from tickwork.sim.exchange.faults import Fault, Faults, fault_from, storm
from tickwork.sim.exchange.http import Delayed, Dropped, Outcome, Reply, Request, signature_of
from tickwork.sim.exchange.inprocess import CcxtSession, ConnectionDropped, Wire
from tickwork.sim.exchange.limits import Limits
from tickwork.sim.exchange.markets import Account, Market
from tickwork.sim.exchange.mexc import MexcApi
from tickwork.sim.exchange.orders import Order, Rejection, Ticket, Trade
from tickwork.sim.exchange.server import Server, serving

__all__ = [
    "Account",
    "BinanceApi",
    "CcxtSession",
    "ConnectionDropped",
    "Delayed",
    "Dropped",
    "Exchange",
    "Fault",
    "Faults",
    "Limits",
    "Market",
    "MexcApi",
    "Order",
    "Outcome",
    "Rejection",
    "Reply",
    "Request",
    "Server",
    "Ticket",
    "Trade",
    "VenueApi",
    "Wire",
    "ccxt_settings",
    "ccxt_urls",
    "fault_from",
    "in_virtual_time",
    "serving",
    "signature_of",
    "storm",
    "truth",
]
