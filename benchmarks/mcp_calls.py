"""Calls of MCP a second: over stdio and HTTP, one at a time and twenty at once, beside a bare server of the same SDK.

The bare server has one tool, which answers as a constant what ours does. Ours reads five runs off the tape,
with rights, arguments and result checked. Client and SDK are the same in both, and take most of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp_types as types
import msgspec
import uvicorn
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from starlette.applications import Starlette

from benchmarks.figures import Figure, times_peer
from benchmarks.setting import ROOT, Setting, folder, median
from tickwork import Engine, Run, workflow
from tickwork.faces.mcp.mount import mcp_mount
from tickwork.faces.mcp.schemas import output_schema
from tickwork.service.api.caller import local
from tickwork.service.api.here import Service
from tickwork.service.api.there import Remote
from tickwork.service.operations.all import CATALOGUE

RUNS, AT_ONCE = 5, 20
ROUNDS = 3


@workflow("sleeper")
async def sleeper(run: Run, input: dict) -> int:
    await run.sleep("1 hour")
    return 1


def measure(setting: Setting) -> None:
    """Both transports, in turns with the bare server."""
    asyncio.run(_measure(setting))


async def _measure(setting: Setting) -> None:
    calls = setting.pick(600, 100)
    with folder() as path:
        tape = path / "tape.db"
        async with Engine(f"sqlite:///{tape}", workflows=[sleeper]) as engine:
            for number in range(RUNS):
                await engine.start(sleeper, {}, id=f"r-{number}")
        for transport in ("stdio", "http"):
            for at_once in (1, AT_ONCE):
                found: dict[str, list[float]] = {"ours": [], "bare": []}
                for _ in range(ROUNDS):
                    for whose, rates in found.items():
                        rates.append(await _rate(whose, transport, tape, calls, at_once))
                setting.add(
                    Figure(
                        f"mcp calls over {transport}, {at_once} at once",
                        median(found["ours"]),
                        "calls/s",
                        "a bare server of the SDK",
                        median(found["bare"]),
                        times_peer(0.5),
                        f"{calls} calls a round, {ROUNDS} rounds in turns; ours lists {RUNS} runs",
                    )
                )


async def _rate(whose: str, transport: str, tape: Path, calls: int, at_once: int) -> float:
    async with _connected(whose, transport, tape) as client:
        tool = "runs_list" if whose == "ours" else "constant"
        await client.list_tools()
        await _call(client, tool, 20)
        began = time.perf_counter()
        await asyncio.gather(*(_call(client, tool, calls // at_once) for _ in range(at_once)))
        return (calls // at_once) * at_once / (time.perf_counter() - began)


async def _call(client: Client, tool: str, count: int) -> None:
    for _ in range(count):
        found = await client.call_tool(tool, {"limit": RUNS})
        assert len(found.structured_content["items"]) == RUNS, found


@contextlib.asynccontextmanager
async def _connected(whose: str, transport: str, tape: Path) -> AsyncIterator[Client]:
    words = ["-m", "benchmarks.mcp_calls", whose, transport, str(tape)]
    if transport == "stdio":
        command = [str(Path(sys.executable).parent / "tickwork"), "mcp", "--tape", str(tape)]
        command = command if whose == "ours" else [sys.executable, *words]
        async with Client(StdioServerParameters(command=command[0], args=command[1:], cwd=ROOT)) as client:
            yield client
        return
    server = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        assert server.stdout is not None
        async with Client((await server.stdout.readline()).decode().strip()) as client:
            yield client
    finally:
        server.terminate()
        await server.wait()


# -------------------------------------------------------------------------------------------------------- the servers


def _bare(tape: Path) -> Server[Any]:
    """One tool, which answers what ours did once, with its schema: the client holds answers against it."""
    remote = Remote(str(tape))
    value = asyncio.run(remote.call("runs.list", {"limit": RUNS}, local("mcp", ["read"]))).value
    remote.close()
    schema = output_schema(CATALOGUE["runs.list"])
    tool = types.Tool(name="constant", input_schema={"type": "object"}, output_schema=schema)

    async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool])

    async def call_tool(_: Any, __: Any) -> types.CallToolResult:
        content = types.TextContent(type="text", text=msgspec.json.encode(value).decode())
        return types.CallToolResult(content=[content], structured_content=value)

    return Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)


async def _bare_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def _listen(app: Any) -> None:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    # with its protocol named: asyncio sends small packets at once only on sockets that say they are TCP's
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()  # whoever connects before it is served waits
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    await server.serve([listening])


async def _ours_http(tape: Path) -> None:
    async with Engine(f"sqlite:///{tape}", workflows=[sleeper]) as engine:
        mount = mcp_mount(Service(engine), lambda _: local("mcp", ["read"]))
        await _listen(Starlette(routes=mount.routes(), lifespan=lambda _: mount.running()))


def main() -> None:
    """A server: ours or a bare one, over stdio or HTTP, on a tape."""
    whose, transport, tape = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if whose == "ours":
        asyncio.run(_ours_http(tape))
    elif transport == "stdio":
        asyncio.run(_bare_stdio(_bare(tape)))
    else:
        asyncio.run(_listen(_bare(tape).streamable_http_app(json_response=True, stateless_http=True)))


if __name__ == "__main__":
    main()
