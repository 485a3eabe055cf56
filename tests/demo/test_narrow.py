"""Tables on narrow terminals: ids, states and figures are whole or not there."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from tests.demo.support import BTC, COMMAND, ENVIRONMENT, answer, demo
from tests.some import some
from tickwork.app import open_demo
from tickwork.faces import demo as face
from tickwork.faces.grid import Grid
from tickwork.service.demo import DemoOptions, DemoSession

WIDTHS = (60, 80, 120)
COLOUR = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo on all of its data."""
    made = tmp_path_factory.mktemp("home")
    demo(made)
    return made


def on_a_terminal(width: int, *args: str) -> list[str]:
    """The lines a verb prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environment = {**ENVIRONMENT, "COLUMNS": str(width), "LINES": "30", "TERM": "xterm"}
    with subprocess.Popen([*COMMAND, *args], stdout=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # how Linux says that the other side has closed
                break
            if not part:
                break
            said += part
        assert process.wait() == 0
    os.close(ours)
    return COLOUR.sub("", said.decode()).replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("width", some(WIDTHS, quick=1))
@pytest.mark.parametrize("more", [(), pytest.param(("--workflow", "convergence"), marks=pytest.mark.slow)])
def test_runs(width: int, more: tuple[str, ...], home: Path) -> None:
    lines = on_a_terminal(width, "runs", "--home", str(home), "--limit", "50", *more)
    assert max(map(len, lines)) <= width
    found = answer(home, "runs", "--limit", "50", *more)
    for line, run in zip(lines[1:], found, strict=True):
        words = line.split()
        assert words[0] == run["id"]
        assert {run["key"], run["status"], run["result"]["action"]} <= set(words)
        assert "…" not in line.removesuffix("…")


@pytest.mark.parametrize("width", some(WIDTHS, quick=1))
def test_orders(width: int, home: Path) -> None:
    lines = on_a_terminal(width, "orders", "--home", str(home), "--limit", "100")
    found = answer(home, "orders", "--limit", "100")
    assert any("/" in order["symbol"] for order in found)
    for line, order in zip(lines[1:], found, strict=True):
        assert {order[name] for name in ("run", "symbol", "side", "quantity", "status")} <= set(line.split())
        assert f"{float(order['price']):,.2f}" in line.split()
        assert "…" not in line.removesuffix("…")
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", some(WIDTHS, quick=1))
def test_positions(width: int, home: Path) -> None:
    lines = on_a_terminal(width, "positions", "--home", str(home))
    (held,) = answer(home, "positions")["positions"]
    assert {held["symbol"], held["quantity"], f"{float(held['value']):,.2f}"} <= set(lines[1].split())
    assert max(map(len, lines)) <= width


def test_the_demo_while_it_runs(tmp_path: Path) -> None:
    async def screens() -> dict[int, str]:
        session = open_demo(DemoOptions(home=tmp_path / "home", data=BTC[1::2]))
        playing = asyncio.ensure_future(session.run())
        while not session.desk.ledger.positions():  # noqa: ASYNC110 - it has no such event
            await asyncio.sleep(0)
        shown = {width: screen(session, width) for width in WIDTHS}
        playing.cancel()
        await asyncio.wait([playing])
        await session.close()
        return shown

    for width, shown in asyncio.run(screens()).items():
        lines = shown.splitlines()
        assert max(map(len, lines)) <= width
        places = [place for place, line in enumerate(lines) if line.startswith(("symbol", "last decisions"))]
        figures, (held, decided) = lines[places[0] - 2], places
        assert " USD " in figures
        assert "…" not in "".join(lines[:decided])
        assert re.match(r"BTC/USD +[\d,.]+ +0\.\d{8} +[\d,.]+$", lines[held + 1])
        for line in lines[decided + 1 :]:
            assert {"BTC/USD"} <= set(line.split())
            assert {"buy", "sell", "hold", "stopped"} & set(line.split())
            assert "…" not in line.removesuffix("…")


def screen(session: DemoSession, width: int) -> str:
    out = Console(width=width, file=io.StringIO(), color_system=None)
    out.print(face._screen(session, 1.0))
    assert isinstance(out.file, io.StringIO)
    return "\n".join(line.rstrip() for line in out.file.getvalue().splitlines())


def test_what_is_given_up_in_which_order() -> None:
    made = Grid("id", "when", "who", "why", rest="why", give=(("when", lambda text: text[-2:]), "who"))
    made.add("r1", "yesterday at 12", "somebody", Text("because of this and that"))
    shown = {width: [line.plain for line in made.lines(width)] for width in (80, 40, 30, 20, 14, 4)}
    assert shown[80][1] == "r1  yesterday at 12  somebody  because of this and that"
    assert shown[40][1] == "r1  yesterday at 12  somebody  because …"
    assert shown[30][1] == "r1  12    somebody  because o…"
    assert shown[20][1] == "r1  12    because o…"
    assert shown[14][1] == "r1  12"
    assert shown[4][1] == "r1  12", "what must be there is there, however narrow"
