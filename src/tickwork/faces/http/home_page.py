"""``/``: what runs here, with links; or the dashboard, where it is shipped."""

from __future__ import annotations

import mimetypes
from html import escape
from pathlib import Path
from typing import Final

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from tickwork.errors import TickworkError
from tickwork.faces.http.around import Around
from tickwork.faces.http.pages import APP_POLICY, only, send_page, wants_page
from tickwork.faces.http.replies import refusal
from tickwork.faces.http.visit import caller_of, visit_of
from tickwork.service.api.here import Service

DIST: Final = Path(__file__).resolve().parent.parent / "web" / "dist"
"""Where the dashboard's built files are, once there are some."""

# some systems' tables say text/plain, and a browser that was told nosniff does not run that
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("font/woff2", ".woff2")

_LINKS: Final = (
    ("/halt", "Halt", "stop trading, flatten, let it go on"),
    ("/api/v1/docs", "API", "everything that can be asked, with examples"),
    ("/api/v1/openapi.json", "OpenAPI", "the same for programs"),
    ("/readyz", "Ready?", "what is not well"),
    ("/metrics", "Metrics", "for Prometheus"),
)


class HomePage:
    """What no other route takes."""

    def __init__(self, service: Service, around: Around, dist: Path = DIST) -> None:
        self._service = service
        self._around = around
        self._dist = dist if (dist / "index.html").is_file() else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A file of the dashboard; for a page of it, its one document; else, at ``/``, what runs."""
        path = scope["path"]
        if self._dist is None:
            if path != "/":
                raise refusal("not-found", f"there is nothing at {path[:200]}", kind="path", id=path[:200])
            visit_of(scope).route = "/"
            only(scope, "GET", "HEAD")
            return await self._show(scope, send)
        visit_of(scope).route = "/ (dashboard)"
        only(scope, "GET", "HEAD")
        file = _file(self._dist, path)
        if file is None and not (path == "/" or wants_page(scope)):
            raise refusal("not-found", f"there is nothing at {path[:200]}", kind="path", id=path[:200])
        headers = {"content-security-policy": APP_POLICY, "cache-control": "no-cache"}
        return await FileResponse(file or self._dist / "index.html", headers=headers)(scope, receive, send)

    async def _show(self, scope: Scope, send: Send) -> None:
        engine = self._service.engine
        rows: list[tuple[str, str]] = [("mode", self._around.mode), ("version", self._around.version)]
        try:
            counts = await self._service.read(lambda queries: queries.counts())
            rows.append(("runs", ", ".join(f"{count:,} {status}" for status, count in counts.items()) or "none"))
            rows.append(("workflows", ", ".join(sorted({workflow.name for workflow in engine.workflows})) or "none"))
            rows.append(("tape", f"{engine.path}, up to {engine.durable_seq:,}"))
        except TickworkError as error:
            rows.append(("problem", str(error)))
        if engine.fault is not None:
            rows.append(("fault", str(engine.fault)))
        caller = caller_of(scope)
        rows.append(("you are", f"{caller.name}, who may {', '.join(sorted(caller.scopes))}"))
        if caller.owner is not None:  # others' numbers are none of theirs
            rows = rows[:2] + rows[-1:]
        table = "".join(f"<tr><th>{escape(name)}<td>{escape(value)}</tr>" for name, value in rows)
        links = "".join(f'<tr><td><a href="{path}">{name}</a><td>{what}</tr>' for path, name, what in _LINKS)
        await send_page(send, 200, "tickwork", f"<table>{table}</table><h2>Here</h2><table>{links}</table>")


def _file(dist: Path, path: str) -> Path | None:
    """The file of a path, if it is one of the dashboard's."""
    found = (dist / path.lstrip("/")).resolve()
    return found if found.is_file() and found.is_relative_to(dist.resolve()) else None
