"""Services on this machine that speak HTTP, and remember what they were sent."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """What arrived, and how it answers."""

    port: int = 0
    requests: list[Received] = field(default_factory=list)
    status: int = 200
    answer: bytes = b"{}"
    hold: threading.Event | None = None
    """Answers wait for it."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def serving() -> Iterator[Server]:
    """A server for a while."""
    made = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.requests.append(Received(urlsplit(self.path).path, dict(self.headers), body))
            if made.hold is not None:
                made.hold.wait(20)
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(made.answer)))
            self.end_headers()
            self.wfile.write(made.answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Threaded(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that gave up is not ours to report."""

    with Threaded(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            if made.hold is not None:
                made.hold.set()
            server.shutdown()
            thread.join()
