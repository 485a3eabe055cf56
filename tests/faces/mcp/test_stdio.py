"""``tickwork mcp``, as a client starts it: a real process, the official client, and frames that are none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.faces.mcp.serving import PATIENCE, WORKER, Client, over_stdio, within
from tests.faces.support import answer, worker
from tickwork.faces.mcp.lines import LINE_MAX


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tape that a process has open."""
    with worker(tmp_path_factory.mktemp("owner"), WORKER) as path:
        yield path


@pytest.mark.parametrize("mode", ["auto", pytest.param("legacy", marks=pytest.mark.slow)])
def test_a_client_looks_and_may_do_nothing_else(tape: Path, mode: str) -> None:
    async def law() -> None:
        async with Client(over_stdio(tape), mode=mode) as client:
            tools = (await client.list_tools()).tools
            assert tools
            assert all(tool.annotations.read_only_hint for tool in tools)
            heard: list[float] = []

            async def hear(progress: float, total: float | None, message: str | None) -> None:
                heard.append(progress)

            found = await client.call_tool("runs_list", {"limit": 5}, progress_callback=hear)
            assert {run["id"] for run in found.structured_content["items"]} >= {"one", "two"}
            assert heard[:1] == [0.0]
            refused = await client.call_tool("runs_cancel", {"run": "one"})
            assert refused.structured_content["code"] == "forbidden"
            shown = await client.list_resources()
            assert "runs://recent" in {str(one.uri) for one in shown.resources}
            recent = await client.read_resource("runs://recent")
            assert {run["id"] for run in json.loads(recent.contents[0].text)["items"]} >= {"one", "two"}
            assert (await client.get_prompt("position-review")).messages

    within(law)


def test_a_client_with_the_right_cancels_a_run(tape: Path) -> None:
    async def law() -> None:
        async with Client(over_stdio(tape, "--allow", "operate")) as client:
            done = await client.call_tool("runs_cancel", {"run": "two", "idempotency_key": "k"})
            again = await client.call_tool("runs_cancel", {"run": "two", "idempotency_key": "k"})
            assert done.structured_content == again.structured_content == {"id": "two", "done": "cancelled"}
            shown = await client.call_tool("runs_list", {"status": ["cancelled"]})
            assert [run["id"] for run in shown.structured_content["items"]] == ["two"]

    within(law)


def test_a_token_gives_its_rights_until_it_is_revoked(tape: Path) -> None:
    token = answer(tape, "call", "tokens.create", "name=robot", 'scopes=["operate"]')

    async def law() -> None:
        async with Client(over_stdio(tape, TICKWORK_TOKEN=token["secret"])) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert "runs_cancel" in tools
            assert "tokens_create" not in tools
            answer(tape, "call", "tokens.revoke", "name=robot")
            found = await client.call_tool("runs_list", {})
            assert found.structured_content["code"] == "unauthenticated"

    within(law)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--allow", "trade"), "--account"),
        pytest.param(*(("--allow", "everything"), "--allow"), marks=pytest.mark.slow),
        pytest.param(*(("--account", "main"), "--account"), marks=pytest.mark.slow),
        pytest.param(*(("--token", "tickwork_none"), "no token"), marks=pytest.mark.slow),
        pytest.param(*(("--token", "tickwork_none", "--allow", "trade"), "--allow"), marks=pytest.mark.slow),
    ],
)
def test_wrong_rights_are_said_at_once(tape: Path, words: tuple[str, ...], told: str) -> None:
    found = _mcp(tape, b"", *words)
    assert found.returncode in (1, 2)
    assert found.stdout == b""
    assert found.stderr.count(b"\n") == 1
    assert told in found.stderr.decode()
    assert b"tickwork_none" not in found.stderr


def test_no_tape_is_an_answer(tmp_path: Path) -> None:
    async def law() -> None:
        async with Client(over_stdio(tmp_path / "none.db")) as client:
            found = await client.call_tool("runs_list", {})
            assert found.structured_content["code"] == "tape-error"

    within(law)


# ------------------------------------------------------------------------------------------------- frames that are none


def _mcp(tape: Path, given: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [str(Path(sys.executable).parent / "tickwork"), "mcp", "--tape", str(tape), *words]
    return subprocess.run(command, input=given, capture_output=True, timeout=PATIENCE, check=False)


class Talk:
    """A client that writes what it likes."""

    def __init__(self, tape: Path, *words: str) -> None:
        command = [str(Path(sys.executable).parent / "tickwork"), "mcp", "--tape", str(tape), *words]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def begin(self) -> None:
        """Shake hands."""
        client = {"name": "test", "version": "1"}
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        self.say(_message(id=1, method="initialize", params=params))
        assert self.hear()["result"]["serverInfo"]["name"] == "tickwork"
        self.say(_message(method="notifications/initialized"))


def _message(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **fields}).encode()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        pytest.param(*(b"{", -32700), id="open"),
        pytest.param(*(b"nonsense", -32700), id="word", marks=pytest.mark.slow),
        pytest.param(*(b"\xff\xfe", -32700), id="bytes"),
        pytest.param(*(b"7", -32600), id="number"),
        pytest.param(*(b"[]", -32600), id="batch", marks=pytest.mark.slow),
        pytest.param(*(b'{"jsonrpc": "1.0"}', -32600), id="version", marks=pytest.mark.slow),
        pytest.param(*(b'{"id": 3}', -32600), id="method", marks=pytest.mark.slow),
        pytest.param(*(b"[" * 100_000, -32700), id="deep", marks=pytest.mark.slow),
        pytest.param(*(b"x" * (LINE_MAX + 10), -32700), id="long", marks=pytest.mark.slow),
    ],
)
def test_a_frame_that_is_none_is_answered_and_the_next_one_too(tape: Path, frame: bytes, code: int) -> None:
    with Talk(tape) as talk:
        talk.begin()
        talk.say(frame)
        told = talk.hear()
        assert (told["id"], told["error"]["code"]) == (None, code)
        talk.say(_message(id=2, method="tools/list"))
        assert talk.hear()["id"] == 2


def test_wrong_requests_are_errors_of_the_protocol(tape: Path) -> None:
    with Talk(tape) as talk:
        talk.begin()
        for number, (method, params) in enumerate(
            [("tools/call", {}), ("tools/call", {"name": 7}), ("nothing/here", {}), ("resources/read", {"uri": "x:y"})],
            start=2,
        ):
            talk.say(_message(id=number, method=method, params=params))
            told = talk.hear()
            assert told["id"] == number
            assert told["error"]["code"] in (-32601, -32602)


# ------------------------------------------------------------------------------------------------------------- the end


def test_it_ends_with_its_stdin_and_says_nothing(tape: Path) -> None:
    found = _mcp(tape, b"")
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_it_ends_when_it_is_told_to(tape: Path, number: signal.Signals) -> None:
    with Talk(tape) as talk:
        talk.begin()
        talk.process.send_signal(number)
        assert talk.process.wait(PATIENCE) == 0
        assert talk.process.stderr is not None
        assert talk.process.stderr.read() == b""


def test_a_client_that_goes_in_the_middle_leaves_no_process_and_no_half_command(tape: Path) -> None:
    with Talk(tape, "--allow", "operate") as talk:
        talk.begin()
        asked = {"name": "runs_cancel", "arguments": {"run": "three", "idempotency_key": "gone"}}
        talk.say(_message(id=2, method="tools/call", params=asked))
        assert talk.process.stdin is not None
        assert talk.process.stdout is not None
        assert talk.process.stderr is not None
        talk.process.stdin.close()
        talk.process.stdout.close()
        assert talk.process.wait(PATIENCE) == 0
        assert b"Traceback" not in talk.process.stderr.read()
    # whether it was done or not: asked for again under its key, it is done once
    done = answer(tape, "call", "runs.cancel", "run=three", "--key", "gone")
    assert done == {"id": "three", "done": "cancelled"}
