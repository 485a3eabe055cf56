"""The composition root: configuration -> engine, venue, desk, market, playbooks, faces. The only place that wires."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from tickwork.market.bars import Quote
    from tickwork.service.demo import DemoOptions, DemoSession
    from tickwork.trading.desk import Desk, VenuePort
    from tickwork.trading.matching import TradingRules


def main() -> None:
    """The command ``tickwork``."""
    from tickwork.faces.cli import run

    sys.exit(run(open_demo))


def open_demo(options: DemoOptions) -> DemoSession:
    """A demo session with everything it works with; nothing runs yet. Whoever asks for it closes it.

    Raises:
        InvalidInput: data that cannot be read, or a speed that is none.
        TapeLocked: another process plays this demo.
        TapeError: the home folder or what is in it cannot be used.
    """
    from tickwork.core.clock import VirtualClock
    from tickwork.engines.embedded import Engine
    from tickwork.engines.embedded.lock import OwnerLock
    from tickwork.market.recording import Recording
    from tickwork.playbooks.convergence import convergence
    from tickwork.playbooks.volume_signal import volume_signal
    from tickwork.service import demo, demo_tape
    from tickwork.service.account import Account
    from tickwork.service.market import Market, Streams
    from tickwork.service.trading import holdings
    from tickwork.trading.matching import Costs
    from tickwork.venues.paper import PaperVenue

    demo.check_speed(options.speed)
    streams = Streams(Recording.open(name) for name in options.data or demo.DEFAULT_DATA)
    data = demo_tape.data_files(streams.recordings)
    files = demo_tape.DemoFiles(options.home)
    lock = OwnerLock(str(files.lock))
    started = demo_tape.DemoStarted(demo=demo_tape.VERSION, seed=options.seed, data=data)
    beginning = demo_tape.begin(files, started)

    clock = VirtualClock(streams.first_ns)
    market = Market(streams, clock.now)
    costs, rules = Costs(), {symbol: demo.rules_of(recording) for symbol, recording in streams.traded.items()}
    cash = {streams.currency: demo.CAPITAL}
    venue = PaperVenue(files.book, account=demo.ACCOUNT, rules=rules.values(), cash=cash, costs=costs)
    desk = _demo_desk(venue, rules, cash, market.quote, clock.now)
    account = Account(desk, market, rules=rules, costs=costs, currency=streams.currency)
    engine = Engine(
        f"sqlite:///{files.tape}",
        workflows=[convergence(market, account), volume_signal(market, account)],
        views=[holdings],
        clock=clock,
        seed=options.seed,
    )
    return demo.DemoSession(
        streams=streams,
        market=market,
        venue=venue,
        desk=desk,
        engine=engine,
        clock=clock,
        beginning=beginning,
        speed=options.speed,
        release=lock.release,
    )


def _demo_desk(
    venue: VenuePort,
    rules: Mapping[str, TradingRules],
    cash: Mapping[str, Decimal],
    quotes: Callable[[str], Quote | None],
    clock: Callable[[], int],
) -> Desk:
    """The demo account's desk: an order is at most a tenth of the capital, a position at most a fifth."""
    from tickwork.service import demo
    from tickwork.trading.desk import Desk
    from tickwork.trading.gate import RiskGate, RiskLimits
    from tickwork.trading.halt import Halt
    from tickwork.trading.ledger import Ledger

    limits = RiskLimits(max_order_notional=demo.CAPITAL / 10, max_position_notional=demo.CAPITAL / 5)
    gate, ledger = RiskGate(limits, rules), Ledger(cash)
    return Desk(demo.ACCOUNT, venue=venue, gate=gate, ledger=ledger, quotes=quotes, clock=clock, halt=Halt())


if __name__ == "__main__":
    main()
