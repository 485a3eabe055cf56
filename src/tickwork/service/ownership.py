"""Who has a tape open, and what only that process knows."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from tickwork.engines.embedded.control import ask_owner
from tickwork.errors import TickworkError

PATIENCE_S: Final = 5.0
"""Seconds after which a process that has not answered is said not to: what it is asked costs it a few milliseconds."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The process that has a tape open."""

    pid: str = ""
    """Empty where the system does not tell."""
    problem: str = ""
    """Why it does not answer as it should; empty: it does. Then the rest is known."""
    in_memory: int = 0
    """Runs."""
    workflows: frozenset[tuple[str, int]] = frozenset()
    """Name and version of those it was given."""
    undeclared: frozenset[str] = frozenset()
    """Queues that have messages and that it does not declare."""


def owner_of(tape: str, patience: float = PATIENCE_S) -> Owner | None:
    """The process that has the tape at a path open; ``None``: there is none. Asks it over its control socket.

    Args:
        patience: seconds to wait for each of its answers.
    """
    try:
        status = ask_owner(tape, "status", timeout=patience)
        queues = ask_owner(tape, "queues.statuses", timeout=patience)
    except ConnectionError:
        pid = holder_of(tape)
        return Owner(pid=pid, problem="does not listen (is it just opening the tape?)") if pid else None
    except TimeoutError:
        return Owner(pid=holder_of(tape), problem=f"has not answered within {patience:g} seconds")
    except (OSError, TickworkError) as error:
        return Owner(pid=holder_of(tape), problem=f"answers: {error}")
    return Owner(
        pid=holder_of(tape),
        in_memory=status["inMemory"],
        workflows=frozenset((name, version) for name, version in status["workflows"]),
        undeclared=frozenset(queue["name"] for queue in queues if queue["capacity"] is None),
    )


def holder_of(tape: str) -> str:
    """The process that holds the tape's lock; empty: none, or the system does not tell.

    Read from /proc/locks (proc_locks(5)): to try the lock would keep away an owner that is just opening the tape.
    """
    try:
        inode = Path(tape + ".lock").stat().st_ino
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return ""
    # such as "1: FLOCK  ADVISORY  WRITE 4711 fe:00:2196093 0 EOF"; one that waits for a lock has "->" in between
    held = [words for words in map(str.split, locks) if words[1] == "FLOCK"]
    return next((words[4] for words in held if words[5].endswith(f":{inode}")), "")
