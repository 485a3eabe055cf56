"""The desk against a venue that loses requests and answers, with crashes anywhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.support import SPOT, SWAP, D, fill, intent
from tests.trading.world import CASH, Pause, Play, RunTape, StandIn, now
from tickwork.core.codec import ANY, fingerprint
from tickwork.core.functions import function_of
from tickwork.core.run import Run
from tickwork.errors import Cancelled, InvalidInput, NotSent, Refused, Rejected, Unknown
from tickwork.outcome import Found, NotFound
from tickwork.trading.desk import OpenIntent, Placement, RunVerbs
from tickwork.trading.ledger import fold
from tickwork.trading.orders import OrderIntent
from tickwork.trading.venue import Capabilities

MAX_POSITION = 3_000


def play() -> Play:
    return Play(":memory:")


def place(world: Play, wanted: OrderIntent, fault: str = "") -> Placement:
    run_id = world.start(wanted, fault)
    world.finish()
    placement = world.tapes[run_id].placement
    assert placement is not None
    return placement


def swap(side: Any = "buy", quantity: str = "1", **changes: Any) -> OrderIntent:
    return intent(side, quantity, symbol=SWAP, **changes)


def test_an_accepted_order_is_filled_and_booked() -> None:
    world = play()
    placement = place(world, intent(quantity="2"))
    assert placement.require().client_order_id == world.venue.submissions[0]
    assert len(world.desk.reservations) == 1
    world.trade("100")
    world.pull()
    assert world.desk.ledger.quantity(SPOT) == 2
    assert len(world.desk.reservations) == 0
    assert world.paper.totals().differences(world.desk.ledger) == []


def test_a_refusal_is_a_value_and_on_the_tape() -> None:
    world = play()
    placement = place(world, intent(quantity="11"))
    assert placement.outcome == "refused"
    assert b"max_order_notional" in world.tapes["run0"].answers["gate"]  # type: ignore[operator]
    assert world.venue.submissions == []
    with pytest.raises(Refused, match="max_order_notional"):
        placement.require()


def test_a_rejection_is_a_value_and_gives_the_room_back() -> None:
    world = play()
    world.trade("20000")  # far from the quote: the venue asks for more than there is
    placement = place(world, intent(quantity="1"))
    assert placement.outcome == "rejected"
    assert "insufficient funds" in placement.rejection
    assert len(world.desk.reservations) == 0
    with pytest.raises(Rejected):
        placement.require()


@pytest.mark.parametrize("fault", ["request lost", "answer lost", "not sent"])
def test_a_fault_of_the_wire_makes_one_order(fault: str) -> None:
    world = play()
    placement = place(world, intent(reason="a"), fault)
    assert placement.outcome == "accepted"
    assert len(now(world.paper.open_orders())) == 1


def test_an_unknown_order_holds_its_room_and_blocks_its_symbol() -> None:
    world = play()
    world.start(intent(reason="a"), "answer lost")
    while world.venue.faults or not world.venue.submissions:
        world.advance("run0")
    for _ in range(2):
        world.advance("run0")
    assert world.desk.reservations.pending(SPOT).unknown == 1
    world.start(intent(quantity="1"))
    for _ in range(2):
        world.advance("run1")
    assert b"unknown" in world.tapes["run1"].answers["gate"]  # type: ignore[operator]
    assert place(world, swap()).outcome == "accepted"  # another symbol goes on
    assert world.desk.reservations.pending(SPOT).unknown == 0


@pytest.mark.parametrize("at", range(9))
def test_a_crash_at_any_pause_makes_one_order(at: int) -> None:
    world = play()
    world.start(intent())
    for _ in range(at):
        if world.active:
            world.advance("run0")
    world.crash()
    world.finish()
    assert world.tapes["run0"].placement is not None
    assert world.tapes["run0"].placement.outcome == "accepted"
    assert len(now(world.paper.open_orders())) == 1
    assert len(world.desk.reservations) == 1


def test_after_a_restart_no_new_exposure_until_open_intents_are_resolved() -> None:
    world = play()
    world.start(swap())
    for _ in range(4):
        world.advance("run0")
    assert world.tapes["run0"].open_intents
    world.crash()
    held = world.active.pop("run0")
    assert place(world, intent()).refusal is not None
    world.active["run0"] = held
    world.finish()
    assert world.desk.reservations.unresolved == 0
    assert place(world, intent()).outcome == "accepted"


def test_room_taken_by_others_after_a_crash_refuses_at_the_wire() -> None:
    """The recorded decision stands, but its room does not survive a crash; the limits hold nevertheless."""
    world = play()
    world.start(swap(quantity="10"))
    world.advance("run0")  # decided, on the tape; no intent to send yet
    world.crash()
    first = world.active.pop("run0")
    for _ in range(3):
        assert place(world, swap(quantity="10")).outcome == "accepted"
    world.active["run0"] = first
    world.finish()
    placement = world.tapes["run0"].placement
    assert placement is not None
    assert placement.refusal is not None
    assert placement.refusal.rule == "max_position_notional"
    assert placement.refusal.scope == "account", "whose limit it is"
    assert D(placement.refusal.actual) > D(placement.refusal.limit), "a figure, and nothing else"
    assert len(world.venue.submissions) == 3


@pytest.mark.parametrize("reduce_only", [False, True])
def test_the_halt_is_read_again_before_the_wire(reduce_only: bool) -> None:
    world = play()
    place(world, intent(quantity="2"))
    world.trade("100")
    world.pull()
    world.start(intent("sell", "2", reduce_only=reduce_only))
    world.advance("run1")
    world.halt.raise_to("halt", "daily loss")
    world.finish()
    placement = world.tapes["run1"].placement
    assert placement is not None
    if reduce_only:
        assert placement.outcome == "accepted"
    else:
        assert placement.refusal is not None
        assert (placement.refusal.rule, placement.refusal.actual) == ("halt", "halt: daily loss")
        assert len(world.desk.reservations) == 0


@pytest.mark.parametrize("reduce_only", [False, True])
def test_an_approval_expires_unless_it_reduces(reduce_only: bool) -> None:
    world = play()
    place(world, intent(quantity="2"))
    world.trade("100")
    world.pull()
    world.start(intent("sell", "2", reduce_only=reduce_only))
    world.advance("run1")
    world.time += 301 * 1_000_000_000
    world.finish()
    placement = world.tapes["run1"].placement
    assert placement is not None
    if reduce_only:
        assert placement.outcome == "accepted"
    else:
        assert placement.refusal is not None
        assert (placement.refusal.rule, placement.refusal.limit) == ("approval_expired", "5m")
        assert placement.refusal.actual == "5.0m old"


def test_a_cancelled_run_gives_back_room_it_never_used() -> None:
    world = play()
    world.start(intent())
    world.advance("run0")
    assert len(world.desk.reservations) == 1
    with pytest.raises(Cancelled):
        world.active["run0"].throw(Cancelled())
    assert len(world.desk.reservations) == 0


def test_a_run_put_aside_keeps_its_room() -> None:
    world = play()
    world.start(intent())
    world.advance("run0")
    world.active["run0"].close()
    assert len(world.desk.reservations) == 1


def test_equal_intents_of_one_run_hold_room_each() -> None:
    world = play()
    tape = RunTape(swap(quantity="10"))
    for _ in range(3):
        world.desk._decide("run0", tape.intent)
    assert world.desk.reservations.pending(SWAP).buys == 30
    assert world.desk._decide("run0", tape.intent).refusal is not None


def test_cancelling_frees_the_room_even_when_halted() -> None:
    world = play()
    ack = place(world, intent(limit_price=D(90))).require()
    world.halt.raise_to("shutdown", "going down")

    async def cancel() -> Any:
        return await world.desk.cancel(StandIn("canceller", RunTape(intent())), ack.client_order_id)

    assert now(cancel()).status == "cancelled"
    assert len(world.desk.reservations) == 0


def test_an_order_the_venue_ended_frees_its_room() -> None:
    world = play()
    place(world, intent(quantity="10"))
    for _ in range(2):
        place(world, intent(quantity="9"))
    world.trade("1000")  # ten times the price: the cash does not reach for all
    world.pull()
    assert len(world.desk.reservations) == 0
    assert world.paper.totals().differences(world.desk.ledger) == []


def test_absence_is_no_proof_where_the_venue_declares_no_bound() -> None:
    world = play()
    place(world, intent())
    world.venue._capabilities = Capabilities(deduplicates=False, visibility_bound=None)
    approved = world.desk._decide("run9", intent()).approval
    assert approved is not None
    order = world.desk._gate.seal(approved)
    with pytest.raises(Unknown, match="declares no time"):
        now(world.desk._lookup("f" * 32, order, "run9"))
    world.venue._capabilities = Capabilities(
        deduplicates=False, request_validity=timedelta(seconds=5), visibility_bound=timedelta(seconds=10)
    )
    assert world.venue.capabilities.grace == timedelta(seconds=15)
    assert isinstance(now(world.desk._lookup("f" * 32, order, "run9")), NotFound)
    assert world.desk.reservations.pending(SPOT).unknown == 1
    assert isinstance(now(world.desk._lookup(world.venue.submissions[0], order, "run9")), Found)


def test_a_person_can_resolve_what_the_engine_gave_up_on() -> None:
    world = play()
    for number, fault in enumerate(("answer lost", "request lost")):
        world.start(swap(reason=f"{number}") if number else intent(reason="0"), fault)
        while len(world.desk.unknown) <= number:
            world.advance(f"run{number}")
        del world.active[f"run{number}"]
    arrived, lost = world.venue.submissions
    assert world.desk.unknown == sorted([arrived, lost])
    assert isinstance(now(world.desk.resolve(arrived)), Found)
    assert isinstance(now(world.desk.resolve(lost)), NotFound)
    assert world.desk.unknown == [lost], "not found is no conclusion"
    world.desk.disown(lost)
    assert world.desk.unknown == []
    assert len(world.desk.reservations) == 1
    with pytest.raises(InvalidInput, match="in doubt"):
        world.desk.disown(lost)


def test_what_is_not_approved_or_not_ours_is_refused() -> None:
    world = play()
    with pytest.raises(InvalidInput, match="ApprovedOrder"):
        now(world.desk._submit(intent(), "run", key="a" * 32))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="32 hex"):
        approval = world.desk._decide("run", intent()).approval
        assert approval is not None
        now(world.desk._submit(world.desk._gate.seal(approval), "run", key="short"))
    for wrong in (intent(account="other"), intent(owner="bob")):
        with pytest.raises(InvalidInput):
            now(world.desk.place(StandIn("run", RunTape(wrong)), wrong))
    with pytest.raises(InvalidInput, match="account"):
        world.desk.apply(replace(fill(1, "buy", 1, 100), account="other"))


def test_not_sent_reaches_the_caller_and_frees_the_room() -> None:
    world = play()

    class GaveUp(StandIn):
        async def effect(self, name: str, fn: Any, *args: Any, lookup: Any = None, grace: Any = None) -> Any:
            await Pause()
            return await fn(*args, key="a" * 32)

    wanted = intent(reason="a")
    world.venue.faults["a"] = "not sent"
    with pytest.raises(NotSent):
        now(world.desk.place(GaveUp("run", RunTape(wanted)), wanted))
    assert len(world.desk.reservations) == 0


# -------------------------------------------------------------------------------------------------------- the law

faults = st.sampled_from(["", "", "", "request lost", "answer lost", "not sent"])
quantities = st.sampled_from(["0.5", "3", "9.9999", "10"])
moves = st.one_of(
    st.tuples(st.just("place"), st.sampled_from(["buy", "sell"]), quantities, faults),
    st.tuples(st.just("limit"), st.sampled_from(["buy", "sell"]), quantities, faults),
    st.tuples(st.just("reduce"), st.sampled_from(["buy", "sell"]), quantities, faults),
    st.tuples(st.just("advance"), st.integers(0, 20), st.integers(1, 6), st.none()),
    st.tuples(st.just("bar"), st.integers(96, 104), st.none(), st.none()),
    st.tuples(st.just("settle"), st.integers(96, 104), st.none(), st.none()),
    st.tuples(st.sampled_from(["pull", "crash", "finish", "halt", "clear"]), st.none(), st.none(), st.none()),
)


def step(world: Play, move: tuple[Any, ...], symbol: str) -> None:
    what, first, second, third = move
    if what in ("place", "limit", "reduce"):
        limit = None if what != "limit" else D(98) if first == "buy" else D(102)
        wanted = intent(
            first,
            second,
            symbol=symbol,
            limit_price=limit,
            reduce_only=what == "reduce",
            reason=f"order {len(world.tapes)}",
        )
        world.start(wanted, third)
    elif what == "advance" and world.active:
        run_id = sorted(world.active)[first % len(world.active)]
        for _ in range(second):
            if run_id in world.active:
                world.advance(run_id)
    elif what == "bar":
        world.trade(D(first), D(first - 1), D(first + 1), symbol=symbol)
    elif what == "settle":  # everything on its way arrives: positions build up
        world.finish()
        world.trade(D(first), D(first - 1), D(first + 1), symbol=symbol)
        world.pull()
    elif what == "halt":
        world.halt.raise_to("halt", "test")
    elif what == "clear":
        world.halt.clear()
    elif what in ("pull", "crash", "finish"):
        getattr(world, what)()


def held_quantity(world: Play, symbol: str) -> Any:
    return world.paper.totals().quantities.get(symbol, D(0))


@pytest.mark.parametrize("symbol", [SPOT, SWAP])
@settings(max_examples=200)
@given(played=st.lists(moves, min_size=10, max_size=50))
def test_law_one_order_each_within_limits_and_money_conserved(symbol: str, played: list[tuple[Any, ...]]) -> None:
    """Any interleaving of orders, faults, bars, halts and crashes: exposure stays within its limit at the venue at
    every moment; in the end each accepted intent is one order, and ledger and book agree to the last digit."""
    world = play()
    for move in played:
        step(world, move, symbol)
        assert abs(held_quantity(world, symbol)) * 100 <= MAX_POSITION
        world.desk.ledger.check()
    world.finish()
    world.pull()
    totals = world.paper.totals()
    assert totals.differences(world.desk.ledger) == []
    assert abs(world.desk.ledger.quantity(symbol)) * 100 <= MAX_POSITION
    placements = [tape.placement for tape in world.tapes.values()]
    accepted = [found.ack.client_order_id for found in placements if found is not None and found.ack is not None]
    assert len(set(accepted)) == len(accepted)
    assert set(accepted) == totals.client_order_ids
    assert len(world.desk.reservations) == totals.open_orders
    world.crash()
    assert world.desk.ledger.state() == fold(world.fills, CASH).state()


def test_the_engine_can_record_what_the_desk_answers() -> None:
    """The tape's codec finds the annotations of the desk's functions, and gives back what they gave."""
    desk = play().desk
    wanted = intent(quantity=None, notional=D(50))
    decision = desk._decide("run", wanted)
    assert function_of(desk._decide).codec.round_trip(decision, "gate")[1] == decision
    assert decision.approval is not None
    order = desk._gate.seal(decision.approval)
    ack = now(desk._submit(order, "run", key="a" * 32))
    assert function_of(desk._submit).codec.round_trip(ack, "submit")[1] == ack
    assert fingerprint((order, "run")) not in (0, fingerprint((order, "other")))
    recorded = bytes(ANY.encode((order, "run"), "arguments"))
    assert OpenIntent.read("a" * 32, recorded) == OpenIntent(key="a" * 32, approval=decision.approval)
    with pytest.raises(InvalidInput, match="submission"):
        OpenIntent.read("a" * 32, b'["something else"]')


def satisfies(run: Run) -> RunVerbs:
    """Checked by mypy: the engine's ``Run`` has the verbs the desk needs."""
    return run
