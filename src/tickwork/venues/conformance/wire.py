"""Cases of trouble on the wire: what is certain and what is not, and that nothing is sent twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from tickwork.errors import Fatal, NotSent, NotYet, Rejected
from tickwork.outcome import NotFound
from tickwork.venues.conformance.stage import (
    MakesTrouble,
    Stage,
    Trouble,
    approve,
    away,
    bought,
    case,
    client_id,
    error_of,
    expect,
    no_order,
    rested,
    small,
    the_order,
    trouble,
)


async def _submitted(stage: Stage, kind: Trouble) -> Exception:
    """What a submission raises that meets this trouble; it is over then."""
    assert isinstance(stage, MakesTrouble)
    await stage.venue.rules([stage.rules.symbol])  # what an adapter must know before it can send anything
    order = approve(stage, "buy", small(stage), limit=away(stage, "buy"))
    await stage.strike(kind)
    error = await error_of(stage.venue.submit(order, client_id(1)), f"the answer to a submission that met {kind}")
    await stage.heal()
    return error


async def _is_one(stage: Stage) -> None:
    """There is one order, however it came to be."""
    await the_order(stage, client_id(1))
    working = await stage.venue.open_orders()
    expect([one.client_order_id for one in working] == [client_id(1)], f"expected one open order, are {working}")


async def _goes_later(stage: Stage) -> None:
    """There is no order, and the same client id makes one now."""
    await no_order(stage, client_id(1))
    expect(await stage.venue.open_orders() == [], "expected no open order")
    await rested(stage)
    await _is_one(stage)


@case("V43", trouble("lost_request"))
async def a_lost_request_is_not_a_no(stage: Stage) -> None:
    """A submission that never arrived is unknown, or surely not sent, never a no; sent again it is one order."""
    error = await _submitted(stage, "lost_request")
    expect(not isinstance(error, Fatal), f"nobody said no, and it raised {error!r}")
    await _goes_later(stage)


@case("V44", trouble("lost_answer"))
async def a_lost_answer_is_unknown(stage: Stage) -> None:
    """A submission whose answer was lost raises nothing certain, is not sent again by itself, and is found."""
    error = await _submitted(stage, "lost_answer")
    expect(not isinstance(error, (Fatal, NotSent)), f"it was accepted, and {error!r} says that it was not")
    await _is_one(stage)


@case("V45", trouble("nonsense"))
async def an_unreadable_answer_is_unknown(stage: Stage) -> None:
    """A submission whose answer cannot be read raises nothing certain, and is found."""
    error = await _submitted(stage, "nonsense")
    expect(not isinstance(error, (Fatal, NotSent)), f"it was accepted, and {error!r} says that it was not")
    await _is_one(stage)


@case("V46", trouble("refused"))
async def a_refusal_is_rejected(stage: Stage) -> None:
    """What the venue refuses is ``Rejected``, and not there."""
    error = await _submitted(stage, "refused")
    expect(isinstance(error, Rejected), f"expected Rejected, is {error!r}")
    await no_order(stage, client_id(1))


@case("V47", trouble("not_yet"))
async def a_no_for_now_is_not_yet(stage: Stage) -> None:
    """What the venue takes later is ``NotYet``, not there, and taken later under the same client id."""
    error = await _submitted(stage, "not_yet")
    expect(isinstance(error, NotYet), f"expected NotYet, is {error!r}")
    await _goes_later(stage)


@case("V48", trouble("turned_away"))
async def what_was_turned_away_was_not_sent(stage: Stage) -> None:
    """What the venue did not look at is ``NotSent``, not there, and taken later under the same client id."""
    error = await _submitted(stage, "turned_away")
    expect(isinstance(error, NotSent), f"expected NotSent, is {error!r}")
    await _goes_later(stage)


@case("V49", trouble("lagging"))
async def a_lag_is_declared(stage: Stage) -> None:
    """Where new orders are not shown at once, the venue declares so or deduplicates; it says no more than not found."""
    assert isinstance(stage, MakesTrouble)
    declared = stage.venue.capabilities
    expect(
        declared.deduplicates or declared.visibility_bound is None or declared.visibility_bound > timedelta(0),
        f"it shows orders late and declares {declared}",
    )
    await stage.strike("lagging")
    await stage.venue.submit(approve(stage, "buy", small(stage), limit=away(stage, "buy")), client_id(1))
    found = await stage.venue.find(client_id(1), stage.rules.symbol)
    expect(isinstance(found, NotFound), f"nothing shows it, and it is {found}")
    await stage.heal()
    await _is_one(stage)


async def _queries_raise(stage: Stage, kind: Trouble) -> None:
    assert isinstance(stage, MakesTrouble)
    await bought(stage)
    await rested(stage, 2)
    venue, symbol = stage.venue, stage.rules.symbol
    await stage.strike(kind)
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "find": lambda: venue.find(client_id(2), symbol),
        "open_orders": venue.open_orders,
        "fills": lambda: venue.fills(symbol, 0),
        "balances": venue.balances,
    }
    for name, question in questions.items():
        error = await error_of(question(), f"{name} under {kind}")
        expect(not isinstance(error, Rejected), f"{name}: nobody said no, and it raised {error!r}")
    await stage.heal()
    expect(len(await venue.open_orders()) == 1, "expected it to go on afterwards")


@case("V50", trouble("lost_request"))
async def an_unasked_question_has_no_answer(stage: Stage) -> None:
    """A query that does not get through raises: it is neither "not found" nor an empty list."""
    await _queries_raise(stage, "lost_request")


@case("V51", trouble("nonsense"))
async def an_unreadable_answer_is_no_answer(stage: Stage) -> None:
    """A query whose answer cannot be read raises: it is neither "not found" nor an empty list."""
    await _queries_raise(stage, "nonsense")


@case("V52", trouble("turned_away"))
async def a_question_turned_away_has_no_answer(stage: Stage) -> None:
    """A query that the venue turned away raises: it is neither "not found" nor an empty list."""
    await _queries_raise(stage, "turned_away")


@case("V53", trouble("lost_answer"))
async def a_lost_cancel_is_unknown(stage: Stage) -> None:
    """A cancel whose answer was lost raises, does not say that there is no order, and asked again gives the order."""
    assert isinstance(stage, MakesTrouble)
    await rested(stage)
    await stage.strike("lost_answer")
    error = await error_of(stage.venue.cancel(client_id(1), stage.rules.symbol), "a cancel whose answer was lost")
    await stage.heal()
    expect(not isinstance(error, Rejected), f"it was cancelled, and raised {error!r}")
    order = await stage.venue.cancel(client_id(1), stage.rules.symbol)
    expect(order.status == "cancelled", f"expected cancelled, is {order}")
