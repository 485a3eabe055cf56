"""The simulated exchange as a process of its own, and what goes wrong there."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parents[3]
PRICES: Final = {"BTC/USDT": 60_000, "ETH/USDT": 3_000, "SOL/USDT": 150}
BALANCES: Final = {"USDT": "100000", "BTC": "0.25", "ETH": "1.5"}
"""What was there before; of it ``CAPITAL`` USDT are ours."""
CAPITAL: Final = "50000"
SECRET: Final = "simulated-secret"
VALIDITY_S: Final = 0.6
"""``recvWindow``."""
VISIBLE_S: Final = 0.4
"""The bound that the account declares; what lags here lags less."""
TIMEOUT_S: Final = 1.0
"""Of a request."""

_WRITES, _READS = "order.create,order.cancel", "order.query,orders.open,orders.history,orders.trades"
_ORDERS: Final = f"{_WRITES},{_READS}"

FAULTS: Final[dict[str, list[dict[str, Any]]]] = {
    "drop_before": [{"kind": "drop_before", "on": _ORDERS}],
    "drop_after": [{"kind": "drop_after", "on": _WRITES}],
    "error_before": [{"kind": "error_before", "on": _ORDERS, "status": 503}],
    "error_after": [{"kind": "error_after", "on": _WRITES, "status": 502}],
    "stall": [{"kind": "stall", "on": _WRITES, "seconds": TIMEOUT_S + 0.4}],
    "slow": [{"kind": "stall", "on": _ORDERS, "seconds": 0.5}],
    "late": [{"kind": "late", "on": _WRITES, "seconds": 0.8 * VALIDITY_S}],
    "too late": [{"kind": "late", "on": "order.create", "seconds": 1.5 * VALIDITY_S}],
    "rate_limit": [{"kind": "rate_limit", "on": _ORDERS, "seconds": 1}],
    "forbidden": [{"kind": "forbidden", "on": _WRITES}],
    "ban": [{"kind": "ban", "on": _WRITES, "seconds": 1, "times": 1}],
    "maintenance": [{"kind": "maintenance", "on": _WRITES, "seconds": 1, "times": 1}],
    "not_found": [{"kind": "not_found", "on": "order.query,order.cancel"}],
    "lag": [{"kind": "lag", "seconds": 0.8 * VISIBLE_S}],
    "lag of trades": [{"kind": "lag", "seconds": 1.5, "views": ["trades"]}],
    "lost in lag": [
        {"kind": "lag", "seconds": 0.8 * VISIBLE_S},
        {"kind": "drop_after", "on": "order.create"},
    ],
    "partial": [{"kind": "partial", "fraction": "0.4"}],
    "cancel_race": [{"kind": "cancel_race", "answer": "ok", "fraction": "1"}],
    "cancel_race, part": [{"kind": "cancel_race", "answer": "ok", "fraction": "0.5"}],
    "cancel_race, unknown": [{"kind": "cancel_race", "answer": "unknown", "fraction": "1"}],
    "cancel_late": [{"kind": "cancel_late", "seconds": 0.7}],
    "stale": [{"kind": "stale", "seconds": 0.8 * VISIBLE_S}],
    **{
        f"nonsense, {shape}": [{"kind": "nonsense", "on": _ORDERS, "shape": shape}]
        for shape in ("html", "truncated", "strings", "numbers", "types", "empty", "null")
    },
}
"""Faults by the names that reports give them. None but ``late`` and ``lag`` has to be within a bound."""


def drawn(rng: Random, only: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """What goes wrong in one life."""
    if only:
        return [{**fault, "probability": 0.4} for name in only for fault in FAULTS[name]]
    names = rng.sample(sorted(FAULTS), rng.choice((0, 0, 2, 3, 4)))
    return [{"probability": round(rng.uniform(0.03, 0.2), 3), **fault} for name in names for fault in FAULTS[name]]


class Exchange:
    """A running one. It is never killed."""

    def __init__(self, seed: int | str) -> None:
        # of a key only one process of a machine may make use, and there are several exchanges
        self.key = f"key-{token_hex(8)}"
        line = [sys.executable, "-m", "tickwork.sim.exchange", "--venue", "mexc", "--duplicates", "accept"]
        line += ["--seed", str(abs(hash_of(seed))), "--key", self.key, "--secret", SECRET]
        for symbol, price in PRICES.items():
            line += ["--market", f"{symbol}={price}"]
        for asset, amount in BALANCES.items():
            line += ["--balance", f"{asset}={amount}"]
        self._process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with self._process:
            pass  # it waits, and closes the pipe

    def _ask(self, method: str, name: str, data: object = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"{self.url}/_control/{name}", body, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def truth(self) -> Any:
        """What is there."""
        return self._ask("GET", "truth")

    def become(self, faults: list[dict[str, Any]]) -> None:
        """Go wrong like this from now on, and not otherwise."""
        self._ask("DELETE", "faults")
        if faults:
            self._ask("POST", "faults", faults)

    def counts(self) -> dict[str, int]:
        """How often each kind of fault was done."""
        found: dict[str, int] = self._ask("GET", "faults")["counts"]
        return found

    def move(self, symbol: str, price: str) -> None:
        """The market goes there; what it crosses is filled."""
        self._ask("POST", "move", {"symbol": symbol, "price": price})


def hash_of(seed: int | str) -> int:
    """A number of a seed, the same in every process."""
    return Random(str(seed)).randrange(1 << 30)
