"""Paper sessions: what they trade, that they know no future, and that killing one changes nothing."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tests.service.papering import (
    ETH,
    START,
    Later,
    Played,
    by_hand,
    clockwork,
    everything,
    market,
    options,
    play,
    told,
    whole,
)
from tickwork.app import open_paper
from tickwork.core.run import Run
from tickwork.core.schedule import Schedule, ScheduleFired
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, TapeError, TapeLocked, TickworkError
from tickwork.graph.sources import Sources, Trader
from tickwork.market.news import NewsItem
from tickwork.service.orders import trading_events
from tickwork.service.paper import ByHand, PaperOptions
from tickwork.service.paper_tape import PaperFiles
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled
from tickwork.trading.ledger import Ledger
from tickwork.values import from_ns, timestamp_ns
from tickwork.venues.paper_book import book_totals

BARS = 240


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A session of everything, by nothing interrupted."""
    return Played(whole(tmp_path_factory.mktemp("played")))


@cache
def undisturbed(bars: int) -> dict[str, Any]:
    """What a session of everything comes to."""
    with TemporaryDirectory() as home:
        return asyncio.run(play(whole(Path(home), bars)))


# ------------------------------------------------------------------------------------------------ what it trades


def test_all_of_it(played: Played) -> None:
    found = played.summary
    assert found["bars"] == 4 * 600
    assert set(found["runs"]) == {"done"}
    assert found["orders"]["filled"] == found["fills"] > 100
    assert found["orders"]["cancelled"] > 10
    assert {"arbitrage", "dip", "seller", "clockwork", "reporter", "by hand", "reader"} == set(found["workflows"])
    assert found["workflows"]["reporter"]["runs"]["done"] == found["fills"]
    assert Decimal(found["fees"]) == sum(Decimal(one["fees"]) for one in found["venues"].values()) > 0
    assert Decimal(found["equity"]) == sum(Decimal(one["equity"]) for one in found["venues"].values())
    assert Decimal(found["capital"]) == 200_000
    assert Decimal(found["pnl"]) == Decimal(found["equity"]) - 200_000 - Decimal(found["stockPnl"])
    assert 0 < found["maxDrawdown"] < 0.2


def test_arbitrage_trades_on_both_venues(played: Played) -> None:
    sides = {(one.venue, one.side) for _, one in played.events(OrderFilled) if one.workflow == "arbitrage"}
    assert sides == {("alpha", "buy"), ("alpha", "sell"), ("beta", "buy"), ("beta", "sell")}
    traded = [result for result in played.results("arbitrage") if result["action"] == "traded"]
    assert traded
    assert all(result["buy"] == result["sell"] == "accepted" for result in traded)


def test_money_is_conserved_at_each_venue(played: Played) -> None:
    opened: dict[str, dict[str, Decimal]] = {}
    ledgers: dict[str, Ledger] = {}
    for _, _, event in trading_events(played.queries):
        if event.event_name == "trading/account.opened":
            opened.setdefault(event.venue, {})[event.currency] = event.amount  # type: ignore[attr-defined]
        elif isinstance(event, OrderFilled):
            ledgers.setdefault(event.venue, Ledger(opened[event.venue])).apply(event.fill())
    assert set(ledgers) == {"alpha", "beta"}
    for venue, ledger in ledgers.items():
        assert book_totals(played.home / f"paper-{venue}.db").differences(ledger) == []
        ledger.check()
        assert set(opened[venue]) == {"USDT", "BTC", "ETH"}


def test_no_order_trades_on_a_price_from_before_it(played: Played) -> None:
    accepted = {one.client_order_id: at for at, one in played.events(OrderAccepted)}
    fills = played.events(OrderFilled)
    assert len(fills) == len({(one.venue, one.fill_id) for _, one in fills})
    between = 0
    for at, fill in fills:
        assert accepted[fill.client_order_id] <= timestamp_ns(fill.time)
        assert timestamp_ns(fill.known_at) - 1_000 == at, "told a moment before its bar ends"
        between += accepted[fill.client_order_id] % 60_000_000_000 != 0
    assert between > 0, "some were sent between two bars"


def test_limit_orders_rest_are_cancelled_and_told_of(played: Played) -> None:
    accepted = {one.client_order_id: at for at, one in played.events(OrderAccepted)}
    ended = played.events(OrderEnded)
    assert ended
    for _, one in ended:
        assert one.status == "cancelled"
        assert timestamp_ns(one.known_at) - accepted[one.client_order_id] == 450 * 10**9, "7m30s later, to the second"
    filled = [one for _, one in played.events(OrderFilled) if one.workflow == "dip" and one.side == "buy"]
    assert len({timestamp_ns(one.time) - accepted[one.client_order_id] for one in filled}) > 1, "some at once, some not"


def test_schedules_fire_when_they_are_due_and_see_what_is_known_then(played: Played) -> None:
    fired = played.events(ScheduleFired)
    due = [timestamp_ns(one.due) for _, one in fired if one.schedule == "clockwork"]
    assert all(at == timestamp_ns(one.due) for at, one in fired)
    first = timestamp_ns(START)
    every = range(first, first + 36_000 * 10**9 + 1, 60 * 10**9)
    assert due == [at for at in every if at > first and from_ns(at).minute % 7 == 0]
    between = [timestamp_ns(one.due) for _, one in fired if one.schedule == "between"]
    assert len(between) == 120
    assert all(from_ns(at).second == 30 for at in between)


def test_a_schedule_finds_fills_booked_and_positions_at_the_prices_of_its_time(tmp_path: Path) -> None:
    def make(sources: Sources) -> list[Workflow]:
        trader: Trader = sources.get("trader")

        def worth() -> tuple[Decimal, Decimal]:
            value = sum((one.quantity * one.price for one in trader.positions()), trader.free())
            return trader.equity(), value

        @workflow("worth", on=Schedule("* * * * *"))
        async def body(run: Run, fired: ScheduleFired) -> tuple[Decimal, Decimal]:
            found: tuple[Decimal, Decimal] = await run.step("worth", worth)
            return found

        return [by_hand(sources), body]

    at = timestamp_ns(START + timedelta(minutes=10))
    given = options(tmp_path, 30, stock=Decimal(0), by_hand=ByHand(input={"symbol": ETH}, at=at))
    worths = [tuple(map(Decimal, pair)) for pair in Played(given, make).results("worth")]
    assert all(equity == value for equity, value in worths)
    assert len(set(worths[:10])) == 1, "nothing was held"
    assert len(set(worths[10:])) == len(worths[10:]), "it is worth another amount each minute, from the fill's own on"


def test_delayed_events_come_in_time(played: Played) -> None:
    ends = sorted(timestamp_ns(one.changed_at) for one in played.queries.runs(workflow="dip", limit=1_000))
    later = sorted(at for at, _ in played.events(Later))
    assert later == [at + 75 * 10**9 for at in ends if at + 75 * 10**9 <= timestamp_ns(START) + 36_000 * 10**9]


def test_news_are_published_when_they_are_known(played: Played) -> None:
    items = played.events(NewsItem)
    assert [one.id for _, one in items] == ["1", "2", "3", "4", "5", "6"], "what was known before is no event"
    assert all(at == timestamp_ns(one.known_at) for at, one in items)
    read = [" ".join(ids) for ids in played.results("reader")]
    assert read == ["1 0", "2 1 0", "4 3 2 1 0", "5 4 3 2 1 0"], "what each good item's run could know"


def test_a_run_by_hand_starts_in_time_for_its_orders_to_fill(played: Played) -> None:
    (info,) = played.queries.runs(workflow="by hand")
    assert info.id == "by-hand"
    assert info.started_at == START + timedelta(minutes=450), "three quarters of 600"
    assert played.results("by hand") == ["accepted True"]


def test_a_run_by_hand_at_a_time_of_ones_own(tmp_path: Path) -> None:
    at = timestamp_ns(START + timedelta(minutes=10, seconds=20))
    found = Played(
        options(tmp_path, 30, by_hand=ByHand(input={"symbol": ETH}, at=at)), lambda sources: [by_hand(sources)]
    )
    (info,) = found.queries.runs()
    assert info.started_at == START + timedelta(minutes=11), "the first instant after that"
    assert found.summary["fills"] == 1


def test_until(tmp_path: Path) -> None:
    found = Played(options(tmp_path, 60, until=timestamp_ns(START + timedelta(minutes=21))), clocks)
    assert found.summary["bars"] == 4 * 21
    assert max(at for at, _ in found.events(ScheduleFired)) == timestamp_ns(START + timedelta(minutes=21))


def clocks(sources: Sources) -> list[Workflow]:
    return [clockwork(sources)]


# -------------------------------------------------------------------------------------------------- going on


async def interrupted(given: PaperOptions, moments: Iterable[int]) -> dict[str, Any]:
    """A session that is killed, or told to stop, after so many turns of the loop, again and again; then to its end."""
    gaps: Iterator[int | None] = iter([*moments, None])
    while True:
        session, gap, turns = open_paper(given, everything), next(gaps), 0
        playing = asyncio.ensure_future(session.run())
        # an engine that is killed while it opens its socket leaves that to the garbage collector; SIGKILL does not
        while not playing.done() and (gap is None or turns < gap or session._began != session._opened):
            await asyncio.sleep(0)
            turns += 1
        if playing.done():
            summary = told(playing.result())
            await session.close()
            return summary
        if turns % 3:
            session.kill()
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        if not turns % 3:
            await session.close()


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moments_it_comes_to_the_same_end(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    moments = [chance.randrange(1, 40 if chance.random() < 0.3 else 500) for _ in range(40)]
    assert asyncio.run(interrupted(whole(tmp_path, BARS), moments)) == undisturbed(BARS)
    books_agree(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_killed_at_many_more_moments(seed: int, tmp_path: Path) -> None:
    chance = random.Random(1_000 + seed)
    moments = [chance.randrange(1, chance.choice([60, 300, 2_500])) for _ in range(100)]
    assert asyncio.run(interrupted(whole(tmp_path), moments)) == undisturbed(600)
    books_agree(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_for_good(seed: int, tmp_path: Path) -> None:
    """A process of its own, and SIGKILL."""
    chance, killed = random.Random(seed), 0
    command = [sys.executable, "-m", "tests.service.papering", str(tmp_path / "home"), "600"]
    for _ in range(8):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                process.wait(chance.uniform(0.7, 1.6))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += 1
            assert "Traceback" not in process.communicate()[1]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == undisturbed(600)
    assert killed
    books_agree(tmp_path / "home")


def books_agree(home: Path) -> None:
    """Each fill of each book is on the tape once, and nothing else is."""
    queries = Queries.open(str(home / "paper.db"))
    fills = [event for _, _, event in trading_events(queries) if isinstance(event, OrderFilled)]
    for venue in ("alpha", "beta"):
        ids = [int(fill.fill_id) for fill in fills if fill.venue == venue]
        assert ids == list(range(1, book_totals(home / f"paper-{venue}.db").fills + 1))


def test_the_same_seed_gives_the_same_tape(tmp_path: Path) -> None:
    one, two, other = (
        Played(options(tmp_path / name, 120, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one.queries.tape() == two.queries.tape()
    assert one.queries.tape() != other.queries.tape()


async def halfway(given: PaperOptions, minutes: int = 60) -> None:
    """Begin a session of everything and kill it on the way."""
    session = open_paper(given, everything)
    playing = asyncio.ensure_future(session.run())
    while session.progress.time < timestamp_ns(START + timedelta(minutes=minutes)):  # noqa: ASYNC110 - turn by turn
        await asyncio.sleep(0)
    assert not playing.done()
    session.kill()
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 2}, "with seed 1"),
        ({"data": market(BARS, seed=6).recordings}, "of other data (sim-alpha-btc-usdt-1m"),
        ({"capital": Decimal(5_000)}, "with other settings (capital: 100000)"),
        ({"documents": ("v2",)}, "of other workflows"),
        ({"until": timestamp_ns(START) + 10**13}, "with other settings (until: None)"),
    ],
)
@awaited
async def test_another_session_in_its_place_is_refused(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    await halfway(options(tmp_path, BARS))
    other = options(tmp_path, BARS, **changes)
    with pytest.raises(InvalidInput) as caught:
        open_paper(other, everything)
    assert says in str(caught.value)
    assert "--fresh" in str(caught.value)
    anew = open_paper(options(tmp_path, BARS, **changes, fresh=True), everything)
    assert anew.notice == ""
    await anew.close()


@awaited
async def test_what_a_person_is_told(tmp_path: Path) -> None:
    await halfway(options(tmp_path, BARS))
    again = open_paper(options(tmp_path, BARS), everything)
    assert again.notice == "continuing the interrupted session"
    with pytest.raises(TapeLocked, match=f"the paper in {tmp_path} is owned by another process"):
        open_paper(options(tmp_path, BARS), everything)
    await again.run()
    await again.close()
    after = open_paper(options(tmp_path, BARS), everything)
    assert "beginning a fresh tape" in after.notice
    await after.close()


def remove(home: Path, files: str) -> None:
    for path in home.glob(files):
        path.unlink()


@awaited
async def test_a_book_that_is_missing_or_another_is_noticed(tmp_path: Path) -> None:
    await halfway(options(tmp_path, BARS), minutes=200)
    book = PaperFiles(tmp_path).book("alpha")
    remove(tmp_path, "paper-alpha.db*")
    with pytest.raises(TapeError, match=r"paper-alpha\.db is not there"):
        open_paper(options(tmp_path, BARS), everything)
    assert not book.exists(), "a new one in its place would hide that it is missing"
    book.touch()
    session = open_paper(options(tmp_path, BARS), everything)
    with pytest.raises(TickworkError, match=r"book of alpha lacks fill 1 .* remove the folder"):
        await session.run()
    await session.close()
