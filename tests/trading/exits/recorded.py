"""What a tape would keep of exits: states and marks, each changed by what was told, in bytes."""

from __future__ import annotations

import msgspec

from tickwork.trading.exits import BestPrice, BreakEvenSet, ExitBook, Judged, Marks, PlanState, TrailingBegan

Market = tuple[str, str, str]


class Recorded:
    """What a tape would keep: states and marks, each changed by what was told, in bytes."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self.marks: dict[Market, bytes] = {}

    def put(self, state: PlanState) -> None:
        self.states[state.plan.id] = msgspec.json.encode(state)

    def state(self, id: str) -> PlanState:
        return msgspec.json.decode(self.states[id], type=PlanState)

    def moved(self, judged: Judged) -> None:
        for one in judged.moved:
            match one:
                case TrailingBegan():
                    self.put(self.state(one.plan_id).trailing_from(one.best, one.marks, one.at_ns))
                case BreakEvenSet():
                    self.put(self.state(one.plan_id).at_break_even(one.at_ns))
                case BestPrice():
                    key = (one.venue, one.symbol, one.side)
                    before = self.marks.get(key)
                    empty = Marks(venue=one.venue, symbol=one.symbol, side=one.side)
                    marks = msgspec.json.decode(before, type=Marks) if before else empty
                    self.marks[key] = msgspec.json.encode(marks.after(one))

    def book(self, now_ns: int) -> ExitBook:
        book = ExitBook("1h")
        marks = [msgspec.json.decode(data, type=Marks) for data in self.marks.values()]
        book.restore([self.state(id) for id in self.states], marks, now_ns)
        return book
