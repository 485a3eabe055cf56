"""What a run writes down of its own decisions, so that a new attempt of it decides the same.

A new attempt keeps what was done and does anew what was not. Two decisions depend on more than on what was done: which
edges a ``join: any`` went on with (on time), and that a node was replaced by its fallback (on a failure, which may have
passed). Were they made anew, a node that was done could be asked for with other inputs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tickwork.core.codec import decode_error, encode_error
from tickwork.core.run import Run
from tickwork.graph.running.calling import Bound, bound


def said(*, what: Any) -> Any:
    """What a mark says."""
    return what


def _saying(what: Any) -> Bound:
    # bound and no argument: a mark that is there counts, whatever would be said now
    return bound(Bound, said, {"what": what}, 0)


async def joined(run: Run, node: str, over: list[str]) -> list[str]:
    """The nodes whose edges a join goes on with: those that were over when it first began."""
    found: list[str] = await run.step(f"{node} joined", _saying(over), {})
    return found


async def replaced(run: Run, node: str, error: BaseException) -> None:
    """Its fallback was done instead."""
    await run.step(f"{node} replaced", _saying(msgspec.json.decode(encode_error(error)[0])), {})


def replaced_before(run: Run, node: str) -> BaseException | None:
    """What the node died of in an earlier attempt, in which its fallback was done instead."""
    found = run.remembered(f"{node} replaced")
    return None if found is None else decode_error(msgspec.json.encode(found))
