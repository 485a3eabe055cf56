"""Where ids and randomness come from: a nonce of each opening of the tape, and what they name."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from typing import Any

from tickwork.core.drive import Waiting
from tickwork.engines.embedded.live import LiveRun


class Names:
    """Derives names. The nonces keep a restored tape from repeating those of the tape it was."""

    def __init__(self) -> None:
        self.openings: list[tuple[int, str]] = []
        """Where the tape was opened, with the nonce of each opening."""

    def seed(self, seq: int, id: str) -> bytes:
        """What a run's own randomness grows from."""
        return f"{self.nonce(seq)}/{id}".encode()

    def nonce(self, seq: int) -> str:
        """The nonce of the opening under which a position was written."""
        if self.openings and seq >= self.openings[-1][0]:
            return self.openings[-1][1]
        index = bisect_right(self.openings, (seq, "\U0010ffff")) - 1
        return self.openings[max(index, 0)][1] if self.openings else ""

    def effect_key(self, run: LiveRun, waiting: Waiting) -> str:
        """32 hexadecimal digits (128 bits): fits the client order ids of every venue we know."""
        ask: Any = waiting.ask
        identity = (waiting.branch.path, ask.kind, ask.name, waiting.occ)
        generation = 0 if run.course is None else run.course.generations.get(identity, 0)
        # the nonce in force now: a restored tape may give a run's position, and so its id, to another run
        nonce = self.openings[-1][1] if self.openings else ""
        text = "\0".join((nonce, run.id, str(run.seq), *map(str, identity), str(generation)))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
