"""The exchange as a process of its own: ``python -m tickwork.sim.exchange --venue mexc``.

It prints one line of JSON, ``{"url": ..., "venue": ..., "key": ..., "secret": ..., "account": ..., "seed": ...}``, and
serves until it is told to stop (SIGTERM or SIGINT).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Any, Final

from tickwork.engines.system_clock import SystemClock
from tickwork.errors import InvalidInput
from tickwork.sim.exchange.api import VenueApi
from tickwork.sim.exchange.binance import BinanceApi
from tickwork.sim.exchange.exchange import DUPLICATES, Exchange
from tickwork.sim.exchange.faults import Faults, storm
from tickwork.sim.exchange.limits import Limits
from tickwork.sim.exchange.markets import PERMISSIONS, Market
from tickwork.sim.exchange.mexc import MexcApi
from tickwork.sim.exchange.server import serving
from tickwork.values import NS_PER_SECOND, money, price, rounded_down

VENUES: Final[dict[str, type[VenueApi]]] = {"mexc": MexcApi, "binance": BinanceApi}
_MARKETS: Final = ("BTC/USDT=60000", "ETH/USDT=3000", "SOL/USDT=150")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tickwork.sim.exchange", description="A simulated spot exchange.")
    parser.add_argument("--venue", choices=sorted(VENUES), default="mexc")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes one that is free")
    parser.add_argument("--seed", type=int, default=0, help="of the faults' and the prices' random numbers")
    parser.add_argument(
        "--market",
        action="append",
        metavar="SYMBOL=PRICE[,FIELD=VALUE...]",
        help="fields: tick, step, minNotional, minQuantity, makerFee, takerFee, levels, levelQuantity, opensIn (s)",
    )
    parser.add_argument("--balance", action="append", metavar="ASSET=AMOUNT", help="default USDT=100000")
    parser.add_argument("--account", default="main")
    parser.add_argument("--key", default="simulated-key")
    parser.add_argument("--secret", default="simulated-secret")
    parser.add_argument("--permission", action="append", choices=PERMISSIONS, help="default read and trade")
    parser.add_argument("--duplicates", choices=DUPLICATES, help="what becomes of a client id used before")
    parser.add_argument("--storm", type=float, default=0, metavar="RATE", help="a bit of every fault")
    parser.add_argument("--storm-seconds", type=float, default=3)
    parser.add_argument("--walk", type=float, default=0, metavar="BPS", help="prices move by about so much a second")
    parser.add_argument("--limits", action="store_true", help="as the venue limits requests")
    return parser


def market_of(text: str, now: int) -> Market:
    """A market of ``BTC/USDT=60000,tick=0.01,step=0.000001,minNotional=5,opensIn=30``.

    Raises:
        InvalidInput: a text that is no such thing.
    """
    head, *rest = text.split(",")
    symbol, _, at = head.partition("=")
    base, _, quote = symbol.partition("/")
    if not base or not quote or not at:
        raise InvalidInput("market", text, "such as BTC/USDT=60000,tick=0.01,step=0.000001")
    terms: dict[str, Any] = {"base": base, "quote": quote, "price": price(at, "market")}
    names = {
        "tick": "price_tick",
        "step": "quantity_step",
        "minNotional": "min_notional",
        "minQuantity": "min_quantity",
        "makerFee": "maker_fee",
        "takerFee": "taker_fee",
        "levelQuantity": "level_quantity",
    }
    for part in rest:
        name, _, value = part.partition("=")
        if name == "opensIn":
            terms["opens_at"] = now + int(money(value, "market.opensIn") * NS_PER_SECOND)
        elif name == "levels" and value.isdigit():
            terms["levels"] = int(value)
        elif name in names:
            terms[names[name]] = money(value, f"market.{name}")
        else:
            raise InvalidInput("market", part, f"a field of {', '.join([*names, 'levels', 'opensIn'])}")
    return Market(**terms)


def api_of(options: argparse.Namespace) -> VenueApi:
    """The venue that the command line asks for.

    Raises:
        InvalidInput: a market or a balance that is none.
    """
    kind, clock = VENUES[options.venue], SystemClock()
    exchange = kind.exchange_of(clock.now, **({"duplicates": options.duplicates} if options.duplicates else {}))
    for text in options.market or _MARKETS:
        exchange.add_market(market_of(text, clock.now()))
    balances = dict(text.partition("=")[::2] for text in options.balance or ["USDT=100000"])
    exchange.add_account(
        options.account, options.key, options.secret, balances, options.permission or ("read", "trade")
    )
    faults = Faults(options.seed, storm(options.storm, options.storm_seconds) if options.storm else ())
    return kind(exchange, faults, Limits() if options.limits else None)


async def _walk(exchange: Exchange, random: Random, bps: float) -> None:
    while True:
        await asyncio.sleep(1)
        for book in exchange.books.values():
            factor = Decimal(repr(round(1 + random.gauss(0, bps) / 10_000, 8)))
            tick = book.market.price_tick
            exchange.move(book.market.symbol, max(tick, rounded_down(book.price * factor, tick)))


async def _serve(options: argparse.Namespace) -> None:
    api = api_of(options)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(api, options.host, options.port) as server:
        walk = asyncio.create_task(_walk(api.exchange, Random(options.seed), options.walk)) if options.walk else None
        told = {
            "url": server.url,
            "venue": options.venue,
            "account": options.account,
            "key": options.key,
            "secret": options.secret,
            "seed": options.seed,
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await stop.wait()
        if walk is not None:
            walk.cancel()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 2 when the command line is wrong."""
    options = _arguments().parse_args(arguments)
    try:
        asyncio.run(_serve(options))
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
