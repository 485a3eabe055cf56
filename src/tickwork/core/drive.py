"""The drive: replays a run and carries it on. A plain function of the records and the body; no loop, no clock.

A drive owns a body's coroutine and answers its asks. While there are records, they are the answers; then asks *go
live*: they are handed to the driver (the embedded engine, the simulator), which records an answer and returns it, or
returns ``PENDING`` and delivers it later.

Why the first run and a replay cannot differ: a record says whether it was answered at once or *late*, after every
branch had come to wait. A replay delivers the former at the ask and the latter, in tape order, when every branch waits.
So the body's code runs in the same order both times, even where arms share variables.

An ask is identified by its branch, kind, name and occurrence, with its number in the branch; its record also holds the
function and a fingerprint of the arguments. A replay that does not fit raises ``NonDeterministic`` and changes nothing.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from tickwork.core.asks import All, Ask, Call, Effect, Race, Step, WaitFor, discard
from tickwork.core.branch import Branch, Group, describe, whereabouts
from tickwork.core.codec import ANY, fingerprint
from tickwork.core.functions import function_of
from tickwork.core.latch import Latch
from tickwork.core.replay import Course, answer_of
from tickwork.core.run import Run, Won, seeded
from tickwork.core.tape import Entry, Record
from tickwork.errors import Cancelled, ForeignAwait, InvalidInput, NonDeterministic

FOREIGN_MAX = 100
"""A body may catch the error of a foreign await this often before its run fails."""


_OPENED = "one that a branch which can go on will open"


class Pending:
    """The answer that is not there yet."""

    def __repr__(self) -> str:
        return "PENDING"


PENDING = Pending()


class Failure:
    """An answer that is raised at the ask."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Waiting(msgspec.Struct, eq=False):
    """An ask without an answer."""

    branch: Branch
    no: int
    occ: int
    ask: Ask


Place = tuple[str, int]
"""A branch's path and the number of an ask in it."""


class Driver(Protocol):
    """Who answers live asks. Implementations record what they answer (``drive.note`` tells the drive)."""

    def answer(self, drive: Any, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """The recorded answer, a ``Failure``, or ``PENDING`` (then ``drive.deliver`` follows).

        ``intent`` is the open intent of an effect that was under way when the run was last dropped.
        """
        ...

    def record(self, drive: Any, record: Record) -> None:
        """Append a record that the drive itself makes."""
        ...

    def forget(self, drive: Any, waiting: Waiting) -> None:
        """A pending ask was dropped: stop what was done for it; in a replay, what was left of it on the disk."""
        ...

    def doomed(self, drive: Any, waiting: Waiting) -> None:
        """A pending effect or call will be followed to its end and then cancelled."""
        ...


class Drive:
    """One run being driven."""

    closing: bool = False
    replaying: bool = True
    interruption: BaseException | None = None
    """What was last thrown into the body from outside."""
    outcome: tuple[Any, BaseException | None] | None = None
    """What the body returned or raised, once it has ended."""
    made: int = 0
    """Steps that the body made; each should be awaited, as should the verbs in ``unheard``."""
    _heard: int = 0
    _last: Waiting | None = None
    _cursor: int = 0
    _random: random.Random | None = None
    _foreign: int = 0

    def __init__(
        self,
        body: Callable[[Run], Coroutine[Any, Any, Any]],
        id: str,
        owner: str,
        seed: bytes,
        driver: Driver,
        course: Course,
    ) -> None:
        self.id = id
        self.owner = owner
        self.driver = driver
        self.course = course
        self.attempt = course.attempt
        self.now = course.at
        self._began = course.at
        self.seq = course.seq
        self.since = course.since
        self.seed = seed
        self.pending: dict[Place, Waiting] = {}
        self._history = course.history
        self._kept = course.kept
        self._patches: dict[str, bool] = {}
        self.unheard: dict[int, Ask] = {}
        """Verbs other than steps that were made and not yet awaited, by ``id``."""
        self._latched: dict[Branch, Latch] = {}
        """Branches that wait for a latch, in the order in which they came."""
        self._unlatched: deque[tuple[Branch, Latch]] = deque()
        """Those whose latch was opened, and who have not gone on yet."""
        self.main = Branch(course.root, body(Run(self)))
        self._current = self.main

    # -- for the engine -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Replay the records, then go on until every branch waits.

        Raises:
            NonDeterministic: code and records disagree.
        """
        if self.course.new:
            self.replaying = False
            self._resume(self.main, None)
            self._unlatch()
            return
        self._resume(self.main, None)
        self._unlatch()
        self._replay_rest()

    def deliver(self, place: Place, answer: Any) -> bool:
        """Answer a pending ask and go on until every branch waits; False when nothing waits there any more."""
        waiting = self.pending.pop(place, None)
        if waiting is None:
            return False
        self._last = waiting
        self._send(waiting.branch, answer)
        self._unlatch()
        return True

    def go_on(self, place: Place) -> None:
        """Ask the driver once more for what waits here: it was put off, or was under way when the run was dropped."""
        waiting = self.pending.get(place)
        if waiting is None:
            return
        answer = self.driver.answer(self, waiting, self.course.open.get(place), True)
        if answer is not PENDING:
            self.deliver(place, answer)
        elif waiting.branch.doom is not None:
            self.driver.doomed(self, waiting)

    def interrupt(self, error: BaseException) -> None:
        """Throw into the main branch, after what cannot be dropped has ended."""
        self.interruption = error
        self._interrupt(self.main, error)
        self._unlatch()

    def close(self) -> None:
        """Drop the coroutine; nothing it does about that is heard."""
        self.closing = True
        self.pending.clear()
        if not self.main.ended:
            self.main.close()

    def note(self, seq: int, at: int) -> None:
        """The driver recorded an answer at this position and time."""
        self.seq = seq
        self.now = at

    # -- for Run --------------------------------------------------------------------------------------------------

    @property
    def clock(self) -> int:
        """From when lengths of time count: answers kept from an earlier attempt take ``now`` back to their own time."""
        return max(self.now, self._began)

    def rng(self) -> random.Random:
        """The run's randomness; a new attempt draws the same numbers, so that kept steps meet the same arguments."""
        if self._random is None:
            self._random = seeded(self.seed)
        return self._random

    @property
    def branch(self) -> str:
        """Path of the branch whose code is running."""
        return self._current.path

    @property
    def answered(self) -> str:
        """Identity of the ask answered last."""
        last = self._last
        return "|||0" if last is None else f"{last.branch.path}|{last.ask.kind}|{last.ask.name}|{last.occ}"  # type: ignore[attr-defined]

    def remembered(self, name: str) -> Any:
        """See ``Run.remembered``."""
        entry = None if self.course.forked else self._kept.get((self._current.path, "step", name, 0))
        return None if entry is None else ANY.decode(entry.record.value, name)

    def patched(self, change: str) -> bool:
        """See ``Run.patched``. Decided once for each change, where the run first reaches it."""
        known = self._patches.get(change)
        if known is not None:
            return known
        branch = self._current
        place = (branch.path, branch.no)
        recorded = self.course.patches.get(place) == change
        if recorded:
            branch.no += 1
        elif self.course.reaches(place):
            self._patches[change] = False  # recorded before the change was made
            return False
        else:
            if branch.dropped >= 0:
                self._note_dropped(branch)
            self.driver.record(self, Record("patched", self.now, name=change, branch=branch.path, no=branch.no))
            branch.no += 1
        self._patches[change] = True
        return True

    # -- the body's coroutines ------------------------------------------------------------------------------------

    def _send(self, branch: Branch, answer: Any) -> None:
        """Resume a branch with an answer: a value, or what is raised at the ask."""
        if type(answer) is Failure:
            self._resume(branch, None, answer.error)
        else:
            self._resume(branch, answer)

    def _resume(self, branch: Branch, value: Any, error: BaseException | None = None) -> None:
        """Run a branch until it waits or ends."""
        coro = branch.coro
        branch.started = True
        branch.waits = -1
        while True:
            self._current = branch
            try:
                ask = coro.send(value) if error is None else coro.throw(error)
            except StopIteration as stop:
                self._ended(branch, stop.value, None)
                return
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as raised:  # noqa: BLE001 - whatever the body raises is its outcome
                self._ended(branch, None, raised)
                return
            error = None
            value = self._received(branch, ask)
            if value is PENDING:
                return
            if type(value) is Failure:
                error = value.error

    def _received(self, branch: Branch, ask: Any) -> Any:
        """One ask: kept from an earlier attempt, recorded, or live."""
        if not isinstance(ask, Ask):
            return self._latch(branch, ask) if type(ask) is Latch else self._refuse_foreign(branch, ask)
        kind = type(ask)
        if kind is Step and not branch.bare and not ask.undoes:  # type: ignore[attr-defined]
            self._heard += 1
        elif self.unheard:
            self._hear(ask)
        no = branch.no
        branch.no = no + 1
        if branch.dropped >= 0:
            self._note_dropped(branch)
        if branch.doom is not None:
            doom, branch.doom = branch.doom, None
            branch.dropped = no
            if isinstance(ask, All | Race):
                discard(ask.arms)
            return Failure(doom)
        if kind is All or kind is Race:
            return self._open(branch, no, ask)  # type: ignore[arg-type]
        identity = (ask.kind, ask.name)  # type: ignore[attr-defined]
        occ = branch.occ.get(identity, 0)  # as ``branch.occurrence``, without the call
        branch.occ[identity] = occ + 1
        waiting = Waiting(branch, no, occ, ask)
        if self._kept:
            kept = self._keep(waiting)
            if kept is not PENDING:
                self._last = waiting
                return kept
        answer = self._recorded(waiting) if self.replaying else self.driver.answer(self, waiting, None, False)
        if answer is PENDING:
            branch.waits = no
            self.pending[branch.path, no] = waiting
        else:
            self._last = waiting
        return answer

    def _hear(self, ask: Ask) -> None:
        self.unheard.pop(id(ask), None)
        if isinstance(ask, All | Race):
            for arm in ask.arms:
                self.unheard.pop(id(arm), None)
                self._heard += type(arm) is Step

    def _forgotten(self) -> InvalidInput | None:
        """A body that has ended without awaiting all its verbs: what they should have done was not done."""
        if self.made <= self._heard and not self.unheard:
            return None
        names = ", ".join(describe(ask) for ask in self.unheard.values()) or f"{self.made - self._heard} step(s)"
        found = f"{names}, made and never awaited, so never done"
        return InvalidInput("the workflow's body", found, "`await` before every verb of the run")

    def _refuse_foreign(self, branch: Branch, found: Any) -> Failure:
        if getattr(found, "_asyncio_future_blocking", False):
            found._asyncio_future_blocking = False  # it believes that a task waits for it
        self._foreign += 1
        what = "a bare yield (asyncio.sleep(0)?)" if found is None else f"something of type {type(found).__name__}"
        error = ForeignAwait(what, whereabouts(branch.coro))
        if self._foreign > FOREIGN_MAX:
            self.close()
            raise error
        return Failure(error)

    # -- latches --------------------------------------------------------------------------------------------------

    def _latch(self, branch: Branch, latch: Latch) -> Any:
        if branch.doom is not None:
            doom, branch.doom = branch.doom, None
            return Failure(doom)
        if latch.is_open:
            return None
        latch.waiting.append(branch)
        self._latched[branch] = latch
        return PENDING

    def opened(self, latch: Latch) -> None:
        """A latch was opened: those who wait for it go on once whoever opened it waits itself."""
        self._unlatched.extend((branch, latch) for branch in latch.waiting)
        latch.waiting = []

    def _expects(self) -> bool:
        """Is there an ask whose answer may let the run go on?"""
        return bool(self.pending)

    def _unlatch(self) -> None:
        """Let branches go on whose latches were opened; fail those whose latches nobody is left to open."""
        while self._latched:
            while self._unlatched:
                branch, latch = self._unlatched.popleft()
                if self._latched.get(branch) is latch:  # else it was interrupted meanwhile
                    del self._latched[branch]
                    self._resume(branch, None)
            if not self._latched or self._expects() or self.main.ended:
                return
            branch = next(iter(self._latched))
            del self._latched[branch]
            self._resume(branch, None, InvalidInput("latch", "every branch of the run waits for one", _OPENED))

    # -- groups ---------------------------------------------------------------------------------------------------

    def _open(self, branch: Branch, no: int, ask: All | Race) -> Any:
        if self.course.holds((branch.path, no), ask.kind):
            raise self._diverged(describe(ask), self.course.describe((branch.path, no)), branch)
        occ = branch.occurrence(ask.kind, "")
        group = Group(branch, no, type(ask) is Race, f"{branch.path}{ask.kind}{occ}.", ask.arms)
        branch.group = group
        for arm in group.arms:
            if group.decided:  # an arm before this one has already won or failed
                self._never_started(arm)
            else:
                self._resume(arm, None)
        group.started = True
        return self._outcome(group) if group.left == 0 else PENDING

    def _never_started(self, arm: Branch) -> None:
        if not arm.ended:
            arm.ended = True
            arm.coro.close()
            if arm.inside is not None:
                arm.inside.left -= 1

    def _ended(self, branch: Branch, value: Any, error: BaseException | None) -> None:
        branch.ended = True
        group = branch.inside
        if group is None:
            self.outcome = (value, error or self._forgotten())
            return
        group.left -= 1
        if not group.decided:
            if group.is_race or error is not None:
                group.decided = True
                group.winner, group.error = branch.index, error
                group.values[branch.index] = value
                self._wind_down(group)
            else:
                group.values[branch.index] = value
        if group.left == 0 and group.started and not group.parent.ended and group.parent.group is group:
            self._send(group.parent, self._outcome(group))

    def _wind_down(self, group: Group) -> None:
        for arm in group.arms:
            if not arm.ended:
                self._interrupt(arm, Cancelled("another arm ended first"))

    def _outcome(self, group: Group) -> Any:
        """What the group's parent receives; a race's winner is recorded."""
        parent = group.parent
        parent.group = None
        if group.is_race and group.winner >= 0:
            recorded = self.course.race(parent.path, group.no)
            if recorded is None:
                self.driver.record(
                    self, Record("race", self.now, branch=parent.path, no=group.no, attempt=group.winner)
                )
            elif recorded != group.winner:
                raise self._diverged(f"a race won by arm {group.winner}", f"one won by arm {recorded}", parent)
        if parent.doom is not None:
            doom, parent.doom = parent.doom, None
            return Failure(doom)
        if group.error is not None:
            return Failure(group.error)
        return Won(group.winner, group.values[group.winner]) if group.is_race else group.values

    def _interrupt(self, branch: Branch, error: BaseException) -> None:
        """Throw ``error`` into a branch where it waits; an effect or a call is followed to its end first."""
        if branch.ended:
            return
        if not branch.started:
            self._never_started(branch)
            return
        if branch.group is not None:
            branch.doom = error
            branch.group.decided = True
            self._wind_down(branch.group)
            return
        if self._latched.pop(branch, None) is not None:
            self._resume(branch, None, error)
            return
        place = (branch.path, branch.waits)
        waiting = self.pending.get(place)
        if waiting is None or isinstance(waiting.ask, Effect | Call):
            branch.doom = error
            if waiting is not None and not self.replaying:
                self.driver.doomed(self, waiting)
            return
        del self.pending[place]
        self.driver.forget(self, waiting)
        branch.dropped = branch.waits
        self._resume(branch, None, error)

    def _note_dropped(self, branch: Branch) -> None:
        """A branch goes on after an ask of it was dropped: say so, or a replay would miss that ask's answer."""
        place = (branch.path, branch.dropped)
        branch.dropped = -1
        if place not in self.course.dropped:
            self.driver.record(self, Record("dropped", self.now, branch=place[0], no=place[1]))

    # -- replay ---------------------------------------------------------------------------------------------------

    def _keep(self, waiting: Waiting) -> Any:
        """The answer an earlier attempt already has, unless it was given for other arguments."""
        ask = waiting.ask
        name: str = ask.name  # type: ignore[attr-defined]
        entry = self._kept.get((waiting.branch.path, ask.kind, name, waiting.occ))
        if entry is None:
            return PENDING
        record = entry.record
        if isinstance(ask, Step | Effect) and not _same_call(ask, record):
            if isinstance(ask, Effect) and not self.course.forked:
                # done once with other arguments; doing it again could be a second order
                raise self._diverged(
                    f"effect {name!r} with other arguments", "the same effect, completed", waiting.branch
                )
            return PENDING
        return self._take(waiting, entry)

    def _recorded(self, waiting: Waiting) -> Any:
        """The recorded answer, if it was given at once; else it waits for its turn."""
        branch, no = waiting.branch, waiting.no
        place = (branch.path, no)
        entry = self.course.answers.get(place)
        if entry is None:
            intent = self.course.open.get(place)
            if intent is not None:
                self._must_fit(waiting, intent)
            elif place not in self.course.dropped and self.course.reaches(place):
                raise self._diverged(describe(waiting.ask), self.course.describe(place), branch)
            return PENDING
        self._must_fit(waiting, entry)
        if entry.record.late or self._cursor >= len(self._history) or self._history[self._cursor] is not entry:
            return PENDING
        self._cursor += 1
        return self._take(waiting, entry)

    def _take(self, waiting: Waiting, entry: Entry) -> Any:
        record = entry.record
        self.seq, self.now = entry.seq, record.at
        if type(waiting.ask) is WaitFor and record.ref:
            self.since = record.ref
        value, error = answer_of(waiting.ask, entry)
        return value if error is None else Failure(error)

    def _replay_rest(self) -> None:
        """Every branch waits: deliver the records in tape order, then go live."""
        while self._cursor < len(self._history):
            entry = self._history[self._cursor]
            record = entry.record
            if self.outcome is not None:
                if record.no < 0:  # it came before this attempt had begun, which had nothing left to ask
                    break
                raise self._diverged("nothing more: the body has ended", _recorded_ask(record), self.main)
            self._cursor += 1
            if record.no < 0:
                self.seq, self.now = entry.seq, record.at
                self.interrupt(self.course.interruption(record))
                continue
            place = (record.branch, record.no)
            waiting = self.pending.pop(place, None)
            if waiting is None:
                raise self._diverged("something else, or nothing", _recorded_ask(record), self.main)
            self._last = waiting
            self._send(waiting.branch, self._take(waiting, entry))
            self._unlatch()
        self._go_live()

    def _go_live(self) -> None:
        for place, intent in self.course.open.items():
            if place not in self.pending:
                raise self._diverged("something else, or nothing", _recorded_ask(intent.record), self.main)
        self.replaying = False
        for place, waiting in list(self.pending.items()):
            if self.pending.get(place) is not waiting:
                continue  # an answer before this one dropped it
            self.go_on(place)

    def _must_fit(self, waiting: Waiting, entry: Entry) -> None:
        ask, record = waiting.ask, entry.record
        kind = "effect" if record.kind == "intent" else record.kind
        name: str = ask.name  # type: ignore[attr-defined]
        fits = ask.kind == kind and name == record.name
        if fits and isinstance(ask, Step | Effect):
            fits = _same_call(ask, record)
        elif fits and type(ask) is WaitFor:
            fits = not record.args or record.args == fingerprint((ask.where.key, ask.where.text))
        if not fits:
            raise self._diverged(_asked(ask), _recorded_ask(record), waiting.branch)

    def _diverged(self, asked: str, recorded: str, branch: Branch) -> NonDeterministic:
        return NonDeterministic(self.id, asked, recorded, whereabouts(branch.coro))


def _same_call(ask: Step | Effect, record: Record) -> bool:
    if record.fn and record.fn != function_of(ask.fn).name:
        return False
    given = fingerprint(ask.args)
    return not (record.args and given) or record.args == given


def _asked(ask: Ask) -> str:
    if isinstance(ask, Step | Effect):
        return f"{describe(ask)} calling {function_of(ask.fn).name}{ask.args!r}"[:300]
    return describe(ask)


def _recorded_ask(record: Record) -> str:
    called = f" calling {record.fn}" if record.fn else ""
    arguments = " with other arguments" if record.fn else ""
    return f"{record.kind} {record.name!r}{called}{arguments} (ask {record.no} of branch {record.branch or 'main'!r})"
