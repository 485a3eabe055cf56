"""The embedded engine. See ``engine`` for the way in, ``schema`` for what is on disk.

engine    the public face, and the crank that is turned        runs      turns, parking, waking, endings
log       the end of the tape, batches, who waits for the disk batch     one transaction
writer    the one writer                                       reader    reading it back, checked
steps, effects, events, family, views   who answers which asks calls     where functions run
timers    the near future                                      lock, control   one owner, and how to ask it
"""

from tickwork.engines.embedded.assembly import Memory
from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.handle import Handle
from tickwork.engines.embedded.queries import Queries, RunDetail, RunInfo
from tickwork.engines.embedded.status import Status

__all__ = ["Engine", "Handle", "Memory", "Queries", "RunDetail", "RunInfo", "Status"]
