"""Run by the Python of ``.bench-env``: messages through huey on SQLite with fsync. Prints one line of JSON.

It imports nothing of tickwork. A message is a task whose function returns its argument; results are not stored. A
consumer takes a task and runs it: huey removes a task when it is taken, so there is nothing to acknowledge.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

from huey import SqliteHuey


def main(folder: str, count: int) -> None:
    """Measure and print."""
    queue = SqliteHuey("bench", filename=f"{folder}/huey.db", fsync=True, results=False)

    @queue.task()
    def work(message: dict[str, object]) -> dict[str, object]:
        return message

    work({"n": -1})
    queue.execute(queue.dequeue())
    began = time.perf_counter()
    for n in range(count):
        work({"n": n, "symbol": "BTC/USDT", "side": "buy"})
    sent = time.perf_counter()
    for _ in range(count):
        queue.execute(queue.dequeue())
    ended = time.perf_counter()
    assert queue.dequeue() is None
    result = {
        "version": version("huey"),
        "sent": count / (sent - began),
        "done": count / (ended - sent),
        "through": count / (ended - began),
    }
    print("RESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
