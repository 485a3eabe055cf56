"""What the tests of MCP share: an engine with its service in this process, and one in another."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client as SdkClient
from mcp.client.stdio import StdioServerParameters

from tickwork import Engine, Run, workflow
from tickwork.faces.mcp.server import make_server
from tickwork.service.api.caller import SCOPES, Caller
from tickwork.service.api.here import Service

PATIENCE = 60.0

Client: Any = SdkClient
"""The official client. What it answers is looked at as a client's program would, without knowing its classes."""

WORKER = """
    import asyncio, signal
    from tickwork import Engine, Run, workflow
    from tickwork.service.api.here import Service
    from tickwork.service.operations import all as every

    @workflow("sleeper")
    async def sleeper(run: Run, hours: dict) -> int:
        await run.sleep("1 hour")
        return 1

    async def main():
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        async with Engine("sqlite:///tape.db", workflows=[sleeper]) as engine:
            service = Service(engine)
            service.open()
            for id in ("one", "two", "three"):
                await engine.start(sleeper, {}, id=id)
            await ended.wait()
            service.close()

    asyncio.run(main())
"""
"""A process that owns ``tape.db``, with three runs that sleep."""


@workflow("sleeper")
async def sleeper(run: Run, hours: dict[str, Any]) -> int:
    await run.sleep("1 hour")
    return 1


def caller(*scopes: str, **fields: Any) -> Caller:
    """Somebody with these rights; without any: with all."""
    return Caller(name="somebody", face="mcp", scopes=frozenset(scopes or SCOPES), **fields)


@asynccontextmanager
async def connected(service: Any, who: Caller, mode: str = "auto", **options: Any) -> AsyncIterator[Any]:
    """A client of a server in this process."""
    async with Client(make_server(service, lambda _: who), mode=mode, **options) as client:
        yield client


@asynccontextmanager
async def served(path: Path, runs: int = 1) -> AsyncIterator[Service]:
    """The service of an engine with a few runs that sleep: r-0, r-1, ..."""
    async with Engine(f"sqlite:///{path}", workflows=[sleeper]) as engine:
        for number in range(runs):
            await engine.start(sleeper, {}, id=f"r-{number}")
        service = Service(engine)
        service.open()
        yield service
        service.close()


def over_stdio(tape: Path, *words: str, **env: str) -> StdioServerParameters:
    """``tickwork mcp`` on a tape."""
    command = str(Path(sys.executable).parent / "tickwork")
    return StdioServerParameters(command=command, args=["mcp", "--tape", str(tape), *words], env=env)


def within(law: Callable[[], Awaitable[None]]) -> None:
    """Run a test, which ends or has failed."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await law()

    asyncio.run(bounded())
