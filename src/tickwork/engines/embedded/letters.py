"""Dead letters: what gave up, why, and what becomes of it.

A letter is a run that died, an undo that could not be done, an event of a version that this code does not know, or (in
``queues``) a message. It lies open until it is redriven or discarded, by a person or by the rule that fits its error.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from tickwork.core.codec import MESSAGE_MAX, encode_error, said
from tickwork.core.event import Alert, Event, event_tag, read_event
from tickwork.core.letters import DEFAULT_POLICY, class_name, error_code
from tickwork.core.replay import Course
from tickwork.core.tape import Record
from tickwork.engines.embedded.control import Verb
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.status import Status
from tickwork.errors import Conflict, InvalidInput, NotFound, TapeError
from tickwork.values import duration

if TYPE_CHECKING:
    from tickwork.engines.embedded.queues import Queues
    from tickwork.engines.embedded.runs import Runs

_log = logging.getLogger("tickwork.engine")

_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(.+)")


class LetterStatus(IntEnum):
    """Where a letter stands."""

    OPEN = 0
    REDRIVEN = 1
    DISCARDED = 2


@dataclass(slots=True)
class Letter:
    """A row of ``letters``."""

    seq: int
    """Of a run: its position; else of the record that tells of it."""
    kind: str
    """``run``, ``undo`` or ``event``."""
    source: str
    """Name of the workflow, of the undo, of the event."""
    run: int
    code: str
    attempts: int
    first_seen: int
    at: int
    tried: int = 0
    """How often a rule has redriven it."""
    status: int = LetterStatus.OPEN
    due: int = 0
    """When a rule redrives it (ns); 0: none does."""

    def row(self) -> tuple[Any, ...]:
        """The columns after the key."""
        return (
            self.kind, self.source, self.run, self.code, self.attempts, self.first_seen, self.at, self.tried,
            int(self.status), self.due,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of a wish to redrive."""

    redriven: list[str]
    """Ids of the runs, events and messages that go on."""
    left: dict[str, str]
    """Ids of letters that fit the wish and cannot be redriven -> why."""


def spacing(rate: str | None) -> int:
    """ns between two of a rate such as ``"10/s"`` or ``"5 / 1 minute"``; 0 when there is none.

    Raises:
        InvalidInput: not a rate.
    """
    if rate is None:
        return 0
    match = _RATE.fullmatch(rate)
    per = match and match[2].strip()
    try:
        if match is None or int(match[1]) == 0:
            raise ValueError(rate)
        span = duration(per if per and per[0].isdecimal() else f"1 {per}")
    except ValueError as error:
        raise InvalidInput("rate", rate, "a number by a time, such as '10/s' or '5/minute'") from error
    except InvalidInput:
        raise InvalidInput("rate", rate, "a number by a time, such as '10/s' or '5/minute'") from None
    return span // int(match[1])


def _position(id: str) -> int | None:
    """The position that an id is, if it is one."""
    return int(id) if isinstance(id, str) and id.isascii() and id.isdigit() and len(id) < 19 else None


def _attempts(run: LiveRun, known: Letter | None) -> int:
    """How often its body was tried; the handler of its failure is not an attempt at it."""
    course: Course | None = run.course
    since = 1 if course is None else course.failures if course.failing is not None else course.failures + 1
    return since + (0 if known is None else known.attempts)


class Letters:
    """The dead letters of one engine."""

    def __init__(self, runs: Runs, post: Callable[[Event, int], int], pump: Callable[[], None]) -> None:
        self._runs = runs
        self._post = post
        self._pump = pump
        self._log = runs.log
        self._now = runs.clock.now
        self.queues: Queues
        """Whose messages may be dead letters too."""
        self._planned: dict[int, Letter] = {}
        """Letters that a rule will redrive."""
        runs.letters = self

    def _load(self, seq: int) -> Letter | None:
        planned = self._planned.get(seq)
        if planned is not None:
            return planned
        changes, row = self._log.coming("letters", (seq,))
        if changes:
            return Letter(seq, *row) if row is not None else None
        rows = self._runs.reader.rows("SELECT * FROM letters WHERE seq=?", (seq,)) if 0 < seq < 2**63 else []
        return Letter(*rows[0]) if rows else None

    def _now_of(self, found: Letter) -> Letter:
        """A letter of the disk, as it stands now."""
        _, row = self._log.coming("letters", (found.seq,))
        return self._planned.get(found.seq) or (found if row is None else Letter(found.seq, *row))

    def _keep(self, letter: Letter) -> None:
        self._log.batch.put("letters", (letter.seq,), letter.row())
        if letter.due and letter.status == LetterStatus.OPEN:
            self._planned[letter.seq] = letter
        else:
            self._planned.pop(letter.seq, None)

    # -- what gives up --------------------------------------------------------------------------------------------

    def died(self, run: LiveRun, error: BaseException) -> None:
        """A run died; its rule says what becomes of it."""
        now, known = self._now(), self._load(run.seq)
        letter = Letter(
            run.seq, "run", run.workflow.name, run.seq, error_code(error), _attempts(run, known),
            now if known is None else known.first_seen, now, 0 if known is None else known.tried,
        )  # fmt: skip
        policy = run.workflow.policy or DEFAULT_POLICY
        rule = policy.rule(letter.code, class_name(error), letter.tried)
        if rule.action == "retry":
            letter.tried += 1
            letter.due = now + rule.after_ns
            self._plan(letter)
        elif rule.action == "discard":
            letter.status = LetterStatus.DISCARDED
            self._log.outside(Record("discarded", now, letter.source, ref=run.seq, key="rule"))
            _log.warning("[%s] died and is discarded by rule %r: %s", run.id, rule.match, error)
        elif run.event != Alert.event_name:  # else an alert that cannot be handled would alert without end
            self.alert(run.id, f"run of {run.workflow.name!r} died", error)
        self._keep(letter)

    def undo_failed(self, seq: int, run: LiveRun, name: str, error: BaseException) -> None:
        """An undo could not be done: a person must."""
        now = self._now()
        self._keep(Letter(seq, "undo", name, run.seq, error_code(error), run.attempt, now, now))
        self.alert(run.id, name, error)

    def unread(self, event: Record, error: Exception, ref: int = 0) -> int:
        """An event that this code cannot read is kept until one can."""
        now = self._now()
        failed, _ = encode_error(error)
        record = Record(
            "dead_letter", now, event.name, value=Raw(bytes(event.value)), error=failed, ref=ref, version=event.version
        )
        seq = self._log.outside(record)
        self._keep(Letter(seq, "event", event.name, 0, error_code(error), 1, now, now))
        self.alert("", f"event {event.name!r} cannot be read", error)
        return seq

    async def keep(self, name: str, version: int, payload: bytes, error: Exception) -> int:
        """Keep an event from outside that this code cannot read; on return it is on disk."""
        seq = self.unread(Record("event", self._now(), name, value=Raw(payload), version=version), error)
        await self._log.durable()
        return seq

    def alert(self, run: str, what: str, error: BaseException) -> None:
        """Tell a person."""
        alert = Alert(run=run, what=what, detail=f"{class_name(error)}: {said(error)}"[:MESSAGE_MAX])
        self._runs.outbox.append(lambda: self._post(alert, 0))
        self._runs.on_ready()

    def _plan(self, letter: Letter) -> None:
        self._runs.timers.call(max(letter.due, self._now()), self._when(letter))

    def _when(self, letter: Letter) -> Callable[[], None]:
        due = letter.due
        return lambda: self._due(letter.seq, due)

    def _due(self, seq: int, due: int) -> None:
        letter = self._planned.get(seq)
        if letter is None or letter.due != due:
            return
        letter.due = 0
        if self._redrive_run(letter, self._now(), "rule") is None:
            self._keep(letter)
        self._runs.on_ready()

    def recover(self) -> None:
        """Plan what rules have still to redrive."""
        for row in self._runs.reader.rows("SELECT * FROM letters WHERE status=0 AND due>0"):
            letter = self._planned[row[0]] = Letter(*row)
            self._plan(letter)

    # -- what people do -------------------------------------------------------------------------------------------

    async def redrive(
        self,
        ids: Sequence[str] = (),
        *,
        source: str | None = None,
        code: str | None = None,
        every: bool = False,
        payload: Any = None,
        rate: str | None = None,
        by: str = "",
    ) -> list[str]:
        """Give letters another chance: these, or all open ones of a source or a code, or ``every`` open one.

        Of those that are not named, what cannot be redriven stays open, and the log says why.

        Args:
            payload: instead of the input or the event it had; for one letter.
            rate: such as ``"10/s"``: not all of them at once.

        Returns:
            the ids of the runs, events and messages that go on.

        Raises:
            InvalidInput: no such open letter, none said, or a payload for several. Nothing has been redriven then.
        """
        return (await self._redrive(ids, source, code, every, payload, rate, by)).redriven

    async def _redrive(
        self, ids: Sequence[str], source: str | None, code: str | None, every: bool, payload: Any, rate: str | None,
        by: str,
    ) -> Redriven:  # fmt: skip
        gap = spacing(rate)
        await self._log.durable()
        # from here to the last act nothing is awaited: somebody else may want the same letters
        letters, messages = self._chosen(ids, source, code, every)
        count = len(letters) + len(messages)
        if payload is not None and count != 1:
            raise InvalidInput("payload", f"{count} letters", "one letter whose payload is to be replaced")
        acts, left = self._acts(letters, payload, strict=bool(ids))
        # the one thing that may still be refused: nothing else has been done by then
        body = payload if messages else None
        done = [str(seq) for seq in self.queues.redrive_now(messages, body=body, gap=gap, by=by)] if messages else []
        now = self._now()
        done += [act(now + index * gap, by) for index, act in enumerate(acts)]
        self._pump()
        await self._log.durable()
        return Redriven(done, left)

    async def discard(self, ids: Sequence[str] = (), *, source: str | None = None, code: str | None = None,
                      every: bool = False, by: str = "") -> int:  # fmt: skip
        """Put letters away, with a record of it; returns how many.

        Raises:
            InvalidInput: no such open letter, or none said.
        """
        await self._log.durable()
        letters, messages = self._chosen(ids, source, code, every)
        self.queues.discard_now(messages, by=by)
        for letter in letters:
            letter.status, letter.due = LetterStatus.DISCARDED, 0
            self._log.outside(Record("discarded", self._now(), letter.source, ref=letter.seq, key=by))
            self._keep(letter)
        self._pump()
        await self._log.durable()
        return len(letters) + len(messages)

    def _chosen(
        self, ids: Sequence[str], source: str | None, code: str | None, every: bool
    ) -> tuple[list[Letter], list[int]]:
        """The letters that are meant, and the messages, as they stand now."""
        if not (ids or source or code or every):
            raise InvalidInput("letters", "none", "ids, a source, a code, or every=True")
        if ids:
            numbers = {id: _position(id) for id in ids}
            dead = self.queues.which_are_dead([seq for seq in numbers.values() if seq is not None])
            messages = [seq for seq in numbers.values() if seq in dead]
            letters = [self._open(id) for id, seq in numbers.items() if seq not in dead]
            return list({letter.seq: letter for letter in letters}.values()), list(dict.fromkeys(messages))
        rows = self._runs.reader.rows("SELECT * FROM letters WHERE status=0 ORDER BY seq")
        letters = [self._now_of(Letter(*row)) for row in rows]
        chosen = [
            a for a in letters
            if a.status == LetterStatus.OPEN and source in (None, a.source) and code in (None, a.code)
        ]  # fmt: skip
        return chosen, self.queues.dead(source, code)

    def _open(self, id: str) -> Letter:
        seq = self._runs.find(id) if (position := _position(id)) is None else position
        letter = None if seq is None else self._load(seq)
        if letter is None or letter.status != LetterStatus.OPEN:
            found = id if letter is None else f"{id}, which is {LetterStatus(letter.status).name.lower()}"
            raise NotFound("letter", found, "an open dead letter (see `tickwork letters`)")
        return letter

    def _acts(
        self, letters: Sequence[Letter], payload: Any, *, strict: bool
    ) -> tuple[list[Callable[[int, str], str]], dict[str, str]]:
        """What redriving these means, and which cannot be, and why; ``strict``: the first such one is raised."""
        acts, left = [], {}
        for letter in letters:
            try:
                acts.append(self._act(letter, payload))
            except TapeError:
                raise
            except Exception as error:  # an upcast is the user's function
                if strict:
                    raise
                id = self._runs.id_of(letter.seq) if letter.kind == "run" else str(letter.seq)
                left[id] = f"{type(error).__name__}: {error}"
                _log.warning("letter %s of %r stays: %s", id, letter.source, left[id])
        return acts, left

    def _act(self, letter: Letter, payload: Any) -> Callable[[int, str], str]:
        """What redriving a letter means; everything that can be wrong is found here, before anything is done."""
        if letter.kind == "event":
            event = self._event(letter, payload)
            return lambda due, by: self._republish(letter, event, due, by)
        if letter.kind != "run":
            raise InvalidInput(
                "letter", f"{letter.seq}, {letter.kind} {letter.source!r}",
                "a run or an event; an undo is done by hand, and its letter then discarded",
            )  # fmt: skip
        run = self._runs.hot.get(letter.run) or self._runs.load(letter.run)
        if run is None or run.status is not Status.DEAD:
            found = "is not dead" if run is not None else "is of a workflow that is not registered"
            raise Conflict("letter", f"{letter.seq}, whose run {found}", "a dead run of a registered workflow")
        if payload is None:
            return lambda due, by: self._redrive_run(letter, due, by) or ""
        input = run.workflow.encode_input(payload)
        return lambda due, by: self._start_anew(letter, run, input, by)

    def _event(self, letter: Letter, payload: Any) -> Event:
        entry = self._runs.reader.record(letter.seq)
        assert entry is not None
        record = entry.record
        data = bytes(record.value) if payload is None else msgspec.json.encode(payload)
        event = read_event(record.name, record.version, data)
        if event is None:
            raise InvalidInput("event", record.name, "an event that this process has declared")
        return event

    def _redrive_run(self, letter: Letter, due: int, by: str) -> str | None:
        """A new attempt of a dead run, at a time."""
        run = self._runs.hot.get(letter.run) or self._runs.load(letter.run)
        if run is None or run.status is not Status.DEAD:
            return None
        letter.status, letter.due = LetterStatus.REDRIVEN, 0
        self._keep(letter)
        self._runs.redrive(run, due, by)
        return run.id

    def _start_anew(self, letter: Letter, run: LiveRun, input: Raw, by: str) -> str:
        """With another input it is another run: what the dead one had done was done for its own."""
        anew = self._runs.start(run.workflow, input, owner=run.owner, ref=run.seq)
        self._log.outside(Record("redriven", self._now(), anew.id, ref=letter.seq, key=by))
        letter.status, letter.due = LetterStatus.REDRIVEN, 0
        self._keep(letter)
        return anew.id

    def _republish(self, letter: Letter, event: Event, due: int, by: str) -> str:
        letter.status = LetterStatus.REDRIVEN
        self._log.outside(Record("redriven", self._now(), event_tag(type(event)), ref=letter.seq, key=by))
        self._keep(letter)
        return str(self._post(event, due))

    def verbs(self) -> dict[str, Verb]:
        """``letters.redrive`` (which answers a ``Redriven``) and ``letters.discard``."""

        async def redrive(
            ids: Sequence[str] = (), source: str | None = None, code: str | None = None, every: bool = False,
            payload: Any = None, rate: str | None = None, by: str = "",
        ) -> Redriven:  # fmt: skip
            return await self._redrive(ids, source, code, every, payload, rate, by)

        return {"letters.redrive": redrive, "letters.discard": self.discard}
