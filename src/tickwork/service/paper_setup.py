"""What a paper session is made of, from its options; the composition root puts it together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput
from tickwork.market.news import NewsItem
from tickwork.market.recording import Recording
from tickwork.service.paper import PaperOptions
from tickwork.service.paper_account import PaperDesk
from tickwork.service.paper_tape import VERSION, PaperStarted, data_files, news_digest
from tickwork.trading.gate import RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, base_of, duration_text, plain, quote_of, ratio, rounded_down
from tickwork.venues.recorded import Recorded

_COIN_STEP = Decimal("0.00000001")


class PaperBreakers:
    """``graph.sources.Breakers`` of an engine that comes to be later than the workflows that ask."""

    source_name = "breakers"
    configure = "an engine"

    def __init__(self) -> None:
        self.engine: Engine | None = None

    def mode(self, name: str) -> str:
        """How a call would find a breaker now; see ``graph.sources.Breakers``."""
        return "closed" if self.engine is None else self.engine.breakers.mode(name)


def opened(data: Sequence[str | Recording]) -> list[Recording]:
    """Recordings, opened where they are named.

    Raises:
        InvalidInput: none, one that cannot be read or has no bars, two of one name, or a symbol that is paid in another
            currency than the first where its venue does not say what that is worth.
    """
    found = [one if isinstance(one, Recording) else Recording.open(one) for one in data]
    if not found:
        raise InvalidInput("data", "nothing", "the name of a recording or the path of a CSV file")
    names = [recording.name for recording in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput("data", twice, "recordings of different names")
    empty = next((recording.name for recording in found if not len(recording)), None)
    if empty is not None:
        raise InvalidInput("data", empty, "recordings with bars")
    currency = quote_of(found[0].header.symbol)
    listed = {(recording.header.venue, recording.header.symbol) for recording in found}
    for venue, symbol in sorted(listed):
        rate = f"{quote_of(symbol)}/{currency}"
        if quote_of(symbol) != currency and (venue, rate) not in listed:
            expected = f"recordings paid in {currency}, or {rate} at {venue} as well"
            raise InvalidInput("data", f"{symbol}, which is paid in {quote_of(symbol)}", expected)
    return found


def span(recordings: Sequence[Recording], until: int | None) -> tuple[int, int]:
    """From the start of the first bar to the end of the last, or to ``until`` (ns)."""
    first = min(recording[0].start_ns for recording in recordings)
    last = max(recording[-1].end_ns for recording in recordings)
    return first, last if until is None else min(last, until)


def paid_in(options: PaperOptions, venue: str, recorded: Recorded, currency: str) -> dict[str, Decimal]:
    """What an account begins with at a venue, by asset.

    Raises:
        InvalidInput: a capital that is not above zero, or a stock that is no fraction below 1.
    """
    if not options.capital.is_finite() or options.capital <= 0:
        raise InvalidInput("capital", options.capital, "an amount above zero")
    if not options.stock.is_finite() or not 0 <= options.stock < 1:
        raise InvalidInput("stock", options.stock, "a fraction from 0 to below 1")
    pairs = [
        symbol
        for symbol in recorded.symbols(venue)
        if "/" in symbol
        and ":" not in symbol
        and quote_of(symbol) == currency
        and recorded.terms(venue, symbol).expires_at is None
    ]
    if not options.stock or not pairs:
        return {currency: options.capital}
    share = ratio(EXACT.multiply(options.capital, options.stock), Decimal(len(pairs)))
    cash, coins = options.capital, dict[str, Decimal]()
    for symbol in pairs:
        first = recorded.of(venue, symbol)[0].open
        quantity = rounded_down(ratio(share, first), _COIN_STEP)
        coins[base_of(symbol)] = EXACT.add(coins.get(base_of(symbol), ZERO), quantity)
        cash = EXACT.subtract(cash, EXACT.multiply(quantity, first))
    return {currency: cash, **coins}


def desk_of(
    venue: str, recorded: Recorded, options: PaperOptions, currency: str, clock: Callable[[], int], halt: Halt
) -> PaperDesk:
    """The account at a venue, its book not yet opened.

    Raises:
        InvalidInput: see ``paid_in``.
    """
    cash = paid_in(options, venue, recorded, currency)  # before the limits, which are made of the capital
    symbols = recorded.symbols(venue)
    widest = max(recorded.terms(venue, symbol).half_spread for symbol in symbols)
    costs = replace(options.costs, slippage=widest) if widest else options.costs
    oldest = max(recorded.max_age(symbol) for symbol in symbols)
    limits = options.limits or RiskLimits(
        max_order_notional=options.capital / 10,
        max_position_notional=options.capital / 5,
        max_quote_age=duration_text(oldest),
    )
    desk = PaperDesk(venue, recorded, cash=cash, costs=costs, limits=limits, currency=currency, clock=clock, halt=halt)
    for symbol in symbols:
        if base_of(symbol) in cash and ":" not in symbol:
            desk.marks[symbol] = recorded.of(venue, symbol)[0].open  # at which its coins were taken in
    return desk


def started(
    options: PaperOptions, recordings: Sequence[Recording], news: Sequence[NewsItem], workflows: Sequence[Workflow]
) -> PaperStarted:
    """What a session's tape is bound to."""
    by_hand = options.by_hand
    settings: Mapping[str, object] = {
        "capital": plain(options.capital),
        "stock": plain(options.stock),
        "costs": options.costs,
        "limits": options.limits,
        "until": options.until,
        "terms": [
            (key, options.terms[key].half_spread, options.terms[key].expires_at) for key in sorted(options.terms)
        ],
        "by hand": None if by_hand is None else (by_hand.workflow, by_hand.input, by_hand.at),
    }
    return PaperStarted(
        paper=VERSION,
        seed=options.seed,
        data=data_files(recordings),
        news=news_digest(news),
        workflows=tuple(f"{one.name}@{one.version} {sorted(map(str, one.triggers))}" for one in workflows),
        documents=tuple(options.documents),
        settings=tuple(f"{name}: {value}" for name, value in settings.items()),
    )
