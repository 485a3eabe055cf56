"""What a node sees of its run: what was over before it began, as its own edges tell.

Which edges a ``join: any`` goes on with depends on which were alive when it began, and so on time. In a new attempt
everything that was done before is there at once; so the choice is remembered, and every node sees only what came to it
along its edges. It is then given the same values in every attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tickwork.graph.wiring.planned import Frame, Outputs


class View:
    """What is read from while a node runs.

    Args:
        seen: a bit for each node that was over.
        dead: a bit for each node before it whose edge to it is not alive, so carries nothing.
    """

    __slots__ = ("dead", "event", "inputs", "outputs", "trigger")

    def __init__(self, frame: Frame, seen: int, dead: int) -> None:
        self.outputs: Outputs = _Seen(frame.outputs, seen)
        self.inputs = frame.inputs
        self.event = frame.event
        self.trigger = frame.trigger
        self.dead = dead


class _Seen(Sequence[Any]):
    __slots__ = ("_outputs", "_seen")

    def __init__(self, outputs: Outputs, seen: int) -> None:
        self._outputs, self._seen = outputs, seen

    def __getitem__(self, index: Any) -> Any:
        return self._outputs[index] if self._seen >> index & 1 else None

    def __len__(self) -> int:
        return len(self._outputs)
