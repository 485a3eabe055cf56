"""Workflow documents: nodes a second, what a document costs over the same workflow in Python, a thousand nodes."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import uvloop

from benchmarks.figures import Figure, under_peer
from benchmarks.setting import Setting, folder
from tickwork import Engine, Run, Workflow, workflow
from tickwork.graph.compiling import compile_document
from tickwork.graph.declare import DECLARED, node, port
from tickwork.graph.document import Document
from tickwork.graph.library import Library
from tickwork.graph.reading import read_document, read_text
from tickwork.graph.wiring import plan


def increment(value: int) -> int:
    """The one thing that both do."""
    return value + 1


@node("bench_add", category="benchmarks", output="value")
def add(value: Annotated[int, port("a number")] = 0) -> int:
    """Adds one."""
    return value + 1


@node("bench_sum", category="benchmarks", output="value")
def total(value: Annotated[list[int], port("numbers", many=True)]) -> int:
    """Adds up."""
    return sum(value)


LIBRARY = Library(one for one in DECLARED.values() if one.category == "benchmarks")

STEPS = 10
WIDE = 8


@workflow("in-python")
async def in_python(run: Run) -> int:
    """A line of steps."""
    value = 0
    for index in range(STEPS):
        value = await run.step(f"n{index}", increment, value)
    return value


@workflow("in-python-wide")
async def in_python_wide(run: Run) -> int:
    """A step, eight beside each other, a step that takes them all."""
    first = await run.step("first", increment, 0)
    values = await run.all(*(run.step(f"n{index}", increment, first) for index in range(WIDE)))
    return await run.step("last", sum, values)


def line(count: int) -> Document:
    """A line of nodes."""
    nodes = [{"id": f"n{index}", "type": "bench_add"} for index in range(count)]
    edges = [{"from": f"n{index}", "to": f"n{index + 1}"} for index in range(count - 1)]
    return read_document({"name": f"line-{count}", "nodes": nodes, "edges": edges})


def wide(count: int) -> Document:
    """A node, many beside each other, a node that takes them all."""
    nodes = [{"id": "first", "type": "bench_add"}, {"id": "last", "type": "bench_sum"}]
    nodes += [{"id": f"n{index}", "type": "bench_add"} for index in range(count)]
    edges = [{"from": "first", "to": f"n{index}"} for index in range(count)]
    edges += [{"from": f"n{index}", "to": "last"} for index in range(count)]
    return read_document({"name": f"wide-{count}", "nodes": nodes, "edges": edges})


def measure(setting: Setting) -> None:
    """Nodes a second beside steps a second of the same in Python; milliseconds of a thousand nodes."""
    runs = setting.pick(1_000, 100)
    for name, document, python, nodes in (
        ("line", line(STEPS), in_python, STEPS),
        ("wide", wide(WIDE), in_python_wide, WIDE + 2),
    ):
        ours = min(uvloop.run(seconds(_compiled(document), runs)) for _ in range(3))
        theirs = min(uvloop.run(seconds(python, runs)) for _ in range(3))
        setting.add(Figure(f"document-{name}-nodes", runs * nodes / ours, "nodes/s", "steps of the same in Python",
                           runs * nodes / theirs))  # fmt: skip
        setting.add(Figure(f"document-{name}-overhead", ours / runs * 1e6, "us/run", "the same in Python",
                           theirs / runs * 1e6, under_peer(2)))  # fmt: skip
    for name, document in (("line", line(1_000)), ("wide", wide(1_000))):
        text = json.dumps(document.plain())
        setting.add(Figure(f"document-1000-{name}-read", _ms(lambda text=text: read_document(read_text(text))), "ms"))
        setting.add(Figure(f"document-1000-{name}-plan", _ms(lambda one=document: plan(one, LIBRARY, None)), "ms"))
        taken = min(uvloop.run(seconds(_compiled(document), 1)) for _ in range(3))
        setting.add(Figure(f"document-1000-{name}-run", taken * 1e3, "ms"))


def _compiled(document: Document) -> Workflow:
    return compile_document(document, library=LIBRARY, sources=None)


async def seconds(declared: Workflow, runs: int) -> float:
    """To start runs at once and have them all end, on disk."""
    with folder() as path:
        async with Engine(f"sqlite:///{path}/tape.db", workflows=[declared]) as engine:
            warm = await engine.start(declared)
            await warm.result()
            began = time.perf_counter()
            handles = [engine.start_soon(declared) for _ in range(runs)]
            for handle in handles:
                await handle.result()
            return time.perf_counter() - began


def _ms(call: Any) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best * 1e3
