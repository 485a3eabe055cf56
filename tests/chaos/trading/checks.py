"""What must hold once everything has settled: the tape against the exchange, which was never killed.

* every event that was acknowledged is on the tape and started one run, and every run came to its end;
* every intent on the tape has one outcome, every decision of the gate one ending that the tape tells;
* orders at the exchange = orders that the tape says were accepted, one each, in symbol, side and size;
* every accepted order has ended, on the tape as at the exchange, its fills the same to the last digit;
* cash, holdings and fees of the ledger folded from the tape = what the exchange's balances have become;
* between a halt on disk and its end, no order that could add exposure was made, but for what was on the wire.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tests.chaos.checks import Verdict
from tests.chaos.tape import Tape, read_tape
from tests.chaos.trading.exchange import BALANCES, CAPITAL, VALIDITY_S, VISIBLE_S
from tests.chaos.trading.workflows import ACCOUNT, Trade
from tickwork.core.codec import decode_error
from tickwork.core.tape import Entry
from tickwork.engines.embedded.status import Status
from tickwork.errors import NotSent, NotYet, Refused, Rejected
from tickwork.service.accounts.events import OrderCleared, OrderInDoubt, OrderMissing
from tickwork.service.accounts.recovery import recall
from tickwork.service.halting import HaltCleared, HaltRaised
from tickwork.service.session_tape import reading
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled, OrderRefused, OrderRejected
from tickwork.trading.desk import SUBMIT, OpenIntent
from tickwork.trading.ledger import Ledger, fold
from tickwork.trading.orders import Fill
from tickwork.values import EXACT, NS_PER_SECOND, money

GRACE_NS: Final = int((VALIDITY_S + 1) * NS_PER_SECOND)
"""So long after it was signed a request may still be taken."""
PROOF_NS: Final = int((VALIDITY_S + 1 + VISIBLE_S) * NS_PER_SECOND)
"""So long it takes until "not found" is proof; an order that was made later than that was sent again."""
OPEN: Final = ("NEW", "PARTIALLY_FILLED")

Told = Mapping[str, Any]


@dataclass
class Fed:
    """What the harness knows by itself."""

    offered: set[int] = field(default_factory=set)
    acknowledged: dict[int, int] = field(default_factory=dict)
    """Number of the event -> its position."""


def lacking(tape: Path, truth: Told) -> str:
    """What the tape does not know yet of the exchange; empty when it knows all."""
    orders = truth["accounts"][ACCOUNT]["orders"]
    working = [order["clientId"] for order in orders if order["status"] in OPEN]
    if working:
        return f"{len(working)} orders rest at the exchange, such as {working[0]}"
    traded = {order["clientId"] for order in orders if order["trades"]}
    there = {order["clientId"] for order in orders}
    with reading(tape) as queries:
        assert queries is not None
        past = recall(queries, ACCOUNT)
        ended = {_read(OrderEnded, entry).client_order_id for entry in queries.events(OrderEnded.event_name)}
    lost = traded - {fill.client_order_id for fill in past.fills}
    if lost or past.doubtful or past.working or there - ended:
        lists = lost, [one.key for one in past.doubtful], [one.client_order_id for one in past.working]
        return f"without fills {lists[0]}, in doubt {lists[1]}, working {lists[2]}, not ended {there - ended}"
    return ""


def judge(path: Path, truth: Told, fed: Fed, verdict: Verdict, figures: Counter[str]) -> None:
    """All checks; what was counted on the way goes into ``figures``."""
    tape = read_tape(path)
    book = Book(tape, truth)
    verdict.check("the file is sound", tape.complaints)
    verdict.check("acknowledged events are on the tape", _acknowledged(tape, fed))
    verdict.check("each event started one run", _started(tape))
    verdict.check("every run ended well", _ended(tape))
    verdict.check("every intent has one outcome", list(book.outcomes_of_intents()))
    verdict.check("every decision has one ending", list(book.endings()))
    verdict.check("orders at the exchange as on the tape", list(book.orders()))
    verdict.check("orders once at the exchange", list(book.once()))
    verdict.check("orders have ended as the exchange says", list(book.ended()))
    verdict.check("fills as the exchange has them", list(book.fills_match()))
    verdict.check("books as the exchange has them", list(book.books()))
    verdict.check("every doubt was cleared", list(book.doubts()))
    verdict.check("nothing that was acknowledged is missing", [one.client_order_id for one in book.of(OrderMissing)])
    verdict.check("the halt was honoured", list(book.halts()))
    figures.update(book.figures())


def _ended_as(there: Told) -> str:
    """How an order of the exchange's has ended, in our words."""
    done = money(there["executed"])
    if done == money(there["quantity"]):
        return "filled"
    if done:
        return "partially_cancelled"
    return "cancelled"


def _read(cls: Any, entry: Entry) -> Any:
    return cls.read(entry.record.version, bytes(entry.record.value))


# ------------------------------------------------------------------------------------------------- runs and events


def _acknowledged(tape: Tape, fed: Fed) -> list[str]:
    at = {entry.seq: entry.record for _, entry in tape.entries if entry.record.kind == "event"}
    complaints = []
    for n, seq in fed.acknowledged.items():
        record = at.get(seq)
        if record is None or json.loads(bytes(record.value)).get("n") != n:
            complaints.append(f"event {n}, acknowledged at {seq}, is not there")
    return complaints


def _started(tape: Tape) -> list[str]:
    started = Counter(entry.record.ref for _, entry in tape.entries if entry.record.kind == "started")
    return [
        f"the event at {entry.seq} started {started[entry.seq]} runs"
        for _, entry in tape.of_kind("event", "emit")
        if entry.record.name == Trade.event_name and started[entry.seq] != 1
    ]


def _ended(tape: Tape) -> list[str]:
    return [
        f"run {seq} ({name}) is {Status(status).name.lower()}"
        for seq, (name, status, _) in tape.rows.items()
        if status not in (Status.DONE, Status.CONTINUED)
    ]


# ------------------------------------------------------------------------------------------------------- orders


class Book:
    """What the tape tells of trading, beside what the exchange knows."""

    def __init__(self, tape: Tape, truth: Told) -> None:
        self._tape = tape
        self._truth = truth
        self._account = truth["accounts"][ACCOUNT]
        self._there: dict[str, list[Told]] = {}
        for order in self._account["orders"]:
            self._there.setdefault(order["clientId"], []).append(order)
        self._intents: dict[str, tuple[OpenIntent, int]] = {}
        """By client id: what was to be sent, and when that was on the tape (ns)."""
        self._outcomes: dict[str, list[BaseException | None]] = {}
        for _, entry in tape.of_kind("intent", "effect"):
            record = entry.record
            if record.name != SUBMIT:
                continue
            if record.kind == "intent":
                self._intents[record.key] = OpenIntent.read(record.key, bytes(record.value)), record.at
            else:
                error = bytes(record.error)
                self._outcomes.setdefault(record.key, []).append(decode_error(error) if error else None)
        self._accepted: dict[str, OrderAccepted] = {}
        self._twice: list[str] = []
        for accepted in self.of(OrderAccepted):
            if accepted.client_order_id in self._accepted:
                self._twice.append(accepted.client_order_id)
            self._accepted[accepted.client_order_id] = accepted
        self._fills: list[Fill] = [one.fill() for one in self.of(OrderFilled)]

    def of(self, cls: Any) -> Iterator[Any]:
        """The events of a class."""
        return (_read(cls, entry) for _, entry in self._events(cls))

    def _events(self, cls: Any) -> Iterator[tuple[int | None, Entry]]:
        found = self._tape.of_kind("event", "emit")
        return ((run, entry) for run, entry in found if entry.record.name == cls.event_name)

    def outcomes_of_intents(self) -> Iterator[str]:
        for key in self._intents:
            found = self._outcomes.get(key, [])
            if len(found) != 1:
                yield f"intent {key} has {len(found)} outcomes"
            elif found[0] is not None and not isinstance(found[0], Refused | Rejected | NotSent | NotYet):
                yield f"intent {key} ended as {type(found[0]).__name__}: {found[0]}"

    def endings(self) -> Iterator[str]:
        """As many decisions as endings; those that were sent by their client ids."""
        sent = {key for key, found in self._outcomes.items() if found == [None]}
        yield from (f"{key} is accepted twice on the tape" for key in self._twice)
        yield from (f"{key} was accepted, and that is not told" for key in sent - self._accepted.keys())
        yield from (f"{key} is told as accepted, and was not" for key in self._accepted.keys() - sent)
        decisions = sum(entry.record.name == "gate" for _, entry in self._tape.of_kind("step"))
        refused = sum(1 for _ in self._events(OrderRefused)) + sum(1 for _ in self._events(OrderRejected))
        again = sum(isinstance(found[0], NotSent) for found in self._outcomes.values() if found)
        if decisions != len(self._accepted) + refused + again:
            parts = f"{len(self._accepted)} accepted, {refused} refused or rejected, {again} not sent"
            yield f"{decisions} decisions, and {parts}"

    def orders(self) -> Iterator[str]:
        for key in self._there.keys() - self._accepted.keys():
            yield f"{key} is at the exchange, and not accepted on the tape"
        for key, accepted in self._accepted.items():
            for there in self._there.get(key, []):
                found = there["symbol"], there["side"].lower(), money(there["quantity"])
                if found != (accepted.symbol, accepted.side, accepted.quantity):
                    yield f"{key} is {found} at the exchange"
            if key not in self._there:
                yield f"{key} is accepted on the tape, and not at the exchange"

    def once(self) -> Iterator[str]:
        yield from (f"{key} is there {len(there)} times" for key, there in self._there.items() if len(there) != 1)
        submitted = self._account["submissions"].items()
        yield from (f"{key} was accepted {len(taken)} times" for key, taken in submitted if len(taken) != 1)
        yield from (f"order {number} repeats an earlier one" for number in self._truth["repeats"])

    def ended(self) -> Iterator[str]:
        ended: dict[str, list[str]] = {}
        for one in self.of(OrderEnded):
            ended.setdefault(one.client_order_id, []).append(one.status)
        yield from (f"{key} has ended, and was not accepted" for key in ended.keys() - self._accepted.keys())
        for key, (there, *_) in self._there.items():
            if there["status"] in OPEN:
                yield f"{key} still rests at the exchange"
            told = ended.get(key, [])
            if told != [_ended_as(there)]:
                yield f"{key} is {there['status']} there, and has ended as {told or 'nothing'} on the tape"

    def doubts(self) -> Iterator[str]:
        cleared = {one.client_order_id for one in self.of(OrderCleared)}
        told = {one.client_order_id for one in self.of(OrderInDoubt)}
        yield from (f"{key} came in doubt, and nobody said that it is not any more" for key in told - cleared)

    # -- money ----------------------------------------------------------------------------------------------------

    def fills_match(self) -> Iterator[str]:
        seen = Counter((one.symbol, one.fill_id) for one in self._fills)
        yield from (f"fill {one} is on the tape {count} times" for one, count in seen.items() if count > 1)
        ours = Counter(
            (one.client_order_id, one.price, one.quantity, one.fee, one.fee_currency) for one in self._fills
        )  # fmt: skip
        theirs = Counter(
            (key, money(one["price"]), money(one["quantity"]), money(one["fee"]), one["feeAsset"])
            for key, orders in self._there.items()
            for order in orders
            for one in order["trades"]
        )
        yield from (f"{fill} is on the tape {ours[fill]} times, there {theirs[fill]}" for fill in ours - theirs)
        yield from (f"{fill} is at the exchange, on the tape {ours[fill]} times" for fill in theirs - ours)

    def books(self) -> Iterator[str]:
        ledger: Ledger = fold(self._fills, {"USDT": money(CAPITAL)})
        ledger.check()
        for asset in sorted({*self._account["balances"], *BALANCES, *ledger.currencies()}):
            balance = self._account["balances"].get(asset, {"free": "0", "locked": "0"})
            there = EXACT.add(money(balance["free"]), money(balance["locked"]))
            change = EXACT.subtract(there, money(BALANCES.get(asset, "0")))
            held = EXACT.subtract(ledger.holding(asset), ledger.capital(asset))
            if change != held:
                yield f"{asset}: {change} more at the exchange, {held} more in the ledger"
        paid: dict[str, Decimal] = {}
        for orders in self._there.values():
            for one in (trade for order in orders for trade in order["trades"]):
                paid[one["feeAsset"]] = EXACT.add(paid.get(one["feeAsset"], Decimal(0)), money(one["fee"]))
        for asset, fees in paid.items():
            if ledger.fees(asset) != fees:
                yield f"fees of {fees} {asset} at the exchange, {ledger.fees(asset)} in the ledger"

    # -- halts ----------------------------------------------------------------------------------------------------

    def halts(self) -> Iterator[str]:
        for raised, cleared in self._halted():
            for key, orders in self._there.items():
                intent, at = self._intents.get(key, (None, 0))
                if intent is None or intent.approval.intent.reduce_only:
                    continue
                for order in orders:
                    made = order["created"]
                    late = raised + GRACE_NS < made < cleared
                    if late or (raised < at < cleared and raised < made < cleared):
                        after, said = ((one - raised) / NS_PER_SECOND for one in (made, at))
                        yield f"{key} was made {after:.3f} s after a halt, its intent {said:.3f} s"

    def _halted(self) -> Iterator[tuple[int, int]]:
        """From when to when (ns, when each was on the tape) trading stood."""
        raised = 0
        for _, entry in self._tape.of_kind("event"):
            if entry.record.name == HaltRaised.event_name and not raised:
                raised = entry.record.at
            elif entry.record.name == HaltCleared.event_name and raised:
                yield raised, entry.record.at
                raised = 0
        if raised:
            yield raised, 1 << 62

    # -- figures --------------------------------------------------------------------------------------------------

    def figures(self) -> Counter[str]:
        """What there was of everything."""
        cleared = [one.found for one in self.of(OrderCleared)]
        late = (
            order["created"] - self._intents[key][1]
            for key, orders in self._there.items()
            if key in self._intents
            for order in orders
        )
        return Counter(
            {
                "events": sum(1 for _ in self._events(Trade)),
                "orders": len(self._there),
                "fills": len(self._fills),
                "refused": sum(1 for _ in self._events(OrderRefused)),
                "not sent": sum(isinstance(one[0], NotSent) for one in self._outcomes.values() if one),
                "in doubt": sum(not one.stuck for one in self.of(OrderInDoubt)),
                "found": sum(cleared),
                "absent": len(cleared) - sum(cleared),
                "sent again": sum(one > PROOF_NS for one in late),
                "halts": sum(1 for _ in self._halted()),
            }
        )
