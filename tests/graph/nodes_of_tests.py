"""Node types for tests of the graph room: what they do is written down in ``Notes``, by run."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from tickwork.core.run import Run
from tickwork.errors import NotSent, Refused
from tickwork.graph.declare import DECLARED, Context, formula, node, param, port, test
from tickwork.graph.library import Library
from tickwork.graph.sources import News
from tickwork.outcome import Found, NotFound


class Notes:
    """What was really done, however often a body is replayed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.outside: dict[str, Any] = {}
        """Effects by their key."""
        self.hold: asyncio.Event | None = None
        """What slow functions wait for."""
        self.failing: dict[str, int] = {}
        """How often a node fails yet, by its id."""

    def fails(self, node: str) -> bool:
        left = self.failing.get(node, 0)
        self.failing[node] = left - 1
        return left > 0


NOTES = Notes()


class Given(msgspec.Struct, frozen=True):
    value: Annotated[int, port("the value")]
    label: Annotated[str, port("a text")]


class Ways(msgspec.Struct, frozen=True):
    branch: Annotated[str, port("the branch taken")]
    value: Annotated[int, port("passed on")]


class Branched(msgspec.Struct, frozen=True):
    branch: Annotated[str, port("the branch taken")]


@node("test_give", category="tests")
def give(*, value: Annotated[int, param("what it gives", ge=0)] = 1, context: Context) -> Given:
    """Gives a value."""
    NOTES.calls.append((context.node, value))
    if NOTES.fails(context.node):
        raise ValueError(f"{context.node} fails")
    return Given(value, f"v{value}")


@node("test_add", category="tests", output="value")
def add(
    value: Annotated[int, port("what to add to")],
    *,
    by: Annotated[int, param("how much")] = 1,
    context: Context,
) -> int:
    """Adds to a value."""
    NOTES.calls.append((context.node, value))
    if NOTES.fails(context.node):
        raise ValueError(f"{context.node} fails")
    return value + by


@node("test_sum", category="tests", output="value")
def total(value: Annotated[list[int], port("values", many=True)] = [], *, context: Context) -> int:  # noqa: B006
    """Adds values up."""
    NOTES.calls.append((context.node, sum(value)))
    if NOTES.fails(context.node):
        raise ValueError(f"{context.node} fails")
    return sum(value)


@node("test_if", category="tests", branches=("true", "false"))
def choose(*, test: Annotated[bool, test("which way")]) -> Branched:
    """Takes a branch."""
    return Branched("true" if test else "false")


@node("test_wait", category="tests", output="value")
async def wait(
    run: Run,
    value: Annotated[int, port("passed on")] = 0,
    *,
    seconds: Annotated[int, param("how long", unit="s", ge=0)] = 60,
    context: Context,
) -> int:
    """Waits, then passes a value on."""
    await run.sleep(f"{seconds} seconds")
    return await run.step("passed", _passed, context.node, value)


def _passed(node: str, value: int) -> int:
    NOTES.calls.append((node, value))
    if NOTES.fails(node):
        raise ValueError(f"{node} fails")
    return value


def look(key: str, value: int, *, context: Context) -> Found[int] | NotFound:
    found = NOTES.outside.get(key)
    return NotFound() if found is None else Found(found[1])


@node("test_act", category="tests", effect=True, output="value", lookup=look)
def act(value: Annotated[int, port("what to do")] = 0, *, context: Context, key: str) -> int:
    """Does something outside."""
    NOTES.calls.append((context.node, value))
    if NOTES.fails(context.node):
        raise Refused("tests", context.node)
    NOTES.outside[key] = (context.node, value)
    return value


@node("test_take_back", category="tests", effect=True, output="gone")
def take_back(value: Annotated[int, port("what to take back")] = 0, *, context: Context, key: str) -> int:
    """Takes something back."""
    NOTES.calls.append((f"undo {context.node}", value))
    if NOTES.fails(f"undo {context.node}"):
        raise Refused("tests", "undo")
    NOTES.outside[key] = (f"undo {context.node}", value)
    return value


@node("test_scale", category="tests", output="value")
def scale(
    value: Annotated[int, port("what is scaled")] = 1,
    *,
    by: Annotated[int, param("by how much", aliases=("times", "factor"))] = 1,
) -> int:
    """Scales a value; knows nothing of its run."""
    NOTES.calls.append(("scale", (value, by)))
    return value * by


@node("test_slow", category="tests", effect=True, output="value", lookup=look)
async def slow(value: Annotated[int, port("what to do")] = 0, *, context: Context, key: str) -> int:
    """Does something outside, once it is let."""
    NOTES.calls.append((context.node, value))
    if NOTES.hold is not None and NOTES.fails(context.node):
        await NOTES.hold.wait()
    NOTES.outside[key] = (context.node, value)
    return value


@node("test_stuck", category="tests", output="value")
async def stuck(*, context: Context) -> int:
    """Takes as long as it is held."""
    NOTES.calls.append((context.node, 0))
    if NOTES.hold is not None and NOTES.fails(context.node):
        await NOTES.hold.wait()
    return 1


def put(node: str, value: int, *, key: str) -> int:
    """An effect of verbs nodes."""
    NOTES.calls.append((node, value))
    if NOTES.fails(node):
        raise NotSent(f"{node} is not there")
    NOTES.outside[key] = (node, value)
    return value


@node("test_put", category="tests", output="value")
async def puts(
    run: Run,
    value: Annotated[int, port("what to put")] = 0,
    *,
    seconds: Annotated[int, param("waits after it", unit="s", ge=0)] = 0,
    context: Context,
) -> int:
    """Does something outside by verbs of its own."""
    name = f"undo {context.undoing}" if context.undoing else context.node
    await run.effect("put", put, name, value)
    if seconds:
        await run.sleep(f"{seconds} seconds")
    return await run.step("passed", _passed, f"{name} passed", value)


def lose(node: str, value: int, *, key: str) -> int:
    """An effect that happens, and whose answer is lost."""
    NOTES.outside[key] = (node, value)
    NOTES.calls.append((node, value))
    if NOTES.fails(node):
        raise ConnectionError("the answer is lost")
    return value


@node("test_lossy_undo", category="tests", effect=True, output="gone")
def lossy_undo(value: Annotated[int, port("what to take back")] = 0, *, context: Context, key: str) -> int:
    """Takes something back, and loses the answer."""
    return lose(f"undo {context.node}", value, key=key)


@node("test_slow_undo", category="tests", effect=True, output="gone")
async def slow_undo(value: Annotated[int, port("what to take back")] = 0, *, context: Context, key: str) -> int:
    """Takes something back once it is let."""
    NOTES.calls.append((f"undo {context.node}", value))
    if NOTES.hold is not None:
        await NOTES.hold.wait()
    NOTES.outside[key] = (f"undo {context.node}", value)
    return value


@node("test_try", category="tests", output="value")
async def tries(run: Run, *, context: Context) -> int:
    """As long, by verbs."""
    return await run.step("stuck", stuck_step, context.node)


async def stuck_step(node: str) -> int:
    NOTES.calls.append((node, 0))
    if NOTES.hold is not None and NOTES.fails(node):
        await NOTES.hold.wait()
    return 1


@node("test_open", category="tests")
def opened(*, fields: Annotated[dict[str, Any], param("what it gives")]) -> dict[str, Any]:
    """Gives whatever it is told."""
    return fields


class Two(msgspec.Struct, frozen=True):
    bid: Annotated[Decimal, port("best bid")]
    ask: Annotated[Decimal, port("best ask")]
    seen: Annotated[list[Given], port("what was seen")] = []


@node("test_two", category="tests")
def two(
    *, bid: Annotated[Decimal, param("bid")] = Decimal(1), ask: Annotated[Decimal, param("ask")] = Decimal(2)
) -> Two:
    """Gives two prices."""
    return Two(bid, ask, [Given(1, "one")])


@node("test_text", category="tests", output="text")
def text(label: Annotated[str, port("a text")], note: Annotated[str, port("another")] = "") -> str:
    """Takes a text."""
    return label + note


@node("test_lone", category="tests", output="seen")
def lone(amount: Annotated[int, port("how much", lone=True)] = -1) -> int:
    """Has one input, with a default."""
    return amount


@node("test_expr", category="tests", output="value")
def computed(*, formula: Annotated[Any, formula("what to compute")]) -> str:
    """Computes."""
    return str(formula)


@node("test_branch", category="tests", branches=("low", "high"))
def branching(value: Annotated[int, port("what decides")]) -> Ways:
    """Takes a branch and passes on."""
    NOTES.calls.append(("branching", value))
    return Ways("high" if value > 2 else "low", value)


@node("test_news", category="tests", output="count", check=lambda params, sources: params.get("bad") and "not bad")
def from_news(*, news: News, bad: Annotated[bool, param("refused")] = False) -> int:
    """Needs news."""
    return 0


class Kinds(msgspec.Struct, frozen=True):
    word: Annotated[str, port("a text")] = "x"
    maybe: Annotated[str | None, port("a text, or nothing")] = None
    exact: Annotated[Decimal, port("a number")] = Decimal(1)
    sure: Annotated[bool, port("yes or no")] = True
    any: Annotated[Any, port("whatever")] = None
    side: Annotated[Literal["BUY", "SELL"], port("one of two words")] = "BUY"


@node("test_kinds", category="tests")
def kinds() -> Kinds:
    """Gives values of several kinds."""
    return Kinds()


@node("test_size", category="tests", output="value", one_of=("much", "part"))
def size(
    *, much: Annotated[int | None, param("how much")] = None, part: Annotated[int | None, param("which part")] = None
) -> int:
    """Takes one of two."""
    return much or part or 0


@node("test_call", category="tests", output="value", calls="workflow")
def call(*, workflow: Annotated[str, param("which", aliases=("flow",))]) -> str:
    """Names a workflow."""
    return workflow


LIBRARY = Library(one for one in DECLARED.values() if one.category == "tests")
