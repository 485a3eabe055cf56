"""Replay: what it accepts, what it refuses, and that it changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.driving import Body, Tape, echo, fails, one, two
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.tape import Entry, Record
from tickwork.errors import Cancelled, NonDeterministic


class Ping(Event, name="core/ping"):
    n: int = 0


def ran(body: Body) -> Tape:
    """The tape of a body driven to its end."""
    tape = Tape()
    assert tape.drive(body).outcome is not None
    return tape


def replayed(tape: Tape, body: Body) -> Any:
    """Drive a body from a tape; nothing may be asked live."""
    again = Tape(tape.entries)
    drive = again.drive(body)
    assert again.asked == []
    assert again.entries == tape.entries
    return drive.outcome


async def plain(run: Run) -> list[int]:
    return [await run.step("a", one), await run.step("b", two), await run.step("c", echo, 3)]


def test_a_replay_gives_the_same_and_asks_nothing() -> None:
    assert replayed(ran(plain), plain) == ([1, 2, 3], None)


def test_a_replay_raises_what_was_raised() -> None:
    async def body(run: Run) -> str:
        try:
            await run.step("a", fails)
        except ValueError as error:
            return f"caught {error}"
        return "not raised"

    assert replayed(ran(body), body) == ("caught no", None)


async def swapped(run: Run) -> None:
    await run.step("b", two)
    await run.step("a", one)


async def renamed(run: Run) -> None:
    await run.step("A", one)


async def other_function(run: Run) -> None:
    await run.step("a", two)


async def other_kind(run: Run) -> None:
    await run.effect("a", lambda *, key: 1)


async def other_arguments(run: Run) -> None:
    await run.step("a", one)
    await run.step("b", two)
    await run.step("c", echo, 4)


async def removed(run: Run) -> None:
    await run.step("b", two)
    await run.step("c", echo, 3)


async def inserted(run: Run) -> None:
    await run.step("a", one)
    await run.step("a", one)
    await run.step("b", two)
    await run.step("c", echo, 3)


async def wait_inserted(run: Run) -> None:
    await run.sleep("1 s")
    await run.step("a", one)
    await run.step("b", two)


async def ends_too_soon(run: Run) -> None:
    await run.step("a", one)


async def group_instead(run: Run) -> None:
    await run.all(run.step("a", one))


@pytest.mark.parametrize(
    "body",
    [
        swapped, renamed, other_function, other_kind, other_arguments, removed, inserted, wait_inserted,
        ends_too_soon, group_instead,
    ],
)  # fmt: skip
def test_changed_code_is_refused(body: Body) -> None:
    tape = ran(plain)
    before = list(tape.entries)
    with pytest.raises(NonDeterministic) as refused:
        tape.drive(body)
    assert tape.entries == before  # the run is untouched
    assert replayed(tape, plain) == ([1, 2, 3], None)  # and goes on under the old code
    assert "it" in str(refused.value)
    assert "run.patched" in str(refused.value)


def test_the_refusal_names_step_line_and_record() -> None:
    with pytest.raises(NonDeterministic) as refused:
        ran(plain).drive(swapped)
    said = str(refused.value)
    line = swapped.__code__.co_firstlineno + 1
    assert f"test_replay.py:{line} (swapped)" in said
    assert "step 'b'" in said
    assert "step 'a'" in said


def test_an_ask_before_the_last_record_of_its_branch_is_refused() -> None:
    async def old(run: Run) -> None:
        await run.step("a", one)
        await run.step("b", two)
        await run.wait_for(Ping)

    async def new(run: Run) -> None:
        await run.step("a", one)
        await run.wait_for(Ping)

    tape = Tape()
    tape.drive(old)
    with pytest.raises(NonDeterministic):
        tape.drive(new)


def test_a_wait_for_something_else_is_refused() -> None:
    async def old(run: Run) -> Any:
        return await run.wait_for(Ping, {"n": 1})

    async def new(run: Run) -> Any:
        return await run.wait_for(Ping, {"n": 2})

    tape = Tape()
    drive = tape.drive(old)
    tape.deliver(drive, "", 0, Ping(n=1))
    assert replayed(tape, old) == (Ping(n=1), None)
    with pytest.raises(NonDeterministic):
        tape.drive(new)


def test_a_wait_that_timed_out_replays_as_none() -> None:
    async def body(run: Run) -> Any:
        return await run.wait_for(Ping, timeout="1 s")

    tape = Tape()
    tape.deliver(tape.drive(body), "", 0, None)
    assert replayed(tape, body) == (None, None)


def test_an_unasked_record_at_the_first_live_ask_is_refused() -> None:
    async def old(run: Run) -> None:
        await run.all(run.step("a", one), run.sleep("1 s"))

    async def new(run: Run) -> None:
        await run.sleep("1 s")

    tape = Tape()
    tape.drive(old)
    with pytest.raises(NonDeterministic):
        tape.drive(new)


# ------------------------------------------------------------------------------------------------------------ patched


async def patched(run: Run) -> list[int]:
    found = [await run.step("a", one)]
    if run.patched("second thoughts"):
        found.append(await run.step("new", echo, 7))
    found += [await run.step("b", two), await run.step("c", echo, 3)]
    return found


def test_a_run_recorded_before_a_patch_goes_the_old_way() -> None:
    assert replayed(ran(plain), patched) == ([1, 2, 3], None)


def test_a_new_run_takes_the_patch_and_keeps_it() -> None:
    tape = ran(patched)
    assert [e.record.name for e in tape.entries if e.record.kind == "patched"] == ["second thoughts"]
    assert replayed(tape, patched) == ([1, 7, 2, 3], None)


def test_a_run_that_had_not_reached_the_line_takes_the_patch() -> None:
    async def old(run: Run) -> list[int]:
        await run.sleep("1 s")
        return [await run.step("a", one)]

    async def new(run: Run) -> list[int]:
        await run.sleep("1 s")
        return [await run.step("a", one), run.patched("x") and 1]

    tape = Tape()
    tape.drive(old)
    later = Tape(tape.entries)
    drive = later.drive(new)
    later.deliver(drive, "", 0)
    assert drive.outcome == ([1, True], None)


def test_patched_is_decided_once() -> None:
    async def loop(run: Run) -> list[bool]:
        found = []
        for _ in range(3):
            found.append(run.patched("x"))
            await run.step("a", one)
        return found

    async def before(run: Run) -> None:
        for _ in range(3):
            await run.step("a", one)

    assert replayed(ran(loop), loop) == ([True] * 3, None)
    assert replayed(ran(before), loop) == ([False] * 3, None)


# ----------------------------------------------------------------------------------------------------------- branches


def test_arms_that_share_a_list_see_the_same_order_again() -> None:
    def body_of(seen: list[str]) -> Body:
        async def arm(run: Run, name: str, sleeps: int) -> None:
            for number in range(sleeps):
                await run.sleep("1 s")
                seen.append(f"{name}{number}")
            await run.step(name, one)
            seen.append(name)

        async def body(run: Run) -> None:
            await run.all(arm(run, "x", 2), arm(run, "y", 1), arm(run, "z", 0))

        return body

    first: list[str] = []
    tape = Tape()
    drive = tape.drive(body_of(first))
    for path, no in (("all0.1/", 0), ("all0.0/", 0), ("all0.0/", 1)):
        tape.deliver(drive, path, no)
    assert drive.outcome is not None
    again: list[str] = []
    assert replayed(tape, body_of(again)) is not None
    assert again == first == ["z", "y0", "y", "x0", "x1", "x"]


def test_a_race_records_its_winner_and_drops_the_loser() -> None:
    async def body(run: Run) -> Any:
        return await run.race(run.sleep("1 s"), run.sleep("2 s"))

    tape = Tape()
    drive = tape.drive(body)
    tape.deliver(drive, "race0.1/", 0)
    assert drive.outcome == ((1, None), None)
    assert tape.forgotten == ["sleep sleep"]
    assert [e.record.attempt for e in tape.entries if e.record.kind == "race"] == [1]
    assert replayed(tape, body) == ((1, None), None)


def test_an_all_that_fails_cancels_the_others() -> None:
    cleaned: list[str] = []

    async def arm(run: Run) -> None:
        try:
            await run.sleep("1 h")
        finally:
            cleaned.append("arm")
            await run.step("clean", one)

    async def body(run: Run) -> None:
        await run.all(arm(run), run.step("a", fails))

    tape = Tape()
    drive = tape.drive(body)
    assert drive.outcome is not None
    assert isinstance(drive.outcome[1], ValueError)
    assert cleaned == ["arm"]
    value, error = replayed(tape, body)
    assert value is None
    assert isinstance(error, ValueError)


def test_an_interruption_reaches_the_arm_that_moved_last() -> None:
    async def arm(run: Run) -> None:
        await run.step("a", one)
        await run.sleep("1 h")

    async def body(run: Run) -> None:
        await run.all(run.sleep("2 h"), arm(run))

    tape = Tape()
    drive = tape.drive(body)
    drive.interrupt(Cancelled("enough"))
    assert drive.outcome is not None
    assert isinstance(drive.outcome[1], Cancelled)
    assert drive.pending == {}


def test_arms_never_opened_are_closed_without_complaint(recwarn: pytest.WarningsRecorder) -> None:
    async def arm(run: Run) -> None:
        await run.sleep("1 h")

    async def body(run: Run) -> None:
        try:
            await run.sleep("1 h")
        finally:
            await run.all(arm(run), arm(run))

    tape = Tape()
    tape.drive(body).close()
    assert [str(warning.message) for warning in recwarn] == []


def test_empty_groups() -> None:
    async def body(run: Run) -> Any:
        return await run.all()

    assert replayed(ran(body), body) == ([], None)


# -------------------------------------------------------------------------------------------------- attempts and sagas


def attempt_after(tape: Tape) -> Tape:
    """The tape with a failed attempt noted: the next drive is a new attempt."""
    failed = Record("failed", tape.entries[-1].record.at, attempt=1)
    return Tape([*tape.entries, Entry(tape.entries[-1].seq + 1, failed)])


def test_a_new_attempt_keeps_completed_steps() -> None:
    async def body(run: Run) -> list[int]:
        found = [await run.step("a", one)]
        if run.attempt == 1:
            raise ValueError("first")
        return [*found, await run.step("b", two)]

    tape = attempt_after(ran(body))
    drive = tape.drive(body)
    assert drive.outcome == ([1, 2], None)
    assert tape.asked == ["step b"]


def test_lengths_of_time_in_a_new_attempt_count_from_its_beginning() -> None:
    async def body(run: Run) -> None:
        await run.step("a", one)
        if run.attempt == 1:
            raise ValueError("first")
        await run.sleep("1 s")

    tape = ran(body)
    late = Record("failed", 10**12, due=2 * 10**12)
    drive = Tape([*tape.entries, Entry(99, late)]).drive(body)
    ask: Any = drive.pending["", 1].ask
    assert ask.due == 2 * 10**12 + 10**9


def test_an_undo_names_what_it_undoes_even_if_that_was_kept() -> None:
    def undo(result: int) -> None: ...

    async def body(run: Run) -> None:
        async with run.saga() as saga:
            await run.step("before", one)
            await saga.step("a", two, undo=undo)
            if run.attempt == 1:
                await run.sleep("1 h")  # the attempt ends here, by a failure that runs no undo
            raise ValueError("second")

    tape = Tape()
    tape.drive(body).close()
    tape = attempt_after(tape)
    tape.drive(body)
    assert [e.record.undoes for e in tape.entries if e.record.undoes] == ["|step|a|0"]


def test_a_cancellation_in_the_middle_of_undoing_does_not_stop_it() -> None:
    undone: list[str] = []

    def undo(result: int) -> None:
        undone.append("undone")

    def undo_later(result: int) -> None:
        raise ConnectionError

    async def body(run: Run) -> None:
        async with run.saga() as saga:
            await saga.step("a", one, undo=undo)
            await saga.step("b", one, undo=undo)
            try:
                await run.sleep("1 h")
            finally:
                await run.sleep("1 h")

    tape = Tape()
    drive = tape.drive(body)
    drive.interrupt(Cancelled("enough"))
    drive.interrupt(Cancelled("now"))
    assert undone == ["undone"] * 2
    assert drive.outcome is not None
    assert isinstance(drive.outcome[1], Cancelled)


def test_random_numbers_are_the_same_in_every_replay() -> None:
    async def body(run: Run) -> list[Any]:
        return [run.random(), str(run.uuid()), await run.step("a", one), run.random()]

    tape = Tape()
    first = tape.drive(body).outcome
    assert replayed(tape, body) == first
