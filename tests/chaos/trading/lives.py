"""Processes that trade: started, killed, and asked how they ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.chaos.trading.exchange import CAPITAL, PRICES, ROOT, SECRET, TIMEOUT_S, VALIDITY_S, VISIBLE_S

WORKFLOWS: Final = Path(__file__).with_name("workflows.py")
ALONE: Final = "from tests.chaos.trading.zygote import become; import sys; become(sys.argv[3:], *sys.argv[1:3])"


def configured(folder: Path, url: str) -> Path:
    """Write the configuration of a process that trades at this exchange."""
    path = folder / "tickwork.toml"
    symbols = ", ".join(f'"{symbol}"' for symbol in PRICES)
    path.write_text(f"""
mode = "live"
home = "{folder / "home"}"
workflows = ["{WORKFLOWS}"]
log_level = "warning"

[server]
enabled = false

[accounts.main]
venue = "mexc"
symbols = [{symbols}]
capital = "{CAPITAL}"
url = "{url}"
poll = "150 ms"
quotes_every = "150 ms"
reconcile_every = "1 hour"
on_orphan_balance = "leave"

[accounts.main.risk.account]
max_order_notional = "2000"
max_position_notional = "40000"
approval_ttl = "5 s"

[accounts.main.settings]
recv_window = "{VALIDITY_S * 1_000:.0f} ms"
visibility_bound = "{VISIBLE_S * 1_000:.0f} ms"
timeout = "{TIMEOUT_S * 1_000:.0f} ms"

[accounts.main.settings.config]
enableRateLimit = false
""")
    return path


class Life:
    """One process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """How it ended, if it has."""
        raise NotImplementedError

    def wait(self) -> int:
        """How it ends."""
        raise NotImplementedError

    def kill(self) -> None:
        """Nothing is heard of by the process; harmless when it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def stop(self, seconds: float) -> int:
        """Ask it to end; when it does not, kill it."""
        os.kill(self.pid, signal.SIGTERM)
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            code = self.poll()
            if code is not None:
                return code
            time.sleep(0.02)
        self.kill()
        return self.wait()


class Alone(Life):
    """Started from nothing."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process.pid)
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self) -> int:
        return self._process.wait()


class Forked(Life):
    """A child of a zygote."""

    def __init__(self, pid: int, zygote: Zygote) -> None:
        super().__init__(pid)
        self._zygote = zygote
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._zygote.ask(poll=self.pid)["code"]
        return self._code

    def wait(self) -> int:
        while self._code is None:
            self._code = self._zygote.ask(wait=self.pid)["code"]
        return self._code


class Zygote:
    """See ``tests.chaos.trading.zygote``."""

    def __init__(self) -> None:
        line = [sys.executable, "-m", "tests.chaos.trading.zygote"]
        self._process = subprocess.Popen(
            line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._heard()

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def ask(self, **asked: object) -> dict[str, Any]:
        """One request, one answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        return self._heard()

    def close(self) -> None:
        """Its children are dead by now."""
        with self._process:
            pass  # it closes the pipes, which ends it, and waits


class Midwife:
    """Starts the processes of one folder."""

    def __init__(self, folder: Path, config: Path, plant: str, key: str) -> None:
        self._line = ["up", "--live", "--config", str(config)]
        self._env = {"MEXC_API_KEY": key, "MEXC_SECRET_KEY": SECRET}
        self._errors = folder / "stderr.txt"
        self._plant = plant
        self._zygote = Zygote()

    def born(self, point: str = "", *, alone: bool = False) -> Life:
        """A process that trades; ``alone``: not forked, but started as a person would."""
        if not alone:
            told = self._zygote.ask(
                line=self._line, env=self._env, stderr=str(self._errors), point=point, plant=self._plant
            )
            return Forked(told["pid"], self._zygote)
        named = point or self._plant
        tickwork = str(Path(sys.executable).with_name("tickwork"))
        line = [sys.executable, "-c", ALONE, point, self._plant] if named else [tickwork]
        with self._errors.open("ab") as errors:
            process = subprocess.Popen(
                [*line, *self._line],
                cwd=ROOT,
                env={**os.environ, **self._env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        return Alone(process)

    def close(self) -> None:
        """No more."""
        self._zygote.close()
