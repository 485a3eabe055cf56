"""The process of ``tickwork up``, from its start to its end.

    opening ──▶ up ──▶ stopping ──▶ stopped
       └─────────┴── failed

Theory of operation. SIGTERM, SIGINT and ``tickwork down`` are one thing: *told to stop*. While it is opening, that ends
the opening. Once it is up, the stop goes in an order in which nothing new can slip in and nothing known is lost:

    parts that let the outside in stop -> feeds end -> the engine drains: no run takes a turn, what is under way is
    followed to its outcome -> (after ``stop_within`` what is left is parked) -> tape, books and locks are let go

Accounts are followed until the last step, so fills of orders that were under way are booked as they come. Nothing
depends on getting to the end of it: a kill at any point is a crash like every other. A second signal therefore ends the
process at once, and so does a stop that takes longer than it may.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NoReturn, Protocol

from tickwork.engines.embedded.draining import UnderWay, drain, under_way
from tickwork.engines.embedded.engine import Engine
from tickwork.service.running.home import make_home
from tickwork.service.running.logs import TOLD
from tickwork.service.running.parts import Part, Parts
from tickwork.service.running.place import Place, Stage, Word
from tickwork.service.running.status import ProcessStatus
from tickwork.service.running.systemd import Systemd
from tickwork.service.running.watchdog import Watchdog
from tickwork.values import from_ns

_log = logging.getLogger("tickwork.up")

STOP_WITHIN_S: Final = 20.0
"""Seconds that what is under way is followed."""
_LETTING_GO_S: Final = 15.0
"""Seconds that are allowed beyond these for everything else of a stop."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Session(Protocol):
    """What a process runs: ``LiveSession`` is one."""

    engine: Engine
    on_owned: Callable[[], None]
    """Called once its folder is this process's."""

    async def __aenter__(self) -> Any: ...

    async def close(self) -> None:
        """Let everything go."""
        ...

    async def quiet(self) -> None:
        """Let nothing new come in; what is known goes on."""
        ...

    async def failed(self) -> None:
        """Return, or raise why, when it cannot go on."""
        ...

    def fault(self) -> str:
        """What is wrong with it; empty: nothing."""
        ...

    def parts(self) -> Iterable[Part]:
        """What it consists of."""
        ...

    def describe(self, status: ProcessStatus) -> ProcessStatus:
        """A status with what the session knows."""
        ...


class Up:
    """One process.

    Args:
        session: what it runs, not yet opened.
        place: where it leaves word.
        now: ns since 1970 UTC.
        version: ours.
        systemd: is told of everything.
        make_parts: more parts, once the session is open; they let the outside in.
        on_up: called when all is up.
        tell: a line for a person.
        stop_within: seconds for what is under way when it is told to stop.
        die: ends the process at once, with an exit code.
    """

    def __init__(
        self,
        session: Session,
        place: Place,
        *,
        now: Callable[[], int],
        version: str,
        systemd: Systemd,
        make_parts: Callable[[], Iterable[Part]] = tuple,
        on_up: Callable[[], Awaitable[None]],
        tell: Callable[[str], None],
        stop_within: float = STOP_WITHIN_S,
        die: Callable[[int], NoReturn] = os._exit,
    ) -> None:
        self.parts = Parts(now)
        self._session = session
        self._place = place
        self._now = now
        self._version = version
        self._systemd = systemd
        self._make_parts = make_parts
        self._on_up = on_up
        self._tell = tell
        self._stop_within = stop_within
        self._die = die
        self._stage: Stage = "opening"
        self._since = from_ns(now())
        self._told = asyncio.Event()
        self._limit: asyncio.TimerHandle | None = None
        """Ends the process if it is told to stop and does not."""
        self._left: list[UnderWay] = []
        self._owned = False
        """Has the folder ever been this process's? If not, the word there is another's."""
        session.on_owned = self._own
        self._watchdog = Watchdog(
            place.home, fault=self._fault, systemd=systemd, opening=lambda: self._stage == "opening", well=self._alive
        )

    # -- from start to end ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until told to stop.

        Raises:
            TickworkError, OSError: what keeps it from running, or has ended it.
        """
        make_home(self._place.home)
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        beating = asyncio.create_task(self._watchdog.run())
        try:
            if await self._open():
                await self._serve()
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
            beating.cancel()
            if self._limit is not None:
                self._limit.cancel()

    async def _open(self) -> bool:
        """Open everything; False: told to stop meanwhile. What was opened is closed again then."""
        opening = asyncio.create_task(self._session.__aenter__())
        told = asyncio.create_task(self._told.wait())
        try:
            await asyncio.wait({opening, told}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
                with suppress(asyncio.CancelledError):
                    await opening
                self._say("stopped", "told to stop while it was opening")
                return False
            try:
                opening.result()
            except BaseException as error:
                if self._owned and self._place.holder() in (0, os.getpid()):  # it is let go already
                    self._end_badly(error)
                raise
        finally:
            told.cancel()
        return True

    def _alive(self) -> None:
        if self._owned:
            self._place.touch()

    def _own(self) -> None:
        self._owned = True
        self._say("opening", "")

    async def _serve(self) -> None:
        try:
            engine = self._session.engine
            engine.offer({"up.status": self._answer_status, "up.stop": self._answer_stop})
            self.parts.add([*self._session.parts(), *self._make_parts()])
            await self.parts.start()
            await self._come_up()
            await self._until_told()
        except BaseException as error:
            self._end_badly(error)
            await self.parts.stop()
            await self._session.close()
            raise
        await self._stop()

    async def _come_up(self) -> None:
        self._say("up", "")
        await self._on_up()
        self._systemd.ready(f"up, {self._place.mode}")
        _log.info("up: %s, process %d", self._place.mode, os.getpid())

    async def _until_told(self) -> None:
        waiting = {
            asyncio.ensure_future(one) for one in (self._told.wait(), self._session.failed(), self.parts.ended())
        }
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        for one in done:
            one.result()

    # -- stopping -------------------------------------------------------------------------------------------------

    def _signalled(self, number: signal.Signals) -> None:
        if self._told.is_set():
            self._tell(f"told to stop once more ({number.name}): ending at once")
            self._die(128 + number)
        self._be_told(number.name)

    def _be_told(self, by: str) -> None:
        if not self._told.is_set():
            _log.info("told to stop: %s", by)
            within = self._stop_within + _LETTING_GO_S
            self._limit = asyncio.get_running_loop().call_later(within, self._too_long)
            self._told.set()

    async def _stop(self) -> None:
        engine = self._session.engine
        self._systemd.stopping("stopping")
        self._say("stopping", "")
        under = under_way(engine)
        self._tell(f"stopping{_following(under, self._stop_within)}")
        for complaint in await self.parts.stop():
            _log.warning("%s", complaint)
        await self._session.quiet()
        self._systemd.wait(self._stop_within + _LETTING_GO_S)
        self._left = await drain(engine, self._stop_within)
        for one in self._left:
            _log.warning("[%s] %s %s of %s is parked: it goes on at the next start", one.run, one.kind, one.name,
                         one.workflow)  # fmt: skip
        await self._session.close()
        self._say("stopped", "")
        self._tell(f"stopped{_parked(self._left)}")

    def _too_long(self) -> None:
        self._tell("stopping takes too long: ending at once; what was under way is looked for at the next start")
        _log.critical("stopping takes too long: ending at once")
        self._die(1)

    def _end_badly(self, error: BaseException) -> None:
        self._say("failed", f"{type(error).__name__}: {error}")
        self._systemd.stopping(f"failed: {error}")
        # whoever started it is told of the error itself
        _log.critical("ended by %s: %s", type(error).__name__, error, extra={TOLD: True}, exc_info=error.__cause__)

    # -- what others learn ----------------------------------------------------------------------------------------

    def _fault(self) -> str:
        return self._session.fault() if self._stage in ("up", "stopping") else ""

    def _say(self, stage: Stage, detail: str) -> None:
        self._stage = stage
        word = Word(
            pid=os.getpid(),
            mode=self._place.mode,
            stage=stage,
            since=self._since,
            at=from_ns(self._now()),
            version=self._version,
            detail=detail[:500],
            left=self._left,
        )
        try:
            self._place.write(word)
        except OSError as error:  # it trades all the same, or tells of the disk elsewhere
            _log.warning("%s cannot be written: %s", self._place.file, error.strerror)

    def status(self) -> ProcessStatus:
        """How it is."""
        now = self._now()
        known = ProcessStatus(
            stage=self._stage,
            mode=self._place.mode,
            pid=os.getpid(),
            since=self._since,
            uptime_seconds=int((from_ns(now) - self._since).total_seconds()),
            version=self._version,
            tape=str(self._place.tape.absolute()),
            addresses=self.parts.addresses,
            complaint=self._watchdog.complaint,
            parts=self.parts.status(),
            under_way=under_way(self._session.engine),
        )
        return self._session.describe(known)

    async def _answer_status(self) -> ProcessStatus:
        """A verb for other processes."""
        return self.status()

    async def _answer_stop(self) -> list[UnderWay]:
        """A verb for other processes: stop; answers what is under way."""
        found = under_way(self._session.engine)
        self._be_told("another process")
        return found


def names_of(under: Iterable[UnderWay], most: int = 5) -> str:
    """What is under way, in words."""
    found = [f"{one.name} of {one.workflow} ({one.run})" for one in under]
    more = len(found) - most
    return ", ".join(found[:most]) + (f" and {more} more" if more > 0 else "")


def _following(under: list[UnderWay], within: float) -> str:
    return f"; following for at most {within:g} s what is under way: {names_of(under)}" if under else ""


def _parked(left: list[UnderWay]) -> str:
    return f"; parked, and looked for at the next start: {names_of(left)}" if left else ""
