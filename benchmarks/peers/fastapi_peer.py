"""A bare FastAPI that inserts what it is sent into SQLite, in the environment of the peers. Prints its port."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import sys
from decimal import Decimal

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Payload(BaseModel):
    """The event's fields."""

    symbol: str
    price: Decimal
    quantity: Decimal
    n: int


class Published(BaseModel):
    """What is sent."""

    name: str
    payload: Payload


def application(path: str) -> FastAPI:
    """One route: insert, commit, answer."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, name TEXT NOT NULL, data TEXT NOT NULL)")
    app = FastAPI()

    @app.post("/api/v1/events", status_code=201)
    async def publish(event: Published) -> dict[str, int]:
        cursor = connection.execute(
            "INSERT INTO events (name, data) VALUES (?, ?)", (event.name, event.payload.model_dump_json())
        )
        connection.commit()
        return {"seq": cursor.lastrowid or 0}

    return app


if __name__ == "__main__":
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        application(f"{sys.argv[1]}/bare.db"), loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
    listening.listen(2_048)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listening]))
