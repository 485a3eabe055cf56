"""Emits notes on a disk that breaks; says each number once it was acknowledged, then why it stopped."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from tests.faults.support import Note, engine
from tickwork import TapeError
from tickwork.engines.embedded import schema

PAGES = 30
"""A checkpoint after so many, so that the file itself is synced often."""


async def main(tape: Path) -> None:
    """Until it stops."""
    schema.CHECKPOINT_PAGES = PAGES
    try:
        async with engine(tape) as running:
            for n in range(1_000):
                await running.emit(Note(n=n, text="x" * 2_000))
                sys.stdout.write(f"{n}\n")
    except TapeError as fault:
        sys.stdout.write(f"stopped: {fault}\n".replace("\n", " ").strip() + "\n")
    else:
        sys.stdout.write("never stopped\n")


logging.disable(logging.CRITICAL)
asyncio.run(main(Path(sys.argv[1])))
