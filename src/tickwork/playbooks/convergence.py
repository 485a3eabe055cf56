"""Convergence: buy where a coin is cheaper than elsewhere, sell when the discount has closed.

The graph of it::

    price change -> fetch book -> detect -> condition: opportunity.profit > 0.01 -> place order

**It trades one venue only.** A true arbitrage buys here and sells there at the same moment. Of the second venue there
are only daily prices, so this is the honest half of it: a bet that the cheap venue comes back to the dear one. While it
waits the whole market may fall, and then the bet loses although the discount closes.

**When it looks.** A price change starts it. It compares the two venues only while both prices are fresh; a daily close
is so for half an hour after midnight UTC. Any other run stops with that as its recorded reason. On the recordings that
come with tickwork a discount of this size is rare, a handful in two years: most runs place no order, as they should.

**Profit** is a fraction of what is bought, after the fees and slippage of buying and selling:
``watched / traded - 1 - 2 * (fee_rate + slippage)``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from tickwork import Run, Workflow, workflow
from tickwork.core.conditions import compile_condition
from tickwork.market.triggers import PriceChanged
from tickwork.service.account import Account, Decision, Reference
from tickwork.service.market import Book, Market

NAME: Final = "convergence"
ENTER: Final = compile_condition("opportunity.profit > 0.01")
LEAVE: Final = compile_condition("opportunity.spread <= 0")
SHARE: Final = Decimal("0.05")
"""Of the equity, for one opportunity."""

_SIX_PLACES: Final = Decimal("0.000001")


class Opportunity(msgspec.Struct, frozen=True, rename="camel"):
    """What the two prices come to; both figures are fractions of the traded price."""

    spread: Decimal = Decimal(0)
    """By how much the watched venue is dearer; below zero when it is cheaper."""
    profit: Decimal = Decimal(0)
    """What is left of the spread after buying and selling have been paid for."""
    problem: str = ""
    """Why the two prices cannot be compared."""


def detect(book: Book, round_trip: Decimal) -> Opportunity:
    """Compare the venues. ``round_trip``: what buying and selling cost, as a fraction."""
    for what, quote in (("traded", book.traded), ("watched", book.watched)):
        if quote is None:
            return Opportunity(problem=f"no quote of {book.symbol} on the {what} venue")
        if quote.stale:
            return Opportunity(problem=f"the quote of {quote.venue} is {quote.age} old")
    assert book.traded is not None
    assert book.watched is not None
    spread = (book.watched.price / book.traded.price - 1).quantize(_SIX_PLACES)
    return Opportunity(spread=spread, profit=spread - round_trip)


def convergence(market: Market, account: Account) -> Workflow:
    """The workflow, for an account and the market it trades in."""
    round_trip = 2 * (account.costs.fee_rate + account.costs.slippage)

    @workflow(NAME, on=PriceChanged, key=lambda moved: moved.symbol)
    async def body(run: Run, moved: PriceChanged) -> Decision:
        symbol = moved.symbol
        book = await run.step("fetch book", market.book, symbol)
        opportunity = await run.step("detect", detect, book, round_trip)
        if opportunity.problem or book.traded is None:
            return Decision("stopped", symbol, opportunity.problem)
        held = await account.holding(NAME, symbol)
        if held.open:
            return Decision("hold", symbol, "an order is on its way")
        facts = {"opportunity": {"spread": opportunity.spread, "profit": opportunity.profit}}
        quote = book.traded
        on = Reference(symbol, quote.price, quote.time, quote.recording, quote.offset)
        if held.quantity and LEAVE(facts):
            return await account.sell(
                run, NAME, on, held.quantity, f"the discount has closed ({opportunity.spread:+.2%})"
            )
        if not held.quantity and ENTER(facts):
            amount = account.share(await run.step("equity", account.equity), SHARE)
            return await account.buy(run, NAME, on, amount, f"{opportunity.spread:.2%} cheaper than {_venue(book)}")
        return Decision("hold", symbol, f"spread {opportunity.spread:+.2%}, after costs {opportunity.profit:+.2%}")

    return body


def _venue(book: Book) -> str:
    return book.watched.venue if book.watched else ""
