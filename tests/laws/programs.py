"""Workflow programs as data: a small language, a body that interprets it, and an outside world that keeps count.

A program is a list of nodes; a node is a list whose first item says what it does. Programs are plain JSON, so that they
are the inputs of real runs. Whatever may end first is kept apart in virtual time by hours (arms of a race, arms of an
``all`` that may fail), so that a crash does not legitimately change who wins.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from tickwork.core.breaker import Breaker
from tickwork.core.event import Event
from tickwork.core.letters import DeadLetterPolicy, Rule
from tickwork.core.queue import Queue
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.errors import Cancelled, NotSent, Rejected
from tickwork.outcome import Found, NotFound

Program = list[Any]

BOX = Queue("box", policy=DeadLetterPolicy(Rule("*", "discard")))
"""Where programs send; nobody fetches."""


class Note(Event, name="laws/note"):
    """What programs emit and wait for."""

    tag: str
    number: int = 0


class World:
    """What is outside: it survives every crash."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        """How often each effect key took hold."""
        self.label: dict[str, str] = {}
        """Which effect a key belongs to."""
        self.calls: Counter[str] = Counter()
        self.looked: Counter[str] = Counter()
        self.resent_safely: set[str] = set()
        """Keys of effects that have a look-up."""
        self.before_call: Callable[[str], None] = lambda key: None
        """Called before each effect; a law puts its own check here."""

    def labels(self) -> Counter[str]:
        """How many keys took hold, by effect."""
        return Counter(self.label[key] for key in self.done)

    def call(self, label: str, mode: str, key: str, looked_for: bool) -> str:
        """Make an effect."""
        self.before_call(key)
        self.calls[key] += 1
        if looked_for:
            self.resent_safely.add(key)
        first = self.calls[key] == 1
        if mode == "rejected":
            raise Rejected("world", label)
        if mode == "notsent" and first:
            raise NotSent(label)
        if mode == "before" and first:
            raise ConnectionError(f"lost before {label}")
        if looked_for or key not in self.done:
            self.done[key] += 1
        self.label[key] = label
        if mode in ("after", "blind") and first:
            raise ConnectionError(f"lost after {label}")
        return f"did {label}"

    def look(self, key: str, label: str, mode: str) -> Found[str] | NotFound:
        """Find out whether an effect took hold."""
        self.looked[key] += 1
        if mode == "blind" and self.looked[key] == 1:
            raise ConnectionError(f"cannot see {label}")
        return Found(f"did {label}") if key in self.done else NotFound()


world = World()


def new_world() -> World:
    """Start over."""
    global world  # noqa: PLW0603 - there is one world at a time, as for real workflows
    world = World()
    return world


# --------------------------------------------------------------------------------------- functions that programs call


def calm(label: str) -> str:
    return f"step {label}"


async def calm_async(label: str) -> str:
    await asyncio.sleep(0)
    return f"step {label}"


def broken(label: str) -> str:
    raise ValueError(label)


_tries: Counter[str] = Counter()


def shaky(label: str, run: str) -> str:
    _tries[run + label] += 1
    if _tries[run + label] < 3:
        raise ConnectionError(label)
    return f"step {label}"


async def shaky_async(label: str, run: str) -> str:
    await asyncio.sleep(0)
    return shaky(label, run)


def touch(label: str, mode: str, *, key: str) -> str:
    return world.call(label, mode, key, False)


def touch_seen(label: str, mode: str, *, key: str) -> str:
    return world.call(label, mode, key, True)


async def touch_async(label: str, mode: str, *, key: str) -> str:
    await asyncio.sleep(0)
    return world.call(label, mode, key, True)


def look(key: str, label: str, mode: str) -> Found[str] | NotFound:
    return world.look(key, label, mode)


async def look_async(key: str, label: str, mode: str) -> Found[str] | NotFound:
    await asyncio.sleep(0)
    return world.look(key, label, mode)


def undo_step(result: str, label: str) -> str:
    return f"undid {result}"


def undo_badly(result: str, label: str) -> str:
    raise Rejected("world", f"undo of {result}")


def undo_effect(result: str, label: str, mode: str, *, key: str) -> str:
    return world.call(f"undo {label}", "ok", key, False)


QUICK = Retry(limit=3, delay="1 s")
JITTER = Retry(limit=3, delay="1 s", jitter=0.5)


# ------------------------------------------------------------------------------------------------------ the interpreter


class _Body:
    """Interprets one run's program."""

    def __init__(self, run: Run, programs: dict[str, Workflow]) -> None:
        self.run = run
        self.start = run.mark()
        self.children = programs
        self.shared: list[str] = []
        """Written by every arm: its order must be the same in every replay."""

    async def play(self, program: Program) -> list[Any]:
        trace: list[Any] = []
        for node in program:
            name = f"{node[0]}:{node[1] if len(node) > 1 and isinstance(node[1], str) else ''}"
            self.shared.append(name)
            trace.append(await self.node(node))
            self.shared.append(f"{name}.")
        return trace

    async def node(self, node: list[Any]) -> Any:
        found: Callable[..., Awaitable[Any]] = getattr(self, "do_" + node[0])
        return await found(*node[1:])

    async def do_step(self, label: str, mode: str) -> Any:
        run = self.run
        if mode in ("shaky", "shaky_async"):
            fn: Any = shaky if mode == "shaky" else shaky_async
            return await run.step(label, fn, label, run.id, retry=JITTER)
        return await run.step(label, {"ok": calm, "async": calm_async, "broken": broken}[mode], label)

    def effect(self, label: str, mode: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if mode in ("ok", "rejected", "notsent"):
            return (label, touch, label, mode), {"retry": QUICK if mode == "notsent" else None}
        kind = mode.removeprefix("async_")
        is_async = kind != mode
        call, see = (touch_async, look_async) if is_async else (touch_seen, look)
        return (label, call, label, kind), {"lookup": see, "grace": "2 s" if kind == "before" else None}

    async def do_effect(self, label: str, mode: str) -> Any:
        args, options = self.effect(label, mode)
        return await self.run.effect(*args, **options)

    async def do_sleep(self, seconds: float) -> None:
        await self.run.sleep(timedelta(seconds=seconds))

    async def do_until(self, seconds: float) -> None:
        await self.run.sleep_until(self.run.now() + timedelta(seconds=seconds))

    async def do_emit(self, tag: str, delay: float) -> None:
        await self.run.emit(Note(tag=tag), delay=timedelta(seconds=delay) if delay else None)

    async def do_send(self, label: str) -> None:
        await self.run.send(BOX, label, group="laws")

    async def do_emits(self, tag: str, number: int, batch: int) -> int:
        events = [Note(tag=f"{tag}.{index}", number=index) for index in range(number)]
        return len(set(await self.run.emit_all(events, batch, pause="1 s")))

    def guard(self) -> Breaker:
        """One for each run: what several share depends on who comes first."""
        return Breaker(f"laws {self.run.id}", threshold=2, open_for="3 s", successes=1)

    async def do_guarded(self, label: str, mode: str) -> Any:
        fns: dict[str, Any] = {"ok": calm, "async": calm_async, "broken": broken}
        try:
            return await self.run.step(label, fns[mode], label, breaker=self.guard())
        except ValueError as error:
            return str(error)

    async def do_insured(self, label: str, patient: bool) -> Any:
        retry = QUICK if patient else None
        return await self.run.effect(label, touch, label, "ok", breaker=self.guard(), retry=retry)

    async def do_wait(self, tag: str, seconds: float, how: str) -> Any:
        where: Any = {"tag": tag} if how == "mapping" else f"tag == '{tag}' and number >= 0"
        found = await self.run.wait_for(
            Note, where, since=self.start, timeout=timedelta(seconds=seconds) if seconds else None
        )
        return None if found is None else found.tag

    async def do_approval(self, question: str, seconds: float) -> bool:
        return await self.run.approval(question, timeout=timedelta(seconds=seconds))

    async def do_child(self, label: str, how: str, kind: str, program: Program) -> Any:
        child = self.children[kind]
        if how == "start":
            await self.run.start(child, program)
            return "started"
        return (await self.run.call(child, program))["trace"]

    async def do_all(self, arms: list[Program]) -> Any:
        return await self.run.all(*(self.play(arm) for arm in arms))

    async def do_race(self, arms: list[Program]) -> Any:
        return list(await self.run.race(*(self.play(arm) for arm in arms)))

    async def do_saga(self, parts: list[Any], fails: bool) -> Any:
        trace = []
        async with self.run.saga() as saga:
            for label, what, undo in parts:
                if what == "step":
                    undoing = undo_step if undo == "well" else undo_badly
                    trace.append(await saga.step(label, calm, label, undo=undoing))
                else:
                    args, options = self.effect(label, what)
                    trace.append(await saga.effect(*args, undo=undo_effect, **options))
            if fails:
                raise ValueError("saga")
        return trace

    async def do_patched(self, name: str) -> bool:
        return self.run.patched(name)

    async def do_random(self, label: str) -> Any:
        number, name = self.run.random(), str(self.run.uuid())
        return await self.run.step(label, lambda *what: None, number, name)

    async def do_now(self, label: str) -> Any:
        return await self.run.step(label, lambda what: None, self.run.now().isoformat())

    async def do_try(self, tried: Program, otherwise: Program) -> Any:
        try:
            return await self.play(tried)
        except Exception as error:  # noqa: BLE001 - programs catch what they like
            self.shared.append(type(error).__name__)
            return [f"{type(error).__name__}: {error}", await self.play(otherwise)]

    async def do_finally(self, tried: Program, cleanup: Program) -> Any:
        try:
            return await self.play(tried)
        finally:
            await self.play(cleanup)

    async def do_stubborn(self, tried: Program, otherwise: Program) -> Any:
        """Cleans up when it is cancelled, and lets it pass."""
        try:
            return await self.play(tried)
        except Cancelled:
            await self.play(otherwise)
            raise

    async def do_fail(self, label: str, attempts: int) -> None:
        if self.run.attempt <= attempts:
            raise ConnectionError(label)

    async def do_again(self, left: int, program: Program) -> Any:
        if left <= 0:
            return "over"
        return await self.run.again([*program, ["again", left - 1, program]])


def make_workflows() -> dict[str, Workflow]:
    """One interpreter in four guises."""
    made: dict[str, Workflow] = {}

    async def body(run: Run, program: list[Any]) -> dict[str, Any]:
        playing = _Body(run, made)
        trace = await playing.play(program)
        return {"trace": trace, "shared": playing.shared}

    async def failed(run: Run, program: list[Any], error: BaseException) -> None:
        await run.step("mourn", calm, str(error))
        await run.emit(Note(tag=f"failed {run.id}"))

    made["plain"] = workflow("plain")(body)
    made["retried"] = workflow("retried", retry=Retry(limit=2, delay="10 s"))(body)
    made["mourned"] = workflow("mourned", on_failure=failed)(body)
    made["both"] = workflow("both", retry=Retry(limit=1, delay="10 s", jitter=1.0), on_failure=failed)(body)
    return made


# --------------------------------------------------------------------------------------------------------- strategies

HOUR = 3600
KINDS = ("plain", "retried", "mourned", "both")
SAFE_EFFECTS = ("ok", "after", "before", "blind", "notsent", "async_after", "async_before", "async_ok")

_safe = st.one_of(
    st.builds(lambda mode: ["step", "?", mode], st.sampled_from(["ok", "async", "shaky", "shaky_async"])),
    st.builds(lambda mode: ["effect", "?", mode], st.sampled_from(SAFE_EFFECTS)),
    st.builds(lambda s: ["sleep", s], st.integers(0, 5)),
    st.builds(lambda s: ["until", s], st.integers(-2, 5)),
    st.builds(lambda s: ["emit", "?", s], st.sampled_from([0, 0, 3])),
    st.just(["send", "?"]),
    st.builds(lambda n, batch: ["emits", "?", n, batch], st.integers(0, 5), st.integers(1, 3)),
    st.builds(lambda how, s: ["wait", "*", s, how], st.sampled_from(["mapping", "text"]), st.just(7.25)),
    st.builds(lambda: ["approval", "?", 11]),
    st.builds(lambda: ["patched", "?"]),
    st.builds(lambda: ["now", "?"]),
    st.builds(lambda: ["random", "?"]),
)
_risky = st.one_of(
    st.just(["step", "?", "broken"]),
    st.just(["effect", "?", "rejected"]),
    st.builds(lambda mode: ["guarded", "?", mode], st.sampled_from(["ok", "async", "broken", "broken"])),
    st.builds(lambda patient: ["insured", "?", patient], st.booleans()),
    st.builds(lambda n: ["fail", "?", n], st.integers(1, 3)),
)


def _apart(arms: list[Program]) -> list[Program]:
    return [[["sleep", HOUR * 10**index], *arm] for index, arm in enumerate(arms)]


def _nested(inner: st.SearchStrategy[Any], safe: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    safely = st.lists(safe, min_size=1, max_size=3)
    kinds = st.sampled_from(KINDS)
    parts = st.lists(
        st.tuples(
            st.just("?"), st.sampled_from(["step", "ok", "after", "async_ok"]), st.sampled_from(["well", "badly"])
        ),
        min_size=1,
        max_size=3,
    )
    return st.one_of(
        st.builds(lambda how, kind, p: ["child", "?", how, kind, p], st.sampled_from(["call", "start"]), kinds, some),
        st.builds(lambda arms: ["all", arms], st.lists(safely, min_size=0, max_size=3)),
        st.builds(lambda arms: ["all", _apart(arms)], st.lists(some, min_size=1, max_size=3)),
        st.builds(lambda arms: ["race", _apart(arms)], st.lists(some, min_size=1, max_size=3)),
        st.builds(lambda p, fails: ["saga", [list(part) for part in p], fails], parts, st.booleans()),
        st.builds(lambda a, b: ["try", a, b], some, safely),
        st.builds(lambda a, b: ["finally", a, b], some, safely),
        st.builds(lambda a, b: ["stubborn", a, b], some, safely),
    )


_leaf = st.one_of(_safe, _safe, _risky)
_node = st.one_of(_leaf, _nested(_leaf, _safe), _nested(st.one_of(_leaf, _nested(_leaf, _safe)), _safe))


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, Program]:
    """A kind of workflow and a program for it, with every label its own."""
    program = draw(st.lists(_node, min_size=1, max_size=5))
    if draw(st.integers(0, 5)) == 0:
        program = [*program, ["again", draw(st.integers(0, 2)), [["step", "?", "ok"], ["sleep", 5]]]]
    count = itertools.count()
    tags = [""]

    def label(value: Any, emits: bool = False) -> Any:
        if value == "?":
            name = f"n{next(count)}"
            if emits:
                tags.append(name)
            return name
        if value == "*":
            return tags[-1] or "nobody"
        if isinstance(value, list):
            return [label(item, bool(value) and value[0] == "emit") for item in value]
        return value

    named: Program = label(program)
    return draw(st.sampled_from(KINDS)), named
