"""The plan for one channel: limits, duplicates, summaries. Pure, so the laws are checked on thousands of histories."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.notify.support import NOON, note
from tickwork.notify.events import SEVERITIES, Severity, at_least
from tickwork.notify.plan import ChannelState, Delivery, admitted, failed, summary_of
from tickwork.notify.rules import Channel, Limit, Rules
from tickwork.values import NS_PER_SECOND, from_ns

SECOND = NS_PER_SECOND


@dataclass(frozen=True)
class Asked:
    """One notification of a history."""

    wait: int
    title: str
    severity: Severity


HISTORIES = st.lists(
    st.builds(
        Asked, st.integers(0, 90), st.sampled_from("abcde"), st.sampled_from(["info", "error", "critical", "critical"])
    ),
    max_size=60,
)
LIMITS = st.integers(1, 6).flatmap(
    lambda most: st.builds(
        Limit, st.just(most), st.sampled_from(["1s", "60s", "5m"]), st.none() | st.integers(0, most - 1)
    )
)


def free_at(sent: list[tuple[int, str, bool]], limit: Limit, now: int) -> int:
    """From when on one that is not urgent has room: looked for, not computed."""
    ends = [now, *sorted(at + limit.per_ns for at, _, _ in sent if at + limit.per_ns > now)]
    return next(end for end in ends if sum(end - at < limit.per_ns for at, _, _ in sent) < limit.room(urgent=False))


@given(HISTORIES, LIMITS, st.sampled_from(["0s", "30s", "10m"]))
def test_limits_and_duplicates_are_exact(history: list[Asked], limit: Limit, dedupe: str) -> None:
    rules = Rules((Channel("phone", limit),), dedupe=dedupe)
    state, now = ChannelState(), NOON
    sent: list[tuple[int, str, bool]] = []
    untold = told = over = 0
    summaries: list[Delivery] = []
    worst: Severity = "info"
    heard: Severity | None = None
    """How much that summary matters that will tell of what is suppressed now."""
    for asked in history:
        now += asked.wait * SECOND
        while (summary := min(summaries, key=lambda one: one.after, default=None)) and summary.after <= now:
            at = summary.after
            summaries.remove(summary)
            verdict = admitted(rules, summary, state, from_ns(at))
            state = verdict.state
            assert verdict.action == ("nothing" if not untold else "limit" if free_at(sent, limit, at) > at else "send")
            if verdict.action == "limit":
                assert verdict.summary_at == free_at(sent, limit, at)
                summaries.append(summary_of(summary, verdict.summary_at))
                continue
            if verdict.action == "send":
                sent.append((at, "", False))
                told, untold = told + untold, 0
                assert verdict.message is not None
                assert verdict.message.severity == worst
                worst = "info"
            assert not state.summary_at
            heard = None
        delivery = Delivery("phone", note(asked.title, asked.severity), now)
        verdict = admitted(rules, delivery, state, from_ns(now))
        state = verdict.state
        # what a naive reading of the whole history says
        repeated = any(digest == delivery.digest and now - at < rules.dedupe_ns for at, digest, _ in sent)
        window = sum(now - at < limit.per_ns for at, _, _ in sent)
        room = limit.room(asked.severity == "critical")
        expected = "duplicate" if repeated else "send" if window < room else "limit"
        assert verdict.action == expected
        if verdict.action == "send":
            sent.append((now, delivery.digest, asked.severity == "critical"))
            told, untold, worst = told + untold, 0, "info"
        elif verdict.action == "limit":
            over, untold = over + 1, untold + 1
            worst = max(worst, asked.severity, key=SEVERITIES.index)
            if heard is None or not at_least(heard, asked.severity):
                assert verdict.summary_at == free_at(sent, limit, now)
                heard = asked.severity
                summaries.append(summary_of(delivery, verdict.summary_at))
            else:
                assert not verdict.summary_at
        assert state.suppressed == untold
        # nobody is left who would not be told
        assert not untold or any(at_least(one.notify.severity, worst) for one in summaries)
    assert over == told + untold
    for number, (at, _, urgent) in enumerate(sent):
        before = [other for other, _, _ in sent[:number] if at - other < limit.per_ns]
        assert len(before) + 1 <= limit.room(urgent) <= limit.max


def test_the_reserve_is_for_what_is_critical() -> None:
    rules = Rules((Channel("phone", Limit(10, "1h")),))
    state = ChannelState()
    for number in range(12):
        state = admitted(rules, Delivery("phone", note(f"{number}"), NOON), state, from_ns(NOON)).state
    assert (len(state.passed), state.suppressed) == (8, 4)
    for number in range(3):
        delivery = Delivery("phone", note(f"{number}", "critical"), NOON)
        verdict = admitted(rules, delivery, state, from_ns(NOON))
        assert verdict.action == ("send" if number < 2 else "limit")
        state = verdict.state


def test_a_summary_never_uses_the_reserve() -> None:
    rules = Rules((Channel("phone", Limit(2, "1h", reserve=1)),), dedupe="0s")
    state, later = ChannelState(), NOON + 1_800 * SECOND
    for at in (NOON, later):
        state = admitted(rules, Delivery("phone", note("fire", "critical"), at), state, from_ns(at)).state
    verdict = admitted(rules, (third := Delivery("phone", note("fire", "critical"), later)), state, from_ns(later))
    assert (verdict.action, verdict.summary_at) == ("limit", later + 3_600 * SECOND)
    soon = NOON + 3_600 * SECOND
    verdict = admitted(rules, summary_of(third, soon), verdict.state, from_ns(soon))
    assert (verdict.action, verdict.summary_at) == ("limit", later + 3_600 * SECOND)


def test_the_next_message_tells_how_many_were_suppressed() -> None:
    rules = Rules((Channel("phone", Limit(1, "1h")),))
    state = ChannelState()
    for number in range(4):
        state = admitted(rules, Delivery("phone", note(f"{number}"), NOON), state, from_ns(NOON)).state
    later = NOON + 3_600 * SECOND
    verdict = admitted(rules, Delivery("phone", note("next", body="Words."), later), state, from_ns(later))
    assert verdict.message is not None
    assert verdict.message.title == "[info] next"
    assert verdict.message.body.startswith("Words.\n\nprice.alert")
    assert "3 more suppressed since 2024-05-01 12:00 UTC: at most 1 per 1h" in verdict.message.body


def test_what_is_told_late_says_of_when_it_is() -> None:
    rules = Rules((Channel("phone"),))
    delivery = Delivery("phone", note(owner="alice"), NOON)
    verdict = admitted(rules, delivery, ChannelState(), from_ns(NOON + 3_600 * SECOND))
    assert verdict.message is not None
    assert verdict.message.body == "price.alert, alice, 2024-05-01 12:00 UTC"


def test_what_failed_is_no_duplicate_but_keeps_its_place() -> None:
    rules = Rules((Channel("phone", Limit(2, "1h", reserve=0)),))
    delivery = Delivery("phone", note(), NOON)
    state = admitted(rules, delivery, ChannelState(), from_ns(NOON)).state
    assert admitted(rules, delivery, state, from_ns(NOON)).action == "duplicate"
    after = failed(state, delivery.digest)
    assert after is not None
    assert len(after.passed) == 1
    state = admitted(rules, delivery, after, from_ns(NOON)).state
    assert len(state.passed) == 2
    assert admitted(rules, Delivery("phone", note("else"), NOON), state, from_ns(NOON)).action == "limit"
    assert failed(None, "x") is None


def test_a_summary_that_is_long_overdue_gets_a_successor() -> None:
    rules = Rules((Channel("phone", Limit(1, "1h", reserve=0)),), dedupe="0s")
    state = ChannelState()
    for _ in range(2):
        state = admitted(rules, Delivery("phone", note(), NOON), state, from_ns(NOON)).state
    assert state.summary_at == NOON + 3_600 * SECOND
    later = NOON + 9_000 * SECOND
    state = msgspec.structs.replace(state, passed=(*state.passed, msgspec.structs.replace(state.passed[0], at=later)))
    verdict = admitted(rules, Delivery("phone", note(), later), state, from_ns(later))
    assert verdict.summary_at == later + 3_600 * SECOND


def test_digests() -> None:
    def digest(**fields: object) -> str:
        return Delivery("phone", note(**fields), NOON).digest  # type: ignore[arg-type]

    assert digest() == digest()
    assert digest(dedupe="k", title="1") == digest(dedupe="k", title="2")
    different = [digest(), digest(title="x"), digest(body="x"), digest(owner="x"), digest(kind="x")]
    different += [digest(severity="error"), digest(dedupe="k"), digest(dedupe="k", severity="error")]
    assert len(set(different)) == len(different)


def test_what_tells_of_suppressed_ones_matters_as_much_as_the_worst_of_them() -> None:
    rules = Rules((Channel("phone", Limit(1, "1h", 0)),))
    state, starts = ChannelState(), []
    severities: list[Severity] = ["info", "info", "critical", "warning", "critical"]
    for minute, severity in enumerate(severities):
        said = note(f"number {minute}", severity)
        verdict = admitted(rules, Delivery("phone", said, NOON), state, from_ns(NOON + minute * 60 * 10**9))
        state = verdict.state
        if verdict.action == "limit" and verdict.summary_at:
            starts.append(summary_of(Delivery("phone", said, NOON), verdict.summary_at))
    # quiet hours that would hold back the first summary do not hold back the other
    assert [one.notify.severity for one in starts] == ["info", "critical"]
    later = from_ns(NOON + 3_600 * 10**9)
    for summary in starts:
        told = admitted(rules, summary, state, later)
        assert told.message is not None
        assert (told.message.title, told.message.severity) == ("[critical] 4 more suppressed", "critical")
        assert admitted(rules, starts[1], told.state, later).action == "nothing"
        assert told.state.worst == "info"
    # where another message carries the number, it says so
    verdict = admitted(rules, Delivery("phone", note("calm"), NOON), state, later)
    assert verdict.message is not None
    assert "4 more suppressed since 2024-05-01 12:01 UTC, the worst critical: at most 1" in verdict.message.body
