"""A process that has loaded everything once, and forks a real ``tickwork`` process for each life.

Loading the exchange client costs seconds, and a life is not much longer. So a life is a fork, made before anything was
opened, that gives the command line to ``tickwork``'s own ``main``; it is a process of its own and dies by SIGKILL as
any other. A line of JSON each way:

    {"line": ["up", "--live", ...], "env": {...}, "stderr": path, "point": "name:count", "plant": name}   {"pid": 17}
    {"wait": 17}                                                                            {"code": -9 | 0 | ...}
    {"poll": 17}                                                                            {"code": null | ...}
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any

from tests.chaos.trading import plants, points


def main() -> int:
    """Until stdin ends."""
    import ccxt.pro  # noqa: F401 - what is loaded here is loaded once

    import tickwork.app
    import tickwork.faces.cli
    import tickwork.graph.library
    import tickwork.service.accounts.session
    import tickwork.service.documents.documents
    import tickwork.service.documents.opening
    import tickwork.settings
    import tickwork.venues.ccxt.venue
    import tickwork.venues.feeds.ccxt  # noqa: F401

    gc.freeze()
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    codes: dict[int, int] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "line" in asked:
            told: dict[str, Any] = {"pid": _forked(asked)}
        elif "wait" in asked:
            told = {"code": codes.pop(asked["wait"], None) or _code(asked["wait"], 0)}
        else:
            code = _code(asked["poll"], os.WNOHANG)
            if code is not None:
                codes[asked["poll"]] = code
            told = {"code": code}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    return 0


def _code(pid: int, how: int) -> int | None:
    try:
        found, status = os.waitpid(pid, how)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if found else None


def _forked(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _live(asked)
    finally:
        os._exit(70)


def _live(asked: dict[str, Any]) -> None:
    """What a process of its own does; does not return."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    errors = os.open(asked["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, to in ((0, nothing), (1, nothing), (2, errors)):
        os.dup2(to, number)
    os.environ.update(asked["env"])
    _hurry()
    become(asked["line"], asked.get("point", ""), asked.get("plant", ""))


def _hurry() -> None:
    """Let the feed not wait for its turn: ccxt's pacing holds the first price back for longer than a life lasts."""
    from tickwork.venues.feeds.ccxt import CcxtFeed

    made = CcxtFeed.__init__

    def hurried(self: CcxtFeed, *args: Any, **keywords: Any) -> None:
        made(self, *args, **{**keywords, "config": {"enableRateLimit": False}})

    CcxtFeed.__init__ = hurried  # type: ignore[method-assign]


def become(line: list[str], point: str, plant: str) -> None:
    """Be ``tickwork`` with this command line."""
    from tickwork.app import main as tickwork

    points.arm(point)
    points.install()
    plants.apply(plant)
    sys.argv = ["tickwork", *line]
    code: object = 1
    try:
        tickwork()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - whatever it was, it is said, and this process must not go on as its parent
        import traceback

        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    sys.exit(main())
