"""The exchange behind a socket and as a process of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tickwork.errors import InvalidInput
from tickwork.sim.exchange.__main__ import api_of, main, market_of

pytest.importorskip("aiohttp")


@pytest.fixture(scope="module")
def process() -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    command = [sys.executable, "-m", "tickwork.sim.exchange", "--venue", "mexc", "--market", "BTC/USDT=60000,tick=0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as opened:
        assert opened.stdout is not None
        told = json.loads(opened.stdout.readline())
        yield opened, told
        opened.send_signal(signal.SIGTERM)
        assert opened.wait(10) == 0
        assert opened.stdout.read() == ""


def ask(url: str, method: str = "GET", body: object = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, method=method), timeout=10) as answer:
            return json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_it_says_where_it_is_and_answers(process: tuple[subprocess.Popen[str], dict[str, str]]) -> None:
    _, told = process
    assert (told["venue"], told["account"]) == ("mexc", "main")
    assert ask(f"{told['url']}/api/v3/ping") == {}
    assert ask(f"{told['url']}/api/v3/ticker/price?symbol=BTCUSDT") == {"symbol": "BTCUSDT", "price": "60000"}


def test_it_is_driven_by_its_control_routes(process: tuple[subprocess.Popen[str], dict[str, str]]) -> None:
    url = process[1]["url"]
    assert ask(f"{url}/_control/move", "POST", {"symbol": "BTC/USDT", "price": "61000"}) == {"trades": 0}
    assert ask(f"{url}/api/v3/ticker/price?symbol=BTCUSDT") == {"symbol": "BTCUSDT", "price": "61000"}
    assert ask(f"{url}/_control/move", "POST", {"symbol": "BTC/USDT", "price": "61000.05"})[0] == 400  # type: ignore[index] # status and words
    told = ask(f"{url}/_control/faults", "POST", {"kind": "error_before", "on": "ping", "times": 1})
    assert told == {"numbers": [1]}
    assert ask(f"{url}/api/v3/ping")[0] == 500  # type: ignore[index] # status and words
    assert ask(f"{url}/api/v3/ping") == {}


def test_a_dropped_connection_is_dropped(process: tuple[subprocess.Popen[str], dict[str, str]]) -> None:
    url = process[1]["url"]
    ask(f"{url}/_control/faults", "POST", {"kind": "drop_after", "on": "time", "times": 1})
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(b"GET /api/v3/time HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(100) == b""
    assert "serverTime" in ask(f"{url}/api/v3/time")  # type: ignore[operator] # JSON


def test_a_market_on_the_command_line() -> None:
    market = market_of("NEW/USDT=0.5,tick=0.0001,step=1,minNotional=5,opensIn=30,levels=3,takerFee=0", 10**18)
    assert (market.id, market.opens_at, market.levels) == ("NEWUSDT", 10**18 + 30 * 10**9, 3)
    for wrong in ("NEWUSDT=1", "NEW/USDT", "NEW/USDT=0", "NEW/USDT=1,colour=red", "NEW/USDT=1,tick=0", "NEW/USDT=x"):
        with pytest.raises(InvalidInput):
            market_of(wrong, 0)


def test_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--market", "NEW/USDT"]) == 2
    assert "BTC/USDT=60000" in capsys.readouterr().err


def test_what_the_command_line_makes() -> None:
    from tickwork.sim.exchange.__main__ import _arguments

    api = api_of(
        _arguments().parse_args(
            ["--venue", "binance", "--balance", "BTC=2", "--storm", "0.1", "--duplicates", "same", "--limits"]
        )
    )
    assert api.name == "binance"
    assert (api.exchange.fees_in, api.exchange.duplicates) == ("received", "same")
    assert str(api.exchange.account("main").of("BTC").free) == "2"
    assert api.limits is not None
    assert len(api.faults.faults()) > 10
