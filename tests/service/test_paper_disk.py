"""A venue's book that the disk does not take: said in words, no run fails of it, and the session goes on later."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.service.papering import everything, options, play, told
from tickwork.app import open_paper
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import TapeError
from tickwork.faces.cli import _complaint
from tickwork.service.paper import PaperOptions


async def until_full(given: PaperOptions, commits: int) -> str:
    """Play until a venue's disk is full, after so many changes of its book; what is said."""
    session, done = open_paper(given, everything), [0]

    def full() -> bool:
        done[0] += 1
        return done[0] > commits

    for desk in session.trader.desks.values():
        desk.venue._book._db.set_commit_hook(full)
    try:
        with pytest.raises(TapeError) as caught:
            await session.run()
    finally:
        await session.close()
    return str(caught.value)


@pytest.mark.parametrize("commits", [0, 1, 2, 5, 10, 21])
def test_a_full_disk_is_said_and_nothing_is_lost(commits: int, tmp_path: Path) -> None:
    whole: dict[str, Any] = asyncio.run(play(options(tmp_path / "whole", 240)))
    said = asyncio.run(until_full(options(tmp_path / "full", 240), commits))
    assert f"the paper book {tmp_path}/full/paper-" in said
    assert "cannot be written (" in said
    assert "free or replace the disk" in said
    queries = Queries.open(str(tmp_path / "full" / "paper.db"))
    assert not {"dead", "failed"} & set(queries.counts()), "no run takes it for its own error"

    async def again() -> dict[str, Any]:
        session = open_paper(options(tmp_path / "full", 240), everything)
        assert session.notice == "continuing the interrupted session"
        summary = told(await session.run())
        await session.close()
        return summary

    assert asyncio.run(again()) == whole


@pytest.mark.parametrize("error", [apsw.FullError("database or disk is full"), OSError(28, "No space left on device")])
def test_whatever_the_disk_says_is_put_into_words(error: Exception) -> None:
    code, words = _complaint(error)
    assert code == 1
    assert words.startswith("the disk cannot be used: ")
    assert "--home" in words


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_file_that_the_disk_does_not_take_is_named(number: int) -> None:
    code, words = _complaint(OSError(number, os.strerror(number), "desk/logs"))
    assert (code, words) == (
        1,
        f"desk/logs cannot be used ({os.strerror(number)}): see to it, or give another --home",
    )
