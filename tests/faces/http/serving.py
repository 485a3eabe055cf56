"""What the tests of HTTP share: an engine with its service, served over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tickwork import Engine, Run, Webhook, workflow
from tickwork.core.view import View
from tickwork.core.webhook import WebhookReceived
from tickwork.core.workflow import Workflow
from tickwork.faces.http.app import create_app
from tickwork.faces.http.security import Limits, Security
from tickwork.faces.http.server import Server
from tickwork.service.api.here import Service
from tickwork.service.api.tokens import TokenMade
from tickwork.service.hooks import Hooks
from tickwork.service.secrets import Secrets
from tickwork.values import from_ns

LOCAL = frozenset({"read", "operate", "trade"})
SECRET = "correct horse battery staple"
HOOK = Webhook("orders", secret_env="SECRET")
LIMITS = Limits(per_caller=1e6, per_address=1e6)
"""Rates that no test reaches unless it is about them."""


@workflow("waits")
async def waits(run: Run, what: dict[str, Any]) -> None:
    """Sleeps for longer than any test."""
    await run.sleep("1 hour")


@workflow("quick")
async def quick(run: Run, what: dict[str, Any]) -> dict[str, Any]:
    """Gives back what it was given."""
    return what


@workflow("hooked", on=HOOK)
async def hooked(run: Run, hook: WebhookReceived) -> Any:
    """Runs for each delivery."""
    return hook.body


WORKFLOWS = (waits, quick, hooked)


@dataclass
class Served:
    """A server and who asks it."""

    engine: Engine
    service: Service
    server: Server
    client: httpx2.AsyncClient

    def token(self, *scopes: str, **fields: Any) -> dict[str, str]:
        """The header of a fresh token."""
        return {"Authorization": f"Bearer {self.made(*scopes, **fields).secret}"}

    def made(self, *scopes: str, name: str = "", **fields: Any) -> TokenMade:
        """A fresh token."""
        if {"trade", "admin"} & set(scopes):
            fields.setdefault("accounts", ["*"])
        now = from_ns(self.engine.clock.now())
        return self.service.tokens.create(name or f"t{len(self.service.tokens.lines())}", list(scopes), now, **fields)


@asynccontextmanager
async def served(
    folder: Path,
    *,
    security: Security | None = None,
    workflows: Sequence[Workflow] = WORKFLOWS,
    views: Sequence[View] = (),
    **given: Any,
) -> AsyncIterator[Served]:
    """An engine on a file, served until the block ends."""
    async with Engine(f"sqlite:///{folder}/tape.db", workflows=workflows, views=views) as engine:
        service = Service(engine)
        service.open()
        hooks = Hooks(engine, Secrets({"SECRET": SECRET}))
        security = security or Security(local=LOCAL, limits=LIMITS)
        app = create_app(service, security=security, hooks=hooks, **given)
        async with (
            Server(app, port=0, limits=security.limits) as server,
            httpx2.AsyncClient(base_url=server.address, timeout=20) as client,
        ):
            yield Served(engine, service, server, client)
        service.close()


async def raw(server: Server, sent: bytes) -> bytes:
    """What the server answers to some bytes, until it closes."""
    host, _, port = server.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["code"] == code, told
    assert told["status"] == status
    assert told["type"] == f"urn:tickwork:problem:{code}"
    return told
